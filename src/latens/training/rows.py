"""Rows on their way to a compiled program: with leading axes (steps, batch), padded to one shape."""

import math
from collections.abc import Iterator

import equinox as eqx
import jax
import numpy as np

from latens.data import Dataset
from latens.data.batches import Batch

MOST_CELLS = 2**26
"""Features of the rows of a block at the most: 256 MB in single precision. Blocks of 8 batches of 500 rows fit up to
16,777 features a row."""


def pad_rows(data: Dataset, positions: np.ndarray, num_batches: int, batch_size: int) -> Batch:
    """Gather rows into batches of one shape, padded with rows of weight 0.

    Args:
        data: The data set.
        positions: Positions of the rows; -1 for padding.
        num_batches: How many batches are filled.
        batch_size: Rows in a batch.

    Returns:
        A `Batch` with the leading axes (num_batches, batch_size); what is missing to it, and a position of -1, is row 0
        with weight 0.
    """
    size = num_batches * batch_size
    padded = np.concatenate([positions, np.full(size - len(positions), -1, positions.dtype)])
    batch = data.rows(np.maximum(padded, 0))
    weight = np.ones(size, np.float32) if batch.weight is None else np.asarray(batch.weight, np.float32).copy()
    weight[padded < 0] = 0.0
    batch = eqx.tree_at(lambda b: b.weight, batch, weight, is_leaf=lambda leaf: leaf is None)
    return jax.tree.map(lambda leaf: leaf.reshape(num_batches, batch_size, *leaf.shape[1:]), batch)


def blocks_of(data: Dataset, positions: np.ndarray, batch_size: int, per_block: int = 8) -> Iterator[tuple[Batch, int]]:
    """Go through rows in blocks of padded batches.

    Args:
        data: The data set.
        positions: Positions of the rows.
        batch_size: Rows in a batch, at most; fewer where a row has more features than usual.
        per_block: Batches in a block, at most.

    Yields:
        A block, and how many of its batches hold rows.
    """
    most = max(1, MOST_CELLS // math.prod(data.x.shape[1:]))
    batch_size = min(batch_size, max(1, most // 8))
    per_block = min(per_block, max(1, most // batch_size))
    size = per_block * batch_size
    for start in range(0, len(positions), size):
        part = positions[start : start + size]
        yield pad_rows(data, part, per_block, batch_size), -(-len(part) // batch_size)
