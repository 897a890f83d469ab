"""Which of many columns a picture shows."""

import numpy as np

from latens.model_figures.table_pictures import most_varied


def test_the_columns_that_vary_most_are_drawn_in_their_order() -> None:
    rng = np.random.default_rng(0)
    scales = np.array([0.0, 3.0, 0.1, 2.0, 0.0, 5.0])
    data = 100.0 * np.arange(6) + scales * rng.normal(size=(400, 6))
    assert most_varied(data, 3) == [1, 3, 5]
    assert most_varied(data[:, [5, 0, 3]], 2) == [0, 2]
    assert most_varied(data, 6) is None
    # Missing cells count for nothing, and a column without any is the last.
    gaps = data.copy()
    gaps[:, 5], gaps[::2, 1] = np.nan, np.nan
    assert most_varied(gaps, 2) == [1, 3]
