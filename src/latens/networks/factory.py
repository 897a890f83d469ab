"""Encoder and decoder networks by the name of their kind."""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from latens.errors import ConfigError, nearest
from latens.networks.convolutional import ConvDecoder, ConvEncoder
from latens.networks.dense import Dense
from latens.typing import Key

NetworkKind = Literal["dense", "conv"]
Network: TypeAlias = Dense | ConvEncoder | ConvDecoder
OPTIONS = ("activation", "output_activation", "initializer", "drop_probability")
"""What every kind takes by keyword; "conv" takes `kernel_size`, `num_blocks`, `on_map` and `copies` besides."""


def encoder_network(
    kind: str,
    shape: Sequence[int],
    hidden: Sequence[int],
    num_outputs: int,
    *,
    key: Key,
    extra: int = 0,
    **options: Any,
) -> Network:
    """Build a network from one event, and further numbers appended to it, to a given number of outputs.

    Args:
        kind: A `NetworkKind`. A flat row of n n pixels is an image for "conv".
        shape: The shape of one event.
        hidden: Widths in order: of layers ("dense"), or of channels with a halving of the image for each ("conv").
        num_outputs: How many outputs the network has.
        key: A JAX random key for the initialisation.
        extra: How many numbers (conditions) are appended to the event.
        options: Keyword arguments of `Dense`, and `kernel_size` (3 or 4) of "conv".

    Returns:
        A network of that kind.

    Raises:
        ConfigError: The kind does not exist, or does not fit the shape.

    Examples:
        >>> import jax
        >>> encoder_network("conv", (784,), (8, 16), 4, key=jax.random.key(0)).shape
        (28, 28, 1)
    """
    _check(kind, options)
    if kind == "dense":
        return Dense([math.prod(shape) + extra, *hidden, num_outputs], **options, key=key)
    return ConvEncoder(as_image_shape(shape), hidden, num_outputs, extra=extra, **options, key=key)


def decoder_network(
    kind: str,
    latent_dim: int,
    hidden: Sequence[int],
    shape: Sequence[int],
    num_outputs: int,
    *,
    key: Key,
    blocks: int | None = None,
    **options: Any,
) -> Network:
    """Build a network from a latent to the parameters of one event.

    Args:
        kind: A `NetworkKind`.
        latent_dim: How many numbers come in: a latent, with any conditions appended.
        hidden: Widths from the latent on, usually the encoder's reversed.
        shape: The shape of one event.
        num_outputs: How many outputs the network has.
        key: A JAX random key for the initialisation.
        blocks: How many events the outputs hold one after another (2 for a Normal's means and scales, 1 for logits of
            levels), needed where `num_outputs` is not the number of features.
        options: As in `encoder_network`.

    Returns:
        A network of that kind.

    Raises:
        ConfigError: The kind does not exist, or does not fit the shape.
    """
    _check(kind, options)
    if kind == "dense":
        return Dense([latent_dim, *hidden, num_outputs], **options, key=key)
    return ConvDecoder(latent_dim, hidden, as_image_shape(shape), num_outputs, blocks=blocks, **options, key=key)


def default_hidden(kind: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Hidden widths for an event of a given shape where none are given.

    Args:
        kind: A `NetworkKind`, or "recurrent" of text.
        shape: The shape of one event.

    Returns:
        32 and 64 channels for "conv", 128 states for "recurrent", else two layers by size, of which that beside the
        cells has at most 2**24 weights (and 64 units at least).
    """
    match kind:
        case "conv":
            return (32, 64)
        case "recurrent":
            return (128,)
    cells = math.prod(shape)
    width = 500 if cells >= 256 else 256 if cells >= 32 else 128
    width = min(width, max(64, 2**24 // cells))
    return (width, width)


def as_image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The image that a row of a given shape is."""
    # returns: the shape itself for two or three axes, a square for n n flat pixels.
    if len(shape) in (2, 3):
        return tuple(shape)
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side > 1 and side * side == shape[0]:
        return side, side
    raise ConfigError(
        f"a convolutional network needs images, and rows of shape {tuple(shape)} are none.",
        where="network",
        fix="Use --set network=dense, or give rows of shape (height, width) or (height, width, channels).",
    )


def _check(kind: str, options: dict[str, Any]) -> None:
    if kind not in get_args(NetworkKind):
        raise ConfigError(
            f"there is no network {str(kind)!r}.", where="network", fix=nearest(str(kind), get_args(NetworkKind))
        )
    known = (*OPTIONS, "kernel_size", "num_blocks", "on_map", "copies") if kind == "conv" else OPTIONS
    for name in options:
        if name not in known:
            raise ConfigError(f"a {kind} network has no option {name!r}.", where="network", fix=nearest(name, known))
