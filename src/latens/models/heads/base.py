"""Heads turn a network's outputs into a distribution. Every floor, bound and positive parameter is made here.

Log rates grow in proportion above `RATE_BOUND` and log dispersions lie within `DISPERSIONS` (`likelihood_heads.py`).
"""

import math
from abc import abstractmethod
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import (
    AbstractDistribution,
    Affine,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Deterministic,
    DiagonalNormal,
)
from latens.trees import Frozen
from latens.typing import AnyArray, Array, Float

ScaleForm = Literal["log-scale", "log-variance", "softplus"]


class AbstractHead(eqx.Module):
    """From `num_outputs` numbers to a distribution over one event of `shape`."""

    shape: eqx.AbstractVar[tuple[int, ...]]

    @property
    def num_outputs(self) -> int:
        return math.prod(self.shape)

    @abstractmethod
    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The distribution that belongs to these outputs."""

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs whose distribution has the data's mean: where a decoder's last bias starts.

        **Arguments:** `mean` of shape (*x); `frequencies` of levels, of shape (*x, L), for categorical heads.
        """
        return np.asarray(mean, np.float64).reshape(-1)

    def started(
        self, mean: np.ndarray, frequencies: np.ndarray | None = None, variance: np.ndarray | None = None
    ) -> tuple["AbstractHead", np.ndarray]:
        """The head and the outputs (n_out,) whose distribution has the data's moments, as far as the family can.

        **Arguments:** as `output_bias`; `variance` of shape (*x), None where it is not known.
        """
        return self, self.output_bias(mean, frequencies)


def spread(variance: np.ndarray) -> np.ndarray:
    """Standard deviations (n,), none below a tenth of the typical one: a constant cell has no best scale."""
    flat = np.asarray(variance, np.float64).reshape(-1)
    return np.sqrt(np.maximum(flat, max(0.01 * float(np.mean(flat)), 1e-12)))


def raw_scale(scale: np.ndarray, form: ScaleForm, floor: float) -> np.ndarray:
    """The outputs that a head of this form reads as these scales."""
    above = np.maximum(scale - floor, 0.01 * scale)
    match form:
        case "log-scale":
            return np.log(above)
        case "log-variance":
            return 2.0 * np.log(above)
        case "softplus":
            return np.where(above > 30.0, above, np.log(np.expm1(np.minimum(above, 30.0))))


class NormalHead(AbstractHead):
    r"""A diagonal Normal with mean and scale from the network: the first half of the outputs are means.

    **Arguments:** `scale` says what the second half $r$ is: `log-scale` $\sigma = e^r$, `log-variance`
    $\sigma = e^{r/2}$, `softplus` $\sigma = \log(1 + e^r)$ + `scale_floor`.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    scale: ScaleForm = eqx.field(static=True, default="log-scale")
    scale_floor: float = eqx.field(static=True, default=1e-6)

    @property
    def num_outputs(self) -> int:
        return 2 * math.prod(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> DiagonalNormal:
        loc, raw = outputs.reshape(2, *self.shape)
        match self.scale:
            case "log-scale":
                log_scale = raw
            case "log-variance":
                log_scale = 0.5 * raw
            case "softplus":
                log_scale = jnp.log(jax.nn.softplus(raw) + self.scale_floor)
        return DiagonalNormal(loc, log_scale)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        flat = np.asarray(mean, np.float64).reshape(-1)
        return np.concatenate([flat, np.zeros_like(flat)])

    def started(
        self, mean: np.ndarray, frequencies: np.ndarray | None = None, variance: np.ndarray | None = None
    ) -> tuple[AbstractHead, np.ndarray]:
        bias = self.output_bias(mean, frequencies)
        if variance is not None:
            floor = self.scale_floor if self.scale == "softplus" else 0.0
            bias[bias.size // 2 :] = raw_scale(spread(variance), self.scale, floor)
        return self, bias


class DeterministicHead(AbstractHead):
    """A point mass: makes a plain autoencoder of an encoder."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Deterministic:
        return Deterministic(outputs.reshape(self.shape))


class SharedScaleNormalHead(AbstractHead):
    r"""A Normal likelihood whose mean comes from the network and whose scale does not.

    **Arguments:** `log_scale` of shape () for one scale, (*x) for one a feature; an array is learned, a
    `Frozen` array is fixed. A learned scale is $e^{s}$ + `scale_floor`: a constant feature has no best scale.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    log_scale: Float[Array, "..."] | Frozen
    scale_floor: float = eqx.field(static=True, default=0.0)

    def __call__(self, outputs: Float[Array, " n_out"]) -> DiagonalNormal:
        if isinstance(self.log_scale, Frozen):
            return DiagonalNormal(outputs.reshape(self.shape), self.log_scale.value)
        log_scale = self.log_scale
        if self.scale_floor > 0.0:
            log_scale = jnp.logaddexp(log_scale, math.log(self.scale_floor))
        return DiagonalNormal(outputs.reshape(self.shape), log_scale)


class BernoulliHead(AbstractHead):
    """Logits from the network, kept within the logits of `probability_floor` and 1 - `probability_floor` (0: free)."""

    shape: tuple[int, ...] = eqx.field(static=True)
    probability_floor: float = eqx.field(static=True, default=0.0)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Bernoulli:
        logits = outputs.reshape(self.shape)
        if self.probability_floor > 0.0:
            bound = math.log1p(-self.probability_floor) - math.log(self.probability_floor)
            logits = jnp.clip(logits, -bound, bound)
        return Bernoulli(logits)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        p = np.clip(np.asarray(mean, np.float64).reshape(-1), 1e-3, 1 - 1e-3)
        return np.log(p) - np.log1p(-p)


class ContinuousBernoulliHead(AbstractHead):
    """Logits of a continuous Bernoulli from the network."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> ContinuousBernoulli:
        return ContinuousBernoulli(outputs.reshape(self.shape))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        # Invert the mean, which grows with the logit, on a grid that is fine near 0 and wide outside.
        grid = np.sinh(np.linspace(-7.0, 7.0, 4001))
        safe = np.where(np.abs(grid) < 1e-2, 1.0, grid)
        means = np.where(np.abs(grid) < 1e-2, 0.5 + grid / 12, -1.0 / np.expm1(-safe) - 1.0 / safe)
        return np.interp(np.asarray(mean, np.float64).reshape(-1), means, grid)


class CategoricalHead(AbstractHead):
    """Logits of `levels` values for every variable."""

    shape: tuple[int, ...] = eqx.field(static=True)
    levels: int = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        return math.prod(self.shape) * self.levels

    def __call__(self, outputs: Float[Array, " n_out"]) -> Categorical:
        return Categorical(outputs.reshape(*self.shape, self.levels))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        if frequencies is None:
            raise ValueError("a categorical head starts from the frequencies of its levels")
        # A level that was never seen keeps a small probability, so that its logit is finite.
        return np.log(np.maximum(frequencies, 1e-4)).reshape(-1)


class AffineHead(AbstractHead):
    """A head whose distribution is given in the data's own units: `shift + scale * event of the inner head`."""

    head: AbstractHead
    shift: Frozen
    scale: Frozen
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, head: AbstractHead, shift: AnyArray, scale: AnyArray) -> None:
        self.head, self.shape = head, head.shape
        self.shift = Frozen(jnp.asarray(shift, jnp.float32))
        self.scale = Frozen(jnp.asarray(scale, jnp.float32))

    @property
    def num_outputs(self) -> int:
        return self.head.num_outputs

    def __call__(self, outputs: Float[Array, " n_out"]) -> Affine:
        inner: Any = self.head(outputs)
        return Affine(inner, self.shift.value, self.scale.value)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        standardised = (np.asarray(mean) - np.asarray(self.shift.value)) / np.asarray(self.scale.value)
        return self.head.output_bias(standardised, frequencies)

    def started(
        self, mean: np.ndarray, frequencies: np.ndarray | None = None, variance: np.ndarray | None = None
    ) -> tuple[AbstractHead, np.ndarray]:
        scale = np.asarray(self.scale.value)
        standardised = (np.asarray(mean) - np.asarray(self.shift.value)) / scale
        inside = None if variance is None else np.asarray(variance) / scale**2
        head, bias = self.head.started(standardised, frequencies, inside)
        return AffineHead(head, self.shift.value, self.scale.value), bias
