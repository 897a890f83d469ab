"""From a configuration to a model: networks, heads, posterior and prior put together. Sees no data."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latens.config import LikelihoodConfig, NetworkConfig, PosteriorConfig, VAEConfig
from latens.data import Schema
from latens.distributions import StandardNormal
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    Conditional,
    ContinuousBernoulliHead,
    DeterministicHead,
    Downwards,
    FromLowest,
    LatentModel,
    MixturePrior,
    NormalHead,
    SharedScaleNormalHead,
    Standardise,
    Upwards,
    VampPrior,
    flow_head,
    widths_between,
)
from latens.models.likelihood_heads import (
    BetaHead,
    DiscretisedLogisticHead,
    LaplaceHead,
    LogisticHead,
    NegativeBinomialHead,
    PoissonHead,
    StudentTHead,
    ZeroInflatedHead,
)
from latens.networks import Dense, decoder_network, encoder_network
from latens.recipes.parts import checked, lookup
from latens.shapes import AnyArray, Key
from latens.trees import Frozen

WHOLE = ("poisson", "negative-binomial", "zero-inflated-negative-binomial", "discretised-logistic")
"""Likelihoods of whole numbers as they are stored."""

HEAVY: dict[str, Callable[..., AbstractHead]] = {
    "laplace": LaplaceHead,
    "logistic": LogisticHead,
    "student-t": lambda shape, **options: StudentTHead(shape=shape, raw_df=jnp.zeros(()), **options),
}
"""Likelihoods of real numbers with heavier tails than a Normal's."""


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
    encoder, decoder = Conditional(up, head, _input(schema, config.likelihood)), Conditional(down, likelihood)
    if posterior.levels:
        return _hierarchy(config, encoder, decoder, latent, key=prior_key)
    return LatentModel(prior_part(schema, config, latent, key=prior_key), encoder, decoder)


def posterior_head(config: PosteriorConfig, latent: tuple[int, ...], *, key: Key) -> AbstractHead:
    """The encoder's head."""
    normal = NormalHead(latent, config.scale, config.scale_floor)
    match config.kind:
        case "normal":
            return normal
        case "deterministic":
            return DeterministicHead(latent)
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
    network, sizes = config.network, [latent, *((size,) for size in config.posterior.levels)]
    up, down = [encoder], []
    for level, (below, above) in enumerate(itertools.pairwise(sizes)):
        for parts, start, end, number in ((up, below, above, 2 * level), (down, above, below, 2 * level + 1)):
            head = NormalHead(end, config.posterior.scale, config.posterior.scale_floor)
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


def _input(schema: Schema, likelihood: LikelihoodConfig) -> Standardise | None:
    if likelihood.family in WHOLE:
        if schema.kind == "counts":
            return Standardise(*_scaling(schema), log1p=True)
        return Standardise(jnp.zeros(schema.shape), jnp.full(schema.shape, max((schema.levels or 2) - 1.0, 1.0)))
    if schema.standardised:
        return Standardise(*_scaling(schema))
    if likelihood.family == "categorical":
        top = 1.0 if schema.levels is None else schema.levels - 1.0
        return Standardise(jnp.zeros(schema.shape), jnp.full(schema.shape, top))
    return None


def _scaling(schema: Schema) -> tuple[AnyArray, AnyArray]:
    if schema.columns is None:
        # jax's, not NumPy's: under eval_shape they take no memory, whatever shape a stranger's file claims.
        return jnp.full(schema.shape, schema.shift, jnp.float32), jnp.full(schema.shape, schema.scale, jnp.float32)
    return np.array([c.shift for c in schema.columns]), np.array([c.scale for c in schema.columns])


def likelihood_head(schema: Schema, config: LikelihoodConfig) -> AbstractHead:
    """The decoder's head; real columns are modelled standardised and given in their own units.

    Of counts both are of log(1 + x), which is what the model sees.
    """
    shape = schema.shape
    match config.family:
        case "bernoulli":
            return BernoulliHead(shape, config.probability_floor)
        case "continuous-bernoulli":
            return ContinuousBernoulliHead(shape)
        case "categorical":
            return CategoricalHead(shape, schema.levels or 2)
        case "beta":
            return BetaHead(shape)
        case "poisson":
            return PoissonHead(shape)
        case "negative-binomial":
            return NegativeBinomialHead(shape, jnp.zeros(shape))
        case "zero-inflated-negative-binomial":
            counts = NegativeBinomialHead(shape, jnp.zeros(shape))
            return ZeroInflatedHead(head=counts)  # pyright: ignore[reportCallIssue]
        case "discretised-logistic":
            return DiscretisedLogisticHead(shape=shape, levels=schema.levels or 256, scale="softplus")
    head: AbstractHead
    if config.family != "normal":
        head = HEAVY[config.family](shape, scale="softplus", scale_floor=config.scale_floor)
        return AffineHead(head, *_scaling(schema)) if schema.standardised else head
    start = 0.0 if schema.standardised else -1.0
    match config.scale:
        case "fixed":
            head = SharedScaleNormalHead(shape, Frozen(jnp.asarray(math.log(config.fixed_scale), jnp.float32)))
        case "shared":
            head = SharedScaleNormalHead(shape, jnp.asarray(start, jnp.float32), config.scale_floor)
        case "feature":
            head = SharedScaleNormalHead(shape, jnp.full(shape, start, jnp.float32), config.scale_floor)
        case "network":
            head = NormalHead(shape, "softplus", config.scale_floor)
    return AffineHead(head, *_scaling(schema)) if schema.standardised else head
