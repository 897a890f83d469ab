"""The closed form that training began with stays where validation rows do not gain by training."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data.dataset import training_rows
from latens.evaluation import Estimate, active_units, encode, log_marginal
from latens.evaluation.evidence.importance import elbo_parts, row_numbers
from latens.evaluation.evidence.tree import fit_tree
from latens.models.heads.tree import PACE
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import start_alone
from latens.workflow.experiment import Experiment, as_trained, prepare
from latens.workflow.groups import apart
from latens.workflow.metrics import beats
from latens.workflow.refit import _says, best_or_start, start_stays, start_text
from latens.workflow.trained import TrainedModel


@pytest.fixture(scope="module")
def begun() -> tuple[Experiment, TrainedModel]:
    """A table of names and numbers with gaps, and its model before the first step."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 300)
    second = np.where(rng.random(300) < 0.75, first, rng.integers(0, 3, 300))
    frame = pd.DataFrame({"a": np.array(list("xyz"))[first], "b": np.array(list("uvw"))[second]})
    frame["c"] = np.round(rng.normal(second * 1.0, 0.3), 1)
    data = latens.load_data(frame.mask(rng.random(frame.shape) < 0.1), label="none")
    experiment = prepare(override(get_recipe("default").config, {"network.hidden": [8]}), data)
    model = experiment.stages()[0].start(experiment.new_model(), data)
    return experiment, experiment.trained(model, steps=500, best_step=400)


def test_the_tree_is_kept_exactly_where_training_made_it_worse(begun: tuple[Experiment, TrainedModel]) -> None:
    """Two draws a row give its log p(x), whatever the networks hold."""
    experiment, trained = begun
    data, last = experiment.data, trained.model.decoder.network.layers[-1].weight
    noise = 0.5 * jax.random.normal(jax.random.key(0), last.shape)
    worse = experiment.trained(
        eqx.tree_at(lambda m: m.decoder.network.layers[-1].weight, trained.model, noise), steps=500, best_step=400
    )
    found = best_or_start(worse, data, seen=10**6)
    assert (found.facts["start"]["kept"], found.facts["best_step"], found.facts["steps"]) == (True, 0, 500)
    assert "the tree of columns is kept" in start_text(found)
    x, mask, weight = training_rows(data)
    made, test = fit_tree(x, mask, data.schema.types or (), weight=weight), data.subset("test")
    assert data.mask is not None
    ours = log_marginal(found.rows(found.batch(data, test)), num_samples=2)
    assert np.allclose(ours, made.log_prob(np.where(data.mask[test], data.x[test], 0), data.mask[test]), atol=1e-4)
    short = best_or_start(worse, data, seen=1000)  # after a short training too, by fewer rows
    assert (short.facts["start"]["kept"], short.facts["start"]["gain"]["n"]) == (
        True,
        min(64, data.count("validation")),
    )


def test_a_tree_that_stays_is_counted_in_all_rows_that_do_not_test(begun: tuple[Experiment, TrainedModel]) -> None:
    """Its log p(x) is that of the tree of training and validation rows; without test rows it stays as it was."""
    experiment, trained = begun
    data, noise = experiment.data, jnp.ones_like(trained.model.decoder.network.layers[-1].weight)
    worse = eqx.tree_at(lambda m: m.decoder.network.layers[-1].weight, trained.model, noise)
    kept = best_or_start(experiment.trained(worse, steps=500, best_step=400), data, seen=10**6)
    found = experiment.counted_in_all(kept)
    rows = data.count("train") + data.count("validation")
    assert (found.facts["start"]["rows"], found.facts["rows"], rows) == (rows, rows, len(data) - data.count("test"))
    assert f"counted in all {rows} rows that do not test" in start_text(found)
    every = data.validation_as_train()
    x, mask, weight = training_rows(every)
    made, test = fit_tree(x, mask, data.schema.types or (), weight=weight), data.subset("test")
    assert data.mask is not None
    ours = log_marginal(found.rows(found.batch(data, test)), num_samples=2)
    exact = made.log_prob(np.where(data.mask[test], data.x[test], 0), data.mask[test])
    assert np.allclose(ours, exact, atol=1e-4)
    before = log_marginal(kept.rows(kept.batch(data, test)), num_samples=2)
    assert not np.allclose(ours, before, atol=1e-3)
    assert not len(as_trained(found, data).subset("validation"))
    assert as_trained(found, data).fingerprint == data.fingerprint == found.facts["fingerprint"]
    assert len(as_trained(kept, data).subset("validation"))
    assert experiment.counted_in_all(trained) is trained  # what training gained is not counted anew
    alone = dataclasses.replace(data, split=np.where(data.split == 2, 0, data.split).astype(np.uint8))
    assert dataclasses.replace(experiment, data=alone).counted_in_all(kept) is kept


def test_what_gained_is_kept(begun: tuple[Experiment, TrainedModel]) -> None:
    """The ratios of the tree as what training adds to none."""
    experiment, trained = begun
    parts = lambda m: (m.decoder.head.counted.value, m.decoder.head.more)  # noqa: E731
    counted = trained.model.decoder.head.counted.value
    better = experiment.trained(
        eqx.tree_at(parts, trained.model, (jnp.zeros_like(counted), counted / PACE)), best_step=400
    )
    found = best_or_start(better, experiment.data, seen=10**6)
    assert (found.facts["start"]["kept"], found.facts["best_step"], start_text(found)) == (False, 400, "")
    assert found.facts["start"]["gain"]["value"] > 0.3


@pytest.mark.parametrize(
    ("gain", "says", "stays"),
    [(0.11, False, False), (0.09, False, True), (-0.09, False, True), (0.0, True, False), (-0.09, True, False),
     (-0.11, True, True)],
)  # fmt: skip
def test_a_latent_that_says_something_stays_up_to_the_error(gain: float, says: bool, stays: bool) -> None:
    assert start_stays(Estimate(gain, 0.1, 100, 80), says=says) is stays


def test_ratios_alone_need_more_than_the_error(begun: tuple[Experiment, TrainedModel]) -> None:
    """Before the first step no unit is active: half of the ratios are worse than all, and the tree stays."""
    experiment, trained = begun
    found = best_or_start(trained, experiment.data, seen=10**6)
    gain = found.facts["start"]["gain"]
    assert found.facts["start"]["kept"]
    assert gain["value"] < gain["standard_error"]


def test_training_rows_are_held_against_others_as_they_are(begun: tuple[Experiment, TrainedModel]) -> None:
    """Of a tree alone the ELBO is log p(x): the gap is that of its densities, gaps and weights of rows included."""
    experiment, trained = begun
    data = experiment.data
    assert experiment.preparation.altered == "cells hidden"
    found = start_alone(trained.model)
    assert found is not None
    assert data.mask is not None
    tree = dataclasses.replace(trained, model=found[0])
    x, mask, weight = training_rows(data)
    made, test = fit_tree(x, mask, data.schema.types or (), weight=weight), data.subset("test")
    sets = [made.log_prob(np.where(data.mask[at], data.x[at], 0), data.mask[at]) for at in (data.subset("train"), test)]
    gap = apart(tree, data, test)
    assert gap is not None
    assert gap.value == pytest.approx(sets[0].mean() - sets[1].mean(), abs=1e-4)
    error = np.hypot(*(one.std(ddof=1) / np.sqrt(len(one)) for one in sets))
    assert gap.standard_error == pytest.approx(error, rel=1e-3)
    assert gap.n == len(test)


def test_latents_that_the_decoder_ignores_say_nothing(begun: tuple[Experiment, TrainedModel]) -> None:
    """Codes that differ between rows and tilt no column: active, and log p(x | z) is log p(x) of the tree."""
    experiment, trained = begun
    data = experiment.data
    batch = trained.batch(data, data.subset("validation"))
    # The decoder gives every z the same rows: log p(x | z) is log p(x), exactly.
    log_p = elbo_parts(trained.rows(batch), num_samples=1)["log_likelihood"].astype(np.float64)

    def says(one: TrainedModel, log_p: np.ndarray) -> bool:
        found = row_numbers(one.rows(batch), num_samples=4, codes=True)
        return _says(found._replace(weights=found.weights._replace(log_mean=log_p)))

    assert not says(trained, log_p)  # nothing is active at the start
    weight = lambda m: m.encoder.network.layers[-1].weight  # noqa: E731
    own = jax.random.normal(jax.random.key(1), weight(trained.model).shape)
    active = dataclasses.replace(trained, model=eqx.tree_at(weight, trained.model, own))
    assert active_units(encode(active.rows(batch))["mean"]).any()
    assert not says(active, log_p)
    assert says(active, log_p - 0.5)  # half a nat more than log p(x) is said by latents


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [(4e-4, 1e-4, "is level with a tree, up to rounding"), (-4e-4, 1e-4, "is level with a tree, up to rounding"),
     (4e-4, 0.1, "beats a tree by 0.00 ± 0.10 nats"), (-0.05, 1e-4, "falls short of a tree by 0.05 ± 0.00 nats")],
)  # fmt: skip
def test_a_gain_of_rounding_is_called_level(value: float, error: float, said: str) -> None:
    assert beats(Estimate(value, error, 100, 80), "a tree") == said
