"""Which cells of a table are wrong, of the rows in which something that holds elsewhere does not."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from latens.data.dataset import Dataset
from latens.data.rules import broken_rules
from latens.data.sparse import columns_of
from latens.data.suspects import Suspicion, suspected

FAR_OUT = 0.01
"""Share of a column's numbers that lie as far out as one that is blamed before the target of a rule."""


def mistaken(data: Dataset, found: Sequence[Suspicion] | None = None) -> Bool[np.ndarray, "n columns"]:
    """Find the cells that are wrong, of several in a row the one that explains most."""
    # A column that stands alone in what is said is wrong itself, and explains what else is broken in its row. Else each
    # broken rule blames the column that is in most broken rules and fewest kept ones; of several one that lies far out,
    # else the target. Source: de Kleer & Williams (1987), "Diagnosing multiple faults", for single faults.
    found = suspected(data) if found is None else found
    names = [column.name for column in data.schema.columns or ()]
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    wrong = np.zeros(data.x.shape, bool)
    for one in found:
        if len(one.columns) == 1 and one.rows is not None:
            wrong[one.rows, names.index(one.columns[0])] = True
    score = np.zeros(data.x.shape)
    for rule, broken in broken_rules(data) if any(len(one.columns) > 1 for one in found) else ():
        at = [names.index(name) for name in (rule.target, *rule.columns)]
        held = shown[:, at].all(axis=1) & ~broken
        score[:, at] += np.where(broken, 1.0, np.where(held, -1.0, 0.0))[:, None]
    alone, far = wrong.copy(), np.stack([_tail(column) for column in columns_of(data.x)], axis=1)
    numbers = np.array([one is None or not one.named for one in data.schema.types or [None] * len(names)])
    for one in found:
        at = np.array([names.index(name) for name in dict.fromkeys(one.columns)], int)
        for row in () if len(at) < 2 or one.rows is None else one.rows.tolist():
            if alone[row, at].any():
                continue
            most = at[score[row, at] == score[row, at].max()]
            outer = most[numbers[most] & (far[row, most] <= FAR_OUT)]
            wrong[row, outer[np.argmin(far[row, outer])] if len(outer) else most[0]] = True
    return wrong & shown


def _tail(column: np.ndarray) -> np.ndarray:
    """The share of the cells of a column that lie as far out, or further, at the same end."""
    column = np.asarray(column, np.float64)
    ordered = np.sort(column)
    below, above = np.searchsorted(ordered, column, "right"), len(column) - np.searchsorted(ordered, column, "left")
    return np.minimum(below, above) / len(column)
