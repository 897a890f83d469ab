"""What anyone would say of a series without a model: the same step of the last season, and a regression on lags."""

import numpy as np
from jaxtyping import Bool, Float

ALIKE = 0.3
"""The least correlation of what a season ago was, with the last steps' mean taken away, that makes a season."""


def season_of(x: Float[np.ndarray, "n T d"], seen: Bool[np.ndarray, "n T d"]) -> int | None:
    """The distance of steps that are alike: the first peak of the correlation of steps within rows, where it is high.

    Args:
        x: Rows.
        seen: True where they are observed.

    Returns:
        A number of steps from 2 to a third of T; None where no distance stands out.
    """
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
