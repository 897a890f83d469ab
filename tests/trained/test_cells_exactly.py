"""Single cells: how odd they are has digits in both tails, and what is filled in is a value that occurs."""

import numpy as np
import pytest
from msgspec import structs

from latens.kinds.tables.columns import FrameColumn, number_type
from latens.trained.cell_scores import p_values, point

rng = np.random.default_rng(0)
RAM = number_type(v := rng.choice([4.0, 8.0, 16.0, 32.0], 400, p=[0.2, 0.4, 0.3, 0.1]), v, FrameColumn(dtype="Int64"))


@pytest.mark.parametrize("tiny", [1e-3, 1e-9, 1e-18])
def test_both_tails_have_digits(tiny):
    three = structs.replace(RAM, low=0.0, starts=(0, 1, 2), size=3, shares=(0.2, 0.3, 0.5))
    # The probability of a cell at least so far out, twice: the shares add up to more than 1 by rounding.
    shares = np.array([[tiny, 0.5, 0.5 + 1e-8], [0.5 + 1e-8, 0.5, tiny]])
    found = p_values(shares, three, np.array([0.0, 2.0]))
    np.testing.assert_allclose(found, 2 * tiny, rtol=1e-12)
    assert p_values(np.array([[0.2, 0.6, 0.2]]), three, np.array([1.0])) == 1.0


def test_within_a_segment_cells_are_alike():
    wide = structs.replace(RAM, low=0.0, starts=(0, 4), size=8, shares=(0.5, 0.5))
    shares = np.array([[0.6, 0.4]] * 8)
    # Cells of 0.15 and 0.10: P(X <= 0) = 0.15, P(X >= 7) = 0.1, P(X <= 3) = 0.6 and P(X >= 3) = 0.55.
    found = p_values(shares, wide, np.arange(8.0))
    np.testing.assert_allclose(found, [0.3, 0.6, 0.9, 1.0, 0.8, 0.6, 0.4, 0.2], atol=1e-12)


DAYS = structs.replace(
    number_type(v := np.arange(0.0, 400.0), v, FrameColumn(dtype="Int64")), kind="date", dtype="Date", low=19_000.0,
    starts=(0, 100, 200, 300), size=400, shares=(0.25,) * 4,
)  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.1, 0.4, 0.4, 0.1), 199.0),
        ((0.52, 0.0, 0.0, 0.48), 96.0),
        ((0.3, 0.0, 0.0, 0.7), 328.0),
        ((0.25, 0.5, 0.2, 0.05), 149.0),
    ],
)
def test_a_date_is_the_median_and_a_number_the_mean(shares: tuple[float, ...], expected: float) -> None:
    found = point(np.array([shares, shares]), DAYS)
    np.testing.assert_allclose(found, expected)
    number = structs.replace(DAYS, kind="number", dtype="Int64")
    middles = np.array([49.5, 149.5, 249.5, 349.5])
    np.testing.assert_allclose(point(np.array([shares]), number), np.array(shares) @ middles)
