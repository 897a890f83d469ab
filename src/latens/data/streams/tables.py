"""Files of named columns as a stream, whatever the format: what of them is a row, and columns as rows."""

import abc
import struct
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, damaged
from latens.data.readers.tables import (
    arrow_column,
    arrow_typed,
    check_column_names,
    is_plain,
    python_cells,
    role_positions,
)
from latens.data.streams.blocks import WINDOW, AbstractSource, Place
from latens.data.streams.typed import Cells
from latens.data.words import Words
from latens.errors import DataError

PACK = "Write it again with smaller row groups, or `latens pack` it."


class AbstractTables(AbstractSource):
    """Files of columns that pyarrow reads; the arguments are those of `AbstractSource`."""

    # A row is the cells of its columns, or the one column that holds a vector of fixed length or as many bytes.

    format = ""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        try:
            import pyarrow
        except ImportError:
            fix = "Install latens[tables], or give .npy files."
            what = f"reading {self.format} needs pyarrow, which is not installed."
            raise DataError(what, where=place.shown(names[0]), fix=fix) from None
        self._arrow = pyarrow

    @abc.abstractmethod
    def part(self, block: int, columns: list[str]) -> Any:
        """Read columns of a block."""

    def check_schema(self, own: Any, first: Any, name: str) -> None:
        """Refuse a file with other columns than the first one."""
        # first: that of the first file; None for the first file itself.
        if first is not None and not own.equals(first):
            fix = "Give all files the same columns."
            raise DataError(_difference(own, first, self.names[0]), where=self.place.shown(name), fix=fix)

    def check_blocks(self) -> None:
        """Refuse a block that is larger than a window."""
        row_bytes = int(np.prod(self.shape, dtype=np.int64)) * min(self.dtype.itemsize, 4)
        if len(self.table) and int(self.table.rows.max()) * row_bytes > WINDOW:
            block = int(self.table.rows.argmax())
            size = int(self.table.rows[block]) * row_bytes
            what = f"is one row group of {size / 2**20:.0f} MB; a window holds {WINDOW // 2**20} MB."
            raise DataError(what, where=self.where(block), fix=PACK)

    def choose(self, schema: Any, roles: ColumnRoles, where: str) -> None:
        """Find out which columns are rows, and which the label, the id and the weight."""
        with self.errors(where):
            types, words = self._arrow.types, list(schema.names)
        check_column_names(words, where)
        index = "__index_level_0__"
        self._ids = index if roles.row_id is None and index in words else None
        words = [word for word in words if word != index]
        self._found = {role: words[i] for role, i in role_positions(words, roles, where).items()}
        self._ids = self._found.get("row_id", self._ids)
        kept = [word for word in words if word not in self._found.values()]
        if not kept:
            fix = "Name fewer columns as label, id or weight."
            raise DataError("has no column of numbers left.", where=where, fix=fix)
        self.label_name = self._found.get("label")
        kinds = [schema.field(word).type for word in kept]
        self._kept, self._vector = kept, None
        if len(kept) == 1 and (types.is_fixed_size_binary(kinds[0]) or types.is_fixed_size_list(kinds[0])):
            self._vector = kinds[0]
            inner = np.dtype(np.uint8) if types.is_fixed_size_binary(kinds[0]) else _dtype(kinds[0].value_type)
            size = kinds[0].byte_width if types.is_fixed_size_binary(kinds[0]) else kinds[0].list_size
            if inner is None:
                fix = "Write numbers."
                raise DataError(f"column {kept[0]!r} holds {kinds[0]}, not numbers.", where=where, fix=fix)
            self.shape, self.dtype = (size,), inner
            return
        # A type of somebody's own is what it is stored as only to those who know it.
        other = self._arrow.BaseExtensionType
        nested = next((i for i, kind in enumerate(kinds) if types.is_nested(kind) or isinstance(kind, other)), None)
        if nested is not None:
            what = f"column {kept[nested]!r} holds {kinds[nested]}, and a stream takes columns of single cells."
            fix = f"Leave it out, or name it with --label {kept[nested]} or --id {kept[nested]}."
            raise DataError(what, where=where, fix=fix)
        self.shape, self.columns = (len(kept),), tuple(kept)
        self.typed = roles.declared is not None or not all(map(is_plain, kinds))
        self.dtype = np.dtype(np.float32) if self.typed else np.result_type(*(_dtype(kind) for kind in kinds))

    def errors(self, where: str) -> "_ArrowErrors":
        """Say in words what pyarrow raises."""
        return _ArrowErrors(self._arrow.ArrowException, self.format, where)

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        with self.errors(self.where(block)):
            return self._read(block)

    def _read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        rows, where = int(self.table.rows[block]), self.where(block)
        others: set[str] = {*self._found.values(), *([self._ids] if self._ids else [])}
        wanted = [*self._kept, *sorted(others)]
        part = self.part(block, wanted)
        if part.num_rows != rows:
            raise damaged(where, f"holds {part.num_rows} rows.")
        if self._vector is not None:
            x: Any = self._vectors(part[self._kept[0]], where)
        elif self.typed:
            x = Cells({word: self._cells(part[word], f"{where}, column {word!r}") for word in self._kept})
        else:
            arrays = [arrow_column(part[word], where) for word in self._kept]
            x = np.empty((rows, len(arrays)), np.result_type(*arrays))
            for i, array in enumerate(arrays):
                x[:, i] = array
        beside = {role: arrow_column(part[word], where) for role, word in self._found.items() if role != "row_id"}
        ids = arrow_column(part[self._ids], where) if self._ids else None
        label_name = self.label_name
        raw = Raw(x, beside.get("label"), ids, beside.get("weight"), columns=self.columns, label_name=label_name)
        return raw, None

    def _cells(self, column: Any, where: str) -> Any:
        """A column of a mixed table; of text only the distinct cells become Python's."""
        types, kind = self._arrow.types, column.type
        if is_plain(kind) or types.is_timestamp(kind) or types.is_duration(kind) or types.is_dictionary(kind):
            found = arrow_typed(column, where)
            if not isinstance(found, list):
                return found
        if types.is_null(kind):
            return Words([""], np.zeros(len(column), np.int64))
        coded = column.dictionary_encode().unify_dictionaries().combine_chunks()
        coded = coded.chunk(0) if isinstance(coded, self._arrow.ChunkedArray) and coded.num_chunks else coded
        words = ["" if word is None else str(word) for word in python_cells(coded.dictionary, where)] + [""]
        codes = coded.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
        return Words(words, codes.astype(np.int64))

    def _vectors(self, column: Any, where: str) -> np.ndarray:
        if column.null_count:
            what = f"column {self._kept[0]!r} has {column.null_count} rows without a value."
            raise DataError(what, where=where, fix="Leave these rows out.")
        parts = []
        for chunk in column.chunks:
            if self._arrow.types.is_fixed_size_binary(chunk.type):
                values = np.frombuffer(chunk.buffers()[1], np.uint8)
                start = chunk.offset * self.shape[0]
                values = values[start : start + len(chunk) * self.shape[0]]
            else:
                values = chunk.flatten().to_numpy(zero_copy_only=False)
            parts.append(values.reshape(len(chunk), *self.shape))
        return np.concatenate(parts)


class _ArrowErrors:
    """What pyarrow raises for a damaged file, as a DataError that names it."""

    def __init__(self, kind: type[Exception], form: str, where: str) -> None:
        self.kinds, self.form, self.where = (kind, struct.error, EOFError, UnicodeDecodeError), form, where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, self.kinds):
            what = f"is not readable {self.form} ({str(error)[:80]})."
            raise DataError(what, where=self.where, fix="Write it again.") from None
        if isinstance(error, OSError) and error.errno is None and not isinstance(error, DataError):
            what = f"is not readable {self.form} ({str(error)[:80]})."
            raise DataError(what, where=self.where, fix="Write it again.") from None


def _dtype(kind: Any) -> np.dtype | None:
    return np.dtype(kind.to_pandas_dtype()) if is_plain(kind) else None


def _difference(own: Any, first: Any, name: str) -> str:
    """What distinguishes the columns of a file from those of the first, in a sentence."""
    lacking = next((word for word in first.names if word not in own.names), None)
    if lacking is not None:
        return f"lacks the column {lacking!r} of {name}."
    extra = next((word for word in own.names if word not in first.names), None)
    if extra is not None:
        return f"has a column {extra!r}, which {name} has not."
    for word in first.names:
        if own.field(word).type != first.field(word).type:
            return f"column {word!r} is {own.field(word).type}, in {name} it is {first.field(word).type}."
    return f"has its columns in another order than {name}."
