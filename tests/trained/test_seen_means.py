"""Means that are only looked at: of coloured pixels without a sum over levels, of all else the mean itself."""

import jax
import numpy as np
import pytest

import latens
from latens import latents
from latens.config import override
from latens.recipes import get_recipe

rng = np.random.default_rng(0)
COLOURS = rng.integers(60, 200, (60, 4, 4, 3)).astype(np.uint8)
GREY = rng.integers(60, 200, (60, 4, 4)).astype(np.uint8)


@pytest.mark.parametrize(("rows", "same"), [(COLOURS, False), (GREY, True)])
def test_a_mean_to_be_seen_is_near_the_mean(rows, same):
    settings = {"posterior.latent_dim": 2, "network.hidden": [8], "network.kind": "dense", "training.steps": 2}
    config = override(get_recipe("default").config, settings | {"likelihood": "logistic-mixture"})
    data = latens.read(rows)
    trained, _ = latens.trained.train(latens.trained.prepare(config, data))
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
