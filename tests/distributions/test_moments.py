"""Means and variances in closed form against scipy, sums over all levels, and the law of total variance."""

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from latens.distributions import (
    Affine,
    Bernoulli,
    Categorical,
    ColourLogistics,
    ContinuousBernoulli,
    DiagonalNormal,
    DiscretisedLogistic,
    Laplace,
    Logistic,
    StudentT,
    VariableMixture,
)

LOC, SCALE = np.array([0.3, -2.0]), np.array([0.5, 3.0])
GIVEN = (jnp.asarray(LOC), jnp.log(jnp.asarray(SCALE)))
P = np.array([0.2, 0.9])
SHARES = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]])
LEVEL_MEANS = SHARES @ np.arange(3)


def truncated(logit: float) -> tuple[float, float]:
    rate = abs(logit)
    mean, variance = stats.truncexpon.stats(rate, scale=1 / rate)
    return (1 - mean if logit > 0 else mean), variance


@pytest.mark.parametrize(
    ("made", "mean", "variance"),
    [
        (DiagonalNormal(*GIVEN), LOC, SCALE**2),
        (Affine(DiagonalNormal(*GIVEN), jnp.asarray(1.0), jnp.asarray(2.0)), 1 + 2 * LOC, 4 * SCALE**2),
        (Laplace(*GIVEN), LOC, stats.laplace.var(scale=SCALE)),
        (Logistic(*GIVEN), LOC, stats.logistic.var(scale=SCALE)),
        (Bernoulli(jnp.log(jnp.asarray(P / (1 - P)))), P, P * (1 - P)),
        (ContinuousBernoulli(jnp.array([-5.0, 0.7])), *np.array([truncated(-5.0), truncated(0.7)]).T),
        (ContinuousBernoulli(jnp.zeros(2)), np.full(2, 0.5), np.full(2, 1 / 12)),
        (Categorical(jnp.log(jnp.asarray(SHARES))), LEVEL_MEANS, SHARES @ np.arange(3) ** 2 - LEVEL_MEANS**2),
        (
            VariableMixture(jnp.log(jnp.array([[0.25, 0.75]])), DiagonalNormal(*(one[None] for one in GIVEN))),
            np.array([[0.25, 0.75] @ LOC]),
            np.array([[0.25, 0.75] @ (LOC**2 + SCALE**2) - ([0.25, 0.75] @ LOC) ** 2]),
        ),
    ],
)
def test_moments_are_those_of_the_family(made, mean, variance) -> None:
    found = made.moments()
    np.testing.assert_allclose(found[0], mean, rtol=1e-5)
    np.testing.assert_allclose(found[1], variance, rtol=1e-4)


def test_a_family_without_variances_says_so() -> None:
    with pytest.raises(TypeError, match="StudentT gives no variance"):
        StudentT(jnp.zeros(2), jnp.zeros(2), jnp.zeros(2)).moments()


@pytest.mark.parametrize(
    ("scale", "of_mean", "of_variance"), [(0.34, 0.05, 0.05), (1.0, 0.02, 0.03), (30.0, 1e-3, 0.05)]
)
def test_levels_have_the_moments_of_a_sum_over_them(scale: float, of_mean: float, of_variance: float) -> None:
    """Inside, at the ends and far beyond them, where all mass is on one level."""
    loc = np.array([-400.0, -20, -3, -0.5, 0, 0.2, 1, 5, 50.3, 128, 254.7, 256, 290])
    one = DiscretisedLogistic(jnp.asarray(2 * loc / 255 - 1), jnp.full(loc.shape, np.log(2 * scale / 255)))
    below = stats.logistic.cdf(np.arange(255)[:, None] + 0.5, loc, scale)
    share = np.diff(below, axis=0, prepend=0.0, append=1.0)
    mean = (np.arange(256)[:, None] * share).sum(axis=0)
    variance = ((np.arange(256)[:, None] - mean) ** 2 * share).sum(axis=0)
    found = one.moments()
    assert np.abs(found[0] - mean).max() < of_mean
    assert np.abs(found[1] - variance).max() < of_variance
    np.testing.assert_allclose(found[1][0], variance[0], rtol=0.05, atol=1e-6)


def test_channels_have_the_covariance_of_a_sum_over_colours() -> None:
    """Two coupled channels of 64 levels and two components: within 3 % of all 4096 colours."""
    values = {
        "logits": jnp.log(jnp.array([0.3, 0.7])).reshape(2, 1, 1),
        "loc": jnp.array([[-0.2, 0.1], [0.3, 0.0]]).reshape(2, 2, 1, 1),
        "log_scale": jnp.array([[-2.6, -2.4], [-3.0, -2.8]]).reshape(2, 2, 1, 1),
        "coupling": jnp.array([[0.8, -0.5]]).reshape(1, 2, 1, 1),
    }
    one = ColourLogistics(**values, levels=64)
    colours = np.array(list(product(range(64), range(64))))
    grid = ColourLogistics(*(jnp.broadcast_to(a, (*a.shape[:-2], 64, 64)) for a in values.values()), levels=64)
    share = np.exp(np.asarray(grid.pixel_terms(jnp.asarray(colours.reshape(64, 64, 2)))).reshape(-1).astype(float))
    np.testing.assert_allclose(share.sum(), 1.0, rtol=1e-4)
    mean = share @ colours
    covariance = (share[:, None] * (colours - mean)).T @ (colours - mean)
    found = one.moments()
    np.testing.assert_allclose(found[0][0, 0], mean, atol=0.05)
    np.testing.assert_allclose(found[1][0, 0], covariance, atol=0.03 * covariance.max())
