"""One process at a time holds a folder, by a lock of the operating system. Needs only the standard library.

The lock lies on an open file, so the system lifts it when its process ends, however that happens: there are no stale
locks, and no process ids that another process got meanwhile. What is written in the file only says who holds it.
"""

import contextlib
import errno
import os
import socket
import sys
import time
import weakref
from pathlib import Path
from typing import Any

from latens.errors import LatensError, RunFolderError
from latens.io.atomic import open_plain, resource_errors, sync_folder
from latens.io.json import parse_json_strict, to_json

_MAX_BYTES = 4096
# Windows locks bytes, and nobody else can read those: one far behind the text is locked.
_BYTE = 1 << 30
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
_WITHOUT = "This file system has no locks: nothing keeps a second process out of the folder."


class Lock:
    """The file `lock` of a folder, open and locked until `release` or the end of this process."""

    # A folder that another process holds is refused. What a process that died left in the file is replaced, and
    # `notice` is a sentence that says whose it was. Children made by `fork` do not hold the lock.
    # `path`: The lock file; its folder is the one that is held.

    def __init__(self, path: Path) -> None:
        self.path, self.notice = path, ""
        self._file = self._folder = -1
        with resource_errors(path):
            try:
                for pause in (0.02, 0.05, 0.1, 0.2, 0.0):
                    if self._take():
                        break
                    time.sleep(pause)  # who only asks whether the folder is held locks it for a moment
                else:
                    raise in_use(path.parent, read_lock(path))
            except BaseException:
                self._close()
                raise
            try:
                self._write()
            except BaseException:
                self.release()
                raise
        _HELD.add(self)

    def folder(self) -> Path | None:
        """Where the folder lies now: it may have been moved."""
        if _is(self.path.parent, self._folder):
            return self.path.parent
        moved = _path_of(self._folder)
        if moved is None or not _is(moved, self._folder):
            return None
        self.path = moved / self.path.name
        return moved

    def release(self) -> None:
        """Give the folder back; does nothing in a forked child."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            self.folder()
            if sys.platform == "win32":
                os.ftruncate(self._file, 0)  # an open file cannot be removed there; an empty one is nobody's
            elif _is(self.path, self._file):
                self.path.unlink()
        self._close()
        if sys.platform == "win32":
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _take(self) -> bool:
        """Whether the file under our name is locked by us now."""
        self._close()
        self._file = open_plain(self.path, os.O_RDWR | os.O_CREAT)
        if hasattr(os, "O_DIRECTORY"):
            self._folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(self._file)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self.notice = _WITHOUT
        # The holder may have removed the file between our open and our lock; a new one would have another lock.
        return _is(self.path, self._file)

    def _write(self) -> None:
        former = _parsed(_content(self._file))
        if former is not None:
            who = f"process {former['pid']} of {former['created']}"
            self.notice = self.notice or f"The folder was held by {who}, which is no longer alive."
        content = {"pid": os.getpid(), "host": socket.gethostname()}
        content |= {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, to_json(content))
        os.fsync(self._file)
        sync_folder(self.path.parent)

    def _close(self) -> None:
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._folder = -1


_HELD: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _let_go() -> None:
    """In a forked child: its copies of our files would keep the lock after our death."""
    for lock in list(_HELD):
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def holder_of(path: Path) -> dict[str, Any] | None:
    """What the lock file says of the process that holds it."""
    # returns: `pid`, `host` and `created` of the holder, "?" where they cannot be read; None where nobody holds the
    # folder.
    try:
        file = open_plain(path, os.O_RDONLY)
    except OSError as error:
        if isinstance(error, LatensError):
            raise
        return None  # no lock, or one that this user may not look at
    try:
        _lock(file, shared=True)
    except BlockingIOError:
        return _parsed(_content(file)) or {"pid": "?", "host": socket.gethostname(), "created": "?"}
    except OSError:
        pass
    finally:
        os.close(file)
    return None


def in_use(folder: Path, holder: dict[str, Any] | None) -> RunFolderError:
    """The error that says who holds a folder."""
    # holder: what `holder_of` or `read_lock` gave; None where it is not known.
    who = f"process {holder['pid']} on {holder['host']} since {holder['created']}" if holder else "another process"
    fix = "Wait for it, stop it, or choose another --out."
    return RunFolderError(f"in use by {who}.", where=str(folder), fix=fix)


def read_lock(path: Path) -> dict[str, Any] | None:
    """The content of a lock file, whether or not it is locked."""
    # returns: `pid`, `host` and `created`; None where the file is absent or not one of ours in full.
    try:
        file = open_plain(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _parsed(_content(file))
    finally:
        os.close(file)


def _content(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, _MAX_BYTES + 1)


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        content = parse_json_strict(text, max_bytes=_MAX_BYTES, max_depth=2)
    except LatensError:
        return None
    fields = {"pid": int, "host": str, "created": str}
    good = isinstance(content, dict) and all(isinstance(content.get(name), kind) for name, kind in fields.items())
    return content if good else None


def _lock(file: int, *, shared: bool = False) -> None:
    """Lock an open file, or raise `BlockingIOError` where another one has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
        return
    import fcntl

    fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def _is(path: Path, descriptor: int) -> bool:
    """Whether a path is what is open as the descriptor; where folders cannot be opened, whether it is there at all."""
    if descriptor < 0:
        return path.exists()
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _path_of(descriptor: int) -> Path | None:
    """Where what is open as the descriptor lies now, where the system tells."""
    try:
        if sys.platform == "linux":
            return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if sys.platform == "darwin":
            import fcntl

            return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).split(b"\0")[0]))  # type: ignore[attr-defined]
    except OSError:
        pass
    return None
