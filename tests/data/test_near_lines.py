"""Numbers that lie closely along a line of another one: found with its law, kept by new rows and filled cells."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import latens
from latens.cli.main import main
from latens.config import override
from latens.data import lines
from latens.data.columns import ColumnType
from latens.data.rules import computed, rules_of, solved
from latens.explorer.whatif import answers
from latens.recipes import get_recipe

DENSITY = {"granite": 2.65, "basalt": 2.95, "pumice": 0.7}
NOISE = 0.03


def stones(n: int = 900, *, noise: float = NOISE, seed: int = 0, unit: float = 1.0) -> pd.DataFrame:
    """Stones whose mass is their volume times the density of their rock, within a few per cent."""
    rng = np.random.default_rng(seed)
    rock = rng.choice(list(DENSITY), n)
    volume = np.round(np.exp(rng.normal(3.8, 0.6, n)), 1)
    mass = volume * np.array([DENSITY[one] for one in rock]) * np.exp(noise * rng.normal(size=n))
    frame = {"rock": rock, "volume": volume, "mass": (mass * unit).round(2), "hard": rng.integers(2, 30, n)}
    return pd.DataFrame(frame | {"pupil": rng.choice(["Kim", "Lea"], n)})


def tariffs(n: int = 1500, *, seed: int = 0) -> pd.DataFrame:
    """Prices of a base by service and a rate by zone times the weight, within 2 per cent."""
    rng = np.random.default_rng(seed)
    service, zone = rng.choice(["slow", "fast"], n), rng.choice(["A", "B", "C"], n)
    weight = np.round(rng.gamma(2.0, 3.0, n) + 0.2, 2)
    base = np.where(service == "fast", 9.8, 4.9)
    rate = np.array([{"A": 0.6, "B": 1.1, "C": 2.5}[one] for one in zone]) * np.where(service == "fast", 2.0, 1.0)
    price = (base + rate * weight) * np.exp(0.01 * rng.normal(size=n))
    return pd.DataFrame({"service": service, "zone": zone, "weight": weight, "price": price.round(2)})


def found(frame: pd.DataFrame) -> tuple[lines.Line, ...]:
    return lines.found_in(latens.load_data(frame, label="none"))


def _columns(data: latens.data.Dataset, x: np.ndarray) -> dict[str, np.ndarray]:
    types: tuple[ColumnType, ...] = data.schema.types or ()
    names = [column.name for column in data.schema.columns or ()]
    return {name: one.decoded(x[:, k]) for k, (name, one) in enumerate(zip(names, types))}


def test_the_line_of_each_name_and_the_law_around_it_are_found() -> None:
    (one,) = found(stones())
    assert {one.target, one.base} == {"mass", "volume"}
    assert (one.by, one.logs, one.rows) == (("rock",), True, 900)
    sign = 1.0 if one.target == "mass" else -1.0
    for kind in one.groups:
        assert kind.slope == pytest.approx(1.0, abs=0.02)
        assert kind.level + 3.8 * (kind.slope - 1.0) == pytest.approx(sign * np.log(DENSITY[kind.names[0]]), abs=0.01)
        assert kind.width == pytest.approx(NOISE, rel=0.15)
    assert {kind.names[0] for kind in one.groups} == set(DENSITY)
    for band in one.apart:  # quartiles of a Normal, in widths
        np.testing.assert_allclose(np.interp([0.25, 0.5, 0.75], np.linspace(0, 1, len(band)), band),
                                   [-0.674, 0.0, 0.674], atol=0.22)  # fmt: skip
    assert one.words == f"a line of {one.base!r} for each 'rock'"


def test_two_columns_of_names_may_choose_the_line_and_what_is_straight_stays_so() -> None:
    (one,) = found(tariffs())
    assert (one.target, one.base, one.logs) == ("price", "weight", False)
    assert set(one.by) == {"service", "zone"}
    slopes = {tuple(sorted(kind.names)): kind.slope for kind in one.groups}
    assert slopes["C", "fast"] == pytest.approx(5.0, rel=0.02)
    assert slopes["A", "slow"] == pytest.approx(0.6, rel=0.02)


def test_order_of_rows_and_unit_change_nothing() -> None:
    frame = stones(600)
    (one,) = found(frame)
    (mixed,) = found(frame.sample(frac=1.0, random_state=1))
    (grams,) = found(frame.assign(mass=frame["mass"] * 1000))
    for other in (mixed, grams):
        assert (other.target, other.base, other.by) == (one.target, one.base, one.by)
        for a, b in zip(sorted(one.groups), sorted(other.groups)):
            np.testing.assert_allclose([a.slope, a.width], [b.slope, b.width], rtol=0.02)


@pytest.mark.parametrize(("noise", "there"), [(0.01, True), (0.05, True), (0.1, True), (0.4, False), (1.0, False)])
def test_strengths(noise: float, *, there: bool) -> None:
    assert bool(found(stones(noise=noise))) is there


def test_no_line_is_found_by_chance() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(rng.normal(size=(300, 5)).round(2), columns=list("abcde"))
        shared = rng.normal(size=300)  # a correlation of one half
        frame["a"], frame["b"] = (frame["a"] + shared).round(2), (frame["b"] + shared).round(2)
        frame["f"], frame["g"] = rng.choice(list("xyz"), 300), rng.choice(list("pqrstuv"), 300)
        assert found(frame) == ()


def test_a_column_that_a_rule_gives_has_none() -> None:
    frame = stones()
    frame["total"] = (frame["mass"] * 2).round(2)
    rules = rules_of(latens.load_data(frame, label="none"))
    given = {rule[0] for rule in rules["equations"]}
    assert given
    assert not given & {name for rule in rules["lines"] for name in rule[:2]}


def test_mistakes_neither_bend_the_line_nor_come_back() -> None:
    frame = stones()
    frame.loc[frame.index[:9], "mass"] *= 10
    (one,) = found(frame)
    (clean,) = found(stones())
    for a, b in zip(sorted(one.groups), sorted(clean.groups)):
        np.testing.assert_allclose(a[1:4], b[1:4], atol=0.02)
    assert max(map(max, one.apart)) <= lines.TRIMMED
    assert min(map(min, one.apart)) >= -lines.TRIMMED


def _coarse(data: latens.data.Dataset, *, seed: int = 1, rows: int | None = None) -> np.ndarray:
    """Rows whose numbers are off as bins of a model leave them."""
    rng, x = np.random.default_rng(seed), np.array(data.x, np.float64)[:rows]
    types: tuple[ColumnType, ...] = data.schema.types or ()
    for k, one in enumerate(types):
        if one.kind == "number":
            value = (one.low + x[:, k] * one.step) * np.exp(0.2 * rng.normal(size=len(x)))
            x[:, k] = np.clip(np.round((value - one.low) / one.step), 0, one.size - 1)
    return x


def test_new_rows_lie_around_their_lines_as_the_data_do() -> None:
    data = latens.load_data(stones(3000), label="none")
    facts = rules_of(data)
    x = _coarse(data)
    made, beyond = computed(facts, data.schema, x, rng=np.random.default_rng(0))
    assert not beyond.any()
    (one,) = lines.read(facts["lines"])
    before, after, real = (_columns(data, rows) for rows in (x, made, np.asarray(data.x)))
    assert [name for name in after if np.any(after[name] != before[name])] == [one.target]
    for rock, density in DENSITY.items():
        own = after["rock"] == rock
        off = np.log(after["mass"][own] / after["volume"][own] / density)
        truth = np.log(real["mass"] / real["volume"] / density)[real["rock"] == rock]
        assert off.std() == pytest.approx(truth.std(), rel=0.12)
        assert abs(off.mean()) < 0.006
        np.testing.assert_allclose(np.quantile(off, [0.1, 0.9]), np.quantile(truth, [0.1, 0.9]), atol=0.008)


def test_what_else_the_model_knows_of_a_row_stays_in_the_order_around_the_line() -> None:
    data = latens.load_data(stones(3000), label="none")
    facts, x = rules_of(data), _coarse(data)
    (one,) = lines.read(facts["lines"])
    made = lines.moved([one], data.schema, x, np.ones(x.shape, bool), np.random.default_rng(0))
    before, after = (_columns(data, rows) for rows in (x, made))
    for rock in DENSITY:
        own = before["rock"] == rock
        off = [np.log(rows[one.target][own] / rows[one.base][own]) for rows in (before, after)]
        order = [np.argsort(np.argsort(each)) for each in off]
        assert np.corrcoef(*order)[0, 1] > 0.97
    few = lines.moved([one], data.schema, x[:9], np.ones((9, x.shape[1]), bool), np.random.default_rng(0))
    twice = lines.moved([one], data.schema, x[:9], np.ones((9, x.shape[1]), bool), np.random.default_rng(0))
    np.testing.assert_array_equal(few, twice)


def test_rows_with_a_condition_lie_where_rows_of_their_kind_lie_without_it() -> None:
    """A heavier half of the stones stays heavier where it is drawn alone; by its own order it would be as all are."""
    data = latens.load_data(stones(3000), label="none")
    facts, x = rules_of(data), _coarse(data)
    (one,) = lines.read(facts["lines"])
    free, _ = computed(facts, data.schema, x, rng=np.random.default_rng(0))
    off = lines._off(one, data.schema, free)[1]
    heavy = np.flatnonzero((off > 0) & (np.arange(len(off)) % 2 == 0))
    asked = [
        computed(facts, data.schema, x[heavy], rng=np.random.default_rng(1), usual=usual)[0] for usual in (x, None)
    ]
    alone = [lines._off(one, data.schema, rows)[1] for rows in asked]
    assert alone[0].mean() == pytest.approx(off[heavy].mean(), abs=0.03)
    assert abs(alone[1].mean()) < 0.1  # what it was before
    assert (alone[0] > -0.1).all()
    np.testing.assert_array_equal(*(np.delete(rows, _places(data, one), axis=1) for rows in asked))
    # Rows that are all usual ones are as they are without any.
    every, _ = computed(facts, data.schema, x, rng=np.random.default_rng(0), usual=x)
    assert np.abs(lines._off(one, data.schema, every)[1] - off).max() < 0.5
    assert np.abs(lines._off(one, data.schema, every)[1] - off).mean() < 0.02


def _places(data: latens.data.Dataset, one: lines.Line) -> list[int]:
    return [[column.name for column in data.schema.columns or ()].index(one.target)]


def test_of_two_lines_the_narrower_one_fills_a_cell_and_its_interval_holds_the_filling() -> None:
    """A height near a line of leaves, and a later one near that height, which says it back more closely."""
    rng = np.random.default_rng(0)
    leaves = rng.integers(8, 60, 2000)
    early = (4.0 * leaves * np.exp(0.1 * rng.normal(size=2000))).round(1)
    late = (1.7 * early * np.exp(0.03 * rng.normal(size=2000))).round(1)
    data = latens.load_data(pd.DataFrame({"leaves": leaves, "early": early, "late": late}), label="none", typed=True)
    facts, names = rules_of(data), ["leaves", "early", "late"]
    near = lines.read(facts["lines"])
    assert {(one.target, one.base) for one in near} == {("early", "late"), ("leaves", "early")}
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, 1] = True
    made, _ = solved(facts, data.schema, np.where(hidden, 5.0, data.x), hidden)
    low, high = lines.told(near, data.schema, np.where(hidden, 5.0, data.x), hidden, (0.05, 0.95))
    assert ((low <= made) & (made <= high))[:, names.index("early")].all()
    off = np.log(made[:, 1] + early.min() * 10) - np.log(np.asarray(data.x)[:, 1] + early.min() * 10)
    assert np.abs(off).mean() < 0.04
    held = ((low <= data.x) & (data.x <= high))[:, 1].mean()
    assert held == pytest.approx(0.9, abs=0.03)
    drawn = solved(facts, data.schema, np.where(hidden, 5.0, data.x), hidden, np.random.default_rng(0))[0]
    assert ((low <= drawn) & (drawn <= high))[:, 1].mean() == pytest.approx(0.9, abs=0.03)
    hidden[:, 2] = True  # then the leaves alone say it
    wide = lines.told(near, data.schema, np.where(hidden, 5.0, data.x), hidden, (0.05, 0.95))[:, :, 1]
    assert np.median(wide[1] - wide[0]) > 2.5 * np.median(high[:, 1] - low[:, 1])


def test_what_is_asked_for_stays_and_the_other_number_moves() -> None:
    data = latens.load_data(stones(3000), label="none")
    facts, x = rules_of(data), _coarse(data)
    (one,) = lines.read(facts["lines"])
    for how in ({"asked": one.target.__eq__}, {"bounded": one.target.__eq__}):
        made, _ = computed(facts, data.schema, x, rng=np.random.default_rng(0), **how)
        before, after = (_columns(data, rows) for rows in (x, made))
        np.testing.assert_array_equal(before[one.target], after[one.target])
        for rock, density in DENSITY.items():
            own = after["rock"] == rock
            inner = own & (after["volume"] > 10) & (after["volume"] < 200)  # within the grid of both
            off = np.log(after["mass"][inner] / after["volume"][inner] / density)
            assert off.std() == pytest.approx(NOISE, rel=0.25)
    both, _ = computed(facts, data.schema, x, rng=np.random.default_rng(0), bounded={"mass", "volume"}.__contains__)
    np.testing.assert_array_equal(both, x)


def test_filled_cells_lie_on_the_line_and_their_intervals_hold_as_often_as_they_say() -> None:
    data, unseen = (latens.load_data(stones(2000, seed=seed), label="none") for seed in (0, 1))
    facts = rules_of(data)
    types, names = data.schema.types or (), [column.name for column in data.schema.columns or ()]
    truth = np.array(unseen.x, np.float64)
    own = unseen.schema.types or ()
    for k, one in enumerate(types):  # the cells of another grid
        if one.kind == "number":
            truth[:, k] = np.clip((own[k].low + truth[:, k] * own[k].step - one.low) / one.step, 0, one.size - 1)
    near = lines.read(facts["lines"])
    for name in ("mass", "volume"):
        k, hidden = names.index(name), np.zeros(truth.shape, bool)
        hidden[:, k] = True
        guess = np.where(hidden, 5.0, truth)
        made, sure = solved(facts, data.schema, guess, hidden)
        assert not sure.any()  # near the line is not on it
        inner = (truth[:, k] > 0) & (truth[:, k] < types[k].size - 1)
        value = [types[k].low + x[inner, k] * types[k].step for x in (made, truth)]
        assert np.median(np.abs(np.log(value[0] / value[1]))) < 0.03
        low, high = lines.told(near, data.schema, guess, hidden, (0.05, 0.95))
        held = (truth[inner, k] >= np.floor(low[inner, k])) & (truth[inner, k] <= np.ceil(high[inner, k]))
        assert held.mean() == pytest.approx(0.9, abs=0.03)
        rest = np.delete(low, k, axis=1)
        assert np.isnan(rest).all()
        hidden[:, names.index("rock")] = True  # then nobody knows which line it is
        assert np.isnan(lines.told(near, data.schema, guess, hidden, (0.05, 0.95))).all()


def test_lines_of_lines_are_in_turn_and_go_round_in_no_circle() -> None:
    frame = stones(1200)
    rng = np.random.default_rng(5)
    frame["wet"] = (frame["mass"] * 1.1 * np.exp(0.03 * rng.normal(size=1200))).round(2)
    frame["dry"] = (frame["wet"] * 0.8 * np.exp(0.03 * rng.normal(size=1200))).round(2)
    made = found(frame)
    assert len(made) == 3
    given: set[str] = set()
    targets = {one.target for one in made}
    for one in made:
        assert one.base not in targets - given
        given.add(one.target)


def test_a_model_file_gives_it_back_and_a_stranger_s_line_is_left_out() -> None:
    data = latens.load_data(stones(), label="none")
    stored = json.loads(json.dumps(rules_of(data)["lines"]))
    assert lines.read(stored) == found(stones())
    bad = {
        0: (3, stored[0][1]), 1: ("", None), 2: ("rock", ["rock"] * 9), 3: (1, "yes"),
        4: ("a", [[["granite"], 1.0, 0.0]], [[["granite"], "x", 0.0, 1.0, [1.0, 2.0], True]],
            [[["granite"], 1.0, 0.0, 1.0, [1.0, 2.0], 3]], [[["granite"], 1.0, 0.0, 1.0, [1.0], True]]),
        5: ([], [["a"]], [[1.0, 0.0]], [[float("nan")]]), 6: ("many",),
    }  # fmt: skip
    for place, values in bad.items():
        for value in values:
            own = list(stored[0])
            own[place] = value
            if place == 1 and value == "":
                continue
            assert lines.read([own]) == (), (place, value)
    assert lines.read("no list") == lines.read(None) == lines.read([stored[0][:6]]) == ()
    assert lines.read([stored[0][:7]]) == found(stones())  # of before there were numbers without a line
    other = latens.load_data(stones().rename(columns={"volume": "bulk"}), label="none")
    assert lines.placed(lines.read(stored), other.schema) == []  # of another table


def test_names_that_say_as_much_alone_are_no_line() -> None:
    rng = np.random.default_rng(0)
    breed = rng.choice(list("abcdef"), 900)
    weight = np.array([{"a": 3.0, "b": 9.0, "c": 15.0, "d": 28.0, "e": 41.0, "f": 60.0}[one] for one in breed])
    frame = {"breed": breed, "weight": (weight * np.exp(0.05 * rng.normal(size=900))).round(1)}
    frame |= {"age": rng.gamma(2.0, 3.0, 900).round(1), "temperature": rng.normal(38.5, 0.4, 900).round(1)}
    assert found(pd.DataFrame(frame)) == ()


def test_what_if_shows_the_band_of_the_line_and_a_trained_model_samples_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = latens.load_data(stones(), label="none")
    experiment = latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data)
    trained = latens.train(experiment)[0]
    assert lines.read(trained.facts["lines"])[0].by == ("rock",)
    names, asked = [column.name for column in data.schema.columns or ()], answers(trained)
    assert asked is not None
    rock, volume, mass = (names.index(name) for name in ("rock", "volume", "mass"))
    kinds = (data.schema.types or ())[rock].values

    def given(pairs: list[tuple[int, object]]) -> dict[str, object]:
        return {one["column"]: one for one in json.loads(asked(json.dumps({"given": pairs}).encode()))["columns"]}

    for name, density in DENSITY.items():
        told = given([(rock, kinds.index(name)), (volume, "50")])[mass]
        low, middle, high = (float(told["quantiles"][k]) for k in (0, 2, 4))
        assert middle == pytest.approx(50 * density, rel=0.02)
        assert high / low == pytest.approx(np.exp(2 * 1.645 * NOISE), rel=0.06)
        assert sum(told["shares"]) == pytest.approx(1.0)
        assert "exact" not in told
        back = given([(rock, kinds.index(name)), (mass, f"{50 * density:.2f}")])[volume]
        assert float(back["quantiles"][2]) == pytest.approx(50.0, rel=0.02)
    answer = given([(volume, "50")])  # nobody knows the rock: each counts as it is probable
    cells, rocks = 100 * np.array(answer[rock]["shares"]), [DENSITY[name] for name in kinds]
    law = np.concatenate([
        50 * density * np.exp(NOISE * norm.ppf((np.arange(n) + 0.5) / n))
        for density, n in zip(rocks, np.round(cells).astype(int)) if n
    ])  # fmt: skip
    assert float(answer[mass]["mean"]) == pytest.approx(law.mean(), rel=0.02)
    for at, k in ((0.05, 0), (0.5, 2), (0.95, 4)):
        assert float(answer[mass]["quantiles"][k]) == pytest.approx(float(np.quantile(law, at)), rel=0.04)
    trained.save(tmp_path / "model.latens")
    out = tmp_path / "new.csv"
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "model.latens"), "-n", "400", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["near_a_line"] == {"mass": "a line of 'volume' for each 'rock'"}
    new = pd.read_csv(out)
    off = np.log(new["mass"] / new["volume"] / new["rock"].map(DENSITY))
    assert np.mean(np.abs(off) < 4 * NOISE) > 0.98
    assert off.std() == pytest.approx(NOISE, rel=0.3)


def test_a_target_that_says_nothing_of_its_base_does_not_fill_it() -> None:
    frame = tariffs()
    letters = frame["service"] == "slow"
    frame.loc[letters, "price"] = (2.2 * np.exp(0.01 * np.random.default_rng(2).normal(size=letters.sum()))).round(2)
    data = latens.load_data(frame, label="none")
    (one,) = lines.read(rules_of(data)["lines"])
    assert (one.target, one.base) == ("price", "weight")
    assert {kind.names[one.by.index("service")]: kind.back for kind in one.groups} == {"slow": False, "fast": True}
    k = [column.name for column in data.schema.columns or ()].index("weight")
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, k] = True
    (middle,) = lines.told([one], data.schema, np.asarray(data.x), hidden, (0.5,))
    np.testing.assert_array_equal(np.isnan(middle[:, k]), letters)


def test_what_is_asked_for_moves_all_that_leads_to_it() -> None:
    frame = stones(2000)
    frame["wet"] = (frame["mass"] * 1.1 * np.exp(0.03 * np.random.default_rng(5).normal(size=2000))).round(2)
    data = latens.load_data(frame, label="none")
    facts, x = rules_of(data), _coarse(data)
    first, second = lines.read(facts["lines"])
    assert second.base == first.target
    made, _ = computed(facts, data.schema, x, rng=np.random.default_rng(0), bounded=second.target.__eq__)
    before, after = (_columns(data, rows) for rows in (x, made))
    np.testing.assert_array_equal(before[second.target], after[second.target])
    inner = (after["volume"] > 10) & (after["volume"] < 150)
    off = np.log(after["wet"] / after["volume"] / 1.1 / np.array([DENSITY[one] for one in after["rock"]]))[inner]
    assert off.std() == pytest.approx(np.hypot(NOISE, 0.03), rel=0.25)
    off = np.log(after["wet"] / after["mass"] / 1.1)[inner]
    assert off.std() == pytest.approx(0.03, rel=0.25)
