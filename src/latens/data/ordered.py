"""Dates that follow one another: a contract ends after it began."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.dates import DAY
from latens.data.schema import Schema
from latens.data.spans import LEAST_ROWS, MOST_PAIRS, NEARLY_ALL, dated, follows, in_unit, placed_spans, seconds_of
from latens.data.stored_rules import rules_in

RECENT_ROWS, MORE_OFTEN, ERRORS = 20, 0.1, 4.0
"""Rows that began late, how much more often these lack an end than the others, and by how many errors at least."""
EXPECTED = 15.0
"""Rows that by chance would have two dates the other way round, where none has: by chance in 3e-7 of the tables."""
LONGEST = 0.99
"""Quantile of the time between both dates up to which a row counts as one whose end may come yet."""


class Ordered(NamedTuple):
    """Two columns of dates of which the first never lies after the second."""

    first: str
    second: str
    rows: int  # with both dates
    broken: int  # of these, where the order does not hold


def found_in(data: Dataset) -> tuple[Ordered, ...]:
    """Find the pairs of dates of a mixed table that are in one order in nearly all rows, and not by chance."""
    types, x = data.schema.types or (), getattr(data, "x", None)
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        return ()
    names = data.schema.names
    spans, rows = placed_spans(names, types), dates_of(x, data.schema)
    pairs = [(i, k) for i in rows for k in rows if i != k and (i, k) not in spans and alike(types[i], types[k])]
    found = []
    for i, k in spans + pairs[:MOST_PAIRS]:
        both = np.ones(len(x), bool) if data.mask is None else shown_dates(data.mask, i, k, names, types)
        unit = "D" if "D" in (written_of(types[i]), written_of(types[k])) else "s"
        first, second = (in_unit(rows[at][both], written_of(types[at]), unit) for at in (i, k))
        if (i, k) in spans or follows(first, second) or _never(first, second):
            found.append(Ordered(names[i], names[k], len(first), int(np.count_nonzero(first > second))))
    return tuple(found)


def _never(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> bool:
    """Whether one date lies after the other in no row, where by chance it would in some."""
    if len(first) < LEAST_ROWS or np.any(first > second):
        return False
    step = 1 + len(first) // 1000
    return float(np.mean(first[:, None][::step] > second[::step])) * len(first) >= EXPECTED


class Pending(NamedTuple):
    """A column of dates that is empty where its date may not have come yet: a contract that still runs."""

    first: str
    second: str
    since: float  # rows that began later may not have ended, in the unit of the first column
    rows: int  # without an end, of these

    @property
    def words(self) -> str:
        """The rule, as it stands in a sentence."""
        return f"{self.second!r} where it may not have come yet"


def pending_in(data: Dataset) -> tuple[Pending, ...]:
    """Find the ends that are empty in many rows that began late, and seldom in the others."""
    if data.mask is None:
        return ()
    mask, rows, found = np.asarray(data.mask), dates_of(data.x, data.schema), []
    for pair, i, k in placed(found_in(data), data.schema):
        seen = mask[:, i]
        first, second = rows[i][seen], seen_by(i, rows, k, data.schema.types or ())[seen]
        gone = ~mask[seen, k]
        last = np.quantile(second[~gone], NEARLY_ALL)  # one wrong year is not the last day that the data know
        since = float(last - np.quantile((second - first)[~gone], LONGEST))
        late = first > since
        if min(np.count_nonzero(late), np.count_nonzero(~late)) < RECENT_ROWS:
            continue
        often, seldom = gone[late].mean(), gone[~late].mean()
        variance = gone.mean() * (1.0 - gone.mean()) * (1.0 / np.count_nonzero(late) + 1.0 / np.count_nonzero(~late))
        if often - seldom > max(MORE_OFTEN, ERRORS * np.sqrt(variance)):
            found.append(Pending(pair.first, pair.second, since, int(np.count_nonzero(gone & late))))
    # Of several dates before the same end the one that begins most of the open rows says it.
    most = {one.second: one for one in sorted(found, key=lambda one: one.rows)}
    return tuple(one for one in found if most[one.second] is one)


def read_pending(stored: Any) -> tuple[Pending, ...]:
    """The ends to come that a model file holds."""
    return rules_in(Pending, stored)


def cells_to_come(
    rules: Sequence[Pending], schema: Schema, x: np.ndarray, mask: np.ndarray
) -> Bool[np.ndarray, "n columns"]:
    """Where stored rows lack a date that may not have come yet."""
    found, rows = np.zeros(x.shape, bool), dates_of(x, schema)
    for rule, i, k in placed(rules, schema):
        late = rows[i] > rule.since
        found[:, k] |= late & np.asarray(mask[:, i]) & ~np.asarray(mask[:, k])
    return found


def placed(rules: "Sequence[Any]", schema: Schema) -> "list[tuple[Any, int, int]]":
    """The rules of columns that a table has as dates of one unit, with the places of both."""
    names, types = schema.names, schema.types or ()
    there = [(rule, names.index(rule.first), names.index(rule.second)) for rule in rules
             if rule.first in names and rule.second in names]  # fmt: skip
    dates = [(rule, i, k) for rule, i, k in there if is_date(types[i]) and is_date(types[k])]
    return [(rule, i, k) for rule, i, k in dates if alike(types[i], types[k])]


def is_date(one: ColumnType) -> bool:
    """Whether a column holds dates, each by itself or as the time since another."""
    return one.kind == "date" or one.after is not None


def alike(one: ColumnType, other: ColumnType) -> bool:
    """Whether dates of two columns can be compared: of one time zone, or a time and a day without one."""
    first, second = one.after or one, other.after or other
    return first.zone == second.zone and (first.written == second.written or not first.zone)


def written_of(one: ColumnType) -> str:
    """The unit of the dates of a column."""
    return (one.after or one).written


def seen_by(
    k: int, rows: Mapping[int, Float[np.ndarray, " n"]], i: int, types: Sequence[ColumnType], *, last: bool = False
) -> Float[np.ndarray, " n"]:
    """The dates of a column in the unit of another one, of a day its first second, or its last one."""
    return in_unit(rows[i], written_of(types[i]), written_of(types[k]), last=last)


def out_of_order(
    rows: Mapping[int, Float[np.ndarray, " n"]], i: int, k: int, types: Sequence[ColumnType]
) -> Bool[np.ndarray, " n"]:
    """The rows in which one date lies after another; of a time and a day by their days."""
    unit = "D" if "D" in (written_of(types[i]), written_of(types[k])) else "s"
    first, second = (in_unit(rows[at], written_of(types[at]), unit) for at in (i, k))
    return first > second


def values(x: np.ndarray, one: ColumnType) -> Float[np.ndarray, " n"]:
    """Stored cells of numbers in the unit of their column."""
    return one.low + np.asarray(x, np.float64) * one.step


def dates_of(x: np.ndarray, schema: Schema) -> dict[int, Float[np.ndarray, " n"]]:
    """The dates of stored rows in days or seconds, by the place of their column; times since others are dates again."""
    types = schema.types or ()
    if not any(map(is_date, types)):
        return {}
    rows, kinds = dated(np.asarray(x, np.float64), schema.names, types)
    return {i: values(rows[:, i], kinds[i]) for i, one in enumerate(types) if is_date(one)}


def shown_dates(
    mask: np.ndarray, i: int, k: int, names: Sequence[str], types: Sequence[ColumnType]
) -> Bool[np.ndarray, " n"]:
    """The rows of which two dates are known, with those that they are counted from."""
    shown = np.asarray(mask[:, i] & mask[:, k])
    for j in (i, k):
        while types[j].after:
            j = names.index(types[j].after.column)  # type: ignore[union-attr]
            shown = shown & np.asarray(mask[:, j])
    return shown


def cell_of(
    date: Float[np.ndarray, " n"],
    k: int,
    dates: dict[int, np.ndarray],
    names: Sequence[str],
    types: Sequence[ColumnType],
) -> Float[np.ndarray, " n"]:
    """The cell, or what lies between two, in which a column has a date."""
    one, after = types[k], types[k].after
    if after is not None:
        i = names.index(after.column)
        first = in_unit(dates[i], (types[i].after or types[i]).written, after.written)
        date = (date - first) * (DAY if after.written == "D" else 1) / seconds_of(one)
    return (date - one.low) / one.step


def read(stored: Any) -> tuple[Ordered, ...]:
    """The pairs that a model file holds."""
    return rules_in(Ordered, stored)


def broken_in(
    rules: Sequence[Ordered],
    schema: Schema,
    x: np.ndarray,
    mask: np.ndarray | None = None,
    among: np.ndarray | None = None,
) -> Bool[np.ndarray, " n"]:
    """Which stored rows have dates in another order than the data."""
    # among: cells of which a pair must hold one, as those that were filled in.
    types, found, rows = schema.types or (), np.zeros(len(x), bool), dates_of(x, schema)
    names = schema.names
    for _, i, k in placed(rules, schema):
        wrong = out_of_order(rows, i, k, types)
        wrong &= True if mask is None else shown_dates(mask, i, k, names, types)
        found |= wrong & (True if among is None else among[:, i] | among[:, k])
    return found


def limits(
    rules: Sequence[Ordered], schema: Schema, x: np.ndarray, mask: np.ndarray
) -> tuple[Float[np.ndarray, "n columns"], Float[np.ndarray, "n columns"]]:
    """The first and the last cell that a date may have by the dates that are known of its row; infinite where open."""
    types, low = schema.types or (), np.full(x.shape, -np.inf)
    names, rows = schema.names, dates_of(x, schema)
    high, spans = -low, placed_spans(names, types)
    for _, i, k in placed(rules, schema):
        if (i, k) in spans:  # it is the time between them that is not below 0
            low[:, k] = np.maximum(low[:, k], np.ceil(-types[k].low / types[k].step))
            continue
        after = np.ceil(cell_of(seen_by(k, rows, i, types), k, rows, names, types))
        before = np.floor(cell_of(seen_by(i, rows, k, types, last=True), i, rows, names, types))
        first, second = (
            shown_dates(mask, one, _base(other, names, types, one), names, types) for one, other in ((i, k), (k, i))
        )
        low[:, k] = np.where(first, np.maximum(low[:, k], after), low[:, k])
        high[:, i] = np.where(second, np.minimum(high[:, i], before), high[:, i])
    return low, high


def _base(k: int, names: Sequence[str], types: Sequence[ColumnType], other: int) -> int:
    """The date that a column is counted from; where it is counted from none, another one."""
    after = types[k].after
    return other if after is None else names.index(after.column)


def ordered_again(
    rules: Sequence[Ordered], schema: Schema, x: Float[np.ndarray, "n columns"], hidden: np.ndarray
) -> Float[np.ndarray, "n columns"]:
    """Stored rows in which a filled date that breaks the order lies on the other one of its pair."""
    types, x = schema.types or (), np.array(x, np.float64)
    names = schema.names
    for _ in rules:  # once for each link of a chain of dates
        for _, i, k in placed(rules, schema):
            rows = dates_of(x, schema)
            wrong = out_of_order(rows, i, k, types)
            up, down = wrong & hidden[:, k], wrong & hidden[:, i] & ~hidden[:, k]
            x[:, k] = np.where(up, np.ceil(cell_of(seen_by(k, rows, i, types), k, rows, names, types)), x[:, k])
            if _base(k, names, types, -1) != i:
                x[:, i] = np.where(
                    down, np.floor(cell_of(seen_by(i, rows, k, types, last=True), i, rows, names, types)), x[:, i]
                )
    return x
