"""Zarr stores as a stream: one array of rows of a store on disk, read by whole chunks."""

import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.formats.hdf5 import DenseRows, Hdf5Source, check_chunk, readable
from latens.data.formats.npz import AbstractArrays
from latens.data.formats.source import WINDOW, File, digest_of
from latens.data.raw import check_stored, damaged, needed
from latens.errors import DataError
from latens.io.atomic import kind_of

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zmetadata")
_ARRAY = "x"
"""What the rows are called where the store is one array and has no names."""

# What zarr meets in metadata and chunks that lie is raised as it comes: it checks little of them itself.
_LIES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, zlib.error,
)  # fmt: skip


class ZarrStore(AbstractArrays):
    """An open store: its arrays by path; those with two axes or more stay on disk."""

    # `only`: The path of the array of rows; None finds it by its name.

    is_annotated = False
    advice = "Name it x: group.create_array('x', data=rows), and its labels y."

    def __init__(self, path: Path, only: str | None) -> None:
        self.where, self.only, self.lacking = str(path), only, {}
        zarr = needed("zarr", "Zarr", self.where, "Install latens[zarr], or write the rows as .npy files.")
        self._stored = _plain_bytes(path)
        try:
            found = zarr.open(self.where, mode="r")
            whole = isinstance(found, zarr.Array)
            self._arrays: dict[str, Any] = {_ARRAY: found} if whole else dict(_below(found, zarr))
        except _LIES as error:
            raise damaged(self.where, f"is no Zarr store that can be read ({str(error)[:80]}).") from None
        if only is not None and only not in self._arrays:
            known = ", ".join(list(self._arrays)[:20]) or "none"
            raise DataError(f"has no array {only[:80]!r}.", where=self.where, fix=f"There are: {known}.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The paths of the arrays."""
        return tuple(self._arrays)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Arrays of numbers with two axes or more."""
        return tuple(name for name, item in self._arrays.items() if item.dtype.kind in "biuf" and item.ndim > 1)

    def __getitem__(self, key: str) -> Any:
        item, where = self._arrays[key], f"{self.where}[{key}]"
        if item.dtype.kind not in "biufUT":
            fix = "Store plain numbers, or text for labels."
            raise DataError(f"holds values of type {str(item.dtype)[:80]}.", where=where, fix=fix)
        chunks = getattr(item, "shards", None) or item.chunks
        if min(chunks, default=1) < 1:
            raise damaged(where, f"is stored in chunks of shape {str(chunks)[:80]}.")
        check_stored(where, math.prod(item.shape) * item.dtype.itemsize, self._stored)
        check_chunk(where, math.prod(chunks) * max(1, item.dtype.itemsize), "chunks=(256, ...)")
        self._count(item, where)
        if item.ndim > 1 and item.dtype.kind in "biuf":
            return _Rows(item, where)
        with readable(where, _LIES):
            values = np.asarray(item[...])
        return np.array(values.tolist(), str) if values.dtype.kind == "T" else values

    def _count(self, item: Any, where: str) -> None:
        """Note how many chunks are not there: a store may leave out those of fill values, or may have lost them."""
        try:
            there, filled = item.nchunks_initialized, item.metadata.fill_value
        except _LIES as error:
            raise damaged(where, f"cannot be read ({str(error)[:80]}).") from None
        if not (lacking := item.nchunks - there):
            return
        words = f"{lacking:,} of {item.nchunks:,} chunks are not there"
        if filled is None:
            raise DataError(f"{words}, and no fill value says what they hold.", where=where, fix="Bring them back.")
        self.lacking[where] = f"{where}: {words}, and their cells are read as {filled}; a store may leave them out"


class _Rows(DenseRows):
    """An array of a store; its chunks are always whole pieces of the file system."""

    errors = _LIES

    def __init__(self, item: Any, where: str) -> None:
        self.item, self.where = item, where
        self.shape, self.ndim, self.dtype = tuple(item.shape), item.ndim, np.dtype(item.dtype).newbyteorder("=")
        self.chunk_rows = (getattr(item, "shards", None) or item.chunks)[0]
        self.packed = True


class ZarrSource(Hdf5Source):
    """A Zarr store; the arguments are those of `Hdf5Source`."""

    what = "Zarr stores"

    def opened(self, name: str, only: str | None) -> Any:
        store = ZarrStore(self.place.root / name, only)
        self._lacking = [*getattr(self, "_lacking", ()), store.lacking]
        return store

    @property
    def notes(self) -> tuple[str, ...]:
        """How many chunks are not there."""
        return tuple(words for lacking in self._lacking for words in lacking.values())

    def file(self, name: str) -> File:
        root = self.place.root / name
        found = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*") if path.is_file())
        sizes = [(inside, path.stat().st_size) for inside, path in found]
        parts = [path.read_bytes() for _, path in found if path.name in _METADATA]
        return File(name, sum(size for _, size in sizes), digest_of(repr(sizes).encode(), *parts))


def _plain_bytes(store: Path) -> int:
    """How many bytes the files of a store hold: plain files alone, none of them larger than two windows."""
    total, folders = 0, [os.fspath(store)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                if kind := kind_of(Path(entry.path)):
                    fix = "Copy what it leads to into the store (`cp -RL` does so for links), or remove it."
                    raise DataError(f"is {kind}; a store holds plain files and folders.", where=entry.path, fix=fix)
                size = entry.stat(follow_symlinks=False).st_size
                if size > 2 * WINDOW:
                    what = f"is a file of {size / 2**20:.0f} MB; a chunk may take {2 * WINDOW // 2**20} MB."
                    fix = "Write the store with smaller chunks: chunks=(256, ...)."
                    raise DataError(what, where=entry.path, fix=fix)
                total += size
    return total


def _below(group: Any, zarr: Any, before: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    """The arrays of a group by path, those of groups in it too."""
    found: list[tuple[str, Any]] = []
    for name, item in sorted(group.members()):
        if isinstance(item, zarr.Array):
            found.append((before + name, item))
        elif depth < 8:
            found += _below(item, zarr, f"{before}{name}/", depth + 1)
    return found
