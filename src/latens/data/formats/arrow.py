"""Tables that pyarrow reads: Parquet, and Arrow files, among them Hugging Face data sets on disk.

A block is a row group of Parquet, or some record batches in a row. Arrow files come with a footer, or as streams, which
`datasets.save_to_disk` writes.
"""

import abc
import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.dates import BEYOND, zone_name
from latens.data.formats.format import ColumnSource
from latens.data.formats.source import BlockTable, File, Place, digest_of, file_of
from latens.data.formats.tables import (
    TRUTH,
    categories,
    check_column_names,
    from_columns,
    from_words,
    is_wide,
    kept_columns,
    plain,
    role_positions,
    spans,
    text_array,
    times,
)
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, damaged, needed
from latens.data.words import Coded, Words
from latens.errors import DataError, LatensError, ResourceError
from latens.io.json import parse_json_strict

BLOCK_ROWS = 8192
"""Record batches in a row make a block of so many rows, unless one has more."""

INDEX = "__index_level_0__"
"""The column in which pandas keeps the names of rows."""

_CELLS = 2**19
"""Cells of a Parquet file that are read at a time into memory."""
_MAGIC = b"ARROW1"
_INFO, _SPLITS = "dataset_info.json", "dataset_dict.json"


class AbstractTables(ColumnSource):
    """Files of columns that pyarrow reads; the arguments are those of `AbstractSource`."""

    # A row is the cells of its columns, or the one column that holds a vector of fixed length or as many bytes.

    format = ""
    unit, smaller = "row group", "Write it again with smaller row groups."
    _vector = False

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        pyarrow = needed("pyarrow", self.format, place.shown(names[0]), "Install latens[tables], or give .npy files.")
        self._arrow, schema, files, cut = pyarrow, None, [], []
        self._parts: list[Any] = []  # where each block lies in its file
        for name in names:
            with arrow_errors(self.format, place.shown(name)), place.open(name) as stream:
                file, rows, own = self.layout(stream, name)
            if schema is not None and not own.equals(schema):
                what = _difference(own, schema, names[0])
                raise DataError(what, where=place.shown(name), fix="Give all files the same columns.")
            schema = own
            files.append(file)
            cut.append(rows)
        self.files, self.table = tuple(files), BlockTable.of(cut)
        self._schema = schema
        self.find(schema)

    @abc.abstractmethod
    def layout(self, stream: Any, name: str) -> tuple[File, list[int], Any]:
        """Describe a file, count the rows of its blocks, and give its schema."""

    def find(self, schema: Any) -> None:
        """Find out which columns are rows, and what these hold."""
        where = self.place.shown(self.names[0])
        with arrow_errors(self.format, where):
            types, words = self._arrow.types, list(schema.names)
        ids = INDEX if INDEX in words else None
        check_column_names(words, where)
        self.choose([word for word in words if word != ids], where, ids)
        kept, kinds = self._kept, [schema.field(word).type for word in self._kept]
        if len(kept) == 1 and (types.is_fixed_size_binary(kinds[0]) or types.is_fixed_size_list(kinds[0])):
            inner = np.dtype(np.uint8) if types.is_fixed_size_binary(kinds[0]) else _dtype(kinds[0].value_type)
            size = kinds[0].byte_width if types.is_fixed_size_binary(kinds[0]) else kinds[0].list_size
            if inner is None:
                fix = "Write numbers."
                raise DataError(f"column {kept[0]!r} holds {kinds[0]}, not numbers.", where=where, fix=fix)
            self.shape, self.dtype, self._vector = (size,), inner, True
            return self.check_blocks()
        # A type of somebody's own is what it is stored as only to those who know it.
        other = self._arrow.BaseExtensionType
        nested = next((i for i, kind in enumerate(kinds) if types.is_nested(kind) or isinstance(kind, other)), None)
        if nested is not None:
            what = f"column {kept[nested]!r} holds {kinds[nested]}, and a stream takes columns of single cells."
            fix = f"Leave it out, or name it with --label {kept[nested]} or --id {kept[nested]}."
            raise DataError(what, where=where, fix=fix)
        self.shape, self.columns = (len(kept),), tuple(kept)
        self.typed = self.roles.declared is not None or not all(map(is_plain, kinds))
        self.dtype = np.dtype(np.float32) if self.typed else np.result_type(*(_dtype(kind) for kind in kinds))
        self.check_blocks()

    @abc.abstractmethod
    def table_of(self, block: int, columns: list[str]) -> Any:
        """Read columns of a block."""

    def part(self, block: int) -> Any:
        others: set[str] = {*self._found.values(), *([self._ids] if self._ids else [])}
        part = self.table_of(block, [*self._kept, *sorted(others)])
        if part.num_rows != self.table.rows[block]:
            raise damaged(self.where(block), f"holds {part.num_rows} rows.")
        return part

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        with arrow_errors(self.format, self.where(block)):
            return super().read(block)

    def rows_of(self, part: Any, where: str) -> Any:
        return self._vectors(part[self._kept[0]], where) if self._vector else super().rows_of(part, where)

    def plain(self, column: Any, where: str) -> np.ndarray:
        return arrow_column(column, where)

    def cells(self, column: Any, where: str) -> Any:
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


@contextlib.contextmanager
def arrow_errors(form: str, where: str) -> Iterator[None]:
    """Say in words what pyarrow raises for a damaged file; what the system says of a file passes."""
    import pyarrow

    try:
        yield
    except LatensError:
        raise
    except (pyarrow.ArrowException, struct.error, EOFError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        what = f"is not readable {form} ({str(error)[:80]})."
        raise DataError(what, where=where, fix="Write it again.") from None


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


class ParquetSource(AbstractTables):
    """Parquet files; the arguments are those of `AbstractSource`."""

    format = "Parquet"

    def layout(self, stream: Any, name: str) -> tuple[File, list[int], Any]:
        import pyarrow.parquet as parquet

        self._parquet = parquet
        size, digest = _footer(stream, self.place.shown(name))
        metadata = parquet.read_metadata(stream)
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._parts += [(metadata, group) for group, n in enumerate(rows) if n]
        return File(name, size, digest), [n for n in rows if n], metadata.schema.to_arrow_schema().remove_metadata()

    def table_of(self, block: int, columns: list[str]) -> Any:
        metadata, group = self._parts[block]
        with self.place.open(self.file_name(block)) as stream:
            file = self._parquet.ParquetFile(stream, metadata=metadata)
            return file.read_row_group(group, columns=columns, use_threads=False)


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


class ArrowSource(AbstractTables):
    """Arrow files; the arguments are those of `AbstractSource`."""

    format = "Arrow"

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        self.place = place
        if not single and self._json(_SPLITS) is not None:
            splits = ", ".join(sorted({name.split("/")[0] for name in names}))
            raise DataError(f"holds several data sets: {splits}.", where=place.shown("").rstrip("/"),
                            fix="Give the folder of one of them.")  # fmt: skip
        super().__init__(place, names, roles, single=single)
        features = (None if single else self._json(_INFO)) or {}
        label = (features.get("features") or {}).get(self.label_name) or {}
        self.classes = label.get("names") if isinstance(label, dict) else None

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        raw, keys = super().read(block)
        if self.classes and raw.label is not None and raw.label.dtype.kind in "iu":
            if len(raw.label) and int(raw.label.max()) >= len(self.classes):
                what = f"has the label {int(raw.label.max())}, and {_INFO} names {len(self.classes)} classes."
                raise DataError(what, where=self.where(block), fix="Write the data set again.")
            codes = np.where(raw.label < 0, len(self.classes), raw.label)
            raw.label = np.array([*map(str, self.classes), ""])[codes]
        return raw, keys

    def _json(self, name: str) -> Any:
        """What a file of the data set says; None where there is none."""
        try:
            with self.place.open(name) as file:
                found = parse_json_strict(file.read(2**24), max_bytes=2**24, error=DataError, where=name)
        except (FileNotFoundError, LatensError):
            return None
        return found if isinstance(found, dict) else None

    def layout(self, stream: Any, name: str) -> tuple[File, list[int], Any]:
        own, batches = self._layout(stream, self.place.shown(name))
        groups: list[list[tuple[int, int]]] = []
        for batch in batches:
            if groups and sum(rows for _, rows in groups[-1]) + batch[1] <= BLOCK_ROWS:
                groups[-1].append(batch)
            else:
                groups.append([batch])
        self._parts += groups
        stream.seek(0)
        return file_of(name, stream), [sum(rows for _, rows in group) for group in groups], own

    def _layout(self, stream: Any, where: str) -> tuple[Any, list[tuple[int, int]]]:
        """The schema of a file, and where each of its record batches is and how many rows it has."""
        ipc, batches = self._arrow.ipc, []
        if stream.read(len(_MAGIC)) == _MAGIC:
            file = ipc.open_file(stream)
            batches = [(at, file.get_batch(at).num_rows) for at in range(file.num_record_batches)]
            return file.schema.remove_metadata(), batches
        stream.seek(0)
        schema = ipc.read_schema(ipc.read_message(stream))
        while True:
            at = stream.tell()
            try:
                message = ipc.read_message(stream)
            except EOFError:
                return schema.remove_metadata(), batches
            if message.type != "record batch":
                what = f"holds a {message.type}, which is read from files with a footer alone."
                raise DataError(what, where=where, fix="Write it as Parquet.")
            batches.append((at, ipc.read_record_batch(message, schema).num_rows))

    def table_of(self, block: int, columns: list[str]) -> Any:
        ipc = self._arrow.ipc
        with self.place.open(self.file_name(block)) as stream:
            whole = stream.read(len(_MAGIC)) == _MAGIC
            file = ipc.open_file(stream) if whole else None
            found = []
            for at, rows in self._parts[block]:
                if file is None:
                    stream.seek(at)
                batch = file.get_batch(at) if file else ipc.read_record_batch(ipc.read_message(stream), self._schema)
                if batch.num_rows != rows:
                    raise damaged(self.where(block), f"holds {batch.num_rows} rows.")
                found.append(batch)
        table = self._arrow.Table.from_batches(found).select(columns)
        table.validate(full=True)  # Arrow takes offsets and codes on the word of a file, and would read elsewhere
        return table


def read_parquet(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a Parquet file, by pyarrow where it is installed."""
    where = str(path)
    needed("pyarrow", "Parquet", where, "Install latens[tables], or write the table as .csv.")
    import pyarrow.parquet as parquet

    with arrow_errors("Parquet", where), parquet.ParquetFile(path) as file:
        cells = file.metadata.num_rows * file.metadata.num_columns
        if cells * 8 > MAX_BYTES:
            raise ResourceError(f"declares {cells} cells.", where=where, fix="Use fewer rows or columns.")
        return _from_parquet(file, roles, where)


def from_arrow(value: Any, roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of a table of pyarrow, or of any object that gives its columns as Arrow has them."""
    pyarrow = needed("pyarrow", "Arrow tables", where, "Install latens[tables], or give a frame of pandas.")
    table = pyarrow.table(value)
    check_column_names(table.column_names, where)
    columns = {name: arrow_typed(table[name], f"{where}, column {name!r}") for name in table.column_names}
    return from_columns(columns, roles, where)


def _from_parquet(file: Any, roles: ColumnRoles, where: str) -> Raw:
    """Some columns at a time, so that the table is in memory once and not three times."""
    words = list(file.schema_arrow.names)
    check_column_names(words, where)
    index = INDEX if roles.row_id is None and INDEX in words else None
    words = [word for word in words if word != index]
    found = {role: words[i] for role, i in role_positions(words, roles, where).items()}
    kept = kept_columns(words, found.values(), where)
    beside = [*found.values(), *([] if index is None else [index])]
    texts = {word: arrow_column(file.read(columns=[word])[word], where) for word in beside}
    rows = file.metadata.num_rows
    label, ids, weight = (texts.get(found.get(role, "")) for role in ("label", "row_id", "weight"))
    ids = ids if index is None else texts[index]
    types = dict(zip(file.schema_arrow.names, file.schema_arrow.types))
    if roles.declared is not None or not all(is_plain(types[word]) for word in kept):
        columns = {word: arrow_typed(file.read(columns=[word])[word], f"{where}, column {word!r}") for word in kept}
        x, meant = from_words(columns, roles.declared, where, every=roles.every)
        return Raw(x, label, ids, weight, tuple(kept), label_name=found.get("label"), texts=meant)
    x = np.empty((rows, len(kept)), bool)
    step = max(1, _CELLS // max(1, rows))
    for start in range(0, len(kept), step):
        part = file.read(columns=kept[start : start + step])
        for i, word in enumerate(kept[start : start + step], start):
            values = arrow_column(part[word], where)
            wanted = np.result_type(x.dtype, values.dtype) if i else values.dtype
            x = x if x.dtype == wanted else np.empty(x.shape, wanted) if not i else x.astype(wanted)
            x[:, i] = values
    return Raw(x, label, ids, weight, tuple(kept), label_name=found.get("label"))


def is_plain(kind: Any) -> bool:
    """Say whether a type of pyarrow is one of numbers or of yes and no."""
    import pyarrow as pa

    return pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)


def arrow_typed(column: Any, where: str) -> "np.ndarray | Coded | list[str]":
    """Turn a column of pyarrow into what its type says: names, truth values, times; else numbers or text."""
    import pyarrow as pa

    gone = np.asarray(column.is_null().to_numpy(), bool)
    if pa.types.is_boolean(column.type) and gone.any():
        return Coded(arrow_column(column, where), TRUTH)
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        parts = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
        codes = [np.asarray(part.indices.fill_null(-1).to_numpy(zero_copy_only=False)) for part in parts]
        values = python_cells(parts[0].dictionary, where) if parts else []
        return categories(np.concatenate([*codes, np.zeros(0)]).astype(np.int64), values, bool(column.type.ordered))
    if pa.types.is_duration(column.type):
        return spans(column.cast(pa.int64()).fill_null(0).to_numpy(), gone, column.type.unit)
    if pa.types.is_integer(column.type) and gone.any() and is_wide(column.fill_null(0).to_numpy()):
        return _arrow_words(column, where)
    if not pa.types.is_timestamp(column.type):
        return arrow_column(column, where) if is_plain(column.type) else _arrow_words(column, where)
    each = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    seconds = column.cast(pa.int64()).fill_null(0).to_numpy() // each
    return times(seconds, gone, "" if column.type.tz is None else zone_name(column.type.tz, where))


def python_cells(column: Any, where: str) -> list[Any]:
    """The cells of a column of pyarrow as Python's values, which has fewer of them than Arrow has."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        raise DataError("holds text that is not UTF-8.", where=where, fix="Write it again as UTF-8.") from None
    except (OverflowError, ValueError) as error:
        what = f"holds a {column.type} that Python has no value for ({str(error)[:60]})."
        raise DataError(what, where=where, fix=BEYOND) from None


def arrow_column(column: Any, where: str) -> Shaped[np.ndarray, " n"]:
    """Turn a column of pyarrow into numbers (NaN for what is missing), or into text ("" for it)."""
    if is_plain(column.type):
        return plain(column.to_numpy())
    return text_array(_arrow_words(column, where), where)


def _arrow_words(column: Any, where: str) -> list[str]:
    return ["" if v is None else str(v) for v in python_cells(column, where)]
