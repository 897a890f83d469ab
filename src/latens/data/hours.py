"""Times of the day of a column of dates: how often rows have each, for all rows or by what says most about it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.dates import DAY
from latens.data.ordered import cell_of, dates_of, shown_dates
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

LEAST_ROWS, LEAST_DAYS, MOST_NAMES = 150, 70, 30
"""Dates, and different days, from which on times of the day are compared, and names of a column up to which."""
UNLIKELY = 1e-6
"""The probability by chance below which hours count as unlike one another."""
BINS, EVEN = 96, (1,) * 96
"""Quarters of an hour of a day, and as many rows in each."""
ORDERS = 20
"""Orders of the rows by which times after another date are held against chance."""


class Hours(NamedTuple):
    """A column of dates that are more often at some times of the day, and how many rows each quarter of an hour has."""

    column: str
    by: str  # the column of names by which times differ most; the column itself: by its day of the week; "": none
    counts: tuple[tuple[int, ...], ...]  # for each name, from Monday on, or of all rows alone
    free: tuple[int, ...] = ()  # those of times after another date, were they as likely at all its times; else empty


def found_in(data: Dataset) -> tuple[Hours, ...]:
    """Find the columns of dates whose times of the day are unlike one another, and not by chance."""
    found = []
    for k, time in _times(data.x, data.schema).items():
        shown = np.ones(len(time), bool)
        if data.mask is not None:
            shown = shown_dates(data.mask, k, k, data.schema.names, data.schema.types or ())
        if shown.sum() >= LEAST_ROWS and len(np.unique(time[shown] // DAY)) >= LEAST_DAYS:
            of = _of_date if (data.schema.types or ())[k].kind == "date" else _of_time_since
            found += of(data, k, time, shown)
    return tuple(found)


def _of_date(data: Dataset, k: int, time: np.ndarray, shown: np.ndarray) -> Iterator[Hours]:
    """The times of the day of dates, by what they differ by most, where they are unlike one another."""
    from scipy.stats import chisquare

    types, names, quarter = data.schema.types or (), data.schema.names, _quarter(time)
    hours = np.bincount(quarter[shown] // 4, minlength=24)
    if np.count_nonzero(hours) < 2 or chisquare(hours).pvalue >= UNLIKELY:
        return
    best, by, groups = 0.0, "", np.zeros(len(time), np.int64)
    for name, group in _groups(data, k, time):
        told = _gain(group[shown], quarter[shown] // 4)
        if told > best:
            best, by, groups = told, name, group
    most = 1 if not by else 7 if by == names[k] else len(types[names.index(by)].values)
    counts = [np.bincount(quarter[shown & (groups == one)], minlength=BINS).tolist() for one in range(most)]
    yield Hours(names[k], by, tuple(map(tuple, counts)))


def _of_time_since(data: Dataset, k: int, time: np.ndarray, shown: np.ndarray) -> Iterator[Hours]:
    """The times of the day of dates after others, where these are not what as long times after any of them give."""
    from scipy.stats import chi2_contingency

    types, names = data.schema.types or (), data.schema.names
    after = types[k].after
    base = dates_of(np.asarray(data.x), data.schema)[names.index(after.column)] if after else time
    start, span, rng = base[shown], (time - base)[shown], np.random.default_rng(0)
    counts = np.bincount(_quarter(time[shown]), minlength=BINS)
    free = sum(np.bincount(_quarter(rng.permutation(start) + span), minlength=BINS) for _ in range(ORDERS))
    hours, others = counts.reshape(24, 4).sum(1), np.asarray(free).reshape(24, 4).sum(1)
    some = (hours + others) > 0
    if after and after.written != "D" and some.sum() > 1:
        # As many rows as there are say how sure the others are, as permutations of them know no more.
        table = np.stack([hours, np.maximum(others / ORDERS, 0.5)])[:, some]
        if chi2_contingency(table).pvalue < UNLIKELY:  # type: ignore[attr-defined]
            yield Hours(names[k], "", (tuple(counts.tolist()),), tuple(np.asarray(free).tolist()))


def _quarter(time: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The quarters of an hour of the day of times in seconds."""
    return (time % DAY // (DAY // BINS)).astype(np.int64)


def _groups(data: Dataset, k: int, time: np.ndarray) -> Iterator[tuple[str, Int[np.ndarray, " n"]]]:
    """What times of the day may differ by: the day of the week, and columns of few names; -1 where it is unknown."""
    names = data.schema.names
    yield names[k], _day_of_week(time)
    for j, one in enumerate(data.schema.types or ()):
        if one.named and 1 < len(one.values) <= MOST_NAMES:
            place = np.round(np.asarray(data.x)[:, j]).astype(np.int64)
            yield names[j], place if data.mask is None else np.where(np.asarray(data.mask)[:, j], place, -1)


def _gain(group: Int[np.ndarray, " n"], hour: Int[np.ndarray, " n"]) -> float:
    """How many nats groups say about the hour beyond what as many free shares cost (Schwarz 1978)."""
    known = group >= 0
    counts = np.zeros((int(group.max(initial=0)) + 1, 24))
    np.add.at(counts, (group[known], hour[known]), 1.0)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / max(counts.sum(), 1.0)
    some = counts > 0
    told = float((counts[some] * np.log(counts[some] / expected[some])).sum())
    free = (np.count_nonzero(counts.sum(1)) - 1) * (np.count_nonzero(counts.sum(0)) - 1)
    return told - 0.5 * free * np.log(max(np.count_nonzero(known), 1))


def read(stored: Any) -> tuple[Hours, ...]:
    """The times that a model file holds."""
    return rules_in(Hours, stored, _sound)


def _sound(rule: Hours) -> bool:
    """Whether there are counts of all quarters of an hour, for some names, and some rows."""
    whole = lambda one: len(one) == BINS and all(0 <= count < 2**53 for count in one)  # noqa: E731
    if not 0 < len(rule.counts) <= MOST_NAMES or not all(map(whole, rule.counts)) or not any(map(any, rule.counts)):
        return False
    return not rule.free or (whole(rule.free) and any(rule.free))


def spread(rules: Sequence[Hours], schema: Schema, x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, "n columns"]:
    """Stored new rows whose dates lie at the times of the day that the data have; each stays on its day."""
    # The model holds all times of a day as alike, so a time that a part p of the day is before goes to the one that
    # the part p of the rows is before.
    x, types = np.array(x, np.float64), schema.types or ()
    names = schema.names
    for rule in rules:
        k = names.index(rule.column) if rule.column in names else -1
        times = _times(x, schema)
        if k not in times or (types[k].kind == "date") == bool(rule.free):
            continue
        total = np.sum(rule.counts, axis=0)
        groups = _groups_of(rule, names, types, times[k], x)
        for one in np.unique(groups).tolist():
            counts = np.asarray(rule.counts[one] if one >= 0 else total)
            rows = groups == one
            moved = _transported(times[k][rows], counts if counts.any() else total, np.asarray(rule.free or EVEN))
            cell = cell_of(moved, k, dates_of(x[rows], schema), names, types)
            # A quarter of an hour holds one cell of a wide grid, whole cells of a narrow one.
            cell = np.round(cell) if types[k].step >= DAY / BINS else np.floor(cell + 1e-6)
            x[rows, k] = np.where((cell >= 0) & (cell < types[k].size), cell, x[rows, k])
    return x


def _groups_of(
    rule: Hours, names: Sequence[str], types: Sequence[ColumnType], time: np.ndarray, x: np.ndarray
) -> Int[np.ndarray, " n"]:
    """The group of each row by which its times differ; -1 for all rows."""
    many = len(rule.counts)
    if rule.by == rule.column and many == 7:
        return _day_of_week(time)
    j = names.index(rule.by) if rule.by in names else -1
    if j < 0 or many != len(types[j].values):
        return np.full(len(x), -1)
    return np.clip(np.round(x[:, j]), -1, many - 1).astype(np.int64)


def _transported(
    time: Float[np.ndarray, " n"], counts: Int[np.ndarray, " quarters"], free: Int[np.ndarray, " quarters"]
) -> Float[np.ndarray, " n"]:
    """Times with the shares of the quarters of an hour that these counts have, in the order that they had in a day."""
    step = DAY / BINS
    before, ends = (np.concatenate([[0.0], np.cumsum(one) / one.sum()]) for one in (free, counts))
    part = np.clip(np.interp(time % DAY + 0.5, np.arange(BINS + 1) * step, before), 0.0, np.nextafter(1.0, 0.0))
    quarter = np.minimum(np.searchsorted(ends, part, side="right") - 1, np.flatnonzero(counts)[-1])
    inside = (part - ends[quarter]) / np.diff(ends)[quarter]
    return np.floor(time / DAY) * DAY + (quarter + np.clip(inside, 0.0, 1.0 - 1e-9)) * step


def _day_of_week(time: np.ndarray) -> Int[np.ndarray, " n"]:
    """The day of the week of seconds since the first of January 1970, a Thursday; a Monday is 0."""
    return (np.floor(time / DAY).astype(np.int64) + 3) % 7


def _times(x: Any, schema: Schema) -> dict[int, Float[np.ndarray, " n"]]:
    """The dates with a time of stored rows, in seconds, by the place of their column; zones are left out."""
    types = schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return {}
    timed = lambda one: (one.after or one).written != "D" and not (one.after or one).zone  # noqa: E731
    return {k: np.round(dates) for k, dates in dates_of(x, schema).items() if timed(types[k])}
