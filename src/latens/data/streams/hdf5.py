"""HDF5 and AnnData files as a stream: a block is some thousand rows of one array, or of a matrix in CSR form."""

import math
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, check_stored, damaged
from latens.data.readers.anndata import read_h5ad
from latens.data.readers.hdf5 import Store
from latens.data.readers.npz import PART_KEYS, from_archive
from latens.data.sparse import compressed
from latens.data.streams.blocks import WINDOW, AbstractSource, BlockTable, File, Place, RemotePlace, digest_of
from latens.errors import DataError

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes; whole chunks where the array is stored in chunks."""

_ENDS = 4096  # bytes at both ends of a file that its digest is of


class DenseRows:
    """An array of an open file, of which rows are read when they are asked for."""

    errors: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, KeyError)
    """What reading a damaged file raises."""

    def __init__(self, item: Any, where: str) -> None:
        self.item, self.where = item, where
        self.shape, self.ndim, self.dtype = item.shape, item.ndim, item.dtype.newbyteorder("=")
        self.chunk_rows = item.chunks[0] if item.chunks else 1
        self.packed = item.compression is not None

    def read(self, first: int, rows: int) -> np.ndarray:
        """Read some rows."""
        try:
            return np.asarray(self.item[first : first + rows]).astype(self.dtype, copy=False)
        except self.errors as error:
            raise damaged(self.where, f"cannot be read ({str(error)[:80]}).") from None


class SparseRows:
    """A CSR matrix of an open AnnData file, of which rows are read when they are asked for."""

    # `item`: The group of its data, indices and indptr.

    ndim, chunk_rows, packed = 2, 1, False

    def __init__(self, store: "RowsStore", item: Any) -> None:
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
        found = compressed(
            "csr", self.stored.read(at, count), self.columns.read(at, count), starts - at, (rows, self.shape[1])
        )
        if found is None:
            raise damaged(self.where, "its data, indices and indptr do not make a sparse matrix.")
        return found.toarray()


class RowsStore(Store):
    """An open file whose arrays of rows stay on disk."""

    # `only`: The path of the array of rows; None finds it by its name.

    def __init__(self, path: Any, only: str | None) -> None:
        super().__init__(path)
        self.only = only
        if only is not None:
            self.item(only)

    def __getitem__(self, key: str) -> Any:
        item = self.item(key)
        rows = not self.is_group(item) and len(item.shape or ()) > 1 and item.dtype.kind in "biuf"
        return DenseRows(self.rows(key), f"{self.where}[{key}]") if rows else super().__getitem__(key)

    def rows(self, key: str) -> Any:
        """Give a dataset of numbers, after every check but of its whole size."""
        item, where = self.item(key), f"{self.where}[{key}]"
        if self.is_group(item) or item.shape is None or item.dtype.kind not in "biuf":
            raise DataError("is no array of numbers.", where=where, fix="Name another dataset.")
        self.check_inside(item, where)
        self.check_chunks(item, where, item.dtype.itemsize)
        check_stored(where, math.prod(item.shape) * item.dtype.itemsize, item.id.get_storage_size())
        size = math.prod(item.chunks or (1,)) * item.dtype.itemsize
        if size > WINDOW:
            what = f"is stored in chunks of {size / 2**20:.0f} MB; a window holds {WINDOW // 2**20} MB."
            raise DataError(
                what, where=where, fix="Write it with smaller chunks: create_dataset(..., chunks=(256, ...))."
            )
        return item


class Hdf5Source(AbstractSource):
    """HDF5 and AnnData files; the arguments are those of `AbstractSource`."""

    # `only`: The path of the array of rows in the files; None finds it by its name.

    what = "HDF5 files"

    def __init__(
        self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool, only: str | None = None
    ) -> None:
        super().__init__(place, names, roles, single=single)
        if isinstance(place, RemotePlace):
            what = f"{self.what} are read from this machine's own file systems alone."
            raise DataError(what, where=place.shown(names[0]), fix="Copy them, or write them as Parquet.")
        self._raws, files, cut = [], [], []
        for name in names:
            store = self.opened(name, only)
            parts = [key for key in store.keys if key.lower() in PART_KEYS["train"]]
            if parts and only is None and not store.is_annotated:
                fix = f"Name one array: '{place.shown(name)}:/{parts[0]}'."
                raise DataError("holds rows for training and others apart.", where=store.where, fix=fix)
            raw = read_h5ad(store, roles, _matrix) if store.is_annotated else from_archive(store, roles)
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
        return RowsStore(self.place.root / name, only)

    def file(self, name: str) -> File:
        """Describe a file, so that a changed one is known."""
        with self.place.open(name) as stream:
            head = stream.read(_ENDS)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _ENDS))
            return File(name, size, digest_of(head, stream.read(_ENDS)))

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        raw, first, rows = (
            self._raws[int(self.table.file[block])],
            int(self.table.first[block]),
            int(self.table.rows[block]),
        )
        part = [
            None if one is None else np.asarray(one)[first : first + rows] for one in (raw.label, raw.names, raw.weight)
        ]
        x = raw.x.read(first, rows)
        if len(x) != rows:
            raise damaged(self.where(block), f"holds {len(x)} rows.")
        return Raw(x, *part, columns=raw.columns, label_name=raw.label_name), None


def _matrix(store: Store) -> Any:
    assert isinstance(store, RowsStore)
    item = store.item("X")
    return SparseRows(store, item) if store.is_group(item) else DenseRows(store.rows("X"), f"{store.where}[X]")


def _beside(raw: Raw) -> tuple[bool, ...]:
    return tuple(one is not None for one in (raw.label, raw.names, raw.weight))
