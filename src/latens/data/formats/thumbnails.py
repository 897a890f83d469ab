"""Thumbnails of a folder of photographs, kept in the user's cache folder, so that a file is decoded once."""

import contextlib
import hashlib
import json
import math
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from latens.errors import LatensError
from latens.io.atomic import write_atomic

MARKS = 3
"""How many things are told of a picture beside its pixels."""


class Kept:
    """What is kept of the pictures of a folder in one shape; a file counts by its name, size and time of change."""

    def __init__(self, folder: Path, names: list[str], shape: tuple[int, ...]) -> None:
        import pooch

        self._stamps = []
        for name in names:
            stat = (folder / name).stat()
            self._stamps.append([name, stat.st_size, stat.st_mtime_ns])
        told = json.dumps([str(folder.resolve()), shape]).encode("utf-8", "surrogatepass")
        name = f"{hashlib.blake2b(told, digest_size=16).hexdigest()}.thumbnails"
        self._path, self._shape = Path(pooch.os_cache("latens")) / "thumbnails" / name, shape
        self._known, self._found, self._new = {}, [], False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged: made anew
            with self._path.open("rb") as file:
                entries = json.loads(file.readline())
                pixels = np.fromfile(file, np.uint8)
            self._pixels = pixels.reshape(len(entries), *shape)
            if all(len(marks) == MARKS for _, marks in entries):
                self._known = {tuple(stamp): (i, marks) for i, (stamp, marks) in enumerate(entries)}

    def of(self, place: int) -> tuple[Shaped[np.ndarray, "*shape"], tuple[bool, ...]] | None:
        """Give pixels and marks of a picture, unless it is new or was changed."""
        found = self._known.get(tuple(self._stamps[place]))
        self._new |= found is None
        return None if found is None else (self._pixels[found[0]], tuple(map(bool, found[1])))

    def add(self, place: int, marks: tuple[bool, ...]) -> None:
        """Note that a picture is the next row."""
        self._found.append([self._stamps[place], [int(mark) for mark in marks]])

    def write(self, x: Shaped[np.ndarray, "n *shape"]) -> None:
        """Keep the rows whose pictures were added, whole or not at all; a disk that cannot is left alone."""
        if self._new and len(x) == len(self._found):
            with contextlib.suppress(OSError, LatensError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                head = json.dumps(self._found).encode() + b"\n"
                write_atomic(self._path, [head, x.reshape(-1).data] if math.prod(x.shape) else [head])
