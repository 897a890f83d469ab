"""Windows of series begin at the Gaussian of their autoregression, and stay there where training gains nothing."""

from typing import Any

import jax
import numpy as np
import pytest
from checks import close
from scipy import stats

import latens
from latens.config import override
from latens.data import load
from latens.evidence.rivals import fit_window
from latens.fitting import Experiment, prepare
from latens.models import CorrelatedNormalHead
from latens.predictive.missing_cells import around, impute, log_observed
from latens.recipes import get_recipe
from latens.recipes.principal_components import located_rows
from latens.trained.trained_model import TrainedModel


@pytest.fixture(scope="module")
def begun() -> tuple[Experiment, TrainedModel, np.ndarray, np.ndarray]:
    """Windows of 8 times by 2 series, their model before the first step, and its mean and covariance."""
    rng = np.random.default_rng(0)
    x = np.zeros((1600, 2))
    for t in range(1, len(x)):
        x[t] = 0.8 * x[t - 1] + rng.normal(size=2) @ np.array([[1.0, 0.5], [0.0, 0.4]])
    data = load((5.0 + x.reshape(200, 8, 2) * np.array([1.0, 3.0])).astype(np.float32))
    experiment = prepare(override(get_recipe("default").config, {"network.hidden": [4]}), data)
    made = experiment.trained(experiment.stages()[0].start(experiment.new_model(), experiment.data), steps=400)
    head: Any = made.model.decoder.head
    window = fit_window(located_rows(experiment.data, experiment.preparation, head).reshape(-1, 8, 2))
    shift, scale = (np.broadcast_to(np.asarray(one, np.float64), (8, 2)).ravel() for one in head.located[1:])
    return experiment, made, shift + scale * window.mean, window.covariance * scale[:, None] * scale


def test_the_first_model_is_the_gaussian_of_windows(begun):
    """Two draws of the exact posterior say it; so does its decoder made linear."""
    experiment, made, mean, covariance = begun
    assert isinstance(made.model.decoder.head.head, CorrelatedNormalHead)
    assert made.config.likelihood.family == "correlated-normal"
    test = experiment.data.subset("test")
    exact = stats.multivariate_normal(mean, covariance).logpdf(experiment.data.x[test].reshape(len(test), -1))
    rows = latens.read(experiment.data.x[test], schema=made.schema)
    close(made.log_marginal(rows, num_samples=2), exact, rtol=0, atol=1e-4)
    found = around(lambda z: made.model.likelihood(z, cond=None), jax.numpy.zeros(made.latent_shape))
    whole = np.asarray(found.slope) @ np.asarray(found.slope).T + np.asarray(found.noise[0])
    close(whole, covariance, rtol=0, atol=1e-4)


def test_gaps_are_drawn_from_the_conditional(begun):
    """Its mean and log p of what is seen to the digits of single precision, and a third of the draws at the least."""
    experiment, made, mean, covariance = begun
    rows = experiment.data.subset("test")[:6]
    mask = np.random.default_rng(1).random((6, 8, 2)) < 0.6
    x = np.where(mask, experiment.data.x[rows], np.nan)
    data = latens.read(x, schema=made.schema, missing="nan")
    found = impute(made.rows(data, seed=0), num_samples=300, num_draws=40)
    log_p = log_observed(made.rows(data, seed=0), num_samples=300)
    for i, at in enumerate(mask.reshape(6, -1)):
        own, away = covariance[np.ix_(at, at)], (x[i].ravel() - mean)[at]
        close(log_p[i], stats.multivariate_normal(mean[at], own).logpdf(x[i].ravel()[at]), rtol=0, atol=0.2)
        expected = mean[~at] + covariance[np.ix_(~at, at)] @ np.linalg.solve(own, away)
        left = covariance[np.ix_(~at, ~at)] - covariance[np.ix_(~at, at)] @ np.linalg.solve(
            own, covariance[np.ix_(at, ~at)]
        )
        spread = np.sqrt(np.diagonal(left))
        assert np.all(np.abs(found.mean[i].ravel()[~at] - expected) < 0.35 * spread)
        assert np.all(np.abs(found.draws[i].reshape(40, -1)[:, ~at].mean(0) - expected) < 5 * spread / np.sqrt(40))
    assert found.effective.min() > 90
