"""Weighed draws of two rows, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

from latens.data.dataset import as_batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.models import LatentModel
from latens.predictive.missing_cells import WeighedDraws, _impute, given_observed

WEIGHTS = np.array([[1.0, 0.5], [3.0, 2.0], [4.0, 0.0], [2.0, 1.5]])
VALUES = np.array([[1.0, -1.0], [2.0, 5.0], [0.0, 100.0], [-3.0, 2.0]])
IDS = jnp.array([7, 9], jnp.uint32)


def after(parts, draws):
    return jax.jit(lambda: _after(parts, draws))()


def _after(parts, draws):
    nothing = jnp.full(2, -jnp.inf)
    state = WeighedDraws(nothing, nothing, jnp.zeros(2), jnp.full((2, draws), -jnp.inf), jnp.zeros((2, draws)))
    with np.errstate(divide="ignore"):
        log_weight, first = np.log(WEIGHTS), 0
    for count in parts:
        own = slice(first, first + count)
        values = jnp.asarray(VALUES[own])
        state = state.with_draws(jnp.asarray(log_weight[own]), values, values, first, IDS, jax.random.key(1))
        first += count
    return state


@pytest.mark.parametrize("parts", [(4,), (1, 3)])
def test_a_mean_is_that_of_the_weights_in_one_part_or_in_two(parts):
    state = after(parts, 0)
    close(state.mean, (WEIGHTS * VALUES).sum(axis=0) / WEIGHTS.sum(axis=0))
    close(state.total, np.log(WEIGHTS.sum(axis=0)))
    close(state.effective, WEIGHTS.sum(axis=0) ** 2 / (WEIGHTS**2).sum(axis=0))


def test_choices_are_by_weight_whatever_the_parts():
    one, two = after((4,), 400), after((1, 3), 400)
    np.testing.assert_array_equal(one.chosen, two.chosen)
    for row in (0, 1):
        shares = WEIGHTS[:, row] / WEIGHTS[:, row].sum()
        found = np.array([np.mean(np.asarray(one.chosen[row]) == value) for value in VALUES[:, row]])
        assert np.all(np.abs(found - shares) <= 4 * np.sqrt(shares * (1 - shares) / 400))


def noise_of(z, **how):
    return DiagonalNormal(jnp.broadcast_to(z, (2,)), jnp.zeros(2))


PAIR = LatentModel(StandardNormal((1,)), lambda x, **how: DiagonalNormal(x[:1], jnp.log(jnp.full(1, 2.0))), noise_of)
"""z ~ N(0, 1), x | z ~ N(z, 1) in each of two columns, and a proposal of N(x, 4) of the first."""


def test_the_noise_of_a_gap_is_not_the_one_that_chose_its_latent():
    """The first latent lies apart from the second, and is chosen by noise of its own stream."""
    x, key, hidden = np.full((3000, 2), 2.5, np.float32), jax.random.key(5), jnp.zeros((3000, 2), bool)
    batch, nothing = as_batch(x, mask=hidden, row_id=np.arange(3000, dtype=np.uint32)), lambda *given: jnp.zeros(())

    def both():
        state, _ = given_observed(nothing, PAIR, batch, key, num_samples=2, num_draws=1, samples_per_chunk=2)
        return state.chosen[:, 0, 0], _impute(PAIR, batch, key, 2, 1, 2, True, nothing)[1][:, 0, 0]

    chosen, drawn = jax.jit(both)()
    assert abs(np.corrcoef(chosen, drawn - chosen)[0, 1]) < 5 / np.sqrt(3000)
