"""Cells that are empty because their column does not apply: a printer has no memory."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from latens.data.dataset import Dataset
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

LEAST_ROWS = 20
"""Rows with a name from which on it counts that a column is empty in all of them."""
ELSEWHERE, BY_CHANCE = 0.9, 1e-12
"""Share of the other rows in which the column may be empty too, and the probability that it is so in all by chance."""
MOST_NAMES = 50
"""Names of a column that is looked at."""


class Inapplicable(NamedTuple):
    """A column that is empty wherever another one has a name, and not so often elsewhere."""

    column: str
    other: str
    name: str
    rows: int

    @property
    def words(self) -> str:
        """The rule, as it stands in a sentence."""
        return f"{self.column!r} where {self.other!r} is {self.name!r}"


def found_in(data: Dataset) -> tuple[Inapplicable, ...]:
    """Find the columns of a mixed table that are empty in every row with some name of another column."""
    types, mask, x = data.schema.types or (), getattr(data, "mask", None), getattr(data, "x", None)
    if mask is None or not types or not isinstance(x, np.ndarray) or x.ndim != 2:
        return ()
    names = data.schema.names
    found = []
    for i in np.flatnonzero(~mask.all(axis=0)):
        for k, one in enumerate(types):
            if k == i or not one.named or one.cells > MOST_NAMES:
                continue
            code, seen = np.where(mask[:, k], x[:, k], one.cells).astype(np.int64), mask[:, i]
            rows = np.bincount(code, minlength=one.cells + 1)[:-1]
            empty = np.bincount(code, ~seen, minlength=one.cells + 1)[:-1]
            always = (rows >= LEAST_ROWS) & (empty == rows)
            others = ~np.append(always, False)[code]
            if not always.any() or not others.any() or (elsewhere := (~seen)[others].mean()) > ELSEWHERE:
                continue
            always &= rows * np.log(max(elsewhere, 1e-6)) <= np.log(BY_CHANCE)
            found += [Inapplicable(names[i], names[k], one.values[v], int(rows[v])) for v in np.flatnonzero(always)]
    return tuple(found)


def read(stored: Any) -> tuple[Inapplicable, ...]:
    """The rules that a model file holds."""
    return rules_in(Inapplicable, stored)


def cells_of(rules: Sequence[Inapplicable], schema: Schema, x: np.ndarray) -> Bool[np.ndarray, "n columns"]:
    """Where stored rows have cells to which their column does not apply."""
    names, found = schema.names, np.zeros(x.shape, bool)
    for rule in rules:
        if rule.column in names and rule.other in names:
            place = names.index(rule.other)
            values = (schema.types or ())[place].values
            if rule.name in values:
                found[:, names.index(rule.column)] |= x[:, place] == values.index(rule.name)
    return found
