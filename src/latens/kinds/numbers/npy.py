"""NumPy's arrays, .npy, mapped by NumPy and never unpickled; on disk a block is some thousand rows.

Beside `part.npy` may lie `part.label.npy`, `part.id.npy` and `part.weight.npy`, with a value for each row.
"""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, check_bytes, damaged, no_roles, readable
from latens.errors import DataError

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes."""

_BESIDE = ("label", "id", "weight")


def check_header(stream: Any, size: int, where: str) -> None:
    """Refuse an array that is not of plain numbers or text, or that declares other bytes than follow."""
    with readable(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd bytes can look like odd Python, about which the parser would warn
        first = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        what = "Python objects" if dtype.hasobject else f"values of type {dtype.str!r}"
        what = f"holds {what}; latens reads plain numbers (and text for labels and ids) and never unpickles."
        raise DataError(what, where=where, fix="Save numbers: np.save(path, np.asarray(x, dtype='float32')).")
    declared, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if declared != held:
        raise damaged(where, f"the header declares {str(declared)[:30]} bytes of data, {held} bytes follow.")


def mapped(path: Path, where: str = "") -> np.ndarray:
    """Map the array of a .npy file into memory: bytes are read when they are asked for."""
    where = where or str(path)
    if path.exists() and not path.is_file():  # a named pipe would be waited for
        raise DataError("is not a regular file.", where=where, fix="Give a file.")
    with path.open("rb") as stream:
        check_header(stream, path.stat().st_size, where)
    with readable(where):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def native(array: np.ndarray, where: str) -> np.ndarray:
    """Copy an array of a file into memory, in this machine's order of bytes."""
    check_bytes(array, where)
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a .npy file."""
    return native(mapped(path), str(path))


def is_beside(name: str) -> bool:
    """Say whether a file holds values that belong to the rows of another one."""
    return name.lower().endswith(tuple(f".{role}.npy" for role in _BESIDE))


def npy_parts(path: Path, roles: ColumnRoles) -> Iterator[Raw]:
    """Read an array some rows at a time, with what lies beside it."""
    fix = "Write part.label.npy, part.id.npy or part.weight.npy beside part.npy, and name their folder."
    no_roles(roles, str(path), fix, "arrays have")
    array = mapped(path)
    if not array.ndim:
        raise DataError("holds a single number, not rows.", where=str(path), fix="Give an array with rows.")
    found = [path.with_suffix(f".{role}.npy") for role in _BESIDE]
    for one in found:
        if one.exists() and (shape := mapped(one).shape) != (len(array),):
            what = f"has the shape {shape} beside {len(array)} rows."
            raise DataError(what, where=str(one), fix="Give one value for each row.")
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, array[:1].nbytes)))
    for at in range(0, len(array), rows):
        # Mapped anew: a file that was cut since then is an error, where its old map would end the process.
        x, label, names, weight = (
            native(mapped(one)[at : at + rows], str(one)) if one.exists() else None for one in (path, *found)
        )
        yield Raw(x, label, names, weight)
