"""Sums of effects in tables that are not as one would like them: gaps, few rows of a kind, orders, units, rules."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import Dataset, effects, equations, found_effects
from latens.data.rules import computed, ends_near, results_of, rules_of, solved
from latens.explorer.whatif import _equally
from latens.workflow.kept_effects import _better


def loaded(frame: dict[str, Any], **options: Any) -> Dataset:
    return latens.load_data(pd.DataFrame(frame), label="none", **options)


def chosen(names: np.ndarray, values: dict[str, float]) -> np.ndarray:
    return np.array([values[one] for one in names])


def numbers_in(data: Dataset, x: np.ndarray, name: str) -> np.ndarray:
    k = data.schema.names.index(name)
    one = (data.schema.types or ())[k]
    return one.low + np.asarray(x, np.float64)[:, k] * one.step


def apart(data: Dataset, n: int = 4000) -> np.ndarray:
    """Rows in which every column is drawn by itself."""
    rng, x = np.random.default_rng(1), np.asarray(data.x, np.float64)
    return np.stack([x[rng.integers(0, len(x), n), k] for k in range(x.shape[1])], axis=1)


@pytest.mark.parametrize("gaps", [0.0, 0.2, 0.4])
def test_gaps_in_a_number_move_neither_effects_nor_the_law_of_whole_rows(gaps: float) -> None:
    rng = np.random.default_rng(0)
    n = 1500
    day, kind = rng.integers(0, 1000, n), rng.choice(list("abc"), n)
    middle = 0.004 * day + chosen(kind, {"a": 0.0, "b": 0.8, "c": -0.6})
    number = (middle + 0.3 * rng.normal(size=n)).round(3)
    when = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D"))
    when[rng.random(n) < gaps] = pd.NaT
    data = loaded({"kind": kind, "when": when, "number": number}, missing="nan")
    (one,) = effects.read(rules_of(data)["effects"])
    assert one.width == pytest.approx(0.3, rel=0.1)
    seen = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    cells = np.where(seen, effects.cells_of(np.asarray(data.x, np.float64), data.schema), np.nan)
    off = cells[:, 2] - effects.middle_of(one, data.schema, cells)
    assert abs(off[seen[:, 1]].mean()) < 0.05
    assert abs(off[~seen[:, 1]].mean() if gaps else 0.0) < 0.15
    whole = np.asarray(data.x, np.float64)[seen.all(axis=1)]
    k = data.schema.names.index("number")
    low, high = effects.told([one], data.schema, whole, np.arange(3)[None] == np.full((len(whole), 1), k), (0.05, 0.95))
    assert ((low <= whole)[:, k] & (whole <= high)[:, k]).mean() == pytest.approx(0.9, abs=0.03)
    given = np.asarray(data.x, np.float64)
    chances = effects.log_chances(one, data.schema, given, seen)
    step = (data.schema.types or ())[2].step
    for rows, wide in ((seen[:, 1], 0.3), *([(~seen[:, 1], np.hypot(0.3, 4.0 / np.sqrt(12.0)))] if gaps else [])):
        # What is missing may have any effect: a Normal law as wide as both.
        assert chances[rows].mean() == pytest.approx(np.log(step / wide) - 0.5 * np.log(2 * np.pi * np.e), abs=0.15)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.62, 0.62), (0.8, 0.8), (0.9, 0.85)])
def test_a_frequent_combination_of_names_keeps_its_sum(shares: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(800) < shares[0], rng.random(800) < shares[1]
    number = (3.0 * a + 4.0 * b + 0.3 * rng.normal(size=800)).round(2)
    frame = {"a": np.where(a, "x", "y"), "b": np.where(b, "u", "v"), "number": number}
    (one,) = found_effects.found_in(loaded(frame), {})
    assert one.width == pytest.approx(0.3, rel=0.15)


def test_rows_in_turn_are_as_good_as_rows_in_any_order() -> None:
    rng = np.random.default_rng(0)
    kind, other = np.arange(700) % 5, rng.choice(["u", "v"], 700)
    number = np.array([0.0, 3.0, -2.0, 5.0, 1.0])[kind] + 3.0 * (other == "u") + 0.3 * rng.normal(size=700)
    frame = pd.DataFrame({"kind": np.array(list("abcde"))[kind], "other": other, "number": number.round(2)})
    turned = frame.iloc[rng.permutation(700)].reset_index(drop=True)
    for one in (frame, turned):
        (found,) = found_effects.found_in(loaded(dict(one)), {})
        assert found.width == pytest.approx(0.3, rel=0.15)


def test_a_design_in_turn_has_all_kinds_in_every_fold() -> None:
    rng = np.random.default_rng(0)
    kind, other = np.arange(600) % 5, rng.integers(0, 2, 600)
    number = np.array([0.0, 3.0, -2.0, 5.0, 1.0])[kind] + 3.0 * other + 0.3 * rng.normal(size=600)
    blocks = [found_effects._of_kinds((k,), [(float(code),) for code in range(n)], codes[:, None].astype(float))
              for k, n, codes in ((0, 5, kind), (1, 2, other))]  # fmt: skip
    saved, _, own = found_effects._chosen(number, blocks, {2})
    assert saved > 0.5
    assert {block.columns for block in own} >= {(0,), (1,)}


@pytest.mark.parametrize("unit", [1e-13, 1.0, 1e120])
def test_the_unit_of_a_number_is_no_matter(unit: float) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.choice(["x", "y"], 600), rng.choice(["u", "v"], 600)
    number = unit * (20.0 + 3.0 * (a == "x") + 4.0 * (b == "u") + 0.3 * rng.normal(size=600))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, logs, blocks = found_effects._chosen(number, [_names(0, a), _names(1, b)], {2})
    assert len(blocks) >= 2
    assert logs in (False, True)


def _names(k: int, names: np.ndarray) -> Any:
    codes = np.unique(names, return_inverse=True)[1].astype(float)
    return found_effects._of_kinds((k,), [(0.0,), (1.0,)], codes[:, None])


def test_held_out_rows_choose_and_fit_nothing() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.choice(["x", "y"], 600), rng.choice(["u", "v"], 600)
    number = (3.0 * (a == "x") + 4.0 * (b == "u") + 0.3 * rng.normal(size=600)).round(2)
    data = loaded({"a": a, "b": b, "number": number})
    x = np.array(data.x)
    held = data.split != 0
    assert held.any()
    x[held, 2] = rng.permutation(x[held, 2])
    (one,), (other,) = found_effects.found_in(data, {}), found_effects.found_in(replace(data, x=x), {})
    assert one == other
    assert one.rows == data.count("train")
    every = found_effects.refitted(one, data, np.arange(len(data)))
    assert every is not None
    assert every.rows == len(data)
    np.testing.assert_allclose([term.effects for term in every.terms], [term.effects for term in one.terms], atol=0.1)
    assert found_effects.refitted(one, data, np.arange(20)) is None


def test_few_rows_say_nothing_and_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [_better(np.full(n, 0.5)) for n in (0, 1, 2, 19)] == [None] * 4
        assert _better(np.full(30, 0.5)) is True


def test_numbers_that_names_say_are_there_before_what_they_say() -> None:
    rng = np.random.default_rng(0)
    n = 1500
    a, b, job = (rng.choice(list(names), n) for names in ("abcd", "uvw", "xyz"))
    fees = {one: round(float(fee), 1) for one, fee in zip((p + q for p in "abcd" for q in "uvw"),
                                                          np.random.default_rng(3).uniform(0, 60, 12))}  # fmt: skip
    fee = chosen(np.char.add(a, b), fees)
    number = 0.5 * fee + chosen(job, {"x": 0.0, "y": 15.0, "z": 30.0}) + rng.normal(size=n) + 100.0
    data = loaded({"a": a, "b": b, "fee": fee, "job": job, "number": number.round(2)})
    facts = rules_of(data)
    assert {"fee", "job"} <= {name for rule in facts["effects"] for term in rule[3] for name in term[0]}
    made, _ = computed(facts, data.schema, apart(data), rng=np.random.default_rng(0))
    jobs = np.array((data.schema.types or ())[3].values)[made[:, 3].astype(int)]
    left = numbers_in(data, made, "number") - chosen(jobs, {"x": 0.0, "y": 15.0, "z": 30.0})
    assert np.polyfit(numbers_in(data, made, "fee"), left, 1)[0] == pytest.approx(0.5, abs=0.02)
    assert (left - 0.5 * numbers_in(data, made, "fee")).std() == pytest.approx(1.0, rel=0.15)


def test_names_that_a_range_says_are_there_before_what_they_say() -> None:
    rng = np.random.default_rng(0)
    n = 1500
    age, job = rng.integers(18, 80, n), rng.choice(list("xyz"), n)
    group = np.select([age < 30, age < 50, age < 65], ["young", "mid", "late"], "old")
    means = {"young": 0.0, "mid": 9.0, "late": 3.0, "old": -8.0}
    pay = (50.0 + chosen(group, means) + chosen(job, {"x": 0.0, "y": 3.0, "z": -3.0}) + rng.normal(size=n)).round(2)
    data = loaded({"job": job, "age": age, "group": group, "pay": pay})
    facts = rules_of(data)
    made, _ = computed(facts, data.schema, apart(data), rng=np.random.default_rng(0))
    new = np.array((data.schema.types or ())[2].values)[made[:, 2].astype(int)]
    for name, mean in means.items():
        assert numbers_in(data, made, "pay")[new == name].mean() == pytest.approx(50.0 + mean, abs=0.6)


def test_a_filled_cell_lies_in_its_interval_beyond_the_training_rows_too() -> None:
    rng = np.random.default_rng(0)
    n = 800
    day, kind = rng.integers(0, 1000, n), rng.choice(list("abc"), n)
    number = (0.01 * day + chosen(kind, {"a": 0.0, "b": 2.0, "c": -2.0}) + 0.3 * rng.normal(size=n)).round(2)
    number[:2] = -8.0, 40.0  # its grid is wide
    when = pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D")
    data = loaded({"kind": kind, "when": when, "number": number})
    facts = rules_of(data)
    later = pd.DataFrame({"kind": ["a", "b"], "when": pd.to_datetime(["2023-12-01", "2020-06-01"]), "number": np.nan})
    own = latens.load_data(later, label="none", missing="nan", schema=data.schema)
    assert own.outside is not None
    hidden = ~np.asarray(own.mask)
    x, sure = solved(facts, data.schema, np.where(hidden, 0.0, own.x), hidden, outside=own.outside)
    ends = ends_near(facts, data.schema, x, hidden & ~sure, (0.05, 0.95), own.outside)
    assert (ends[0, :, 2] < x[:, 2]).all()
    assert (x[:, 2] < ends[1, :, 2]).all()


def test_a_strangers_sum_is_bounded() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.choice(["x", "y"], 600), rng.integers(1, 9, 600)
    number = (3.0 * (a == "x") + 4.0 * b + 0.3 * rng.normal(size=600)).round(2)
    data = loaded({"a": a, "b": b, "number": number})
    (one,) = found_effects.found_in(data, {})
    assert effects.read([list(one)]) == (one,)
    assert effects.read([list(one._replace(terms=one.terms * 100))]) == ()
    assert effects.read([list(one._replace(level=1.7e308))]) == ()
    (first, *rest) = one.terms
    far = first._replace(effects=tuple(1.7e308 for _ in first.effects))
    assert effects.read([list(one._replace(terms=(far, *rest)))]) == ()
    assert effects.placed([one, one._replace(level=3.0)], data.schema) == [one]
    digits = next(term for term in one.terms if term.columns == ("b",))
    endless = digits._replace(kinds=tuple(("1e999",) for _ in digits.kinds))
    others = tuple(endless if term is digits else term for term in one.terms)
    assert effects.placed([one._replace(terms=others)], data.schema) == []


def rockets(n: int = 900, *, results_first: bool = False) -> Dataset:
    """Flights: a height by pressure, nose and wind, a time by the height, and an angle from a chosen distance."""
    rng = np.random.default_rng(0)
    pressure, nose = rng.uniform(2, 5, n).round(1), rng.choice(["cone", "flat"], n)
    wind, distance = rng.choice(["calm", "gusts"], n), rng.choice([20, 30, 40], n)
    log = 1.0 + np.log(pressure) + 0.12 * (nose == "cone") - 0.16 * (wind == "gusts")
    height = np.exp(log + 0.06 * rng.normal(size=n))
    angle = np.degrees(np.arctan(height / distance)).round(1)
    height = (distance * np.tan(np.radians(angle))).round(1)
    time = (0.9 * np.sqrt(height) * np.exp(0.03 * rng.normal(size=n))).round(2)
    frame = {"pressure": pressure, "nose": nose, "wind": wind, "distance": distance, "angle": angle}
    frame = frame | {"height": height, "time": time}
    return loaded(dict(reversed(frame.items())) if results_first else frame)


def test_a_result_behind_what_was_set_is_said_by_this_alone() -> None:
    found = effects.read(rules_of(rockets())["effects"])
    assert {one.target: set(one.columns) for one in found} == {"angle": {"pressure", "nose", "wind", "distance"}}


def test_what_is_set_by_hand_is_said_by_nothing_and_its_consequences_in_turn() -> None:
    data = rockets(results_first=True)
    facts = rules_of(data)
    some = effects.read(facts["effects"])
    said = {one.target: set(one.columns) for one in some}
    assert "pressure" not in said  # though the wind and the nose say it beside the height
    assert [one.target for one in some][-1] in ("angle", "time")
    chain = {"angle": ("time", "distance"), "time": ("pressure",)} if "time" in said["angle"] else {"time": ("angle",)}
    for target, bases in chain.items():
        assert set(bases) <= said[target]
    first, last = some
    assert results_of(facts, data.schema, first.target) == {first.target, *first.of, last.target, *last.of}
    assert results_of(facts, data.schema, last.target) == {last.target, *last.of}


@pytest.mark.parametrize(("known", "effect"), [(("nose", "cone", "flat"), 0.12), (("wind", "gusts", "calm"), -0.16)])
def test_what_is_computed_of_what_columns_say_goes_with_them(known: tuple[str, str, str], effect: float) -> None:
    data = rockets()
    facts, names, types = rules_of(data), data.schema.names, data.schema.types or ()
    some, exact = effects.read(facts["effects"]), equations.placed(equations.read(facts["equations"]), data.schema)
    at = {name: names.index(name) for name in names}
    column, *both = known
    x, hidden = np.zeros(len(names)), ~np.isin(names, ["pressure", column])
    x[at["pressure"]] = np.round((4.0 - types[at["pressure"]].low) / types[at["pressure"]].step)
    every = lambda j: _equally(np.asarray(types[j].shares), data.schema, j)  # noqa: E731
    means = []
    for name in both:
        x[at[column]] = types[at[column]].values.index(name)
        cells = effects.given_by(some, exact, data.schema, x, hidden, every)
        height = types[at["height"]]
        means.append(np.log(height.low + height.step * cells[at["height"]]).mean())
    assert means[0] - means[1] == pytest.approx(effect, abs=0.04)
    other = -0.08 if column == "nose" else 0.06  # the mean of what is not known
    assert means[1] == pytest.approx(1.0 + np.log(4.0) + other, abs=0.06)


def test_new_rows_have_the_effects_on_what_is_computed_of_an_angle() -> None:
    data = rockets()
    facts = rules_of(data)
    made, beyond = computed(facts, data.schema, apart(data), rng=np.random.default_rng(0))
    height, angle, distance, pressure = (
        numbers_in(data, made, name) for name in ("height", "angle", "distance", "pressure")
    )
    inside = ~beyond & (height > 4.0) & (height < 25.0)  # others are drawn again
    np.testing.assert_allclose(height[inside], (distance * np.tan(np.radians(angle)))[inside], atol=0.06)
    values = [np.array((data.schema.types or ())[k].values)[made[:, k].astype(int)] for k in (1, 2)]
    design = np.stack([np.ones(len(made)), np.log(pressure), values[0] == "cone", values[1] == "gusts"], axis=1)
    found = np.linalg.lstsq(design[inside].astype(float), np.log(height[inside]), rcond=None)[0]
    np.testing.assert_allclose(found, [1.0, 1.0, 0.12, -0.16], atol=0.06)


def test_what_lies_along_a_line_follows_a_base_that_columns_say() -> None:
    rng = np.random.default_rng(0)
    n = 900
    days, kind, soil = rng.integers(8, 36, n), rng.choice(["pole", "bush"], n), rng.choice(["peat", "loam", "sand"], n)
    water = rng.choice(["little", "usual", "much"], n)
    log = 1.5 + 0.5 * np.log(days) + 0.3 * (kind == "pole") + chosen(soil, {"peat": 0.0, "loam": 0.15, "sand": -0.2})
    log += chosen(water, {"little": -0.3, "usual": 0.0, "much": 0.2})
    height = np.exp(log + 0.07 * rng.normal(size=n)).round(1)
    place = rng.choice(["window", "shelf"], n)
    mass = (height * np.where(place == "window", 0.12, 0.07) * np.exp(0.03 * rng.normal(size=n))).round(2)
    frame = {"days": days, "kind": kind, "soil": soil, "water": water, "height": height, "place": place, "mass": mass}
    data = loaded(frame)
    facts = rules_of(data)
    assert [rule[:2] for rule in facts["lines"]] == [["mass", "height"]]
    (one,) = effects.read(facts["effects"])
    assert (one.target, set(one.columns)) == ("height", {"days", "kind", "soil", "water"})
    made, _ = computed(facts, data.schema, apart(data), rng=np.random.default_rng(0))
    values = {name: np.array((data.schema.types or ())[k].values)[made[:, k].astype(int)]
              for k, name in ((1, "kind"), (2, "soil"), (3, "water"), (5, "place"))}  # fmt: skip
    tall = np.log(numbers_in(data, made, "height"))
    design = np.stack([np.ones(len(made)), np.log(numbers_in(data, made, "days")), values["kind"] == "pole",
                       values["soil"] == "loam", values["soil"] == "sand",
                       values["water"] == "little", values["water"] == "much"], axis=1).astype(float)  # fmt: skip
    found = np.linalg.lstsq(design, tall, rcond=None)[0]
    np.testing.assert_allclose(found[2:], [0.3, 0.15, -0.2, -0.3, 0.2], atol=0.04)
    ratio = np.exp(np.log(numbers_in(data, made, "mass")) - tall)
    for name, share in (("window", 0.12), ("shelf", 0.07)):
        assert np.median(ratio[values["place"] == name]) == pytest.approx(share, rel=0.03)


def test_a_date_moves_to_its_day_before_what_it_says() -> None:
    rng = np.random.default_rng(0)
    n = 900
    date = np.datetime64("2025-03-03") + rng.integers(0, 60, n)
    kind, soil = rng.choice(["pole", "bush"], n), rng.choice(["peat", "sand"], n)
    height = 10.0 + 3.0 * (date - date.min()).astype(int) + 40.0 * (kind == "pole") + 30.0 * (soil == "sand")
    frame = {"date": date, "weekday": pd.Series(date).dt.day_name(), "kind": kind, "soil": soil}
    data = loaded(frame | {"height": (height + rng.normal(size=n)).round(1)})
    facts = rules_of(data)
    assert {"date", "kind", "soil"} <= {name for rule in facts["effects"] for term in rule[3] for name in term[0]}
    made, _ = computed(facts, data.schema, apart(data), rng=np.random.default_rng(0))
    values = [np.array((data.schema.types or ())[k].values)[made[:, k].astype(int)] for k in (2, 3)]
    left = numbers_in(data, made, "height") - 40.0 * (values[0] == "pole") - 30.0 * (values[1] == "sand")
    left -= 3.0 * (numbers_in(data, made, "date") - numbers_in(data, made, "date").min())
    assert left.std() < 1.4


def test_a_product_waits_until_both_of_its_parts_are_said() -> None:
    """Loads of bridges, mass times load for each gram: both follow from how one is built."""
    rng, n = np.random.default_rng(0), 700
    bars, design = rng.choice([20, 30, 40, 60], n), rng.choice(["beam", "arch", "truss"], n)
    glue, wide = rng.choice(["hot", "wood"], n), rng.choice([20, 30, 40], n)
    mass = (0.5 * bars + 4.0 * (glue == "hot") + rng.normal(0, 0.6, n)).round(1)
    each = 80.0 * np.exp(
        0.7 * (design == "truss") + 0.3 * (glue == "wood") + 0.5 * np.log(bars / 30) - 1.6 * np.log(wide / 30)
    )
    each = (each * np.exp(rng.normal(0, 0.1, n))).round(1)
    frame = {"bars": bars, "design": design, "glue": glue, "wide": wide, "mass": mass, "each": each}
    frame = pd.DataFrame(frame | {"load": (mass * each / 1000).round(3)})
    data = latens.load_data(frame, label="none")
    facts, names = rules_of(data), list(data.schema.names)
    about, exact = effects.read(facts["effects"]), equations.read(facts["equations"])
    assert {one.target for one in about} == {"mass", "each"}
    assert {one.target for one in exact} == {"load"}
    for value in (20, 60):
        hidden = np.array([name != "bars" for name in names])
        x = np.where(hidden, 0.0, np.asarray(data.x, np.float64)[np.flatnonzero(bars == value)[0]])
        cells = lambda i: np.sort(np.asarray(data.x, np.float64)[:, i])  # noqa: E731
        found = effects.given_by(about, exact, data.schema, x, hidden, cells)
        for name in ("mass", "each", "load"):
            k = names.index(name)
            one = data.schema.types[k]  # pyright: ignore[reportOptionalSubscript]
            assert one.low + one.step * found[k].mean() == pytest.approx(frame[name][bars == value].mean(), rel=0.08)
