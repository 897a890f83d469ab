"""Counts given the total of each row, gene by gene: negative binomials whose shares depend on batches alone."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latens.evidence.factors import ALONE, Components, principal
from latens.io.lazy_imports import special
from latens.models.heads.depth import residuals

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
