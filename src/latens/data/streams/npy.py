"""Shards of NumPy arrays as a stream: a block is some thousand rows of one `.npy` file.

Beside `part.npy` may lie `part.label.npy`, `part.id.npy`, `part.weight.npy`, and as `latens pack` writes them
`part.key.npy` (the rows' random keys) and `part.split.npy`, with a value for each row; and `columns.json`, the names of
the columns.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.raw import ColumnRoles, Raw, check_bytes, damaged
from latens.data.readers.npz import read_npy_header
from latens.data.rows import TEST
from latens.data.streams.blocks import AbstractSource, BlockTable, File, Place, digest_of
from latens.errors import DataError, LatensError
from latens.io.json import parse_json_strict

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes."""

COLUMNS = "columns.json"
_BESIDE = ("label", "id", "weight", "key", "split")
_ENDS = 4096  # bytes at the end of a file that its digest is also of


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
        x = np.empty((rows, *self.shape), self.dtype)
        view = x.reshape(-1).view(np.uint8).data if x.size else memoryview(bytearray())
        with self.place.open(self.name) as stream:
            stream.seek(self.offset + first * self.row_bytes)
            _fill(stream, view, f"{self.where}, rows {first} to {first + rows - 1}")
        check_bytes(x, self.where)
        return x.astype(self.dtype.newbyteorder("="), copy=False)


def _fill(stream: Any, view: memoryview, where: str) -> None:
    filled = 0
    while filled < len(view):
        got = stream.readinto(view[filled:])
        if not got:
            raise damaged(where, f"the data end after {filled} of {len(view)} bytes.")
        filled += got


class NpySource(AbstractSource):
    """Files of NumPy arrays; the arguments are those of `AbstractSource`."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        if asked := roles.asked():
            fix = "Write part.label.npy, part.id.npy or part.weight.npy beside part.npy, and name their folder."
            raise DataError(f"arrays have no column {next(iter(asked.values()))!r}.", where=place.shown(names[0]),
                            fix=fix)  # fmt: skip
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
            raise DataError("is no list of names of columns.", where=where, fix="Remove it, or pack the data again.")
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
