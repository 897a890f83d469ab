"""Append-only files of one JSON object a line, in which only a torn last line can ever be lost."""

import contextlib
import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any

from latens.errors import RunFolderError
from latens.io.atomic import open_plain, resource_errors
from latens.io.json import float_text, parse_json_strict, plain, to_json

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
        # returns: the records in the order in which they were appended; none where there is no file.
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
