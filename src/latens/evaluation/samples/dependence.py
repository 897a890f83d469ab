"""The dependence between the columns of a table."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped

from latens.evaluation.evidence.tree import BINS, bins_of, cells_of
from latens.kinds.tables.columns import ColumnType


def associations(
    x: Shaped[np.ndarray, "n c"],
    types: Sequence[ColumnType],
    *,
    mask: np.ndarray | None = None,
    weight: Shaped[np.ndarray, " n"] | None = None,
) -> tuple[Float[np.ndarray, "c c B B"], Float[np.ndarray, "c c"]]:
    r"""The joint shares of the bins of each pair of columns, and Cramer's V of them, from 0 to 1."""
    # $V = \sqrt{\chi^2 / \min(r - 1, c - 1)}$ with $\chi^2 = \sum_{ij} (p_{ij} - p_{i.} p_{.j})^2 / (p_{i.} p_{.j})$.
    # Source: Cramer (1946), Mathematical Methods of Statistics, section 21.9.
    # returns: NaN for a pair of which no row has both cells, 0 where a column does not vary.
    ones = cells_of(x, mask, types, [bins_of(one) for one in types])
    counts = (ones.T @ (ones if weight is None else ones.multiply(weight[:, None]))).toarray()
    counts = counts.reshape(len(types), BINS, len(types), BINS).transpose(0, 2, 1, 3)
    total = counts.sum(axis=(2, 3), keepdims=True)
    joint = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    first, second = joint.sum(axis=3, keepdims=True), joint.sum(axis=2, keepdims=True)
    expected = first * second
    squares = np.divide((joint - expected) ** 2, expected, out=np.zeros(joint.shape), where=expected > 0)
    freedom = np.minimum((first > 0).sum(axis=2), (second > 0).sum(axis=3))[..., 0] - 1
    strength = np.sqrt(squares.sum(axis=(2, 3)) / np.maximum(freedom, 1))
    return joint, np.where(total[..., 0, 0] > 0, strength, np.nan)
