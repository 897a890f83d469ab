"""HDF5 and AnnData files, read without trusting them: no links out, no plugins, nothing allocated on their word alone.

h5py's C library parses the file; what it is asked to do is bounded here. Format: https://docs.hdfgroup.org/hdf5/
"""

import contextlib
import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.formats.anndata import columns_beside, layer_names, read_h5ad
from latens.data.formats.npz import PART_KEYS, AbstractArrays, from_archive
from latens.data.formats.source import WINDOW, AbstractSource, Address, BlockTable, File, Place, file_of
from latens.data.raw import (
    MAX_BYTES,
    MAX_DIMENSIONS,
    MAX_RATIO,
    ColumnRoles,
    Raw,
    check_size,
    check_stored,
    damaged,
    needed,
)
from latens.data.sparse import compressed
from latens.errors import DataError, ResourceError

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 10_000
MAX_DEPTH = 8
MAX_NAME_BYTES = 10_000
"""Longest text of fixed length."""

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes; whole chunks where the array is stored in chunks."""

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
_HEAP = b"GCOL\1\0\0\0"
_ALLOWANCE = 2**31  # bytes that reading one block of text may take at worst
_UNCHECKED = 2**30 // MAX_RATIO  # a packed chunk below this size cannot become 1 GiB
_HARMFUL = "Do not use this file unless you know who made it; copy the data into one file with h5py."


def _check_heaps(path: Path) -> None:
    """Refuse a file whose collections of texts ("global heaps") do not end: the C library would never return."""
    # A collection is "GCOL", a version, its size, then objects of a number, a count, a size and as many bytes, each
    # padded to 8; number 0 is the free space. (HDF5 file format specification, III.E.)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        lengths = data[10:11] if data[8:9] in (b"\2", b"\3") else data[14:15]
        if lengths != b"\x08":
            raise damaged(str(path), "is not readable HDF5 (its numbers are not 8 bytes long).")
        start = data.find(_HEAP)
        while start >= 0:
            if not _heap_ends(data, start):
                raise damaged(str(path), "is not readable HDF5 (its texts are damaged).")
            start = data.find(_HEAP, start + 8)


def _heap_ends(data: mmap.mmap, start: int) -> bool:
    if start + 16 > len(data):
        return False
    at, end = start + 16, start + struct.unpack_from("<Q", data, start + 8)[0]
    if end > len(data):
        return False
    while at <= end - 16:
        number, _, _, size = struct.unpack_from("<HHIQ", data, at)
        if number == 0 and size < 16:
            return False
        at += 16 + (size + 7) // 8 * 8 if number else size
    return at <= end


def check_chunk(where: str, size: int, call: str) -> None:
    """Refuse chunks of which none fits into a window of rows."""
    if size > WINDOW:
        what = f"is stored in chunks of {size / 2**20:.0f} MB; a window holds {WINDOW // 2**20} MB."
        raise DataError(what, where=where, fix=f"Write it with smaller chunks: {call}.")


class Store(AbstractArrays):
    """An open HDF5 file: its datasets by path, each read when asked for."""

    # Only hard links are followed.
    # `only`: The path of the array of rows; None finds it by its name.
    # `stays`: Whether arrays of rows stay on disk, as `DenseRows`.

    data_keys = ("x", "data", "images", "features")

    def __init__(self, path: Path, only: str | None = None, *, stays: bool = False) -> None:
        self.where, self.only, self.stays = str(path), only, stays
        self._h5py = needed("h5py", "HDF5", self.where, _INSTALL)
        self._size = path.stat().st_size
        _check_heaps(path)
        try:
            self.file = self._h5py.File(path, "r", locking="best-effort")
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(self.where, f"is not readable HDF5 ({str(error)[:80]}).") from None
        if only is not None:
            self.item(only)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @property
    def is_annotated(self) -> bool:
        """Whether this is an AnnData file."""
        return self.where.lower().endswith(".h5ad") or self.attribute(self.file, "encoding-type") == "anndata"

    @property
    def keys(self) -> tuple[str, ...]:
        """The paths of the datasets."""
        return tuple(name for name, _ in self._datasets())

    @property
    def candidates(self) -> tuple[str, ...]:
        """Datasets of numbers with two axes or more."""
        return tuple(name for name, item in self._datasets() if item.dtype.kind in "biuf" and len(item.shape or ()) > 1)

    def __getitem__(self, key: str) -> Any:
        item = self.item(key)
        rows = self.stays and not self.is_group(item) and len(item.shape or ()) > 1 and item.dtype.kind in "biuf"
        return DenseRows(self.rows(key), f"{self.where}[{key}]") if rows else self.array(item, key)

    def matrix(self, key: str = "X") -> Any:
        """Give a matrix of an AnnData file, whose rows stay on disk."""
        item = self.item(key)
        if self.is_group(item) and key != "X":
            fix = "Leave --stream and --layer out, or write the layer as X of another file."
            raise DataError("is a sparse layer, which is not read by blocks.", where=f"{self.where}[{key}]", fix=fix)
        return SparseRows(self, item) if self.is_group(item) else DenseRows(self.rows(key), f"{self.where}[{key}]")

    def is_group(self, item: Any) -> bool:
        """Whether an item of the file is a group."""
        return isinstance(item, self._h5py.Group)

    def item(self, key: str) -> Any:
        """The dataset or group at a path, reached by hard links only."""
        found: Any = self.file
        for step in key.split("/"):
            link = found.get(step, getlink=True) if self.is_group(found) and step else None
            if link is None:
                raise DataError(f"has no dataset {key[:80]!r}.", where=self.where, fix="Write it again.")
            if not isinstance(link, self._h5py.HardLink):
                raise damaged(self.where, f"{key[:80]!r} is a link to somewhere else, which is not followed.", _HARMFUL)
            found = found[step]
        return found

    def attribute(self, item: Any, name: str) -> Any:
        """Read a small attribute."""
        # returns: text as str, a few numbers as an array; None where there is none of this form.
        if name not in item.attrs:
            return None
        held = item.attrs.get_id(name)
        if math.prod(held.shape) > MAX_DIMENSIONS or held.dtype.itemsize > MAX_NAME_BYTES:
            return None
        value = item.attrs[name]
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return value if isinstance(value, str) else np.asarray(value)

    def array(self, item: Any, key: str) -> np.ndarray:
        """Read the numbers or texts of a dataset, after every check."""
        where = f"{self.where}[{key}]"
        if not isinstance(item, self._h5py.Dataset) or item.shape is None:
            raise DataError("is a group or empty, not an array.", where=where, fix="Name a dataset.")
        self.check_inside(item, where)
        text = self._h5py.check_string_dtype(item.dtype)
        if text is not None:
            self._check_packing(item, where, item.dtype.itemsize)
            return self._text(item, where)
        kind = item.dtype
        if kind.kind not in "biuf" or kind.itemsize > 8:
            names = {"V": "records of several fields", "O": "references or lists", "c": "complex numbers"}
            what = names.get(kind.kind, f"values of type {kind}")
            fix = "Store plain numbers: create_dataset('x', data=np.asarray(x, 'float32'))."
            raise DataError(f"holds {what[:80]}, not numbers.", where=where, fix=fix)
        self._check_packing(item, where, kind.itemsize)
        with readable(where):
            return np.asarray(item[...]).astype(kind.newbyteorder("="), copy=False)

    def check_inside(self, item: Any, where: str) -> None:
        """Refuse values in other files."""
        if item.is_virtual or item.external:
            raise damaged(where, "keeps its values in other files, which are not opened.", _HARMFUL)

    def _check_packing(self, item: Any, where: str, itemsize: int) -> None:
        """Sizes that the stored bytes can fill, by filters that are known, in chunks that cannot explode."""
        stored = min(item.id.get_storage_size(), self._size)
        check_size(where, item.shape, itemsize, stored if item.chunks is None else stored * MAX_RATIO, exact=False)
        self.check_chunks(item, where, itemsize)

    def check_chunks(self, item: Any, where: str, itemsize: int) -> None:
        """Refuse chunks that are packed in unknown ways, or unpack to more than they say."""
        if item.chunks is None:
            return
        plist = item.id.get_create_plist()
        filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        unknown = [number for number in filters if number not in _FILTERS]
        if unknown:
            known = ", ".join(_FILTERS.values())
            fix = "Write it with create_dataset(..., compression='gzip')."
            raise DataError(f"is packed by the filter {unknown[0]}; known are {known}.", where=where, fix=fix)
        size = math.prod(item.chunks) * itemsize
        if size > MAX_BYTES:
            raise ResourceError(f"is stored in chunks of {size} bytes.", where=where, fix="Use smaller chunks.")
        if 1 not in filters:
            return
        large: list[tuple[int, ...]] = []
        item.id.chunk_iter(lambda chunk: large.append(chunk.chunk_offset) if chunk.size > _UNCHECKED else None)
        for offset in large:
            # The C library unpacks a chunk into whatever memory that takes: find out first, in bounded memory.
            _, packed = item.id.read_direct_chunk(offset)
            unpacker = zlib.decompressobj()
            total, rest = 0, bytes(packed)
            while rest and not unpacker.eof and total <= size + 4:
                total += len(unpacker.decompress(rest, 2**24))
                rest = unpacker.unconsumed_tail
            if total > size + 4:  # fletcher32 may have been packed with it
                raise damaged(where, f"a chunk of {size} bytes unpacks to more.", _HARMFUL)

    def rows(self, key: str) -> Any:
        """Give a dataset of numbers that stays on disk, after every check but of its whole size."""
        item, where = self.item(key), f"{self.where}[{key}]"
        if self.is_group(item) or item.shape is None or item.dtype.kind not in "biuf":
            raise DataError("is not an array of numbers.", where=where, fix="Name another dataset.")
        self.check_inside(item, where)
        self.check_chunks(item, where, item.dtype.itemsize)
        check_stored(where, math.prod(item.shape) * item.dtype.itemsize, item.id.get_storage_size())
        size = math.prod(item.chunks or (1,)) * item.dtype.itemsize
        check_chunk(where, size, "create_dataset(..., chunks=(256, ...))")
        return item

    def _text(self, item: Any, where: str) -> np.ndarray:
        if len(item.shape) != 1:
            raise DataError(f"holds text of shape {item.shape}.", where=where, fix="Give one text for each row.")
        if item.dtype.kind == "S" and item.dtype.itemsize > MAX_NAME_BYTES:
            raise damaged(where, f"declares texts of {item.dtype.itemsize} bytes.")
        # Many rows may point to one long text: one text is no longer than the file, so few are read at a time.
        step = 65536 if item.dtype.kind == "S" else max(1, min(65536, _ALLOWANCE // max(self._size, 1)))
        texts: list[str] = []
        total = 0
        for start in range(0, item.shape[0], step):
            with readable(where):
                part = [_decoded(value) for value in item[start : start + step]]
            total += sum(map(len, part))
            if total > MAX_BYTES // 16 or (part and max(map(len, part)) > MAX_NAME_BYTES):
                raise ResourceError("holds texts that are too long.", where=where, fix="Shorten them.")
            texts += part
        return np.array(texts, dtype=str)

    def _datasets(self) -> Iterator[tuple[str, Any]]:
        """Path and dataset of every array of numbers or text; links of other kinds are passed over."""
        left, seen, link = [("", self.file, 0)], 0, ""
        self.advice = "Name it x: file.create_dataset('x', data=rows), and its labels y."
        while left:
            prefix, group, depth = left.pop(0)
            for name in group:
                seen += 1
                if seen > MAX_OBJECTS:
                    raise damaged(self.where, f"holds more than {MAX_OBJECTS} objects.", "Keep the rows in a file.")
                if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                    link = link or prefix + name
                    self.advice = f"Links such as {link!r} are not followed: copy what they lead to into the file."
                    continue
                with readable(f"{self.where}[{prefix}{name}]"):
                    item = group[name]
                if self.is_group(item) and depth < MAX_DEPTH:
                    left.append((f"{prefix}{name}/", item, depth + 1))
                elif isinstance(item, self._h5py.Dataset):
                    yield prefix + name, item


def _decoded(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_DAMAGE: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, KeyError)
"""What reading a damaged file raises."""


@contextlib.contextmanager
def readable(where: str, errors: tuple[type[Exception], ...] = _DAMAGE) -> Iterator[None]:
    """Say in words what a damaged file raises."""
    try:
        yield
    except errors as error:
        raise damaged(where, f"cannot be read ({str(error)[:80]}).") from None


class DenseRows:
    """An array of an open file, of which rows are read when they are asked for."""

    errors = _DAMAGE

    def __init__(self, item: Any, where: str) -> None:
        self.item, self.where = item, where
        self.shape, self.ndim, self.dtype = item.shape, item.ndim, item.dtype.newbyteorder("=")
        self.chunk_rows = item.chunks[0] if item.chunks else 1
        self.packed = item.compression is not None

    def read(self, first: int, rows: int) -> np.ndarray:
        """Read some rows."""
        with readable(self.where, self.errors):
            return np.asarray(self.item[first : first + rows]).astype(self.dtype, copy=False)


class SparseRows:
    """A CSR matrix of an open AnnData file, of which rows are read when they are asked for."""

    # `item`: The group of its data, indices and indptr.

    ndim, chunk_rows, packed = 2, 1, False

    def __init__(self, store: "Store", item: Any) -> None:
        self.where = f"{store.where}[X]"
        shape = store.attribute(item, "shape")
        encoding = store.attribute(item, "encoding-type")
        if encoding == "csc_matrix":
            fix = "Write it by rows: adata.X = adata.X.tocsr()."
            raise DataError("lies column by column (CSC), so no row can be read alone.", where=self.where, fix=fix)
        if encoding != "csr_matrix" or not isinstance(shape, np.ndarray) or shape.shape != (2,):
            raise DataError("is neither a dense nor a CSR matrix.", where=self.where, fix="Write it again.")
        self.shape = (int(shape[0]), int(shape[1]))
        self.starts = store["X/indptr"]
        self.stored, self.columns = (DenseRows(store.rows(f"X/{name}"), self.where) for name in ("data", "indices"))
        self.dtype = self.stored.dtype
        whole = self.starts.dtype.kind in "iu" and self.starts.shape == (self.shape[0] + 1,)
        if not whole or np.any(np.diff(self.starts) < 0) or int(self.starts[-1]) != self.stored.shape[0]:
            raise damaged(self.where, "its data, indices and indptr do not make a sparse matrix.")

    def read(self, first: int, rows: int) -> np.ndarray:
        """Read some rows."""
        starts = self.starts[first : first + rows + 1].astype(np.int64)
        at, count = int(starts[0]), int(starts[-1] - starts[0])
        cells, columns = self.stored.read(at, count), self.columns.read(at, count)
        found = compressed("csr", cells, columns, starts - at, (rows, self.shape[1]))
        if found is None:
            raise damaged(self.where, "its data, indices and indptr do not make a sparse matrix.")
        return found.toarray()


class Hdf5Source(AbstractSource):
    """HDF5 and AnnData files; the arguments are those of `AbstractSource`."""

    # `only`: The path of the array of rows in the files; None finds it by its name.

    what = "HDF5 files"

    def __init__(
        self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool, only: str | None = None
    ) -> None:
        super().__init__(place, names, roles, single=single)
        if isinstance(place, Address):
            what = f"{self.what} are read from this machine's own file systems alone."
            raise DataError(what, where=place.shown(names[0]), fix="Copy them, or write them as Parquet.")
        self._raws, files, cut = [], [], []
        for name in names:
            store = self.opened(name, only)
            parts = [key for key in store.keys if key.lower() in PART_KEYS["train"]]
            if parts and only is None and not store.is_annotated:
                fix = f"Name one array: '{place.shown(name)}:/{parts[0]}'."
                raise DataError("holds rows for training and others apart.", where=store.where, fix=fix)
            raw = rows_in(store, roles)
            if not isinstance(raw.x, DenseRows | SparseRows):
                raise DataError("holds no array of rows.", where=store.where, fix="Give rows and columns of numbers.")
            if roles.label == "none":
                raw.label = None
            first = self._raws[0] if self._raws else raw
            told = [(one.x.shape[1:], str(one.x.dtype), one.columns, _beside(one)) for one in (raw, first)]
            if told[0] != told[1]:
                what = f"has rows of other columns, type, labels or ids than {names[0]}."
                raise DataError(what, where=store.where, fix="Give all files rows of one shape and type.")
            self._raws.append(raw)
            for beside in (raw.label, raw.names, raw.weight):
                if beside is not None and np.shape(beside)[:1] != (raw.x.shape[0],):
                    what = f"has {np.shape(beside)[:1]} labels, ids or weights for {raw.x.shape[0]} rows."
                    raise DataError(what, where=store.where, fix="Give one value for each row.")
            row_bytes = math.prod(raw.x.shape[1:]) * raw.x.dtype.itemsize
            rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, row_bytes)) // raw.x.chunk_rows) * raw.x.chunk_rows
            cut.append([min(rows, raw.x.shape[0] - at) for at in range(0, raw.x.shape[0], rows)])
            files.append(self.file(name))
            if raw.x.packed and raw.x.chunk_rows < 8 and raw.x.shape[0] > raw.x.chunk_rows:
                self.slow = f"{raw.x.where} is packed in chunks of {raw.x.chunk_rows} rows"
        first = self._raws[0]
        self.files, self.table = tuple(files), BlockTable.of(cut)
        self.shape, self.dtype, self.columns = tuple(first.x.shape[1:]), first.x.dtype, first.columns
        self.label_name = first.label_name

    def opened(self, name: str, only: str | None) -> Any:
        """Open a file."""
        # only: the path of the array of rows in it; None finds it by its name.
        return Store(self.place.root / name, only, stays=True)

    def file(self, name: str) -> File:
        """Describe a file, so that a changed one is known."""
        with self.place.open(name) as stream:
            return file_of(name, stream)

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        at, first, rows = self.extent(block)
        raw = self._raws[at]
        beside = (raw.label, raw.names, raw.weight)
        part = [None if one is None else np.asarray(one)[first : first + rows] for one in beside]
        x = raw.x.read(first, rows)
        if len(x) != rows:
            raise damaged(self.where(block), f"holds {len(x)} rows.")
        return Raw(x, *part, columns=raw.columns, label_name=raw.label_name), None


_INSTALL = "pip install 'latens[hdf5]' (in a clone: pip install '.[hdf5]'), or write the data as .npz."


def annotations(path: Path) -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """The columns of `obs` with their cells, and the names of the layers, of a .h5ad file."""
    store = Store(path)
    try:
        return columns_beside(store), layer_names(store)
    finally:
        store.close()


def read_hdf5(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of an HDF5 or AnnData file."""
    # In a plain one: x, data, images or features, or its only array of numbers with two axes or more; labels y, label
    # or labels. A dataset in a group has a path: --label group/y.
    store = Store(path)
    try:
        return rows_in(store, roles)
    finally:
        store.close()


def rows_in(store: Any, roles: ColumnRoles) -> Raw:
    """Find rows, labels, ids and weights in an open store."""
    return read_h5ad(store, roles) if store.is_annotated else from_archive(store, roles)


def _beside(raw: Raw) -> tuple[bool, ...]:
    return tuple(one is not None for one in (raw.label, raw.names, raw.weight))
