"""Checkpoints that are complete or do not count, and come back bit for bit.

    checkpoints/step-0000001234/
      state.safetensors    every array of the training state: parameters, optimiser, random key, best parameters
      loop.json            what the loop knows besides: best value, patience, seconds used, length of metrics.jsonl ...
      COMMIT               written last: the step, and size and SHA-256 of both files

A save writes a temporary folder, flushes it to disk, renames it, and then writes COMMIT. A folder without a COMMIT that
fits is never loaded: without any it was interrupted, otherwise damaged. The next save removes it.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from latens.errors import LatensError, ModelFileError
from latens.runtime.atomic import (
    clean_orphans,
    float_text,
    open_plain,
    parse_json_strict,
    plain,
    read_plain,
    resource_errors,
    sync_folder,
    temporary_beside,
    to_json,
    typed,
    write_atomic,
    write_synced,
)
from latens.runtime.safetensors import arrays_to_tree, pack, read, tree_to_arrays
from latens.typing import PyTree

FORMAT_VERSION = 1

SECONDS_BETWEEN_CHECKPOINTS = 10.0
"""How long a training goes without a checkpoint; the callback that writes them is in `fitting.py`."""

# The same step may be saved again after a resume; the new folder then gets a number, so that the old one stays whole
# until the new one is committed.
_NAME = re.compile(r"^step-(\d{10,})(?:\.(\d+))?$")
_FLOAT = "__float__"
_CHUNK = 1 << 20
_MAX_LOOP, _MAX_COMMIT = 64 << 20, 1 << 16


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    bytes: int
    sha256: str


class _Commit(Struct, frozen=True):  # that of a later format may hold more
    format_version: int
    step: int
    files: Annotated[dict[Literal["state.safetensors", "loop.json"], _File], Meta(min_length=2)]


class Checkpoint(NamedTuple):
    """A complete checkpoint, its arrays not read yet."""

    loop: dict[str, Any]  # the dict that was saved beside the arrays
    step: int  # number of the training step
    path: Path
    warnings: tuple[str, ...]  # one sentence for each newer checkpoint that was damaged and passed over

    def read(self, like: PyTree) -> Any:
        """Read the tree, bit for bit as saved."""
        state_file = self.path / "state.safetensors"
        arrays, _ = read(state_file)
        return arrays_to_tree(arrays, like, where=str(state_file))


def save_checkpoint(folder: Path, step: int, state_tree: PyTree, loop: dict[str, Any], *, keep: int = 2) -> Path:
    """Write a checkpoint into a folder and remove all but the newest ones."""
    # Checkpoints of later steps, and an older one of the same step, are removed as well: what is saved last is what a
    # resume continues from.
    folder = Path(folder)
    with resource_errors(folder):
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        clean_orphans(folder)
        for _, _, path in _entries(folder):
            if _commit(path) is None:
                shutil.rmtree(path)
        found = _entries(folder)
        same = [revision for number, revision, _ in found if number == step]
        name = f"step-{step:010d}" + (f".{max(same) + 1}" if same else "")
        final = folder / name
        temporary = temporary_beside(final)
        try:
            temporary.mkdir()
            state = pack(tree_to_arrays(state_tree), {"kind": "checkpoint", "step": step})
            tagged = plain(loop, nonfinite=lambda value: {_FLOAT: float_text(value)})
            written = {
                "state.safetensors": _write_hashed(temporary / "state.safetensors", state),
                "loop.json": _write_hashed(temporary / "loop.json", to_json(tagged)),
            }
            sync_folder(temporary)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(folder)
        write_atomic(final / "COMMIT", to_json({"format_version": FORMAT_VERSION, "step": step, "files": written}))
        _prune(folder, step, found, keep)
    return final


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Find the newest complete checkpoint of a folder."""
    # One whose files do not match its COMMIT is passed over with a warning.
    damaged = []
    for number, _, path in reversed(_entries(Path(folder))):
        commit = _commit(path)
        if commit is None:
            continue
        with resource_errors(path):
            fault = _fault(path, number, commit)
        if fault:
            damaged.append(f"The checkpoint {path.name} is damaged ({fault}) and was passed over.")
            continue
        loop_file = path / "loop.json"
        loop = _untag(
            parse_json_strict(read_plain(loop_file, most=_MAX_LOOP), max_bytes=_MAX_LOOP, where=str(loop_file))
        )
        return Checkpoint(loop, number, path, tuple(damaged))
    if damaged:
        raise ModelFileError(
            f"every checkpoint is damaged: {' '.join(damaged)}",
            where=str(folder),
            fix="Remove the folder to start from step 0, or restore it from a backup.",
        )
    return None


def _entries(folder: Path) -> list[tuple[int, int, Path]]:
    """(step, revision, path) of every checkpoint folder, complete or not, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((_NAME.match(path.name), path) for path in folder.iterdir())
    return sorted((int(m[1]), int(m[2] or 0), path) for m, path in matches if m is not None)


def _commit(path: Path) -> _Commit | str | None:
    """The COMMIT of a checkpoint: None where there is none (the save was interrupted), a fault where it is damaged."""
    try:
        text = read_plain(path / "COMMIT", most=_MAX_COMMIT)
        return typed(parse_json_strict(text, max_bytes=_MAX_COMMIT), _Commit, where="")
    except FileNotFoundError:
        return None
    except (OSError, LatensError):
        return "its COMMIT cannot be read"


def _fault(path: Path, step: int, commit: _Commit | str) -> str:
    """What is wrong with a committed checkpoint, or ""."""
    if isinstance(commit, str):
        return commit
    if commit.format_version > FORMAT_VERSION:
        raise ModelFileError(
            f"written by a newer latens (format {commit.format_version}, this one reads {FORMAT_VERSION}).",
            where=str(path),
            fix="Install that version to resume this run.",
        )
    if commit.step != step:
        return "its COMMIT names another step"
    for name, file in commit.files.items():
        if not _has_size(path / name, file.bytes):
            return f"{name} is missing or has another length"
        digest = hashlib.sha256()
        with os.fdopen(open_plain(path / name, os.O_RDONLY), "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != file.sha256:
            return f"{name} does not match its checksum"
    return ""


def _prune(folder: Path, step: int, found: list[tuple[int, int, Path]], keep: int) -> None:
    earlier = [path for number, _, path in found if number < step and _counts(path)]
    kept = set(earlier[max(len(earlier) - (keep - 1), 0) :])
    for _, _, path in found:
        if path not in kept:
            # COMMIT goes first: a removal that is interrupted leaves no half checkpoint that counts.
            (path / "COMMIT").unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
    sync_folder(folder)


def _counts(path: Path) -> bool:
    """Whether a checkpoint is complete, by its COMMIT and sizes: a save does not read the old ones through."""
    commit = _commit(path)
    return isinstance(commit, _Commit) and all(
        _has_size(path / name, file.bytes) for name, file in commit.files.items()
    )


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write_hashed(path: Path, raw: bytes) -> dict[str, Any]:
    write_synced(path, raw)
    return {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}


def _untag(value: object) -> Any:
    if isinstance(value, dict):
        if set(value) == {_FLOAT} and value[_FLOAT] in ("nan", "inf", "-inf"):
            return float(value[_FLOAT])
        return {key: _untag(item) for key, item in value.items()}
    return [_untag(item) for item in value] if isinstance(value, list) else value
