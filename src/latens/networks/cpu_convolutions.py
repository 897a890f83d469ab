"""Convolutions of many images at once on a CPU, in the one layout for which XLA has a fast program there.

XLA's programs for a CPU convolve quickly where the images are (n, h, w, c), the kernel is (k, k, c, o), and nothing is
dilated or turned around; in any other layout they take some 50 times as long, and so do the derivatives that JAX makes.
So the convolution of stride 2, its adjoint and the convolution of stride 1 are bilinear operations of their own, each
of which has another of them as its derivative by the images, and products with patches as that by the weights. Under
`vmap` the rows become the n images. For few channels patches are quicker.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from latens.typing import Array

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
