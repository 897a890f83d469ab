"""Distributions over whole events: formula, oracle, integral, samples, gradients, file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close, finite_difference
from jax.flatten_util import ravel_pytree
from tables import DISTRIBUTIONS
from tables_joint import JOINT, simplex

from latens.distributions import (
    DiagonalNormal,
    Laplace,
    Mixture,
    Product,
    StandardNormal,
    UniformSphere,
    VonMisesFisher,
    log_prob,
)
from latens.errors import UsageError
from latens.io.named_arrays import arrays_to_tree, tree_to_arrays

rows = pytest.mark.parametrize("name", JOINT)


def draws(distribution, key, n):
    return jax.jit(jax.vmap(lambda k: distribution.sample(key=k)))(jax.random.split(key, n))


def flat(events):
    """Every event as one row of numbers."""
    leaves = jax.tree.leaves(events)
    return np.concatenate([np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in leaves], axis=1)


def covered(name):
    """The distribution, the events that cover its support, and the log density and probability of each (float64)."""
    row = JOINT[name]
    distribution, (events, weights) = row.make(), row.points()
    terms = np.asarray(jax.jit(jax.vmap(distribution.log_prob))(jax.tree.map(jnp.asarray, events)))
    return distribution, events, terms, np.exp(terms) * weights


@rows
def test_log_prob_meets_the_oracle(name, getkey):
    row = JOINT[name]
    distribution = row.make()
    events = draws(distribution, getkey(), 20)
    expected = row.oracle(jax.tree.map(lambda e: e if e.dtype == jnp.int32 else np.asarray(e, float), events))
    close(jax.jit(jax.vmap(distribution.log_prob))(events), expected, atol=1e-5)


@rows
def test_integrates_to_one_and_has_its_mean(name, float64):
    distribution, events, _, probability = covered(name)
    close(probability.sum(), 1.0, atol=1e-9)
    if hasattr(distribution, "mean"):
        mean = flat(jax.tree.map(lambda leaf: np.asarray(leaf)[None], distribution.mean()))[0]
        expected = probability @ flat(events)
        if name == "Product":  # the mean of a class is the expected level
            assert mean.shape == expected.shape
        close(mean, expected, rtol=1e-7, atol=1e-7)


@rows
def test_samples_agree_with_the_density(name, getkey):
    """Moments, products of entries, and the mean log density of 10 000 draws, at 5 sigma."""
    with jax.enable_x64(True):
        _, events, terms, probability = covered(name)
    distribution = JOINT[name].make()
    samples = draws(distribution, getkey(), 10_000)
    x, grid = flat(samples), flat(events)
    agrees(x, probability @ grid)
    agrees(x[:, :, None] * x[:, None, :], np.einsum("n,ni,nj->ij", probability, grid, grid))
    agrees(jax.jit(jax.vmap(distribution.log_prob))(samples), probability @ terms)


@pytest.mark.long
@rows
def test_jit_meets_eager(name, getkey, strict):
    distribution, key = JOINT[name].make(), getkey()

    def everything(key):
        event, value = distribution.sample_and_log_prob(key=key)
        return event, value, distribution.sample(key=key), distribution.log_prob(event)

    eager, compiled = everything(key), jax.jit(everything)(key)
    jax.tree.map(close, compiled, eager)
    jax.tree.map(close, compiled[2:], compiled[:2])


@rows
def test_vmap_meets_loop(name, getkey):
    first, keys = JOINT[name].make(), jax.random.split(getkey(), 3)
    several = [jax.tree.map(lambda leaf, i=i: leaf + 0.1 * i, first) for i in range(3)]
    batched = jax.tree.map(lambda *leaves: jnp.stack(leaves), *several)
    both = jax.jit(jax.vmap(lambda d, k: d.sample_and_log_prob(key=k), axis_size=3))(batched, keys)
    one = jax.jit(lambda d, k: d.sample_and_log_prob(key=k))
    for i, distribution in enumerate(several):
        jax.tree.map(lambda a, b, i=i: close(a[i], b), both, one(distribution, keys[i]))


@rows
def test_gradient_meets_finite_difference(name, getkey, float64):
    """By every parameter, and by the event where it is continuous."""
    row = JOINT[name]
    distribution = row.make()
    event = distribution.sample(key=getkey())
    continuous = name != "Product"
    if row.points is simplex:
        event = 0.5 * event + 0.5 / 3  # a difference across 1e-5 is no slope where a proportion is 1e-4
    theta, rebuild = ravel_pytree((distribution, event) if continuous else (distribution,))

    def value(theta):
        parts = rebuild(theta)
        return parts[0].log_prob(parts[1] if continuous else event)

    close(jax.jit(jax.grad(value))(theta), finite_difference(value, theta), rtol=1e-6, atol=1e-8)


FACTORISED = ("StudentT",)
PATHWISE = [*(n for n, row in JOINT.items() if row.differentiable and jax.tree.leaves(row.make())), *FACTORISED]


@pytest.mark.parametrize("name", PATHWISE)
def test_gradients_through_samples_are_unbiased(name, getkey):
    r"""The slope of $E\sum_i (x_i + i\,x_i^2)$ by every parameter, from 4 000 samples and by quadrature, at 5 sigma."""

    def f(event):
        x = event.reshape(-1)
        return jnp.sum(x + x * x * jnp.arange(1.0, x.size + 1, dtype=x.dtype))

    with jax.enable_x64(True):
        if name in JOINT:
            exact_distribution, (events, weights) = JOINT[name].make(), JOINT[name].points()
            density = lambda d, e: d.log_prob(e)  # noqa: E731
        else:
            exact_distribution = DISTRIBUTIONS[name].make()
            events, weights = DISTRIBUTIONS[name].points(exact_distribution.mean().shape)
            density = lambda d, e: d.log_prob_terms(e)  # noqa: E731
        theta, rebuild = ravel_pytree(exact_distribution)

        def integral(theta):
            probability = jnp.exp(jax.vmap(lambda e: density(rebuild(theta), e))(jnp.asarray(events))) * weights
            if name in JOINT:
                return jnp.sum(probability * jax.vmap(f)(jnp.asarray(events)))
            factors = jnp.arange(1.0, events.shape[1] + 1)
            return jnp.sum(probability * (events + factors * events**2))

        exact = np.asarray(jax.jit(jax.grad(integral))(theta))
    theta, rebuild = ravel_pytree(JOINT[name].make() if name in JOINT else DISTRIBUTIONS[name].make())
    one = jax.grad(lambda theta, key: f(rebuild(theta).sample(key=key)))
    agrees(jax.jit(jax.vmap(one, in_axes=(None, 0)))(theta, jax.random.split(getkey(), 4000)), exact)


@pytest.mark.parametrize("name", [*JOINT, *DISTRIBUTIONS])
def test_file_round_trip(name):
    make = (JOINT[name] if name in JOINT else DISTRIBUTIONS[name]).make
    arrays = tree_to_arrays(make())
    back = arrays_to_tree(arrays, jax.tree.map(jnp.zeros_like, make()), finite=True)
    assert jax.tree.structure(back) == jax.tree.structure(make())
    jax.tree.map(lambda a, b: close(a, b, rtol=0, atol=0), back, make())


def test_mixtures_know_their_components():
    """Two Normals 4 apart with weights 1/4 and 3/4: at the middle the weights are all that is known."""
    pair = Mixture(
        jnp.log(jnp.array([1.0, 3.0])), jax.jit(jax.vmap(DiagonalNormal))(jnp.array([[-2.0], [2.0]]), jnp.zeros((2, 1)))
    )
    close(jnp.exp(pair.log_responsibilities(jnp.zeros(1))), [0.25, 0.75])
    close(pair.mean(), [1.0])
    close(pair.component(1).mean(), [2.0])
    spheres = Mixture(jnp.zeros(2), jax.jit(jax.vmap(VonMisesFisher))(jnp.eye(2), jnp.zeros(2)))
    close(jax.jit(lambda: spheres.mean())(), np.full(2, 0.5 * 0.44639))  # I1(1)/I0(1) = 0.44639


def test_products_name_their_columns():
    both = Product({"b": StandardNormal((1,)), "a": Laplace(jnp.zeros(1), jnp.zeros(1))})
    event = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    close(both.log_prob_by_part(event)["a"], -np.log(2.0))
    other = Product({"a": both.parts["a"], "b": both.parts["b"]})
    key = jax.random.key(0)
    close(other.sample(key=key)["b"], both.sample(key=key)["b"], rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"columns \['a'\] under a Product of \['a', 'b'\]"):
        both.log_prob({"a": jnp.zeros(1)})
    observed = {"a": jnp.array([True]), "b": jnp.array([False])}
    close(log_prob(both, {**event, "b": jnp.array([jnp.nan])}, observed), -np.log(2.0))


def test_spheres_have_at_least_two_dimensions():
    for make in (
        lambda: UniformSphere(1),
        lambda: VonMisesFisher(jnp.ones(1), jnp.zeros(())),
    ):
        with pytest.raises(ValueError, match="at least 2 dimensions, not 1"):
            make()
    with pytest.raises(UsageError, match=r"one event of shape \(3,\)"):
        UniformSphere(3).log_prob(jnp.ones(2))


@pytest.mark.parametrize("dimension", [2, 3, 40])
@pytest.mark.parametrize("kind", [VonMisesFisher])
def test_spheres_of_any_dimension_have_their_mean_and_its_slope(kind, dimension, getkey):
    """The mean cosine of 2 000 draws, and its derivative by log concentration through the draws, at 5 sigma."""
    axis = jnp.zeros(dimension).at[0].set(3.0)
    cosine = lambda log, key: kind(axis, log).sample(key=key)[0]  # noqa: E731
    slopes = jax.jit(jax.vmap(jax.value_and_grad(cosine), in_axes=(None, 0)))
    exact = jax.jit(jax.value_and_grad(lambda log: kind(axis, log).mean()[0]))
    for concentration in (0.01, 2.0, 50.0, 1e4):
        start = jnp.log(jnp.asarray(concentration))
        values, gradients = slopes(start, jax.random.split(getkey(), 2000))
        mean, slope = exact(start)
        agrees(1.0 - np.asarray(values, np.float64), 1.0 - float(mean))
        agrees(gradients, slope)


@pytest.mark.parametrize("name", ["FullNormal"])
def test_the_map_from_noise_has_the_covariance(name):
    """The noise is standard Normal and the map linear: its matrix times its transpose is the covariance."""
    distribution = JOINT[name].make()
    matrix = jax.jacobian(distribution.from_noise)(distribution.sample_noise(key=jax.random.key(0)))
    close(matrix @ matrix.T, distribution.covariance())
