"""NumPy's arrays, .npy, mapped by NumPy and never unpickled; on disk a block is some thousand rows.

Beside `part.npy` may lie `part.label.npy`, `part.id.npy` and `part.weight.npy`, with a value for each row.
"""

import contextlib
import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from latens.data.row_fields import ColumnRoles, LackingColumn, Raw, check_bytes, damaged, join_parts, no_roles, readable
from latens.errors import DataError, nearest
from latens.kinds.counts.sparse import holds_matrix, read_matrix
from latens.runtime.file_limits import MAX_RATIO, refuse_away, refuse_large

if TYPE_CHECKING:
    from latens.kinds.numbers.hdf5 import Store

BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block has so many rows, or fewer where they take more bytes."""

_BESIDE = ("label", "id", "weight")


def check_header(stream: BinaryIO, size: int, where: str) -> None:
    """Refuse an array that is not of plain numbers or text, or that declares other bytes than follow."""
    with readable(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd bytes can look like odd Python, about which the parser would warn
        start = io.BytesIO(stream.read(2**16))  # of a file NumPy would ask for all that a header says it has
        first = np.lib.format.read_magic(start) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(start)
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        what = "Python objects" if dtype.hasobject else f"values of type {dtype.str!r}"
        what = f"holds {what}; latens reads plain numbers (and text for labels and ids) and never unpickles."
        raise DataError(what, where=where, fix="Save numbers: np.save(path, np.asarray(x, dtype='float32')).")
    declared, held = math.prod(shape) * dtype.itemsize, size - start.tell()
    if declared != held:
        raise damaged(where, f"the header declares {str(declared)[:30]} bytes of data, {held} bytes follow.")


def mapped(path: Path, where: str = "") -> np.ndarray:
    """Map the array of a .npy file into memory: bytes are read when they are asked for."""
    where = where or str(path)
    if path.exists() and not path.is_file():  # a named pipe would be waited for
        raise DataError("is not a regular file.", where=where, fix="Give a file.")
    with path.open("rb") as stream:
        check_header(stream, path.stat().st_size, where)
    with readable(where):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def native(array: np.ndarray, where: str) -> np.ndarray:
    """Copy an array of a file into memory, in this machine's order of bytes."""
    check_bytes(array, where)
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a .npy file."""
    return native(mapped(path), str(path))


def is_beside(name: str) -> bool:
    """Say whether a file holds values that belong to the rows of another one."""
    return name.lower().endswith(tuple(f".{role}.npy" for role in _BESIDE))


def beside(path: Path) -> list[Path]:
    """Where labels, ids and weights of the rows of a file may lie."""
    return [path.with_suffix(f".{role}.npy") for role in _BESIDE]


def npy_parts(path: Path, roles: ColumnRoles) -> Iterator[Raw]:
    """Read an array some rows at a time, with what lies beside it."""
    fix = "Write part.label.npy, part.id.npy or part.weight.npy next to part.npy, and name their folder."
    no_roles(roles, str(path), fix, "arrays have")
    array = mapped(path)
    if not array.ndim:
        raise DataError("holds a single number, not rows.", where=str(path), fix="Give an array with rows.")
    found = beside(path)
    refuse_away(found, path.parent)
    for one in found:
        if one.exists() and (shape := mapped(one).shape) != (len(array),):
            what = f"has the shape {shape} for {len(array)} rows."
            raise DataError(what, where=str(one), fix="Give one value for each row.")
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, array[:1].nbytes)))
    for at in range(0, len(array), rows):
        # Mapped anew: a file that was cut since then is an error, where its old map would end the process.
        x, label, names, weight = (
            native(mapped(one)[at : at + rows], str(one)) if one.exists() else None for one in (path, *found)
        )
        yield Raw(x, label, names, weight)


_DATA_KEYS = ("x", "images", "data")
_LABEL_KEYS = ("y", "label", "labels")
_CLASS_KEYS = ("class_names", "target_names", "label_names")
PART_KEYS = {
    "train": ("x_train", "train_x", "train", "train_images"),
    "validation": ("x_valid", "x_val", "x_validation", "valid", "val", "validation", "valid_images"),
    "test": ("x_test", "test_x", "test", "test_images"),
}
"""Names of rows that come apart."""


class Archive:
    """An .npz file: its keys, and each array when asked for."""

    # Nothing is extracted to disk, and nothing unpickled.

    data_keys = _DATA_KEYS
    only: str | None = None
    advice = "Name it x: np.savez(path, x=rows, y=labels)."

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        with readable(self.where), zipfile.ZipFile(path) as file:
            size = sum(member.file_size for member in file.infolist())
        if size > MAX_RATIO * path.stat().st_size:
            raise damaged(self.where, f"claims {size} bytes, more than the file can hold.")
        refuse_large(size, self.where)
        with readable(self.where):
            self._file = np.load(path, allow_pickle=False)
            if not isinstance(self._file, np.lib.npyio.NpzFile):
                raise ValueError("an array lies before the archive")

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self._file.files)

    candidates = keys

    def check(self, key: str) -> None:
        """Hold what an array says of itself against the bytes of its member."""
        where = f"{self.where}[{key}]"
        with readable(where), self._file.zip.open(f"{key}.npy") as stream:
            check_header(stream, self._file.zip.getinfo(f"{key}.npy").file_size, where)

    def __getitem__(self, key: str) -> np.ndarray:
        self.check(key)
        with readable(where := f"{self.where}[{key}]"):
            found = self._file[key]
        check_bytes(found, where)
        return np.asarray(found, found.dtype.newbyteorder("="))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_npz(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of an .npz file."""
    # Data keys: x, images or data; or train, valid and test parts (x_train, x_test, train, test ...). Labels: y, label
    # or labels (y_train ... beside parts), or the key `roles.label`. Names of the classes: class_names, target_names or
    # label_names. Upper and lower case do not matter. A file with a single array needs no particular key, and one of
    # `scipy.sparse.save_npz` has its own.
    with contextlib.closing(Archive(path)) as archive:
        if holds_matrix(archive):
            for key in archive.keys:
                archive.check(key)
            return read_matrix(path)
        return from_archive(archive, roles)


def from_archive(archive: "Archive | Store", roles: ColumnRoles) -> Raw:
    """Take rows, labels, ids and weights from named arrays, by their well-known names or those asked for."""
    where, keys = archive.where, archive.keys
    lower = {key.lower(): key for key in keys}
    classes = _class_names(archive, lower, roles)
    candidates = [key for key in archive.candidates if classes is None or key.lower() not in _CLASS_KEYS]
    chosen: dict[str, str] = {}
    for role, name in roles.asked().items():
        if name not in keys:
            fix = nearest(name, keys) if keys else "Give a file that holds arrays."
            raise LackingColumn(f"has no key {name!r}.", where=where, fix=fix)
        chosen[role] = name
    known = archive.only is not None
    parts = {part: [lower[k] for k in names if k in lower and not known] for part, names in PART_KEYS.items()}
    usual = [lower[k] for k in archive.data_keys if lower.get(k) in candidates]
    whole = usual if archive.only is None else [archive.only]
    if parts["train"] and len(parts["train"]) == 1 and not whole:
        if chosen:
            what = "has separate training and test arrays, whose labels must be named y_train, y_test."
            raise DataError(what, where=where, fix="Rename the keys, or leave --label and --id out.")
        joined = _parts(archive, lower, parts, with_labels=roles.label != "none")
        joined.classes = classes if joined.label is not None else None
        return joined
    whole = whole or [key for key in candidates if key not in chosen.values()]
    named = next((lower[key] for key in archive.data_keys if key in lower), None)
    if not whole and named is not None:
        fix = "Store rows of numbers there: np.asarray(x, 'float32'), with two axes or more."
        raise DataError(f"its key {named!r} holds no rows of numbers.", where=where, fix=fix)
    if len(whole) != 1 or parts["train"]:
        shown = ", ".join((whole or list(keys))[:20]) or "(there are none)"
        raise DataError(f"it is not clear which of its keys holds the rows: {shown}.", where=where, fix=archive.advice)
    if roles.label is None:
        labels = [lower[k] for k in _LABEL_KEYS if k in lower and lower[k] not in (*whole, *chosen.values())]
        if len(labels) == 1:
            chosen["label"] = labels[0]
    picked = {role: archive[key] for role, key in chosen.items()}
    raw = Raw(archive[whole[0]], picked.get("label"), picked.get("row_id"), picked.get("weight"))
    if "label" in picked:
        raw.classes, raw.label_name = classes, None if chosen["label"].lower() in _LABEL_KEYS else chosen["label"]
    return raw


def _class_names(archive: "Archive | Store", lower: dict[str, str], roles: ColumnRoles) -> tuple[str, ...] | None:
    """The names of the classes; None where the file has none, or where they were asked for as something else."""
    found = [lower[key] for key in _CLASS_KEYS if key in lower and lower[key] not in roles.asked().values()]
    names = archive[found[0]] if len(found) == 1 else np.zeros(0)
    if names.ndim != 1 or names.dtype.kind not in "US":
        return None
    words = tuple(names.astype(str).tolist())
    if len(set(words)) != len(words):
        twice = next(word for i, word in enumerate(words) if word in words[:i])
        what, where = f"two classes are named {twice!r}.", f"{archive.where}, {found[0]}"
        raise DataError(what, where=where, fix="Give every class a name of its own.")
    return words


def _parts(archive: "Archive | Store", lower: dict[str, str], parts: dict[str, list[str]], *, with_labels: bool) -> Raw:
    raws: dict[str, Raw] = {}
    for part, found in parts.items():
        if len(found) > 1:
            raise damaged(archive.where, f"has several {part} arrays: {', '.join(found)}.", "Keep one of them.")
        if found:
            key = found[0].lower()
            stem = key.replace("images", "").replace("x", "").strip("_")
            names = (f"y_{stem}", f"{stem}_y", f"{stem}_labels", f"{stem}_label", f"label_{stem}", f"labels_{stem}")
            label = next((lower[name] for name in names if name in lower), None) if with_labels else None
            raws[part] = Raw(archive[found[0]], archive[label] if label else None)
    return join_parts(raws, archive.where)
