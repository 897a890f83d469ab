"""The report of a table begins with one column: its means by others, and what is said of it in sentences."""

import re
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data import check
from latens.data.effects import Effects, Term
from latens.errors import DataError
from latens.evaluation.samples.conditional import CHUNK, sample_given
from latens.figures.groups import Groups, group_means
from latens.pictures import alternatives
from latens.pictures.draw import draw_pictures
from latens.pictures.groups import _of
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import tree_alone
from latens.report.told import held
from latens.workflow import explained as explained_module
from latens.workflow import new_rows
from latens.workflow import unseen as unseen_module
from latens.workflow.explain import explain
from latens.workflow.explained import asked_first, explained
from latens.workflow.unseen import Unseen, column_line, unseen


def bridges(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    design = rng.choice(["arch", "beam", "truss"], n)
    strands = rng.choice([20, 30, 60], n)
    load = np.round(4.0 * (design == "truss") + 0.1 * strands + rng.normal(0, 1, n) + 5, 1)
    noise = np.round(rng.normal(0, 1, n), 1)
    return pd.DataFrame({"noise": noise, "design": design, "strands": strands, "load": load})


@cache
def made(start: str = "closed-form"):
    """The tree that a model begins with, or a model without one, and its rows; nothing is trained."""
    config = override(get_recipe("default").config, {"start.kind": start})
    experiment = latens.prepare(config, latens.load_data(bridges()))
    first = experiment.stages()[0].start(experiment.new_model(), experiment.data)
    if start == "none":
        return experiment.trained(first), experiment.data
    return experiment.trained(tree_alone(first)).with_facts(start={"kept": True}), experiment.data


def test_the_column_that_most_others_say_is_asked_about_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_first(made()[0]) == "load"
    for nats, first in ((0.06, "load"), (0.04, None)):
        edges = np.array([0, 1, 2, 2]), np.array([0.0, 0.0, 0.0, nats])
        monkeypatch.setattr(explained_module, "edges_of", lambda head, edges=edges: edges)
        assert asked_first(made()[0]) == first


def test_means_in_the_picture_are_those_of_the_rows() -> None:
    trained, data = made()
    found = {name: table for name, _, table in draw_pictures(trained, data, only=["groups"])}
    table, frame = pd.DataFrame(found["groups"]), bridges()
    design = table[table["column"] == "design"].set_index("group")
    own = frame.groupby("design")["load"].agg(["size", "mean", "sem"])
    np.testing.assert_array_equal(design.loc[own.index, "rows"], own["size"])
    np.testing.assert_allclose(design.loc[own.index, "data"].astype(float), own["mean"], atol=1e-6)
    np.testing.assert_allclose(design.loc[own.index, "errors"].astype(float), own["sem"], atol=1e-6)
    strands = table[table["column"] == "strands"]
    assert (np.abs(strands["samples"].astype(float) - strands["data"].astype(float)) < 1.0).all()
    assert "noise" not in set(table["column"])


def test_a_number_that_follows_a_sum_is_told_as_new_rows_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model by itself knows nothing of the design: new rows, which follow the sum, say how much it does."""
    trained, data = made()
    term = Term(("design",), False, (), (("arch",), ("beam",), ("truss",)), (-0.5, -0.5, 1.0), 0.7)
    one = Effects("load", False, 9.0, (term,), 0.5, (), ((-1.0, 0.0, 1.0),), (), 300)
    monkeypatch.setattr(explained_module, "near_in", lambda facts, schema: [one])
    types, names = trained.schema.types, trained.schema.names
    assert types is not None
    new = np.array(trained.sample(4000), np.float64)
    load, design = types[names.index("load")], new[:, names.index("design")]
    new[:, names.index("load")] = np.round((10.0 + 3.0 * (design == 2.0) - load.low) / load.step)
    monkeypatch.setattr(type(trained), "sample", lambda self, n, seed=0: new)
    told = explained(trained, "load", data)
    high, low = map(
        float, re.findall(r"about (\S+) where design is truss, (\S+) where", told.found.effects["design"])[0]
    )
    assert high == pytest.approx(13.0, abs=0.4)  # of ranges of like mass
    assert low == pytest.approx(10.0, abs=0.4)
    assert told.kept == ["design"]
    near = next(k for k, line in enumerate(told.sentences) if "lies near" in line)
    assert near > max(k for k, line in enumerate(told.sentences) if "is on average" in line)


def test_columns_of_one_equation_do_not_say_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, _ = made()
    monkeypatch.setattr(explained_module, "tied_in", lambda facts, schema: [{"strands", "load", "noise"}])
    assert asked_first(trained) not in ("strands", "load", "noise")


def test_what_is_filled_in_is_off_by_its_noise() -> None:
    """The load is a sum of what design and strands do and noise of deviation 1, whose mean absolute error is 0.8."""
    trained, data = made()
    found = unseen(trained, data, "load")
    assert found is not None
    rows = data.subset("test")
    assert found.rows == len(rows)
    own = np.asarray(data.x, np.float64)[:, 3] + (0.0 if data.outside is None else data.outside[:, 3])
    guess = np.abs(own[rows] - np.asarray(data.x, np.float64)[data.subset("train"), 3].mean()).mean()
    assert found.guessed == pytest.approx(0.1 * guess)
    assert 0.5 < found.error < 0.8 * found.guessed
    assert found.line.startswith(
        f"On {len(rows)} unseen rows, by their other columns: load is off by {found.error:.3g}"
    )


def told_of(trained, data, monkeypatch: pytest.MonkeyPatch, wrong: float) -> Unseen | None:
    """What is said of the design where a share of rows is filled in with another one."""
    at, rows = 1, data.subset("test")
    names = np.asarray(data.x, np.float64)[rows, at]
    told = np.where(np.arange(len(rows)) < wrong * len(rows), (names + 1) % 3, names)

    def filled(facts, schema, new, known, hidden, seed, past):
        assert hidden[:, at].all()
        return np.where(np.arange(new.shape[1]) == at, told[:, None], new)

    monkeypatch.setattr(unseen_module, "filled", filled)
    return unseen(trained, data, "design")


@pytest.mark.parametrize("wrong", [0.0, 0.5, 1.0])
def test_a_name_is_told_by_how_often_it_is_right(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    trained, data = made()
    found = told_of(trained, data, monkeypatch, wrong)
    assert found is not None
    rows = data.subset("test")
    own = np.asarray(data.x)[:, 1].astype(int)
    most = np.bincount(own[data.subset("train")]).argmax()
    assert found.error == pytest.approx(np.ceil(wrong * len(rows)) / len(rows))
    assert found.guessed == pytest.approx((own[rows] != most).mean())
    assert f"design is right in {1 - found.error:.0%} (guessing: {1 - found.guessed:.0%})." in found.line


def test_few_rows_say_nothing_of_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, data = made()
    found = unseen(trained, data, "load")
    assert found is not None
    assert column_line(trained, data) == found.line
    own = np.asarray(data.x, np.float64)[:, 3] + (0.0 if data.outside is None else data.outside[:, 3])
    usual = np.asarray(data.x, np.float64)[data.subset("train"), 3].mean()
    assert found.guessed == pytest.approx(0.1 * np.abs(own[data.subset("test")] - usual).mean())
    for one in (len(data.subset("test")), len(data.subset("test")) + 1):
        monkeypatch.setattr(unseen_module, "LEAST", one)
        assert (unseen(trained, data, "load") is None) == (one > len(data.subset("test")))
    assert column_line(trained, data) == ""


def test_what_is_measured_is_asked_about_before_what_is_computed_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Effects("strands", False, 9.0, (), 0.5, (), (), ("load",), 300)
    one = one._replace(terms=(Term(("design",), False, (), (("arch",),), (0.0,), 0.7),))
    monkeypatch.setattr(explained_module, "near_in", lambda facts, schema: [one])
    assert asked_first(made()[0]) == "strands"
    monkeypatch.setattr(explained_module, "placed", lambda facts, schema, **how: [SimpleNamespace(target="strands")])
    assert asked_first(made()[0]) == "load"


def test_a_model_with_latents_is_explained_by_repeats() -> None:
    trained, _ = made("none")
    assert all(one.standard_error > 0 for _, one in explain(trained, "design").columns)
    assert all(one.standard_error == 0 for _, one in explain(made()[0], "design").columns)


@pytest.mark.parametrize(("nothing", "chunk"), [(True, 256), (False, CHUNK)])
def test_as_many_draws_as_rows_are_enough_where_latents_say_nothing(
    monkeypatch: pytest.MonkeyPatch, nothing: bool, chunk: int
) -> None:
    trained, _data = made()
    seen: list[int] = []

    def drawn(*args: Any, chunk: int, **how: Any) -> Any:
        seen.append(chunk)
        return sample_given(*args, chunk=256, **how)

    monkeypatch.setattr(new_rows, "sample_given", drawn)
    monkeypatch.setattr(new_rows, "says_nothing", lambda model: nothing)
    trained.sample(200, given={"design": "truss"})
    assert seen[0] == chunk


def test_rules_that_all_rows_keep_stand_apart_from_what_needs_a_look() -> None:
    lines = [
        "Column 'a' is b in 9 rows. Samples keep it.",
        "Column 'c' is d, and not in 1: look at line 3. Samples keep it.",
    ]
    assert held([*lines, "other"]) == (["Column 'a' is b in 9 rows."], [lines[1], "other"])


def test_the_range_that_check_prints_is_that_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    thick = np.where(rng.random(300) < 0.05, np.nan, rng.choice([1.2, 1.7], 300))
    frame = bridges().assign(thick=thick)
    told = {one["name"]: one["values"] for one in check(latens.load_data(frame))["columns"]}
    assert told["thick"].startswith("1.2 to 1.7")


def test_sentences_begin_with_the_means() -> None:
    trained, data = made()
    told = explained(trained, "load", data)
    assert told.sentences[0].startswith("load is on average about")
    assert told.told[0] in ("design", "strands")
    assert told.sentences[-1] == "What goes together need not be cause and effect."


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_each_column_has_a_panel_with_its_groups(columns: int) -> None:
    one = [Groups("y", f"c{k}", ["a", "b"], [10, 20], [1.0, 3.0], [0.5, np.nan], [1.5, 2.5]) for k in range(columns)]
    axes, table = group_means(one)
    shown = [ax for ax in np.ravel(axes) if ax.get_visible() and ax.get_title("left").startswith("c")]
    assert len(shown) == columns
    assert [text.get_text() for text in shown[0].get_xticklabels()] == ["a\n10 rows", "b\n20 rows"]
    low, high = shown[0].get_ylim()
    assert low <= 0.0
    assert high >= 3.0
    assert table["column"].tolist() == [f"c{k}" for k in range(columns) for _ in "ab"]
    assert table["samples"].tolist() == [1.5, 2.5] * columns
    assert alternatives.groups(table).startswith("Means: y by c0 a 1.00 (10 rows); y by c0 b 3.00 (20 rows)")
    with pytest.raises(DataError, match="no column"):
        group_means([])


@pytest.mark.parametrize("column", ["design", "strands", "noise"])
def test_an_empty_cell_is_of_no_group(column: str) -> None:
    """One row in five lacks the cell: the groups hold the others, each with its own."""
    trained, data = made()
    types, names = list(trained.schema.types or ()), list(trained.schema.names)
    j, at = names.index(column), names.index("load")
    x = np.asarray(data.x, np.float64)[:, [j, at]]
    x[::5, 0] = np.nan
    found = _of("load", column, types[j], types[at], x, x[np.isfinite(x[:, 0])])
    whole = _of("load", column, types[j], types[at], x[np.isfinite(x[:, 0])], x[np.isfinite(x[:, 0])])
    assert found == whole
    assert sum(found.rows) <= np.isfinite(x[:, 0]).sum()
