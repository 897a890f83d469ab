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
    """Check codes and factors, number the factors from 0, and drop those that take one value only.

    Args:
        codes: Codes, shape (n, ...), flattened to (n, d).
        factors: Whole numbers, shape (n, f) or (n,).

    Returns:
        Codes as float64, shape (n, d), and factors that vary, shape (n, f) with the f that are left.

    Raises:
        UsageError: Shapes or types do not fit, codes are not finite, or no factor varies.
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
    """Find the latent dimensions that vary at all.

    Args:
        codes: Codes, shape (n, d).

    Returns:
        True where a dimension varies, shape (d,).
    """
    spread = codes.std(axis=0)
    return spread > DEAD * max(float(spread.max()), np.finfo(np.float64).tiny)


def scored(score: Callable[[np.ndarray], float], n: int, *, seed: int, protocol: str, unit: str = "score") -> Estimate:
    """Compute a score of rows with its jackknife error.

    It is the error of another sample of as many rows, not of another model.

    Args:
        score: Function of positions of rows to the score.
        n: Number of rows.
        seed: Seed of the groups that are left out.
        protocol: How the score is made, in words.
        unit: Unit of the score.

    Returns:
        The score with its standard error.
    """
    value, error = jackknife(lambda rows: {"score": score(rows)}, np.arange(n), groups=GROUPS, seed=seed)["score"]
    return Estimate(value, error, 1, n, unit, f"{protocol}; error by leaving out tenths of the rows", seed)
