"""The linear-Gaussian posterior against that of the whole covariance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy.stats import multivariate_normal
from tables import MU, SIGMA, W, linear_gaussian

from latens.data.dataset import as_batch
from latens.distributions import DiagonalNormal, FullNormal, Mixture, StandardNormal
from latens.models import LatentModel
from latens.predictive import missing_cells as module
from latens.predictive.missing_cells import Linear, linear_posterior, linear_posteriors

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
    prior = Mixture(jnp.zeros(1), jax.vmap(FullNormal)(jnp.zeros((1, n)), jnp.zeros((1, n, n))))
    q = made.posterior(jnp.asarray(x, jnp.float32), jnp.asarray(mask), prior).component(0)
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
        one = jax.tree.map(lambda leaf, row=row: leaf[row], found).component(0)
        close(one.covariance(), covariance, rtol=1e-5, atol=1e-6)
        close(one.loc, loc(x[row].astype(float)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [0, 1024])
@pytest.mark.parametrize("full", [False, True])
def test_each_component_of_a_prior_has_a_posterior_of_its_own(full, shared, monkeypatch):
    """Of a mixture of Normals and a linear decoder the posterior is exact: its density is p(x_obs, z) / p(x_obs)."""
    monkeypatch.setattr(module, "SHARED", shared)
    loc, weight = np.array([[0.6, -0.2], [-0.4, 0.9], [2.0, 1.0]]), np.array([0.5, 0.3, 0.2])
    roots = np.array([np.diag(scale) for scale in ([0.5, 0.8], [0.3, 1.2], [0.7, 0.1])])
    roots[:, 1, 0] = 0.3 * full
    if full:
        factors = np.tril(roots, -1) + np.stack([np.diag(np.log(np.diag(root))) for root in roots])
        parts = jax.vmap(FullNormal)(jnp.asarray(loc, jnp.float32), jnp.asarray(factors, jnp.float32))
    else:
        scales = np.log(np.diagonal(roots, axis1=1, axis2=2))
        parts = jax.vmap(DiagonalNormal)(jnp.asarray(loc, jnp.float32), jnp.asarray(scales, jnp.float32))
    prior = Mixture(jnp.asarray(np.log(weight), jnp.float32), parts)
    model = eqx.tree_at(lambda m: m.prior_part, linear_gaussian("prior"), prior)
    x, seen, given = np.array([0.4, -0.3, 1.1]), np.array([0, 2]), jnp.asarray([True, False, True])
    batch = as_batch(x[None].astype(np.float32), mask=given[None])
    found = jax.tree.map(lambda leaf: leaf[0], linear_posteriors(model, batch))
    inner = [W[seen] @ root @ root.T @ W[seen].T + SIGMA**2 * np.eye(2) for root in roots]
    evidence = [multivariate_normal((MU + W @ m)[seen], c).pdf(x[seen]) for m, c in zip(loc, inner)]
    close(jax.nn.softmax(found.logits), weight * evidence / (weight @ evidence), rtol=1e-4, atol=1e-6)
    for z in (np.zeros(2), np.array([0.5, -1.0])):
        joint = sum(model.log_joint(jnp.asarray(z, jnp.float32), jnp.asarray(x, jnp.float32), mask=given))
        close(found.log_prob(jnp.asarray(z, jnp.float32)), joint - np.log(weight @ evidence), rtol=1e-4, atol=1e-4)


def test_a_curved_decoder_is_made_linear_at_the_most_probable_component():
    """First at the latent that is given, then where the most probable component of the last answer is."""
    decode = lambda z: DiagonalNormal(jnp.asarray(MU) + jnp.tanh(jnp.asarray(W) @ z), jnp.full(3, np.log(0.3)))  # noqa: E731
    parts = jax.vmap(FullNormal)(jnp.asarray([[0.6, -0.2], [-0.4, 0.9], [2.0, 1.0]]), -jnp.ones((3, 1, 1)) * jnp.eye(2))
    prior = Mixture(jnp.log(jnp.asarray([0.2, 0.5, 0.3])), parts)
    x, seen = jnp.asarray([0.4, -0.3, 1.1]), jnp.ones(3, bool)
    at = jnp.asarray([0.3, 0.1])
    for _ in range(module.ROUNDS):
        expected = module.around(decode, at).posterior(x, seen, prior)
        at = expected.components.loc[np.argmax(expected.logits)]
    found = linear_posterior(decode, jnp.asarray([0.3, 0.1]), prior, x, seen)
    jax.tree.map(lambda a, b: close(a, b, rtol=1e-5, atol=1e-6), found, expected)


def test_noise_without_variances_has_none():
    encoder = lambda x, **how: DiagonalNormal(jnp.zeros(2), jnp.zeros(2))  # noqa: E731
    mute = LatentModel(StandardNormal((2,)), encoder, lambda z, **how: FullNormal(jnp.zeros(3), jnp.zeros((3, 3))))
    batch = as_batch(np.zeros((2, 3), np.float32), mask=jnp.ones((2, 3), bool))
    assert linear_posteriors(mute, batch) is None
    assert linear_posteriors(linear_gaussian("prior"), as_batch(np.zeros((2, 3), np.float32))) is None


def test_a_decoder_without_finite_slopes_leaves_the_prior():
    broken = lambda z: DiagonalNormal(jnp.log(-jnp.ones(3)) * z[0], jnp.zeros(3))  # noqa: E731
    prior = Mixture(jnp.zeros(1), jax.vmap(FullNormal)(jnp.zeros((1, 2)), jnp.zeros((1, 2, 2))))
    q = linear_posterior(broken, jnp.zeros(2), prior, jnp.asarray([0.4, -0.3, 1.1]), jnp.ones(3, bool))
    np.testing.assert_array_equal(q.component(0).covariance(), np.eye(2))


@pytest.mark.parametrize(("most", "own"), [(6, True), (5, False)])
def test_rows_share_a_slope_where_it_has_many_numbers(most, own, monkeypatch):
    """Three cells and two latents: a slope of six numbers."""
    slopes, plain = [], module.linear_posterior
    monkeypatch.setattr(module, "SHARED", most)
    monkeypatch.setattr(module, "linear_posterior", lambda *given: slopes.append(given[-1]) or plain(*given))
    linear_posteriors(linear_gaussian("prior"), as_batch(np.zeros((1, 3), np.float32), mask=jnp.ones((1, 3), bool)))
    assert [slope is None for slope in slopes] == [own]
