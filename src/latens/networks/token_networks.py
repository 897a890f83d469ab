"""Networks over rows of tokens: one that reads them, and one that gives the logits of each from those before it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.networks.dense import Dense, Linear
from latens.networks.recurrent import GRU
from latens.typing import Array, Float, Int, Key, Shaped

HELD = 1e4
"""An update gate of so much keeps a state, bit by bit: the sigmoid of it is 1 in single precision."""


UNROLL = 2
"""Steps of a turn of the loop over a row: with 1 and with 4 a training step takes as long or longer."""


class TokenGRU(eqx.Module):
    """A recurrent unit that reads the tokens so far; what is given is its first state, an input, and logits."""

    cell: GRU
    output: Linear

    @classmethod
    def create(cls, vocabulary: int, width: int, *, marks: int = 0, key: Key) -> "TokenGRU":
        """Initialise the network; its logits are 0 at first, but for those that are given."""
        # marks: of how many marks that must close the network reads at each place whether they are open.
        cell = GRU.create(vocabulary + marks, width, key=key)
        return cls(cell, Linear(jnp.zeros((width, vocabulary)), jnp.zeros(vocabulary)))

    def _parts(self, given: Float[Array, " g"]) -> list[Array]:
        n = len(self.output.weight)
        return jnp.split(given, [n, 4 * n])

    def memory(self, given: Float[Array, " g"]) -> Float[Array, " n"]:
        """The state before the first token."""
        return jnp.tanh(self._parts(given)[0])

    def __call__(
        self, codes: Int[Array, " t"], given: Float[Array, " g"], marks: Int[Array, "t m"] | None = None
    ) -> Float[Array, "t V"]:
        """The logits of every token, given those before it, and which marks these left open."""
        _, gates, logits = self._parts(given)
        # Zeros and a one: a product with them differentiates faster than a gather on a CPU.
        chosen = jax.nn.one_hot(codes[:-1], logits.size)
        inputs = jnp.concatenate([jnp.zeros_like(chosen[:1]), chosen])
        inputs = inputs if marks is None else jnp.concatenate([inputs, marks], axis=1)
        # The products that do not wait for a state are taken of all steps at once.
        states = self.cell(self.cell.inputs(inputs) + gates, self.memory(given), unroll=UNROLL)
        return self.output(states) + logits

    def step(
        self,
        previous: Int[Array, ""],
        place: Int[Array, ""],
        memory: Float[Array, " n"],
        given: Float[Array, " g"],
        marks: Int[Array, " m"] | None = None,
    ) -> tuple[Float[Array, " V"], Float[Array, " n"]]:
        """The logits of the next token, and the state that they come from."""
        _, gates, logits = self._parts(given)
        chosen = jnp.where(place > 0, jax.nn.one_hot(previous, logits.size), 0.0)
        chosen = chosen if marks is None else jnp.concatenate([chosen, marks])
        (state,) = self.cell((self.cell.inputs(chosen) + gates)[None], memory)
        return self.output(state) + logits, state


class TokenEncoder(eqx.Module):
    """Two recurrent units, which read a row of tokens from either end; their last states, then two dense layers."""

    # A row may have any number of places: what follows its end changes neither state.

    forth: GRU
    back: GRU
    readout: Dense
    extra: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, vocabulary: int, hidden: tuple[int, ...], num_outputs: int, *, extra: int = 0, key: Key, **options: Any
    ) -> "TokenEncoder":
        """Initialise the network; a token that is not seen has a number of its own, the vocabulary's size."""
        keys = jax.random.split(key, 3)
        forth, back = (GRU.create(vocabulary + 1, hidden[0], key=k) for k in keys[:2])
        readout = Dense([2 * hidden[0] + extra, *hidden[1:], num_outputs], **options, key=keys[2])
        return cls(forth, back, readout, extra)

    def __call__(self, x: Shaped[Array, " t"], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one row, behind which conditions may follow."""
        # key: a JAX random key for dropout; None: no dropout.
        codes, extra = (x[: len(x) - self.extra], x[len(x) - self.extra :])
        unseen = len(self.forth.inputs.weight) - 1
        chosen = jax.nn.one_hot(codes.astype(jnp.int32), unseen + 1)
        over = jnp.cumsum((codes == 0) | (codes == unseen)) > 0
        over = jnp.concatenate([jnp.zeros_like(over[:1]), over[:-1]])
        n = len(self.forth.state.weight)
        states = []
        for cell, order in ((self.forth, slice(None)), (self.back, slice(None, None, -1))):
            gates = cell.inputs(chosen)
            held = jnp.where(over[:, None] & (jnp.arange(3 * n) // n == 1), HELD, gates)
            states.append(cell(held[order], jnp.zeros(n, gates.dtype), unroll=UNROLL)[-1])
        return self.readout(jnp.concatenate([*states, extra]), key=key)
