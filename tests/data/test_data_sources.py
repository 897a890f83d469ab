"""`load`: names, local copies, downloads, and every refusal that belongs to no format."""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from latens.data import load, loading
from latens.errors import DataError, ResourceError, UsageError


def test_digits() -> None:
    data = load("digits")
    assert (data.x.shape, data.x.dtype, data.schema.levels, data.x.max()) == ((1797, 8, 8), np.uint8, 17, 16)
    assert int(data.x.sum()) == 561718
    assert np.bincount(data.label).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert [len(data.subset(w)) for w in ("train", "validation", "test")] == [1404, 195, 198]
    assert load("digits", label="none").label is None


@pytest.mark.parametrize(
    ("name", "shape", "column", "classes"),
    [
        ("wine", (178, 13), "alcohol", ("class_0", "class_1", "class_2")),
        ("breast-cancer", (569, 30), "mean radius", ("malignant", "benign")),
        ("iris", (150, 4), "sepal length (cm)", ("setosa", "versicolor", "virginica")),
    ],
)
def test_tables(name: str, shape: tuple[int, int], column: str, classes: tuple[str, ...]) -> None:
    data = load(name)
    assert (data.x.shape, data.schema.kind, data.schema.classes) == (shape, "real", classes)
    assert data.schema.columns[0].name == column
    train = data.x[data.subset("train")].astype(float)
    assert data.schema.columns[0].shift == pytest.approx(train[:, 0].mean(), rel=1e-6)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype("u1").tobytes()


def contents() -> dict[str, bytes]:
    train, test = np.arange(24).reshape(6, 2, 2), np.arange(8).reshape(2, 2, 2) + 100
    parts = (train, np.arange(6), test, np.array([9, 8]))
    return {name: gzip.compress(idx(part), mtime=0) for name, part in zip(loading._IDX_FILES, parts)}


def test_local_copies_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATENS_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(loading, "download", lambda name: pytest.fail("nothing may be downloaded"))
    for folder in (tmp_path / "data" / "mnist", tmp_path / "elsewhere" / "fashion_mnist"):
        folder.mkdir(parents=True)
        for name, content in contents().items():
            (folder / name).write_bytes(content)
    data = load("mnist")
    assert data.x.reshape(-1).tolist() == [*range(24), *range(100, 108)]
    assert (data.split[6:].tolist(), data.name) == ([2, 2], "mnist")
    assert load("fashion-mnist").x.tolist() == data.x.tolist()


def test_downloads_are_checked_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENS_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    files, asked = contents(), []

    def fetch(url: str, known_hash: str, fname: str, path: Path) -> str:
        asked.append((url, known_hash))
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(files[fname])
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", fetch)
    data = load("mnist")
    assert data.label.tolist() == [0, 1, 2, 3, 4, 5, 7, 6]
    assert data.schema.classes == ("0", "1", "2", "3", "4", "5", "8", "9")
    assert [url.rsplit("/", 1)[1] for url, _ in asked] == list(loading._IDX_FILES)
    assert all(url.startswith("https://") and known_hash.startswith("sha256:") for url, known_hash in asked)
    assert all(len(sha) == 64 for _, hashes in loading._DOWNLOADS.values() for sha in hashes)


def test_a_cached_file_with_the_right_hash_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pooch, on files that are already there; one byte more and it would have to fetch."""
    import pooch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENS_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    hashes = tuple(hashlib.sha256(content).hexdigest() for content in contents().values())
    monkeypatch.setitem(loading._DOWNLOADS, "mnist", ("https://data.invalid/", hashes))
    folder = tmp_path / "cache" / "mnist"
    folder.mkdir(parents=True)
    for name, content in contents().items():
        (folder / name).write_bytes(content)
    assert len(load("mnist")) == 8
    (folder / loading._IDX_FILES[0]).write_bytes(b"something else")
    with pytest.raises(DataError, match=r"could not be downloaded.*into \./data/mnist"):
        load("mnist")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("digist", "Did you mean 'digits'"),
        ("./nowhere.npz", "no such file or folder"),
        ("bad\0name", "no such file"),
        ("x" * 5000, "no such file"),
    ],
)
def test_specs_that_lead_nowhere(spec: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(spec)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.pkl", "pickle can run code"),
        ("a.h5ad", "file signature not found"),
        ("a.mat", "this format is not read"),
        ("a.xlsx", "cannot be read: calamine"),
        ("a.png", "Put it in a folder"),
        ("a.zip", "this format is not read"),
        ("a.npz", "not a zip file"),
        ("a.parquet", "cannot be read: parquet"),
        ("a-idx3-ubyte", "does not begin like an IDX"),
        ("a.xyz", "no known format. Known: .npy"),
    ],
)
def test_files_that_are_not_read(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04 something else")
    with pytest.raises(DataError, match=f"(?i){words}"):
        load(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.npy").write_bytes(b"x")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ResourceError, match="may not be read"):
        load(tmp_path / "a.npy")


def test_nan_names_row_id_and_column(tmp_path: Path) -> None:
    x = np.ones((5, 3)) * 0.5
    x[3, 1] = x[4, 0] = np.nan
    with pytest.raises(DataError, match=r"data, row 3 \(id 'd'\), column 1: holds NaN .*; 2 such cells") as caught:
        load(x, row_id=list("abcde"))
    assert (caught.value.exit_code, "--missing nan" in caught.value.fix) == (3, True)
    x[3, 1] = -np.inf
    with pytest.raises(DataError, match="row 3, column 1: holds -inf"):
        load(x, missing="nan")
    with pytest.raises(UsageError, match="'nan' \\(NaN is missing\\)"):
        load(x, missing="drop")


def test_names_of_roles_where_there_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match=r"no named columns, so no 'who'.*--id"):
        load(tmp_path / "a.npy", row_id="who")
    with pytest.raises(DataError, match="Its labels are known"):
        load("iris", label="petal")


def test_labels_from_a_file_beside_the_data(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2) + 0.5)
    np.save(tmp_path / "y.npy", np.array([5, 3, 5]))
    assert load(tmp_path / "x.npy", label=str(tmp_path / "y.npy")).label.tolist() == [1, 0, 1]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "shape", "anomalies"), [("6_cardio", (1831, 21), 176), ("30_satellite", (6435, 36), 2036)]
)
def test_adbench(shared_data: Path, name: str, shape: tuple[int, int], anomalies: int) -> None:
    path = shared_data / "data" / "adbench" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("no adbench beside the checkout")
    data = load(path)
    assert (data.x.shape, int((data.label == 1).sum()), data.schema.classes) == (shape, anomalies, ("0", "1"))


@pytest.mark.shared
def test_wine_quality_table(shared_data: Path) -> None:
    path = shared_data / "data" / "tabular" / "winequality-red.csv"
    if not path.is_file():
        pytest.skip("no tables beside the checkout")
    data = load(path, label="quality")
    assert (data.x.shape, data.schema.classes) == ((1599, 11), ("3", "4", "5", "6", "7", "8"))


@pytest.mark.parametrize("name", ["digits", "wine", "iris", "breast-cancer"])
def test_a_known_data_set_read_again_for_a_trained_model_is_the_same(name):
    first = load(name)
    again = load(name, schema=first.schema)
    np.testing.assert_array_equal(again.label, first.label)
    assert again.fingerprint == first.fingerprint
