"""Numbers of a table that lie far from what another number, or a name, says of them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latens.data.dataset import Dataset
from latens.data.equations import numbers

LEAST_ROWS, MOST_ROWS, MOST_COLUMNS = 100, 5000, 40
"""Rows that two columns share at least; rows by which a relation is chosen, and columns that are looked at."""
GROUP, MOST_NAMES = 10, 50
"""Rows of a name that has a line of its own; names that a column has at the most."""
LEAST_GAIN = 0.5
"""How wide a number is around what others say, at the most, as part of how wide it is by itself."""
NARROW = 0.5
"""How wide the rows of a name are, at the most, as part of the whole column, for names alone to say which lie far off
where another number says more."""
STRAIGHT = 0.5
"""How much narrower a number lies around a line of numbers as they are for that to take the place of logarithms."""
BASES = 4
"""Numbers by which a column is tried, those whose ranks go best with its own."""
EDGE, REACH = 0.05, 2.0
"""Share of the rows of a line on either side that say how far it reaches, and how many times as far beyond it may."""
TRIMMED = 4.0
"""Widths beyond which a row does not bend the line."""


class Relation(NamedTuple):
    """A number that lies along a line of another one, in each group of rows of a name."""

    target: str
    base: str  # a number; empty where the name alone says it
    by: str  # a column of names; empty for one line for all rows
    apart: Float[np.ndarray, " n"]  # how far the target lies from it; of numbers above 0 their logarithms
    off: Float[np.ndarray, " n"]  # the same in widths of the group
    logs: bool  # whether it is of logarithms

    @property
    def columns(self) -> tuple[str, ...]:
        """What the target is told by."""
        return tuple(name for name in (self.base, self.by) if name)


def relations_in(data: Dataset) -> Iterator[Relation]:
    """Find for each number of a mixed table the number and the names beside which it is narrowest."""
    types, names = data.schema.types or (), data.schema.names
    if len(data) < LEAST_ROWS or not isinstance(data.x, np.ndarray):
        return
    cells = numbers(data.x, data.schema, data.mask, data.outside)
    # What `latens impute --interval` writes beside a column says nothing of it.
    beside = {f"{name}.{end}" for name in names for end in ("low", "high", "p")}
    kept = [k for k, one in enumerate(types) if one.kind == "number" and names[k] not in beside]
    at = [k for k in kept if varied(cells[:, k])][:MOST_COLUMNS]
    logs = {k: np.log(cells[:, k]) if np.nanmin(cells[:, k]) > 0 else cells[:, k] for k in at}
    groups: dict[str, np.ndarray] = {"": np.zeros(len(data), int)}
    for k, one in enumerate(types):
        if one.named and 2 <= len(one.values) <= MOST_NAMES and len(groups) <= MOST_COLUMNS:
            shown = np.ones(len(data), bool) if data.mask is None else np.asarray(data.mask)[:, k]
            groups[names[k]] = _grouped(np.where(shown, np.asarray(data.x)[:, k], -1).astype(np.int64))
    some = np.random.default_rng(0).permutation(len(data))[:MOST_ROWS]
    near = likely({k: logs[k][some] for k in at})
    plain = {k: cells[:, k] for k in at}
    for k in at:
        (best, named), scaled = _narrowest(logs, k, near[k], groups, some), logs
        if logs[k] is not plain[k]:  # 32 + 1.8 C bends in logarithms
            straight = _narrowest(plain, k, near[k], groups, some)
            if straight[0][0] <= STRAIGHT * best[0]:
                (best, named), scaled = straight, plain
        alone, tight = width(scaled[k][some]), best[0] <= LEAST_GAIN
        kept = [(best, False)] if tight else []
        kept += [(named, True)] if named[1] < 0 and not (tight and named == best) else []
        for (_, j, by), narrow in kept:
            apart = _off(scaled[k], None if j < 0 else scaled[j], groups[by])
            apart = _of_narrow(apart, groups[by], NARROW * alone) if narrow else apart
            if np.isfinite(apart).sum() < LEAST_ROWS:
                continue
            off = _in_widths(apart, groups[by], 1e-9 * alone)
            of_logs = scaled is logs and logs[k] is not plain[k]
            yield Relation(names[k], "" if j < 0 else names[j], by, apart, off, of_logs)


def _narrowest(
    scaled: dict[int, np.ndarray],
    k: int,
    near: list[int],
    groups: dict[str, np.ndarray],
    some: Int[np.ndarray, " m"],
) -> tuple[tuple[float, int, str], tuple[float, int, str]]:
    """The number and names beside which a column is narrowest, and the names alone; none has an infinite width."""
    # Each with how wide it is left, as part of how wide it is by itself; -1 stands for no number.
    found: list[tuple[float, int, str]] = []
    alone = width(scaled[k][some])
    for by, group in groups.items():
        for j in (None, *near):
            if j is None and not by:
                continue
            off = _off(scaled[k][some], None if j is None else scaled[j][some], group[some])
            if np.count_nonzero(np.isfinite(off)) >= 0.5 * len(some):
                # A further column has to earn its place.
                left = width(off) * (1.0 if j is None or not by else 1.1)
                found.append((left / alone if alone > 0 else np.inf, -1 if j is None else j, by))
    best = min(found, default=(np.inf, -1, ""))
    return best, min((one for one in found if one[1] < 0), default=best)


def _of_narrow(apart: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"], most: float) -> Float[np.ndarray, " n"]:
    """How far numbers lie off in those groups alone that are narrow."""
    wide = {one: width(apart[group == one]) for one in np.unique(group).tolist()}
    return np.where([wide[one] <= most for one in group.tolist()], apart, np.nan)


def likely(columns: dict[int, np.ndarray]) -> dict[int, list[int]]:
    """Of each column those few whose ranks go best with its own."""
    ranks = {k: np.argsort(np.argsort(np.nan_to_num(one, nan=np.nanmedian(one)))) for k, one in columns.items()}
    if len(ranks) < 2:
        return {k: [] for k in ranks}
    at, alike = list(ranks), np.abs(np.corrcoef(np.stack(list(ranks.values()))))
    best = np.argsort(-alike, axis=1, kind="stable").tolist()
    return {k: [at[i] for i in best[place] if i != place][:BASES] for place, k in enumerate(at)}


def varied(column: np.ndarray) -> bool:
    """Whether a column has enough numbers, and enough different ones, for a line."""
    seen = column[np.isfinite(column)]
    return len(seen) >= LEAST_ROWS and len(np.unique(seen)) > GROUP


def _grouped(codes: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The group of each row: of its name, or of all rare and missing ones together."""
    counts = np.bincount(codes[codes >= 0], minlength=1)
    own = (codes >= 0) & (counts[np.maximum(codes, 0)] >= GROUP)
    return np.where(own, codes + 1, 0)


def width(off: np.ndarray) -> float:
    """How wide the middle of the numbers is."""
    seen = off[np.isfinite(off)]
    return float(np.subtract(*np.quantile(seen, [0.84, 0.16]))) / 2.0 if len(seen) else np.inf


def _in_widths(apart: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"], least: float) -> Float[np.ndarray, " n"]:
    """How many widths of their group numbers lie off: letters may vary more than parcels."""
    wide, whole = np.full(len(apart), np.nan), width(apart)
    for one in np.unique(group):
        own = group == one
        wide[own] = max(width(apart[own]), whole / 3.0, least)
    with np.errstate(invalid="ignore", divide="ignore"):  # without a finite number, or with one alone, there is none
        return apart / wide


def _off(
    y: Float[np.ndarray, " n"], x: Float[np.ndarray, " n"] | None, group: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How far numbers lie from the line of their group, which rows far from it do not bend."""
    made = np.full(len(y), np.nan)
    both = np.isfinite(y) if x is None else np.isfinite(y) & np.isfinite(x)
    for one in np.unique(group[both]):
        rows = np.flatnonzero(both & (group == one))
        if len(rows) < GROUP:
            continue
        made[rows] = y[rows] - np.median(y[rows])
        if x is None:
            continue
        low, high = np.quantile(x[rows], [EDGE, 1.0 - EDGE])
        far = (x[rows] < low - REACH * (high - low)) | (x[rows] > high + REACH * (high - low))
        made[rows] = np.where(far, np.nan, robust_line(x[rows], y[rows])[2])  # a line says nothing so far from its rows
    return made


def robust_line(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> tuple[float, float, Float[np.ndarray, " n"]]:
    """The slope and the level at 0 of a line that far rows do not bend, and how far each row lies from it."""
    kept, off, slope, level = np.ones(len(y), bool), y, 0.0, 0.0
    for _ in range(3):
        slope, level = least_squares(x[kept], y[kept])
        off = y - level - slope * x
        kept = np.abs(off) <= TRIMMED * np.quantile(np.abs(off), 0.68)
    middle = float(np.median(off))
    return slope, level + middle, off - middle


def least_squares(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The least squares of a line: its slope and its level at 0."""
    middle, mean = x.mean(), y.mean()
    spread = float(np.sum((x - middle) ** 2))
    slope = float(np.sum((x - middle) * (y - mean)) / spread) if spread > 0 else 0.0
    return slope, float(mean - slope * middle)
