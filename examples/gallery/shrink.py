"""Small copies of pictures for the gallery: PNG at most 720 pixels wide, GIF at most 360 (grey ones 280)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from latens.figures.animation import common_palette, indexed, write_animation

WIDEST, WIDEST_MOVING, GREY_MOVING = 720, 360, 280


def shrink(source: Path, target: Path, *, widest: int = WIDEST) -> Path:
    """Copy a picture to `target`, a still one at most `widest` pixels wide."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".gif":
        return shrink_moving(source, target)
    with Image.open(source) as opened:
        return _still(opened.convert("RGB"), target, widest)


def side_by_side(sources: Sequence[Path], target: Path, *, captions: Sequence[str], columns: int) -> Path:
    """Pictures of one size as one picture, row by row, each under its caption."""
    target.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.open(source).convert("RGB") for source in sources]
    gap, font = 16, ImageFont.load_default(size=20)
    width, height = pictures[0].width + gap, pictures[0].height + gap + 26
    sheet = Image.new("RGB", (columns * width - gap, math.ceil(len(pictures) / columns) * height - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions)):
        x, y = i % columns * width, i // columns * height
        draw.text((x, y), caption, fill="#22262b", font=font)
        sheet.paste(picture, (x, y + 26))
    return _still(sheet, target)


def _still(image: Image.Image, target: Path, widest: int = WIDEST) -> Path:
    if image.width > widest:
        image = image.resize((widest, round(image.height * widest / image.width)), Image.Resampling.LANCZOS)
    pixels = [np.asarray(image)]
    grey = np.ptp(pixels[0], axis=2).max() <= 20  # with the bluish greys of the axes
    indexed(pixels, common_palette(pixels, 24 if grey else 256))[0].save(target, optimize=True)
    return target


def shrink_moving(source: Path, target: Path) -> Path:
    """The same frames, smaller, of 24 shades of each colour, or of 10 greys."""
    frames, times = [], []
    with Image.open(source) as opened:
        for moment in ImageSequence.Iterator(opened):
            times.append(moment.info["duration"])
            image = moment.convert("RGB")
            grey = np.ptp(np.asarray(image), axis=2).max() <= 20
            widest, shades = (GREY_MOVING, 9) if grey else (WIDEST_MOVING, 23)
            size = (widest, round(image.height * widest / image.width))
            image = image.resize(size, Image.Resampling.LANCZOS) if image.width > widest else image
            coarse = np.round(np.asarray(image) / 255 * shades) * (255 / shades)
            frames.append(coarse.astype(np.uint8))
    fps = 1000 / min(times)
    return write_animation(target, frames, fps=fps, hold=[t / min(times) for t in times])
