"""Files that are whole or absent (write aside, flush, rename), opened only where plain; and JSON, read with suspicion.

A run folder may come from a stranger. What it calls `metrics.jsonl` is appended to and
cut, so a symbolic link there would reach any file of the user, and a named pipe would stop the program for good.
"""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from latens.errors import LatensError, ModelFileError, ResourceError, RunFolderError, UsageError

_MARK = ".latens-tmp-"
_TEMPORARY = re.compile(r"^\..*\.latens-tmp-(\d+)-([0-9a-f]{8})[0-9a-f]{8}$", re.DOTALL)
_DAY = 86_400.0

_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose another place."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another place."),
    errno.EFBIG: ("the file would be larger than the system allows", "Choose another place."),
    errno.EACCES: ("permission denied", "Change the permissions, or choose another place."),
    errno.EPERM: ("permission denied", "Change the permissions, or choose another place."),
    errno.EROFS: ("the file system is read-only", "Choose another place."),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "Choose a shorter name."),
    errno.ENOENT: ("a folder on the way does not exist", "Create the folder first, or check the path."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Check the path."),
    errno.EISDIR: ("this is a folder, not a file", "Give the name of a file."),
    errno.EMFILE: ("too many files are open", "Raise the limit (`ulimit -n`)."),
    errno.ENOMEM: ("the memory is used up", "Use fewer rows, or a smaller model."),
    errno.EIO: ("the disk reports an input/output error", "Check the disk, or choose another place."),
}


@contextlib.contextmanager
def resource_errors(where: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an `OSError` into a `ResourceError` that says where and what to do; errors of latens pass through."""
    try:
        yield
    except LatensError:
        raise
    except OSError as error:
        what, fix = reason_of(error)
        raise ResourceError(f"{what}.", where=str(where), fix=fix) from error


def reason_of(error: OSError) -> tuple[str, str]:
    """What an operating system's error means, and what to do."""
    return _REASONS.get(error.errno or 0, (error.strerror or str(error), "Choose another place."))


_LACKS_MEMORY = ("RESOURCE_EXHAUSTED", "Cannot allocate memory", "failed to map segment", "can't start new thread")


def as_resource_error(error: Exception) -> ResourceError | None:
    """The `ResourceError` for what the machine lacks, wherever in the program it was found; None for anything else."""
    # What JAX, the loader of libraries and the maker of threads say of memory are errors of other types.
    if isinstance(error, MemoryError) or any(words in str(error) for words in _LACKS_MEMORY):
        fix = "Use fewer rows or draws, a smaller batch or model, or raise the limit (`ulimit -v`)."
        return ResourceError("the memory is used up.", where="memory", fix=fix)
    if not isinstance(error, OSError):
        return None
    reason = _REASONS.get(error.errno or 0)
    if reason is None or not isinstance(error.filename, str | bytes | os.PathLike):
        return None
    return ResourceError(f"{reason[0]}.", where=os.fsdecode(error.filename), fix=reason[1])


def write_atomic(path: str | os.PathLike[str], data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file so that at any instant, also after a kill or power cut, it is the old one or the new one."""
    # The bytes go to `.NAME.latens-tmp-PID-RANDOM` in the same folder, are flushed to disk, renamed over `path`, and
    # the folder is flushed. The mode follows the umask. What a killed process left of the same file is removed.
    write_together([(Path(path), data)])


def write_together(files: Iterable[tuple[Path, bytes | Iterable[bytes | memoryview]]]) -> None:
    """Write several files, each as `write_atomic` does: none takes its name before all are on disk."""
    # Only a new name or an ordinary file is replaced. A pipe and what /dev/stdout leads to are written to.
    made: list[tuple[Path, Path]] = []
    try:
        for path, data in files:
            if not path.name or "\0" in str(path):
                raise UsageError(f"{str(path)!r} is not the name of a file.", where="path", fix="Give a name.")
            with resource_errors(path):
                if _is_written_to(path):
                    with open(path, "wb") as file:
                        _write_all(file, data)
                    continue
                clean_orphans(path.parent, of=path.name)
                made.append((temporary_beside(path), path))
                write_synced(made[-1][0], data)
        for temporary, path in made:
            with resource_errors(path):
                os.replace(temporary, path)
    except BaseException:
        for temporary, _ in made:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise
    for folder in dict.fromkeys(path.parent for _, path in made):
        with resource_errors(made[-1][1]):
            sync_folder(folder)


def _is_written_to(path: Path) -> bool:
    """Whether a path is a pipe, or one of the links by which a system names open files; refuse other devices."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    within = os.path.realpath(path.parent)
    if stat.S_ISFIFO(mode) or (path.is_symlink() and (within == "/dev" or within.startswith("/proc/"))):
        return True
    if stat.S_ISREG(mode):
        return False
    raise ResourceError(f"this is {_name(mode)}, not a file.", where=str(path), fix="Give the name of a file.")


def write_synced(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a new file and flush it to disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        _write_all(file, data)
        file.flush()
        os.fsync(file.fileno())


def _write_all(file: io.BufferedIOBase, data: bytes | Iterable[bytes | memoryview]) -> None:
    for chunk in (data,) if isinstance(data, bytes | bytearray | memoryview) else data:
        file.write(chunk)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk (Windows has no such call and needs none)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """A fresh name in the same folder that tells who writes it: process id, host tag and eight random digits."""
    return path.with_name(f"{_before_mark(path.name)}{os.getpid()}-{_host_tag()}{secrets.token_hex(4)}")


def _before_mark(name: str) -> str:
    # A file name holds at most 255 bytes, and a long one must still leave room for the mark.
    return f".{os.fsencode(name)[:180].decode('utf-8', 'ignore')}{_MARK}"


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one of ours that never got its final name."""
    return _TEMPORARY.match(name) is not None


def clean_orphans(folder: str | os.PathLike[str], *, of: str = "") -> list[Path]:
    """Remove temporary files and folders of ours whose process is dead (on this host) or that are older than a day."""
    removed = []
    try:
        names = os.listdir(folder)
    except OSError:
        return removed
    for name in names:
        match = _TEMPORARY.match(name)
        if match is None or (of and not name.startswith(_before_mark(of))):
            continue
        path = Path(folder) / name
        with contextlib.suppress(OSError):
            status = path.lstat()
            dead = match[2] == _host_tag() and not process_alive(int(match[1]))
            if dead or time.time() - status.st_mtime > _DAY:
                if stat.S_ISDIR(status.st_mode):
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed.append(path)
    return removed


def process_alive(pid: int) -> bool:
    """Whether a process of this host runs; one that ended but was not yet collected by its parent does not."""
    if pid <= 0 or pid > 2**31 - 1:
        return False
    if sys.platform == "win32":
        return True  # os.kill(pid, 0) would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode("latin-1")
    except OSError:
        return True
    return text[text.rfind(")") + 1 :].split()[:1] not in (["Z"], ["X"])  # the name before may hold spaces and brackets


def _host_tag() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


_FIX = "Put an ordinary file or folder in its place, or use another copy of the run."
# O_NONBLOCK: a named pipe would block an ordinary open until somebody opens its other end.
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY")
_LINK_ERRORS = (errno.ELOOP, errno.EMLINK)


def as_path(path: object, where: str = "path") -> Path:
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


def read_plain(path: Path, *, most: int) -> bytes:
    """The bytes of a plain file, of a larger one the first `most` and one more, so that a caller's bound refuses it."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        return file.read(most + 1)


def refuse_unplain(folder: Path, files: Iterable[str], folders: Iterable[str]) -> None:
    """Refuse a folder in which an entry is not a plain file or folder, or anything below one of the folders."""
    wanted = dict.fromkeys(files, stat.S_IFREG) | dict.fromkeys(folders, stat.S_IFDIR)
    for parent, below, names in os.walk(folder):
        top = parent == str(folder)
        for name in (*below, *names):
            with contextlib.suppress(FileNotFoundError):  # a run that is going on removes old checkpoints meanwhile
                mode = os.lstat(os.path.join(parent, name)).st_mode
                good = (wanted.get(name, stat.S_IFMT(mode)),) if top else (stat.S_IFREG, stat.S_IFDIR)
                if stat.S_IFMT(mode) not in good:
                    raise RunFolderError(_what(_name(mode)), where=os.path.join(parent, name), fix=_FIX)
        below[:] = [name for name in below if not top or name in wanted]


def kind_of(path: Path) -> str:
    """What a path is, in words, where it is no plain file."""
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


T = TypeVar("T")

_MAX_DEPTH = 64


def parse_json_strict(
    text: bytes | str,
    *,
    max_bytes: int = 8 << 20,
    error: type[LatensError] = ModelFileError,
    where: str = "",
    fix: str = "",
) -> Any:
    """Parse JSON of at most `max_bytes`, refusing what JSON does not say, such as NaN, and numbers beyond float64."""
    if len(text) > max_bytes:
        raise error(f"the JSON is larger than {max_bytes} bytes.", where=where, fix=fix)
    try:
        value = msgspec.json.decode(text)
    except UnicodeError:
        message = "the JSON is not valid UTF-8"
    except msgspec.MsgspecError as refusal:
        message = f"not valid JSON: {refusal}"
    except RecursionError:
        message = "the JSON is nested too deep"
    else:
        if not _is_deep(value):
            return value
        message = "the JSON is nested too deep"
    raise error(f"{message}.", where=where, fix=fix)


def _is_deep(value: object) -> bool:
    """Whether lists and objects lie so deep in each other that what walks through them could fail."""
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        inside = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if not inside:
            return False
        level = [item for items in inside for item in items]
    return True


def read_json(
    path: Path, *, max_bytes: int = 8 << 20, error: type[LatensError] = ModelFileError, where: str = "", fix: str = ""
) -> Any:
    """Read a JSON file as `parse_json_strict` reads its text."""
    if not path.is_file():
        raise error("there is no such file.", where=where, fix=fix)
    with resource_errors(path), path.open("rb") as file:
        text = file.read(max_bytes + 1)
    return parse_json_strict(text, max_bytes=max_bytes, error=error, where=where, fix=fix)


def typed(value: object, kind: type[T], *, where: str, error: type[LatensError] = ModelFileError, fix: str = "") -> T:
    """Parsed JSON as an object of a type: nothing is made unless every entry is of its type and within its bounds."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as refusal:
        if isinstance(refusal.__cause__, LatensError):  # what the type itself refused
            raise error(refusal.__cause__.message, where=refusal.__cause__.where, fix=fix) from None
        message, _, entry = str(refusal).partition(" - at `$")
        entry = f"{where}{entry.lstrip('.').rstrip('`')}".rstrip("., ")
    raise error(f"{message[:300]}.", where=entry[:1000], fix=fix)


def to_json(value: object, *, indent: int | None = None) -> bytes:
    """The canonical bytes of a JSON value: sorted keys, no spaces, ASCII, floats in their shortest exact form."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, sort_keys=True, separators=separators, allow_nan=False, indent=indent).encode("ascii")


def plain(value: Any, *, nonfinite: Callable[[float], Any] | None = None) -> Any:
    r"""A JSON value from Python and numpy ones: tuples become lists, array scalars numbers, arrays lists."""
    # Bytes of a path that are no UTF-8 are spelled out (`\udcff`), because no JSON reader need accept them.
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"the integer {value} does not fit 64 bits")
        return int(value)
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        if nonfinite is None:
            raise ValueError("NaN and infinity have no place in JSON")
        return nonfinite(float(value))
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a key must be a string, not {key!r}")
        return {_encodable(key): plain(item, nonfinite=nonfinite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, nonfinite=nonfinite) for item in value]
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # numpy and jax arrays, named by what they do
        return plain(value.tolist(), nonfinite=nonfinite)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def float_text(value: float) -> str:
    """How a number that is not finite is written where JSON has no word for it: `"nan"`, `"inf"` or `"-inf"`."""
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class JsonLines:
    """A file of records, opened at the first append."""

    # Floats are written in their shortest exact form and come back bit for bit; NaN and infinity, for which JSON has no
    # word, are the strings "nan", "inf" and "-inf" in the file and floats again after `read`.
    # `path`: The file, which need not exist yet.

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def append(self, record: dict[str, Any]) -> None:
        """Add one line and hand it to the system at once, so that a kill loses nothing that was appended."""
        line = to_json(plain(record, nonfinite=float_text)) + b"\n"
        with resource_errors(self.path):
            if self._file is None:
                self._cut_torn_line()
                descriptor = open_plain(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                self._file = os.fdopen(descriptor, "ab", buffering=0)
            start = self._file.tell()
            try:
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                with contextlib.suppress(OSError):  # half a line is better cut, but the first error is the one to show
                    self._file.truncate(start)
                raise

    def length(self) -> int:
        """The length of the file, all of it flushed to disk first: a checkpoint may rely on it."""
        with resource_errors(self.path):
            if self._file is not None:
                os.fsync(self._file.fileno())
            return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, length: int) -> None:
        """Cut the file back to `length` bytes, which must end a line."""
        self.close()
        with resource_errors(self.path):
            size = self.path.stat().st_size if self.path.exists() else 0
            fix = "The file was changed by something else; restore it, or start a new run."
            if not 0 <= length <= size:
                message = f"has {size} bytes, the checkpoint counts on {length}."
                raise RunFolderError(message, where=str(self.path), fix=fix)
            if not size:
                return
            with os.fdopen(open_plain(self.path, os.O_RDWR), "r+b") as file:
                if length:
                    file.seek(length - 1)
                    if file.read(1) != b"\n":
                        raise RunFolderError(f"no line ends at byte {length}.", where=str(self.path), fix=fix)
                file.truncate(length)
                os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Every complete record; a torn last line is ignored."""
        with resource_errors(self.path):
            if not self.path.exists():
                return []
            with os.fdopen(open_plain(self.path, os.O_RDONLY), "rb") as file:
                lines = file.read().split(b"\n")[:-1]
        records = []
        for number, line in enumerate(lines, 1):
            where = f"{self.path}, line {number}"
            record = parse_json_strict(line, error=RunFolderError, where=where, fix="Remove or mend this line.")
            if not isinstance(record, dict):
                raise RunFolderError("not a JSON object.", where=where, fix="Remove or mend this line.")
            records.append(_with_floats(record))
        return records

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cut_torn_line(self) -> None:
        """After a power cut the last line may lack its end; the next record must not continue it."""
        if not self.path.exists():
            return
        with os.fdopen(open_plain(self.path, os.O_RDWR), "r+b") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)


def _with_floats(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
