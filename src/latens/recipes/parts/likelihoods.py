"""The likelihoods by name: which data each takes, what of a stored row it is a density of, and its head."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax.numpy as jnp
from msgspec import Meta

from latens.config import LikelihoodConfig, Part, VAEConfig
from latens.data import Preparation, Schema
from latens.data.scaling import scaling
from latens.errors import ConfigError
from latens.models import (
    AbstractHead,
    AffineHead,
    AutoregressiveHead,
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    NormalHead,
    PixelHead,
    SelfMasking,
    SharedScaleNormalHead,
    SquashedHead,
    Standardise,
)
from latens.models.heads.base import DataKind, Sees
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
from latens.models.heads.table import TableHead, TableInput
from latens.recipes.parts.options import lookup, read_options
from latens.recipes.parts.posterior_row import NoOptions
from latens.trees import Frozen
from latens.typing import Key


@dataclass(frozen=True)
class Likelihood:
    """One row of the table of likelihoods."""

    # makes the head from the schema, the configuration of the likelihood and the options
    make: Callable[[Schema, LikelihoodConfig, Any], AbstractHead]
    kinds: tuple[DataKind, ...]  # the kinds of data that it takes
    sees: Sees = "numbers"  # what the model sees of a stored row, as `AbstractHead.sees` has it
    options: type[Part] = NoOptions  # the class of its options: their types, bounds and defaults
    what: str = ""  # the likelihood in a few words, where it is not latens's own
    head: type[AbstractHead] | None = None  # the class of the head, where every option is one of its fields; else None

    @property
    def discrete(self) -> bool:
        """Whether it gives probabilities of the stored values themselves (for "yes-no" only where they are 0 or 1)."""
        return self.sees != "numbers"


HIDE = 0.25
"""The share of the training rows of a mixed table of which cells are hidden.

On 32,561 rows of Adult it costs 0.05 nats of log p(x), where a half would cost 0.12; without it gaps are filled worse
(in a test a mean of 28.6 where 0 is true, 16.9 with a half).
"""


class ComponentsOptions(Part, frozen=True):
    """A mixture of logistics for each pixel."""

    components: Annotated[int, Meta(ge=1, le=100)] = 3  # the number of components


class ContextOptions(Part, frozen=True):
    """Pixels that depend on the pixels before them, row by row, within a window."""

    # how many features of each value of a pixel the decoder adds to its outputs, for the window's network
    features: Annotated[int, Meta(ge=1, le=64)] = 3
    # the side of the blocks of pixels, each of which sees the features of all pixels of its block
    block: Annotated[int, Meta(ge=1, le=8)] = 1
    width: Annotated[int, Meta(ge=1, le=512)] = 32  # hidden units of that network
    # how many hidden units of each of its four neighbours before it a pixel sees, at most all
    neighbour_units: Annotated[int, Meta(ge=0, le=512)] = 0
    rows: Annotated[int, Meta(ge=0, le=16)] = 3  # how many rows above a pixel it depends on
    sides: Annotated[int, Meta(ge=1, le=16)] = 4  # how many columns to either side of it


class PixelContextOptions(ContextOptions, frozen=True):
    """The same for levels."""

    # `features`: How many features of each value of a pixel the decoder adds to its outputs, for the window's network.
    # `block`: The side of the blocks of pixels, each of which sees the features of all pixels of its block.
    # `neighbour_units`: How many hidden units of each of its four neighbours before it a pixel sees, at most all.
    # `rows`: How many rows above a pixel it depends on.
    # `sides`: How many columns to either side of it.

    components: Annotated[int, Meta(ge=1, le=100)] = 1  # the number of logistics in the mixture of a pixel


def _row(head: type[AbstractHead], make: Callable[[Schema, LikelihoodConfig], AbstractHead]) -> Likelihood:
    return Likelihood(lambda schema, config, options: make(schema, config), head.kinds, head.sees)


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


def _table(schema: Schema) -> TableHead:
    assert schema.types is not None
    return TableHead(schema.types)


def _levels(schema: Schema) -> int:
    return schema.levels or 2


def _autoregressive(head: BernoulliHead | PixelHead, options: ContextOptions) -> AbstractHead:
    sizes = {
        name: getattr(options, name) for name in ("features", "block", "width", "neighbour_units", "rows", "sides")
    }
    return AutoregressiveHead(head=head, **sizes)  # pyright: ignore[reportCallIssue]


LIKELIHOODS: dict[str, Likelihood] = {
    "autoregressive-bernoulli": Likelihood(
        lambda s, c, options: _autoregressive(BernoulliHead(s.shape), options),
        AutoregressiveHead.kinds,
        BernoulliHead.sees,
        ContextOptions,
    ),
    "autoregressive-logistics": Likelihood(
        lambda s, c, options: _autoregressive(PixelHead(s.shape, _levels(s), options.components), options),
        AutoregressiveHead.kinds,
        AutoregressiveHead.sees,
        PixelContextOptions,
    ),
    "bernoulli": _row(BernoulliHead, lambda s, c: BernoulliHead(s.shape, c.probability_floor)),
    "beta": _row(BetaHead, lambda s, c: BetaHead(s.shape)),
    "categorical": _row(CategoricalHead, lambda s, c: CategoricalHead(s.shape, _levels(s))),
    "continuous-bernoulli": _row(ContinuousBernoulliHead, lambda s, c: ContinuousBernoulliHead(s.shape)),
    "discretised-logistic": _row(
        DiscretisedLogisticHead,
        lambda s, c: DiscretisedLogisticHead(shape=s.shape, levels=_levels(s), scale="softplus"),
    ),
    "hyperbolic-secant": _row(HyperbolicSecantHead, _heavy(HyperbolicSecantHead)),
    "laplace": _row(LaplaceHead, _heavy(LaplaceHead)),
    "logistic": _row(LogisticHead, _heavy(LogisticHead)),
    "logistic-mixture": Likelihood(
        lambda s, c, options: PixelHead(s.shape, _levels(s), options.components),
        PixelHead.kinds,
        PixelHead.sees,
        ComponentsOptions,
    ),
    "negative-binomial": _row(NegativeBinomialHead, lambda s, c: _counts(s)),
    "normal": _row(NormalHead, _normal),
    "poisson": _row(PoissonHead, lambda s, c: PoissonHead(s.shape)),
    # Made when it is called for: an array here would start a device, and its threads, at import.
    "student-t": _row(StudentTHead, lambda s, c: _heavy(StudentTHead, raw_df=jnp.zeros(()))(s, c)),
    "table": _row(TableHead, lambda s, c: _table(s)),
    "zero-inflated-negative-binomial": _row(
        ZeroInflatedHead,
        lambda s, c: ZeroInflatedHead(head=_counts(s)),  # pyright: ignore[reportCallIssue]
    ),
}
"""What `likelihood.family` may be."""


def preparation(schema: Schema, config: VAEConfig) -> Preparation:
    """What the model sees of a stored row, and what becomes of it in a training batch."""
    family, data = config.likelihood.family, config.data
    likelihood = lookup(LIKELIHOODS, family, "likelihood.family")
    for name in ("shift", "flip"):
        if getattr(data, name) and len(schema.shape) not in (2, 3):
            what = f"only pictures can be moved and mirrored, and these are rows of shape {schema.shape}."
            fix = "Give an array of shape (n, height, width), or leave it out."
            raise ConfigError(what, where=f"data.{name}", fix=fix)
    if schema.kind not in likelihood.kinds:
        raise ConfigError(
            f"the likelihood {family} needs {' or '.join(likelihood.kinds)} data; these are {schema.kind}.",
            where="likelihood.family",
            fix="Use --set likelihood.family=table."
            if schema.kind == "mixed"
            else "Use --set likelihood.family=normal, or scale the data to [0, 1].",
        )
    if data.binarize != "none" and likelihood.sees != "yes-no":
        raise ConfigError(
            f"binarised data need a bernoulli likelihood, not {family}.", where="data.binarize", fix="Use bernoulli."
        )
    if family == "autoregressive-bernoulli" and schema.kind == "levels" and data.binarize == "none":
        what = f"pixels of {schema.levels} levels are not yes or no, and each is given to those after it."
        fix = "Use --set data.binarize=stochastic, or --set likelihood=autoregressive-logistics."
        raise ConfigError(what, where="likelihood.family", fix=fix)
    hide = data.hide if data.hide is not None else HIDE if schema.kind == "mixed" else 0.0
    found = partial(Preparation, hide=hide, shift=data.shift or 0, flip=data.flip)
    if schema.kind == "mixed":
        return found()
    match likelihood.sees:
        case "index":
            return found(integer=True)
        case "whole":
            return found()
    if schema.kind == "counts":
        return found(log1p=True)
    if schema.kind != "levels":
        return found(binarize=data.binarize, threshold=data.threshold)
    assert schema.levels is not None
    if likelihood.sees == "yes-no" or not data.dequantize:
        return found(divide=schema.levels - 1.0, binarize=data.binarize, threshold=data.threshold)
    return found(divide=float(schema.levels), dequantize=True)


def likelihood_head(schema: Schema, config: LikelihoodConfig, *, key: Key | None = None) -> AbstractHead:
    """The decoder's head; real columns are modelled standardised and given in their own units."""
    # For count data standardisation and likelihood are both applied to log(1 + x), where that is what the model sees.
    # key: a JAX random key for the weights of heads that have a network; None: they are not drawn.
    likelihood = lookup(LIKELIHOODS, config.family, "likelihood.family")
    head = likelihood.make(schema, config, read_options(likelihood.options, config.options, "likelihood"))
    head = head if key is None else head.initialised(key=key)
    if head.shape != schema.shape:
        what = f"the head {type(head).__name__} is of rows of shape {head.shape}, and the data have {schema.shape}."
        raise ConfigError(what, where="likelihood", fix="Give the class, or a function of the shape of a row.")
    if config.squash != "none":
        reads_logits = isinstance(head, BernoulliHead | ContinuousBernoulliHead)
        if reads_logits and config.squash == "sigmoid":
            what = f"the probabilities of a {config.family} likelihood are squashed by the sigmoid already."
            raise ConfigError(what, where="likelihood.squash", fix="Use probit, cauchit or softsign, or leave it out.")
        if not (head.location_first or reads_logits) or schema.kind not in ("binary", "levels", "unit"):
            what = f"a {config.family} likelihood of {schema.kind} data has no means in (0, 1) that could be squashed."
            fix = "Use it with pixels or other data in [0, 1], and normal, laplace, logistic, student-t or bernoulli."
            raise ConfigError(what, where="likelihood.squash", fix=fix)
        return SquashedHead(head, config.squash)
    return AffineHead(head, *scaling(schema)) if schema.standardised and likelihood.sees == "numbers" else head


def missingness(schema: Schema, config: VAEConfig) -> SelfMasking | None:
    """Why values are missing, where that is part of the model."""
    if config.likelihood.missing == "at-random":
        return None
    if config.likelihood.family != "normal" or config.posterior.levels or config.label.kind != "none":
        raise ConfigError(
            "self-masking (not-MIWAE) supports only a normal likelihood, one latent level and no labels.",
            where="likelihood.missing",
            fix="Use --recipe not-miwae, or --set likelihood.missing=at-random.",
        )
    zeros = jnp.zeros(schema.shape, jnp.float32)
    entry = encoder_input(schema, config.likelihood)
    assert not isinstance(entry, TableInput)  # a normal likelihood is of numbers
    return SelfMasking(zeros, zeros, entry)


def encoder_input(schema: Schema, config: LikelihoodConfig) -> Standardise | TableInput | None:
    """What happens to a row before the encoder's network."""
    # returns: a standardisation, for mixed tables what is seen of their columns, or None where the network sees the row
    # as the likelihood does.
    sees = lookup(LIKELIHOODS, config.family, "likelihood.family").sees
    if schema.types is not None:
        return TableInput(schema.types)
    if schema.standardised:
        return Standardise(*scaling(schema), log1p=sees == "whole")
    if sees in ("whole", "index"):
        return Standardise(jnp.zeros(schema.shape), jnp.full(schema.shape, max(_levels(schema) - 1.0, 1.0)))
    return None
