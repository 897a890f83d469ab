"""Names of files, and what a stranger's file may take: bytes once it is unpacked, and no file of another folder."""

import contextlib
import gzip
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from latens.errors import DataError, ResourceError

MAX_BYTES = 8 * 2**30
"""Most bytes one file may hold once decompressed."""

MAX_RATIO = 1032
"""DEFLATE cannot expand further than this, so a member that claims more lies about its size."""

ZSTD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
_PACKED = (ZSTD, GZIP, b"x\x01", b"x\x9c", b"x\xda")
"""How packed bytes begin that Polars unpacks, whatever a file is called."""


def refuse_large(size: int, where: str) -> None:
    """Refuse more bytes than one file may hold."""
    if size > MAX_BYTES:
        fix = "Use fewer rows, or write them as .npy or .parquet."
        raise ResourceError(f"holds more than {MAX_BYTES} bytes.", where=where, fix=fix)


def refuse_packed(start: bytes, where: str) -> None:
    """Refuse bytes that are packed where text is expected: twice, or in another way than the name of the file says."""
    if start.startswith(_PACKED):
        raise DataError("is packed in a way that its name does not say.", where=where, fix="Unpack it first.")


class _Bounded(io.RawIOBase):
    """A stream that is read up to the bound of one file."""

    def __init__(self, inner: Any, where: str) -> None:
        self.inner, self.where, self.done = inner, where, 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        count = self.inner.readinto(into)
        self.done += count
        refuse_large(self.done, self.where)
        return count


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[tuple[Any, bool]]:
    """Open a file that may be gzipped, as its first bytes say; and say whether it is."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        yield io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=file) if packed else file, str(path)), 2**16), packed


def check_zstd(path: Path) -> None:
    """Refuse a file of Zstandard whose blocks may unpack to more than one file may hold."""
    # Frames have a header and blocks, each with 3 bytes of last, form and size (RFC 8878, 3.1.1); a packed one holds at
    # most 128 KiB.
    where, total = str(path), 0
    with path.open("rb") as file:
        while magic := file.read(4):
            if magic[1:] == b"\x2a\x4d\x18":  # a frame that is skipped
                file.seek(int.from_bytes(file.read(4), "little"), io.SEEK_CUR)
                continue
            flags, last = int.from_bytes(file.read(1), "little"), 0
            single = flags >> 5 & 1
            file.seek(1 - single + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6], io.SEEK_CUR)
            while not last:
                head = file.read(3)
                if magic != ZSTD or len(head) < 3:
                    raise DataError("this is not a Zstandard file, or is cut off.", where=where, fix="Pack it again.")
                word = int.from_bytes(head, "little")
                last, form, size = word & 1, word >> 1 & 3, word >> 3
                file.seek(1 if form == 1 else size, io.SEEK_CUR)
                total += size if form < 2 else 2**17
                refuse_large(total, where)
            file.seek(4 * (flags >> 2 & 1), io.SEEK_CUR)


def refuse_away(paths: Iterable[Path], root: Path) -> None:
    """Refuse links below a folder that lead out of it: a stranger's folder would have other files read and kept."""
    home = None
    for path in paths:
        within = [path, *path.parents[: len(path.parts) - len(root.parts) - 1]]
        if any(one.is_symlink() for one in within):
            home = home or Path(os.path.realpath(root))
            if not Path(os.path.realpath(path)).is_relative_to(home):
                name = path.relative_to(root).as_posix()
                fix = "Remove the link, or copy the folder with the files themselves: cp -rL FOLDER COPY."
                raise DataError(f"holds a link that leads out of it: {name!r}.", where=str(root), fix=fix)


def is_glob(spec: str) -> bool:
    """Say whether a path stands for several files."""
    return not set("*?[").isdisjoint(spec)


def fixed_folder(path: Path) -> Path:
    """Find the folder that all files of a glob are in."""
    fixed = next(i for i, part in enumerate(path.parts) if is_glob(part))
    return Path(*path.parts[:fixed])


def shown_files(path: Path, root: Path) -> list[Path]:
    """The files of a folder and its sub-folders, or of a glob, sorted, but those that are hidden (`_SUCCESS`)."""
    found: Iterable[Path] = path.rglob("*") if path.is_dir() else root.glob(str(path.relative_to(root)))
    plain = (one for one in found if one.is_file() and not any(p[0] in "._" for p in one.relative_to(root).parts))
    shown = sorted(plain, key=lambda one: one.relative_to(root).as_posix())
    refuse_away(shown, root)
    return shown


def numbered(path: Path, number: int) -> Path:
    """The name of a table beside another one."""
    return path.with_name(f"{path.stem}-{number + 1:03d}{path.suffix}")


def free_name(stem: str, ending: str) -> str:
    """The name, or with a number where there is such a file: nothing is written over that was not named."""
    path, number = f"{stem}{ending}", 2
    while os.path.exists(path):
        path, number = f"{stem}-{number}{ending}", number + 1
    return path
