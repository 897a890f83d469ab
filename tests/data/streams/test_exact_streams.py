"""Small streams of pictures and of shards with labels that are missing: every number that the pass finds."""

import io
import tarfile

import numpy as np
import pytest
import scipy.sparse
from PIL import Image

from latens.data import load
from latens.data.formats import hdf5, pictures
from latens.data.formats import npy as npy_shards
from latens.data.rows import row_keys
from latens.errors import DataError

h5py = pytest.importorskip("h5py")

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (7, 3, 2), np.uint8)
LABELS = ["b", "a", "b", "", "a", "b", "a"]


def png(pixels):
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "png")
    return made.getvalue()


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("labelled", [True, False])
def test_two_tars_in_blocks_of_two(tmp_path, monkeypatch, labelled):
    monkeypatch.setattr(pictures, "BLOCK_FILES", 2)
    for name, rows in (("a", range(3)), ("b", range(3, 7))):
        members = [(f"{i}.png", png(PIXELS[i])) for i in rows]
        members += [(f"{i}.cls", LABELS[i].encode()) for i in rows] if labelled else []
        tar_of(tmp_path / f"{name}.tar", [*members, (".hidden.txt", b"nothing")])
    data = load(tmp_path, stream=True)
    np.testing.assert_array_equal(data.x, PIXELS)
    assert data.stream.source.table.rows.tolist() == [2, 1, 2, 2]
    assert data.stream.source.table.file.tolist() == [0, 0, 1, 1]
    assert data.names.tolist() == ["a.tar:0", "a.tar:1", "a.tar:2", "b.tar:0", "b.tar:1", "b.tar:2", "b.tar:3"]
    if labelled:
        assert data.schema.classes == ("a", "b")
        assert data.label.tolist() == [1, 0, 1, -1, 0, 1, 0]
        assert data.index.unlabelled == 1
        assert load(tmp_path, stream=True, label="none").label is None
    else:
        assert data.label is None
        assert data.index.unlabelled == 7


def test_tars_say_what_does_not_fit(tmp_path):
    several = [(f"0.{ending}", b"x") for ending in ("txt", "json", "cls", "id", "more")]
    tar_of(tmp_path / "a.tar", [("0.png", png(PIXELS[0])), *several, ("1.png", png(PIXELS[1])), ("1.cls", b"")])
    words = r"the key '1' has \.cls, \.png, others have \.cls, \.id, \.json, \.more, \.png, \.txt\. Give every key"
    with pytest.raises(DataError, match=words):
        load(tmp_path, stream=True)
    tar_of(tmp_path / "a.tar", [("0.png", png(PIXELS[0])), ("0.cls", b"x"), ("1.png", png(PIXELS[1]))])
    with pytest.raises(DataError, match=r"a\.tar: the key '1' has \.png, others have \.cls, \.png\. Give every key"):
        load(tmp_path, stream=True)
    with pytest.raises(DataError, match=r"a tar has no column 'kind'\. Labels are the members that end in \.cls\."):
        load(tmp_path, stream=True, label="kind")
    tar_of(tmp_path / "a.tar", [("0.png", png(PIXELS[0])), ("1.png", png(PIXELS[1][:2]))])
    with pytest.raises(DataError, match=r"1\.png: 2 x 2 grey, 0\.png is 2 x 3 grey"):
        load(tmp_path, stream=True)


def test_a_folder_in_blocks_of_three(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "BLOCK_FILES", 3)
    for i, label in enumerate(LABELS):
        (tmp_path / (label or "c")).mkdir(exist_ok=True)
        (tmp_path / (label or "c") / f"{i}.png").write_bytes(png(PIXELS[i]))
    data = load(tmp_path, stream=True)
    order = [1, 4, 6, 0, 2, 5, 3]
    np.testing.assert_array_equal(data.x, PIXELS[order])
    assert data.names.tolist() == [f"{LABELS[i] or 'c'}/{i}.png" for i in order]
    assert data.label.tolist() == [0, 0, 0, 1, 1, 1, 2]
    np.testing.assert_array_equal(data.row_id, row_keys(data.names))
    assert data.stream.source.table.rows.tolist() == [3, 3, 1]
    with pytest.raises(DataError, match=r"a folder has no column 'kind'\. Its labels are the names of its sub-folders"):
        load(tmp_path, stream=True, label="kind")


def hdf5_of(path, x, **more):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x)
        for name, values in more.items():
            file.create_dataset(name, data=values)


def test_rows_of_two_files_in_blocks_of_so_many_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 4 * 3 * 8)  # four rows of three numbers
    x, label = RANDOM.normal(size=(11, 3)), RANDOM.integers(0, 3, 11)
    hdf5_of(tmp_path / "a.h5", x[:5], y=label[:5])
    hdf5_of(tmp_path / "b.h5", x[5:], y=label[5:])
    data = load(tmp_path, stream=True)
    np.testing.assert_array_equal(data.x, x.astype(np.float32))
    np.testing.assert_array_equal(data.label, label)
    assert data.stream.source.table.rows.tolist() == [4, 1, 4, 2]
    assert load(tmp_path, stream=True, label="none").label is None
    others = ((x[5:, :2], label[5:], r"other columns, type, labels or ids than a\.h5"), (x[5:], label[4:], "labels"))
    for number, (rows, labels, words) in enumerate(others):
        (tmp_path / f"{number}").mkdir()
        hdf5_of(tmp_path / f"{number}" / "a.h5", x[:5], y=label[:5])
        hdf5_of(tmp_path / f"{number}" / "b.h5", rows, y=labels)
        with pytest.raises(DataError, match=words):
            load(tmp_path / f"{number}", stream=True)


def test_rows_of_a_sparse_matrix(tmp_path):
    matrix = scipy.sparse.csr_matrix(np.where(RANDOM.random((9, 4)) < 0.5, 0.0, RANDOM.normal(size=(9, 4))))
    with h5py.File(tmp_path / "cells.h5ad", "w") as file:
        file.attrs["encoding-type"] = "anndata"
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", np.array([9, 4])
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(matrix, name))
        for name, count in (("obs", 9), ("var", 4)):
            group = file.create_group(name)
            group.attrs["_index"] = "index"
            group.create_dataset("index", data=[f"{name}{i}" for i in range(count)], dtype=h5py.string_dtype())
    data = load(tmp_path / "cells.h5ad", stream=True)
    np.testing.assert_allclose(data.x, matrix.toarray(), rtol=1e-6)
    assert data.names.tolist() == [f"obs{i}" for i in range(9)]
    assert [column.name for column in data.schema.columns] == [f"var{i}" for i in range(4)]


def test_labels_that_are_missing_in_several_blocks_add_up(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 4)
    x, label = RANDOM.normal(size=(40, 3)).astype(np.float32), np.array(["red", "blue", "", "red", ""] * 8)
    weight = RANDOM.uniform(0.5, 2.0, 40).astype(np.float32)
    for i, rows in enumerate(np.array_split(np.arange(40), 2)):
        np.save(tmp_path / f"{i}.npy", x[rows])
        np.save(tmp_path / f"{i}.label.npy", label[rows])
        np.save(tmp_path / f"{i}.weight.npy", weight[rows])
    data = load(tmp_path, stream=True)
    index, train = data.index, data.split == 0
    assert index.unlabelled == 16
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.label, [1, 0, -1, 1, -1] * 8)
    np.testing.assert_allclose(data.weight, weight)
    blocks = np.arange(40) // 4
    for split in range(3):
        np.testing.assert_array_equal(index.counts[:, split], np.bincount(blocks, data.split == split, 10))
    for code in range(2):
        np.testing.assert_array_equal(index.labels[:, code], np.bincount(blocks, train & (data.label == code), 10))
