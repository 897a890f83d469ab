"""HDF5 and AnnData files, read by h5py: arrays of plain numbers and text that lie in the file itself."""

import contextlib
import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, check_stored, damaged, needed, readable
from latens.errors import DataError
from latens.kinds.counts.anndata import columns_beside, layer_names, read_h5ad
from latens.kinds.numbers.npy import PART_KEYS, from_archive

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes; whole chunks where the array is stored in chunks."""

WINDOW = 2**27
"""Bytes of a chunk at the most: it is unpacked as a whole."""

_HEAP = b"GCOL\1\0\0\0"


def _check_heaps(path: Path) -> None:
    """Refuse a file whose collections of texts ("global heaps") do not end: HDF5 2.0 would never return."""
    # A collection is "GCOL", a version, its size, then objects of a number, a count, a size and as many bytes, each
    # padded to 8; number 0 is the free space. (HDF5 file format specification, III.E.)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            at, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
            while at <= end - 16 and end <= len(data):
                number, _, _, size = struct.unpack_from("<HHIQ", data, at)
                if number == 0 and size < 16:
                    break
                at += 16 + (size + 7) // 8 * 8 if number else size
            if not end - 16 < at <= end <= len(data):
                raise damaged(str(path), "is not readable HDF5 (its texts are damaged).")
            start = data.find(_HEAP, start + 8)


class Store:
    """An open HDF5 file: its datasets by path, each read when asked for."""

    # Only hard links are followed.
    # `only`: The path of the array of rows; None finds it by its name.
    # `stays`: Whether arrays of rows stay on disk, as `DenseRows`.

    data_keys = ("x", "data", "images", "features")
    advice = "Name it x: file.create_dataset('x', data=rows), and its labels y; links are not followed."

    def __init__(self, path: Path, only: str | None = None, *, stays: bool = False) -> None:
        self.where, self.only, self.stays = str(path), only, stays
        self._h5py = needed("h5py", "HDF5", self.where, _INSTALL)
        _check_heaps(path)
        self.items: dict[str, Any] = {}
        with readable(self.where):
            self.file = self._h5py.File(path, "r", locking="best-effort")
            self.file.visititems(self.items.__setitem__)
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
        return tuple(name for name, item in self.items.items() if isinstance(item, self._h5py.Dataset))

    @property
    def candidates(self) -> tuple[str, ...]:
        """Datasets of numbers with two axes or more."""
        return tuple(name for name in self.keys if self._is_rows(self.items[name]))

    def _is_rows(self, item: Any) -> bool:
        return not self.is_group(item) and item.dtype.kind in "biuf" and len(item.shape or ()) > 1

    def __getitem__(self, key: str) -> Any:
        return self.rows(key) if self.stays and self._is_rows(self.item(key)) else self.array(self.item(key), key)

    def matrix(self, key: str = "X") -> Any:
        """Give a matrix of an AnnData file, whose rows stay on disk."""
        item = self.item(key)
        if self.is_group(item) and key != "X":
            fix = "Leave --stream and --layer out, or write the layer as X of another file."
            raise DataError("is a sparse layer, which is not read by blocks.", where=f"{self.where}[{key}]", fix=fix)
        return SparseRows(self, item) if self.is_group(item) else self.rows(key)

    def is_group(self, item: Any) -> bool:
        """Whether an item of the file is a group."""
        return isinstance(item, self._h5py.Group)

    def item(self, key: str) -> Any:
        """The dataset or group at a path."""
        if key not in self.items:
            raise DataError(f"has no dataset {key[:80]!r}.", where=self.where, fix=self.advice)
        return self.items[key]

    def attribute(self, item: Any, name: str) -> Any:
        """Read an attribute: text as str, numbers as an array; None where there is none."""
        with readable(self.where):
            value = item.attrs.get(name)
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return value if isinstance(value, str | None) else np.asarray(value)

    def array(self, item: Any, key: str) -> np.ndarray:
        """Read the numbers or texts of a dataset."""
        where = self._checked(item, key)
        with readable(where):
            if self._h5py.check_string_dtype(item.dtype) is not None:
                return np.array(item.asstr(errors="replace")[...], str)
            return np.asarray(item[...]).astype(item.dtype.newbyteorder("="), copy=False)

    def rows(self, key: str) -> "DenseRows":
        """Give a dataset of numbers that stays on disk."""
        item = self.item(key)
        where = self._checked(item, key)
        size = math.prod(item.chunks or (1,)) * item.dtype.itemsize
        if size > WINDOW:
            what = f"is stored in chunks of {size / 2**20:.0f} MB; a window holds {WINDOW // 2**20} MB."
            fix = "Write it with smaller chunks: create_dataset(..., chunks=(256, ...))."
            raise DataError(what, where=where, fix=fix)
        return DenseRows(item, where)

    def _checked(self, item: Any, key: str) -> str:
        """Refuse what is no array of plain numbers or text, lies in other files, or is larger than what is stored."""
        where = f"{self.where}[{key}]"
        if self.is_group(item) or item.shape is None:
            raise DataError("is a group or empty, not an array.", where=where, fix="Name a dataset.")
        if item.is_virtual or item.external:
            fix = "Do not use this file unless you know who made it; copy the data into one file with h5py."
            raise damaged(where, "keeps its values in other files, which are not opened.", fix)
        kind = item.dtype
        if kind.kind not in "biuf" and self._h5py.check_string_dtype(kind) is None:
            names = {"V": "records of several fields", "O": "references or lists", "c": "complex numbers"}
            what = names.get(kind.kind, f"values of type {kind}")
            fix = "Store plain numbers: create_dataset('x', data=np.asarray(x, 'float32'))."
            raise DataError(f"holds {what[:80]}, not numbers.", where=where, fix=fix)
        check_stored(where, item.size * kind.itemsize, item.id.get_storage_size())
        return where


class DenseRows:
    """An array of an open file, of which rows are read when they are asked for."""

    def __init__(self, item: Any, where: str) -> None:
        self.item, self.where = item, where
        self.shape, self.ndim, self.dtype = item.shape, item.ndim, item.dtype.newbyteorder("=")
        self.chunk_rows = item.chunks[0] if item.chunks else 1

    def read(self, first: int, rows: int) -> np.ndarray:
        """Read some rows."""
        with readable(self.where):
            return np.asarray(self.item[first : first + rows]).astype(self.dtype, copy=False)


class SparseRows:
    """A CSR matrix of an open AnnData file, of which rows are read when they are asked for."""

    # `item`: The group of its data, indices and indptr.

    ndim, chunk_rows = 2, 1

    def __init__(self, store: Store, item: Any) -> None:
        self.where = f"{store.where}[X]"
        if store.attribute(item, "encoding-type") == "csc_matrix":
            fix = "Write it by rows: adata.X = adata.X.tocsr()."
            raise DataError("lies column by column (CSC), so no row can be read alone.", where=self.where, fix=fix)
        with readable(self.where):
            rows, columns = store.attribute(item, "shape").tolist()
            self.shape = (int(rows), int(columns))
        self.starts = store["X/indptr"].astype(np.int64)
        self.stored, self.columns = store.rows("X/data"), store.rows("X/indices")
        self.dtype = self.stored.dtype
        if self.starts.shape != (self.shape[0] + 1,):
            raise damaged(self.where, f"has {self.shape[0]} rows and {self.starts.size} starts of rows.")

    def read(self, first: int, rows: int) -> np.ndarray:
        """Read some rows."""
        import scipy.sparse

        starts = self.starts[first : first + rows + 1]
        at, count = int(starts[0]), int(starts[-1] - starts[0])
        parts = (self.stored.read(at, count), self.columns.read(at, count), starts - at)
        with readable(self.where):
            found = scipy.sparse.csr_array(parts, shape=(rows, self.shape[1]))
            found.check_format(full_check=True)
            return found.toarray()


def hdf5_parts(path: Path, roles: ColumnRoles, only: str | None = None) -> Iterator[Raw]:
    """Read the array of rows of an HDF5 or AnnData file, some at a time."""
    # only: the path of the array in the file; None finds it by its name.
    with contextlib.closing(Store(path, only, stays=True)) as store:
        parts = [key for key in store.keys if key.lower() in PART_KEYS["train"]]
        if parts and only is None and not store.is_annotated:
            fix = f"Name one array: '{path}:/{parts[0]}'."
            raise DataError("holds rows for training and others apart.", where=store.where, fix=fix)
        raw = rows_in(store, roles)
        if not isinstance(raw.x, DenseRows | SparseRows):
            raise DataError("holds no array of rows.", where=store.where, fix="Give rows and columns of numbers.")
        count, beside = raw.x.shape[0], (raw.label, raw.names, raw.weight)
        for one in beside:
            if one is not None and np.shape(one)[:1] != (count,):
                what = f"has {np.shape(one)[:1]} labels, ids or weights for {count} rows."
                raise DataError(what, where=store.where, fix="Give one value for each row.")
        row_bytes = math.prod(raw.x.shape[1:]) * raw.x.dtype.itemsize
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, row_bytes)) // raw.x.chunk_rows) * raw.x.chunk_rows
        for at in range(0, count, rows):
            part = [None if one is None else np.asarray(one)[at : at + rows] for one in beside]
            yield Raw(raw.x.read(at, min(rows, count - at)), *part, columns=raw.columns, label_name=raw.label_name)


_INSTALL = "pip install 'latens[hdf5]' (in a clone: pip install '.[hdf5]'), or write the data as .npz."


def annotations(path: Path) -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """The columns of `obs` with their cells, and the names of the layers, of a .h5ad file."""
    with contextlib.closing(Store(path)) as store:
        return columns_beside(store), layer_names(store)


def read_hdf5(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of an HDF5 or AnnData file."""
    # In a plain one: x, data, images or features, or its only array of numbers with two axes or more; labels y, label
    # or labels. A dataset in a group has a path: --label group/y.
    with contextlib.closing(Store(path)) as store:
        return rows_in(store, roles)


def rows_in(store: Store, roles: ColumnRoles) -> Raw:
    """Find rows, labels, ids and weights in an open store."""
    return read_h5ad(store, roles) if store.is_annotated else from_archive(store, roles)
