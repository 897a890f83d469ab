"""Convolutions for one image, of stride 2 with its adjoint and of stride 1.

An image (h, w, c) becomes (ceil(h/2), ceil(w/2), o): pixel (i, j) of the result sees the pixels from (2i - 1, 2j - 1)
on, as far as the kernel of 3 or 4 goes, with zeros outside. For even sizes that is padding 1 of other libraries.

On a CPU XLA is slow at most convolutions and at the derivatives of all: there those of `canonical` are taken.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from latens.networks.cpu_convolutions import AXES, DOWN, SAME, UP, half
from latens.typing import Array, Float

Method = Literal["canonical", "conv"]


def best_method() -> Method:
    """The faster way to convolve on JAX's default device, asked while tracing."""
    return "canonical" if jax.default_backend() == "cpu" else "conv"


def convolve(
    image: Float[Array, "h w c"], weight: Float[Array, "o k k c"], method: Method | None = None
) -> Float[Array, "m p o"]:
    r"""Convolve one image with stride 2, with zeros outside the image."""
    # $y_{ijo} = \sum_{abc} x_{2i-1+a,\,2j-1+b,\,c}\, w_{oabc}$.
    # method: `canonical` or `conv`; None: the faster one on this device.
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
    # method: `canonical` or `conv`; None: the faster one on this device.
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
    # method: `canonical` or `conv`; None: the faster one on this device.
    if (method or best_method()) == "canonical":
        return SAME.bind(image[None], weight)[0]
    kernel = jnp.transpose(weight, (1, 2, 3, 0))
    return jax.lax.conv_general_dilated(image[None], kernel, (1, 1), "SAME", dimension_numbers=AXES)[0]
