"""A causal transformer over a sequence of codes: the logits of each code, given those before it."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.errors import ConfigError
from latens.networks.dense import Linear, first_weights, make_linear
from latens.typing import Array, Float, Int, Key

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
