"""Heads for counts, pixels and heavy tails; every bound is made here."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import (
    CorrelatedNormal,
    DiagonalNormal,
    DiscretisedLogistic,
    Laplace,
    NegativeBinomial,
    Poisson,
    StudentT,
    ZeroInflated,
)
from latens.distributions.steps import StepColumns
from latens.errors import ConfigError
from latens.models.heads.base import (
    AbstractHead,
    AbstractLocationScaleHead,
    DataKind,
    Moment,
    ScaleForm,
    Sees,
    Started,
    raw_scale,
    spread,
)
from latens.runtime.lazy_imports import linalg
from latens.trainable import Frozen, value_of
from latens.typing import Array, Float

Shared = Float[Array, "..."] | Frozen
"""A parameter that all events share: an array is learned, a `Frozen` array is fixed."""


def _log_mean(mean: np.ndarray) -> np.ndarray:
    # A count that was never seen keeps a small rate, so that its logarithm is finite.
    return np.log(np.maximum(np.asarray(mean, np.float64).reshape(-1), 1e-3))


RATE_BOUND = 12.0
"""Logarithm of the rate (1.6e5) above which the rate grows in proportion to an output, no longer as its exponential.

An exponential turns an output that is 20 too large into 5e8 expected counts and as many nats; a bound that cut the
output off would pass no gradient to bring it back.
"""

DISPERSIONS = (-15.0, 15.0)
"""Logarithms of the dispersion of a negative binomial: below it is all zeros, above a Poisson to 6 digits."""


def bounded_log_rate(outputs: Float[Array, "*x"]) -> Float[Array, "*x"]:
    r"""Log rates that grow with the outputs up to a bound, and far slower above it: smooth and growing for ever."""
    # $r$ up to the bound $b$, and $b + \log(1 + r - b)$ above it, where $b$ is `RATE_BOUND`.
    return jnp.minimum(outputs, RATE_BOUND) + jnp.log1p(jax.nn.relu(outputs - RATE_BOUND))


def unbounded_log_rate(log_rate: np.ndarray) -> np.ndarray:
    """The outputs that `bounded_log_rate` makes the given log rates of."""
    return np.minimum(log_rate, RATE_BOUND) + np.expm1(np.maximum(log_rate - RATE_BOUND, 0.0))


class LaplaceHead(AbstractLocationScaleHead):
    """A Laplace likelihood, robust to a few far values.

    Args:
        shape: The shape of one event.
        scale: How an output becomes a scale, as in `AbstractLocationScaleHead`.
        scale_floor: What is added to the scale, in the unit of the event.
    """

    location_first: ClassVar[bool] = True

    scale: ScaleForm = eqx.field(static=True, default="log-scale")
    scale_floor: float = eqx.field(static=True, default=1e-6)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Laplace:
        """The distribution with these locations and scales."""
        loc, raw = self._halves(outputs)
        return Laplace(loc, self._log_scale(raw))

    def _scale_of(self, deviation: np.ndarray) -> np.ndarray:
        return deviation / math.sqrt(2.0)


class StudentTHead(AbstractLocationScaleHead):
    r"""A Student-t likelihood with heavy tails: location and scale from the network, degrees of freedom shared.

    $\nu$ = `df_floor` + $\log(1 + e^r)$.

    Args:
        shape: The shape of one event.
        raw_df: The number r, of shape () or (*x); an array is learned, a `Frozen` one fixed.
        df_floor: The smallest degrees of freedom: a floor of 1 keeps the mean, one of 2 the variance.
        scale: How an output becomes a scale, as in `AbstractLocationScaleHead`.
        scale_floor: What is added to the scale, in the unit of the event.
    """

    location_first: ClassVar[bool] = True

    raw_df: Shared
    df_floor: float = eqx.field(static=True, default=2.0)
    scale: ScaleForm = eqx.field(static=True, default="log-scale")
    scale_floor: float = eqx.field(static=True, default=1e-6)

    def __call__(self, outputs: Float[Array, " n_out"]) -> StudentT:
        """The distribution with these locations and scales."""
        loc, raw = self._halves(outputs)
        return StudentT(loc, self._log_scale(raw), jnp.log(self.df_floor + jax.nn.softplus(value_of(self.raw_df))))

    def _scale_of(self, deviation: np.ndarray) -> np.ndarray:
        df = self.df_floor + np.logaddexp(0.0, np.asarray(value_of(self.raw_df), np.float64)).reshape(-1)
        # Below 2.5 degrees of freedom the variance says little of the middle, where the data are.
        return deviation * np.sqrt(1.0 - 2.0 / np.maximum(df, 2.5))


class DiscretisedLogisticHead(AbstractLocationScaleHead):
    """A logistic over the levels of a pixel: location and scale, on the scale of [-1, 1], from the network.

    Args:
        shape: The shape of one event.
        levels: How many levels, from 0 on, a pixel has.
        scale: How an output becomes a scale, as in `AbstractLocationScaleHead`.
        scale_floor: What is added to the scale, on the scale of [-1, 1].
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("levels",)
    sees: ClassVar[Sees] = "whole"

    levels: int = eqx.field(static=True, default=256)
    scale: ScaleForm = eqx.field(static=True, default="log-scale")
    scale_floor: float = eqx.field(static=True, default=1e-3)

    def __call__(self, outputs: Float[Array, " n_out"]) -> DiscretisedLogistic:
        """The distribution with these locations and scales."""
        loc, raw = self._halves(outputs)
        return DiscretisedLogistic(loc, self._log_scale(raw), self.levels)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs of a discretised logistic at the mean level of the data."""
        scale = 0.25
        loc = np.interp(np.asarray(mean, np.float64).reshape(-1), *self._levels_by_location(scale, 4001)[:2])
        return np.concatenate([loc, raw_scale(np.full_like(loc, scale), self.scale, self.scale_floor)])

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of a discretised logistic at the mean and variance of the levels."""
        if variance is None:
            return self, self.output_bias(mean, frequencies)
        # Of every scale of a grid the location with this mean, and the variance there, which grows with the scale.
        flat, wanted = np.asarray(mean, np.float64).reshape(-1), spread(variance) ** 2
        log_scales = np.linspace(math.log(max(self.scale_floor, 0.1 / self.levels)), math.log(4.0), 65)
        locs, found = np.empty((2, len(log_scales), flat.size))
        for index, log_scale in enumerate(log_scales):
            expected, grid, variances = self._levels_by_location(math.exp(log_scale))
            locs[index], found[index] = np.interp(flat, expected, grid), np.interp(flat, expected, variances)
        # The scale between the last one with too small a variance and the next one.
        below = np.clip(np.sum(found < wanted, axis=0) - 1, 0, len(log_scales) - 2)
        cell = np.arange(flat.size)
        low, high = found[below, cell], found[below + 1, cell]
        part = np.clip((wanted - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
        loc = (1.0 - part) * locs[below, cell] + part * locs[below + 1, cell]
        scale = np.exp((1.0 - part) * log_scales[below] + part * log_scales[below + 1])
        return self, np.concatenate([loc, raw_scale(scale, self.scale, self.scale_floor)])

    @property
    def located(self) -> tuple[int, Any, Any] | None:
        """Levels on the scale of [-1, 1]."""
        half = 0.5 * (self.levels - 1)
        return 1, half, half

    def _levels_by_location(self, scale: float, locations: int = 501) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expected levels, which grow, the locations that have them, and the variances of the level there."""
        # E[x] is the sum of P(x >= j) over j = 1, 2, ..., and E[x^2] that of (2 j - 1) P(x >= j).
        level = np.arange(1, self.levels)
        edges = (2 * level - 1) / (self.levels - 1) - 1
        grid = (1.0 + 14.0 * scale) * np.linspace(-1.0, 1.0, locations)
        above = 0.5 + 0.5 * np.tanh((grid[:, None] - edges) / (2.0 * scale))
        expected = np.sum(above, axis=1)
        return expected, grid, above @ (2.0 * level - 1.0) - expected**2


class PoissonHead(AbstractHead):
    """A Poisson likelihood: the logarithm of its rate from the network.

    Args:
        shape: The shape of one event.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("levels", "counts")
    sees: ClassVar[Sees] = "whole"

    def __call__(self, outputs: Float[Array, " n_out"]) -> Poisson:
        """The distribution with these log rates."""
        return Poisson(bounded_log_rate(outputs.reshape(self.shape)))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs of a Poisson with the data's mean."""
        return unbounded_log_rate(_log_mean(mean))


class NegativeBinomialHead(AbstractHead):
    """A negative binomial likelihood: the logarithm of its mean from the network.

    Args:
        shape: The shape of one event.
        log_dispersion: The logarithm of the dispersion, of shape (), or (*x) for one for each feature: an array is
            learned, a `Frozen` one fixed. None: the network gives it, after all the means.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("levels", "counts")
    sees: ClassVar[Sees] = "whole"

    log_dispersion: Shared | None = None

    @property
    def num_outputs(self) -> int:
        """One for each feature, or two where the network gives the dispersion."""
        return math.prod(self.shape) * (2 if self.log_dispersion is None else 1)

    def __call__(self, outputs: Float[Array, " n_out"]) -> NegativeBinomial:
        """The distribution with these log means and the dispersion."""
        if self.log_dispersion is not None:
            log_mean = bounded_log_rate(outputs.reshape(self.shape))
            return NegativeBinomial(log_mean, jnp.clip(value_of(self.log_dispersion), *DISPERSIONS))
        raw, log_dispersion = outputs.reshape(2, *self.shape)
        return NegativeBinomial(bounded_log_rate(raw), jnp.clip(log_dispersion, *DISPERSIONS))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs of a negative binomial with the data's mean."""
        log_mean = unbounded_log_rate(_log_mean(mean))
        return log_mean if self.log_dispersion is not None else np.concatenate([log_mean, np.zeros_like(log_mean)])

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of a negative binomial with the data's mean and variance."""
        log_mean = _log_mean(mean)
        if variance is None:
            return self, self.output_bias(mean, frequencies)
        # The method of moments, var = mean + mean^2 / theta, within e^-5 ... e^5.
        excess = np.asarray(variance, np.float64).reshape(-1) - np.exp(log_mean)
        theta = np.exp(2.0 * log_mean) / np.maximum(excess, 1e-12)
        log_theta = np.clip(np.log(theta), -5.0, 5.0)
        if self.log_dispersion is None:
            return self, np.concatenate([unbounded_log_rate(log_mean), log_theta])
        if isinstance(self.log_dispersion, Frozen):
            return self, unbounded_log_rate(log_mean)
        shape = self.log_dispersion.shape
        shared = log_theta.reshape(shape) if shape == self.shape else np.full(shape, np.median(log_theta))
        return NegativeBinomialHead(self.shape, jnp.asarray(shared, jnp.float32)), unbounded_log_rate(log_mean)


class ZeroInflatedHead(AbstractHead):
    """More zeros than the counts of another head have: their logits from the network, then that head's outputs.

    Args:
        head: The head of the counts.
        start: The probability of an extra zero before training.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("levels", "counts")
    sees: ClassVar[Sees] = "whole"

    shape: tuple[int, ...] = eqx.field(static=True, init=False)
    head: PoissonHead | NegativeBinomialHead
    start: float = eqx.field(static=True, default=0.1)

    def __post_init__(self) -> None:
        self.shape = self.head.shape

    @property
    def num_outputs(self) -> int:
        """One more for each feature than the inner head's."""
        return math.prod(self.shape) + self.head.num_outputs

    def __call__(self, outputs: Float[Array, " n_out"]) -> ZeroInflated:
        """The inner head's distribution with extra zeros."""
        logits, inner = jnp.split(outputs, [math.prod(self.shape)])
        return ZeroInflated(self.head(inner), logits.reshape(self.shape))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs whose distribution has the data's mean."""
        return self.started(mean, frequencies)[1]

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs whose counts fit the data's moments."""
        # The counts that are no extra zeros have the rest of both moments.
        inner_mean = np.asarray(mean, np.float64) / (1.0 - self.start)
        second = None if variance is None else np.asarray(variance, np.float64) + np.asarray(mean, np.float64) ** 2
        inner = None if second is None else np.maximum(second / (1.0 - self.start) - inner_mean**2, 0.0)
        head, bias = self.head.started(inner_mean, None, inner)
        logit = math.log(self.start) - math.log1p(-self.start)
        started = ZeroInflatedHead(head, self.start)  # pyright: ignore[reportArgumentType]
        return started, np.concatenate([np.full(math.prod(self.shape), logit), bias])


MOST_CELLS = 1024
"""Variables of a row, of which there is a number for each pair."""


class CorrelatedNormalHead(AbstractHead):
    r"""A Normal with means from the network, a learned scale of each variable, and correlations that stay.

    $x \sim N(\mu(z), S C S)$ with $S = \mathrm{diag}(e^{s})$ and the correlations C of what the closed form of the data
    leaves; without a closed form C is the identity.

    Args:
        shape: The shape of one event, of at most 1,024 variables.
        log_scale: The logarithms s, of shape (*x), in the unit of the event; they are learned.
        white: The inverse of the Cholesky factor of C, of shape (d, d); it is frozen. None: the identity.
        scale_floor: What is added to the scales, in the unit of the event.

    Raises:
        ConfigError: A row has more variables.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("real", "counts", "unit", "levels")
    location_first: ClassVar[bool] = True

    log_scale: Float[Array, "*x"]
    white: Frozen
    scale_floor: float = eqx.field(static=True, default=0.0)

    def __init__(
        self,
        shape: tuple[int, ...],
        log_scale: Float[Array, "*x"],
        white: Float[Array, "d d"] | None = None,
        scale_floor: float = 0.0,
    ) -> None:
        cells = math.prod(shape)
        if cells > MOST_CELLS:
            what = f"correlations of all pairs are of at most {MOST_CELLS:,} values a row, and these have {cells:,}."
            raise ConfigError(what, where="likelihood.family", fix="Use --set likelihood=normal.")
        self.shape, self.log_scale, self.scale_floor = shape, log_scale, scale_floor
        self.white = Frozen(jnp.eye(cells) if white is None else white)

    @property
    def group(self) -> int:
        """All variables share noise."""
        return math.prod(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> CorrelatedNormal:
        """The Normal with these means."""
        log_scale = self.log_scale
        if self.scale_floor > 0.0:
            log_scale = jnp.logaddexp(log_scale, math.log(self.scale_floor))
        return CorrelatedNormal(outputs.reshape(self.shape), log_scale, self.white.value)

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs at the data's mean and variance, without correlations."""
        head = self if variance is None else self._with(spread(variance), None)
        return head, self.output_bias(mean)

    def started_around(self, mean: np.ndarray, left: np.ndarray) -> Started:
        """The head and the outputs at a mean, with scales and correlations of what is left."""
        if len(left) > 1:  # groups that do not depend on one another
            whole = np.zeros((len(left), left.shape[1]) * 2)
            whole[np.arange(len(left)), :, np.arange(len(left))] = left
            left = whole.reshape(1, self.group, self.group)
        deviation = np.sqrt(np.diagonal(left[0]))
        root = np.linalg.cholesky(left[0] / (deviation[:, None] * deviation))
        white = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
        return self._with(deviation, white), self.output_bias(mean)

    def _with(self, deviation: np.ndarray, white: np.ndarray | None) -> "CorrelatedNormalHead":
        raw = jnp.asarray(raw_scale(deviation, "log-scale", self.scale_floor).reshape(self.shape), jnp.float32)
        inner = None if white is None else jnp.asarray(white, jnp.float32)
        return CorrelatedNormalHead(self.shape, raw, inner, self.scale_floor)


MOST_SQUARE = 100.0
"""Above it squares of latents are cut, as they would leave what single precision tells apart."""


class StepColumnsHead(AbstractHead):
    """Normals with mean and scale from the network, and for columns of 0 and 1 its first outputs as logits."""

    kinds: ClassVar[tuple[DataKind, ...]] = ("real", "binary")
    location_first: ClassVar[bool] = True
    per_value: ClassVar[int] = 2

    binary: tuple[int, ...] = eqx.field(static=True, default=())
    scale_floor: float = eqx.field(static=True, default=1e-4)

    def __call__(self, outputs: Float[Array, " n_out"]) -> StepColumns:
        """The distribution that belongs to these outputs."""
        loc, raw = outputs.reshape(2, *self.shape)
        flags = tuple(place in self.binary for place in range(self.shape[-1]))
        return StepColumns(DiagonalNormal(loc, jnp.log(jax.nn.softplus(raw) + self.scale_floor)), loc, flags)

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of the data's mean and variance, and of the share of ones."""
        first = np.array(mean, np.float64).reshape(-1)
        places = np.array(self.binary, int)
        share = np.clip(first[places], 1e-3, 1 - 1e-3)
        first[places] = np.log(share) - np.log1p(-share)
        raw = np.zeros_like(first) if variance is None else raw_scale(spread(variance), "softplus", self.scale_floor)
        return self, np.concatenate([first, raw])


class SeparateBinaryColumns(eqx.Module):
    """Two networks before one head: the columns of 0 and 1 have their own, which reads the latent and its squares."""

    numbers: Callable[[Array], Array]
    coins: Callable[[Array], Array]
    places: tuple[int, ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __call__(self, read: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        """The outputs of the head."""
        z = read[-self.size :]
        logits = self.coins(jnp.concatenate([z, jnp.minimum(jnp.square(z), MOST_SQUARE)]))
        return self.numbers(read).at[jnp.array(self.places)].set(logits)


class InUnits(eqx.Module):
    """A network with outputs in fixed units, so that a step of Adam moves each by a part of its noise."""

    network: Callable[[Array], Array]
    unit: Frozen

    def __call__(self, read: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        """The outputs."""
        return self.network(read) * self.unit.value
