"""Reading .npy, .npz and IDX: every type and layout, folders of MNIST, and files that lie."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from latens.data import load
from latens.data.files import read_path
from latens.data.row_fields import ColumnRoles
from latens.errors import DataError, ResourceError
from latens.kinds.numbers.npy import read_npy

X = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i2", ">u4", "<i8", "<f2", ">f4", "<f8", "<U5", "S3"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_equals_what_was_saved(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.asarray(np.arange(24).reshape(4, 6) % 5, dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert found.tolist() == array.tolist()
    assert found.dtype == array.dtype.newbyteorder("=")


def test_npz_layouts(tmp_path: Path) -> None:
    y = np.array([1, 0, 1, 1, 0])
    for keys in ({"x": X, "y": y}, {"X": X, "Y": y}, {"images": X, "labels": y}, {"data": X, "label": y}):
        np.savez_compressed(tmp_path / "a.npz", **keys)
        data = load(tmp_path / "a.npz")
        assert data.x.tolist() == X.tolist()
        assert data.label.tolist() == y.tolist()
        assert data.name == "a"
    np.savez(tmp_path / "b.npz", whatever=X)
    assert load(tmp_path / "b.npz").x.tolist() == X.tolist()


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_npz_with_training_and_test_parts(tmp_path: Path, keys: tuple[str, ...]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (X, np.arange(5), X[:2] + 100, np.array([4, 3])))))
    data = load(tmp_path / "a.npz")
    assert data.x.tolist() == [*X.tolist(), *(X[:2] + 100).tolist()]
    assert data.label.tolist() == [0, 1, 2, 3, 4, 4, 3]
    assert (data.split[5:] == 2).all()
    assert not (data.split[:5] == 2).any()


def test_npz_with_three_parts_keeps_all(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=X, valid=X[:2], test=X[:1])
    assert load(tmp_path / "a.npz").split.tolist() == [0] * 5 + [1] * 2 + [2]


def test_npz_key_roles(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=X, alphabet=np.arange(5) % 2, who=np.array(list("vwxyz")), w=np.arange(5.0))
    data = load(tmp_path / "a.npz", label="alphabet", row_id="who", weight="w")
    assert data.label.tolist() == [0, 1, 0, 1, 0]
    assert data.names.tolist() == list("vwxyz")
    assert data.weight.tolist() == [0, 1, 2, 3, 4]
    assert load(tmp_path / "a.npz", label="none").label is None
    with pytest.raises(DataError, match="Did you mean 'alphabet'"):
        load(tmp_path / "a.npz", label="alphabeth")


def test_npz_class_names_name_the_numbers_of_the_labels(tmp_path: Path) -> None:
    names = np.array(["zebra", "ant", "mole", "bee"])
    labels = np.array([3, 0, 0, 1, 3])  # no row is a mole
    np.savez(tmp_path / "a.npz", pixels=X, species=labels, class_names=names)
    data = load(tmp_path / "a.npz", label="species")
    assert (data.label.tolist(), data.schema.classes) == (labels.tolist(), tuple(names))
    assert data.label_name == "species"
    assert load(tmp_path / "a.npz", label="species", schema=data.schema).label.tolist() == labels.tolist()
    np.savez(tmp_path / "a.npz", x=X, y=names[labels], class_names=names)  # the labels may be the names themselves
    data = load(tmp_path / "a.npz")
    assert (data.label.tolist(), data.schema.classes, data.label_name) == (labels.tolist(), tuple(names), "label")
    np.savez(tmp_path / "a.npz", x_train=X, y_train=labels, x_test=X[:1], y_test=labels[1:2], class_names=names)
    data = load(tmp_path / "a.npz")
    assert (data.label.tolist(), data.schema.classes) == ([*labels.tolist(), 0], tuple(names))
    np.savez(tmp_path / "a.npz", x=X, y=labels, class_names=names[:3])
    with pytest.raises(DataError, match="label '3' has no name among the 3 class names"):
        load(tmp_path / "a.npz")


def test_unclear_keys_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=X, second=X)
    with pytest.raises(DataError, match="first, second"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=X, images=X)
    with pytest.raises(DataError, match="x, images"):
        load(tmp_path / "a.npz")


class Trap:
    """An object whose unpickling leaves a mark."""

    def __reduce__(self):
        return (open, (str(self.mark), "w"))

    def __init__(self, mark: Path) -> None:
        self.mark = mark


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_pickled_objects_are_refused_and_never_opened(tmp_path: Path, ending: str) -> None:
    objects = np.array([[Trap(tmp_path / "mark"), 1]], dtype=object)
    path = tmp_path / f"a.{ending}"
    np.save(path, objects, allow_pickle=True) if ending == "npy" else np.savez(path, x=objects)
    with pytest.raises(DataError, match="never unpickles"):
        load(path)
    assert not (tmp_path / "mark").exists()


def npy(descr: str, shape: str, body: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("'<f8'", "(1000000000000, 8)"), "declares 64000000000000 bytes of data, 0 bytes follow"),
        (npy("'<f8'", "(2, 2)", bytes(31)), "declares 32 bytes of data, 31 bytes follow"),
        (npy("'<f8'", "(2, 2)", bytes(40)), "declares 32 bytes of data, 40 bytes follow"),
        (npy("'<f8'", "(-2, -2)", bytes(32)), "negative dimensions"),
        (npy("'<f8'", f"({'1, ' * 65})", bytes(8)), "maximum supported dimension"),
        (npy("'<c16'", "(1, 1)", bytes(16)), "values of type '<c16'"),
        (npy("'<M8[s]'", "(1, 1)", bytes(8)), "values of type"),
        (npy("[('a', '<f8')]", "(1, 1)", bytes(8)), "values of type"),
        (npy("'|V0'", "(1, 1)"), "values of type"),
        (npy("'<f8'", "__import__('os').getcwd()", b""), "malformed node"),
        (npy("'<f8'", "(" * 3000 + ")" * 3000), "Cannot parse header"),
        (npy("'|b1'", "(1, 2)", b"\x01\x07"), "neither 0 nor 1"),
        (b"\x93NUMPY\x01\x00\xff\xff", "expected 65535 bytes got 0"),
        (b"\x93NUMPY\x09\x00", "array header length"),
        (b"\x93NUM", "reading magic string"),
        (b"", "is empty"),
    ],
)
def test_lying_npy_headers(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "a.npy")


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "a/../../x.npy", "..\\x.npy", "C:\\x.npy"])
def test_a_member_name_that_leaves_the_file_writes_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    load(archive(folder / "a.npz", {name: npy("'|u1'", "(1, 1)", b"\1")}))
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.npz"]


def test_other_hostile_archives(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no item named"):
        load(archive(tmp_path / "a.npz", {"readme.txt": b"hello"}))
    packed = archive(tmp_path / "a.npz", {"x.npy": npy("'|u1'", "(1, 1)", b"\1")}, zipfile.ZIP_LZMA)
    assert load(packed).x.shape == (1, 1)
    with pytest.raises(DataError, match="declares 80 bytes"):
        load(archive(tmp_path / "a.npz", {"x.npy": npy("'<f8'", "(2, 5)", b"\1")}))


def test_what_files_unpack_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bound for all that is packed, and for what is read whole."""
    idx = b"\0\0\x08\x02" + struct.pack(">II", 1000, 1000) + bytes(1_000_000)
    market = b"%%MatrixMarket matrix array real general\n" + b"% \n" * 333_333 + b"2 1\n1\n2\n"
    lines, packed = b'{"a":1}\n' * 125_000, b"a,b\n" + b"1,2\n" * 249_999
    files = {"t.csv.gz": packed, "t.txt.gz": b"ab c\n" * 200_000, "t.mtx.gz": market, "t.jsonl.gz": lines}
    files |= {"t.jsonl": lines, "t-idx2-ubyte.gz": idx, "t.idx": idx}
    for name, data in files.items():
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    archive(tmp_path / "t.npz", {"x.npy": npy("'|u1'", "(1000, 1000)", bytes(1_000_000))})
    archive(tmp_path / "t.ods", {"content.xml": bytes(1_000_000)})
    monkeypatch.setattr("latens.runtime.file_limits.MAX_BYTES", 999_999)
    for name in (*files, "t.npz", "t.ods"):
        with pytest.raises(ResourceError, match="holds more than 999999 bytes"):
            load(tmp_path / name)


def test_an_archive_that_lies_about_sizes(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"x.npy": npy("'|u1'", "(10, 10)", bytes(100))})
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02") + 24
    raw[at : at + 4] = struct.pack("<I", 2**31)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="claims 2147483648 bytes, more than the file can hold"):
        load(path)


def test_mutated_files_load_or_say_why(tmp_path: Path) -> None:
    """500 damaged copies: every one gives an array of numbers or a `DataError` (or `ResourceError`)."""
    rng = np.random.default_rng(5)
    buffers = {"npy": io.BytesIO(), "npz": io.BytesIO()}
    np.save(buffers["npy"], X)
    np.savez_compressed(buffers["npz"], x=X, y=np.arange(5))
    outcomes = {"read": 0, "refused": 0}
    for ending, buffer in buffers.items():
        for _ in range(250):
            raw = bytearray(buffer.getvalue())
            for at in rng.integers(0, len(raw), rng.integers(1, 6)):
                raw[at] = rng.integers(0, 256)
            cut = len(raw) if rng.random() < 0.7 else int(rng.integers(0, len(raw)))
            path = tmp_path / f"m.{ending}"
            path.write_bytes(raw[:cut])
            try:
                assert read_path(path, ColumnRoles()).x.dtype.kind in "biufSU"
                outcomes["read"] += 1
            except (DataError, ResourceError):
                outcomes["refused"] += 1
    assert sum(outcomes.values()) == 500
    assert min(outcomes.values()) > 20


def test_an_array_before_an_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"x.npy": npy("'|u1'", "(1, 1)", b"\1")})
    path.write_bytes(npy("'|u1'", "(1, 1)", b"\1") + path.read_bytes())
    with pytest.raises(DataError, match="an array lies before"):
        load(path)


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
