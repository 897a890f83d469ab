"""Equations that may hold in a table, and whether they do."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from latens.data.equations import BY_CHANCE, HOLDS, Equation, apart_from, slack_of, value_of

LEAST_ROWS = 100
"""Rows with all of its columns from which on an equation counts."""

Terms: TypeAlias = tuple[tuple[int, str, int], ...]  # the place of a column, one of `FORMS`, and a power or a sign


class Found(NamedTuple):
    """An equation by the places of its columns."""

    target: int
    terms: Terms
    factor: float = 0.0  # of a product; 0 of a sum
    rate: tuple[int, str, int] | None = None
    excess: bool = False
    plus: tuple[int, str, int] | None = None
    constant: float = 0.0
    among: int = 1
    or_nothing: bool = False
    cycle: float = 0.0
    times: tuple[float, ...] = ()


def checked(made: Equation, names: Sequence[str], x: np.ndarray, most: float = BY_CHANCE) -> Equation | None:
    """An equation with the rows that it holds in; None where these are too few, or too many by chance."""
    right, left = value_of(made, names, x), x[:, names.index(made.target)]
    seen = np.isfinite(right) & np.isfinite(left) & ((left != 0) | (not made.or_nothing))
    if made.excess:  # where both are nothing it says little
        seen &= (left > 0) | (right > 0)
    if np.count_nonzero(seen) < LEAST_ROWS:
        return None
    right, left, off = right[seen], left[seen], slack_of(made, names, x)[seen]
    good = apart_from(made, left, right) <= off + 1e-9 * np.abs(left)
    others = np.roll(np.sort(left), len(left) // 3)[np.argsort(np.argsort(left, kind="stable"))]
    by_chance = apart_from(made, others, right) <= off
    chance = max(float(by_chance.mean()), float(np.mean(np.abs(right - np.median(left)) <= off)))
    if good.mean() < HOLDS or chance > most:
        return None
    return made._replace(rows=len(left), broken=int(np.count_nonzero(~good)))
