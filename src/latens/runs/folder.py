"""The run folder: everything a run is and leaves behind. Needs no jax, so it is on disk before heavy imports.

RUN/
  run.json        id, format version, state, command, versions, host, settings, seed, fingerprint of the data, times
  config.json     the configuration, complete and resolved
  metrics.jsonl   one object a line, equal for equal runs; timings.jsonl holds what is not (wall times)
  checkpoints/    see latens.training.checkpoint
  model.safetensors, figures/, report/, log.txt
  lock            who holds the folder
"""

import contextlib
import importlib.metadata
import io
import logging
import os
import platform
import re
import shlex
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from msgspec import Struct

from latens.errors import ConfigError, LatensError, RunFolderError
from latens.runtime.atomic import (
    JsonLines,
    as_path,
    clean_orphans,
    float_text,
    is_temporary,
    open_plain,
    parse_json_strict,
    plain,
    read_plain,
    refuse_unplain,
    resource_errors,
    sync_folder,
    to_json,
    typed,
    write_atomic,
    write_together,
)
from latens.runtime.compilation import jax_settings, threads

_MAX_BYTES = 4096
_PATIENCE = 0.4
"""Seconds: who only asks whether the folder is held locks it for a moment."""


class Lock:
    """The file `lock` of a folder, locked until `release` or the end of this process."""

    # A folder that another process holds is refused. `notice` is a sentence where a process held it that died. Children
    # made by `fork` do not hold the lock.
    # `path`: The lock file; its folder is the one that is held.

    def __init__(self, path: Path) -> None:
        self.path, self.notice = path, ""
        with resource_errors(path):
            refuse_unplain(path.parent, (path.name,), ())
            self._lock = FileLock(path, timeout=_PATIENCE)
            try:
                self._lock.acquire()
            except Timeout:
                raise in_use(path.parent, read_lock(path)) from None
            try:
                if (former := read_lock(path)) is not None:
                    who = f"process {former['pid']} of {former['created']}"
                    self.notice = f"The folder was held by {who}, which is no longer alive."
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                path.write_bytes(to_json({"pid": os.getpid(), "host": socket.gethostname(), "created": now}))
            except BaseException:
                self._lock.release()
                raise

    def release(self) -> None:
        """Give the folder back; does nothing in a forked child."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):  # Windows removes no open file
                self.path.write_bytes(b"")
                self.path.unlink()  # whoever waits for it sees that it has no name any more, and opens the next one
            self._lock.release()


def holder_of(path: Path) -> dict[str, Any] | None:
    """What the lock file says of the process that holds it."""
    refuse_unplain(path.parent, (path.name,), ())
    if not path.exists():
        return None
    try:
        FileLock(path, timeout=0).acquire().lock.release()
    except Timeout:
        return read_lock(path) or {"pid": "?", "host": socket.gethostname(), "created": "?"}
    except OSError:  # of another user: what is written there has to do
        return read_lock(path)
    return None


def in_use(folder: Path, holder: dict[str, Any] | None) -> RunFolderError:
    """The error that says who holds a folder."""
    who = f"process {holder['pid']} on {holder['host']} since {holder['created']}" if holder else "another process"
    fix = "Wait for it, stop it, or choose another --out."
    return RunFolderError(f"in use by {who}.", where=str(folder), fix=fix)


def read_lock(path: Path) -> dict[str, Any] | None:
    """The content of a lock file, whether or not it is locked."""
    try:
        content = parse_json_strict(read_plain(path, most=_MAX_BYTES), max_bytes=_MAX_BYTES)
    except (OSError, LatensError):
        return None
    fields = {"pid": int, "host": str, "created": str}
    good = isinstance(content, dict) and all(isinstance(content.get(name), kind) for name, kind in fields.items())
    return content if good else None


RUN_FORMAT = "latens-run"
"""The word in run.json that tells it from other people's."""

OWN_FILES = frozenset(
    (
        *("run.json", "config.json", "metrics.jsonl", "timings.jsonl", "model.safetensors", "log.txt", "lock"),
        "blocks.safetensors",
        *("report.json", "report.html"),
    )
)
OWN_FOLDERS = frozenset(("checkpoints", "figures", "report", "samples", "snapshots", "tensorboard"))
"""What a run folder may hold; `--force` removes these and nothing else."""

_MOST_BYTES = 8 << 20
_OWN_SUFFIXES = frozenset(
    (".png", ".svg", ".csv", ".json", ".jsonl", ".npz", ".npy", ".gif", ".html", ".md", ".txt", ".safetensors")
)

FORMAT_VERSION = 1
STATES = ("running", "stopped", "done", "failed")

_METRICS, _TIMINGS = "metrics.jsonl", "timings.jsonl"

_PACKAGES = ("latens", "jax", "jaxlib", "equinox", "optax", "numpy")


class RunFolder:
    """A run folder, held by this process until `release` (or the end of the `with` block)."""

    # It is made by `create` or `open`. Leaving the `with` block by an exception while the state is "running" sets it to
    # "stopped" (Ctrl-C, SystemExit) or "failed". Its attribute `notice` is a sentence where a process died that held
    # the folder before.
    # `lock`: The lock of the folder, or None where it is only read.

    def __init__(self, path: Path, lock: Lock | None, info: dict[str, Any], config: dict[str, Any]) -> None:
        self.path, self.info, self.config = path, info, config
        self.notice = lock.notice if lock is not None else ""
        self._lock = lock
        self._metrics, self._timings = JsonLines(path / _METRICS), JsonLines(path / _TIMINGS)
        self._handler: _LogFile | None = None
        self._level = logging.NOTSET

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        command: Sequence[str] | str,
        config: dict[str, Any],
        data: dict[str, Any],
        seed: int,
        *,
        options: dict[str, Any] | None = None,
        force: bool = False,
    ) -> "RunFolder":
        """Make a run folder and write run.json and config.json at once."""
        # options: what else was asked for, so that a resume need not be told again.
        path = as_path(path)
        info = _describe(command, data, seed) | {"options": plain(options or {})}
        config_text = _config_text(config)
        with resource_errors(path):
            if path.exists() and not path.is_dir():
                raise RunFolderError("this is a file, not a folder.", where=str(path), fix="Choose another --out.")
            path.mkdir(parents=True, exist_ok=True)
            refuse_others(path, force)
            lock = Lock(path / "lock")
            try:
                refuse_others(path, force, ours=True)  # another process may have finished a run here meanwhile
                if force:
                    remove_own(path)
                clean_run(path)
                write_together(
                    [(path / "config.json", config_text), (path / "run.json", to_json(info, indent=2) + b"\n")]
                )
                sync_folder(path.parent)
            except BaseException:
                lock.release()
                raise
        run = cls(path, lock, info, parse_json_strict(config_text))
        run._open_log()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, lock: bool = True) -> "RunFolder":
        """Open an existing run folder, to continue it or only to read it, also while it runs."""
        path = as_path(path)
        with resource_errors(path):  # a stranger may have made it, with links, pipes, sockets or devices
            refuse_unplain(path, OWN_FILES, OWN_FOLDERS)
        info, config = read_run_file(path, "run.json"), read_run_file(path, "config.json")
        if info.get("format") != RUN_FORMAT or type(info.get("format_version")) is not int:
            raise not_a_run(path, "its run.json was not written by latens")
        if info["format_version"] > FORMAT_VERSION:
            what = f"written by a newer latens: run format {info['format_version']}, this one reads {FORMAT_VERSION}."
            raise ConfigError(what, where=str(path), fix="Install that version of latens.")
        check_info(info, config, path)
        if not lock:
            return cls(path, None, info, config)
        held = Lock(path / "lock")
        try:
            clean_run(path)
            run = cls(path, held, read_run_file(path, "run.json"), config)
        except BaseException:
            held.release()
            raise
        run._open_log()
        return run

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    @property
    def model_file(self) -> Path:
        """The file of its trained model, which is there once training has ended."""
        return self.path / "model.safetensors"

    def trained_file(self) -> Path:
        """The same file, which has to be there."""
        if not self.model_file.exists():
            fix = "Wait for it to end." if self.state == "running" else f"Finish it with `latens resume {self.path}`."
            raise RunFolderError(f"this run has no model yet: it is {self.state}.", where=str(self.path), fix=fix)
        return self.model_file

    @property
    def live(self) -> bool:
        """Whether a living process holds the folder; a state "running" without one means it was killed."""
        return self._lock is not None or holder_of(self.path / "lock") is not None

    @property
    def state(self) -> str:
        """The state of the run; "killed" where it says that it runs and nobody holds it."""
        found = self.info["state"]
        return "killed" if found == "running" and not self.live else found

    def set_state(self, state: str, **fields: object) -> None:
        """Rewrite run.json with this state and further fields."""
        if state not in STATES:
            raise ValueError(f"state {state!r} is not one of {', '.join(STATES)}")
        self._check_held()
        ended = None if state == "running" else _now()
        kept = {name: value for name, value in self.info.items() if name != "error"}
        self.info = kept | plain(fields, nonfinite=float_text) | {"state": state, "ended": ended}
        write_atomic(self.path / "run.json", to_json(self.info, indent=2) + b"\n")

    def set_config(self, config: dict[str, Any]) -> None:
        """Rewrite config.json: what a run began with is replaced by what the data made of it."""
        self._check_held()
        text = _config_text(config)
        write_atomic(self.path / "config.json", text)
        self.config = parse_json_strict(text)

    def differences(self) -> list[str]:
        """What is not as it was when the run began, of that on which its bits depend."""
        # That is versions, machine, cores, and JAX's settings of precision and random numbers (which runs of before do
        # not know).
        before, now = self.info, _describe("", {}, 0)
        changed = []
        for part in ("versions", "platform", "jax"):
            old, new = before.get(part) or ({} if part != "jax" else now[part]), now[part]
            changed += [f"{k} {old.get(k)} -> {new[k]}" for k in new if k != "release" and old.get(k) != new[k]]
        return changed

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl; nothing that differs between equal runs belongs here."""
        self._check_held()
        self._metrics.append(record)

    def append_timing(self, record: dict[str, Any]) -> None:
        """Add a line to timings.jsonl: wall times, rates, memory."""
        self._check_held()
        self._timings.append(record)

    def metrics_length(self) -> int:
        """The length of metrics.jsonl, flushed to disk: what a checkpoint notes."""
        return self._metrics.length()

    def truncate_metrics(self, length: int) -> None:
        """Cut metrics.jsonl back to the length a checkpoint noted."""
        self._check_held()
        self._metrics.truncate(length)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl; a torn last line is ignored."""
        return self._metrics.read()

    def release(self) -> None:
        """Close the files and give the folder back."""
        self._metrics.close()
        self._timings.close()
        if self._handler is not None:
            logger = logging.getLogger("latens")
            logger.removeHandler(self._handler)
            logger.setLevel(self._level)
            self._handler.close()
            self._handler = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is not None and self._lock is not None and self.info["state"] == "running":
                state = "failed" if issubclass(kind, Exception) else "stopped"
                with contextlib.suppress(LatensError):  # the first error is the one to show
                    self.set_state(state, error=f"{kind.__name__}: {error}")
        finally:
            self.release()

    def _check_held(self) -> None:
        if self._lock is None:
            message = "the folder was opened for reading, or given back."
            raise RunFolderError(message, where=str(self.path), fix="Open it with lock=True.")

    def _open_log(self) -> None:
        with resource_errors(self.path / "log.txt"):
            handler = _LogFile(self.path / "log.txt", encoding="utf-8", errors="backslashreplace", delay=True)
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        logger = logging.getLogger("latens")
        self._handler, self._level = handler, logger.level
        logger.addHandler(handler)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)


class _LogFile(logging.FileHandler):
    """A log that is appended to a plain file only."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = open_plain(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        return io.TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding, errors=self.errors)


def default_path(data: str, recipe: str, *, root: str | os.PathLike[str] = "runs") -> Path:
    """`runs/TIME-DATA-RECIPE` in characters that are safe everywhere, with a number where that is taken."""
    words = (_safe(re.split(r"[\\/]", data.rstrip("\\/"))[-1].split(".")[0] or "data"), _safe(recipe))
    name = "-".join((time.strftime("%Y%m%d-%H%M%S"), *words))
    path, number = Path(root) / name, 2
    while path.exists():
        path, number = Path(root) / f"{name}-{number}", number + 1
    return path


def _safe(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", word).strip("-")[:40] or "data"


def _describe(command: Sequence[str] | str, data: dict[str, Any], seed: int) -> dict[str, Any]:
    return {
        "format": RUN_FORMAT,
        "format_version": FORMAT_VERSION,
        "id": str(uuid.uuid4()),
        "state": "running",
        "command": plain(command if isinstance(command, str) else list(command)),
        "versions": versions(),
        "host": socket.gethostname(),
        # The last bits of a sum depend on the number of threads, so a bit-equal resume needs the same.
        "platform": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()}
        | {"cpus": threads()},
        "jax": jax_settings(),
        "seed": seed,
        "data": plain(data, nonfinite=float_text),
        "created": _now(),
        "ended": None,
    }


def versions() -> dict[str, str | None]:
    """The versions that decide the bits of a run."""
    return {"python": platform.python_version()} | {name: version_of(name) for name in _PACKAGES}


def version_of(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _config_text(config: dict[str, Any]) -> bytes:
    try:
        return to_json(plain(config), indent=2) + b"\n"
    except (TypeError, ValueError) as error:
        what = f"the configuration cannot be stored: {error}."
        raise ConfigError(what, fix="Use numbers, words and lists.") from error


# --- what in a folder belongs to latens ---


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
            known |= name in folders or Path(name).suffix.lower() in _OWN_SUFFIXES
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
