"""Translation between classes: what is decoded, and what is refused, in words."""

from types import SimpleNamespace

import numpy as np
import pytest

import latens
from latens.config import override
from latens.data import Preparation
from latens.errors import ConfigError, DataError, UsageError
from latens.recipes import get_recipe
from latens.workflow import translation as translating
from latens.workflow.experiment import prepare
from latens.workflow.trained import TrainedModel
from latens.workflow.translation import complete, translate

SMALL = {"network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 1, "likelihood.family": "bernoulli"}
CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 0])
X = np.random.default_rng(0).integers(0, 2, (8, 2, 3)).astype(np.uint8)


def model_of(recipe):
    data = latens.read(X, label=np.array(["a", "b", "c"])[CLASSES])
    experiment = prepare(override(get_recipe(recipe).config, SMALL), data)
    return experiment.trained(experiment.new_model()), data


def test_a_model_without_labels_is_refused():
    trained, data = model_of("default")
    with pytest.raises(ConfigError, match="this model reads no labels, so that no row can be decoded as another class"):
        translate(trained, data, "a", "b")


def test_rows_of_a_class_are_taken_and_decoded_as_the_other():
    trained, data = model_of("conditional-vae")
    found = translate(trained, data, "a", "c")
    np.testing.assert_array_equal(found.positions, np.flatnonzero(CLASSES == 0))
    codes = trained.encode(X[CLASSES == 0], label=np.zeros(4, int))
    np.testing.assert_allclose(found.x, trained.decode(codes, label=np.full(4, 2)), rtol=1e-5)
    same = translate(trained, data, "b", "b").x
    np.testing.assert_allclose(same, trained.reconstruct(X[CLASSES == 1], label=np.ones(2, int)), rtol=1e-5)
    assert np.abs(found.x - translate(trained, data, "a", "b").x).max() > 1e-4
    drawn = translate(trained, data, "a", "c", mean=False, seed=1)
    assert set(np.unique(drawn.x)) <= {0, 1}
    with pytest.raises(UsageError, match="this model has no class 'd'"):
        translate(trained, data, "a", "d")
    with pytest.raises(DataError, match="none of 2 rows is of the class 'a': their classes are b, c"):
        translate(trained, latens.read(X[1:3], label=["b", "c"], schema=trained.schema), "a", "c")


@pytest.mark.parametrize(("start", "end"), [("source", "target"), ("target", "source")])
@pytest.mark.parametrize("mean", [True, False])
def test_the_other_side_of_a_pair_is_its_mean_or_one_draw(monkeypatch, start, end, mean):
    schema = latens.read(np.zeros((9, 2, 4)) + np.arange(9.0)[:, None, None]).schema
    trained = TrainedModel(None, schema, Preparation())
    monkeypatch.setattr(translating, "knows_pairs", lambda trained: True)
    given = {}

    def impute(rows, *, num_draws, num_samples):
        given.update(batch=rows.batch, num_draws=num_draws, num_samples=num_samples)
        x = np.arange(16.0, dtype=np.float32).reshape(2, 2, 4)
        return SimpleNamespace(mean=x, draws=np.stack([x + 100.0] * num_draws, axis=1) if num_draws else None)

    monkeypatch.setattr(translating.evaluation, "impute", impute)
    pictures = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
    found = complete(trained, pictures, start, end, mean=mean, num_samples=7)
    at, other = (slice(0, 2), slice(2, 4)) if start == "source" else (slice(2, 4), slice(0, 2))
    np.testing.assert_array_equal(given["batch"].x[:, :, at], pictures)
    assert given["batch"].mask[:, :, at].all()
    assert not given["batch"].mask[:, :, other].any()
    assert (given["num_draws"], given["num_samples"]) == (0 if mean else 1, 7)
    np.testing.assert_array_equal(found, np.arange(16.0).reshape(2, 2, 4)[:, :, other] + (0.0 if mean else 100.0))
    with pytest.raises(UsageError, match="is not a translation"):
        complete(trained, pictures, start, start)
    with pytest.raises(UsageError, match="a pair has no side 'left'"):
        complete(trained, pictures, "left", end)
