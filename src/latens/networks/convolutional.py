"""Convolutional networks for images of any size: an encoder of stride 2, and a decoder that mirrors it.

An image (h, w, c) becomes (ceil(h/2), ceil(w/2), o): pixel (i, j) of the result sees the pixels from (2i - 1, 2j - 1)
on, as far as the kernel of 3 or 4 goes, with zeros outside. For even sizes that is padding 1 of other libraries.

XLA's programs for a CPU convolve quickly where the images are (n, h, w, c), the kernel is (k, k, c, o), and nothing is
dilated or turned around; in any other layout they take some 50 times as long, and so do the derivatives that JAX makes.
So on a CPU the convolution of stride 2, its adjoint and the convolution of stride 1 are bilinear operations of their
own (`canonical`), each of which has another of them as its derivative by the images, and products with patches as that
by the weights. Under `vmap` the rows become the n images. For few channels patches are quicker.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from latens.errors import ConfigError
from latens.networks.dense import (
    ACTIVATIONS,
    HiddenActivation,
    Linear,
    channels_of,
    check_options,
    check_widths,
    first_weights,
    from_outputs,
    make_linear,
    split_event,
    to_outputs,
)
from latens.typing import Array, Float, Key, Shaped

Method = Literal["canonical", "conv"]


def best_method() -> Method:
    """The faster way to convolve on JAX's default device, asked while tracing."""
    return "canonical" if jax.default_backend() == "cpu" else "conv"


def convolve(
    image: Float[Array, "h w c"], weight: Float[Array, "o k k c"], method: Method | None = None
) -> Float[Array, "m p o"]:
    r"""Convolve one image with stride 2, with zeros outside the image."""
    # $y_{ijo} = \sum_{abc} x_{2i-1+a,\,2j-1+b,\,c}\, w_{oabc}$.
    kernel_size = weight.shape[1]
    if (method or best_method()) == "canonical":
        height, width = image.shape[:2]
        return DOWN.bind(image[None], weight, height=height, width=width, size=kernel_size)[0]
    padding = [(1, 2 * half(n) + kernel_size - 3 - n) for n in image.shape[:2]]
    return jax.lax.conv_general_dilated(
        image[None], jnp.transpose(weight, (1, 2, 3, 0)), (2, 2), padding, dimension_numbers=AXES
    )[0]


def convolve_transposed(
    image: Float[Array, "m p o"], weight: Float[Array, "o k k c"], height: int, width: int, method: Method | None = None
) -> Float[Array, "h w c"]:
    """The adjoint of `convolve` with the same weight."""
    kernel_size = weight.shape[1]
    if (method or best_method()) == "canonical":
        return UP.bind(image[None], weight, height=height, width=width, size=kernel_size)[0]
    # A convolution of the image with zeros between its cells, the kernel turned around.
    turned = jnp.transpose(jnp.flip(weight, (1, 2)), (1, 2, 0, 3))
    padding = [(kernel_size - 2, n - 2 * half(n) + 2) for n in (height, width)]
    return jax.lax.conv_general_dilated(
        image[None], turned, (1, 1), padding, lhs_dilation=(2, 2), dimension_numbers=AXES
    )[0]


def convolve_same(
    image: Float[Array, "h w c"], weight: Float[Array, "o 3 3 c"], method: Method | None = None
) -> Float[Array, "h w o"]:
    r"""Convolve one image with stride 1 and a kernel of 3, with zeros outside the image."""
    # $y_{ijo} = \sum_{abc} x_{i-1+a,\,j-1+b,\,c}\, w_{oabc}$.
    if (method or best_method()) == "canonical":
        return SAME.bind(image[None], weight)[0]
    kernel = jnp.transpose(weight, (1, 2, 3, 0))
    return jax.lax.conv_general_dilated(image[None], kernel, (1, 1), "SAME", dimension_numbers=AXES)[0]


FEW_CHANNELS = 8
"""Below so many channels of the larger image a product with patches is quicker than a convolution."""

PATCH_BYTES = 4 * 2**20
"""Patches of about so many bytes are made at once for the gradient of the weights: they stay near the processor."""

AXES = ("NHWC", "HWIO", "NHWC")
"""The layout of images, kernel and results."""


def _convolved(images: Array, kernel: Array, stride: int, padding: Sequence[tuple[int, int]]) -> Array:
    return jax.lax.conv_general_dilated(images, kernel, (stride, stride), padding, dimension_numbers=AXES)


def half(size: int) -> int:
    """Half a size, rounded up."""
    return -(-size // 2)


def _down(images: Array, weight: Array) -> Array:
    if images.shape[-1] < FEW_CHANNELS:
        patches = unfolded(images, weight.shape[1], 2)
        return patches @ weight.reshape(len(weight), -1).T
    padding = [(1, 2 * half(n) + weight.shape[1] - 3 - n) for n in images.shape[1:3]]
    return _convolved(images, jnp.transpose(weight, (1, 2, 3, 0)), 2, padding)


def _up(images: Array, weight: Array, *, height: int, width: int) -> Array:
    if 4 * weight.shape[-1] < FEW_CHANNELS:
        sizes = jax.ShapeDtypeStruct((len(images), height, width, weight.shape[-1]), images.dtype)
        patches = images @ weight.reshape(len(weight), -1)
        return jax.linear_transpose(lambda large: unfolded(large, weight.shape[1], 2), sizes)(patches)[0]
    # The four pixels of a result that lie between the same cells are channels of one: a kernel of 2 without dilation.
    outputs, size, _, channels = weight.shape
    blocks = jnp.pad(weight, ((0, 0), (0, 4 - size), (0, 4 - size), (0, 0)))
    blocks = jnp.flip(blocks.reshape(outputs, 2, 2, 2, 2, channels), (1, 3))
    kernel = jnp.transpose(blocks, (1, 3, 0, 2, 4, 5)).reshape(2, 2, outputs, 4 * channels)
    fours = _convolved(images, kernel, 1, [(1, 1), (1, 1)])
    n, m, p = fours.shape[:3]
    pixels = jnp.transpose(fours.reshape(n, m, p, 2, 2, channels), (0, 1, 3, 2, 4, 5)).reshape(
        n, 2 * m, 2 * p, channels
    )
    return pixels[:, 1 : height + 1, 1 : width + 1]


def _same(images: Array, weight: Array) -> Array:
    if images.shape[-1] < FEW_CHANNELS:
        return unfolded(images, 3, 1) @ weight.reshape(len(weight), -1).T
    return _convolved(images, jnp.transpose(weight, (1, 2, 3, 0)), 1, [(1, 1), (1, 1)])


def unfolded(images: Array, size: int, stride: int) -> Array:
    """The patch under every pixel of the result."""
    # returns: of stride 2 (n, ceil(h/2), ceil(w/2), k k c), each patch in the order (row, column, channel).
    n, height, width, channels = images.shape
    if stride == 1:
        padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        rows = jnp.concatenate([padded[:, :, j : j + width] for j in range(size)], axis=-1)
        return jnp.concatenate([rows[:, i : i + height] for i in range(size)], axis=-1)
    m, p = half(height), half(width)
    # A row and a column of zeros stand before, and behind as many as make the sizes even.
    framed = jnp.pad(images, ((0, 0), (1, 2 * m + 1 - height), (1, 2 * p + 1 - width), (0, 0)))
    # Two neighbouring columns are one run of memory: first patches one row high, then k such rows.
    pairs = framed.reshape(n, 2 * m + 2, p + 1, 2 * channels)
    rows = jnp.concatenate([pairs[:, :, :p], pairs[:, :, 1:, : (size - 2) * channels]], axis=-1)
    phases = rows.reshape(n, m + 1, 2, p, size * channels)
    return jnp.concatenate([phases[:, i // 2 : i // 2 + m, i % 2] for i in range(size)], axis=-1)


def _of_weight(large: Array, small: Array, size: int, stride: int) -> Array:
    """The sum over images and places of each patch of the large images times the pixel of the small ones."""
    n, outputs, channels = len(large), small.shape[-1], large.shape[-1]
    bytes_each = math.prod(small.shape[1:3]) * size**2 * channels * large.dtype.itemsize
    parts = 1
    while n % (2 * parts) == 0 and n // parts * bytes_each > PATCH_BYTES:
        parts *= 2

    def product(pair: tuple[Array, Array]) -> Array:
        patches = unfolded(pair[0], size, stride)
        return pair[1].reshape(-1, outputs).T @ patches.reshape(-1, patches.shape[-1])

    if parts == 1:
        found = product((large, small))
    else:
        cut = lambda a: a.reshape(parts, n // parts, *a.shape[1:])  # noqa: E731
        start = jnp.zeros((outputs, size**2 * channels), large.dtype)
        found = jax.lax.scan(lambda total, pair: (total + product(pair), None), start, (cut(large), cut(small)))[0]
    return found.reshape(outputs, size, size, channels)


def _bilinear(
    name: str, forward: Callable[..., Array], of_images: Callable[..., Array], of_weight: Callable[..., Array]
) -> Primitive:
    """An operation of images (n, h, w, c) and a weight (o, k, k, c), with its derivatives."""
    primitive = Primitive(name)
    compiled = functools.cache(lambda sizes: jax.jit(functools.partial(forward, **dict(sizes))))
    primitive.def_impl(lambda *operands, **sizes: compiled(tuple(sizes.items()))(*operands))

    @primitive.def_abstract_eval
    def abstract(images: ShapedArray, weight: ShapedArray, **sizes: int) -> ShapedArray:
        given = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (images, weight))
        found = jax.eval_shape(functools.partial(forward, **sizes), *given)
        return ShapedArray(found.shape, found.dtype)

    mlir.register_lowering(primitive, mlir.lower_fun(forward, multiple_results=False))
    ad.defbilinear(primitive, of_images, of_weight)

    def batched(operands: Sequence[Array], axes: Sequence[int | None], **sizes: int) -> tuple[Array, int]:
        (images, weight), (axis, weight_axis) = operands, axes
        images = images if axis is None else jnp.moveaxis(images, axis, 0)
        if weight_axis is None:
            found = primitive.bind(images.reshape(-1, *images.shape[2:]), weight, **sizes)
            return found.reshape(*images.shape[:2], *found.shape[1:]), 0
        # Each row has a weight of its own: one after the other.
        weights = jnp.moveaxis(weight, weight_axis, 0)
        if axis is None:
            return jax.lax.map(lambda one: primitive.bind(images, one, **sizes), weights), 0
        return jax.lax.map(lambda pair: primitive.bind(*pair, **sizes), (images, weights)), 0

    batching.primitive_batchers[primitive] = batched
    return primitive


def _turned(ct: Array, images: object, weight: Array) -> Array:
    return SAME.bind(ct, jnp.transpose(jnp.flip(weight, (1, 2)), (3, 1, 2, 0)))


DOWN = _bilinear(
    "convolve_by_two",
    lambda images, weight, **sizes: _down(images, weight),
    lambda ct, images, weight, **sizes: UP.bind(ct, weight, **sizes),
    lambda ct, images, weight, size, **sizes: _of_weight(images, ct, size, 2),
)
"""The convolution of stride 2; `height` and `width` of its images and the `size` of the kernel are given too."""

UP = _bilinear(
    "convolve_by_two_transposed",
    lambda images, weight, height, width, size: _up(images, weight, height=height, width=width),
    lambda ct, images, weight, **sizes: DOWN.bind(ct, weight, **sizes),
    lambda ct, images, weight, size, **sizes: _of_weight(ct, images, size, 2),
)
"""Its adjoint, whose results have this `height` and `width`."""

SAME = _bilinear("convolve_by_one", _same, _turned, lambda ct, images, weight: _of_weight(images, ct, 3, 1))
"""The convolution of stride 1 with a kernel of 3."""


class Convolution(eqx.Module):
    """A convolution of stride 2 with one bias for each channel."""

    # (h, w, c) -> (ceil(h/2), ceil(w/2), o).

    weight: Float[Array, "o k k c"]  # the kernel, of shape (o, k, k, c)
    bias: Float[Array, " o"]

    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "m p o"]:
        """Convolve one image."""
        return convolve(image, self.weight) + self.bias[None, None]


class TransposedConvolution(eqx.Module):
    """The adjoint of a convolution of stride 2, to an image of a given size."""

    weight: Float[Array, "c k k o"]  # the kernel of the convolution whose adjoint this is, of shape (c, k, k, o)
    bias: Float[Array, "#h #w o"]
    size: tuple[int, int] = eqx.field(static=True)  # the height and width (h, w) of the result, in pixels

    def __call__(self, image: Float[Array, "m p c"]) -> Float[Array, "h w o"]:
        """Apply the adjoint of the convolution to one image."""
        return convolve_transposed(image, self.weight, *self.size) + self.bias


class SameConvolution(eqx.Module):
    """A convolution of stride 1 with one bias for each channel."""

    # (h, w, c) -> (h, w, o).

    weight: Float[Array, "o 3 3 c"]  # the kernel, of shape (o, 3, 3, c)
    bias: Float[Array, " o"]

    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "h w o"]:
        """Convolve one image."""
        return convolve_same(image, self.weight) + self.bias


class ConvBlock(eqx.Module):
    r"""A residual block whose activation comes first, without normalisation: $h + W_2\,a(W_1\,a(h))$."""

    # Source: He et al. (2016), "Identity Mappings in Deep Residual Networks".

    first: SameConvolution
    second: SameConvolution
    activation: str = eqx.field(static=True)  # the name of the activation $a$

    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """Apply the block to one image."""
        act = ACTIVATIONS[self.activation]
        return image + self.second(act(self.first(act(image))))


def _blocks(
    channels: int, count: int, all_blocks: int, activation: str, initializer: str, *, key: Key
) -> tuple[ConvBlock, ...]:
    """Blocks of one size of an image; their branches' variances add up to that of one."""

    def one(key: Key) -> ConvBlock:
        first, second = (
            SameConvolution(
                first_weights(initializer, (channels, 3, 3, channels), 9 * channels, 9 * channels, key=k),
                jnp.zeros(channels, jnp.float32),
            )
            for k in jax.random.split(key)
        )
        second = eqx.tree_at(lambda layer: layer.weight, second, second.weight / math.sqrt(all_blocks))
        return ConvBlock(first, second, activation)

    return tuple(one(jax.random.fold_in(key, index)) for index in range(count))


class ConvEncoder(eqx.Module):
    """Convolutions of stride 2 with an activation after each, then one dense layer: over all places, or at each alike.

    Args:
        shape: (h, w) or (h, w, c) of one image, which may come flattened.
        widths: The channels, one entry for each halving of the image.
        num_outputs: How many outputs the dense layer has.
        kernel_size: 3, or 4: about twice the work, but every pixel of a decoder is then made of equally many terms.
        num_blocks: How many residual blocks follow each convolution, before its activation.
        extra: How many numbers (conditions) follow the image: they go straight to the dense layer.
        on_map: Whether the outputs lie on the smallest image: as many at each of its places, place after place, by a
            dense layer that sees that place alone.
        copies: How many events the outputs on a map hold one after another (2: means, then scales).
        activation: The name of the activation between layers.
        output_activation: The name of the activation after the last layer.
        initializer: The name of the distribution of the initial weights. Biases start at 0.
        drop_probability: The probability of dropping a hidden activation in training, in [0, 1).
        key: A JAX random key for the initialisation.

    Attributes:
        layers: The convolutions, one for each entry of `widths`.
        blocks: The residual blocks after each of them.
        output: The dense layer.
        hidden: Activation and dropout after each convolution.
        shape: The image as (h, w, c).
        extra: As given.
        on_map: As given.
        copies: As given.
        output_activation: As given.

    Raises:
        ConfigError: A name is in no table, a probability or a width is out of range, or the shape is no image.

    Examples:
        >>> network = ConvEncoder((28, 28), (8, 16), 4, key=jax.random.key(0))
        >>> network(jnp.zeros((28, 28))).shape
        (4,)
    """

    layers: tuple[Convolution, ...]
    blocks: tuple[tuple[ConvBlock, ...], ...]
    output: Linear
    hidden: HiddenActivation
    shape: tuple[int, int, int] = eqx.field(static=True)
    extra: int = eqx.field(static=True)
    on_map: bool = eqx.field(static=True)
    copies: int = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int],
        num_outputs: int,
        *,
        kernel_size: int = 3,
        num_blocks: int = 0,
        extra: int = 0,
        on_map: bool = False,
        copies: int = 1,
        activation: str = "relu",
        output_activation: str = "identity",
        initializer: str = "he-normal",
        drop_probability: float = 0.0,
        key: Key,
    ) -> None:
        check_options(activation, output_activation, initializer, drop_probability)
        check_widths(tuple(widths), num_outputs)
        self.shape = _image(shape, kernel_size)
        *keys, last = jax.random.split(key, len(widths) + 1)
        layers, blocks, (height, width, n_in) = [], [], self.shape
        for layer_key, n_out in zip(keys, widths):
            taps = kernel_size**2
            weight = first_weights(
                initializer, (n_out, kernel_size, kernel_size, n_in), taps * n_in, taps * n_out / 4, key=layer_key
            )
            layers.append(Convolution(weight, jnp.zeros(n_out, jnp.float32)))
            of_blocks = (num_blocks * len(widths), activation, initializer)
            blocks.append(_blocks(n_out, num_blocks, *of_blocks, key=layer_key))
            height, width, n_in = half(height), half(width), n_out
        self.layers, self.blocks = tuple(layers), tuple(blocks)
        places = height * width
        n_in, n_out = (n_in, _at_each(num_outputs, places, extra)) if on_map else (places * n_in + extra, num_outputs)
        self.output = make_linear(n_in, n_out, initializer, key=last)
        self.hidden = HiddenActivation(activation, drop_probability)
        self.extra, self.on_map, self.copies, self.output_activation = extra, on_map, copies, output_activation

    def __call__(self, x: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one image."""
        image, extra = split_event(x, math.prod(self.shape), self.extra, self.output.weight.dtype)
        image = image.reshape(self.shape)
        for index, (layer, blocks) in enumerate(zip(self.layers, self.blocks)):
            image = layer(image)
            for block in blocks:
                image = block(image)
            image = self.hidden(image, key=key, index=index)
        if self.on_map:
            outputs = ACTIVATIONS[self.output_activation](jax.vmap(jax.vmap(self.output))(image))
            return to_outputs(outputs, self.copies)
        features = jnp.concatenate([image.reshape(-1), extra]) if self.extra else image.reshape(-1)
        return ACTIVATIONS[self.output_activation](self.output(features))

    def with_output_weights_times(self, factor: float) -> "ConvEncoder":
        """The same network with the weights of its last layer multiplied by a factor."""
        return eqx.tree_at(lambda n: n.output.weight, self, factor * self.output.weight)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "ConvEncoder":
        """The same network with another bias in its last layer."""
        return eqx.tree_at(lambda n: n.output.bias, self, jnp.asarray(bias, jnp.float32))


class ConvDecoder(eqx.Module):
    """A dense layer (on a map a convolution) to a small image, then transposed convolutions to the exact size.

    The last layer has a bias for each output, not one for each channel, so that it can start at the data's mean.

    Args:
        latent_dim: How many numbers come in: a latent, with any conditions appended.
        widths: The channels from the smallest image on: the encoder's, reversed.
        shape: (h, w) or (h, w, c) of one image.
        num_outputs: How many outputs there are, a multiple of the number of pixels times channels.
        blocks: How many events the outputs hold one after another (2: means, then scales); may be left out where there
            is one output for each pixel and channel.
        kernel_size: 3 or 4, as in `ConvEncoder`.
        num_blocks: How many residual blocks there are at each size of the image but the last, before its activation.
        on_map: Whether the latent lies on the smallest image, as many numbers at each of its places, place after place.
        activation: The name of the activation between layers.
        output_activation: The name of the activation after the last layer.
        initializer: The name of the distribution of the initial weights. Biases start at 0.
        drop_probability: The probability of dropping a hidden activation in training, in [0, 1).
        key: A JAX random key for the initialisation.

    Attributes:
        start: The dense layer, or the convolution of 3 x 3 places.
        layers: The transposed convolutions.
        residual: The residual blocks before each of them.
        hidden: Activation and dropout between layers.
        start_shape: The smallest image as (h, w, c).
        on_map: As given.
        blocks: How many events the outputs hold.
        output_activation: As given.

    Raises:
        ConfigError: A name is in no table, a probability or a width is out of range, the shape is no image, or the
            outputs do not divide evenly.

    Examples:
        >>> network = ConvDecoder(2, (16, 8), (13, 7, 3), 13 * 7 * 3, key=jax.random.key(0))
        >>> network(jnp.zeros(2)).shape
        (273,)
    """

    start: Linear | SameConvolution
    layers: tuple[TransposedConvolution, ...]
    residual: tuple[tuple[ConvBlock, ...], ...]
    hidden: HiddenActivation
    start_shape: tuple[int, int, int] = eqx.field(static=True)
    on_map: bool = eqx.field(static=True)
    blocks: int = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        widths: Sequence[int],
        shape: Sequence[int],
        num_outputs: int,
        *,
        blocks: int | None = None,
        kernel_size: int = 3,
        num_blocks: int = 0,
        on_map: bool = False,
        activation: str = "relu",
        output_activation: str = "identity",
        initializer: str = "he-normal",
        drop_probability: float = 0.0,
        key: Key,
    ) -> None:
        check_options(activation, output_activation, initializer, drop_probability)
        check_widths(tuple(widths), num_outputs)
        height, width, channels = _image(shape, kernel_size)
        last, self.blocks = channels_of(num_outputs, height * width * channels, height * width, blocks)
        sizes = [(height, width)]
        for _ in widths:
            sizes.append((half(sizes[-1][0]), half(sizes[-1][1])))
        sizes.reverse()
        first, *keys = jax.random.split(key, len(widths) + 1)
        self.start_shape = (*sizes[0], int(widths[0]))
        self.on_map = on_map
        if on_map:
            n_in, n_out = _at_each(latent_dim, math.prod(sizes[0])), int(widths[0])
            weight = first_weights(initializer, (n_out, 3, 3, n_in), 9 * n_in, 9 * n_out, key=first)
            self.start = SameConvolution(weight, jnp.zeros(n_out, jnp.float32))
        else:
            cells = math.prod(self.start_shape)
            self.start = make_linear(latent_dim, cells, initializer, key=first)
        layers, residual, taps = [], [], kernel_size**2
        for layer_key, n_in, n_out, size in zip(keys, widths, (*widths[1:], last), sizes[1:]):
            weight = first_weights(
                initializer, (n_in, kernel_size, kernel_size, n_out), taps * n_in / 4, taps * n_out, key=layer_key
            )
            bias = jnp.zeros((*(size if len(layers) == len(widths) - 1 else (1, 1)), n_out), jnp.float32)
            layers.append(TransposedConvolution(weight, bias, size))
            of_blocks = (num_blocks * len(widths), activation, initializer)
            residual.append(_blocks(n_in, num_blocks, *of_blocks, key=layer_key))
        self.layers, self.residual = tuple(layers), tuple(residual)
        self.hidden = HiddenActivation(activation, drop_probability)
        self.output_activation = output_activation

    def __call__(self, z: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one latent."""
        z = z.astype(self.start.weight.dtype)
        flat = self.start(z.reshape(*self.start_shape[:2], -1) if self.on_map else z.reshape(-1))
        image = flat.reshape(self.start_shape)
        for index, (layer, blocks) in enumerate(zip(self.layers, self.residual)):
            for block in blocks:
                image = block(image)
            image = layer(self.hidden(image, key=key, index=index))
        return ACTIVATIONS[self.output_activation](to_outputs(image, self.blocks))

    def with_output_weights_times(self, factor: float) -> "ConvDecoder":
        """The same network with the weights of its last layer multiplied by a factor."""
        return eqx.tree_at(lambda n: n.layers[-1].weight, self, factor * self.layers[-1].weight)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "ConvDecoder":
        """The same network with another bias in its last layer, one entry for each output."""
        last = from_outputs(jnp.asarray(bias, jnp.float32), self.layers[-1].size, self.blocks)
        return eqx.tree_at(lambda n: n.layers[-1].bias, self, last)


def _image(shape: Sequence[int], kernel_size: int) -> tuple[int, int, int]:
    """Height, width and channels of an image of this shape; ConfigError where it is none."""
    if len(shape) not in (2, 3) or any(int(n) < 1 for n in shape):
        raise ConfigError(
            f"convolutions need images (height, width) or (height, width, channels), not rows of shape {tuple(shape)}.",
            where="network",
            fix="Use --set network=dense.",
        )
    if kernel_size not in (3, 4):
        raise ConfigError(
            f"kernel_size must be 3 or 4, not {kernel_size}.", where="network.kernel_size", fix="Use 3 or 4."
        )
    height, width, *channels = (int(n) for n in shape)
    return height, width, channels[0] if channels else 1


def _at_each(numbers: int, places: int, extra: int = 0) -> int:
    """How many of these numbers lie at each place of a map."""
    if numbers % places or extra:
        what = "conditions have no place on a map." if extra else f"{numbers} numbers do not lie on {places} places."
        raise ConfigError(what, where="network.map", fix="Use --set network.map=false, or a multiple of the places.")
    return numbers // places
