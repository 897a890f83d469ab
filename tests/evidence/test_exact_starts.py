"""Where the refinement of a row's posterior starts, of every family, and the Normal of a curvature that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from scipy import stats

from latens.distributions import DiagonalNormal, FullNormal
from latens.evidence.inference_gaps import curved, starting_point

LOC, SCALE = np.array([0.5, -1.0, 2.0]), np.array([0.3, 1.0, 2.0])
NORMAL = DiagonalNormal(jnp.asarray(LOC, jnp.float32), jnp.log(jnp.asarray(SCALE, jnp.float32)))
KEY = jax.random.key(0)


def flat(z):
    return z.reshape(-1)


@pytest.mark.parametrize("family", ["own", "diagonal", "full"])
def test_a_normal_starts_as_it_is(family):
    found = starting_point(NORMAL, family, flat, key=KEY)
    assert isinstance(found, FullNormal if family == "full" else DiagonalNormal)
    event = np.array([0.1, 0.2, 0.3])
    close(found.log_prob(jnp.asarray(event, jnp.float32)), stats.norm.logpdf(event, LOC, SCALE).sum())


def test_the_normal_of_a_known_curvature():
    matrix = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])
    precision = jnp.asarray(matrix, jnp.float32)
    found = curved(lambda z: -0.5 * (z - 1.0) @ precision @ (z - 1.0), NORMAL, key=KEY)
    close(found.loc, LOC)
    event = np.array([0.1, 0.2, 0.3])
    expected = stats.multivariate_normal.logpdf(event, LOC, np.linalg.inv(matrix))
    close(found.log_prob(jnp.asarray(event, jnp.float32)), expected, rtol=1e-3)
