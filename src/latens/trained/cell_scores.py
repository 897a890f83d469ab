"""Cells and rows under a model: missing cells filled in, how odd a cell or row is, and which cells are to blame."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.data.dataset import Batch, hash_rows
from latens.data.row_fields import every_nth, row_keys
from latens.errors import DataError
from latens.evidence.estimate import finite
from latens.evidence.importance import row_numbers
from latens.kinds import kind_of
from latens.kinds.tables.columns import ColumnType
from latens.predictive.missing_cells import DRAWS, impute, left_out, log_observed
from latens.runtime import random_keys
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

OUTER = 0.05
"""Share of the training rows on either side that says how far beyond them numbers may lie."""


class Blame(NamedTuple):
    r"""The cells of rows that are the least likely given the rest of their row."""

    column: np.ndarray  # the places of these columns, the oddest first, of shape (n, cells); -1 where a row has fewer
    p_value: np.ndarray  # the probability of a cell that is no likelier, of shape (n, cells)
    expected: np.ndarray  # what the cell would have been, stored, of shape (n, cells)
    low: np.ndarray  # the least cell of the interval around it, likewise; of a category the expected one
    high: np.ndarray  # the largest one, likewise


def points(shares: Sequence[np.ndarray], types: Sequence[ColumnType]) -> Shaped[np.ndarray, "n columns"]:
    """One value for each cell of rows."""
    return np.stack([point(of, one) for of, one in zip(shares, types, strict=True)], axis=1)


def point(shares: Shaped[np.ndarray, "n segments"], one: ColumnType) -> Shaped[np.ndarray, " n"]:
    """One value for a cell: the likeliest category, the mean of a number, or the median of a date, which is a date."""
    if one.kind == "category":
        return np.asarray(one.firsts, np.float64)[(shares / np.asarray(one.widths)).argmax(axis=1)]
    if one.kind == "date":
        return quantile(shares, one, 0.5)
    return shares @ (np.asarray(one.firsts) + 0.5 * (np.asarray(one.widths) - 1))


def interval(shares: Shaped[np.ndarray, "n segments"], one: ColumnType, level: float) -> tuple[np.ndarray, np.ndarray]:
    r"""The central interval of a number or a date: as much probability on either side beyond it."""
    return quantile(shares, one, (1.0 - level) / 2.0), quantile(shares, one, (1.0 + level) / 2.0)


def quantile(shares: Shaped[np.ndarray, "n segments"], one: ColumnType, q: float) -> Shaped[np.ndarray, " n"]:
    """The first cell up to which there is a probability of q, in single precision; cells of a segment are alike."""
    above = np.cumsum(shares, axis=1)
    above /= above[:, -1:]
    which = np.minimum((above < q - 1e-6).sum(axis=1), shares.shape[1] - 1)
    rows = np.arange(len(shares))
    before = np.where(which > 0, above[rows, np.maximum(which - 1, 0)], 0.0)
    inside = (q - before) / np.maximum(above[rows, which] - before, 1e-300)
    widths, firsts = np.asarray(one.widths)[which], np.asarray(one.firsts)[which]
    return firsts + np.clip(np.ceil(inside * widths - 1e-6) - 1, 0, widths - 1)


def p_values(
    shares: Shaped[np.ndarray, "n segments"], one: ColumnType, stored: Shaped[np.ndarray, " n"], others: int = 0
) -> Shaped[np.ndarray, " n"]:
    r"""How odd cells are: the probability of a cell that is no likelier."""
    # Of a category c that is $\sum_{k: P(k) \le P(c)} P(k)$; of a number x it is $\min(1, 2\min(P(X \le x), P(X \ge
    # x)))$. others: training rows; of those in an outermost segment, m of them, one more lies beyond all with a
    # probability of 1 / (m + 1), so that no tail within it is less. 0: cells of a segment are alike to its end.
    rows, which = np.arange(len(shares)), np.searchsorted(one.firsts, stored, side="right") - 1
    own = shares[rows, which]
    if one.kind == "category":
        each = shares / np.asarray(one.widths)
        return np.where(each <= each[rows, which][:, None] * (1.0 + 1e-9), shares, 0.0).sum(axis=1)
    inside = (stored - np.asarray(one.firsts)[which] + 1.0) / np.asarray(one.widths)[which]
    below = np.cumsum(shares, axis=1)[rows, which] - own + own * inside
    least = own / (others * np.asarray(one.shares)[which] + 1.0) if others else np.zeros(len(own))
    below = np.where(which == 0, np.maximum(below, least), below)
    # Summed from its own end: 1 less what lies below has no digits left where that is nearly all.
    above = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1][rows, which] - own * inside
    cell = own / np.asarray(one.widths)[which]
    above = np.where(which == shares.shape[1] - 1, np.maximum(above + cell, least), above + cell)
    return np.clip(2.0 * np.minimum(below, above), 0.0, 1.0)


def tails(
    outside: Shaped[np.ndarray, "n columns"],
    types: Sequence[ColumnType],
    others: int,
    ends: Shaped[np.ndarray, "n columns"] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""How probable numbers beyond those of the training rows are."""
    # One more number lies beyond n others, on one side, with a probability of 1 / (n + 1) if all are alike; by d steps
    # of its grid or more with that times $r / (r + d - 1)$, where r is how far the outermost 5 % of the training rows
    # reach. ends: the outermost cell that is passed, where that is none of the grid.
    # returns: the log probability of each of these numbers (0 within), and the probability of one so far beyond or
    # farther (1 within), each
    log_p, farther = np.zeros(outside.shape), np.ones(outside.shape)
    for j, one in enumerate(types):
        beyond = np.flatnonzero(outside[:, j])
        if not len(beyond):
            continue
        shares = np.asarray(one.shares)[None]
        low, high = quantile(shares, one, OUTER), quantile(shares, one, 1.0 - OUTER)
        last = (0.0, one.size - 1.0) if ends is None else (ends[beyond, j], ends[beyond, j])
        reach = low - last[0], last[1] - high
        d = np.abs(outside[beyond, j].astype(np.float64))
        r = np.maximum(np.where(outside[beyond, j] < 0, *reach), 1.0)
        log_p[beyond, j] = np.log(r) - np.log(r + d - 1.0) - np.log(r + d) - np.log(others + 1.0)
        farther[beyond, j] = r / (r + d - 1.0) / (others + 1.0)
    return log_p, farther


def given_rest(
    trained: TrainedModel, data: Dataset, rows: np.ndarray, *, num_samples: int = 100, seed: int = 0
) -> list[Shaped[np.ndarray, "rows segments"]]:
    """The probability of each category, or segment, of each column given the other cells of each row."""
    types = trained.schema.column_types
    batch = trained.batch(data, rows)
    shown = np.ones(batch.x.shape, bool) if batch.mask is None else np.array(batch.mask)
    if data.outside is not None:
        shown &= data.outside[rows] == 0
    known = trained.rows(replace(batch, mask=shown), seed=seed)
    return left_out(known, types, num_samples=num_samples)


def strange_cells(data: Dataset) -> list[tuple[int, int]]:
    """Find the cells with a name that no training row of the model had, and that is no rare one among many."""
    types = data.schema.column_types
    return [(row, column) for row, column, _ in data.unseen if not types[column].starts]


def blame(
    trained: TrainedModel,
    data: Dataset,
    rows: np.ndarray,
    *,
    others: int,
    cells: int = 3,
    num_samples: int = 100,
    seed: int = 0,
) -> Blame:
    r"""Find the cells of rows that the rest of the row makes the least likely."""
    # Each observed cell is compared with $p(x_j \mid x_{-j})$, as if it were hidden, by `p_values`, in which numbers
    # beyond those of the training rows count as missing; a name that no training row had has 0. These do not add up to
    # the surprise of the row: a wrong cell makes those that go with it look odd as well.
    # others: the rows beyond which such a number lies, by `tails`.
    types = trained.schema.column_types
    kind_of(trained.schema).refuse("types", "cells")
    strange = np.zeros(data.x.shape, bool)
    for row, column in strange_cells(data):
        strange[row, column] = True
    shown = strange | (np.ones(data.x.shape, bool) if data.mask is None else data.mask)
    p = np.full((len(rows), len(types)), np.inf)
    found = np.zeros((3, len(rows), len(types)))
    outside = np.zeros(p.shape) if data.outside is None else data.outside[rows]
    farther = tails(outside, types, others, data.x[rows].astype(np.float64))[1]
    every = given_rest(trained, data, rows, num_samples=num_samples, seed=seed)
    for j, one in enumerate(types):
        own = np.flatnonzero(shown[rows, j])
        if not len(own):
            continue
        shares = every[j][own]
        # Beyond the training rows a number is no likelier than the outermost segment given the rest of its row.
        outer = np.minimum((others + 1.0) * np.where(outside[own, j] < 0, shares[:, 0], shares[:, -1]), 1.0)
        beyond = 2.0 * farther[own, j] * outer
        inner = p_values(shares, one, data.x[rows[own], j], others)
        p[own, j] = np.where(outside[own, j] == 0, inner, beyond).clip(max=1.0)
        p[own[strange[rows[own], j]], j] = 0.0
        best = point(shares, one)
        low, high = (best, best) if one.kind == "category" else interval(shares, one, 0.9)
        found[:, own, j] = np.clip(best, low, high), low, high
    order = np.argsort(p, axis=1, kind="stable")[:, :cells]
    least = np.take_along_axis(p, order, axis=1)
    expected, low, high = (np.take_along_axis(each, order, axis=1) for each in found)
    named = np.isfinite(least)
    return Blame(np.where(named, order, -1), np.where(named, least, 1.0), expected, low, high)


def _value(data: Dataset, row: int, column: int) -> Any:
    """A cell as it came, also beyond the numbers of the training rows."""
    one, here = data.schema.column_types[column], slice(row, row + 1)
    return one.series(data.x[here, column], None if data.outside is None else data.outside[here, column])[0]


def named_cells(blamed: Blame, data: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Write what `blame` found in the words of the table."""
    # returns: for the k-th cell of a row, from 1, the columns `cell_k` (its column), `value_k`, `expected_k` (of a
    # number with its interval) and `p_k`, eachof all rows, as text; empty for other rows.
    types: list[ColumnType] = list(data.schema.column_types)
    names = data.schema.names
    unseen = {(row, column): value for row, column, value in data.unseen}
    made: dict[str, np.ndarray] = {}
    for k in range(blamed.column.shape[1]):
        texts = np.full((4, len(data)), "", object)
        for i, (row, j) in enumerate(zip(rows.tolist(), blamed.column[:, k].tolist())):
            if j < 0:
                continue
            stored = (blamed.expected[i, k], blamed.low[i, k], blamed.high[i, k])
            own = types[j]
            expected, low, high = own.texts(np.array(stored))
            there = data.mask is None or data.mask[row, j]
            value = unseen.get((row, j)) or (str(_value(data, row, j)) if there else "empty")
            sure = types[j].kind == "category" or low == high
            about = expected if sure else f"{expected} ({low} to {high})"
            texts[:, row] = names[j], value, about, f"{blamed.p_value[i, k]:.3g}"
        made |= dict(zip((f"cell_{k + 1}", f"value_{k + 1}", f"expected_{k + 1}", f"p_{k + 1}"), texts))
    return made


HIDDEN, HIDDEN_ROWS, HIDDEN_DRAWS = 0.2, 200, 32
"""The share of cells that are hidden to see how well they are filled; rows of which; draws of z a row."""


class Imputation(NamedTuple):
    """Rows whose missing cells are filled in, in the units of the stored rows."""

    x: np.ndarray  # with the mean of each missing cell, or its likeliest category, shape (n, *x), float64
    draws: np.ndarray  # with every missing cell drawn, shape (n, M, *x), float64
    hidden: np.ndarray  # true where a cell was missing, shape (n, *x)
    rows: np.ndarray  # the positions of the m rows with missing cells
    shares: list[np.ndarray] | None  # of typed columns the probability of each segment in these rows, (m, segments)
    effective: np.ndarray  # the effective number of draws of z of these rows, (m,)


def imputed(
    trained: TrainedModel, batch: Batch, *, key: Key, num_samples: int = DRAWS, num_draws: int = 0, noise: bool = True
) -> Imputation:
    """Fill in the missing cells of rows by draws of p(missing | observed)."""
    # What is drawn for a row depends on the key and on the row alone, so that it is the same wherever the row came from
    # and whichever others there are; of equal rows each has noise of its own. noise: as of `impute`.
    x, types = np.array(batch.x, np.float64), trained.schema.column_types
    hidden = np.zeros(x.shape, bool) if batch.mask is None else ~np.asarray(batch.mask)
    rows = np.flatnonzero(hidden.reshape(len(x), -1).any(axis=1))
    drawn = np.repeat(x[:, None], num_draws, axis=1)
    if not len(rows):
        return Imputation(x, drawn, hidden, rows, [] if types else None, np.zeros(0))
    take = lambda leaf: np.asarray(leaf)[rows]  # noqa: E731
    gappy = jax.tree.map(take, batch)
    gone = hidden[rows]
    gappy = replace(gappy, row_id=_ids(np.where(gone, np.float32(np.nan), np.asarray(batch.x, np.float32)[rows])))
    found = impute(
        trained.rows(gappy, key=key), num_samples=num_samples, num_draws=num_draws, noise=noise, types=types or None
    )
    middle = points(found.shares or [], types) if types else trained.data_units(found.mean, mean=True)
    x[rows] = np.where(gone, finite(middle, "imputed cells"), x[rows])
    drawn[rows] = np.where(gone[:, None], trained.data_units(found.draws, mean=not noise), drawn[rows])
    return Imputation(x, finite(drawn, "draws"), hidden, rows, found.shares, found.effective)


class HiddenCells(NamedTuple):
    """Cells of held-out rows that were hidden at random, and what was filled in, as stored."""

    true: np.ndarray  # shape (n, D)
    filled: np.ndarray  # shape (n, D)
    draws: np.ndarray  # shape (n, M, D)
    cells: np.ndarray  # which cells were hidden, shape (n, D)


def hidden(trained: TrainedModel, data: Dataset, positions: np.ndarray, *, num_draws: int = 0) -> HiddenCells:
    """Hide a fifth of the observed cells of at most 200 rows, and fill them in."""
    batch = trained.batch(data, every_nth(positions, HIDDEN_ROWS))
    true = np.asarray(batch.x, np.float64)
    shown = np.ones(true.shape, bool) if batch.mask is None else np.asarray(batch.mask)
    cells = shown & (np.random.default_rng(0).random(true.shape) < HIDDEN)
    given = {"key": random_keys.of_seed(0), "num_samples": HIDDEN_DRAWS, "num_draws": num_draws}
    found = imputed(trained, replace(batch, mask=shown & ~cells), **given)
    return HiddenCells(true, found.x, found.draws, cells)


def _ids(x: np.ndarray) -> np.ndarray:
    """An id for each row from its cells and from how many equal rows stand before it."""
    ids = hash_rows(x)
    order = np.argsort(ids, kind="stable")
    begins = np.append(True, ids[order][1:] != ids[order][:-1])
    turn = np.empty(len(ids), np.int64)
    turn[order] = np.arange(len(ids)) - np.maximum.accumulate(np.where(begins, np.arange(len(ids)), 0))
    return np.where(turn == 0, ids, ids ^ row_keys(turn))


MOST_CALIBRATION = 5000
"""Held-out rows that a row is compared with; of a pattern of gaps that few rows have, a tenth."""

CODE = 2.0
"""How often the KL of a row's code counts beside -log p(x): a row that needs an unusual code is odd, although it may be
reconstructed well. On eight sets of ADBench the mean area under precision and recall is .798 (0: .783, 4: .803, five
nearest neighbours .810; `benchmarks/anomalies.py`)."""


class Scores(NamedTuple):
    r"""How odd rows are under a model."""

    surprise: np.ndarray  # $-\log p(x)$ of the observed cells, nats, of shape (n,)
    odd: np.ndarray  # the surprise and `CODE` times the KL of q(z | x) to p(z), nats, of shape (n,)


class Detection(NamedTuple):
    r"""What is unusual about rows."""

    # $-\log p(x)$ of the observed cells, nats, of shape (n,); of numbers beyond those of the training rows as `tails`
    # has it
    surprise: np.ndarray
    odd: np.ndarray  # what is compared with held-out rows: see `Scores`
    p_value: np.ndarray  # the share of held-out rows at least as odd, of shape (n,)
    # the expected share of false alarms if this row and all more unusual ones are flagged, of shape (n,)
    q_value: np.ndarray
    flagged: np.ndarray  # true where `q_value` is at most alpha
    calibration: int  # how many held-out rows there were


def detect(
    trained: TrainedModel,
    held_out: Dataset,
    positions: np.ndarray,
    new: Dataset,
    *,
    alpha: float = 0.05,
    gate: bool = True,
    num_samples: int = 100,
    seed: int = 0,
) -> Detection:
    r"""Compare rows with held-out ones by how odd they are under a model."""
    # The conformal p-value of a row is $(1 + \#\{i : s_i \ge s\}) / (m + 1)$ over m held-out rows: for a row like these
    # it is at most a with a probability of at most a, whatever the model. Flagging where q is at most alpha (Benjamini
    # & Hochberg) keeps the expected share of false alarms among the flagged below alpha. A row with gaps is compared
    # with held-out rows that have the same gaps. A row with a name that no training row had has the surprise infinity,
    # so that only held-out rows with such a name are as surprising, and is flagged whatever its q-value; one without
    # any cell has the surprise 0.
    # Source: Vovk, Gammerman & Shafer (2005); Bates, Candes, Lei, Romano & Sesia (2023), for outliers; Benjamini &
    # Hochberg (1995).
    if gate and len(positions) + 1 < 1.0 / alpha:
        what = f"{len(positions)} held-out rows cannot show a p-value of {alpha:g}: the smallest is 1 in all of them."
        raise DataError(what, where=held_out.name, fix=f"Hold out at least {int(np.ceil(1 / alpha))} rows.")
    order = np.random.default_rng(seed).permutation(positions)[:MOST_CALIBRATION]
    options: dict[str, Any] = {"num_samples": num_samples, "key": jax.random.key(seed)}
    surprise, odd = (np.array(part) for part in row_scores(trained, new, None, others=len(order), **options))
    shown = np.ones(new.x.shape, bool) if new.mask is None else new.mask
    patterns, which = np.unique(shown.reshape(len(new), -1), axis=0, return_inverse=True)
    strange = strange_rows(new)
    empty = ~shown.reshape(len(new), -1).any(axis=1) & ~strange
    surprise[empty] = odd[empty] = 0.0  # p of no cell is 1, and so is that of the same of any row
    p_value = np.full(len(new), (1.0 + np.count_nonzero(strange_rows(held_out)[order])) / (len(order) + 1.0))
    for k, pattern in enumerate(patterns):
        rows = np.flatnonzero((which.ravel() == k) & ~strange & ~empty)
        if not len(rows):
            continue
        own = order if len(patterns) <= 20 or pattern.all() else order[: max(MOST_CALIBRATION // 10, int(1 / alpha))]
        how: dict[str, Any] = {"shown": pattern.reshape(new.x.shape[1:]), "others": len(order), **options}
        p_value[rows] = conformal(row_scores(trained, held_out, own, **how).odd, odd[rows])
    p_value[empty] = 1.0
    q_value = adjusted(p_value)
    return Detection(surprise, odd, p_value, q_value, (q_value <= alpha) | strange, len(order))


def strange_rows(data: Dataset) -> Shaped[np.ndarray, " n"]:
    """Find the rows with a name that no training row of the model had, of columns without a tail of rare names."""
    found = np.zeros(len(data), bool)
    found[[row for row, _ in strange_cells(data)]] = True
    return found


def row_scores(
    trained: TrainedModel,
    data: Dataset,
    positions: np.ndarray | None,
    *,
    others: int,
    shown: np.ndarray | None = None,
    num_samples: int,
    key: Key,
    batch_size: int | None = None,
) -> Scores:
    r"""How odd rows are: $-\log p(x)$ of their observed cells, and the KL of their codes."""
    # A number beyond those of the training rows tells the model nothing but that it is there: its cell counts as
    # missing, and what `tails` says is added. A row with a name that no training row had, or of NaN, has infinity.
    batch = trained.batch(data, positions)
    mask = np.ones(batch.x.shape, bool) if batch.mask is None else np.array(batch.mask)
    mask &= True if shown is None else shown
    added = np.zeros(len(mask))
    if data.outside is not None:
        outside = data.outside if positions is None else data.outside[positions]
        ends = data.x if positions is None else data.x[positions]
        log_p, _ = tails(np.where(mask, outside, 0.0), data.schema.column_types, others, ends.astype(np.float64))
        added, mask = -log_p.sum(axis=1), mask & (outside == 0)
    if not mask.all():
        batch = replace(batch, mask=mask)
    rows = replace(trained.rows(batch, key=key), batch_size=batch_size)
    gaps = data.schema.cells.real and not mask.all()
    numbers = row_numbers(rows, num_samples=num_samples)
    kl = np.asarray(numbers.kl, np.float64)
    log_p = log_observed(rows, num_samples=num_samples) if gaps else np.asarray(numbers.weights.log_mean)
    strange = strange_rows(data) if positions is None else strange_rows(data)[positions]
    surprise = np.where(strange | np.isnan(log_p), np.inf, added - log_p)
    return Scores(surprise, surprise + CODE * np.where(np.isnan(kl), 0.0, kl))


def conformal(held_out: Shaped[np.ndarray, " m"], scores: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """The share of held-out scores that are at least as high, each score counted among them."""
    below = np.searchsorted(np.sort(held_out), scores, side="left")
    return (1.0 + len(held_out) - below) / (len(held_out) + 1.0)


def adjusted(p: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """P-values adjusted for how many there are, after Benjamini and Hochberg."""
    order = np.argsort(p)
    ratio = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1.0)
    return q
