"""The likelihoods by name: which data each takes, what of a stored row it is a density of, and its head."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
from msgspec import Meta, structs

from latens import models as m
from latens.config import ConfigSection, LikelihoodConfig
from latens.data import Schema
from latens.data.schema import scaling
from latens.errors import ConfigError
from latens.kinds import Table, Text, kind_of
from latens.models import AbstractHead, BernoulliHead, PixelHead
from latens.models.heads import likelihoods as heads
from latens.models.heads.base import DataKind, Sees
from latens.models.heads.likelihoods import StepColumnsHead
from latens.models.heads.table import TableHead, TableInput, TokenHead, TokenInput
from latens.recipes.part_tables import PartRow
from latens.trainable import Frozen, held
from latens.typing import Key


@dataclass(frozen=True)
class Likelihood(PartRow):
    """One row of the table of likelihoods."""

    # makes the head from the schema, the configuration of the likelihood and the options
    make: Callable[[Schema, LikelihoodConfig, Any], AbstractHead]
    kinds: tuple[DataKind, ...]  # the kinds of data that it takes
    sees: Sees = "numbers"  # what the model sees of a stored row, as `AbstractHead.sees` has it
    what: str = ""  # the likelihood in a few words, where it is not latens's own
    head: type[AbstractHead] | None = None  # the class of the head, where every option is one of its fields; else None
    depth: bool = False  # whether the total of a row is a condition of it

    @property
    def discrete(self) -> bool:
        """Whether it gives probabilities of the stored values themselves (for "yes-no" only where they are 0 or 1)."""
        return self.sees != "numbers"

    def made(self, schema: Schema, *, key: Key | None = None) -> AbstractHead:
        """The decoder's head; real columns are modelled standardised and given in their own units."""
        # Of counts the model sees log(1 + x), or them as they are; standardisation and likelihood are of what it sees.
        # key: a JAX random key for the weights of heads that have a network; None: they are not drawn.
        config: LikelihoodConfig = self.config
        head = self.make(schema, config, self.read)
        head = head if key is None else head.initialised(key=key)
        if head.shape != schema.shape:
            what = f"the head {type(head).__name__} is of rows of shape {head.shape}, and the data have {schema.shape}."
            raise ConfigError(what, where="likelihood", fix="Give the class, or a function of the shape of a row.")
        if config.squash != "none":
            reads_logits = isinstance(head, BernoulliHead | m.ContinuousBernoulliHead)
            if reads_logits and config.squash == "sigmoid":
                what = f"the probabilities of a {config.family} likelihood are squashed by the sigmoid already."
                raise ConfigError(
                    what, where="likelihood.squash", fix="Use probit, cauchit or softsign, or leave it out."
                )
            if not (head.location_first or reads_logits) or not schema.cells.pixel:
                what = (
                    f"a {config.family} likelihood of {schema.kind} data has no means in (0, 1) that could be squashed."
                )
                fix = (
                    "Use it with pixels or other data in [0, 1], and normal, laplace, logistic, student-t or bernoulli."
                )
                raise ConfigError(what, where="likelihood.squash", fix=fix)
            return m.SquashedHead(head, config.squash)
        return m.AffineHead(head, *self._scaling(schema)) if schema.standardised and self.sees == "numbers" else head

    def encoder_input(self, schema: Schema) -> Any:
        """What happens to a row before the encoder's network."""
        # returns: a standardisation, for mixed tables what is seen of their columns, or None where the network sees the
        # row as the likelihood does.
        kind = kind_of(schema)
        if kind is Table:
            return TableInput(schema.column_types)
        if kind is Text:
            return TokenInput(schema.shape, schema.num_values)
        if self.depth:
            none = jnp.zeros(math.prod(schema.shape))
            shares = none if getattr(self.read, "sees", "logs") == "residuals" else None
            return m.DepthInput(none, jnp.zeros(()), jnp.ones(()), shares)
        if schema.standardised:
            return m.Standardise(*self._scaling(schema), log1p=self.sees == "whole" and schema.cells.logged)
        if self.sees in ("whole", "index"):
            return m.Standardise(jnp.zeros(schema.shape), jnp.full(schema.shape, max(schema.num_values - 1.0, 1.0)))
        return None

    def _scaling(self, schema: Schema) -> tuple[Any, Any]:
        """Shifts and scales of a row; columns of 0 and 1 stay as they are."""
        shift, scale = scaling(schema)
        coins = np.asarray(getattr(self.read, "binary", ()), int)
        if not coins.size:
            return shift, scale
        return jnp.asarray(shift).at[..., coins].set(0.0), jnp.asarray(scale).at[..., coins].set(1.0)


class BinaryColumnsOptions(ConfigSection, frozen=True):
    """Columns of 0 and 1 beside columns of numbers."""

    binary: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=65536)] = ()  # their places, from 0


class ComponentsOptions(ConfigSection, frozen=True):
    """A mixture of logistics for each pixel."""

    components: Annotated[int, Meta(ge=1, le=100)] = 3  # the number of components


class ContextOptions(ConfigSection, frozen=True):
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

    components: Annotated[int, Meta(ge=1, le=100)] = 1  # the number of logistics in the mixture of a pixel


class DepthOptions(ConfigSection, frozen=True):
    """A negative binomial around shares of a row's total, which is a condition."""

    # one dispersion a gene, or one a gene and condition: the logarithm is then linear in the conditions (batches, say)
    dispersion: Literal["gene", "gene-condition"] = "gene"
    zero_inflated: bool = False  # whether each gene also has a probability of an extra zero
    # what an encoder sees: logarithms of counts at one depth, or residuals from what the depth alone leads to expect
    sees: Literal["logs", "residuals"] = "logs"


class TokenOptions(ConfigSection, frozen=True):
    """Tokens one after another, by a recurrent network that reads the tokens so far."""

    width: Annotated[int, Meta(ge=1, le=65536)] = 128  # the number of units of its state


def _row(head: type[AbstractHead], make: Callable[..., AbstractHead], **how: Any) -> Likelihood:
    made = make if "options" in how else lambda schema, config, options: make(schema, config)
    return Likelihood(made, head.kinds, **{"sees": head.sees, **how})


def _normal(schema: Schema, config: LikelihoodConfig) -> AbstractHead:
    shape, start = schema.shape, 0.0 if schema.standardised else -1.0
    match config.scale:
        case "fixed":
            return m.SharedScaleNormalHead(shape, Frozen(held(math.log(config.fixed_scale))))
        case "shared":
            return m.SharedScaleNormalHead(shape, held(start, trained=True), config.scale_floor)
        case "feature":
            starts = np.broadcast_to(np.float32(start), shape)  # of a file that lies it may be gigabytes
            return m.SharedScaleNormalHead(shape, held(starts, trained=True), config.scale_floor)
        case "network":
            return m.NormalHead(shape, "softplus", config.scale_floor)


def _correlated(schema: Schema, config: LikelihoodConfig) -> AbstractHead:
    start = 0.0 if schema.standardised else -1.0
    return m.CorrelatedNormalHead(schema.shape, jnp.full(schema.shape, start, jnp.float32), None, config.scale_floor)


def _heavy(kind: Callable[..., AbstractHead], **given: Any) -> Callable[[Schema, LikelihoodConfig], AbstractHead]:
    return lambda schema, config: kind(shape=schema.shape, scale="softplus", scale_floor=config.scale_floor, **given)


def _counts(schema: Schema) -> heads.NegativeBinomialHead:
    return heads.NegativeBinomialHead(schema.shape, jnp.zeros(schema.shape))


def _depth(schema: Schema, config: LikelihoodConfig, options: DepthOptions) -> m.DepthHead:
    width = sum(one.width for one in schema.conditions or ())
    if options.dispersion == "gene-condition" and not width:
        what = "a dispersion for each gene and condition needs conditions, and the data have none."
        raise ConfigError(what, where="likelihood.dispersion", fix="Name them with --condition COLUMN, or use gene.")
    genes = math.prod(schema.shape)
    changes = jnp.zeros((width, genes)) if options.dispersion == "gene-condition" else None
    return m.DepthHead(schema.shape, jnp.zeros(schema.shape), changes, Frozen(jnp.zeros(())), options.zero_inflated)


def _tokens(schema: Schema, config: LikelihoodConfig, options: TokenOptions) -> TokenHead:
    rules = {name: getattr(schema.vocabulary, name) for name in ("never_empty", "closing")}
    return TokenHead(schema.shape, schema.num_values, **structs.asdict(options), **rules)


def _autoregressive(head: BernoulliHead | PixelHead, options: ContextOptions) -> AbstractHead:
    sizes = {
        name: getattr(options, name) for name in ("features", "block", "width", "neighbour_units", "rows", "sides")
    }
    return m.AutoregressiveHead(head, **sizes)


LIKELIHOODS: dict[str, Likelihood] = {
    "autoregressive-bernoulli": _row(
        m.AutoregressiveHead,
        lambda s, c, o: _autoregressive(BernoulliHead(s.shape), o),
        sees=BernoulliHead.sees,
        options=ContextOptions,
    ),
    "autoregressive-logistics": _row(
        m.AutoregressiveHead,
        lambda s, c, o: _autoregressive(PixelHead(s.shape, s.num_values, o.components), o),
        options=PixelContextOptions,
    ),
    "bernoulli": _row(BernoulliHead, lambda s, c: BernoulliHead(s.shape, c.probability_floor)),
    "categorical": _row(m.CategoricalHead, lambda s, c: m.CategoricalHead(s.shape, s.num_values)),
    "continuous-bernoulli": _row(m.ContinuousBernoulliHead, lambda s, c: m.ContinuousBernoulliHead(s.shape)),
    "correlated-normal": _row(m.CorrelatedNormalHead, _correlated),
    "depth-negative-binomial": _row(m.DepthHead, _depth, options=DepthOptions, depth=True),
    "discretised-logistic": _row(
        heads.DiscretisedLogisticHead,
        lambda s, c: heads.DiscretisedLogisticHead(shape=s.shape, levels=s.num_values, scale="softplus"),
    ),
    "laplace": _row(heads.LaplaceHead, _heavy(heads.LaplaceHead)),
    "logistic-mixture": _row(
        PixelHead, lambda s, c, o: PixelHead(s.shape, s.num_values, o.components), options=ComponentsOptions
    ),
    "negative-binomial": _row(heads.NegativeBinomialHead, lambda s, c: _counts(s)),
    "normal": _row(m.NormalHead, _normal),
    "poisson": _row(heads.PoissonHead, lambda s, c: heads.PoissonHead(s.shape)),
    "step-columns": _row(
        StepColumnsHead,
        lambda s, c, o: StepColumnsHead(s.shape, o.binary, max(c.scale_floor, 1e-4)),
        options=BinaryColumnsOptions,
    ),
    # Made when it is called for: an array here would start a device, and its threads, at import.
    "student-t": _row(heads.StudentTHead, lambda s, c: _heavy(heads.StudentTHead, raw_df=jnp.zeros(()))(s, c)),
    "table": _row(TableHead, lambda s, c: TableHead(s.column_types)),
    "tokens": _row(TokenHead, _tokens, options=TokenOptions),
    "zero-inflated-negative-binomial": _row(
        heads.ZeroInflatedHead,
        lambda s, c: heads.ZeroInflatedHead(_counts(s)),
    ),
}
"""What `likelihood.family` may be."""


def kinds_of(config: LikelihoodConfig) -> tuple[DataKind, ...]:
    """The kinds of data that a named likelihood takes; none where the data decide."""
    return LIKELIHOODS[config.family].kinds if config.family in LIKELIHOODS else ()
