"""Every registered distribution against its oracle: density, integral, moments, samples, slopes, masks, one event.

All families are in one program a check: that is what makes these tests quick. Two families that are enumerated stand in
test_whole_events.py, the ends of float32 in test_distribution_edges.py.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close, public
from jax.flatten_util import ravel_pytree
from scipy import stats
from tables import DISTRIBUTIONS
from tables_joint import JOINT, simplex
from test_whole_events import WHOLE

import latens.distributions
from latens.distributions import AbstractDistribution, AbstractReparameterised, Bernoulli, Deterministic, log_prob
from latens.errors import ConfigError, UsageError
from latens.runtime.safetensors import arrays_to_tree, tree_to_arrays

ALL = {**DISTRIBUTIONS, **JOINT}
DRAWS = 2000
WITHOUT_MEAN = {"RelaxedOneHot"}
"""Families without a mean in closed form."""
SIMPLE = ("StandardNormal", "UniformSphere", "Product", "Affine of a ContinuousBernoulli")
"""Without parameters, with columns that have no sum, or with a support that moves."""


def test_every_public_distribution_is_registered() -> None:
    registered = {type(row.make()).__name__ for row in [*ALL.values(), *WHOLE.values()]}
    assert public(latens.distributions, AbstractDistribution) - registered == {"Deterministic"}


@contextmanager
def named(name: str) -> Iterator[None]:
    """A failure says which family it is about."""
    try:
        yield
    except BaseException as error:
        error.add_note(name)
        raise


def of_all(names: Iterable[str], function: Callable[[str, Any], object]) -> dict:
    """What a function of a name and its distribution gives for each, computed in one program."""
    made = {name: ALL[name].make() for name in names}
    return jax.tree.map(np.asarray, jax.jit(lambda: {name: function(name, one) for name, one in made.items()})())


def flat(events: object) -> np.ndarray:
    """Every event as one row of numbers."""
    leaves = jax.tree.leaves(events)
    return np.concatenate([np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in leaves], axis=1)


def covered(name: str) -> tuple:
    """Events that cover the support, and the oracle's log densities and masses: of variables, or of whole events."""
    row = ALL[name]
    events, weights = row.points(row.make().shape) if name in DISTRIBUTIONS else row.points()
    with np.errstate(all="ignore"):
        terms = np.stack([row.oracle(x) for x in events]) if name in DISTRIBUTIONS else row.oracle(events)
        return events, terms, np.nan_to_num(np.exp(terms)) * weights


@pytest.fixture(scope="module")
def known() -> dict:
    return {name: covered(name) for name in ALL}


def test_densities_are_those_of_the_oracles_with_their_moments(known: dict, float64: None) -> None:
    def everything(name: str, made: Any) -> dict:
        events = jax.tree.map(jnp.asarray, known[name][0])
        found = {"terms": jax.vmap(made.log_prob_terms if name in DISTRIBUTIONS else made.log_prob)(events)}
        few = jax.tree.map(lambda leaf: leaf[len(leaf) // 2 :][:3], events)
        found["few"] = jax.vmap(made.log_prob)(few)
        for what in ("mean", "moments"):
            try:
                found[what] = getattr(made, what)()
            except (AttributeError, TypeError, ConfigError):  # a family without it
                continue
        return found

    every = of_all(ALL, everything)
    assert {name for name, one in every.items() if "mean" not in one} == WITHOUT_MEAN
    for name, one in every.items():
        with named(name):
            events, terms, mass = known[name]
            seen = mass > 1e-200
            close(one["terms"][seen], terms[seen], rtol=1e-8, atol=1e-8)
            close(mass.sum(axis=0), np.ones(mass.shape[1:]), atol=1e-9)
            few = one["terms"][len(mass) // 2 :][:3]
            close(one["few"], few.reshape(len(few), -1).sum(axis=1), rtol=1e-12)
            x = flat(events).reshape(len(mass), *mass.shape[1:], -1)
            mean = np.einsum("n...,n...i->...i", mass, x)
            if "mean" in one:
                close(flat(jax.tree.map(lambda leaf: leaf[None], one["mean"])), mean.reshape(1, -1), 1e-7, 1e-7)
            if "moments" in one and "Discretised" not in name:  # whose moments are near, test_moments.py
                first, second = one["moments"]
                close(first.reshape(-1), mean.reshape(-1), 1e-7, 1e-7)
                if name in DISTRIBUTIONS:
                    square = (mass * np.asarray(events, float) ** 2).sum(axis=0)
                    close(second, square - first**2, 1e-6, 1e-9)
                else:
                    spread = np.einsum("n,ni,nj->ij", mass, x - mean, x - mean)
                    close(second, spread.reshape(second.shape) if second.ndim > 1 else np.diag(spread), 1e-6, 1e-9)


def test_samples_follow_the_density_and_come_with_it(known: dict) -> None:
    keys = jax.random.split(jax.random.key(0), DRAWS)

    def drawn(name: str, made: Any) -> tuple:
        events = jax.vmap(lambda key: made.sample(key=key))(keys)
        density = jax.vmap(made.log_prob)(events)
        if type(made).sample_and_log_prob is AbstractDistribution.sample_and_log_prob:
            return events, density, events, density
        return events, density, *jax.vmap(lambda key: made.sample_and_log_prob(key=key))(keys)

    for name, (events, density, again, value) in of_all(ALL, drawn).items():
        with named(name):
            grid, terms, mass = known[name]
            jax.tree.map(lambda a, b: close(a, b, rtol=1e-6), events, again)
            close(value, density, rtol=2e-4, atol=2e-4)
            agrees(density, np.nansum(mass * np.where(mass > 0, terms, 0.0)), other_error=1e-4)
            x, points = flat(events), flat(grid)
            if name not in DISTRIBUTIONS:
                mean = mass @ points
                agrees(x, mean)
                products = np.einsum("n,ni,nj->ij", mass, points - mean, points - mean)
                agrees((x - mean)[:, :, None] * (x - mean)[:, None, :], products)
                continue
            apart = np.abs(np.corrcoef(x.T) - np.eye(x.shape[1]))
            assert apart.max() < 5 / np.sqrt(DRAWS)  # every variable has noise of its own
            for each, at, share in zip(x.T, points.T, mass.reshape(len(mass), -1).T):
                if ALL[name].levels:
                    follows(np.bincount(each.astype(int), minlength=len(share)), share)
                else:
                    below = np.cumsum(share) - share / 2
                    assert stats.kstest(each, lambda v, at=at, below=below: np.interp(v, at, below)).pvalue > 1e-5


def follows(counts: np.ndarray, share: np.ndarray) -> None:
    """A chi-square test, of which rare events are one."""
    expected = share * counts.sum()
    rare = expected < 8
    counts, expected = (np.append(one[~rare], one[rare].sum()) for one in (counts, expected))
    assert np.sum((counts - expected) ** 2 / np.maximum(expected, 1)) < stats.chi2.isf(1e-6, max(len(counts) - 1, 1))


def operands(name: str, made: Any) -> tuple:
    """Every number that a density depends on, as one vector, and the density of it."""
    event = made.sample(key=jax.random.key(3))
    if getattr(ALL[name], "points", None) is simplex:
        event = 0.5 * event + 0.5 / 3  # a difference across 1e-5 is no slope where a proportion is 1e-4
    whole = getattr(ALL[name], "levels", None) is not None
    parts, rest = eqx.partition((made, None if whole else event), eqx.is_inexact_array)
    theta, rebuild = ravel_pytree(parts)

    def value(theta: jax.Array) -> jax.Array:
        made, given = eqx.combine(rebuild(theta), rest)
        return made.log_prob(event if whole else given)

    return theta, value


def test_slopes_are_finite_differences(float64: None) -> None:
    def both(name: str, made: Any) -> tuple:
        theta, value = operands(name, made)
        steps = 1e-5 * jnp.eye(theta.size)
        values, slopes = jax.lax.map(
            jax.value_and_grad(value), jnp.concatenate([theta[None], theta + steps, theta - steps])
        )
        return slopes[0], (values[1 : theta.size + 1] - values[theta.size + 1 :]) / 2e-5

    for name, (slope, difference) in of_all([n for n in ALL if n != "UniformSphere"], both).items():
        with named(name):
            close(slope, difference, rtol=2e-6, atol=1e-7)


def test_what_is_hidden_has_no_influence_and_the_rest_is_a_marginal(float64: None) -> None:
    """A NaN (or a level that does not exist) behind the mask changes neither value nor slope."""

    def both(name: str, made: Any) -> tuple:
        event = made.sample(key=jax.random.key(3))
        mask = jnp.arange(event.size).reshape(event.shape) % 2 == 0
        hidden = jnp.where(mask, event, -(2**30) if jnp.issubdtype(event.dtype, jnp.integer) else jnp.nan)
        theta, rebuild = ravel_pytree(eqx.filter(made, eqx.is_inexact_array))
        full = lambda t: eqx.combine(rebuild(t), made)  # noqa: E731
        kept = lambda t: jnp.sum(jnp.where(mask, full(t).log_prob_terms(event), 0.0))  # noqa: E731
        return jax.value_and_grad(lambda t: log_prob(full(t), hidden, mask))(theta), jax.value_and_grad(kept)(theta)

    for name, (seen, kept) in of_all(DISTRIBUTIONS, both).items():
        with named(name):
            jax.tree.map(lambda a, b: close(a, b, rtol=1e-9), seen, kept)


def test_slopes_through_samples_are_unbiased(known: dict) -> None:
    r"""The slope of $E\sum_i (x_i + i\,x_i^2)$ by every parameter, from draws and by quadrature, at 5 sigma."""
    names = [n for n, row in ALL.items() if n not in SIMPLE and row.make().without_path(jnp.zeros(3)) is None]
    with jax.enable_x64(True):
        exact = of_all(
            names, lambda name, made: jax.grad(expectation(name, made, known[name][0]))(ravel_pytree(made)[0])
        )

    def slopes(name: str, made: Any) -> jax.Array:
        theta, rebuild = ravel_pytree(made)
        one = jax.grad(lambda theta, key: statistic(rebuild(theta).sample(key=key)))
        return jax.vmap(one, in_axes=(None, 0))(theta, jax.random.split(jax.random.key(5), DRAWS))

    for name, found in of_all(names, slopes).items():
        with named(name):
            agrees(found, exact[name], other_error=1e-4)


def statistic(event: jax.Array) -> jax.Array:
    x = event.reshape(-1)
    return jnp.sum(x + x * x * jnp.arange(1.0, x.size + 1, dtype=x.dtype))


def expectation(name: str, made: Any, events: np.ndarray) -> Callable[[jax.Array], jax.Array]:
    _, weights = ALL[name].points(made.mean().shape) if name in DISTRIBUTIONS else ALL[name].points()
    _, rebuild = ravel_pytree(made)

    def value(theta: jax.Array) -> jax.Array:
        made, x = rebuild(theta), jnp.asarray(events)
        if name in JOINT:
            return jnp.sum(jnp.exp(jax.vmap(made.log_prob)(x)) * weights * jax.vmap(statistic)(x))
        factors = jnp.arange(1.0, 1 + x[0].size).reshape(x[0].shape)
        return jnp.sum(jnp.exp(jax.vmap(made.log_prob_terms)(x)) * weights * (x + factors * x**2))

    return value


def test_noise_makes_the_sample_and_a_temperature_scales_it() -> None:
    def parts(name: str, made: Any) -> tuple:
        key = jax.random.key(1)
        noise = made.sample_noise(key=key)
        halves = made.from_noise(jax.tree.map(lambda leaf: 0.5 * leaf, noise))
        none = made.from_noise(jax.tree.map(jnp.zeros_like, noise))
        centre = none if type(made).mean is AbstractDistribution.mean else made.mean()
        return (made.sample(key=key), made.sample_at(0.5, key=key), none), (made.from_noise(noise), halves, centre)

    for name, (found, expected) in of_all([n for n in ALL if functions_of_noise(n)], parts).items():
        with named(name):
            jax.tree.map(lambda a, b: close(a, b, rtol=1e-6), found, expected)


def test_other_samples_have_no_noise_without_temperature() -> None:
    def drawn(name: str, made: Any) -> tuple:
        keys = jax.random.split(jax.random.key(2), 20)
        at = lambda heat: jax.vmap(lambda key: made.sample_at(heat, key=key))(keys)  # noqa: E731
        return at(0.0), at(1.0), jax.vmap(lambda key: made.sample(key=key))(keys)

    own = {name for name in ALL if type(ALL[name].make()).sample_at is not AbstractDistribution.sample_at}
    others = {name for name in own if not functions_of_noise(name)} - {"Mixture", "Product"}  # they choose as ever
    for name, (still, warm, plain) in of_all(others, drawn).items():
        with named(name):
            close(flat(still), flat(still)[:1].repeat(20, 0))
            close(flat(warm), flat(plain))


def functions_of_noise(name: str) -> bool:
    made = ALL[name].make()
    try:
        jax.eval_shape(lambda: made.sample_noise(key=jax.random.key(0)))
    except (AttributeError, TypeError):  # a Product with a choice in it
        return False
    return isinstance(made, AbstractReparameterised)


def test_a_density_takes_one_event_and_a_file_brings_all_back() -> None:
    for name, row in ALL.items():
        with named(name):
            made = row.make()
            arrays = tree_to_arrays(made)
            back = arrays_to_tree(arrays, jax.tree.map(jnp.zeros_like, made), finite=True)
            assert jax.tree.structure(back) == jax.tree.structure(made)
            jax.tree.map(lambda a, b: close(a, b, rtol=0, atol=0), back, made)
            if name != "Product":
                assert made._takes(made.shape)
                for event in (np.zeros((5, *made.shape)), np.zeros(1), 0.0):
                    with pytest.raises(UsageError, match="is not one event of shape"):
                        made.log_prob(event)


def test_a_point_mass_has_a_mean_and_no_density() -> None:
    point = Deterministic(jnp.asarray([0.3, -1.2]))
    close(point.sample(key=jax.random.key(0)), [0.3, -1.2])
    close(point.mean(), [0.3, -1.2])
    with pytest.raises(ConfigError, match=r"no density.*Reconstruction"):
        point.log_prob(jnp.zeros(2))


@pytest.mark.parametrize("size", [1, 16, 37])
def test_sums_of_coins_in_groups_of_sixteen(size: int) -> None:
    """The sum, its slopes x - p and l, and its second derivative -p (1 - p), also for far logits."""
    rng = np.random.default_rng(size)
    logits, x = 10.0 * rng.normal(size=size), rng.uniform(size=size)
    p = 1.0 / (1.0 + np.exp(-logits))
    value = lambda logits, x: Bernoulli(logits).log_prob(x)  # noqa: E731
    given = jnp.asarray(logits, jnp.float32), jnp.asarray(x, jnp.float32)
    found = jax.jit(lambda *at: (value(*at), jax.grad(value, (0, 1))(*at), jax.hessian(value)(*at)))(*given)
    close(found[0], (x * logits - np.logaddexp(0, logits)).sum(), rtol=1e-5)
    close(found[1][0], x - p, atol=1e-5)
    close(found[1][1], logits, rtol=1e-5)
    close(found[2], -np.diag(p * (1 - p)), atol=1e-5)
