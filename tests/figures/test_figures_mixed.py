"""Histograms of weighted values."""

import numpy as np

from latens.figures.tables import histogram


def test_weighted_values_have_the_shares_of_repeated_ones():
    rng = np.random.default_rng(0)
    data, times = np.append(rng.normal(size=50), np.nan), rng.integers(0, 4, 51)
    times[0], data[0] = 0, 100.0  # counts never, so that no bin is for it
    one = histogram(data, data[1:20], times.astype(float))
    other = histogram(np.repeat(data, times), data[1:20])
    for a, b in zip(one, other):
        np.testing.assert_allclose(a, b, atol=1e-12)
