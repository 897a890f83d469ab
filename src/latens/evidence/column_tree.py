"""The tree of columns that a table's rows have, counted in NumPy: a rival of every model of a table."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from latens.data.dataset import Batch, Dataset, training_rows
from latens.kinds.tables.columns import ColumnType

BINS = 8
"""Bins of a column at the most, through which it depends on its parent and its children on it."""
SHRINKS = (2.0, 5.0, 15.0, 50.0)
"""Rows with the shares of all rows that every conditional has beside its own; cross-validation chooses."""
FOLDS = 5
MOST_ROWS = 2**15
"""Rows that a tree is counted in."""
MOST_BINS = 2048
"""Bins of all columns together, above which there is no tree: the counts of all pairs would not fit into memory."""


class ColumnTree(NamedTuple):
    """Which column depends on which, through which bins, and by how much."""

    types: tuple[ColumnType, ...]
    bins: tuple[np.ndarray, ...]  # the bin of each segment of each column, from 0
    parents: Int[np.ndarray, " c"]  # a root is its own
    order: Int[np.ndarray, " c"]  # each column after its parent
    log_ratios: Float[np.ndarray, "c B B"]  # log p(bin | bin of the parent) - log p(bin); 0 of a root

    def log_prob(
        self, x: Shaped[np.ndarray, "n c"], mask: Shaped[np.ndarray, "n c"] | None = None
    ) -> Float[np.ndarray, " n"]:
        """The log probability of rows, summed over missing cells by messages along the tree."""
        # Source: Pearl (1988).
        shown = np.ones(x.shape, bool) if mask is None else np.asarray(mask)
        x = np.where(shown, x, 0)
        place, alone = places_of(x, self.types, self.bins), shares_of(self.types, self.bins)
        below = np.where(shown[..., None], place[..., None] == np.arange(BINS), 1.0)
        found = np.zeros(len(x))
        for j in self.order[::-1]:
            parent, own = self.parents[j], alone[j] * np.exp(self.log_ratios[j])
            message = below[:, j] @ own.T
            found += np.log(message[:, 0] if parent == j else message.max(axis=1))
            if parent != j:
                below[:, parent] *= message / message.max(axis=1, keepdims=True)
        for j, one in enumerate(self.types):
            inside = one.log_shares(x[:, j]) - np.log(alone[j, place[:, j]])
            found += np.where(shown[:, j], inside, 0.0)
        return found


def bins_of(one: ColumnType) -> Int[np.ndarray, " S"]:
    """The bin of each segment: of a number neighbours of like mass, of names the frequent ones and all others."""
    shares = np.asarray(one.shares, np.float64)
    if one.count <= BINS:
        return np.arange(one.count)
    if one.kind == "category":
        return np.minimum(np.argsort(np.argsort(-shares, kind="stable"), kind="stable"), BINS - 1)
    above = np.cumsum(shares) - 0.5 * shares
    return np.unique(np.minimum((above / shares.sum() * BINS).astype(int), BINS - 1), return_inverse=True)[1]


def shares_of(types: Sequence[ColumnType], bins: Sequence[np.ndarray]) -> Float[np.ndarray, "c B"]:
    """The share of each bin of each column."""
    return np.stack([np.bincount(own, one.shares, BINS) for one, own in zip(types, bins)])


def places_of(
    x: Shaped[np.ndarray, "n c"], types: Sequence[ColumnType], bins: Sequence[np.ndarray]
) -> Int[np.ndarray, "n c"]:
    """The bin of each cell."""
    segments = [np.searchsorted(one.firsts, x[:, j], side="right") - 1 for j, one in enumerate(types)]
    pairs = zip(types, bins, segments)
    return np.stack([own[np.clip(at, 0, one.count - 1)] for one, own, at in pairs], axis=1)


def counts_of(
    at: Int[np.ndarray, "n c"], shown: Bool[np.ndarray, "n c"], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "c c B B"]:
    """The weight of the rows that have both bins, for each two bins of each two columns."""
    columns = at.shape[1]
    places, wide = at + BINS * np.arange(columns), BINS * columns
    found = [
        np.bincount(
            (at[:, [i]] * wide + places).ravel(), ((weight * shown[:, i])[:, None] * shown).ravel(), BINS * wide
        )
        for i in range(columns)
    ]
    return np.stack(found).reshape(columns, BINS, columns, BINS).transpose(0, 2, 1, 3)


def pair_gains(
    x: Shaped[np.ndarray, "n c"],
    mask: np.ndarray | None,
    types: Sequence[ColumnType],
    bins: Sequence[np.ndarray],
    weight: Float[np.ndarray, " n"] | None = None,
) -> tuple[Float[np.ndarray, "c c"], Float[np.ndarray, "c c B B"]]:
    r"""What each pair of columns gains over independent ones on rows that did not count, and its log ratios."""
    # p(b | a) = (n_ab + s p(b)) / (n_a + s); the ratios are led by a column and one that depends on it. s is the one
    # whose tree gains most. A gain is by row that has both cells, and the mean over both directions.
    columns, alone = len(types), shares_of(types, bins)
    heavy = np.ones(len(x)) if weight is None else weight
    shown, fold = np.ones(x.shape, bool) if mask is None else np.asarray(mask), np.arange(len(x)) % FOLDS
    at = places_of(np.where(shown, x, 0), types, bins)
    counts = [counts_of(at[own], shown[own], heavy[own]) for own in (fold == f for f in range(FOLDS))]
    total, shares = sum(counts[1:], start=counts[0]), alone[None, :, None, :]

    def ratios(seen: np.ndarray, shrink: float) -> np.ndarray:
        given = (seen + shrink * shares) / (seen.sum(axis=-1, keepdims=True) + shrink)
        return np.log(np.where(shares > 0, given, 1.0) / np.where(shares > 0, shares, 1.0))

    best = (-np.inf, np.zeros((columns, columns)), SHRINKS[0])
    for shrink in SHRINKS:
        gain = np.sum([(own * ratios(total - own, shrink)).sum(axis=(2, 3)) for own in counts], axis=0)
        score = 0.5 * (gain + gain.T) / np.maximum(total.sum(axis=(2, 3)), 1.0)
        np.fill_diagonal(score, 0.0)
        worth = float(score[_spanning(score)[0], np.arange(columns)].sum())
        best = max(best, (worth, score, shrink), key=lambda one: one[0])
    return best[1], ratios(total, best[2])


def fit_tree(
    x: Shaped[np.ndarray, "n c"],
    mask: np.ndarray | None,
    types: Sequence[ColumnType],
    weight: Float[np.ndarray, " n"] | None = None,
) -> ColumnTree:
    """Choose the tree of columns with the largest cross-validated gain, and count its conditionals."""
    # An edge that gains nothing on rows that did not count is left out.
    # Source: Chow & Liu (1968), with the shrinkage of Friedman, Geiger & Goldszmidt (1997), section 4.
    every, bins = np.arange(len(types)), tuple(map(bins_of, types))
    if len(types) * BINS > MOST_BINS or len(types) < 2 or len(x) < 2 * FOLDS:
        return ColumnTree(tuple(types), bins, every, every, np.zeros((len(types), BINS, BINS)))
    score, ratios = pair_gains(x, mask, types, bins, weight)
    parents, order = _spanning(score)
    log_ratios = np.where((parents == every)[:, None, None], 0.0, ratios[parents, every])
    return ColumnTree(tuple(types), bins, parents, order, log_ratios)


def _spanning(score: Float[np.ndarray, "c c"]) -> tuple[np.ndarray, np.ndarray]:
    """The forest of the largest total score, by Prim's algorithm; the parents, and the columns in their order."""
    parents, order = np.arange(len(score)), [int(np.maximum(score, 0.0).sum(axis=1).argmax())]
    left = np.ones(len(score), bool)
    left[order[0]] = False
    value, by = score[order[0]].copy(), np.full(len(score), order[0])
    while left.any():
        j = int(np.where(left, value, -np.inf).argmax())
        parents[j], left[j] = by[j] if value[j] > 0 else j, False
        order.append(j)
        value, by = np.maximum(value, score[j]), np.where(score[j] > value, j, by)
    return parents, np.array(order)


def table_rivals(data: Dataset, batch: Batch) -> dict[str, tuple[str, Float[np.ndarray, " n"]]]:
    """What is simpler than a model of a table, in words, with log p(x) of each row under it."""
    x, types = np.asarray(batch.x), data.schema.column_types
    mask = None if batch.mask is None else np.asarray(batch.mask)
    cells = np.stack([one.log_shares(x[:, i]) for i, one in enumerate(types)], axis=1)
    independent = np.sum(cells, axis=1, where=True if mask is None else mask)
    first, shown, weight = training_rows(data, MOST_ROWS)
    tree = fit_tree(first, shown, types, weight).log_prob(x, mask)
    return {
        "gain_over_independent": ("independent columns with the shares of", independent),
        "gain_over_tree": ("the tree of columns counted in", tree),
    }
