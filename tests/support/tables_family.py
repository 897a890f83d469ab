"""Rows of the table of distributions: heavy tails, positive numbers, fractions, counts, grades, pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

from latens.distributions import (
    AbstractFactorised,
    Blocks,
    DiscretisedLogistic,
    Joined,
    Laplace,
    NegativeBinomial,
    Ordinal,
    Poisson,
    StudentT,
    VariableMixture,
    ZeroInflated,
)

IDENTITY = (lambda t: t, np.ones_like)
SINH = (np.sinh, np.cosh)


@dataclass(frozen=True)
class DistributionRow:
    """A factory (in JAX's current precision), an oracle for `log_prob_terms`, and where the events live.

    `spread` maps the interval to the events, with its derivative: the quadrature then sees no singular edge.
    """

    make: Callable[[], AbstractFactorised]
    oracle: Callable[[np.ndarray], np.ndarray]
    interval: tuple[np.ndarray | float, np.ndarray | float] = (-60.0, 60.0)
    levels: int | None = None
    spread: tuple[Callable, Callable] = IDENTITY

    def points(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Events (n, *x) and weights (n, *x) that integrate (or sum) over the support of every variable."""
        if self.levels is not None:
            kind = np.int32 if self.levels > 2 else np.float64
            events = np.arange(self.levels).astype(kind)
            grid = np.broadcast_to(events.reshape(-1, *(1,) * len(shape)), (self.levels, *shape))
            return grid, np.ones(grid.shape)
        nodes, weights = np.polynomial.legendre.leggauss(6)
        edges = np.linspace(0.0, 1.0, 601)
        width = edges[1]
        unit = (edges[:-1, None] + width * (nodes + 1) / 2).reshape(-1, *(1,) * len(shape))
        weight = np.broadcast_to(width * weights / 2, (600, 6)).reshape(unit.shape)
        low, high = (np.broadcast_to(bound, shape) for bound in self.interval)
        points = low + (high - low) * unit
        return self.spread[0](points), (high - low) * weight * self.spread[1](points)


LOC, SCALE = np.array([0.3, -1.2, 2.0]), np.array([0.6, 1.0, 2.0])
DF = np.array([5.0, 8.0, 30.0])
A, B = np.array([1.5, 2.0, 5.0]), np.array([2.5, 1.2, 3.0])
RATE, THETA, EXTRA = np.array([0.4, 3.0, 9.0]), np.array([0.7, 2.0, 40.0]), np.array([-1.0, 0.3, 2.0])
CUTS = np.array([-1.0, 0.2, -0.5])


PIXELS = np.array([0.1, -0.9, 1.3])
WEIGHTS = np.array([[0.0, 1.0], [0.5, -0.5], [2.0, 0.0]])


def logs(*arrays: np.ndarray | float) -> list[jax.Array]:
    return [jnp.asarray(np.log(array), float) for array in arrays]


def real(*arrays: np.ndarray | float) -> list[jax.Array]:
    return [jnp.asarray(array, float) for array in arrays]


def nbinom(x: np.ndarray, mean: np.ndarray = RATE, theta: np.ndarray = THETA) -> np.ndarray:
    return stats.nbinom.logpmf(x, theta, theta / (theta + mean))


def zero_inflated(x: np.ndarray, inner: np.ndarray) -> np.ndarray:
    extra = special.expit(EXTRA)
    return np.log(np.where(x == 0, extra, 0.0) + (1 - extra) * np.exp(inner))


def ordinal(x: np.ndarray) -> np.ndarray:
    cuts = np.concatenate([[-np.inf], CUTS[0] + np.concatenate([[0.0], np.cumsum(np.exp(CUTS[1:]))]), [np.inf]])
    return np.log(special.expit(cuts[x + 1] - LOC) - special.expit(cuts[x] - LOC))


def discretised(x: np.ndarray, loc: np.ndarray = PIXELS, scale: float = 0.2, levels: int = 17) -> np.ndarray:
    value, half = 2 * x / (levels - 1) - 1, 1 / (levels - 1)
    above = np.where(x == levels - 1, 1.0, special.expit((value + half - loc) / scale))
    return np.log(above - np.where(x == 0, 0.0, special.expit((value - half - loc) / scale)))


def pixel_mixture(x: np.ndarray) -> np.ndarray:
    parts = [discretised(x, PIXELS), discretised(x, -PIXELS, 0.1)]
    return special.logsumexp(special.log_softmax(WEIGHTS, axis=1) + np.stack(parts, axis=-1), axis=-1)


def _pixels() -> DiscretisedLogistic:
    return DiscretisedLogistic(*real(np.stack([PIXELS, -PIXELS], 1)), *logs(np.tile([0.2, 0.1], (3, 1))), levels=17)


FAMILY: dict[str, DistributionRow] = {
    "Laplace": DistributionRow(
        lambda: Laplace(*real(LOC), *logs(SCALE)),
        lambda x: stats.laplace.logpdf(x, LOC, SCALE),
        (LOC - 60.0, LOC + 60.0),  # the kink lies on an edge of a panel
    ),
    "StudentT": DistributionRow(
        lambda: StudentT(*real(LOC), *logs(SCALE, DF)),
        lambda x: stats.t.logpdf(x, DF, LOC, SCALE),
        (-12.0, 12.0),
        spread=SINH,
    ),
    "Poisson": DistributionRow(lambda: Poisson(*logs(RATE)), lambda x: stats.poisson.logpmf(x, RATE), levels=60),
    "NegativeBinomial": DistributionRow(lambda: NegativeBinomial(*logs(RATE, THETA)), nbinom, levels=150),
    "ZeroInflated of a NegativeBinomial": DistributionRow(
        lambda: ZeroInflated(NegativeBinomial(*logs(RATE, THETA)), *real(EXTRA)),
        lambda x: zero_inflated(x, nbinom(x)),
        levels=150,
    ),
    "Ordinal": DistributionRow(lambda: Ordinal(*real(LOC, CUTS)), ordinal, levels=4),
    "DiscretisedLogistic": DistributionRow(
        lambda: DiscretisedLogistic(*real(PIXELS), *logs(np.full(3, 0.2)), levels=17), discretised, levels=17
    ),
    "Joined, of two Laplace": DistributionRow(
        lambda: Joined(
            {"a": Laplace(*real(LOC[1:2]), *logs(SCALE[1:2])), "b": Laplace(*real(LOC[::2]), *logs(SCALE[::2]))},
            Blocks(("b", "a"), ((0, 2), (1,))),
        ),
        lambda x: stats.laplace.logpdf(x, LOC, SCALE),
        (LOC - 60.0, LOC + 60.0),
    ),
    "VariableMixture of DiscretisedLogistic": DistributionRow(
        lambda: VariableMixture(*real(WEIGHTS), _pixels()), pixel_mixture, levels=17
    ),
}
