"""A format of files as one class: read into memory, or by blocks from disk."""

import abc
import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from latens.data.formats.source import AbstractSource, BlockTable, Place, file_of
from latens.data.raw import ColumnRoles, Raw, damaged, with_roles
from latens.errors import DataError, LatensError
from latens.kinds.tables.cells import refuse_kinds, rows_of


class Format(abc.ABC):
    """A file format: how one file is cut into blocks of rows, and how a block is read.

    A format of your own is a subclass with three methods, made known by `latens.register_format`. Its files are then
    read into memory, or stay on disk with `--stream`. An object is made for each file, without arguments.

    Attributes:
        endings: How the names of such files end, each with its dot.
        where: How an error names the file.
    """

    endings: ClassVar[tuple[str, ...]] = ()
    where: str = ""
    roles: ColumnRoles = ColumnRoles()  # which columns were named as label, row id and weight

    @abc.abstractmethod
    def open(self, file: Any) -> None:
        """Find out how a file is laid out, and keep what `table` and `read` need.

        Args:
            file: The file, open for reading bytes, at its start.
        """

    @abc.abstractmethod
    def table(self) -> Sequence[int]:
        """Count the rows of each block, in the order of the file.

        Returns:
            A number for each block. A block is read at once: some thousand rows, of 128 MB at most.
        """

    @abc.abstractmethod
    def read(self, file: Any, block: int) -> Any:
        """Read a block.

        Args:
            file: The file, open for reading bytes.
            block: The number of the block, from 0.

        Returns:
            An array of numbers, led by the rows; or columns by name, each a list or an array with a cell for each row:
            numbers, text, True and False, and None for a missing cell.
        """


class FormatSource(AbstractSource):
    """Files of a `Format`: all rows at once with `whole`, or by blocks after `by_blocks`."""

    # `kind`: The class of the format.

    def __init__(
        self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool, kind: type[Format]
    ) -> None:
        super().__init__(place, names, roles, single=single)
        self._formats, files, cut = [], [], []
        for name in names:
            made = kind()
            made.where, made.roles = place.shown(name), roles
            with self._opened(name, made.where) as file:
                files.append(file_of(name, file))
                file.seek(0)
                made.open(file)
                cut.append([int(rows) for rows in made.table()])
            if min(cut[-1], default=0) < 1:
                raise DataError("has no rows.", where=made.where, fix="Give a file with at least one row.")
            self._formats.append(made)
        self.files, self.table = tuple(files), BlockTable.of(cut)

    @contextlib.contextmanager
    def _opened(self, name: str, where: str) -> Iterator[Any]:
        """An open file; what a format raises for its bytes is said in words."""
        try:
            with self.place.open(name) as file, io.BufferedReader(file) as stream:
                yield stream
        except (LatensError, OSError, MemoryError):
            raise
        except Exception as error:
            raise damaged(where, f"cannot be read ({type(error).__name__}: {str(error)[:100]}).") from error

    def _block(self, block: int) -> "np.ndarray | pl.DataFrame":
        """What the format gives for a block."""
        (at, _, rows), where = self.extent(block), self.where(block)
        with self._opened(self.names[at], where) as file:
            given = self._formats[at].read(file, block - int(np.searchsorted(self.table.file, at)))
            columns = {str(name): cells for name, cells in given.items()} if isinstance(given, Mapping) else None
            found = np.asarray(given) if columns is None else pl.DataFrame(columns, strict=False, nan_to_null=True)
        if len(found) != rows:
            raise damaged(where, f"holds {len(found)} rows, and its table says {rows}.")
        return found

    def by_blocks(self) -> "FormatSource":
        """Find out what the columns hold over all blocks: what no block says by itself."""
        found = [self._block(block) for block in range(len(self.table))]
        where, arrays = self._formats[0].where, [one for one in found if isinstance(one, np.ndarray)]
        shapes = {(one.shape[1:], one.dtype) for one in arrays}
        if len(shapes) > 1 or len(arrays) not in (0, len(found)):
            fix = "Give all blocks rows of one shape and type."
            raise DataError("has blocks of different columns, shapes or types.", where=where, fix=fix)
        if arrays:
            with_roles(Raw(None), self.roles, where)
            self.shape, self.dtype = next(iter(shapes))
        else:
            frames = [one.head(0) for one in found if isinstance(one, pl.DataFrame)]
            self._schema = pl.concat(frames, how="diagonal_relaxed").schema
            raw = rows_of(pl.DataFrame(schema=self._schema), replace(self.roles, declared=None), where)
            refuse_kinds(raw, self._schema, where)
            self.columns, self.label_name = raw.columns, raw.label_name
            self.shape, self.dtype = (len(raw.columns or ()),), raw.x.dtype
        return self

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        found = self._block(block)
        if isinstance(found, np.ndarray):
            return Raw(found), None
        frame = pl.concat([pl.DataFrame(schema=self._schema), found], how="diagonal_relaxed")
        return rows_of(frame, replace(self.roles, declared=None), self.where(block)), None

    def whole(self) -> Raw:
        """Read all rows into memory: the blocks, one after the other."""
        parts, where = [self._block(block) for block in range(len(self.table))], self._formats[0].where
        arrays = [one for one in parts if isinstance(one, np.ndarray)]
        if arrays:
            return with_roles(Raw(np.concatenate(arrays)), self.roles, where)
        frames = [one for one in parts if isinstance(one, pl.DataFrame)]
        return rows_of(pl.concat(frames, how="diagonal_relaxed"), self.roles, where)
