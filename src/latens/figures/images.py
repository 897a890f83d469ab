"""Pictures of images: in a grid, above their reconstructions, in named rows, and where their latent points lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.style import DPI, bare, dress, numbers, one_axes, readable, theme, unframed

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


def image_grid(
    images: ArrayLike, *, columns: int | None = None, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw images side by side, in reading order.

    Args:
        images: Images, shape (n, H, W), or (n, H, W, C) with C 1 or 3, shown on the scale 0 (black) to 1 (full).
        columns: Images in a row, from 1; None takes up to ten, or about a square.
        title: Title of the Axes, or None.
        ax: Axes to draw into. None: a new figure.

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
    return show_mosaic(whole, title, ax, array.shape[2])


def _row_names(original: ArrayLike, reconstruction: ArrayLike, samples: ArrayLike | None) -> dict[str, np.ndarray]:
    named = {"data": as_images(original, "original"), "reconstruction": as_images(reconstruction, "reconstruction")}
    if named["data"].shape != named["reconstruction"].shape:
        what = f"shape {named['reconstruction'].shape} for data of shape {named['data'].shape}."
        raise DataError(what, where="reconstruction", fix="Pass one reconstruction for each image, in the same shape.")
    if samples is not None:
        named["sample"] = as_images(samples, "samples")
        if named["sample"].shape[1:] != named["data"].shape[1:]:
            what = f"images of shape {named['sample'].shape[1:]} do not match data of {named['data'].shape[1:]}."
            raise DataError(what, where="samples", fix="Pass samples in the shape of the data.")
    return named


def reconstructions(
    original: ArrayLike,
    reconstruction: ArrayLike,
    samples: ArrayLike | None = None,
    *,
    columns: int = 12,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each image above its reconstruction, and samples from the prior below.

    Args:
        original: Images, shape (n, H, W[, C]), on the scale 0 to 1.
        reconstruction: Their reconstructions, of the same shape.
        samples: Samples, shape (m, H, W[, C]), or None.
        columns: Images in a row, from 1: more of them continue below.
        title: Title of the Axes, or None.
        ax: Axes to draw into. None: a new figure.

    Returns:
        The Axes, each row with its name.

    Raises:
        DataError: Shapes do not fit, or something is empty.
    """
    named = _row_names(original, reconstruction, samples)
    if columns < 1:
        raise DataError(f"columns must be 1 or more, not {columns}.", where="columns", fix="Ask for 1 or more.")
    starts = range(0, len(named["data"]), columns)
    rows = [(kind, named[kind][i : i + columns]) for i in starts for kind in ("data", "reconstruction")]
    drawn = named.get("sample", named["data"][:0])
    rows += [("sample", drawn[i : i + columns]) for i in range(0, len(drawn), columns)]
    whole = mosaic([images for _, images in rows], group=2)
    height, width = named["data"].shape[1:3]
    ax = show_mosaic(whole, title, ax, width, beside=1.0)
    ax.set_yticks([top + (height - 1) / 2 for top in whole.tops], [kind for kind, _ in rows])
    ax.tick_params(axis="y", length=0, labelsize=9)
    return ax


def show_mosaic(whole: Mosaic, title: str | None, ax: Axes | None, image_width: int, *, beside: float = 0.0) -> Axes:
    """Draw a mosaic."""
    height, width = whole.pixels.shape[:2]
    if ax is None:
        cell = _CELL * max(1.0, min(2.5, image_width / 64))
        inches = float(np.clip(cell * width / image_width, 1.4, _WIDEST))
        ax = one_axes((inches + beside + 0.1, inches * height / width + (0.4 if title else 0.1)))
    # "antialiased" shows enlarged pixels as sharp squares and still shrinks a large grid without moire.
    ax.imshow(whole.pixels, interpolation="antialiased")
    dress(ax, title=title, grid=None)
    bare(ax)
    # Left, or the layout would measure the names of rows in one place and draw them in another.
    ax.set_anchor("W")
    return ax


# --- rows of images, each with its name ---

_LETTER = 0.072  # inches that a letter of a row's name takes


def image_strips(
    rows: Sequence[np.ndarray], names: Sequence[object], *, group: int | None = None, title: str | None = None
) -> Axes:
    """Draw rows of images below each other, the name of each beside it."""
    images = [as_images(row, f"rows[{i}]") for i, row in enumerate(rows)]
    if not images or len({row.shape[1:] for row in images}) > 1 or len(names) != len(images):
        what = f"{len(images)} rows of images of {len({row.shape[1:] for row in images})} shapes, {len(names)} names."
        raise DataError(what, where="rows", fix="Give one name for each row, and images of one shape.")
    whole = mosaic(images, group=group)
    words = [readable(name, 34) for name in names]
    height, width = images[0].shape[1:3]
    beside = 0.25 + _LETTER * max(map(len, words))
    ax = show_mosaic(whole, title, None, width, beside=beside)
    ax.set_yticks([top + (height - 1) / 2 for top in whole.tops], words)
    ax.tick_params(axis="y", length=0, labelsize=8)
    return ax


# --- images of the latent plane ---

_TICKS = 9
_LARGEST = 8192  # pixels along a side beyond which a picture is reduced: what decoders of PNG still open at once


def _on_grid(images: ArrayLike, latents: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
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


def framed(images: Shaped[np.ndarray, "n m H W C"]) -> Shaped[np.ndarray, "n m h w C"]:
    """Put images into thin black frames: pictures that touch cannot be told apart."""
    edge = (max(1, round(max(images.shape[2:4]) / 28)),) * 2
    return np.pad(images, ((0, 0), (0, 0), edge, edge, (0, 0)))


def manifold(
    images: ArrayLike,
    latents: ArrayLike,
    *,
    units: tuple[int, int] = (0, 1),
    title: str | None = None,
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
        dpi: Pixels in an inch at which the figure is rendered.
        ax: Axes to draw into. None: a new figure.

    Returns:
        The Axes; its one image is RGBA and has a thin black frame around each of the images.

    Raises:
        DataError: Shapes do not fit, or the points are not such a grid.
    """
    pictures, grid = _on_grid(images, latents)
    rows, columns, height, width, _ = (pictures := framed(pictures)).shape
    whole = displayed(pictures).transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 4)
    across, up = grid[0, :, 0].astype(float), grid[::-1, 0, 1].astype(float)
    even = _even(across) and _even(up)
    x, y = (across, up) if even else (np.arange(columns, dtype=float), np.arange(rows, dtype=float))
    # One cell alone has no spacing of its own: it takes the other axis' spacing, or 1.
    spaced = [float(v[1] - v[0]) for v in (x, y) if len(v) > 1] or [1.0]
    step_x, step_y = (spaced[0], spaced[-1])
    extent = (x[0] - step_x / 2, x[-1] + step_x / 2, y[0] - step_y / 2, y[-1] + step_y / 2)
    exact = ax is None and max(rows * height, columns * width) <= _LARGEST
    if ax is None:
        ax = _exact_axes(columns * width, rows * height, max(rows, columns), title or "", dpi)
    square_pixels = (step_x / width) / (step_y / height)
    ax.imshow(whole, extent=extent, origin="upper", aspect=square_pixels,
              interpolation="nearest" if exact else "antialiased")  # fmt: skip
    dress(ax, title=title, x=f"latent unit {units[0]}", y=f"latent unit {units[1]}", grid=None)
    for axis, places, values in ((ax.xaxis, x, across), (ax.yaxis, y, up)):
        stride = max(1, -(-len(values) // _TICKS))
        shown = np.arange((len(values) - 1) % stride // 2, len(values), stride)
        axis.set_ticks(places[shown], _tick_labels(values)[shown])
    ax.set_anchor("W")
    unframed(ax)
    return ax


def _exact_axes(wide: int, high: int, cells: int, title: str, dpi: int) -> Axes:
    """Axes that show so many pixels, each as a whole number of the picture's, beside room for their labels."""
    longest = dpi * float(np.clip(0.45 * cells, 3.0, 8.0))
    scale = max(1, int(longest / max(wide, high))) if max(wide, high) <= _LARGEST else _LARGEST / max(wide, high)
    across, up = round(wide * scale), round(high * scale)
    left, bottom, top = (round(inches * dpi) for inches in (0.82, 0.52, 0.42))
    # A title may be wider than the images, and a single cell lower than its labels.
    right = max(round(0.12 * dpi), round(dpi * 0.085 * len(title)) - across)
    size = left + across + right, bottom + max(up, dpi // 2) + top
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, facecolor=theme().background)
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


def _grid(values: np.ndarray) -> np.ndarray:
    across, up = np.meshgrid(values, values[::-1])
    return np.stack([across, up], axis=-1)


def _ticks(n: int, low: float, high: float) -> np.ndarray:
    if not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"n must be 1 or more, not {n!r:.100}.", where="n", fix="Ask for 1 or more.")
    return np.linspace(low, high, n) if n > 1 else np.array([(low + high) / 2])


def linear_grid(n: int, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    """Make latent points on an evenly spaced grid, row 0 at the top.

    `grid[i, j]` is (x_j, y_i): the first dimension grows to the right with j, the second falls with i, so that a
    picture whose row i and column j is decoded from it lies as the same points do in a scatter. One point is the
    middle.

    Args:
        n: Points along each side, from 1.
        low: Least value of both dimensions.
        high: Largest value, above `low`.

    Returns:
        Points, shape (n, n, 2).

    Raises:
        DataError: `n` is below 1, or `low` is not below `high`.
    """
    if not low < high:
        raise DataError(f"low {low} is not below high {high}.", where="low", fix="Exchange them.")
    return _grid(_ticks(n, low, high))


def percentile_grid(n: int, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Make latent points at even percentiles of a standard Normal prior: z = Phi^-1(p).

    They are oriented as those of `linear_grid`.

    Args:
        n: Points along each side, from 1.
        low: Least probability p, above 0.
        high: Largest probability p, above `low` and below 1.

    Returns:
        Points, shape (n, n, 2).

    Raises:
        DataError: `n` is below 1, or not 0 < low < high < 1.
    """
    if not 0 < low < high < 1:
        what = f"probabilities {low} to {high}."
        raise DataError(what, where="low", fix="Choose 0 < low < high < 1, for example 0.05 to 0.95.")
    normal = NormalDist()
    return _grid(np.array([normal.inv_cdf(p) for p in _ticks(n, low, high)]))
