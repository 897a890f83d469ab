"""Order, steps, reports and sums of small streams, by hand."""

import numpy as np
import pytest

from latens.data import infer_schema, load
from latens.data.formats import npy as npy_shards
from latens.data.streams import dataset as stream_dataset
from latens.data.streams import tally
from latens.data.streams.order import Order
from latens.data.streams.sorted import stream_report
from latens.data.streams.statistics import Moments, Statistics
from latens.data.streams.steps import StepRows
from latens.data.streams.tally import Numbers
from latens.errors import DataError

RANDOM = np.random.default_rng(0)
TRAIN = np.array([5, 0, 7, 3, 4, 6])


def shuffle(seed, epoch, lane, stream, n):
    key = np.array([seed % 2**64, epoch % 2**64], np.uint64)
    counter = np.array([0, 0, lane, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).permutation(n)


@pytest.mark.parametrize(("seed", "epoch"), [(3, 2), (-1, 0), (2**64 + 5, 2**64 + 1)])
@pytest.mark.parametrize(("lanes", "most"), [(1, 100), (1, 8), (2, 6), (3, 1)])
def test_the_order_of_an_epoch(seed, epoch, lanes, most):
    order = Order(TRAIN, seed, epoch, lanes=lanes, most=most)
    rows = [(block, row) for block in shuffle(seed, epoch, 0, 0, 6) for row in range(TRAIN[block])]
    borders = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(25), lanes))])
    assert order.borders.tolist() == borders.tolist()
    for lane in range(lanes):
        own = rows[borders[lane] : borders[lane + 1]]
        windows = [order.pieces(lane, window) for window in range(order.windows(lane))]
        assert [(p.block, row) for pieces in windows for p in pieces for row in range(p.start, p.stop)] == own
        sizes = [sum(piece.stop - piece.start for piece in pieces) for pieces in windows]
        assert order.starts[lane].tolist() == np.cumsum([0, *sizes]).tolist()
        assert all(size <= most or len(pieces) == 1 for size, pieces in zip(sizes, windows))
        # A window is closed when it has its share, or when the next piece has no place in it.
        aim = len(own) / -(-len(own) // most)
        for size, after in zip(sizes, windows[1:]):
            assert size >= aim or size + after[0].stop - after[0].start > most
        assert all(size - (pieces[-1].stop - pieces[-1].start) < aim for size, pieces in zip(sizes, windows))
        for window, size in enumerate(sizes):
            assert order.within(lane, window).tolist() == shuffle(seed, epoch, lane, window + 1, size).tolist()


def test_more_lanes_than_blocks_with_rows_are_refused():
    Order(TRAIN, 0, 0, lanes=5, most=4)
    with pytest.raises(DataError, match=r"has 5 blocks of training rows, fewer than 6 shards"):
        Order(TRAIN, 0, 0, lanes=6, most=4)


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Two files of 30 rows with gaps and labels that are sorted; blocks of 6 rows, windows of at most 16."""
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 6)
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 16 * 8)
    x = np.arange(120.0).reshape(60, 2)
    x[::7, 1] = np.nan
    for part in range(2):
        own = slice(30 * part, 30 * part + 30)
        np.save(tmp_path / f"{part}.npy", x[own])
        np.save(tmp_path / f"{part}.label.npy", np.repeat([0, 1], 30)[own])
    return load(tmp_path, stream=True, missing="nan")


@pytest.mark.parametrize(("lanes", "own"), [(1, None), (2, None), (3, range(1, 3)), (3, range(2, 3))])
def test_a_step_has_as_many_rows_of_every_lane(shards, lanes, own):
    reader = StepRows(shards, 1, 6, lanes, own)
    each, chosen = 6 // lanes, range(lanes) if own is None else own
    assert reader.batch_size == each * len(chosen)
    order, table = shards.epoch(1, 4, lanes), shards.stream.source.table
    starts = np.cumsum(table.rows) - table.rows
    train = [starts[b] + np.flatnonzero(shards.stream.block(b).split == 0) for b in range(len(table))]
    rows = reader.empty(5)
    assert {name: values.shape for name, values in rows.items()} == {
        "x": (5 * reader.batch_size, 2),
        "row_id": (5 * reader.batch_size,),
        "weight": (5 * reader.batch_size,),
        "mask": (5 * reader.batch_size, 2),
        "label": (5 * reader.batch_size,),
    }
    assert not any(values.any() for values in rows.values())
    reader.fill(rows, 1, 4, 1, 3)  # steps 1 to 3, into the second place and those after it
    expected = np.full((5, len(chosen), each), -1)
    for number, lane in enumerate(chosen):
        places = []
        for window in range(order.windows(lane)):
            found = np.concatenate([train[p.block][p.start : p.stop] for p in order.pieces(lane, window)])
            places.extend(found[order.within(lane, window)])
        for step in range(1, 4):
            some = places[step * each : (step + 1) * each]
            expected[step, number, : len(some)] = some
    expected = expected.reshape(-1)
    there = expected >= 0
    assert rows["weight"].tolist() == there.astype(float).tolist()
    for name in ("x", "row_id", "mask", "label"):
        np.testing.assert_array_equal(rows[name][there], getattr(shards, name)[expected[there]])
    assert not rows["mask"][~there].any()


def entropy(labels):
    shares = np.bincount(labels) / len(labels)
    return -sum(share * np.log(share) for share in shares if share)


def test_the_report_on_sorted_rows(shards):
    told = stream_report(shards)
    order, table = shards.epoch(0, 0), shards.stream.source.table
    block = np.repeat(np.arange(len(table)), table.rows)
    train = shards.split == 0
    windows = [[piece.block for piece in order.pieces(0, window)] for window in range(order.windows(0))]
    found = [entropy(shards.label[train & np.isin(block, blocks)]) for blocks in windows]
    assert told["label_entropy"] == pytest.approx(np.mean(found) / entropy(shards.label[train]))
    assert (told["rows"], told["files"], told["blocks"], told["rows_per_block"]) == (60, 2, 10, 6.0)
    assert told["windows"] == len(windows) > 1
    assert told["between_blocks"] > 0.9
    assert told["advice"].startswith("The rows are sorted")
    assert told["bytes"] == 2 * (128 + 30 * 16) + 2 * (128 + 30 * 8)


@pytest.mark.parametrize("observed", [False, True])
def test_moments_of_blocks(observed):
    x, seen = RANDOM.normal(3.0, 2.0, (30, 2)), RANDOM.random((30, 2)) < 0.7
    found, blocks = Moments(2), np.split(np.arange(30), [4, 5, 17])
    for rows in blocks:
        found.add(x[rows].copy(), seen[rows] if observed else None)
    values = [x[:, i][seen[:, i]] if observed else x[:, i] for i in range(2)]
    np.testing.assert_allclose(found.mean, [v.mean() for v in values])
    np.testing.assert_allclose(found.deviation, [v.std() for v in values])
    np.testing.assert_allclose(found.count, [len(v) for v in values])
    every = np.concatenate(values)
    np.testing.assert_allclose(found.together(), [every.mean(), every.std()])
    within = [
        sum(((v - v.mean()) ** 2).sum() for rows in blocks if len(v := x[rows, i][seen[rows, i] | (not observed)]))
        for i in range(2)
    ]
    total = [((v - v.mean()) ** 2).sum() for v in values]
    np.testing.assert_allclose(found.sortedness(), np.mean(1.0 - np.array(within) / total))
    assert Moments(2).sortedness() == 0.0


KINDS = {
    "real": RANDOM.normal(size=(40, 3)) * [1.0, 10.0, 0.0],
    "falling": np.arange(40.0)[::-1, None] * [1.0, 0.3],
    "counts": RANDOM.poisson(2.0, (40, 3)) * 30,
    "binary": RANDOM.integers(0, 2, (40, 2, 2)),
    "levels": RANDOM.integers(0, 9, (40, 2, 2)),
    "pictures of numbers": RANDOM.normal(size=(40, 2, 2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_of_blocks_is_that_of_all_rows(kind):
    x = KINDS[kind]
    train = np.arange(40) % 5 != 0
    found = Statistics(x.shape[1:], x.dtype)
    for rows in np.split(np.arange(40), [3, 20]):
        found.add(x[rows], None, train[rows])
    expected, schema = infer_schema(x, train, where="x"), found.schema(None, None, "x")
    assert (schema.kind, schema.levels, schema.shape) == (expected.kind, expected.levels, expected.shape)
    assert schema.shift == pytest.approx(expected.shift)
    assert schema.scale == pytest.approx(expected.scale)
    for one, other in zip(schema.columns or (), expected.columns or (), strict=True):
        assert (one.shift, one.scale) == pytest.approx((other.shift, other.scale))
    cells, whole = found.cells, bool(np.all(x == np.floor(x)))
    tail = (x.sum(), np.count_nonzero(x), np.count_nonzero(x == x.max())) if whole else (0.0, 0, 0)  # fractions: none
    assert (cells.size, cells.whole) == (x.size, whole)
    assert (cells.low, cells.high, cells.total) == pytest.approx((x.min(), x.max(), tail[0]))
    assert (cells.above, cells.top) == tail[1:]
    np.testing.assert_array_equal(found.least, x[train].reshape(train.sum(), -1).min(axis=0))
    np.testing.assert_array_equal(found.most, x[train].reshape(train.sum(), -1).max(axis=0))


@pytest.mark.parametrize("trains", [True, False])
def test_numbers_are_counted_each_by_itself_up_to_a_bound(monkeypatch, trains):
    monkeypatch.setattr(tally, "MOST_VALUES", 12)
    values, train = RANDOM.integers(0, 12, 60).astype(float), RANDOM.random(60) < 0.8
    found = Numbers()
    for rows in np.split(np.arange(60), [7, 30]):
        found.add(values[rows], train[rows])
    numbers, counts = found.counted(trains=trains)
    known, every = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(numbers, known)
    own = [np.count_nonzero(values[train] == one) for one in known]
    np.testing.assert_array_equal(counts, [every, own] if trains else [every, every])
    assert found.width == 0.0
    assert found.step() is None


def test_more_numbers_are_counted_in_the_narrowest_bins_of_which_there_are_few_enough(monkeypatch):
    monkeypatch.setattr(tally, "MOST_VALUES", 12)
    values = np.arange(20.0) * 0.75
    train = np.arange(20) != 19
    found = Numbers()
    for rows in np.split(np.arange(20), [3, 11]):
        found.add(values[rows], train[rows])
    numbers, counts = found.counted(trains=True)
    # Bins of 1 are more than 12, those of 2 are eight; a bin stands for its least number, and the largest number that
    # trains, 13.5, is known by itself.
    assert found.width == 2.0
    assert numbers.tolist() == [0.0, 2.25, 4.5, 6.0, 8.25, 10.5, 12.0, 13.5, 14.25]
    assert counts.tolist() == [[3, 3, 2, 3, 3, 2, 2, 1, 1], [3, 3, 2, 3, 3, 2, 2, 1, 0]]
    assert found.step() == 0.01
