"""One process at a time holds a folder. Needs only the standard library."""

import contextlib
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Any

from latens.atomic import process_alive, process_start, resource_errors, sync_folder, write_atomic
from latens.errors import LatensError, RunFolderError
from latens.strictjson import parse_json_strict, to_json

_MAX_BYTES = 4096


class Lock:
    """A file that says who holds a folder: process id, its start, host, boot id, time.

    A lock of a live process refuses; one left by a process that died on this host, or before this host's last start, is
    taken over, and `took_over` says whose it was. A process of another host cannot be asked, so its lock holds.

    **Raises:** `RunFolderError` where another process holds the folder, `ResourceError` where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.took_over = path, ""
        self._token = secrets.token_hex(8)
        self._pid = os.getpid()
        with resource_errors(path):
            for _ in range(20):
                if self._create() or self._take_over():
                    return
        raise RunFolderError("other processes keep taking the folder.", where=str(path.parent), fix="Try again later.")

    def release(self) -> None:
        """Give the folder back; does nothing where the lock is no longer ours, or in a forked child."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            content = read_lock(self.path)
            if content is not None and content.get("token") == self._token:
                self.path.unlink()

    def _content(self) -> bytes:
        return to_json(
            {
                "pid": self._pid,
                "process_start": process_start(self._pid),
                "host": socket.gethostname(),
                "boot_id": boot_id(),
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "token": self._token,
            }
        )

    def _create(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, self._content())
            os.fsync(descriptor)
        except OSError:
            os.unlink(self.path)
            raise
        finally:
            os.close(descriptor)
        sync_folder(self.path.parent)
        return True

    def _take_over(self) -> bool:
        """True where a stale lock was replaced by ours; False where it vanished or changed meanwhile: try again."""
        with contextlib.ExitStack() as stack:
            if sys.platform != "win32":  # there an open file cannot be replaced, and there is no flock
                try:
                    file = stack.enter_context(open(self.path, "rb"))
                except FileNotFoundError:
                    return False
                _wait_alone(file.fileno())
                # Whoever waited for the same stale file now finds another one under its name, and must look again.
                if not _same_file(file.fileno(), self.path):
                    return False
            holder = read_lock(self.path)
            if holder is None:
                time.sleep(0.1)  # its writer may be between creating and writing it
                holder = read_lock(self.path)
            reason = stale_reason(holder)
            if not reason:
                assert holder is not None
                raise in_use(self.path.parent, holder)
            write_atomic(self.path, self._content())
            self.took_over = reason
            return True


def holder_of(path: Path) -> dict[str, Any] | None:
    """What the lock file at `path` says of a live holder; None where nobody holds it."""
    content = read_lock(path)
    return None if content is None or stale_reason(content) else content


def stale_reason(holder: dict[str, Any] | None) -> str:
    """Why a lock of this content holds no longer, as a sentence; "" where it holds."""
    if holder is None:
        return "The lock file was never finished; its process must have died."
    pid, host = holder["pid"], holder["host"]
    who = f"process {pid} of {holder['created']}"
    if host != socket.gethostname():
        return ""
    if holder["boot_id"] and boot_id() and holder["boot_id"] != boot_id():
        return f"The folder was held by {who}; the machine has been restarted since."
    if not process_alive(pid):
        return f"The folder was held by {who}, which is no longer alive."
    started = process_start(pid)
    if holder["process_start"] and started and holder["process_start"] != started:
        return f"The folder was held by {who}, which is no longer alive (its number now belongs to another process)."
    return ""


def in_use(folder: Path, holder: dict[str, Any]) -> RunFolderError:
    """The error that says who holds a folder."""
    here = holder["host"] == socket.gethostname()
    message = f"in use by process {holder['pid']} on {holder['host']} since {holder['created']}."
    fix = "Wait for it, stop it, or choose another --out."
    if not here:
        fix += f" If that process is gone, delete {folder / 'lock'}."
    return RunFolderError(message, where=str(folder), fix=fix)


def boot_id() -> str:
    """What tells one start of this machine from the next ("" where the system does not say)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read_lock(path: Path) -> dict[str, Any] | None:
    """The content of a lock file; None where it is absent or not one of ours in full."""
    try:
        with open(path, "rb") as file:
            content = parse_json_strict(file.read(_MAX_BYTES + 1), max_bytes=_MAX_BYTES, max_depth=2)
    except (FileNotFoundError, LatensError):
        return None
    fields = {"pid": int, "process_start": str, "host": str, "boot_id": str, "created": str, "token": str}
    good = isinstance(content, dict) and all(isinstance(content.get(name), kind) for name, kind in fields.items())
    return content if good else None


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _wait_alone(descriptor: int) -> None:
    """Only one process at a time judges a stale lock, where the file system can do that; until the file is closed."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except (ImportError, OSError):
        pass
