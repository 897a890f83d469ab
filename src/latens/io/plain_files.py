"""Files that are opened only where they are plain: no link leads elsewhere, no pipe waits for ever.

Needs only the standard library. A run folder may come from a stranger. What it calls `metrics.jsonl` is appended to and
cut, so a symbolic link there would reach any file of the user, and a named pipe would stop the program for good.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latens.errors import LatensError, RunFolderError, UsageError

_FIX = "Put an ordinary file or folder in its place, or use another copy of the run."
# O_NONBLOCK: a named pipe would block an ordinary open until somebody opens its other end.
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY")
_LINK_ERRORS = (errno.ELOOP, errno.EMLINK)


def as_path(path: Any, where: str = "path") -> Path:
    """A path that was given as text or as an object of a path."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        what = f"{path!r:.100} is not a path."
        raise UsageError(what, where=where, fix='Give text or a pathlib.Path, for example "model.safetensors".')
    return Path(path)


def open_plain(path: Path, flags: int, *, error: type[LatensError] = RunFolderError) -> int:
    """A descriptor of a plain file: what `os.open` gives, but never of a link, folder, pipe, socket or device."""
    # A file that is opened for writing may have no second name (hard link) either: what is appended to it would be
    # appended to the other one too. A file that is only read, or replaced as a whole, may.
    if sys.platform == "win32" and path.is_symlink():
        raise error(_what("a symbolic link"), where=str(path), fix=_FIX)
    for name in _FLAGS:
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as refusal:
        # A socket cannot be opened at all, a pipe that nobody reads cannot be opened for writing.
        kind = kind_of(path) if refusal.errno in (*_LINK_ERRORS, errno.ENXIO, errno.EISDIR) else ""
        if kind:
            raise error(_what(kind), where=str(path), fix=_FIX) from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise error(_what(_name(status.st_mode)), where=str(path), fix=_FIX)
        if status.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
            what = f"this file has {status.st_nlink} names (hard links), and writing to it would change them all."
            fix = "Copy the run folder (`cp -R`): the copy's files have one name each."
            raise error(what, where=str(path), fix=fix)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_plain(path: Path, *, most: int, error: type[LatensError] = RunFolderError) -> bytes:
    """The bytes of a plain file, of a larger one the first `most` and one more, so that a caller's bound refuses it."""
    with os.fdopen(open_plain(path, os.O_RDONLY, error=error), "rb") as file:
        return file.read(most + 1)


def refuse_unplain(folder: Path, files: Iterable[str], folders: Iterable[str]) -> None:
    """Refuse a folder in which an entry is not a plain file or folder, or anything below one of the folders."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        wanted = dict.fromkeys(files, stat.S_IFREG) | dict.fromkeys(folders, stat.S_IFDIR)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in wanted:
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_IFMT(mode) != wanted[entry.name]:
                    raise RunFolderError(_what(_name(mode)), where=entry.path, fix=_FIX)
                if stat.S_ISDIR(mode):
                    _refuse_below(entry.path)


def _refuse_below(folder: str) -> None:
    waiting = [folder]
    while waiting:
        for entry in _scanned(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                mode = entry.stat(follow_symlinks=False).st_mode
                raise RunFolderError(_what(_name(mode)), where=entry.path, fix=_FIX)


def _scanned(folder: str) -> Iterator[os.DirEntry[str]]:
    # A run that is going on removes old checkpoints meanwhile.
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from entries


def kind_of(path: Path) -> str:
    """What a path is, in words, where it is no plain file."""
    # returns: words like "a named pipe"; "" for a plain file and where there is nothing.
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else _name(mode)


def _name(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFREG: "a file",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")


def _what(kind: str) -> str:
    return f"this is {kind}; a run folder holds plain files and folders."
