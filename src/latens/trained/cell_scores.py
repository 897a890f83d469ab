"""Single cells of a mixed table under a model: what each may be, how odd it is, and which of a row are to blame."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.kinds import kind_of
from latens.kinds.tables.columns import ColumnType
from latens.predictive.missing_cells import left_out
from latens.trained.trained_model import TrainedModel

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
