"""The aggregated posterior of a few weighted rows by hand: moments, draws, and what is fitted to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from sklearn.mixture import GaussianMixture

from latens.data.dataset import as_batch
from latens.distributions import (
    Deterministic,
    DiagonalNormal,
    FullNormal,
    Laplace,
    Product,
    RelaxedOneHot,
    StandardNormal,
)
from latens.errors import ConfigError
from latens.evidence import ModelRows
from latens.latents import codes, fit_prior
from latens.latents.fit_prior import LatentMoments, aggregated_draws, aggregated_moments, mixture_of, normal_of
from latens.models import LatentModel

RANDOM = np.random.default_rng(0)
X, WEIGHT = RANDOM.normal(size=(5, 2)).astype(np.float32), np.array([1.0, 0.0, 2.0, 0.5, 3.0], np.float32)
SCALE, LOWER = np.array([0.5, 2.0]), np.array([[0.7, 0.0], [-0.4, 1.5]])
FACTOR = jnp.asarray(np.tril(LOWER, -1) + np.diag(np.log(np.diag(LOWER))), jnp.float32)
POSTERIORS = {
    "diagonal": (lambda x: DiagonalNormal(2.0 * x, jnp.log(jnp.asarray(SCALE))), np.diag(SCALE**2)),
    "full": (lambda x: FullNormal(2.0 * x, FACTOR), LOWER @ LOWER.T),
    "point": (lambda x: Deterministic(2.0 * x), np.zeros((2, 2))),
}


def rows(make, weight=WEIGHT):
    batch = as_batch(X, weight=weight, row_id=np.arange(7, 12, dtype=np.uint32))
    model = LatentModel(StandardNormal((2,)), lambda x, **how: make(x), jnp.abs)
    return ModelRows(model, batch, key=jax.random.key(1))


@pytest.mark.parametrize("kind", POSTERIORS)
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_moments_are_those_of_the_means_and_the_mean_covariance(kind, weight):
    make, within = POSTERIORS[kind]
    found = aggregated_moments(rows(make, weight))
    close(found.mean, np.average(2.0 * X, axis=0, weights=weight), rtol=1e-5, atol=1e-6)
    close(found.covariance, np.cov(2.0 * X.T, ddof=0, aweights=weight) + within, rtol=1e-5, atol=1e-5)


def test_other_posteriors_have_the_moments_of_their_draws():
    """Draws of a row stand together, are its own whatever rows are beside it, and count by its weight."""
    make = lambda x: Laplace(x, jnp.log(jnp.asarray(SCALE)))  # noqa: E731
    draws = aggregated_draws(rows(make), num_draws=3)
    key = jax.random.fold_in(jax.random.split(jax.random.key(1))[1], 9)  # the first half makes rows
    close(draws[6:9], [make(jnp.asarray(X[2])).sample(key=k) for k in jax.random.split(key, 3)], rtol=1e-5)
    found, weight = aggregated_moments(rows(make), num_draws=3), np.repeat(WEIGHT, 3)
    close(found.mean, np.average(draws, axis=0, weights=weight), rtol=1e-5, atol=1e-6)
    close(found.covariance, np.cov(draws.T, ddof=0, aweights=weight), rtol=1e-5, atol=1e-6)
    assert fit_prior.top_level((1, 2, 3)) == 3
    assert fit_prior.top_level(4) == 4


def test_a_normal_has_the_moments_and_a_unit_that_never_moves_a_density():
    mean, covariance = np.array([0.3, -1.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    found = normal_of(LatentMoments(mean, covariance))
    close(found.mean(), mean, rtol=1e-6)
    close(found.covariance(), covariance + 1.5e-6 * np.eye(2), rtol=1e-6)
    still = normal_of(LatentMoments(mean, np.diag([4.0, 0.0])))
    close(still.covariance(), np.diag([4.0, 2e-6]), rtol=1e-4, atol=1e-9)
    close(normal_of(LatentMoments(mean, np.zeros((2, 2)))).covariance(), 1e-18 * np.eye(2), rtol=1e-4)
    close(mixture_of(np.tile(mean, (5, 1)), 1, full=True)(None).component(0).covariance(), 1e-18 * np.eye(2), rtol=1e-4)


@pytest.mark.parametrize("full", [False, True])
def test_a_mixture_is_the_one_of_scikit_learn(full):
    draws = np.concatenate([RANDOM.normal(size=(40, 2)) @ LOWER.T, 9.0 + RANDOM.normal(size=(20, 2)) * SCALE])
    one = mixture_of(draws, 1, full=full)
    covariance = np.cov(draws.T, ddof=0) + 1e-6 * draws.var(0).mean() * np.eye(2)
    close(one.loc[0], draws.mean(0), rtol=1e-5)
    close(one(None).component(0).covariance() if full else jnp.exp(2 * one.log_scale[0]),
          covariance if full else np.diag(covariance), rtol=1e-4)  # fmt: skip
    far = mixture_of(draws + 1e4, 1, full=full)  # single precision has four digits of their distances left
    close(far(None).component(0).covariance() if full else jnp.exp(2 * far.log_scale[0]),
          covariance if full else np.diag(covariance), rtol=1e-4)  # fmt: skip
    two = mixture_of(draws, 2, full=full, seed=3)
    peer = GaussianMixture(2, covariance_type="full" if full else "diag", random_state=3, max_iter=500).fit(draws)
    close(jax.vmap(two(None).log_prob)(jnp.asarray(draws, jnp.float32)), peer.score_samples(draws), rtol=1e-3)
    for wrong in (61, 100):
        with pytest.raises(ConfigError, match="from 1 to the 60 samples"):
            mixture_of(draws, wrong, full=full)


def test_noise_of_several_latents_is_that_of_each():
    """Normal noise moves a Normal; uniform noise, which is none outside of [0, 1], makes a choice."""
    parts = {"a": DiagonalNormal(jnp.asarray([1.0, 2.0]), jnp.zeros(2)), "b": RelaxedOneHot(jnp.zeros(3), jnp.log(0.5))}
    assert jax.tree.map(jnp.shape, codes._noise_like(Product(parts))) == {"a": (2,), "b": (3,)}
    for u, allowed in ((0.3, True), (1.5, False)):
        noise = {"a": jnp.ones(2), "b": jnp.asarray([0.1, u, 0.9])}
        found = codes._from_noise(Product(parts), noise)
        close(found["a"], [2.0, 3.0])
        close(found["b"], parts["b"].from_uniform(noise["b"]) if allowed else np.full(3, np.nan))
