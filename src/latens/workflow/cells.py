"""Single cells of a mixed table under a model: what each may be, how odd it is, and which of a row are to blame."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from msgspec import structs

from latens.data import Dataset, equations, gaps, implied, ordered, rates, weekdays
from latens.data.columns import ColumnType
from latens.data.far import lone_values
from latens.data.suspects import MOST_NAMES, misspelt
from latens.errors import ConfigError
from latens.evaluation.impute import left_out
from latens.recipes.building.closed_forms import says_nothing
from latens.workflow.trained import TrainedModel

SELDOM = 0.01
"""Share of rows in which a cell is empty below which its being empty is odd."""
OUTER = 0.05
"""Share of the training rows on either side that says how far beyond them numbers may lie."""
ENOUGH = 200
"""Rows from which on they say how far beyond its interval a usual number lies."""
BETWEEN = 0.25
"""Part of the density of the shortest half that the mean of a date has at the most where it lies between two humps."""
LEAST_SPREAD = 0.05
"""The least distance from the median to the end of an interval, as a part of that between the ends of the column."""


class Blame(NamedTuple):
    r"""The cells of rows that are the least likely given the rest of their row."""

    column: np.ndarray  # the places of these columns, the oddest first, of shape (n, cells); -1 where a row has fewer
    p_value: np.ndarray  # the probability of a cell that is no likelier, of shape (n, cells)
    expected: np.ndarray  # what the cell would have been, stored, of shape (n, cells)
    low: np.ndarray  # the least cell of the interval around it, likewise; of a category the expected one
    high: np.ndarray  # the largest one, likewise


def typed_columns(trained: TrainedModel, flag: str) -> tuple[ColumnType, ...]:
    """The types of the columns of a model's table."""
    if trained.schema.types is None:
        what = "the columns of this model have no types of their own, of which a cell has an exact probability."
        raise ConfigError(what, where=flag, fix="Train with `latens fit DATA --typed`, or leave it out.")
    return trained.schema.types


def draws_of(trained: TrainedModel, num_samples: int) -> int:
    """How many draws of z stand for so many: one, where the tree of columns is kept and z says nothing."""
    start = trained.facts.get("start")
    kept = isinstance(start, dict) and start.get("kept") is True and says_nothing(trained.model)
    return 1 if kept else num_samples


def points(shares: Sequence[np.ndarray], types: Sequence[ColumnType]) -> Shaped[np.ndarray, "n columns"]:
    """One value for each cell of rows."""
    return np.stack([point(of, one) for of, one in zip(shares, types, strict=True)], axis=1)


def point(shares: Shaped[np.ndarray, "n segments"], one: ColumnType) -> Shaped[np.ndarray, " n"]:
    """One value for a cell: the likeliest category, or the mean of a number or a date."""
    if one.kind == "category":
        return np.asarray(one.firsts, np.float64)[(shares / np.asarray(one.widths)).argmax(axis=1)]
    middles = np.asarray(one.firsts) + 0.5 * (np.asarray(one.widths) - 1)
    mean = shares @ middles
    if one.kind != "date":
        return mean
    # A date between two years, say, would be in neither: there the mean has next to no probability.
    first, last = shortest_half(shares, one)
    segments, rows = np.arange(len(middles)), np.arange(len(mean))
    half = np.where((segments >= first[:, None]) & (segments <= last[:, None]), shares, 0.0)
    widths = np.asarray(one.widths)
    own = np.clip(np.searchsorted(one.firsts, mean, side="right") - 1, 0, len(middles) - 1)
    long = np.asarray(one.firsts)[last] + widths[last] - np.asarray(one.firsts)[first]
    seldom = shares[rows, own] / widths[own] < BETWEEN * half.sum(axis=1) / long
    return np.where(seldom, half @ middles / half.sum(axis=1), mean)


def shortest_half(shares: Shaped[np.ndarray, "n segments"], one: ColumnType) -> tuple[np.ndarray, np.ndarray]:
    """The first and last segment of the shortest stretch that holds half the probability."""
    firsts, ends = np.asarray(one.firsts), np.asarray(one.firsts) + np.asarray(one.widths)
    above = np.cumsum(shares, axis=1) / shares.sum(axis=1, keepdims=True)
    rows, count = np.arange(len(shares))[:, None], shares.shape[1]
    half = above - shares / shares.sum(axis=1, keepdims=True) + 0.5 - 1e-9
    # All rows in one search: each has a stretch of length 2 of its own.
    last = np.searchsorted((above + 2 * rows).ravel(), (half + 2 * rows).ravel()).reshape(half.shape) - rows * count
    last = np.minimum(last, count)
    length = np.append(ends, np.inf)[last] - firsts
    first = length.argmin(axis=1)
    return first, last[rows[:, 0], first]


def interval(shares: Shaped[np.ndarray, "n segments"], one: ColumnType, level: float) -> tuple[np.ndarray, np.ndarray]:
    r"""The central interval of a number or a date: as much probability on either side beyond it."""
    return quantile(shares, one, (1.0 - level) / 2.0), quantile(shares, one, (1.0 + level) / 2.0)


def quantile(shares: Shaped[np.ndarray, "n segments"], one: ColumnType, q: float) -> Shaped[np.ndarray, " n"]:
    """The first cell up to which there is a probability of q; cells of a segment are alike."""
    above = np.cumsum(shares, axis=1)
    above /= above[:, -1:]
    which = np.minimum((above < q - 1e-9).sum(axis=1), shares.shape[1] - 1)
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


def distances(
    shares: Shaped[np.ndarray, "n segments"], one: ColumnType, stored: Shaped[np.ndarray, " n"]
) -> Shaped[np.ndarray, " n"]:
    r"""How far numbers lie beyond their 90 % interval: 0 within; there $e^{-d}$ is what an exponential tail leaves."""
    # Taken from the median and the ends of the interval, which a few mistakes among the training rows do not move. On a
    # logarithmic scale where the interval has its median nearer to its middle there.
    marginal = np.asarray(one.shares)[None]
    ends = [one.low + one.step * quantile(shares, one, q) for q in (OUTER, 0.5, 1.0 - OUTER)]
    outer = [one.low + one.step * quantile(marginal, one, q)[0] for q in (OUTER, 1.0 - OUTER)]
    value = one.low + one.step * np.asarray(stored, np.float64)

    def on(scale: Any) -> tuple[np.ndarray, np.ndarray]:
        low, middle, high = (scale(each) for each in ends)
        least = LEAST_SPREAD * float(scale(outer[1]) - scale(outer[0])) + scale(ends[1] + one.step) - middle
        below, above = middle - low + least, high - middle + least
        beyond = np.maximum((low - scale(value)) / below, (scale(value) - high) / above)
        return np.log(0.5 / OUTER) * np.maximum(beyond, 0.0), np.abs(np.log(above / below))

    found, lean = on(np.asarray)
    if one.kind == "number" and min(one.low, value.min(initial=np.inf)) > 0:
        logs, own = on(np.log)
        found = np.where(own < lean, logs, found)
    return found


def given_rest(
    trained: TrainedModel, data: Dataset, rows: np.ndarray, *, num_samples: int = 100, seed: int = 0
) -> list[Shaped[np.ndarray, "rows segments"]]:
    """The probability of each category, or segment, of each column given the other cells of each row."""
    types = typed_columns(trained, "given_rest")
    batch = trained.batch(data, rows)
    shown = np.ones(batch.x.shape, bool) if batch.mask is None else np.array(batch.mask)
    if data.outside is not None:
        shown &= data.outside[rows] == 0
    known = trained.rows(replace(batch, mask=shown), seed=seed)
    return left_out(known, types, num_samples=draws_of(trained, num_samples))


def strange_cells(data: Dataset) -> list[tuple[int, int]]:
    """Find the cells with a name that no training row of the model had, and that is no rare one among many."""
    types = data.schema.types or ()
    return [(row, column) for row, column, _ in data.unseen if not types[column].starts]


def blame(
    trained: TrainedModel,
    data: Dataset,
    rows: np.ndarray,
    *,
    others: int,
    cells: int = 3,
    level: float = 0.9,
    num_samples: int = 100,
    seed: int = 0,
) -> Blame:
    r"""Find the cells of rows that the rest of the row makes the least likely."""
    # Each observed cell is compared with $p(x_j \mid x_{-j})$, as if it were hidden, by `p_values`, in which numbers
    # beyond those of the training rows count as missing; a name that no training row had has 0. These do not add up to
    # the surprise of the row: a wrong cell makes those that go with it look odd as well.
    # A mistake that trained the model has a share of its own there. So the p-value of a number is also that of a tail
    # which continues the interval of 90 %, stretched to hold 99 % of the rows. For dates it is that alone, as first and
    # last days are not odd.
    # others: the rows beyond which such a number lies, by `tails`.
    types = typed_columns(trained, "cells")
    strange = np.zeros(data.x.shape, bool)
    for row, column in strange_cells(data):
        strange[row, column] = True
    shown = strange | (np.ones(data.x.shape, bool) if data.mask is None else data.mask)
    p = np.full((len(rows), len(types)), np.inf)
    found, away = np.zeros((3, len(rows), len(types))), np.full(p.shape, np.nan)
    outside = np.zeros(p.shape) if data.outside is None else data.outside[rows]
    share = _seldom_empty(trained, data, rows)
    seldom = share < SELDOM
    farther = tails(outside, types, others, data.x[rows].astype(np.float64))[1]
    every = given_rest(trained, data, rows, num_samples=num_samples, seed=seed)
    for j, one in enumerate(types):
        own = np.flatnonzero(shown[rows, j] | seldom[:, j])
        if not len(own):
            continue
        shares = every[j][own]
        # Beyond the training rows a number is no likelier than the outermost segment given the rest of its row.
        outer = np.minimum((others + 1.0) * np.where(outside[own, j] < 0, shares[:, 0], shares[:, -1]), 1.0)
        beyond = 2.0 * farther[own, j] * outer
        inner = p_values(shares, one, data.x[rows[own], j], others)
        p[own, j] = np.where(outside[own, j] == 0, inner, beyond).clip(max=1.0)
        if not one.named:
            away[own, j] = distances(shares, one, data.x[rows[own], j] + outside[own, j])
        p[own[strange[rows[own], j]], j] = 0.0
        best = one.occurring(point(shares, one))
        low, high = (best, best) if one.kind == "category" else interval(shares, one, level)
        found[:, own, j] = np.clip(best, low, high), low, high
    if len(rows) >= ENOUGH:
        stretch = np.array([_stretch(each[np.isfinite(each)]) for each in away.T])
        tail = 2.0 * OUTER * np.exp(-np.nan_to_num(away) / stretch)
        dates = np.array([one.kind == "date" for one in types]) & (outside == 0)
        p = np.where(away > 0, np.where(dates, tail, np.minimum(p, tail)), p)
    p = np.where(seldom, share, p)
    _confirmed(p, trained, data, rows)
    _misspelt(p, data, rows, others)
    _out_of_order(p, trained, data, rows)
    _against_names(p, found, trained, data, rows)
    _against_equations(p, found, trained, data, rows)
    _against_rates(p, found, trained, data, rows)
    order = np.argsort(p, axis=1, kind="stable")[:, :cells]
    least = np.take_along_axis(p, order, axis=1)
    expected, low, high = (np.take_along_axis(each, order, axis=1) for each in found)
    named = np.isfinite(least)
    return Blame(np.where(named, order, -1), np.where(named, least, 1.0), expected, low, high)


def _stretch(away: Shaped[np.ndarray, " n"]) -> float:
    """By how much a tail is longer than an exponential one, which 99 % of the rows lie within."""
    return max(1.0, float(np.quantile(away, 0.99)) / np.log(2.0 * OUTER / 0.01)) if len(away) else 1.0


def _seldom_empty(trained: TrainedModel, data: Dataset, rows: np.ndarray) -> Shaped[np.ndarray, "rows columns"]:
    """How often an empty cell is empty in training rows like its own; 1 of cells that are not empty."""
    empty = np.zeros(data.x.shape, bool) if data.mask is None else ~np.asarray(data.mask)
    for row, column, _ in data.unseen:  # a name that no training row had
        empty[row, column] = False
    empty, rules = empty[rows], gaps.read(trained.facts.get("gaps"))
    if not empty.any() or not rules:
        return np.ones(empty.shape)
    # A column that is empty here and there, as where cells were emptied by hand, has no rows that never are.
    anywhere = np.isin(data.schema.names, [rule.column for rule in rules if not rule.other])
    shares = gaps.shares_of(rules, data.schema, np.asarray(data.x)[rows], empty)
    return np.where(empty & ~anywhere, shares, 1.0)


def _misspelt(p: np.ndarray, data: Dataset, rows: np.ndarray, others: int) -> None:
    """Lower the p-values of names that are a letter away from one that is far more frequent in the training rows."""
    for j, one in enumerate(data.schema.types or ()):
        if one.kind == "category" and not one.starts and len(one.values) <= MOST_NAMES:
            wrong = [code for _, code in misspelt(one.values, np.asarray(one.shares) * max(others, 1))]
            own = np.isin(np.asarray(data.x)[rows, j], wrong) & np.isfinite(p[:, j])
            p[own, j] = np.minimum(p[own, j], 1.0 / (others + 2.0))


def _out_of_order(p: np.ndarray, trained: TrainedModel, data: Dataset, rows: np.ndarray) -> None:
    """Lower the p-values of dates in an order, or on a day of the week, that hardly any training row has."""
    x, mask = weekdays.on_own_days(data, rows), None if data.mask is None else np.asarray(data.mask)[rows]
    for rule, _, k in ordered.placed(ordered.read(trained.facts.get("ordered")), data.schema):
        wrong = ordered.broken_in([rule], data.schema, x, mask)
        p[wrong, k] = np.minimum(p[wrong, k], (rule.broken + 1.0) / (rule.rows + 2.0))
    for rule in weekdays.read(trained.facts.get("weekdays")):
        wrong = weekdays.broken_in([rule], data.schema, x, mask)
        p[wrong] = np.minimum(p[wrong], (rule.broken + 1.0) / (rule.rows + 2.0))


def _against_names(p: np.ndarray, found: np.ndarray, trained: TrainedModel, data: Dataset, rows: np.ndarray) -> None:
    """Lower the p-values of the odder of two cells that hardly any row has together, and expect what a name says."""
    x, mask = weekdays.on_own_days(data, rows), None if data.mask is None else np.asarray(data.mask)[rows]
    for rule, by, k in implied.placed(implied.read(trained.facts.get("implied")), data.schema):
        wrong = np.flatnonzero(implied.broken_in([rule], data.schema, x, mask))
        as_expected = np.round(found[0, wrong][:, by]) == x[wrong][:, by]
        each = np.column_stack([p[wrong, k], np.where(as_expected, np.inf, p[wrong][:, by])])
        odder = np.array([k, *by])[each.argmin(axis=1)]
        p[wrong, odder] = np.minimum(p[wrong, odder], 1.0 / (rule.rows + 2.0))
        own = wrong[odder == k]
        found[:, own, k] = implied.told_by(rule, data.schema, x[own], None if mask is None else mask[own])


def _confirmed(p: np.ndarray, trained: TrainedModel, data: Dataset, rows: np.ndarray) -> None:
    """Leave out numbers that others give exactly: a total that adds up is not odd, whatever the model expects."""
    schema, x = data.schema, np.asarray(data.x)[rows]
    mask, outside = (None if one is None else np.asarray(one)[rows] for one in (data.mask, data.outside))
    names = schema.names
    cells = equations.numbers(x, schema, mask, outside)
    for rule in equations.placed(equations.read(trained.facts.get("equations")), schema):
        of = [names.index(name) for name in (rule.target, *rule.columns)]
        holds = np.isfinite(cells[:, of]).all(axis=1) & ~equations.broken_by(rule, names, cells)
        p[holds, of[0]] = np.maximum(p[holds, of[0]], 1.0)
    for one in rates.placed(rates.read(trained.facts.get("rates")), schema):
        k = names.index(one.target)
        place, sure = rates.given_by(one, schema, np.asarray(x, np.float64), mask)
        holds = sure & (place == np.round(x[:, k])) & np.isfinite(cells[:, k]) & np.isfinite(p[:, k])
        p[holds, k] = np.maximum(p[holds, k], 1.0)


def _against_equations(
    p: np.ndarray, found: np.ndarray, trained: TrainedModel, data: Dataset, rows: np.ndarray
) -> None:
    """Lower the p-values of numbers that break what nearly all training rows keep, and expect what the others give."""
    # Of the cells of an equation that does not hold the oddest is to blame, of those that no other rule bears out.
    rules = equations.placed(equations.read(trained.facts.get("equations")), data.schema)
    if not rules:
        return
    names, types = data.schema.names, data.schema.types or ()
    x = np.asarray(data.x)[rows]
    mask, outside = (None if one is None else np.asarray(one)[rows] for one in (data.mask, data.outside))
    cells = equations.numbers(x, data.schema, mask, outside)
    columns = {rule: [names.index(name) for name in (rule.target, *rule.columns)] for rule in rules}
    broken = {rule: equations.broken_by(rule, names, cells) for rule in rules}
    borne = [(columns[one], ~broken[one] & np.isfinite(cells[:, columns[one]]).all(axis=1)) for one in rules]
    for one, _, k in implied.numbers_in(implied.read(trained.facts.get("implied")), data.schema):
        borne.append(([k], implied.told_by(one, data.schema, x, mask) == np.round(x[:, k])))
    for rule in rules:
        own, wrong = columns[rule], np.flatnonzero(broken[rule])
        sound = np.zeros((len(wrong), len(own)), bool)
        for others, holds in borne:
            sound |= holds[wrong, None] & np.isin(own, others)
        sound &= ~sound.all(axis=1, keepdims=True)
        odder = np.where(sound, np.inf, p[wrong][:, own]).argmin(axis=1)
        for at, k in enumerate(own):
            here = wrong[odder == at]
            p[here, k] = np.minimum(p[here, k], 1.0 / (rule.rows + 2.0))  # the rows that break it are mistakes
            given = equations.other_of(rule, at - 1, names, cells) if at else equations.value_of(rule, names, cells)
            with np.errstate(all="ignore"):
                place = np.round((given[here] - types[k].low) / types[k].step)
                fits = (place >= 0) & (place < types[k].size)
            found[:, here[fits], k] = place[fits]


def _against_rates(p: np.ndarray, found: np.ndarray, trained: TrainedModel, data: Dataset, rows: np.ndarray) -> None:
    """Lower the p-values of numbers that are not another one times a rate which rows of their kind have."""
    x = np.asarray(data.x)[rows]
    mask, outside = (None if one is None else np.asarray(one)[rows] for one in (data.mask, data.outside))
    names = data.schema.names
    for rule in rates.placed(rates.read(trained.facts.get("rates")), data.schema):
        k, wrong = names.index(rule.target), rates.broken_in(rule, data.schema, x, mask, outside)
        p[wrong, k] = np.minimum(p[wrong, k], 1.0 / (rule.rows + 2.0))
        asked = np.array(x, np.float64)
        asked[:, k] = found[0, :, k]
        given, _ = rates.given_by(rule, data.schema, asked)
        found[:, wrong, k] = np.where(np.isfinite(given[wrong]), given[wrong], found[:, wrong, k])


def beyond_others(data: Dataset, known: Dataset) -> Dataset:
    """The rows with numbers beyond all training rows but a lone one as numbers beyond the training rows."""
    # A mistake that trained the model is in the grid of its column, and has its outermost segment to itself.
    outside = np.zeros(data.x.shape) if data.outside is None else np.array(data.outside, np.float64)
    x, train = np.array(data.x), known.subset("train")
    shown = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask)
    for j, one in enumerate(data.schema.types or ()):
        if one.kind not in ("number", "duration"):
            continue
        seen = train if known.mask is None else train[np.asarray(known.mask)[train, j]]
        others = np.asarray(known.x)[seen, j].astype(np.float64)
        if lone := lone_values(others):
            rest = others[~np.isin(others, lone)]
            inside = np.where(shown[:, j], np.clip(x[:, j], rest.min(), rest.max()), x[:, j])
            outside[:, j] += x[:, j] - inside
            x[:, j] = inside
    return replace(data, x=x, outside=outside) if outside.any() else data


def named_cells(blamed: Blame, data: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Write what `blame` found in the words of the table."""
    # returns: for the k-th cell of a row, from 1, the columns `cell_k` (its column), `value_k`, `expected_k` (of a
    # number with its interval) and `p_k`, eachof all rows, as text; empty for other rows.
    types: list[ColumnType] = list(data.schema.types or ())
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
            if own.after:  # the value says already since when
                expected, low, high = (
                    text.removesuffix(f" after {own.after.column}") for text in (expected, low, high)
                )
            if data.outside is not None and data.outside[row, j]:
                own = structs.replace(own, low=own.low + float(data.outside[row, j]) * own.step)
            there = data.mask is None or data.mask[row, j]
            value = unseen.get((row, j)) or (own.texts(data.x[row : row + 1, j])[0] if there else "empty")
            sure = types[j].kind == "category" or low == high
            about = expected if sure else f"{expected} ({low} to {high})"
            texts[:, row] = names[j], value, about, f"{blamed.p_value[i, k]:.3g}"
        made |= dict(zip((f"cell_{k + 1}", f"value_{k + 1}", f"expected_{k + 1}", f"p_{k + 1}"), texts))
    return made
