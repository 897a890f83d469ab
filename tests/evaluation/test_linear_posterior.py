"""The linear-Gaussian posterior against that of the whole covariance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from tables import MU, SIGMA, W, linear_gaussian

from latens.data.batches import as_batch
from latens.distributions import DiagonalNormal, Mixture
from latens.evaluation import linear_posterior as module
from latens.evaluation.linear_posterior import Linear, linear_posterior, linear_posteriors

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("cells", [1, 3])
def test_some_cells_are_observed(cells):
    """Also of pixels of which one channel is observed."""
    groups, n = 24 // cells, 4
    root = 0.4 * np.eye(cells) + 0.3 * RNG.standard_normal((groups, cells, cells))
    noise = root @ np.swapaxes(root, 1, 2) + 0.05 * np.eye(cells)
    mean, slope = RNG.standard_normal(24), RNG.standard_normal((24, n))
    whole = slope @ slope.T
    for at in range(groups):
        place = slice(at * cells, (at + 1) * cells)
        whole[place, place] += noise[at]
    x, mask = RNG.standard_normal(24), RNG.random(24) < 0.6
    mask[:3], mask[3:6] = True, False
    made = Linear(*(jnp.asarray(part, jnp.float32) for part in (mean, slope, noise)))
    q = made.posterior(jnp.asarray(x, jnp.float32), jnp.asarray(mask))
    inner = whole[np.ix_(mask, mask)]
    close(q.loc, slope[mask].T @ np.linalg.solve(inner, (x - mean)[mask]), rtol=0, atol=2e-5)
    covariance = np.eye(n) - slope[mask].T @ np.linalg.solve(inner, slope[mask])
    close(q.covariance(), covariance, rtol=0, atol=2e-5)


def exact(seen):
    covariance = np.linalg.inv(np.eye(2) + W[seen].T @ W[seen] / SIGMA**2)
    return covariance, lambda x: covariance @ W[seen].T @ (x - MU)[seen] / SIGMA**2


@pytest.mark.parametrize("shared", [0, 1024])
def test_a_linear_decoder_has_the_exact_posterior(shared, monkeypatch):
    """With the slope at zero for all rows, and with one for each."""
    monkeypatch.setattr(module, "SHARED", shared)
    x = np.array([[0.4, -0.3, 1.1], [1.0, 0.2, -0.5]], np.float32)
    mask = np.array([[True, False, True], [False, True, True]])
    batch = as_batch(np.where(mask, x, np.nan).astype(np.float32), mask=jnp.asarray(mask))
    found = linear_posteriors(linear_gaussian("prior"), batch)
    for row in range(2):
        seen = np.flatnonzero(mask[row])
        covariance, loc = exact(seen)
        one = jax.tree.map(lambda leaf, row=row: leaf[row], found)
        close(one.covariance(), covariance, rtol=1e-5, atol=1e-6)
        close(one.loc, loc(x[row].astype(float)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [0, 1024])
def test_a_prior_that_was_refitted_counts_by_its_moments(shared, monkeypatch):
    """Two components whose mean and variances are those of a Normal give the exact posterior under that."""
    monkeypatch.setattr(module, "SHARED", shared)
    mean, variance = np.array([0.6, -0.2]), np.array([0.5, 0.3])
    apart = np.array([[0.4, 0.1], [-0.4, -0.1]])
    scales = jnp.asarray(0.5 * np.log(np.broadcast_to(variance - apart[0] ** 2, (2, 2))), jnp.float32)
    prior = Mixture(jnp.zeros(2), jax.vmap(DiagonalNormal)(jnp.asarray(mean + apart, jnp.float32), scales))
    model = eqx.tree_at(lambda m: m.prior_part, linear_gaussian("prior"), prior)
    x, seen = np.array([0.4, -0.3, 1.1]), np.array([0, 2])
    batch = as_batch(x[None].astype(np.float32), mask=jnp.asarray([[True, False, True]]))
    found = jax.tree.map(lambda leaf: leaf[0], linear_posteriors(model, batch))
    covariance = np.linalg.inv(np.diag(1 / variance) + W[seen].T @ W[seen] / SIGMA**2)
    close(found.covariance(), covariance, rtol=1e-4, atol=1e-6)
    loc = covariance @ (mean / variance + W[seen].T @ (x - MU)[seen] / SIGMA**2)
    close(found.loc, loc, rtol=1e-4, atol=1e-5)


def test_noise_without_variances_has_none():
    class Mute:
        def posterior(self, x, *, cond=None, mask=None):
            return DiagonalNormal(jnp.zeros(2), jnp.zeros(2))

    batch = as_batch(np.zeros((2, 3), np.float32), mask=jnp.ones((2, 3), bool))
    assert linear_posteriors(Mute(), batch) is None
    assert linear_posteriors(linear_gaussian("prior"), as_batch(np.zeros((2, 3), np.float32))) is None


def test_a_decoder_without_finite_slopes_leaves_the_prior():
    broken = lambda z: DiagonalNormal(jnp.log(-jnp.ones(3)) * z[0], jnp.zeros(3))  # noqa: E731
    q = linear_posterior(broken, 2, jnp.asarray([0.4, -0.3, 1.1]), jnp.ones(3, bool))
    np.testing.assert_array_equal(q.covariance(), np.eye(2))
