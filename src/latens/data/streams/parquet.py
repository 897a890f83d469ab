"""Parquet files as a stream: a block is a row group."""

import struct
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, damaged
from latens.data.readers.tables import arrow_column, check_column_names, is_plain, role_positions
from latens.data.streams.blocks import WINDOW, AbstractSource, BlockTable, File, Place, digest_of
from latens.errors import DataError

PACK = "Write it again with smaller row groups, or `latens pack` it."


class ParquetSource(AbstractSource):
    """Parquet files; the arguments are those of `AbstractSource`.

    A row is the numbers of its columns, or the one column that holds a vector of fixed length or as many bytes.
    """

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError:
            fix = "Install latens[tables], or give .npy files."
            raise DataError("reading Parquet needs pyarrow, which is not installed.", where=place.shown(names[0]),
                            fix=fix) from None  # fmt: skip
        self._arrow, self._parquet = pyarrow, parquet
        files, cut, self._metadata = [], [], []
        schema = None
        for name in names:
            where = place.shown(name)
            with self._errors(where), place.open(name) as stream:
                size, digest = _footer(stream, where)
                metadata = parquet.read_metadata(stream)
            own = metadata.schema.to_arrow_schema().remove_metadata()
            schema = own if schema is None else schema
            if not own.equals(schema):
                raise DataError(_difference(own, schema, names[0]), where=where, fix="Give all files the same columns.")
            files.append(File(name, size, digest))
            cut.append([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
            self._metadata.append(metadata)
        self.files, self.table = tuple(files), BlockTable.of(cut)
        self._group = np.concatenate([np.arange(len(rows)) for rows in cut])
        self._choose(schema, roles, place.shown(names[0]))
        row_bytes = int(np.prod(self.shape, dtype=np.int64)) * min(self.dtype.itemsize, 4)
        if len(self.table) and int(self.table.rows.max()) * row_bytes > WINDOW:
            block = int(self.table.rows.argmax())
            size = int(self.table.rows[block]) * row_bytes
            what = f"is one row group of {size / 2**20:.0f} MB; a window holds {WINDOW // 2**20} MB."
            raise DataError(what, where=self.where(block), fix=PACK)

    def _choose(self, schema: Any, roles: ColumnRoles, where: str) -> None:
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
        wrong = next((i for i, kind in enumerate(kinds) if not is_plain(kind)), None)
        if wrong is not None:
            what = f"column {kept[wrong]!r} holds {kinds[wrong]}, and a stream takes columns of numbers."
            fix = f"Leave it out, or name it with --label {kept[wrong]} or --id {kept[wrong]}."
            raise DataError(what, where=where, fix=fix)
        self.shape, self.columns = (len(kept),), tuple(kept)
        self.dtype = np.result_type(*(_dtype(kind) for kind in kinds))

    def _errors(self, where: str) -> "_ArrowErrors":
        return _ArrowErrors(self._arrow.ArrowException, where)

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        at, rows = int(self.table.file[block]), int(self.table.rows[block])
        wanted = list(dict.fromkeys([*self._kept, *self._found.values(), *([self._ids] if self._ids else [])]))
        where = self.where(block)
        with self._errors(where), self.place.open(self.files[at].name) as stream:
            file = self._parquet.ParquetFile(stream, metadata=self._metadata[at])
            part = file.read_row_group(int(self._group[block]), columns=wanted, use_threads=False)
        if part.num_rows != rows:
            raise damaged(where, f"holds {part.num_rows} rows.")
        if self._vector is not None:
            x = self._vectors(part[self._kept[0]], where)
        else:
            arrays = [arrow_column(part[word]) for word in self._kept]
            x = np.empty((rows, len(arrays)), np.result_type(*arrays))
            for i, array in enumerate(arrays):
                x[:, i] = array
        beside = {role: arrow_column(part[word]) for role, word in self._found.items() if role != "row_id"}
        ids = arrow_column(part[self._ids]) if self._ids else None
        label_name = self.label_name
        raw = Raw(x, beside.get("label"), ids, beside.get("weight"), columns=self.columns, label_name=label_name)
        return raw, None

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

    def __init__(self, kind: type[Exception], where: str) -> None:
        self.kinds, self.where = (kind, struct.error), where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, self.kinds):
            what = f"is not readable Parquet ({str(error)[:80]})."
            raise DataError(what, where=self.where, fix="Write it again.") from None
        if isinstance(error, OSError) and error.errno is None and not isinstance(error, DataError):
            what = f"is not readable Parquet ({str(error)[:80]})."
            raise DataError(what, where=self.where, fix="Write it again.") from None


def _dtype(kind: Any) -> np.dtype | None:
    return np.dtype(kind.to_pandas_dtype()) if is_plain(kind) else None


def _footer(stream: Any, where: str) -> tuple[int, str]:
    """The size of a file, and the digest of its footer."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 8))
    end = stream.read(8)
    if len(end) < 8 or end[4:] != b"PAR1":
        raise damaged(where, "does not end like a Parquet file.")
    length = struct.unpack("<I", end[:4])[0]
    if length + 12 > size:
        raise damaged(where, f"the footer declares {length} bytes, the file has {size}.")
    stream.seek(size - 8 - length)
    digest = digest_of(stream.read(length))
    stream.seek(0)
    return size, digest


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
