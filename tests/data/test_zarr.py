"""Zarr stores: the rows, names and splits of the same rows in memory, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

import latens
from latens.errors import DataError

zarr = pytest.importorskip("zarr")

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
Y = np.where(X[:, 0] > 0, "high", "low")


def store(path: Path, **arrays: np.ndarray) -> Path:
    group = zarr.open_group(str(path), mode="w")
    for name, array in arrays.items():
        group.create_array(name, data=array, chunks=(64, *array.shape[1:]))
    return path


def test_an_array_is_its_rows_in_memory(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), data=X, chunks=(64, 4))
    np.save(tmp_path / "a.npy", X)
    found, plain = latens.load_data(str(tmp_path / "a.zarr")), latens.load_data(str(tmp_path / "a.npy"), stream=True)
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.split, latens.load_data(str(tmp_path / "a.npy")).split)
    assert found.schema == plain.schema


def test_a_group_has_labels_and_streams_the_same_rows(tmp_path: Path) -> None:
    path = store(tmp_path / "b.zarr", x=X, y=Y.astype(np.dtypes.StringDType()), other=X[:, :2])
    found = latens.load_data(str(path))
    np.testing.assert_array_equal(found.x, X)
    assert found.label is not None
    assert found.schema.classes == ("high", "low")
    np.testing.assert_array_equal(np.array(found.schema.classes)[found.label], Y)
    np.testing.assert_array_equal(latens.load_data(f"{path}:/other").x, X[:, :2])
    streamed = latens.load_data(str(path), stream=True)
    assert streamed.schema == found.schema
    assert streamed.count("train") == found.count("train")


def test_what_is_no_store_of_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.zarr").mkdir()
    with pytest.raises(DataError, match="no Zarr store that can be read"):
        latens.load_data(str(tmp_path / "c.zarr"))
    path = store(tmp_path / "d.zarr", first=X, second=X)
    with pytest.raises(DataError, match="not clear which of its keys holds the rows: first, second"):
        latens.load_data(str(path))
    with pytest.raises(DataError, match=r"has no array 'third'"):
        latens.load_data(f"{path}:/third")
    (store(tmp_path / "e.zarr", x=X) / "x" / "c" / "0" / "0").write_bytes(b"damaged")
    with pytest.raises(DataError):
        latens.load_data(str(tmp_path / "e.zarr"))


def test_a_store_that_changed_is_known(tmp_path: Path) -> None:
    path = store(tmp_path / "f.zarr", x=X)
    first = latens.load_data(str(path), stream=True).fingerprint
    assert latens.load_data(str(path), stream=True).fingerprint == first
    store(path, x=X + 1)
    assert latens.load_data(str(path), stream=True).fingerprint != first
