"""Leapfrog steps under a metric: the exact determinant, the evidence, and plain steps where the metric is flat."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy import stats
from tables import X, linear_gaussian
from test_hamiltonian import LOG_P, many, moving

from latens.errors import ConfigError
from latens.models import LatentModel, Metric, Riemannian
from latens.models.riemannian import eliminated
from latens.objectives import draw

KEY = jax.random.key(0)


def curved(model: LatentModel, *, floor: float = 0.3, factor: float = 0.8, **options) -> LatentModel:
    """Three centroids with skewed factors."""
    encoder = Riemannian.create(model.encoder, centroids=3, key=KEY, **options)
    encoder = jax.tree.map(lambda leaf: jnp.asarray(leaf, float) if eqx.is_inexact_array(leaf) else leaf, encoder)
    factors = factor * (encoder.metric.factors + 0.5 * jnp.asarray([[0.0, 0.0], [1.0, 0.0]]))
    metric = Metric(encoder.metric.centroids, factors, floor=floor)
    return LatentModel(model.prior_part, eqx.tree_at(lambda e: e.metric, encoder, metric), model.decoder)


def test_the_metric_by_hand(float64):
    metric = curved(linear_gaussian()).encoder.metric
    z, momentum = np.array([0.3, -0.6]), np.array([0.5, 1.1])
    inverse = 0.3 * np.eye(2)
    for centroid, factor in zip(np.asarray(metric.centroids), np.asarray(metric.factors)):
        inverse += factor @ factor.T * np.exp(-((z - centroid) ** 2).sum() / 1.5**2)
    close(metric.inverse(jnp.asarray(z)), inverse)
    log_density = stats.multivariate_normal.logpdf(momentum, np.zeros(2), np.linalg.inv(inverse))
    close(metric.log_density(jnp.asarray(z), jnp.asarray(momentum)), log_density)


def test_elimination_meets_numpy(float64):
    rng = np.random.default_rng(0)
    near = np.eye(5) + 0.1 * rng.normal(size=(5, 5))
    close(np.log(np.abs(eliminated(jnp.asarray(near))[1])).sum(), np.linalg.slogdet(near)[1], rtol=1e-10)
    positive = near @ near.T
    lower, pivots = eliminated(jnp.asarray(positive))
    close(np.asarray(lower) * np.sqrt(pivots), np.linalg.cholesky(positive), rtol=1e-9, atol=1e-12)


def test_momenta_have_the_metric_as_their_covariance(float64):
    metric, z = curved(linear_gaussian()).encoder.metric, jnp.asarray([0.3, -0.6])
    columns = jax.vmap(lambda noise: metric.momentum(z, noise))(jnp.eye(2)).T
    close(columns @ columns.T, np.linalg.inv(np.asarray(metric.inverse(z))), rtol=1e-9)


def test_the_determinant_is_that_of_the_map(float64):
    """By differentiation of the whole map, however few rounds there are; with many of them volumes are kept."""
    for rounds in (1, 12):
        model = curved(linear_gaussian("prior"), steps=1, step_size=0.2, temperature=0.6)
        model = LatentModel(
            model.prior_part, Riemannian(model.encoder.steps, model.encoder.metric, rounds), model.decoder
        )
        q = model.posterior(jnp.asarray(X))
        whole = lambda v, q=q: jnp.concatenate(q.moved(v[:2], v[2:])[:2])  # noqa: E731
        start = jnp.asarray([0.3, -0.6, 0.9, 0.4])
        total = np.linalg.slogdet(np.asarray(jax.jit(jax.jacfwd(whole))(start)))[1]
        found = q.moved(start[:2], start[2:])[2]
        close(found + np.log(0.6), total, rtol=1e-8)
        if rounds == 12:
            close(found, 0.0, atol=1e-9)


def test_a_flat_metric_is_hamiltonian(float64):
    """Factors of 0 and a floor of 1: G = 1, and both posteriors make the same steps."""
    options = {"steps": 3, "step_size": 0.1, "temperature": 0.5}
    flat = curved(linear_gaussian("prior"), floor=1.0, factor=0.0, **options)
    plain = moving(linear_gaussian("prior"), **options)
    z, momentum = jnp.asarray([0.3, -0.6]), jnp.asarray([1.0, 0.5])
    found, expected = (m.posterior(jnp.asarray(X)).moved(z, momentum) for m in (flat, plain))
    close(found[0], expected[0])
    close(found[1], expected[1])
    close(found[2], 0.0)
    one, two = (m.posterior(jnp.asarray(X)).sample_and_log_prob(key=KEY) for m in (flat, plain))
    close(one[0], two[0])
    close(one[1], two[1])


def test_the_mean_of_the_weights_is_the_evidence(float64):
    for options in ({"steps": 2, "step_size": 0.15, "temperature": 0.5}, {"steps": 4, "step_size": 0.1}):
        model = curved(linear_gaussian("prior"), **options)
        log_weight = np.asarray(draw(model, many(X, 20_000), num_samples=1, key=KEY).log_weight[0])
        agrees(np.exp(log_weight - LOG_P), 1.0)
        assert log_weight.mean() < LOG_P


def test_a_density_elsewhere_is_refused():
    with pytest.raises(ConfigError, match="Riemannian Hamiltonian posterior is known along its own draws"):
        curved(linear_gaussian()).posterior(jnp.asarray(X)).log_prob(jnp.zeros(2))
