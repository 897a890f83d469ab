"""Models built as a whole from a configuration: state-space models, and levels of pictures at every size."""

import itertools
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from msgspec import Meta, structs

from latens import models as m
from latens.config import ConfigSection, VAEConfig, Width
from latens.data import Schema
from latens.errors import ConfigError
from latens.kinds.steps.world import REWARD, TERMINATED
from latens.models import AbstractHead, Conditional
from latens.models.heads.likelihoods import InUnits, SeparateBinaryColumns, StepColumnsHead
from latens.models.state_space import ExactSmoother, StepDecoder, StepEncoder
from latens.networks import Dense
from latens.networks.convolutional import Convolution, TransposedConvolution
from latens.networks.dense import channels_of, first_weights, make_linear
from latens.networks.pyramid import Bottleneck, Features, ToPixels, sizes_of, steps_between
from latens.networks.token_networks import GRU
from latens.recipes.part_tables import make, refuse_others
from latens.trainable import Frozen
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


SPOKEN = 0.1
"""What the first maps from a latent to a step are drawn with, where no closed form is known."""


class StepOptions(ConfigSection, frozen=True):
    """A latent for every step of a row."""

    # how many units remember the latents, what is given, and the earlier steps that are read; 0: there is no memory
    memory: Annotated[int, Meta(ge=0, le=4096)] = 0
    # which earlier steps memory and likelihood read, 1 being the last one; none: latents alone are remembered
    lags: Annotated[tuple[Annotated[int, Meta(ge=1, le=100000)], ...], Meta(max_length=64)] = ()
    # what the posterior of a step reads: all of the row from its end, the past alone, or exactly what is needed (of a
    # linear-Gaussian model)
    reads: Literal["all", "past", "exact"] = "all"
    units: Width = 64  # how many units read the row
    # whether networks add in the unit of the noise that the closed form leaves, all of which then stays as it is
    scaled: bool = False


def step_schema(schema: Schema) -> Schema:
    """The schema of one step of a row."""
    if len(schema.shape) < 2:
        raise ConfigError(
            f"a latent for every step needs rows of steps, not of shape {tuple(schema.shape)}.",
            where="posterior.kind",
            fix="Give a long table with --sequence ID (- for a single series), or an array (n, steps, columns).",
        )
    return structs.replace(schema, shape=schema.shape[1:])


def _refuse_steps(schema: Schema, config: VAEConfig, head: AbstractHead, read: StepOptions) -> None:
    """Refuse options that do not go with a latent for every step, or with an exact posterior of it."""
    fixes = {
        "network.decoder_hidden": "Its networks have network.hidden.",
        "network.blocks": "Leave it out.",
        "network.linear": "It begins at a linear model by itself.",
        "posterior.levels": "Every step has one latent: leave it out.",
    }
    refuse_others(config, "a latent for every step", fixes)
    if read.reads == "exact" and (
        config.network.hidden or read.memory or read.lags or type(_inside(head)) is not m.SharedScaleNormalHead
    ):
        what = "an exact posterior is of a linear model with Normal noise that does not depend on the latents."
        fix = "Use --recipe linear-gaussian as it is, or --set posterior.reads=all."
        raise ConfigError(what, where="posterior.reads", fix=fix)
    if read.lags and max(read.lags) >= schema.shape[0]:
        what = f"rows of {schema.shape[0]} steps have no step {max(read.lags)} before another."
        raise ConfigError(what, where="posterior.lags", fix="Use smaller lags, or a longer window.")


def state_space_model(
    schema: Schema, config: VAEConfig, head: AbstractHead, entry: Callable[..., Array] | None, options: dict[str, Any],
    *, key: Key,
) -> m.StateSpaceModel:  # fmt: skip
    """A state-space model whose networks begin at 0, beside linear maps that the closed form of the data fills."""
    read, network = make(StepOptions, config.posterior.options, "posterior"), config.network
    size, hidden, width = config.posterior.latent_dim or 1, network.hidden or (), head.num_outputs
    _refuse_steps(schema, config, head, read)
    given = sum(one.width for one in schema.inputs)
    keys = jax.random.split(key, 6)
    d = 1
    for side in head.shape:
        d *= side
    recalled = (d + 1) * len(read.lags)
    cell = None
    if read.memory:
        cell = GRU.create(size + given + recalled, read.memory, key=keys[0])
    heard = read.memory or size + given
    dense = lambda n_in, n_out, k: Dense([n_in, *hidden, n_out], key=k, **options).with_output_weights_times(0.0)  # noqa: E731
    # What a closed form fills stays as it is beside networks: a step of Adam moves every weight alike.
    begins = bool(hidden) and config.start.kind == "closed-form"
    scaled = begins and read.scaled and (filled(head) or filled_by_changes(head, size, given, read.lags))
    still: Any = Frozen if scaled or (begins and filled(head)) else lambda array: array
    kept: Any = Frozen if scaled else lambda array: array
    unit: Any = (lambda part, n: InUnits(part, Frozen(jnp.ones(n)))) if scaled else lambda part, n: part
    decoder = StepDecoder(
        cell=cell,
        first=kept(jnp.zeros((2, size))),
        drift=still(0.9 * jnp.eye(size)),
        push=still(jnp.zeros((given, size))),
        rest=kept(jnp.zeros((2, size))),
        change=unit(dense(heard, 2 * size, keys[1]), 2 * size) if hidden else None,
        write=still(SPOKEN * jax.random.normal(keys[2], (size, width))),
        lagged=still(jnp.zeros((recalled, width))),
        bias=kept(jnp.zeros(width)),
        say=unit(_said(head, size, dense, read.memory + size, width, keys[3]), width) if hidden else None,
        head=head,
        standardise=entry,
        lags=read.lags,
    )
    encoder: Any = ExactSmoother()
    if read.reads != "exact":
        reader = GRU.create(2 * d + given, read.units, key=keys[4])
        change = dense(read.units + read.memory + size, 2 * size, keys[5])
        precision = jnp.full((d, size), -4.0)
        logits = isinstance(head, m.BernoulliHead)
        gain = kept(jnp.zeros((d, size)))
        encoder = StepEncoder(reader, change, gain, precision, read.reads, logits, _blind(schema), scaled)
    return m.StateSpaceModel(m.StepPrior(schema.shape[0]), encoder, decoder)


def _said(head: AbstractHead, size: int, dense: Any, n_in: int, width: int, key: Key) -> Any:
    """The network before the head; columns of 0 and 1 have one of their own."""
    numbers, inner = dense(n_in, width, key), _inside(head)
    if not isinstance(inner, StepColumnsHead) or not inner.binary:
        return numbers
    coins = dense(2 * size, len(inner.binary), jax.random.fold_in(key, 1))
    return SeparateBinaryColumns(numbers, coins, tuple(sorted(inner.binary)), size)


def _blind(schema: Schema) -> tuple[int, ...]:
    """The columns that say of a recorded step what follows from the observation: they are foretold, and not read."""
    columns = schema.scaled if schema.world is not None else None
    return tuple(i for i, one in enumerate(columns or ()) if one.name in (REWARD, TERMINATED))


def filled(head: AbstractHead) -> bool:
    """Whether the first outputs of a head are the means of a step, so that a closed form can fill them."""
    inner = _inside(head)
    return inner.location_first and not isinstance(inner, StepColumnsHead | m.BernoulliHead)


def filled_by_changes(head: AbstractHead, latents: int, given: int, lags: tuple[int, ...]) -> bool:
    """Whether steps are numbers beside ends, with latents enough for the numbers, and begin at their changes."""
    inner = _inside(head)
    if not isinstance(head, m.AffineHead) or not isinstance(inner, StepColumnsHead) or lags or not given:
        return False
    return 0 < inner.shape[-1] - len(inner.binary) <= latents


def _inside(head: AbstractHead) -> AbstractHead:
    return head.head if isinstance(head, m.AffineHead) else head
