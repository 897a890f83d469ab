"""Rows on disk: read once into a file in the cache, which is mapped into memory and gathered from like an array."""

import hashlib
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Shaped

from latens.data.row_fields import Raw, mix
from latens.errors import DataError, ResourceError
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.tables.columns import FrameColumn
from latens.runtime.atomic import to_json
from latens.runtime.compilation import user_cache

if TYPE_CHECKING:
    from latens.data.files import Files

CELLS = 2**19
"""Cells of the rows that are gone through at once."""
FEW_BYTES, GATHERED = 2**28, 64
"""Bytes of a mapped file up to which its pages stay in the process, and rows from all over one that
are gathered at once."""
LARGEST = 2**30
"""Bytes of rows up to which they are read into memory, where nothing else is said."""

KEPT_SECONDS = 30 * 86400
"""How long after its last use a file of rows stays in the cache."""

_FORMAT = 2
_BESIDE = ("label", "names", "weight", "brought")
_TOLD = ("columns", "classes", "label_name", "kinds")


class _About(msgspec.Struct):
    """What is told of rows in the cache."""

    columns: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    label_name: str | None
    kinds: dict[int, FrameColumn] | None
    notes: tuple[str, ...]


def release(x: object) -> None:
    """Let go of the pages of a mapped file that were read: they stay in the system's cache, not in the process."""
    held = getattr(x, "_mmap", None) if isinstance(x, np.memmap) and x.nbytes > FEW_BYTES else None
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def take(x: np.ndarray | SparseRows, rows: np.ndarray) -> Any:
    """Gather rows; of a mapped file some at a time, since each may bring 2 MB of pages into the process."""
    if not isinstance(x, np.memmap) or not len(rows):
        return x[rows]
    between = (int(rows.max()) - int(rows.min()) + 1) * (x.nbytes // len(x))
    size = GATHERED if between > FEW_BYTES else len(rows)
    found = np.empty((len(rows), *x.shape[1:]), x.dtype)
    for start in range(0, len(rows), size):
        found[start : start + size] = x[rows[start : start + size]]
        release(x)
    return found


def parts_of(x: np.ndarray | SparseRows) -> Iterator[tuple[int, Any]]:
    """Go through rows some at a time: the first position, and the rows."""
    step = max(1, CELLS // max(1, int(np.prod(x.shape[1:]))))
    for start in range(0, len(x), step):
        yield start, x[start : start + step]
        release(x)


def change(made: Callable[..., np.ndarray], *arrays: Any) -> Any:
    """Apply a function of rows: at once, or of a mapped array by parts, into a file without a name."""
    if not isinstance(arrays[0], np.memmap):
        return made(*arrays)

    def parts() -> Iterator[np.ndarray]:
        for start, part in parts_of(arrays[0]):
            yield made(part, *(one[start : start + len(part)] for one in arrays[1:]))
            for one in arrays[1:]:
                release(one)

    return on_disk(parts(), len(arrays[0]))


def numbers_on_disk(n: int) -> np.ndarray:
    """Count from 0 to n - 1, in a file without a name."""
    return on_disk((np.arange(at, min(at + CELLS, n)) for at in range(0, n, CELLS)), n)


def on_disk(parts: Iterator[np.ndarray], n: int) -> np.ndarray:
    """Write rows into a file without a name, and map it."""
    whole = None
    with tempfile.TemporaryFile(dir=_folder()) as file:
        for part in parts:
            whole = whole or (part.dtype, (n, *part.shape[1:]))
            file.write(np.ascontiguousarray(part).data)
        assert whole is not None
        file.flush()
        return np.memmap(file, whole[0], mode="r", shape=whole[1])


def places(values: np.ndarray, wanted: int) -> np.ndarray:
    """Find the positions of a value, of a mapped array in 4 bytes each, in a file without a name."""
    if not isinstance(values, np.memmap):
        return np.flatnonzero(values == wanted)
    kind = np.int64 if len(values) > 2**31 else np.int32
    total = sum(int(np.count_nonzero(part == wanted)) for _, part in parts_of(values))
    parts = ((np.flatnonzero(part == wanted) + start).astype(kind) for start, part in parts_of(values))
    return on_disk(parts, total) if total else np.zeros(0, kind)


def few(positions: Shaped[np.ndarray, " n"], most: int) -> Shaped[np.ndarray, " k"]:
    """Choose at most so many positions, in their order: those of the smallest hash."""
    if len(positions) <= most:
        return positions
    return np.sort(smallest(positions, most, lambda p: mix(p.astype(np.uint64) + np.uint64(0x53414D504C45))))


def smallest(
    positions: Shaped[np.ndarray, " n"], most: int, key: Callable[[np.ndarray], np.ndarray]
) -> Shaped[np.ndarray, " k"]:
    """Choose at most so many positions, in the order of their keys of 32 bits: those of the smallest."""
    kept, low = [], 2**32 * (1.25 * most + 100) / max(1, len(positions))  # some more than are kept
    for _, part in parts_of(positions):
        keys = key(part)
        kept.append((part[keys < low], keys[keys < low]))
    part, keys = (np.concatenate(parts) for parts in zip(*kept)) if kept else (positions, positions)
    if len(part) < min(most, len(positions)):  # keys that are not spread evenly
        part, keys = positions, key(positions)
    return part[np.argsort(keys, kind="stable")[:most]]


def joined(source: Iterable[Raw]) -> Raw:
    """Read all rows of a source into memory."""
    parts = list(source)
    if not parts:
        raise DataError("has no rows.", where="data", fix="Give at least one row.")
    first, notes = parts[0], tuple(dict.fromkeys(note for part in parts for note in part.notes))
    every = {name: [getattr(part, name) for part in parts] for name in _BESIDE}
    beside = {name: None if cells[0] is None else np.concatenate(cells) for name, cells in every.items()}
    told = {name: getattr(first, name) for name in _TOLD}
    if first.strings is not None:
        strings = [text for part in parts for text in part.strings or ()]
        lines = first.lines if len(parts) == 1 else None
        return Raw(None, **beside, **told, notes=notes, strings=strings, lines=lines)
    kind = np.result_type(*(part.x.dtype for part in parts))
    x, done = np.empty((sum(len(part.x) for part in parts), *first.x.shape[1:]), kind), 0
    for part in parts:  # each is let go, so that rows are held once
        own, part.x = part.x, None
        x[done : done + len(own)] = own
        done += len(own)
    return Raw(x, **beside, **told, notes=notes)


def kept(source: "Files") -> Raw:
    """The rows of a source, mapped from their file in the cache; it is written in one pass where it is not there."""
    if source.lies is not None:
        return Raw(np.load(source.lies, mmap_mode="r"))
    key = to_json({"format": _FORMAT, **source.told()})
    folder = _folder() / hashlib.sha256(key).hexdigest()[:32]
    try:
        if not folder.exists():
            _write(source, folder)
        os.utime(folder)
        about = msgspec.json.decode((folder / "about.json").read_bytes(), type=_About)
        x = np.load(folder / "x.npy", mmap_mode="r")
        beside = {one.name: one for one in pl.read_ipc(folder / "beside.arrow")}
    except OSError as error:
        fix = "Free some space, or let XDG_CACHE_HOME name a folder elsewhere."
        raise ResourceError(f"cannot be written ({error.strerror}).", where=str(folder), fix=fix) from None
    arrays = {
        n: np.array(one.to_list(), object) if one.dtype == pl.String else one.to_numpy() for n, one in beside.items()
    }
    given: dict[str, Any] = {name: arrays.get(name) for name in _BESIDE}
    return Raw(x, **given, **msgspec.structs.asdict(about))


def _folder() -> Path:
    folder = user_cache() / "rows"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return folder


def _write(source: "Files", folder: Path) -> None:
    for other in folder.parent.iterdir():
        if other.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        about = source.read(lambda parts: _pass(parts, source.title, work))
        (work / "about.json").write_bytes(msgspec.json.encode(about))
        try:
            os.rename(work, folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _pass(parts: Iterator[Raw], where: str, work: Path) -> _About:
    """Go through rows once: cells into one array file, what belongs to rows beside them into another."""
    first, beside, notes = None, [], dict[str, None]()
    with MappedRows(work / "x.npy") as rows:
        for part in parts:
            first = first or part
            if part.strings is not None:
                raise DataError("rows of text are read into memory as a whole.", where=where, fix="Leave --stream out.")
            rows.add(part.x)
            notes |= dict.fromkeys(part.notes)
            found = {name: getattr(part, name) for name in _BESIDE}
            beside.append(pl.DataFrame({name: cells for name, cells in found.items() if cells is not None}))
    if first is None:
        raise DataError("has no rows.", where=where, fix="Give at least one row.")
    pl.concat(beside, how="vertical_relaxed").write_ipc(work / "beside.arrow")
    return _About(**{name: getattr(first, name) for name in _TOLD}, notes=tuple(notes))


class MappedRows:
    """An array file to which rows are added; its type grows to one that holds them all."""

    def __init__(self, path: Path) -> None:
        self.path, self.dtype, self.shape, self.count = path, np.dtype(bool), (), 0

    def __enter__(self) -> "MappedRows":
        self.file = self.path.open("w+b")
        return self

    def __exit__(self, *error: object) -> None:
        if self.count:
            self._head()
        self.file.close()

    def _head(self) -> None:
        """Write the header, which has room for as many rows as there may be."""
        self.file.seek(0)
        form = np.lib.format.dtype_to_descr(self.dtype)
        head = {"descr": form, "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, head)

    def add(self, x: Shaped[np.ndarray, " n *shape"]) -> None:
        """Add rows."""
        if not self.count:
            self.dtype, self.shape = x.dtype, x.shape[1:]
            self._head()
        if (wider := np.result_type(self.dtype, x.dtype)) != self.dtype:
            self._widen(wider)
        self.file.write(np.ascontiguousarray(x, self.dtype).data)
        self.count += len(x)

    def _widen(self, dtype: np.dtype) -> None:
        """Write the rows so far again, of another type."""
        self._head()
        self.file.close()
        old = np.load(self.path, mmap_mode="r")
        self.path.unlink()
        self.file, self.dtype = self.path.open("w+b"), dtype
        self._head()
        for _, part in parts_of(old):
            self.file.write(part.astype(dtype).data)
