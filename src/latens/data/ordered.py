"""Dates that follow one another: a contract ends after it began."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.dates import DAY
from latens.data.schema import Schema
from latens.data.spans import MOST_PAIRS, NEARLY_ALL, dated, follows, placed_spans, seconds_of

RECENT_ROWS, MORE_OFTEN, ERRORS = 20, 0.1, 4.0
"""Rows that began late, how much more often these lack an end than the others, and by how many errors at least."""
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
    names = [column.name for column in data.schema.columns or ()]
    spans = placed_spans(names, types)
    dates = [i for i, one in enumerate(types) if one.kind == "date"]
    pairs = [(i, k) for i in dates for k in dates if i != k and alike(types[i], types[k])]
    found = []
    for i, k in spans + pairs[:MOST_PAIRS]:
        both = np.ones(len(x), bool) if data.mask is None else np.asarray(data.mask[:, i] & data.mask[:, k])
        late = lateness(x[both], i, k, types)
        if (i, k) in spans or follows(values(x[both, i], types[i]), values(x[both, k], types[k])):
            found.append(Ordered(names[i], names[k], len(late), int(np.count_nonzero(late < 0.0))))
    return tuple(found)


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
    types, mask, found = data.schema.types or (), np.asarray(data.mask), []
    for pair, i, k in placed(found_in(data), data.schema):
        seen = mask[:, i]
        first, late = starts_of(data.x[seen], i, data.schema), lateness(data.x[seen], i, k, types)
        gone = ~mask[seen, k]
        last = np.quantile((first + late)[~gone], NEARLY_ALL)  # one wrong year is not the last day that the data know
        since = float(last - np.quantile(late[~gone], LONGEST))
        late = first > since
        if min(np.count_nonzero(late), np.count_nonzero(~late)) < RECENT_ROWS:
            continue
        often, seldom = gone[late].mean(), gone[~late].mean()
        variance = gone.mean() * (1.0 - gone.mean()) * (1.0 / np.count_nonzero(late) + 1.0 / np.count_nonzero(~late))
        if often - seldom > max(MORE_OFTEN, ERRORS * np.sqrt(variance)):
            found.append(Pending(pair.first, pair.second, since, int(np.count_nonzero(gone & late))))
    return tuple(found)


def read_pending(stored: Any) -> tuple[Pending, ...]:
    """The ends to come that a model file holds, likewise `read`."""
    rows = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    fits = lambda row: isinstance(row, list | tuple) and len(row) == 4 and all(isinstance(v, str) for v in row[:2])  # noqa: E731
    sound = [row for row in rows[:1000] if fits(row) and isinstance(row[2], int | float) and isinstance(row[3], int)]
    return tuple(Pending(a, b, float(since), count) for a, b, since, count in sound)


def cells_to_come(
    rules: Sequence[Pending], schema: Schema, x: np.ndarray, mask: np.ndarray
) -> Bool[np.ndarray, "n columns"]:
    """Where stored rows lack a date that may not have come yet."""
    found = np.zeros(x.shape, bool)
    for rule, i, k in placed(rules, schema):
        late = starts_of(x, i, schema) > rule.since
        found[:, k] |= late & np.asarray(mask[:, i]) & ~np.asarray(mask[:, k])
    return found


def placed(rules: "Sequence[Any]", schema: Schema) -> "list[tuple[Any, int, int]]":
    """The rules of columns that a table has as dates of one unit, with the places of both."""
    names, types = [column.name for column in schema.columns or ()], schema.types or ()
    there = [(rule, names.index(rule.first), names.index(rule.second)) for rule in rules
             if rule.first in names and rule.second in names]  # fmt: skip
    spans = placed_spans(names, types)
    dates = [(rule, i, k) for rule, i, k in there if (i, k) in spans or types[i].kind == types[k].kind == "date"]
    return [(rule, i, k) for rule, i, k in dates if (i, k) in spans or alike(types[i], types[k])]


def alike(one: ColumnType, other: ColumnType) -> bool:
    """Whether dates of two columns are of one unit and time zone."""
    return (one.written, one.zone) == (other.written, other.zone)


def values(x: np.ndarray, one: ColumnType) -> np.ndarray:
    """Stored dates in the unit of their column."""
    return one.low + np.asarray(x, np.float64) * one.step


def starts_of(x: np.ndarray, i: int, schema: Schema) -> Float[np.ndarray, " n"]:
    """A column of dates in its unit, also where it is counted from another one."""
    rows, types = dated(x, [column.name for column in schema.columns or ()], schema.types or ())
    return values(rows[:, i], types[i])


def lateness(x: np.ndarray, i: int, k: int, types: Sequence[ColumnType]) -> Float[np.ndarray, " n"]:
    """The time from one date of stored rows to another, in the unit of the dates."""
    after = types[k].after
    if after is not None:
        return values(x[:, k], types[k]) * seconds_of(types[k]) / (DAY if after.written == "D" else 1)
    return values(x[:, k], types[k]) - values(x[:, i], types[i])


def read(stored: Any) -> tuple[Ordered, ...]:
    """The pairs that a model file holds; a stranger may have written it, so what is no pair is left out."""
    rows = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    fits = lambda row: isinstance(row, list | tuple) and len(row) == 4 and all(isinstance(v, str) for v in row[:2])  # noqa: E731
    count = lambda n: n if isinstance(n, int) else 0  # noqa: E731
    return tuple(Ordered(a, b, count(n), count(m)) for a, b, n, m in [row for row in rows[:1000] if fits(row)])


def broken_in(
    rules: Sequence[Ordered],
    schema: Schema,
    x: np.ndarray,
    mask: np.ndarray | None = None,
    among: np.ndarray | None = None,
) -> Bool[np.ndarray, " n"]:
    """Which stored rows have dates in another order than the data."""
    # among: cells of which a pair must hold one, as those that were filled in.
    types, found = schema.types or (), np.zeros(len(x), bool)
    for _, i, k in placed(rules, schema):
        wrong = lateness(x, i, k, types) < 0.0
        wrong &= True if mask is None else np.asarray(mask[:, i] & mask[:, k])
        found |= wrong & (True if among is None else among[:, i] | among[:, k])
    return found


def limits(
    rules: Sequence[Ordered], schema: Schema, x: np.ndarray, mask: np.ndarray
) -> tuple[Float[np.ndarray, "n columns"], Float[np.ndarray, "n columns"]]:
    """The first and the last cell that a date may have by the dates that are known of its row; infinite where open."""
    types, low = schema.types or (), np.full(x.shape, -np.inf)
    high = -low
    for _, i, k in placed(rules, schema):
        if types[k].after:  # it is the time between them that is not below 0
            low[:, k] = np.maximum(low[:, k], np.ceil(-types[k].low / types[k].step))
            continue
        first, second = values(x[:, i], types[i]), values(x[:, k], types[k])
        after = np.ceil((first - types[k].low) / types[k].step)
        before = np.floor((second - types[i].low) / types[i].step)
        low[:, k] = np.where(mask[:, i], np.maximum(low[:, k], after), low[:, k])
        high[:, i] = np.where(mask[:, k], np.minimum(high[:, i], before), high[:, i])
    return low, high


def ordered_again(
    rules: Sequence[Ordered], schema: Schema, x: Float[np.ndarray, "n columns"], hidden: np.ndarray
) -> Float[np.ndarray, "n columns"]:
    """Stored rows in which a filled date that breaks the order lies on the other one of its pair."""
    types, x = schema.types or (), np.array(x, np.float64)
    for _ in rules:  # once for each link of a chain of dates
        for _, i, k in placed(rules, schema):
            wrong = lateness(x, i, k, types) < 0.0
            if types[k].after:
                x[:, k] = np.where(wrong & hidden[:, k], np.ceil(-types[k].low / types[k].step), x[:, k])
                continue
            first, second = values(x[:, i], types[i]), values(x[:, k], types[k])
            up, down = wrong & hidden[:, k], wrong & hidden[:, i] & ~hidden[:, k]
            x[:, k] = np.where(up, np.ceil((first - types[k].low) / types[k].step), x[:, k])
            x[:, i] = np.where(down, np.floor((second - types[i].low) / types[i].step), x[:, i])
    return x
