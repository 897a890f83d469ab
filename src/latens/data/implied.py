"""Names that a name of another column says: the species of a breed, the country of a town."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.stats import binom

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.schema import Schema

LEAST_ROWS = 20
"""Rows with a name from which on it counts that they have the same name in the other column."""
HOLDS, SHARED = 0.97, 0.9
"""Share of its rows from which on a name says another, or all but one row; and below which it goes with several."""
MISTAKES = 0.01
"""Share of the rows in which another name stands, at the most."""
COVERED, UNCLEAR, BY_CHANCE = 0.25, 0.1, 1e-9
"""Share of rows whose name says another, at the least; of these, with names in between; probability by chance."""
MOST_NAMES = 500
"""Columns of more names are not looked at."""


class Implied(NamedTuple):
    """A column whose names say the name of another column in nearly all rows."""

    by: str
    column: str
    pairs: tuple[tuple[str, str], ...]  # a name of `by`, and what it says
    rows: int  # with such a name, and one in the other column
    broken: int  # of these, with another one

    @property
    def words(self) -> str:
        """The rule with an example, as it stands in a sentence."""
        return f"{self.by!r} says {self.column!r} ({self.pairs[0][0]!r}: {self.pairs[0][1]!r})"


def found_in(data: Dataset) -> tuple[Implied, ...]:
    """Find the columns of a mixed table whose names say the name of another column."""
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return ()
    names = [column.name for column in data.schema.columns or ()]
    places = [k for k, one in enumerate(types) if _named(one)]
    codes = {k: _codes(x, k, types[k], data.mask) for k in places}
    found = {(i, k): rule for i in places for k in places if i != k
             if (rule := _between((names[i], types[i], codes[i]), (names[k], types[k], codes[k])))}  # fmt: skip
    # Two columns that say each other break in the same rows: once, by the one with more rows.
    less = {at for at, rule in found.items() if at[::-1] in found
            if (rule.rows, at) < (found[at[::-1]].rows, at[::-1])}  # fmt: skip
    return tuple(rule for at, rule in found.items() if at not in less)


def _named(one: ColumnType) -> bool:
    return one.named and not one.starts and 2 <= len(one.values) <= MOST_NAMES


def _codes(x: np.ndarray, k: int, one: ColumnType, mask: np.ndarray | None) -> Int[np.ndarray, " n"]:
    """The names of a column by their places; one more than the last of a missing one."""
    code = np.asarray(x)[:, k].astype(np.int64).clip(0, len(one.values))
    return code if mask is None else np.where(np.asarray(mask)[:, k], code, len(one.values))


def _between(by: tuple[str, ColumnType, np.ndarray], column: tuple[str, ColumnType, np.ndarray]) -> Implied | None:
    """The rule by which names of one column say those of another, if there is one."""
    a, b = len(by[1].values), len(column[1].values)
    counts = np.bincount(by[2] * (b + 1) + column[2], minlength=(a + 1) * (b + 1)).reshape(a + 1, b + 1)[:a, :b]
    rows, top = counts.sum(axis=1), counts.max(axis=1, initial=0)
    share = top / np.maximum(rows, 1)
    says = (rows >= LEAST_ROWS) & ((share >= HOLDS) | (rows - top <= 1))
    unclear = (rows >= LEAST_ROWS) & ~says & (share >= SHARED)
    covered, broken = rows[says].sum(), (rows - top)[says].sum()
    usual = counts.sum(axis=0) / max(counts.sum(), 1)
    told = counts.argmax(axis=1)
    chance = binom.sf(top - 1, np.maximum(rows, 1), usual[told])
    says &= chance <= BY_CHANCE
    if rows[unclear].sum() > UNCLEAR * covered or covered < COVERED * max(rows.sum(), 1):
        return None
    if broken > MISTAKES * covered or len(np.unique(told[says])) < 2:
        return None
    pairs = tuple((by[1].values[i], column[1].values[told[i]]) for i in np.flatnonzero(says).tolist())
    return Implied(by[0], column[0], pairs, int(rows[says].sum()), int((rows - top)[says].sum()))


def placed(rules: Sequence[Implied], schema: Schema) -> list[tuple[Implied, int, int]]:
    """The rules between columns that a table has with names, and the places of these."""
    names = [column.name for column in schema.columns or ()]
    own = {name for name, one in zip(names, schema.types or ()) if _named(one)}
    return [(one, names.index(one.by), names.index(one.column)) for one in rules if {one.by, one.column} <= own]


def broken_in(
    rules: Sequence[Implied], schema: Schema, x: np.ndarray, mask: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """The rows in which a name stands that another one does not say."""
    wrong, types = np.zeros(len(x), bool), schema.types or ()
    for rule, i, k in placed(rules, schema):
        says = np.full(len(types[i].values) + 1, -1)
        for name, told in rule.pairs:
            if name in types[i].values and told in types[k].values:
                says[types[i].values.index(name)] = types[k].values.index(told)
        want, have = says[_codes(x, i, types[i], mask)], _codes(x, k, types[k], mask)
        wrong |= (want >= 0) & (have < len(types[k].values)) & (have != want)
    return wrong


def read(stored: Any) -> tuple[Implied, ...]:
    """The rules that a model file holds; a stranger may have written it, so what is none is left out."""
    rows = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    return tuple(one for one in map(_read, rows[:1000]) if one is not None)


def _read(row: Any) -> Implied | None:
    if not isinstance(row, list | tuple) or len(row) != 5:
        return None
    by, column, pairs, rows, broken = row
    texts = lambda given: isinstance(given, list | tuple) and all(isinstance(one, str) for one in given)  # noqa: E731
    if not texts([by, column]) or by == column or not isinstance(pairs, list | tuple) or not pairs:
        return None
    if not all(texts(one) and len(one) == 2 for one in pairs[:MOST_NAMES]):
        return None
    if not all(type(one) is int and one >= 0 for one in (rows, broken)):
        return None
    return Implied(by, column, tuple((a, b) for a, b in pairs[:MOST_NAMES]), rows, broken)
