"""JSON read as if a stranger wrote it, held against a type, and written in one canonical form."""

import contextlib
import errno
import json
import math
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from latens.errors import LatensError, ModelFileError, RunFolderError
from latens.io.atomic import open_plain, resource_errors

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
