"""What a recipe is, and its model: networks, heads, posterior and prior put together without seeing data."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec import structs

from latens.config import Config, NetworkConfig, VAEConfig
from latens.data import Dataset, Preparation, Schema
from latens.data.schema import ScaledLater, unscaled
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    ClassPrior,
    CodeHead,
    Conditional,
    Downwards,
    FromLowest,
    LatentModel,
    NormalHead,
    Upwards,
    constant_at_first,
    widths_between,
)
from latens.models.heads.table import TableHead, TableInput, TokenHead
from latens.models.semi_supervised import LABEL
from latens.networks import Dense, LinearPath, decoder_network, encoder_network
from latens.networks.token_networks import TokenEncoder
from latens.recipes.custom_parts import Network, has_own, with_networks
from latens.recipes.parts import ConfiguredParts, bind, conditions, prior_part
from latens.recipes.pictures import map_of
from latens.recipes.posteriors import POSTERIORS
from latens.runtime import random_keys
from latens.runtime.programs import Reused, fingerprint, less_work
from latens.trainable import Frozen
from latens.training import Stage
from latens.typing import Key


class Size(NamedTuple):
    """How much there is to train on."""

    rows: int  # the number of training rows
    steps_per_epoch: int  # the number of steps of an epoch


@dataclass(frozen=True)
class Recipe:
    """A composition that the command, the estimators and model files know by name."""

    name: str
    summary: str  # what it is, in a few words
    source: str  # the paper that it follows
    use_when: str  # when to take it, from the user's point of view
    config: Config  # the configuration with its defaults
    resolve: Callable[[Any, Dataset], tuple[Any, list[str]]]  # decides what was left open ("auto", None), and says why
    preparation: Callable[[Schema, Any], Preparation]  # what the model sees of a row
    build: Callable[..., Any]  # makes the model from schema, configuration and key, without seeing data
    plan: Callable[[Schema, Any, Size], tuple[Stage, ...]]  # the stages of training
    # Looks up what a configuration names, once: from a configuration, and what `bind` gave for a former one, it gives
    # what the four functions take in the place of a configuration.
    bind: Callable[..., Any] = lambda config, known=None: config

    def model(self, schema: Schema, config: Any, *, key: Key) -> Any:
        """The untrained model: what `build` makes, with the networks that the configuration names."""
        made, config = self.build(schema, config, key=key), getattr(config, "config", config)
        if not isinstance(config, VAEConfig) or (config.network.encoder is None and config.network.decoder is None):
            return made
        seed = config.training.seed
        start = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), random_keys.INITIAL_NETWORKS)
        return with_networks(made, schema, config.network, key=start)


BUILDERS = Reused(16)
"""The programs that initialised the models last made in this process."""


def build_new(recipe: Recipe, schema: Schema, config: Any, *, key: Key) -> Any:
    """`recipe.model` as one program: the weights, drawn one by one, would be compiled one by one."""
    # Schemas that differ in their numbers alone, and configurations that differ in their seed, share it. The model does
    # not depend on JAX's settings.
    with jax.threefry_partitionable(True), jax.enable_x64(False):
        return _build_new(recipe, schema, config, key=key)


def _build_new(recipe: Recipe, schema: Schema, config: Any, *, key: Key) -> Any:
    parts = recipe.bind(config)
    config = getattr(parts, "config", parts)
    if has_own(config) or fingerprint(recipe.build) is None:
        return eqx.filter_jit(lambda key: recipe.model(schema, parts, key=key))(key)
    config = structs.replace(config, training=structs.replace(config.training, seed=0))
    shared = recipe.bind(config, parts)
    blank, numbers = unscaled(schema)

    def make() -> Any:
        build = lambda key, *numbers: recipe.model(ScaledLater.of(blank, numbers), shared, key=key)  # noqa: E731
        return cast(Any, eqx.filter_jit)(build, compiler_options=less_work(0))

    made = BUILDERS.get((recipe.build, blank, config), make)(key, *numbers)
    return jax.tree.map(lambda leaf: jax.device_put(leaf) if isinstance(leaf, np.ndarray) else leaf, made)


def build(schema: Schema, config: VAEConfig | ConfiguredParts, *, key: Key) -> LatentModel:
    """The model that a resolved configuration describes, with its initialisation."""
    parts = bind(config)
    config = parts.config
    network, posterior = config.network, config.posterior
    if (
        network.kind == "auto"
        or network.hidden is None
        or posterior.latent_dim is None
        or config.likelihood.family == "auto"
    ):
        what = "the configuration leaves the likelihood, the networks or the latent size open."
        raise ConfigError(what, where=config.recipe, fix="Build it from data, with latens.fitting.prepare.")
    reads, classes, width = conditions(schema, config)
    extra, usual = classes + width, Frozen(jnp.zeros(width)) if width else None
    row = parts.posterior
    latent = row.latent
    posterior_key, prior_key, likelihood_key = (jax.random.fold_in(key, number) for number in (1, 2, 3))
    if row.by_part is not None:
        several = row.by_part(build, schema, config, row.read, key=jax.random.split(key)[0])
        prior = prior_part(schema, parts, latent, classes=classes, key=prior_key)
        return LatentModel(prior, *several)
    if row.whole is not None:
        of = row.one(schema)
        given = parts.likelihood.made(of, key=likelihood_key), parts.likelihood.encoder_input(of)
        return row.whole(schema, config, *given, network_options(network), key=key)
    head = row.made(latent, key=posterior_key)
    likelihood = parts.likelihood.made(schema, key=likelihood_key)
    entry = parts.likelihood.encoder_input(schema)
    if network.map:  # the prior reads the label
        reads, extra = tuple(name for name in reads if name != LABEL), extra - classes
    up, down = _networks(schema, parts, head, likelihood, entry, extra, key=key)
    if network.linear:
        up, down = with_linear_paths(up, down, schema, parts, head, extra)
    encoder = Conditional(up, head, entry, reads, usual)
    decoder = Conditional(down, likelihood, row.sees(row.read), reads, usual)
    if posterior.levels:
        return _hierarchy(schema, parts, encoder, decoder, key=prior_key)
    of = head if isinstance(head, CodeHead) else latent
    prior = prior_part(schema, parts, of, classes=classes, key=prior_key)
    return LatentModel(prior, encoder, decoder)


def _networks(
    schema: Schema, parts: ConfiguredParts, head: AbstractHead, likelihood: AbstractHead, entry: object, extra: int,
    *, key: Key,
) -> tuple[Any, Any]:  # fmt: skip
    """The networks of encoder and decoder, without paths beside them."""
    # extra: how many numbers of labels and conditions both read.
    network, latent_size = parts.config.network, parts.posterior.size
    convolutions: dict[str, Any] = {}
    copies: dict[str, Any] = {}
    if network.kind == "conv":
        convolutions = {"kernel_size": network.kernel_size, "num_blocks": network.blocks}
    if network.map:
        height, width = map_of(parts, schema)
        each = height * width * parts.posterior.group_size
        if latent_size % each:
            what = f"{latent_size} latent units are not a whole number of codes at each of {height} x {width} places."
            raise ConfigError(what, where="posterior.latent_dim", fix=f"Use {each}, or --set network.map=false.")
        convolutions["on_map"], copies["copies"] = True, head.num_outputs // latent_size
    if not convolutions and (network.kernel_size, network.blocks) != (3, 0):
        what = f"kernel_size and blocks are of convolutional networks, and these are {network.kind}."
        raise ConfigError(what, where="network.kind", fix="Use --set network=conv, or leave them out.")
    if isinstance(likelihood, TokenHead):
        return token_networks(schema.num_values, network, head.num_outputs, likelihood, latent_size, extra, key)
    hidden, given = network.hidden or (), network_options(network) | convolutions
    codes, cells = head.num_outputs, likelihood.num_outputs
    encoder_key, decoder_key = jax.random.split(key)
    up = encoder_network(
        network.kind,
        getattr(entry, "shape", schema.shape),
        hidden,
        codes,
        output_activation=network.encoder_output_activation,
        key=encoder_key,
        extra=extra,
        **given,
        **copies,
    )
    down = decoder_network(
        network.kind,
        latent_size + extra,
        hidden[::-1] if network.decoder_hidden is None else network.decoder_hidden,
        schema.shape,
        cells,
        blocks=cells // math.prod(schema.shape),
        output_activation=network.decoder_output_activation,
        key=decoder_key,
        **given,
    )
    return up, down


def with_linear_paths(
    up: Network, down: Network, schema: Schema, parts: ConfiguredParts, head: AbstractHead, extra: int
) -> tuple[LinearPath, LinearPath]:
    """Encoder and decoder with maps of 0 beside their networks, which the closed form of the data fills."""
    # extra: how many numbers of labels and conditions both read.
    config, likelihood, depth = parts.config, parts.likelihood.made(schema), parts.likelihood.depth
    table = isinstance(likelihood, TableHead)
    located, network = (1, 0.0, 1.0) if depth or table else likelihood.located, config.network
    squashed = {network.encoder_output_activation, network.decoder_output_activation} != {"identity"}
    told = {
        f"a {config.likelihood.family} likelihood has no means of numbers": located is None,
        f"a {config.posterior.kind} posterior is not a Normal without correlations": type(head) is not NormalHead,
        "the last activation of a network squashes what it adds to": squashed,
        f"{network.kind} networks with this option cannot begin at 0": not all(
            hasattr(one, "with_output_weights_times") for one in (up, down)
        ),
    }
    if located is None or any(told.values()):
        why = next(why for why, holds in told.items() if holds)
        fix = "Remove --set network.linear=true."
        raise ConfigError(f"there is no linear path: {why}.", where="network.linear", fix=fix)
    cells, latents = math.prod(schema.shape), math.prod(head.shape)
    if depth or table:
        read = math.prod(TableInput(schema.column_types).shape) if table else cells + 1
        down = LinearPath(down, jnp.zeros((latents + extra, likelihood.num_outputs if table else cells)))
        return LinearPath(up, jnp.zeros((read + extra, latents))), down
    group = likelihood.group
    kept = jnp.zeros(cells), jnp.zeros((cells // group, group, group))
    # Correlated cells are told to a part of their deviation: what networks add is in the unit of what is left.
    scaled = group == cells > 1
    units = (jnp.ones(head.num_outputs), jnp.ones(likelihood.num_outputs)) if scaled else (None, None)
    down = LinearPath(down, jnp.zeros((latents + extra, cells)), located[0], *kept, units[1])
    return LinearPath(up, jnp.zeros((cells + extra, latents)), unit=units[0]), down


def token_networks(
    vocabulary: int,
    network: NetworkConfig,
    num_outputs: int,
    likelihood: AbstractHead,
    latent_size: int,
    extra: int,
    key: Key,
) -> tuple[TokenEncoder, Dense]:
    """What reads a row of tokens, and what a latent says to the network that writes one."""
    if network.kind != "recurrent":
        what = f"rows of tokens have no fixed length, which {network.kind} networks need."
        raise ConfigError(what, where="network.kind", fix="Use --set network=recurrent.")
    up_key, down_key = jax.random.split(key)
    options, hidden = network_options(network), network.hidden or (1,)
    up = TokenEncoder.create(vocabulary, hidden, num_outputs, extra=extra, key=up_key, **options)
    widths = [latent_size + extra, *(network.decoder_hidden or ()), likelihood.num_outputs]
    return up, Dense(widths, key=down_key, **options)


def _hierarchy(
    schema: Schema, parts: ConfiguredParts, encoder: Conditional, decoder: Conditional, *, key: Key
) -> LatentModel:
    """Further levels above the first, of the same kind: each with a network of its own up and down."""
    row, posterior, network = parts.posterior, parts.config.posterior, parts.config.network
    if not row.stacks:
        kinds = ", ".join(name for name, other in POSTERIORS.items() if other.stacks)
        raise ConfigError(
            f"{posterior.kind} latents have one level only.",
            where="posterior.levels",
            fix=f"Leave out the levels, or use one of {kinds}.",
        )
    top = prior_part(schema, parts, (posterior.levels[-1],), key=key)
    assert not isinstance(top, ClassPrior)  # no classes were given
    given = network_options(network)
    sizes = [(size,) for size in (posterior.latent_dim or 1, *posterior.levels)]
    up, down = [encoder], []
    for level, (below, above) in enumerate(itertools.pairwise(sizes)):
        for arrows, start, end, number in ((up, below, above, 2 * level), (down, above, below, 2 * level + 1)):
            part_key = jax.random.fold_in(key, number)
            head = row.made(end, key=part_key)
            widths = widths_between(start, network.level_hidden, head.num_outputs)
            part = Conditional(Dense(widths, key=part_key, **given), head)
            # Random weights put narrow Normals where no posterior is: hundreds of nats, and log-scales that overflow.
            arrows.append(part if arrows is up else constant_at_first(part))
    return LatentModel(Downwards(top, tuple(reversed(down))), Upwards(tuple(up)), FromLowest(decoder))


def network_options(config: NetworkConfig) -> dict[str, Any]:
    """What networks of every kind take."""
    return {
        "activation": config.activation,
        "initializer": config.initializer,
        "drop_probability": config.drop_probability,
    }
