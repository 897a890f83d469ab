"""IDX files, the format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions, the values.

Format: http://yann.lecun.com/exdb/mnist/ (all numbers big-endian). Gzipped files are read through a bound: a header
may not declare more than the compressed bytes can hold.
"""

import math
import struct
from pathlib import Path

import numpy as np

from latens.data.raw import MAX_BYTES, MAX_RATIO, Raw, damaged, join_parts, unpacked
from latens.errors import DataError, ResourceError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

STARTS = tuple(bytes([0, 0, kind, dims]) for kind in TYPES for dims in range(1, 9))
"""How such files begin."""

_PARTS = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> np.ndarray:
    """Read the array of an IDX file, gzipped or not (told by its first bytes, not its name)."""
    where = str(path)
    with unpacked(path) as (stream, packed):
        start = stream.read(4)
        if start not in STARTS:
            raise damaged(where, "does not begin like an IDX file (two zero bytes, a type, 1 to 8 dimensions).")
        shape = struct.unpack(f">{start[3]}I", stream.read(4 * start[3]))
        dtype = np.dtype(TYPES[start[2]])
        size = math.prod(shape) * dtype.itemsize
        if size > path.stat().st_size * (MAX_RATIO if packed else 1):
            raise damaged(where, f"the header declares {size} bytes of data, more than the file can hold.")
        if size > MAX_BYTES:
            what = f"holds {size} bytes; one file may hold {MAX_BYTES}."
            raise ResourceError(what, where=where, fix="Use fewer rows.")
        data = stream.read(size + 1)
    if len(data) != size:
        held = "more" if len(data) > size else len(data)
        raise damaged(where, f"the header declares {size} bytes of data, {held} follow.")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def idx_folder(folder: Path) -> dict[str, Path] | None:
    """Find the MNIST-named files of a folder."""
    # Both spellings (train-images-idx3-ubyte and train-images.idx3-ubyte) are known, with and without .gz.
    found: dict[str, Path] = {}
    for part in _PARTS.values():
        for what, dims in (("images", 3), ("labels", 1)):
            stems = [f"{part}-{what}{dot}idx{dims}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
            path = next((folder / stem for stem in stems if (folder / stem).is_file()), None)
            if path is not None:
                found[f"{part}-{what}"] = path
    return found if "train-images" in found else None


def read_idx_folder(folder: Path, files: dict[str, Path]) -> Raw:
    """Read the rows of a folder with MNIST-named files; the t10k files are the test set, labels may be missing."""
    parts: dict[str, Raw] = {}
    for part, word in _PARTS.items():
        if f"{word}-images" in files:
            label = files.get(f"{word}-labels")
            parts[part] = Raw(read_idx(files[f"{word}-images"]), None if label is None else read_idx(label))
    for name, part in parts.items():
        if part.label is not None and part.label.shape != (len(part.x),):
            what = f"the {name} part has {len(part.x)} images and labels of shape {part.label.shape}."
            raise DataError(what, where=str(folder), fix="Use the label file that belongs to the images.")
    return join_parts(parts, str(folder))
