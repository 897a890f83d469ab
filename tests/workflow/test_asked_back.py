"""What is asked of a number that several columns say together says something of these."""

from functools import cache

import jax
import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.conditions import conditions_of
from latens.data.equations import Equation
from latens.explorer.pool import with_new_rows
from latens.explorer.whatif import whatif_columns
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import tree_alone
from latens.workflow import new_rows
from latens.workflow.explain import explain, information, ranges_of, said_in
from latens.workflow.explained import NEW_ROWS, explained
from latens.workflow.trained import TrainedModel
from latens.workflow.unseen import unseen


def boats(n: int = 600) -> pd.DataFrame:
    """Coins that a boat carries by what it is made of and how long and high it is, and what they weigh."""
    rng = np.random.default_rng(0)
    kind, long = rng.choice(["foil", "wood"], n), np.round(rng.uniform(10, 20, n), 1)
    wall = rng.choice([2.0, 3.0, 4.0, 5.0], n)
    coins = np.round(5 * wall + 2 * (long - 10) + 6 * (kind == "foil") + rng.normal(0, 1.5, n))
    empty = np.round(rng.uniform(3, 20, n), 1)
    load = np.round(5.7 * coins, 1)
    frame = {"kind": kind, "long": long, "wall": wall, "empty": empty, "coins": coins.astype(int), "load": load}
    return pd.DataFrame(frame | {"total": np.round(load + empty, 1)})


@cache
def made():
    """The tree of columns with its rules and sums, as a training that gains nothing keeps it."""
    experiment = latens.prepare(get_recipe("default").config, latens.load_data(boats(), label="none"))
    first = experiment.stages()[0].start(experiment.new_model(), experiment.data)
    trained = experiment.trained(tree_alone(first)).with_facts(start={"kept": True})
    return trained.with_facts(effects=experiment._rules["effects"]), experiment.data


def frame_of(trained: TrainedModel, x: np.ndarray) -> pd.DataFrame:
    cells = zip(trained.schema.names, trained.schema.types or (), np.asarray(x, np.float64).T)
    return pd.DataFrame(
        {n: np.array(one.values)[own.astype(int)] if one.named else one.low + one.step * own for n, one, own in cells}
    )


def test_rows_that_carry_much_are_those_of_all_rows_that_carry_much() -> None:
    """By Bayes: as the rows of many new ones that lie between the bounds, in every column that says the coins."""
    trained, _ = made()
    many = frame_of(trained, trained.sample(12000, seed=3))
    wanted = many[(many["coins"] >= 38) & (many["coins"] <= 44)]
    new = frame_of(trained, trained.sample(1000, seed=4, given={"coins": (38, 44)}))
    assert new["coins"].between(38, 44).all()
    for name in ("long", "wall"):
        error = wanted[name].std() * np.sqrt(1 / len(wanted) + 1 / len(new))
        assert new[name].mean() == pytest.approx(wanted[name].mean(), abs=4 * error)
        assert wanted[name].mean() > boats()[name].mean() + 4 * error
    fitting = lambda one: 5 * one["wall"] + 2 * (one["long"] - 10) + 6 * (one["kind"] == "foil") - one["coins"]  # noqa: E731
    assert np.abs(fitting(new)).median() < 1.5 * np.abs(fitting(many)).median()
    np.testing.assert_allclose(new["load"], 5.7 * new["coins"], atol=0.06)
    np.testing.assert_allclose(new["total"], new["load"] + new["empty"], atol=0.06)


@pytest.mark.parametrize(("asked", "low", "high"), [({"coins": 30}, 30, 30), ({"load": 171.0}, 30, 30)])
def test_one_number_and_what_is_computed_of_it_are_there(asked: dict[str, float], low: int, high: int) -> None:
    trained, _ = made()
    new = frame_of(trained, trained.sample(300, seed=4, given=asked | {"kind": "wood"}))
    assert new["coins"].between(low, high).all()
    assert (new["kind"] == "wood").all()
    np.testing.assert_allclose(new["total"], 171.0 + new["empty"], atol=0.06)
    assert (5 * new["wall"] + 2 * (new["long"] - 10)).mean() == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize("asked", [{"coins": (40, 60)}, {"load": (228.0, 342.0)}])
def test_where_too_few_have_it_the_nearest_are_moved(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, tuple[float, float]]
) -> None:
    trained, _ = made()
    monkeypatch.setattr(new_rows, "USUAL", 400)
    monkeypatch.setattr(new_rows, "MOST_POOLS", 2)
    new = frame_of(trained, trained.sample(300, seed=4, given=asked))
    assert len(new) == 300
    assert new["coins"].between(40, 60).all()
    assert new["long"].mean() > 15.5
    np.testing.assert_allclose(new["load"], 5.7 * new["coins"], atol=0.06)


def test_what_others_say_in_new_rows_is_that_of_their_counts() -> None:
    trained, _ = made()
    types, names = list(trained.schema.types or ()), trained.schema.names
    new = np.asarray(trained.sample(8000, seed=0), np.float64)
    at, kind = names.index("coins"), names.index("kind")
    first, _ = ranges_of(types[at])
    table = pd.crosstab(np.searchsorted(first, new[:, at], side="right"), new[:, kind]).to_numpy(float)
    free = (table.shape[0] - 1) * (table.shape[1] - 1)
    assert said_in(new, types, at, kind).value == pytest.approx(information(table) - free / 16000)
    shuffled = np.array(new)
    shuffled[:, at] = np.random.default_rng(0).permutation(new[:, at])
    assert said_in(shuffled, types, at, kind).value < 0.003  # by chance
    told = dict(explain(trained, "coins", new=new).columns)
    assert told["kind"].value == said_in(new, types, at, kind).value
    columns = whatif_columns(trained) or []
    files: dict[str, bytes] = {}
    told = with_new_rows(trained, columns, files) or {}
    assert [names[k] for k in told["counted"]] == ["coins", "load", "total"]
    kept = np.frombuffer(files[told["file"]], "<u2").reshape(told["shape"])
    np.testing.assert_array_equal(kept, np.asarray(trained.sample(NEW_ROWS, seed=0)).T)
    by = {one["name"]: one for one in columns}
    assert set(by["coins"]["follows"]) == {"kind", "long", "wall"}
    assert by["coins"]["says"]["kind"] > 0.01 > by["coins"]["says"]["empty"]
    assert "follows" not in by["kind"]


def test_columns_that_give_a_number_together_are_hidden_where_it_is_asked_for() -> None:
    """The total less the empty boat is the load, which is the coins: neither may say them."""
    trained, data = made()
    assert {Equation(*row).target for row in trained.facts["equations"]} == {"load", "total"}
    found = unseen(trained, data, "coins")
    assert found is not None
    assert list(found.tied) == ["load", "total"]
    assert 0.8 < found.error < 2.5  # the noise has a mean absolute error of 1.2


def test_of_the_nearest_those_that_keep_the_rules_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second row that is moved to what is asked for breaks a rule, and the others are enough."""
    trained, _ = made()
    monkeypatch.setattr(new_rows, "USUAL", 1000)
    moved = new_rows.computed

    def half(facts, schema, x, asked=lambda name: False, *more):
        rows, wrong = moved(facts, schema, x, asked, *more)
        return rows, wrong | (asked("coins") & (np.arange(len(x)) % 2 == 0))

    monkeypatch.setattr(new_rows, "computed", half)
    given = conditions_of({"coins": 45}, trained.schema)
    for spare, left in ((new_rows.SPARE, 0), (1, 50)):
        monkeypatch.setattr(new_rows, "SPARE", spare)
        monkeypatch.setattr(new_rows, "_inside", lambda x, conditions: np.zeros(0, int))
        kept, _ = new_rows.table_given(trained, given, 100, 0, key=jax.random.key(0))
        assert len(kept.arrays["x"]) == 100
        assert kept.left == left


def test_what_shares_an_equation_of_a_third_column_may_be_a_cause_and_what_follows_is_none() -> None:
    """The total is the load and the empty boat: the boat says nothing by arithmetic. What the coins give follows."""
    trained, data = made()
    told = explained(trained, "coins", data)
    assert told.tied == set()
    assert told.computed == {"load", "total"}
    assert set(told.told) <= {"kind", "long", "wall", "empty"}
    assert {"kind", "wall"} <= set(told.told)
    long = explained(trained, "long", data)
    assert dict(long.found.columns)["coins"].value > 0.1
    assert "coins" not in long.told
    load = explained(trained, "load", data)
    assert load.tied == {"coins"}
    assert "coins" not in load.told
