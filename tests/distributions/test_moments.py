"""Means and variances in closed form against scipy, sums over all levels, and the law of total variance."""

from itertools import product

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from latens.distributions import ColourLogistics, DiscretisedLogistic, StudentT, mixtures

LOC, SCALE = np.array([0.3, -2.0]), np.array([0.5, 3.0])


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


COUPLED = {
    "logits": jnp.zeros((1, 1, 1)),
    "loc": jnp.array([-1.2, -0.8, -1.1]).reshape(3, 1, 1, 1),
    "log_scale": jnp.array([-1.2, -2.5, -2.0]).reshape(3, 1, 1, 1),
    "coupling": jnp.array([1.5, -0.7, 1.2]).reshape(3, 1, 1, 1),
}
"""Dark pixels whose channels are clipped, so that what an earlier one adds to a later one is not what it loses."""


def every_colour(levels: int) -> tuple[np.ndarray, np.ndarray]:
    """All colours of three coupled channels with their probabilities."""
    colours = np.array(list(product(range(levels), repeat=3)))
    grid = {name: jnp.broadcast_to(a, (*a.shape[:-2], levels, levels**2)) for name, a in COUPLED.items()}
    one = ColourLogistics(**grid, levels=levels)
    terms = eqx.filter_jit(one.pixel_terms)(jnp.asarray(colours.reshape(levels, -1, 3)))
    return colours, np.exp(np.asarray(terms, float).reshape(-1))


@pytest.mark.parametrize("levels", [2, 20])
def test_the_mean_of_coupled_channels_is_the_sum_over_colours(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixtures, "FEW_LEVELS", levels)  # up to which it is exact
    colours, share = every_colour(levels)
    one = ColourLogistics(**COUPLED, levels=levels)
    np.testing.assert_allclose(eqx.filter_jit(one.mean)()[0, 0], share @ colours, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [-5.7, -4.2, -3.0])
def test_the_mean_of_256_levels_is_within_a_tenth_of_a_level(log_scale: float) -> None:
    """Against a sum over all pairs of earlier levels, from the narrowest scale of a head on."""
    levels, places = np.arange(256), np.linspace(-1, 1, 256)
    edges = (2 * levels[1:] - 1) / 255 - 1
    loc, slope, scale = (-0.9, 0.4, 0.1), (0.8, 1.1, -0.9), np.exp(log_scale)
    above = [
        expit((where[..., None] - edges) / scale) for where in (np.array(loc[0]), loc[1] + slope[0] * (places + 0.9))
    ]
    first, second = (-np.diff(each, axis=-1, prepend=1.0, append=0.0) for each in above)
    third = loc[2] + slope[1] * (places[:, None] + 0.9) + slope[2] * (places - 0.4)
    kept = first[:, None] * second > 1e-9
    of_third = expit((third[kept][:, None] - edges) / scale).sum(axis=1)
    wanted = first @ levels, first @ above[1].sum(axis=1), (first[:, None] * second)[kept] @ of_third
    shaped = [jnp.asarray(each, jnp.float32).reshape(3, 1, 1, 1) for each in (loc, [log_scale] * 3, slope)]
    found = np.asarray(eqx.filter_jit(ColourLogistics(jnp.zeros((1, 1, 1)), *shaped).mean)())[0, 0]
    assert np.abs(found - wanted).max() < 0.1
    assert abs(found[0] - wanted[0]) < 1e-3


def test_moments_of_clipped_channels_are_near_those_of_all_colours() -> None:
    colours, share = every_colour(20)
    mean = share @ colours
    covariance = (share[:, None] * (colours - mean)).T @ (colours - mean)
    found = eqx.filter_jit(ColourLogistics(**COUPLED, levels=20).moments)()
    np.testing.assert_allclose(found[0][0, 0], mean, atol=0.35)
    np.testing.assert_allclose(found[1][0, 0], covariance, atol=0.12 * covariance.max())
    assert np.linalg.eigvalsh(found[1][0, 0]).min() > 0
