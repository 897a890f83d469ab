"""Dates that are on one day of the month alone: found over strengths, kept in new rows and filled cells."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import month_days, rules
from latens.data.frames import as_frame
from latens.data.mistakes import all_mistaken


def contracts(n: int = 600, *, day: int = 1, wrong: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    months = rng.integers(0, 120, n)
    start = np.datetime64("2012-01") + months.astype("timedelta64[M]")
    years = rng.integers(1, 4, n)
    end = start + (12 * years).astype("timedelta64[M]")
    dates = [one.astype("datetime64[D]") + np.timedelta64(day - 1, "D") for one in (start, end)]
    if day == 0:  # the last one of the month before
        dates = [one.astype("datetime64[D]") - np.timedelta64(1, "D") for one in (start, end)]
    dates[0][:wrong] += np.timedelta64(9, "D")
    return pd.DataFrame({"kind": rng.choice(["a", "b"], n), "start": dates[0], "end": dates[1], "years": years})


@pytest.mark.parametrize(("wrong", "found"), [(0, True), (4, True), (12, False)])
@pytest.mark.parametrize(
    ("day", "words"), [(1, "day 1 of a month"), (15, "day 15 of a month"), (0, "the last day of a month")]
)
def test_one_day_of_the_month_is_found_while_nearly_all_rows_have_it(
    day: int, words: str, wrong: int, found: bool
) -> None:
    data = latens.load_data(contracts(day=day, wrong=wrong), label="none")
    made = {one.column: one for one in month_days.found_in(data)}
    assert made["end"].words == f"Column 'end' is {words}"
    assert ("start" in made) == found
    if found:
        assert made["start"].broken == wrong
        broken = month_days.broken_in([made["start"]], data.schema, np.asarray(data.x))
        assert np.flatnonzero(broken[:, 1]).tolist() == list(range(wrong))


def test_two_days_count_and_any_day_does_not() -> None:
    rng = np.random.default_rng(1)
    month = (np.datetime64("2012-01") + rng.integers(0, 90, 500).astype("timedelta64[M]")).astype("datetime64[D]")
    kind = rng.choice(["a", "b"], 500)
    for days, held in (([0, 14], (1, 15)), ([0, 9, 19], None), (list(range(28)), None)):
        frame = pd.DataFrame({"kind": kind, "day": month + rng.choice(days, 500).astype("timedelta64[D]")})
        found = month_days.found_in(latens.load_data(frame, label="none"))
        assert [one.days for one in found] == ([] if held is None else [held])


def test_the_row_with_another_day_is_named() -> None:
    found = all_mistaken(latens.load_data(contracts(wrong=2), label="none"))
    assert set(np.flatnonzero(found.any(axis=1)).tolist()) == {0, 1}


@pytest.mark.parametrize("turned", [False, True])
def test_new_rows_and_filled_cells_are_on_that_day_and_others_stay(turned: bool) -> None:
    frame = contracts()
    data = latens.load_data(frame[frame.columns[::-1]] if turned else frame, label="none")
    facts, names, rng = rules.rules_of(data), data.schema.names, np.random.default_rng(0)
    drawn = np.array(data.x)
    drawn[:, names.index("start")] += rng.integers(-13, 14, len(drawn))  # as a model has them
    drawn = np.clip(drawn, 0, [one.cells - 1 for one in data.schema.types or ()])
    new = as_frame(rules.computed(facts, data.schema, drawn)[0], data.schema)
    assert (new["start"].dt.day == 1).all()
    assert (new["end"].dt.day == 1).all()
    assert (new["end"] > new["start"]).all()
    own = as_frame(rules.computed(facts, data.schema, np.array(data.x))[0], data.schema)
    pd.testing.assert_frame_equal(own, as_frame(np.asarray(data.x), data.schema))
    still = rules.computed(facts, data.schema, drawn, {"start"}.__contains__)[0]
    np.testing.assert_array_equal(still[:, names.index("start")], drawn[:, names.index("start")])
    hidden = np.zeros(data.x.shape, bool)
    hidden[::3, names.index("start")] = True
    filled = as_frame(rules.filled(facts, data.schema, drawn, np.asarray(data.x), hidden), data.schema)
    assert (filled["start"][::3].dt.day == 1).all()


def test_stored_rules_with_impossible_days_are_left_out() -> None:
    good = month_days.MonthDays("start", (1, 15), 600, 2)
    assert month_days.read([list(good)]) == (good,)
    assert month_days.read([["start", [], 600, 2], ["start", [32], 600, 2], ["start", [1, 2, 3], 600, 2]]) == ()
