"""Training from files that are read in windows: the bits of training on the same rows in memory, in the same order."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_fixtures import assert_same_bits, make_model, run, stage

from latens.data import Dataset, load
from latens.data.streams import dataset as stream_dataset
from latens.data.streams import npy as npy_shards
from latens.data.streams.dataset import StreamDataset
from latens.training import Budget


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
