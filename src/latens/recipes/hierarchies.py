"""Hierarchies from a configuration: ladders, and levels of pictures at every size with their first weights."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens import models as m
from latens.config import VAEConfig
from latens.data import Schema
from latens.errors import ConfigError
from latens.models import AbstractHead, Conditional
from latens.networks.convolutional import Convolution, TransposedConvolution
from latens.networks.dense import channels_of, first_weights, make_linear
from latens.networks.pyramid import Bottleneck, Features, ToPixels, sizes_of, steps_between
from latens.recipes.part_tables import refuse_others
from latens.typing import Array, Key

KERNEL = 4
"""The size of the kernels between the picture and the largest size of the pyramid."""


def top_down_model(
    schema: Schema, config: VAEConfig, head: AbstractHead, entry: Callable[..., Array] | None, options: dict[str, Any],
    *, key: Key,
) -> m.TopDownModel:  # fmt: skip
    """A deep hierarchy of Normals at every size of a picture."""
    # Sizes are the halvings by `network.hidden` and one point; each has `network.blocks` levels (one at least) of
    # `posterior.latent_dim` channels. Last layers of residual branches are smaller by the root of the number of levels,
    # and those that make Normals start at 0: every level starts at N(0, 1), and its posterior at its prior.
    shape = _picture(schema, config)
    network, latent = config.network, config.posterior.latent_dim or 1
    activation, initializer = options["activation"], options["initializer"]
    widths, count = network.hidden or (), max(1, network.blocks)
    sizes = sizes_of(shape, widths)
    scale = 1.0 / math.sqrt(count * len(sizes))
    plain = {"activation": activation, "initializer": initializer}
    numbers = itertools.count()

    def fresh() -> Key:
        return jax.random.fold_in(key, next(numbers))

    def branch(size: tuple[int, int, int]) -> Bottleneck:
        return Bottleneck.create(size, size[2], scale=scale, key=fresh(), **plain)

    def zero(made: Bottleneck, channels: int) -> Bottleneck:
        """The first outputs of a block, which are of Normals, made 0."""
        weight = made.last.weight.at[:, :channels].set(0.0)
        return eqx.tree_at(lambda block: block.last.weight, made, weight)

    shrink, grow = steps_between(sizes, initializer, key=fresh())
    blocks, meetings = [], []
    for place in reversed(range(len(sizes))):
        size = sizes[place]
        for number in range(count):
            made = Bottleneck.create(size, 2 * latent + size[2], scale=scale, key=fresh(), **plain)
            take = make_linear(latent, size[2], initializer, key=fresh())
            take = eqx.tree_at(lambda layer: layer.weight, take, scale * take.weight)
            first = number == 0 and place + 1 < len(sizes)
            blocks.append(m.Block(zero(made, 2 * latent), take, grow[place] if first else None, latent))
            meeting = Bottleneck.create(size, 2 * latent, more=size[2], scale=0.0, key=fresh(), **plain)
            meetings.append(m.Meet(meeting, place))
    height, width, channels = *shape[:2], shape[2] if len(shape) == 3 else 1
    taps, (_, _, c) = KERNEL**2, sizes[0]
    up = first_weights(initializer, (c, KERNEL, KERNEL, channels), taps * channels, taps * c / 4, key=fresh())
    ups = tuple(tuple(branch(size) for _ in range(count)) for size in sizes)
    features = Features(Convolution(up, jnp.zeros(c, jnp.float32)), shrink, ups, (height, width, channels))
    cells = height * width * channels
    of_head = head.num_outputs // math.prod(schema.shape)
    outputs, events = channels_of(head.num_outputs, cells, height * width, of_head)
    down = first_weights(initializer, (c, KERNEL, KERNEL, outputs), taps * c / 4, taps * outputs, key=fresh())
    layer = TransposedConvolution(down, jnp.zeros((height, width, outputs), jnp.float32), (height, width))
    part = Conditional(ToPixels(layer, activation, events), head)
    start = jnp.zeros((1, 1, sizes[-1][2]), jnp.float32)
    decoder = m.TopDownDecoder(start=start, blocks=tuple(blocks), finish=branch(sizes[0]), part=part)
    return m.TopDownModel(m.TopDownPrior(), m.TopDownEncoder(features, tuple(meetings), entry), decoder)


def _picture(schema: Schema, config: VAEConfig) -> tuple[int, ...]:
    """The shape of the pictures; ConfigError for other rows, and for options without effect here."""
    shape = schema.image
    if shape is None or min(shape[:2]) < 2:
        raise ConfigError(
            f"a top-down posterior is of pictures, and rows of shape {tuple(schema.shape)} are none.",
            where="posterior.kind",
            fix="Use --recipe ladder-vae or default for such rows, or give rows of shape (height, width) or "
            "(height, width, 3).",
        )
    fixes = {
        "network.kind": "Its networks are convolutions: use --set network=conv.",
        "network.decoder_hidden": "The way down mirrors network.hidden.",
        "network.drop_probability": "Leave it out.",
        "posterior.levels": "Levels are network.blocks at each size: leave it out.",
    }
    refuse_others(config, "a top-down posterior", fixes, kind="conv")
    return shape
