"""Single cells: how odd they are has digits in both tails, and what is filled in is a value that occurs."""

import numpy as np
import pytest
from msgspec import structs

from latens.data.columns import number_type
from latens.workflow.cells import p_values, point, shortest_half

rng = np.random.default_rng(0)
RAM = number_type(v := rng.choice([4.0, 8.0, 16.0, 32.0], 400, p=[0.2, 0.4, 0.3, 0.1]), v, "int")
PRICE = number_type(v := rng.permutation(2000).astype(float), v, "int")


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


def test_the_nearest_value_that_occurs():
    stored = np.array([4, 5, 6.1, 8, 11.9, 12.1, 15, 23.9, 24.1, 40]) - 4.0  # the grid begins at 4
    assert (RAM.occurring(stored) + 4).tolist() == [4, 4, 8, 8, 8, 16, 16, 16, 32, 32]


def test_other_columns_keep_what_lies_between():
    stored = np.array([0.3, 700.2, 1999.0])
    assert PRICE.occurring(stored).tolist() == stored.tolist()
    names = structs.replace(RAM, kind="category", values=("a", "b"), starts=(), size=0, shares=(0.5, 0.5))
    assert names.occurring(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]


DAYS = structs.replace(
    number_type(v := np.arange(0.0, 400.0), v, "int"), kind="date", written="D", low=19_000.0,
    starts=(0, 100, 200, 300), size=400, shares=(0.25,) * 4,
)  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.1, 0.4, 0.4, 0.1), 199.5),  # one hump: the mean
        ((0.45, 0.02, 0.03, 0.5), 349.5),  # two humps: that of the shorter half, here the later one
        ((0.52, 0.0, 0.0, 0.48), 49.5),
        ((0.5, 0.2, 0.2, 0.1), 139.5),  # a long tail is one hump
        ((0.5, 0.05, 0.35, 0.1), 49.5),
    ],
)
def test_a_date_between_two_years_is_in_one_of_them(shares: tuple[float, ...], expected: float) -> None:
    found = point(np.array([shares, shares]), DAYS)
    np.testing.assert_allclose(found, expected)
    number = structs.replace(DAYS, kind="number", written="int")
    middles = np.array([49.5, 149.5, 249.5, 349.5])
    np.testing.assert_allclose(point(np.array([shares]), number), np.array(shares) @ middles)
    first, last = shortest_half(np.array([shares]), DAYS)
    assert np.array(shares)[first[0] : last[0] + 1].sum() >= 0.5 - 1e-9
