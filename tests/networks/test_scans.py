"""Loops of blocks give what plain loops give, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.networks.recurrent import LEAST, block_of, scanned


@pytest.mark.parametrize(
    ("steps", "size"),
    [(1, None), (LEAST - 1, None), (512, 32), (1000, 25), (1024, 32), (1009, None), (600, 30), (521, None)],
)
def test_a_long_loop_is_cut_where_its_steps_can_be(steps: int, size: int | None) -> None:
    assert block_of(steps) == size


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [600, 521])
def test_values_and_gradients_are_those_of_a_plain_loop(steps: int, reverse: bool) -> None:
    x = jax.random.normal(jax.random.key(0), (steps, 5))
    alive = jnp.arange(steps) < steps - 7
    weight = 0.3 * jax.random.normal(jax.random.key(1), (5, 5))

    def loss(weight, way):
        def step(state, at):
            one, alive = at
            state = jnp.where(alive, jnp.tanh(state @ weight + one), state)
            return state, (state, state.sum())

        last, (states, sums) = way(step, jnp.zeros(5), (x, alive), reverse=reverse)
        return jnp.sum(states**2) + jnp.sum(sums * jnp.arange(steps)) + last.sum()

    plain, cut = (jax.value_and_grad(loss)(weight, way) for way in (jax.lax.scan, scanned))
    np.testing.assert_allclose(cut[0], plain[0], rtol=1e-5)
    np.testing.assert_allclose(cut[1], plain[1], rtol=1e-3, atol=1e-3)
