"""Numbers that several columns say together: found with their effects, kept by new rows, gaps and What if."""

import json
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from explorer_fixtures import needs_node, node, untrained
from scipy.stats import norm

import latens
from latens.data import Dataset, effects, equations, found_effects
from latens.data.conditions import Conditions
from latens.data.effects import Effects
from latens.data.rules import computed, results_of, rules_of, solved
from latens.evaluation.samples.conditional import ConditionalSamples
from latens.explorer.given import grid_of
from latens.explorer.page_rules import page_rules
from latens.explorer.whatif import _equally
from latens.workflow import kept_effects, new_rows
from latens.workflow.kept_effects import _better

FRICTION = {"steel": 0.0, "oak": 0.12, "pine": 0.2, "brass": 0.0, "ice": -0.15}
NOISE = 0.05


def slides(n: int = 600, *, noise: float = NOISE, strength: float = 1.0, seed: int = 0, unit: float = 1.0) -> Dataset:
    """Blocks that slide: the logarithm of the time is a sum of effects of four columns, the speed is computed."""
    rng = np.random.default_rng(seed)
    block, slope = rng.choice(list(FRICTION), n), rng.choice([10, 20, 30], n)
    track, surface = np.exp(rng.normal(0.0, 0.25, n)).round(3), rng.choice(["dry", "oiled"], n)
    log = 1.0 - 0.03 * slope + strength * (0.5 * np.log(track) + np.array([FRICTION[one] for one in block]))
    log -= strength * 0.13 * (surface == "oiled")
    time = np.exp(log + noise * rng.normal(size=n))
    frame = {"block": block, "slope": slope, "track": track, "surface": surface, "time": (unit * time).round(4)}
    frame |= {"speed": (track / time.round(4) / unit).round(6), "noise": rng.normal(size=n).round(2)}
    return latens.load_data(pd.DataFrame(frame), label="none")


GIVEN = {"speed": ("track", "time")}


def found(data: Dataset, given: Any = GIVEN) -> tuple[Effects, ...]:
    return found_effects.found_in(data, given)


def log_times(data: Dataset, x: np.ndarray, name: str = "time") -> np.ndarray:
    k = data.schema.names.index(name)
    one = (data.schema.types or ())[k]
    return np.log(one.low + np.asarray(x, np.float64)[:, k] * one.step)


def parts(data: Dataset, x: np.ndarray) -> np.ndarray:
    """The level, and the effects that are known: of the slope, the track, each block, and oil."""
    types, names = data.schema.types or (), data.schema.names
    cells = {name: np.round(np.asarray(x)[:, names.index(name)]) for name in names}
    words = lambda name: np.array(types[names.index(name)].values)[cells[name].astype(int)]  # noqa: E731
    at = lambda name: types[names.index(name)].low + cells[name] * types[names.index(name)].step  # noqa: E731
    columns = [np.ones(len(x)), at("slope"), np.log(at("track")), words("surface") == "oiled"]
    return np.stack([*columns, *(words("block") == one for one in ("oak", "pine", "ice"))], axis=1).astype(float)


TRUE = np.array([1.0, -0.03, 0.5, -0.13, 0.12, 0.2, -0.15])
"""What the effects are: of each unit of slope and of the logarithm of the track, of oil, and of three blocks."""


def fitted(data: Dataset, x: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(parts(data, x), log_times(data, x), rcond=None)[0]


def shuffled(data: Dataset, n: int, seed: int = 1) -> np.ndarray:
    """Rows in which every column is drawn by itself."""
    rng = np.random.default_rng(seed)
    x = np.asarray(data.x, np.float64)
    return np.stack([x[rng.integers(0, len(x), n), k] for k in range(x.shape[1])], axis=1)


def test_the_effects_and_what_they_leave_are_found() -> None:
    data = slides()
    (one,) = found(data)
    assert (one.target, one.logs, one.of, one.rows) == ("time", True, ("speed",), data.count("train"))
    assert set(one.columns) == {"slope", "track", "surface", "block"}
    assert one.width == pytest.approx(NOISE, rel=0.1)
    middle = effects.middle_of(one, data.schema, effects.cells_of(np.asarray(data.x, np.float64), data.schema))
    np.testing.assert_allclose(middle, parts(data, data.x) @ TRUE, atol=0.025)
    assert one.words == "what 'slope', 'track', 'block' and 'surface' say together"


def test_another_unit_or_order_of_rows_changes_nothing_but_the_level() -> None:
    (one,), (other,) = found(slides()), found(slides(unit=1000.0))
    assert other.level - one.level == pytest.approx(np.log(1000.0), abs=0.01)
    assert [term.columns for term in one.terms] == [term.columns for term in other.terms]
    for a, b in zip(one.terms, other.terms):
        np.testing.assert_allclose(a.effects, b.effects, atol=0.005)
    assert one.width == pytest.approx(other.width, rel=0.03)


@pytest.mark.parametrize("strength", [0.0, 0.05, 1.0, 2.0])
def test_one_column_alone_is_left_to_the_tree(strength: float) -> None:
    assert bool(found(slides(strength=strength))) == (strength >= 1.0)


def test_two_columns_of_names_may_say_together_what_neither_adds() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.choice(["x", "y"], 500), rng.choice(["u", "v"], 500)
    number = 10.0 + 1.0 * (a == "x") + 1.0 * (b == "u") + 2.0 * ((a == "x") & (b == "u")) + 0.3 * rng.normal(size=500)
    data = latens.load_data(pd.DataFrame({"a": a, "b": b, "number": number.round(2)}), label="none")
    (one,) = found(data, {})
    cells = effects.cells_of(np.asarray(data.x, np.float64), data.schema)
    middle = effects.middle_of(one, data.schema, cells)
    for x, u, mean in (("x", "u", 14.0), ("x", "v", 11.0), ("y", "u", 11.0), ("y", "v", 10.0)):
        np.testing.assert_allclose(middle[(a == x) & (b == u)], mean, atol=0.12)
    assert one.width == pytest.approx(0.3, rel=0.12)


def test_a_column_is_not_said_by_what_is_computed_of_it_nor_by_what_it_says() -> None:
    rules = rules_of(slides())
    assert [rule[0] for rule in rules["equations"]] in (["speed"], ["time"])
    (rule,) = rules["effects"]
    assert not {"speed", "time"} & {name for term in rule[3] for name in term[0]}
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=400), rng.normal(size=400)
    frame = {"kind": rng.choice(["x", "y"], 400), "a": a, "b": b, "c": a + b + 0.3 * rng.normal(size=400)}
    data = latens.load_data(pd.DataFrame(frame).round(2), label="none")
    kept = found(data, {})
    targets = {one.target: set(one.columns) for one in kept}
    assert len(kept) == 1 or not any(own & targets.keys() for own in targets.values())


@pytest.mark.parametrize("half", [False, True])
def test_new_rows_have_the_effects_whole_whatever_part_of_them_the_model_has(half: bool) -> None:
    data = slides(2000)
    (one,) = found(data)
    x, names = shuffled(data, 4000), data.schema.names
    k, own = names.index("time"), (data.schema.types or ())[names.index("time")]
    rng = np.random.default_rng(5)
    lean = rng.normal(size=len(x))  # what a model knows else of the row
    strengths = TRUE * (0.5 if half else 0.0)
    log = parts(data, x) @ strengths + 0.2 * (0.6 * lean + 0.8 * rng.normal(size=len(x)))
    x[:, k] = np.clip(np.round((np.exp(log) - own.low) / own.step), 0, own.size - 1)
    made = effects.moved([one], data.schema, x, np.ones(x.shape, bool), np.random.default_rng(0))
    apart = np.abs(fitted(data, made) - TRUE)
    assert (apart < [0.03, 0.002, 0.02, 0.01, 0.015, 0.015, 0.015]).all(), apart
    left = log_times(data, made) - parts(data, made) @ TRUE
    assert left.std() == pytest.approx(NOISE, rel=0.12)
    assert np.corrcoef(left, lean)[0, 1] == pytest.approx(0.6, abs=0.08)


def test_rows_under_conditions_are_ranked_among_rows_without() -> None:
    data = slides(2000)
    (one,) = found(data)
    usual = np.asarray(data.x, np.float64)
    late = usual[(log_times(data, usual) - parts(data, usual) @ TRUE) > 0.05]  # all of them on one side
    made = effects.moved([one], data.schema, late, np.ones(late.shape, bool), np.random.default_rng(0), usual)
    assert np.median(log_times(data, made) - parts(data, made) @ TRUE) > 0.04
    bounded = np.ones(late.shape, bool)
    bounded[:, data.schema.names.index("time")] = False
    kept = effects.moved([one], data.schema, late, bounded, np.random.default_rng(0), usual)
    np.testing.assert_array_equal(kept, late)


def test_filled_cells_lie_where_known_ones_say_and_intervals_hold_as_often_as_they_say() -> None:
    data, later = slides(), slides(1000, seed=9)
    facts = rules_of(data)
    (one,) = effects.read(facts["effects"])
    read = latens.load_data(frame_of(later), label="none", schema=data.schema)
    within = slice(None) if read.outside is None else ~np.asarray(read.outside).any(axis=1)
    x = np.asarray(read.x, np.float64)[within]
    hidden = np.zeros(x.shape, bool)
    hidden[:, [data.schema.names.index(name) for name in ("time", "speed")]] = True
    k = data.schema.names.index("time")
    low, high = effects.told([one], data.schema, x, hidden, (0.05, 0.95))
    inside = (low[:, k] <= x[:, k]) & (x[:, k] <= high[:, k])
    assert inside.mean() == pytest.approx(0.9, abs=0.04)
    gone = np.where(hidden, 0.0, x)
    filled, _ = solved(facts, data.schema, gone, hidden)
    off = log_times(data, filled) - log_times(data, x)
    assert np.median(np.abs(off)) < 1.2 * norm.ppf(0.75) * NOISE
    speed = parts(data, x)[:, 2] - log_times(data, filled)
    there = speed > log_times(data, np.zeros((1, x.shape[1])), "speed")  # on its grid: others are as they were filled
    np.testing.assert_allclose(log_times(data, filled, "speed")[there], speed[there], atol=0.02)
    assert (filled[~there, data.schema.names.index("speed")] == 0.0).all()
    assert (~there).sum() == 3
    hidden[:, data.schema.names.index("slope")] = True  # it says most: without it the others say too little
    assert np.isnan(effects.told([one], data.schema, x, hidden, (0.5,))[0, :, k]).all()
    hidden[:, data.schema.names.index("slope")] = False
    hidden[:, data.schema.names.index("speed")] = False  # it says more
    assert np.isnan(effects.told([one], data.schema, x, hidden, (0.5,))[0, :, k]).all()


def frame_of(data: Dataset) -> pd.DataFrame:
    types, names = data.schema.types or (), data.schema.names
    return pd.DataFrame(
        {name: one.decoded(np.asarray(data.x)[:, k]) for k, (name, one) in enumerate(zip(names, types))}
    )


def test_what_if_says_the_mixture_over_what_is_not_known() -> None:
    data = slides()
    (one,) = found(data)
    names, types = data.schema.names, data.schema.types or ()
    x, hidden = np.asarray(data.x, np.float64)[3], np.ones(len(names), bool)
    every = lambda j: np.floor((np.arange(100) + 0.5) / 100 * list(types)[j].cells)  # noqa: E731
    assert effects.given_by([one], [], data.schema, x, hidden, every) == {}
    at = {name: names.index(name) for name in names}
    # What says it is otherwise than usual by what is known, and the model has not moved it for that.
    for moved, told in ((one.columns[:1], True), ((*one.columns[:1], "time"), False), (("time",), False)):
        own = effects.given_by([one], [], data.schema, x, hidden, every, lambda j, some=moved: names[j] in some)
        assert (at["time"] in own) == told
    for name in one.columns:
        hidden[at[name]] = False
    whole = effects.given_by([one], [], data.schema, x, hidden, every)[at["time"]]
    rows = np.tile(x, (100, 1))
    np.testing.assert_array_equal(whole, np.sort(effects.drawn(one, data.schema, rows, (np.arange(100) + 0.5) / 100)))
    hidden[at["surface"]], own = True, types[at["time"]]
    mixed = effects.given_by([one], [], data.schema, x, hidden, every)[at["time"]]
    each = []
    for code in (0, 1):
        rows[:, at["surface"]] = code
        each.append(np.log(own.low + own.step * effects.drawn(one, data.schema, rows, (np.arange(100) + 0.5) / 100)))
    assert np.log(own.low + own.step * mixed).mean() == pytest.approx(np.mean(each), abs=0.01)
    assert np.log(own.low + own.step * mixed).std() == pytest.approx(np.std(each), rel=0.1)
    hidden[at["speed"]] = False
    assert effects.given_by([one], [], data.schema, x, hidden, every) == {}


def test_chances_of_all_cells_sum_to_one_and_lie_as_the_law_of_what_is_left() -> None:
    data = slides()
    (one,) = found(data)
    k, own = data.schema.names.index("time"), (data.schema.types or ())[data.schema.names.index("time")]
    rows = np.tile(np.asarray(data.x, np.float64)[:1], (own.size, 1))
    rows[:, k] = np.arange(own.size)
    shown = np.ones(rows.shape, bool)
    mass = np.exp(effects.log_chances(one, data.schema, rows, shown))
    assert mass.sum() == pytest.approx(1.0, abs=2e-3)
    saved = effects.log_chances(one, data.schema, np.asarray(data.x, np.float64), np.ones(data.x.shape, bool))
    exact = norm.logpdf(log_times(data, data.x), parts(data, data.x) @ TRUE, NOISE) - log_times(data, data.x)
    assert saved.mean() == pytest.approx((exact + np.log(own.step)).mean(), abs=0.08)


def test_a_sum_is_kept_where_it_says_more_than_the_model_by_more_than_chance() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=400)
    noise = (noise - noise.mean()) / noise.std()
    assert [_better(mean + noise) for mean in (-0.2, -0.01, 0.04)] == [False, False, None]
    assert [_better(mean + noise) for mean in (0.08, 0.12, 0.2)] == [None, True, True]
    assert _better(0.04 + 0.01 * noise) is False  # too little, for sure
    assert _better(0.25 + noise[:50]) is None or abs(noise[:50].mean()) > 0.1  # too few rows to say


def test_strangers_files_give_sound_effects_or_none() -> None:
    data = slides()
    stored = json.loads(json.dumps([list(one) for one in found(data)]))
    (one,) = effects.read(stored)
    assert one == found(data)[0]
    target, logs, level, terms, wide, edges, apart, of, rows = stored[0]
    (columns, scaled, knots, kinds, own, spread), *rest = terms
    broken = [
        [target, logs, level, [], wide, edges, apart, of, rows],
        [target, logs, level, terms, 0.0, edges, apart, of, rows],
        [target, logs, level, terms, wide, edges, [[3.0, 1.0]] * len(apart), of, rows],
        [target, logs, level, terms, wide, [*edges, 1.0], apart, of, rows],
        [target, logs, level, [[columns, scaled, knots, kinds, own[:-1], spread], *rest], wide, edges, apart, of, rows],
        [target, logs, level, [[[target], scaled, knots, kinds, own, spread], *rest], wide, edges, apart, of, rows],
    ]
    assert [effects.read([each]) for each in broken] == [()] * len(broken)
    words = [[["time"], *each[1:]] if each[0] == ["slope"] else each for each in terms]
    assert effects.read([[target, logs, level, words, wide, edges, apart, of, rows]]) == ()
    digits = [[each[0], each[1], each[2], [["oak"]] * len(each[4]), *each[4:]] if each[0] == ["slope"] else each
              for each in terms]  # fmt: skip
    assert (
        effects.placed(effects.read([[target, logs, level, digits, wide, edges, apart, of, rows]]), data.schema) == []
    )


def test_a_number_that_is_computed_says_another_and_is_computed_before() -> None:
    rng = np.random.default_rng(0)
    n, rock = 500, rng.choice(["granite", "pumice", "basalt"], 500)
    long, wide = rng.integers(10, 60, n) / 10, rng.integers(10, 60, n) / 10
    area = (long * wide).round(2)
    mass = area * np.array([{"granite": 2.6, "basalt": 3.0, "pumice": 0.6}[one] for one in rock])
    frame = {"rock": rock, "long": long, "wide": wide, "area": area,
             "mass": (mass * np.exp(0.02 * rng.normal(size=n))).round(2)}  # fmt: skip
    data = latens.load_data(pd.DataFrame(frame), label="none")
    facts = rules_of(data)
    assert [rule[0] for rule in facts["equations"]] == ["area"]
    near = [(rule[0], *rule[1:3]) for rule in facts.get("lines", [])]
    (one,) = effects.read(facts["effects"])
    assert (one.target, set(one.columns), near) == ("mass", {"rock", "area"}, [])
    made, _ = computed(facts, data.schema, shuffled(data, 1000), rng=np.random.default_rng(0))
    left = log_times(data, made, "mass") - log_times(data, made, "area")
    code = np.round(made[:, 0]).astype(int)
    values = (data.schema.types or ())[0].values
    for name, density in (("granite", 2.6), ("basalt", 3.0), ("pumice", 0.6)):
        own = left[code == values.index(name)]
        assert np.median(own) == pytest.approx(np.log(density), abs=0.02)
        assert own.std() < 0.05


@needs_node
def test_the_page_says_the_same_cells() -> None:
    rng = np.random.default_rng(0)
    data = slides(900)
    days, seconds = rng.integers(0, 300, 900), rng.integers(0, 86400, 900)
    frame = frame_of(data)
    frame["stop"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(days, "D") + pd.to_timedelta(seconds, "s")
    heat = 10.0 + 3.0 * np.sin(days / 60.0) + 3.0 * (frame.surface == "dry")  # of the day it is bent
    frame["heat"] = (heat + 0.4 * rng.normal(size=900)).round(1)
    data = latens.load_data(frame, label="none")
    facts, types, names = rules_of(data), data.schema.types or (), data.schema.names
    some, exact = effects.read(facts["effects"]), equations.placed(equations.read(facts["equations"]), data.schema)
    assert {one.target for one in some} == {"time", "heat"}
    assert any(term.knots and "stop" in term.columns for one in some for term in one.terms)
    x, every = np.asarray(data.x, np.float64)[:4], list(range(len(names)))
    shares = [np.arange(1.0, one.count + 1) / np.arange(1.0, one.count + 1).sum() for one in types]
    equally = [_equally(own, data.schema, k) for k, own in enumerate(shares)]
    targets = [names.index(name) for name in ("time", "speed", "heat")]
    for free in ([], ["surface"], ["surface", "track", "stop"], ["block", "slope"]):
        hidden = np.isin(names, free) | np.isin(every, targets)
        rows = [[None if gone else cell for gone, cell in zip(hidden, row)] for row in x.tolist()]
        spec, grids = page_rules(facts, data.schema, 256), [grid_of(one) for one in types]
        question = {"shares": [own.tolist() for own in shares], "equally": [own.tolist() for own in equally]}
        for row, told in zip(x, node("rules", spec=spec, grids=grids, rows=rows, **question)):
            mine, page = effects.given_by(some, exact, data.schema, row, hidden, lambda i: equally[i]), dict(told)
            assert {"time", "heat", "speed"} == {names[k] for k in mine}
            assert not mine.keys() - page.keys()
            for k, cells in mine.items():
                close = 1.0 if names[k] != "speed" else 2e-3 * types[k].size  # its grid is finer than the time's
                np.testing.assert_allclose(page[k], cells, atol=close)  # of halves one rounds up, the other to even
                assert np.mean(np.array(page[k]) != cells) < 0.02
    row = x[0].tolist()
    row[names.index("time")] = row[names.index("heat")] = None  # the speed is known, of which the track says the time
    row[names.index("track")] = None
    (told,) = node("rules", spec=spec, grids=grids, rows=[row], **question)
    assert [names[k] for k, _ in told] == ["heat"]
    row = [None] * len(names)
    for moved in ([], ["track"], ["track", "time"], ["time"]):
        places, question["moved"] = {names.index(name) for name in moved}, [name in moved for name in names]
        hidden = np.ones(len(names), bool)
        mine = effects.given_by(some, exact, data.schema, x[0], hidden, lambda i: equally[i], places.__contains__)
        (told,) = node("rules", spec=spec, grids=grids, rows=[row], **question)
        assert ("time" in {names[k] for k in mine}) == (moved == ["track"])  # what the model has moved itself stays
        assert {k for k, _ in told} == set(mine)
    alone = next(one for one in facts["effects"] if one[0] == "time")
    spec = page_rules({**facts, "effects": [alone]}, data.schema, 256)
    for moved in (["track"], ["track", "time"]):  # what the model has moved itself stays
        question["moved"] = [name in moved for name in names]
        (told,) = node("rules", spec=spec, grids=grids, rows=[row], **question)
        assert ("time" in {names[k] for k, _ in told}) == (moved == ["track"])


def test_only_what_beats_the_model_is_kept_and_what_is_computed_of_it_is_hidden_from_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = slides()
    types, k = data.schema.types or (), data.schema.names.index("time")
    seen: list[np.ndarray] = []
    knows = False

    def impute(rows: Any, types: Any, num_samples: int) -> Any:
        batch = rows.batch
        seen.append(np.asarray(batch.mask))
        shares = [np.tile(np.asarray(one.shares), (len(batch.x), 1)) for one in types]
        if knows:  # which cell it is
            which = np.searchsorted(types[k].firsts, np.asarray(batch.x)[:, k], side="right") - 1
            shares[k] = np.where(np.arange(types[k].count) == which[:, None], 1e9, 1e-9)
        return SimpleNamespace(shares=shares)

    monkeypatch.setattr(kept_effects, "impute", impute)
    trained, data = untrained("default", data)
    assert "effects" not in trained.facts  # until they are judged
    trained = trained.with_facts(effects=[list(one) for one in found(data)])
    kept = kept_effects.better_effects(trained, data).facts["effects"]
    assert [one[0] for one in kept] == ["time"]
    (mask,) = seen
    hidden = [name for j, name in enumerate(data.schema.names) if not mask[:, j].any()]
    assert sorted(hidden) == ["speed", "time"]
    assert len(mask) == min(len(data.subset("validation")), kept_effects.JUDGED)
    knows = True
    assert kept_effects.better_effects(trained, data).facts["effects"] == []
    assert len(types) == len(data.schema.names)


def test_names_that_a_range_of_a_number_says_say_what_this_is_computed_of() -> None:
    rng = np.random.default_rng(0)
    n, rock = 500, rng.choice(["granite", "pumice", "basalt"], 500)
    long, wide = rng.integers(10, 60, n) / 10, rng.integers(10, 60, n) / 10
    volume = (long * wide).round(2)
    density = np.array([{"granite": 2.6, "basalt": 3.0, "pumice": 0.6}[one] for one in rock])
    mass = (volume * density * np.exp(0.01 * rng.normal(size=n))).round(1)
    frame = {
        "rock": rock,
        "long": long,
        "wide": wide,
        "volume": volume,
        "mass": mass,
        "density": (mass / volume).round(2),
    }
    rules = rules_of(latens.load_data(pd.DataFrame(frame), label="none"))
    assert [rule[0] for rule in rules["equations"]] == ["volume", "density"]
    assert [rule[1] for rule in rules["implied"]] == ["rock"]  # by ranges of the density
    (rule,) = rules["effects"]
    assert (rule[0], {name for term in rule[3] for name in term[0]}) == ("mass", {"rock", "volume"})
    data = latens.load_data(pd.DataFrame(frame), label="none")
    x = shuffled(data, 2000)
    made, _ = computed(rules, data.schema, x, rng=np.random.default_rng(0))
    assert np.mean(made[:, 0] == x[:, 0]) > 0.98  # the mass goes by the rock, and not the rock by a former mass


def test_rows_under_conditions_are_ranked_among_rows_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    data = slides()
    facts = {"effects": [list(one) for one in found(data)]}
    x, ranked = np.asarray(data.x), []

    def computed(*given: Any) -> tuple[np.ndarray, np.ndarray]:
        ranked.append(given[-1])
        return x[:10], np.zeros(10, bool)

    drawn = ConditionalSamples(x[:10], 1.0, 1, 0.0)
    monkeypatch.setattr(new_rows, "sample_given", lambda *_, **__: drawn)
    monkeypatch.setattr(new_rows, "computed", computed)
    free = Conditions(np.full(x.shape[1], -np.inf), np.full(x.shape[1], np.inf))
    trained = SimpleNamespace(model=None, facts=facts, schema=data.schema)
    new_rows.table_given(trained, free, 10, 0, key=jax.random.key(0))
    assert [None if one is None else len(one) for one in ranked] == [10]


@pytest.mark.parametrize("last", [True, False])
def test_columns_before_a_number_say_it_where_they_say_as_much(last: bool) -> None:
    """A result stands behind what was set; its own result, the mass, says nothing of it that these do not."""
    rng, n = np.random.default_rng(0), 600
    soil, place = rng.choice(["sand", "garden"], n), rng.choice(["north", "south", "dark"], n)
    days = rng.choice([14, 21, 28, 35], n)
    height = 10 + 0.6 * days + 8.0 * (soil == "garden") + 5.0 * (place == "south") + rng.normal(0, 2.0, n)
    mass = 0.11 * height * np.where(place == "dark", 0.6, 1.0) * np.exp(0.05 * rng.normal(size=n))
    frame = {"soil": soil, "place": place, "days": days, "height": height.round(1), "mass": mass.round(2)}
    order = list(frame) if last else ["height", *(name for name in frame if name != "height")]
    data = latens.load_data(pd.DataFrame({name: frame[name] for name in order}), label="none")
    said = {one.target: set(one.columns) for one in found(data, {})}
    assert said["height"] == {"soil", "place", "days"}
    (height,) = [one for one in found(data, {}) if one.target == "height"]
    facts = rules_of(data)
    assert [rule[0] for rule in facts["lines"]] == ["mass"]
    # What lies along a line by it would give it away where it is held against the model.
    assert results_of(facts, data.schema, "height") == {"height", "mass"}
    assert results_of(facts, data.schema, "soil") == {"soil", *height.of, "height", "mass"}
    assert results_of(facts, data.schema, "mass") == {"mass"}
