"""Where rows lie: files in a place, and blocks of rows in files."""

import abc
import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.raw import ColumnRoles, Raw
from latens.errors import DataError, LatensError, ResourceError

WINDOW = 2**27
"""Bytes of rows that a block holds at most: 128 MB."""

_ENDS = 4096  # bytes at both ends of a file that its digest is of


@dataclass(frozen=True)
class File:
    """One file of rows."""

    name: str  # its path relative to the place, with / between folders
    bytes: int
    digest: str  # BLAKE2b of what says how it is laid out: a header, a footer


@dataclass(frozen=True)
class BlockTable:
    """The blocks of files, in the order of files and rows."""

    file: np.ndarray  # the number of each block's file, shape (blocks,)
    first: np.ndarray  # the first row of each block in its file
    rows: np.ndarray  # how many rows each has

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, rows_by_file: list[list[int]]) -> "BlockTable":
        """Make the table of files that are cut into blocks."""
        counts = [np.array(rows, np.int64) for rows in rows_by_file]
        firsts = [np.cumsum(rows) - rows for rows in counts]
        file = np.repeat(np.arange(len(counts)), [len(rows) for rows in counts])
        empty = [np.zeros(0, np.int64)]
        return cls(file.astype(np.int64), np.concatenate(empty + firsts), np.concatenate(empty + counts))


class Place:
    """A folder of this machine's file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, name: str) -> Any:
        """Open a file for reading."""
        return (self.root / name).open("rb")

    def shown(self, name: str) -> str:
        """Name a file for an error."""
        return str(self.root / name)


class Address(Place):
    """A folder of an object store that Polars reads; its files are opened by Polars alone."""

    # `address`: What is before the names of files.

    def __init__(self, address: str) -> None:
        super().__init__(Path())
        self.address = address.rstrip("/")

    def shown(self, name: str) -> str:
        return f"{self.address}/{name}"


class AbstractRows(abc.ABC):
    """What gives rows part by part, to be read into memory or to be written into one file."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What errors call it."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """About how many bytes the rows have."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the parts read so far changed of their files, a sentence each."""
        return ()

    @property
    def lies(self) -> Path | None:
        """The file that can be mapped where it lies: one array of plain numbers."""
        return None

    @abc.abstractmethod
    def parts(self) -> Iterator[Raw]:
        """Go through all rows, some at a time."""

    @abc.abstractmethod
    def told(self) -> dict[str, Any]:
        """Say what the rows are a function of."""

    def look_further(self) -> bool:
        """Look at all rows before what they are is settled, where that was not done yet."""
        return False


def told_roles(roles: ColumnRoles) -> dict[str, Any]:
    """Say which columns are no data, and how files are read."""
    return {name: value for name, value in vars(roles).items() if name not in ("declared", "refuses")}


class AbstractSource(AbstractRows):
    """Files of one format and their blocks."""

    # `names`: Their paths relative to the place, sorted.
    # `roles`: Which columns are the label, the row id and the weight.
    # `single`: Whether this is one file by itself, whose rows are named by their numbers alone.

    files: tuple[File, ...]
    table: BlockTable
    shape: tuple[int, ...]
    dtype: np.dtype
    columns: tuple[str, ...] | None = None
    label_name: str | None = None

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        self.place, self.names, self.roles, self.single = place, names, roles, single

    @property
    def title(self) -> str:
        """What errors call it."""
        return self.place.shown(self.names[0] if self.single else "")

    @property
    def size(self) -> int:
        """The bytes of the rows."""
        return int(self.table.rows.sum()) * math.prod(self.shape) * self.dtype.itemsize

    @property
    def lies(self) -> Path | None:
        path = Path(self.title)
        plain = self.dtype.kind in "iuf" and self.dtype.isnative
        return path if self.single and plain and path.suffix.lower() == ".npy" else None

    def told(self) -> dict[str, Any]:
        """Say what the rows are a function of."""
        paths = (self.place.root / name for name in self.names)
        return {
            "of": type(self).__name__,
            "root": str(self.place.root.resolve()),
            "files": [[file.name, file.bytes, file.digest] for file in self.files],
            "times": [path.stat().st_mtime_ns for path in paths if path.is_file()],
            "roles": told_roles(self.roles),
            "single": self.single,
        }

    @abc.abstractmethod
    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        """Read the rows of a block."""

    def parts(self) -> Iterator[Raw]:
        """Go through the rows of all blocks; without ids they are named by file and place, or counted in one file."""
        for block in range(len(self.table)):
            with file_errors(self.where(block)):
                raw = self.read(block)[0]
            if raw.names is None and not self.single:
                raw.names = self.row_names(block)
            raw.label_name = raw.label_name or self.label_name
            yield raw

    def extent(self, block: int) -> tuple[int, int, int]:
        """Say where a block lies: the number of its file, its first row there, and how many rows it has."""
        return int(self.table.file[block]), int(self.table.first[block]), int(self.table.rows[block])

    def file_name(self, block: int) -> str:
        """Give the path of a block's file."""
        return self.files[self.extent(block)[0]].name

    def places(self, block: int) -> Shaped[np.ndarray, " rows"]:
        """Number the rows of a block in their file."""
        _, first, rows = self.extent(block)
        return np.arange(first, first + rows)

    def row_names(self, block: int) -> np.ndarray:
        """Name the rows of a block that has no ids: the file and the row in it."""
        at = self.places(block)
        if self.single:
            return at
        name = self.file_name(block)
        return np.array([f"{name}:{row}" for row in at.tolist()])

    def where(self, block: int) -> str:
        """Name a block for an error."""
        _, first, rows = self.extent(block)
        return f"{self.place.shown(self.file_name(block))}, rows {first} to {first + rows - 1}"


@contextlib.contextmanager
def file_errors(where: str) -> Iterator[None]:
    """Say in words why a file could not be read."""
    try:
        yield
    except LatensError:
        raise
    except FileNotFoundError:
        raise DataError("is not there (any more).", where=where, fix="Bring the file back.") from None
    except MemoryError:
        raise ResourceError("does not fit into memory.", where=where, fix="Use smaller blocks.") from None
    except OSError as error:
        fix = "Check the disk or the network that it lies on, or copy it to another place."
        raise ResourceError(f"cannot be read ({error.strerror or str(error)[:100]}).", where=where, fix=fix) from None


def file_of(name: str, stream: Any) -> File:
    """Describe an open file by its size and its ends, so that a changed one is known."""
    head, size = stream.read(_ENDS), stream.seek(0, 2)
    stream.seek(max(0, size - _ENDS))
    return File(name, size, digest_of(head, stream.read(_ENDS)))


def digest_of(*parts: bytes) -> str:
    """Hash what says how a file is laid out."""
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()
