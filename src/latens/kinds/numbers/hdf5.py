"""HDF5 and AnnData files, read by h5py: arrays of plain numbers and text that lie in the file itself."""

import contextlib
import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.row_fields import ColumnRoles, Raw, check_stored, damaged, needed, readable
from latens.errors import DataError
from latens.kinds.counts.anndata import read_h5ad
from latens.kinds.numbers.npy import BLOCK_BYTES, BLOCK_ROWS, PART_KEYS, from_archive

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
    # `stays`: Whether arrays of rows stay on disk, as what h5py has.

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
        item = self.item(key)
        if self.stays and self._is_rows(item):
            self._checked(item, key)
            return item
        return self.array(item, key)

    def is_group(self, item: object) -> bool:
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


def hdf5_parts(path: Path, roles: ColumnRoles, only: str | None = None) -> Iterator[Raw]:
    """Read the array of rows of an HDF5 or AnnData file, some at a time."""
    # only: the path of the array in the file; None finds it by its name.
    with contextlib.closing(Store(path, only, stays=True)) as store:
        parts = [key for key in store.keys if key.lower() in PART_KEYS["train"]]
        if parts and only is None and not store.is_annotated:
            fix = f"Name one array: '{path}:/{parts[0]}'."
            raise DataError("holds training rows and other rows separately.", where=store.where, fix=fix)
        raw = rows_in(store, roles)
        count, beside = raw.x.shape[0], (raw.label, raw.names, raw.weight)
        for one in beside:
            if one is not None and np.shape(one)[:1] != (count,):
                what = f"has {np.shape(one)[:1]} labels, ids or weights for {count} rows."
                raise DataError(what, where=store.where, fix="Give one value for each row.")
        each = (getattr(raw.x, "chunks", None) or (1,))[0]  # whole chunks where the array is stored in chunks
        row_bytes = math.prod(raw.x.shape[1:]) * raw.x.dtype.itemsize
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, row_bytes)) // each) * each
        for at in range(0, count, rows):
            part = [None if one is None else np.asarray(one)[at : at + rows] for one in beside]
            with readable(store.where):
                x = np.asarray(raw.x[at : at + rows]).astype(raw.x.dtype.newbyteorder("="), copy=False)
            yield Raw(x, *part, columns=raw.columns, label_name=raw.label_name)


_INSTALL = "pip install 'latens[hdf5]' (in a clone: pip install '.[hdf5]'), or write the data as .npz."


def read_hdf5(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of an HDF5 or AnnData file."""
    # In a plain one: x, data, images or features, or its only array of numbers with two axes or more; labels y, label
    # or labels. A dataset in a group has a path: --label group/y.
    with contextlib.closing(Store(path)) as store:
        return rows_in(store, roles)


def rows_in(store: Store, roles: ColumnRoles) -> Raw:
    """Find rows, labels, ids and weights in an open store."""
    return read_h5ad(store, roles) if store.is_annotated else from_archive(store, roles)
