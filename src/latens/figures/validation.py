"""What every figure asks of its input: arrays of the right rank, not empty, finite; a name for each column."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from latens.errors import DataError


def numbers(value: ArrayLike, name: str, *, ndim: int | tuple[int, ...], finite: bool = True) -> np.ndarray:
    """Check that a value is an array of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        fix = "Give every row the same number of cells."
        raise DataError("its rows are of unequal length.", where=name, fix=fix) from None
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype}, not real numbers.", where=name, fix="Convert it to float first.")
    if array.ndim not in allowed:
        wanted = " or ".join(str(n) for n in allowed)
        what = f"shape {array.shape} has {array.ndim} axes, {wanted} expected."
        raise DataError(what, where=name, fix="Reshape or index it.")
    if array.size == 0:
        raise DataError(f"shape {array.shape} holds nothing to draw.", where=name, fix="Pass at least one row.")
    if finite and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        what = f"{bad} of {array.size} values are NaN or infinite."
        raise DataError(what, where=name, fix="Drop or fill those entries first.")
    return array


def same_length(columns: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Check that the columns of a table are one-dimensional and equally long."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    if not arrays:
        raise DataError("the table has no columns.", where="table", fix="Pass at least one named array.")
    shapes = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        what = f"columns must be 1-d and equally long, not {shapes}."
        raise DataError(what, where="table", fix="Flatten or cut them to match.")
    return arrays


def counted(names: Sequence[str]) -> list[int]:
    """The places of names as a reader counts, kind 2 before kind 10; names that are not sorted keep their own order."""
    if list(names) != sorted(names):
        return list(range(len(names)))
    # A text splits into words at even places and whole numbers at odd ones.
    parts = [[int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))] for name in names]
    return sorted(range(len(names)), key=parts.__getitem__)


def class_names(classes: Iterable[object]) -> list[str]:
    """Give the names of classes as strings, in order."""
    return [str(name) for name in classes]


def both_columns(
    data: ArrayLike, samples: ArrayLike, names: Sequence[object]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Check data and samples in the same named columns."""
    left, right = numbers(data, "data", ndim=2, finite=False), numbers(samples, "samples", ndim=2, finite=False)
    titles = class_names(names)
    if not left.shape[1] == right.shape[1] == len(titles):
        what = f"{left.shape[1]} columns of data, {right.shape[1]} of samples, {len(titles)} names."
        fix = "Pass one name for each column, and samples with the columns of the data."
        raise DataError(what, where="names", fix=fix)
    return left, right, titles
