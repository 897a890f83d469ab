"""Unusual rows: p-values that are what they say, false alarms that are kept, and what is said of a density."""

import dataclasses
import itertools
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from evidence_fixtures import MU, PRECISION, SIGMA, Linear10, W, log_p_of_linear, rows_of_linear
from msgspec.structs import replace
from paths import GOLDEN

import latens
from latens.config import override
from latens.data import Preparation, load
from latens.data.schema import Column
from latens.errors import DataError
from latens.evidence import Estimate
from latens.recipes import get_recipe
from latens.trained import cell_scores as detection
from latens.trained import measurement as core
from latens.trained.cell_scores import blame, detect, named_cells
from latens.trained.measurement import density_of, still_rising, what_density
from latens.trained.trained_model import TrainedModel

TRAINED = TrainedModel.load(GOLDEN / "format-2-table.safetensors")
WORDS = [
    (Preparation(), "real", "x", "density in the data's own units; "),
    (Preparation(), "counts", "x", "density in the data's own units; "),
    (Preparation(), "levels", "x", "density in the data's own units; "),
    (Preparation(), "unit", "x", "density in the data's own units; "),
    (Preparation(), "binary", "x", "density in the data's own units; "),
    (Preparation(), "mixed", "x", "probability of the cells as they were recorded; "),
    (Preparation(divide=255.0), "levels", "x / 255", "density of x / 255; "),
    (
        Preparation(divide=256.0, dequantize=True),
        "levels",
        "(x + u) / 256",
        "density of (x + u) / 256 with uniform u; ",
    ),
    (Preparation(divide=255.0, binarize="stochastic"), "levels", "x", "density of cells binarised at random, once; "),
    (
        Preparation(divide=255.0, binarize="threshold", threshold=0.3),
        "levels",
        "x",
        "density of cells binarised at 0.3; ",
    ),
    (Preparation(log1p=True), "counts", "log(1 + x)", "density of log(1 + x), not of the counts; "),
]


@pytest.mark.parametrize(("preparation", "kind", "of", "words"), WORDS)
def test_densities_in_words(preparation, kind, of, words):
    schema = replace(TRAINED.schema, kind=kind, levels=256 if kind == "levels" else None)
    own = dataclasses.replace(TRAINED, preparation=preparation, schema=schema)
    assert density_of(own) == of
    assert what_density(own) == words
    config = override(get_recipe("default").config, {"likelihood.family": "bernoulli"})
    bernoulli = dataclasses.replace(own, config=config)
    grey = kind in ("levels", "unit") and preparation.binarize == "none"
    told = "grey cells under a Bernoulli: a cross-entropy, not log p(x); " if grey else words
    told = told.replace("density of cells", "cells").replace("density in the data's own units; ", "")
    assert what_density(bernoulli) == told


@pytest.mark.parametrize("known", list(itertools.product([False, True], repeat=3)))
def test_a_density_says_all_that_is_known_of_a_row(known):
    """The label, conditions and the total, each of which may be given or not."""
    prepare = replace(TRAINED.preparation, classes=2 * known[0], depth=known[2])
    schema = replace(TRAINED.schema, conditions=(Column("age"), Column("dose")) if known[1] else None)
    trained = dataclasses.replace(TRAINED, preparation=prepare, schema=schema)
    data = load(np.arange(12.0).reshape(4, 3), schema=TRAINED.schema)
    made = core.Measurement(trained, data, data.rows(np.arange(4)), None, 1, jax.random.key(0))
    names = [["the label"], ["age", "dose"], ["the total"]]
    given = " and ".join(name for each, one in zip(known, names) if each for name in one)
    assert made.what.endswith(f"; given {given} of each row; ") if given else "given" not in made.what


@pytest.mark.parametrize(
    ("facts", "rising"),
    [
        ({"stopped_because": "budget", "steps": 5, "best_step": 5}, True),
        ({"stopped_because": "minutes", "steps": 5, "best_step": 5}, True),
        ({"stopped_because": "budget", "steps": 5, "best_step": 4}, False),
        ({"stopped_because": "patience", "steps": 5, "best_step": 5}, False),
        ({"stopped_because": "budget"}, False),
        ({}, False),
    ],
)
def test_a_training_that_ended_at_its_best_was_still_rising(facts, rising):
    assert still_rising(facts) is rising


def test_a_classifier_and_samples_are_measured_in_the_seconds_that_they_took(monkeypatch):
    config = get_recipe("mlq-gaussian").config
    clock = iter([100.0, 103.5, 200.0, 202.5])
    for name, given in (("not_its_own", ""), ("SampleSets", 0), ("compared", {"fid": Estimate(0.5, 0.1, 1, 4)})):
        monkeypatch.setattr(core, name, lambda *_, given=given: given)
    monkeypatch.setattr(core, "accuracy", lambda *given, **options: Estimate(0.5, 0.1, 1, 4))
    monkeypatch.setattr(core, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    own = dataclasses.replace(TRAINED, config=config, schema=replace(TRAINED.schema, classes=("a", "b")))
    found = core.measured(own, load(np.zeros((4, 3)) + np.arange(4.0)[:, None]), np.arange(4), seed=3)
    assert (found.metrics["accuracy"].seconds, found.metrics["accuracy"].seed) == (3.5, 3)
    drawn = core._of_samples(TRAINED, load(np.zeros((4, 3))), np.arange(4), seed=5)["fid"]
    assert (drawn.value, drawn.seconds, drawn.seed) == (0.5, 2.5, 5)


@pytest.mark.parametrize("several", [False, True])
def test_rows_with_many_patterns_of_gaps_are_compared_with_fewer(monkeypatch, several):
    """More than 20 patterns: those with gaps with a tenth as many held-out rows; the least number is what counts."""
    monkeypatch.setattr(detection, "MOST_CALIBRATION", 40)
    random = np.random.default_rng(0)
    held_out = load(random.normal(size=(60, 3)), schema=TRAINED.schema)
    x = random.normal(size=(30, 3))
    x[:5, 1] = np.nan
    new = load(x, schema=TRAINED.schema, missing="nan")
    compared = []

    def row_scores(trained, data, positions, **options):
        n = len(data) if positions is None else len(positions)
        if positions is not None:
            compared.append((n, options["shown"].tolist(), options["others"]))
        return detection.Scores(np.zeros(n), np.arange(n, dtype=float))

    usual = np.unique
    many = lambda rows, **options: (  # noqa: E731 - every gap counts as several patterns
        (np.concatenate([np.zeros((20, 3), bool), usual(rows, axis=0)]), usual(rows, **options)[1] + 20)
        if options and several
        else usual(rows, **options)
    )
    monkeypatch.setattr(detection, "row_scores", row_scores)
    monkeypatch.setattr(detection.np, "unique", many)
    detection.detect(TRAINED, held_out, np.arange(60), new, alpha=0.05)
    monkeypatch.undo()
    few = 20 if several else 40  # 1 / alpha, more than a tenth of 40
    assert compared == [(few, [True, False, True], 40), (40, [True, True, True], 40)]


def test_the_score_is_minus_log_p_and_twice_the_kl_of_the_code():
    """A linear model of 16 cells and 10 latents, whose log p(x) and KL are known."""
    data = load(np.asarray(rows_of_linear(40, seed=3).x))
    trained = TrainedModel(Linear10(), data.schema, Preparation())
    found = detection.row_scores(trained, data, None, others=1, num_samples=2000, key=jax.random.key(0))
    x = np.asarray(data.x, np.float64)
    mean, width = (x - MU) @ np.linalg.solve(PRECISION, W.T / SIGMA**2).T, 1.0 / np.diag(PRECISION)
    kl = 0.5 * (np.sum(mean**2, axis=1) + np.sum(width - 1.0 - np.log(width)))
    np.testing.assert_allclose(found.surprise, -log_p_of_linear(x), atol=0.15)
    np.testing.assert_allclose(found.odd, -log_p_of_linear(x) + 2.0 * kl, atol=0.6)
    assert abs(np.mean(found.odd - found.surprise - 2.0 * kl)) < 0.1


# --- names that no training row had ---


def towns(n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    city = np.array(["Lyon", "Oslo", "Porto"])[kind]
    return pd.DataFrame({"city": city, "country": np.array(["F", "N", "P"])[kind], "x": rng.integers(0, 9, n)})


@pytest.fixture(scope="module")
def of_towns():
    settings = {"training.steps": 300, "posterior.latent_dim": 2, "network.hidden": [16], "prior": "standard-normal"}
    data = latens.read(towns(600, 0))
    return latens.fitting.train(latens.fitting.prepare(override(get_recipe("default").config, settings), data))[0]


def test_a_name_that_nobody_had_is_a_certain_anomaly(of_towns):
    strange = towns(40, 1)
    strange.loc[7, "city"] = "Atlantis"
    with pytest.raises(DataError, match="column 'city' holds 'Atlantis', which no training row had"):
        latens.read(strange, schema=of_towns.schema)
    new = latens.read(strange, schema=of_towns.schema, unknown="missing")
    assert new.unseen == ((7, 0, "Atlantis"),)
    assert np.argwhere(~new.mask).tolist() == [[7, 0]]
    held = latens.read(towns(300, 2), schema=of_towns.schema)
    options = {"num_samples": 5, "alpha": 0.05}
    found = detect(of_towns, held, np.arange(300), new, **options)
    assert found.surprise[7] == np.inf
    assert found.p_value[7] == 1 / 301
    assert found.flagged[7]
    # The other rows are judged as without it.
    plain = latens.read(towns(40, 1), schema=of_towns.schema)
    others = np.arange(40) != 7
    without = detect(of_towns, held, np.arange(300), plain, **options)
    np.testing.assert_array_equal(found.p_value[others], without.p_value[others])
    # A held-out row with such a name is as surprising, so that p-values stay what they say.
    odd = towns(300, 2)
    odd.loc[[5, 6], "country"] = "X"
    held = latens.read(odd, schema=of_towns.schema, unknown="missing")
    assert detect(of_towns, held, np.arange(300), new, **options).p_value[7] == 3 / 301
    blamed = blame(of_towns, new, np.array([7]), others=300, cells=2, num_samples=100)
    told = named_cells(blamed, new, np.array([7]))
    assert (told["cell_1"][7], told["value_1"][7], told["p_1"][7]) == ("city", "Atlantis", "0")
    assert told["expected_1"][7] == {"F": "Lyon", "N": "Oslo", "P": "Porto"}[strange["country"][7]]


def test_a_row_without_any_cell_is_as_usual_as_can_be(of_towns):
    empty = towns(20, 3)
    empty.loc[4] = None
    new = latens.read(empty, schema=of_towns.schema)
    held = latens.read(towns(100, 2), schema=of_towns.schema)
    found = detect(of_towns, held, np.arange(100), new, num_samples=5)
    assert found.surprise[4] == 0.0
    assert found.p_value[4] == 1.0
