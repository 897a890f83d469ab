"""Rows on their way to a compiled program: with leading axes (steps, batch), padded to one shape."""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import equinox as eqx
import jax
import numpy as np

from latens.data import Dataset
from latens.data.dataset import BLOCK, Batch, Shuffled
from latens.data.row_fields import philox
from latens.kinds import kind_of
from latens.kinds.text.vocabulary import by_buckets, steps_of

MOST_CELLS = 2**26
"""Features of the rows of a block at the most: 256 MB in single precision. Blocks of 8 batches of 500 rows fit up to
16,777 features a row."""


ReadSteps: TypeAlias = Callable[[int, int], Batch]
"""From the first step of a chunk, counted over all epochs, and the number of its steps to their rows."""


def read_steps(
    data: Dataset, seed: int, batch_size: int, steps_per_epoch: int, chunk_steps: int, *, part: slice = slice(None)
) -> ReadSteps:
    """Make what gives the rows of a chunk of steps."""
    # returns: a function that gives a `Batch` with the leading axes (chunk_steps, rows of the part); what an epoch
    # lacks to fill its last batch has weight 0.
    orders: dict[int, Any] = {}  # of the epoch that was last needed
    edges = buckets(data)
    needed = steps_of(data.x) if len(edges) > 1 else None

    def rows(first: int, count: int) -> Batch:
        places = np.full((count, batch_size), -1)
        for at, epoch, start, taken in _by_epoch(first, count, steps_per_epoch):
            if epoch not in orders:
                orders.clear()
                order = lazy_order(data, seed, epoch)
                if needed is not None:  # their batches are shuffled by a stream of their own
                    shuffle = philox((seed, epoch), (0, 0, 1, 0))
                    order = by_buckets(order[:], needed[order[:]], edges, batch_size, shuffle)
                orders[epoch] = order
            found = orders[epoch][start * batch_size : (start + taken) * batch_size]
            places[at : at + taken].reshape(-1)[: len(found)] = found
        return pad_rows(data, places[:, part].reshape(-1), chunk_steps, len(range(batch_size)[part]))

    return rows


def lazy_order(data: Dataset, seed: int, epoch: int) -> Shuffled | np.ndarray:
    """Give what slices give the parts of an epoch's order, a block at a time where that can be."""
    whole = data.labelled_share is not None and data.seen_label is not None
    return data.order(seed, epoch) if whole else Shuffled(data.split, seed, epoch, BLOCK)


def buckets(data: Dataset) -> tuple[int, ...]:
    """Give the lengths that batches of rows of text are cut to; none for other rows."""
    return kind_of(data.schema).buckets(data.schema)


def _by_epoch(first: int, count: int, steps_per_epoch: int) -> Iterator[tuple[int, int, int, int]]:
    """The steps of a chunk by epoch: how many came before, the epoch, its first step, and how many there are."""
    step = 0
    while step < count:
        epoch, start = divmod(first + step, steps_per_epoch)
        taken = min(count - step, steps_per_epoch - start)
        yield step, epoch, start, taken
        step += taken


def pad_rows(data: Dataset, positions: np.ndarray, num_batches: int, batch_size: int) -> Batch:
    """Gather rows into batches of one shape, padded with rows of weight 0."""
    # returns: a `Batch` with the leading axes (num_batches, batch_size); what is missing to it, and a position of -1,
    # is row 0 with weight 0.
    size = num_batches * batch_size
    padded = np.concatenate([positions, np.full(size - len(positions), -1, positions.dtype)])
    batch = data.rows(np.maximum(padded, 0))
    weight = np.ones(size, np.float32) if batch.weight is None else np.asarray(batch.weight, np.float32).copy()
    weight[padded < 0] = 0.0
    batch = eqx.tree_at(lambda b: b.weight, batch, weight, is_leaf=lambda leaf: leaf is None)
    return jax.tree.map(lambda leaf: leaf.reshape(num_batches, batch_size, *leaf.shape[1:]), batch)


def blocks_of(data: Dataset, positions: np.ndarray, batch_size: int) -> Iterator[tuple[Batch, int]]:
    """Go through rows in blocks of padded batches."""
    most = max(1, MOST_CELLS // math.prod(data.x.shape[1:]))
    batch_size = min(batch_size, max(1, most // 8))
    per_block = min(8, max(1, most // batch_size))
    size = per_block * batch_size
    for start in range(0, len(positions), size):
        part = positions[start : start + size]
        yield pad_rows(data, part, per_block, batch_size), -(-len(part) // batch_size)
