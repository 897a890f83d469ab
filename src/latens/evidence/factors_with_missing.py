"""Factors of rows with missing cells: the maximum of the likelihood of what is observed, by EM."""

import math

import numpy as np
from jaxtyping import Bool, Float

from latens.evidence.factors import ALONE, FOLDS, LEAST, Factors, turned

COUNTS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
"""Numbers of factors that are tried, in turn, until none of `PATIENCE` says held-out rows better."""
PATIENCE = 2
ROUNDS, ENOUGH = 200, 1e-4
"""Rounds of EM at the most, and the nats of a row that a round gains at the least."""


@ALONE
def fit_gappy(x: Float[np.ndarray, "n d"], shown: Bool[np.ndarray, "n d"], count: int) -> Factors:
    """Find so many factors of rows of which some cells are not shown."""
    # Source: Rubin & Thayer (1982), with the cells of each row that are observed.
    x, seen = np.where(shown, x, 0.0), shown.astype(np.float64)
    found = _first(x, seen, count)
    last = -math.inf
    for _ in range(ROUNDS):
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
    for count in COUNTS:
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
