"""Training from files that are read in windows: the bits of training on the same rows in memory, in the same order."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_fixtures import assert_same_bits, make_model, run, stage

from latens.config import override
from latens.data import Dataset, load
from latens.data.formats import npy as npy_shards
from latens.data.streams import dataset as stream_dataset
from latens.data.streams.dataset import StreamDataset
from latens.data.streams.stream import Stream
from latens.recipes import get_recipe
from latens.training import Budget
from latens.training.rows import read_steps
from latens.workflow.experiment import prepare, train


class Ordered(Dataset):
    """Rows in memory, met in the order of a stream of them."""

    def order(self, seed, epoch, **options):
        order, table = self.like.epoch(seed, epoch), self.like.stream.source.table
        start = np.cumsum(table.rows) - table.rows
        train = [start[b] + np.flatnonzero(self.split[start[b] :][: table.rows[b]] == 0) for b in range(len(table))]
        windows = [
            np.concatenate([train[p.block][p.start : p.stop] for p in order.pieces(0, w)])[order.within(0, w)]
            for w in range(order.windows(0))
        ]
        return np.concatenate(windows)


def ordered(memory: Dataset, like: StreamDataset) -> Ordered:
    made = Ordered(**{field.name: getattr(memory, field.name) for field in dataclasses.fields(Dataset)})
    object.__setattr__(made, "like", like)
    return made


@pytest.fixture
def folder(tmp_path, request, monkeypatch):
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 50)
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 150 * 6)
    rng = np.random.default_rng(0)
    x = (rng.random((700, 6)) < 0.3).astype(np.uint8)
    for i, rows in enumerate(np.array_split(np.arange(700), 2)):
        if request.param == "npy":
            np.save(tmp_path / f"part-{i}.npy", x[rows])
        else:
            table = pa.table({f"c{j}": x[rows, j] for j in range(6)})
            pq.write_table(table, tmp_path / f"part-{i}.parquet", row_group_size=50)
    return tmp_path


@pytest.mark.parametrize("folder", ["npy", "parquet"], indirect=True)
def test_a_stream_trains_to_the_bits_of_the_rows_in_memory(folder):
    streamed, memory = load(folder, stream=True), load(folder)
    assert streamed.epoch(3, 0).windows(0) >= 4
    options = {"stages": [stage(Budget(epochs=2.5))], "chunk_steps": 7, "validate_every": 2}
    a = run(streamed, make_model((6,)), **options)
    b = run(ordered(memory, streamed), make_model((6,)), **options)
    assert_same_bits(a.model, b.model)
    assert_same_bits(a.snapshot.state, b.snapshot.state)
    assert a.history == b.history
    c = run(memory, make_model((6,)), **options)
    assert c.history != b.history


def test_a_mixed_table_trains_to_the_bits_of_its_rows_in_memory(tmp_path, monkeypatch):
    """Names, whole numbers with gaps, decimals and dates, in three files and by the reader of one."""
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 150 * 4 * 4)
    rng = np.random.default_rng(0)
    columns = {
        "id": np.arange(600),
        "kind": rng.choice(["a", "b", "c"], 600),
        "count": pa.array(np.where(gone := rng.random(600) < 0.1, 0, rng.poisson(3.0, 600)), mask=gone),
        "size": np.round(rng.gamma(2.0, 5.0, 600), 1),
        "day": np.datetime64("2024-01-01") + rng.integers(0, 99, 600),
    }
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "whole.parquet")
    (tmp_path / "rows").mkdir()
    for i in range(3):
        pq.write_table(table.slice(200 * i, 200), tmp_path / "rows" / f"{i}.parquet", row_group_size=50)
    streamed, memory = load(tmp_path / "rows", stream=True, row_id="id"), load(tmp_path / "whole.parquet", row_id="id")
    assert streamed.epoch(0, 0).windows(0) >= 4

    class Dealt(Ordered):
        like = streamed

    dealt = Dealt(**{field.name: getattr(memory, field.name) for field in dataclasses.fields(Dataset)})
    small = {"network.hidden": 8, "posterior.latent_dim": 2, "training.steps": 20, "training.batch_size": 64}
    config = override(get_recipe("default").config, small)

    def trained(data):
        result = train(prepare(config, data))[1]
        return result.snapshot.state, result.history

    (a, history), (b, expected) = trained(streamed), trained(dealt)
    assert_same_bits(a, b)
    assert history == expected
    assert trained(memory)[1] != history


@pytest.mark.parametrize("folder", ["npy"], indirect=True)
def test_lanes_of_a_stream_are_the_shards_of_a_batch(folder, monkeypatch):
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 240 * 6)
    streamed, memory = load(folder, stream=True), load(folder)
    table = streamed.stream.source.table
    start = np.cumsum(table.rows) - table.rows
    train = [start[b] + np.flatnonzero(memory.split[start[b] :][: table.rows[b]] == 0) for b in range(len(table))]

    class Dealt(Dataset):
        """Rows in memory, met in the order of the lanes of a stream: 8 rows of each make a batch of 16."""

        def order(self, seed, epoch, **options):
            order = streamed.epoch(seed, epoch, 2)
            lanes = [
                np.concatenate([
                    np.concatenate([train[p.block][p.start : p.stop] for p in order.pieces(lane, w)])[
                        order.within(lane, w)
                    ]
                    for w in range(order.windows(lane))
                ])
                for lane in range(2)
            ]  # fmt: skip
            whole = min(map(len, lanes)) // 8 * 8
            return np.concatenate([lane[:whole].reshape(-1, 1, 8) for lane in lanes], axis=1).reshape(-1)

    dealt = Dealt(**{field.name: getattr(memory, field.name) for field in dataclasses.fields(Dataset)})
    steps = streamed.count("train") // 16  # the whole batches of an epoch
    options = {"stages": [stage(Budget(steps=steps))], "chunk_steps": 7, "shards": 2}
    a, b = run(streamed, make_model((6,)), **options), run(dealt, make_model((6,)), **options)
    assert_same_bits(a.snapshot.state, b.snapshot.state)


@pytest.mark.parametrize("folder", ["npy"], indirect=True)
def test_a_process_reads_the_lanes_of_its_own_shards_and_no_others(folder, monkeypatch):
    """Two processes of four shards: side by side their rows are those of a process that is alone."""
    data = load(folder, stream=True)
    order = data.epoch(3, 0, 4)
    read, steps, most = set(), 8, 30
    block = Stream.block
    monkeypatch.setattr(Stream, "block", lambda self, at, **named: read.add(at) or block(self, at, **named))

    def rows(part):
        reader = read_steps(data, 3, 64, most, steps, shards=4, part=part)
        return [reader(first, count) for first, count in ((0, 5), (5, steps))]

    whole, parts = rows(slice(None)), []
    for process in range(2):
        read.clear()
        parts.append(rows(slice(32 * process, 32 * process + 32)))
        lanes = [order.pieces(lane, w) for lane in (2 * process, 2 * process + 1) for w in range(order.windows(lane))]
        after = [data.epoch(3, 1, 4).pieces(lane, 0) for lane in (2 * process, 2 * process + 1)]  # is read ahead
        assert read <= {piece.block for window in (*lanes, *after) for piece in window}
        assert len(read) < len(data.stream.source.table)
    for alone, *shared in zip(whole, *parts):
        for name in ("x", "row_id", "weight"):
            together = np.concatenate([getattr(batch, name) for batch in shared], axis=1)
            np.testing.assert_array_equal(together, getattr(alone, name), strict=True)


PEAK = """
import resource, sys
import jax
import numpy as np
from training_fixtures import run, stage, make_model
from latens.data import load
from latens.data.streams import dataset, index
from latens.training import Budget

dataset.WINDOW = int(sys.argv[2])
index.SAMPLE_BYTES = dataset.WINDOW // 4
data = load(sys.argv[1], stream=sys.argv[3] == "stream")
run(data, make_model((784,)), stages=[stage(Budget(steps=600))], batch_size=128, chunk_steps=20, validate=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_memory_is_that_of_rows_in_memory_and_two_windows(tmp_path):
    window = 2**24

    def peak(rows, how):
        path = tmp_path / f"{rows}.npy"
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(rows, 784))  # a sparse file of zeros
        words = [sys.executable, "-c", PEAK, str(path), str(window), how]
        support = str(Path(__file__).parents[1] / "support")
        paths = os.pathsep.join([support, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": paths}
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    small = peak(1000, "memory")
    assert peak(10 * window // 784, "stream") - small < 2 * window
    assert peak(100 * window // 784, "stream") - small < 2 * window
