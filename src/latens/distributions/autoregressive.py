"""Pictures whose pixels depend on the pixels before them, row by row."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractDistribution
from latens.errors import ConfigError
from latens.typing import Array, Bool, Float, Key, Nats, Shaped

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
