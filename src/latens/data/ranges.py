"""Names that the ranges of a number say: a mark by points, `late` by the days until a payment, an age group."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data.clocks import is_clock
from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.implied import Implied, range_words, text_of

LEAST_ROWS, LEAST_NAMED, FEWEST = 100, 10, 3
"""Rows with both columns, rows of each name, and rows below which a name counts as a mistake; of numbers, whose order
must be that of the ranges, one row is enough.

By chance one cut parts 10 rows of a name from 90 others in 1 of 1.7e13 orders.
"""
MISTAKES, OF_NAME = 0.01, 0.05
"""Share of all rows, and of those of each name, in which another name may stand."""
MOST_NAMES, MOST_COLUMNS = 12, 40
"""Names that ranges may say, and columns of numbers that are looked at."""


def found_in(
    data: Dataset, said: Sequence[Implied], given: Mapping[str, Collection[str]] = MappingProxyType({})
) -> tuple[Implied, ...]:
    """Find the columns of names that the ranges of a number say, each by the number that does so best."""
    # said: what names say; a number that a name says, and a name that others say, are left to these. given: of columns
    # that numbers give these: what is made of the number of people says it no better than chance would.
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types or len(x) < LEAST_ROWS:
        return ()
    names, found = data.schema.names, []
    shown = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask)
    off = np.zeros(x.shape) if data.outside is None else np.asarray(data.outside)
    numbers = [i for i, one in enumerate(types) if _measured(one)][:MOST_COLUMNS]
    for k, one in enumerate(types):
        named = one.named and not one.starts and len(one.values) >= 2
        few = one.kind == "number" and one.written == "int" and 2 <= one.size <= MOST_NAMES
        if not (named or few) or names[k] in {rule.column for rule in said} | set(given):
            continue
        tied = {rule.column for rule in said if names[k] in rule.columns}
        tied |= {target for target, columns in given.items() if names[k] in columns}
        rules = list(_of(data, k, [i for i in numbers if i != k and names[i] not in tied], shown, off))
        found += sorted(rules, key=lambda rule: (rule.broken / rule.rows, -rule.rows))[:1]
    return tuple(found)


def _measured(one: ColumnType) -> bool:
    """Whether a column has an order that ranges may be of: numbers, times since another date, times of the day."""
    return one.kind in ("number", "duration") or is_clock(one)


def _of(data: Dataset, k: int, numbers: Collection[int], shown: np.ndarray, off: np.ndarray) -> Iterator[Implied]:
    """The rule by which each of some numbers says a column of names, where there is one."""
    types, names = data.schema.types or (), data.schema.names
    code = np.round(np.asarray(data.x)[:, k]).astype(np.int64)
    for i in numbers:
        rows = shown[:, i] & shown[:, k]
        if np.count_nonzero(rows) < LEAST_ROWS:
            continue
        values = types[i].low + types[i].step * (np.asarray(data.x, np.float64)[rows, i] + off[rows, i])
        made = cuts_between(values, code[rows], types[k].cells, ordered=not types[k].named)
        if made is not None:
            cuts, own, broken = made
            pairs = tuple(zip(range_words(cuts), (text_of(types[k], name) for name in own)))
            yield Implied(names[i], names[k], pairs, int(np.count_nonzero(rows)), broken, cuts=cuts)


def cuts_between(
    values: Float[np.ndarray, " n"], codes: Int[np.ndarray, " n"], many: int, *, ordered: bool = False
) -> tuple[tuple[float, ...], tuple[int, ...], int] | None:
    """Where the ranges of a number begin that say a name each, these names, and the rows that have another one."""
    # ordered: whether the codes are numbers, which rise or fall with the ranges; rare ones count where they do.
    counts = np.bincount(codes, minlength=many)
    own = np.flatnonzero(counts >= (LEAST_NAMED if ordered else FEWEST))
    if not (FEWEST if ordered else 2) <= len(own) <= MOST_NAMES or counts[own].min() < LEAST_NAMED:
        return None
    by_median = own[np.argsort([np.median(values[codes == name]) for name in own], kind="stable")]
    if not ordered:
        made = _parted(values, codes, by_median)
    elif np.array_equal(by_median, own) or np.array_equal(by_median, own[::-1]):
        made, turned = _parted(values, codes, by_median), by_median[0] > by_median[-1]
        for rare in np.setdiff1d(np.flatnonzero(counts), own).tolist():
            more = np.sort(np.append(own, rare))
            other = _parted(values, codes, more[::-1] if turned else more)
            if made is not None and other is not None and other[2].sum() < made[2].sum():
                made, own = other, more
    else:
        return None
    if made is None:
        return None
    cuts, told, broken = made
    parts = [broken[codes == name] for name in told]
    often = any(part.mean() > OF_NAME and np.count_nonzero(part) > 1 for part in parts)
    return None if often or broken.sum() > MISTAKES * len(values) else (tuple(cuts), told, int(broken.sum()))


def _parted(
    values: Float[np.ndarray, " n"], codes: Int[np.ndarray, " n"], own: Int[np.ndarray, " k"]
) -> tuple[list[float], tuple[int, ...], Bool[np.ndarray, " n"]] | None:
    """The cuts between names in their order, these names, and the rows with another one; None without a range."""
    cuts = []
    for low, high in pairwise(own):
        below, above = np.sort(values[codes == low]), np.sort(values[codes == high])
        near = np.unique(np.concatenate([below, above]))
        wrong = len(below) - np.searchsorted(below, near) + np.searchsorted(above, near)
        cut = near[wrong.argmin()]  # the first value of the upper range
        if not len(before := below[below < cut]):
            return None
        cuts.append(_short(float(before[-1]), float(cut)))
    if any(a >= b for a, b in pairwise(cuts)):
        return None
    return cuts, tuple(own.tolist()), own[np.searchsorted(cuts, values, side="right")] != codes


def _short(below: float, upto: float) -> float:
    """The number with the fewest digits above one and up to another."""
    for power in range(int(np.floor(np.log10(max(abs(below), abs(upto), 1e-9)))) + 1, -10, -1):
        for unit in (10.0**power, 5.0 * 10.0 ** (power - 1)):
            found = float(np.round(np.floor(upto / unit + 1e-9) * unit, max(-power + 1, 0)))
            if below < found <= upto:
                return found
    return upto
