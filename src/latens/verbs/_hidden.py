"""The part of every picture that a command hides."""

import re
from pathlib import Path

import numpy as np

from latens.data.schema import image_shape
from latens.errors import DataError, UsageError
from latens.kinds.numbers.npy import read_npy
from latens.kinds.pictures.picture_files import pixels_of, reason, unreadable
from latens.workflow.trained import TrainedModel

HALVES = {"upper": ":50%,:", "lower": "50%:,:", "left": ":,:50%", "right": ":,50%:"}
"""Halves of a picture by name, as regions."""

_SPAN = re.compile(r"(\d+%?)?:(\d+%?)?\Z")
_FIX = (
    f"Give {', '.join(HALVES)}, rows and columns as 14:,: or 50%:,:, or a .npy file or picture that is above 0 there."
)


def hidden_part(trained: TrainedModel, hide: str) -> np.ndarray:
    """True where a cell of a picture is hidden, of the shape of a row."""
    # hide: a half, a region of rows and columns, or a file.
    shape = image_shape(trained.schema)
    if shape is None:
        fix = "Leave --hide out, and give rows with missing cells."
        raise UsageError(f"rows of shape {trained.schema.shape} are not pictures.", where="--hide", fix=fix)
    if Path(hide).is_file():
        hidden = _mask_file(hide, shape[:2])
    else:
        hidden = np.zeros(shape[:2], bool)
        hidden[_region(HALVES.get(hide, hide), shape)] = True
    if not hidden.any():
        raise UsageError(f"{hide!r} hides no pixel of {shape[0]} x {shape[1]}.", where="--hide", fix=_FIX)
    channels = shape[2] if len(shape) == 3 else 1
    return np.broadcast_to(hidden[..., None], (*shape[:2], channels)).reshape(trained.schema.shape)


def _region(region: str, shape: tuple[int, ...]) -> tuple[slice, ...]:
    spans = [_SPAN.match(part.strip()) for part in region.split(",")]
    if len(spans) != 2 or not all(spans):
        raise UsageError(f"{region!r} is neither a region of pixels nor a file.", where="--hide", fix=_FIX)
    ends = [[_pixel(end, size) for end in span.groups()] for span, size in zip(spans, shape) if span is not None]
    return tuple(slice(*pair) for pair in ends)


def _pixel(end: str | None, size: int) -> int | None:
    """The pixel that a number or a percentage names, of so many."""
    if end is None:
        return None
    return round(size * int(end[:-1]) / 100) if end.endswith("%") else int(end)


def _mask_file(path: str, shape: tuple[int, ...]) -> np.ndarray:
    where = f"--hide {path}"
    try:
        found = read_npy(Path(path)) if path.lower().endswith(".npy") else pixels_of(path, "L")[0]
    except DataError as error:
        raise DataError(f"cannot be read as a mask: {error.message}", where=where, fix=_FIX) from None
    except unreadable() as error:
        raise DataError(f"cannot be read as a mask: it {reason(error)}.", where=where, fix=_FIX) from None
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise DataError("a mask is of finite numbers, or of True and False.", where=where, fix=_FIX)
    if found.shape != shape:
        what = f"the mask is of shape {found.shape}, the model's pictures of {shape}."
        raise DataError(what, where=where, fix=f"Give one of {shape[0]} x {shape[1]} pixels.")
    return found > 0
