"""A head of a Normal whose noise is correlated between all variables of a row, as a closed form leaves it."""

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_triangular

from latens.distributions import CorrelatedNormal
from latens.errors import ConfigError
from latens.models.heads.base import AbstractHead, DataKind, Moment, Started, raw_scale, spread
from latens.trees import Frozen
from latens.typing import Array, Float

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

    shape: tuple[int, ...] = eqx.field(static=True)
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
        return self._with(deviation, solve_triangular(root, np.eye(len(root)), lower=True)), self.output_bias(mean)

    def _with(self, deviation: np.ndarray, white: np.ndarray | None) -> "CorrelatedNormalHead":
        raw = jnp.asarray(raw_scale(deviation, "log-scale", self.scale_floor).reshape(self.shape), jnp.float32)
        inner = None if white is None else jnp.asarray(white, jnp.float32)
        return CorrelatedNormalHead(self.shape, raw, inner, self.scale_floor)
