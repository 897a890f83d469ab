"""Equations that hold or are 0, of the years of dates, and of a factor to the digits that the rows tell."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import equations, implied, inapplicable, lines, rules
from latens.data.equations import Equation, broken_by, numbers
from latens.data.found_equations import found_in
from latens.data.frames import as_frame
from latens.data.mistakes import all_mistaken


def claims(n: int = 900, *, refused: float = 0.07, wrong: int = 0, off: float = 0.0) -> pd.DataFrame:
    """Claims of which is paid what is left above a deductible, but for those refused and those still open."""
    rng = np.random.default_rng(1)
    cover = rng.choice(["full", "part", "none"], n)
    deductible = np.array([{"full": 300, "part": 150, "none": 0}[one] for one in cover])
    net, expert = (
        rng.gamma(6.0, 300.0, n).round(2) + 320,
        np.where(rng.random(n) < 0.4, rng.normal(400, 80, n), 0).round(2),
    )
    status = np.where(rng.random(n) < refused, "refused", "paid")
    status[rng.permutation(n)[:30]] = "open"
    paid = np.where(status == "refused", 0.0, net + expert - deductible + off * rng.normal(0, 200, n)).round(2)
    paid[np.flatnonzero((paid != 0) & (status != "open"))[:wrong]] += 100.0
    made = {"cover": cover, "deductible": deductible, "net": net, "expert": expert, "status": status}
    return pd.DataFrame(made | {"paid": np.where(status == "open", np.nan, paid)})


def _rules(frame: pd.DataFrame) -> dict[str, str]:
    return {one.target: one.words for one in found_in(latens.load_data(frame, label="none"))}


@pytest.mark.parametrize(
    ("refused", "wrong", "off", "holds"),
    [(0.07, 0, 0.0, True), (0.4, 0, 0.0, True), (0.07, 6, 0.0, True), (0.07, 40, 0.0, False), (0.07, 0, 0.2, False)],
)
def test_a_sum_that_may_be_nothing_is_found(refused: float, wrong: int, off: float, holds: bool) -> None:
    frame = claims(refused=refused, wrong=wrong, off=off)
    for columns in (list(frame), list(frame)[::-1]):
        found = {one.target: one for one in found_in(latens.load_data(frame[columns], label="none"))}
        assert ("paid" in found) is holds
        if holds:
            assert found["paid"].or_nothing
            assert (found["paid"].broken, found["paid"].words[-6:]) == (wrong, ", or 0")


def test_nothing_stays_nothing_in_new_rows_and_what_is_open_stays_open() -> None:
    data = latens.load_data(claims(), label="none")
    facts = rules.rules_of(data)
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    made, beyond = rules.computed(facts, data.schema, drawn)
    new = as_frame(made[~beyond], data.schema)
    some = new[new["paid"] != 0]
    left = some["net"] + some["expert"] - some["deductible"]
    np.testing.assert_allclose(some["paid"], left, atol=0.011)
    assert 0.03 < np.mean(new["paid"] == 0) < 0.15
    # The amount of an open claim is not written, so that it says nothing of the status.
    names, types = data.schema.names, data.schema.types or ()
    at, status = names.index("status"), types[names.index("status")].values.index("open")
    assert [one.column for one in inapplicable.read(facts["inapplicable"])] == ["paid"]
    assert any(one.cuts for one in implied.read(facts["implied"]))
    opened = made[drawn[:, at] == status]
    assert len(opened)
    assert np.all(opened[:, at] == status)
    assert not rules.broken_in(facts, data.schema, opened).any()


def test_a_hidden_term_follows_where_something_is_paid_and_a_hidden_target_does_not() -> None:
    frame = claims()
    data = latens.load_data(frame, label="none")
    (one,) = [rule for rule in found_in(data) if rule.target == "paid"]
    names = data.schema.names
    assert not broken_by(one, names, numbers(data.x, data.schema, data.mask)).any()  # nothing is paid of some
    for column, sure in (("net", True), ("paid", False)):
        hidden = np.zeros(data.x.shape, bool)
        rows = np.flatnonzero(frame["status"] != "open")
        hidden[rows, names.index(column)] = True
        _, told, _ = equations.solved([one], data.schema, np.asarray(data.x), hidden)
        paid = frame["paid"].to_numpy()[rows] > 0
        np.testing.assert_array_equal(told[rows, names.index(column)], paid & sure)


def test_a_line_leaves_out_the_numbers_at_which_rows_lie_elsewhere() -> None:
    frame = claims()
    near = frame["paid"] - frame["expert"] + np.random.default_rng(1).normal(0, 20, len(frame)).round(2)
    frame = frame.assign(paid=near.where(frame["paid"] > 0, frame["paid"])).drop(columns=["expert", "deductible"])
    data = latens.load_data(frame, label="none")
    found = [one for one in lines.found_in(data) if {one.target, one.base} == {"net", "paid"}]
    assert len(found) == 1
    one, names = found[0], data.schema.names
    assert (one.not_base, one.not_target) == (((0.0,), ()) if one.base == "paid" else ((), (0.0,)))
    x = np.asarray(data.x, np.float64)
    moved = lines.moved(found, data.schema, x, np.ones(x.shape, bool), np.random.default_rng(0))
    refused = (frame["status"] == "refused").to_numpy()
    np.testing.assert_array_equal(moved[refused], x[refused])
    assert np.any(moved[~refused][:, names.index(one.target)] != x[~refused][:, names.index(one.target)])


def cars(n: int = 700, wrong: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    happened = pd.Timestamp("2023-01-03") + pd.to_timedelta(rng.integers(0, 640, n), unit="D")
    built = happened - pd.to_timedelta(rng.integers(30, 6000, n), unit="D")
    born = rng.integers(1940, 2004, n)
    age = happened.year - built.year + np.where(np.arange(n) < wrong, 10, 0)
    made = {"happened": happened, "built": built, "car age": age, "born": born, "age": happened.year - born}
    return pd.DataFrame(made)


@pytest.mark.parametrize(("wrong", "holds"), [(0, True), (5, True), (30, False)])
def test_the_years_between_dates_are_those_of_the_calendar(wrong: int, holds: bool) -> None:
    frame = cars(wrong=wrong)
    found = _rules(frame)
    assert found.get("car age") == ("the year of happened - the year of built" if holds else None)
    assert found["age"] == "the year of happened - born"
    by_time = frame.assign(happened=frame["happened"] + pd.to_timedelta(13, unit="h"))
    assert _rules(by_time) == found
    if wrong == 5:
        data = latens.load_data(frame, label="none")
        rows, columns = np.nonzero(all_mistaken(data))
        assert rows.tolist() == list(range(5))
        assert {data.schema.names[k] for k in columns} == {"car age"}


def test_years_are_computed_and_no_day_follows_from_one() -> None:
    data = latens.load_data(cars(), label="none")
    facts, names = rules.rules_of(data), data.schema.names
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    made, beyond = rules.computed(facts, data.schema, drawn)
    new = as_frame(made[~beyond], data.schema)
    assert (new["car age"] == new["happened"].dt.year - new["built"].dt.year).all()
    assert (new["age"] == new["happened"].dt.year - new["born"]).all()
    cells = numbers(data.x, data.schema)
    for one in equations.read(facts["equations"]):
        assert np.isnan(equations.other_of(one, 0, names, cells)).all()  # its first term is a year
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, names.index("built")] = True
    own = [one for one in equations.read(facts["equations"]) if one.target == "car age"]
    assert not equations.solved(own, data.schema, np.asarray(data.x), hidden)[1].any()


@pytest.mark.parametrize(
    ("factor", "step", "words"),
    [
        (1 / 0.7355, 1.0, "kw / 0.7355"),
        (1 / 2.54, 0.1, "kw / 2.54"),
        (1.0936, 0.1, "1.0936 * kw"),
        (1.36, 1.0, "1.36 * kw"),
    ],
)
def test_a_factor_has_the_digits_that_the_rows_tell(factor: float, step: float, words: str) -> None:
    rng = np.random.default_rng(3)
    kw = rng.integers(33, 260, 800)
    frame = pd.DataFrame(
        {"kind": rng.choice(["a", "b"], 800), "kw": kw, "ps": np.round(np.round(kw * factor / step) * step, 1)}
    )
    data = latens.load_data(frame, label="none")
    found = {one.target: one for one in found_in(data)}
    assert found["ps"].words == words
    assert not broken_by(found["ps"], data.schema.names, numbers(data.x, data.schema)).any()


def test_a_factor_that_no_short_number_says_is_none() -> None:
    rng = np.random.default_rng(4)
    kw = rng.integers(33, 260, 800)
    rest = np.where(np.arange(800) % 5 == 0, 4, 0)  # a fifth of the rows lies elsewhere
    assert (
        _rules(pd.DataFrame({"kind": rng.choice(["a", "b"], 800), "kw": kw, "ps": np.round(kw / 0.7355) + rest})) == {}
    )


def test_stored_rules_that_cannot_be_are_left_out() -> None:
    good = Equation("paid", (("net", "x", 1, 0.0), ("fee", "x", -1, 0.0)), 0.0, 0.005, 900, 0, or_nothing=True)
    assert equations.read([good]) == (good,)
    assert equations.read([good._replace(excess=True)]) == ()
    assert equations.read([good._replace(terms=(("net", "decades", 1, 0.0),))]) == ()


def test_a_number_that_rounded_ones_give_is_as_loose_as_these() -> None:
    """Of a BMI with one decimal a weight follows to 0.05 times the height squared; of exact parts a total exactly."""
    rng = np.random.default_rng(5)
    height, weight = rng.integers(145, 190, 500), rng.normal(60, 9, 500).round(1)
    bmi, a, b = (weight / (height / 100) ** 2).round(1), rng.integers(0, 90, 500), rng.integers(0, 90, 500)
    kind = rng.choice(["x", "y"], 500)
    frame = pd.DataFrame({"kind": kind, "height": height, "weight": weight, "bmi": bmi, "a": a, "b": b, "sum": a + b})
    data = latens.load_data(frame, label="none")
    names, rules_ = data.schema.names, found_in(data)
    assert {one.target for one in rules_} >= {"sum"}
    hidden = np.zeros(data.x.shape, bool)
    for place, column in enumerate(("weight", "sum", "a")):
        hidden[place::3, names.index(column)] = True
    x, sure, _ = equations.solved(rules_, data.schema, np.where(hidden, 0, np.asarray(data.x)), hidden)
    assert np.array_equal(sure & hidden, sure)
    assert sure[hidden].mean() > 0.98  # but sums beyond those of the training rows
    loose = equations.looseness(rules_, data.schema, x, hidden, sure)
    assert not loose[~sure].any()
    assert not loose[:, [names.index("sum"), names.index("a")]].any()
    k = names.index("weight")
    rows = np.flatnonzero(sure[:, k])
    np.testing.assert_allclose(loose[rows, k], np.floor(0.05 * (height[rows] / 100) ** 2 / 0.1 + 1e-6), atol=1)
    off = np.abs(x[rows, k] - np.asarray(data.x)[rows, k])
    assert off.max() > 0
    assert np.all(off <= loose[rows, k] + 1)
    assert np.mean(off <= loose[rows, k]) > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_equations_the_sharper_one_gives_a_cell(turned: bool) -> None:
    """A mass by its rate of two digits may be one of six, by its gas to a tenth it is one."""
    rng = np.random.default_rng(6)
    mass, time = rng.integers(40, 190, 600), rng.integers(100, 900, 600)
    columns = {"rate": np.round(mass / time, 2), "time": time, "gas": np.round(mass * 24 / 24.3, 1), "mass": mass}
    columns = dict(list(columns.items())[::-1]) if turned else columns
    data = latens.load_data(pd.DataFrame({"kind": rng.choice(["x", "y"], 600)} | columns), label="none")
    names, found = data.schema.names, found_in(data)
    assert len(found) == 2
    hidden = np.zeros(data.x.shape, bool)
    hidden[::5, names.index("mass")] = True
    x, sure, _ = equations.solved(found, data.schema, np.where(hidden, 0, np.asarray(data.x)), hidden)
    assert sure[hidden].all()
    np.testing.assert_array_equal(x[hidden], np.asarray(data.x)[hidden])
    assert not equations.looseness(found, data.schema, x, hidden, sure).any()


def parcels(n: int = 900, *, wrong: int = 0, early: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    ordered = pd.Timestamp("2023-03-01") + pd.to_timedelta(rng.integers(0, 500, n), unit="D")
    promised = ordered + pd.to_timedelta(rng.choice([5, 9, 12], n), unit="D")
    arrived = ordered + pd.to_timedelta(rng.integers(2, 15, n), unit="D")
    late = (arrived - promised).days + np.where(np.arange(n) < wrong, 30, 0)
    late = late if early else np.maximum(late, 0)
    return pd.DataFrame({"ordered": ordered, "promised": promised, "arrived": arrived, "late": late})


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("wrong", "holds"), [(0, True), (4, True), (60, False)])
def test_days_too_late_are_those_between_two_dates(wrong: int, holds: bool, early: bool) -> None:
    frame = parcels(wrong=wrong, early=early)
    words = "the days from promised to arrived"
    assert _rules(frame).get("late") == ((words if early else f"max(0, {words})") if holds else None)
    if wrong == 4:
        data = latens.load_data(frame, label="none")
        assert np.argwhere(all_mistaken(data)).tolist() == [[row, 3] for row in range(4)]


def test_days_too_late_are_computed_and_give_a_date_where_it_is_late() -> None:
    frame = parcels()
    data = latens.load_data(frame, label="none")
    facts = rules.rules_of(data)
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    made, beyond = rules.computed(facts, data.schema, drawn)
    new = as_frame(made[~beyond], data.schema)
    assert (new["late"] == (new["arrived"] - new["promised"]).dt.days.clip(lower=0)).all()
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, data.schema.names.index("arrived")] = True
    filled, sure, _ = equations.solved(equations.read(facts["equations"]), data.schema, np.asarray(data.x), hidden)
    np.testing.assert_array_equal(sure[:, 2], frame["late"] > 0)
    np.testing.assert_array_equal(filled[sure[:, 2]], np.asarray(data.x)[sure[:, 2]])


def leases(n: int = 900, *, wrong: int = 0, noise: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    area, people = np.round(rng.normal(60, 15, n), 1), rng.integers(1, 6, n)
    costs = np.round(38 + 0.25 * area + 21.5 * people + noise * rng.normal(size=n), 2) + np.where(
        np.arange(n) < wrong, 70, 0
    )
    heating, base = np.round(1.2 * area + rng.normal(0, 5, n), 2), np.round(area * rng.uniform(8, 12, n), 2)
    rent = np.round(base + heating + costs, 2)
    income = np.round(rent * np.exp(rng.normal(1.0, 0.2, n)), -1)
    columns = {"kind": rng.choice(["a", "b"], n), "area": area, "people": people, "base": base}
    columns |= {"heating": heating, "costs": costs}
    return pd.DataFrame(columns | {"rent": rent, "income": income, "share": np.round(100 * rent / income, 1)})


@pytest.mark.parametrize(
    ("wrong", "noise", "holds"), [(0, 0.0, True), (4, 0.0, True), (0, 0.5, False), (90, 0.0, False)]
)
def test_a_constant_and_so_much_of_two_columns_is_found(wrong: int, noise: float, holds: bool) -> None:
    found = _rules(leases(wrong=wrong, noise=noise))
    assert found.get("costs") == ("38 + 0.25 * area + 21.5 * people" if holds else None)
    assert found["rent"] == "base + heating + costs"  # and none of its parts is what is left of income * share
    assert found["share"] == "100 * rent / income"


def test_weighted_sums_are_computed_and_each_term_follows() -> None:
    data = latens.load_data(leases(), label="none")
    facts, names = rules.rules_of(data), data.schema.names
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    made, beyond = rules.computed(facts, data.schema, drawn)
    new = as_frame(made[~beyond], data.schema)
    np.testing.assert_allclose(new["costs"], 38 + 21.5 * new["people"] + 0.25 * new["area"], atol=0.0101)
    (own,) = [one for one in equations.read(facts["equations"]) if one.times]
    assert equations.read([list(own)]) == (own,)
    assert (
        equations.read([own._replace(times=(1.0,)), own._replace(times=(21.5, 0.0)), own._replace(rate=own.terms[0])])
        == ()
    )
    for name in ("people", "area", "costs"):
        hidden = np.zeros(data.x.shape, bool)
        hidden[:, names.index(name)] = True
        filled, sure, _ = equations.solved([own], data.schema, np.where(hidden, 0, data.x), hidden)
        at = names.index(name)
        assert sure[:, at].mean() > 0.99
        held = sure[:, at] & ((data.outside == 0).all(axis=1) if data.outside is not None else True)
        assert np.abs(filled - np.asarray(data.x))[held, at].max() <= 1.0


@pytest.mark.parametrize("wrong", [0, 4])
def test_heights_by_an_angle_and_fees_beside_a_product_are_found_and_kept(wrong: int) -> None:
    rng = np.random.default_rng(7)
    height, away = np.round(rng.uniform(3, 25, 600), 1), rng.choice([10, 15, 20], 600)
    angle = np.round(np.degrees(np.arctan((height - 1.5) / away)), 2)
    hours, wage = rng.integers(1, 30, 600), np.round(rng.uniform(12, 40, 600), 2)
    paid = np.round(49 + hours * wage, 2)
    paid[:wrong] += 100
    columns = {"kind": rng.choice(["a", "b"], 600), "height": height, "away": away, "angle": angle}
    frame = pd.DataFrame(columns | {"hours": hours, "wage": wage, "paid": paid})
    found = _rules(frame)
    assert found["height"] == "away * tan(angle) + 1.5"
    assert found["paid"] == "hours * wage + 49"
    data = latens.load_data(frame, label="none")
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    made, beyond = rules.computed(rules.rules_of(data), data.schema, drawn)
    new = as_frame(made[~beyond], data.schema)
    exact = 1.5 + new["away"] * np.tan(np.radians(new["angle"]))
    np.testing.assert_allclose(new["height"], exact, atol=0.06)
    was = as_frame(drawn[~beyond], data.schema)["height"]
    assert np.mean(np.abs(new["height"] - was) < 0.11) > 0.9  # the angle is what follows


def test_no_angle_is_looked_for_under_another_name() -> None:
    rng = np.random.default_rng(7)
    height, away = np.round(rng.uniform(3, 25, 600), 1), rng.choice([10, 15, 20], 600)
    turn = np.round(np.degrees(np.arctan((height - 1.5) / away)), 2)
    columns = {"kind": rng.choice(["a", "b"], 600), "height": height, "away": away, "turn": turn}
    assert "height" not in _rules(pd.DataFrame(columns))


@pytest.mark.parametrize(("form", "unit"), [("weeks", 7.0), ("months", 30.436875), ("years", 365.2425)])
def test_spans_in_whole_weeks_months_and_years_are_found(form: str, unit: float) -> None:
    rng = np.random.default_rng(8)
    start = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 2000, 700), unit="D")
    count = rng.integers(1, 9, 700)
    frame = pd.DataFrame(
        {"start": start, "end": start + pd.to_timedelta(np.round(count * unit), unit="D"), "count": count}
    )
    assert _rules(frame) == {"count": f"the {form} until end"}
    frame["count"] = rng.permutation(count)
    assert _rules(frame) == {}


def test_full_years_are_those_on_an_anniversary() -> None:
    rng = np.random.default_rng(9)
    began = pd.Timestamp("2001-01-01") + pd.to_timedelta(rng.integers(0, 3000, 700), unit="D")
    left = began + pd.to_timedelta(rng.integers(20, 4000, 700), unit="D")
    left = left.where(np.arange(700) % 5 > 0, began + pd.DateOffset(years=3))
    early = (left.month < began.month) | ((left.month == began.month) & (left.day < began.day))
    frame = pd.DataFrame({"began": began, "left": left, "served": left.year - began.year - early})
    assert _rules(frame)["served"] == "the full years until left"


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_line_has_the_shorter_constant(wrong: int) -> None:
    """Also where a mistake makes the other column look wide."""
    rng = np.random.default_rng(3)
    celsius = np.round(rng.normal(20, 1.2, 500), 1)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 500), "c": celsius, "f": np.round(1.8 * celsius + 32, 1)})
    frame.loc[: wrong - 1, "c"] *= 10
    for columns in (["kind", "c", "f"], ["f", "c", "kind"]):
        found = equations.read(rules.rules_of(latens.load_data(frame[columns], label="none"))["equations"])
        assert [(one.target, one.words, one.broken) for one in found] == [("f", "1.8 * c + 32", wrong)]


def test_a_coarse_number_near_a_plane_is_no_weighted_sum() -> None:
    rng = np.random.default_rng(3)
    a, b = np.round(rng.normal(50, 10, 500), 2), np.round(rng.normal(20, 5, 500), 2)
    near = np.round(0.03 * a + 0.05 * b + 1)  # of four whole numbers: half of each lies within its rounding
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 500), "a": a, "b": b, "near": near})
    assert _rules(frame) == {}
    exact = frame.assign(near=np.round(0.03 * a + 0.05 * b + 1, 4))
    assert _rules(exact) == {"near": "1 + 0.03 * a + 0.05 * b"}


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize("unit", ["hours", "minutes"])
@pytest.mark.parametrize(("wrong", "holds"), [(0, True), (4, True), (60, False)])
def test_hours_of_work_less_a_break_are_found(wrong: int, holds: bool, unit: str, night: bool) -> None:
    rng = np.random.default_rng(5)
    start = rng.integers(24, 44, 500) * 15 + 720 * night
    pause = rng.choice([0, 30, 45], 500)
    work = rng.integers(8, 36, 500) * 15
    clock = lambda minutes: [f"{one // 60 % 24:02d}:{one % 60:02d}" for one in minutes]  # noqa: E731
    done = (work / 60 if unit == "hours" else work) + np.where(np.arange(500) < wrong, 2, 0)
    frame = pd.DataFrame({"start": clock(start), "end": clock(start + work + pause), "break": pause, "work": done})
    words = f"the {unit} {'from start to' if night else 'until'} end - {'1/60 * ' if unit == 'hours' else ''}break"
    assert _rules(frame).get("work") == (words if holds else None)
    if wrong or not holds:
        return
    data = latens.load_data(frame, label="none")
    found = equations.read(rules.rules_of(data)["equations"])
    assert equations.read([list(one) for one in found]) == found
    for name in ("work", "break", "end"):
        hidden = np.zeros(data.x.shape, bool)
        at = data.schema.names.index(name)
        hidden[:, at] = True
        filled, sure, _ = equations.solved(found, data.schema, np.where(hidden, 0, data.x), hidden)
        held = sure[:, at] & ((data.outside == 0).all(axis=1) if data.outside is not None else True)
        assert held.mean() > 0.95
        np.testing.assert_array_equal(filled[held, at], np.asarray(data.x)[held, at])


def test_halves_are_rounded_as_the_rows_have_them() -> None:
    """14.504 psi a bar are 14.5 to the digits of 300 rows, but 4.5 bar are 65.3 and not 65.2."""
    rng = np.random.default_rng(0)
    bar = rng.integers(20, 51, 300) / 10
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 300), "bar": bar, "psi": (14.504 * bar).round(1)})
    data = latens.load_data(frame, label="none")
    (one,) = equations.read(rules.rules_of(data)["equations"])
    assert one.words in ("14.5 * bar", "14.504 * bar")
    made, _ = equations.computed([one], data.schema, np.where(np.arange(3) == 2, 0.0, np.asarray(data.x)))
    np.testing.assert_array_equal(made, data.x)
    for factor in (0.19, 2.0, 0.25):  # a factor that gives every row as it is stays itself
        given = pd.DataFrame({"kind": frame["kind"], "a": rng.integers(1, 400, 300) * 4 / 10})
        given["b"] = (factor * given["a"]).round(3)
        (own,) = equations.read(rules.rules_of(latens.load_data(given, label="none"))["equations"])
        assert own.factor in (factor, 1.0 / factor)
