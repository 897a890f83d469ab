"""NumPy's archives, .npz, read without pickle and without trusting what they say of themselves."""

import abc
import re
import zipfile
from pathlib import Path

import numpy as np

from latens.data.formats.npy import read_npy_stream
from latens.data.formats.sparse import holds_matrix, read_matrix
from latens.data.raw import MAX_BYTES, MAX_RATIO, ColumnRoles, LackingColumn, Raw, damaged, join_parts
from latens.errors import DataError, ResourceError, nearest

_MAX_MEMBERS = 10_000

_DATA_KEYS = ("x", "images", "data")
_LABEL_KEYS = ("y", "label", "labels")
_CLASS_KEYS = ("class_names", "target_names", "label_names")
PART_KEYS = {
    "train": ("x_train", "train_x", "train", "train_images"),
    "validation": ("x_valid", "x_val", "x_validation", "valid", "val", "validation", "valid_images"),
    "test": ("x_test", "test_x", "test", "test_images"),
}
"""Names of rows that come apart."""


class AbstractArrays(abc.ABC):
    """Arrays by name."""

    # `candidates` are those that may be the rows, `data_keys` the names that are taken for them.

    where: str
    data_keys: tuple[str, ...] = _DATA_KEYS
    only: str | None = None
    """The name of the rows, where it is known."""
    advice: str
    """What to do where it is not clear which array holds the rows."""

    @property
    @abc.abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names of the arrays that may be the rows."""
        return self.keys

    @abc.abstractmethod
    def __getitem__(self, key: str) -> np.ndarray: ...


class Archive(AbstractArrays):
    """An .npz file: its keys, and each array when asked for."""

    # Checked on opening; nothing is extracted to disk.

    advice = "Name it x: np.savez(path, x=rows, y=labels)."

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._size = path.stat().st_size
        self._zip = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        members = self._zip.infolist()
        if len(members) > _MAX_MEMBERS:
            raise damaged(self.where, f"has {len(members)} members (at most {_MAX_MEMBERS}).")
        for member in members:
            self._add(member)
        if sum(member.file_size for member in members) > MAX_BYTES:
            what = f"would unpack to more than {MAX_BYTES} bytes."
            raise ResourceError(what, where=self.where, fix="Use fewer rows.")

    def _add(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        shown = f"member {name[:80]!r}"
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name:
            raise damaged(self.where, f"{shown} points outside the file.", "Do not use this file: it was made to harm.")
        if not name.endswith(".npy") or name.removesuffix(".npy") in self._members:
            why = "is there twice" if name.endswith(".npy") else "is not an array"
            raise damaged(self.where, f"{shown} {why}.", "Write the file with np.savez.")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(self.where, f"{shown} is encrypted or packed unusually.", "Write the file with np.savez.")
        if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
            raise damaged(self.where, f"{shown} is not packed and yet has two sizes.")
        if member.compress_size > self._size or member.file_size > MAX_RATIO * member.compress_size + 64:
            raise damaged(self.where, f"{shown} claims {member.file_size} bytes, more than the file can hold.")
        self._members[name.removesuffix(".npy")] = member

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self._members)

    def __getitem__(self, key: str) -> np.ndarray:
        member = self._members[key]
        with self._zip.open(member) as stream:
            return read_npy_stream(stream, member.file_size, f"{self.where}[{key}]")  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def read_npz(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of an .npz file."""
    # Data keys: x, images or data; or train, valid and test parts (x_train, x_test, train, test ...). Labels: y, label
    # or labels (y_train ... beside parts), or the key `roles.label`. Names of the classes: class_names, target_names or
    # label_names. Upper and lower case do not matter. A file with a single array needs no particular key, and one of
    # `scipy.sparse.save_npz` has its own.
    archive = Archive(path)
    try:
        if holds_matrix(archive):
            return read_matrix(archive)
        return from_archive(archive, roles)
    finally:
        archive.close()


def from_archive(archive: AbstractArrays, roles: ColumnRoles) -> Raw:
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
    whole = (
        [lower[k] for k in archive.data_keys if lower.get(k) in candidates] if archive.only is None else [archive.only]
    )
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


def _class_names(archive: AbstractArrays, lower: dict[str, str], roles: ColumnRoles) -> tuple[str, ...] | None:
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


def _parts(archive: AbstractArrays, lower: dict[str, str], parts: dict[str, list[str]], *, with_labels: bool) -> Raw:
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
