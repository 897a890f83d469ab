"""Small copies of pictures for the gallery: PNG at most 1440 pixels wide, GIF at most 720; grids with every pixel."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from latens.figures.animation import common_palette, indexed, write_animation

WIDEST, WIDEST_MOVING = 1440, 720


def shrink(source: Path, target: Path) -> Path:
    """Copy a picture to `target` with fewer colours and, but for a decoded grid, fewer pixels."""
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = source.stem.startswith("manifold")  # of a grid of pictures every pixel counts
    if source.suffix == ".gif":
        return shrink_moving(source, target, whole=whole)
    with Image.open(source) as opened:
        return _still(opened.convert("RGB"), target, whole=whole)


def side_by_side(sources: Sequence[Path], target: Path, *, captions: Sequence[str], columns: int) -> Path:
    """Pictures of one size as one picture, row by row, each under its caption."""
    target.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.open(source).convert("RGB") for source in sources]
    gap, font = 16, ImageFont.load_default(size=34)
    width, height = pictures[0].width + gap, pictures[0].height + gap + 46
    sheet = Image.new("RGB", (columns * width - gap, math.ceil(len(pictures) / columns) * height - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions)):
        x, y = i % columns * width, i // columns * height
        draw.text((x, y), caption, fill="#22262b", font=font)
        sheet.paste(picture, (x, y + 46))
    return _still(sheet, target)


def _still(image: Image.Image, target: Path, *, whole: bool = False) -> Path:
    if image.width > WIDEST and not whole:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.BOX)
    pixels = [np.asarray(image)]
    grey = np.ptp(pixels[0], axis=2).max() <= 20  # with the bluish greys of the axes
    indexed(pixels, common_palette(pixels, 256 if not grey else 16 if whole else 24))[0].save(target, optimize=True)
    return target


def shrink_moving(source: Path, target: Path, *, whole: bool = False) -> Path:
    """The same frames, smaller, of 24 shades of each colour, or of 10 greys; of a grid with every pixel 7."""
    frames, times = [], []
    with Image.open(source) as opened:
        for moment in ImageSequence.Iterator(opened):
            times.append(moment.info["duration"])
            image = moment.convert("RGB")
            grey = np.ptp(np.asarray(image), axis=2).max() <= 20
            size = (WIDEST_MOVING, round(image.height * WIDEST_MOVING / image.width))
            if image.width > WIDEST_MOVING and not whole:
                image = image.resize(size, Image.Resampling.BOX)
            shades = 6 if whole else 9 if grey else 23
            coarse = np.round(np.asarray(image) / 255 * shades) * (255 / shades)
            frames.append(coarse.astype(np.uint8))
    fps = 1000 / min(times)
    return write_animation(target, frames, fps=fps, hold=[t / min(times) for t in times])
