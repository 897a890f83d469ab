"""Days of the month of a column of dates: contracts that begin on the first, wages paid on the last or the 15th."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data.dataset import Dataset
from latens.data.ordered import cell_of, dates_of
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in
from latens.data.weekdays import day_of, local_dates

LEAST_ROWS, LEAST_MONTHS, MISTAKES = 50, 12, 0.01
"""Dates, and different months, from which on their days count as the only ones, and the share of mistakes.

By chance 50 dates have two days of the month alone in (30 choose 2) (2 / 30)^50 of tables, 1 in 10^56.
"""
MOST_DAYS, LAST = 2, 0
"""Days that a column has at the most, and what stands for the last day of a month."""
LONGEST = 31
"""Days by which a date is moved to a day that its column has, at the most."""


class MonthDays(NamedTuple):
    """A column of dates, and the days of the month that they have."""

    column: str
    days: tuple[int, ...]  # from 1 on, or `LAST`
    rows: int  # with a date
    broken: int  # of these, on another day

    @property
    def words(self) -> str:
        """The rule, as it stands in a sentence."""
        own = " or ".join("the last day" if day == LAST else f"day {day}" for day in self.days)
        return f"Column {self.column!r} is {own} of a month"


def found_in(data: Dataset) -> tuple[MonthDays, ...]:
    """Find the columns of dates that have one or two days of the month alone, but for mistakes."""
    found, names = [], data.schema.names
    for k, dates in local_dates(data.x, data.schema).items():
        shown = dates if data.mask is None else dates[np.asarray(data.mask)[:, k]]
        if (
            len(shown) < LEAST_ROWS
            or len(np.unique(shown.astype("datetime64[D]").astype("datetime64[M]"))) < LEAST_MONTHS
        ):
            continue
        last = int(np.count_nonzero(~_is_last(shown)))
        days, counts = np.unique(_day_of_month(shown), return_counts=True)
        own = np.sort(days[np.argsort(-counts, kind="stable")[:MOST_DAYS]][: 1 + (counts.max() < 0.9 * len(shown))])
        broken = int(len(shown) - counts[np.isin(days, own)].sum())
        most = MISTAKES * len(shown)
        if last <= most:
            found.append(MonthDays(names[k], (LAST,), len(shown), last))
        elif broken <= most:
            found.append(MonthDays(names[k], tuple(own.tolist()), len(shown), broken))
    return tuple(found)


def _day_of_month(dates: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    days = dates.astype("datetime64[D]")
    return (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1


def _is_last(dates: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    return _day_of_month(dates + 1) == 1


def _fits(rule: MonthDays, dates: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    return _is_last(dates) if rule.days == (LAST,) else np.isin(_day_of_month(dates), rule.days)


def read(stored: Any) -> tuple[MonthDays, ...]:
    """The rules that a model file holds."""
    return rules_in(
        MonthDays, stored, lambda one: 0 < len(one.days) <= MOST_DAYS and all(0 <= day <= 31 for day in one.days)
    )


def broken_in(
    rules: Sequence[MonthDays], schema: Schema, x: np.ndarray, among: np.ndarray | None = None
) -> Bool[np.ndarray, "n columns"]:
    """Which dates of stored rows lie on another day of the month, among these cells."""
    names, dates, found = schema.names, local_dates(x, schema), np.zeros(np.shape(x), bool)
    for rule in rules:
        k = names.index(rule.column) if rule.column in names else -1
        if k in dates:
            found[:, k] = ~_fits(rule, dates[k])
    return found if among is None else found & among


def moved(
    rules: Sequence[MonthDays], schema: Schema, x: Float[np.ndarray, "n columns"], open_: Bool[np.ndarray, "n columns"]
) -> Float[np.ndarray, "n columns"]:
    """Stored rows whose open dates lie on the nearest day that their column has, within its grid."""
    types, names, made = schema.types or (), schema.names, np.array(x)
    at = {names.index(rule.column): rule for rule in rules if rule.column in names}
    # Dates first from which others are counted: these move along.
    for k in sorted(at, key=lambda k: _depth(k, schema)):
        dates, local = dates_of(made, schema), local_dates(made, schema)
        if k not in local:
            continue
        own, left = np.asarray(made[:, k], np.float64), open_[:, k] & ~_fits(at[k], local[k])
        for shift in (sign * days for days in range(1, LONGEST + 1) for sign in (1, -1)):
            if not left.any():
                break
            cell = np.round(cell_of(dates[k] + shift * day_of(types[k]), k, dates, names, types))
            fits = left & _fits(at[k], local[k] + shift) & (cell >= 0) & (cell < types[k].size)
            own, left = np.where(fits, cell, own), left & ~fits
        made[:, k] = own
    return made


def _depth(k: int, schema: Schema) -> int:
    """How many dates lie between a date and one that is counted from none."""
    types, depth = schema.types or (), 0
    while (after := types[k].after) is not None:
        k, depth = schema.names.index(after.column), depth + 1
    return depth
