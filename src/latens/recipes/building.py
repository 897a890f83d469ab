"""From a configuration to a model: networks, heads, posterior and prior put together. Sees no data."""

import itertools
import math
from typing import Any

import jax

from latens.config import NetworkConfig, PosteriorConfig, VAEConfig
from latens.data import Schema
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    Conditional,
    DeterministicHead,
    Downwards,
    FromLowest,
    LatentModel,
    MixturePrior,
    NormalHead,
    Upwards,
    VampPrior,
    flow_head,
    widths_between,
)
from latens.networks import Dense, decoder_network, encoder_network
from latens.recipes.likelihoods import encoder_input, likelihood_head
from latens.recipes.parts import checked, lookup
from latens.shapes import Key


def build(schema: Schema, config: VAEConfig, *, key: Key) -> LatentModel:
    """The model that a resolved configuration describes, with its first weights."""
    network, posterior = config.network, config.posterior
    if network.hidden is None or posterior.latent_dim is None or config.likelihood.family == "auto":
        raise ConfigError("the configuration is not resolved.", where=config.recipe, fix="Name a recipe.")
    latent = (posterior.latent_dim,)
    encoder_key, decoder_key = jax.random.split(key)
    posterior_key, prior_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)
    head = posterior_head(posterior, latent, key=posterior_key)
    likelihood = likelihood_head(schema, config.likelihood)
    back = network.hidden[::-1] if network.decoder_hidden is None else network.decoder_hidden
    up = encoder_network(
        network.kind,
        schema.shape,
        network.hidden,
        head.num_outputs,
        output_activation=network.encoder_output_activation,
        key=encoder_key,
        **_common(network),
    )
    down = decoder_network(
        network.kind,
        latent[0],
        back,
        schema.shape,
        likelihood.num_outputs,
        blocks=likelihood.num_outputs // math.prod(schema.shape),
        output_activation=network.decoder_output_activation,
        key=decoder_key,
        **_common(network),
    )
    encoder, decoder = Conditional(up, head, encoder_input(schema, config.likelihood)), Conditional(down, likelihood)
    if posterior.levels:
        return _hierarchy(config, encoder, decoder, latent, key=prior_key)
    return LatentModel(prior_part(schema, config, latent, key=prior_key), encoder, decoder)


def posterior_head(config: PosteriorConfig, latent: tuple[int, ...], *, key: Key) -> AbstractHead:
    """The encoder's head."""
    if config.kind == "deterministic":
        return DeterministicHead(latent)
    if config.scale == "auto":
        raise ConfigError("the configuration is not resolved.", where="posterior.scale", fix="Name a scale.")
    normal = NormalHead(latent, config.scale, config.scale_floor)
    match config.kind:
        case "normal":
            return normal
        case "flow":
            flow = config.flow
            sizes = {"layers": flow.layers, "width": flow.width, "context_size": flow.context_size}
            return flow_head(normal, flow.bijection, **sizes, key=key)


PRIORS: dict[str, Any] = {"standard-normal": StandardNormal, "mixture": MixturePrior, "vamp": VampPrior}
"""What `prior.kind` may be; its options are the fields of the class."""


def prior_part(schema: Schema, config: VAEConfig, latent: tuple[int, ...], *, key: Key) -> Any:
    """The prior: without arrays, or with arrays that are trained."""
    kind = lookup(PRIORS, config.prior.kind, "prior.kind")
    options = checked(kind, config.prior.options, "prior")
    return StandardNormal(latent) if kind is StandardNormal else kind.create(latent, schema.shape, **options, key=key)


def _hierarchy(
    config: VAEConfig, encoder: Conditional, decoder: Conditional, latent: tuple[int, ...], *, key: Key
) -> LatentModel:
    """Further levels above the first: each with a network of its own up and down."""
    if config.prior.kind != "standard-normal" or config.posterior.kind != "normal":
        raise ConfigError(
            "several levels take Normal posteriors and a standard Normal at the top.",
            where="posterior.levels",
            fix="Leave prior.kind and posterior.kind as they are, or leave out the levels.",
        )
    scale: Any = config.posterior.scale
    network, sizes = config.network, [latent, *((size,) for size in config.posterior.levels)]
    up, down = [encoder], []
    for level, (below, above) in enumerate(itertools.pairwise(sizes)):
        for parts, start, end, number in ((up, below, above, 2 * level), (down, above, below, 2 * level + 1)):
            head = NormalHead(end, scale, config.posterior.scale_floor)
            part_key = jax.random.fold_in(key, number)
            widths = widths_between(start, network.level_hidden, head.num_outputs)
            parts.append(Conditional(Dense(widths, key=part_key, **_common(network)), head))
    return LatentModel(
        Downwards(StandardNormal(sizes[-1]), tuple(reversed(down))), Upwards(tuple(up)), FromLowest(decoder)
    )


def _common(config: NetworkConfig) -> dict[str, Any]:
    return {
        "activation": config.activation,
        "initializer": config.initializer,
        "drop_probability": config.drop_probability,
        "weight_drop_probability": config.weight_drop_probability,
    }
