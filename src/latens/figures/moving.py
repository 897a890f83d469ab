"""The frames of moving pictures: one figure, drawn once, whose contents change. Arrays in, pixels out."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike

from latens.errors import DataError
from latens.figures.animation import FRAME_DPI, frame
from latens.figures.images import as_images, displayed, framed, manifold
from latens.figures.latent import MARKERS, latent_scatter, latent_scatter_table
from latens.figures.style import bare, dress, figure_of, new_axes, readable, theme
from latens.figures.validation import numbers

TRAIL = 18
"""Steps behind a moving point that are drawn."""


def _captions(captions: Sequence[str], count: int) -> list[str]:
    if len(captions) != count:
        raise DataError(f"{len(captions)} captions for {count} frames.", where="captions", fix="Give one for each.")
    return [readable(text, 60) for text in captions]


def trail(path: Shaped[np.ndarray, "F 2"], place: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the last steps before a place on a path, and how strongly each is drawn."""
    # returns: steps from point to pointwith k at most 18, the last one to the place; and their strengths above 0 to
    # 1which rise evenly.
    kept = path[max(0, place - TRAIL) : place + 1]
    count = len(kept) - 1
    return np.stack([kept[:-1], kept[1:]], axis=1), 1.0 - np.arange(count)[::-1] / TRAIL


def moving_image(
    images: ArrayLike,
    captions: Sequence[str],
    *,
    path: ArrayLike | None = None,
    points: ArrayLike | None = None,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    whole: bool = False,
) -> Iterator[np.ndarray]:
    """Draw an image that changes, and beside it, where the latent space is a plane, the point it is decoded from."""
    # The point draws its last steps after it, in a line that fades.
    pictures = displayed(as_images(images, "images"))
    words = _captions(captions, len(pictures))
    colours = theme()
    ratio = pictures.shape[1] / pictures.shape[2]
    beside = path is not None and points is not None  # a plane to show
    wide = max(4.4, 0.3 + 0.09 * max(map(len, words), default=0))  # room for the longest caption
    size = (5.4 + wide, 4.7) if beside else (wide, 4.4 * ratio + 0.4)
    axes = new_axes(1, 2 if beside else 1, size=size)[0]
    ax, dot, places, trails = axes[-1], None, None, []
    if path is not None and points is not None:
        places = numbers(path, "path", ndim=2)
        if places.shape != (len(pictures), 2):
            raise DataError(f"shape {places.shape} for {len(pictures)} frames.", where="path", fix="Give (F, 2).")
        latent_scatter(points, label, classes, ax=axes[0])
        for drawn in axes[0].collections:  # the rows are the background of the way
            drawn.set_alpha(0.45)
        axes[0].update_datalim(places)
        axes[0].autoscale_view()
        if whole:
            axes[0].plot(places[:, 0], places[:, 1], color=colours.text, linewidth=1.0, linestyle=(0, (4, 3)))
        trails = [LineCollection([], linewidths=wide, zorder=4, capstyle="round") for wide in (5.5, 2.5)]
        for drawn in trails:  # a dark line within a light one stands out from points of any colour
            axes[0].add_collection(drawn, autolim=False)
        look = {"color": colours.background, "markersize": 12, "markeredgecolor": colours.text, "markeredgewidth": 2.4}
        (dot,) = axes[0].plot([], [], "o", zorder=5, **look)
    dress(ax, title=words[0], grid=None)
    bare(ax)
    shown = ax.imshow(pictures[0], interpolation="nearest")
    ax.set_anchor("W")
    figure = figure_of(ax)
    frame(figure)  # lays the parts out, which then stay where they are
    figure.set_layout_engine("none")
    for i, (picture, text) in enumerate(zip(pictures, words)):
        shown.set_data(picture)
        ax.set_title(text, loc="left", fontsize=11, color=colours.text, pad=8)
        if dot is not None and places is not None:
            dot.set_data([places[i, 0]], [places[i, 1]])
            way, strength = trail(places, i)
            for drawn, colour in zip(trails, (colours.background, colours.text)):
                drawn.set_segments(list(way))
                drawn.set_color([(*to_rgb(colour), float(alpha)) for alpha in strength])
        yield frame(figure)


def moving_manifold(images: Sequence[np.ndarray], latents: ArrayLike, captions: Sequence[str]) -> Iterator[np.ndarray]:
    """Draw a decoded grid of the latent plane that changes."""
    words = _captions(captions, len(images))
    ax = manifold(images[0], latents, title=words[0], dpi=FRAME_DPI)
    (shown,), colours, figure = ax.images, theme(), figure_of(ax)
    for grid, text in zip(images, words):
        pictures = displayed(framed(as_images(grid, "images", lead=2)))
        rows, columns, height, width = pictures.shape[:4]
        shown.set_data(pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 4))
        ax.set_title(text, loc="left", fontsize=11, color=colours.text, pad=8)
        yield frame(figure)


def moving_scatter(
    points: ArrayLike,
    captions: Sequence[str],
    *,
    label: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    units: tuple[int, int] = (0, 1),
) -> Iterator[np.ndarray]:
    """Draw a scatter of the latent plane that changes, on axes that stay."""
    moments = numbers(points, "points", ndim=3)
    words = _captions(captions, len(moments))
    ax = latent_scatter(moments[-1], label, classes, units=units, title=words[0])
    # The farthest of a hundred points may leave the picture, or all others would be a spot.
    reach = float(np.percentile(np.abs(moments).max(axis=(0, 2)), 99)) * 1.08 or 1.0
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    parts = _collections(ax, moments[-1], label, classes)
    figure, colours = figure_of(ax), theme()
    frame(figure)
    figure.set_layout_engine("none")
    for moment, text in zip(moments, words):
        for drawn, kept in parts:
            drawn.set_offsets(moment[kept])
        ax.set_title(text, loc="left", fontsize=11, color=colours.text, pad=8)
        yield frame(figure)


def _collections(ax: Axes, points: np.ndarray, label: ArrayLike | None, classes: Sequence[object] | None) -> list:
    """Each collection of a latent scatter with the points in it."""
    codes = latent_scatter_table(points, label, classes).get("label")
    if codes is None or len(ax.collections) == 1:
        return [(drawn, slice(None)) for drawn in ax.collections]
    masks = [np.maximum(codes, 0) // 10 == i for i in range(len(MARKERS))]
    return list(zip(ax.collections, [mask for mask in masks if mask.any()]))
