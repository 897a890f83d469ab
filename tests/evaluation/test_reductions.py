"""Pictures from their grey values, from small or from noisy ones: exact conditionals of Normal pixels."""

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from tables import MU, SIGMA, W, linear, linear_gaussian

from latens.data.batches import Batch, as_batch
from latens.distributions import (
    Beta,
    ColourLogistics,
    DiagonalNormal,
    DiscretisedLogistic,
    StandardNormal,
    VariableMixture,
)
from latens.errors import ConfigError
from latens.evaluation.complete import complete
from latens.evaluation.reductions import LUMA, Reduction
from latens.models import Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.trees import Frozen

RNG = np.random.default_rng(0)
W16, MU16, SIGMA16 = RNG.normal(size=(16, 2)), RNG.normal(size=16), np.exp(RNG.normal(size=16) / 4 - 0.7)
BLOCKS = np.zeros((4, 16))
for cell, (row, column) in enumerate(product(range(4), range(4))):
    BLOCKS[row // 2 * 2 + column // 2, cell] = 0.25


def picture_model() -> LatentModel:
    """Grey pictures of 4 x 4 Normal pixels, each with its own scale; the encoder knows nothing."""
    head = SharedScaleNormalHead((4, 4), Frozen(jnp.asarray(np.log(SIGMA16)).reshape(4, 4)))
    encoder = Conditional(linear(np.zeros((16, 4)), np.zeros(4)), NormalHead((2,)))
    flat = Conditional(lambda x: encoder.network(x.reshape(-1)), NormalHead((2,)))
    return LatentModel(StandardNormal((2,)), flat, Conditional(linear(W16.T, MU16), head))


def exact(a: np.ndarray, w: np.ndarray, mu: np.ndarray, sigma: np.ndarray, y: np.ndarray) -> tuple:
    """log p(y), and the mean and covariance of a Normal row x given y = A x."""
    covariance = w @ w.T + np.diag(sigma**2)
    inner = a @ covariance @ a.T
    gain = covariance @ a.T @ np.linalg.inv(inner)
    log_p = stats.multivariate_normal(a @ mu, inner).logpdf(y)
    return log_p, mu + gain @ (y - a @ mu), covariance - gain @ a @ covariance


@pytest.mark.parametrize("kind", ["grey", "small"])
def test_a_linear_gaussian_picture_given_what_is_seen_of_it_is_exact(kind: str) -> None:
    if kind == "grey":
        model, a, given = linear_gaussian(), np.array([LUMA]), (W, MU, np.full(3, SIGMA))
        reduction = Reduction((1, 1, 3), LUMA)
    else:
        model, a, given = picture_model(), BLOCKS, (W16, MU16, SIGMA16)
        reduction = Reduction((4, 4, 1), None, 2)
    y = a @ given[1] + np.linspace(-0.3, 0.4, len(a))
    batch = as_batch(y.reshape(1, *reduction.seen_shape).astype(np.float32))
    options = {"num_draws": 4000, "num_samples": 8000, "reduction": reduction}
    found = complete(model, batch, key=jax.random.key(0), **options)
    log_p, mean, covariance = exact(a, *given, y)
    assert abs(found.log_seen[0] - log_p) < 0.02
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.mean[0].reshape(-1), mean, atol=0.05 * scale.max())
    drawn = found.draws[0].reshape(4000, -1)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.07 * scale.max())
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1 * scale.max() ** 2)
    np.testing.assert_allclose(drawn @ a.T, np.broadcast_to(y, (4000, len(a))), atol=2e-5)  # every draw is seen so
    calm = complete(model, batch, mean=True, key=jax.random.key(0), **options)
    np.testing.assert_allclose(calm.mean, found.mean, rtol=1e-5)
    # Means given z vary by what z leaves open: E[Cov] + Cov[E].
    gain = a.T @ np.linalg.inv(a @ np.diag(given[2] ** 2) @ a.T)
    left = np.diag(given[2] ** 2) - np.diag(given[2] ** 2) @ gain @ a @ np.diag(given[2] ** 2)
    between = np.cov(calm.draws[0].reshape(4000, -1).T)
    np.testing.assert_allclose(between, covariance - left, atol=0.1 * scale.max() ** 2)


@pytest.mark.parametrize(
    ("side", "noise"),
    [(1, 0.4), (2, 0.3), *(pytest.param(1, noise, marks=pytest.mark.more) for noise in (0.05, 3.0, 1000.0))],
)
def test_a_linear_gaussian_picture_under_noise_is_exact(side: int, noise: float) -> None:
    """Over a range of strengths, of whole pictures and of block means: log p(y), the mean and the covariance."""
    a = np.eye(16) if side == 1 else BLOCKS
    y = a @ MU16 + np.linspace(-0.6, 0.8, len(a))
    covariance = W16 @ W16.T + np.diag(SIGMA16**2)
    inner = a @ covariance @ a.T + noise**2 * np.eye(len(a))
    gain = covariance @ a.T @ np.linalg.inv(inner)
    mean, left = MU16 + gain @ (y - a @ MU16), covariance - gain @ a @ covariance
    reduction = Reduction((4, 4, 1), None, side, noise=noise)
    batch = as_batch(y.reshape(1, *reduction.seen_shape).astype(np.float32))
    options = {"num_draws": 4000, "num_samples": 8000, "reduction": reduction, "key": jax.random.key(0)}
    found = complete(picture_model(), batch, **options)
    assert abs(found.log_seen[0] - stats.multivariate_normal(a @ MU16, inner).logpdf(y)) < 0.02
    scale = np.sqrt(np.diag(left).max())
    np.testing.assert_allclose(found.mean[0].reshape(-1), mean, atol=0.05 * scale)
    drawn = found.draws[0].reshape(4000, -1)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.07 * scale)
    np.testing.assert_allclose(np.cov(drawn.T), left, atol=0.1 * scale**2)
    calm = complete(picture_model(), batch, mean=True, **options)
    np.testing.assert_allclose(calm.mean, found.mean, rtol=1e-5)


PIXELS = {
    "unimodal": ((0.0, 0.0), (0.0, 0.0)),
    "bimodal": ((-0.84, 0.84), (0.0, 0.0)),
    "nearly-black": ((-1.0, 0.9), (4.0, 0.0)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.more] if name == "unimodal" else []) for name in PIXELS]
)
@pytest.mark.parametrize(("noise", "y"), [(1.0, 225.0), (25.0, 100.0), (25.0, 225.0), (60.0, -40.0), (3000.0, 9000.0)])
def test_levels_under_noise_are_summed_over_all_of_them(name: str, noise: float, y: float) -> None:
    """A pixel of 256 levels by enumeration: log p(y | z), the mean, and how often a draw is each level."""
    locs, weights = (jnp.asarray(pair).reshape(1, 1, 2) for pair in PIXELS[name])
    pixel = VariableMixture(weights, DiscretisedLogistic(locs, jnp.full((1, 1, 2), -3.5)))
    levels = np.arange(256)
    shares = np.asarray(jax.vmap(lambda k: pixel.log_prob(jnp.full((1, 1), k)))(jnp.asarray(levels)), float)
    joint = shares + stats.norm.logpdf(y, levels, noise)
    log_p = special.logsumexp(joint)
    posterior = np.exp(joint - log_p)
    reduction = Reduction((1, 1, 1), noise=noise, low=0.0, high=255.0)
    seen = jnp.full((1, 1, 1), y)
    np.testing.assert_allclose(float(reduction.log_prob(pixel, seen)), log_p, rtol=1e-4, atol=1e-3)
    mean = float(reduction.given(pixel, pixel.mean(), seen)[0, 0])
    np.testing.assert_allclose(mean, posterior @ levels, rtol=2e-3, atol=0.02)
    draw = lambda key: reduction.given(pixel, pixel.sample(key=key), seen, key)  # noqa: E731
    drawn = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 20_000))).reshape(-1)
    often = posterior > 5 / 20_000
    counts = np.bincount(drawn.astype(int), minlength=256)
    expected = 20_000 * posterior
    assert stats.chi2.sf(((counts - expected)[often] ** 2 / expected[often]).sum(), often.sum()) > 1e-4
    assert abs(counts[~often].sum() - expected[~often].sum()) < 6 * np.sqrt(expected[~often].sum() + 1)


@pytest.mark.parametrize("components", [1, pytest.param(3, marks=pytest.mark.more)])
def test_noise_is_independent_of_the_draw_that_it_is_added_to(components: int) -> None:
    """Colours far from the ends, z fixed: the covariance of the answers is that of the formula, cell by cell."""
    keys = jax.random.split(jax.random.key(4), 4)
    sizes = (3, components, 4, 4)
    loc = 0.1 * jax.random.normal(keys[0], sizes)
    likelihood = ColourLogistics(
        jnp.zeros((components, 4, 4)), loc, jnp.full(sizes, -3.5), 0.3 * jax.random.normal(keys[1], sizes)
    )
    mean, covariance = (np.asarray(one, float) for one in likelihood.moments())
    reduction = Reduction((4, 4, 3), low=0.0, high=255.0, noise=12.0)
    seen = jnp.asarray(mean + 3.0, jnp.float32)

    class Fixed:
        """A model whose latent says nothing."""

        def prior(self, *, cond: Any = None) -> StandardNormal:
            return StandardNormal((1,))

        def likelihood(self, z: Any, *, cond: Any = None) -> ColourLogistics:
            return likelihood

        def posterior(self, x: Any, *, cond: Any = None, mask: Any = None) -> StandardNormal:
            return StandardNormal((1,))

    options = {"num_draws": 6000, "num_samples": 40, "steps": 0, "reduction": reduction, "key": jax.random.key(0)}
    found = complete(Fixed(), as_batch(np.asarray(seen)[None]), **options)
    drawn = found.draws[0].reshape(6000, 16, 3)
    for pixel in range(16):
        own = covariance.reshape(16, 3, 3)[pixel]
        left = own - own @ np.linalg.inv(own + 144 * np.eye(3)) @ own
        apart = np.cov(drawn[:, pixel].T) - left - np.eye(3) / 12  # answers are whole numbers
        assert np.abs(apart).max() < 0.12 * left.max()
    correlations = np.corrcoef(drawn.reshape(6000, 48).T)
    between = correlations[np.arange(48)[:, None] // 3 != np.arange(48)[None] // 3]
    assert np.abs(between).max() < 6 / np.sqrt(6000)


def test_colours_and_blocks_are_conditioned_on_together() -> None:
    """Three coupled channels and blocks of 2 x 2: the gain of a dense matrix, and nothing in another block moves."""
    keys = jax.random.split(jax.random.key(3), 3)
    loc, coupling = 0.2 * jax.random.normal(keys[0], (3, 1, 4, 4)), 0.5 * jax.random.normal(keys[1], (3, 1, 4, 4))
    likelihood = ColourLogistics(jnp.zeros((1, 4, 4)), loc, jnp.full((3, 1, 4, 4), -3.0), coupling)
    mean, covariance = (np.asarray(one, float) for one in likelihood.moments())
    dense = np.zeros((4, 4, 3, 4, 4, 3))
    for i, j in product(range(4), range(4)):
        dense[i, j, :, i, j] = covariance[i, j]
    dense = dense.reshape(48, 48)
    x = np.asarray(likelihood.sample(key=keys[2]), np.float32)
    for reduction in (Reduction((4, 4, 3), None, 2, step=1.0), Reduction((4, 4, 3), LUMA, 1, step=1.0)):
        a = np.stack([np.asarray(reduction(one)).reshape(-1) for one in np.eye(48).reshape(48, 4, 4, 3)], axis=1)
        seen = np.asarray(reduction(x) + 3.0, np.float32)
        inner = a @ dense @ a.T + np.eye(len(a)) / 12
        residual = seen.reshape(-1) - a @ mean.reshape(-1)
        log_p = stats.multivariate_normal(np.zeros(len(a)), inner).logpdf(residual)
        np.testing.assert_allclose(float(reduction.log_prob(likelihood, jnp.asarray(seen))), log_p, rtol=1e-4)
        moved = np.asarray(reduction.given(likelihood, jnp.asarray(x), jnp.asarray(seen))).reshape(-1) - x.reshape(-1)
        gain = dense @ a.T @ np.linalg.inv(inner)
        np.testing.assert_allclose(moved, gain @ (seen.reshape(-1) - a @ x.reshape(-1)), atol=2e-3)


@pytest.mark.parametrize("size", [1, 4, 60])
def test_whole_pixels_stay_in_their_range_and_are_seen_as_they_were(size: int) -> None:
    """Also where most of a block is black or white: what clipping takes away is spread over the rest."""
    rng = np.random.default_rng(size)
    reduction = Reduction((8, 8, 1), None, 4, step=1.0, low=0.0, high=255.0)
    loc = jnp.asarray(rng.uniform(-1.6, 1.6, (8, 8)), jnp.float32)
    likelihood = DiscretisedLogistic(loc, jnp.full((8, 8), np.log(size * 2 / 255)))
    x = likelihood.sample(key=jax.random.key(size))
    for level in (0.0, 3.0, 90.0, 254.0, 255.0):
        seen = jnp.full((2, 2, 1), level)
        found = np.asarray(reduction.given(likelihood, x, seen))
        assert found.min() >= 0
        assert found.max() <= 255
        np.testing.assert_array_equal(found, np.round(found))
        assert np.abs(np.asarray(reduction(found)) - level).max() <= 0.5
        mean = np.asarray(reduction.given(likelihood, likelihood.mean(), seen))
        np.testing.assert_allclose(np.asarray(reduction(mean)), level, atol=0.01)


def test_a_reduced_row_keeps_its_answers_wherever_it_stands() -> None:
    y = RNG.normal(size=(3, 2, 2, 1)).astype(np.float32)
    batch, order = as_batch(y), np.array([2, 0, 1])
    turned = Batch(np.asarray(batch.x)[order], np.asarray(batch.row_id)[order])
    options = {"num_samples": 200, "key": jax.random.key(1), "reduction": Reduction((4, 4, 1), None, 2)}
    one, other = complete(picture_model(), batch, **options), complete(picture_model(), turned, **options)
    for a, b in zip(one, other):
        np.testing.assert_allclose(a[order], b, rtol=1e-4, atol=1e-5)


def test_a_likelihood_without_variances_is_refused() -> None:
    odd = Beta(jnp.zeros((2, 2)), jnp.zeros((2, 2)))
    with pytest.raises(ConfigError, match="a Beta gives no variances"):
        Reduction((2, 2, 1), None, 2).log_prob(odd, jnp.zeros((1, 1, 1)))
    fine = DiagonalNormal(jnp.zeros((2, 2)), jnp.zeros((2, 2)))
    np.testing.assert_allclose(
        float(Reduction((2, 2, 1), None, 2).log_prob(fine, jnp.full((1, 1, 1), 0.3))),
        stats.norm.logpdf(0.3, 0, 0.5),
        rtol=1e-5,
    )
