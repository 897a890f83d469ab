"""Rows as images: which data are pictures, on which scale they are shown, and a picture file made of them."""

import io
import math
from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from numpy.typing import ArrayLike

from latens.data import Schema
from latens.errors import UsageError
from latens.figures.images import as_images, mosaic
from latens.io.atomic import as_path, write_atomic


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
    # columns: images in a row; None takes about a square.
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
