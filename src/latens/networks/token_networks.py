"""A recurrent layer, and networks over rows of tokens.

One reads them; others give the logits of each from those before it: a recurrent one, and a causal transformer.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.errors import ConfigError
from latens.networks.dense import INITIALIZERS, Dense, Linear, first_weights, make_linear
from latens.typing import Array, Float, Int, Key, PyTree, Shaped

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


LAW = "glorot-uniform"
"""Of the initial weights, as in the paper's own code."""


class TransformerBlock(eqx.Module):
    r"""Attention to the places so far, then two dense layers, each added to its input and normalised before."""

    # $h \leftarrow h + W_o A(\mathrm{norm}(h))$, then $h \leftarrow h + W_2\,\mathrm{gelu}(W_1\,\mathrm{norm}(h))$.
    # Source: Vaswani et al. (2017), arXiv 1706.03762; normalised before: Xiong et al. (2020), arXiv 2002.04745.

    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]  # the two layers that normalise
    inwards: Linear  # from a place to its query, key and value side by side, from w to 3 w numbers
    outwards: Linear  # the layer $W_o$, from w to w numbers
    up: Linear  # the layer $W_1$, from w to 4 w numbers
    down: Linear  # the layer $W_2$, from 4 w to w numbers
    heads: int = eqx.field(static=True)  # how many parts, each with an attention of its own, the w numbers are cut into

    def __call__(
        self, h: Float[Array, "r w"], memory: Float[Array, "n two_w"], start: int | Int[Array, ""], together: int = 1
    ) -> tuple[Float[Array, "r w"], Float[Array, "n two_w"]]:
        """Apply the block to a run of places."""
        each = lambda a: a.reshape(len(a), self.heads, -1)  # noqa: E731
        inwards = jax.vmap(lambda one: self.inwards(self.norms[0](one)))(h)
        query, key_and_value = jnp.split(inwards, [h.shape[1]], axis=1)
        memory = jax.lax.dynamic_update_slice(memory, key_and_value, (start, 0))
        query, keys, values = each(query), *map(each, jnp.split(memory, 2, axis=1))
        scores = jnp.einsum("rhd,nhd->hrn", query, keys) / math.sqrt(query.shape[-1])
        seen = jnp.arange(len(memory))[None] // together <= (start + jnp.arange(len(h))[:, None]) // together
        shares = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        h = h + jax.vmap(self.outwards)(jnp.einsum("hrn,nhd->rhd", shares, values).reshape(h.shape))
        return h + jax.vmap(lambda one: self.down(jax.nn.gelu(self.up(self.norms[1](one)))))(h), memory


class CausalTransformer(eqx.Module):
    """The logits of each of n codes from those before it: 0 before it is trained."""

    # With several codes `together`, s of them in turn are given all codes before the first of them and not each other:
    # what comes in at a place is the code s places before it.

    embedding: Float[Array, "K w"]  # a vector for each code, of shape (K, w)
    positions: Float[Array, "n w"]  # a vector for each place, of shape (n, w)
    blocks: tuple[TransformerBlock, ...]  # the blocks, one after the other
    norm: eqx.nn.LayerNorm  # what normalises after them
    output: Linear  # the layer to the logits of the code at each place, of shape (n, K)
    # a vector for each class, of shape (C, w), which is added at every place; None: no label is read
    classes: Float[Array, "C w"] | None = None
    together: int = eqx.field(static=True, default=1)  # how many codes s in turn do not depend on one another

    @classmethod
    def create(
        cls,
        places: int,
        num_codes: int,
        *,
        layers: int,
        width: int,
        heads: int,
        together: int = 1,
        classes: int = 0,
        key: Key,
    ) -> "CausalTransformer":
        """Initialise the network."""
        if places % together:
            what = f"{places} codes cannot be cut into groups of {together}."
            fits = ", ".join(str(size) for size in range(1, places + 1) if places % size == 0)
            raise ConfigError(what, where="prior.together", fix=f"Use one of {fits}.")
        if width % heads:
            what = f"a width of {width} cannot be cut into {heads} heads."
            raise ConfigError(what, where="prior.width", fix=f"Use {-(-width // heads) * heads}.")
        code_key, place_key, *keys = jax.random.split(key, 2 + layers)

        def linear(n_in: int, n_out: int, key: Key, factor: float = 1.0) -> Linear:
            made = make_linear(n_in, n_out, LAW, key=key)
            return Linear(factor * made.weight, made.bias)

        def block(key: Key) -> TransformerBlock:
            k, small = jax.random.split(key, 4), 1.0 / math.sqrt(2 * layers)  # all branches have the variance of one
            attention = linear(width, 3 * width, k[0]), linear(width, width, k[1], small)
            dense = linear(width, 4 * width, k[2]), linear(4 * width, width, k[3], small)
            norms = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
            return TransformerBlock(norms, *attention, *dense, heads)

        vectors = [
            first_weights("lecun-normal", (count, width), 2.0, 2.0, key=k)
            for count, k in ((num_codes, code_key), (places, place_key))
        ]
        output = Linear(jnp.zeros((width, num_codes)), jnp.zeros((places, num_codes)))
        of_class = None
        if classes:
            label_key = jax.random.fold_in(key, classes)
            of_class = first_weights("lecun-normal", (classes, width), 2.0, 2.0, key=label_key)
        blocks = tuple(map(block, keys))
        return cls(vectors[0], vectors[1], blocks, eqx.nn.LayerNorm(width), output, of_class, together)

    def __call__(self, codes: Int[Array, " n"], label: Float[Array, " C"] | None = None) -> Float[Array, "n K"]:
        """The logits of every code, given those before it."""
        # A product: a gather would differentiate to a scatter, which is slow on CPU.
        s = self.together
        vectors = jax.nn.one_hot(codes[:-s], len(self.embedding), dtype=self.embedding.dtype) @ self.embedding
        before, count = jnp.concatenate([jnp.zeros_like(self.positions[:s]), vectors]), len(codes)
        found = self._through(before + self._at(self.positions[:count], label), self.memory(count), 0)[0]
        return found @ self.output.weight + self.output.bias[:count]

    def _at(self, positions: Array, label: Array | None) -> Array:
        return positions if self.classes is None else positions + jnp.asarray(label, positions.dtype) @ self.classes

    def memory(self, places: int | None = None) -> tuple[Float[Array, "n two_w"], ...]:
        """What `step` starts with: an empty memory for each block, of shape (n, 2 w), or of fewer places."""
        places, width = places or len(self.positions), self.positions.shape[1]
        return tuple(jnp.zeros((places, 2 * width), self.positions.dtype) for _ in self.blocks)

    def step(
        self,
        previous: Int[Array, " s"],
        start: Int[Array, ""],
        memory: tuple[Float[Array, "n two_w"], ...],
        label: Float[Array, " C"] | None = None,
    ) -> tuple[Float[Array, "s K"], tuple[Float[Array, "n two_w"], ...]]:
        """The logits of the next s codes, where those of the places before them have been computed."""
        positions, bias = (
            jax.lax.dynamic_slice_in_dim(a, start, self.together) for a in (self.positions, self.output.bias)
        )
        vectors = jnp.where(start > 0, self.embedding[previous], 0.0) + self._at(positions, label)
        h, memory = self._through(vectors, memory, start)
        return h @ self.output.weight + bias, memory

    def _through(self, h: Array, memory: tuple[Array, ...], start: int | Array) -> tuple[Array, tuple[Array, ...]]:
        after = []
        for block, kept in zip(self.blocks, memory):
            h, kept = block(h, kept, start, self.together)
            after.append(kept)
        return jax.vmap(self.norm)(h), tuple(after)
