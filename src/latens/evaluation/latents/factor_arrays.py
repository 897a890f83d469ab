"""Codes and factors as the scores of disentanglement take them: checked, with errors by leaving rows out."""

from collections.abc import Callable

import numpy as np

from latens.errors import UsageError
from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.resampling import jackknife

GROUPS = 10
"""Groups of rows that are left out in turn for a standard error."""

DEAD = 1e-6
"""A unit whose standard deviation is below this share of the largest one's is constant: float32 noise is no code."""


def checked(codes: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, d) in float64 and factors (n, f) numbered from 0, without factors that take one value only.

    **Raises:** UsageError for other shapes or types, numbers that are not finite, or no factor that varies.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    codes = codes.reshape(len(codes), -1)
    factors = factors[:, None] if factors.ndim == 1 else factors
    if factors.ndim != 2 or len(codes) != len(factors) or len(codes) < 2 or not codes.shape[1]:
        message = f"codes {codes.shape} and factors {factors.shape}."
        raise UsageError(message, where="factors", fix="Give (n, d) and (n, f) for the same n rows, 2 or more.")
    if factors.dtype.kind not in "iu":
        message = f"factors of type {factors.dtype}."
        raise UsageError(message, where="factors", fix="Give whole numbers: bin continuous factors first.")
    if not np.isfinite(codes).all():
        raise UsageError(
            "codes must be finite numbers, and some are NaN or infinite.", where="codes", fix="Leave such rows out."
        )
    columns = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    columns = [column for column in columns if column.max() > 0]
    if not columns:
        raise UsageError("every factor has one value only.", where="factors", fix="Give rows whose factors vary.")
    return codes, np.stack(columns, axis=1)


def live_units(codes: np.ndarray) -> np.ndarray:
    """Which of the units (n, d) vary at all, bool (d,)."""
    spread = codes.std(axis=0)
    return spread > DEAD * max(float(spread.max()), np.finfo(np.float64).tiny)


def scored(score: Callable[[np.ndarray], float], n: int, *, seed: int, protocol: str, unit: str = "score") -> Estimate:
    """The `Estimate` of a score of the rows at some positions, with its jackknife error.

    It is the error of another draw of as many rows, not of another model.
    """
    value, error = jackknife(lambda rows: {"score": score(rows)}, np.arange(n), groups=GROUPS, seed=seed)["score"]
    return Estimate(value, error, 1, n, unit, f"{protocol}; error by leaving out tenths of the rows", seed)
