"""Heads turn a network's outputs into a distribution. Every floor, bound and positive parameter is made here.

Log rates grow in proportion above `RATE_BOUND` and log dispersions lie within `DISPERSIONS` (`likelihoods.py`).
"""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from latens.data.schema import Kind as DataKind
from latens.distributions import (
    AbstractDistribution,
    AbstractFactorised,
    Affine,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    CorrelatedNormal,
    Deterministic,
    DiagonalNormal,
    FullNormal,
    RelaxedOneHot,
    VonMisesFisher,
)
from latens.distributions.chain import AbstractBijection, Autoregressive, Planar, Stack, Transformed
from latens.errors import ConfigError
from latens.runtime.lazy_imports import special
from latens.trainable import Frozen, held, on_host
from latens.typing import AnyArray, Array, Cond, Float, Key, check_options

ScaleForm = Literal["log-scale", "log-variance", "softplus"]

Sees = Literal["yes-no", "numbers", "index", "whole"]

Moment = np.ndarray | None
"""A moment of the data by variable, or None where it is not known."""


class AbstractHead(eqx.Module):
    """From `num_outputs` numbers to a distribution over one event.

    Args:
        shape: The shape of one event.

    Attributes:
        kinds: The kinds of data that it is a likelihood of.
        sees: What the model sees of a stored row where this is the likelihood: "yes-no" (levels scaled to [0, 1], or
            binarised), "numbers" (levels dequantised to [0, 1], counts as log(1 + x), real columns
            standardised), "index" (integers) or "whole" (counts and real columns as they are).
        location_first: Whether its first outputs are the locations, one for each feature, so that they can be squashed.
        group: How many variables after one another have noise in common: 1, or the colours of a pixel, or all.
        per_value: How many outputs it reads for each value of an event.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("binary", "levels", "unit", "real", "counts")
    sees: ClassVar[Sees] = "numbers"
    location_first: ClassVar[bool] = False
    per_value: ClassVar[int] = 1

    shape: tuple[int, ...] = eqx.field(static=True)

    __check_init__ = check_options

    @property
    def group(self) -> int:
        """How many variables after one another have noise in common."""
        return 1

    @property
    def num_outputs(self) -> int:
        """How many outputs of a network the head reads."""
        return self.per_value * math.prod(self.shape)

    def initialised(self, *, key: Key) -> "AbstractHead":
        """The head with its initial weights, of heads that have a network of their own.

        Args:
            key: A JAX random key.

        Returns:
            A head; the same one where nothing is drawn.
        """
        return self

    @abstractmethod
    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The distribution that belongs to these outputs."""

    def given(self, cond: Cond) -> "AbstractHead":
        """The head of a row with these conditions.

        Args:
            cond: The row's conditions by name; None: none are given.

        Returns:
            A head; the same one where the head reads no conditions.
        """
        return self

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs whose distribution has the data's mean: where a decoder's last bias starts.

        Args:
            mean: The mean of the data, of shape (*x).
            frequencies: The frequencies of the levels, of shape (*x, L), for categorical heads.

        Returns:
            Shape (num_outputs,).
        """
        flat = np.asarray(mean, np.float64).reshape(-1)
        return np.pad(flat, (0, max(0, self.num_outputs - flat.size)))  # 0 for what is not the mean, as a log scale

    def started(
        self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None
    ) -> tuple["AbstractHead", np.ndarray]:
        """The head and the outputs whose distribution has the data's moments, as far as the family can.

        Args:
            mean: The mean of the data, of shape (*x).
            frequencies: The frequencies of the levels, of shape (*x, L), for categorical heads.
            variance: The variance of the data, of shape (*x); None: not known.

        Returns:
            A head, and outputs of shape (num_outputs,).
        """
        return self, self.output_bias(mean, frequencies)

    @property
    def located(self) -> tuple[int, Any, Any] | None:
        """How its first outputs are the row: in so many copies of (x - shift) / scale; None: they are not."""
        return (1, 0.0, 1.0) if self.location_first else None

    def started_around(self, mean: np.ndarray, left: np.ndarray) -> tuple["AbstractHead", np.ndarray]:
        """The head and the outputs at a mean, with what a closed form leaves of each cell as variance.

        Args:
            mean: The mean of the data, of shape (*x).
            left: The covariance of what is left, of every c cells after one another, of shape (g, c, c).

        Returns:
            A head, and outputs of shape (num_outputs,).
        """
        return self.started(mean, None, np.diagonal(left, axis1=1, axis2=2).reshape(np.shape(mean)))


Started = tuple[AbstractHead, np.ndarray]
"""A head with its first parameters, and the biases of the last layer before it."""


def spread(variance: np.ndarray) -> Shaped[np.ndarray, " n"]:
    """Standard deviations, none below a tenth of the typical one: a constant feature has no best scale."""
    flat = np.asarray(variance, np.float64).reshape(-1)
    return np.sqrt(np.maximum(flat, max(0.01 * float(np.mean(flat)), 1e-12)))


def raw_scale(scale: np.ndarray, form: ScaleForm, floor: float) -> np.ndarray:
    """The outputs that a head reads as the given scales."""
    above = np.maximum(scale - floor, 0.01 * scale)
    match form:
        case "log-scale":
            return np.log(above)
        case "log-variance":
            return 2.0 * np.log(above)
        case "softplus":
            return np.where(above > 30.0, above, np.log(np.expm1(np.minimum(above, 30.0))))


MOST_LOG_SCALE = 5.0
"""The largest size of a log scale, and of a change of one, in a deep hierarchy (Vahdat & Kautz, 2020)."""


def bounded(log_scale: Float[Array, "*z"]) -> Float[Array, "*z"]:
    r"""A log scale from any numbers: $5 \tanh(r / 5)$, so that no level is without noise or has no bound."""
    return MOST_LOG_SCALE * jnp.tanh(log_scale / MOST_LOG_SCALE)


class AbstractLocationScaleHead(AbstractHead):
    r"""Location and scale from the network: the first half of the outputs are locations.

    Args:
        scale: What the second half $r$ of the outputs is: `log-scale` $s = e^r$, `log-variance` $s = e^{r/2}$,
            `softplus` $s = \log(1 + e^r)$.
        scale_floor: What is added to s, in the unit of the event; 0: nothing.

    Attributes:
        floors: Whether the floor is also that of a scale that is an exponential.
    """

    floors: ClassVar[bool] = True
    per_value: ClassVar[int] = 2

    scale: eqx.AbstractVar[ScaleForm]
    scale_floor: eqx.AbstractVar[float]

    def _halves(self, outputs: Float[Array, " n_out"]) -> tuple[Array, Array]:
        first, second = outputs.reshape(2, *self.shape)
        return first, second

    def _log_scale(self, raw: Array) -> Array:
        match self.scale:
            case "log-scale":
                log_scale = raw
            case "log-variance":
                log_scale = 0.5 * raw
            case "softplus":
                return jnp.log(jax.nn.softplus(raw) + self.scale_floor)
        floor = self.scale_floor if self.floors else 0.0
        return jnp.logaddexp(log_scale, math.log(floor)) if floor > 0.0 else log_scale

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs whose location and scale fit the data's mean and variance."""
        bias = self.output_bias(mean, frequencies)
        if variance is not None:
            scale = self._scale_of(spread(variance))
            floor = self.scale_floor if self.floors or self.scale == "softplus" else 0.0
            bias[bias.size // 2 :] = raw_scale(scale, self.scale, floor)
        return self, bias

    def _scale_of(self, deviation: np.ndarray) -> np.ndarray:
        """The scale at which the family has this standard deviation."""
        return deviation


class NormalHead(AbstractLocationScaleHead):
    r"""A diagonal Normal with mean and scale from the network: the first half of the outputs are means.

    Args:
        shape: The shape of one event.
        scale: What the second half $r$ of the outputs is: `log-scale` $\sigma = e^r$, `log-variance` $\sigma =
            e^{r/2}$, `softplus` $\sigma = \log(1 + e^r)$ + `scale_floor`.
        scale_floor: The smallest scale of `softplus`, in the unit of the event.
    """

    location_first: ClassVar[bool] = True
    floors: ClassVar[bool] = False

    scale: ScaleForm = eqx.field(static=True, default="log-scale")
    scale_floor: float = eqx.field(static=True, default=1e-6)

    def __call__(self, outputs: Float[Array, " n_out"]) -> DiagonalNormal:
        """The distribution that belongs to these outputs."""
        loc, raw = self._halves(outputs)
        return DiagonalNormal(loc, self._log_scale(raw))


class DeterministicHead(AbstractHead):
    """A point mass: makes a plain autoencoder of an encoder.

    Args:
        shape: The shape of one event.
    """

    def __call__(self, outputs: Float[Array, " n_out"]) -> Deterministic:
        """The point mass at these outputs."""
        return Deterministic(outputs.reshape(self.shape))


class SharedScaleNormalHead(AbstractHead):
    """A Normal likelihood whose mean comes from the network and whose scale does not.

    A learned scale is $e^{s}$ + `scale_floor`: a constant feature has no best scale.

    Args:
        shape: The shape of one event.
        log_scale: The logarithm s, of shape () for one scale, (*x) for one for each feature; an array is learned, a
            `Frozen` array is fixed.
        scale_floor: What is added to a learned scale, in the unit of the event.
    """

    location_first: ClassVar[bool] = True

    log_scale: Float[Array, "..."] | Frozen
    scale_floor: float = eqx.field(static=True, default=0.0)

    def __call__(self, outputs: Float[Array, " n_out"]) -> DiagonalNormal:
        """The Normal with these means."""
        if isinstance(self.log_scale, Frozen):
            return DiagonalNormal(outputs.reshape(self.shape), self.log_scale.value)
        log_scale = self.log_scale
        if self.scale_floor > 0.0:
            log_scale = jnp.logaddexp(log_scale, math.log(self.scale_floor))
        return DiagonalNormal(outputs.reshape(self.shape), log_scale)

    def started_around(self, mean: np.ndarray, left: np.ndarray) -> tuple[AbstractHead, np.ndarray]:
        """The head with what is left as its scale, where that is learned, and the outputs at a mean."""
        if isinstance(self.log_scale, Frozen):
            return self, self.output_bias(mean)
        deviation = np.sqrt(np.diagonal(left, axis1=1, axis2=2)).reshape(self.shape)
        raw = raw_scale(deviation, "log-scale", self.scale_floor)
        log_scale = held(raw if self.log_scale.ndim else np.mean(raw))
        head = SharedScaleNormalHead(self.shape, log_scale, self.scale_floor)
        return head, self.output_bias(mean)


class BernoulliHead(AbstractHead):
    """Independent binary variables with logits from the network.

    Args:
        shape: The shape of one event.
        probability_floor: Logits are kept within those of this probability and one minus it; 0: free.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("binary", "levels", "unit")
    sees: ClassVar[Sees] = "yes-no"

    probability_floor: float = eqx.field(static=True, default=0.0)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Bernoulli:
        """The distribution with these logits."""
        logits = outputs.reshape(self.shape)
        if self.probability_floor > 0.0:
            bound = math.log1p(-self.probability_floor) - math.log(self.probability_floor)
            logits = jnp.clip(logits, -bound, bound)
        return Bernoulli(logits)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The logits of the data's mean, which is moved off 0 and 1."""
        p = np.clip(np.asarray(mean, np.float64).reshape(-1), 1e-3, 1 - 1e-3)
        return np.log(p) - np.log1p(-p)


class ContinuousBernoulliHead(AbstractHead):
    """Independent continuous Bernoulli variables with logits from the network.

    Args:
        shape: The shape of one event.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("levels", "unit")

    def __call__(self, outputs: Float[Array, " n_out"]) -> ContinuousBernoulli:
        """The distribution with these logits."""
        return ContinuousBernoulli(outputs.reshape(self.shape))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The logits of the distribution with the data's mean."""
        # Invert the mean, which grows with the logit, on a grid that is fine near 0 and wide outside.
        grid = np.sinh(np.linspace(-7.0, 7.0, 4001))
        safe = np.where(np.abs(grid) < 1e-2, 1.0, grid)
        means = np.where(np.abs(grid) < 1e-2, 0.5 + grid / 12, -1.0 / np.expm1(-safe) - 1.0 / safe)
        return np.interp(np.asarray(mean, np.float64).reshape(-1), means, grid)


class CategoricalHead(AbstractHead):
    """Independent categorical variables with logits from the network.

    Args:
        shape: The shape of one event.
        levels: How many values each variable has.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("binary", "levels")
    sees: ClassVar[Sees] = "index"

    levels: int = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        """A logit for each variable and value."""
        return math.prod(self.shape) * self.levels

    def __call__(self, outputs: Float[Array, " n_out"]) -> Categorical:
        """The distribution with these logits."""
        return Categorical(outputs.reshape(*self.shape, self.levels))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The logits of the frequencies of the levels.

        Args:
            mean: Not read.
            frequencies: The frequencies of the levels, of shape (*x, L).

        Returns:
            Shape (num_outputs,).

        Raises:
            ValueError: The frequencies are not given.
        """
        if frequencies is None:
            raise ValueError("a categorical head starts from the frequencies of its levels")
        # A level that was never seen keeps a small probability, so that its logit is finite.
        return np.log(np.maximum(frequencies, 1e-4)).reshape(-1)


class AffineHead(AbstractHead):
    """A head whose distribution is given in the data's own units: `shift + scale * event of the inner head`.

    Args:
        head: The inner head, of standardised events.
        shift: The shift, of shape (*x), in the data's unit; it is frozen.
        scale: The scale, of shape (*x), in the data's unit; it is frozen.

    Attributes:
        shape: The shape of one event, the inner head's.
    """

    head: AbstractHead
    shift: Frozen
    scale: Frozen

    def __init__(self, head: AbstractHead, shift: AnyArray, scale: AnyArray) -> None:
        self.head, self.shape = head, head.shape
        self.shift, self.scale = Frozen(held(shift)), Frozen(held(scale))

    @property
    def num_outputs(self) -> int:
        """As many as the inner head's."""
        return self.head.num_outputs

    @property
    def group(self) -> int:
        """The inner head's."""
        return self.head.group

    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The inner head's distribution of these outputs, shifted and scaled."""
        inner: Any = self.head(outputs)
        if isinstance(inner, CorrelatedNormal):
            return inner.affine(self.shift.value, self.scale.value)
        if not isinstance(inner, AbstractFactorised):
            fix = "Inherit from AbstractFactorised, or set sees = 'whole' in the head: log_prob then sees your units."
            raise ConfigError(f"columns come scaled, and a {type(inner).__name__} does not factorise.", fix=fix)
        return Affine(inner, self.shift.value, self.scale.value)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The inner head's outputs for the standardised mean."""
        return self.started(mean, frequencies)[1]

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the inner head's outputs for the standardised moments."""
        scale = np.asarray(self.scale.value, np.float64)  # its square is beyond float32 from 2e19 on
        standardised = (np.asarray(mean) - np.asarray(self.shift.value)) / scale
        inside = None if variance is None else np.asarray(variance) / scale**2
        head, bias = self.head.started(standardised, frequencies, inside)
        return AffineHead(head, self.shift.value, self.scale.value), bias

    @property
    def located(self) -> tuple[int, Any, Any] | None:
        """The inner head's copies, in its unit."""
        if (inner := self.head.located) is None:
            return None
        copies, shift, scale = inner
        own = on_host(self.scale.value)
        return copies, on_host(self.shift.value) + own * shift, own * scale

    def started_around(self, mean: np.ndarray, left: np.ndarray) -> tuple[AbstractHead, np.ndarray]:
        """The head and the inner head's outputs for the standardised mean and what is left."""
        scale = np.asarray(self.scale.value, np.float64)
        each = scale.reshape(left.shape[:2])
        inside = left / (each[:, :, None] * each[:, None])
        head, bias = self.head.started_around((np.asarray(mean) - np.asarray(self.shift.value)) / scale, inside)
        return AffineHead(head, self.shift.value, self.scale.value), bias


Squashing = Literal["sigmoid", "probit", "cauchit", "softsign"]


def _logit(squash: Squashing, outputs: Float[Array, " n"]) -> Float[Array, " n"]:
    """The logits of squashed outputs, without the digits that a probability near 0 or 1 loses."""
    match squash:
        case "sigmoid":
            return outputs
        case "probit":
            return jax.scipy.special.log_ndtr(outputs) - jax.scipy.special.log_ndtr(-outputs)
        case "cauchit":  # arctan2(1, -r) / pi is 1/2 + arctan(r) / pi, with all digits where that is near 0
            return jnp.log(jnp.arctan2(1.0, -outputs)) - jnp.log(jnp.arctan2(1.0, outputs))
        case "softsign":
            return jnp.log1p(2.0 * jnp.maximum(outputs, 0.0)) - jnp.log1p(2.0 * jnp.maximum(-outputs, 0.0))


def _unsquashed(squash: Squashing, share: np.ndarray) -> np.ndarray:
    """The outputs that are squashed to these numbers between 0 and 1."""
    match squash:
        case "sigmoid":
            return np.log(share) - np.log1p(-share)
        case "probit":
            return special.ndtri(share)
        case "cauchit":
            return np.tan(np.pi * (share - 0.5))
        case "softsign":
            return (2.0 * share - 1.0) / (2.0 * np.minimum(share, 1.0 - share))


class SquashedHead(AbstractHead):
    r"""A head whose locations are squashed into (0, 1), as pixels are.

    Of each output $r$ that is a location, `sigmoid` is $1 / (1 + e^{-r})$, `probit` $\Phi(r)$, `cauchit`
    $1/2 + \arctan(r) / \pi$ and `softsign` $(1 + r / (1 + |r|)) / 2$; the other outputs stay as they are. An inner head
    that reads logits is given those of the squashed numbers: they are the probabilities of a Bernoulli.

    Args:
        head: The inner head, whose first outputs are locations, or which reads logits.
        squash: How they are squashed.

    Attributes:
        shape: The shape of one event, the inner head's.
    """

    head: AbstractHead
    squash: Squashing = eqx.field(static=True)

    def __init__(self, head: AbstractHead, squash: Squashing = "sigmoid") -> None:
        self.head, self.shape, self.squash = head, head.shape, squash

    @property
    def num_outputs(self) -> int:
        """As many as the inner head's."""
        return self.head.num_outputs

    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The inner head's distribution with squashed locations."""
        count = math.prod(self.shape)
        logits = _logit(self.squash, outputs[:count])
        locations = jax.nn.sigmoid(logits) if self.head.location_first else logits
        return self.head(jnp.concatenate([locations, outputs[count:]]))

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of the data's moments, with means that are moved off 0 and 1."""
        head, outputs = self.head.started(mean, frequencies, variance)
        count = math.prod(self.shape)
        share = outputs[:count] if self.head.location_first else 1.0 / (1.0 + np.exp(-outputs[:count]))
        inside = _unsquashed(self.squash, np.clip(share, 1e-3, 1 - 1e-3))
        return SquashedHead(head, self.squash), np.concatenate([inside, outputs[count:]])

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs whose squashed locations are the data's mean."""
        return self.started(mean, frequencies)[1]


class FullNormalHead(AbstractHead):
    """A Normal with all correlations.

    The outputs are those of a `NormalHead`, then what stands below the diagonal of the Cholesky factor, by rows.

    Args:
        normal: The head of the means and of the factor's diagonal.
    """

    shape: tuple[int, ...] = eqx.field(static=True, init=False)
    normal: NormalHead

    def __post_init__(self) -> None:
        self.shape = self.normal.shape

    @property
    def num_outputs(self) -> int:
        """Those of the `NormalHead`, and n (n - 1) / 2 more."""
        (n,) = self.shape
        return self.normal.num_outputs + n * (n - 1) // 2

    def __call__(self, outputs: Float[Array, " n_out"]) -> FullNormal:
        """The distribution that belongs to these outputs."""
        (n,), split = self.shape, self.normal.num_outputs
        diagonal = self.normal(outputs[:split])
        rows, columns = np.tril_indices(n, -1)
        below = jnp.zeros((n, n), outputs.dtype).at[rows, columns].set(outputs[split:])
        return FullNormal(diagonal.loc, below + jnp.diag(diagonal.log_scale_array()))


class VonMisesFisherHead(AbstractHead):
    r"""A von Mises-Fisher distribution: a direction, then one output for the concentration.

    $\kappa = 1 + \log(1 + e^r)$ of the last output $r$. A millionth is added to every coordinate: a network that gives
    nothing but zeros (an empty picture, before training) still has a direction.

    Args:
        shape: The shape (m,) of one event.

    Source: Davidson et al. (2018), for the floor of 1.
    """

    @property
    def num_outputs(self) -> int:
        """One for each coordinate, and one for the concentration."""
        return math.prod(self.shape) + 1

    def __call__(self, outputs: Float[Array, " n_out"]) -> VonMisesFisher:
        """The distribution that belongs to these outputs."""
        return VonMisesFisher(outputs[:-1] + 1e-6, jnp.log1p(jax.nn.softplus(outputs[-1])))


class ConcreteHead(AbstractHead):
    """Relaxed one-hot variables at one temperature, with logits from the network.

    Args:
        shape: The shape (variables, choices) of one event.
        temperature: The temperature, above 0.
    """

    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> RelaxedOneHot:
        """The distribution with these logits."""
        return RelaxedOneHot(outputs.reshape(self.shape), jnp.log(jnp.asarray(self.temperature, outputs.dtype)))


class FlowHead(AbstractHead):
    r"""A head whose distribution is a Normal pushed through a flow that reads the network too.

    $z = f_K \circ \dots \circ f_1(z_0; h)$ with $z_0 \sim N(\mu, \sigma^2)$ and $\mu, \sigma, h$ from the network. The
    outputs are the Normal's, then `context_size` numbers h that the bijection reads.

    Args:
        normal: The head of the Normal.
        bijection: The flow.
        context_size: How many numbers h the bijection reads.
        shape: The shape (n,) of one latent.

    Source: Rezende & Mohamed (2015); inverse autoregressive flow: Kingma et al. (2016).
    """

    normal: NormalHead
    bijection: AbstractBijection
    context_size: int = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        """How many outputs the network has: the Normal's and the context."""
        return self.normal.num_outputs + self.context_size

    def __call__(self, outputs: Float[Array, " n_out"]) -> Transformed:
        """The distribution that belongs to these outputs."""
        split = self.normal.num_outputs
        context = outputs[split:] if self.context_size else None
        return Transformed(self.normal(outputs[:split]), self.bijection, context)


def flow_head(
    normal: NormalHead, kind: Literal["iaf", "planar"], *, layers: int, width: int, context_size: int, key: Key
) -> FlowHead:
    """Build a Normal head with a flow after it.

    Args:
        normal: The head of the Normal.
        kind: `iaf` (inverse autoregressive) or `planar`.
        layers: How many bijections the flow has.
        width: The number of hidden units of the masked networks; for an inverse autoregressive flow only.
        context_size: How many numbers the flow reads of the encoder; for an inverse autoregressive flow only, as a
            planar flow reads all its parameters from the encoder.
        key: A JAX random key for the initialisation.

    Returns:
        The head.
    """
    (n,) = normal.shape
    if kind == "planar":
        parts = tuple(Planar(layer * (2 * n + 1)) for layer in range(layers))
        size = layers * (2 * n + 1)
        return FlowHead(shape=normal.shape, normal=normal, bijection=Stack(parts), context_size=size)
    keys = jax.random.split(key, layers)
    flows = tuple(Autoregressive.create(n, context_size, width, key=k) for k in keys)
    return FlowHead(shape=normal.shape, normal=normal, bijection=Stack(flows), context_size=context_size)
