"""HDF5 files, read without trusting them: no links out of the file, no plugins, nothing allocated on its word alone.

h5py's C library parses the file; what it is asked to do is bounded here. Format: https://docs.hdfgroup.org/hdf5/
"""

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import MAX_BYTES, MAX_DIMENSIONS, MAX_RATIO, check_size, damaged
from latens.data.readers.npz import AbstractArrays
from latens.errors import DataError, ResourceError

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 10_000
MAX_DEPTH = 8
MAX_NAME_BYTES = 10_000
"""Longest text of fixed length."""

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
_HEAP = b"GCOL\1\0\0\0"
_ALLOWANCE = 2**31  # bytes that reading one block of text may take at worst
_UNCHECKED = 2**30 // MAX_RATIO  # a packed chunk below this size cannot become 1 GiB
_DATA_KEYS = ("x", "data", "images", "features")
_HARMFUL = "Do not use this file unless you know who made it; copy the data into one file with h5py."


def h5py_module(where: str) -> Any:
    """Import h5py when it is needed."""
    try:
        import h5py
    except ImportError:
        raise DataError(
            "reading HDF5 needs h5py, which is not installed.",
            where=where,
            fix="Install latens[hdf5], or write the data as .npz.",
        ) from None
    return h5py


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


class Store(AbstractArrays):
    """An open HDF5 file: its datasets by path, each read when asked for."""

    # Only hard links are followed.

    data_keys = _DATA_KEYS

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._h5py = h5py_module(self.where)
        self._size = path.stat().st_size
        self._links: list[str] = []
        _check_heaps(path)
        try:
            self.file = self._h5py.File(path, "r", locking="best-effort")
        except (OSError, ValueError, RuntimeError) as error:
            raise damaged(self.where, f"is not readable HDF5 ({str(error)[:80]}).") from None

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
    def advice(self) -> str:
        """What to do where it is not clear which dataset holds the rows."""
        if self._links:
            return f"Links such as {self._links[0]!r} are not followed: copy what they lead to into the file."
        return "Name it x: file.create_dataset('x', data=rows), and its labels y."

    @property
    def candidates(self) -> tuple[str, ...]:
        """Datasets of numbers with two axes or more."""
        return tuple(name for name, item in self._datasets() if item.dtype.kind in "biuf" and len(item.shape or ()) > 1)

    def __getitem__(self, key: str) -> np.ndarray:
        return self.array(self.item(key), key)

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
        try:
            values = item[...]
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise damaged(where, f"cannot be read ({str(error)[:80]}).") from None
        return np.asarray(values).astype(kind.newbyteorder("="), copy=False)

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

    def _text(self, item: Any, where: str) -> np.ndarray:
        if len(item.shape) != 1:
            raise DataError(f"holds text of shape {item.shape}.", where=where, fix="Give one text for each row.")
        if item.dtype.kind == "S" and item.dtype.itemsize > MAX_NAME_BYTES:
            raise damaged(where, f"declares texts of {item.dtype.itemsize} bytes.")
        # Many rows may point to one long text: one text is no longer than the file, so few are read at a time.
        step = 65536 if item.dtype.kind == "S" else max(1, min(65536, _ALLOWANCE // max(self._size, 1)))
        texts: list[str] = []
        total = 0
        try:
            for start in range(0, item.shape[0], step):
                part = [_decoded(value) for value in item[start : start + step]]
                total += sum(map(len, part))
                if total > MAX_BYTES // 16 or (part and max(map(len, part)) > MAX_NAME_BYTES):
                    raise ResourceError("holds texts that are too long.", where=where, fix="Shorten them.")
                texts += part
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            if isinstance(error, ResourceError):
                raise
            raise damaged(where, f"cannot be read ({str(error)[:80]}).") from None
        return np.array(texts, dtype=str)

    def _datasets(self) -> Iterator[tuple[str, Any]]:
        """Path and dataset of every array of numbers or text; links of other kinds are passed over."""
        left, seen = [("", self.file, 0)], 0
        self._links.clear()
        while left:
            prefix, group, depth = left.pop(0)
            for name in group:
                seen += 1
                if seen > MAX_OBJECTS:
                    raise damaged(self.where, f"holds more than {MAX_OBJECTS} objects.", "Keep the rows in a file.")
                if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                    self._links.append(prefix + name)
                    continue
                try:
                    item = group[name]
                except (OSError, ValueError, RuntimeError, KeyError) as error:
                    raise damaged(f"{self.where}[{prefix}{name}]", f"cannot be read ({str(error)[:80]}).") from None
                if self.is_group(item) and depth < MAX_DEPTH:
                    left.append((f"{prefix}{name}/", item, depth + 1))
                elif isinstance(item, self._h5py.Dataset):
                    yield prefix + name, item


def _decoded(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
