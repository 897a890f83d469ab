"""Every density of the table at a few events, its mean and its samples, in two programs: quick, by the same oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from tables import DISTRIBUTIONS

NAMES = tuple(DISTRIBUTIONS)
FRACTIONS = np.array([0.46, 0.5, 0.53])


def events_of(name):
    """Three events, and the moments E[x] and E[x^2], by the oracle alone."""
    row = DISTRIBUTIONS[name]
    points, weights = row.points(jax.eval_shape(row.make().mean).shape)
    where = [0, 1, row.levels - 1] if row.levels else (FRACTIONS * len(points)).astype(int)
    with np.errstate(all="ignore"):
        mass = np.exp(np.stack([row.oracle(point) for point in points])) * weights
    inside = np.isfinite(mass)
    moments = [np.where(inside, mass * points.astype(float) ** power, 0.0).sum(axis=0) for power in (1, 2)]
    return points[where], moments


@pytest.fixture(scope="module")
def known():
    return {name: events_of(name) for name in NAMES}


def test_densities_and_means_are_those_of_the_oracles(known):
    def every():
        made = {name: DISTRIBUTIONS[name].make() for name in NAMES}
        given = {name: jnp.asarray(known[name][0]) for name in NAMES}
        given = {name: x.astype(float) if x.dtype.kind == "f" else x for name, x in given.items()}
        return {
            name: (jax.vmap(one.log_prob_terms)(given[name]), jax.vmap(one.log_prob)(given[name]), one.mean())
            for name, one in made.items()
        }

    for name, (terms, total, mean) in jax.jit(every)().items():
        events, moments = known[name]
        expected = np.stack([DISTRIBUTIONS[name].oracle(event) for event in events])
        close(terms, expected, rtol=1e-4, atol=1e-4)
        close(total, expected.reshape(3, -1).sum(axis=1), rtol=1e-4, atol=1e-4)
        close(mean, moments[0], rtol=1e-3, atol=1e-3)


def test_samples_have_the_moments_of_the_oracles(known):
    keys = jax.random.split(jax.random.key(0), 500)

    def every():
        made = {name: DISTRIBUTIONS[name].make() for name in NAMES}
        return {name: jax.vmap(lambda k, one=one: one.sample(key=k))(keys) for name, one in made.items()}

    for name, drawn in jax.jit(every)().items():
        first, second = known[name][1]
        agrees(drawn, first, other_error=1e-3)
        agrees(np.asarray(drawn, np.float64) ** 2, second, other_error=1e-3 * (1 + second))
