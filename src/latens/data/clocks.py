"""Times of the day, which begin anew at midnight: an evening that goes on to one o'clock is one stretch."""

import numpy as np
from jaxtyping import Float

from latens.data.columns import ColumnType
from latens.data.dates import DAY
from latens.data.writings import Writing

APART, SEVERAL = 8, 0.01
"""Half-hours of a day that hardly any row has, where it may begin; and the share of rows that must lie on both sides
of midnight."""
SELDOM = 0.005
"""The share of rows that may lie in these half-hours."""
HALF_HOUR = 1800
"""In seconds."""


def is_clock(one: ColumnType) -> bool:
    """Whether a column holds times of the day."""
    return one.kind == "date" and one.writing is not None and one.writing.of_day


def beginning(values: Float[np.ndarray, " k"], of: np.ndarray | None, writing: Writing | None) -> float:
    """The second of the day with which the times of a column begin: midnight, unless their stretch goes across it."""
    # of: how often each comes; None: once.
    if writing is None or not writing.of_day or not len(values):
        return 0.0
    slots = (values % DAY // HALF_HOUR).astype(np.int64)
    rows = np.bincount(slots, None if of is None else np.asarray(of, np.float64), DAY // HALF_HOUR)
    around = np.concatenate([rows, rows])
    near = [around[first : first + APART].sum() for first in range(len(rows))]
    late, early = rows[-APART // 2 :].sum(), rows[: APART // 2].sum()
    if min(near) > SELDOM * rows.sum() or min(late, early) < SEVERAL * rows.sum():
        return 0.0
    # The middle of the longest stretch of these.
    least = np.concatenate([near, near]) <= min(near)
    best, length, run = 0, 0, 0
    for at, empty in enumerate(least.tolist()):
        run = min(run + 1, len(rows)) if empty else 0
        if run > length:
            best, length = at, run
    return float((best - length // 2 + APART // 2) % len(rows) * HALF_HOUR)


def from_beginning(values: Float[np.ndarray, " n"], first: float) -> Float[np.ndarray, " n"]:
    """Times of the day as seconds of the day that begins with one of them: half past midnight is 24:30."""
    return np.where(values < first, values + DAY, values) if first else values


def nearest_day(values: Float[np.ndarray, " n"], one: ColumnType) -> Float[np.ndarray, " n"]:
    """Times of the day as a column has them, so many days on that they lie nearest to its range; others as they are."""
    if not is_clock(one):
        return values
    middle = one.low + 0.5 * one.step * max(one.size - 1, 0)
    return values + DAY * np.round((middle - values) / DAY)
