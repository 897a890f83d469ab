"""Pictures as a stream: folders of them, of which the sub-folders are labels, and tars of the WebDataset kind."""

import abc
import io
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.raw import ColumnRoles, Raw, damaged
from latens.data.readers.images import (
    ADVICE,
    ENDINGS,
    TARGET,
    find_pictures,
    head_of,
    pixels_of,
    reason,
    shown,
    turned_notes,
    unreadable,
)
from latens.data.readers.tables import text_array
from latens.data.streams.blocks import AbstractSource, BlockTable, File, Place, digest_of
from latens.errors import DataError

BLOCK_FILES, BLOCK_BYTES = 256, 2**24
"""A block has so many pictures, or fewer where they take more bytes."""


class AbstractPictures(AbstractSource):
    """Pictures of one size and kind, decoded when their block is read; the arguments are those of `AbstractSource`."""

    dtype = np.dtype(np.uint8)
    _turned = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(turned_notes(self._turned))

    @abc.abstractmethod
    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        """Go through the pictures of a block."""

    def first(self, name: str, file: Any) -> int:
        """Take size and kind of all pictures from the first one."""
        try:
            self._size, self._kind = head_of(file)
        except unreadable() as error:
            raise DataError(f"{name}: {reason(error)}.", where=self.place.shown(""), fix=ADVICE) from None
        height_width = (self._size[1], self._size[0])
        self.shape = (*height_width, 3) if self._kind == "RGB" else height_width
        self._like = name
        return max(1, min(BLOCK_FILES, BLOCK_BYTES // math.prod(self.shape)))

    def pixels(self, block: int) -> Shaped[np.ndarray, "n *shape"]:
        """Decode the pictures of a block."""
        x = np.empty((int(self.table.rows[block]), *self.shape), np.uint8)
        for i, (name, file) in enumerate(self.packed(block)):
            problem = ""
            try:
                size, kind = head_of(file)
                if (size, kind) == (self._size, self._kind):
                    file.seek(0)
                    x[i], _, upright = pixels_of(file, TARGET[kind])
                    self._turned += not upright
                else:
                    problem = f"{shown(size, kind)}, {self._like} is {shown(self._size, self._kind)}"
            except unreadable() as error:
                problem = reason(error)
            if problem:
                raise DataError(f"{name}: {problem}.", where=self.where(block), fix=ADVICE)
        return x


class FolderSource(AbstractPictures):
    """A folder of pictures with sub-folders that are labels, named and sorted as in memory."""

    # `roles`: Which columns are the label, the row id and the weight: "none" leaves the labels out.

    def __init__(self, root: Path, roles: ColumnRoles) -> None:
        super().__init__(Place(root), find_pictures(root).pictures, roles, single=False)
        if asked := roles.asked():
            fix = "Its labels are the names of its sub-folders."
            raise DataError(f"a folder has no column {next(iter(asked.values()))!r}.", where=str(root), fix=fix)
        with self.place.open(self.names[0]) as file:
            each = self.first(self.names[0], file)
        self._groups = [self.names[at : at + each] for at in range(0, len(self.names), each)]
        self._labelled = roles.label != "none" and any("/" in name for name in self.names)
        files = []
        for group in self._groups:
            sizes = [(root / name).stat().st_size for name in group]
            told = repr(list(zip(group, sizes))).encode("utf-8", "surrogatepass")
            files.append(File(f"{group[0]} to {group[-1]}", sum(sizes), digest_of(told)))
        self.files, self.table = tuple(files), BlockTable.of([[len(group)] for group in self._groups])

    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        for name in self._groups[block]:
            with self.place.open(name) as file:
                yield name, file

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        names = self._groups[block]
        labels = [name.split("/")[0] if "/" in name else "" for name in names]
        raw = Raw(self.pixels(block), np.array(labels) if self._labelled else None, np.array(names))
        return raw, None


class TarSource(AbstractPictures):
    """Tars of the WebDataset kind: one picture a key, and where `.cls` is beside it the label."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        if asked := roles.asked():
            fix = "Labels are the members that end in .cls."
            raise DataError(
                f"a tar has no column {next(iter(asked.values()))!r}.", where=place.shown(names[0]), fix=fix
            )
        files, self._samples, cut, like, each = [], [], [], None, 0
        for name in names:
            where = place.shown(name)
            with place.open(name) as stream:
                samples, headers = _samples(stream, where)
                size = stream.seek(0, 2)
                for key, members in samples.items():
                    like = set(members) if like is None else like
                    if set(members) != like:
                        both = [", ".join(sorted(one)) or "nothing" for one in (members, like)]
                        what = f"the key {key!r} has {both[0]}, others have {both[1]}."
                        raise DataError(what, where=where, fix="Give every key the same members.")
                    if not each:
                        self._picture = _picture_of(like, where)
                        each = self.first(f"{key}{self._picture}", _member(stream, *members[self._picture]))
            files.append(File(name, size, digest_of(headers)))
            found = list(samples.items())
            self._samples += [found[at : at + each] for at in range(0, len(found), each or 1)]
            cut.append([min(each, len(found) - at) for at in range(0, len(found), each or 1)])
        if like is None:
            raise DataError("has no members.", where=place.shown(names[0]), fix="Give tars of pictures.")
        self._labelled = ".cls" in like and roles.label != "none"
        self.files, self.table = tuple(files), BlockTable.of(cut)

    def packed(self, block: int) -> Iterator[tuple[str, Any]]:
        with self.place.open(self.files[int(self.table.file[block])].name) as stream:
            for key, members in self._samples[block]:
                yield key + self._picture, _member(stream, *members[self._picture])

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        label = None
        if self._labelled:
            with self.place.open(self.files[int(self.table.file[block])].name) as stream:
                found = [_member(stream, *members[".cls"]).getvalue() for _, members in self._samples[block]]
            label = text_array([text.decode("utf-8", "replace").strip() for text in found], self.where(block))
        return Raw(self.pixels(block), label), None


def _samples(stream: Any, where: str) -> tuple[dict[str, dict[str, tuple[int, int]]], bytes]:
    """Place and size of the members of a tar by key and ending, and what says how it is laid out."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    told = []
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.name.startswith("."):
                    continue
                stem, _, ending = path.name.partition(".")
                own = samples.setdefault(str(path.parent / stem), {})
                own[f".{ending.lower()}"] = (member.offset_data, member.size)
                told.append(f"{member.name} {member.offset_data} {member.size} {member.mtime}")
    except (tarfile.TarError, EOFError) as error:
        stream.seek(0)
        if stream.read(2) == b"\x1f\x8b":
            raise DataError("is packed with gzip.", where=where, fix="Unpack it with gunzip.") from None
        raise damaged(where, f"is no readable tar ({str(error)[:80]}).") from None
    return samples, "\n".join(told).encode("utf-8", "surrogatepass")


def _picture_of(endings: set[str], where: str) -> str:
    pictures = sorted(endings & set(ENDINGS))
    if len(pictures) != 1:
        what = f"a key has {len(pictures)} pictures among {', '.join(sorted(endings))}."
        raise DataError(what, where=where, fix=f"Give every key one of {', '.join(ENDINGS)}.")
    return pictures[0]


def _member(stream: Any, offset: int, size: int) -> io.BytesIO:
    stream.seek(offset)
    return io.BytesIO(stream.read(size))
