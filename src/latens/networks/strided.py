"""Convolutions for one image, of stride 2 with its adjoint and of stride 1, by patches or by XLA's convolution.

An image (h, w, c) becomes (ceil(h/2), ceil(w/2), o): pixel (i, j) of the result sees the pixels from (2i - 1, 2j - 1)
on, as far as the kernel of 3 or 4 goes, with zeros outside. For even sizes that is padding 1 of other libraries.

On a CPU, XLA's gradient of a convolution inside a loop is some 20 times slower than the products it stands for. Patches
by plain slices cost little, and under `vmap` their weight gradient is one large product. Elsewhere XLA's is faster.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from latens.typing import Array, Float

Method = Literal["patches", "conv"]


def half(size: int) -> int:
    """Half a size, rounded up.

    Args:
        size: A height or width in pixels.

    Returns:
        ceil(size / 2).
    """
    return -(-size // 2)


def best_method() -> Method:
    """The faster way to convolve on JAX's default device, asked while tracing.

    Returns:
        `patches` on a CPU, `conv` elsewhere.
    """
    return "patches" if jax.default_backend() == "cpu" else "conv"


def unfold(image: Float[Array, "h w c"], kernel_size: int) -> Float[Array, "m p n"]:
    """The patch of the image under every pixel of the result.

    Args:
        image: Shape (h, w, c).
        kernel_size: The size k of the kernel, 3 or 4.

    Returns:
        Shape (ceil(h/2), ceil(w/2), k k c), each patch in the order (row, column, channel).
    """
    height, width, channels = image.shape
    m, p = half(height), half(width)
    padding = ((1, 2 * m + 1 - height, 0), (1, 2 * p + 1 - width, 0), (0, 0, 0))
    padded = jax.lax.pad(image, jnp.zeros((), image.dtype), padding)
    # Two neighbouring columns are one run of memory: first patches one row high, then k such rows.
    pairs = padded.reshape(2 * m + 2, p + 1, 2 * channels)
    rows = jnp.concatenate([pairs[:, :p], pairs[:, 1:, : (kernel_size - 2) * channels]], axis=-1)
    phases = rows.reshape(m + 1, 2, p, kernel_size * channels)
    return jnp.concatenate([phases[i // 2 : i // 2 + m, i % 2] for i in range(kernel_size)], axis=-1)


def fold(patches: Float[Array, "m p n"], kernel_size: int, height: int, width: int) -> Float[Array, "h w c"]:
    """The adjoint of `unfold`: every patch is added where it was taken from.

    Args:
        patches: Shape (ceil(h/2), ceil(w/2), k k c).
        kernel_size: The size k of the kernel, 3 or 4.
        height: The height h of the image in pixels.
        width: The width w of the image in pixels.

    Returns:
        An image of shape (h, w, c).
    """
    channels = patches.shape[-1] // kernel_size**2
    image = jax.ShapeDtypeStruct((height, width, channels), patches.dtype)
    return jax.linear_transpose(lambda x: unfold(x, kernel_size), image)(patches)[0]


def convolve(
    image: Float[Array, "h w c"], weight: Float[Array, "o k k c"], method: Method | None = None
) -> Float[Array, "m p o"]:
    r"""Convolve one image with stride 2, with zeros outside the image.

    $y_{ijo} = \sum_{abc} x_{2i-1+a,\,2j-1+b,\,c}\, w_{oabc}$.

    Args:
        image: Shape (h, w, c).
        weight: The kernel, of shape (o, k, k, c).
        method: `patches` or `conv`; None: the faster one on this device.

    Returns:
        Shape (ceil(h/2), ceil(w/2), o).
    """
    channels, kernel_size = weight.shape[:2]
    if (method or best_method()) == "patches":
        patches = unfold(image, kernel_size)
        # The weight's gradient is then outputs' x patches, up to 4 times as fast on a CPU as patches' x outputs.
        flat = patches.reshape(-1, patches.shape[-1]) @ weight.reshape(channels, -1).T
        return flat.reshape(*patches.shape[:2], channels)
    padding = [(1, 2 * half(n) + kernel_size - 3 - n) for n in image.shape[:2]]
    axes = ("NHWC", "OHWI", "NHWC")
    return jax.lax.conv_general_dilated(image[None], weight, (2, 2), padding, dimension_numbers=axes)[0]


def convolve_transposed(
    image: Float[Array, "m p o"],
    weight: Float[Array, "o k k c"],
    height: int,
    width: int,
    method: Method | None = None,
) -> Float[Array, "h w c"]:
    """The adjoint of `convolve` with the same weight.

    Args:
        image: Shape (ceil(h/2), ceil(w/2), o).
        weight: The kernel, of shape (o, k, k, c).
        height: The height h of the result in pixels.
        width: The width w of the result in pixels.
        method: `patches` or `conv`; None: the faster one on this device.

    Returns:
        Shape (h, w, c).
    """
    channels, kernel_size = weight.shape[:2]
    if (method or best_method()) == "patches":
        flat = image.reshape(-1, channels) @ weight.reshape(channels, -1)
        return fold(flat.reshape(*image.shape[:2], -1), kernel_size, height, width)
    # A convolution of the image with zeros between its cells, the kernel turned around.
    turned, axes = jnp.flip(weight, (1, 2)), ("NHWC", "IHWO", "NHWC")
    padding = [(kernel_size - 2, n - 2 * half(n) + 2) for n in (height, width)]
    return jax.lax.conv_general_dilated(
        image[None], turned, (1, 1), padding, lhs_dilation=(2, 2), dimension_numbers=axes
    )[0]


def convolve_same(
    image: Float[Array, "h w c"], weight: Float[Array, "o 3 3 c"], method: Method | None = None
) -> Float[Array, "h w o"]:
    r"""Convolve one image with stride 1 and a kernel of 3, with zeros outside the image.

    $y_{ijo} = \sum_{abc} x_{i-1+a,\,j-1+b,\,c}\, w_{oabc}$.

    Args:
        image: Shape (h, w, c).
        weight: The kernel, of shape (o, 3, 3, c).
        method: `patches` or `conv`; None: the faster one on this device.

    Returns:
        Shape (h, w, o).
    """
    if (method or best_method()) == "patches":
        height, width, channels = image.shape
        padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
        rows = jnp.concatenate([padded[:, j : j + width] for j in range(3)], axis=-1)
        patches = jnp.concatenate([rows[i : i + height] for i in range(3)], axis=-1)
        flat = patches.reshape(-1, 9 * channels) @ weight.reshape(weight.shape[0], -1).T
        return flat.reshape(height, width, -1)
    axes = ("NHWC", "OHWI", "NHWC")
    return jax.lax.conv_general_dilated(image[None], weight, (1, 1), "SAME", dimension_numbers=axes)[0]
