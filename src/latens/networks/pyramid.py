"""Parts of deep networks on a pyramid of images: residual blocks through a bottleneck, and steps between two sizes.

An image (h, w, c) is halved to (ceil(h/2), ceil(w/2)) until its shorter side is 4 or less, then becomes one point.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.networks.convolutional import Convolution, SameConvolution, TransposedConvolution, half
from latens.networks.dense import ACTIVATIONS, Linear, first_weights, from_outputs, make_linear, to_outputs
from latens.typing import Array, Float, Key

Size = tuple[int, int, int]


def sizes_of(shape: Sequence[int], widths: Sequence[int]) -> tuple[Size, ...]:
    """The sizes of a pyramid above an image: one for each halving, then one point of as many channels as the last.

    Args:
        shape: The height and width of the image.
        widths: The channels after each halving.

    Returns:
        The sizes (h, w, c), the largest first.

    Examples:
        >>> sizes_of((28, 28), (32, 64, 64))
        ((14, 14, 32), (7, 7, 64), (4, 4, 64), (1, 1, 64))
    """
    (height, width), sizes = shape[:2], []
    for channels in widths:
        height, width = half(height), half(width)
        sizes.append((height, width, int(channels)))
    return (*sizes, (1, 1, int(widths[-1])))


class Bottleneck(eqx.Module):
    r"""Three convolutions through fewer channels, of 1, of 3 and of 1 pixels, with activations between them."""

    # $W_3\,a(W_2\,a(W_1 h))$; on one point $W_2$ is of 1 pixel too.
    # Source: Child (2021), "Very Deep VAEs", figure 3, with one convolution of 3 pixels in the place of two, and
    # without the activation before the first, which is of the most channels.

    first: Linear  # the layer $W_1$ to fewer channels
    middle: SameConvolution | Linear  # the layer $W_2$ between them
    last: Linear  # the layer $W_3$ to the channels of the result
    activation: str = eqx.field(static=True)  # the name of the activation $a$

    @classmethod
    def create(
        cls, size: Size, num_outputs: int, *, more: int = 0, activation: str, initializer: str, scale: float, key: Key
    ) -> "Bottleneck":
        """Initialise a block, through half as many channels."""
        keys, (height, width, channels) = jax.random.split(key, 3), size
        inner = max(1, channels // 2)
        if height * width > 1:
            weight = first_weights(initializer, (inner, 3, 3, inner), 9 * inner, 9 * inner, key=keys[1])
            middle = SameConvolution(weight, jnp.zeros(inner, jnp.float32))
        else:
            middle = make_linear(inner, inner, initializer, key=keys[1])
        last = make_linear(inner, num_outputs, initializer, key=keys[2])
        first = make_linear(channels + more, inner, initializer, key=keys[0])
        return cls(first, middle, eqx.tree_at(lambda layer: layer.weight, last, scale * last.weight), activation)

    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "h w o"]:
        """Apply the layers to one image."""
        act = ACTIVATIONS[self.activation]
        return self.last(act(self.middle(act(self.first(image)))))


class Shrink(eqx.Module):
    """A linear layer from every 2 x 2 pixels to one, or from all pixels to one point."""

    layer: Linear
    whole: bool = eqx.field(static=True)  # whether it reads all pixels

    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "m p o"]:
        """Make one image smaller."""
        if self.whole:
            return self.layer(image.reshape(1, 1, -1))
        height, width, channels = image.shape
        padded = jnp.pad(image, ((0, height % 2), (0, width % 2), (0, 0)))
        cells = padded.reshape(half(height), 2, half(width), 2 * channels)
        return self.layer(jnp.concatenate([cells[:, 0], cells[:, 1]], axis=-1))


class Grow(eqx.Module):
    """The adjoint of `Shrink` to an image of a given size."""

    layer: Linear
    size: Size = eqx.field(static=True)  # the size (h, w, c) of the result

    def __call__(self, image: Float[Array, "m p c"]) -> Float[Array, "h w o"]:
        """Make one image larger."""
        (height, width, channels), cells = self.size, self.layer(image)
        if cells.size == height * width * channels and image.shape[:2] == (1, 1):
            return cells.reshape(self.size)
        rows = jnp.stack(jnp.split(cells, 2, axis=-1), axis=1)  # (m, 2, p, 2 c)
        return rows.reshape(2 * image.shape[0], 2 * image.shape[1], channels)[:height, :width]


def steps_between(sizes: Sequence[Size], initializer: str, *, key: Key) -> tuple[tuple[Shrink, ...], tuple[Grow, ...]]:
    """The steps up and down a pyramid."""
    shrink, grow = [], []
    for number, (large, small) in enumerate(itertools.pairwise(sizes)):
        cells = math.prod(large[:2]) if small[:2] == (1, 1) else 4
        up, down = jax.random.split(jax.random.fold_in(key, number))
        shrink.append(Shrink(make_linear(cells * large[2], small[2], initializer, key=up), small[:2] == (1, 1)))
        grow.append(Grow(make_linear(small[2], cells * large[2], initializer, key=down), large))
    return tuple(shrink), tuple(grow)


class Features(eqx.Module):
    """From an image up a pyramid: the features of every size."""

    first: Convolution  # the convolution to the largest size
    shrink: tuple[Shrink, ...]  # the steps to each smaller size
    blocks: tuple[tuple[Callable[[Array], Array], ...], ...]  # the residual blocks at each size
    shape: Size = eqx.field(static=True)  # the image as (h, w, c)

    def __call__(self, image: Float[Array, "..."]) -> tuple[Float[Array, "..."], ...]:
        """Apply the network to one image."""
        state, found = self.first(image.astype(self.first.weight.dtype).reshape(self.shape)), []
        for step, blocks in zip((None, *self.shrink), self.blocks):
            state = state if step is None else step(state)
            for block in blocks:
                state = state + block(state)
            found.append(state)
        return tuple(found)


class ToPixels(eqx.Module):
    """From the largest size of a pyramid to the numbers that a head reads: activation and transposed convolution."""

    layer: TransposedConvolution  # the transposed convolution, with a bias for each output
    activation: str = eqx.field(static=True)  # the name of the activation
    blocks: int = eqx.field(static=True)  # how many events the outputs hold one after another

    def __call__(self, state: Float[Array, "h w c"]) -> Float[Array, " n_out"]:
        """The outputs of one state."""
        return to_outputs(self.layer(ACTIVATIONS[self.activation](state)), self.blocks)

    def with_output_weights_times(self, factor: float) -> "ToPixels":
        """The same network with the weights of its last layer multiplied by a factor."""
        return eqx.tree_at(lambda n: n.layer.weight, self, factor * self.layer.weight)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "ToPixels":
        """The same network with another bias in its last layer, one entry for each output."""
        last = from_outputs(jnp.asarray(bias, jnp.float32), self.layer.size, self.blocks)
        return eqx.tree_at(lambda n: n.layer.bias, self, last)
