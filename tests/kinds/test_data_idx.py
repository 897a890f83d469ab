"""IDX files and folders with the names of MNIST's."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from latens.data import load
from latens.errors import DataError

IMAGES = (np.arange(7 * 2 * 3) * 5).astype(np.uint8).reshape(7, 2, 3)


def idx(array: np.ndarray, code: int, dtype: str) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, ">u1"), (9, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_packed_and_not(tmp_path: Path, code: int, dtype: str, packed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4) - (0 if code == 8 else 12)
    raw = idx(array, code, dtype)
    path = tmp_path / "some.idx"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert load(path).x.astype(int).tolist() == array.tolist()


def write_folder(folder: Path, dot: str = "-", end: str = ".gz", labels: bool = True) -> None:
    pack = gzip.compress if end else bytes
    for word, part in (("train", IMAGES[:5]), ("t10k", IMAGES[5:])):
        (folder / f"{word}-images{dot}idx3-ubyte{end}").write_bytes(pack(idx(part, 8, "u1")))
        if labels:
            (folder / f"{word}-labels{dot}idx1-ubyte{end}").write_bytes(pack(idx(np.arange(len(part)), 8, "u1")))


@pytest.mark.parametrize("dot", "-.")
@pytest.mark.parametrize("end", ["", ".gz"])
def test_folder_keeps_its_test_set(tmp_path: Path, dot: str, end: str) -> None:
    write_folder(tmp_path, dot, end)
    data = load(tmp_path)
    assert data.x.tolist() == IMAGES.tolist()
    assert data.x.dtype == np.uint8
    assert data.label.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert data.split[5:].tolist() == [2, 2]
    assert set(data.split[:5].tolist()) <= {0, 1}
    assert load(tmp_path, label="none").label is None


def test_folder_without_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, labels=False)
    assert load(tmp_path).label is None


def test_labels_of_other_images_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(4), 8, "u1")))
    with pytest.raises(DataError, match=r"5 images and labels of shape \(4,\)"):
        load(tmp_path)


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(DataError, match=r"it holds notes\.md"):
        load(tmp_path)


GOOD = idx(IMAGES, 8, "u1")


def packed(raw: bytes) -> bytes:
    """Compressed without the time: the names of the tests are made of it."""
    return gzip.compress(raw, mtime=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD[:-1], "declares 42 bytes of data, 41 follow"),
        (GOOD + b"x", "declares 42 bytes of data, more follow"),
        (GOOD[:9], "requires a buffer of 12 bytes"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "declares 79228162458924105385300197375"),
        (packed(GOOD[:-1]), "declares 42 bytes of data, 41 follow"),
        (packed(GOOD + b"x"), "declares 42 bytes of data, more follow"),
        (packed(GOOD)[:-12], "cannot be read"),
        (packed(struct.pack(">BBBB3I", 0, 0, 8, 3, 60000, 28, 28)), "declares 47040000 bytes of data, more than"),
    ],
)
def test_lying_headers(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        load(path)


def test_a_flipped_bit_in_a_packed_file_is_noticed(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(GOOD))
    raw[-6] ^= 4  # in the checksum
    (tmp_path / "a-idx3-ubyte.gz").write_bytes(raw)
    with pytest.raises(DataError, match="CRC"):
        load(tmp_path / "a-idx3-ubyte.gz")


@pytest.mark.shared
def test_mnist_label_counts(shared_data: Path) -> None:
    """The counts that the README beside the data states."""
    folder = shared_data / "data" / "mnist"
    if not folder.is_dir():
        pytest.skip("no MNIST beside the checkout")
    data = load(folder)
    test = data.split == 2
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.label[~test]).tolist() == train
    assert np.bincount(data.label[test]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (data.schema.kind, data.schema.levels, data.x.dtype) == ("levels", 256, np.uint8)
    assert len(data.subset("train")) == sum(1 for i in range(60000) if data.split[i] == 0) == 54072
