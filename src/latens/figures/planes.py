"""The latent plane from both sides: where rows lie in it, and what its points decode to, on the same axes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.images import as_images, manifold
from latens.figures.latent import latent_scatter
from latens.figures.style import new_axes


def two_views(
    z: ArrayLike,
    images: ArrayLike,
    latents: ArrayLike,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
) -> np.ndarray:
    """Draw the encoder's view (a scatter) beside the decoder's (images on an even grid), on identical axes."""
    grid = np.asarray(latents, float)
    gaps = np.diff(grid[0, :, 0]) if grid.ndim == 3 else np.zeros(0)
    if len(gaps) < 1 or not np.allclose(gaps, gaps[0], rtol=1e-4, atol=0):
        what = "the grid is not evenly spaced, so it has no axes to share with a scatter."
        raise DataError(what, where="latents", fix="Make it with linear_grid.")
    ratio = as_images(images, "images", lead=2).shape
    axes = new_axes(1, 2, size=(11.0, 5.0 * ratio[2] / ratio[3] + 0.2))[0]
    manifold(images, grid, title="Decoder: means of p(x|z)", ax=axes[1])
    limits = axes[1].get_xlim(), axes[1].get_ylim()
    latent_scatter(z, label, classes, title="Encoder: means of q(z|x)", ax=axes[0])
    axes[0].set_aspect(axes[1].get_aspect(), adjustable="box")
    axes[0].set_xlim(*limits[0])
    axes[0].set_ylim(*limits[1])
    return axes
