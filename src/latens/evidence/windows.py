"""The Gaussian of windows of a series: each time given those before it (vector autoregression), shrunk covariances."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from latens.data import Schema
from latens.evidence.factors import ALONE, FOLDS, Factors, turned

MOST_CELLS = 1024
"""Values of a row above which no covariance of all of them is held."""
SHARES = (1.0, 0.9, 0.7, 0.4, 0.1)
"""Parts of the autoregression in the covariance; the rest is the covariance of the rows as it was counted."""
LEAST_NOISE = 1e-4
"""What is added to the variance of every cell, in the unit of its own variance."""
FEWEST = 20
"""Windows from which on there is such a Gaussian."""
FIRST_PERIOD = 4
"""The shortest period that is looked for; shorter ones are lags of the autoregression anyway."""


def is_series(schema: Schema) -> bool:
    """Whether rows are windows of several times by several real numbers, few enough to hold all their correlations."""
    times, *rest = schema.shape
    few = math.prod(schema.shape) <= MOST_CELLS
    return schema.cells.real and len(rest) == 1 and min(times, *rest) > 0 and times > 1 and few


class Window(NamedTuple):
    """A Gaussian of windows."""

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    lags: tuple[int, ...]  # the times before a time that it was regressed on
    share: float  # the part of the autoregression in the covariance

    def log_prob(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """The log density of windows."""
        return _log_density(x - self.mean, self.covariance)

    def factors(self, count: int) -> Factors:
        """The same Gaussian as so many factors and all correlations of what they leave."""
        # Of the first directions, in the unit of each cell's deviation, the variance of the others is left: what is
        # left stays positive, and the sum is whole.
        unit = np.sqrt(np.diagonal(self.covariance))
        values, vectors = np.linalg.eigh(self.covariance / (unit[:, None] * unit))
        held = min(count, len(values) - 1)
        left = values[: len(values) - held].mean()
        weight = np.zeros((len(values), count))
        weight[:, :held] = (vectors * np.sqrt(np.maximum(values - left, 0.0)))[:, ::-1][:, :held]
        weight *= unit[:, None]
        return turned(Factors(self.mean, weight, (self.covariance - weight @ weight.T)[None]))

    @property
    def latents(self) -> int:
        """The directions whose variance is above that of a mean cell."""
        unit = np.sqrt(np.diagonal(self.covariance))
        return int(np.sum(np.linalg.eigvalsh(self.covariance / (unit[:, None] * unit)) > 1.0))

    @property
    def words(self) -> str:
        """What it is, for people."""
        lags = ", ".join(map(str, self.lags)) or "none"
        rest = "" if self.share == 1.0 else f", with {1.0 - self.share:.0%} of the counted covariance"
        return f"a Gaussian of windows (autoregression on lags {lags}{rest})"


@ALONE
def fit_window(x: Float[np.ndarray, "n t c"]) -> Window:
    r"""A Gaussian of windows, with the lags and the share of the autoregression that held-out windows choose."""
    # $x_t - m_t = \sum_l A_l (x_{t-l} - m_{t-l}) + e_t$ with the mean m of each time; $A_l$ and the covariance of e are
    # those of all times that have the same lags before them. Source: Luetkepohl (2005), section 3.2, least squares.
    # Windows that follow one another are held out together, since neighbours may share times.
    x = np.asarray(x, np.float64)
    rows, times = x.shape[:2]
    unit = np.std(x - x.mean(axis=0), axis=(0, 1))
    unit = np.where(unit > 0.0, unit, 1.0)
    x = x / unit
    mean = x.mean(axis=0)
    away = x - mean
    flat, lagged = away.reshape(rows, -1), _candidates(away)
    scores = np.zeros((len(lagged), len(SHARES), rows))
    for held in np.array_split(np.arange(rows), FOLDS):
        kept = np.delete(x, held, axis=0)
        inside, apart = kept - kept.mean(axis=0), (x[held] - kept.mean(axis=0)).reshape(len(held), -1)
        counted = inside.reshape(len(kept), -1).T @ inside.reshape(len(kept), -1) / len(kept)
        for i, lags in enumerate(lagged):
            own = _autoregression(inside, lags)
            for j, share in enumerate(SHARES):
                scores[i, j, held] = _log_density(apart, _regular((1.0 - share) * counted + share * own))
    # Lags are those of the autoregression alone: beside the counted covariance all do alike, and what is ahead of a
    # series that changes is told by lags. A period is taken where it costs no more than a standard error: it counts
    # for little in the density of a window, and for much in what comes next.
    alone = scores[:, 0]
    best = int(alone.mean(axis=1).argmax())
    periodic = [i for i, one in enumerate(lagged) if one and one[-1] >= FIRST_PERIOD]
    if periodic and best not in periodic:
        other = max(periodic, key=lambda i: alone[i].mean())
        lost = alone[best] - alone[other]
        best = other if lost.mean() <= lost.std(ddof=1) / math.sqrt(rows) else best
    lags, share = lagged[best], SHARES[int(scores[best].mean(axis=1).argmax())]
    both = (1.0 - share) * (flat.T @ flat / rows) + share * _autoregression(away, lags)
    each = np.tile(unit, times)
    lags = tuple(lag for lag in lags if lag < times)
    return Window(each * mean.reshape(-1), _regular(both) * each[:, None] * each, lags, share)


def _candidates(away: Float[np.ndarray, "n t c"]) -> list[tuple[int, ...]]:
    """Lags that may be regressed on: none, the last one to three, and the period that autocorrelations show."""
    times = away.shape[1]
    plain = [tuple(range(1, last + 1)) for last in range(min(4, times))]
    if times <= 2 * FIRST_PERIOD:
        return plain
    lags = np.arange(FIRST_PERIOD, times - FIRST_PERIOD)
    inner = np.asarray([np.mean(away[:, lag:] * away[:, :-lag]) for lag in lags])
    peaks = [i for i in range(1, len(inner) - 1) if inner[i] >= inner[i - 1] and inner[i] >= inner[i + 1]]
    if not peaks:
        return plain
    period = int(lags[max(peaks, key=lambda i: inner[i])])
    around = [(period,), (period - 1, period, period + 1)]
    return plain + [one + more for one in plain[1:3] for more in around]


def _autoregression(away: Float[np.ndarray, "n t c"], lags: Sequence[int]) -> Float[np.ndarray, "d d"]:
    """The covariance of windows under the regression of each time on those before it."""
    _, times, cells = away.shape
    alike: dict[tuple[int, ...], list[int]] = {}
    for time in range(times):
        alike.setdefault(tuple(lag for lag in lags if lag <= time), []).append(time)
    before, noise = np.zeros((times, cells, times, cells)), np.zeros((times, cells, cells))
    for have, at in alike.items():
        y = away[:, at].reshape(-1, cells)
        left, slopes = y, np.zeros((0, cells))
        if have:
            seen = np.concatenate([away[:, np.subtract(at, lag)] for lag in have], axis=2).reshape(len(y), -1)
            gram = seen.T @ seen
            ridge = LEAST_NOISE * np.trace(gram) / len(gram)
            slopes = np.linalg.solve(gram + ridge * np.eye(len(gram)), seen.T @ y)
            left = y - seen @ slopes
        spread = left.T @ left / len(left)
        for time in at:
            noise[time] = spread
            for i, lag in enumerate(have):
                before[time, :, time - lag] = slopes[i * cells : (i + 1) * cells].T
    # x = B x + e: the times in turn, each from those before it.
    made = np.zeros((times, cells, times, cells))
    for time in range(times):
        past = before[time, :, :time].reshape(cells, -1)
        shared = past @ made[:time, :, :time].reshape(time * cells, time * cells)
        made[time, :, :time] = shared.reshape(cells, time, cells)
        made[:time, :, time] = np.moveaxis(made[time, :, :time], 0, -1)
        made[time, :, time] = noise[time] + shared @ past.T
    return made.reshape(times * cells, times * cells)


def _regular(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A covariance with a little more variance of every cell, so that none is a function of others."""
    own = np.diagonal(covariance)
    more = np.maximum(LEAST_NOISE * own, max(1e-12, LEAST_NOISE * 1e-2 * float(own.mean())))
    both = covariance + np.diag(more)
    return 0.5 * (both + both.T)


def _log_density(away: Float[np.ndarray, "n d"], covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, " n"]:
    try:
        factor = cho_factor(covariance, lower=True)
    except np.linalg.LinAlgError:  # an autoregression that grows beyond what doubles hold
        return np.full(len(away), -np.inf)
    logdet = 2.0 * np.sum(np.log(np.diagonal(factor[0])))
    squared = np.sum(away.T * cho_solve(factor, away.T), axis=0)
    return -0.5 * (squared + logdet + away.shape[1] * np.log(2.0 * np.pi))
