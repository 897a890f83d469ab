"""From what a user types to a stream: a folder or a glob of files, a file, the address of an object store."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec.structs import replace

from latens.data.dataset import Dataset
from latens.data.raw import MAX_BYTES, ColumnRoles
from latens.data.schema import Schema
from latens.data.streams.blocks import AbstractSource, Place
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.index import Index, build, read_for
from latens.data.streams.npy import NpySource, is_beside
from latens.data.streams.parquet import ParquetSource
from latens.data.streams.stream import Stream, joined
from latens.errors import DataError, ResourceError

KINDS: dict[str, type[AbstractSource]] = {".npy": NpySource, ".parquet": ParquetSource}
"""The formats of a stream, by the end of a file's name."""

_WILD = frozenset("*?[")


def is_glob(spec: str) -> bool:
    """Say whether a path stands for several files.

    Args:
        spec: The path.

    Returns:
        Whether it has a `*`, `?` or `[`.
    """
    return bool(_WILD & set(spec))


def fixed_folder(path: Path) -> Path:
    """Find the folder that all files of a glob are in.

    Args:
        path: The glob.

    Returns:
        Its parts before the first with a `*`, `?` or `[`.
    """
    fixed = next(i for i, part in enumerate(path.parts) if is_glob(part))
    return Path(*path.parts[:fixed])


def find_source(spec: str, roles: ColumnRoles) -> AbstractSource | None:
    """Find the files that a path stands for.

    Args:
        spec: A folder, a glob or one file.
        roles: Which columns are the label, the row id and the weight.

    Returns:
        The files and their blocks; None for a file of another format, or a folder without files of a stream.

    Raises:
        DataError: No file, or files of two formats.
    """
    path = Path(spec)
    if path.is_file():
        kind = KINDS.get(path.suffix.lower())
        return None if kind is None else kind(Place(path.parent), (path.name,), roles, single=True)
    if path.is_dir():
        root, found = path, (entry for entry in path.rglob("*") if entry.is_file())
    elif is_glob(spec):
        root = fixed_folder(path)
        found = (entry for entry in root.glob(str(path.relative_to(root))) if entry.is_file())
    else:
        return None
    names = _streamed(entry.relative_to(root).as_posix() for entry in found)
    if not names:
        if path.is_dir():
            return None
        known = ", ".join(KINDS)
        raise DataError("stands for no file of a stream.", where=spec, fix=f"Check the path; known: {known}.")
    return _of(Place(root), names, roles, spec)


def _streamed(names: Iterable[str]) -> tuple[str, ...]:
    """Those that are shards, sorted: not hidden, none of `_SUCCESS` and the like, none beside another."""
    shown = (name for name in names if not any(part[0] in "._" for part in PurePosixPath(name).parts))
    return tuple(sorted(n for n in shown if PurePosixPath(n).suffix.lower() in KINDS and not is_beside(n)))


def _of(place: Place, names: tuple[str, ...], roles: ColumnRoles, spec: str) -> AbstractSource:
    endings = sorted({PurePosixPath(name).suffix.lower() for name in names})
    if len(endings) > 1:
        what = f"holds files of several formats: {', '.join(endings)}."
        raise DataError(what, where=spec, fix=f"Choose some: '{spec.rstrip('/')}/*{endings[0]}'.")
    return KINDS[endings[0]](place, names, roles, single=False)


def open_stream(
    source: AbstractSource,
    *,
    where: str,
    name: str,
    schema: Schema | None,
    counts: bool | None,
    missing: str | None,
    in_memory: bool | None,
    index: Path | None,
) -> Dataset:
    """Go through a stream, unless that was done before, and make a data set of it.

    Args:
        source: The files.
        where: How an error names the data.
        name: Name of the data set.
        schema: The schema of a trained model; None infers it.
        counts: As for `infer_schema`.
        missing: "nan" where NaN says that a value is missing; None refuses NaN.
        in_memory: Whether all rows are read into memory; None for as many as 8 GiB of them.
        index: What an earlier pass found, where that file is there.

    Returns:
        The data set, in memory or not.

    Raises:
        DataError: A block does not fit, or a file has changed since the earlier pass.
        ResourceError: The rows do not fit into memory.
    """
    if schema is not None and schema.kind == "mixed":
        what = "is a stream; a model of a table of several kinds takes its rows from memory."
        raise DataError(what, where=where, fix="Give a part of the rows.")
    about = _about(source, counts, missing)
    label_name = source.label_name or "label"
    found = read_for(index, about, name, label_name, where) if index is not None and index.exists() else None
    if found is None or (schema is not None and unlabelled(schema) != unlabelled(found.form.schema)):
        found = build(source, schema=schema, counts=counts, missing=missing, name=name, where=where)
    stream = Stream(source, found.form, name, _has(found))
    size = int(source.table.rows.sum()) * max(1, found.sample.x[:1].nbytes)
    if in_memory is None:
        in_memory = size <= MAX_BYTES
    if not in_memory:
        return StreamDataset.of(stream, found, about)
    try:
        return joined(list(stream.parts()))
    except MemoryError:
        fix = "Leave the rows on disk: --stream (stream=True in Python)."
        raise ResourceError("does not fit into memory.", where=where, fix=fix) from None


def unlabelled(schema: Schema) -> Schema:
    """Leave the names of the classes out of a schema.

    Args:
        schema: The schema.

    Returns:
        The schema of the rows alone.
    """
    return replace(schema, classes=None)


def _has(index: Index) -> frozenset[str]:
    sample = index.sample
    return frozenset(role for role in ("label", "weight") if getattr(sample, role) is not None)


def _about(source: AbstractSource, counts: bool | None, missing: str | None) -> dict[str, Any]:
    """What a pass over a stream is a function of."""
    return {
        "files": [[file.name, file.bytes, file.digest] for file in source.files],
        "roles": {role: name for role, name in vars(source.roles).items() if name is not None},
        "columns": None if source.columns is None else list(source.columns),
        "single": source.single,
        "counts": counts,
        "missing": missing,
    }
