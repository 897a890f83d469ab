"""How rows fill the latent plane: contours that hold so much of them, and how wide single posteriors are."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Ellipse
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.latent import latent_scatter
from latens.figures.style import Made, ThemeName, theme_named

LEVELS = (0.5, 0.9)
"""Contours that hold this share of the density."""

_CELLS, _MOST = 80, 2000


def density_levels(z: ArrayLike, shares: Sequence[float] = LEVELS) -> tuple[np.ndarray, np.ndarray, np.ndarray, list]:
    """Estimate the density of points in a plane, and the heights of its contours."""
    # It is a Gaussian kernel estimate with Scott's width; the contours hold given shares of its whole.
    # returns: x (m,), y (m,), the density (m, m) with y along rows, and the heights.
    from scipy.stats import gaussian_kde

    points = numbers(z, "z", ndim=2).astype(float)
    if points.shape[1] != 2 or len(points) < 3 or np.linalg.matrix_rank(points - points.mean(0)) < 2:
        what = f"{len(points)} points of {points.shape[1]} units have no density in a plane."
        raise DataError(what, where="z", fix="Give 3 or more points of 2 units that do not lie on a line.")
    kept = points[:: -(-len(points) // _MOST)]
    estimate = gaussian_kde(kept.T)
    width = 3.0 * np.sqrt(np.diag(estimate.covariance))
    x, y = (np.linspace(kept[:, i].min() - width[i], kept[:, i].max() + width[i], _CELLS) for i in range(2))
    height = estimate(np.stack([grid.ravel() for grid in np.meshgrid(x, y)])).reshape(_CELLS, _CELLS)
    ordered = np.sort(height.ravel())[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    return x, y, height, [float(ordered[int(np.searchsorted(mass, share))]) for share in shares]


def _ellipse(scale: np.ndarray, correlation: float) -> tuple[float, float, float]:
    """The two axes of the ellipse of two standard deviations, and the angle of the first in degrees."""
    if correlation == 0.0:
        return 4.0 * float(scale[0]), 4.0 * float(scale[1]), 0.0
    across = correlation * scale[0] * scale[1]
    values, vectors = np.linalg.eigh([[scale[0] ** 2, across], [across, scale[1] ** 2]])
    wide, high = 4.0 * np.sqrt(np.maximum(values[::-1], 0.0))
    return float(wide), float(high), float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))


def latent_density(
    z: ArrayLike,
    log_variance: ArrayLike,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    *,
    units: tuple[int, int] = (0, 1),
    correlation: ArrayLike | None = None,
    ellipses: int = 60,
    title: str | None = None,
    theme: ThemeName = "light",
) -> Made:
    """Draw points of the latent plane with contours of their density and ellipses of posteriors."""
    # The contours hold 50 % and 90 % of the density; an ellipse has two standard deviations of a posterior and holds 86
    # % of it. The table has the centre and the two standard deviations of every posterior.
    # correlation: that of the two coordinates under each posterior, shape (n,); None for none.
    points, spread = numbers(z, "z", ndim=2), numbers(log_variance, "log_variance", ndim=2)
    if points.shape != spread.shape or points.shape[1] != 2:
        raise DataError(f"shapes {points.shape} and {spread.shape}.", where="log_variance", fix="Give (n, 2) of both.")
    scale = np.exp(0.5 * spread)
    table = {"latent_0": points[:, 0], "latent_1": points[:, 1], "scale_0": scale[:, 0], "scale_1": scale[:, 1]}
    tilt = np.zeros(len(points)) if correlation is None else numbers(correlation, "correlation", ndim=1)
    if correlation is not None:
        table["correlation"] = tilt
    points, colours = points.astype(float), theme_named(theme)
    x, y, height, levels = density_levels(points)
    ax = latent_scatter(points, label, classes, units=units, title=title, theme=theme)
    ax.contour(x, y, height, levels=sorted(levels), colors=colours.text, linewidths=(0.8, 1.4), alpha=0.8)
    chosen = np.unique(np.linspace(0, len(points) - 1, min(ellipses, len(points))).round().astype(int))
    for i in chosen:
        look = {"fill": False, "edgecolor": colours.muted, "lw": 0.7}
        wide, high, angle = _ellipse(scale[i], float(tilt[i]))
        ax.add_patch(Ellipse((points[i, 0], points[i, 1]), wide, high, angle=angle, **look))
    return ax, table
