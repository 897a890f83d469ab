"""Pictures whose pixels depend on the pixels before them, and rows of tokens, one after another up to an end."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from latens.distributions.base import AbstractDistribution
from latens.errors import ConfigError
from latens.typing import Array, Bool, Float, Int, Key, Nats, Shaped

TILE = 32
"""Columns whose windows are taken by one product."""

MEAN_DRAWS = 8
"""Samples of which a mean is made."""


class Context(eqx.Module):
    r"""What the pixels before a pixel and near it add to its outputs: a residual network, the same at every pixel.

    $c(v, f, k) = W_o\,a(h + W_h\,a(h) + W_k k + b_h)$ with $h = W_v v + W_f f + b$ and a the rectifier. v are the
    values, on the scale of [-1, 1] and 0 outside the picture, of the `rows` rows above within `sides` columns to either
    side, then of the `sides` pixels to the left. f are the features, which the decoder gives, of all pixels of the
    block around the pixel, a square of `block` pixels a side; each place in a block has a $W_f$ of its own. k are the
    first `neighbour_units` of the units a(h) of the pixels at the upper left, above, at the upper right and at the
    left, 0 outside the picture: through them a pixel sees what its neighbours see.

    Args:
        of_values: The weight $W_v$, of shape (n, v).
        of_features: The weights $W_f$ of all places in a block, one under the other, of shape (block^2 n, block^2 f).
        bias: The bias b, of shape (n,).
        hidden: The weight $W_h$, of shape (n, n).
        hidden_bias: The bias $b_h$, of shape (n,).
        output: The weight $W_o$, of shape (o, n).
        near: The weight $W_k$, of shape (n, 4 neighbour_units); None: no units of other pixels are seen.
        rows: How many rows above a pixel it depends on.
        sides: How many columns to either side of it.
        block: The side of the blocks of pixels that see the features of one another.
        neighbour_units: How many hidden units of each of its four neighbours before it a pixel sees.

    Source: van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders", of two layers; a window
    of a few pixels is that of Chen et al. (2017), "Variational lossy autoencoder".
    """

    of_values: Float[Array, "n v"]
    of_features: Float[Array, "bn bf"]
    bias: Float[Array, " n"]
    hidden: Float[Array, "n n"]
    hidden_bias: Float[Array, " n"]
    output: Float[Array, "o n"]
    near: Float[Array, "n k"] | None
    rows: int = eqx.field(static=True)
    sides: int = eqx.field(static=True)
    block: int = eqx.field(static=True, default=1)
    neighbour_units: int = eqx.field(static=True, default=0)

    @classmethod
    def drawn(
        cls,
        channels: int,
        features: int,
        outputs: int,
        *,
        width: int,
        rows: int,
        sides: int,
        block: int = 1,
        neighbour_units: int = 0,
        key: Key,
    ) -> "Context":
        """Draw the initial weights; the last ones are 0, so that pixels depend on no others at first.

        Args:
            channels: How many values a pixel has.
            features: How many features the decoder gives for a pixel.
            outputs: How many outputs a pixel has.
            width: How many hidden units n there are.
            rows: How many rows above a pixel it depends on.
            sides: How many columns to either side of it.
            block: The side of the blocks of pixels that see the features of one another.
            neighbour_units: How many hidden units of each of its four neighbours before it a pixel sees, at most all.
            key: A JAX random key.

        Returns:
            The network.
        """
        seen = channels * (rows * (2 * sides + 1) + sides)
        keys, places, units = jax.random.split(key, 3), block**2, min(neighbour_units, width)
        sizes = ((width, seen), (places * width, places * features), (width, width))
        values, of_features, hidden = (
            jax.random.normal(k, size) * math.sqrt(1.0 / max(size[1], 1)) for k, size in zip(keys, sizes)
        )
        zero, last, near = jnp.zeros(width), jnp.zeros((outputs, width)), None
        if units:
            near = jax.random.normal(jax.random.fold_in(key, 3), (width, 4 * units)) / math.sqrt(2 * units)
        hidden = math.sqrt(2) * hidden
        return cls(values, of_features, zero, hidden, zero, last, near, rows, sides, block, units)

    def first(self, values: Float[Array, "*p v"], conditioning: Float[Array, "*p n"]) -> Float[Array, "*p n"]:
        """The hidden units h of each pixel.

        Args:
            values: The values before each pixel, as `before` gives them.
            conditioning: What the features add to them, as `conditioning` gives it.

        Returns:
            Shape (*p, n).
        """
        return values @ self.of_values.T + conditioning + self.bias

    def second(self, hidden: Float[Array, "*p n"], near: Float[Array, "*p k"]) -> Float[Array, "*p o"]:
        """What is added to the outputs of each pixel.

        Args:
            hidden: The hidden units h of each pixel.
            near: The units k of its neighbours, as `neighbours` gives them.

        Returns:
            Shape (*p, o).
        """
        h = hidden + jax.nn.relu(hidden) @ self.hidden.T + self.hidden_bias
        if self.near is not None:
            h = h + near @ self.near.T
        return jax.nn.relu(h) @ self.output.T

    def neighbours(self, hidden: Float[Array, "h w n"]) -> Float[Array, "h w k"]:
        """The units k of the four neighbours before every pixel.

        Args:
            hidden: The hidden units h of each pixel, of shape (h, w, n).

        Returns:
            Shape (h, w, 4 neighbour_units).
        """
        height, width, _ = hidden.shape
        units = jax.nn.relu(hidden[..., : self.neighbour_units])
        padded = jnp.pad(units, ((1, 0), (1, 1), (0, 0)))
        above = [padded[:height, j : j + width] for j in range(3)]
        return jnp.concatenate([*above, padded[1:, :width]], axis=-1)

    def conditioning(self, features: Float[Array, "h w f"]) -> Float[Array, "h w n"]:
        """What the features of its block, which ends with the picture, add to the hidden units of every pixel.

        Args:
            features: The features of each pixel, of shape (h, w, f).

        Returns:
            $W_f f$ for each pixel, of shape (h, w, n).
        """
        (height, width, _), side = features.shape, self.block
        down, across = -(-height // side), -(-width // side)
        padded = jnp.pad(features, ((0, side * down - height), (0, side * across - width), (0, 0)))
        blocks = jnp.swapaxes(padded.reshape(down, side, across, side, -1), 1, 2).reshape(down, across, -1)
        found = (blocks @ self.of_features.T).reshape(down, across, side, side, -1)
        return jnp.swapaxes(found, 1, 2).reshape(side * down, side * across, -1)[:height, :width]

    def before(self, picture: Float[Array, "h w c"]) -> Float[Array, "h w v"]:
        """The values before every pixel.

        Args:
            picture: Shape (h, w, c), on the scale of [-1, 1].

        Returns:
            Shape (h, w, v).
        """
        height, width, channels = picture.shape
        across = 2 * self.sides + 1
        # By products with zeros and ones: slices of single numbers take several times as long on a CPU. The columns go
        # in tiles, or the work would grow with the square of the width.
        tile = min(width, TILE)
        tiles = -(-width // tile)
        padded = jnp.pad(self.padded(picture), ((0, 0), (0, tiles * tile - width), (0, 0)))
        pieces = [padded[:, i * tile : (i + 1) * tile + across - 1].reshape(len(padded), -1) for i in range(tiles)]
        runs = jnp.stack(pieces, axis=1) @ _runs(tile, across, channels)
        runs = runs.reshape(-1, tiles * tile, across * channels)[:, :width]
        above = [runs[i : i + height] for i in range(self.rows)]
        return jnp.concatenate([*above, runs[self.rows :, :, : self.sides * channels]], axis=-1)

    def padded(self, picture: Float[Array, "h w c"]) -> Float[Array, "m p c"]:
        """A picture with zeros above it and at both sides.

        Args:
            picture: Shape (h, w, c).

        Returns:
            Shape (h + rows, w + 2 sides, c).
        """
        return jnp.pad(picture, ((self.rows, 0), (self.sides, self.sides), (0, 0)))


def _runs(width: int, across: int, channels: int) -> Float[Array, "m n"]:
    """Zeros and ones whose product with a padded row is, for each pixel, the `across` pixels around it."""
    found = np.zeros((width + across - 1, channels, width, across, channels), np.float32)
    for place in range(width):
        for step in range(across):
            found[place + step, :, place, step] = np.eye(channels)
    return jnp.asarray(found.reshape((width + across - 1) * channels, -1))


class Autoregressive(AbstractDistribution[Array]):
    r"""Pixels one after another, each given the pixels before it that are near.

    $p(x) = \prod_i p(x_i;\ o_i + c(x_{<i}, f_i))$, row by row from the upper left: o are the outputs of a decoder, from
    which another family makes its pixels, and the context c of the pixels so far is added to them.

    Args:
        outputs: The outputs o for each pixel, of shape (a, h w, c), in the order of the family.
        features: The features f, of shape (h w, f).
        context: The network c.
        family: The distribution of a whole picture, of outputs of shape (a h w c,).
        pixel: The distribution of a single pixel, of outputs of shape (a c,).
        size: The shape of one event, (h, w) or (h, w, c).
        levels: How many levels, from 0 on, a value has.

    Source: Gulrajani et al. (2017), "PixelVAE: a latent variable model for natural images".
    """

    has_path: ClassVar[bool] = False

    outputs: Float[Array, "a p c"]
    features: Float[Array, "p f"]
    context: Context
    family: Callable[[Array], Any]
    pixel: Callable[[Array], Any]
    size: tuple[int, ...] = eqx.field(static=True)
    levels: int = eqx.field(static=True)

    def _scaled(self, event: Shaped[Array, "..."]) -> Float[Array, "..."]:
        return 2.0 * event.astype(self.outputs.dtype) / (self.levels - 1) - 1.0

    def _conditioning(self) -> Float[Array, "h w n"]:
        return self.context.conditioning(self.features.reshape(*self.size[:2], -1))

    def given(self, event: Shaped[Array, "..."]) -> Any:
        """The distribution of every pixel given the pixels of this event before it.

        Args:
            event: One event, of the shape `size`.

        Returns:
            The distribution of the family.
        """
        picture = self._scaled(event).reshape(*self.size[:2], -1)
        hidden = self.context.first(self.context.before(picture), self._conditioning())
        added = self.context.second(hidden, self.context.neighbours(hidden))
        added = added.reshape(-1, self.outputs.shape[0], self.outputs.shape[2])
        return self.family((self.outputs + jnp.moveaxis(added, 1, 0)).reshape(-1))

    def log_prob(self, event: Shaped[Array, "..."]) -> Nats:
        """The log probability of one event, in nats: all pixels at once."""
        return self.given(event).log_prob(event)

    def log_prob_observed(self, event: Shaped[Array, "..."], mask: Bool[Array, "..."]) -> Nats:
        """Refused: pixels that others depend on have no closed form left out.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "pixels that depend on one another have no probability with some of them missing.",
            where="likelihood.family",
            fix="Use a likelihood without autoregressive- in its name, such as bernoulli or logistic-mixture.",
        )

    def sample(self, *, key: Key) -> Array:
        """Draw one event, pixel after pixel."""
        height, width, channels = self.size[0], self.size[1], self.outputs.shape[2]
        context, conditioning = self.context, self._conditioning()
        rows, sides, units = context.rows, context.sides, context.neighbour_units

        def step(state: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], Array]:
            (padded, known), row, column = state, index // width, index % width
            window = jax.lax.dynamic_slice(padded, (row, column, 0), (rows + 1, 2 * sides + 1, channels))
            seen = jnp.concatenate([window[:rows].reshape(-1), window[rows, :sides].reshape(-1)])
            hidden = context.first(seen, conditioning[row, column])
            around = jax.lax.dynamic_slice(known, (row, column, 0), (2, 3, units)).reshape(6, units)
            added = context.second(hidden, around[:4].reshape(-1)).reshape(-1, channels)
            pixel = self.pixel((self.outputs[:, index] + added).reshape(-1))
            value = pixel.sample(key=jax.random.fold_in(key, index)).reshape(1, 1, channels)
            padded = jax.lax.dynamic_update_slice(padded, self._scaled(value), (row + rows, column + sides, 0))
            own = jax.nn.relu(hidden[:units]).reshape(1, 1, units)
            return (padded, jax.lax.dynamic_update_slice(known, own, (row + 1, column + 1, 0))), value

        empty = jnp.zeros((height, width, channels), self.outputs.dtype)
        state = context.padded(empty), jnp.zeros((height + 1, width + 2, units), self.outputs.dtype)
        values = jax.lax.scan(step, state, jnp.arange(height * width))[1]
        return values.reshape(self.size)

    def expected(self, draws: int, *, key: Key) -> Float[Array, "..."]:
        """An estimate of the mean without bias: the mean of every pixel given the pixels before it, over samples.

        Args:
            draws: How many samples.
            key: A JAX random key.

        Returns:
            Shape `size`, in the unit of the event.
        """
        keys = jax.random.split(key, draws)
        return jnp.mean(jax.vmap(lambda k: self.given(self.sample(key=k)).mean())(keys), axis=0)

    def mean(self) -> Float[Array, "..."]:
        """The mean as `expected` estimates it from 8 samples, always the same; it has no closed form."""
        return self.expected(MEAN_DRAWS, key=jax.random.key(0))


END = 0
"""The token after which a row has no others."""

COLDEST = 1e-6
"""The temperature that stands for 0: the most probable token has all the probability."""

NEVER = -1e30
"""The logit of a token that never comes: its probability is 0 exactly, and its product with a zero is one."""


class TokenSequence(AbstractDistribution[Array]):
    r"""A row of at most T tokens, each given those before it; the first 0 is its end.

    $\log p(x) = \sum_{t \le e} \log p(x_t \mid x_{<t})$ nats with e the place of the first 0. After it every place is 0
    with probability one, and so is the last of T places: over arrays of T whole numbers the probabilities sum to 1. An
    event may have fewer than T places; it is then a row that ends within them. Where rows are never empty, the end has
    the probability 0 at the first place, and the others share what it had. Where marks must close, the end has it while
    one is open, and a closing mark while there is nothing to close. The last place is an end whatever is open.

    Args:
        network: Gives the logits of every token from those before it: `network(codes, given)` of all places, and
            `network.memory(given)` with `network.step(previous, place, memory, given)` of one after the other. Where
            marks must close, both are also told which are open.
        given: What the network reads beside the tokens, of shape (n,), as a decoder gives it.
        shape: The shape of an event, (T,).
        begun: Codes of shape (T,), and True in a beginning of them that samples have; None: nothing is fixed.
        never_empty: Whether a row has a token before its end.
        closing: The codes of an opening and of a closing mark, and of those that open and close by turns, such as the
            ring numbers of SMILES; None: nothing must close.
    """

    has_path: ClassVar[bool] = False

    network: Any
    given: Float[Array, " n"]
    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]
    begun: tuple[Int[Array, " T"], Bool[Array, " T"]] | None = None
    never_empty: bool = eqx.field(static=True, default=False)
    closing: tuple[int, int, tuple[int, ...]] | None = eqx.field(static=True, default=None)

    def _takes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is one event: also the first places of one."""
        return len(shape) == 1 and shape[0] <= self.shape[0]

    def log_prob_terms(self, event: Int[Array, " t"]) -> Float[Array, " t"]:
        """The log probability of every token given those before it; 0 after the end.

        Args:
            event: One event, of shape (t,) with t at most T.

        Returns:
            Shape (t,), in nats; -inf where another token than 0 follows the end, and of an end where none can be.
        """
        codes = event.astype(jnp.int32)
        places = jnp.arange(len(codes))
        marks = self._marks(codes)
        before = jnp.cumsum(marks, axis=0) - marks
        read = () if self.closing is None else (_opened(before),)
        logits = self._possible(self.network(codes, self.given, *read), places[:, None], before)
        chosen = jax.nn.one_hot(codes, logits.shape[-1], dtype=logits.dtype)
        terms = jnp.sum(chosen * logits, axis=-1) - jax.nn.logsumexp(logits, axis=-1)
        terms = jnp.where(terms < NEVER / 2, -jnp.inf, terms)
        fixed = self._after_end(codes) | (places == self.shape[0] - 1)
        allowed = (codes == END) & fixed
        if self.begun is not None:
            known, seen = (a[: len(codes)] for a in self.begun)
            allowed, fixed = jnp.where(seen, codes == known, allowed), fixed | seen
        return jnp.where(fixed, jnp.where(allowed, 0.0, -jnp.inf), terms)

    def _marks(self, codes: Int[Array, "*t"]) -> Int[Array, "*t r"]:
        """What tokens add to the count of open parentheses, and to that of each mark that opens and closes by turns."""
        opens, closes, turns = self.closing or (-1, -1, ())
        depth = (codes == opens).astype(jnp.int32) - (codes == closes)
        return jnp.stack([depth, *(codes == one for one in turns)], axis=-1).astype(jnp.int32)

    def _possible(
        self, logits: Float[Array, "*t V"], place: Int[Array, "..."], marks: Int[Array, "*t r"]
    ) -> Float[Array, "*t V"]:
        """The logits, without an end where a row would be empty or open, and without what has nothing to close."""
        token = jnp.arange(logits.shape[-1])
        if self.never_empty:
            logits = jnp.where((place == 0) & (token == END), NEVER, logits)
        if self.closing is not None:
            opened = _opened(marks) > 0
            never = opened.any(-1, keepdims=True) & (token == END)
            never |= ~opened[..., :1] & (token == self.closing[1])
            logits = jnp.where(never, NEVER, logits)
        return logits

    @staticmethod
    def _after_end(codes: Int[Array, " t"]) -> Bool[Array, " t"]:
        ended = jnp.cumsum(codes == END) > 0
        return jnp.concatenate([jnp.zeros_like(ended[:1]), ended[:-1]])

    def log_prob(self, event: Int[Array, " t"]) -> Nats:
        """The log probability of one event, in nats: all tokens at once."""
        return self.log_prob_observed(event, jnp.ones(event.shape, bool))

    def log_prob_observed(self, event: Int[Array, " t"], mask: Bool[Array, " t"]) -> Nats:
        """The log probability that a row begins with the tokens where the mask is True.

        What comes later is summed out exactly, since no token depends on it.

        Args:
            event: One event; where the mask is False its value has no influence.
            mask: True at the first places, False at the others.

        Returns:
            A number of shape (), in nats; not a number for a mask with a hole that is not known before it is computed.

        Raises:
            ConfigError: The mask is known, and has a hole.
        """
        hole = _refuse_hole(mask)
        terms = self.log_prob_terms(jnp.where(mask, event, END))
        # A row that is seen to its last place and has no end there is longer than the event.
        ends = jnp.any((event == END) | ~mask) if len(event) < self.shape[0] else jnp.asarray(True)
        return jnp.where(hole, jnp.nan, jnp.where(ends, jnp.sum(jnp.where(mask, terms, 0.0)), -jnp.inf))

    def conditioned(self, event: Int[Array, " T"], mask: Bool[Array, " T"]) -> "TokenSequence":
        """The distribution of rows that begin with the tokens where the mask is True.

        Args:
            event: One event, of shape (T,).
            mask: True at the first places, False at the others.

        Returns:
            A distribution over whole events.

        Raises:
            ConfigError: The mask is known, and has a hole.
        """
        _refuse_hole(mask)
        return replace(self, begun=(event.astype(jnp.int32), mask))

    def within(self, low: Shaped[Array, " T"], high: Shaped[Array, " T"]) -> tuple["TokenSequence", Nats]:
        """The distribution of rows that begin with the tokens where two bounds agree.

        Args:
            low: Codes at the first places, of shape (T,).
            high: The same codes there, and others behind them.

        Returns:
            That distribution, and the log probability of the beginning in nats.
        """
        codes, seen = low.astype(jnp.int32), low == high
        return self.conditioned(codes, seen), self.log_prob_observed(codes, seen)

    def sample(self, *, key: Key) -> Int[Array, " T"]:
        """Draw one event, token after token."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_at(self, temperature: float | Float[Array, ""], *, key: Key) -> Int[Array, " T"]:
        """Draw one event with logits divided by the temperature; at 0 every token is the most probable one."""
        return self._draw(temperature, key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Int[Array, " T"], Nats]:
        """Draw one event, with the sum of the log probabilities of what was drawn."""
        return self._draw(1.0, key=key)

    def mean(self) -> Int[Array, " T"]:
        """What stands for the mean, which tokens have not: each token is the most probable one after those before it.

        Returns:
            Shape (T,).
        """
        return self.sample_at(0.0, key=jax.random.key(0))

    def _draw(self, temperature: float | Float[Array, ""], *, key: Key) -> tuple[Int[Array, " T"], Nats]:
        places = jnp.arange(self.shape[0])
        known, seen = (jnp.zeros_like(places), places < 0) if self.begun is None else self.begun

        def step(carry: tuple[Array, Array, Array, Any], at: tuple[Array, ...]) -> tuple[Any, Any]:
            (previous, ended, marks, memory), (place, known, seen, step_key) = carry, at
            read = () if self.closing is None else (_opened(marks),)
            logits, memory = self.network.step(previous, place, memory, self.given, *read)
            logits = self._possible(logits / jnp.maximum(temperature, COLDEST), place, marks)
            drawn = jax.random.categorical(step_key, logits).astype(jnp.int32)
            fixed = ended | (place == self.shape[0] - 1)
            code = jnp.where(seen, known, jnp.where(fixed, END, drawn)).astype(jnp.int32)
            term = jnp.where(seen | fixed, 0.0, jax.nn.log_softmax(logits)[code])
            return (code, ended | (code == END), marks + self._marks(code), memory), (code, term)

        none = jnp.asarray(END, jnp.int32)
        start = (none, jnp.asarray(False), jnp.zeros_like(self._marks(none)), self.network.memory(self.given))
        keys = jax.random.split(key, self.shape[0])
        codes, terms = jax.lax.scan(step, start, (places, known, seen, keys))[1]
        return codes, jnp.sum(terms)


def _opened(marks: Int[Array, "*t r"]) -> Int[Array, "*t r"]:
    """Of each mark whether it is open, as 0 or 1: of parentheses whether any is."""
    return jnp.concatenate([marks[..., :1] > 0, marks[..., 1:] % 2 > 0], axis=-1).astype(jnp.int32)


def _refuse_hole(mask: Bool[Array, " t"]) -> Bool[Array, ""]:
    """Whether a mask is True behind a False; ConfigError where that is known already."""
    hole = jnp.any(mask[1:] & ~mask[:-1])
    if isinstance(hole, Tracer) or not bool(hole):
        return hole
    raise ConfigError(
        "a token behind a missing one has no closed form: only a beginning of a row can be given.",
        where="likelihood.family",
        fix="Give a mask that is True up to a place and False behind it.",
    )
