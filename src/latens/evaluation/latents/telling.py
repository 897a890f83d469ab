"""The column by whose values latents lie furthest apart."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

MOST_COLOURS, LEAST_SHARE = 12, 0.1
"""Names of a column that colours points; the least share of the variance that lies between them."""
PARTS = 8
"""Parts of like many rows that a column of numbers is cut into."""


def telling(columns: Iterable[Shaped[np.ndarray, " n"] | None], points: Shaped[np.ndarray, "n d"]) -> int | None:
    """Find the place of the column whose names leave the largest share between them; None below a tenth."""
    # columns: codes of names, -1 where missing; None for a column that cannot be shown.
    shares = [LEAST_SHARE if codes is None else between(codes, points) for codes in columns]
    best = int(np.argmax(shares)) if shares else 0
    return best if shares and shares[best] > LEAST_SHARE else None


def between(codes: Shaped[np.ndarray, " n"], points: Shaped[np.ndarray, "n d"]) -> float:
    """The share of the variance of points that lies between groups, adjusted for how many there are."""
    # As an adjusted R squared is.
    kept = codes >= 0
    codes, points = codes[kept], points[kept]
    groups, n = np.unique(codes), len(codes)
    whole = float(((points - points.mean(axis=0)) ** 2).sum()) if n else 0.0
    if n <= len(groups) or whole == 0.0:
        return 0.0
    inside = sum(float(((points[codes == g] - points[codes == g].mean(axis=0)) ** 2).sum()) for g in groups)
    return 1.0 - inside / (n - len(groups)) / (whole / (n - 1))


def parts_of(values: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"] | None:
    """Codes of a column of numbers, NaN where missing: parts of like many rows; None where all are alike."""
    seen = ~np.isnan(values)
    cuts = np.unique(np.quantile(values[seen], np.linspace(0, 1, PARTS + 1)[1:-1])) if seen.any() else np.zeros(0)
    codes = np.where(seen, np.searchsorted(cuts, np.where(seen, values, 0.0), side="left"), -1)
    return codes if len(np.unique(codes[seen])) > 1 else None


class Principal(NamedTuple):
    """The two directions in which points differ most, the first one first."""

    centre: np.ndarray  # shape (d,)
    axes: np.ndarray  # of length 1, shape (d, k), k at most 2; of each the largest entry is positive
    shares: np.ndarray  # of the variance, shape (k,)

    def of(self, points: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, "n k"]:
        """Coordinates of points along the axes."""
        return (np.asarray(points, np.float64) - self.centre) @ self.axes


def principal(points: Shaped[np.ndarray, "n d"]) -> Principal:
    """Find the principal axes of points."""
    centre = np.asarray(np.mean(points, axis=0, dtype=np.float64))
    centred = np.asarray(points, np.float64) - centre
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0) < 0, -1.0, 1.0)
    whole = values.sum()
    return Principal(centre, axes, values[::-1][:2] / whole if whole > 0 else np.zeros(axes.shape[1]))


def widest(points: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, "n k"]:
    """Coordinates in the two directions in which points differ most."""
    return principal(points).of(points)
