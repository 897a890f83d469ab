"""Other formats whose rows stay on disk: the rows, names and labels of the same data in memory, and what is refused."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from latens.data import load
from latens.data.formats import hdf5, pictures, scanned
from latens.data.streams.dataset import StreamDataset
from latens.errors import DataError, ResourceError
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare

h5py = pytest.importorskip("h5py")

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "weight")


def same(a, b):
    return (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))


def same_rows(streamed, memory):
    """The sample, which is every row, and the rows of all blocks are those in memory."""
    assert isinstance(streamed, StreamDataset)
    assert not isinstance(memory, StreamDataset)
    parts = list(streamed.stream.parts())
    for name in FIELDS:
        expected = getattr(memory, name)
        expected = np.asarray(expected) if name == "x" else expected
        assert same(getattr(streamed, name), expected), name
        together = [getattr(part, name) for part in parts]
        assert same(None if together[0] is None else np.concatenate(together), expected), name
    assert (streamed.schema.kind, streamed.schema.classes) == (memory.schema.kind, memory.schema.classes)


def numbers(n=500, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 4)).astype(np.float32), rng.choice(["red", "blue"], n)


# --- Arrow ---


def saved_set(folder, table, shards=2, batch=60):
    """What `datasets.save_to_disk` writes: streams of record batches, and two files that describe them."""
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(table)), shards)):
        part = table.slice(rows[0], len(rows))
        path = folder / f"data-{i:05d}-of-{shards:05d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part, max_chunksize=batch)
    features = {name: {"dtype": "float32", "_type": "Value"} for name in table.column_names}
    features["label"] = {"names": ["cat", "dog"], "_type": "ClassLabel"}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "state.json").write_text(json.dumps({"_data_files": []}))
    return folder


@pytest.fixture
def table():
    x, _ = numbers()
    codes = np.random.default_rng(1).integers(0, 2, len(x))
    return pa.table({**{f"c{j}": x[:, j] for j in range(4)}, "id": np.arange(500) * 3, "label": codes})


def test_a_hugging_face_set_on_disk_is_its_table(tmp_path, table, monkeypatch):
    monkeypatch.setattr(scanned, "BLOCK_ROWS", 130)
    folder = saved_set(tmp_path / "set", table)
    streamed = load(folder, stream=True, row_id="id", label="label")
    assert streamed.stream.source.table.rows.tolist() == [130, 120, 130, 120]
    same_rows(streamed, load(table.to_pandas(), row_id="id", label="label"))
    same_rows(streamed, load(folder, row_id="id", label="label"))


# --- HDF5 and AnnData ---


@pytest.mark.parametrize("options", [{}, {"chunks": (64, 4), "compression": "gzip"}], ids=["plain", "packed"])
def test_rows_of_hdf5_are_the_array(tmp_path, monkeypatch, options):
    monkeypatch.setattr(hdf5, "BLOCK_ROWS", 150)
    x, label = numbers()
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x, **options)
        file.create_dataset("y", data=label.tolist(), dtype=h5py.string_dtype())
        file.create_dataset("w", data=np.linspace(0, 1, 500))
        file.create_dataset("group/other", data=x[:, :3] + 1)
    streamed = load(path, stream=True, weight="w")
    same_rows(streamed, load(path, weight="w"))
    assert streamed.stream.source.table.rows.tolist() == ([150] * 3 + [50] if not options else [128] * 3 + [116])
    inside = load(f"{path}:/group/other", stream=True)
    assert same(inside.x, x[:, :3] + 1)
    assert same(inside.label, streamed.label)
    assert same(load(f"{path}:/group/other").x, x[:, :3] + 1)
    with pytest.raises(DataError, match="has no dataset 'group/nothing'"):
        load(f"{path}:/group/nothing")


def annotated(path, matrix, labels, sparse):
    """An AnnData file, after the published description of the format."""
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        if sparse is None:
            file.create_dataset("X", data=matrix)
        else:
            import scipy.sparse

            made = getattr(scipy.sparse, f"{sparse}_matrix")(matrix)
            group = file.create_group("X")
            group.attrs["encoding-type"], group.attrs["shape"] = f"{sparse}_matrix", np.array(matrix.shape)
            for name in ("data", "indices", "indptr"):
                group.create_dataset(name, data=getattr(made, name))
        for name, index in (("obs", "cell"), ("var", "gene")):
            group = file.create_group(name)
            group.attrs["_index"] = index
            count = matrix.shape[0 if name == "obs" else 1]
            group.create_dataset(index, data=[f"{index}{i}" for i in range(count)], dtype=h5py.string_dtype())
        file["obs"].create_dataset("kind", data=labels.tolist(), dtype=h5py.string_dtype())
    return path


@pytest.mark.parametrize("sparse", [None, "csr"])
def test_rows_of_annotated_data_are_the_matrix(tmp_path, monkeypatch, sparse):
    monkeypatch.setattr(hdf5, "BLOCK_ROWS", 90)
    rng = np.random.default_rng(2)
    counts = np.where(rng.random((400, 6)) < 0.6, 0, rng.negative_binomial(1.0, 0.02, (400, 6))).astype(np.float32)
    path = annotated(tmp_path / "cells.h5ad", counts, rng.choice(["B", "T"], 400), sparse)
    streamed, memory = load(path, stream=True, label="kind"), load(path, label="kind")
    same_rows(streamed, memory)
    assert streamed.schema.kind == "counts"
    for one, other in zip(streamed.schema.columns, memory.schema.columns):
        assert one.name == other.name
        np.testing.assert_allclose((one.shift, one.scale), (other.shift, other.scale), rtol=1e-12)
    assert streamed.stream.source.table.rows.tolist() == [90] * 4 + [40]


def test_hdf5_that_cannot_be_streamed_says_what_to_do(tmp_path, monkeypatch):
    x, label = numbers(64)
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x, chunks=(1, 4), compression="gzip")
    streamed = load(path, stream=True)
    assert same(streamed.x, x)
    with pytest.raises(DataError, match=r"packed in chunks of 1 rows, which takes far longer"):
        prepare(get_recipe("default").config, streamed)
    path = tmp_path / "parts.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x_train", data=x)
        file.create_dataset("x_test", data=x)
    with pytest.raises(
        DataError, match=r"holds rows for training and others apart. Name one array: .*parts.h5:/x_train"
    ):
        load(path, stream=True)
    assert same(load(f"{path}:/x_train", stream=True).x, x)
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x, chunks=(64, 4))
    monkeypatch.setattr(hdf5, "WINDOW", 1000)
    with pytest.raises(DataError, match="is stored in chunks of 0 MB; a window holds"):
        load(path, stream=True)
    with pytest.raises(DataError, match=r"lies column by column \(CSC\).*tocsr"):
        load(annotated(tmp_path / "cells.h5ad", np.round(x), label, "csc"), stream=True)
    with pytest.raises(DataError, match="is not a table that is read where it lies"):
        load(f"file://{path}", stream=True)


# --- pictures ---


def picture(value, side=6, kind="png", mode="L"):
    rng = np.random.default_rng(value)
    shape = (side, side) if mode == "L" else (side, side, 3)
    made = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(made, kind)
    return made.getvalue()


def test_folders_of_pictures_are_what_they_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "BLOCK_FILES", 16)
    for i in range(90):
        (tmp_path / f"class{i % 3}").mkdir(exist_ok=True)
        (tmp_path / f"class{i % 3}" / f"{i}.png").write_bytes(picture(i, mode="RGB"))
    (tmp_path / "notes.txt").write_text("nothing")
    streamed = load(tmp_path, stream=True)
    same_rows(streamed, load(tmp_path))
    assert streamed.schema.shape == (6, 6, 3)
    assert len(streamed.stream.source.table) == 6
    assert load(tmp_path, stream=True, label="none").label is None
    (tmp_path / "class1" / "40.png").write_bytes(picture(40, side=7, mode="RGB"))
    assert load(tmp_path, stream=True, size=5).schema.shape == (5, 5, 3)
    (tmp_path / "class1" / "40.png").write_bytes(b"no picture")
    same_rows(load(tmp_path, stream=True), load(tmp_path))
    (tmp_path / "class1" / "40.png").write_bytes(picture(40, mode="RGB")[:-20])
    with pytest.raises(DataError, match=r"class1/40.png: is cut off. Remove or mend them"):
        load(tmp_path, stream=True)


def tar_of(path, samples):
    with tarfile.open(path, "w") as tar:
        for name, content in samples:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_tars_of_pictures_are_their_pixels_and_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "BLOCK_FILES", 16)
    for shard in range(2):
        keys = range(40 * shard, 40 * shard + 40)
        samples = [(f"{i:04d}.png", picture(i)) for i in keys], [(f"{i:04d}.cls", str(i % 5).encode()) for i in keys]
        tar_of(tmp_path / f"shard-{shard}.tar", [member for pair in zip(*samples) for member in pair])
    streamed = load(tmp_path, stream=True)
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(picture(i)))) for i in range(80)])
    assert same(streamed.x, pixels)
    assert same(streamed.label, (np.arange(80) % 5).astype(np.int32))
    assert streamed.names[[0, 79]].tolist() == ["shard-0.tar:0", "shard-1.tar:39"]
    same_rows(streamed, load(tmp_path))
    assert len(streamed.stream.source.table) == 6
    tar_of(tmp_path / "shard-1.tar", [("a.png", picture(1)), ("a.cls", b"1"), ("b.png", picture(2))])
    with pytest.raises(DataError, match=r"shard-1.tar: the key 'b' has .png, others have .cls, .png"):
        load(tmp_path, stream=True)
    tar_of(tmp_path / "shard-1.tar", [("a.png", picture(1, side=5)), ("a.cls", b"1")])
    with pytest.raises(DataError, match=r"shard-1.tar, rows 0 to 0: a.png: 5 x 5 grey, 0000.png is 6 x 6 grey"):
        load(tmp_path, stream=True)
    (tmp_path / "shard-0.tar").unlink()
    tar_of(tmp_path / "shard-1.tar", [("a.json", b"{}"), ("a.cls", b"1")])
    with pytest.raises(DataError, match=r"a key has 0 pictures among .cls, .json. Give every key one of .png"):
        load(tmp_path, stream=True)
    (tmp_path / "shard-1.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(DataError, match=r"shard-1.tar: is not a readable tar"):
        load(tmp_path, stream=True)


ANSWERS = {
    "none": ("import time; time.sleep(60)", ResourceError, r"the object store gave no answer in 0\.5 seconds"),
    "an end": ("import os; os.abort()", ResourceError, "its reader ended with -6"),
    "no network": ("raise OSError('NETWORK_CONNECTION')", ResourceError, r"cannot be read \(NETWORK_CONNECTION\)"),
    "no address": ("class ArrowInvalid(Exception): 0\nraise ArrowInvalid('no bucket')", DataError, r"\(no bucket\)"),
}
