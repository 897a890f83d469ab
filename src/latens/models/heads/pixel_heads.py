"""Heads of pixels: mixtures of logistics with colours that depend on one another, and pixels given earlier ones."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from latens.distributions import (
    AbstractDistribution,
    Autoregressive,
    ColourLogistics,
    Context,
    DiscretisedLogistic,
    VariableMixture,
)
from latens.errors import ConfigError
from latens.models.heads.base import AbstractHead, BernoulliHead, DataKind, Moment, Sees, Started, raw_scale
from latens.models.heads.likelihoods import DiscretisedLogisticHead
from latens.typing import Array, Float, Key

LOWEST = -6.0
"""The least logarithm of a scale: a third of a level of 256, below which a bin takes all of a logistic."""


class PixelHead(AbstractHead):
    """Mixtures of discretised logistics for the levels of pixels; two or three channels of a pixel are coupled.

    Args:
        shape: The shape of one event: (height, width, channels) with two or three channels, or any without channels.
        levels: How many levels, from 0 on, a channel has.
        components: How many logistics make the mixture of a pixel.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("levels",)
    sees: ClassVar[Sees] = "whole"

    levels: int = eqx.field(static=True, default=256)
    components: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        super().__check_init__()
        if len(self.shape) == 3 and self.shape[2] > 3:
            what = f"a mixture of logistics is of pixels with up to three channels, not {self.shape[2]}."
            raise ConfigError(what, where="likelihood.family", fix="Use --set likelihood=discretised-logistic.")

    @property
    def coupled(self) -> bool:
        """Whether the channels of a pixel depend on one another."""
        return len(self.shape) == 3 and self.shape[2] > 1

    @property
    def group(self) -> int:
        """The channels of a pixel."""
        return self.shape[2] if self.coupled else 1

    @property
    def _a_cell(self) -> int:
        """Outputs for each cell: of each component a location and a scale, a weight but for the first, a coupling."""
        return (3 + self.coupled) * self.components - 1

    @property
    def num_outputs(self) -> int:
        """So many outputs of every cell, one event after another."""
        return self._a_cell * math.prod(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The distribution with these locations, scales, weights and couplings."""
        k = self.components
        values = outputs.reshape(self._a_cell, *self.shape)
        if self.coupled:
            values = jnp.moveaxis(values, -1, 0)  # channels, then numbers of a cell, then pixels
            loc, log_scale, logits = values[:, :k], self._log_scale(values[:, k : 2 * k]), values[:, 2 * k : 3 * k - 1]
            pairs = self.shape[2] * (self.shape[2] - 1) // 2
            weights = jnp.concatenate([jnp.zeros_like(loc[0, :1]), jnp.sum(logits, axis=0)])
            return ColourLogistics(weights, loc, log_scale, values[:pairs, 3 * k - 1 :], self.levels)
        loc, log_scale = jnp.moveaxis(values[:k], 0, -1), self._log_scale(jnp.moveaxis(values[k : 2 * k], 0, -1))
        if k == 1:
            return DiscretisedLogistic(loc[..., 0], log_scale[..., 0], self.levels)
        logits = jnp.concatenate([jnp.zeros_like(values[:1]), values[2 * k :]])
        return VariableMixture(jnp.moveaxis(logits, 0, -1), DiscretisedLogistic(loc, log_scale, self.levels))

    def _log_scale(self, raw: Array) -> Array:
        return jnp.logaddexp(raw, LOWEST)

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs of pixels at the mean level of the data."""
        return self.started(mean)[1]

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of pixels at the mean and variance of the levels, components apart."""
        loc, wide = self._one(mean, frequencies, variance)
        log_scale = wide - math.log(self.components)
        if not self.coupled:
            return self, self._apart(loc, wide, log_scale, None)
        # Channels of colour pictures are alike: each starts with a correlation of 0.9 to the one before it, and with
        # its own variance.
        scales = np.exp(log_scale).reshape(-1, self.shape[2])
        start = np.zeros_like(scales)
        start[:, {2: [0], 3: [0, 2]}[self.shape[2]]] = 0.9 * np.clip(scales[:, 1:] / scales[:, :-1], 0.1, 10.0)
        own = np.where(np.arange(loc.size) % self.shape[2] > 0, math.sqrt(1.0 - 0.9**2), 1.0)
        return self, self._apart(loc, wide, log_scale + np.log(own), start)

    @property
    def located(self) -> tuple[int, Any, Any] | None:
        """A copy of each component, of levels on the scale of [-1, 1]."""
        half = 0.5 * (self.levels - 1)
        return self.components, half, half

    def started_around(self, mean: np.ndarray, left: np.ndarray) -> tuple[AbstractHead, np.ndarray]:
        """The head and the outputs at a mean, with what is left and how the channels of a pixel share it."""
        if not self.coupled:
            return self, self._narrow(mean, left, None)
        channels = self.shape[2]
        start, own = np.zeros((len(left), channels)), np.empty((len(left), channels))
        for later in range(channels):
            before = left[:, :later, :later]
            slopes = np.linalg.solve(before, left[:, :later, later, None])[..., 0] if later else left[:, :0, 0]
            own[:, later] = left[:, later, later] - np.sum(slopes * left[:, :later, later], axis=1)
            # The pairs (earlier, later) stand in the order of the later channel.
            start[:, later * (later - 1) // 2 : later * (later + 1) // 2] = slopes
        return self, self._narrow(mean, own, start)

    def _one(self, mean: np.ndarray, frequencies: np.ndarray | None, variance: np.ndarray | None) -> np.ndarray:
        """Location and logarithm of the scale of one logistic with these moments."""
        one = DiscretisedLogisticHead(shape=self.shape, levels=self.levels, scale="log-scale", scale_floor=0.0)
        return one.started(mean, frequencies, variance)[1].reshape(2, -1)

    def _narrow(self, mean: np.ndarray, variance: np.ndarray, start: np.ndarray | None) -> np.ndarray:
        """The outputs whose scales are those of these variances, also where they are near the least ones."""
        loc, wide = self._one(mean, None, variance.reshape(self.shape))
        scale = np.exp(wide) / self.components
        return self._apart(loc, wide, raw_scale(scale, "log-scale", math.exp(LOWEST)), start)

    def _apart(self, loc: np.ndarray, wide: np.ndarray, log_scale: np.ndarray, start: np.ndarray | None) -> np.ndarray:
        """Components at even quantiles of the logistic that has the moments, each as narrow as its share."""
        k = self.components
        share = (np.arange(k) + 0.5) / k
        found = np.zeros((self._a_cell, loc.size))
        apart = np.exp(wide) * np.log(share / (1.0 - share))[:, None]
        found[:k], found[k : 2 * k] = loc + apart, np.maximum(log_scale, LOWEST + 1.0)
        if start is not None:
            found[3 * k - 1 :] = start.reshape(-1)
        return found.reshape(-1)


class AutoregressiveHead(AbstractHead):
    """Pixels of another head that also depend on the pixels before them, by a network with weights of its own.

    Args:
        head: The head of the pixels: yes or no, or mixtures of logistics.
        context: The network; None: its weights are not drawn yet.
        features: How many features of its own the decoder gives for each value of a pixel.
        width: Hidden units of the network.
        rows: How many rows above a pixel it depends on.
        sides: How many columns to either side of it.
        block: The side of the blocks of pixels that see the features of one another.
        neighbour_units: How many hidden units of each of its four neighbours before it a pixel sees, at most all.

    Raises:
        ConfigError: Rows are no pictures.
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("binary", "levels")
    sees: ClassVar[Sees] = "whole"

    shape: tuple[int, ...] = eqx.field(static=True, init=False)
    head: BernoulliHead | PixelHead
    context: Context | None = None
    features: int = eqx.field(static=True, default=3)
    width: int = eqx.field(static=True, default=32)
    rows: int = eqx.field(static=True, default=3)
    sides: int = eqx.field(static=True, default=4)
    block: int = eqx.field(static=True, default=1)
    neighbour_units: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        super().__check_init__()
        if len(self.shape) not in (2, 3):
            what = f"pixels before others are those of pictures, and these are rows of shape {self.shape}."
            fix = "Use --set likelihood=bernoulli, or data of shape (n, height, width)."
            raise ConfigError(what, where="likelihood.family", fix=fix)

    def __post_init__(self) -> None:
        self.shape = self.head.shape

    @property
    def _channels(self) -> int:
        return math.prod(self.shape[2:])

    @property
    def num_outputs(self) -> int:
        """Those of the inner head, then the features."""
        return self.head.num_outputs + self.features * math.prod(self.shape)

    def initialised(self, *, key: Key) -> "AutoregressiveHead":
        """The head with the first weights of its network: at first pixels depend on no others."""
        pixels, channels = math.prod(self.shape[:2]), self._channels
        sizes = {name: getattr(self, name) for name in ("width", "rows", "sides", "block", "neighbour_units")}
        outputs = self.head.num_outputs // pixels
        return replace(self, context=Context.drawn(channels, self.features * channels, outputs, **sizes, key=key))

    def __call__(self, outputs: Float[Array, " n_out"]) -> Autoregressive:
        """The distribution with these outputs and features."""
        if self.context is None:
            raise ConfigError("this head has no weights yet.", where="likelihood", fix="head.initialised(key=...)")
        own, pixels = self.head.num_outputs, math.prod(self.shape[:2])
        features = jnp.moveaxis(outputs[own:].reshape(self.features, pixels, -1), 0, -1).reshape(pixels, -1)
        return Autoregressive(
            outputs[:own].reshape(-1, pixels, self._channels),
            features,
            self.context,
            self.head,
            replace(self.head, shape=(1, 1, *self.shape[2:])),
            self.shape,
            getattr(self.head, "levels", 2),
        )

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of pixels at the moments of the data, with features of 0."""
        head, found = self.head.started(mean, frequencies, variance)
        return replace(self, head=head), np.concatenate([found, np.zeros(self.features * math.prod(self.shape))])
