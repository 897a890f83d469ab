"""Mixed tables: associations, gaps and nats by column are drawn with the numbers of their tables."""

import numpy as np
import pytest

from latens.errors import DataError
from latens.figures import save
from latens.figures.associations import associations
from latens.figures.tables import histogram


def matrices(count):
    values = np.random.default_rng(0).uniform(-1, 1, (3, count, count))
    values[2] = np.abs(values[2]) / 4
    return values


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_data_lie_below_the_diagonal_and_samples_above_it(tmp_path, theme):
    data, samples, apart = matrices(5)
    names = ["a", "$b$", "c", "d", "_e"]
    table = associations(data, samples, apart, names)[1]
    assert len(table["first"]) == 10
    assert (table["first"][1], table["second"][1], table["data"][1]) == ("a", "c", data[0, 2])
    axes = associations(data, samples, apart, names, theme=theme)[0]
    shown = axes[0].images[0].get_array().filled(np.nan)
    for i in range(5):
        for j in range(i + 1, 5):
            assert (shown[j, i], shown[i, j]) == (data[i, j], samples[i, j])
    assert np.isnan(np.diag(shown)).all()
    difference = axes[1].images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(difference[np.tril_indices(5, -1)], apart.T[np.tril_indices(5, -1)])
    assert np.isnan(difference[np.triu_indices(5)]).all()
    assert axes[1].get_title("left") == f"Difference, {table['difference'].mean():.3f} on average"
    assert axes[0].images[0].get_clim() == (-1, 1)
    assert len(save(axes, tmp_path / "associations", table)) == 3


def test_of_many_columns_the_first_thirty_are_drawn():
    axes = associations(*matrices(40), [f"column {i}" for i in range(40)])[0]
    assert axes[0].images[0].get_array().shape == (30, 30)
    assert axes[0].get_title("left").endswith("30 of 40 columns")
    assert associations(*matrices(3), list("abc"), of=50)[0][0].get_title("left").endswith("3 of 50 columns")
    with pytest.raises(DataError, match="5 names"):
        associations(*matrices(4), list("abcde"))


def test_weighted_values_have_the_shares_of_repeated_ones():
    rng = np.random.default_rng(0)
    data, times = np.append(rng.normal(size=50), np.nan), rng.integers(0, 4, 51)
    times[0], data[0] = 0, 100.0  # counts never, so that no bin is for it
    one = histogram(data, data[1:20], times.astype(float))
    other = histogram(np.repeat(data, times), data[1:20])
    for a, b in zip(one, other):
        np.testing.assert_allclose(a, b, atol=1e-12)
