"""What the latent plane decodes to: one image for each point of a grid, laid out as the points lie."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.checks import numbers
from latens.figures.images import as_images, displayed, pixel_columns
from latens.figures.style import DPI, ThemeName, dress, theme_named, unframed

_TICKS = 9
_MOST = 8192  # pixels along a side beyond which a picture is reduced: what decoders of PNG still open at once


def _checked(images: ArrayLike, latents: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    pictures = as_images(images, "images", lead=2)
    grid = numbers(latents, "latents", ndim=3)
    if grid.shape != (*pictures.shape[:2], 2):
        what = f"shape {grid.shape} for images of shape {pictures.shape}."
        fix = f"Pass the points that were decoded, shape {(*pictures.shape[:2], 2)}."
        raise DataError(what, where="latents", fix=fix)
    across, down = grid[0, :, 0], grid[:, 0, 1]
    square = (grid[..., 0] == across).all() and (grid[..., 1] == down[:, None]).all()
    if not square or (np.diff(across) <= 0).any() or (np.diff(down) >= 0).any():
        what = "the points are not a grid with the first unit growing to the right and the second falling from row 0."
        raise DataError(what, where="latents", fix="Make them with linear_grid or percentile_grid.")
    return pictures, grid


def framed(images: np.ndarray) -> np.ndarray:
    """Put images into thin black frames: pictures that touch cannot be told apart."""
    edge = (max(1, round(max(images.shape[2:4]) / 28)),) * 2
    return np.pad(images, ((0, 0), (0, 0), edge, edge, *((0, 0),) * (images.ndim - 4)))


def manifold_table(images: ArrayLike, latents: ArrayLike) -> dict[str, np.ndarray]:
    """Compute the numbers of `manifold`, not clipped.

    Args:
        images: Images, as for `manifold`.
        latents: Points, shape (rows, columns, 2).

    Returns:
        `row`, `column`, the latent point (`latent_0`, `latent_1`), and one column for each pixel.

    Raises:
        DataError: Shapes do not fit, or the points are not such a grid.
    """
    pictures, grid = _checked(images, latents)
    row, column = (index.ravel() for index in np.indices(grid.shape[:2]))
    table = {"row": row, "column": column, "latent_0": grid[..., 0].ravel(), "latent_1": grid[..., 1].ravel()}
    return table | pixel_columns(pictures.reshape(-1, *pictures.shape[2:]))


def manifold(
    images: ArrayLike,
    latents: ArrayLike,
    *,
    units: tuple[int, int] = (0, 1),
    title: str | None = None,
    theme: ThemeName = "light",
    dpi: int = DPI,
    ax: Axes | None = None,
) -> Axes:
    """Draw decoded images where their latent points lie: first dimension to the right, second up, as in a scatter.

    On a figure of its own every pixel of an image is a whole number of pixels of the picture, at any number of cells.

    On an even grid the axes are latent coordinates, so a scatter may be drawn over it; on an uneven one (percentiles)
    images are equally large, counted from 0 at the lower left, and only the tick labels are latent coordinates.

    Args:
        images: Images, shape (rows, columns, H, W), or with 1 or 3 channels last, on the scale 0 to 1.
        latents: The points they were decoded from, shape (rows, columns, 2), as `linear_grid` and `percentile_grid`
            make them.
        units: The two latent dimensions that are shown, counted from 0.
        title: Title of the Axes, or None.
        theme: "light" or "dark".
        dpi: Pixels in an inch at which the figure is rendered.
        ax: Axes to draw into; None makes a figure.

    Returns:
        The Axes; its one image is RGBA, row i and column j at `[i*H:(i+1)*H, j*W:(j+1)*W]`.

    Raises:
        DataError: Shapes do not fit, or the points are not such a grid.
    """
    pictures, grid = _checked(images, latents)
    rows, columns, height, width, _ = pictures.shape
    whole = displayed(pictures).transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 4)
    across, up = grid[0, :, 0].astype(float), grid[::-1, 0, 1].astype(float)
    even = _even(across) and _even(up)
    x, y = (across, up) if even else (np.arange(columns, dtype=float), np.arange(rows, dtype=float))
    # One cell alone has no spacing of its own: it takes the other axis' spacing, or 1.
    spaced = [float(v[1] - v[0]) for v in (x, y) if len(v) > 1] or [1.0]
    step_x, step_y = (spaced[0], spaced[-1])
    extent = (x[0] - step_x / 2, x[-1] + step_x / 2, y[0] - step_y / 2, y[-1] + step_y / 2)
    exact = ax is None and max(rows * height, columns * width) <= _MOST
    if ax is None:
        ax = _exact_axes(columns * width, rows * height, max(rows, columns), title or "", theme, dpi)
    square_pixels = (step_x / width) / (step_y / height)
    ax.imshow(whole, extent=extent, origin="upper", aspect=square_pixels,
              interpolation="nearest" if exact else "antialiased")  # fmt: skip
    dress(ax, theme=theme, title=title, x=f"latent unit {units[0]}", y=f"latent unit {units[1]}", grid=None)
    for axis, places, values in ((ax.xaxis, x, across), (ax.yaxis, y, up)):
        stride = max(1, -(-len(values) // _TICKS))
        shown = np.arange((len(values) - 1) % stride // 2, len(values), stride)
        axis.set_ticks(places[shown], _tick_labels(values)[shown])
    ax.set_anchor("W")
    unframed(ax)
    return ax


def _exact_axes(wide: int, high: int, cells: int, title: str, theme: ThemeName, dpi: int) -> Axes:
    """Axes that show so many pixels, each as a whole number of the picture's, beside room for their labels."""
    longest = dpi * float(np.clip(0.45 * cells, 3.0, 8.0))
    scale = max(1, round(longest / max(wide, high))) if max(wide, high) <= _MOST else _MOST / max(wide, high)
    across, up = round(wide * scale), round(high * scale)
    left, bottom, top = (round(inches * dpi) for inches in (0.82, 0.52, 0.42))
    # A title may be wider than the images, and a single cell lower than its labels.
    right = max(round(0.12 * dpi), round(dpi * 0.085 * len(title)) - across)
    size = left + across + right, bottom + max(up, dpi // 2) + top
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, facecolor=theme_named(theme).background)
    FigureCanvasAgg(figure)
    return figure.add_axes((left / size[0], bottom / size[1], across / size[0], up / size[1]))


def _tick_labels(values: np.ndarray) -> np.ndarray:
    """Values with the decimals that tell neighbours apart."""
    finest = np.diff(values).min() if len(values) > 1 else max(abs(values[0]), 0.1)
    decimals = int(np.clip(1 - np.floor(np.log10(finest)), 1, 12))
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    text = [f"{value:.{decimals}f}" for value in values.round(decimals) + 0.0]
    return np.array([label.replace("-", "\N{MINUS SIGN}") for label in text])


def _even(values: np.ndarray) -> bool:
    gaps = np.diff(values)
    return bool(len(gaps) < 2 or np.allclose(gaps, gaps[0], rtol=1e-4, atol=0))
