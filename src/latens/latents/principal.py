"""The two directions in which latents differ most."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped


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
