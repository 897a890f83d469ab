"""The order of a stream's training rows: a permutation, dealt into lanes, a function of seed, epoch and blocks."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latens.data.streams.order import Order
from latens.errors import DataError


def rows_of(order: Order, lane: int) -> list[tuple[int, int]]:
    """The rows of a lane in their order, as (block, place in the block)."""
    found = []
    for window in range(order.windows(lane)):
        read = [(p.block, row) for p in order.pieces(lane, window) for row in range(p.start, p.stop)]
        found += [read[place] for place in order.within(lane, window)]
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=8, max_size=25).filter(lambda rows: sum(n > 0 for n in rows) >= 8),
    st.integers(0, 3),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 100),
)
def test_every_row_is_met_once_in_lanes_of_equal_length(rows, epoch, lanes, most):
    order = Order(np.array(rows), 5, epoch, lanes=lanes, most=most)
    found = [rows_of(order, lane) for lane in range(lanes)]
    assert sorted(row for lane in found for row in lane) == [(b, r) for b, n in enumerate(rows) for r in range(n)]
    assert [len(lane) for lane in found] == [sum(rows) // lanes + (lane < sum(rows) % lanes) for lane in range(lanes)]
    for lane in range(lanes):
        assert order.starts[lane].tolist() == np.cumsum([0, *(
            sum(p.stop - p.start for p in order.pieces(lane, w)) for w in range(order.windows(lane))
        )]).tolist()  # fmt: skip
        for window in range(order.windows(lane)):
            size = sum(p.stop - p.start for p in order.pieces(lane, window))
            assert size <= most or len(order.pieces(lane, window)) == 1
    again = Order(np.array(rows), 5, epoch, lanes=lanes, most=most)
    assert [rows_of(again, lane) for lane in range(lanes)] == found


def test_order_changes_with_seed_and_epoch():
    rows = np.full(20, 50)
    first = rows_of(Order(rows, 0, 0, lanes=1, most=200), 0)
    for seed, epoch in ((0, 1), (1, 0)):
        other = rows_of(Order(rows, seed, epoch, lanes=1, most=200), 0)
        assert np.mean([a == b for a, b in zip(first, other)]) < 0.02
    # A fixed point of the promise "the same order on every machine": Philox with key (0, 0), counters as documented.
    blocks = np.random.Generator(np.random.Philox(key=0, counter=0)).permutation(20)
    within = np.random.Generator(np.random.Philox(key=0, counter=1 << 192)).permutation(200)
    assert first[:200] == [(blocks[place // 50], place % 50) for place in within]


def test_a_resume_in_the_middle_of_a_billion_rows_takes_seconds():
    rows = np.full(122_071, 6_554)  # training rows in blocks of 8,192: a billion rows in all
    began = time.process_time()
    order = Order(rows, 0, 3, lanes=4, most=2**19)
    lane = int(order.borders[1] - order.borders[0])
    window = int(np.searchsorted(order.starts[0], lane // 2, side="right")) - 1
    within = order.within(0, window)
    assert time.process_time() - began < 5
    assert len(within) == sum(p.stop - p.start for p in order.pieces(0, window)) <= 2**19


def test_fewer_blocks_than_lanes_are_refused():
    with pytest.raises(DataError, match=r"training.shards: has 2 blocks of training rows, fewer than 4 shards"):
        Order(np.array([5, 0, 7]), 0, 0, lanes=4, most=10)
