"""Times of the day of dates: found both ways over strengths, kept by new rows, and counted by `judge`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
import latens.recipes
from latens.cli.main import main
from latens.data.columns import clock_step
from latens.data.conditions import Conditions
from latens.data.hours import EVEN, Hours, found_in, read, spread
from latens.workflow.judge import judge
from latens.workflow.new_rows import _as_often

MONDAY = np.datetime64("2024-01-01", "s")
HOUR, DAY = 3_600, 86_400


def visits(rows: int = 1000, *, office: float = 1.0, seed: int = 0, step: int = 60, late: bool = False) -> pd.DataFrame:
    """Visits of which a part is between 8:00 and 17:00 and the others at any time; the visits of `b` may be late."""
    rng = np.random.default_rng(seed)
    day, kind = rng.integers(0, 600, rows), rng.choice(["a", "b"], rows)
    low, high = np.where(late & (kind == "b"), 18, 8), np.where(late & (kind == "b"), 23, 17)
    time = np.where(rng.random(rows) < office, rng.uniform(low, high) * HOUR, rng.uniform(0, DAY, rows))
    time = (time // step * step).astype(int)
    return pd.DataFrame({"came": MONDAY + day * DAY + time, "kind": kind, "number": rng.normal(0, 1, rows).round(2)})


def data_of(frame: pd.DataFrame) -> latens.Dataset:
    return latens.load_data(frame, label="none")


@pytest.mark.parametrize(("office", "found"), [(0.0, False), (0.05, False), (0.3, True), (1.0, True)])
def test_hours_are_unlike_where_they_differ_beyond_chance(office: float, found: bool) -> None:
    assert bool(found_in(data_of(visits(office=office)))) == found


def test_of_tables_by_chance_none_has_hours_or_what_they_differ_by() -> None:
    assert not any(found_in(data_of(visits(200, office=0.0, seed=seed))) for seed in range(100))
    by = [found_in(data_of(visits(200, seed=seed)))[0].by for seed in range(100)]
    assert by == [""] * 100
    assert found_in(data_of(visits(149))) == ()


def test_counts_are_those_of_the_quarters_of_an_hour() -> None:
    frame = visits()
    (one,) = found_in(data_of(frame))
    quarter = frame["came"].dt.hour * 4 + frame["came"].dt.minute // 15
    assert (one.column, one.by, one.free) == ("came", "", ())
    (counts,) = one.counts
    # The first and the last row may lie beyond the training rows, and count as the outermost of these.
    assert np.abs(np.asarray(counts) - np.bincount(quarter, minlength=96)).sum() <= 4


@pytest.mark.parametrize(("late", "by"), [(False, ""), (True, "kind")])
def test_times_differ_by_a_column_of_names(late: bool, by: str) -> None:
    (one,) = found_in(data_of(visits(late=late)))
    assert (one.by, len(one.counts)) == (by, 2 if by else 1)


def test_times_differ_by_the_day_of_the_week() -> None:
    frame = visits()
    sunday = frame["came"].dt.day_of_week == 6
    frame["came"] = frame["came"].mask(sunday, frame["came"].dt.floor("D") + pd.Timedelta(hours=20))
    (one,) = found_in(data_of(frame))
    assert (one.by, len(one.counts)) == ("came", 7)
    assert np.flatnonzero(one.counts[6]).tolist() == [80]


@pytest.mark.parametrize("step", [60, 300, 1800])
@pytest.mark.parametrize("late", [False, True])
def test_new_rows_have_the_hours_of_the_data_and_stay_on_their_days(step: int, late: bool) -> None:
    """Rows with times at random, as a model draws them: hours as in the data, 60 % of them at others before."""
    data = data_of(visits(5000, late=late, step=step))
    rules, one = found_in(data), (data.schema.types or ())[0]
    x = np.array(data.x, np.float64)
    x[:, 0] = np.random.default_rng(1).integers(0, one.size, len(x))
    made = spread(rules, data.schema, x)
    np.testing.assert_array_equal(made[:, 1:], x[:, 1:])
    old, new, real = (one.low + rows[:, 0] * one.step for rows in (x, made, np.asarray(data.x, np.float64)))
    np.testing.assert_array_equal(new // DAY, old // DAY)
    for kind in (0, 1):
        own = [t[rows[:, 1] == kind] % DAY // HOUR for t, rows in ((new, made), (real, data.x), (old, x))]
        shares = [np.bincount(hour.astype(int), minlength=24) / len(hour) for hour in own]
        near, far = (np.abs(shares[1] - shares[k]).sum() / 2 for k in (0, 2))
        assert near < 0.06 < 0.4 < far
    assert not ((new % DAY // 60) % (step // 60)).any()
    np.testing.assert_allclose(spread(rules, data.schema, made[:0]), made[:0])


def test_the_grid_of_times_is_the_longest_part_of_an_hour_that_many_share() -> None:
    times = 300.0 * np.arange(40)
    assert clock_step(times, "s") == 300.0
    # By chance all of n whole minutes are multiples of five in one of 5^n tables: one in a million from 9 times on.
    assert clock_step(times[:9], "s", 60.0) == 300.0
    assert clock_step(times[:8], "s", 60.0) == 60.0  # too few to say so
    assert clock_step(times[:8], "s") == 60.0  # 60^-8 by chance, of whole seconds
    assert clock_step(times[:3], "s") is None
    # Of half hours every second one is a whole hour: twenty times are enough, and fewer say half hours.
    assert clock_step(12.0 * times[:20], "s", 1800.0) == 3600.0
    assert clock_step(12.0 * times[:19], "s", 1800.0) == 1800.0
    assert clock_step(3.0 * times, "s") == 900.0
    assert clock_step(times / 60.0, "minutes") == 5.0
    assert clock_step(np.append(times, 1.0), "s") is None
    assert clock_step(times, "days") is None


def test_rows_stay_among_the_times_that_are_asked_for() -> None:
    """Between 14:00 and 20:00 of one day: a row whose time would leave them stays as it is."""
    data = data_of(visits(2000))
    (rule,), one = found_in(data), (data.schema.types or ())[0]
    day = float(np.ceil((one.low + 86_400) / DAY) * DAY)
    x = np.array(data.x, np.float64)[:500]
    low, high = ((day + hour * HOUR - one.low) / one.step for hour in (14, 20))
    x[:, 0] = np.round(np.linspace(low, high, 500))
    ends = [np.full(3, infinite) for infinite in (-np.inf, np.inf)]
    ends[0][0], ends[1][0] = low, high
    made = _as_often({"hours": [list(rule)]}, data.schema, x, 0, lambda name: name == "came", Conditions(*ends))
    assert ((made[:, 0] >= low) & (made[:, 0] <= high)).all()
    assert 0.2 < np.mean(made[:, 0] != x[:, 0]) < 1.0


def delivered(rows: int = 2000, *, open_: bool = True) -> pd.DataFrame:
    """Ordered at any time, and delivered one to four days later, where `open_` between 9:00 and 12:00."""
    rng = np.random.default_rng(2)
    ordered = MONDAY + rng.integers(0, 600 * DAY // 60, rows) * 60
    came = ordered + rng.integers(DAY // 60, 4 * DAY // 60, rows) * 60
    if open_:
        came = came.astype("datetime64[D]").astype("datetime64[s]") + rng.integers(9 * 60, 12 * 60, rows) * 60
    return pd.DataFrame({"ordered": ordered, "came": came, "kind": rng.choice(["a", "b"], rows)})


def test_times_after_another_date_are_times_of_the_day_too() -> None:
    assert found_in(data_of(delivered(open_=False))) == ()
    data = data_of(delivered())
    (one,) = found_in(data)
    assert (one.column, one.by) == ("came", "")
    assert sum(one.free) == 20 * 2000
    types, x = data.schema.types or (), np.array(data.x, np.float64)
    assert types[1].after is not None
    x[:, 1] = np.random.default_rng(3).permutation(x[:, 1])
    before, after = x, spread((one,), data.schema, x)
    hour = lambda rows: ((types[0].low + rows[:, 0] * 60 + (types[1].low + rows[:, 1]) * 60) % DAY // HOUR).astype(int)  # noqa: E731
    assert np.isin(hour(before), [9, 10, 11]).mean() < 0.2
    assert np.isin(hour(after), [9, 10, 11]).mean() > 0.97
    np.testing.assert_array_equal(before[:, 0], after[:, 0])


def test_times_after_a_date_at_office_hours_are_theirs() -> None:
    """Who stays half an hour leaves at office hours too: no rule of its own."""
    frame = visits(2000)
    stay = np.random.default_rng(0).integers(10, 50, 2000) * np.timedelta64(60, "s")
    found = found_in(data_of(frame.assign(left=frame["came"] + stay)))
    assert [one.column for one in found] == ["came"]


def test_what_a_stranger_wrote_is_no_rule() -> None:
    good = ["a", "", [list(EVEN)], []]
    bad = [good[:2], ["a", "", [[0] * 96], []], ["a", "", [list(EVEN)] * 31, []], ["a", "", [[1] * 95], []],
           ["a", "", [[-1, *EVEN[1:]]], []], ["a", "", [[1.0, *EVEN[1:]]], []], [1, "", [list(EVEN)], []],
           ["a", "", [list(EVEN)], [0] * 96], ["a", "", [list(EVEN)], [1]], "abcd", None]  # fmt: skip
    assert read([good, *bad]) == (Hours("a", "", (EVEN,)),)
    assert read("abcd") == read(None) == read(7) == ()


def test_new_rows_of_a_model_have_the_hours_of_the_data(tmp_path: Path) -> None:
    """Under a condition too, but where the condition is on the date itself; `judge` says where they lack them."""
    frame = visits(1500)
    frame.to_csv(tmp_path / "visits.csv", index=False)
    settings = {"posterior.choices": 2, "training.epochs": 3.0}
    config = latens.config.override(latens.recipes.get_recipe("table-mixture").config, settings)
    trained = latens.train(latens.prepare(config, data_of(frame)))[0]
    tables = {}
    for name, one in {"kept": trained, "free": trained.with_facts(hours=[])}.items():
        model, out = str(tmp_path / f"{name}.safetensors"), str(tmp_path / f"{name}.csv")
        one.save(Path(model))
        for asked in ([], ["--where", "kind=a"], ["--where", "came=2024-03-04..2024-09-01"]):
            assert main(["sample", model, "-n", "1500", *asked, "--out", out]) == 0
            hour = pd.read_csv(out, parse_dates=["came"])["came"].dt.hour
            assert (hour.between(8, 16).mean() > 0.99) == (name == "kept")
        ask = ["--where", "came>=2024-05-01 20:00", "--where", "came<=2024-05-01 22:00"]
        assert main(["sample", model, "-n", "50", *ask, "--out", out]) == 0  # who asks for such times gets them
        assert pd.read_csv(out, parse_dates=["came"])["came"].dt.hour.between(20, 22).all()
        assert main(["sample", model, "-n", "1500", "--out", out]) == 0
        tables[name] = pd.read_csv(out, parse_dates=["came"])
    real = visits(1500, seed=5)
    judged = {name: judge(real, made) for name, made in tables.items()}
    assert judged["kept"]["hours"] == []
    (told,) = judged["free"]["hours"]
    assert 1 - 9 / 24 - 0.1 < told["apart"] < 1 - 9 / 24 + 0.03  # less what is by chance
    assert judged["free"]["verdict"]["word"] in ("fair", "poor")
