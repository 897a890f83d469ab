"""Bounds from both sides on rows that a model made itself: around the closed form, and closing with temperatures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees
from evidence_fixtures import Coins, log_p_of_coins

from latens.distributions import DiagonalNormal, StandardNormal
from latens.errors import UsageError
from latens.evaluation import sandwich
from latens.models import AbstractLatentModel


def test_poor_bounds_are_bounds_and_unbiased_the_other_way_round() -> None:
    """One step and two chains: E[w] = p(x) below, E[1/w] = 1/p(x) above, each for 400 rows of coins."""
    options = {"num_samples": 2, "num_temperatures": 2, "num_leapfrog": 2, "num_moves": 1, "batch_size": 400}
    found = sandwich(Coins(), 400, key=jax.random.key(1), **options)
    exact = log_p_of_coins(np.asarray(found.x))
    agrees(np.exp(found.lower.rows - exact), 1.0)
    agrees(np.exp(exact - found.upper.rows), 1.0)
    below, above = exact - found.lower.rows, found.upper.rows - exact
    for miss in (below, above):
        assert np.mean(miss) > 5 * np.std(miss) / np.sqrt(400)


class Shifted(AbstractLatentModel):
    """x = z + shift + e, where the shift is a condition."""

    def prior(self, *, cond=None, key=None):
        return StandardNormal((1,))

    def likelihood(self, z, *, cond=None, key=None):
        return DiagonalNormal(z + cond["shift"], jnp.zeros(1))

    def posterior(self, x, *, cond=None, mask=None, key=None):
        return DiagonalNormal(0.5 * (x - cond["shift"]), jnp.full(1, -0.3))


def test_conditions_reach_the_rows() -> None:
    shift = np.array([[5.0], [-40.0]], np.float32)
    options = {"num_samples": 100, "num_temperatures": 8, "num_leapfrog": 3}
    found = sandwich(Shifted(), 2, cond={"shift": shift}, key=jax.random.key(0), start="posterior", **options)
    exact = -0.25 * (found.x - shift)[:, 0] ** 2 - 0.5 * np.log(4 * np.pi)
    assert np.all(np.abs(found.x - shift) < 8.0)
    np.testing.assert_allclose(found.lower.rows, exact, atol=0.05)
    np.testing.assert_allclose(found.upper.rows, exact, atol=0.05)


def test_no_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="n: must be a whole number of 1 or more, not 0"):
        sandwich(Coins(), 0, key=jax.random.key(0))
