"""Day and month that were exchanged: found by the time to another date, and blamed where one of the two explains it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.exchanged import exchanged, told_exchanged
from latens.data.mistakes import mistaken
from latens.data.suspects import suspicions


def contracts(n: int = 600, wide: float = 2.0, seed: int = 0) -> pd.DataFrame:
    """Contracts of a year, a few days more or less."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2023-01-01") + rng.integers(0, 600, n)
    end = start + 365 + np.round(rng.uniform(-wide, wide, n)).astype(int)
    return pd.DataFrame({"start": start, "end": end, "kind": rng.choice(["a", "b"], n)})


def written(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: frame[name].dt.strftime("%Y-%m-%d") for name in ("start", "end")})


def turned(day: pd.Timestamp) -> Any:
    return pd.Timestamp(day.year, day.day, day.month)


def planted(frame: pd.DataFrame, column: str, dates: list[tuple[str, str]]) -> pd.DataFrame:
    """The first rows with these dates, of which one column has day and month exchanged."""
    frame = frame.copy()
    for row, (start, end) in enumerate(dates):
        frame.loc[row, ["start", "end"]] = pd.Timestamp(start), pd.Timestamp(end)
        frame.loc[row, column] = turned(frame.loc[row, column])
    return frame


@pytest.mark.parametrize("column", ["start", "end"])
def test_the_exchanged_date_is_blamed_where_it_alone_explains_the_time(column: str) -> None:
    frame = planted(contracts(), column, [("2023-03-07", "2024-03-06"), ("2023-11-02", "2024-11-01")])
    data = latens.load_data(written(frame), label="none")
    names = [one.name for one in data.schema.columns or ()]
    found = exchanged(data, names.index("end"), np.arange(len(frame)))
    assert {names[k]: np.flatnonzero(rows).tolist() for k, rows in found.items() if rows.any()} == {column: [0, 1]}
    assert np.argwhere(mistaken(data)).tolist() == [[row, names.index(column)] for row in (0, 1)]
    said = [one for one in suspicions(data) if "exchanged" in one]
    assert said
    assert any(f"With day and month of {column!r} exchanged all are as usual." in one for one in said)


def test_of_two_dates_that_explain_it_both_are_told() -> None:
    """From 11 May to 10 May, written 5 November: both turned days of the other one are a year away."""
    frame = planted(contracts(), "start", [("2023-05-11", "2024-05-11")])
    data = latens.load_data(written(frame), label="none")
    [said] = [one for one in suspicions(data) if "exchanged" in one]
    assert said.endswith("With day and month of 'start' or of 'end' exchanged this is as usual.")
    assert mistaken(data)[0].tolist() == [False, True, False]  # which one is not known: the time between is emptied


@pytest.mark.parametrize(("wide", "odd"), [(0.0, True), (2.0, True), (14.0, True), (40.0, False), (200.0, False)])
def test_only_a_time_that_is_not_usual_is_explained(wide: float, odd: bool) -> None:
    """119 days too few are odd among times of a year and 14 days; of wide times a date fits by chance."""
    frame = planted(contracts(wide=wide), "start", [("2023-03-07", "2024-03-06")])
    frame.loc[1, ["start", "end"]] = pd.Timestamp("2023-07-13"), pd.Timestamp("2024-03-15")  # 13 is no month
    data = latens.load_data(written(frame), label="none")
    found = exchanged(data, 1, np.arange(3))
    assert {k: np.flatnonzero(rows).tolist() for k, rows in found.items() if rows.any()} == ({0: [0]} if odd else {})


@pytest.mark.parametrize(("rows", "wide", "told"), [(1, 0.0, False), (2, 0.0, True), (6, 2.0, True), (6, 200.0, False)])
def test_exchanged_dates_are_told_where_they_are_not_by_chance(rows: int, wide: float, told: bool) -> None:
    days = pd.date_range("2023-01-01", "2023-06-30")
    days = [day for day in days if day.day <= 12 and abs(day.day - day.month) > 2][:: 50 // rows][:rows]
    frame = planted(
        contracts(wide=wide), "start", [(str(day)[:10], str(day + pd.Timedelta(days=365))[:10]) for day in days]
    )
    data = latens.load_data(written(frame), label="none")
    found = told_exchanged(data, 1)
    assert found.tolist() == (list(range(rows)) if told else [])


def test_times_that_lie_far_for_another_reason_are_not_told() -> None:
    """Six contracts of 30 to 700 days, at any day: at most one in a hundred tables is told."""
    told = 0
    for seed in range(60):
        frame, rng = contracts(seed=seed), np.random.default_rng(900 + seed)
        for row in range(6):
            frame.loc[row, "end"] = frame.start[row] + pd.Timedelta(days=int(rng.integers(30, 700)))
        told += len(told_exchanged(latens.load_data(written(frame), label="none"), 1)) > 0
    assert told <= 1


def test_nothing_is_exchanged_in_honest_tables() -> None:
    for seed in range(12):
        data = latens.load_data(written(contracts(seed=seed, wide=3.0 + 2 * seed)), label="none")
        assert not any("exchanged" in one for one in suspicions(data))
    alone = contracts().assign(start=contracts().start.dt.strftime("%Y-%m-%d"))[["start", "kind"]]
    assert exchanged(latens.load_data(alone, label="none"), 0, np.arange(3)) == {}
