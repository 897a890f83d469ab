"""NumPy's arrays, .npy, read without pickle and without trusting a header; on disk a block is some thousand rows.

NumPy parses the header, a literal of at most 10,000 bytes; the size that it declares is held against the file before
anything is allocated, which `np.load` does not do.

Beside `part.npy` may lie `part.label.npy`, `part.id.npy`, `part.weight.npy`, `part.key.npy` (the rows' random keys) and
`part.split.npy`, with a value for each row; and `columns.json`, the names of the columns.
"""

import io
import math
import os
import re
import struct
import tokenize
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.formats.source import AbstractSource, BlockTable, File, Place, digest_of
from latens.data.raw import ColumnRoles, Raw, check_size, damaged, no_roles, read_array
from latens.data.rows import TEST
from latens.errors import DataError, LatensError
from latens.io.json import parse_json_strict

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes."""

MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000
_TYPE = re.compile(r"[<>|](b1|[iuf][1248]|[SU][0-9]{1,4})\Z")
COLUMNS = "columns.json"
_BESIDE = ("label", "id", "weight", "key", "split")
_ENDS = 4096  # bytes at the end of a file that its digest is also of


def read_npy_stream(stream: io.BufferedIOBase, size: int, where: str, *, exact: bool = True) -> np.ndarray:
    """Read one array from a stream."""
    dtype, fortran, shape, offset = read_npy_header(stream, where)
    check_size(where, shape, dtype.itemsize, size - offset, exact=exact)
    return read_array(stream, dtype, shape, where, order="F" if fortran else "C")


def read_npy_header(stream: Any, where: str) -> tuple[np.dtype, bool, tuple[int, ...], int]:
    """Read what precedes the data of an array."""
    # returns: the type, whether columns lie one after the other, the shape, and the bytes that were read.
    start = stream.read(8)
    if len(start) < 8 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise damaged(where, "does not begin like a .npy file of format 1 to 3.")
    width, code = (2, "<H") if start[6] == 1 else (4, "<I")
    raw_length = stream.read(width)
    length = struct.unpack(code, raw_length)[0] if len(raw_length) == width else -1
    if not 0 <= length <= _MAX_HEADER:
        raise damaged(where, f"the header is {length} bytes long (at most {_MAX_HEADER}).")
    header = stream.read(length)
    dtype, fortran, shape = _parse_header(header, where)
    if dtype.itemsize == 0 or len(header) != length:
        raise damaged(where, "the header is cut off or declares an empty type.")
    return dtype, fortran, shape, 8 + width + length


def _parse_header(header: bytes, where: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    unclear = damaged(where, "the header is not the description of an array.")
    stream: Any = io.BytesIO(struct.pack("<I", len(header)) + header)  # of format 2: the others have another length
    try:
        with warnings.catch_warnings():
            # Odd bytes can look like odd Python, about which the parser would warn.
            warnings.simplefilter("ignore")
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream, max_header_size=_MAX_HEADER)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        raise unclear from None
    if any(type(n) is not int for n in shape):
        raise unclear
    if not _TYPE.match(dtype.str):
        what = "Python objects" if dtype.hasobject else f"values of type {dtype.str!r}"
        what = f"holds {what}; latens reads plain numbers (and text for labels and ids) and never unpickles."
        raise DataError(what, where=where, fix="Save numbers: np.save(path, np.asarray(x, dtype='float32')).")
    return dtype, fortran, shape


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a .npy file."""
    if path.exists() and not path.is_file():  # a named pipe would be waited for
        raise DataError("is not a regular file.", where=str(path), fix="Give a file.")
    with path.open("rb") as stream:
        return read_npy_stream(stream, os.fstat(stream.fileno()).st_size, str(path))


def is_beside(name: str) -> bool:
    """Say whether a file holds values that belong to the rows of another one."""
    return name.lower().endswith(tuple(f".{role}.npy" for role in _BESIDE))


class Layout:
    """Where the rows of a `.npy` file are."""

    def __init__(self, place: Place, name: str) -> None:
        self.place, self.name, self.where = place, name, place.shown(name)
        with place.open(name) as stream:
            self.dtype, fortran, shape, self.offset = read_npy_header(stream, self.where)
            stream.seek(0)
            header = stream.read(self.offset)
            self.bytes = stream.seek(0, 2)
            stream.seek(max(self.offset, self.bytes - _ENDS))
            self.digest = digest_of(header, stream.read(_ENDS))
        if len(shape) == 0:
            raise DataError("holds a single number, not rows.", where=self.where, fix="Give an array with rows.")
        if fortran and len(shape) > 1:
            fix = "Save it again: np.save(path, np.ascontiguousarray(x))."
            raise DataError("its columns lie one after the other, so no row can be read alone.",
                            where=self.where, fix=fix)  # fmt: skip
        self.rows, self.shape = shape[0], shape[1:]
        self.row_bytes = math.prod(self.shape) * self.dtype.itemsize
        if self.offset + self.rows * self.row_bytes != self.bytes:
            held = f"{self.bytes - self.offset} bytes follow"
            raise damaged(self.where, f"the header declares {self.rows * self.row_bytes} bytes of data, {held}.")

    def read(self, first: int, rows: int) -> Shaped[np.ndarray, "rows *shape"]:
        """Read some rows."""
        with self.place.open(self.name) as stream:
            stream.seek(self.offset + first * self.row_bytes)
            where = f"{self.where}, rows {first} to {first + rows - 1}"
            return read_array(stream, self.dtype, (rows, *self.shape), where, ends=False)


class NpySource(AbstractSource):
    """Files of NumPy arrays; the arguments are those of `AbstractSource`."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        fix = "Write part.label.npy, part.id.npy or part.weight.npy beside part.npy, and name their folder."
        no_roles(roles, place.shown(names[0]), fix, "arrays have")
        self.layouts = [Layout(place, name) for name in names]
        first = self.layouts[0]
        for other in self.layouts:
            if (other.shape, other.dtype) != (first.shape, first.dtype):
                kinds = [f"{one.dtype} of shape {one.shape}" for one in (other, first)]
                what = f"has rows that are {kinds[0]}, those of {first.name} are {kinds[1]}."
                raise DataError(what, where=other.where, fix="Give all files rows of one shape and type.")
        self.shape, self.dtype = first.shape, first.dtype.newbyteorder("=")
        self.beside = [self._beside(layout) for layout in self.layouts]
        for found, layout in zip(self.beside, self.layouts):
            if set(found) != set(self.beside[0]):
                role = min(set(found) ^ set(self.beside[0]))
                fix = f"Give every file a .{role}.npy, or none."
                raise DataError(f"only some files have a .{role}.npy beside them.", where=layout.where, fix=fix)
        self.columns = self._columns()
        files = [layout for at in range(len(names)) for layout in (self.layouts[at], *self.beside[at].values())]
        self.files = tuple(File(one.name, one.bytes, one.digest) for one in files)
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, first.row_bytes)))
        cut = [[min(rows, one.rows - at) for at in range(0, one.rows, rows)] for one in self.layouts]
        table = BlockTable.of(cut)
        # Files are counted with those beside them.
        self._layout = table.file
        self.table = BlockTable(table.file * (1 + len(self.beside[0])), table.first, table.rows)

    def _beside(self, layout: Layout) -> dict[str, Layout]:
        found: dict[str, Layout] = {}
        for role in () if self.single else _BESIDE:
            name = f"{layout.name[: -len('.npy')]}.{role}.npy"
            try:
                one = Layout(self.place, name)
            except FileNotFoundError:
                continue
            if one.shape or one.rows != layout.rows:
                what = f"has the shape {(one.rows, *one.shape)} beside {layout.rows} rows."
                raise DataError(what, where=one.where, fix="Give one value for each row.")
            found[role] = one
        return found

    def _columns(self) -> tuple[str, ...] | None:
        if self.single:
            return None
        where = self.place.shown(COLUMNS)
        try:
            with self.place.open(COLUMNS) as file:
                names = parse_json_strict(file.read(2**24), max_bytes=2**24, error=DataError, where=where)
        except FileNotFoundError:
            return None
        except LatensError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError("is not a list of names of columns.", where=where, fix="Remove it, or pack the data again.")
        if self.shape != (len(names),):
            what = f"names {len(names)} columns, and rows have the shape {self.shape}."
            raise DataError(what, where=where, fix="Remove it, or pack the data again.")
        return tuple(names)

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        at, first, rows = int(self._layout[block]), int(self.table.first[block]), int(self.table.rows[block])
        beside = {role: layout.read(first, rows) for role, layout in self.beside[at].items()}
        label = None if self.roles.label == "none" else beside.get("label")
        raw = Raw(
            self.layouts[at].read(first, rows), label, beside.get("id"), beside.get("weight"), columns=self.columns
        )
        if "split" in beside:
            raw.brought = beside["split"]
            if raw.brought.dtype != np.uint8 or (len(raw.brought) and raw.brought.max() > TEST):
                fix = "Write 0 for training, 1 for validation and 2 for test as uint8."
                raise DataError("holds another split than 0, 1 or 2.", where=self.beside[at]["split"].where, fix=fix)
        keys = beside.get("key")
        if keys is not None and keys.dtype != np.uint32:
            what = f"holds {keys.dtype}, and keys of rows are uint32."
            raise DataError(what, where=self.beside[at]["key"].where, fix="Remove it, or pack the data again.")
        return raw, keys
