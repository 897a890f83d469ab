"""How long the code of a picture is under a fixed lossless coder: what of its surprise is owed to its detail."""

import math
import zlib

import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.data.schema import image_shape
from latens.evidence.batched import prepared_rows
from latens.workflow.trained import TrainedModel


def code_lengths(pictures: np.ndarray, levels: int = 256) -> Shaped[np.ndarray, " n"]:
    r"""The length of each picture's code: PNG's five filters and DEFLATE, the shortest of the five."""
    # Each filter is applied to all lines of a picture, and its residuals are compressed by zlib at level 9 without a
    # header; a picture of two levels is packed into bits instead. More than 256 levels are two bytes each.
    # Source: ISO/IEC 15948 (PNG), section 9; RFC 1951 (DEFLATE).
    x = np.asarray(pictures).reshape(*pictures.shape[:3], -1)
    if levels == 2:
        every = [np.packbits(x.astype(np.uint8), axis=2)]
    else:
        whole = x.astype(np.uint16)
        split = [whole] if levels <= 256 else [whole >> 8, whole & 255]
        every = _filtered(np.concatenate([part.astype(np.uint8) for part in split], axis=3))
    found = [[_length(picture) for picture in residuals] for residuals in every]
    return np.min(np.array(found, np.float64).reshape(len(every), -1), axis=0) * 8.0 * math.log(2.0)


def _filtered(x: np.ndarray) -> list[np.ndarray]:
    """What PNG's filters none, sub, up, average and Paeth leave of bytes, modulo 256."""
    left, up, corner = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    left[:, :, 1:], up[:, 1:], corner[:, 1:, 1:] = x[:, :, :-1], x[:, :-1], x[:, :-1, :-1]
    average = ((left.astype(np.uint16) + up) // 2).astype(np.uint8)
    a, b, c = (part.astype(np.int16) for part in (left, up, corner))
    p = a + b - c
    far_a, far_b, far_c = np.abs(p - a), np.abs(p - b), np.abs(p - c)
    paeth = np.where((far_a <= far_b) & (far_a <= far_c), left, np.where(far_b <= far_c, up, corner))
    return [x, x - left, x - up, x - average, x - paeth]


def _length(picture: np.ndarray) -> int:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return len(coder.compress(picture.tobytes()) + coder.flush())


def are_pictures(data: Dataset) -> bool:
    """Whether rows are pictures whose code has a length: whole ones, of levels, of two colours or of shares."""
    kinds = ("binary", "levels", "unit")
    return image_shape(data.schema) is not None and data.schema.kind in kinds and data.mask is None


def detail(
    trained: TrainedModel, data: Dataset, positions: np.ndarray | None, *, seed: int = 0
) -> Shaped[np.ndarray, " n"]:
    """The length of the code of each row of pictures, as the model sees them where it sees black and white."""
    batch, levels = trained.batch(data, positions), data.schema.levels or 256
    if trained.preparation.binarize != "none":
        x, levels = prepared_rows(trained.rows(batch, seed=seed)), 2
    else:
        x = np.asarray(batch.x)
        levels = 2 if data.schema.kind == "binary" else levels
        x = np.round(x * 255.0) if data.schema.kind == "unit" else x
    shape = image_shape(data.schema) or ()
    return code_lengths(x.reshape(len(x), *shape), levels)
