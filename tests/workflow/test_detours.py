"""New rows of a table leave out edges of its tree that a rule makes again, where the data ask for it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens import prepare
from latens.data import Dataset
from latens.data.conditions import Conditions
from latens.explorer.whatif import _shares
from latens.models.heads.tree import edges_of
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import started_from
from latens.workflow import detours
from latens.workflow.detours import Detour, without_detours
from latens.workflow.trained import TrainedModel


def boxes(alike: float = 0.0, n: int = 500) -> Dataset:
    """Boxes whose length, width and height are independent or alike, with their volume."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=n)
    sides = [np.exp(0.3 * (alike * common + np.sqrt(1 - alike**2) * rng.normal(size=n))) for _ in range(3)]
    long, wide, high = (np.round(10.0 * one) / 2 for one in sides)
    frame = {"kind": rng.choice(["red", "blue"], n), "long": long, "wide": wide, "high": high}
    return latens.load_data(pd.DataFrame(frame | {"volume": (long * wide * high).round(3)}), label="none")


def trained_on(data: Dataset) -> TrainedModel:
    """The tree of columns, as a training that gains nothing keeps it."""
    experiment = prepare(get_recipe("default").config, data)
    model = started_from(experiment.new_model(), experiment.data, experiment.preparation, begun=1.0)
    trained = experiment.trained(model).with_facts(start={"kept": True})
    return trained.with_facts(detours=detours.found_in(trained, experiment.data))


def dependence(trained: Any, a: str, b: str) -> float:
    x, names = trained.sample(6000, seed=3), trained.schema.names
    ranks = [np.argsort(np.argsort(x[:, names.index(name)])) for name in (a, b)]
    return float(np.corrcoef(ranks)[0, 1])


@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_sides_are_as_independent_as_in_the_data_though_their_volume_joins_them(alike: float) -> None:
    trained = trained_on(boxes(alike))
    through = trained.with_facts(detours=[])
    sides = ("long", "wide", "high")
    pairs = [(a, b) for a in sides for b in sides if a < b]
    x = np.asarray(boxes(alike).x)
    names = trained.schema.names
    real = dict.fromkeys(pairs, 0.0)  # as they are made; alike ones as these rows are
    for pair in pairs if alike else ():
        ranks = [np.argsort(np.argsort(x[:, names.index(one)])) for one in pair]
        real[pair] = float(np.corrcoef(ranks)[0, 1])
    off, before = ([abs(dependence(one, *pair) - real[pair]) for pair in pairs] for one in (trained, through))
    if alike:
        assert max(off) < 0.15
        return
    assert max(before) > 0.15  # two sides below the volume
    assert max(off) < 0.05
    assert {column for column, _ in trained.facts["detours"]} <= set(sides)


def test_what_a_condition_asks_for_is_reached_through_the_edge() -> None:
    trained = trained_on(boxes())
    head: Any = trained.model.decoder.head
    names, (parents, nats) = list(trained.schema.names), edges_of(head)
    below = [name for j, name in enumerate(names) if names[int(parents[j])] == "volume" and nats[j] > 0.1]
    assert below
    cut = trained.with_facts(detours=[list(Detour(below[0], ("volume",)))])
    assert edges_of(without_detours(cut).decoder.head)[1][names.index(below[0])] == pytest.approx(0.0, abs=1e-6)
    assert edges_of(without_detours(cut, ["kind"]).decoder.head)[1][names.index(below[0])] == pytest.approx(
        0.0, abs=1e-6
    )
    assert without_detours(cut, ["volume"]) is cut.model
    assert without_detours(trained.with_facts(detours=[["gone", ["volume"]], ["long"], 3])) is trained.model
    # What if asks the same model: a side says nothing of another one, though their volume joins them.
    sides = [names.index(name) for name in ("long", "wide", "high")]
    fixed = np.isin(np.arange(len(names)), sides[:1])
    least = np.where(fixed, 0.0, -np.inf)
    asked = Conditions(least, np.where(fixed, 0.0, np.inf))
    every = [list(Detour(names[j], ("volume",))) for j in range(len(names)) if j != names.index("volume")]
    free = Conditions(np.full(len(names), -np.inf), np.full(len(names), np.inf))
    for facts, joined in ((every, False), ([], True)):
        found = [_shares(trained.with_facts(detours=facts), one).columns for one in (asked, free)]
        moved = [0.5 * float(np.abs(found[0][j] - found[1][j]).sum()) for j in sides[1:]]
        assert (max(moved) > 0.03) == joined
    others = [j for j, name in enumerate(names) if name != below[0]]
    np.testing.assert_allclose(edges_of(without_detours(cut).decoder.head)[1][others], nats[others], atol=1e-6)


def test_columns_that_no_rule_gives_have_no_detour() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    frame = {"kind": rng.choice(["x", "y"], 300), "a": a, "b": a + rng.normal(size=300), "c": a + rng.normal(size=300)}
    data = latens.load_data(pd.DataFrame(frame).round(2), label="none")
    trained = trained_on(data)
    assert detours.found_in(trained, data) == []
    assert detours.found_in(trained.with_facts(start={}), data) == []


def test_edges_from_a_number_along_a_line_to_what_it_lies_along_by_are_tried() -> None:
    """The place says the leaves beside the height: below these it would go with all that the height goes with."""
    rng, n = np.random.default_rng(0), 500
    sort, place = rng.choice(["bean", "pea", "broad"], n), rng.choice(["south", "north", "dark"], n)
    height = np.round(20 * np.exp(0.4 * rng.normal(size=n)), 1)
    by_sort, by_place = {"bean": 1.1, "broad": 1.6, "pea": 0.7}, {"south": 1.1, "north": 1.0, "dark": 0.4}
    mass = 0.1 * height * np.vectorize(by_sort.get)(sort) * np.exp(0.05 * rng.normal(size=n))
    leaves = 0.3 * height * np.vectorize(by_place.get)(place) * np.exp(0.05 * rng.normal(size=n))
    frame = {"sort": sort, "place": place, "height": height, "leaves": leaves.round(2), "mass": mass.round(2)}
    trained = trained_on(latens.load_data(pd.DataFrame(frame), label="none"))
    assert {rule[0] for rule in trained.facts["lines"]} == {"leaves", "mass"}

    through = {one.column: one.through for one, _ in detours._candidates(trained)}
    assert through == {"place": ("leaves",)}  # the sort stands below no number that lies along a line by it
