"""Moving pictures: frames to a GIF."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from latens.errors import DataError, UsageError
from latens.figures.style import Drawn, figure_of, spell
from latens.io.atomic import as_path, resource_errors, write_atomic

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
