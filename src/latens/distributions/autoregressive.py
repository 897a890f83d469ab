"""Pictures whose pixels depend on the pixels before them, row by row."""

import math
from collections.abc import Callable
from typing import Any

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

    $c(v, f) = W_o\,a(h + W_h\,a(h) + b_h)$ with $h = W_v v + W_f f + b$ and a the rectifier. v are the values, on the
    scale of [-1, 1] and 0 outside the picture, of the `rows` rows above within `sides` columns to either side, then of
    the `sides` pixels to the left. f are the features of the pixel, which the decoder gives.

    Args:
        of_values: The weight $W_v$, of shape (n, v).
        of_features: The weight $W_f$, of shape (n, f).
        bias: The bias b, of shape (n,).
        hidden: The weight $W_h$, of shape (n, n).
        hidden_bias: The bias $b_h$, of shape (n,).
        output: The weight $W_o$, of shape (o, n).
        rows: How many rows above a pixel it depends on.
        sides: How many columns to either side of it.

    Source: van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders", without its deeper
    layers; a window of a few pixels is that of Chen et al. (2017), "Variational lossy autoencoder".
    """

    of_values: Float[Array, "n v"]
    of_features: Float[Array, "n f"]
    bias: Float[Array, " n"]
    hidden: Float[Array, "n n"]
    hidden_bias: Float[Array, " n"]
    output: Float[Array, "o n"]
    rows: int = eqx.field(static=True)
    sides: int = eqx.field(static=True)

    @classmethod
    def drawn(
        cls, channels: int, features: int, outputs: int, *, width: int, rows: int, sides: int, key: Key
    ) -> "Context":
        """Draw the initial weights; the last ones are 0, so that pixels depend on no others at first.

        Args:
            channels: How many values a pixel has.
            features: How many features the decoder gives for a pixel.
            outputs: How many outputs a pixel has.
            width: How many hidden units n there are.
            rows: How many rows above a pixel it depends on.
            sides: How many columns to either side of it.
            key: A JAX random key.

        Returns:
            The network.
        """
        seen = channels * (rows * (2 * sides + 1) + sides)
        keys = jax.random.split(key, 3)
        sizes = ((width, seen), (width, features), (width, width))
        values, of_features, hidden = (
            jax.random.normal(k, size) * math.sqrt(1.0 / max(size[1], 1)) for k, size in zip(keys, sizes)
        )
        zero = jnp.zeros(width)
        return cls(values, of_features, zero, math.sqrt(2) * hidden, zero, jnp.zeros((outputs, width)), rows, sides)

    def __call__(self, values: Float[Array, "*p v"], features: Float[Array, "*p f"]) -> Float[Array, "*p o"]:
        """What is added to the outputs of each pixel.

        Args:
            values: The values before each pixel, as `before` gives them.
            features: The features of each pixel.

        Returns:
            Shape (*p, o).
        """
        h = values @ self.of_values.T + features @ self.of_features.T + self.bias
        h = h + jax.nn.relu(h) @ self.hidden.T + self.hidden_bias
        return jax.nn.relu(h) @ self.output.T

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

    outputs: Float[Array, "a p c"]
    features: Float[Array, "p f"]
    context: Context
    family: Callable[[Array], Any]
    pixel: Callable[[Array], Any]
    size: tuple[int, ...] = eqx.field(static=True)
    levels: int = eqx.field(static=True)

    def _scaled(self, event: Shaped[Array, "..."]) -> Float[Array, "..."]:
        return 2.0 * event.astype(self.outputs.dtype) / (self.levels - 1) - 1.0

    def given(self, event: Shaped[Array, "..."]) -> Any:
        """The distribution of every pixel given the pixels of this event before it.

        Args:
            event: One event, of the shape `size`.

        Returns:
            The distribution of the family.
        """
        picture = self._scaled(event).reshape(*self.size[:2], -1)
        values = self.context.before(picture).reshape(self.features.shape[0], -1)
        added = self.context(values, self.features).reshape(-1, self.outputs.shape[0], self.outputs.shape[2])
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
        rows, sides = self.context.rows, self.context.sides

        def step(padded: Array, index: Array) -> tuple[Array, Array]:
            row, column = index // width, index % width
            window = jax.lax.dynamic_slice(padded, (row, column, 0), (rows + 1, 2 * sides + 1, channels))
            seen = jnp.concatenate([window[:rows].reshape(-1), window[rows, :sides].reshape(-1)])
            added = self.context(seen, self.features[index]).reshape(-1, channels)
            pixel = self.pixel((self.outputs[:, index] + added).reshape(-1))
            value = pixel.sample(key=jax.random.fold_in(key, index)).reshape(1, 1, channels)
            return jax.lax.dynamic_update_slice(padded, self._scaled(value), (row + rows, column + sides, 0)), value

        padded = self.context.padded(jnp.zeros((height, width, channels), self.outputs.dtype))
        values = jax.lax.scan(step, padded, jnp.arange(height * width))[1]
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
