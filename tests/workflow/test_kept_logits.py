"""Names that several columns say together are drawn by a logistic regression, where it says rows better than a tree."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

import latens
from latens.cli.main import main
from latens.config import override
from latens.data import logits
from latens.data.effects import Term
from latens.data.logits import Logit, chances, redrawn
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import tree_alone
from latens.workflow.kept_logits import SHARES, _mixed, with_logits
from latens.workflow.trained import TrainedModel


def patients(strength: float, n: int = 500, seed: int = 0) -> pd.DataFrame:
    """An outcome whose log odds are a sum of four columns that are independent of one another."""
    rng = np.random.default_rng(seed)
    numbers = {name: np.round(rng.normal(50, 10, n), 1) for name in ("age", "sugar", "weight")}
    sex = rng.choice(["f", "m"], n)
    odds = strength * (sum((one - 50) / 10 for one in numbers.values()) + (sex == "m") - 0.5)
    ill = np.where(rng.random(n) < expit(odds), "yes", "no")
    return pd.DataFrame({**numbers, "sex": sex, "noise": rng.choice(["a", "b", "c"], n), "ill": ill})


@cache
def kept(strength: float) -> TrainedModel:
    data = latens.load_data(patients(strength), label="none")
    experiment = latens.prepare(override(get_recipe("default").config, {}), data)
    first = experiment.stages()[0].start(experiment.new_model(), experiment.data)
    trained = experiment.trained(tree_alone(first)).with_facts(start={"kept": True})
    return with_logits(trained, experiment.data)


def targets(trained: TrainedModel) -> list[str]:
    return [one.target for one in logits.read(trained.facts.get("logits"))]


@pytest.mark.parametrize(("strength", "found"), [(1.0, True), (0.0, False)])
def test_what_columns_say_together_is_kept_and_chance_is_not(strength: float, found: bool) -> None:
    assert ("ill" in targets(kept(strength))) == found
    assert "noise" not in targets(kept(strength))


def test_only_a_tree_that_is_kept_has_them() -> None:
    data = latens.load_data(patients(1.0), label="none")
    trained = kept(1.0).with_facts(start={}, logits=[])
    assert targets(with_logits(trained, data)) == []


def slope(frame: pd.DataFrame) -> float:
    """By how much the log odds rise with the sum, by least squares of the outcome on it."""
    total = sum((frame[name] - 50) / 10 for name in ("age", "sugar", "weight")) + (frame["sex"] == "m") - 0.5
    return float(np.polyfit(total, frame["ill"] == "yes", 1)[0])


def new_rows(trained: TrainedModel, n: int = 4000, **how) -> pd.DataFrame:
    x, types = np.asarray(trained.sample(n, seed=1, **how), np.float64), trained.schema.types or ()
    cells = {name: np.array(one.values)[x[:, k].astype(int)] if one.named else one.low + one.step * x[:, k]
             for k, (name, one) in enumerate(zip(trained.schema.names, types))}  # fmt: skip
    return pd.DataFrame(cells)


def test_new_rows_have_the_outcome_that_their_columns_ask_for() -> None:
    truth = slope(patients(1.0, 4000, seed=9))
    with_it, without = (slope(new_rows(one)) for one in (kept(1.0), kept(1.0).with_facts(logits=[])))
    assert with_it == pytest.approx(truth, rel=0.15)
    assert abs(with_it - truth) < abs(without - truth)
    # The share of each name stays what it is in the data.
    assert (new_rows(kept(1.0))["ill"] == "yes").mean() == pytest.approx(
        (patients(1.0)["ill"] == "yes").mean(), abs=0.04
    )


def test_an_outcome_that_is_asked_for_moves_all_columns_that_say_it() -> None:
    """By Bayes: the mean of each column among those of 40,000 rows that are ill."""
    many = patients(1.0, 40000, seed=5)
    ill, new = many[many["ill"] == "yes"], new_rows(kept(1.0), 2000, given={"ill": "yes"})
    assert (new["ill"] == "yes").all()
    for name in ("age", "sugar", "weight"):
        assert ill[name].mean() > 52
        assert new[name].mean() == pytest.approx(ill[name].mean(), abs=1.6)


def by_hand() -> Logit:
    up = Term(("age",), False, (40.0, 60.0), (), (-1.0, 1.0), 0.5)
    sex = Term(("sex",), False, (), (("f",), ("m",)), (0.25, -0.5), 0.2)
    return Logit("ill", ("no", "yes"), (0.0, 0.3), ((), (up, sex)), 500)


def test_chances_are_the_softmax_of_the_sums() -> None:
    schema = kept(0.0).schema
    types, names = schema.types or (), schema.names
    x = np.zeros((3, len(names)))
    x[:, names.index("age")] = (np.array([50.0, 60.0, 1000.0]) - types[0].low) / types[0].step
    x[:, names.index("sex")] = [0, 1, 1]
    shown = np.ones(x.shape, bool)
    shown[2, names.index("sex")] = False
    expected = softmax(np.array([[0.0, 0.3 + 0.0 + 0.25], [0.0, 0.3 + 1.0 - 0.5], [0.0, 0.3 + 1.0]]), axis=1)
    np.testing.assert_allclose(chances(by_hand(), schema, x, shown), expected, atol=1e-9)
    # A level that all names share changes nothing.
    moved = by_hand()._replace(levels=(7.0, 7.3))
    np.testing.assert_allclose(chances(moved, schema, x, shown), expected, atol=1e-9)


def test_names_come_as_often_as_their_chances_say_and_what_is_asked_for_stays() -> None:
    schema = kept(0.0).schema
    x = np.tile(np.asarray(kept(0.0).sample(1, seed=0), np.float64), (20000, 1))
    at = schema.names.index("ill")
    made = redrawn([by_hand()], schema, x, np.random.default_rng(0))
    p = chances(by_hand(), schema, x[:1])[0, 1]
    assert made[:, at].mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20000))
    np.testing.assert_array_equal(np.delete(made, at, axis=1), np.delete(x, at, axis=1))
    np.testing.assert_array_equal(redrawn([by_hand()], schema, x, np.random.default_rng(0), {"ill"}), x)


def test_a_share_of_the_rows_is_drawn_anew() -> None:
    """Of rows that all say no, by a regression that always says yes: as many as the share."""
    schema = kept(0.0).schema
    x = np.tile(np.asarray(kept(0.0).sample(1, seed=0), np.float64), (20000, 1))
    at = schema.names.index("ill")
    x[:, at] = (schema.types or ())[at].values.index("no")
    sure = by_hand()._replace(levels=(-40.0, 40.0), share=0.3)
    made = redrawn([sure], schema, x, np.random.default_rng(0))
    assert (made[:, at] != x[:, at]).mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 20000))


def test_a_share_is_as_large_as_rows_allow_and_saves_what_both_together_say() -> None:
    rng = np.random.default_rng(0)
    good, bad = np.log(rng.uniform(0.7, 0.9, 400)), np.log(rng.uniform(0.1, 0.3, 400))
    assert _mixed(good, bad)[0] == 1.0
    assert _mixed(bad, good)[0] == min(SHARES)
    # Each is right where the other is wrong: by half of the rows, and no single one saves anything.
    ours, theirs = np.where(np.arange(400) % 2, good, bad), np.where(np.arange(400) % 2, bad, good)
    share, saved = _mixed(ours, theirs)
    assert share == 0.5
    np.testing.assert_allclose(saved, np.log(0.5 * np.exp(ours) + 0.5 * np.exp(theirs)) - theirs, atol=1e-12)
    assert saved.mean() > 0.2 > abs((ours - theirs).mean())


def test_a_file_holds_them_and_what_is_none_is_left_out() -> None:
    one = by_hand()
    assert logits.read([list(one)]) == (one,)
    assert logits.read([list(one)[:5]]) == (one,)  # files before 2026-11-28 had no share
    loop = one._replace(terms=((), (Term(("ill",), False, (), (("yes",),), (1.0,), 0.1),)))
    for bad in (one._replace(levels=(0.0,)), one._replace(names=("no", "no")), loop, one._replace(levels=(0.0, 1e200)),
                one._replace(share=0.0), one._replace(share=1.5)):  # fmt: skip
        assert logits.read([list(bad)]) == ()
    assert logits.placed([one._replace(names=("no", "maybe"))], kept(0.0).schema) == []
    assert logits.placed([one], kept(0.0).schema) == [one]


def test_sample_names_them_and_a_file_keeps_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.safetensors"
    kept(1.0).save(model)
    assert logits.read(latens.load(model).facts["logits"]) == logits.read(kept(1.0).facts["logits"])
    assert main(["sample", str(model), "-n", "20", "--out", str(tmp_path / "new.csv")]) == 0
    assert "drawn by all other columns together: ill" in capsys.readouterr().err
    assert main(["sample", str(model), "-n", "20", "--where", "ill=yes", "--out", str(tmp_path / "ill.csv")]) == 0
    assert "drawn by all" not in capsys.readouterr().err
    assert set(pd.read_csv(tmp_path / "ill.csv")["ill"]) == {"yes"}


@pytest.mark.parametrize("shape", [(60, 4), (40, 8, 2)])
def test_rows_without_columns_of_names_stay_as_they_are(shape: tuple[int, ...]) -> None:
    """Numbers and windows of a series whose closed form stays have none to draw: asking ended with an error."""
    data = latens.load_data(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    trained: Any = SimpleNamespace(facts={"start": {"kept": True}}, schema=data.schema)
    assert with_logits(trained, data) is trained
