"""Days of the week that dates never have: found both ways over strengths, told by `check`, kept by new rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.data import weekdays
from latens.data.suspects import suspicions
from latens.data.weekdays import Closed, Shares, broken_in, found_in, opened, read, read_shares, shares_in, spread
from latens.workflow.trained import TrainedModel

MONDAY = np.datetime64("2024-01-01")
"""The first of January 2024 was a Monday."""


def jobs(rows: int = 1000, *, sundays: int = 0, open_days: int = 6, unit: str = "D", moved: int = 0) -> pd.DataFrame:
    """Jobs of a workshop that is open on the first days of the week; the next day that it is open, they are done."""
    rng = np.random.default_rng(0)
    day = 7 * rng.integers(0, 100, rows) + rng.integers(0, open_days, rows)
    day[:sundays] = 7 * np.arange(sundays) + 6
    came = (MONDAY + day + moved).astype(f"datetime64[{unit}]")
    return pd.DataFrame({"came": came, "kind": rng.choice(["a", "b"], rows), "hours": rng.integers(1, 9, rows)})


def data_of(frame: pd.DataFrame) -> latens.Dataset:
    return latens.load_data(frame, label="none")


@pytest.mark.parametrize(("sundays", "found"), [(0, True), (1, True), (2, True), (3, False), (150, False)])
def test_a_closed_day_is_one_of_hardly_any_row(sundays: int, found: bool) -> None:
    """Of 1,000 dates two may be mistakes."""
    assert found_in(data_of(jobs(sundays=sundays))) == ((Closed("came", 6, 1000, sundays),) if found else ())


def test_dates_of_every_day_have_none() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        frame = jobs(150).assign(came=MONDAY + rng.integers(0, 900, 150))
        assert found_in(data_of(frame)) == ()
    assert found_in(data_of(jobs(149))) == ()  # too few rows
    for days, known in ((69, ()), (70, (Closed("came", 6, 1000, 0),))):
        few = np.array([7 * (k // 6) + k % 6 for k in range(days)])  # many rows of few days
        frame = jobs().assign(came=MONDAY + np.resize(few, 1000))
        assert found_in(data_of(frame)) == known
    assert found_in(data_of(jobs(open_days=1))) == ()  # weeks: the grid of the column has no other day


@pytest.mark.parametrize("moved", [0, 1, 7, -1000 * 7, -20_003])
def test_a_week_changes_nothing_and_a_day_moves_the_closed_one(moved: int) -> None:
    for unit in ("D", "s"):
        assert found_in(data_of(jobs(moved=moved, unit=unit))) == (Closed("came", (6 + moved) % 7, 1000, 0),)


def test_weekends_are_two_days_and_the_wrong_row_is_named() -> None:
    frame = jobs(open_days=5)
    assert [one.day for one in found_in(data_of(frame))] == [5, 6]
    assert not [one for one in suspicions(data_of(frame)) if "Sunday" in one]
    # The last cell of the grid as a Sunday: Saturday is closed, Monday lies beyond it, so it is the Friday before.
    early = frame.assign(came=np.minimum(frame["came"], MONDAY + 7 * 90 + 4))
    early.loc[0, "came"] = MONDAY + 7 * 90 + 6
    data = data_of(early)
    last = np.array([[(data.schema.types or ())[0].size - 1.0, 0.0, 0.0]])
    assert broken_in(found_in(data), data.schema, last).tolist() == [[True, False, False]]
    made = opened(found_in(data), data.schema, last, np.ones((1, 3), bool))
    assert made[0, 0] == last[0, 0] - 2
    frame.loc[17, "came"] = MONDAY + 13
    said = [one for one in suspicions(data_of(frame)) if "Sunday" in one]
    assert said == ["Column 'came' is a Sunday in 1 of 1000 rows alone: look at row 17."]


def test_the_time_since_another_date_is_a_date_of_its_own() -> None:
    """Delivered within four days, never on a Sunday, and counted from the order, which is of any day."""
    rng = np.random.default_rng(1)
    ordered = MONDAY + rng.integers(0, 700, 1500)
    came = ordered + rng.integers(1, 5, 1500)
    came = came + (((came - MONDAY).astype(int) % 7) == 6)
    data = data_of(pd.DataFrame({"ordered": ordered, "came": came, "kind": rng.choice(["a", "b"], 1500)}))
    types = data.schema.types or ()
    assert types[1].after is not None
    (rule,) = found_in(data)
    assert rule == Closed("came", 6, 1500, 0)
    x = np.array(data.x[:40], np.float64)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 1] = True
    # Any day from the order to a week later: those on a Sunday go to the Saturday before.
    x[:, 1] = np.clip(np.arange(40) % 7 - types[1].low, 0, types[1].size - 1)
    wrong = broken_in((rule,), data.schema, x)[:, 1]
    day = (ordered[:40] - MONDAY).astype(int) + (x[:, 1] + types[1].low).astype(int)
    np.testing.assert_array_equal(wrong, day % 7 == 6)
    assert 0 < wrong.sum() < 40
    made = opened((rule,), data.schema, x, hidden)
    assert not broken_in((rule,), data.schema, made).any()
    np.testing.assert_array_equal(made[~wrong], x[~wrong])
    assert set((made - x)[wrong, 1].tolist()) <= {-1.0, 1.0}
    np.testing.assert_array_equal(opened((rule,), data.schema, x, ~hidden), x)  # what is known stays


def test_what_a_stranger_wrote_is_no_rule() -> None:
    rows = [["a", 6, 200, 0], ["a", 7, 200, 0], ["a", 6, 1, 2], ["a", 6, 2.0, 0], [1, 6, 200, 0], "abcd", None]
    assert read(rows) == (Closed("a", 6, 200, 0),)
    assert read("abcd") == read(None) == read(7) == ()


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    settings = {"posterior.choices": 2, "training.epochs": 3.0}
    config = latens.config.override(latens.recipes.get_recipe("table-mixture").config, settings)
    return latens.train(latens.prepare(config, data_of(jobs())))[0]


def test_new_rows_and_filled_cells_are_of_days_that_the_data_have(trained: TrainedModel, tmp_path: Path) -> None:
    """Other rows are the same bits, and the shares of the other days stay as they are."""
    days = {}
    for name, one in {"free": trained.with_facts(weekdays=[]), "kept": trained}.items():
        model, out = str(tmp_path / f"{name}.safetensors"), str(tmp_path / f"{name}.csv")
        one.save(Path(model))
        assert main(["sample", model, "-n", "3000", "--out", out]) == 0
        days[name] = pd.read_csv(out, parse_dates=["came"])
    sunday = (days["free"]["came"].dt.day_of_week == 6).to_numpy()
    assert 0.08 < sunday.mean() < 0.25
    assert not (days["kept"]["came"].dt.day_of_week == 6).any()
    pd.testing.assert_frame_equal(days["free"][~sunday], days["kept"][~sunday])
    gappy = jobs().assign(came=lambda rows: rows["came"].mask(np.arange(1000) % 5 == 0))
    gappy.to_csv(tmp_path / "gaps.csv", index=False)
    fill = ["impute", str(tmp_path / "kept.safetensors"), str(tmp_path / "gaps.csv"), "--draws", "2"]
    assert main([*fill, "--num-samples", "50", "--out", str(tmp_path / "full.csv")]) == 0
    for name in ("full", "full-001", "full-002"):
        made = pd.read_csv(tmp_path / f"{name}.csv", parse_dates=["came"])["came"]
        assert made.notna().all()
        assert not (made.dt.day_of_week == 6).any(), name


def test_a_date_on_a_closed_day_is_the_odd_cell_of_its_row(trained: TrainedModel, tmp_path: Path) -> None:
    frame = jobs(60)
    frame.loc[31, "came"] = MONDAY + 20
    frame.to_csv(tmp_path / "new.csv", index=False)
    trained.save(tmp_path / "m.safetensors")
    jobs(200).to_csv(tmp_path / "usual.csv", index=False)
    ask = ["detect", str(tmp_path / "m.safetensors"), str(tmp_path / "new.csv"), "--top", "1"]
    assert main([*ask, "--held-out", str(tmp_path / "usual.csv"), "--out", str(tmp_path / "odd.csv")]) == 0
    first = pd.read_csv(tmp_path / "odd.csv").iloc[0]
    assert (first["row"], first["cell_1"]) == (31, "came")
    assert float(first["p_1"]) <= 1 / 1002


def days_of(data: latens.Dataset, x: np.ndarray) -> np.ndarray:
    """How often each day of the week is in the first column, of 1."""
    one = (data.schema.types or ())[0]
    start = (np.datetime64("1970-01-01") + int(one.low) - MONDAY).astype(int)
    return np.bincount((start + np.round(x[:, 0]).astype(int)) % 7, minlength=7) / len(x)


@pytest.mark.parametrize(("double", "found"), [(1.0, False), (1.1, False), (2.0, True), (4.0, True)])
def test_days_that_are_more_frequent_are_found_and_new_dates_have_them_as_often(double: float, found: bool) -> None:
    rng = np.random.default_rng(3)
    law = np.array([0, double, 1, 1, 1, 1, 1]) / (5 + double)
    frame = jobs(2000).assign(came=MONDAY + 7 * rng.integers(0, 100, 2000) + rng.choice(7, 2000, p=law))
    data = data_of(frame)
    rules = shares_in(data)
    assert [one.column for one in rules] == (["came"] if found else [])
    new = np.tile(np.asarray(data.x, np.float64), (10, 1))
    flat = MONDAY + 7 * rng.integers(0, 100, len(new)) + rng.choice(np.arange(1, 7), len(new))
    new[:, 0] = (flat - np.datetime64("1970-01-01")).astype(int) - (data.schema.types or ())[0].low
    new = new[(new[:, 0] >= 0) & (new[:, 0] < (data.schema.types or ())[0].size)]
    moved = spread(rules, data.schema, new, np.random.default_rng(0))
    if not found:
        assert np.array_equal(moved, new)
        return
    own = np.array(rules[0].counts) / sum(rules[0].counts)
    assert np.all(np.abs(days_of(data, moved) - own) < 4 * np.sqrt(own / len(new)) + 1e-3)
    assert np.array_equal(moved[:, 1:], new[:, 1:])
    assert np.all(np.abs(moved[:, 0] - new[:, 0]) < 7)


def test_shares_of_chance_are_none_and_a_stranger_s_are_left_out() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert shares_in(data_of(jobs(150).assign(came=MONDAY + rng.integers(0, 900, 150)))) == ()
    good = ["came", [0, 2, 1, 1, 1, 1, 1]]
    assert read_shares([good]) == (Shares("came", (0, 2, 1, 1, 1, 1, 1)),)
    for bad in (
        ["came", [1] * 6],
        [1, [1] * 7],
        ["came", [-1, 1, 1, 1, 1, 1, 1]],
        ["came", [0] * 7],
        ["came", "7"],
        [],
    ):
        assert read_shares([bad]) == ()


def test_days_of_few_dates_are_as_frequent_in_new_rows_as_in_the_data() -> None:
    """Tuesdays, Wednesdays and Fridays of ten weeks: a segment goes from each to the next, and is drawn evenly."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2026-02-03") + np.add.outer(7 * np.arange(10), [0, 1, 3]).ravel()
    frame = pd.DataFrame({"day": pd.to_datetime(rng.choice(days, 400)), "size": rng.normal(9, 2, 400).round(1)})
    data = latens.load_data(frame, label="none")
    rules = weekdays.found_in(data)
    assert {rule.day for rule in rules} == {0, 3, 5, 6}
    one = data.schema.types[0]  # pyright: ignore[reportOptionalSubscript]
    segment = rng.choice(len(one.firsts), 6000, p=np.asarray(one.shares))
    drawn = np.asarray(one.firsts)[segment] + rng.integers(0, np.asarray(one.widths)[segment])
    x = np.stack([drawn, np.zeros(6000)], axis=1)
    moved = weekdays.at_their_first(rules, data.schema, x)
    assert not weekdays.broken_in(rules, data.schema, moved).any()
    assert np.isin(moved[:, 0], one.firsts).all()
    counts = np.bincount(moved[:, 0].astype(int), minlength=one.size)[np.asarray(one.firsts)]
    np.testing.assert_allclose(counts / 6000, one.shares, atol=0.012)
    np.testing.assert_array_equal(weekdays.at_their_first(rules, data.schema, x, ["day"]), x)
    np.testing.assert_array_equal(weekdays.at_their_first(rules, data.schema, x[:50]), moved[:50])
    # Wide segments stay as they are drawn: their rows on closed days are drawn anew.
    many = pd.to_datetime(np.datetime64("2020-01-01") + rng.integers(0, 2000, 3000))
    wide = latens.load_data(pd.DataFrame({"day": many, "size": rng.normal(9, 2, 3000).round(1)}), label="none")
    y = np.stack([rng.integers(0, 2000, 300), np.zeros(300)], axis=1).astype(float)
    np.testing.assert_array_equal(weekdays.at_their_first([weekdays.Closed("day", 6, 3000, 0)], wide.schema, y), y)


@pytest.mark.parametrize(("days", "each", "closed"), [(20, 3, True), (12, 3, False), (40, 5, True), (30, 5, False)])
def test_fewer_days_are_enough_where_more_of_the_week_are_missing(days: int, each: int, closed: bool) -> None:
    """By chance n days miss m of the week in (7 over m) ((7 - m) / 7)^n of tables: 35 (3/7)^20 and 21 (5/7)^40."""
    rng = np.random.default_rng(0)
    weeks = 7 * np.arange(-(-days // each))
    own = (np.datetime64("2026-02-02") + np.add.outer(weeks, np.arange(each)).ravel())[:days]
    frame = pd.DataFrame({"day": pd.to_datetime(rng.permutation(np.resize(own, 300))), "size": rng.normal(9, 2, 300)})
    found = weekdays.found_in(latens.load_data(frame, label="none"))
    assert ({rule.day for rule in found} == set(range(each, 7))) == closed
    assert bool(found) == closed
