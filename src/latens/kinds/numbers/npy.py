"""NumPy's arrays, .npy, mapped by NumPy and never unpickled; on disk a block is some thousand rows.

Beside `part.npy` may lie `part.label.npy`, `part.id.npy` and `part.weight.npy`, with a value for each row.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.formats.source import AbstractSource, BlockTable, File, Place, file_of
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


class NpySource(AbstractSource):
    """Files of NumPy arrays; the arguments are those of `AbstractSource`."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        fix = "Write part.label.npy, part.id.npy or part.weight.npy beside part.npy, and name their folder."
        no_roles(roles, place.shown(names[0]), fix, "arrays have")
        files, cut, kinds, self._beside = [], [], [], []
        for name in names:
            array, where = mapped(place.root / name), place.shown(name)
            if not array.ndim:
                raise DataError("holds a single number, not rows.", where=where, fix="Give an array with rows.")
            kinds.append((array.shape[1:], array.dtype))
            if kinds[-1] != kinds[0]:
                own, first = (f"{dtype} of shape {shape}" for shape, dtype in (kinds[-1], kinds[0]))
                what = f"has rows that are {own}, those of {names[0]} are {first}."
                raise DataError(what, where=where, fix="Give all files rows of one shape and type.")
            self._beside.append(self._found_beside(name, len(array)))
            if odd := set(self._beside[-1]) ^ set(self._beside[0]):
                fix = f"Give every file a .{min(odd)}.npy, or none."
                raise DataError(f"only some files have a .{min(odd)}.npy beside them.", where=where, fix=fix)
            rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, array[:1].nbytes)))
            cut.append([min(rows, len(array) - at) for at in range(0, len(array), rows)])
            files += [self._described(one) for one in (name, *self._beside[-1].values())]
        self.shape, self.dtype = kinds[0][0], kinds[0][1].newbyteorder("=")
        self.files, table = tuple(files), BlockTable.of(cut)
        # Files are counted with those beside them.
        self._file = table.file
        self.table = BlockTable(table.file * (1 + len(self._beside[0])), table.first, table.rows)

    def _described(self, name: str) -> File:
        with self.place.open(name) as stream:
            return file_of(name, stream)

    def _found_beside(self, name: str, rows: int) -> dict[str, str]:
        ends = {role: f"{name[: -len('.npy')]}.{role}.npy" for role in _BESIDE if not self.single}
        found = {role: one for role, one in ends.items() if (self.place.root / one).exists()}
        for one in found.values():
            if (shape := mapped(self.place.root / one).shape) != (rows,):
                what = f"has the shape {shape} beside {rows} rows."
                raise DataError(what, where=self.place.shown(one), fix="Give one value for each row.")
        return found

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        at, first, rows = int(self._file[block]), int(self.table.first[block]), int(self.table.rows[block])

        def part(name: str | None) -> Any:
            if name is None:
                return None
            # Mapped anew: a file that was cut since then is an error, where its old map would end the process.
            where = f"{self.place.shown(name)}, rows {first} to {first + rows - 1}"
            return native(mapped(self.place.root / name, where)[first : first + rows], where)

        label, names, weight = (part(self._beside[at].get(role)) for role in _BESIDE)
        label = None if self.roles.label == "none" else label
        return Raw(part(self.names[at]), label, names, weight), None
