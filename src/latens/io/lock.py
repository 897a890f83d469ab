"""One process at a time holds a folder, by a lock of the operating system on its file `lock`.

The system lifts the lock when its process ends, however that happens. What is written in the file only says who holds
it; a process that gives the folder back removes it.
"""

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from latens.errors import LatensError, RunFolderError
from latens.io.atomic import read_plain, refuse_unplain, resource_errors
from latens.io.json import parse_json_strict, to_json

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
    # returns: `pid`, `host` and `created` of the holder, "?" where they cannot be read; None where nobody holds the
    # folder.
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
    # holder: what `holder_of` or `read_lock` gave; None where it is not known.
    who = f"process {holder['pid']} on {holder['host']} since {holder['created']}" if holder else "another process"
    fix = "Wait for it, stop it, or choose another --out."
    return RunFolderError(f"in use by {who}.", where=str(folder), fix=fix)


def read_lock(path: Path) -> dict[str, Any] | None:
    """The content of a lock file, whether or not it is locked."""
    # returns: `pid`, `host` and `created`; None where the file is absent, empty or not one of ours in full.
    try:
        content = parse_json_strict(read_plain(path, most=_MAX_BYTES), max_bytes=_MAX_BYTES)
    except (OSError, LatensError):
        return None
    fields = {"pid": int, "host": str, "created": str}
    good = isinstance(content, dict) and all(isinstance(content.get(name), kind) for name, kind in fields.items())
    return content if good else None
