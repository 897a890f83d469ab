"""Small copies of pictures for the gallery: PNG at most 720 pixels wide, GIF at most 360, with few colours."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from latens.figures.animation import common_palette, indexed, write_animation

WIDEST, WIDEST_MOVING = 720, 360


def shrink(source: Path, target: Path) -> Path:
    """Copy a picture to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".gif":
        return shrink_moving(source, target)
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    pixels = [np.asarray(image)]
    indexed(pixels, common_palette(pixels, 80))[0].save(target, optimize=True)
    return target


def shrink_moving(source: Path, target: Path) -> Path:
    """The same frames, smaller, of 24 shades of each colour."""
    frames, times = [], []
    with Image.open(source) as opened:
        for moment in ImageSequence.Iterator(opened):
            times.append(moment.info["duration"])
            image = moment.convert("RGB")
            size = (WIDEST_MOVING, round(image.height * WIDEST_MOVING / image.width))
            image = image.resize(size, Image.Resampling.LANCZOS) if image.width > WIDEST_MOVING else image
            coarse = np.round(np.asarray(image) / 255 * 23) * (255 / 23)
            frames.append(coarse.astype(np.uint8))
    fps = 1000 / min(times)
    return write_animation(target, frames, fps=fps, hold=[t / min(times) for t in times])
