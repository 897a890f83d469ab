"""The dependence between the columns of a table, and how much of it samples have."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped
from scipy import sparse

from latens.evaluation.estimate import Estimate
from latens.evaluation.evidence.tree import BINS, MOST_BINS, MOST_ROWS, bins_of, cells_of, pair_gains
from latens.kinds.tables.columns import ColumnType

MOST_TEST = 2**13
"""Held-out rows that are looked at, the first."""
LEAST = 0.01
"""Nats a row that a pair of columns gains over independent ones, from which it counts."""


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


def dependence(
    train: Shaped[np.ndarray, "n c"],
    test: Shaped[np.ndarray, "B c"],
    fake: Shaped[np.ndarray, "k c"],
    types: Sequence[ColumnType],
    *,
    train_mask: np.ndarray | None = None,
    test_mask: np.ndarray | None = None,
    train_weight: np.ndarray | None = None,
) -> Estimate | None:
    r"""The slope of the dependence of pairs of columns in samples on that in held-out rows: 1 where it is all there."""
    # Of each pair the training rows give log ratios R_ab of its bins. Centred by the shares of a table, their mean over
    # its rows is $\sum_{ab} (p_{ab} - p_a p_b) R_{ab}$, which is linear in the joint shares: samples of a mixture of
    # the data and of independent columns have its weight as their slope, and few rows have no bias but 1/n.
    # returns: the quotient of the two sums over pairs, with its error by the delta method; None where no pair depends.
    # masks: true where a cell is observed; None: everywhere.
    if len(types) * BINS > MOST_BINS or len(types) < 2 or min(len(train), len(test), len(fake)) < 10:
        return None
    bins = [bins_of(one) for one in types]
    # As many rows as a tree is counted in; of held-out rows what fits into memory as ones and zeros.
    train_mask, train_weight = (None if one is None else one[:MOST_ROWS] for one in (train_mask, train_weight))
    train, test = train[:MOST_ROWS], test[:MOST_TEST]
    test_mask = None if test_mask is None else test_mask[:MOST_TEST]
    score, ratios = pair_gains(train, train_mask, types, bins, train_weight)
    ratios = np.where((np.triu(score, 1) >= LEAST)[..., None, None], ratios, 0.0)
    if not ratios.any():
        return None
    flat = ratios.transpose(0, 2, 1, 3).reshape(len(types) * BINS, -1)
    real, error = _mean_ratio(cells_of(test, test_mask, types, bins), flat)
    made, other = _mean_ratio(cells_of(fake, None, types, bins), flat)
    if not real > 4.0 * error:
        return None
    slope = made / real
    se = float(np.hypot(other / real, slope * error / real))
    protocol = "dependence of pairs of columns in samples over that in these rows, along the pairs of the training rows"
    return Estimate(slope, se, 1, len(test), protocol=protocol)


def _mean_ratio(cells: sparse.csr_matrix, ratios: Shaped[np.ndarray, "cB cB"]) -> tuple[float, float]:
    """The sum over pairs of the mean centred log ratio, with its standard error."""
    columns = len(ratios) // BINS
    ones = cells.toarray().reshape(-1, columns, BINS)
    there = ones.sum(axis=2)
    share = ones.sum(axis=0) / np.maximum(there.sum(axis=0)[:, None], 1.0)
    # A missing cell adds 0 to the pairs of its column, which are means over the rows that have both cells.
    centred = np.where(there[..., None] > 0, ones - share, 0.0).reshape(len(ones), -1)
    both = np.maximum(there.T @ there / len(ones), 1.0 / len(ones))
    rows = np.sum((centred @ (ratios / np.kron(both, np.ones((BINS, BINS))))) * centred, axis=1)
    return float(rows.mean()), float(rows.std(ddof=1) / np.sqrt(len(rows)))
