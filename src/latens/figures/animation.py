"""Moving pictures: frames to a GIF."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike
from PIL import Image

from latens.errors import DataError, UsageError
from latens.figures.images import as_images, displayed, framed, manifold
from latens.figures.latent import MARKERS, latent_scatter, latent_scatter_table
from latens.figures.style import Drawn, bare, dress, figure_of, new_axes, numbers, readable, spell, theme
from latens.runtime.atomic import as_path, resource_errors, write_atomic

FRAME_DPI = 112
_CANDIDATES = 20_000  # colours among which a palette is chosen


def frame(drawn: Drawn, *, dpi: float = FRAME_DPI) -> Shaped[np.ndarray, "H W 3"]:
    """Render a figure as pixels."""
    figure = figure_of(drawn)
    spell(figure)
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def check_ending(path: str | Path) -> Path:
    """Check that a moving picture can be written to a path."""
    path = as_path(path)
    if path.suffix.lower() != ".gif":
        raise UsageError(f"an animation is a .gif file, not {path.name!r}.", where="--out", fix="End it in .gif.")
    return path


def write_animation(
    path: str | Path, frames: Iterable[np.ndarray], *, fps: float = 12.0, hold: Sequence[float] = ()
) -> Path:
    """Write frames as a GIF that repeats for ever; the file is whole or absent.

    The same frames give the same bytes.

    Args:
        path: Where to write; it ends in .gif.
        frames: Frames, uint8 of shape (H, W, 3), all of one shape.
        fps: Frames a second.
        hold: How many frames' time each lasts, in order; 1 for those not given.

    Returns:
        The path written.

    Raises:
        DataError: There are no frames, or they differ in shape.
        UsageError: The path has another ending.
        ResourceError: The disk refuses.
    """
    path = check_ending(path)
    pictures = [_checked(np.asarray(pixels)) for pixels in frames]
    if not pictures or len({pixels.shape for pixels in pictures}) > 1:
        raise DataError("there are no frames, or frames of different shapes.", where="frames", fix="Give equal ones.")
    times = [float(hold[i]) if i < len(hold) else 1.0 for i in range(len(pictures))]
    with resource_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _gif(pictures, times, fps))
    return path


def _checked(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"shape {pixels.shape} of {pixels.dtype}.", where="frames", fix="Give (H, W, 3) of uint8.")
    return pixels


_LARGE, _FEW = 800_000, 32
"""Pixels of a frame above which a GIF has few colours: a grid of 30 by 30 digits takes 0.4 MB a frame, not 0.8."""


def _gif(pictures: Sequence[np.ndarray], times: Sequence[float], fps: float) -> bytes:
    height, width = pictures[0].shape[:2]
    images = indexed(pictures, common_palette(pictures, _FEW if height * width > _LARGE else 256))
    # A GIF counts hundredths of a second.
    durations = [max(20, 10 * round(100 * t / fps)) for t in times]
    stream = io.BytesIO()
    images[0].save(stream, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)
    return stream.getvalue()


def common_palette(pictures: Sequence[np.ndarray], colours: int = 256) -> np.ndarray:
    """Choose colours for all frames together, or they would flicker.

    The most frequent colour is kept exactly, so that paper stays white. Then, one after the other, comes the colour
    that lies farthest from those that are kept already, where a frequent one counts for more: few points of a class
    keep its colour beside many shades of grey. A sample of every frame is enough to choose them.

    Args:
        pictures: Frames, uint8 of shape (H, W, 3).
        colours: At most so many colours, from 1 to 256.

    Returns:
        The colours, uint8 of shape (n, 3).
    """
    step = max(1, sum(p.size for p in pictures) // 3_000_000)
    sample = np.concatenate([p.reshape(-1, 3)[::step] for p in pictures])
    packed, count = np.unique(sample.astype(np.int64) @ [65536, 256, 1], return_counts=True)
    frequent = np.argsort(-count, kind="stable")
    packed, count = packed[frequent], count[frequent]
    found = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1)
    if len(found) <= colours:
        return found.astype(np.uint8)
    bits = 0  # colours that differ in their last bits only are one, the most frequent of them
    while len(np.unique((found >> bits) @ [65536, 256, 1])) > _CANDIDATES:
        bits += 1
    _, first, box = np.unique((found >> bits) @ [65536, 256, 1], return_index=True, return_inverse=True)
    candidates, weight = found[first].astype(np.float32), np.sqrt(np.bincount(box, count)).astype(np.float32)
    chosen = [int(np.argmax(weight))]
    nearest = np.full(len(candidates), np.inf, np.float32)
    while len(chosen) < min(colours, len(candidates)):
        nearest = np.minimum(nearest, np.square(candidates - candidates[chosen[-1]]).sum(1))
        chosen.append(int(np.argmax(nearest * weight)))
    return candidates[chosen].astype(np.uint8)


def indexed(pictures: Sequence[np.ndarray], palette: np.ndarray) -> list[Image.Image]:
    """Replace every pixel by the nearest colour of a palette.

    Exactly the nearest, unlike Pillow's own, which looks at six bits of each channel: paper would turn grey.

    Args:
        pictures: Frames, uint8 of shape (H, W, 3).
        palette: Colours, shape (n, 3) with n at most 256.

    Returns:
        One image with this palette for each frame.
    """
    known = np.full(1 << 24, -1, np.int16)
    made = []
    for pixels in pictures:
        packed = pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
        new = np.unique(packed)
        new = new[known[new] < 0]
        for start in range(0, len(new), 8192):
            part = new[start : start + 8192]
            colour = np.stack([part >> 16, part >> 8 & 255, part & 255], axis=1)
            known[part] = np.square(colour[:, None] - palette.astype(np.int32)).sum(-1).argmin(1)
        image = Image.fromarray(known[packed].astype(np.uint8))
        image.putpalette(palette.ravel().tolist())
        made.append(image)
    return made


TRAIL = 18
"""Steps behind a moving point that are drawn."""


def _captions(captions: Sequence[str], count: int) -> list[str]:
    if len(captions) != count:
        raise DataError(f"{len(captions)} captions for {count} frames.", where="captions", fix="Give one for each.")
    return [readable(text, 60) for text in captions]


def trail(path: Shaped[np.ndarray, "F 2"], place: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the last steps before a place on a path, and how strongly each is drawn."""
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
