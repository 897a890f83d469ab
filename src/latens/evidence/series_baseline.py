"""What anyone would say of a series without a model: the same step of the last season, and a regression on lags."""

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.io.process import counted

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
