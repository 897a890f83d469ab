"""Numbers that lie in a range of their own for each name: the bill of a sparrow is never as long as a blackbird's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data.dataset import Dataset
from latens.data.equations import is_day, numbers
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

LEAST_ROWS, MOST_NAMES, MOST_ROWS = 30, 30, 10_000
"""Rows of a name from which on it has a range, names of a column and rows up to which they are looked at."""
TRIMMED, ROOM = 0.02, 0.1
"""Share of a name's rows on either side that say how wide it is, and how much of its range is room on either side."""
NARROW, BY_CHANCE, DEALS = 0.6, 0.75, 5
"""How wide the ranges of names may be, in the mean over the rows, as a part of that of all rows, and of what the same
names reach that are dealt out anew so often."""

MISTAKES, MOST_MISTAKES, IN_ALL = 0.01, 2, 0.005
"""Share of a name's rows that may be mistakes far beyond the others, how many of few rows, and the share of all."""
MOST_OF_A_YEAR = 400.0
"""Days of dates from which on their months count."""
ALONE = 1e-9
"""Probability by chance up to which one name among others has a range."""


class Within(NamedTuple):
    """The range of a number for each name of a column."""

    by: str
    column: str
    ranges: tuple[tuple[str, float, float], ...]  # a name, and its least and largest number
    rows: int  # with such a name and a number
    month: bool = False  # whether the numbers are months of dates, from 1

    @property
    def words(self) -> str:
        """The rule, as it stands in a sentence."""
        return f"in {'months' if self.month else 'a range'} of its own for each {self.by!r}"


def found_in(data: Dataset) -> tuple[Within, ...]:
    """Find the numbers that names hold in narrow ranges, each by the names that do so most."""
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return ()
    names, cells = (
        data.schema.names,
        numbers(x, data.schema, data.mask, data.outside),
    )
    by = [
        i for i, one in enumerate(types) if one.kind == "category" and not one.starts and len(one.values) <= MOST_NAMES
    ]
    codes = {i: _codes(x, i, data.mask) for i in by}
    narrow = [
        (*one, False)
        for one in narrow_in(codes, {k: cells[:, k] for k, one in enumerate(types) if one.kind == "number"})
    ]
    # Of dates each column of names may hold the month: hail falls in summer.
    dates = {k: months_of(cells[:, k]) for k, one in enumerate(types) if is_day(one) and _long(cells[:, k])}
    narrow += [(*one, True) for i in by for one in narrow_in({i: codes[i]}, dates)]
    found = []
    for k, i, ranges, month in narrow:
        said = tuple((types[i].values[code], low, high) for code, (low, high) in ranges.items())
        rows = int(np.count_nonzero(np.isin(codes[i], list(ranges)) & ~np.isnan(cells[:, k])))
        found.append(Within(names[i], names[k], said, rows, month))
    return tuple(found)


def _long(days: Float[np.ndarray, " n"]) -> bool:
    """Whether dates are of more than a year, so that a month is no date alone."""
    return bool(np.isfinite(days).any() and np.nanmax(days) - np.nanmin(days) > MOST_OF_A_YEAR)


def months_of(days: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The months of days since 1970, from 1; NaN of NaN."""
    whole = np.where(np.isfinite(days), np.floor(days), 0).astype(np.int64).astype("datetime64[D]")
    return np.where(np.isfinite(days), whole.astype("datetime64[M]").astype(np.int64) % 12 + 1.0, np.nan)


def narrow_in(
    codes: Mapping[int, Int[np.ndarray, " n"]], values: Mapping[int, Float[np.ndarray, " n"]]
) -> Iterator[tuple[int, int, dict[int, tuple[float, float]]]]:
    """The numbers that names hold in narrow ranges, beyond chance: each number, whose names, and the range of each."""
    # Chosen by some rows; the ranges are those of all. Where most names are anywhere, those that are not have one.
    length = max((len(own) for own in values.values()), default=0)
    some = np.random.default_rng(0).permutation(length)[:MOST_ROWS]
    for k, own in values.items():
        wide = [(ranges_of(code[some], own[some])[0], i) for i, code in codes.items()]
        least, i = min(wide, default=(np.inf, -1))
        chosen: set[int] | None = None  # the names that have a range; None for all
        if least > NARROW or _by_chance(codes[i][some], own[some], least):
            alone = [(_narrow(code[some], own[some]), i) for i, code in codes.items()]
            rows, i = max(((sum(found.values()), i) for found, i in alone), default=(0, -1))
            chosen = set(next((found for found, at in alone if rows and at == i), ()))
        ranges = ranges_of(codes[i], own)[1] if chosen is None or chosen else {}
        ranges = {code: ends for code, ends in ranges.items() if chosen is None or code in chosen}
        beyond = sum(np.count_nonzero((codes[i] == code) & ((own < low) | (own > high)))
                     for code, (low, high) in ranges.items())  # fmt: skip
        if ranges and beyond <= IN_ALL * np.count_nonzero(~np.isnan(own)):
            yield k, i, ranges


def _narrow(codes: np.ndarray, values: np.ndarray) -> dict[int, int]:
    """The names that alone hold a number in a narrow range, beyond chance, and how many rows they have."""
    there = ~np.isnan(values)
    low, high = _ends(values[there]) if there.any() else (0.0, 0.0)
    found = {}
    for code, (least, most) in ranges_of(codes, values)[1].items():
        rows = int(np.count_nonzero(there & (codes == code)))
        inside = np.mean((values[there] >= least) & (values[there] <= most))
        if most - least <= NARROW * (high - low) and rows * np.log(max(inside, 1e-300)) <= np.log(ALONE):
            found[code] = rows
    return found


def _by_chance(codes: np.ndarray, values: np.ndarray, wide: float) -> bool:
    """Whether names that are dealt out anew hold a number in ranges that are nearly as narrow."""
    rng = np.random.default_rng(0)
    dealt = [ranges_of(rng.permutation(codes), values)[0] for _ in range(DEALS)]
    return bool(wide > BY_CHANCE * np.mean(dealt))


def ranges_of(
    codes: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> tuple[float, dict[int, tuple[float, float]]]:
    """How wide the ranges of names are beside that of all rows, and the range of each with enough rows."""
    # codes: -1 for none; values: NaN for none.
    there = (codes >= 0) & ~np.isnan(values)
    if not there.any():
        return np.inf, {}
    low, high = _ends(values[there])
    ranges, wide, rows = {}, 0.0, 0
    for code in np.unique(codes[there]).tolist():
        own = values[there & (codes == code)]
        if len(own) >= LEAST_ROWS:
            ranges[code] = least, most = _ends(own)
            wide, rows = wide + len(own) * (most - least), rows + len(own)
    whole = np.count_nonzero(there)
    return float((wide + (whole - rows) * (high - low)) / max(whole * (high - low), 1e-300)), ranges


def _ends(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The ends of a range with some room, without what lies as far beyond nearly all rows as these are wide."""
    low, high = np.quantile(values, [TRIMMED, 1.0 - TRIMMED])
    near = (values >= low - (high - low)) & (values <= high + (high - low))
    kept = values[near] if np.count_nonzero(~near) <= max(MISTAKES * len(values), MOST_MISTAKES) else values
    room = ROOM * float(kept.max() - kept.min())
    return float(kept.min()) - room, float(kept.max()) + room


def _codes(x: np.ndarray, i: int, mask: np.ndarray | None) -> np.ndarray:
    own = np.round(x[:, i]).astype(np.int64)
    return own if mask is None else np.where(mask[:, i], own, -1)


def broken_in(
    rules: Sequence[Within], schema: Schema, x: np.ndarray, mask: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """Which stored new rows have a number beyond the range of their name."""
    wrong, shown = np.zeros(len(x), bool), np.ones(x.shape, bool) if mask is None else mask
    if not rules:
        return wrong
    names, types, cells = schema.names, schema.types or (), numbers(x, schema)
    for rule in rules:
        if not {rule.by, rule.column} <= set(names):
            continue
        i, k = names.index(rule.by), names.index(rule.column)
        value, code = months_of(cells[:, k]) if rule.month else cells[:, k], np.round(x[:, i])
        for name, low, high in rule.ranges:
            if name in types[i].values:
                here = (code == types[i].values.index(name)) & shown[:, i] & shown[:, k]
                wrong |= here & ((value < low) | (value > high))
    return wrong


def read(stored: Any) -> tuple[Within, ...]:
    """The ranges of a model file."""
    return rules_in(Within, stored)
