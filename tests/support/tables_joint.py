"""The table of distributions whose variables depend on each other: their events are whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy import special, stats
from tables_family import LOC, SCALE, logs, real

from latens.distributions import (
    Categorical,
    CorrelatedNormal,
    DiagonalNormal,
    FullNormal,
    Mixture,
    Product,
    RelaxedOneHot,
    UniformSphere,
    VonMisesFisher,
)
from latens.distributions.steps import StepColumns


@dataclass(frozen=True)
class JointRow:
    """A factory, an oracle for `log_prob` of events led by n, and events with weights that cover the support."""

    make: Callable[[], Any]
    oracle: Callable[[Any], np.ndarray]
    points: Callable[[], tuple[Any, np.ndarray]]
    differentiable: bool = True


def plane(size: float = 14.0) -> tuple[np.ndarray, np.ndarray]:
    """The trapezoid rule on a square, exact to rounding for a function that vanishes at its edge."""
    side = np.linspace(-size, size, 201)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), np.full(201**2, (side[1] - side[0]) ** 2)


def simplex() -> tuple[np.ndarray, np.ndarray]:
    """Proportions of three parts, by two sticks on a logit scale."""
    t = np.linspace(-28.0, 28.0, 225)
    (first, second), step = np.meshgrid(special.expit(t), special.expit(t)), t[1] - t[0]
    events = np.stack([first, (1 - first) * second, (1 - first) * (1 - second)], -1).reshape(-1, 3)
    slope = first * (1 - first) ** 2 * second * (1 - second)
    return events, (slope * step**2).reshape(-1)


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """The unit sphere in three dimensions."""
    cosine, weights = np.polynomial.legendre.leggauss(80)
    angle = np.arange(80) * 2 * np.pi / 80
    c, a = np.meshgrid(cosine, angle)
    sine = np.sqrt(1 - c**2)
    events = np.stack([sine * np.cos(a), sine * np.sin(a), c], -1).reshape(-1, 3)
    return events, np.broadcast_to(weights * 2 * np.pi / 80, c.shape).reshape(-1)


def choices() -> tuple[np.ndarray, np.ndarray]:
    pairs = np.indices((3, 3)).reshape(2, -1).T
    return np.eye(3)[pairs], np.ones(9)


def columns() -> tuple[dict[str, np.ndarray], np.ndarray]:
    x, level, grid = np.linspace(-14.0, 14.0, 401), np.arange(3), np.meshgrid
    x, level = (a.reshape(-1, 1) for a in grid(x, level))
    return {"size": x, "kind": level.astype(np.int32)}, np.full(len(x), 0.07)


def number_and_coin() -> tuple[np.ndarray, np.ndarray]:
    number, coin = (a.reshape(-1) for a in np.meshgrid(np.linspace(-14.0, 14.0, 401), [0.0, 1.0]))
    return np.stack([number, coin], -1), np.full(len(coin), 0.07)


FACTOR, LOW_RANK = np.array([[0.2, 9.0], [-0.7, -0.4]]), np.array([[0.8], [-1.1]])
TRIL = np.array([[np.exp(0.2), 0.0], [-0.7, np.exp(-0.4)]])


MEANS, SCALES, SHARES = np.array([[0.3, -1.2], [2.0, 1.0]]), np.array([[0.6, 1.0], [1.5, 0.4]]), np.array([0.2, -0.9])
CONCENTRATION, CHOICE = np.array([1.3, 2.0, 4.5]), np.array([[0.5, 0.0, -1.0], [0.0, 2.0, 1.0]])
AXIS, KAPPA = np.array([1.0, -2.0, 0.5]), 3.7
POLE = AXIS / np.linalg.norm(AXIS)


def mixture(x: np.ndarray) -> np.ndarray:
    parts = [stats.norm.logpdf(x, m, s).sum(axis=-1) for m, s in zip(MEANS, SCALES)]
    return special.logsumexp(special.log_softmax(SHARES) + np.stack(parts, axis=-1), axis=-1)


def concrete(x: np.ndarray, tau: float = 0.6) -> np.ndarray:
    total = np.sum(CHOICE[0] - (tau + 1) * np.log(x), axis=-1)
    return np.log(2) + 2 * np.log(tau) + total - 3 * special.logsumexp(CHOICE[0] - tau * np.log(x), axis=-1)


JOINT: dict[str, JointRow] = {
    "FullNormal": JointRow(
        lambda: FullNormal(*real(LOC[:2], FACTOR)), stats.multivariate_normal(LOC[:2], TRIL @ TRIL.T).logpdf, plane
    ),
    "CorrelatedNormal": JointRow(
        lambda: CorrelatedNormal(*real(LOC[:2]), *logs(np.array([0.5, 1.2])), *real(np.linalg.inv(TRIL))),
        stats.multivariate_normal(LOC[:2], np.outer([0.5, 1.2], [0.5, 1.2]) * (TRIL @ TRIL.T)).logpdf,
        plane,
    ),
    "Mixture": JointRow(
        lambda: Mixture(*real(SHARES), jax.vmap(DiagonalNormal)(*real(MEANS), *logs(SCALES))), mixture, plane, False
    ),
    "RelaxedOneHot": JointRow(lambda: RelaxedOneHot(*real(CHOICE[0]), *logs(0.6)), concrete, simplex),
    "UniformSphere": JointRow(lambda: UniformSphere(3), lambda x: np.full(len(x), -np.log(4 * np.pi)), sphere),
    "VonMisesFisher": JointRow(
        lambda: VonMisesFisher(*real(AXIS), *logs(KAPPA)), stats.vonmises_fisher(POLE, KAPPA).logpdf, sphere
    ),
    "StepColumns": JointRow(
        lambda: StepColumns(DiagonalNormal(*real(LOC[:2]), *logs(SCALE[:2])), *real(SHARES), (False, True)),
        lambda x: stats.norm.logpdf(x[:, 0], LOC[0], SCALE[0]) + stats.bernoulli.logpmf(x[:, 1], special.expit(-0.9)),
        number_and_coin,
        False,
    ),
    "Product": JointRow(
        lambda: Product(
            {"size": DiagonalNormal(*real(LOC[:1]), *logs(SCALE[:1])), "kind": Categorical(*real(CHOICE[:1]))}
        ),
        lambda x: (
            stats.norm.logpdf(x["size"], LOC[0], SCALE[0])[:, 0] + special.log_softmax(CHOICE[0])[x["kind"][:, 0]]
        ),
        columns,
        False,
    ),
}
