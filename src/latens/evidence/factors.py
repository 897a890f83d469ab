"""Factors in closed form (probabilistic PCA): of rows, of rows with missing cells by EM, of the scores of a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from threadpoolctl import threadpool_limits

from latens.kinds.tables.columns import ColumnType
from latens.models.heads.table import middles_of

MOST_ROWS, MOST_VALUES = 4096, 2**24
"""Rows that factors are found in, and values of all of these together."""
EXACT = 1024
"""Up to so many rows or cells all principal components are found; beyond, the first ones from a random subspace."""
ROUNDS = 4
"""Rounds of that subspace. The tenth of a per cent of variance that it lacks is noise then."""
LEAST = 0.01
"""The least variance that a cell keeps, as a part of that of all cells, as a decoder's scales have it."""
ALONE = threadpool_limits.wrap(limits=1)
"""Sums of several threads differ in their last bits from those of one, and so would two processes of a group."""
FOLDS = 5
MOST_LATENTS = 256
"""Factors that are looked for at the most."""


class Components(NamedTuple):
    """The principal components of rows."""

    mean: Float[np.ndarray, " d"]
    directions: Float[np.ndarray, "d k"]  # of length one, the largest variance first
    variances: Float[np.ndarray, " k"]
    each: Float[np.ndarray, " d"]  # the variance of each cell

    @property
    def left(self) -> Float[np.ndarray, " k1"]:
        """The mean variance of the directions after the first 0, 1, ..., k."""
        more = np.concatenate([[0.0], np.cumsum(self.variances)])
        left = np.maximum(self.each.sum() - more, 0.0) / np.maximum(len(self.each) - np.arange(len(more)), 1)
        return np.maximum(left, max(LEAST * self.each.mean(), 1e-12))


class Factors(NamedTuple):
    r"""A Gaussian of rows, $x = \mu + W z + \epsilon$ with a standard Normal z, whose posterior has no correlations."""

    mean: Float[np.ndarray, " d"]
    weight: Float[np.ndarray, "d k"]
    noise: Float[np.ndarray, "g c c"]  # the covariance of what is left, of every c cells after one another

    @property
    def variance(self) -> Float[np.ndarray, " d"]:
        """The variance of what is left of each cell."""
        return np.diagonal(self.noise, axis1=1, axis2=2).reshape(-1)

    @property
    def precise(self) -> Float[np.ndarray, "d k"]:
        """The weights times the inverse covariance of what is left."""
        groups, size = self.noise.shape[:2]
        return np.linalg.solve(self.noise, self.weight.reshape(groups, size, self.weight.shape[1])).reshape(
            self.weight.shape
        )

    @property
    def precision(self) -> Float[np.ndarray, " k"]:
        """The precision of each factor given a row."""
        return 1.0 + np.sum(self.weight * self.precise, axis=0)

    @property
    def encoder(self) -> Float[np.ndarray, "d k"]:
        """The map from a row, less the mean, to the means of its factors."""
        return self.precise / self.precision

    def log_prob(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """The log density of rows."""
        away = x - self.mean
        groups, size = self.noise.shape[:2]
        apart = np.linalg.solve(self.noise[None], away.reshape(len(x), groups, size, 1)).reshape(away.shape)
        explained = np.sum((away @ self.precise) ** 2 / self.precision, axis=1)
        logdet = np.sum(np.linalg.slogdet(self.noise)[1]) + np.sum(np.log(self.precision))
        return -0.5 * (np.sum(away * apart, axis=1) - explained + logdet + x.shape[1] * math.log(2.0 * math.pi))


def principal(x: Float[np.ndarray, "n d"], most: int) -> Components:
    """The first principal components of rows, at most so many."""
    mean = x.mean(axis=0, dtype=np.float64)
    away = x - mean.astype(x.dtype)
    rows, cells = away.shape
    each = np.asarray(np.mean(np.square(away), axis=0, dtype=np.float64))
    most = min(most, cells, rows - 1)
    basis = None
    if min(rows, cells) > max(EXACT, 2 * most):
        # Source: Halko, Martinsson & Tropp (2011), algorithm 4.4.
        basis = np.random.default_rng(0).standard_normal((cells, most + 16)).astype(x.dtype)
        for _ in range(ROUNDS):
            basis = np.linalg.qr(away.T @ (away @ basis))[0]
    small = (away if basis is None else away @ basis).astype(np.float64)
    if small.shape[1] <= rows:
        values, vectors = np.linalg.eigh(small.T @ small / rows)
    else:
        values, vectors = np.linalg.eigh(small @ small.T / rows)
        vectors = small.T @ vectors / np.sqrt(np.maximum(rows * values, 1e-30))
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    return Components(mean, vectors if basis is None else basis @ vectors, np.maximum(values, 0.0), each)


@ALONE
def latent_gains(x: Float[np.ndarray, "n d"], most: int) -> Float[np.ndarray, " k1"]:
    """The mean log density, on rows that were held out, of probabilistic PCA with 0, 1, ..., `most` factors."""
    # Source: Tipping & Bishop (1999), equation 9 with the maximum-likelihood W and noise.
    held = np.arange(len(x)) % FOLDS == 0
    made = principal(x[~held], most)
    away = (x[held] - made.mean).astype(np.float64)
    along = (away @ made.directions) ** 2
    none = np.zeros((len(along), 1))
    left, counts = made.left, np.arange(len(made.variances) + 1)
    own = np.maximum(made.variances, left[1:])
    inside = np.concatenate([none, np.cumsum(along / own + np.log(own), axis=1)], axis=1)
    outside = np.sum(away**2, axis=1)[:, None] - np.concatenate([none, np.cumsum(along, axis=1)], axis=1)
    rest = outside / left + (x.shape[1] - counts) * np.log(left)
    return -0.5 * np.mean(inside + rest, axis=0) - 0.5 * x.shape[1] * math.log(2.0 * math.pi)


@ALONE
def fit_factors(
    x: Float[np.ndarray, "n d"], count: int, *, group: int = 1, common: bool = False, scale: float | None = None
) -> Factors:
    """Probabilistic PCA of rows, with what it leaves of each cell as noise, turned so that factors stay independent."""
    # group: so many cells after one another have correlated noise. common: all cells have one variance of it.
    # Source: Tipping & Bishop (1999), W = U (L - s^2)^(1/2). Any rotation of the factors has the same density.
    made = principal(x, count)
    left = made.left[-1] if scale is None else scale**2
    cells, held = len(made.each), len(made.variances)
    weight = np.zeros((cells, count))
    weight[:, :held] = made.directions * np.sqrt(np.maximum(made.variances - left, 0.0))
    if common or scale is not None:
        noise = np.full((cells, 1, 1), left)
        return turned(Factors(made.mean, weight, noise))
    away = (x - made.mean.astype(x.dtype)).reshape(len(x), -1, group)
    of_rows = np.einsum("ngi,ngj->gij", away, away, dtype=np.float64, optimize=True) / len(x)
    blocks = weight.reshape(cells // group, group, count)
    noise = of_rows - blocks @ np.swapaxes(blocks, 1, 2)
    typical = max(float(np.mean(np.diagonal(noise, axis1=1, axis2=2))), 1e-10)  # 0 where no cell varies
    noise = noise + np.eye(group) * np.maximum(0.0, LEAST * typical - np.linalg.eigvalsh(noise)[:, :1, None])
    return turned(Factors(made.mean, weight, noise))


@ALONE
def gaussian_baseline(
    train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "B d"], *, group: int = 1, common_unit: bool = False
) -> tuple[Float[np.ndarray, " B"], int]:
    """The log density of test rows under as many factors of training rows as gain on rows held out; their number."""
    unit = np.ones(train.shape[1]) if common_unit else train.std(axis=0, dtype=np.float64)
    unit = np.where(unit > 0.0, unit, 1.0)
    inside = (train / unit).astype(train.dtype)
    count = int(latent_gains(inside, MOST_LATENTS).argmax()) if len(train) >= 2 * FOLDS else 0
    made = fit_factors(inside, count, group=group)
    return made.log_prob(test / unit) - np.sum(np.log(unit)), count


def turned(made: Factors) -> Factors:
    """The same Gaussian with factors whose posterior has no correlations, the most precise first."""
    if not made.weight.shape[1]:
        return made
    vectors = np.linalg.eigh(made.weight.T @ made.precise)[1][:, ::-1]
    # A sign that does not depend on the solver: the largest weight of each factor is positive.
    weight = made.weight @ vectors
    weight *= np.sign(weight[np.abs(weight).argmax(axis=0), np.arange(weight.shape[1])] + 1e-30)
    return made._replace(weight=weight)


TRIED = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Numbers of factors that are tried, in turn, until none of `PATIENCE` says held-out rows better."""
PATIENCE = 2
EM_ROUNDS, ENOUGH = 200, 1e-4
"""Rounds of EM at the most, and the nats of a row that a round gains at the least."""


@ALONE
def fit_gappy(x: Float[np.ndarray, "n d"], shown: Bool[np.ndarray, "n d"], count: int) -> Factors:
    """Find so many factors of rows of which some cells are not shown."""
    # Source: Rubin & Thayer (1982), with the cells of each row that are observed.
    x, seen = np.where(shown, x, 0.0), shown.astype(np.float64)
    found = _first(x, seen, count)
    last = -math.inf
    for _ in range(EM_ROUNDS):
        log_p, mean, covariance = _posterior(found, x, seen)
        if (now := float(log_p.mean())) < last + ENOUGH:
            break
        last = now
        found = _maximised(x, seen, mean, covariance)
    return turned(found)


@ALONE
def gappy_gains(x: Float[np.ndarray, "n d"], shown: Bool[np.ndarray, "n d"], most: int) -> Float[np.ndarray, " k1"]:
    """The mean log density of what held-out rows show, with 0, 1, ..., `most` factors; -inf of numbers not tried."""
    held, gains = np.arange(len(x)) % FOLDS == 0, np.full(most + 1, -math.inf)
    for count in TRIED:
        if count > min(most, x.shape[1] - 1) or count > gains.argmax() + 8:
            break
        made = fit_gappy(x[~held], shown[~held], count)
        gains[count] = float(_posterior(made, np.where(shown, x, 0.0)[held], shown[held].astype(float))[0].mean())
        tried = np.flatnonzero(np.isfinite(gains))
        if len(tried) - 1 - int(np.argmax(gains[tried])) >= PATIENCE:
            break
    return gains


def _first(x: np.ndarray, seen: np.ndarray, count: int) -> Factors:
    """Principal components of rows with the mean in the gaps."""
    cells = np.maximum(seen.sum(axis=0), 1.0)
    mean = x.sum(axis=0) / cells
    away = (x - mean) * seen
    variance = np.sum(away**2, axis=0) / cells
    values, vectors = np.linalg.eigh(away.T @ away / np.maximum(seen.T @ seen, 1.0))
    weight = vectors[:, ::-1][:, :count] * np.sqrt(np.maximum(0.5 * values[::-1][:count], 1e-6))
    return Factors(mean, weight, _floored(variance - np.sum(weight**2, axis=1))[:, None, None])


def _floored(variance: np.ndarray) -> np.ndarray:
    return np.maximum(variance, max(LEAST * float(np.mean(np.maximum(variance, 0.0))), 1e-12))


def _posterior(
    made: Factors, x: np.ndarray, seen: np.ndarray
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n k"], Float[np.ndarray, "n k k"]]:
    """The log density of what is observed of each row, and mean and covariance of its factors."""
    count, precise = made.weight.shape[1], made.weight / made.variance[:, None]
    away = (x - made.mean) * seen
    products = (precise[:, :, None] * made.weight[:, None]).reshape(len(precise), count * count)
    precision = np.eye(count) + (seen @ products).reshape(len(x), count, count)
    covariance, along = np.linalg.inv(precision), away @ precise
    mean = np.einsum("nij,nj->ni", covariance, along)
    apart = (away**2) @ (1.0 / made.variance) + seen @ np.log(2.0 * math.pi * made.variance)
    log_det = np.linalg.slogdet(precision)[1]
    return -0.5 * (apart - np.sum(along * mean, axis=1) + log_det), mean, covariance


def _maximised(x: np.ndarray, seen: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> Factors:
    """The regression of every column on the factors, over the rows that have it."""
    rows, count = mean.shape
    moments = np.zeros((rows, count + 1, count + 1))
    wide = np.concatenate([mean, np.ones((rows, 1))], axis=1)
    moments[:, :count, :count] = covariance
    moments += wide[:, :, None] * wide[:, None]
    inner = (seen.T @ moments.reshape(rows, -1)).reshape(-1, count + 1, count + 1)
    right = (x * seen).T @ wide
    slope = np.linalg.solve(inner + 1e-6 * np.eye(count + 1), right[..., None])[..., 0]
    left = (np.sum(seen * x**2, axis=0) - np.sum(slope * right, axis=1)) / np.maximum(seen.sum(axis=0), 1.0)
    return Factors(slope[:, -1], slope[:, :-1], _floored(left)[:, None, None])


MOST_TABLE_ROWS = 2**15
"""Rows that factors of columns are found in."""
FEWEST = 10.0
"""Training rows of a name at the least that has scores of its own; those of fewer share theirs."""
MOST_EXPLAINED = 0.8
"""The most that factors explain of the variance of a score: a column is never said for sure."""


def scores_of(one: ColumnType, rows: float) -> Float[np.ndarray, "S d"]:
    """The scores of each segment of a column."""
    shares = np.asarray(one.shares, np.float64)
    if one.kind != "category":
        middle = middles_of(one)
        away = middle - shares @ middle
        spread = np.sqrt(shares @ away**2)
        return (away / spread)[:, None] if spread > 1e-6 else np.zeros((one.count, 0))
    seldom = shares * rows < FEWEST
    group = np.cumsum(~seldom) - 1
    alike = len(shares) if shares[seldom].sum() * rows >= FEWEST else group[shares.argmax()]
    group = np.unique(np.where(seldom, alike, group), return_inverse=True)[1]
    root = np.sqrt(np.bincount(group, shares))
    # Orthonormal directions beside that of the roots of the shares, in which names differ.
    turn = np.linalg.svd(root[:, None])[0][:, 1:]
    return (turn / root[:, None])[group]


@dataclass(frozen=True)
class ColumnFactors:
    """A joint Normal of the scores of columns and of k factors z ~ N(0, I), whose posterior has no correlations."""

    scores: tuple[Float[np.ndarray, "_ _"], ...]  # of each segment of each column
    weights: tuple[Float[np.ndarray, "_ k"], ...]  # the expected scores of each column are these times z

    @property
    def latents(self) -> int:
        """How many factors there are."""
        return self.weights[0].shape[1]

    def slopes(self) -> tuple[Float[np.ndarray, "_ k"], ...]:
        r"""What a score of each column adds to the natural location of z: $W (I - W^\top W)^{-1}$."""
        eye = np.eye(self.latents)
        return tuple(np.linalg.solve(eye - one.T @ one, one.T).T for one in self.weights)

    def precision(self) -> Float[np.ndarray, "k k"]:
        """The precision of z given all columns."""
        return np.eye(self.latents) + sum(one.T @ own for one, own in zip(self.weights, self.slopes()))

    def ratios(self) -> list[tuple[Float[np.ndarray, "_ k"], Float[np.ndarray, " _"]]]:
        r"""Of each column $\log p(s \mid z) - \log p(s)$ of its segments s: what is multiplied with z, and the rest."""
        # Bayes: z given s is Normal around W^T s with the covariance I - W^T W.
        found = []
        for scores, weight, slopes in zip(self.scores, self.weights, self.slopes()):
            along = scores @ slopes
            found.append((along, -0.5 * np.sum(along * (scores @ weight), axis=1)))
        return found

    def turned(self) -> "ColumnFactors":
        """The same Normal with factors that are independent given a row, the most precise first."""
        vectors = np.linalg.eigh(self.precision())[1][:, ::-1]
        weights = np.concatenate(self.weights) @ vectors
        # A sign that does not depend on the solver: the largest weight of each factor is positive.
        signs = np.sign(weights[np.abs(weights).argmax(axis=0), np.arange(self.latents)] + 1e-30)
        return ColumnFactors(self.scores, tuple(one @ vectors * signs for one in self.weights))


@ALONE
def fit_column_factors(
    x: Shaped[np.ndarray, "n c"],
    mask: Bool[np.ndarray, "n c"] | None,
    types: Sequence[ColumnType],
    *,
    count: int,
    weight: Float[np.ndarray, " n"] | None = None,
) -> ColumnFactors:
    """Probabilistic principal components of the scores of rows, so many; missing cells are at the mean."""
    # Source: Tipping & Bishop (1999), W = U (L - s^2)^(1/2).
    scores = tuple(scores_of(one, len(x)) for one in types)
    rows = scored(x, mask, types, scores, weight)
    ends = np.cumsum([own.shape[1] for own in scores])[:-1]
    weights, made = np.zeros((rows.shape[1], count)), principal(rows, min(count, max(rows.shape[1] - 1, 0)))
    weights[:, : len(made.variances)] = made.directions * np.sqrt(np.maximum(made.variances - made.left[-1], 0.0))
    return ColumnFactors(scores, tuple(_possible(one) for one in np.split(weights, ends))).turned()


def scored(
    x: Shaped[np.ndarray, "n c"],
    mask: Bool[np.ndarray, "n c"] | None,
    types: Sequence[ColumnType],
    scores: Sequence[Float[np.ndarray, "_ _"]],
    weight: Float[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, "n d"]:
    """The scores of rows, one column after another; a row of weight w counts as its square does."""
    columns = []
    for j, (one, own) in enumerate(zip(types, scores)):
        place = np.clip(np.searchsorted(one.firsts, np.nan_to_num(x[:, j]), side="right") - 1, 0, one.count - 1)
        columns.append(own[place] if mask is None else own[place] * mask[:, j, None])
    rows = np.concatenate(columns, axis=1)
    return rows if weight is None else rows * np.sqrt(weight / weight.mean())[:, None]


def _possible(weight: Float[np.ndarray, "d k"]) -> Float[np.ndarray, "d k"]:
    """The weights with none that explain more of a score than `MOST_EXPLAINED`."""
    if not weight.size:
        return weight
    left, sizes, right = np.linalg.svd(weight, full_matrices=False)
    return left * np.minimum(sizes, np.sqrt(MOST_EXPLAINED)) @ right
