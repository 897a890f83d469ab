"""Rows packed into shards keep what they are; shuffled, they are in another order; and how sorted rows are is told."""

import numpy as np
import pytest

from latens.cli.main import main
from latens.data import load
from latens.data.formats import npy as npy_shards
from latens.data.streams import dataset as stream_dataset
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.pack import pack
from latens.data.streams.sorted import stream_report
from latens.errors import DataError, RunFolderError

FIELDS = ("x", "row_id", "split", "label", "mask", "weight")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 50)
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 250 * 12)


def made(n=1000, **given):
    rng = np.random.default_rng(0)
    x = np.where(rng.random((n, 3)) < 0.1, np.nan, rng.standard_normal((n, 3)))
    label = np.array(["red", "green", ""])[rng.integers(0, 3, n)]
    return load(x, label=label, weight=rng.random(n), missing="nan", row_id=np.arange(n) + 7, **given)


def by_name(data):
    order = np.argsort([str(name) for name in data.names])
    found = {name: getattr(data, name) for name in FIELDS}
    return {name: None if values is None else values[order] for name, values in found.items()}


@pytest.mark.parametrize("shuffle", [False, True])
def test_packed_rows_are_what_they_were(tmp_path, shuffle):
    data = made()
    names = pack(data, tmp_path / "packed", shuffle=shuffle, shard_bytes=300 * 12)
    assert names == [f"part-{i:05d}.npy" for i in range(4)]
    again = load(tmp_path / "packed", missing="nan", schema=data.schema)
    ours, theirs = by_name(data), by_name(again)
    assert all(np.array_equal(ours[name], theirs[name]) for name in FIELDS)
    assert np.array_equal(again.names, data.names) is not shuffle
    assert sorted(again.names) == data.names.tolist()


def test_the_order_is_random_and_set_by_the_seed(tmp_path):
    data = made(4000)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        pack(data, tmp_path / name, shuffle=True, seed=seed, shard_bytes=1000 * 12)
    a, b, c = (load(tmp_path / name, missing="nan").names for name in "abc")
    assert a.tolist() == b.tolist()
    assert np.mean(a == c) < 0.01
    # Neighbours in the data lie as far apart as any two rows: 4,000 / 3 places on average.
    place = np.argsort(a)
    assert abs(np.mean(np.abs(np.diff(place))) - 4000 / 3) < 4 * 4000 / np.sqrt(18 * 4000)


def test_columns_and_splits_that_came_along_stay(tmp_path):
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "parts.npz", x_train=rng.random((200, 4)), x_test=rng.random((50, 4)))
    data = load(tmp_path / "parts.npz")
    pack(data, tmp_path / "parts", shuffle=True)
    assert np.bincount(load(tmp_path / "parts").split).tolist() == np.bincount(data.split).tolist()
    (tmp_path / "table.csv").write_text("age,height\n" + "\n".join(f"{i},{i / 3}" for i in range(40)))
    pack(load(tmp_path / "table.csv"), tmp_path / "table")
    assert [column.name for column in load(tmp_path / "table").schema.columns] == ["age", "height"]


def test_a_stream_is_packed_as_its_rows_in_memory(tmp_path):
    pack(made(), tmp_path / "first", shard_bytes=300 * 12)
    for name, stream in (("memory", False), ("stream", True)):
        data = load(tmp_path / "first", missing="nan", stream=stream)
        assert isinstance(data, StreamDataset) is stream
        pack(data, tmp_path / name, shard_bytes=500 * 12)
    for file in (tmp_path / "memory").iterdir():
        assert file.read_bytes() == (tmp_path / "stream" / file.name).read_bytes()


def test_sorted_rows_are_told_and_shuffled_ones_are_not(tmp_path, capsys):
    rng, kind = np.random.default_rng(2), np.repeat(np.arange(5), 400)
    x = rng.standard_normal((2000, 3)) + 4 * kind[:, None]
    pack(load(x.astype(np.float32), label=kind), tmp_path / "sorted")
    data = load(tmp_path / "sorted", stream=True)
    report = stream_report(data)
    rows = load(tmp_path / "sorted")
    train = [rows.x[i : i + 50][rows.split[i : i + 50] == 0].astype(np.float64) for i in range(0, 2000, 50)]
    every = np.concatenate(train)
    between = sum(len(b) * (b.mean(0) - every.mean(0)) ** 2 for b in train)
    expected = np.mean(between / np.sum((every - every.mean(0)) ** 2, axis=0))
    np.testing.assert_allclose(report["between_blocks"], expected, rtol=1e-10)
    assert report["between_blocks"] > 0.9
    assert report["label_entropy"] < 0.9
    assert (report["blocks"], report["rows"], report["files"]) == (40, 2000, 1)
    assert main(["check", str(tmp_path / "sorted"), "--stream"]) == 0
    assert "The rows are sorted" in capsys.readouterr().out
    assert main(["pack", str(tmp_path / "sorted"), "--out", str(tmp_path / "mixed"), "--shuffle"]) == 0
    assert f"next: latens fit {tmp_path / 'mixed'}" in capsys.readouterr().err
    report = stream_report(load(tmp_path / "mixed", stream=True))
    assert report["between_blocks"] < 0.05
    assert report["label_entropy"] > 0.97
    assert report["advice"] == ""
    assert main(["check", str(tmp_path / "mixed"), "--stream"]) == 0
    shown = capsys.readouterr().out
    assert "The rows are sorted" not in shown
    assert "40 of 50 rows in 1 files; an epoch is" in shown


def test_what_cannot_be_packed_is_refused(tmp_path, capsys):
    (tmp_path / "people.csv").write_text("name,age\n" + "\n".join(f"n{i % 3},{i}" for i in range(60)))
    with pytest.raises(DataError, match="columns of several kinds"):
        pack(load(tmp_path / "people.csv"), tmp_path / "packed")
    pack(made(), tmp_path / "packed")
    with pytest.raises(RunFolderError, match="there is something already"):
        pack(made(), tmp_path / "packed")
    assert main(["pack", "digits"]) == 2
    assert "--out: is missing" in capsys.readouterr().err
    np.save(tmp_path / "packed" / "part-00000.split.npy", np.full(1000, 3, np.uint8))
    with pytest.raises(DataError, match=r"part-00000.split.npy: holds another split than 0, 1 or 2"):
        load(tmp_path / "packed", missing="nan")
    (tmp_path / "packed" / "part-00000.split.npy").unlink()
    np.save(tmp_path / "packed" / "part-00000.key.npy", np.zeros(1000))
    with pytest.raises(DataError, match=r"part-00000.key.npy: holds float64, and keys of rows are uint32"):
        load(tmp_path / "packed", missing="nan")
