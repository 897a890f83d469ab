"""Where the rows of a stream lie: files in a place, and blocks of rows in files."""

import abc
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.raw import ColumnRoles, Raw
from latens.data.rows import mix, row_keys, row_names, row_numbers
from latens.errors import DataError, LatensError, ResourceError

WINDOW = 2**27
"""Bytes of stored rows that a window of training rows holds at most, and a block: 128 MB."""

MOST_ROWS = 2**20
"""Rows of a window of narrow rows."""

_ENDS = 4096  # bytes at both ends of a file that its digest is of


@dataclass(frozen=True)
class File:
    """One file of a stream."""

    name: str  # its path relative to the place, with / between folders
    bytes: int
    digest: str  # BLAKE2b of what says how it is laid out: a header, a footer


@dataclass(frozen=True)
class BlockTable:
    """The blocks of a stream, in the order of files and rows."""

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


class AbstractSource(abc.ABC):
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
    slow: str = ""
    """Why rows cannot be read in another order than that of the files without great cost; "" where they can."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        self.place, self.names, self.roles, self.single = place, names, roles, single

    @property
    def notes(self) -> tuple[str, ...]:
        """What the blocks read so far changed of their files, a sentence each."""
        return ()

    @abc.abstractmethod
    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        """Read the rows of a block."""

    def rows(self, block: int) -> tuple[Raw, np.ndarray]:
        """Read the rows of a block, with their random keys."""
        # returns: the rows, and uint32made of the row's id where there is one, else of the path of the file and the
        # number of the row in it, so that further files move no other row's split or noise.
        with file_errors(self.where(block)):
            raw, keys = self.read(block)
        if keys is not None:
            return raw, keys
        if raw.names is not None:
            return raw, row_keys(row_names(raw.names, len(raw.x), self.where(block)))
        return raw, self.place_keys(block)

    def place_keys(self, block: int) -> np.ndarray:
        """Give the random keys of the rows of a block that has no ids."""
        at = self.places(block).astype(np.uint64)
        return mix(at if self.single else at + path_number(self.file_name(block)))

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


def path_number(name: str) -> np.uint64:
    """Make a number of a file's path."""
    return row_numbers(np.array([f"{name}:0"], object))[0]


def file_of(name: str, stream: Any) -> File:
    """Describe an open file by its size and its ends, so that a changed one is known."""
    head, size = stream.read(_ENDS), stream.seek(0, 2)
    stream.seek(max(0, size - _ENDS))
    return File(name, size, digest_of(head, stream.read(_ENDS)))


def digest_of(*parts: bytes) -> str:
    """Hash what says how a file is laid out."""
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()
