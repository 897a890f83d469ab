"""Which groups of metrics apply, and what they are asked for: by hand, of models that are not trained."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace
from paths import GOLDEN

from latens.config import override
from latens.data import Preparation, load
from latens.evidence import Estimate
from latens.recipes import get_recipe
from latens.trained import metric_functions
from latens.trained.inputs import lacks_prior
from latens.trained.metrics import METRICS
from latens.trained.sample_sets import SampleSets
from latens.trained.trained_model import TrainedModel


@pytest.fixture(scope="module")
def trained():
    return TrainedModel.load(GOLDEN / "format-2-table.safetensors")


def work_of(trained, n=6, **options):
    data = load(np.random.default_rng(0).normal(size=(n, 3)), schema=trained.schema, **options)
    return metric_functions.MetricInputs(trained, data, np.arange(n), 10, 0)


def reason(work, name):
    return metric_functions.why_not(work, METRICS[name].needs)


@pytest.mark.parametrize(("asked", "draws"), [(1, 2), (2, 2), (40, 40), (10_000, 500)])
def test_gaps_take_the_draws_that_are_asked_for_and_500_at_the_most(trained, monkeypatch, asked, draws):
    told = []

    def gaps(rows, *, num_samples):
        assert (rows.model is trained.model, len(rows.batch.row_id)) == (True, 6)
        told.append(num_samples)
        return dict.fromkeys(("elbo", "approximation_gap", "amortisation_gap"), Estimate(1.0, 0.1, num_samples, 6))

    monkeypatch.setattr(metric_functions, "inference_gaps", gaps)
    work = dataclasses.replace(work_of(trained), num_samples=asked)
    assert sorted(metric_functions._gaps(work)) == ["amortisation_gap", "approximation_gap"]
    assert told == [draws]


UNEQUAL = "the methods that look at codes take no row weights"


@pytest.mark.parametrize("weight", [None, [2.0] * 6, [1.0, 1.0, 3.0, 1.0, 1.0, 1.0]])
def test_what_looks_at_codes_wants_equal_rows(trained, monkeypatch, weight):
    work = work_of(trained, weight=weight, label=[0, 1] * 3)
    expected = UNEQUAL if weight is not None and len(set(weight)) > 1 else ""
    monkeypatch.setattr(metric_functions, "known_factors", lambda data: None)
    assert reason(work, "mig") == "the factors are not known"
    monkeypatch.setattr(metric_functions, "known_factors", lambda data: np.zeros((6, 1)))
    assert reason(work, "mig") == metric_functions.why_not(work, "equal rows") == expected
    rows = dataclasses.replace(work, positions=np.array([0, 1]))  # those are equal
    assert metric_functions.why_not(rows, "equal rows") == ""


def test_models_without_latents_have_a_reason(trained):
    work = work_of(trained)
    work.classifier = True
    for name in ("approximation_gap", "mig"):
        assert reason(work, name) == "a Bayes classifier has no latents"
    assert reason(work, "generalisation_gap") == "there is no log p(x) of an autoencoder or a Bayes classifier"
    work.classifier, work.trained = False, SimpleNamespace(is_point=True)
    assert reason(work, "approximation_gap") == "an autoencoder has no posterior but a point"
    assert reason(work, "generalisation_gap") == "there is no log p(x) of an autoencoder or a Bayes classifier"


def test_gaps_are_of_held_out_rows_of_the_models_own_data(trained):
    work = work_of(trained)
    assert reason(work, "generalisation_gap") == "the model was trained on other data"
    own = dataclasses.replace(trained, facts={**trained.facts, "fingerprint": work.data.fingerprint})
    work = dataclasses.replace(work, trained=own)
    held_out = np.setdiff1d(np.arange(6), work.data.subset("train"))
    assert reason(dataclasses.replace(work, positions=held_out), "generalisation_gap") == ""
    if len(held_out) < 6:
        assert reason(work, "generalisation_gap") == "some of the rows are training rows"


@pytest.mark.parametrize("binarize", ["none", "threshold", "stochastic"])
def test_rows_are_compared_as_the_model_sees_them(trained, binarize):
    """In the units of the stored rows; random pixels are those that `measure` draws with its seed."""
    x = np.random.default_rng(1).integers(0, 5, (8, 2, 2)).astype(np.uint8)
    data = load(x)
    own = dataclasses.replace(trained, preparation=Preparation(divide=4.0, binarize=binarize))
    positions = np.array([1, 4, 6])
    found = SampleSets(own, data, positions, 3).rows
    if binarize == "none":
        np.testing.assert_array_equal(found, x[positions])
    else:
        assert set(np.unique(found)) <= {0.0, 4.0}
        sure = np.isin(x[positions], (0, 4)) if binarize == "stochastic" else np.ones(found.shape, bool)
        np.testing.assert_array_equal(found[sure], np.where(x[positions] > 2, 4.0, 0.0)[sure])


@pytest.mark.parametrize(("family", "x", "binarize", "grey"), [
    ("bernoulli", np.arange(32).reshape(8, 2, 2) % 9, "none", True),
    ("bernoulli", np.arange(32).reshape(8, 2, 2) % 9, "stochastic", False),
    ("normal", np.arange(32).reshape(8, 2, 2) % 9, "none", False),
    ("bernoulli", np.arange(32).reshape(8, 2, 2) % 2, "none", False),
])  # fmt: skip
def test_cells_are_grey_under_a_bernoulli_alone(trained, family, x, binarize, grey):
    config = override(get_recipe("default").config, {"likelihood.family": family})
    data, prepared = load(x.astype(np.uint8)), Preparation(divide=8.0, binarize=binarize)
    own = dataclasses.replace(trained, config=config, schema=data.schema, preparation=prepared)
    sets = SampleSets(own, data, np.arange(8), 0)
    assert sets.grey is grey
    assert bool(sets.what) is grey


@pytest.mark.parametrize(("recipe", "settings", "lacks"), [
    ("autoencoder", {"prior.kind": "standard-normal"}, True),
    ("default", {"prior.kind": "standard-normal"}, False),
    ("default", {"prior.kind": "mixture"}, False),
])  # fmt: skip
def test_an_autoencoder_lacks_a_prior_until_one_is_fitted(trained, recipe, settings, lacks):
    own = dataclasses.replace(trained, config=override(get_recipe(recipe).config, settings))
    assert lacks_prior(own) is lacks
    if lacks:
        fitted = replace(own.config, prior=replace(own.config.prior, kind="mixture"))
        assert not lacks_prior(dataclasses.replace(own, config=fitted))
    assert not lacks_prior(dataclasses.replace(own, config=get_recipe("mlq-gaussian").config))
