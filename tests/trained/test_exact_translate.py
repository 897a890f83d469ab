"""Rows as those of another class, and means that are only looked at."""

import jax
import numpy as np
import pytest

import latens
from latens import latents
from latens.config import override
from latens.errors import ConfigError, DataError, UsageError
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.trained.augmentation import translate

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


rng = np.random.default_rng(0)
COLOURS = rng.integers(60, 200, (60, 4, 4, 3)).astype(np.uint8)
GREY = rng.integers(60, 200, (60, 4, 4)).astype(np.uint8)


@pytest.mark.parametrize(("rows", "same"), [(COLOURS, False), (GREY, True)])
def test_a_mean_to_be_seen_is_near_the_mean(rows, same):
    settings = {"posterior.latent_dim": 2, "network.hidden": [8], "network.kind": "dense", "training.steps": 2}
    config = override(get_recipe("default").config, settings | {"likelihood": "logistic-mixture"})
    data = latens.read(rows)
    trained, _ = latens.fitting.train(latens.fitting.prepare(config, data))
    z = rng.normal(size=(5, 2)).astype(np.float32)
    exact, seen = (latents.decode(trained.model, z, mean=how) for how in (True, "seen"))
    assert np.array_equal(exact, seen) is same
    # Wide scales whose levels are cut off at an end: there one pixel in some hundreds is off by ten levels.
    assert np.quantile(np.abs(seen - exact), [0.5, 0.95]) == pytest.approx([0.0, 0.0], abs=5.0)
    assert np.median(np.abs(seen - exact)) < 0.2
    batch = trained.rows(trained.batch(data, np.arange(5)), key=jax.random.key(0))
    exact, seen = (latents.reconstruct(batch, mean=how) for how in (True, "seen"))
    assert np.array_equal(exact, seen) is same
    assert np.median(np.abs(seen - exact)) < 0.2
