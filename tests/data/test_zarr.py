"""Zarr stores: the rows, names and splits of the same rows in memory, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

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


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A store whose array x says something else of itself."""
    file = next(path / "x" / name for name in ("zarr.json", ".zarray") if (path / "x" / name).exists())
    said = json.loads(file.read_bytes())
    change(said)
    file.write_text(json.dumps(said))
    return path


def chunked(said: dict[str, Any], *shape: int) -> None:
    """Other chunks, in metadata of version 3 or 2."""
    grid = said["chunk_grid"]["configuration"] if "chunk_grid" in said else said
    grid["chunk_shape" if "chunk_grid" in said else "chunks"] = shape


LIES = {
    "shape of 10^15 rows": (lambda m: m.update(shape=[10**15, 4]), r"declares 1\.49e\+07 GiB, of which \d+ bytes"),
    "shape below 0": (lambda m: m.update(shape=[-5, 4]), "no Zarr store that can be read"),
    "chunks of 0": (lambda m: chunked(m, 0, 4), r"is stored in chunks of shape \(0, 4\)"),
    "chunks of 2 GB": (lambda m: chunked(m, 2**27, 4), "is stored in chunks of 2048 MB"),
    "other type": (lambda m: m.update({"data_type" if "data_type" in m else "dtype": "<f999"}), "no Zarr store"),
}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("lie", LIES)
def test_metadata_that_lie(version: Literal[2, 3], lie: str, tmp_path: Path) -> None:
    change, message = LIES[lie]
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    group.create_array("x", data=X, chunks=(64, 4))
    path = rewritten(tmp_path / "a.zarr", change)
    for stream in (None, True):
        with pytest.raises(DataError, match=message) as caught:
            latens.load_data(str(path), stream=stream)
        assert caught.value.fix


@pytest.mark.parametrize("text", ["[]", "7", "null", '"x"', "[" * 100_000, ""])
def test_metadata_of_another_kind(text: str, tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", x=X)
    (path / "zarr.json").write_text(text)
    with pytest.raises(DataError, match="is no Zarr store that can be read"):
        latens.load_data(str(path))


def test_labels_that_were_never_stored_are_not_gone_through(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", x=X, y=np.arange(300) % 3)
    said = json.loads((path / "y" / "zarr.json").read_bytes()) | {"shape": [10**15]}
    (path / "y" / "zarr.json").write_text(json.dumps(said))
    with pytest.raises(DataError, match="its shape declares"):
        latens.load_data(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("place", ["x/c/0/0", "x/zarr.json", "zarr.json", "more"])
@pytest.mark.parametrize("kind", ["a symbolic link", "a named pipe"])
def test_a_store_of_plain_files_alone(place: str, kind: str, tmp_path: Path) -> None:
    """A link may lead to /dev/zero; here to the file itself, so that one that is followed does not fill the memory."""
    path, aside = store(tmp_path / "a.zarr", x=X), tmp_path / "aside"
    aside.touch()
    if (path / place).exists():
        (path / place).rename(aside)
    if kind == "a named pipe":
        os.mkfifo(path / place)
    else:
        (path / place).symlink_to(aside)
    with pytest.raises(DataError, match=f"is {kind}; a store holds plain files and folders") as caught:
        latens.load_data(str(path))
    assert caught.value.where == str(path / place)
    assert "cp -RL" in caught.value.fix


def test_a_chunk_larger_than_any_chunk(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", x=X)
    with (path / "x" / "c" / "0" / "0").open("wb") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(DataError, match=r"is a file of 20480 MB; a chunk may take 256 MB"):
        latens.load_data(str(path))
