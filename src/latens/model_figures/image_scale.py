"""Rows as images: which data are pictures, on which scale they are shown, and a picture file or sheet of them."""

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from matplotlib.image import imsave
from numpy.typing import ArrayLike

from latens.data import Schema
from latens.errors import UsageError
from latens.figures.images import as_images, mosaic
from latens.runtime.atomic import as_path, write_atomic


def shown(schema: Schema, values: ArrayLike, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Turn rows in the units of the data into images on the scale 0 (black) to 1 (full)."""
    # Levels are divided by `levels - 1`; binary and unit values stay. Nothing is clipped.
    # limits: real values that become 0 and 1; None takes the smallest and largest value given.
    shape = schema.image
    if shape is None:
        what = f"rows of shape {schema.shape} are not images."
        raise UsageError(what, where="images", fix="Write them as .npz or .csv.")
    images = np.asarray(values, np.float32)
    images = images.reshape(len(images), *shape)
    if not schema.cells.real:
        return images / np.float32(schema.cells.high) if schema.cells.pixel else images
    low, high = (float(images.min()), float(images.max())) if limits is None else limits
    return (images - np.float32(low)) / np.float32(max(high - low, 1e-30))


def write_image(path: str | Path, images: ArrayLike, *, columns: int | None = None) -> Path:
    """Write images side by side, in reading order, as one PNG without axes; the file is whole or absent."""
    # Small images are enlarged by a whole number, so that each is 112 pixels or more.
    path = as_path(path)
    if path.suffix.lower() != ".png":
        raise UsageError("pictures are written as PNG.", where=str(path), fix="Let the name end in .png.")
    array = as_images(images, "images")
    columns = columns or math.ceil(math.sqrt(len(array)))
    rgba = mosaic([array[i : i + columns] for i in range(0, len(array), columns)]).pixels
    white = np.where(rgba[..., 3:] > 0, rgba[..., :3], 1.0)
    scale = max(1, math.ceil(112 / max(array.shape[1:3])))
    pixels = np.round(255 * white).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    stream = io.BytesIO()
    imsave(stream, pixels, format="png", metadata={"Software": "latens"})
    write_atomic(path, stream.getvalue())
    return path


SIDE, LINE = 128, 16
"""The least longer side of a picture on a sheet, and the height of its name, in pixels."""

LETTER = 6
"""The width of a letter of Pillow's own font, in pixels."""


def captioned(images: Shaped[np.ndarray, "n h w *c"], names: Sequence[str]) -> Shaped[np.ndarray, "n m p 3"]:
    """Enlarge pictures on the scale 0 to 1 by a whole number, and write the name of each below it on white."""
    from PIL import Image, ImageDraw, ImageFont

    x = np.asarray(images, np.float32)
    x = x[..., None] if x.ndim == 3 else x
    x = np.broadcast_to(x, (*x.shape[:3], 3)) if x.shape[3] == 1 else x
    scale = max(1, math.ceil(SIDE / max(x.shape[1:3])))
    x = np.clip(x, 0.0, 1.0).repeat(scale, axis=1).repeat(scale, axis=2)
    font, most = ImageFont.load_default_imagefont(), x.shape[2] // LETTER
    names = [name if len(name) <= most else name.replace("/", "/ ") for name in names]  # folder and file, a line each
    texts = [textwrap.fill(name.encode("ascii", "replace").decode(), most) for name in names]
    below = LINE * max((text.count("\n") + 1 for text in texts), default=1)
    found = np.ones((len(x), x.shape[1] + below, x.shape[2], 3), np.float32)
    found[:, : x.shape[1]] = x
    for one, text in zip(found, texts):
        label = Image.new("L", (x.shape[2], below), 255)
        ImageDraw.Draw(label).text((1, 2), text, fill=0, font=font)
        one[x.shape[1] :] = np.asarray(label, np.float32)[..., None] / 255.0
    return found
