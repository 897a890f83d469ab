"""Numbers far beyond the others of a name, and lone values of columns of few: named where they are, none by chance."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import beyond
from latens.data.far import lone_values
from latens.data.mistakes import all_mistaken
from latens.data.suspects import misspelt, suspicions


def houses(n: int = 900, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    floors = {"Lake": 3, "Park": 8, "Tower": 14}
    house = rng.choice(list(floors), n)
    floor = np.array([rng.integers(0, floors[one] + 1) for one in house])
    return pd.DataFrame({"house": house, "floor": floor, "size": np.round(rng.normal(60, 12, n), 1)})


@pytest.mark.parametrize(("floor", "found"), [(14, True), (11, True), (6, False)])
def test_a_floor_that_a_house_does_not_have_is_named(floor: int, found: bool) -> None:
    frame = houses()
    rows = np.flatnonzero(frame["house"] == "Lake")[:2]
    frame.loc[rows, "floor"] = floor
    data = latens.load_data(frame, label="none")
    made = list(beyond.found_in(data))
    assert [(one.by, one.name, one.column, one.last) for one in made] == (
        [("house", "Lake", "floor", 3.0)] if found else []
    )
    assert np.flatnonzero(all_mistaken(data)[:, 1]).tolist() == (rows.tolist() if found else [])


@pytest.mark.parametrize("seed", range(5))
def test_of_honest_numbers_none_lies_beyond(seed: int) -> None:
    """Tails of any length thin out, and what another name of the row explains is usual."""
    rng, frame = np.random.default_rng(seed), houses(seed=seed)
    frame = frame.assign(
        income=rng.lognormal(8, 0.9, 900), late=rng.exponential(3.0, 900), visits=rng.poisson(1.0, 900)
    )
    way = np.where(rng.random(900) < 0.03, "truck", "parcel")
    frame = frame.assign(way=way, freight=np.round(np.where(way == "truck", 200, rng.choice([6.9, 7.4, 7.9], 900)), 2))
    assert list(beyond.found_in(latens.load_data(frame, label="none"))) == []


def test_where_the_others_have_a_tail_nothing_is_beyond() -> None:
    rng = np.random.default_rng(0)
    ended, tail = rng.integers(0, 4, 100).astype(float), rng.exponential(1.0, 100)
    for values, odd in ((ended, True), (tail, False)):
        far, last = beyond.beyond(np.append(values, 8 * values.max()))
        assert (far.sum(), bool(far[-1])) == ((1, True) if odd else (0, False))
        assert last == (3.0 if odd else 0.0)


@pytest.mark.parametrize(("value", "rows", "found"), [(55, 1, True), (1000, 1, True), (12, 1, False), (55, 2, False)])
def test_a_lone_value_among_few_is_far_from_them(value: int, rows: int, found: bool) -> None:
    marks = np.array([3] * 36 + [4] * 230 + [5] * 170 + [value] * rows, float)
    assert lone_values(marks) == ([float(value)] if found else [])
    assert lone_values(-marks) == ([-float(value)] if found else [])


@pytest.mark.parametrize(
    ("usual", "others", "found"), [(45, 60, True), (21, 60, True), (19, 60, False), (45, 3, False)]
)
def test_one_row_is_a_slip_where_names_come_often(usual: int, others: int, found: bool) -> None:
    names = ("spruce", "spruse", *(f"{letter}{letter}{letter}wood" for letter in "abcdef"))
    counts = np.array([usual, 1, *[others] * 6])
    assert ((0, 1) in misspelt(names, counts)) == found


def test_what_is_said_names_where_the_others_end() -> None:
    frame = houses()
    frame.loc[np.flatnonzero(frame["house"] == "Lake")[:1], "floor"] = 14
    (words,) = [one for one in suspicions(latens.load_data(frame, label="none")) if "beyond" in one]
    assert "Column 'floor' lies far beyond 3, where the other rows of 'house' 'Lake' end: look at" in words
