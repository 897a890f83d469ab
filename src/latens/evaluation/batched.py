"""Functions of a model applied to many rows: one padded batch shape, one compiled program, NumPy out."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np

from latens.data import Preparation, prepare_batch
from latens.data.batches import Batch
from latens.shapes import Key, PyTree

BATCH_SIZES = (16, 128, 500)
"""Batches are padded to one of these, so that a few programs serve every number of rows."""


def padded_batches(batch: Batch, batch_size: int | None = None) -> Iterator[tuple[Batch, int]]:
    """Parts of a batch of any length, each padded to one size, with the number of rows that count."""
    n = len(batch.row_id)
    size = batch_size or next((s for s in BATCH_SIZES if n <= s), BATCH_SIZES[-1])
    for start in range(0, n, size):
        index = np.arange(start, min(start + size, n))
        padded = np.concatenate([index, np.full(size - len(index), index[0])])
        yield jax.tree.map(lambda leaf, i=padded: np.asarray(leaf)[i], batch), len(index)


def rows_in_cache(batch: Batch, samples: int) -> int | None:
    """So many rows that their decoded draws stay in a processor's cache: 4 MB, twice as fast as 80 MB.

    **Arguments:** `samples` of each row that are decoded at once. None (the usual sizes) where there is another device.
    """
    if jax.default_backend() != "cpu":
        return None
    cells = sum(leaf[0].size for leaf in jax.tree.leaves(batch.x))
    most = min(BATCH_SIZES[-1], max(BATCH_SIZES[0], 2**20 // (cells * samples) // 16 * 16))
    return next((size for size in BATCH_SIZES if len(batch.row_id) <= size <= most), most)


def weights_of(batch: Batch) -> np.ndarray | None:
    """The weights of the rows in double precision, None where they have none."""
    return None if batch.weight is None else np.asarray(batch.weight, np.float64)


def map_rows(
    function: Callable[..., PyTree],
    model: Any,
    batch: Batch,
    *,
    preparation: Preparation,
    key: Key,
    batch_size: int | None = None,
) -> PyTree:
    """`function(model, prepared_batch, key)` over all rows; its leaves, led by B, come back as NumPy arrays.

    The model is switched to inference (no dropout). Every row's randomness comes from its id, so the result does not
    depend on order or chunking, up to rounding.
    """
    model = eqx.nn.inference_mode(model)
    parts = []
    for padded, count in padded_batches(batch, batch_size):
        values = _run(function, model, padded, preparation, key)
        parts.append(jax.tree.map(lambda leaf, c=count: np.asarray(leaf)[:c], values))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@eqx.filter_jit
def _run(function: Callable[..., PyTree], model: Any, batch: Batch, preparation: Preparation, key: Key) -> PyTree:
    data_key, draw_key = jax.random.split(key)
    return function(model, prepare_batch(preparation, batch, key=data_key), draw_key)
