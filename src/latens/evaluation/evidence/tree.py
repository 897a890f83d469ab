"""The tree of columns that a table's rows have: chosen and counted in a second, a rival of every model of a table."""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Shaped
from scipy import sparse

from latens.data.columns import ColumnType
from latens.evaluation.evidence.cuts import cut_by
from latens.evaluation.evidence.kinds import FINER, Cells, Level, has_scores, refined, whole
from latens.models.heads.tree import BINS, TreeHead, bins_of
from latens.typing import Array

SHRINKS = (2.0, 5.0, 15.0, 50.0)
"""Rows with the shares of all rows, or of two numbers with those of a Normal copula, that every conditional has beside
its own; cross-validation chooses."""
FOLDS = 5
MOST_ROWS = 2**15
"""Rows that a tree is counted in."""
LEAST_CUT, MOST_CUT = 200, 2**13
"""Rows from which on bins are cut by what they say of other columns, and those that decide whether these are taken."""
MOST_BINS = 2048
"""Bins of all columns together, above which there is no tree: the counts of all pairs would not fit into memory."""


class ColumnTree(NamedTuple):
    """Which column depends on which, through which bins, and by how much; perhaps for each name of one column."""

    bins: tuple[np.ndarray, ...]  # the bin of each segment of each column, from 0
    parents: Int[np.ndarray, " c"]  # a root is its own
    order: Int[np.ndarray, " c"]  # each column after its parent
    # log p(bin | bin of the parent) - log p(bin), of shape (c, B, B), with kinds (K, c, B, B); 0 of a root without them
    log_ratios: np.ndarray
    types: tuple[ColumnType, ...]
    by: int | None = None  # the column whose names are kinds

    @property
    def most(self) -> int:
        """How many bins a column may have."""
        return self.log_ratios.shape[-1]

    @property
    def num_trees(self) -> int:
        """How many trees there are."""
        return 1 if self.by is None else len(self.log_ratios)

    @property
    def tree_of(self) -> np.ndarray | None:
        """The tree of each bin of the column of kinds: later names have that of the most frequent one."""
        if self.by is None:
            return None
        usual = int(np.argmax(self.types[self.by].shares))
        return np.where(np.arange(self.most) < self.num_trees, np.arange(self.most), usual)

    def log_prob(
        self, x: Shaped[np.ndarray, "n c"], mask: Shaped[np.ndarray, "n c"] | None = None
    ) -> Shaped[np.ndarray, " n"]:
        """The log probability of rows, summed over missing cells."""
        head = self.put_in(TreeHead(self.types, self.most, self.num_trees))
        shown = np.ones(x.shape, bool) if mask is None else np.asarray(mask)
        return np.asarray(_log_prob(head, jnp.asarray(np.where(shown, x, 0)), jnp.asarray(shown)), np.float64)

    def put_in(self, head: TreeHead) -> TreeHead:
        """A head of as many bins and kinds or more, with this tree."""
        many, most = head.num_trees, head.most
        ratios = self.log_ratios if many == 1 or self.by is not None else self.log_ratios[None]
        wide = [(0, many - len(ratios))] * (many > 1) + [(0, 0), *[(0, most - self.most)] * 2]
        tree_of = None if many == 1 else np.zeros(most, int)
        if self.tree_of is not None:
            tree_of = np.pad(self.tree_of, (0, most - self.most), mode="edge")
        return head.with_tree(self.parents, self.order, np.pad(ratios, wide), self.bins, self.by, tree_of)


@eqx.filter_jit
def _log_prob(head: TreeHead, x: Array, mask: Array) -> Array:
    tree = head(jnp.zeros(head.num_outputs))
    return jax.lax.map(lambda row: tree.log_prob_observed(*row), (x, mask), batch_size=1024)


def _places(x: np.ndarray, types: Sequence[ColumnType], bins: Sequence[np.ndarray]) -> np.ndarray:
    columns = [
        own[np.clip(np.searchsorted(one.firsts, x[:, j], side="right") - 1, 0, one.count - 1)]
        for j, (one, own) in enumerate(zip(types, bins))
    ]
    return np.stack(columns, axis=1)


def fit_tree(
    x: Shaped[np.ndarray, "n c"],
    mask: np.ndarray | None,
    types: Sequence[ColumnType],
    *,
    weight: Shaped[np.ndarray, " n"] | None = None,
    most: int = BINS,
    shrinks: Sequence[float] = SHRINKS,
    parts: int = FINER,
    trees: int = BINS,
) -> ColumnTree:
    r"""Choose the tree of columns with the largest cross-validated gain, and count its conditionals."""
    # parts: into how many a bin of a number may be cut where this gains; trees: names that may have one of their own.
    # An edge that gains nothing on rows that did not count is left out.
    # Source: Chow & Liu (1968), with the shrinkage of Friedman, Geiger & Goldszmidt (1997), section 4.
    shown, heavy = np.ones(x.shape, bool) if mask is None else np.asarray(mask), _heavy(weight, len(x))
    what = sha256(repr((x.shape, tuple(types), most, tuple(shrinks))).encode())
    for part in (np.where(shown, x, 0).astype(np.float64), shown, heavy):
        what.update(np.ascontiguousarray(part).tobytes())
    known = _COUNTED.setdefault(what.digest(), {})
    while len(_COUNTED) > MOST_COUNTED:
        del _COUNTED[next(iter(_COUNTED))]
    if (parts, trees) not in known:
        # What was chosen with more to choose from is chosen among less, if it is among that.
        own = next((one for (finer, many), one in known.items() if finer >= parts and many >= trees
                    and one.most <= most * parts and one.num_trees <= trees), None)  # fmt: skip
        rows = Rows(x, shown, tuple(types), weight)
        known[parts, trees] = own or _fitted(rows, most, shrinks, parts, trees)
    return known[parts, trees]


MOST_COUNTED = 8
_COUNTED: dict[bytes, dict[tuple[int, int], ColumnTree]] = {}
"""Trees of the rows that were counted last: the start of a training is also what it is held against at its end."""


def _heavy(weight: Shaped[np.ndarray, " n"] | None, rows: int) -> Shaped[np.ndarray, " n"]:
    """How often each row counts."""
    return np.ones(rows) if weight is None else np.asarray(weight, np.float64)


def _fitted(rows: "Rows", most: int, shrinks: Sequence[float], parts: int, trees: int) -> ColumnTree:
    """Choose and count a tree, as `fit_tree` does."""
    x, mask, types, weight = rows
    columns, bins = len(types), tuple(bins_of(one, most) for one in types)
    nothing = ColumnTree(bins, np.arange(columns), np.arange(columns), np.zeros((columns, most, most)), tuple(types))
    if columns * most > MOST_BINS or columns < 2 or len(x) < 2 * FOLDS:
        return nothing
    gains = partial(pair_gains, types=types, most=most, shrinks=shrinks)
    bins = chosen_bins(rows, bins, gains, most)
    score, ratios, shrink = gains(x, mask, bins=bins, weight=weight)
    if most == BINS and (parts > 1 or trees > 1):
        segments = _places(np.where(rows.mask, x, 0), types, [np.arange(one.count) for one in types])
        cells, folds = Cells(segments, rows.mask, _heavy(weight, len(x)), tuple(types)), np.arange(len(x)) % FOLDS
        better = refined(cells, bins, shrink, folds, _spanning, parts=parts, trees=trees)
        if better is not None:
            made = better.level.bins, better.parents, better.order, better.log_ratios, tuple(types), better.by
            return ColumnTree(*made)
    parents, order = _spanning(score)
    log_ratios = ratios[parents, np.arange(columns)]
    log_ratios[parents == np.arange(columns)] = 0.0
    return nothing._replace(bins=bins, parents=parents, order=order, log_ratios=log_ratios)


class Rows(NamedTuple):
    """Some rows of a table."""

    x: np.ndarray  # shape (n, c)
    mask: np.ndarray  # true where a cell was observed, of shape (n, c)
    types: tuple[ColumnType, ...]
    weight: np.ndarray | None  # how often each row counts, of shape (n,); None for once

    def some(self, chosen: np.ndarray) -> "Rows":
        """Those that are chosen."""
        weight = None if self.weight is None else self.weight[chosen]
        return Rows(self.x[chosen], self.mask[chosen], self.types, weight)


def chosen_bins(
    rows: Rows, bins: tuple[np.ndarray, ...], gains: Callable[..., tuple[np.ndarray, np.ndarray, float]], most: int
) -> tuple[np.ndarray, ...]:
    """Bins that are cut where neighbours in the tree change, if these gain more on rows that did not cut them."""
    if not any(_is_cut(one, most) for one in rows.types) or len(rows.x) < LEAST_CUT:
        return bins

    def worth(of: Rows, bins: tuple[np.ndarray, ...]) -> float:
        score, _, _ = gains(of.x, of.mask, bins=bins, weight=of.weight)
        return float(score[_spanning(score)[0], np.arange(len(of.types))].sum())

    few = rows.some(np.arange(min(len(rows.x), MOST_CUT)))
    halves = [few.some(np.arange(len(few.x)) % 2 == half) for half in range(2)]
    pairs = ((halves[0], halves[1]), (halves[1], halves[0]))
    if sum(worth(other, _cut(one, bins, gains, most)) - worth(other, bins) for one, other in pairs) <= 0.0:
        return bins
    return _cut(rows, bins, gains, most)


def _is_cut(one: ColumnType, most: int) -> bool:
    return one.kind != "category" and one.count > most


def _cut(
    rows: Rows, bins: tuple[np.ndarray, ...], gains: Callable[..., tuple[np.ndarray, np.ndarray, float]], most: int
) -> tuple[np.ndarray, ...]:
    """The bins of each column by those of its neighbours in the tree of these rows."""
    parents = _spanning(gains(rows.x, rows.mask, bins=bins, weight=rows.weight)[0])[0]
    segments = _places(np.where(rows.mask, rows.x, 0), rows.types, [np.arange(one.count) for one in rows.types])
    weight, made = _heavy(rows.weight, len(rows.x)), list(bins)
    for j, one in enumerate(rows.types):
        near = [k for k in range(len(parents)) if k != j and (parents[k] == j or parents[j] == k)]
        if not near or not _is_cut(one, most):
            continue
        counts = []
        for k in near:
            both, count = rows.mask[:, j] & rows.mask[:, k], np.zeros((one.count, most))
            np.add.at(count, (segments[both, j], made[k][segments[both, k]]), weight[both])
            counts.append(count)
        made[j] = cut_by(counts, most)
    return tuple(made)


def pair_gains(
    x: Shaped[np.ndarray, "n c"],
    mask: np.ndarray | None,
    types: Sequence[ColumnType],
    bins: Sequence[np.ndarray],
    *,
    weight: Shaped[np.ndarray, " n"] | None = None,
    most: int = BINS,
    shrinks: Sequence[float] = SHRINKS,
) -> tuple[Shaped[np.ndarray, "c c"], Shaped[np.ndarray, "c c B B"], float]:
    r"""What each pair of columns gains over independent ones on rows that did not count, its log ratios, and s."""
    # p(b | a) = (n_ab + s p(b)) / (n_a + s), shrunk to the shares of all rows; the ratios are led by a column and one
    # that depends on it. Of two columns with an order p(b) is p(b | a) of a Normal copula instead: shrunk to the
    # shares, a few hundred rows would say that numbers depend on each other by a quarter less than they do.
    # s is the one whose tree gains most. A gain is by row that has both cells, so that a column with gaps is not passed
    # over, and the mean over both directions.
    columns = len(types)
    alone = np.zeros((columns, most))
    for j, (one, own) in enumerate(zip(types, bins)):
        np.add.at(alone[j], own, one.shares)
    weight = _heavy(weight, len(x))
    ones, fold = cells_of(x, mask, types, bins, most), np.arange(len(x)) % FOLDS
    # counts[f][i, j, a, b]: rows of fold f with bin a in column i and b in column j
    counts = []
    for f in range(FOLDS):
        own = ones[fold == f]
        found = (own.T.multiply(weight[fold == f]) @ own).toarray()
        counts.append(found.reshape(columns, most, columns, most).transpose(0, 2, 1, 3))
    total = sum(counts[1:], start=counts[0])
    there, shares = alone[None, :, None, :] > 0, np.where(alone > 0, alone, 1.0)[None, :, None, :]

    def ratios(seen: np.ndarray, shrink: float, smooth: np.ndarray) -> np.ndarray:
        given = (seen + shrink * smooth) / (seen.sum(axis=-1, keepdims=True) + shrink)
        return np.log(np.where(there, given / shares, 1.0))

    gains = np.zeros((len(shrinks), columns, columns))
    for f, own in enumerate(counts):
        smooth = _copulas(x, mask, types, alone, np.where(fold == f, 0.0, weight))
        rest = whole(total - own, alone)
        gains += [(own * ratios(rest, shrink, smooth)).sum(axis=(2, 3)) for shrink in shrinks]
    best = (-np.inf, np.zeros((columns, columns)), shrinks[0])
    for shrink, gain in zip(shrinks, gains, strict=True):
        score = 0.5 * (gain + gain.T) / np.maximum(total.sum(axis=(2, 3)), 1.0)
        np.fill_diagonal(score, 0.0)
        worth = float(score[_spanning(score)[0], np.arange(columns)].sum())
        if worth > best[0]:
            best = (worth, score, shrink)
    return best[1], ratios(whole(total, alone), best[2], _copulas(x, mask, types, alone, weight)), best[2]


def _copulas(
    x: np.ndarray, mask: np.ndarray | None, types: Sequence[ColumnType], alone: np.ndarray, weight: np.ndarray
) -> Shaped[np.ndarray, "c c B B"]:
    """p(b | a) of a Normal copula for two columns with an order, and the shares of b for others."""
    shown = np.ones(x.shape, bool) if mask is None else np.asarray(mask)
    segments = _places(np.where(shown, x, 0), types, [np.arange(one.count) for one in types])
    scored, normal = np.array([has_scores(one) for one in types]), Cells(segments, shown, weight, tuple(types)).normal()
    level = Level((), alone)
    return np.stack([normal.given(level, i, scored, alone) for i in range(len(types))])


def cells_of(
    x: Shaped[np.ndarray, "n c"],
    mask: np.ndarray | None,
    types: Sequence[ColumnType],
    bins: Sequence[np.ndarray],
    most: int = BINS,
) -> sparse.csr_matrix:
    """A one for the bin of every observed cell, of shape (n, columns times `most`)."""
    shown = np.ones(x.shape, bool) if mask is None else np.asarray(mask)
    rows, places = np.nonzero(shown)
    at = _places(np.where(shown, x, 0), types, bins)[rows, places] + most * places
    return sparse.csr_matrix((np.ones(len(rows)), (rows, at)), shape=(len(x), len(types) * most))


def _spanning(score: Shaped[np.ndarray, "c c"]) -> tuple[np.ndarray, np.ndarray]:
    """The forest of the largest total score, by Prim's algorithm; the parents, and the columns in their order."""
    columns = len(score)
    parents, order = np.arange(columns), [int(np.maximum(score, 0.0).sum(axis=1).argmax())]
    left = np.ones(columns, bool)
    left[order[0]] = False
    value, by = score[order[0]].copy(), np.full(columns, order[0])
    while left.any():
        j = int(np.where(left, value, -np.inf).argmax())
        parents[j] = by[j] if value[j] > 0 else j
        left[j] = False
        order.append(j)
        better = score[j] > value
        value, by = np.where(better, score[j], value), np.where(better, j, by)
    return parents, np.array(order)


def tree_baseline(
    train: Shaped[np.ndarray, "n c"],
    test: Shaped[np.ndarray, "B c"],
    types: Sequence[ColumnType],
    *,
    order: Shaped[np.ndarray, " n"],
    train_mask: np.ndarray | None = None,
    test_mask: np.ndarray | None = None,
    train_weight: np.ndarray | None = None,
) -> np.ndarray:
    """The log probability of test rows under the tree that is counted in the training rows."""
    # train_mask, test_mask: true where a cell was observed; None: everywhere.
    # order: the ids of the training rows, of which the first count.
    kept = np.argsort(order, kind="stable")[:MOST_ROWS]
    weight = None if train_weight is None else train_weight[kept]
    made = fit_tree(train[kept], None if train_mask is None else train_mask[kept], types, weight=weight)
    return made.log_prob(test, test_mask)
