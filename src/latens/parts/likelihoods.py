"""The likelihoods by name: which data each takes, what of a stored row it is a density of, and its head."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp

from latens.config import LikelihoodConfig, VAEConfig
from latens.data import Preparation, Schema
from latens.data.scaling import scaling
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    AffineHead,
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    NormalHead,
    SelfMasking,
    SharedScaleNormalHead,
    Standardise,
)
from latens.models.heads.likelihoods import (
    BetaHead,
    DiscretisedLogisticHead,
    HyperbolicSecantHead,
    LaplaceHead,
    LogisticHead,
    NegativeBinomialHead,
    PoissonHead,
    StudentTHead,
    ZeroInflatedHead,
)
from latens.parts.options import lookup
from latens.trees import Frozen


@dataclass(frozen=True)
class Likelihood:
    """One row of the table of likelihoods.

    Args:
        make: Makes the head from the schema and the configuration of the likelihood.
        kinds: The kinds of data that it takes.
        sees: What the model sees of a stored row: "yes-no" (levels scaled to [0, 1], or binarised), "numbers" (levels
            dequantised to [0, 1], counts as log(1 + x)), "index" (integers) or "whole" (whole numbers as they are).
    """

    make: Callable[[Schema, LikelihoodConfig], AbstractHead]
    kinds: tuple[str, ...]
    sees: Literal["yes-no", "numbers", "index", "whole"] = "numbers"

    @property
    def discrete(self) -> bool:
        """Whether it gives probabilities of the stored values themselves (for "yes-no" only where they are 0 or 1)."""
        return self.sees != "numbers"


def _normal(schema: Schema, config: LikelihoodConfig) -> AbstractHead:
    shape, start = schema.shape, 0.0 if schema.standardised else -1.0
    match config.scale:
        case "fixed":
            return SharedScaleNormalHead(shape, Frozen(jnp.asarray(math.log(config.fixed_scale), jnp.float32)))
        case "shared":
            return SharedScaleNormalHead(shape, jnp.asarray(start, jnp.float32), config.scale_floor)
        case "feature":
            return SharedScaleNormalHead(shape, jnp.full(shape, start, jnp.float32), config.scale_floor)
        case "network":
            return NormalHead(shape, "softplus", config.scale_floor)


def _heavy(kind: Callable[..., AbstractHead], **given: Any) -> Callable[[Schema, LikelihoodConfig], AbstractHead]:
    return lambda schema, config: kind(shape=schema.shape, scale="softplus", scale_floor=config.scale_floor, **given)


def _counts(schema: Schema) -> NegativeBinomialHead:
    return NegativeBinomialHead(schema.shape, jnp.zeros(schema.shape))


def _levels(schema: Schema) -> int:
    return schema.levels or 2


_NUMBERS, _COUNTS = ("binary", "levels", "unit", "real", "counts"), ("levels", "counts")

LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Likelihood(
        lambda s, c: BernoulliHead(s.shape, c.probability_floor), ("binary", "levels", "unit"), "yes-no"
    ),
    "beta": Likelihood(lambda s, c: BetaHead(s.shape), ("unit",)),
    "categorical": Likelihood(lambda s, c: CategoricalHead(s.shape, _levels(s)), ("binary", "levels"), "index"),
    "continuous-bernoulli": Likelihood(lambda s, c: ContinuousBernoulliHead(s.shape), ("levels", "unit")),
    "discretised-logistic": Likelihood(
        lambda s, c: DiscretisedLogisticHead(shape=s.shape, levels=_levels(s), scale="softplus"), ("levels",), "whole"
    ),
    "hyperbolic-secant": Likelihood(_heavy(HyperbolicSecantHead), _NUMBERS),
    "laplace": Likelihood(_heavy(LaplaceHead), _NUMBERS),
    "logistic": Likelihood(_heavy(LogisticHead), _NUMBERS),
    "negative-binomial": Likelihood(lambda s, c: _counts(s), _COUNTS, "whole"),
    "normal": Likelihood(_normal, _NUMBERS),
    "poisson": Likelihood(lambda s, c: PoissonHead(s.shape), _COUNTS, "whole"),
    # Made when it is called for: an array here would start a device, and its threads, at import.
    "student-t": Likelihood(lambda s, c: _heavy(StudentTHead, raw_df=jnp.zeros(()))(s, c), _NUMBERS),
    "zero-inflated-negative-binomial": Likelihood(
        lambda s, c: ZeroInflatedHead(head=_counts(s)),  # pyright: ignore[reportCallIssue]
        _COUNTS,
        "whole",
    ),
}
"""What `likelihood.family` may be."""


def preparation(schema: Schema, config: VAEConfig) -> Preparation:
    """What the model sees of a stored row.

    Args:
        schema: The schema of the data.
        config: A resolved configuration.

    Returns:
        The preparation.

    Raises:
        ConfigError: The likelihood is unknown, or does not fit the data or their binarisation.
    """
    family, data = config.likelihood.family, config.data
    likelihood = lookup(LIKELIHOODS, family, "likelihood.family")
    if schema.kind not in likelihood.kinds:
        raise ConfigError(
            f"a {family} likelihood needs {' or '.join(likelihood.kinds)} data; these are {schema.kind}.",
            where="likelihood.family",
            fix="Use --set likelihood.family=normal, or scale the data to [0, 1].",
        )
    if data.binarize != "none" and likelihood.sees != "yes-no":
        raise ConfigError(
            f"binarised data need a bernoulli likelihood, not {family}.", where="data.binarize", fix="Use bernoulli."
        )
    match likelihood.sees:
        case "index":
            return Preparation(integer=True)
        case "whole":
            return Preparation()
    if schema.kind == "counts":
        return Preparation(log1p=True)
    if schema.kind != "levels":
        return Preparation(binarize=data.binarize, threshold=data.threshold)
    assert schema.levels is not None
    if likelihood.sees == "yes-no" or not data.dequantize:
        return Preparation(divide=schema.levels - 1.0, binarize=data.binarize, threshold=data.threshold)
    return Preparation(divide=float(schema.levels), dequantize=True)


def likelihood_head(schema: Schema, config: LikelihoodConfig) -> AbstractHead:
    """The decoder's head; real columns are modelled standardised and given in their own units.

    For count data standardisation and likelihood are both applied to log(1 + x), where that is what the model sees.

    Args:
        schema: The schema of the data.
        config: The resolved configuration of the likelihood.

    Returns:
        The head that makes a distribution over one row of the decoder's outputs.

    Raises:
        ConfigError: The likelihood is unknown.
    """
    likelihood = lookup(LIKELIHOODS, config.family, "likelihood.family")
    head = likelihood.make(schema, config)
    return AffineHead(head, *scaling(schema)) if schema.standardised and likelihood.sees == "numbers" else head


def missingness(schema: Schema, config: VAEConfig) -> SelfMasking | None:
    """Why values are missing, where that is part of the model.

    Args:
        schema: The schema of the data.
        config: A resolved configuration.

    Returns:
        The model of self-masking; None where values are missing at random.

    Raises:
        ConfigError: The model has no place for self-masking: another likelihood than a Normal, several levels or
            labels.
    """
    if config.likelihood.missing == "at-random":
        return None
    if config.likelihood.family != "normal" or config.posterior.levels or config.label.kind != "none":
        raise ConfigError(
            "self-masking (not-MIWAE) supports only a normal likelihood, one latent level and no labels.",
            where="likelihood.missing",
            fix="Use --recipe not-miwae, or --set likelihood.missing=at-random.",
        )
    zeros = jnp.zeros(schema.shape, jnp.float32)
    return SelfMasking(zeros, zeros, encoder_input(schema, config.likelihood))


def encoder_input(schema: Schema, config: LikelihoodConfig) -> Standardise | None:
    """What happens to a row before the encoder's network.

    Args:
        schema: The schema of the data.
        config: The resolved configuration of the likelihood.

    Returns:
        A standardisation, or None where the network sees the row as the likelihood does.

    Raises:
        ConfigError: The likelihood is unknown.
    """
    sees = lookup(LIKELIHOODS, config.family, "likelihood.family").sees
    if schema.standardised:
        return Standardise(*scaling(schema), log1p=sees == "whole")
    if sees in ("whole", "index"):
        return Standardise(jnp.zeros(schema.shape), jnp.full(schema.shape, max(_levels(schema) - 1.0, 1.0)))
    return None
