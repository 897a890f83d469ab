"""Dates whose day and month may be exchanged: the time to another date is as usual with them the other way round."""

import numpy as np
from jaxtyping import Bool, Int

from latens.data.dataset import Dataset

OUTER = 0.01
"""The share of the rows on either side beyond which the time between two dates is not usual."""
WIDE = 33.0
"""Days up to which usual times may be wide: an exchanged date is within these by chance in a tenth of the rows."""
FAR, BY_CHANCE, DAYS = 3.0, 1e-3, 330.0
"""How many times as far beyond usual times as these are wide is far, what is not by chance, and days over which
exchanged dates are spread."""


def exchanged(data: Dataset, column: int, rows: Int[np.ndarray, " n"]) -> dict[int, Bool[np.ndarray, " n"]]:
    """In which rows each of two dates makes the time between them usual with its day and month exchanged."""
    # column: the place of a time since another date, both written as days; else there is nothing. returns: by the place
    # of the first date, and of the other one.
    types, names = data.schema.types or (), data.schema.names
    one = types[column]
    if one.after is None or one.after.written != "D":
        return {}
    first = names.index(one.after.column)
    if types[first].kind != "date" or types[first].written != "D":  # itself a time since another one, or a time
        return {}
    found = {first: np.zeros(len(rows), bool), column: np.zeros(len(rows), bool)}
    x = np.asarray(data.x, np.float64) if data.outside is None else data.x + data.outside.astype(np.float64)
    span = one.low + one.step * x[:, column]
    shown = np.ones(len(span), bool) if data.mask is None else data.mask[:, column] & data.mask[:, first]
    low, high = np.quantile(span[shown], [OUTER, 1.0 - OUTER]) if shown.any() else (0.0, 0.0)
    if high - low + 1.0 > WIDE:
        return {}
    start = np.round(types[first].low + types[first].step * x[rows, first]).astype(int)
    end = start + np.round(span[rows]).astype(int)
    for i in np.flatnonzero(shown[rows] & ((end - start < low) | (end - start > high))):
        a, b = int(start[i]), int(end[i])
        for at, (c, d) in {first: (_turned(a), b), column: (a, _turned(b))}.items():
            found[at][i] = c is not None and d is not None and low <= d - c <= high
    return found


def told_exchanged(data: Dataset, column: int) -> Int[np.ndarray, " n"]:
    """The rows in which day and month of a date are exchanged, by a time to another date that nearly all rows share."""
    from scipy.stats import binom

    # Of n times that lie far out, k fit when exchanged; each does by chance with 2 (w + 1) / 330 of usual times w days
    # wide. They are told where k or more are not by chance.
    one = (data.schema.types or ())[column]
    x = np.asarray(data.x, np.float64) if data.outside is None else data.x + data.outside.astype(np.float64)
    span = one.step * x[:, column]
    shown = np.ones(len(span), bool) if data.mask is None else np.asarray(data.mask[:, column])
    low, high = np.quantile(span[shown], [OUTER, 1.0 - OUTER]) if shown.any() else (0.0, 0.0)
    room = FAR * (high - low + 1.0)
    rows = np.flatnonzero(shown & ((span < low - room) | (span > high + room)))
    fits = list(exchanged(data, column, rows).values())
    if not fits or not len(rows) or len(rows) > OUTER * len(span):
        return np.zeros(0, int)
    fit = np.any(fits, axis=0)
    by_chance = min(2.0 * (high - low + 1.0) / DAYS, 1.0)
    return rows[fit] if binom.sf(fit.sum() - 1, len(rows), by_chance) < BY_CHANCE else np.zeros(0, int)


def _turned(day: int) -> int | None:
    """The day since 1970 with its month and its day of the month exchanged; None where there is none, or the same."""
    year, month, of_month = str(np.datetime64(int(day), "D")).rsplit("-", 2)
    if int(of_month) > 12 or month == of_month:
        return None
    return int(np.datetime64(f"{year}-{of_month}-{month}", "D").astype(int))
