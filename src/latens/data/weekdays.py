"""Days of the week of a column of dates: those on which it never falls, and how often it falls on the others."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.dates import DAY
from latens.data.ordered import cell_of, dates_of
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

LEAST_ROWS, MISTAKES = 150, 0.002
"""Dates from which on a day may count as one that they never have, and the share of mistakes."""
CHANCE = 2e-4
"""The probability by chance below which the dates miss as many days of the week as they do.

By chance `n` different days miss `m` of the week in (7 over m) ((7 - m) / 7)^n of tables at the most.
"""
LEAST_DAYS = 70
"""Different dates from which on days of the week may differ in how often they come."""
NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
UNLIKELY = 1e-6
"""The probability by chance below which days of the week count as unlike one another."""
MOVES = (-1, 1, -2, 2, -3, 3)
"""Days by which a date is moved off a closed day, the first that fits."""


class Closed(NamedTuple):
    """A column of dates, and a day of the week that they do not have."""

    column: str
    day: int  # from 0 for Monday
    rows: int  # with a date
    broken: int  # of these, on that day

    @property
    def words(self) -> str:
        """The rule, as it stands in a sentence."""
        return f"Column {self.column!r} is a {NAMES[self.day]}"


def found_in(data: Dataset) -> tuple[Closed, ...]:
    """Find the days of the week that the dates of a mixed table hardly ever have, and not by chance."""
    found, names = [], data.schema.names
    for k, dates in _days(on_own_days(data), data.schema).items():
        shown = dates if data.mask is None else dates[np.asarray(data.mask)[:, k]]
        counts = np.bincount(shown % 7, minlength=7)
        closed = np.flatnonzero(counts <= MISTAKES * len(shown)).tolist()
        missed, left = math.comb(7, len(closed)), (7 - len(closed)) / 7
        sure = missed * left ** len(np.unique(shown)) <= CHANCE
        if len(shown) >= LEAST_ROWS and sure and np.count_nonzero(counts) > 1:
            found += [Closed(names[k], day, len(shown), int(counts[day])) for day in closed]
    return tuple(found)


def read(stored: Any) -> tuple[Closed, ...]:
    """The rules that a model file holds."""
    return rules_in(Closed, stored, lambda one: 0 <= one.day < 7 and 0 <= one.broken <= one.rows)


def broken_in(
    rules: Sequence[Closed], schema: Schema, x: np.ndarray, among: np.ndarray | None = None
) -> Bool[np.ndarray, "n columns"]:
    """Which dates of stored rows lie on a day that the data do not have, among these cells."""
    names, days = schema.names, _days(x, schema)
    found = np.zeros(np.shape(x), bool)
    for rule in rules:
        k = names.index(rule.column) if rule.column in names else -1
        if k in days:
            found[:, k] |= days[k] % 7 == rule.day
    return found if among is None else found & among


def opened(
    rules: Sequence[Closed], schema: Schema, x: Float[np.ndarray, "n columns"], hidden: np.ndarray
) -> Float[np.ndarray, "n columns"]:
    """Stored rows in which a filled date on a day that the data do not have lies on the nearest one that they have."""
    x, types = np.array(x, np.float64), schema.types or ()
    names = schema.names
    for k in sorted({names.index(rule.column) for rule in rules if rule.column in names}):
        for move in MOVES:
            wrong = broken_in(rules, schema, x, hidden)[:, k]
            if not wrong.any():
                break
            dates = dates_of(x, schema)
            cell = np.round(cell_of(dates[k] + move * day_of(types[k]), k, dates, names, types))
            there = x.copy()
            there[:, k] = np.where(wrong & (cell >= 0) & (cell < types[k].size), cell, x[:, k])
            fits = wrong & ~broken_in(rules, schema, there, hidden)[:, k]
            x[fits] = there[fits]
    return x


def at_their_first(
    rules: Sequence[Closed], schema: Schema, x: Float[np.ndarray, "n columns"], but: Collection[str] = ()
) -> Float[np.ndarray, "n columns"]:
    """Stored new rows whose dates on a closed day lie on the first day of their segment, where each has an open one."""
    # A date of few days has a segment from each of them to the next: Friday to Monday. Drawn anew, Fridays would be a
    # quarter of what they are. but: columns that stay.
    x, names, types = np.array(x), schema.names, schema.types or ()
    for name in {rule.column for rule in rules} - {*but}:
        k = names.index(name) if name in names else -1
        own = [rule for rule in rules if rule.column == name]
        if k < 0 or types[k].kind != "date" or max(types[k].widths) * types[k].step >= 7 * day_of(types[k]):
            continue
        firsts = np.asarray(types[k].firsts, np.float64)
        each = np.tile(np.zeros(len(names)), (len(firsts), 1))
        each[:, k] = firsts
        if broken_in(own, schema, each)[:, k].any():
            continue
        segment = np.searchsorted(firsts, np.round(x[:, k]), side="right") - 1
        x[:, k] = np.where(broken_in(own, schema, x)[:, k], firsts[np.maximum(segment, 0)], x[:, k])
    return x


class Shares(NamedTuple):
    """A column of dates that are more often on some days of the week, and how many rows each day has."""

    column: str
    counts: tuple[int, ...]  # from Monday on


def shares_in(data: Dataset) -> tuple[Shares, ...]:
    """Find the columns of dates whose days of the week differ by more than chance, among those they have."""
    from scipy.stats import chisquare

    found, types = [], data.schema.types or ()
    names = data.schema.names
    for k, dates in _days(on_own_days(data), data.schema).items():
        shown = dates if data.mask is None else dates[np.asarray(data.mask)[:, k]]
        counts = np.bincount(shown % 7, minlength=7)
        open_ = counts > MISTAKES * len(shown)
        many = len(shown) >= LEAST_ROWS and len(np.unique(shown)) >= LEAST_DAYS and open_.sum() > 1
        if types[k].kind == "date" and many and chisquare(counts[open_]).pvalue < UNLIKELY:
            found.append(Shares(names[k], tuple(np.where(open_, counts, 0).tolist())))
    return tuple(found)


def read_shares(stored: Any) -> tuple[Shares, ...]:
    """The shares that a model file holds."""
    return rules_in(Shares, stored, lambda one: len(one.counts) == 7 and min(one.counts) >= 0 and max(one.counts) > 0)


def spread(
    rules: Sequence[Shares], schema: Schema, x: Float[np.ndarray, "n columns"], rng: np.random.Generator
) -> Float[np.ndarray, "n columns"]:
    """Stored new rows whose dates have the days of the week as often as the data, moved within their week."""
    # The model holds days that follow one another as alike. So a date leaves a day that has more than its share with
    # the probability of what is too much, for one of those that lack some.
    x, types = np.array(x, np.float64), schema.types or ()
    names = schema.names
    for rule in rules:
        dates = dates_of(x, schema)
        k = names.index(rule.column) if rule.column in names else -1
        if k not in dates or types[k].kind != "date":
            continue
        want = np.asarray(rule.counts) / sum(rule.counts)
        have = (want > 0) / np.count_nonzero(want)
        lack = np.maximum(want - have, 0.0)
        day, leaves = _days(x, schema)[k] % 7, rng.random(len(x))
        too_many = np.maximum(have - want, 0.0) / np.maximum(have, 1e-12)
        to = rng.choice(7, len(x), p=lack / lack.sum()) if lack.any() else day
        cell = np.round(cell_of(dates[k] + (to - day) * day_of(types[k]), k, dates, names, types))
        moved = (leaves < too_many[day]) & (cell >= 0) & (cell < types[k].size)
        x[moved, k] = cell[moved]
    return x


def day_of(one: ColumnType) -> int:
    """A day in the unit of the dates of a column."""
    return 1 if (one.after or one).written == "D" else DAY


def on_own_days(data: Dataset, rows: Any = slice(None)) -> Any:
    """Stored rows whose dates beyond those of the training rows are those that are written, on their own days."""
    types = data.schema.types
    if data.outside is None or types is None:
        return data.x[rows]
    dates = np.array([one.kind == "date" for one in types], bool)
    return np.where(dates, data.x[rows] + np.asarray(data.outside)[rows].astype(np.float64), data.x[rows])


def _days(x: Any, schema: Schema) -> dict[int, Int[np.ndarray, " n"]]:
    """The days of the dates of stored rows, a Monday at 0, by the place of their column; zones are left out."""
    return {k: dates + 3 for k, dates in local_dates(x, schema).items()}  # the first of January 1970 was a Thursday


def local_dates(x: Any, schema: Schema) -> dict[int, Int[np.ndarray, " n"]]:
    """The same in days since 1970."""
    types = schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return {}
    local = {k: dates for k, dates in dates_of(x, schema).items() if not (types[k].after or types[k]).zone}
    # What lies between two cells is written as the nearest one.
    return {k: np.floor(np.round(dates) / day_of(types[k])).astype(np.int64) for k, dates in local.items()}
