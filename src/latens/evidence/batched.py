"""Functions of a model applied to many rows: one padded batch shape, one compiled program, NumPy out."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Shaped

from latens.data import Preparation, prepare_batch
from latens.data.dataset import Batch
from latens.errors import refuse_other
from latens.kinds.counts.sparse import SparseRows
from latens.runtime import random_keys
from latens.runtime.compilation import check_generator, check_whole
from latens.runtime.programs import compiled
from latens.runtime.terminal import reached
from latens.typing import Key, PyTree

BATCH_SIZES = (16, 128, 500)
"""Batches are padded to one of these, so that a few programs serve every number of rows."""

MOST_CELLS = 2**23
"""Cells of a padded batch at the most, and half of them with all the draws of a row: rows of more cells than usual
(above 13,000) come in smaller batches."""

MOST_AT_ONCE = 4
"""Batches that are computed at the same time: each needs memory of its own."""


@dataclass(frozen=True)
class ModelRows:
    """A model and the stored rows that it is asked about.

    Args:
        model: The trained model.
        batch: The stored rows, B of them.
        key: Random key; None is that of seed 0.
        preparation: What turns a stored row into what the model sees.
        batch_size: Rows in one compiled batch; None chooses.
        samples_per_chunk: Samples decoded at once.
    """

    model: PyTree
    batch: Batch
    key: Key = None  # pyright: ignore[reportAssignmentType]
    preparation: Preparation = Preparation()  # noqa: RUF009 - immutable
    batch_size: int | None = None
    samples_per_chunk: int = 20

    def __post_init__(self) -> None:
        if self.key is None:
            object.__setattr__(self, "key", random_keys.of_seed(0))
        refuse_other(self.batch, Batch, "batch", "Give rows of a data set, data.rows(np.arange(9)).")
        if self.batch_size is not None:
            check_whole(self.batch_size, 1, "batch_size")
        check_whole(self.samples_per_chunk, 1, "samples_per_chunk")


def padded_batches(batch: Batch, batch_size: int | None = None) -> Iterator[tuple[Batch, int]]:
    """Go through a batch of any length in parts, each padded to one size."""
    size = batch_size or _usual_size(batch)
    for start in range(0, len(batch.row_id), size):
        yield _padded(batch, start, size)


_of_many = False


def take_as_of_many() -> None:
    """Pad few rows as many from now on, in this process: they then have the bits that they have among many."""
    global _of_many
    _of_many = True


def _rows_of(batch: Batch) -> int:
    return max(len(batch.row_id), BATCH_SIZES[-1] if _of_many else 0)


def _usual_size(batch: Batch) -> int:
    usual = next((size for size in BATCH_SIZES if _rows_of(batch) <= size), BATCH_SIZES[-1])
    return min(usual, max(1, MOST_CELLS // cells_of(batch)))


def cells_of(batch: Batch) -> int:
    """Count the cells of a row."""
    return max(1, sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(batch.x)))


def _padded(batch: Batch, start: int, size: int) -> tuple[Batch, int]:
    index = np.arange(start, min(start + size, len(batch.row_id)))
    padded = np.concatenate([index, np.full(size - len(index), index[0])])
    take = lambda leaf: (leaf if isinstance(leaf, SparseRows) else np.asarray(leaf))[padded]  # noqa: E731
    return jax.tree.map(take, batch), len(index)


def rows_in_cache(batch: Batch, samples: int, decoded: int = 0) -> int | None:
    """Count the rows whose decoded samples stay in a processor's cache: 4 MB, twice as fast as 80 MB."""
    # decoded: how many numbers a sample of a row is, where these are more than its cells.
    if jax.default_backend() != "cpu":
        return None
    cells = max(cells_of(batch), decoded) * samples
    if cells * BATCH_SIZES[0] > 2**19:  # to pad a few such rows takes longer than to compile a program for so few
        few = 1 << (_rows_of(batch) - 1).bit_length()
        return max(1, min(BATCH_SIZES[0], MOST_CELLS // 2 // cells, few))
    most = min(BATCH_SIZES[-1], 2**20 // cells // 16 * 16)
    return next((size for size in BATCH_SIZES if _rows_of(batch) <= size <= most), most)


def even(count: int, most: int) -> int:
    """How many of `count` draws are made at a time, at most so many, with none left for a program of their own."""
    return next((size for size in range(min(most, count), most // 2, -1) if count % size == 0), min(most, count))


def weights_of(batch: Batch) -> Shaped[np.ndarray, " B"] | None:
    """Give the weights of the rows in double precision."""
    return None if batch.weight is None else np.asarray(batch.weight, np.float64)


def map_rows(function: Callable[..., PyTree], rows: ModelRows) -> PyTree:
    """Apply a function of a model to all rows, in batches of one shape and one compiled program."""
    # The model is switched to inference (no dropout). Every row's randomness comes from its id, so the result does not
    # depend on order or chunking, up to rounding.
    refuse_other(rows, ModelRows, "rows", "Give latens.evidence.ModelRows(model, batch, key).")
    check_generator(rows.key)
    batch, preparation, key = rows.batch, rows.preparation, rows.key
    model, size = eqx.nn.inference_mode(rows.model), rows.batch_size or _usual_size(batch)
    double = jnp.result_type(float) == np.float64  # a setting of this thread that others do not see

    shared = (function, model, preparation, key, double)
    if _elsewhere is not None:
        batches = [_padded(batch, start, size) for start in range(0, len(batch.row_id), size)]
        found = _elsewhere(_of_part, shared, [(padded,) for padded, _ in batches])
        own = zip(found, batches)
        return _joined([jax.tree.map(lambda leaf, n=count: leaf[:n], made) for made, (_, count) in own])

    def part(start: int) -> PyTree:
        padded, count = _padded(batch, start, size)
        made = jax.tree.map(lambda leaf: leaf[:count], _of_part(*shared, padded))
        reached(start + count, len(batch.row_id))
        return made

    # The first part compiles. Then several at once: alone, small arrays leave all cores but one idle half of the time.
    parts, further = [part(0)], range(size, len(batch.row_id), size)
    if len(further) > 1 and jax.default_backend() == "cpu" and (os.cpu_count() or 1) > 1:
        padded, _ = _padded(batch, 0, size)
        with jax.enable_x64(double):
            alone = _apply.may_hold_pool(function, model, padded, preparation, key)
        if not alone:
            return _joined([*parts, *_at_once(part, further)])
    return _joined([*parts, *map(part, further)])


def _of_part(
    function: Callable[..., PyTree], model: PyTree, preparation: Preparation, key: Key, double: bool,
    padded: Batch,
) -> PyTree:  # fmt: skip
    with jax.enable_x64(double):
        values = _apply(function, model, padded, preparation, key)
    return jax.tree.map(np.asarray, values)


Elsewhere: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...], list[tuple[Any, ...]]], list[Any]]
"""What takes a function, what all its calls share, and the rest of each call, and gives what these make."""
_elsewhere: Elsewhere | None = None


@contextmanager
def computed_by(run: Elsewhere) -> Iterator[None]:
    """Have batches computed by other processes."""
    global _elsewhere
    _elsewhere = run
    try:
        yield
    finally:
        _elsewhere = None


def of_parts(function: Callable[..., Any], shared: tuple[Any, ...], parts: list[tuple[Any, ...]]) -> list[Any]:
    """A function of what is shared and of each part, here or where `computed_by` says."""
    if _elsewhere is not None:
        return _elsewhere(function, shared, parts)
    made = []
    for number, part in enumerate(parts):
        reached(number, len(parts))
        made.append(function(*shared, *part))
    return made


def map_draws(function: Callable[..., PyTree], rows: ModelRows) -> PyTree:
    """Apply a function that decodes draws of each row, to as many rows at once as stay in a processor's cache."""
    chunk = rows.samples_per_chunk
    known = function if isinstance(function, Partial) else Partial(function)
    # One Partial, not one around another: a program is known again by its parts, and the inner one is never the same.
    return map_rows(Partial(known.func, *known.args, **known.keywords, samples_per_chunk=chunk), in_cache(rows, chunk))


def in_cache(rows: ModelRows, samples: int) -> ModelRows:
    """As many rows at once as keep so many decoded samples in a processor's cache."""
    decoded = getattr(getattr(getattr(rows.model, "decoder", None), "head", None), "decoded", 0)
    return replace(rows, batch_size=rows.batch_size or rows_in_cache(rows.batch, samples, decoded))


def _at_once(part: Callable[[int], PyTree], starts: range) -> list[PyTree]:
    """`part` of every start, in a few threads."""
    # An error or Ctrl-C leaves at once and drops what has not begun.
    pool = ThreadPoolExecutor(min(MOST_AT_ONCE, os.cpu_count() or 1))
    try:
        return list(pool.map(part, starts))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _joined(parts: list[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def prepared_rows(rows: ModelRows) -> Shaped[np.ndarray, " B *x"]:
    """Prepare the rows as every other evaluation with this key sees them: random binarisations are the same ones."""
    return map_rows(_rows, replace(rows, model=None))


def _rows(model: PyTree, batch: Batch, key: Key) -> PyTree:
    return batch.x


@compiled
def _apply(function: Callable[..., PyTree], model: PyTree, batch: Batch, preparation: Preparation, key: Key) -> PyTree:
    prepared, draw_key = prepared_with(batch, preparation, key)
    return function(model, prepared, draw_key)


def prepared_with(batch: Batch, preparation: Preparation, key: Key) -> tuple[Batch, Key]:
    """Prepare rows as every evaluation with this key does, so that random binarisations agree."""
    data_key, draw_key = jax.random.split(key)
    return prepare_batch(preparation, batch, key=data_key), draw_key
