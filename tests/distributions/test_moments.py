"""Means and variances in closed form against scipy, sums over all levels, and the law of total variance."""

from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from latens.distributions import (
    Affine,
    Bernoulli,
    Blocks,
    Categorical,
    ColourLogistics,
    ContinuousBernoulli,
    DiagonalNormal,
    DiscretisedLogistic,
    FullNormal,
    Joined,
    Laplace,
    Logistic,
    Mixture,
    NegativeBinomial,
    Ordinal,
    Poisson,
    Segments,
    StandardNormal,
    StudentT,
    VariableMixture,
    VonMisesFisher,
    ZeroInflated,
    pixels,
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
def test_the_mean_of_coupled_channels_is_the_sum_over_colours(levels: int) -> None:
    colours, share = every_colour(levels)
    one = ColourLogistics(**COUPLED, levels=levels)
    np.testing.assert_allclose(eqx.filter_jit(one.mean)()[0, 0], share @ colours, rtol=1e-5)


def test_the_mean_of_256_levels_is_that_of_draws() -> None:
    """In clipped channels too, and of a mixture of two components."""
    double = {name: jnp.concatenate([a, a * 0.6], axis=-3) for name, a in COUPLED.items()}
    one = ColourLogistics(**double)
    wide = ColourLogistics(**{name: jnp.broadcast_to(a, (*a.shape[:-2], 250, 400)) for name, a in double.items()})
    drawn = np.asarray(eqx.filter_jit(wide.sample)(key=jax.random.key(0)), float).reshape(-1, 3)
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.all(np.abs(np.asarray(eqx.filter_jit(one.mean)())[0, 0] - drawn.mean(axis=0)) < 3.5 * error)


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


TWO = (jnp.array([0.3, -1.2]), jnp.array([-0.4, 0.2]))
REAL, UNIT = np.linspace(-40, 40, 20_001), (np.arange(20_000) + 0.5) / 20_000
COUNTS = np.arange(400.0)
DIE = Segments(
    jnp.log(jnp.array([[1.0, 2, 5], [1, 1, 0.1]])), jnp.array([[0, 1, 4], [2, 3, 9]]), jnp.array([[1, 3, 6], [1, 6, 1]])
)
PAIR = VariableMixture(
    jnp.array([[0.0, 1.0], [0.5, -1.0]]), Laplace(jnp.array([[1.0, -2.0], [0.0, 4.0]]), jnp.zeros((2, 2)))
)


@pytest.mark.parametrize(
    ("made", "values"),
    [
        (DiagonalNormal(*TWO), REAL),
        (StandardNormal((2,)), REAL),
        (Laplace(*TWO), REAL),
        (Logistic(*TWO), REAL),
        (StudentT(*TWO, jnp.log(jnp.array([30.0, 9.0]))), REAL),
        (ContinuousBernoulli(jnp.array([-3.0, 0.05])), UNIT),
        (Bernoulli(TWO[0]), np.arange(2.0)),
        (Categorical(jnp.log(jnp.asarray(SHARES))), np.arange(3)),
        (Ordinal(TWO[0], jnp.array([[-1.0, 0.2, 0.1], [0.3, -1.0, 0.5]])), np.arange(4)),
        (DIE, np.arange(12.0)),
        (DIE.within(jnp.array([1.0, 4.0]), jnp.array([7.0, 9.0]))[0], np.arange(12.0)),
        (DiscretisedLogistic(TWO[0], TWO[1] - 2, 11), np.arange(11)),
        (VariableMixture(jnp.zeros((2, 1)), DiscretisedLogistic(TWO[0][:, None], TWO[1][:, None], 11)), np.arange(11)),
        (Poisson(TWO[0] + 2), COUNTS),
        (NegativeBinomial(TWO[0] + 2, TWO[1]), COUNTS),
        (ZeroInflated(Poisson(TWO[0] + 2), TWO[1]), COUNTS),
        (PAIR, REAL),
        (Affine(Logistic(*TWO), jnp.array([1.0, -2.0]), jnp.array([0.5, 2.0])), REAL),
        (
            Joined(
                {"a": Laplace(TWO[0][:1], TWO[1][:1]), "b": Logistic(TWO[0][1:], TWO[1][1:])},
                Blocks(("a", "b"), ((1,), (0,))),
            ),
            REAL,
        ),
        (Mixture(jnp.array([0.2, 1.0]), jax.vmap(Logistic)(jnp.array([[1.0], [-3.0]]), jnp.zeros((2, 1)))), REAL),
    ],
    ids=lambda made: type(made).__name__,
)
def test_every_mean_and_variance_is_that_of_the_density(made, values) -> None:
    """Of each variable a sum over its values, or a quadrature."""
    size = made.shape[0]
    events = jnp.broadcast_to(jnp.asarray(values)[:, None], (len(values), size))
    terms = getattr(made, "log_prob_terms", lambda event: made.log_prob(event)[None])
    density = np.exp(np.asarray(jax.jit(jax.vmap(terms))(events), float))
    share = density / density.sum(axis=0)
    mean = (values[:, None] * share).sum(axis=0)
    np.testing.assert_allclose(made.mean(), mean, rtol=2e-4, atol=2e-4)
    try:
        found = made.moments()
    except (AttributeError, TypeError):
        return
    if not isinstance(made, DiscretisedLogistic) and not isinstance(
        getattr(made, "components", None), DiscretisedLogistic
    ):
        np.testing.assert_allclose(found[0], mean, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(found[1], (values[:, None] ** 2 * share).sum(axis=0) - mean**2, rtol=2e-3)


@pytest.mark.parametrize(
    "made",
    [
        FullNormal(TWO[0], jnp.array([[0.1, 9.0], [0.7, -0.2]])),
        VonMisesFisher(jnp.array([1.0, 0.5, -0.2]), jnp.log(jnp.asarray(4.0))),
        ColourLogistics(**COUPLED, levels=20),
    ],
    ids=lambda made: type(made).__name__,
)
def test_every_mean_of_a_whole_event_is_that_of_draws(made) -> None:
    drawn = jax.jit(jax.vmap(lambda key: made.sample(key=key)))(jax.random.split(jax.random.key(1), 4000))
    for found, events in zip(jax.tree.leaves(made.mean()), jax.tree.leaves(drawn)):
        events = np.asarray(events, float)
        error = events.std(axis=0) / np.sqrt(len(events))
        assert np.all(np.abs(np.asarray(found) - events.mean(axis=0)) < 4 * error + 1e-6)


@pytest.mark.parametrize(("widest", "most"), [(-3.0, 0.1), (-1.0, 0.3)])
def test_the_mean_by_blocks_is_near_the_sum_over_all_levels(
    monkeypatch: pytest.MonkeyPatch, widest: float, most: float
):
    rng, size = np.random.default_rng(0), (2, 1, 1, 100)
    values = {"loc": rng.uniform(-1.3, 1.3, size), "log_scale": rng.uniform(-5.5, widest, size)}
    values |= {"logits": np.zeros(size[1:]), "coupling": rng.normal(0, 0.8, (1, 1, 1, 100))}
    one = ColourLogistics(**{name: jnp.asarray(value, jnp.float32) for name, value in values.items()})
    near = np.asarray(one.mean())
    monkeypatch.setattr(pixels, "FEW_LEVELS", 256)
    found = np.abs(near - np.asarray(one.mean()))
    assert found.max() < most
    assert np.median(found) < 0.01
    assert found[..., 0].max() == 0.0


def test_blocks_keep_the_mean_of_a_channel() -> None:
    """By the middles of blocks it is off by up to 0.24 of a level."""
    rng = np.random.default_rng(0)
    loc, log_scale = (jnp.asarray(rng.uniform(*ends, 400), jnp.float32) for ends in ((-1.1, 1.1), (-5.0, -1.5)))
    one = DiscretisedLogistic(loc, log_scale, 256)
    levels, shares = (np.asarray(part, float) for part in pixels._in_blocks(one))
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-6)
    np.testing.assert_allclose((levels * shares).sum(axis=0), np.asarray(one.mean(), float), atol=0.02)
