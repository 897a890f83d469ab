"""Numbers of a column that lie far from all others: lone ones, groups, those cut off, and marks of missing values."""

import numpy as np
from jaxtyping import Shaped

FEW_ROWS = 100
"""Rows from which on a number counts as far from the others."""
LEAST_SHARE, LEAST_ROWS = 1e-3, 3
"""A mark of missing values is in at least this share of the cells of its column, and in so many rows."""
LONE = 15.0
"""How many times as far a lone value lies from the next one as that from the bulk."""
LONG, LONG_ROWS, SLIPPED = 1.5, 100, 2.0
"""Lengths of the middle 98 % that a lone value lies away in any case, in numbers and in their logarithms; rows from
which on this counts; and the factor that it is away at the least, as digits were lost or added."""
LIGHT, LIGHT_END, LIGHT_ROWS = 5.0, 0.25, 1000
"""The same as `LONE` where the others, so many or more, end within so much of their middle 98 %: they have no tail."""
CLEAR = 3.0
"""Lengths of the middle 98 % that a value lies away from others so near to their end, where these are fewer rows."""
OUTER_ROWS = 5
"""Rows beyond the middle 98 %, at the least."""
MOST_LONE = 3
"""Lone values at either end of a column, at the most."""
ENDED, TIES = 5.0, 3
"""The same as `LONE` where the next value is in so many rows: the others end there."""
ALONE_AMONG, TEN_TIMES = 10, 10.0
"""Rows of each other number of a column of few, and how many times their range a lone one lies away."""
LEAST_LEVELS, MOST_LEVELS, OUTER_LEVEL, WIDER = 4, 20, 0.05, 1.5
"""Numbers that all come often, the share of the rows that has the outermost of them, and how much wider than any gap
between them the one to a lone number is, at the least."""
MOST_MARKED = 0.4
"""Share of the rows up to which a value far from all others may stand for a missing one."""
EDGE = 0.1
"""The part of the empty stretch within which the outer hundredth of the other values lies, at the most."""
CUT_ROWS, CUT_VALUES, CUT_SHARE, CUT_OFF, MOST_CUT = 300, 15, 0.004, 0.1, 5
"""Rows and values of a column from which on some may be cut off from the others, the share of rows that have these at
the most, the share that has the next values at the least, and how many values may be cut off at either end."""
FEWEST = 6
"""A column with fewer distinct values has no value far from the others."""
FAR_SHARE, FAR_TIMES, FAR_RARE = 0.01, 2.0, 8.0
"""Share of the cells that lie far out together, at the most; how many times as far as the others; how rare the gap."""
NEXT, NEXT_SHARE = 50, 5
"""Values next to a gap by which its tail is known: so many, or a fifth of that side where this is more."""


def far_group(values: Shaped[np.ndarray, " n"], share: float = FAR_SHARE) -> list[float]:
    """Find the different values that lie together at one end of a column, beyond a gap that its tail does not have."""
    # Source: Renyi (1953): in a tail like a power law, k log(x_k / x_{k+1}) of the k-th largest value are exponential
    # and have one mean; x is counted from the median. A gap is told that is `FAR_RARE` times that mean of the values
    # next to it, and wider than `FAR_TIMES` times as far as these lie from the median.
    # Of numbers above 0 in another unit, which lie further from each other than the gap is wide, the logarithms tell.
    # returns: these values, rising; none where there is no such gap.
    if len(values) < FEW_ROWS:
        return []
    apart = _beyond_gap(values, share)
    if not apart.any() and values.min() > 0:
        apart = _beyond_gap(np.log(values), share, 1.0)
    return np.unique(values[apart]).tolist()


def _beyond_gap(values: Shaped[np.ndarray, " n"], share: float, times: float = FAR_TIMES) -> Shaped[np.ndarray, " n"]:
    """Say which values lie beyond the last gap of a column."""
    middle, found = float(np.median(values)), np.zeros(len(values), bool)
    for sign in (1.0, -1.0):
        far = np.sort(sign * (values - middle))[::-1]
        far = far[: int(np.count_nonzero(far > 0))]
        most = min(int(share * len(values)), len(far) - 2)
        if most < 2:
            continue
        spacings = np.arange(1, len(far)) * np.diff(-np.log(far))
        for k in range(2, most + 1):
            gap, mean = far[k - 1] - far[k], spacings[k : k + max(NEXT, len(far) // NEXT_SHARE)].mean()
            rare = 0 < FAR_RARE * mean < spacings[k - 1]
            if rare and gap > times * far[k] and far[0] - far[k - 1] < gap and far[0] > far[k - 1]:
                found = sign * (values - middle) >= far[k - 1]
    return found


def lone_values(values: Shaped[np.ndarray, " n"], least_at: float = 0.0) -> list[float]:
    """Find up to three values at either end, each in fewer rows than a mark has, far from all others."""
    # least_at: what is added to make them numbers of the column, where they are places on its grid.
    # returns: those that are `LONE` times as far from the next value as that is from the middle 98 % of the others, and
    # further than these are from each other.
    distinct, counts = np.unique(values, return_counts=True)
    if len(values) < FEW_ROWS:
        return []
    if len(distinct) < FEWEST:
        return [float(own[0]) for own, rows in ((distinct, counts), (distinct[::-1], counts[::-1]))
                if _odd(own, rows)]  # fmt: skip
    part = max(0.01, OUTER_ROWS / len(values))
    low, high = np.quantile(values, [part, 1.0 - part])
    wide, least = high - low, max(LEAST_ROWS, LEAST_SHARE * len(values))
    found: list[float] = []
    every = len(values)
    positive = distinct[0] + least_at > 0 and every >= LONG_ROWS
    log_wide = np.log((high + least_at) / (low + least_at)) if positive else np.inf
    for values, rows, edge in ((distinct, counts, low), (distinct[::-1], counts[::-1], high)):
        for k in range(min(MOST_LONE, len(values) - 1), 0, -1):
            gap = abs(values[k - 1] - values[k])
            light = counts.sum() >= LIGHT_ROWS or gap > CLEAR * wide
            light = light and abs(values[k] - edge) < LIGHT_END * wide
            times = ENDED if rows[k] >= TIES else LIGHT if light else LONE
            far = gap > max(times * abs(values[k] - edge), wide)
            if not far and gap > LONG * wide and positive:  # no tail reaches so far, be it long or short
                times = abs(np.log((values[k - 1] + least_at) / (values[k] + least_at)))
                far = times > max(LONG * log_wide, np.log(SLIPPED))
            if wide > 0 and rows[:k].sum() < least and far:
                found += values[:k].tolist()
                break
    return found


def _odd(distinct: Shaped[np.ndarray, " k"], counts: Shaped[np.ndarray, " k"]) -> bool:
    """Whether one row has the first of a few numbers far from the others, which come often: 55 among 3, 4 and 5."""
    if len(distinct) < 3 or counts[0] > 1 or counts[1:].min() < ALONE_AMONG:
        return False
    return bool(abs(distinct[0] - distinct[1]) >= TEN_TIMES * abs(distinct[-1] - distinct[1]))


def beyond_levels(values: Shaped[np.ndarray, " n"]) -> list[float]:
    """Find a number at either end that one row has, where all others come often: 3 bars beside 20, 25 to 60."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(values) < FEW_ROWS or len(distinct) > MOST_LEVELS + 2:
        return []
    ends = ((distinct, counts), (distinct[::-1], counts[::-1]))
    return [float(own[0]) for own, rows in ends if _beyond(own, rows)]


def _beyond(distinct: Shaped[np.ndarray, " k"], counts: Shaped[np.ndarray, " k"]) -> bool:
    """Whether that is so of the first one."""
    # Tails thin out: where the outermost of the others has many rows, none of them goes on beyond a wider gap.
    others, rows = distinct[1:], counts[1:]
    if not LEAST_LEVELS <= len(others) <= MOST_LEVELS or counts[0] > 1 or rows.min() < ALONE_AMONG:
        return False
    gap = abs(distinct[0] - distinct[1])
    return bool(rows[0] >= OUTER_LEVEL * counts.sum() and gap >= WIDER * np.abs(np.diff(others)).max())


def cut_off(values: Shaped[np.ndarray, " n"]) -> list[float]:
    """Find values of few rows beyond an empty stretch, on whose other side the others end abruptly."""
    # Tails of any length thin out before they end: 7 is odd where ages begin at 19 with a hundred rows. As long a
    # stretch as the empty one holds many rows there, and the outer hundredth of all lies within a tenth of it. 0 may be
    # a kind of its own.
    distinct, counts = np.unique(values, return_counts=True)
    found: list[float] = []
    if len(distinct) < CUT_VALUES or len(values) < CUT_ROWS:
        return found
    low, high = np.quantile(values, [0.01, 0.99])  # a longer stretch is of a heavy tail
    least = 1 if len(values) >= LIGHT_ROWS else 2  # of few rows a single one may be by chance
    for sign, own, rows in ((1.0, distinct, counts), (-1.0, -distinct[::-1], counts[::-1])):
        for k in range(1, min(MOST_CUT, len(own) - 1) + 1):
            gap, few = own[k] - own[k - 1], rows[:k].sum()
            beyond = rows[(own >= own[k]) & (own < own[k] + gap)].sum()
            apart = own[k - 1] - own[0] < gap <= high - low and beyond >= CUT_OFF * len(values)
            apart = apart and (low if sign > 0 else -high) - own[k] <= EDGE * gap
            if least <= few <= CUT_SHARE * len(values) and apart and 0.0 not in own[:k]:
                found = [*found, *(sign * own[:k]).tolist()]
                break
    return sorted(found)


def far_values(values: Shaped[np.ndarray, " n"]) -> list[float]:
    """Find the least and the largest value of a column where they repeat and lie far from all others."""
    # returns: those that at least a thousandth of the rows have, and that are further from the next value than all
    # others are from each other.
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < FEWEST:
        return []
    least, most = max(LEAST_ROWS, LEAST_SHARE * len(values)), MOST_MARKED * len(values)  # what most rows have is usual
    low = least <= counts[0] <= most and distinct[1] - distinct[0] > distinct[-1] - distinct[1]
    high = least <= counts[-1] <= most and distinct[-1] - distinct[-2] > distinct[-2] - distinct[0]
    return [*([float(distinct[0])] if low else []), *([float(distinct[-1])] if high else [])]
