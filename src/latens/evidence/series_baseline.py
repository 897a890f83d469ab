"""Series without a model: the step a season before, a regression on lags, and the Gaussian of windows."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data import Schema
from latens.evidence.factors import ALONE, FOLDS, Factors, turned
from latens.io.compilation import counted
from latens.io.lazy_imports import linalg

ALIKE = 0.3
"""The least correlation of what a season ago was, with the last steps' mean taken away, that makes a season."""


def season_of(x: Float[np.ndarray, "n T d"], seen: Bool[np.ndarray, "n T d"]) -> int | None:
    """The distance of steps that are alike: the first high peak of the correlation of steps within rows."""
    counts = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    centred = np.where(seen, x - np.sum(np.where(seen, x, 0.0), axis=1, keepdims=True) / counts, 0.0)
    scale = np.sqrt(np.maximum(np.sum(centred**2, axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1), 1e-12))
    centred = centred / scale
    most = x.shape[1] // 3
    if most < 2:
        return None
    alike = np.zeros(most + 2)
    for lag in range(1, min(most + 2, x.shape[1])):
        both = seen[:, lag:] & seen[:, :-lag]
        alike[lag] = np.sum(centred[:, lag:] * centred[:, :-lag]) / max(int(both.sum()), 1)
    peaks = [lag for lag in range(2, most + 1) if alike[lag] > max(alike[lag - 1], alike[lag + 1], ALIKE)]
    return max(peaks, key=lambda lag: alike[lag] - 1e-3 * lag) if peaks else None


def _means(x: Float[np.ndarray, "n T d"], seen: Bool[np.ndarray, "n T d"]) -> Float[np.ndarray, " d"]:
    """The mean of what was seen of each column."""
    return np.sum(np.where(seen, x, 0.0), axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1)


def _filled(x: np.ndarray, seen: np.ndarray, season: int, means: np.ndarray) -> Float[np.ndarray, "n T d"]:
    """Rows whose gaps are what was there a season before, or the mean of all rows."""
    filled = np.where(seen, x, np.nan)
    for t in range(x.shape[1]):
        before = filled[:, t - season] if t >= season else means
        filled[:, t] = np.where(np.isfinite(filled[:, t]), filled[:, t], before)
    return filled


@counted(steps=1, count=1)
def seasonal_draws(
    x: Float[np.ndarray, "n T d"],
    seen: Bool[np.ndarray, "n T d"],
    ends: Int[np.ndarray, " n"],
    steps: int,
    count: int,
    *,
    season: int | None = None,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "n M H d"], int]:
    """Forecast each row by the step a season before with residuals of the row itself, and give the season."""
    # Nothing after the end of a row is read. season: the distance; None finds it in the rows, and takes the last step
    # where there is none.
    rng = np.random.default_rng(seed)
    means = _means(x, seen)
    season = season if season is not None else season_of(x, seen) or 1
    season = max(1, min(season, int(ends.min())))
    made = np.zeros((len(x), count, steps, x.shape[2]))
    for row, end in enumerate(ends):
        filled = _filled(x[row : row + 1, :end], seen[row : row + 1, :end], season, means)[0]
        ahead = filled[end - season + np.arange(steps) % season]
        for column in range(x.shape[2]):
            there = seen[row, season:end, column] & seen[row, : end - season, column]
            left = (x[row, season:end, column] - x[row, : end - season, column])[there]
            left = left if len(left) else np.zeros(1)
            made[row, :, :, column] = ahead[:, column] + rng.choice(left, (count, steps))
    return made, season


def series_baselines(
    train: Float[np.ndarray, "m T d"],
    train_seen: Bool[np.ndarray, "m T d"],
    test: Float[np.ndarray, "n T d"],
    test_seen: Bool[np.ndarray, "n T d"],
) -> dict[str, Float[np.ndarray, " n"]]:
    """The log density of rows where each step is a Normal around what earlier steps say, in nats."""
    season = season_of(train, train_seen) or 1
    means, lags = _means(train, train_seen), sorted({1, 2, season})
    sides = [_filled(x, seen, season, means) for x, seen in ((train, train_seen), (test, test_seen))]
    naive = [np.concatenate([np.broadcast_to(means, x[:, :season].shape), x[:, :-season]], axis=1) for x in sides]
    longest = max(lags)
    read = [np.concatenate([x[:, longest - lag : x.shape[1] - lag] - means for lag in lags], axis=2) for x in sides]
    flat, said = read[0].reshape(-1, read[0].shape[2]), (sides[0][:, longest:] - means).reshape(-1, train.shape[2])
    gram = flat.T @ flat
    weights = np.linalg.solve(gram + 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram)), flat.T @ said)
    early = [np.broadcast_to(means, x[:, :longest].shape) for x in sides]
    regressed = [np.concatenate([first, means + r @ weights], axis=1) for first, r in zip(early, read)]
    found = {}
    for name, (own, other), first in (("seasonal_naive", naive, season), ("regression", regressed, longest)):
        scale = np.zeros(train.shape[1:])
        for part in (slice(0, first), slice(first, None)):
            count = np.maximum(train_seen[:, part].sum(axis=(0, 1)), 1)
            squares = np.sum(np.where(train_seen, (sides[0] - own) ** 2, 0.0)[:, part], axis=(0, 1))
            scale[part] = np.sqrt(np.maximum(squares / count, 1e-12))
        terms = -0.5 * (((sides[1] - other) / scale) ** 2 + np.log(2.0 * np.pi)) - np.log(scale)
        found[name] = np.sum(np.where(test_seen, terms, 0.0), axis=(1, 2))
    return found


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
        factor = linalg.cho_factor(covariance, lower=True)
    except np.linalg.LinAlgError:  # an autoregression that grows beyond what doubles hold
        return np.full(len(away), -np.inf)
    logdet = 2.0 * np.sum(np.log(np.diagonal(factor[0])))
    squared = np.sum(away.T * linalg.cho_solve(factor, away.T), axis=0)
    return -0.5 * (squared + logdet + away.shape[1] * np.log(2.0 * np.pi))
