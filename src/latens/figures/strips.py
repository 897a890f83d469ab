"""Rows of images, each with its name: traversals, interpolations, walks, sums of latents."""

from collections.abc import Sequence

import numpy as np

from latens.errors import DataError
from latens.figures.checks import readable
from latens.figures.images import as_images, mosaic, pixel_columns, show_mosaic
from latens.figures.style import Made, ThemeName

_LETTER = 0.072  # inches that a letter of a row's name takes


def image_strips(
    rows: Sequence[np.ndarray],
    names: Sequence[object],
    *,
    group: int | None = None,
    title: str | None = None,
    theme: ThemeName = "light",
) -> Made:
    """Draw rows of images below each other, the name of each beside it."""
    # group: after every so many rows, a wider gap; None for equal gaps. The table's pixels are not clipped.
    images = [as_images(row, f"rows[{i}]") for i, row in enumerate(rows)]
    if not images or len({row.shape[1:] for row in images}) > 1 or len(names) != len(images):
        what = f"{len(images)} rows of images of {len({row.shape[1:] for row in images})} shapes, {len(names)} names."
        raise DataError(what, where="rows", fix="Give one name for each row, and images of one shape.")
    strip = np.concatenate([np.repeat(np.array([str(n)], object), len(row)) for n, row in zip(names, images)])
    place = np.concatenate([np.arange(len(row)) for row in images])
    table = {"strip": strip, "image": place, **pixel_columns(np.concatenate(images))}
    whole = mosaic(images, group=group)
    words = [readable(name, 34) for name in names]
    height, width = images[0].shape[1:3]
    beside = 0.25 + _LETTER * max(map(len, words))
    ax = show_mosaic(whole, title, theme, None, width, beside=beside)
    ax.set_yticks([top + (height - 1) / 2 for top in whole.tops], words)
    ax.tick_params(axis="y", length=0, labelsize=8)
    return ax, table
