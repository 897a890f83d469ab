"""Factors of rows in closed form (probabilistic PCA): what they leave, how probable rows are, how many there are."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

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
    # scale: the standard deviation of the noise, where that is given.
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
