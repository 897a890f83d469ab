"""IDX files, the format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions, the values.

Format: http://yann.lecun.com/exdb/mnist/ (all numbers big-endian). Gzipped files are read through a bound: a header
may not declare more than the compressed bytes can hold.
"""

import struct
from pathlib import Path

import numpy as np

from latens.data.raw import MAX_DIMENSIONS, MAX_RATIO, Raw, check_size, damaged, join_parts, read_array, unpacked
from latens.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

STARTS = tuple(bytes([0, 0, kind, dims]) for kind in TYPES for dims in range(1, MAX_DIMENSIONS + 1))
"""How such files begin."""

_PARTS = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> np.ndarray:
    """Read the array of an IDX file, gzipped or not (told by its first bytes, not its name)."""
    where = str(path)
    size = path.stat().st_size
    with unpacked(path) as (stream, packed):
        start = stream.read(4)
        if start not in STARTS:
            raise damaged(where, "does not begin like an IDX file (two zero bytes, a type, 1 to 8 dimensions).")
        numbers = stream.read(4 * start[3])
        if len(numbers) != 4 * start[3]:
            raise damaged(where, "the header is cut off.")
        shape = struct.unpack(f">{start[3]}I", numbers)
        dtype = np.dtype(TYPES[start[2]])
        available = size * MAX_RATIO if packed else size - 4 - len(numbers)
        check_size(where, shape, dtype.itemsize, available, exact=not packed)
        return read_array(stream, dtype, shape, where)  # type: ignore[arg-type]


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
