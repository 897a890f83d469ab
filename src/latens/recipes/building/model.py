"""From a configuration to a model: networks, heads, posterior and prior put together. Sees no data."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
from msgspec.structs import replace

from latens.config import NetworkConfig, VAEConfig
from latens.data import Schema
from latens.errors import ConfigError
from latens.models import (
    ClassPrior,
    CodeHead,
    Conditional,
    Downwards,
    FromLowest,
    LatentModel,
    Upwards,
    constant_at_first,
    widths_between,
)
from latens.networks import Dense, SpectrallyNormalised, can_normalise, decoder_network, encoder_network
from latens.recipes.building.pictures import map_of
from latens.recipes.parts.conditions import conditions
from latens.recipes.parts.likelihoods import encoder_input, likelihood_head, missingness
from latens.recipes.parts.options import read_options
from latens.recipes.parts.posteriors import POSTERIORS, posterior_head, posterior_of
from latens.recipes.parts.priors import prior_part
from latens.typing import Key


def build(schema: Schema, config: VAEConfig, *, key: Key) -> LatentModel:
    """The model that a resolved configuration describes, with its initialisation."""
    network, posterior = config.network, config.posterior
    if (
        network.kind == "auto"
        or network.hidden is None
        or posterior.latent_dim is None
        or config.likelihood.family == "auto"
    ):
        what = "the configuration leaves the likelihood, the networks or the latent size open."
        raise ConfigError(what, where=config.recipe, fix="Build it from data, with latens.prepare.")
    if config.prior.kind == "auto":  # a file of before priors were written down
        config = replace(config, prior=replace(config.prior, kind=posterior_of(posterior).prior))
    reads, extra = conditions(schema, config)
    row = posterior_of(posterior)
    latent, latent_size = row.latent(posterior), row.size(posterior)
    encoder_key, decoder_key = jax.random.split(key)
    posterior_key, prior_key, likelihood_key = (jax.random.fold_in(key, number) for number in (1, 2, 3))
    if row.by_part is not None:
        several = row.by_part(build, schema, config, key=encoder_key)
        prior = prior_part(schema, config, latent, classes=extra, key=prior_key)
        return LatentModel(prior, *several)
    if row.whole is not None:
        given = likelihood_head(schema, config.likelihood, key=likelihood_key), encoder_input(schema, config.likelihood)
        return row.whole(schema, config, *given, network_options(network), key=key)
    head = posterior_head(posterior, latent, key=posterior_key)
    likelihood = likelihood_head(schema, config.likelihood, key=likelihood_key)
    back = network.hidden[::-1] if network.decoder_hidden is None else network.decoder_hidden
    entry = encoder_input(schema, config.likelihood)
    convolutions: dict[str, Any] = {}
    if network.kind == "conv":
        convolutions = {"kernel_size": network.kernel_size, "num_blocks": network.blocks}
    if network.map:
        height, width = map_of(config, schema)
        each = height * width * row.group_size(posterior)
        if latent_size % each:
            what = f"{latent_size} latent units are no whole number of codes at each of {height} x {width} places."
            raise ConfigError(what, where="posterior.latent_dim", fix=f"Use {each}, or --set network.map=false.")
        convolutions["on_map"] = True
    if not convolutions and (network.kernel_size, network.blocks) != (3, 0):
        what = f"kernel_size and blocks are of convolutional networks, and these are {network.kind}."
        raise ConfigError(what, where="network.kind", fix="Use --set network=conv, or leave them out.")
    up = encoder_network(
        network.kind,
        getattr(entry, "shape", schema.shape),
        network.hidden,
        head.num_outputs,
        output_activation=network.encoder_output_activation,
        key=encoder_key,
        extra=extra,
        **network_options(network),
        **convolutions,
    )
    down = decoder_network(
        network.kind,
        latent_size + extra,
        back,
        schema.shape,
        likelihood.num_outputs,
        blocks=likelihood.num_outputs // math.prod(schema.shape),
        output_activation=network.decoder_output_activation,
        key=decoder_key,
        **network_options(network),
        **convolutions,
    )
    if network.spectral_norm:
        if not can_normalise(down):
            what = f"spectral normalisation is of dense layers, and a {network.kind} network has others."
            raise ConfigError(what, where="network.spectral_norm", fix="Use --set network=dense or residual.")
        down = SpectrallyNormalised(down)
    encoder = Conditional(up, head, entry, reads)
    decoder = Conditional(down, likelihood, row.decoder_input(posterior), reads)
    if posterior.levels:
        missingness(schema, config)  # refused with levels
        return _hierarchy(schema, config, encoder, decoder, key=prior_key)
    if row.hierarchy is not None:
        what = f"a {posterior.kind} posterior needs two latent levels or more, and posterior.levels is empty."
        raise ConfigError(what, where="posterior.levels", fix="Add --set posterior.levels=16.")
    of = head if isinstance(head, CodeHead) else latent
    prior = prior_part(schema, config, of, classes=extra, key=prior_key)
    return LatentModel(prior, row.wrapped(encoder, posterior, key=posterior_key), decoder, missingness(schema, config))


def _hierarchy(
    schema: Schema, config: VAEConfig, encoder: Conditional, decoder: Conditional, *, key: Key
) -> LatentModel:
    """Further levels above the first, of the same kind: each with a network of its own up and down."""
    posterior = config.posterior
    if not posterior_of(posterior).stacks:
        kinds = ", ".join(name for name, row in POSTERIORS.items() if row.stacks)
        raise ConfigError(
            f"{posterior.kind} latents have one level only.",
            where="posterior.levels",
            fix=f"Leave out the levels, or use one of {kinds}.",
        )
    if (whole := posterior_of(posterior).hierarchy) is not None:
        return _of_its_own(whole, schema, config, encoder, decoder, key=key)
    # Above a point (an autoencoder with a second VAE on its codes) stand Normals.
    above_it = replace(posterior, kind="normal") if posterior_of(posterior).is_point else posterior
    network = config.network
    sizes = [(size,) for size in (posterior.latent_dim or 1, *posterior.levels)]
    up, down = [encoder], []
    for level, (below, above) in enumerate(itertools.pairwise(sizes)):
        for parts, start, end, number in ((up, below, above, 2 * level), (down, above, below, 2 * level + 1)):
            part_key = jax.random.fold_in(key, number)
            head = posterior_head(above_it, end, key=part_key)
            widths = widths_between(start, network.level_hidden, head.num_outputs)
            part = Conditional(Dense(widths, key=part_key, **network_options(network)), head)
            # Random weights put narrow Normals where no posterior is: hundreds of nats, and log-scales that overflow.
            parts.append(part if parts is up else constant_at_first(part))
    top = prior_part(schema, config, sizes[-1], key=key)
    assert not isinstance(top, ClassPrior)  # no classes were given
    return LatentModel(Downwards(top, tuple(reversed(down))), Upwards(tuple(up)), FromLowest(decoder))


def _of_its_own(
    whole: Callable[..., LatentModel],
    schema: Schema,
    config: VAEConfig,
    encoder: Conditional,
    decoder: Conditional,
    *,
    key: Key,
) -> LatentModel:
    posterior, network = config.posterior, config.network
    top = prior_part(schema, config, (posterior.levels[-1],), key=key)
    options = read_options(posterior_of(posterior).options, posterior.options, "posterior")
    normal = posterior_head(replace(posterior, kind="normal", options={}), (1,), key=key)
    shared = {"level_hidden": network.level_hidden, "network": network_options(network), "normal": normal}
    return whole(posterior, options, encoder, decoder, top, **shared, key=key)


def network_options(config: NetworkConfig) -> dict[str, Any]:
    """What networks of every kind take."""
    return {
        "activation": config.activation,
        "initializer": config.initializer,
        "drop_probability": config.drop_probability,
        "weight_drop_probability": config.weight_drop_probability,
    }
