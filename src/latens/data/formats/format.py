"""A format of files as one class; and files of named columns as rows, in memory and by blocks from disk."""

import abc
import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from latens.data.columns import WHOLE
from latens.data.formats.source import WINDOW, AbstractSource, BlockTable, Place, file_of
from latens.data.formats.tables import (
    TRUTH,
    check_column_names,
    from_columns,
    kept_columns,
    plain_cells,
    role_positions,
    stacked,
)
from latens.data.raw import ColumnRoles, Raw, damaged, with_roles
from latens.data.streams.typed import Cells
from latens.data.words import Coded, Words
from latens.errors import DataError, LatensError


class Format(abc.ABC):
    """A file format: how one file is cut into blocks of rows, and how a block is read.

    A format of your own is a subclass with three methods, made known by `latens.register_format`. Its files are then
    read into memory, or stay on disk with `--stream`. An object is made for each file, without arguments.

    Attributes:
        endings: How the names of such files end, each with its dot.
        starts: How such files begin; empty where only the name says what they are.
        where: How an error names the file.
    """

    endings: ClassVar[tuple[str, ...]] = ()
    starts: ClassVar[tuple[bytes, ...]] = ()
    where: str = ""
    roles: ColumnRoles = ColumnRoles()  # which columns were named as label, row id and weight
    ids: str | None = None  # the column that holds the row ids where none is named
    titled: bool = True  # whether the file itself names its columns
    # "number", "truth", "text", or "odd" for numbers that are text in a table with text; None: cells are looked at
    kinds: Mapping[str, str] | None = None
    texts: frozenset[str] = frozenset()  # the columns that are text in any of the files

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


class ColumnSource(AbstractSource):
    """Files of named columns: some are rows, others the label, the id and the weight."""

    unit = "block"
    """What a block is called in an error."""
    smaller = "Read fewer rows at a time."

    def choose(self, words: Sequence[str], where: str, ids: str | None) -> None:
        """Find out which columns are rows, and which the label, the id and the weight."""
        # ids: the column that holds the row ids where none was named.
        check_column_names(words, where)
        self._found = {role: words[i] for role, i in role_positions(words, self.roles, where).items()}
        self._ids = self._found.get("row_id", ids if self.roles.row_id is None else None)
        self._kept = kept_columns(words, (*self._found.values(), self._ids), where)
        self.label_name = self._found.get("label")

    def check_blocks(self) -> None:
        """Refuse a block that is larger than a window."""
        row_bytes = int(np.prod(self.shape, dtype=np.int64)) * min(self.dtype.itemsize, 4)
        if len(self.table) and int(self.table.rows.max()) * row_bytes > WINDOW:
            block = int(self.table.rows.argmax())
            size = int(self.table.rows[block]) * row_bytes
            what = f"is one {self.unit} of {size / 2**20:.0f} MB; a window holds {WINDOW // 2**20} MB."
            raise DataError(what, where=self.where(block), fix=self.smaller)

    @abc.abstractmethod
    def part(self, block: int) -> Any:
        """Read the columns of a block; or its rows as an array."""

    def cells(self, column: Any, where: str) -> Any:
        """Give a column of a mixed table as numbers, `Coded` or `Words`."""
        return words_of(column) if isinstance(column, list) else column

    def plain(self, column: Any, where: str) -> np.ndarray:
        """Give a column as an array of numbers or text."""
        return plain_cells(column, where)

    def rows_of(self, part: Any, where: str) -> Any:
        """Make rows of the columns of a block."""
        if self.typed:
            return Cells({word: self.cells(part[word], f"{where}, column {word!r}") for word in self._kept})
        columns = [part[word] for word in self._kept]
        return stacked([one.numbers if isinstance(one, Coded) else self.plain(one, where) for one in columns])

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        where, part = self.where(block), self.part(block)
        beside = {role: self.plain(part[word], where) for role, word in self._found.items() if role != "row_id"}
        ids = None if self._ids is None else self.plain(part[self._ids], where)
        raw = Raw(self.rows_of(part, where), beside.get("label"), ids, beside.get("weight"), columns=self.columns)
        raw.label_name = self.label_name
        return raw, None


class FormatSource(ColumnSource):
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

    def _block(self, block: int) -> Any:
        """What the format gives for a block."""
        (at, _, rows), where = self.extent(block), self.where(block)
        with self._opened(self.names[at], where) as file:
            given = self._formats[at].read(file, block - int(np.searchsorted(self.table.file, at)))
            columns = {str(name): cells for name, cells in given.items()} if isinstance(given, Mapping) else None
            found = np.asarray(given) if columns is None else columns
            counts = [len(found)] if columns is None else [len(cells) for cells in columns.values()]
        if set(counts) != {rows}:
            raise damaged(where, f"holds {max(counts, default=0)} rows, and its table says {rows}.")
        return found

    def by_blocks(self) -> "FormatSource":
        """Find out what the columns hold over all blocks: what no block says by itself."""
        first, kinds, shapes = self._formats[0], {}, set()
        for at, one in enumerate(self._formats):
            for block in np.flatnonzero(self.table.file == at).tolist() if one.kinds is None else ():
                part = self._block(block)
                columns = not isinstance(part, np.ndarray)
                shapes.add(None if columns else (part.shape[1:], part.dtype))
                _join(kinds, {name: kind_of_cells(cells) for name, cells in part.items()} if columns else {})
            if kinds and one.kinds is not None and list(one.kinds) != list(kinds):
                fix = "Give all files the same columns."
                raise DataError(f"has other columns than {self.names[0]}.", where=one.where, fix=fix)
            _join(kinds, one.kinds or {})
        if len(shapes) > 1:
            fix = "Give all blocks rows of one shape and type."
            raise DataError("has blocks of different columns, shapes or types.", where=first.where, fix=fix)
        self._kinds: dict[str, str] = kinds
        if kinds:
            self.choose(list(kinds), first.where, first.ids)
            self.shape, self.dtype = (len(self._kept),), np.dtype(np.float64)
            self.typed = self.roles.declared is not None or any(kinds[name] == "text" for name in self._kept)
            odd = "text" if self.typed else "number"
            kinds = self._kinds = {name: odd if kind == "odd" else kind for name, kind in kinds.items()}
            self.columns = tuple(self._kept) if first.titled or self.typed else None
        else:
            with_roles(Raw(None), self.roles, first.where)
            self.shape, self.dtype = next(iter(shapes))
        for one in self._formats:
            one.texts = frozenset(name for name, kind in kinds.items() if kind == "text")
        self.check_blocks()
        return self

    def part(self, block: int) -> Any:
        found, lacking = self._block(block), [None] * int(self.table.rows[block])
        return {name: as_column(found.get(name, lacking), kind) for name, kind in self._kinds.items()}

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        return super().read(block) if self._kinds else (Raw(self._block(block)), None)

    def whole(self) -> Raw:
        """Read all rows into memory: the blocks, one after the other."""
        parts, first = [self._block(block) for block in range(len(self.table))], self._formats[0]
        if isinstance(parts[0], np.ndarray):
            return with_roles(Raw(np.concatenate(parts)), self.roles, first.where)
        columns = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            cells = [part.get(name, [None] * int(rows)) for part, rows in zip(parts, self.table.rows)]
            kinds: dict[str, str] = {}
            for one in cells:
                _join(kinds, {name: kind_of_cells(one)})
            joined = cells if len(cells) == 1 else [[cell for one in cells for cell in one]]
            columns[name] = as_column(joined[0], kinds[name])
        ids = columns.pop(first.ids or "", None) if self.roles.row_id is None else None
        return from_columns(columns, self.roles, first.where, None if ids is None else plain_cells(ids, first.where))


def kind_of_cells(cells: Any) -> str:
    """Say what the cells of a column are: "number", "truth", "text", or "" where all are missing."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        wide = cells.dtype.kind in "iu" and bool(((cells > WHOLE) | (cells < -WHOLE)).any())
        return "truth" if cells.dtype.kind == "b" else "text" if wide else "number"
    found = ""
    for cell in cells:
        if cell is not None:
            # Digits that float64 does not hold are text, so that a table refuses them and an id keeps them.
            number = isinstance(cell, (int, float, np.number)) and (cell != cell or abs(cell) <= WHOLE)
            kind = "truth" if isinstance(cell, (bool, np.bool_)) else "number" if number else "text"
            found = kind if found in ("", kind) else "text"
    return found


def _join(kinds: dict[str, str], more: Mapping[str, str]) -> None:
    """Put what columns hold in some blocks to what they hold in others."""
    for name, kind in more.items():
        known = kinds.get(name, "")
        both = "odd" if {kind, known} == {"odd", "number"} else "text"
        kinds[name] = known if kind in ("", known) else both if known else kind


def as_column(cells: Any, kind: str) -> Any:
    """Turn the cells of a column into numbers, truth values or text."""
    if kind in ("number", ""):
        return np.array([np.nan if v is None else v for v in cells] if isinstance(cells, list) else cells, float)
    if kind == "truth" and any(cell is None for cell in cells):
        return Coded(np.array([np.nan if cell is None else cell for cell in cells], float), TRUTH)
    if kind == "truth":
        return np.asarray(cells, bool)
    return ["" if cell is None or cell != cell else str(cell) for cell in cells]


def words_of(cells: list[str]) -> Words:
    """Code a column of text by its distinct cells."""
    place = {word: i for i, word in enumerate(dict.fromkeys(cells))}
    return Words(list(place), np.array([place[cell] for cell in cells], np.int64))
