"""A tree of columns that is finer where columns are numbers, and another one for each name of one column."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from msgspec import structs
from scipy import sparse
from scipy.special import ndtr, ndtri

from latens.data.columns import ColumnType
from latens.data.dates import DAY
from latens.models.heads.table import middles_of
from latens.models.heads.tree import BINS, bins_of

FINER = 2
"""Bins of a number within each of those that are counted: there columns are related as two Normals are. Four gain a
tenth of a nat more, and take three times as long in every step and draw."""
INSIDE = 4
"""Places within a fine bin of the parent over which a copula is averaged."""
PLAIN, MOST_CORRELATED = 0.03, 0.995
"""The part of the shares of all rows beside a copula, and the largest correlation: no bin is ruled out by few rows."""
OF_ALL, OF_KIND = 20.0, 5.0
"""Rows with the spread within all kinds that each kind has beside its own, and rows with the shares of its Normal."""
SCREENED = 2
"""Folds that choose the column of kinds."""
MARGIN = 0.05
"""Nats a row on rows held out that finer bins, or trees of kinds, must gain to be taken: a step of training takes as
much longer as there are more ratios."""
LEAST_KNOWN = 0.9
"""The share of rows whose name is known, from which on a column may say which tree holds."""
NAMES = (16, 32)
"""Bins of names, where a column has more than `BINS`: what is said of rarer ones is said of all others together."""
MONTHS = 12
"""Bins of a date by its month."""
MOST_CHOSEN = 2**13
"""Rows of which each fold decides with its part."""
MOST_PAIRS, MOST_RATIOS, MOST_COLUMNS = 2**24, 2**18, 64
"""Ratios of all pairs, and those of a model, above which bins are less fine; columns above which no name decides."""


Spanning = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""The forest of the largest total score: the parents, and the columns in their order."""


@dataclass(frozen=True)
class Level:
    """The bins of each column, at one fineness."""

    bins: tuple[np.ndarray, ...]  # the bin of each segment of each column
    shares: Float[np.ndarray, "c B"]

    @staticmethod
    def of(types: Sequence[ColumnType], bins: Sequence[np.ndarray], most: int) -> "Level":
        """The level of these bins, of which there are `most`."""
        shares = np.zeros((len(types), most))
        for j, (one, own) in enumerate(zip(types, bins)):
            np.add.at(shares[j], own, one.shares)
        return Level(tuple(bins), shares / shares.sum(axis=1, keepdims=True))

    @property
    def most(self) -> int:
        """How many bins a column may have."""
        return self.shares.shape[1]

    @cached_property
    def edges(self) -> Float[np.ndarray, "c edges"]:
        """Where each bin begins and ends, as a quantile of a standard Normal."""
        upto = np.concatenate([np.zeros((len(self.shares), 1)), np.cumsum(self.shares, axis=1)], axis=1)
        return np.where(upto >= 1.0 - 1e-12, np.inf, ndtri(np.clip(upto, 0.0, 1.0)))

    @cached_property
    def places(self) -> Float[np.ndarray, "c B I"]:
        """Some places within each bin, likewise."""
        below = np.concatenate([np.zeros((len(self.shares), 1)), np.cumsum(self.shares, axis=1)[:, :-1]], axis=1)
        within = below[..., None] + self.shares[..., None] * ((np.arange(INSIDE) + 0.5) / INSIDE)
        return ndtri(np.clip(within, 1e-9, 1.0 - 1e-9))

    def ratios(self, p: np.ndarray, *, by_parent: bool = False) -> np.ndarray:
        """log p(bin) less that of the shares of all rows, of shape (..., c, B), by the parent's bin (..., c, B, B)."""
        shares = self.shares[:, None] if by_parent else self.shares
        there = shares > 0
        return np.log(np.maximum(np.where(there, p / np.where(there, shares, 1.0), 1.0), 1e-12))


def cut_finer(one: ColumnType, bins: Int[np.ndarray, " S"], parts: int) -> Int[np.ndarray, " S"]:
    """The bins of a number, each cut into parts of like mass."""
    if not has_scores(one):
        return bins
    shares, made, count = np.asarray(one.shares, np.float64), np.zeros(len(bins), int), 0
    for b in range(int(bins.max()) + 1):
        own = np.flatnonzero(bins == b)
        above = np.cumsum(shares[own]) - 0.5 * shares[own]
        part = np.minimum((above / max(shares[own].sum(), 1e-12) * parts).astype(int), parts - 1)
        part = np.unique(part, return_inverse=True)[1]
        made[own], count = count + part, count + int(part.max()) + 1
    return made


def has_scores(one: ColumnType) -> bool:
    """Whether a column has an order, and enough values for a correlation."""
    return one.kind != "category" and one.count > 2


class Cells(NamedTuple):
    """Rows as the segments of their cells."""

    segments: Int[np.ndarray, "n c"]
    mask: Bool[np.ndarray, "n c"]
    weight: Float[np.ndarray, " n"]
    types: tuple[ColumnType, ...]

    def some(self, chosen: np.ndarray) -> "Cells":
        """Those that are chosen."""
        return Cells(self.segments[chosen], self.mask[chosen], self.weight[chosen], self.types)

    def kinds_of(self, by: int | None) -> Int[np.ndarray, " n"]:
        """The kind of each row, -1 where it is not known; without a column of kinds all are of one."""
        return np.zeros(len(self.weight), int) if by is None else np.where(self.mask[:, by], self.segments[:, by], -1)

    def scores(self) -> Float[np.ndarray, "n c"]:
        """Each cell as a quantile of a standard Normal."""
        columns = [middles_of(one)[self.segments[:, j]] for j, one in enumerate(self.types)]
        return np.stack(columns, axis=1)

    def normal(self) -> "Normal":
        """The Normal that the scores of all rows have."""
        return _normal(_Sums.of(self.scores(), self.mask, self.weight), None)

    def binned(self, level: Level) -> Int[np.ndarray, "n c"]:
        """The bins of all cells."""
        return np.stack([level.bins[j][self.segments[:, j]] for j in range(len(self.types))], axis=1)


class Normal(NamedTuple):
    """The scores of the columns that have some, as those of a Normal: means, deviations and correlations."""

    mean: Float[np.ndarray, " c"]
    scale: Float[np.ndarray, " c"]
    correlation: Float[np.ndarray, "c c"]

    def bins(self, level: Level, scored: np.ndarray) -> Float[np.ndarray, "c B"]:
        """The shares of the bins of each column."""
        found = np.diff(ndtr((level.edges - self.mean[:, None]) / self.scale[:, None]), axis=1)
        found = found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)
        return np.where(scored[:, None], (1.0 - PLAIN) * found + PLAIN * level.shares, level.shares)

    def given(self, level: Level, i: int, scored: np.ndarray, own: np.ndarray) -> Float[np.ndarray, "c B B"]:
        """p(bin | bin of column i) of every column; of those without a score, and of none, its own shares."""
        made = np.broadcast_to(own[:, None, :], (*own.shape[:1], level.most, level.most)).copy()
        js = np.flatnonzero(scored & (np.arange(len(scored)) != i))
        if not scored[i] or not len(js):
            return made
        r, wide = self.correlation[i, js], self.scale[js]
        at = (level.places[i] - self.mean[i]) / self.scale[i]  # of shape (B, I)
        middle = self.mean[js, None, None] + (r * wide)[:, None, None] * at
        rest = (wide * np.sqrt(1.0 - r**2))[:, None, None, None]
        found = np.diff(ndtr((level.edges[js][:, None, None, :] - middle[..., None]) / rest), axis=-1).mean(axis=2)
        found = found / np.maximum(found.sum(axis=-1, keepdims=True), 1e-12)
        made[js] = (1.0 - PLAIN) * found + PLAIN * own[js][:, None, :]
        return made


OFTENER = 2.0
"""How many times as often as in all rows, and in half of a bin's rows, the other column must be missing beside it."""


def whole(pairs: Float[np.ndarray, "c c B B"], shares: Float[np.ndarray, "c B"]) -> Float[np.ndarray, "c c B B"]:
    """Counts of bins of a first column and of a second, as if rows of which the first is missing had one."""
    # A column may be missing wherever another has some name, which the rows that have both never show. Each such row
    # is spread as the rows with its second bin are, beside one with the shares of all; a first bin counts as it did.
    seen = np.broadcast_to(np.einsum("jjbb->jb", pairs), pairs.sum(axis=2).shape)
    missing = np.maximum(seen - pairs.sum(axis=2), 0.0)
    # What is missing at random says nothing: of a bin that has it far more often than the others it does.
    usual = missing.sum(axis=2, keepdims=True) / np.maximum(seen.sum(axis=2, keepdims=True), 1e-12)
    missing = np.where(missing > np.maximum(OFTENER * usual, 1.0 / OFTENER) * seen, missing, 0.0)
    given = (pairs + shares[:, None, :, None]) / (pairs.sum(axis=2, keepdims=True) + 1.0)
    made = pairs + missing[:, :, None, :] * given
    return made * (pairs.sum(axis=3, keepdims=True) / np.maximum(made.sum(axis=3, keepdims=True), 1e-12))


class Counted:
    """What some rows say of each pair of columns, at two levels, over all of them and of each kind."""

    def __init__(self, cells: Cells, levels: tuple[Level, Level], by: int | None, shrink: float) -> None:
        self.levels, self.by, self.shrink = levels, by, shrink
        types, columns = cells.types, len(cells.types)
        self.scored = np.array([has_scores(one) and j != by for j, one in enumerate(types)])
        kinds = cells.kinds_of(by)
        self.kinds = 1 if by is None else types[by].count
        scores, shown = cells.scores(), cells.mask
        self.all = cells.normal()
        coarse = levels[0]
        most, binned = coarse.most, cells.binned(coarse)
        rows, places = np.nonzero(cells.mask)
        at = binned[rows, places] + most * places
        ones = sparse.csr_matrix((np.ones(len(rows)), (rows, at)), shape=(len(kinds), columns * most))

        def pairs(chosen: np.ndarray | slice) -> np.ndarray:
            own = ones[chosen]
            found = (own.T.multiply(cells.weight[chosen]) @ own).toarray()
            return found.reshape(columns, most, columns, most).transpose(0, 2, 1, 3)

        self.pairs = whole(pairs(slice(None)), coarse.shares)
        self.of_kind: list[tuple[Normal, np.ndarray, np.ndarray]] = []
        if by is None:
            return
        each = [kinds == k for k in range(self.kinds)]
        sums = [_Sums.of(scores[own], shown[own], cells.weight[own]) for own in each]
        within = _within(sums)
        for own, one in zip(each, sums):
            normal = _normal(one, (self.all, within))
            counts = (ones[own].T @ cells.weight[own]).reshape(columns, most)
            self.of_kind.append((normal, counts, whole(pairs(own), coarse.shares)))

    def _fine(self, coarse: np.ndarray, copula: np.ndarray, i: int) -> np.ndarray:
        """p(fine bin | fine bin of i): between coarse bins as counted, within them as a copula has it."""
        low, high = self.levels
        if low is high:
            return coarse
        up, inside = self._up
        weight = inside[i] * high.shares[i][:, None]
        weight = weight / np.maximum(weight.sum(axis=0), 1e-12)
        of_copula = (weight.T @ copula) @ inside
        ratio = coarse / np.maximum(of_copula, 1e-12)
        columns = np.arange(len(up))[:, None, None]
        made = copula * ratio[columns, up[i][None, :, None], up[:, None, :]]
        return made / np.maximum(made.sum(axis=-1, keepdims=True), 1e-12)

    @cached_property
    def _up(self) -> tuple[np.ndarray, np.ndarray]:
        """The coarse bin of each fine one, of shape (c, B), and whether one lies in another, of shape (c, B, A)."""
        low, high = self.levels
        up = np.zeros(high.shares.shape, int)
        for j, (one, other) in enumerate(zip(low.bins, high.bins)):
            up[j, other] = one
        inside = (up[..., None] == np.arange(low.most)) & (high.shares[..., None] > 0)
        return up, inside.astype(np.float64)

    def _of_all(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """p(bin | bin of i) of every column over all rows, coarse and fine."""
        low, high = self.levels
        target = self.all.given(low, i, self.scored, low.shares)
        coarse = (self.pairs[i] + self.shrink * target) / (self.pairs[i].sum(axis=-1, keepdims=True) + self.shrink)
        copula = target if low is high else self.all.given(high, i, self.scored, high.shares)
        return coarse, self._fine(coarse, copula, i)

    def alone(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """p(bin) of every column within a kind, coarse and fine."""
        high = self.levels[1]
        normal, counts, _ = self.of_kind[k]
        fine = normal.bins(high, self.scored)
        of_normal = np.einsum("jb,jbA->jA", fine, self._up[1])
        coarse = (counts + OF_KIND * of_normal) / (counts.sum(axis=-1, keepdims=True) + OF_KIND)
        ratio = coarse / np.maximum(of_normal, 1e-12)
        fine = fine * ratio[np.arange(len(ratio))[:, None], self._up[0]]
        return coarse, fine / np.maximum(fine.sum(axis=-1, keepdims=True), 1e-12)

    def _within(self, k: int, i: int, all_coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p(bin | bin of i) of every column within a kind, coarse and fine."""
        low, high = self.levels
        normal, _, pairs = self.of_kind[k]
        coarse_alone, fine_alone = self._alone[k]
        # Two numbers are as the Normal of the kind has them; others as over all rows, tilted by what the kind says.
        tilted = all_coarse * (coarse_alone / np.where(low.shares > 0, low.shares, 1.0))[:, None, :]
        tilted = tilted / np.maximum(tilted.sum(axis=-1, keepdims=True), 1e-12)
        both = (self.scored & self.scored[i])[:, None, None]
        target = np.where(both, normal.given(low, i, self.scored, coarse_alone), tilted) if self.scored[i] else tilted
        coarse = (pairs[i] + self.shrink * target) / (pairs[i].sum(axis=-1, keepdims=True) + self.shrink)
        copula = target if low is high else normal.given(high, i, self.scored, fine_alone)
        return coarse, self._fine(coarse, copula, i)

    @cached_property
    def _alone(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self.alone(k) for k in range(len(self.of_kind))]

    def roots(self) -> list[np.ndarray]:
        """Log ratios of a column without a parent, in each way: as over all rows, by kind, and by kind and finer."""
        low, high = self.levels
        nothing = np.zeros((self.kinds, *low.shares.shape))
        if self.by is None:
            return [nothing]
        by_kind = [np.stack([own[level] for own in self._alone]) for level in range(2)]
        return [nothing, low.ratios(by_kind[0]), high.ratios(by_kind[1])]

    def edges(self, i: int) -> list[np.ndarray]:
        """Log ratios of every column given i, in each way: over all rows, those finer, by kind, by kind and finer."""
        coarse, fine = self._of_all(i)
        made = [level.ratios(one[None], by_parent=True) for level, one in zip(self.levels, (coarse, fine))]
        if self.by is not None:
            each = [np.stack(one) for one in zip(*(self._within(k, i, coarse) for k in range(self.kinds)))]
            made += [level.ratios(one, by_parent=True) for level, one in zip(self.levels, each)]
        return made


class _Sums(NamedTuple):
    """Sums of scores over rows that have both cells of a pair."""

    rows: np.ndarray  # shape (c,)
    mean: np.ndarray  # shape (c,)
    both: np.ndarray  # shape (c, c)
    products: np.ndarray  # of deviations, of shape (c, c)

    @staticmethod
    def of(scores: np.ndarray, shown: np.ndarray, weight: np.ndarray) -> "_Sums":
        """The sums of some rows."""
        heavy = weight[:, None] * shown
        rows = heavy.sum(axis=0)
        mean = (heavy * scores).sum(axis=0) / np.maximum(rows, 1e-12)
        far = np.where(shown, scores - mean, 0.0)
        return _Sums(rows, mean, heavy.T @ shown, (weight[:, None] * far).T @ far)


def _within(sums: Sequence[_Sums]) -> np.ndarray:
    """The covariance within kinds, over all of them."""
    both = sum(one.both for one in sums)
    return sum(one.products for one in sums) / np.maximum(both, 1.0)


def _normal(sums: _Sums, beside: tuple[Normal, np.ndarray] | None) -> Normal:
    """The Normal of some rows; beside: that of all rows, and the covariance within kinds, to which it is shrunk."""
    mean, covariance = sums.mean, sums.products / np.maximum(sums.both, 1.0)
    if beside is not None:
        every, within = beside
        mean = (sums.rows * sums.mean + every.mean) / (sums.rows + 1.0)
        covariance = (sums.products + OF_ALL * within) / (sums.both + OF_ALL)
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-4))
    correlation = covariance / (scale[:, None] * scale)
    return Normal(mean, scale, np.clip(correlation, -MOST_CORRELATED, MOST_CORRELATED))


class Refined(NamedTuple):
    """A tree of finer bins, and of kinds where there are some."""

    level: Level
    parents: Int[np.ndarray, " c"]
    order: Int[np.ndarray, " c"]
    log_ratios: np.ndarray  # of shape (c, B, B), or with kinds (K, c, B, B)
    by: int | None
    gains: Float[np.ndarray, " folds"]  # nats a row, on the rows of each fold that were held out

    def beats(self, other: "Refined") -> bool:
        """Whether it gains more by `MARGIN`, and by more than the error over folds."""
        more = self.gains - other.gains
        return bool(more.mean() > max(MARGIN, more.std(ddof=1) / math.sqrt(len(more))))


def refined(
    cells: Cells,
    bins: Sequence[np.ndarray],
    shrink: float,
    folds: Int[np.ndarray, " n"],
    spanning: Spanning,
    *,
    parts: int = FINER,
    trees: int = BINS,
) -> Refined | None:
    """The tree with finer bins, and of the kinds of one column if these gain more; None: neither gains."""
    of = partial(partial, _chosen, shrink=shrink, folds=folds, spanning=spanning)
    low, each = Level.of(cells.types, bins, BINS), of(cells)
    best = first = each(low, low, None, gain_alone=True)
    if parts > 1 and (dated := in_months(cells, low)) is not None:
        found = of(dated[0])(dated[1], dated[1], None)
        cells, low, best = (*dated, found) if found.beats(best) else (cells, low, best)
        each = of(cells)
    for wide in _with_names(cells.types, low, parts):
        found = each(wide, wide, None)
        low, best = (wide, found) if found.beats(best) else (low, best)
    levels = [2**k for k in range(1, parts.bit_length())]
    for by in (None, *_kinds_of(each, cells, low, trees)):
        many = 1 if by is None else cells.types[by].count
        finer = [high for level in levels if (high := _finer(cells.types, low, many, level)) is not low]
        for high in finer if by is None else [low, *finer]:
            found = each(low, high, by)
            best = found if found.beats(best) else best
    return None if best is first else best


def in_months(cells: Cells, low: Level) -> tuple[Cells, Level] | None:
    """The cells and bins with dates of more than a year by the month: what follows the seasons is alike every year."""
    # Months have no order that goes on from December to January, so such a column is one of names here.
    types, bins = list(cells.types), list(low.bins)
    for j, one in enumerate(cells.types):
        if is_day(one):
            middle = np.asarray(one.starts) + 0.5 * (np.asarray(one.widths) - 1)
            days = (one.low + one.step * np.array([0, one.size, *middle])) / (1 if one.written == "D" else DAY)
            if days[1] - days[0] > MOST_OF_A_YEAR and one.count > MONTHS:
                bins[j] = months_of(days[2:] + (0.5 if one.written == "D" else 0.0)).astype(np.int64) - 1
                types[j] = structs.replace(one, kind="category")
    if all(own is was for own, was in zip(bins, low.bins)) or not _fits(len(types), NAMES[0]):
        return None
    return cells._replace(types=tuple(types)), Level.of(types, bins, NAMES[0])


def _with_names(types: Sequence[ColumnType], low: Level, parts: int) -> Iterator[Level]:
    """The levels with more bins of names, where a column has more of them."""
    for most in NAMES:
        many = [one.kind == "category" and bool(one.values) and one.count > most // 2 for one in types]
        if parts > 1 and any(many) and _fits(len(types), most):
            yield Level.of(types, [bins_of(one, most) if more else own
                                   for one, more, own in zip(types, many, low.bins)], max(most, low.most))  # fmt: skip


def _fits(columns: int, most: int, kinds: int = 1) -> bool:
    """Whether there are not too many ratios of pairs, nor in a model."""
    ratios = kinds * columns * most**2
    return ratios * columns <= MOST_PAIRS and ratios <= MOST_RATIOS


def _finer(types: Sequence[ColumnType], low: Level, kinds: int, parts: int) -> Level:
    """The level with each bin of a number cut into parts; the coarse one without numbers, or with too many pairs."""
    most = max(low.most, parts * BINS)
    if not any(map(has_scores, types)) or not _fits(len(types), most, kinds):
        return low
    return Level.of(types, [cut_finer(one, own, parts) for one, own in zip(types, low.bins)], most)


def _kinds_of(each: Callable[..., Refined], cells: Cells, low: Level, trees: int) -> list[int]:
    """The column whose names gain most as kinds, at coarse bins; none where a table is too wide."""
    if len(cells.types) > MOST_COLUMNS or len(cells.types) < 3:
        return []
    known = cells.mask.mean(axis=0) >= LEAST_KNOWN
    some = [j for j, one in enumerate(cells.types) if known[j] and 2 <= one.count <= min(trees, BINS)]
    return sorted(some, key=lambda j: -each(low, low, j, gain_alone=True, rounds=SCREENED).gains.mean())[:1]


def _chosen(
    cells: Cells,
    low: Level,
    high: Level,
    by: int | None,
    *,
    shrink: float,
    folds: np.ndarray,
    spanning: Spanning,
    gain_alone: bool = False,
    rounds: int | None = None,
) -> Refined:
    """The tree whose edges gain most on rows held out, each in the way that does."""
    # rounds: folds that are held out, of the first ones; None for all.
    scores = _Scores(*_gains(cells, low, high, by, shrink, folds, rounds), by)
    # What a fold gains is by a tree that the others choose: of many ways the best of chance would gain otherwise.
    every = np.arange(len(scores.roots))
    gains = np.array([scores.gain(int(fold), scores.chosen(every[every != fold], spanning)) for fold in every])
    way, root_way, parents, order = scores.chosen(every, spanning)
    columns = np.arange(len(cells.types))
    if gain_alone:
        return Refined(high, parents, order, np.zeros(0), by, gains)
    counted, B = Counted(cells, (low, high), by, shrink), high.most
    ratios = np.zeros((counted.kinds, len(columns), B, B))
    of_roots, (up, _) = counted.roots(), counted._up
    for i in map(int, np.unique(parents)):
        of_edges = counted.edges(i) if np.any((parents == i) & (columns != i)) else []
        for j in map(int, columns[parents == i]):
            if j == by:
                continue
            if j == i:
                own, fine = of_roots[root_way[j]][:, j], root_way[j] == 2
                ratios[:, j] = (own if fine else own[:, up[j]])[:, None, :]
            else:
                own, fine = of_edges[way[i, j]][:, j], way[i, j] % 2 == 1
                ratios[:, j] = own if fine else own[:, up[i]][:, :, up[j]]
    return Refined(high, parents, order, ratios if by is not None else ratios[0], by, gains)


class _Choice(NamedTuple):
    way: Int[np.ndarray, "c c"]  # of each edge
    root_way: Int[np.ndarray, " c"]  # of each column without a parent
    parents: Int[np.ndarray, " c"]
    order: Int[np.ndarray, " c"]


class _Scores(NamedTuple):
    """What columns gain in each way, by fold; the column of kinds has no part in the tree."""

    roots: Float[np.ndarray, "folds of_roots c"]
    edges: Float[np.ndarray, "folds of_edges c c"]
    by: int | None

    def chosen(self, folds: np.ndarray, spanning: Spanning) -> _Choice:
        """The tree that gains most on some folds."""
        roots, edges = self.roots[folds].mean(axis=0), self.edges[folds].mean(axis=0)
        pairs = 0.5 * (edges + edges.transpose(0, 2, 1))
        alone = np.where(self._own, 0.0, roots.max(axis=0))
        score = pairs.max(axis=0) - 0.5 * (alone[:, None] + alone)
        score = np.where(self._own[:, None] | self._own | np.eye(len(alone), dtype=bool), 0.0, score)
        return _Choice(pairs.argmax(axis=0), roots.argmax(axis=0), *spanning(score))

    def gain(self, fold: int, by: _Choice) -> float:
        """What the rows of a fold gain by a tree, in nats a row."""
        columns, edges = np.arange(len(by.parents)), self.edges[fold]
        alone = self.roots[fold][by.root_way, columns]
        pairs = 0.5 * (edges[by.way[by.parents, columns], by.parents, columns])
        pairs += 0.5 * edges[by.way[by.parents, columns], columns, by.parents]
        own = 0.5 * (alone + alone[by.parents])
        return float(np.where(self._own, 0.0, alone + np.where(by.parents == columns, 0.0, pairs - own)).sum())

    @property
    def _own(self) -> np.ndarray:
        return np.arange(self.roots.shape[-1]) == (-1 if self.by is None else self.by)


def _gains(
    cells: Cells, low: Level, high: Level, by: int | None, shrink: float, folds: np.ndarray, rounds: int | None
) -> tuple[Float[np.ndarray, "folds of_roots c"], Float[np.ndarray, "folds of_edges c c"]]:
    """What each column gains without a parent, and given each other, in each way, in nats a row of each fold."""
    columns, count, roots, edges = np.arange(len(cells.types)), int(folds.max()) + 1, [], []
    for fold in range(rounds or count):
        test = cells.some(np.flatnonzero(folds == fold)[: -(-MOST_CHOSEN // count)])
        counted = Counted(cells.some(folds != fold), (low, high), by, shrink)
        kinds, binned = test.kinds_of(by), (test.binned(low), test.binned(high))
        weight = test.weight[:, None] * (test.mask & (kinds >= 0)[:, None])
        single, both = np.maximum(weight.sum(axis=0), 1.0), np.maximum(weight.T @ test.mask, 1.0)
        found = [
            (weight * ratios[kinds[:, None], columns, binned[way // 2]]).sum(axis=0)
            for way, ratios in enumerate(counted.roots())
        ]
        roots.append(np.stack(found) / single)
        each = [list(_of_edges(counted.edges(i), i, kinds, binned, weight, test.mask)) for i in range(len(columns))]
        edges.append(np.stack(each, axis=1) / both)
    return np.stack(roots), np.stack(edges)


def _of_edges(
    ways: list[np.ndarray], i: int, kinds: np.ndarray, binned: tuple, weight: np.ndarray, mask: np.ndarray
) -> Iterator[Float[np.ndarray, " c"]]:
    """The sum over rows of what every column gains given column i, in each way."""
    columns, own = np.arange(mask.shape[1]), weight[:, i, None] * mask
    for way, ratios in enumerate(ways):
        cells = binned[way % 2]
        kind = (kinds if len(ratios) > 1 else np.zeros_like(kinds))[:, None]
        yield (own * ratios[kind, columns, cells[:, i, None], cells]).sum(axis=0)


MOST_OF_A_YEAR = 400.0
"""Days of dates from which on their months count."""


def is_day(one: ColumnType) -> bool:
    """Whether a column holds dates that have a year, in no time zone."""
    return one.kind == "date" and not one.zone and one.written in ("D", "s")


def months_of(days: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The months of days since 1970, from 1."""
    return np.floor(days).astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1.0
