"""A table of a picture names the dates of a bin, not days since 1970."""

import numpy as np
import pytest

from latens.model_figures.table_pictures import _dates

DAY = float(np.datetime64("2024-02-28").astype(int))


@pytest.mark.parametrize(
    ("low", "high", "days", "words"),
    [
        (DAY - 0.5, DAY + 0.5, True, "2024-02-28"),
        (DAY - 0.5, DAY + 2.5, True, "2024-02-28 to 2024-03-01"),
        (DAY, DAY + 2, True, "2024-02-28 to 2024-02-29"),  # a bin ends before its upper edge
        (DAY + 0.2, DAY + 0.4, True, "2024-02-29"),
        (DAY + 0.25, DAY + 0.25 + 1 / 96, False, "2024-02-28 06:00 to 2024-02-28 06:15"),
        (-0.5, 0.5, True, "1970-01-01"),
    ],
)
def test_a_bin_is_named_by_its_dates(low: float, high: float, days: bool, words: str) -> None:
    assert _dates(low, high, days) == words
