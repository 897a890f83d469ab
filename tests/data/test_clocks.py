"""Times of the day that go over midnight: one stretch in the model, the hours between two of them, and back."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import Dataset
from latens.data.clocks import beginning, from_beginning, nearest_day
from latens.data.conditions import parse_conditions
from latens.data.equations import Equation, broken_by, is_linear, numbers, read, solved, value_of
from latens.data.rules import computed, rules_of
from latens.data.writings import Writing
from latens.errors import LatensError

DAY, TIMES = 86_400, Writing(pattern="%H:%M")


def clock(minutes: np.ndarray) -> list[str]:
    return [f"{m // 60 % 24:02d}:{m % 60:02d}" for m in minutes.astype(int).tolist()]


def nights(n: int = 400, seed: int = 0, *, per: str = "hours", wrong: int = 0) -> pd.DataFrame:
    """Bedtimes around eleven, some after midnight, times of waking, and the hours between."""
    rng = np.random.default_rng(seed)
    bed = np.clip(np.round(rng.normal(23 * 60, 50, n) / 15), 80, 104) * 15
    wake = np.clip(np.round(rng.normal(405, 25, n) / 15), 20, 34) * 15
    between = wake + 1440 - bed
    sleep = between / 60 if per == "hours" else between
    sleep[:wrong] += 3
    return pd.DataFrame({"bed": clock(bed), "wake": clock(wake), "sleep": sleep, "coin": rng.choice(["a", "b"], n)})


def loaded(frame: pd.DataFrame) -> Dataset:
    return latens.load_data(frame, label="none", typed=True)


@pytest.mark.parametrize(
    ("low", "high", "first"),
    [(20, 26, 11.0), (22, 30, 14.0), (8, 17, 0.0), (0, 24, 0.0), (12, 24, 0.0), (13, 33, 11.0)],
)
def test_a_day_begins_where_hardly_any_row_lies(low: int, high: int, first: float) -> None:
    """In the middle of the hours without rows, where the others go over midnight; else at midnight."""
    times = np.linspace(low * 3600, high * 3600 - 60, 2000) % DAY
    found = beginning(times, None, TIMES)
    assert found / 3600 == pytest.approx(first, abs=0.5)
    assert beginning(times, np.ones(len(times)), TIMES) == found
    whole = from_beginning(times, found)
    assert np.ptp(whole) == pytest.approx((high - low) * 3600 - 60, abs=1)
    few = np.append(times, [12 * 3600.0] * 5)  # a bedtime at noon is a mistake
    assert beginning(few, None, TIMES) / 3600 == pytest.approx(first, abs=6)
    assert (beginning(few, None, TIMES) > 0) == (first > 0)
    assert beginning(times, None, Writing(pattern="%d.%m.%Y %H:%M")) == 0.0
    assert beginning(times, None, None) == 0.0


def test_evenings_are_one_stretch_and_written_as_they_were() -> None:
    frame = nights()
    data = loaded(frame)
    one = (data.schema.types or ())[0]
    hours = (one.low + one.step * data.x[:, 0]) / 3600
    assert 20 <= hours.min() < 24 < hours.max() <= 26
    assert one.texts(data.x[:, 0]) == frame["bed"].tolist()
    again = latens.load_data(frame.iloc[::-1], label="none", schema=data.schema)
    np.testing.assert_array_equal(np.asarray(again.x)[::-1], data.x)
    middle = one.low + 0.5 * one.step * (one.size - 1)
    sides = nearest_day(np.array([middle - 12 * 3600 + 60, middle - 12 * 3600 - 60, middle + 12 * 3600 + 60]), one)
    np.testing.assert_allclose(sides - middle, [-12 * 3600 + 60, 12 * 3600 - 60, -12 * 3600 + 60])
    asked = parse_conditions(["bed>=23:30"], data.schema)
    assert np.mean(data.x[:, 0] >= asked.low[0]) == np.mean((frame["bed"] >= "23:30") | (frame["bed"] < "12"))
    early = parse_conditions(["bed=00:15"], data.schema)
    assert (one.low + one.step * early.low[0]) / 3600 == 24.25
    with pytest.raises(LatensError, match=r"cannot be 14:00"):
        parse_conditions(["bed=14:00"], data.schema)


@pytest.mark.parametrize("per", ["hours", "minutes"])
def test_the_hours_between_two_times_are_found(per: str) -> None:
    frame = nights(per=per, wrong=3)
    data = loaded(frame)
    facts = rules_of(data)
    (rule,) = read(facts["equations"])
    assert (rule.words, rule.broken) == (f"the {per} from bed to wake", 3)
    names = data.schema.names
    x = np.asarray(data.x, np.float64)
    x = x + (0.0 if data.outside is None else np.asarray(data.outside))  # beyond the training rows
    values = np.column_stack([(one.low + one.step * x[:, k]) for k, one in enumerate(data.schema.types or ())])
    np.testing.assert_array_equal(np.flatnonzero(broken_by(rule, names, values)), [0, 1, 2])
    # The other way round: each of the three from the two others, over midnight.
    for k in range(3):
        hidden = np.zeros(x.shape, bool)
        hidden[3:, k] = True
        made, sure, _ = solved([rule], data.schema, np.where(hidden, 0.0, x), hidden)
        inside = np.flatnonzero((x[:, k] >= 0) & (x[:, k] < (data.schema.types or ())[k].size))[3:]
        assert sure[inside, k].all()
        np.testing.assert_array_equal(made[inside], x[inside])
    # New rows: the number is computed, or where it is asked for a time is.
    other = x[np.random.default_rng(1).permutation(len(x))]
    mixed = np.column_stack([x[:, 0], other[:, 1], x[:, 2:]])
    made, beyond = computed(facts, data.schema, mixed)
    np.testing.assert_array_equal(made[:, :2], mixed[:, :2])
    told = np.column_stack([(one.low + one.step * made[:, k]) for k, one in enumerate(data.schema.types or ())])
    assert not broken_by(rule, names, told)[~beyond].any()
    kept, beyond = computed(facts, data.schema, mixed, "sleep".__eq__)
    np.testing.assert_array_equal(kept[:, [0, 2]], mixed[:, [0, 2]])
    told = np.column_stack([(one.low + one.step * kept[:, k]) for k, one in enumerate(data.schema.types or ())])
    assert np.mean(broken_by(rule, names, told)) < 0.25  # what no row has had stays as it was


def test_hours_by_chance_are_none() -> None:
    frame = nights()
    frame["sleep"] = np.random.default_rng(5).permutation(frame["sleep"])
    assert not rules_of(loaded(frame)).get("equations")


def test_what_is_counted_around_the_clock_begins_anew() -> None:
    rule = Equation("t", (("b", "hours", 1, 0.0), ("a", "hours", -1, 0.0)), 0.0, 0.005, 9, 0, cycle=24.0)
    x = np.array([[8.0, 23.0 * 3600, 7.0 * 3600], [23.999, 0.0, 0.0], [8.0, 7 * 3600.0, 23 * 3600.0]])
    np.testing.assert_allclose(value_of(rule, "tab", x), [8.0, 0.0, 16.0])
    np.testing.assert_array_equal(broken_by(rule, "tab", x), [False, False, True])
    assert not is_linear(rule, {"a"})
    stored = [list(rule)]
    assert read(stored) == (rule,)
    for at, value in ((10, 12.0), (10, 0.0), (2, 1.0), (10, "24"), (1, [["b", "hours", 1, 0.0]]),
                      (1, [["b", "hours", 1, 0.0], ["a", "minutes", -1, 0.0]]),
                      (1, [["b", "hours", 1, 0.0], ["a", "hours", 1, 0.0]])):  # fmt: skip
        assert read([[*stored[0][:at], value, *stored[0][at + 1 :]]]) == ()


def visits(n: int = 500, seed: int = 0, wrong: int = 0) -> pd.DataFrame:
    """Appointments, when patients were called, and the minutes between, of which some are wrong."""
    rng = np.random.default_rng(seed)
    due, wait = rng.integers(32, 68, n) * 15, np.round(rng.gamma(2, 6, n)).astype(int)
    shown = wait.copy()
    shown[:wrong] += 20
    return pd.DataFrame({"due": clock(due), "called": clock(due + wait), "wait": shown,
                         "coin": rng.choice(["a", "b"], n)})  # fmt: skip


def test_the_minutes_until_a_time_that_follows_another_are_found() -> None:
    data = loaded(visits(wrong=2))
    assert [one.after and one.after.column for one in data.schema.types or ()] == [None, "due", None, None]
    facts = rules_of(data)
    (rule,) = read(facts["equations"])
    assert (rule.target, rule.words, rule.broken) == ("wait", "the minutes until called", 2)
    x = np.asarray(data.x, np.float64)
    inside = (np.asarray(data.outside) == 0).all(axis=1)
    inside[:2] = False
    for k in (1, 2):
        hidden = np.zeros(x.shape, bool)
        hidden[inside, k] = True
        made, sure, _ = solved([rule], data.schema, np.where(hidden, 0.0, x), hidden)
        assert sure[inside, k].all()
        np.testing.assert_array_equal(made[inside], x[inside])
    mixed = np.column_stack([x[:, 0], x[::-1, 1], x[:, 2:]])
    made, beyond = computed(facts, data.schema, mixed)
    np.testing.assert_array_equal(made[:, :2], mixed[:, :2])
    told = numbers(made, data.schema)
    assert not broken_by(rule, data.schema.names, told)[~beyond].any()
    assert read([list(rule)]) == (rule,)
    assert read([[*list(rule)[:2], 2.0, *list(rule)[3:]]]) == ()
