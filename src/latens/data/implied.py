"""Names that say a name or number of another column: the species of a breed, the price of an article."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.stats import binom

from latens.data.columns import ColumnType, decimals_of
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
MOST_NAMES, MOST_NUMBERS, MOST_CELLS = 500, 100, 100_000
"""Columns of more names, or of more different numbers or cells, are not looked at."""


class Implied(NamedTuple):
    """A column that the names of another one say in nearly all rows."""

    by: str
    column: str
    pairs: tuple[tuple[str, str], ...]  # a name of `by`, and what it says
    rows: int  # with such a name, and something in the other column
    broken: int  # of these, with something else

    @property
    def target(self) -> str:
        """The column that is said."""
        return self.column

    @property
    def columns(self) -> tuple[str, ...]:
        """What the target is given by."""
        return (self.by,)

    @property
    def words(self) -> str:
        """The rule with an example, as it stands in a sentence."""
        return f"what {self.by!r} says ({self.pairs[0][0]!r}: {self.pairs[0][1]!r})"


def found_in(data: Dataset) -> tuple[Implied, ...]:
    """Find the columns of a mixed table whose names say what stands in another column."""
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return ()
    names = [column.name for column in data.schema.columns or ()]
    codes = {k: _codes(x, k, one, data.mask) for k, one in enumerate(types) if _named(one) or _counted(one)}
    few = {k: own for k, own in codes.items() if types[k].named or 2 <= len(np.unique(own)) <= MOST_NUMBERS}
    found = {(i, k): rule for i in few for k in few if i != k and types[i].named
             if (rule := _between((names[i], types[i], few[i]), (names[k], types[k], few[k])))}  # fmt: skip
    # Two columns that say each other break in the same rows: once, by the one with more rows.
    less = {(i, k) for (i, k), rule in found.items() if (k, i) in found
            if (rule.rows, i, k) < (found[k, i].rows, k, i)}  # fmt: skip
    return tuple(rule for at, rule in found.items() if at not in less)


def _named(one: ColumnType) -> bool:
    return one.named and not one.starts and 2 <= len(one.values) <= MOST_NAMES


def _counted(one: ColumnType) -> bool:
    return one.kind == "number" and one.size <= MOST_CELLS


def _codes(x: np.ndarray, k: int, one: ColumnType, mask: np.ndarray | None) -> Int[np.ndarray, " n"]:
    """The names or cells of a column by their places; one more than the last of a missing one."""
    most = len(one.values) if one.named else one.size
    code = np.round(np.asarray(x)[:, k]).astype(np.int64).clip(0, most)
    return code if mask is None else np.where(np.asarray(mask)[:, k], code, most)


def _text(one: ColumnType, code: int) -> str:
    """What a place of a column stands for, a number in plain figures."""
    return one.values[code] if one.named else str(float(np.round(one.low + code * one.step, decimals_of(one.step))))


def _place(one: ColumnType, text: str) -> int:
    """The place of what a rule says; -1 where the column has none."""
    if one.named:
        return one.values.index(text) if text in one.values else -1
    try:
        place = round((float(text) - one.low) / one.step)
    except (ValueError, OverflowError):
        return -1
    return place if 0 <= place < one.size else -1


def _between(by: tuple[str, ColumnType, np.ndarray], column: tuple[str, ColumnType, np.ndarray]) -> Implied | None:
    """The rule by which names of one column say what stands in another, if there is one."""
    own, place = np.unique(column[2], return_inverse=True)
    a, missing = len(by[1].values), len(column[1].values) if column[1].named else column[1].size
    counts = np.zeros((a + 1, len(own)), np.int64)
    np.add.at(counts, (by[2], place.ravel()), 1)
    counts, own = counts[:a, own != missing], own[own != missing]
    if len(own) < 2:
        return None
    rows, top = counts.sum(axis=1), counts.max(axis=1)
    share = top / np.maximum(rows, 1)
    says = (rows >= LEAST_ROWS) & ((share >= HOLDS) | (rows - top <= 1))
    unclear = (rows >= LEAST_ROWS) & ~says & (share >= SHARED)
    covered, broken = rows[says].sum(), (rows - top)[says].sum()
    usual = counts.sum(axis=0) / max(counts.sum(), 1)
    told = counts.argmax(axis=1)
    says &= binom.sf(top - 1, np.maximum(rows, 1), usual[told]) <= BY_CHANCE
    if rows[unclear].sum() > UNCLEAR * covered or covered < COVERED * max(rows.sum(), 1):
        return None
    if broken > MISTAKES * covered or len(np.unique(told[says])) < 2:
        return None
    pairs = tuple((by[1].values[i], _text(column[1], int(own[told[i]]))) for i in np.flatnonzero(says).tolist())
    return Implied(by[0], column[0], pairs, int(rows[says].sum()), int((rows - top)[says].sum()))


def placed(rules: Sequence[Implied], schema: Schema) -> list[tuple[Implied, int, int]]:
    """The rules between columns that a table has, and the places of these."""
    names, types = [column.name for column in schema.columns or ()], schema.types or ()
    by = {name for name, one in zip(names, types) if _named(one)}
    said = by | {name for name, one in zip(names, types) if _counted(one)}
    return [(one, names.index(one.by), names.index(one.column)) for one in rules if one.by in by and one.column in said]


def told_by(rule: Implied, schema: Schema, x: np.ndarray, mask: np.ndarray | None = None) -> Int[np.ndarray, " n"]:
    """The place of what the name of each row says; -1 where it says nothing."""
    names, types = [column.name for column in schema.columns or ()], schema.types or ()
    i, column = names.index(rule.by), types[names.index(rule.column)]
    says = np.full(len(types[i].values) + 1, -1)
    for name, told in rule.pairs:
        if name in types[i].values:
            says[types[i].values.index(name)] = _place(column, told)
    return says[_codes(x, i, types[i], mask)]


def each_told(rule: Implied, schema: Schema) -> Int[np.ndarray, " names"]:
    """The place of what each name says; -1 where it says nothing."""
    names, types = [column.name for column in schema.columns or ()], list(schema.types or ())
    i = names.index(rule.by)
    every = np.zeros((len(types[i].values), len(names)))
    every[:, i] = np.arange(len(every))
    return told_by(rule, schema, every)


def broken_in(
    rules: Sequence[Implied], schema: Schema, x: np.ndarray, mask: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """The rows that hold something else than a name says."""
    wrong, types = np.zeros(len(x), bool), schema.types or ()
    for rule, _, k in placed(rules, schema):
        want, have = told_by(rule, schema, x, mask), _codes(x, k, types[k], mask)
        wrong |= (want >= 0) & (have < (len(types[k].values) if types[k].named else types[k].size)) & (have != want)
    return wrong


def numbers_in(rules: Sequence[Implied], schema: Schema) -> list[tuple[Implied, int, int]]:
    """The rules that say numbers, and the places of their columns."""
    return [found for found in placed(rules, schema) if not (schema.types or ())[found[2]].named]


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
