"""Differences of two groups, gene by gene: effects shrunk by all of them together, and expected false discoveries."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from latens.errors import DataError
from latens.evaluation.evidence.factors import ALONE

STEPS = 200
"""Steps of EM for the weights of the prior."""
NULL_ROWS = 10.0
"""How many genes without an effect the prior of these weights is worth."""


class Shrunk(NamedTuple):
    r"""Effects given all estimates: a mixture of Normals around c is their prior, $\sum_k w_k N(c, \sigma_k^2)$."""

    weight: Float[np.ndarray, " k"]  # of each component
    scale: Float[np.ndarray, " k"]  # its standard deviation; the first is 0: no effect at all
    effect: Float[np.ndarray, " n"]  # the estimates
    error: Float[np.ndarray, " n"]  # and their standard errors
    centre: float = 0.0  # c, the effect that most have

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each effect and component: its probability, and the mean and standard deviation of the effect in it."""
        both = self.scale**2 + self.error[:, None] ** 2
        away = self.effect[:, None] - self.centre
        log = np.log(self.weight) - 0.5 * np.log(both) - 0.5 * away**2 / both
        share = np.exp(log - log.max(axis=1, keepdims=True))
        mean = self.centre + away * self.scale**2 / both
        return share / share.sum(axis=1, keepdims=True), mean, self.scale * self.error[:, None] / np.sqrt(both)

    @property
    def mean(self) -> Float[np.ndarray, " n"]:
        """The posterior mean of each effect."""
        share, mean, _ = self._parts()
        return np.sum(share * mean, axis=1)

    @property
    def deviation(self) -> Float[np.ndarray, " n"]:
        """The posterior standard deviation of each effect."""
        share, mean, spread = self._parts()
        return np.sqrt(np.maximum(np.sum(share * (mean**2 + spread**2), axis=1) - self.mean**2, 0.0))

    def within(self, delta: float) -> Float[np.ndarray, " n"]:
        """The probability that each effect is at most `delta` in either direction; small ones keep their digits."""
        share, mean, spread = self._parts()
        away, safe = np.abs(mean), np.where(spread > 0.0, spread, 1.0)
        normal = np.where(spread > 0.0, ndtr((delta - away) / safe) - ndtr((-delta - away) / safe), away <= delta)
        return np.clip(np.sum(share * normal, axis=1), 0.0, 1.0)

    def beyond(self, delta: float) -> Float[np.ndarray, " n"]:
        """The probability that each effect is larger than `delta`, in either direction."""
        return 1.0 - self.within(delta)


@ALONE
def shrunk(effect: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"], centre: float = 0.0) -> Shrunk:
    """Shrink estimates of many effects, whose sizes are learned from all of them: adaptive shrinkage."""
    # An estimate $b_j \sim N(\beta_j, s_j^2)$ has the prior $\beta_j \sim \sum_k w_k N(0, \sigma_k^2)$ on a grid of
    # $\sigma_k$ with $\sigma_0 = 0$. The weights have the largest likelihood, by EM, with ten effects of 0 added.
    # Source: Stephens (2017), Biostatistics 18, 275.
    # centre: the effect that they are shrunk to, and that the largest weight may have in place of 0.
    b, s = np.asarray(effect, np.float64) - centre, np.asarray(error, np.float64)
    if b.ndim != 1 or b.shape != s.shape or not len(b) or not (np.isfinite(b).all() and (s > 0).all()):
        what = f"there are estimates of shape {b.shape} with errors of shape {s.shape}, or some that are no numbers."
        raise DataError(what, where="effect", fix="Give finite estimates, each with an error above 0.")
    low = max(float(np.min(s)) / 10.0, 1e-3)
    high = max(2.0 * math.sqrt(max(float(np.max(b**2 - s**2)), 0.0)), 8.0 * low)
    scale = np.concatenate([[0.0], low * 2.0 ** (0.5 * np.arange(math.ceil(2.0 * math.log2(high / low)) + 1))])
    both = scale**2 + s[:, None] ** 2
    log = -0.5 * np.log(both) - 0.5 * b[:, None] ** 2 / both
    density = np.exp(log - log.max(axis=1, keepdims=True))
    weight = np.full(len(scale), 1.0 / len(scale))
    for _ in range(STEPS):
        share = density * weight
        count = (share / share.sum(axis=1, keepdims=True)).sum(axis=0)
        count[0] += NULL_ROWS
        weight = np.maximum(count / count.sum(), 1e-12)
    return Shrunk(weight, scale, b + centre, s, centre)


def expected_discoveries(probability: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The expected share of false discoveries among all that are at least as probable."""
    # $\mathrm{FDR}_j = \frac{1}{|S_j|} \sum_{i \in S_j} (1 - p_i)$ with $S_j = \{i : p_i \ge p_j\}$.
    # Source: Newton, Noueiry, Sarkar & Ahlquist (2004), Biostatistics 5, 155.
    p = np.asarray(probability, np.float64)
    order = np.argsort(-p, kind="stable")
    running = np.cumsum(1.0 - p[order]) / np.arange(1, len(p) + 1)
    # Equal probabilities are taken together: the last of them has the mean over all.
    last = np.searchsorted(-p[order], -p[order], side="right") - 1
    found = np.empty(len(p))
    found[order] = running[last]
    return found
