"""Gated recurrent units, and long loops over steps whose gradient keeps the states of blocks alone."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.networks.dense import INITIALIZERS, Linear
from latens.typing import Array, Float, Key, PyTree

BLOCK, LONGEST, LEAST = 32, 64, 512
"""Steps of a block, at best and at most, and of a loop from which on it is cut into blocks.

Plain loops write and read all that their gradient needs of every step: of 1,000 steps, 32 rows and 64 units that takes
266 ms a training step, in blocks 235. Of 100 steps blocks gain nothing and compile longer.
"""


def scanned(step: Callable[[Any, Any], tuple[Any, Any]], state: PyTree, at: PyTree, *, reverse: bool = False) -> Any:
    """What `jax.lax.scan` gives, where a long loop is one of blocks, each computed again for its gradient."""
    steps = len(jax.tree.leaves(at)[0])
    size = block_of(steps)
    if size is None:
        return jax.lax.scan(step, state, at, reverse=reverse)
    block = jax.checkpoint(lambda first, some: jax.lax.scan(step, first, some, reverse=reverse))
    cut = jax.tree.map(lambda leaf: leaf.reshape(steps // size, size, *leaf.shape[1:]), at)
    last, found = jax.lax.scan(block, state, cut, reverse=reverse)
    return last, jax.tree.map(lambda leaf: leaf.reshape(steps, *leaf.shape[2:]), found)


def block_of(steps: int) -> int | None:
    """The steps of a block, which divide those of a long loop; None where the loop is short or has no such divisor."""
    sizes = [size for size in range(8, LONGEST + 1) if steps % size == 0] if steps >= LEAST else []
    return min(sizes, key=lambda size: abs(size - BLOCK), default=None)


class GRU(eqx.Module):
    r"""A gated recurrent unit, in the form in which the reset gate acts after the product."""

    # $r = \sigma(x W_r + b_r + h U_r + c_r)$, $u = \sigma(x W_u + b_u + h U_u + c_u)$, $n = \tanh(x W_n + b_n + r \odot
    # (h U_n + c_n))$, and the next state is $(1 - u) \odot n + u \odot h$.
    # Source: Cho et al. (2014); this form is the one of `torch.nn.GRU`.

    inputs: Linear  # the linear layer of $W$ and $b$, to 3 n outputs: r, u and n side by side
    state: Linear  # the linear layer of $U$ and $c$, from n to 3 n, in the same order

    @classmethod
    def create(cls, n_in: int, n: int, *, initializer: str = "glorot-uniform", key: Key) -> "GRU":
        """Initialise a unit; every gate's weights are drawn by the law on their own."""

        def gates(size: int, layer_key: Key) -> Linear:
            parts = [INITIALIZERS[initializer](k, (size, n)) for k in jax.random.split(layer_key, 3)]
            return Linear(jnp.concatenate(parts, axis=1), jnp.zeros(3 * n, jnp.float32))

        return cls(*(gates(size, k) for size, k in zip((n_in, n), jax.random.split(key, 2))))

    def __call__(
        self, gates: Float[Array, "t three_n"], start: Float[Array, " n"], *, unroll: int = 1
    ) -> Float[Array, "t n"]:
        """The state after every step."""
        # unroll: how many steps a turn of the compiled loop takes.

        def step(state: Array, gate: Array) -> tuple[Array, Array]:
            return (after := self.step(gate, state)), after

        return jax.lax.scan(step, start, gates, unroll=unroll)[1]

    def step(self, gate: Float[Array, " three_n"], state: Float[Array, " n"]) -> Float[Array, " n"]:
        """The state after one step, of which `inputs` gave the gates."""
        of_input, of_state = jnp.split(gate, 3), jnp.split(self.state(state), 3)
        reset, update = (jax.nn.sigmoid(of_input[i] + of_state[i]) for i in (0, 1))
        new = jnp.tanh(of_input[2] + reset * of_state[2])
        return (1.0 - update) * new + update * state
