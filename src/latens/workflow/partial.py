"""What a column does to another one in rows while the other columns are held still, by least squares."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from latens.data import Dataset
from latens.data.columns import ColumnType
from latens.data.equations import numbers

LEAST_ROWS, EACH, MOST_ROWS = 100, 5, 20_000
"""Rows from which on effects are told, rows for each coefficient at the least, and rows that are looked at."""
SURE = 4.0
"""Standard errors from which on an effect is told: by chance of twenty columns one in 800 tables."""
MOST_NAMES, WIDE = 12, 3.0
"""Names of a column that each have a coefficient; and how many times as large as the least the largest positive number
is where logarithms are taken."""


class Effect(NamedTuple):
    """How a number differs between the lower and the upper quartile of another one."""

    column: str
    errors: float  # how many standard errors it is from none
    words: str


def held_still(rows: Dataset, target: str, given: Collection[str] = ()) -> list[Effect]:
    """The numbers that a number goes with in rows when all other columns are held still, the surest first."""
    # given: columns that others compute, which hold nothing of their own.
    schema, x = rows.schema, np.asarray(rows.x)[:MOST_ROWS]
    types, names = schema.types or (), schema.names
    at = names.index(target)
    if types[at].kind != "number" or target in given:
        return []
    mask = None if rows.mask is None else np.asarray(rows.mask)[:MOST_ROWS]
    outside = None if rows.outside is None else np.asarray(rows.outside)[:MOST_ROWS]
    cells = numbers(x, schema, mask, outside)
    seen = np.isfinite(cells[:, at])
    cells, x = cells[seen], x[seen]
    mask = np.ones(x.shape, bool) if mask is None else mask[seen]
    y, logs = _scaled(cells[:, at])
    places, design = _design(
        x, cells, mask, types, [j for j, name in enumerate(names) if j != at and name not in given]
    )
    if len(y) < max(LEAST_ROWS, EACH * (design.shape[1] + 1)):
        return []
    left = y - y.mean()
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    slopes = inverse @ (design.T @ left)
    free = len(y) - 1 - np.linalg.matrix_rank(design)
    noise = float(np.sum((left - design @ slopes) ** 2)) / max(free, 1)
    errors = np.sqrt(np.maximum(np.diag(inverse) * noise, 1e-300))
    found = []
    for j, k in places.items():
        sure = float(slopes[k] / errors[k])
        if abs(sure) >= SURE and np.isfinite(sure):
            ends = np.nanquantile(cells[:, j], [0.25, 0.75])
            between = np.ptp(np.log(ends) if _scaled(cells[:, j])[1] else ends)
            by = slopes[k] / _spread(cells[:, j]) * between
            much = f"{100 * abs(np.expm1(by)):.2g} %" if logs else f"{abs(by):.3g}"
            low, high = (types[j].texts(np.round((end - types[j].low) / types[j].step))[0] for end in ends[:, None])
            way = "higher" if by > 0 else "lower"
            words = f"{target} is {much} {way} where {names[j]} is {high} than where it is {low}"
            found.append(Effect(names[j], abs(sure), words))
    return sorted(found, key=lambda one: -one.errors)


def _scaled(column: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], bool]:
    """A column, or its logarithms where it is positive and wide; and which."""
    low, high = np.nanmin(column), np.nanmax(column)
    logs = bool(low > 0 and high > WIDE * low)
    return (np.log(column) if logs else column), logs


def _spread(column: Float[np.ndarray, " n"]) -> float:
    return float(np.nanstd(_scaled(column)[0])) or 1.0


def _design(
    x: np.ndarray, cells: np.ndarray, mask: np.ndarray, types: tuple[ColumnType, ...], others: list[int]
) -> tuple[dict[int, int], Float[np.ndarray, "n k"]]:
    """Columns with mean 0, numbers in spreads and a one for each name; and which of them is which number."""
    places: dict[int, int] = {}
    parts: list[np.ndarray] = []
    for j in others:
        if types[j].kind == "number":
            own, _ = _scaled(cells[:, j])
            if len(np.unique(own[np.isfinite(own)])) < 2:
                continue
            places[j] = len(parts)
            parts.append(np.where(np.isfinite(own), (own - np.nanmean(own)) / _spread(cells[:, j]), 0.0))
        elif types[j].named and 2 <= len(types[j].values) <= MOST_NAMES:
            for code in range(1, len(types[j].values)):
                one = (np.round(x[:, j]) == code) & mask[:, j]
                parts.append(one - one.mean())
    return places, np.stack(parts, axis=1) if parts else np.zeros((len(x), 0))
