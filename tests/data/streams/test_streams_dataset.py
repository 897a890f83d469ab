"""Streams of `.npy` shards and Parquet: the rows, their names and splits, what one pass finds, and what is refused."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latens.data import Dataset, infer_schema, load
from latens.data.formats import npy as npy_shards
from latens.data.formats.source import path_number
from latens.data.rows import mix, split_of
from latens.data.streams import dataset as stream_dataset
from latens.data.streams import index as stream_index
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.statistics import Statistics
from latens.data.streams.steps import StepRows
from latens.errors import DataError, UsageError

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "weight")


def write_npy(folder, x, label=None, weight=None, shards=3):
    folder.mkdir(exist_ok=True)
    for i, rows in enumerate(np.array_split(np.arange(len(x)), shards)):
        np.save(folder / f"part-{i}.npy", x[rows])
        for role, values in (("label", label), ("weight", weight)):
            if values is not None:
                np.save(folder / f"part-{i}.{role}.npy", values[rows])
    return folder


def table_of(n=1000, seed=0):
    rng = np.random.default_rng(seed)
    columns = {f"c{i}": rng.standard_normal(n).astype(np.float32) for i in range(3)}
    return pa.table({**columns, "kind": rng.choice(["red", "green", "blue"], n), "count": rng.integers(1, 4, n)})


def write_parquet(folder, table, files=2, group=150):
    folder.mkdir(exist_ok=True)
    for i, rows in enumerate(np.array_split(np.arange(len(table)), files)):
        pq.write_table(table.take(rows), folder / f"rows-{i}.parquet", row_group_size=group)
    return folder


def read(folder, **options) -> tuple[StreamDataset, Dataset]:
    streamed, memory = load(folder, stream=True, **options), load(folder, **options)
    assert isinstance(streamed, StreamDataset)
    assert type(memory) is Dataset
    return streamed, memory


def same(a, b):
    return (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 64)
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 256 * 12)


def test_npy_shards_are_the_rows_of_the_arrays(tmp_path, small_blocks):
    rng = np.random.default_rng(1)
    x, label, weight = rng.standard_normal((1000, 3)), rng.integers(0, 4, 1000), rng.random(1000).astype(np.float32)
    streamed, memory = read(write_npy(tmp_path / "rows", x, label, weight))
    assert same(memory.x, x.astype(np.float32))
    assert same(memory.label, label.astype(np.int32))
    assert same(memory.weight, weight)
    assert memory.names[[0, 334]].tolist() == ["part-0.npy:0", "part-1.npy:0"]
    # All rows of a small stream are its sample.
    assert all(same(getattr(streamed, name), getattr(memory, name)) for name in FIELDS)
    assert streamed.schema == memory.schema
    assert [streamed.count(s) for s in ("train", "validation", "test")] == np.bincount(memory.split).tolist()


def test_parquet_row_groups_are_the_rows_of_the_columns(tmp_path):
    table = table_of()
    folder = write_parquet(tmp_path / "rows", table)
    streamed, memory = read(folder, label="kind", weight="count")
    assert same(memory.x, np.stack([table[f"c{i}"].to_numpy() for i in range(3)], axis=1))
    assert [memory.schema.classes[code] for code in memory.label] == table["kind"].to_pylist()
    assert memory.schema.classes == ("blue", "green", "red")
    assert same(memory.weight, table["count"].to_numpy().astype(np.float32))
    assert [column.name for column in memory.schema.columns] == ["c0", "c1", "c2"]
    assert (memory.label_name, streamed.label_name) == ("kind", "kind")
    assert all(same(getattr(streamed, name), getattr(memory, name)) for name in FIELDS)
    glob = load(f"{folder}/*.parquet", stream=True, label="kind", weight="count")
    assert all(same(getattr(glob, name), getattr(memory, name)) for name in FIELDS)


def test_files_beside_others_move_no_row(tmp_path):
    x = np.random.default_rng(2).random((900, 2))
    before = load(write_npy(tmp_path / "rows", x))
    np.save(tmp_path / "rows" / "a-first.npy", x[:100] + 1)
    after = load(tmp_path / "rows")
    assert after.names[100:].tolist() == before.names.tolist()
    assert same(after.row_id[100:], before.row_id)
    assert same(after.split[100:], before.split)
    keys = mix(path_number("part-1.npy") + np.arange(300, dtype=np.uint64))
    assert same(before.row_id[300:600], keys)
    assert same(before.split[300:600], split_of(keys))


def test_one_file_has_the_names_and_splits_it_has_in_memory(tmp_path, small_blocks):
    x = np.random.default_rng(3).random((500, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", x)
    streamed, memory = read(tmp_path / "rows.npy")
    assert all(same(getattr(streamed, name), getattr(memory, name)) for name in FIELDS)


def test_statistics_of_blocks_are_those_of_all_rows():
    rng = np.random.default_rng(4)
    x, train = rng.gamma(2.0, 50.0, (1000, 4)), rng.random(1000) < 0.8
    observed = rng.random(x.shape) < 0.9
    x = np.where(observed, x, np.nan)
    found = Statistics((4,), x.dtype)
    for start in range(0, 1000, 130):
        part = slice(start, start + 130)
        found.add(x[part], observed[part], train[part])
    kept = [x[train & observed[:, i], i] for i in range(4)]
    np.testing.assert_allclose(found.train.mean, [v.mean() for v in kept], rtol=1e-13)
    np.testing.assert_allclose(found.train.deviation, [v.std() for v in kept], rtol=1e-13)
    np.testing.assert_allclose(found.train.together(), [np.concatenate(kept).mean(), np.concatenate(kept).std()])
    assert (found.cells.low, found.cells.high, found.missing) == (np.nanmin(x), np.nanmax(x), np.sum(~observed))


@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(0).integers(0, 2, (300, 4)),
        np.random.default_rng(0).integers(0, 256, (300, 4), np.uint8),
        np.random.default_rng(0).integers(0, 9, (300, 4, 4)),
        np.random.default_rng(0).random((300, 4, 4)),
        np.random.default_rng(0).standard_normal((300, 4, 4)),
        np.random.default_rng(0).standard_normal((300, 4)),
        np.random.default_rng(0).negative_binomial(0.5, 0.005, (3000, 4)),
        np.zeros((300, 4, 4)) + 3.5,
    ],
    ids=["binary", "levels", "picture", "unit", "real picture", "real", "counts", "constant"],
)
def test_the_schema_of_blocks_is_that_of_all_rows(x):
    train = np.random.default_rng(1).random(len(x)) < 0.8
    found = Statistics(x.shape[1:], x.dtype)
    for start in range(0, len(x), 70):
        found.add(x[start : start + 70], None, train[start : start + 70])
    got, expected = found.schema(None, None, "data"), infer_schema(x, train, counts=None)
    assert (got.kind, got.levels, got.shape) == (expected.kind, expected.levels, expected.shape)
    numbers = [(s.shift, s.scale, *((c.shift, c.scale) for c in s.columns or ())) for s in (got, expected)]
    np.testing.assert_allclose(np.hstack(numbers[0]), np.hstack(numbers[1]), rtol=1e-12, atol=1e-12)


def test_missing_values_hold_the_mean_as_in_memory(tmp_path, small_blocks):
    rng = np.random.default_rng(5)
    x = np.where(rng.random((600, 3)) < 0.2, np.nan, rng.standard_normal((600, 3)))
    streamed, memory = read(write_npy(tmp_path / "rows", x), missing="nan")
    assert same(memory.mask, ~np.isnan(x))
    shift = np.array([column.shift for column in memory.schema.columns])
    assert same(memory.x, np.where(np.isnan(x), shift, x).astype(np.float32))
    assert all(same(getattr(streamed, name), getattr(memory, name)) for name in FIELDS)
    with pytest.raises(DataError, match=r"part-0.npy, rows 0 to 63.*holds NaN"):
        load(tmp_path / "rows")


def places_of(data: StreamDataset, seed: int, epoch: int, lanes: int = 1) -> list[np.ndarray]:
    """The positions of the training rows of each lane in the order of an epoch."""
    order, table = data.epoch(seed, epoch, lanes), data.stream.source.table
    start = np.cumsum(table.rows) - table.rows
    train = [start[b] + np.flatnonzero(data.stream.block(b).split == 0) for b in range(len(table))]
    return [
        np.concatenate([
            np.concatenate([train[p.block][p.start : p.stop] for p in order.pieces(lane, w)])[order.within(lane, w)]
            for w in range(order.windows(lane))
        ])
        for lane in range(lanes)
    ]  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 4])
def test_steps_take_the_rows_of_the_order(tmp_path, small_blocks, lanes):
    x = np.random.default_rng(6).standard_normal((1000, 3)).astype(np.float32)
    streamed, memory = read(write_npy(tmp_path / "rows", x, np.arange(1000) % 7))
    reader, size = StepRows(streamed, 3, 64, lanes), 64 // lanes
    assert streamed.epoch(3, 0, lanes).windows(0) >= 4
    for epoch, first, count in ((0, 0, 5), (0, 5, 8), (1, 0, 13), (1, 11, 2), (0, 3, 1)):
        lane_places = places_of(streamed, 3, epoch, lanes)
        rows = reader.empty(count + 1)
        reader.fill(rows, 1, epoch, first, count)
        assert not rows["weight"][:64].any()
        for step in range(count):
            for lane, places in enumerate(lane_places):
                own = places[(first + step) * size : (first + step + 1) * size]
                at = (1 + step) * 64 + lane * size
                got = {name: values[at : at + size] for name, values in rows.items()}
                assert got["weight"].tolist() == [1.0] * len(own) + [0.0] * (size - len(own))
                for name in ("x", "row_id", "label"):
                    assert same(got[name][: len(own)], getattr(memory, name)[own])


def test_joined_splits_train_too(tmp_path, small_blocks):
    x = np.random.default_rng(7).random((700, 2))
    streamed, memory = read(write_npy(tmp_path / "rows", x))
    for method in ("test_as_validation", "validation_as_train"):
        a, b = getattr(streamed, method)(), getattr(memory, method)()
        assert [a.count(s) for s in ("train", "validation", "test")] == [
            b.count(s) for s in ("train", "validation", "test")
        ]
        reader = StepRows(a, 0, 50)
        rows = reader.empty(20)
        reader.fill(rows, 0, 0, 0, 20)
        assert sorted(rows["row_id"][rows["weight"] > 0]) == sorted(b.row_id[b.subset("train")])
    assert streamed.fingerprint != streamed.test_as_validation().fingerprint


def test_a_large_stream_keeps_the_rows_of_smallest_hash(tmp_path, small_blocks, monkeypatch):
    monkeypatch.setattr(stream_index, "SAMPLE_ROWS", 40)
    x = np.random.default_rng(8).random((2000, 2))
    streamed, memory = read(write_npy(tmp_path / "rows", x))
    low = stream_index._hash(memory.row_id)
    expected = []
    for code in range(3):
        own = np.flatnonzero(memory.split == code)
        expected += own[np.argsort(low[own])[:40]].tolist()
    assert streamed.names.tolist() == memory.names[sorted(expected)].tolist()
    assert same(streamed.x, memory.x[sorted(expected)])
    rows = f"{int(np.sum(memory.split == 0)):,}"
    assert f"in memory are 40 of {rows} train rows, 40 of" in streamed.described()


def test_what_the_pass_found_comes_back_from_its_file(tmp_path, small_blocks):
    rng = np.random.default_rng(9)
    x = np.where(rng.random((600, 3)) < 0.2, np.nan, rng.standard_normal((600, 3)))
    folder = write_npy(tmp_path / "rows", x, np.arange(600) % 2, rng.random(600).astype(np.float32))
    first = load(folder, stream=True, missing="nan")
    first.write_index(tmp_path / "blocks.safetensors")
    reads = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npy_shards.NpySource, "read", lambda *given: reads.append(given))
        again = load(folder, stream=True, missing="nan", index=tmp_path / "blocks.safetensors")
    assert reads == []
    assert again.fingerprint == first.fingerprint
    assert again.schema == first.schema
    assert all(same(getattr(again, name), getattr(first, name)) for name in FIELDS)
    assert same(again.index.counts, first.index.counts)
    assert dataclasses.replace(again.index.form, centre=None) == dataclasses.replace(first.index.form, centre=None)
    assert same(again.index.form.centre, first.index.form.centre)


def test_files_that_changed_are_named(tmp_path, small_blocks):
    x = np.random.default_rng(10).random((300, 2))
    folder = write_npy(tmp_path / "rows", x)
    load(folder, stream=True).write_index(index := tmp_path / "blocks.safetensors")

    def refused(words):
        with pytest.raises(DataError, match=words):
            load(folder, stream=True, index=index)

    np.save(folder / "part-1.npy", x[:50])
    refused(r"the file part-1.npy has changed since the first pass \(it had 1728 bytes, now 928\)")
    np.save(folder / "part-1.npy", x[100:200])
    np.save(folder / "part-9.npy", x)
    refused("the file part-9.npy was not there at the first pass")
    (folder / "part-9.npy").unlink()
    (folder / "part-2.npy").unlink()
    refused("the file part-2.npy is no longer there")
    np.save(folder / "part-2.npy", x[200:])
    with pytest.raises(DataError, match="read in another way"):
        load(folder, stream=True, missing="nan", index=index)
    index.write_bytes(index.read_bytes()[:-9])
    refused("the table of blocks is damaged")


def test_a_shard_cut_off_while_it_is_read_names_file_and_rows(tmp_path, small_blocks):
    x = np.random.default_rng(11).random((300, 2))
    folder = write_npy(tmp_path / "rows", x)
    data = load(folder, stream=True)
    with (folder / "part-1.npy").open("r+b") as file:
        file.truncate(700)
    with pytest.raises(DataError, match=r"part-1.npy, rows 0 to 63: the header declares 1600 bytes of data, 572"):
        data.stream.block(2)
    reader = StepRows(data, 0, 300)
    with pytest.raises(DataError, match=r"part-1.npy, rows"):
        reader.fill(reader.empty(1), 0, 0, 0, 1)
    (folder / "part-1.npy").unlink()
    with pytest.raises(DataError, match=r"part-1.npy, rows 0 to 63: is not there"):
        data.stream.block(2)


def test_npy_files_that_do_not_go_together_are_refused(tmp_path):
    folder = write_npy(tmp_path / "rows", np.zeros((90, 2), np.float32))

    def refused(words, **options):
        with pytest.raises(DataError, match=words):
            load(folder, **options)

    refused("arrays have no column 'y'.*part.label.npy", label="y")
    np.save(folder / "part-0.label.npy", np.zeros(30))
    refused("only some files have a .label.npy beside them")
    np.save(folder / "part-0.label.npy", np.zeros((30, 2)))
    refused(r"part-0.label.npy: has the shape \(30, 2\) beside 30 rows")
    (folder / "part-0.label.npy").unlink()
    np.save(folder / "part-1.npy", np.zeros((30, 3), np.float32))
    refused(r"part-1.npy: has rows that are float32 of shape \(3,\), those of part-0.npy are float32 of shape \(2,\)")
    np.save(folder / "part-1.npy", np.zeros((30, 2)))
    refused(r"part-1.npy: has rows that are float64 of shape")
    np.save(folder / "part-1.npy", np.asfortranarray(np.zeros((30, 2), np.float32)))
    assert load(folder).x.shape == (90, 2)
    (folder / "part-1.npy").write_bytes((folder / "part-0.npy").read_bytes()[:-8])
    refused("part-1.npy: the header declares 240 bytes of data, 232 bytes follow")
    pq.write_table(table_of(10), folder / "more.parquet")
    refused(r"holds files of several formats: .npy, .parquet")


def test_parquet_files_that_do_not_go_together_are_refused(tmp_path):
    table = table_of(100)
    folder = write_parquet(tmp_path / "rows", table.drop_columns(["kind"]))

    def refused(words, other):
        pq.write_table(other, folder / "rows-1.parquet")
        with pytest.raises(DataError, match=words):
            load(folder)

    plain = table.drop_columns(["kind"])
    refused("rows-1.parquet: has other columns than rows-0.parquet", plain.drop_columns(["c1"]))
    refused("rows-1.parquet: has other columns than rows-0.parquet", table)
    refused("rows-1.parquet: has other columns than rows-0.parquet", plain.select(["c1", "c0", "c2", "count"]))
    (folder / "rows-0.parquet").write_bytes(b"PAR1 nothing else")
    with pytest.raises(DataError, match=r"rows-0.parquet: cannot be read"):
        load(folder)


def test_what_cannot_stay_on_disk_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a file that could stay on disk"):
        load("digits", stream=True)
    np.savez(tmp_path / "rows.npz", x=np.eye(3))
    with pytest.raises(DataError, match=r"of a format that is read into memory as a whole"):
        load(tmp_path / "rows.npz", stream=True)
    folder = write_npy(tmp_path / "rows", np.random.default_rng(0).random((90, 2)))
    with pytest.raises(DataError, match="rows, label: rows in files that are read by blocks take no array"):
        load(folder, label=np.zeros(90))
    with pytest.raises(DataError, match=r"rows, typed: .* take no typed columns"):
        load(folder, typed=True)
    with pytest.raises(DataError, match="stands for no file of a stream"):
        load(f"{folder}/*.parquet")


def test_a_table_at_an_address_is_that_of_its_file(tmp_path):
    folder = write_parquet(tmp_path / "tables", table_of().drop_columns(["kind"]))
    path = folder / "rows-1.parquet"
    there, here = load(f"file://{path}", stream=True), load(path, stream=True)
    assert all(same(getattr(there, name), getattr(here, name)) for name in FIELDS)
    assert same(there.stream.block(0).x, here.stream.block(0).x)
    assert there.name == here.name
    assert same(load(f"file://{folder}/*.parquet").x, load(folder).x)
    for spec, words in ((f"file://{folder}/*.parquet", "do not stay"), (f"file://{folder}", "read where it lies")):
        with pytest.raises(DataError, match=words):
            load(spec, stream=True)
