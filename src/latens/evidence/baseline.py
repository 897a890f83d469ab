"""How probable rows are where cells are independent, in a tree, or tokens in a row: what a model must beat."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from latens.data.columns_and_conditions import MIN_SCALE
from latens.data.dataset import Batch, Dataset, training_rows
from latens.data.infer import MOST_MEASURED
from latens.data.mapped import few, take
from latens.data.schema import Schema
from latens.errors import DataError
from latens.kinds.counts.sparse import SparseRows, columns_of
from latens.kinds.tables.columns import ColumnType
from latens.runtime.compilation import counted
from latens.runtime.lazy_imports import special
from latens.typing import Array

Terms = Callable[[np.ndarray], np.ndarray]
"""From rows (B, D) to the log probability of each of their cells."""


@counted(levels=1)
def independent_baseline(
    train: np.ndarray | SparseRows,
    test: np.ndarray,
    kind: str,
    levels: int | None = None,
    *,
    train_mask: np.ndarray | None = None,
    test_mask: np.ndarray | None = None,
    train_weight: np.ndarray | None = None,
    divide: float = 1.0,
    common_unit: bool = False,
) -> np.ndarray:
    r"""The log-probability of each test row under a model of independent features fitted to the training rows.

    With n training rows, total t, mean m and sum of squared deviations S of a feature:

    - "binary" and "grey": a Bernoulli with p = (t + 1/2) / (n + 1); of grey features a cross-entropy.
    - "levels": the frequencies of the levels, with one row of pseudo-counts spread over them; or drawn to the
      frequencies in all features (of a picture's channel), by as many rows as training values left out favour.
    - "real": Student's t with n degrees of freedom, location m and squared scale $(S + s^2)(1 + 1/n)/n$. It is what is
      expected of a new value of a Normal whose mean has a flat prior and whose variance one row with the spread s.
      That spread is the feature's own, $s^2 = S / n$, so a change of units changes the density by that change and by
      nothing else. A feature that never varied has s = 1, the unit in which models standardise it; with `common_unit`
      every feature has the spread of all features together. One training row gives a Cauchy around it.
    - "counts": a negative binomial with mean $(t + 1/2) / n$ and $1/\theta = (1 + 1/n)/\hat\theta + 1/(t + 1/2)$, where
      $\hat\theta$ is the maximum-likelihood estimate, infinite where the variance is not above the mean. There it is
      what is expected of a new Poisson count after n of them, under Jeffreys' prior.

    A feature that no training row shows has every level or side of the coin alike; of numbers and counts it is treated
    as if one row had shown a 0.

    Args:
        train: Training rows, shape (n, *x); counts and levels are whole numbers.
        test: Test rows, shape (B, *x).
        kind: What the features are: "binary", "grey", "levels", "real" or "counts".
        levels: How many levels there are; for "levels".
        train_mask: True where a training value was observed; others do not enter the fit.
        test_mask: True where a test value was observed; others do not enter the result.
        train_weight: Shape (n,). Whole numbers count rows: a weight of 2 is the row twice. Of other weights only the
            ratios matter, and n is Kish's effective number of rows, $(\sum w)^2 / \sum w^2$.
        divide: Turns stored training values into the unit of the test values.
        common_unit: Whether all features have one unit, as pixels have and columns of a table have not.

    Returns:
        log p(x), shape (B,), nats.

    Raises:
        DataError: Where no training row has a weight above 0.
    """
    channels = train.shape[-1] if len(train.shape) == 4 else 1
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    fit = _Fit(train, train_mask, train_weight, divide)
    if kind == "levels":
        assert levels is not None
        terms = _level_terms(fit, levels, channels)
    elif kind == "counts":
        terms = _count_terms(fit)
    else:
        terms = _coin_terms(fit) if kind in ("binary", "grey") else _real_terms(fit, common_unit)
    shown = None if test_mask is None else test_mask.reshape(test.shape)
    parts = [np.sum(terms(test[part]), axis=1, where=True if shown is None else shown[part]) for part in _blocks(test)]
    return np.concatenate(parts)


class _Fit:
    """Training rows with what of them counts; every sum is in double precision and over observed cells."""

    def __init__(
        self, rows: np.ndarray | SparseRows, mask: np.ndarray | None, weight: np.ndarray | None, divide: float
    ) -> None:
        self.rows, self.divide = rows, divide
        self.seen = None if mask is None else mask.reshape(rows.shape)
        self.weight = np.ones(len(rows)) if weight is None else np.asarray(weight, np.float64)
        if not np.all(self.weight > 0):
            kept = self.weight > 0
            self.rows, self.weight = self.rows.take(np.flatnonzero(kept), axis=0), self.weight[kept]
            self.seen = None if self.seen is None else self.seen[kept]
        if not len(self.rows):
            raise DataError("no training row has a weight above 0.", where="weight", fix="Give some row a weight.")
        if np.any(self.weight != np.floor(self.weight)):
            self.weight = self.weight * (self.weight.sum() / (self.weight**2).sum())
        self.count = self.sums(np.ones_like)

    def sums(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The weighted sum over rows of a function of each cell."""
        total = np.zeros(self.rows.shape[1])
        for part in _blocks(self.rows):
            values = function(self.rows[part].astype(np.float64) / self.divide)
            total += self.weight[part] @ (values if self.seen is None else np.where(self.seen[part], values, 0.0))
        return total

    def first(self) -> np.ndarray:
        """The first observed value of every cell, 0 where there is none."""
        at = np.zeros(self.rows.shape[1], np.int64) if self.seen is None else self.seen.argmax(axis=0)
        values = self.rows[at, np.arange(len(at))].astype(np.float64) / self.divide
        return np.where(self.count > 0, values, 0.0)


def _level_terms(fit: _Fit, levels: int, channels: int) -> Terms:
    """How often each cell had each level."""
    cells = fit.rows.shape[1]
    counts = np.zeros(levels * cells)
    for part in _blocks(fit.rows):
        index = fit.rows[part].astype(np.int64) * cells + np.arange(cells)
        weight = np.broadcast_to(fit.weight[part, None], index.shape)
        kept = slice(None) if fit.seen is None else fit.seen[part]
        counts += np.bincount(index[kept].ravel(), weight[kept].ravel(), minlength=levels * cells)
    counts = counts.reshape(levels, cells)
    shares, rows = _drawn_to(counts, channels)
    log_p = np.log((counts + rows * shares[:, np.arange(cells) % channels]) / (fit.count + rows))
    return lambda rows: log_p[rows.astype(np.int64), np.arange(cells)]


STRENGTHS = tuple(4.0**k for k in range(8))
"""Rows that the shares of levels in all cells may count as, in each cell."""


def _drawn_to(counts: np.ndarray, channels: int) -> tuple[np.ndarray, float]:
    """Shares of levels (levels, channels) to which each cell is drawn, and how many rows they count as."""
    # Of few rows most levels were never seen in a cell. The choice is the one under which the training values are most
    # probable, each left out of the counts of its cell and of all cells.
    levels = len(counts)
    value, cell = np.nonzero(counts)
    channel, often = cell % channels, counts[value, cell]
    pooled = counts.reshape(levels, -1, channels).sum(1)
    other, others = (np.maximum(a - 1.0, 0.0) for a in (often, counts.sum(0)[cell]))
    # Each level counts once more in all cells: new pictures have some that no training picture had.
    alike, shared = np.full_like(pooled, 1.0 / levels), (pooled + 1.0) / (pooled.sum(0) + levels)
    left = np.maximum(pooled[value, channel], 1.0) / (np.maximum(pooled.sum(0)[channel] - 1.0, 0.0) + levels)
    choices = [(alike, 1.0 / levels, 1.0), *((shared, left, rows) for rows in STRENGTHS)]
    scores = [often @ np.log((other + rows * own) / (others + rows)) for _, own, rows in choices]
    shares, _, rows = choices[int(np.argmax(scores))]
    return shares, rows


def _coin_terms(fit: _Fit) -> Terms:
    p = (fit.sums(lambda rows: rows) + 0.5) / (fit.count + 1)
    log_odds, rest = np.log(p) - np.log1p(-p), np.log1p(-p)
    return lambda rows: rows * log_odds + rest


def _real_terms(fit: _Fit, common_unit: bool) -> Terms:
    n = np.maximum(fit.count, 1.0)
    # From a value of the cell itself: one that never varies then has a sum of squares of exactly 0.
    start = fit.first()
    mean = start + fit.sums(lambda rows: rows - start) / n
    squares = fit.sums(lambda rows: (rows - mean) ** 2)
    own = squares.sum() / n.sum() if common_unit else squares / n
    spread_squared = np.where(own >= MIN_SCALE**2, own, 1.0)
    scale = np.sqrt((squares + spread_squared) * (1 + 1 / n) / n)
    constant = -special.betaln(0.5, n / 2) - 0.5 * np.log(n) - np.log(scale)
    return lambda rows: constant - 0.5 * (n + 1) * np.log1p(((rows - mean) / scale) ** 2 / n)


def _count_terms(fit: _Fit) -> Terms:
    n, total = np.maximum(fit.count, 1.0), fit.sums(lambda rows: rows)
    mean = (total + 0.5) / n
    theta = 1.0 / ((1.0 + 1.0 / n) / _dispersion(fit, n, total / n) + 1.0 / (total + 0.5))
    constant, log_odds = -theta * np.log1p(mean / theta) - special.gammaln(theta), -np.log1p(theta / mean)
    return lambda rows: constant + special.gammaln(rows + theta) - special.gammaln(rows + 1.0) + rows * log_odds


def _dispersion(fit: _Fit, n: np.ndarray, mean: np.ndarray) -> np.ndarray:
    r"""The maximum-likelihood $\theta$ of each cell beside its mean."""
    # The root of $\sum_i w_i [\psi(x_i + \theta) - \psi(\theta)] + n \log\frac{\theta}{\theta + m}$: it exists where
    # the variance is above the mean, and is then the only one (Bandara, Gill & Mitra 2019). Infinite elsewhere.
    spread = fit.sums(lambda rows: (rows - mean) ** 2) / n
    over = np.flatnonzero(spread > mean)
    found = np.full(len(mean), np.inf)
    if not len(over):
        return found
    # Zeros add nothing to the sum, and equal counts of a cell the same: few digammas are left.
    chosen = np.isin(np.arange(len(mean)), over)
    every = ((j, cells) for j, cells in enumerate(columns_of(fit.rows)) if chosen[j])
    column, value, weight = (np.concatenate(parts) for parts in zip(*(_distinct(fit, j, cells) for j, cells in every)))
    place = np.searchsorted(over, column)
    low, high = np.full(len(over), -18.0), np.full(len(over), 18.0)
    for _ in range(50):
        middle = 0.5 * (low + high)
        theta = np.exp(middle)
        terms = weight * (special.digamma(value + theta[place]) - special.digamma(theta)[place])
        score = np.bincount(place, terms, minlength=len(over)) - n[over] * np.log1p(mean[over] / theta)
        low, high = np.where(score > 0, middle, low), np.where(score > 0, high, middle)
    found[over] = np.exp(0.5 * (low + high))
    return found


def _distinct(fit: _Fit, j: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The counts above 0 of a cell, each once, with the sum of their weights; and the cell's number as often."""
    kept = rows > 0 if fit.seen is None else (rows > 0) & fit.seen[:, j]
    value, inverse = np.unique(rows[kept].astype(np.float64), return_inverse=True)
    return np.full(len(value), j), value, np.bincount(inverse.ravel(), fit.weight[kept], minlength=len(value))


def _blocks(rows: np.ndarray | SparseRows) -> Iterator[slice]:
    """Parts of about two million cells, so that memory does not grow with the rows."""
    step = max(1, 2**21 // max(1, rows.shape[1]))
    return (slice(start, start + step) for start in range(0, len(rows), step))


STRENGTH = 8.0
"""Tokens that the shares of all tokens count as, beside those counted behind one token."""


def bigram_baseline(
    train: np.ndarray,
    test: np.ndarray | Array,
    vocabulary: int,
    *,
    test_mask: np.ndarray | None = None,
    train_weight: np.ndarray | None = None,
) -> np.ndarray:
    r"""The log probability of each test row under pairs of tokens counted in the training rows, in nats."""
    terms = bigram_terms(train, test, vocabulary, train_weight=train_weight)
    counted = _pairs(np.asarray(test))[2]
    return np.sum(terms, axis=1, where=counted if test_mask is None else counted & test_mask)


def bigram_terms(
    train: np.ndarray, test: np.ndarray | Array, vocabulary: int, *, train_weight: np.ndarray | None = None
) -> np.ndarray:
    r"""The log probability of each token of test rows given the one before it, in nats."""
    # $p(b \mid a) = (n_{ab} + 8 s_b) / (n_a + 8)$ with the shares $s_b$ of all tokens, each counted once more. A row
    # begins behind a 0 and ends with its first; of a beginning the rest is summed out, as no token depends on it.
    weight = np.ones(len(train)) if train_weight is None else np.asarray(train_weight, np.float64)
    before, after, counted = _pairs(train)
    place = before.astype(np.int64) * vocabulary + after
    often = np.bincount(place[counted], np.broadcast_to(weight[:, None], place.shape)[counted], vocabulary**2)
    counts = often.reshape(vocabulary, vocabulary)
    shares = counts.sum(0) + 1.0
    shares /= shares.sum()
    log_p = np.log((counts + STRENGTH * shares) / (counts.sum(1, keepdims=True) + STRENGTH))
    before, after, _ = _pairs(np.asarray(test))
    return log_p[before, after]


def _pairs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every token, the one before it, and whether it counts: whether no end stands before it."""
    rows = rows.astype(np.int64)
    before = np.concatenate([np.zeros_like(rows[:, :1]), rows[:, :-1]], axis=1)
    ended = np.cumsum(rows == 0, axis=1) > 0
    return before, rows, ~np.concatenate([np.zeros_like(ended[:, :1]), ended[:, :-1]], axis=1)


def tokens_counted(rows: np.ndarray | Array, mask: np.ndarray | None = None) -> np.ndarray:
    """How many tokens of each row count: those that were observed, the end among them."""
    counted = _pairs(np.asarray(rows))[2]
    return np.sum(counted if mask is None else counted & mask, axis=1)


def text_rivals(data: Dataset, batch: Batch) -> dict[str, tuple[str, np.ndarray]]:
    """What is simpler than a model of text, in words, with log p(x) of each row under it."""
    train, mask = few(data.subset("train"), MOST_MEASURED), None if batch.mask is None else np.asarray(batch.mask)
    weights = {"test_mask": mask, "train_weight": None if data.weight is None else data.weight[train]}
    found = bigram_baseline(take(data.x, train), np.asarray(batch.x), data.schema.num_values, **weights)
    return {"gain_over_bigram": ("tokens that depend on the one before, counted in", found)}


def text_counted(schema: Schema, batch: Batch) -> dict[str, np.ndarray]:
    """How many tokens and characters rows of text have, by the name of the bits of one; the end counts as one."""
    mask, x = None if batch.mask is None else np.asarray(batch.mask), np.asarray(batch.x)
    seen = x if mask is None else np.where(mask, x, 0)
    ended = np.any((x == 0) & (True if mask is None else mask), axis=1)
    characters = np.array([len(text) for text in schema.decode(seen)]) + ended
    return {"bits_per_token": tokens_counted(x, mask), "bits_per_character": characters}


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
