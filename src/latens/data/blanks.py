"""Numbers that are nothing where their cell is empty: an invoice is total plus extras, and without extras the total."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from latens.data.columns import ColumnType, TextColumn, recorded_step
from latens.data.equations import Equation, broken_by
from latens.data.found_equations import find

LEAST_GAPS, LEAST_ROWS = 0.02, 30
"""Share of empty cells, and rows of these in which the others are there, from which on a column counts."""
HOLDS = 0.98
"""Share of these rows in which an equation must hold with nothing in the place of the gap."""
MOST_ROWS = 5000
"""Rows in which equations are looked for."""


def found_blanks(
    x: Float[np.ndarray, "n columns"],
    names: Sequence[str],
    texts: Mapping[int, TextColumn],
    leave: Collection[str] = (),
) -> list[int]:
    """Find the columns of numbers that are 0 where they are empty, as an equation holds then that holds elsewhere."""
    # x: NaN where a cell is empty. leave: names of columns that stay as they are.
    places = [i for i in range(x.shape[1]) if i not in texts or texts[i].kind == "number"]
    gaps = {i for i in places if LEAST_GAPS <= np.isnan(x[:, i]).mean() < 1.0 and names[i] not in leave}
    if not gaps or len(places) < 2:
        return []
    some = x[np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_ROWS])][:, places]
    own, found = [names[i] for i in places], set()
    steps = [recorded_step(column[~np.isnan(column)]) if not np.isnan(column).all() else 1.0 for column in some.T]
    writings = [texts[i].writing if i in texts else None for i in places]
    for rule in find(own, some, steps, [one is not None and one.unit == "%" for one in writings]):
        empty = [own.index(name) for name in {rule.target, *rule.columns} if places[own.index(name)] in gaps]
        for some_of in [empty, *([one] for one in empty if len(empty) > 1)]:
            if some_of and _holds(rule, own, some, some_of):
                found |= {places[k] for k in some_of}
                break
    return sorted(found)


def _holds(rule: Equation, names: list[str], x: np.ndarray, empty: Sequence[int]) -> bool:
    """Whether an equation holds in the rows that lack some columns, with 0 in their place."""
    filled = x.copy()
    filled[:, empty] = np.nan_to_num(filled[:, empty])
    whole = np.isfinite(filled[:, [names.index(name) for name in (rule.target, *rule.columns)]]).all(axis=1)
    rows = whole & np.isnan(x[:, empty]).any(axis=1)
    return bool(rows.sum() >= LEAST_ROWS and np.mean(~broken_by(rule, names, filled)[rows]) >= HOLDS)


def empty_cells(x: Shaped[np.ndarray, "n columns"], types: Sequence[ColumnType]) -> Bool[np.ndarray, "n columns"]:
    """The stored cells that are written empty: those of nothing, where an empty cell is nothing."""
    empty = np.zeros(x.shape, bool)
    for i, one in enumerate(types):
        if one.blank:
            empty[:, i] = np.round(x[:, i]) == np.round(-one.low / one.step)
    return empty
