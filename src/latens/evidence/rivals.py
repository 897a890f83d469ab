"""Rivals of models of series and of counts.

For series the step a season before, a regression on lags, and the Gaussian of windows. For counts given the total of
each row negative binomials gene by gene, whose shares depend on batches alone.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.evidence.factors import ALONE, FOLDS, Components, Factors, principal, turned
from latens.models.heads.depth import residuals
from latens.runtime.compilation import counted
from latens.runtime.lazy_imports import linalg, special

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


SHARES = (1.0, 0.9, 0.7, 0.4, 0.1)
"""Parts of the autoregression in the covariance; the rest is the covariance of the rows as it was counted."""
LEAST_NOISE = 1e-4
"""What is added to the variance of every cell, in the unit of its own variance."""
FEWEST = 20
"""Windows from which on there is such a Gaussian."""
FIRST_PERIOD = 4
"""The shortest period that is looked for; shorter ones are lags of the autoregression anyway."""


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


STEPS = 8
"""Steps of Newton's method of a regression; each halves what a former one overshot."""
MOST_CHANGE = 2.0
"""How far a coefficient may move in one of them."""
CONDITION_RIDGE, FACTOR_RIDGE = 1e-3, 20.0
"""The precision of the Normal prior of a coefficient of a condition, and of one of a latent."""
LOG_THETA = (-5.0, 7.0)
"""The logarithms of a dispersion, within which it is looked for."""
START_THETA = (-3.0, 5.0)
"""Within which it starts a model."""
LEAST_LOG_SHARE = -18.0
TURNS, GROUPS, GROUP_ROWS, GROUP_RIDGE = 4, 20, 30, 1e-2
"""How often cells are grouped, into how many groups at the most, of how many cells on average at the fewest.

The last number is the precision of the Normal prior of a coefficient of a group.
"""


class CountModel(NamedTuple):
    r"""Counts of genes given totals, $\log\mu_g = \log l + d \cdot b_g$ with a design d, and a dispersion a gene."""

    coefficients: Float[np.ndarray, "k genes"]  # the first is that of the constant 1
    log_theta: Float[np.ndarray, " genes"]

    def log_mean(self, design: Float[np.ndarray, "n k"], log_depth: Float[np.ndarray, " n"]) -> np.ndarray:
        """The logarithms of the means of rows with this design and these totals."""
        return log_depth[:, None] + design @ self.coefficients

    def log_probs(
        self, x: np.ndarray, design: np.ndarray, log_depth: np.ndarray, mask: Bool[np.ndarray, "n genes"] | None = None
    ) -> Float[np.ndarray, "n genes"]:
        """The log probability of each gene of rows given their totals, in nats; 0 where it is missing."""
        log_mean, theta = self.log_mean(design, log_depth), np.exp(self.log_theta)
        both = np.logaddexp(log_mean, self.log_theta)
        terms = special.gammaln(x + theta) - special.gammaln(theta) - special.gammaln(x + 1.0)
        terms = terms + theta * (self.log_theta - both) + x * (log_mean - both)
        return terms if mask is None else np.where(mask, terms, 0.0)


def log_totals(x: np.ndarray, mask: np.ndarray | None = None) -> Float[np.ndarray, " n"]:
    """The logarithms of the totals of rows, at least 1, over what is observed."""
    return np.log(np.maximum(np.sum(x, axis=1, dtype=np.float64, where=True if mask is None else mask), 1.0))


@ALONE
def fit_counts(
    x: Float[np.ndarray, "n genes"],
    design: Float[np.ndarray, "n k"],
    log_depth: Float[np.ndarray, " n"],
    ridge: Float[np.ndarray, " k"],
    *,
    mask: Bool[np.ndarray, "n genes"] | None = None,
    weight: Float[np.ndarray, " n"] | None = None,
    offset: Float[np.ndarray, "n genes"] | float = 0.0,
) -> CountModel:
    """A regression of each gene's counts, with a Normal prior of each coefficient but the first, then dispersions."""
    # ridge: the precision of that prior, 0 for the constant. offset: what is known of the logarithms of means.
    # Poisson while coefficients are fitted, so that shares of batches are totals over totals.
    counted = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    seen = np.broadcast_to(counted[:, None], x.shape) if mask is None else counted[:, None] * mask
    exposure = (np.exp(log_depth)[:, None] * seen).sum(axis=0)
    share = (x * seen).sum(axis=0) / np.maximum(exposure, 1e-12)
    width = design.shape[1]
    found = np.zeros((width, x.shape[1]))
    found[0] = np.maximum(np.log(np.maximum(share, 1e-300)), LEAST_LOG_SHARE)
    outer = (design[:, :, None] * design[:, None, :]).reshape(len(x), -1)
    for _ in range(STEPS if width > 1 else 0):
        mean = np.exp(np.minimum(log_depth[:, None] + offset + design @ found, 14.0))
        slope = design.T @ (seen * (x - mean)) - ridge[:, None] * found
        curve = (outer.T @ (seen * mean)).reshape(width, width, -1) + (ridge + 1e-6)[:, None, None] * np.eye(width)[
            ..., None
        ]
        step = np.linalg.solve(np.moveaxis(curve, 2, 0), slope.T[..., None])[..., 0].T
        found = found + np.clip(step, -MOST_CHANGE, MOST_CHANGE)
        found[0] = np.maximum(found[0], LEAST_LOG_SHARE)
    mean = np.exp(np.minimum(log_depth[:, None] + offset + design @ found, 14.0))
    return CountModel(found, _log_thetas(x, mean, seen))


def _log_thetas(x: np.ndarray, mean: np.ndarray, seen: np.ndarray) -> Float[np.ndarray, " genes"]:
    r"""The logarithms of the most probable dispersions beside given means, by bisection."""
    # The root of $\sum_i w_i [\psi(x_i + \theta) - \psi(\theta) + \log\frac{\theta}{\theta+\mu_i} + \frac{\mu_i -
    # x_i}{\theta + \mu_i}]$. It falls from above where the counts vary more than those of a Poisson.
    low, high = np.full(x.shape[1], LOG_THETA[0]), np.full(x.shape[1], LOG_THETA[1])
    for _ in range(30):
        middle = 0.5 * (low + high)
        theta = np.exp(middle)
        slope = special.digamma(x + theta) - special.digamma(theta)
        terms = slope - np.log1p(mean / theta) + (mean - x) / (theta + mean)
        score = np.sum(seen * terms, axis=0)
        low, high = np.where(score > 0, middle, low), np.where(score > 0, high, middle)
    return 0.5 * (low + high)


def depth_baseline(
    train: np.ndarray,
    test: np.ndarray,
    given: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    *,
    masks: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    weight: np.ndarray | None = None,
) -> Float[np.ndarray, "n genes"]:
    """The log probability of each gene of test rows given their totals, under negative binomials of genes alone."""
    # given: the vectors of the conditions (batches) of training and test rows; shares of genes depend on them alone.
    design, ridge = _design(train, given[0])
    made = fit_counts(train, design, log_totals(train, masks[0]), ridge, mask=masks[0], weight=weight)
    return made.log_probs(test, _design(test, given[1])[0], log_totals(test, masks[1]), masks[1])


def _design(x: np.ndarray, given: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    parts = [np.ones((len(x), 1))] + ([] if given is None else [np.asarray(given, np.float64)])
    design = np.concatenate(parts, axis=1)
    return design, np.concatenate([[0.0], np.full(design.shape[1] - 1, CONDITION_RIDGE)])


def alike(codes: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n groups"]:
    """Groups of cells with codes that are near, by k-means: a 1 a row in the column of its group."""
    from sklearn.cluster import KMeans

    count = max(1, min(GROUPS, len(codes) // GROUP_ROWS))
    options: dict[str, Any] = {"n_init": 2, "random_state": 0}
    return np.eye(count)[KMeans(count, **options).fit_predict(codes)]


PAIRED, MOST_PAIRED = 15, 64
"""Nearest cells of another batch that a cell may be paired with, and batches that are compared pair by pair."""


class DepthFactors(NamedTuple):
    """Where a model of counts begins: principal components of what its encoder sees, and the shares they say."""

    centre: Float[np.ndarray, " genes"]  # of what is seen of each gene
    target: float  # the logarithm of that depth
    spread: float  # the standard deviation of the logarithm of the depth
    up: Float[np.ndarray, "seen k"]  # from what an encoder sees (genes, depth, conditions) to means of latents
    at: Float[np.ndarray, " k"]  # what is added
    scale: Float[np.ndarray, " k"]  # the standard deviations of latents given a usual row
    down: Float[np.ndarray, "read genes"]  # from latents, then conditions, to logarithms of shares
    shares: Float[np.ndarray, " genes"]  # these where latents and conditions are 0
    log_theta: Float[np.ndarray, " genes"]
    usual: Float[np.ndarray, " genes"] | None  # the logarithms of shares that residuals are from; None: logarithms
    groups: Float[np.ndarray, "n groups"]  # which cells are alike, a 1 a row: among these batches say nothing


def mutual(codes: Float[np.ndarray, "n k"], told: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Pairs of cells of two batches, each among the nearest of the other's batch; None where there are no such."""
    # Source: Haghverdi, Lun, Morgan & Marioni (2018), Nature Biotechnology 36, 421.
    from sklearn.neighbors import NearestNeighbors

    batch = np.unique(told, axis=0, return_inverse=True)[1].reshape(-1)
    held = [rows for one in range(batch.max() + 1) if len(rows := np.flatnonzero(batch == one)) >= PAIRED]
    if not 1 < len(held) <= MOST_PAIRED:
        return None
    found = [NearestNeighbors(n_neighbors=PAIRED, n_jobs=1).fit(codes[rows]) for rows in held]
    first, second = [], []
    for i, one in enumerate(held):
        for j in range(i):
            two = held[j]
            near = np.zeros((2, len(one), len(two)), bool)
            np.put_along_axis(near[0], found[j].kneighbors(codes[one], return_distance=False), True, axis=1)
            np.put_along_axis(near[1].T, found[i].kneighbors(codes[two], return_distance=False), True, axis=1)
            a, b = np.nonzero(near.all(axis=0))
            first.append(one[a])
            second.append(two[b])
    pairs = np.concatenate(first), np.concatenate(second)
    return pairs if len(pairs[0]) else None


def _without(
    seen: np.ndarray, depth: np.ndarray, told: np.ndarray, count: int
) -> tuple[Components, np.ndarray, np.ndarray]:
    """The components of what is seen less what depth and batches say, what they say, and groups of cells alike."""
    # What a batch adds is what it adds among cells that are alike: batches may hold types in unlike shares, and the
    # difference of their means would take that for a batch effect, and move the codes of each type along its markers.
    groups = np.ones((len(seen), 1))
    beside = np.concatenate([depth, told], axis=1)
    says = np.linalg.lstsq(np.concatenate([beside, groups], axis=1), seen, rcond=1e-8)[0][:-1]
    made = principal(seen - beside @ says, count)
    rest = seen - depth @ says[:1]
    of_batches = np.zeros((told.shape[1], seen.shape[1]))
    for _ in range(TURNS if told.shape[1] and count else 0):
        now = principal(rest - told @ of_batches, count)
        if (pairs := mutual((rest - told @ of_batches - now.mean) @ now.directions, told)) is None:
            break
        of_batches = np.linalg.lstsq(told[pairs[0]] - told[pairs[1]], rest[pairs[0]] - rest[pairs[1]], rcond=1e-8)[0]
        says = np.concatenate([says[:1], of_batches])
        made = principal(rest - told @ of_batches, count)
    for _ in range(TURNS if told.shape[1] and count else 0):
        groups = alike((seen - beside @ says - made.mean) @ made.directions)
        of_batches = np.linalg.lstsq(np.concatenate([told, groups], axis=1), rest, rcond=1e-8)[0][: told.shape[1]]
        says = np.concatenate([says[:1], of_batches])
        made = principal(rest - told @ of_batches, count)
    return made, says, groups


@ALONE
def fit_depth_factors(
    x: Float[np.ndarray, "n genes"],
    given: Float[np.ndarray, "n width"] | None,
    count: int,
    mask: Bool[np.ndarray, "n genes"] | None = None,
    *,
    of_residuals: bool = False,
) -> DepthFactors:
    """Principal components of residuals, or of logarithms at one depth, less what batches and depth say of them."""
    # The latents of the encoder's map have no linear dependence on the depth in a batch, nor on the batch among cells
    # that are alike, and variance 1 with what the counts leave unknown of them.
    x = np.asarray(x, np.float64)
    depth = log_totals(x, mask)
    target = float(np.median(depth))
    spread = max(float(np.std(depth)), 1e-3)
    usual = None
    if of_residuals:
        usual = fit_counts(x, np.ones((len(x), 1)), depth, np.zeros(1), mask=mask).coefficients[0]
        logs = residuals(x, depth[:, None], usual, np)
    else:
        logs = np.log1p(x * np.exp(target - depth)[:, None])
    centre = logs.mean(axis=0, where=True if mask is None else mask)
    seen = logs - centre if mask is None else np.where(mask, logs - centre, 0.0)
    told = np.zeros((len(x), 0)) if given is None else np.asarray(given, np.float64)
    beside = np.concatenate([((depth - target) / spread)[:, None], told], axis=1)
    ones = np.ones((len(x), 1))
    made, says, groups = _without(seen, beside[:, :1], told, count)
    says = np.concatenate([says, made.mean[None]])
    held = len(made.variances)
    directions = np.zeros((x.shape[1], count))
    directions[:, :held] = made.directions / np.sqrt(np.maximum(made.variances, 1e-12))
    up = np.concatenate([directions, -says[:-1] @ directions])
    at = -says[-1] @ directions
    z = np.concatenate([seen, beside], axis=1) @ up + at
    # Of batches too: codes know types with an error, and what they miss of these would be left to the batches.
    rest = np.concatenate([ones, told, groups[:, 1:]], axis=1)
    ridge = np.repeat([0.0, CONDITION_RIDGE, GROUP_RIDGE], [1, told.shape[1], groups.shape[1] - 1])
    of_batches = fit_counts(x, rest, depth, ridge, mask=mask).coefficients[1 : 1 + told.shape[1]]
    ridge = np.concatenate([[0.0], np.full(count, FACTOR_RIDGE)])
    fitted = fit_counts(x, np.concatenate([ones, z], axis=1), depth, ridge, mask=mask, offset=told @ of_batches)
    shares, down = fitted.coefficients[0], np.concatenate([fitted.coefficients[1:], of_batches])
    # What one row of a usual depth says of a latent: the information of its counts at the usual shares.
    mean = np.exp(target + shares)
    information = np.sum(mean / (1.0 + mean * np.exp(-fitted.log_theta)) * down[:count] ** 2, axis=1)
    left = 1.0 / (1.0 + information)
    size = np.sqrt(1.0 - left)
    down[:count] /= np.maximum(size, 0.3)[:, None]
    return DepthFactors(
        centre,
        target,
        spread,
        up * size,
        at * size,
        np.sqrt(left),
        down,
        shares,
        np.clip(fitted.log_theta, *START_THETA),
        usual,
        groups,
    )
