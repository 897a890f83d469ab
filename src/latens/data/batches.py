"""What one training or evaluation step is given: a small tree whose leaves have the rows as leading axis."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from latens.data.splits import mix
from latens.errors import DataError
from latens.kinds.counts.sparse import SparseRows
from latens.typing import AnyArray, Array, Bool, Float, Int, PyTree, Shaped, UInt32


class Batch(eqx.Module):
    """Rows of data with all that belongs to them; every leaf has B as its leading axis.

    Args:
        x: The observations, an array of shape (B, *x) or a tree of arrays; of many rows on their way to an evaluation,
            which takes a few at a time, also `SparseRows`.
        row_id: What a row's random key is made of, shape (B,), so that permuting, chunking or padding a batch keeps
            every row's noise; None for the row's position, 0 to B - 1.
        mask: True where a feature of `x` is observed, in the tree of `x`; None where all are.
        weight: How many times each row counts (0 for padding), shape (B,); None for once.
        cond: Named conditions.
        label: Number of each row's class, shape (B,); -1 for none.
        length: Length of each row, shape (B,); it is only passed on.
    """

    x: PyTree[Shaped[AnyArray, "B ..."] | Shaped[SparseRows, "B D"]]
    row_id: UInt32[AnyArray, " B"] = None  # pyright: ignore[reportAssignmentType]
    mask: PyTree[Bool[AnyArray, "B ..."]] | None = None
    weight: Float[AnyArray, " B"] | None = None
    cond: dict[str, Any] | None = None
    label: Int[AnyArray, " B"] | None = None
    length: Int[AnyArray, " B"] | None = None

    def __post_init__(self) -> None:
        if self.row_id is None:
            rows = jax.tree.leaves(self.x)[0].shape[0]
            self.row_id = jnp.arange(rows, dtype=jnp.uint32)

    @property
    def weights(self) -> Float[Array, " B"]:
        """`weight`, or ones where none was given."""
        return jnp.ones(self.row_id.shape[0]) if self.weight is None else jnp.asarray(self.weight)


def hash_rows(x: np.ndarray) -> np.ndarray:
    """Make a 32-bit id for each row from its bytes, for rows without a name.

    FNV-1a over 8-byte words, mixed. Equal rows get equal ids, in any order and any batch.

    Args:
        x: The rows, shape (n, *x).

    Returns:
        The ids, uint32 of shape (n,).
    """
    rows = np.ascontiguousarray(x).reshape(len(x), -1)
    raw = rows.view(np.uint8).reshape(len(x), -1)
    pad = -raw.shape[1] % 8
    words = np.pad(raw, ((0, 0), (0, pad))).view(np.uint64)
    state = np.full(len(x), 0xCBF29CE484222325, np.uint64)
    with np.errstate(over="ignore"):
        for column in words.T:
            state = (state ^ column) * np.uint64(0x100000001B3)
            state ^= state >> np.uint64(29)
    return mix(state)


def as_batch(x: PyTree, **fields: Any) -> Batch:
    """Make a `Batch` of arrays; rows without a `row_id` get one from their bytes (inside `jit`: from their position).

    Args:
        x: An array with B as its leading axis, or a tree of them.
        **fields: The other fields of `Batch`.

    Returns:
        The batch.

    Raises:
        DataError: For masked arrays.
    """
    if any(isinstance(leaf, np.ma.MaskedArray) and np.ma.is_masked(leaf) for leaf in jax.tree.leaves(x)):
        fix = "Give both: as_batch(x.filled(0), mask=~np.ma.getmaskarray(x)); or latens.read(x)."
        raise DataError("a batch holds cells and their mask separately.", where="x", fix=fix)
    row_id = fields.pop("row_id", None)
    if row_id is None and any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):
        return Batch(x, **fields)
    if row_id is None:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)]
        row_id = hash_rows(leaves[0])
        for leaf in leaves[1:]:
            row_id = mix(row_id.astype(np.uint64) << np.uint64(32) | hash_rows(leaf).astype(np.uint64))
    return Batch(
        jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)), x),
        jax.device_put(np.asarray(row_id, np.uint32)),
        **fields,
    )
