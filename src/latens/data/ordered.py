"""Dates that follow one another: a contract ends after it began."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.schema import Schema

LEAST_ROWS = 100
"""Rows with both dates from which on their order counts."""
NEARLY_ALL = 0.995
"""Share of these rows in which the order must hold; the others are mistakes."""
BY_CHANCE = 0.02
"""Share of pairs of dates of unlike rows that must break it: else the order says nothing."""
MOST_PAIRS = 90
"""Pairs of columns that are looked at."""


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
    dates = [i for i, one in enumerate(types) if one.kind == "date"]
    pairs = [(i, k) for i in dates for k in dates if i != k and alike(types[i], types[k])][:MOST_PAIRS]
    found = []
    for i, k in pairs:
        both = np.ones(len(x), bool) if data.mask is None else np.asarray(data.mask[:, i] & data.mask[:, k])
        first, second = values(x[both, i], types[i]), values(x[both, k], types[k])
        broken = int(np.count_nonzero(first > second))
        if len(first) < LEAST_ROWS or broken > (1.0 - NEARLY_ALL) * len(first):
            continue
        if np.mean(first[:, None][:: 1 + len(first) // 500] > second[:: 1 + len(first) // 500]) >= BY_CHANCE:
            found.append(Ordered(names[i], names[k], len(first), broken))
    return tuple(found)


def alike(one: ColumnType, other: ColumnType) -> bool:
    """Whether dates of two columns are of one unit and time zone."""
    return (one.written, one.zone) == (other.written, other.zone)


def values(x: np.ndarray, one: ColumnType) -> np.ndarray:
    """Stored dates in the unit of their column."""
    return one.low + np.asarray(x, np.float64) * one.step


def read(stored: Any) -> tuple[Ordered, ...]:
    """The pairs that a model file holds; a stranger may have written it, so what is no pair is left out."""
    rows = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    fits = lambda row: isinstance(row, list | tuple) and len(row) == 4 and all(isinstance(v, str) for v in row[:2])  # noqa: E731
    count = lambda n: n if isinstance(n, int) else 0  # noqa: E731
    return tuple(Ordered(a, b, count(n), count(m)) for a, b, n, m in [row for row in rows[:1000] if fits(row)])


def broken_in(
    rules: Sequence[Ordered], schema: Schema, x: np.ndarray, mask: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """Which stored rows have dates in another order than the data."""
    names, types = [column.name for column in schema.columns or ()], schema.types or ()
    found = np.zeros(len(x), bool)
    for rule in rules:
        if rule.first not in names or rule.second not in names:
            continue
        i, k = names.index(rule.first), names.index(rule.second)
        if types[i].kind == types[k].kind == "date" and alike(types[i], types[k]):
            wrong = values(x[:, i], types[i]) > values(x[:, k], types[k])
            found |= wrong if mask is None else wrong & np.asarray(mask[:, i] & mask[:, k])
    return found
