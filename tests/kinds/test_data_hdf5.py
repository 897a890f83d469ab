"""HDF5: which dataset is the rows, and every file that must not be believed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latens.data import load
from latens.errors import DataError, ResourceError
from latens.kinds.numbers import hdf5

h5py = pytest.importorskip("h5py")
X = np.arange(12.0).reshape(4, 3) + 0.25


def write(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=value)
    return path


def refusal(path: Path, **options: Any) -> tuple[str, str, str]:
    with pytest.raises((DataError, ResourceError)) as caught:
        load(path, **options)
    error: Any = caught.value
    assert error.exit_code == (7 if isinstance(error, ResourceError) else 3)
    return error.message, error.where.removeprefix(str(path)), error.fix


@pytest.mark.parametrize("key", ["x", "X", "data", "images", "Features", "anything", "deep__inside__rows"])
def test_the_rows_are_found_by_name_or_because_they_are_alone(tmp_path: Path, key: str) -> None:
    path = write(tmp_path / "a.h5", **{key: X, "y": [2, 0, 2, 0], "scale": np.ones(3)})
    data = load(path)
    assert data.x.tolist() == X.tolist()
    assert (data.label.tolist(), data.schema.classes, data.name) == ([1, 0, 1, 0], ("0", "2"), "a")


def test_labels_ids_and_weights_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.hdf5", x=X, meta__kind=["b", "a", "", "b"], who=["p", "q", "r", "s"], w=np.array([1.0, 2, 0, 1])
    )
    data = load(path, label="meta/kind", row_id="who", weight="w")
    assert (data.label.tolist(), data.schema.classes) == ([1, 0, -1, 1], ("a", "b"))
    assert (data.names.tolist(), data.weight.tolist()) == (["p", "q", "r", "s"], [1, 2, 0, 1])
    assert refusal(path, label="meta/kinds")[::2] == ("has no key 'meta/kinds'.", "Did you mean 'meta/kind'?")


def test_training_and_test_parts_keep_their_split(tmp_path: Path) -> None:
    data = load(write(tmp_path / "a.h5", x_train=X, x_test=X[:1], y_train=[0, 1, 0, 1], y_test=[1]))
    assert data.split[4:].tolist() == [2]
    assert data.label.tolist() == [0, 1, 0, 1, 1]


@pytest.mark.parametrize(
    "options", [{"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}]
)
@pytest.mark.parametrize("dtype", ["bool", "uint8", ">i4", "float16", ">f8"])
def test_packed_data_of_every_type(tmp_path: Path, options: dict, dtype: str) -> None:
    x = np.arange(600).reshape(100, 6).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(7, 6), **options)
    store = hdf5.Store(tmp_path / "a.h5")
    assert np.array_equal(store["x"], x)
    assert store["x"].dtype == x.dtype.newbyteorder("=")
    store.close()


def test_several_candidates_are_listed(tmp_path: Path) -> None:
    message, _, fix = refusal(write(tmp_path / "a.h5", left=X, right=X, names=["a"]))
    assert message == "it is not clear which of its keys holds the rows: left, right."
    assert fix == "Name it x: file.create_dataset('x', data=rows), and its labels y; links are not followed."
    assert refusal(write(tmp_path / "b.h5", x=X, data=X))[0].endswith("holds the rows: x, data.")
    assert refusal(write(tmp_path / "c.h5"))[0].endswith("(there are none).")


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret.h5", x=X)
    path = write(tmp_path / "a.h5", y=[0, 1, 0, 1])
    with h5py.File(path, "a") as file:
        file["x"] = h5py.ExternalLink("secret.h5", "/x")
    message, _, fix = refusal(path)
    assert message == "it is not clear which of its keys holds the rows: y."
    assert fix.endswith("links are not followed.")
    with h5py.File(path, "a") as file:
        file["rows"] = X
        file["id"] = h5py.SoftLink("/x")
    assert refusal(path, row_id="id")[0] == "has no key 'id'."
    assert load(path).x.tolist() == X.tolist()
    store = hdf5.Store(path)
    with pytest.raises(DataError, match="has no dataset 'x'"):
        store.item("x")
    store.close()


def test_values_kept_in_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(X.tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=X.shape, dtype="f8", external=[(str(tmp_path / "raw.bin"), 0, X.nbytes)])
    expected = ("keeps its values in other files, which are not opened.", "[x]")
    assert refusal(tmp_path / "a.h5")[:2] == expected
    write(tmp_path / "source.h5", x=X)
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "source.h5"), "x", shape=X.shape)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    assert refusal(tmp_path / "b.h5")[:2] == expected


def test_other_types_are_refused(tmp_path: Path) -> None:
    records = np.zeros(4, [("a", "f4"), ("b", "i4")])
    write(tmp_path / "a.h5", x=X, y=records, z=X[:, 0] + 1j)
    fix = "Store plain numbers: create_dataset('x', data=np.asarray(x, 'float32'))."
    assert refusal(tmp_path / "a.h5") == ("holds records of several fields, not numbers.", "[y]", fix)
    assert refusal(tmp_path / "a.h5", label="z") == ("holds complex numbers, not numbers.", "[z]", fix)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = X
        file.create_dataset("y", data=np.array([file["x"].ref] * 4), dtype=h5py.ref_dtype)
        file.create_dataset("t", data=[["a"], ["b"]])
    assert refusal(tmp_path / "b.h5")[0] == "holds references or lists, not numbers."
    assert refusal(tmp_path / "b.h5", label="t")[0] == "labels must have the shape (4,), not (2,)."


def test_a_shape_that_the_file_cannot_fill_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(2**20, 2**10), dtype="f4", chunks=(64, 64), compression="gzip")
    message, where, _ = refusal(tmp_path / "a.h5")
    assert (message, where) == ("its shape declares 4 GiB, but 0 bytes are stored.", "[x]")


@pytest.mark.parametrize("stream", [None, True])
def test_rows_that_were_never_stored_are_not_gone_through(tmp_path: Path, stream: bool | None) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(10**15, 4), dtype="f4", chunks=(64, 4))
    message, _, fix = refusal(tmp_path / "a.h5", stream=stream)
    assert "declares 1" in message
    assert fix


def test_a_group_inside_itself_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", g__x=X)
    with h5py.File(path, "a") as file:
        file["g/again"] = file["g"]
    assert load(path).x.tolist() == X.tolist()


def test_cut_files_and_damaged_chunks_are_refused(tmp_path: Path) -> None:
    """The structure is left alone: on damaged structures the C library itself may crash, as docs/data.md says."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(800.0).reshape(100, 8) + 0.25, chunks=(100, 8), compression="gzip")
        chunk = file["x"].id.get_chunk_info(0)
    content = path.read_bytes()
    for length in range(8, len(content) - 1, 97):
        path.write_bytes(content[:length])
        assert refusal(path)[0].startswith("cannot be read ("), length
    for at in range(0, chunk.size, 7):
        damage = bytearray(content)
        damage[chunk.byte_offset + at] ^= 0xFF
        path.write_bytes(damage)
        message, where, _ = refusal(path)
        assert (message[:15], where) == ("cannot be read ", "[x]"), at


def test_without_h5py_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", x=X)
    monkeypatch.setitem(sys.modules, "h5py", None)
    message, _, fix = refusal(path)
    assert message == "reading HDF5 needs h5py, which is not installed."
    assert fix == "pip install 'latens[hdf5]' (in a clone: pip install '.[hdf5]'), or write the data as .npz."
