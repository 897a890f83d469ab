"""Types of columns and the counts of a streamed column, of a few numbers, by hand."""

import numpy as np
import pytest

from latens.data import columns
from latens.data.columns import ColumnType, TextColumn, category_type, number_type, recorded_step, segments
from latens.data.declared import Declared
from latens.data.streams import tally
from latens.data.words import Coded


def test_what_no_row_has_is_shared_among_the_empty_segments():
    """Rows 3 and 5 of 0..9 once each, 4 twice; two segments below and above are empty, the grid declared."""
    made = number_type(np.array([3.0, 4.0, 4.0, 5.0]), np.arange(10.0), "int", bounds=(0.0, 9.0))
    empty = (2 + 0.5) / 2  # two values came once: Good and Turing, half a row more; two empty segments
    full = [2.0, 1.0, 1.0]
    assert (made.low, made.step, made.size) == (0.0, 1.0, 10)
    assert made.starts[0] == 0
    assert made.starts[-1] == 6
    masses = np.array(made.shares) / made.shares[0] * empty
    assert masses[-1] == pytest.approx(empty)
    assert masses[1:-1].sum() == pytest.approx(sum(full))
    assert sum(made.shares) == pytest.approx(1.0)
    assert sum(made.widths) == 10


def test_a_name_that_came_more_often_has_more_of_the_shares():
    made = category_type(np.array([0.0, 2.0, 2.0]), TextColumn(("a", "b", "c")))
    np.testing.assert_allclose(made.shares, np.array([1.5, 0.5, 2.5]) / 4.5)
    again = category_type(np.array([0.0, 2.0]), TextColumn(("a", "b", "c"), ordered=True), np.array([1, 2]))
    np.testing.assert_allclose(again.shares, made.shares)
    assert (made.kind, again.kind) == ("category", "ordinal")


def test_stored_cells_have_their_values_and_shares():
    one = ColumnType("number", (), 10.0, 0.5, (0, 1, 3), 5, (0.5, 0.3, 0.2), "float")
    assert one.widths == (1, 2, 2)
    assert (one.count, one.cells) == (3, 5)
    np.testing.assert_allclose(np.exp(one.log_shares(np.arange(5))), [0.5, 0.15, 0.15, 0.1, 0.1])
    assert one.decoded(np.array([-1.0, 0.0, 1.2, 4.0, 9.0])).tolist() == [10.0, 10.0, 10.5, 12.0, 12.0]
    names = ColumnType("category", ("a", "b"), shares=(0.4, 0.6))
    assert names.decoded(np.array([0.0, 1.0, 5.0])).tolist() == ["a", "b", "b"]
    assert (names.cells, names.widths, names.firsts) == (2, (1, 1), (0, 1))


@pytest.mark.parametrize(
    ("values", "step"),
    [([1.0, 2.0], 1.0), ([0.5, 2.0], 0.1), ([0.25, 1.0], 0.01), ([0.1 + 2e-10, 1 / 3, 0.7, 1.1], 1e-6)],
)
def test_the_recorded_precision_divides_every_number(values, step):
    assert recorded_step(np.array(values)) == pytest.approx(step)
    often = recorded_step(np.sort(values), np.arange(1, len(values) + 1))
    assert often == pytest.approx(recorded_step(np.repeat(np.sort(values), np.arange(1, len(values) + 1))))


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([np.pi, 2 * np.pi, 3 * np.pi, 4 * np.pi], 1e-5),  # the quartiles are 1.5 pi apart
        ([np.pi] * 9 + [np.pi + np.e / 100], 1e-7),  # the ends are e / 100 apart
        ([np.pi] * 3, 1e-5),  # one number
        ([-np.pi] * 3, 1e-5),
        ([0.0, np.pi * 1e-10, np.pi * 2e-10], 1e-15),  # small numbers are not 0 for being small
    ],
)
def test_without_a_recorded_precision_the_spread_sets_it(values, step):
    assert recorded_step(np.array(values)) == pytest.approx(step)


def test_nine_decimals_are_found_and_counted():
    assert recorded_step(np.array([0.123456789, 1.0])) == pytest.approx(1e-9)
    steps = {1.0: 0, 0.1: 1, 0.5: 1, 0.01: 2, 1e-6: 6, 10.0: 0, 0.25: 2}
    assert {step: columns.decimals_of(step) for step in steps} == steps


def test_a_grid_of_fractions_begins_at_a_multiple_of_its_step():
    every = np.array([0.5, 1.0, 1.7])
    made = number_type(every, every, "float", bounds=(0.34, 2.0))
    assert (made.low, made.step, made.size) == (pytest.approx(0.3), 0.1, 18)


@pytest.mark.parametrize(("most", "starts"), [(3, [0, 1, 2, 3, 4, 5]), (2, [0])])
def test_few_numbers_that_repeat_are_each_by_themselves(monkeypatch, most, starts):
    for name, value in (("ALL_HEAVY", most), ("OFTEN", 2), ("HEAVY", 0.9), ("PIECES", 1)):
        monkeypatch.setattr(columns, name, value)
    assert segments(np.array([0, 2, 4]), np.array([2, 2, 2]), 6)[0] == starts


def test_a_grid_is_cut_around_cells_that_many_rows_share():
    places, counts = np.array([0, 2, 3, 7]), np.array([30, 25, 40, 30])
    starts, masses = segments(places, counts, 10)
    assert starts == [0, 1, 2, 3, 4, 7, 8]
    assert masses.tolist() == [30, 0, 25, 40, 0, 30, 0]


def test_cells_between_are_cut_where_they_hold_a_piece_of_the_rows(monkeypatch):
    """Ten cells of one row, none heavy, four pieces of 2.5 rows: two rows are a piece, a third would be too many."""
    monkeypatch.setattr(columns, "PIECES", 4)
    starts, masses = segments(np.arange(10), np.ones(10, int), 12)
    assert starts == [0, 2, 4, 6, 8]
    assert masses.tolist() == [2, 2, 2, 2, 2]


def test_a_long_tail_of_names_shares_its_probability():
    """1,003 names: three that came 20 times or more have a place each, those that came alike share one."""
    names, many = TextColumn(tuple(f"n{i}" for i in range(1003))), {3: 20, 5: 21, 7: 20}
    of = np.array([many.get(i, 2 if i < 100 else 1) for i in range(1003)])
    made = category_type(np.arange(1003.0), names, of)
    assert made.values[:3] == ("n5", "n3", "n7")
    assert made.starts == (0, 1, 2, 3, 100)  # 97 names that came twice, 903 once
    np.testing.assert_allclose(made.shares, np.array([21, 20, 20, 194, 903]) / 1158)


def test_quartiles_of_counted_numbers_are_those_of_repeated_ones():
    values, of = np.array([0.3, 1.0, 2.5, 7.0, 8.0]), np.array([1, 2, 1, 3, 1])
    np.testing.assert_allclose(columns._quantiles(values, of), columns._quantiles(np.repeat(values, of), None))


def counted(values, train, trains=True):
    numbers = tally.Numbers()
    for part in np.split(np.arange(len(values)), 3):
        numbers.add(values[part], train[part])
    found, (every, of) = numbers.counted(trains=trains)
    return numbers, found, every, of


def test_numbers_are_counted_each_by_itself():
    values = np.array([2.0, 1.0, 2.0, 5.0, 5.0, 2.0])
    train = np.array([True, False, True, True, False, False])
    numbers, found, every, of = counted(values, train)
    assert found.tolist() == [1.0, 2.0, 5.0]
    assert every.tolist() == [1, 3, 2]
    assert of.tolist() == [0, 2, 1]
    assert (numbers.least, numbers.most, numbers.step()) == (2.0, 5.0, None)
    assert counted(values, train, trains=False)[3].tolist() == [1, 3, 2]


def test_numbers_in_bins_keep_the_ends_of_the_training_rows(monkeypatch):
    """At most 4 values: bins of 8 for 0 to 29, the least and the largest of training rows as they are."""
    monkeypatch.setattr(tally, "MOST_VALUES", 4)
    values, train = np.arange(30.0), np.arange(30) % 10 == 1  # 1, 11 and 21 train
    numbers, found, every, of = counted(values, train)
    assert numbers.width == 8.0
    assert found.tolist() == [1.0, 8.0, 16.0, 21.0, 24.0]
    assert every.tolist() == [8, 8, 7, 1, 6]  # 21 apart from its bin, whose rows are one fewer
    assert of.tolist() == [1, 1, 0, 1, 0]
    assert numbers.step() == 1.0
    assert counted(values, np.arange(30) % 8 == 0)[1].tolist() == [0.0, 8.0, 16.0, 24.0]  # 24 begins its bin
    halves = tally.Numbers()
    halves.add(values / 2, np.zeros(30, bool))
    halves._join()
    assert halves.step() == 0.1
    assert not halves.whole
    assert halves.counted(trains=False)[0].tolist() == [0.0, 4.0, 8.0, 12.0]


def test_names_of_blocks_are_joined_in_the_order_of_their_names():
    column = tally.Column("city", Declared(), "here")
    column.add(Coded(np.array([0.0, 1.0, 1.0, np.nan]), TextColumn(("Oslo", "Lyon"))), np.array([1, 1, 0, 1], bool), "")
    column.add(Coded(np.array([0.0, 0.0]), TextColumn(("Porto",))), np.array([True, False]), "")
    found = column.found(trains=True)
    assert column.gaps == 1
    assert found.found.values == ("Lyon", "Oslo", "Porto")
    assert found.of.tolist() == [1, 1, 1]
    assert found.of_every.tolist() == [2, 1, 2]


def test_texts_are_counted_in_the_order_in_which_they_came(monkeypatch):
    texts = tally.Texts()
    texts.add(["b", "a"], np.array([2, 1]), np.array([1, 0]))
    texts.add(["a", "c"], np.array([3, 1]), np.array([2, 1]))
    assert texts.counts == {"b": [2, 1], "a": [4, 2], "c": [1, 1]}
    monkeypatch.setattr(tally, "MOST_WORDS", 3)
    texts.add(["c"], np.array([1]), np.array([0]))
    assert not texts.many
    texts.add(["d"], np.array([1]), np.array([0]))
    assert texts.many


@pytest.mark.parametrize(("often", "apart"), [(19, False), (20, True), (21, True)])
def test_a_value_has_a_segment_of_its_own_from_twenty_rows_on(often, apart):
    """Among 2000 values that come once, of which 31 make a segment."""
    counts = np.ones(2001, int)
    counts[1000] = often
    starts, masses = segments(np.arange(2001), counts, 2001)
    assert (1000 in starts and 1001 in starts) is apart
    assert masses.sum() == 2000 + often
    if apart:
        assert masses[starts.index(1000)] == often


@pytest.mark.parametrize(("far", "cut"), [(1050, False), (1100, False), (1180, True), (9000, True)])
def test_a_cell_far_from_all_others_has_an_end_of_its_own(far, cut):
    """Over distances, and in a mirror: a gap of five times the width of what is next to it ends a segment."""
    places = np.append(np.arange(1000), far)
    counts = np.ones(len(places), int)
    starts, masses = segments(places, counts, far + 1)
    assert (1000 in starts) is cut
    if cut:
        assert (starts[-1], masses[-1]) == (1000, 1.0)
        assert masses[-2] <= 1000 / 64 + 1
    mirrored, weights = segments((far - places)[::-1], counts, far + 1)
    assert (far - 999 in mirrored) is cut
    if cut:
        assert (mirrored[1], weights[0]) == (far - 999, 1.0)
    assert masses.sum() == weights.sum() == len(places)


def test_a_far_cell_that_many_rows_have_stays_a_segment():
    places, counts = np.append(np.arange(1000), 9000), np.append(np.ones(1000, int), 400)
    starts, masses = segments(places, counts, 9001)
    assert starts[-1] == 9000
    assert masses[-1] == 400
