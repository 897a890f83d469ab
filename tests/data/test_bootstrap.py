"""Rows drawn anew with replacement: which they are, and the shares that columns then begin at."""

from dataclasses import replace

import numpy as np
import pytest

import latens
from latens.data import TRAIN, VALIDATION
from latens.data.bootstrap import bootstrap, with_shares_of
from latens.data.columns import ColumnType, TextColumn, category_type, number_type

RNG = np.random.default_rng(0)
NUMBERS = np.round(RNG.gamma(2.0, 20.0, 800), 1)
HEAVY = np.where(RNG.random(800) < 0.3, 0.0, NUMBERS)


def rows(n):
    """Two numbers of which the first names the row, and the second has gaps."""
    second = np.where(np.arange(n) % 4 == 0, np.nan, np.arange(n) % 7)
    return latens.load_data(np.stack([np.arange(n, dtype=float), second], 1), typed=True)


@pytest.mark.parametrize("values", [NUMBERS, HEAVY, np.floor(NUMBERS / 30)], ids=["smooth", "atom", "few"])
def test_shares_of_the_same_cells_are_the_same(values):
    one = number_type(values, values, "float")
    again = with_shares_of(one, np.round((values - one.low) / one.step))
    np.testing.assert_allclose(again.shares, one.shares, rtol=1e-12)
    assert replace_shares(again) == replace_shares(one)


def replace_shares(one):
    return [getattr(one, name) for name in one.__struct_fields__ if name != "shares"]


def test_shares_of_names_count_half_a_row_more():
    codes = np.array([0, 0, 2, 2, 2])
    one = category_type(codes, TextColumn(("a", "b", "c")))
    assert with_shares_of(one, codes).shares == one.shares
    np.testing.assert_allclose(with_shares_of(one, np.array([1.0])).shares, np.array([0.5, 1.5, 0.5]) / 2.5)
    np.testing.assert_allclose(with_shares_of(one, np.zeros(0)).shares, 1 / 3)
    counted = with_shares_of(one, np.array([0.0, 2.0]), np.array([0, 3]))
    np.testing.assert_allclose(counted.shares, np.array([0.5, 0.5, 3.5]) / 4.5)


def test_what_no_cell_has_keeps_the_share_of_what_one_has():
    """Of segments of 0 to 4, 5 to 9 and 10: cells 0, 0, 1 and 10 leave (2 + 1/2) rows for the second (Good)."""
    one = ColumnType("number", (), 0.0, 1.0, (0, 5, 10), 11, (0.2, 0.3, 0.5), "int")
    np.testing.assert_allclose(with_shares_of(one, np.array([0, 0, 1, 10.0])).shares, np.array([3.0, 2.5, 1.0]) / 6.5)
    # A cell that is there but was not drawn is no cell that nobody has: half a row is left of it.
    found = with_shares_of(one, np.array([0, 0, 6, 10.0]), np.array([2, 1, 0, 1]))
    np.testing.assert_allclose(found.shares, np.array([3.0, 0.5, 1.0]) / 4.5)


def test_rows_are_drawn_alike_and_the_others_validate():
    data, drawn_of = rows(400), np.zeros(400)
    for seed in range(200):
        found = bootstrap(data, seed)
        train, validation = found.subset("train"), found.subset("validation")
        assert len(train) == 400
        drawn, apart = found.x[train, 0], found.x[validation, 0]
        assert set(drawn) | set(apart) == set(range(400))
        assert not set(drawn) & set(apart)
        assert len(set(apart)) == len(apart)
        np.testing.assert_array_equal(found.mask[:, 1], found.x[:, 0] % 4 != 0)
        np.testing.assert_array_equal(found.x[found.mask[:, 1], 1], found.x[found.mask[:, 1], 0] % 7)
        drawn_of += np.bincount(drawn.astype(int), minlength=400)
    assert len(np.unique(found.row_id)) == len(found)
    # Poisson with mean 200 each: the variance says that rows are drawn independently, whatever their split.
    assert drawn_of.sum() == 200 * 400
    assert np.var(drawn_of) == pytest.approx(200.0, rel=0.3)
    for split in (TRAIN, VALIDATION):
        assert drawn_of[data.split == split].mean() == pytest.approx(200.0, rel=0.05)


def test_shares_are_those_of_the_drawn_rows_and_the_seed_decides():
    data = rows(400)
    found, again, other = bootstrap(data, 0), bootstrap(data, 0), bootstrap(data, 1)
    np.testing.assert_array_equal(found.x, again.x)
    assert not np.array_equal(found.x[:400], other.x[:400])
    for j, one in enumerate(found.schema.types):
        masses, seen = np.zeros(one.count), data.mask[:, j]
        which = np.searchsorted(one.firsts, found.x[:400][found.mask[:400, j], j], side="right") - 1
        np.add.at(masses, which, 1.0)
        drawn, some = (
            masses > 0,
            np.isin(np.arange(one.count), np.searchsorted(one.firsts, data.x[seen, j], "right") - 1),
        )
        ratio = np.asarray(one.shares)[drawn] / masses[drawn]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
        assert np.asarray(one.shares)[some & ~drawn].sum() / ratio[0] == pytest.approx(
            0.5 if (some & ~drawn).any() else 0
        )
    assert [replace_shares(one) for one in found.schema.types] == [replace_shares(one) for one in data.schema.types]


def test_without_rows_that_validate_all_drawn_rows_train():
    data = replace(rows(40), split=np.zeros(40, np.uint8), label=np.arange(40) % 2, weight=np.arange(40.0))
    found = bootstrap(data, 3)
    assert len(found) == len(found.subset("train")) == 40
    np.testing.assert_array_equal(found.label, found.x[:, 0] % 2)
    np.testing.assert_array_equal(found.weight, found.x[:, 0])


def test_what_belongs_to_a_row_goes_with_it():
    data = rows(60)
    given = replace(data, outside=data.x, cond={"c": data.x[:, 0] + 1.0}, hidden=data.x[:, 0] % 2 == 0)
    found = bootstrap(given, 4)
    np.testing.assert_array_equal(found.outside, found.x)
    np.testing.assert_array_equal(found.cond["c"], found.x[:, 0] + 1.0)
    np.testing.assert_array_equal(found.hidden, found.x[:, 0] % 2 == 0)
