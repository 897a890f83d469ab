"""From what a user types to files that are read by parts: a folder, a glob, a file, an address of an object store."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from latens.data.formats.registry import Row, by_blocks
from latens.data.formats.source import AbstractRows, Address, Place
from latens.data.raw import ColumnRoles
from latens.errors import DataError
from latens.kinds.numbers.hdf5 import Hdf5Source
from latens.kinds.numbers.npy import is_beside
from latens.kinds.pictures.files import FolderSource, find_pictures
from latens.kinds.tables.files import ARROW, ending_of
from latens.kinds.tables.scanned import TableRows

ALONE = frozenset({".txt", ".dat", ".data"})
"""Endings of tables that are read by name alone: in a folder of rows they are notes."""

REMOTE = ("s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "https", "file")
"""What addresses that Polars reads begin with."""

INSIDE = re.compile(r"(.+\.(?:h5|hdf5)):/(.+)\Z", re.IGNORECASE)
"""An array of rows in a file: `file.h5:/path`."""

_WILD = frozenset("*?[")


def is_glob(spec: str) -> bool:
    """Say whether a path stands for several files."""
    return bool(_WILD & set(spec))


def fixed_folder(path: Path) -> Path:
    """Find the folder that all files of a glob are in."""
    fixed = next(i for i, part in enumerate(path.parts) if is_glob(part))
    return Path(*path.parts[:fixed])


def find_source(spec: str, roles: ColumnRoles) -> AbstractRows | None:
    """Find the files that a path stands for."""
    # returns: the files and their blocks; None for a file of another format, or a folder without such files.
    if is_address(spec):
        return _remote(spec, roles)
    path = Path(spec)
    if within := INSIDE.match(spec):
        path = Path(within[1])
        return Hdf5Source(Place(path.parent), (path.name,), roles, single=True, only=within[2])
    if path.is_file():
        return _opened(Place(path.parent), (path.name,), roles, single=True)
    if path.is_dir() and find_pictures(path).pictures:
        return FolderSource(path, roles)
    if path.is_dir():
        root, found = path, (entry for entry in path.rglob("*") if entry.is_file())
    elif is_glob(spec):
        root = fixed_folder(path)
        found = (entry for entry in root.glob(str(path.relative_to(root))) if entry.is_file())
    else:
        return None
    names = _streamed((entry.relative_to(root).as_posix() for entry in found), text=roles.pieces is not None)
    if not names:
        if path.is_dir():
            return None
        raise _no_files(spec, "Check the path; known")
    return _of(Place(root), names, roles, spec)


def _no_files(spec: str, known: str) -> DataError:
    return DataError("stands for no file that is read by parts.", where=spec, fix=f"{known}: {', '.join(_endings())}.")


def is_address(spec: str) -> bool:
    """Say whether this is the address of an object store, or another one with a scheme."""
    return "://" in spec


def title_of(spec: str) -> str:
    """Name a data set after its file or folder."""
    parts = [part for part in PurePosixPath(spec).parts if not is_glob(part)] if is_address(spec) else []
    path = fixed_folder(Path(spec)) if is_glob(spec) and not Path(spec).exists() else Path(spec)
    return (parts[-1] if parts else path.resolve().name).split(".")[0] or spec


def address_parts(spec: str) -> tuple[str, tuple[str, ...]]:
    """The folder of an address that Polars reads, and its file or glob."""
    scheme = spec.partition("://")[0]
    if scheme not in REMOTE:
        known = ", ".join(f"{one}://" for one in REMOTE)
        fix = f"Download the files first, and give their folder. Read as they lie: {known}."
        raise DataError(f"addresses that begin with {scheme}:// are not read.", where=spec, fix=fix)
    folder, _, name = spec.rstrip("/").rpartition("/")
    if ending_of(name) not in (".parquet", ".pq", *ARROW, ".csv"):
        fix = "Give the address of a .parquet, .arrow or .csv file, or a glob of these; or copy the files."
        raise DataError("is not a table that is read where it lies.", where=spec, fix=fix)
    return folder, (name,)


def _remote(spec: str, roles: ColumnRoles) -> AbstractRows:
    folder, names = address_parts(spec)
    if is_glob(spec) or ending_of(names[0]) == ".csv":
        fix = "Give one .parquet or .arrow file, or leave --stream out."
        raise DataError("stands for files that do not stay where they lie.", where=spec, fix=fix)
    return TableRows(Address(folder), names, roles, single=True)


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _endings() -> dict[str, Row]:
    return {ending: row for ending, row in by_blocks().items() if ending not in ALONE}


def _streamed(names: Iterable[str], *, text: bool = False) -> tuple[str, ...]:
    """Those that are shards, sorted: not hidden, none of `_SUCCESS` and the like, none beside another."""
    shown = (name for name in names if not any(part[0] in "._" for part in PurePosixPath(name).parts))
    known = {".txt": by_blocks()[".txt"]} if text else _endings()
    found = sorted(n for n in shown if _ending(n) in known and not is_beside(n))
    return tuple([n for n in found if not known[_ending(n)].beside] or found)


def _of(place: Place, names: tuple[str, ...], roles: ColumnRoles, spec: str) -> AbstractRows | None:
    endings = sorted(set(map(_ending, names)))
    if len(endings) > 1:
        what = f"holds files of several formats: {', '.join(endings)}."
        raise DataError(what, where=spec, fix=f"Choose some: '{spec.rstrip('/')}/*{endings[0]}'.")
    return _opened(place, names, roles, single=False)


def _opened(place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> AbstractRows | None:
    """Files of one format; None where it is not read by blocks."""
    row = by_blocks().get(_ending(names[0]))
    return None if row is None or row.blocks is None else row.blocks(place, names, roles, single=single)
