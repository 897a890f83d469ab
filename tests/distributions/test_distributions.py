"""Every distribution against its formula, an independent oracle, its own samples and its extremes."""

import inspect

import checks
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from checks import agrees, close, finite_difference
from jax.flatten_util import ravel_pytree
from scipy import special
from tables import DISTRIBUTIONS, LEVELS, LOC, LOG_SCALE, LOGITS, WITHOUT_DENSITY, continuous_bernoulli_logpdf
from tables_joint import JOINT

import latens.distributions
from latens.distributions import (
    AbstractDistribution,
    AbstractReparameterised,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Deterministic,
    DiagonalNormal,
    StandardNormal,
    log_prob,
)
from latens.distributions.chain import Chain

CHECKS = [value for name, value in vars(checks).items() if name.startswith("check_")]
rows = pytest.mark.parametrize("name", DISTRIBUTIONS)


def draws(distribution, key, n):
    return jax.jit(jax.vmap(lambda k: distribution.sample(key=k)))(jax.random.split(key, n))


def quadrature(name):
    """Events (n, *x), and the probability of each with its weight, in float64."""
    row = DISTRIBUTIONS[name]
    distribution = row.make()
    events, weights = row.points(distribution.mean().shape)
    terms = jax.jit(jax.vmap(distribution.log_prob_terms))(jnp.asarray(events))
    return distribution, np.asarray(events), np.asarray(terms), np.asarray(jnp.exp(terms)) * weights


def test_every_public_distribution_is_in_a_table():
    public = {
        name
        for name, value in vars(latens.distributions).items()
        if inspect.isclass(value) and issubclass(value, AbstractDistribution) and not name.startswith("Abstract")
    }
    rows = [*DISTRIBUTIONS.values(), *JOINT.values()]
    # Two have tests of their own: a colour's mean takes earlier channels at their locations (test_pixels.py), and the
    # cells of an autoregressive picture are not independent (test_autoregressive.py).
    elsewhere = {
        "ColourLogistics",
        "Autoregressive",
        "TokenSequence",
    }  # parts that depend on one another
    assert public == {type(row.make()).__name__ for row in rows} | set(WITHOUT_DENSITY) | elsewhere


@rows
def test_log_prob_meets_scipy(name, getkey):
    row = DISTRIBUTIONS[name]
    distribution = row.make()
    events = draws(distribution, getkey(), 20)
    expected = np.stack([row.oracle(np.asarray(e).astype(int if row.levels else float)) for e in events])
    close(jax.vmap(distribution.log_prob_terms)(events), expected, atol=1e-5)
    close(jax.vmap(distribution.log_prob)(events), expected.reshape(20, -1).sum(axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda: DiagonalNormal(jnp.asarray(LOC), jnp.asarray(LOG_SCALE)),
            lambda: numpyro.Normal(LOC, np.exp(LOG_SCALE)),
        ),
        (DISTRIBUTIONS["Bernoulli"].make, lambda: numpyro.Bernoulli(logits=LOGITS)),
        (DISTRIBUTIONS["Categorical"].make, lambda: numpyro.Categorical(logits=LEVELS)),
    ],
    ids=["Normal", "Bernoulli", "Categorical"],
)
def test_log_prob_and_mean_meet_numpyro(ours, theirs, getkey):
    ours, theirs = ours(), theirs()
    events = draws(ours, getkey(), 20)
    close(jax.vmap(ours.log_prob_terms)(events), theirs.log_prob(events), atol=1e-5)
    if not isinstance(ours, Categorical):
        close(ours.mean(), theirs.mean)


@rows
def test_integrates_to_one_and_has_its_mean(name, float64):
    distribution, events, _, probability = quadrature(name)
    close(probability.sum(axis=0), np.ones(events.shape[1:]), atol=1e-9)
    close(distribution.mean(), (probability * events).sum(axis=0), rtol=1e-7, atol=1e-7)


@rows
def test_samples_agree_with_the_density(name, getkey):
    """First and second moment and the mean log density (minus the entropy) of 10 000 draws, at 5 sigma."""
    with jax.enable_x64(True):
        _, events, terms, probability = quadrature(name)
    distribution = DISTRIBUTIONS[name].make()
    samples = draws(distribution, getkey(), 10_000)
    agrees(samples, (probability * events).sum(axis=0))
    agrees(np.asarray(samples, np.float64) ** 2, (probability * events.astype(float) ** 2).sum(axis=0))
    agrees(jax.jit(jax.vmap(distribution.log_prob_terms))(samples), (probability * terms).sum(axis=0))


@pytest.mark.long
@rows
def test_jit_meets_eager(name, getkey, strict):
    distribution = DISTRIBUTIONS[name].make()
    key = getkey()

    def everything(key):
        event = distribution.sample(key=key)
        both = distribution.sample_and_log_prob(key=key)
        return event, distribution.log_prob(event), distribution.log_prob_terms(event), distribution.mean(), both

    eager = everything(key)
    for a, b in zip(jax.tree.leaves(jax.jit(everything)(key)), jax.tree.leaves(eager)):
        close(a, b)
    close(eager[4][0], eager[0], rtol=0, atol=0)
    close(eager[4][1], eager[1])
    close(eager[2].sum(), eager[1])


@rows
def test_vmap_meets_loop_and_rows_draw_their_own_noise(name, getkey):
    first, keys = DISTRIBUTIONS[name].make(), jax.random.split(getkey(), 3)
    several = [jax.tree.map(lambda leaf, i=i: leaf + 0.1 * i, first) for i in range(3)]
    batched = jax.tree.map(lambda *leaves: jnp.stack(leaves), *several)
    both = jax.jit(jax.vmap(lambda d, k: d.sample_and_log_prob(key=k), axis_size=3))(batched, keys)
    one = jax.jit(lambda d, k: d.sample_and_log_prob(key=k))
    for i, distribution in enumerate(several):
        event, value = one(distribution, keys[i])
        close(both[0][i], event)
        close(both[1][i], value)
    same = draws(first, keys[0], 40)
    assert np.all(np.asarray(same).std(axis=0).max() > 0)


@rows
def test_gradient_meets_finite_difference(name, getkey, float64):
    """By every parameter that is no whole number, and by the event where it is continuous."""
    distribution = DISTRIBUTIONS[name].make()
    event = distribution.sample(key=getkey())
    operands = (distribution, event) if DISTRIBUTIONS[name].levels is None else (distribution,)
    smooth, whole = eqx.partition(operands, lambda leaf: not eqx.is_array(leaf) or eqx.is_inexact_array(leaf))
    theta, rebuild = ravel_pytree(smooth)

    def value(theta):
        parts = eqx.combine(rebuild(theta), whole)
        return parts[0].log_prob(parts[1] if len(parts) == 2 else event)

    close(jax.jit(jax.grad(value))(theta), finite_difference(value, theta), rtol=1e-6, atol=1e-8)


@rows
def test_masked_entries_have_no_influence(name, getkey):
    """A NaN (or a level that does not exist) behind the mask changes neither value nor gradient."""
    distribution = DISTRIBUTIONS[name].make()
    event = distribution.sample(key=getkey())
    mask = jnp.arange(event.size).reshape(event.shape) % 2 == 0
    hidden = jnp.where(mask, event, -(2**30) if event.dtype == jnp.int32 else jnp.nan)
    theta, rebuild = ravel_pytree(distribution)
    value, gradient = jax.jit(jax.value_and_grad(lambda t: log_prob(rebuild(t), hidden, mask)))(theta)
    kept = np.flatnonzero(mask)
    terms = lambda t: rebuild(t).log_prob_terms(event).reshape(-1)[kept].sum()  # noqa: E731
    expected, expected_gradient = jax.jit(jax.value_and_grad(terms))(theta)
    close(value, expected)
    close(gradient, expected_gradient)
    close(log_prob(distribution, event), log_prob(distribution, event, jnp.ones(event.shape, bool)))


@pytest.mark.parametrize("name", [n for n, r in DISTRIBUTIONS.items() if isinstance(r.make(), AbstractReparameterised)])
def test_noise_makes_the_sample(name, getkey):
    distribution, key = DISTRIBUTIONS[name].make(), getkey()
    noise = distribution.sample_noise(key=key)
    same = lambda a, b: jax.tree.map(lambda x, y: close(x, y, rtol=0, atol=0), a, b)  # noqa: E731
    same(distribution.sample(key=key), distribution.from_noise(noise))
    if callable(getattr(distribution, "mean", None)):  # a product of columns has none as a whole
        same(distribution.from_noise(jax.tree.map(jnp.zeros_like, noise)), distribution.mean())


def test_a_point_mass_has_a_mean_and_no_density(getkey):
    point = Deterministic(jnp.asarray(LOC))
    close(point.sample(key=getkey()), LOC)
    close(point.mean(), LOC)
    with pytest.raises(TypeError, match=r"no density.*Reconstruction"):
        point.log_prob(jnp.asarray(LOC))


def value_and_gradient(density, parameter, event):
    """Of one-variable densities, vectorised over parameters and events."""
    one = jax.value_and_grad(lambda p, x: density(p[None]).log_prob(x[None]))
    return jax.vmap(one)(jnp.asarray(parameter, jnp.float32), jnp.asarray(event))


LOGITS_FAR = np.array([-1e4, -300.0, -20.0, -0.1001, -0.0999, -1e-3, 0.0, 1e-3, 0.0999, 0.1001, 20.0, 300.0, 1e4])


def grid(events):
    logits, x = np.meshgrid(LOGITS_FAR, events)
    return logits.ravel().astype(np.float32), x.ravel().astype(np.float32)


def near_rounding(value, expected, size):
    """Within 1e-5, beside the rounding in single precision of terms of this size that cancel."""
    assert np.all(np.abs(np.asarray(value) - expected) <= 1e-5 * np.abs(expected) + 1e-6 + 1e-7 * np.abs(size))


def test_bernoulli_at_the_extremes():
    logits, x = grid([0.0, 0.3, 1.0])
    value, gradient = value_and_gradient(Bernoulli, logits, x)
    exact = logits.astype(float)
    close(value, x * exact - np.logaddexp(0, exact))
    close(gradient, x - special.expit(exact))


def test_continuous_bernoulli_at_the_extremes():
    logits, x = grid([0.0, 0.3, 1.0])
    value, gradient = value_and_gradient(ContinuousBernoulli, logits, x)
    exact = logits.astype(float)
    size = np.where(exact == 0, 1.0, np.abs(exact))
    integral = np.where(exact == 0, 0.0, np.maximum(exact, 0) + np.log(-np.expm1(-size) / size))
    mean_of_size = -1 / np.expm1(-size) - 1 / size  # 1 - 1/l + 1/(e^l - 1), for l > 0
    mean = np.where(exact == 0, 0.5, np.where(exact > 0, mean_of_size, 1 - mean_of_size))
    near_rounding(value, x * exact - integral, exact)
    close(gradient, x - mean, atol=2e-6)
    close(jax.vmap(lambda t: ContinuousBernoulli(t[None]).mean()[0])(jnp.asarray(logits)), mean, atol=2e-6)
    # The slope of the mean is the variance, 1/l^2 - 1/(4 sinh(l/2)^2).
    slope = jax.vmap(jax.grad(lambda t: ContinuousBernoulli(t[None]).mean()[0]))(jnp.asarray(logits))
    near = size < 0.01
    variance = 1 / size**2 - np.exp(-size) / np.expm1(-size) ** 2
    close(slope, np.where(near | (exact == 0), 1 / 12, variance), atol=2e-5)


def test_continuous_bernoulli_samples_at_the_extremes(getkey):
    x = draws(ContinuousBernoulli(jnp.asarray([-1e4, -1e-3, 0.0, 1e-3, 1e4])), getkey(), 10_000)
    agrees(x, [1e-4, 0.5 - 1e-3 / 12, 0.5, 0.5 + 1e-3 / 12, 1 - 1e-4])
    close(continuous_bernoulli_logpdf(np.array([0.25]), np.array([0.0])), [0.0])


def test_normal_at_the_extremes():
    log_scale, x = (a.ravel() for a in np.meshgrid([-20.0, -5.0, 0.0, 5.0, 20.0], [-3.0, 0.5, 2.0]))
    value, gradient = value_and_gradient(lambda s: DiagonalNormal(jnp.full(1, 0.5), s), log_scale, x.astype(np.float32))
    squared = (x - 0.5) ** 2 * np.exp(-2 * log_scale)
    close(value, -0.5 * squared - 0.5 * np.log(2 * np.pi) - log_scale)
    close(gradient, squared - 1)
    close(jnp.exp(StandardNormal((1,)).log_scale_array()), [1.0])


def test_categorical_at_the_extremes():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [0.0, 20.0, -20.0]])
    for level in range(3):
        one = lambda row, level=level: Categorical(row[None]).log_prob(jnp.asarray([level]))  # noqa: E731
        value, gradient = jax.vmap(jax.value_and_grad(one))(jnp.asarray(logits))
        near_rounding(value, special.log_softmax(logits, axis=1)[:, level], np.abs(logits).max(axis=1))
        close(gradient, np.eye(3)[level] - special.softmax(logits, axis=1))


def test_bernoulli_sums_in_groups_of_sixteen(getkey):
    """Value and gradient also for sizes that 16 does not divide, and for far logits."""
    for size in (1, 16, 37):
        logits, x = 30.0 * jax.random.normal(getkey(), (size,)), jax.random.uniform(getkey(), (size,))
        value, gradient = jax.value_and_grad(lambda t, x=x: Bernoulli(t).log_prob(x))(logits)
        exact = np.asarray(logits, float)
        close(value, (np.asarray(x) * exact - np.logaddexp(0, exact)).sum())
        close(gradient, np.asarray(x) - special.expit(exact))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_number(check):
    """The checks of densities, divergences, heads and networks that the planted faults share."""
    check()


def test_a_mask_needs_a_distribution_that_factorises():
    class Joint(AbstractDistribution):
        def sample(self, *, key):
            return jnp.zeros(2)

        def log_prob(self, event):
            return jnp.sum(event)

    assert float(log_prob(Joint(), jnp.ones(2))) == 2.0
    with pytest.raises(TypeError, match="factorises"):
        log_prob(Joint(), jnp.ones(2), jnp.ones(2, bool))


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, *JOINT])
def test_the_shape_is_that_of_the_mean_or_of_the_events_that_cover_the_support(name):
    if name in DISTRIBUTIONS:
        distribution = DISTRIBUTIONS[name].make()
        assert distribution.shape == distribution.mean().shape
    else:
        events = JOINT[name].points()[0]
        assert JOINT[name].make().shape == jax.tree.map(lambda leaf: leaf.shape[1:], events)


def test_the_shapes_of_levels_and_of_one_given_as_a_field():
    levels = Chain(StandardNormal((2,)), (lambda z: DiagonalNormal(jnp.zeros(3), jnp.zeros(3)),), backwards=True)
    assert levels.shape == ((3,), (2,))
    assert StandardNormal((4, 5)).shape == (4, 5)
    assert Deterministic(jnp.zeros((2, 1))).shape == (2, 1)
