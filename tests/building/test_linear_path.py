"""Models begun at principal components: the model before its first step is the closed form of its data."""

from typing import Any

import jax
import numpy as np
import pytest
from checks import close
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits, load_wine

from latens.config import VAEConfig, override
from latens.data import as_batch, load
from latens.data.batches import Batch
from latens.data.preparation import prepare_batch
from latens.evaluation.evidence.factors import fit_factors, latent_gains, principal
from latens.models import LatentModel
from latens.objectives import ELBO
from latens.recipes import RECIPES
from latens.recipes.building.closed_forms import located_rows
from latens.recipes.building.plan import starting

WINE: Any = load_wine()
DIGITS: Any = load_digits()
FACES = np.random.default_rng(0)


def begun(data, **settings: Any) -> tuple[LatentModel, Any, Any]:
    """A model of these data before its first step, its preparation and its configuration."""
    recipe = RECIPES["default"]
    config, _ = recipe.resolve(override(recipe.config, {"network.hidden": (8,)} | settings), data)
    model = recipe.build(data.schema, config, key=jax.random.key(1))
    prepare = recipe.preparation(data.schema, config)
    return starting(data.schema, config)(model, data), prepare, config


def elbo_of(model: LatentModel, batch: Batch, key) -> np.ndarray:
    """log p(x | z) + log p(z) - log q(z | x) of one draw a row, by formula where the model is linear: the draw is moot."""

    def one(x, key):
        q = model.posterior(x)
        z = q.sample(key=key)
        return sum(model.log_joint(z, x)) - q.log_prob(z)

    return np.asarray(jax.vmap(one)(batch.x, jax.random.split(key, len(batch.x))), np.float64)


@pytest.mark.parametrize("settings", [{}, {"posterior.scale": "log-scale"}, {"likelihood.scale": "shared"},
                                      {"likelihood.scale": "network"}, {"network.kind": "residual"},
                                      {"likelihood.scale": "fixed", "likelihood.fixed_scale": 0.5}])  # fmt: skip
def test_the_first_model_is_the_closed_form(settings):
    """Of a linear Gaussian with the exact posterior every draw has log p(x): equal to the density of the covariance."""
    data = load(WINE.data.astype(np.float32) * 7.0 + 100.0)
    model, prepare, _ = begun(data, **{"network.linear": True, "posterior.latent_dim": 4} | settings)
    batch = prepare_batch(prepare, data.rows(np.arange(20)), key=None)
    rows = located_rows(data, prepare, model.decoder.head)
    kind = settings.get("likelihood.scale")
    made = fit_factors(rows, 4, common=kind == "shared", scale=0.5 if kind == "fixed" else None)
    wide = np.asarray(model.decoder.head.scale.value, np.float64)
    inside = (np.asarray(batch.x, np.float64) - np.asarray(model.decoder.head.shift.value)) / wide
    covariance = made.weight @ made.weight.T + np.diag(made.variance)
    exact = multivariate_normal(made.mean, covariance).logpdf(inside) - np.sum(np.log(wide))
    close(made.log_prob(inside), exact + np.sum(np.log(wide)), rtol=1e-9)
    for seed in (0, 1):
        close(elbo_of(model, batch, jax.random.key(seed)), exact, rtol=0, atol=3e-4)
