"""What in a folder belongs to latens: what may be read as a run, and what `--force` may remove."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from latens.errors import ConfigError, LatensError, RunFolderError
from latens.io.atomic import clean_orphans, is_temporary, read_plain, refuse_unplain, resource_errors
from latens.io.json import parse_json_strict, typed
from latens.io.lock import holder_of, in_use, read_lock

RUN_FORMAT = "latens-run"
"""The word in run.json that tells it from other people's."""

OWN_FILES = frozenset(
    (
        *("run.json", "config.json", "metrics.jsonl", "timings.jsonl", "model.safetensors", "log.txt", "lock"),
        "blocks.safetensors",
        *("report.json", "report.html", "comparison.html"),
    )
)
OWN_FOLDERS = frozenset(("checkpoints", "figures", "report", "samples", "snapshots", "tensorboard"))
"""What a run folder may hold; `--force` removes these and nothing else."""

_MOST_BYTES = 8 << 20
_OWN_SUFFIXES = frozenset(
    (".png", ".svg", ".csv", ".json", ".jsonl", ".npz", ".npy", ".gif", ".mp4", ".html", ".md", ".txt", ".safetensors")
)

_FORMER_TEMPORARY = re.compile(r"^\..+\.(png|svg|csv|gif|mp4)\.\d+-\d+\.tmp$", re.DOTALL)
"""How figures that never got their final name were called (process id, thread id) before `temporary_beside`."""


def read_run_file(path: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of a run folder."""
    if not path.is_dir():
        raise not_a_run(path, "there is no such folder")
    with resource_errors(path / name):
        try:
            text = read_plain(path / name, most=_MOST_BYTES)
        except FileNotFoundError:
            fix = "It was stopped as it began: start it again with --force." if name == "config.json" else ""
            raise not_a_run(path, f"it has no {name}", fix) from None
    value = parse_json_strict(
        text, max_bytes=_MOST_BYTES, error=RunFolderError, where=str(path / name), fix="Start a new run."
    )
    if not isinstance(value, dict):
        raise not_a_run(path, f"its {name} is not a JSON object")
    return value


def refuse_links(path: Path) -> None:
    """Refuse a run folder in which something is a link, pipe, socket or device: a stranger may have made it."""
    with resource_errors(path):
        refuse_unplain(path, OWN_FILES, OWN_FOLDERS)


def clean_run(path: Path) -> None:
    """Remove what killed processes left half written in a run folder."""
    for folder in (path, *(path / name for name in OWN_FOLDERS)):
        if not folder.is_symlink():
            clean_orphans(folder)


class _Data(Struct, frozen=True):
    spec: str | None = None
    folder: str | None = None
    label: str | None = None
    id: str | None = None
    missing: str | None = None
    fingerprint: str | None = None


class _Info(Struct, frozen=True):
    """What is read of run.json; the rest is told as it stands."""

    id: str
    state: str
    command: str | list[Any]
    versions: dict[str, Any]
    platform: dict[str, Any]
    data: _Data
    created: str
    summary: str | None = None
    step: int | None = None
    options: dict[str, Any] | None = None
    jax: dict[str, Any] | None = None


def check_info(info: dict[str, Any], config: dict[str, Any], path: Path) -> None:
    """Refuse run.json, and a config.json not resolved yet, with entries not of the kind that latens writes."""
    fix = "Bring the file back from a backup, or start a new run."
    typed(info, _Info, where=f"{path / 'run.json'}, ", error=RunFolderError, fix=fix)
    whole = isinstance(config.get("recipe"), str) and isinstance(config.get("settings"), dict)
    if config.get("resolved") is False and not whole:
        where = str(path / "config.json")
        raise ConfigError("the configuration lacks its recipe or settings.", where=where, fix="Start a new run.")


def not_a_run(path: Path, why: str, fix: str = "") -> RunFolderError:
    """The error for a folder that is no run."""
    fix = fix or "Check the path; `latens fit` makes one."
    return RunFolderError(f"not a run folder: {why}.", where=str(path), fix=fix)


def refuse_others(path: Path, force: bool, *, ours: bool = False) -> None:
    """Refuse to write a new run into a folder that is held, holds a run already, or holds files of others."""
    holder = None if ours else holder_of(path / "lock")
    if holder is not None:
        raise in_use(path, holder)
    former = _is_run(path)
    foreign = sorted(_foreign(path, former))
    out = "choose another --out"
    if former and not force:
        fix = f"Continue it (`latens resume {shlex.quote(str(path))}`), replace it (--force), or {out}."
        raise RunFolderError("the folder holds a run already.", where=str(path), fix=fix)
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        message = f"the folder is not empty and {foreign[0]!r}{more} was not written by latens."
        fix = f"Move it away, or {out}." + (" --force removes nothing that is not latens' own." if force else "")
        raise RunFolderError(message, where=str(path), fix=fix)


def _is_run(path: Path) -> bool:
    try:
        return read_run_file(path, "run.json").get("format") == RUN_FORMAT
    except LatensError:
        return False


def _foreign(path: Path, former: bool) -> Iterator[str]:
    """What in the folder is not ours; without a run.json of ours nothing but a lock and temporary files is."""
    for entry in os.scandir(path):
        if entry.is_symlink():
            yield entry.name
        elif entry.name == "lock" and entry.is_file():
            if entry.stat().st_size and read_lock(path / "lock") is None:
                yield entry.name
        elif is_temporary(entry.name) or (former and entry.is_file() and entry.name in OWN_FILES):
            continue
        elif former and entry.is_dir() and entry.name in OWN_FOLDERS:
            yield from _foreign_below(Path(entry.path))
        else:
            yield entry.name


def _foreign_below(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            known = name == "COMMIT" or name.startswith("events.out.tfevents") or is_temporary(name)
            known |= (
                name in folders
                or _FORMER_TEMPORARY.match(name) is not None
                or Path(name).suffix.lower() in _OWN_SUFFIXES
            )
            if not known or os.path.islink(os.path.join(parent, name)):
                yield os.path.relpath(os.path.join(parent, name), folder.parent)


def remove_own(path: Path) -> None:
    """Remove a former run from its folder, all but the lock."""
    # run.json goes last: while it is there the rest is known as ours, should this be interrupted.
    for name in [*sorted(OWN_FOLDERS | OWN_FILES - {"lock", "run.json"}), "run.json"]:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
