"""Pictures of images: a grid of them, and data above its reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.style import ThemeName, bare, dress, one_axes

_CELL = 0.62  # inches for one image
_WIDEST = 11.0


def as_images(images: ArrayLike, name: str, *, lead: int = 1) -> Shaped[np.ndarray, "... H W C"]:
    """Check images and give them a channel axis."""
    array = numbers(images, name, ndim=(lead + 2, lead + 3))
    if array.ndim == lead + 2:
        array = array[..., None]
    if array.shape[-1] not in (1, 3):
        what = f"{array.shape[-1]} channels in shape {array.shape}; grey has 1, colour has 3."
        raise DataError(what, where=name, fix="Put channels last and pass 1 or 3 of them.")
    return array


def displayed(images: Shaped[np.ndarray, "... H W C"]) -> Shaped[np.ndarray, "... H W 4"]:
    """Turn images into colours for the screen."""
    colour = np.clip(images.astype(np.float32), 0.0, 1.0)
    colour = np.broadcast_to(colour, (*colour.shape[:-1], 3))
    return np.concatenate([colour, np.ones((*colour.shape[:-1], 1), np.float32)], axis=-1)


def pixel_columns(images: Shaped[np.ndarray, "n H W C"]) -> dict[str, np.ndarray]:
    """Give one column for each pixel of images, values as given."""
    _, height, width, channels = images.shape
    return {
        f"y{i}_x{j}" if channels == 1 else f"y{i}_x{j}_c{c}": images[:, i, j, c]
        for i in range(height)
        for j in range(width)
        for c in range(channels)
    }


@dataclass(frozen=True)
class Mosaic:
    """A picture made of rows of images."""

    pixels: np.ndarray  # RGBA, transparent between the images
    tops: tuple[int, ...]  # the first line of pixels of each row
    gap: int  # pixels between neighbouring images


def gap_of(height: int, width: int) -> int:
    """Choose how many pixels lie between neighbouring images."""
    return max(1, round(0.08 * max(height, width)))


def mosaic(rows: Sequence[np.ndarray], *, group: int | None = None) -> Mosaic:
    """Lay rows of images below each other."""
    # group: after every so many rows, a wider gap; None for equal gaps.
    height, width = rows[0].shape[1:3]
    gap = gap_of(height, width)
    columns = max(len(row) for row in rows)
    tops, top = [], 0
    for index in range(len(rows)):
        top += 0 if index == 0 else gap * (4 if group and index % group == 0 else 1)
        tops.append(top)
        top += height
    pixels = np.zeros((top, columns * (width + gap) - gap, 4), np.float32)
    for top, row in zip(tops, rows):
        for column, image in enumerate(displayed(row)):
            left = column * (width + gap)
            pixels[top : top + height, left : left + width] = image
    return Mosaic(pixels, tuple(tops), gap)


def image_grid_table(images: ArrayLike) -> dict[str, np.ndarray]:
    """Compute the numbers of `image_grid`, not clipped.

    Args:
        images: Images, shape (n, H, W[, C]).

    Returns:
        `image` (counted from 0) and one column for each pixel.

    Raises:
        DataError: The input is not images.
    """
    array = as_images(images, "images")
    return {"image": np.arange(len(array)), **pixel_columns(array)}


def image_grid(
    images: ArrayLike,
    *,
    columns: int | None = None,
    title: str | None = None,
    theme: ThemeName = "light",
    ax: Axes | None = None,
) -> Axes:
    """Draw images side by side, in reading order.

    Args:
        images: Images, shape (n, H, W), or (n, H, W, C) with C 1 or 3, shown on the scale 0 (black) to 1 (full).
        columns: Images in a row, from 1; None takes up to ten, or about a square.
        title: Title of the Axes, or None.
        theme: "light" or "dark".
        ax: Axes to draw into; None makes a figure.

    Returns:
        The Axes; its one image is the whole grid as RGBA.

    Raises:
        DataError: The input is not images, or there are no columns.
    """
    array = as_images(images, "images")
    if columns is None:
        columns = len(array) if len(array) <= 10 else max(10, int(np.ceil(np.sqrt(len(array)))))
    if columns < 1:
        raise DataError(f"columns must be 1 or more, not {columns}.", where="columns", fix="Ask for 1 or more.")
    whole = mosaic([array[i : i + columns] for i in range(0, len(array), columns)])
    return show_mosaic(whole, title, theme, ax, array.shape[2])


def _row_names(original: ArrayLike, reconstruction: ArrayLike, samples: ArrayLike | None) -> dict[str, np.ndarray]:
    named = {"data": as_images(original, "original"), "reconstruction": as_images(reconstruction, "reconstruction")}
    if named["data"].shape != named["reconstruction"].shape:
        what = f"shape {named['reconstruction'].shape} for data of shape {named['data'].shape}."
        raise DataError(what, where="reconstruction", fix="Pass one reconstruction for each image, in the same shape.")
    if samples is not None:
        named["sample"] = as_images(samples, "samples")
        if named["sample"].shape[1:] != named["data"].shape[1:]:
            what = f"images of shape {named['sample'].shape[1:]} beside data of {named['data'].shape[1:]}."
            raise DataError(what, where="samples", fix="Pass samples in the shape of the data.")
    return named


def reconstructions_table(
    original: ArrayLike, reconstruction: ArrayLike, samples: ArrayLike | None = None
) -> dict[str, np.ndarray]:
    """Compute the numbers of `reconstructions`, not clipped.

    Args:
        original: Images, shape (n, H, W[, C]).
        reconstruction: Their reconstructions, of the same shape.
        samples: Samples, shape (m, H, W[, C]), or None.

    Returns:
        `kind` (data, reconstruction, sample), `image` (counted from 0), and a column for each pixel.

    Raises:
        DataError: Shapes do not fit, or something is empty.
    """
    named = _row_names(original, reconstruction, samples)
    kinds = np.concatenate([np.repeat(kind, len(images)) for kind, images in named.items()])
    index = np.concatenate([np.arange(len(images)) for images in named.values()])
    return {"kind": kinds, "image": index, **pixel_columns(np.concatenate(list(named.values())))}


def reconstructions(
    original: ArrayLike,
    reconstruction: ArrayLike,
    samples: ArrayLike | None = None,
    *,
    columns: int = 12,
    title: str | None = None,
    theme: ThemeName = "light",
    ax: Axes | None = None,
) -> Axes:
    """Draw each image above its reconstruction, and samples from the prior below.

    Args:
        original: Images, shape (n, H, W[, C]), on the scale 0 to 1.
        reconstruction: Their reconstructions, of the same shape.
        samples: Samples, shape (m, H, W[, C]), or None.
        columns: Images in a row, from 1: more of them continue below.
        title: Title of the Axes, or None.
        theme: "light" or "dark".
        ax: Axes to draw into; None makes a figure.

    Returns:
        The Axes, each row with its name.

    Raises:
        DataError: Shapes do not fit, or something is empty.
    """
    named = _row_names(original, reconstruction, samples)
    if columns < 1:
        raise DataError(f"columns must be 1 or more, not {columns}.", where="columns", fix="Ask for 1 or more.")
    rows, names = [], []
    for start in range(0, len(named["data"]), columns):
        for kind in ("data", "reconstruction"):
            rows.append(named[kind][start : start + columns])
            names.append(kind)
    drawn = named.get("sample", named["data"][:0])
    for start in range(0, len(drawn), columns):
        rows.append(drawn[start : start + columns])
        names.append("sample")
    whole = mosaic(rows, group=2)
    height, width = named["data"].shape[1:3]
    ax = show_mosaic(whole, title, theme, ax, width, beside=1.0)
    ax.set_yticks([top + (height - 1) / 2 for top in whole.tops], names)
    ax.tick_params(axis="y", length=0, labelsize=9)
    return ax


def show_mosaic(
    whole: Mosaic, title: str | None, theme: ThemeName, ax: Axes | None, image_width: int, *, beside: float = 0.0
) -> Axes:
    """Draw a mosaic."""
    height, width = whole.pixels.shape[:2]
    if ax is None:
        cell = _CELL * max(1.0, min(2.5, image_width / 64))
        inches = float(np.clip(cell * width / image_width, 1.4, _WIDEST))
        ax = one_axes((inches + beside + 0.1, inches * height / width + (0.4 if title else 0.1)), theme)
    # "antialiased" shows enlarged pixels as sharp squares and still shrinks a large grid without moire.
    ax.imshow(whole.pixels, interpolation="antialiased")
    dress(ax, theme=theme, title=title, grid=None)
    bare(ax)
    # Left, or the layout would measure the names of rows in one place and draw them in another.
    ax.set_anchor("W")
    return ax
