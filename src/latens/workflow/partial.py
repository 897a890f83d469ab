"""What a column does to another one in rows while the other columns are held still, by least squares."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latens.data import Dataset
from latens.data.equations import numbers

LEAST_ROWS, EACH, MOST_ROWS = 100, 5, 20_000
"""Rows from which on effects are told, rows for each coefficient at the least, and rows that are looked at."""
SURE = 4.0
"""Standard errors from which on an effect is told: by chance of twenty columns one in 800 tables."""
LOST, LEFT = 4.0, 0.5
"""Standard errors by which synthetic rows differ from real ones where they lack an effect, and how much of it they have
at the most then."""
MOST_NAMES, WIDE = 12, 3.0
"""Names of a column that each have a coefficient; and how many times as large as the least the largest positive number
is where logarithms are taken."""


class Effect(NamedTuple):
    """How a number differs between the lower and the upper quartile of another one."""

    column: str
    errors: float  # how many standard errors it is from none
    words: str


class Scale(NamedTuple):
    """How a column of numbers enters: as it is or by its logarithm, less its mean, in spreads."""

    logs: bool
    mean: float
    spread: float

    def __call__(self, column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        with np.errstate(all="ignore"):
            made = (np.log(column) if self.logs else column) - self.mean
        return np.where(np.isfinite(made), made / self.spread, np.nan)


def held_still(rows: Dataset, target: str, given: Collection[str] = ()) -> list[Effect]:
    """The numbers that a number goes with in rows when all other columns are held still, the surest first."""
    # given: columns that others compute, which hold nothing of their own.
    schema, x = rows.schema, np.asarray(rows.x, np.float64)[:MOST_ROWS]
    types, names = list(schema.types or ()), schema.names
    at = names.index(target)
    if types[at].kind != "number" or target in given:
        return []
    mask = None if rows.mask is None else np.asarray(rows.mask)[:MOST_ROWS]
    outside = None if rows.outside is None else np.asarray(rows.outside)[:MOST_ROWS]
    named = np.array([one.named for one in types])
    codes = np.round(x) if mask is None else np.where(mask, np.round(x), np.nan)
    cells = np.where(named, codes, numbers(x, schema, mask, outside))
    others = [j for j, one in enumerate(types) if (one.kind == "number" or one.named) and names[j] not in given]
    scales = scales_of(cells, named, others)
    if at not in scales:
        return []
    made = slopes(cells, named, at, others, scales)

    def texts(j: int, value: float) -> str:
        return types[j].texts(np.round((np.array([value]) - types[j].low) / types[j].step))[0]

    return [
        Effect(names[j], abs(slope / error), in_words(cells, at, j, slope, scales, names, texts))
        for j, (slope, error) in sorted(made.items(), key=lambda one: -abs(one[1][0] / one[1][1]))
        if abs(slope) >= SURE * error
    ]


def in_words(
    cells: Float[np.ndarray, "n c"],
    at: int,
    j: int,
    slope: float,
    scales: Mapping[int, Scale],
    names: Sequence[str],
    texts: Callable[[int, float], str],
) -> str:
    """By how much a number differs between two quartiles of another one."""
    ends = np.nanquantile(cells[:, j], [0.25, 0.75])
    if ends[0] == ends[1]:  # what most rows lack: between that and the most
        ends = np.nanquantile(cells[:, j], [0.0, 1.0])
    by = slope * float(np.diff(scales[j](ends))[0]) * scales[at].spread
    much = f"{100 * abs(np.expm1(by)):.2g} %" if scales[at].logs else f"{abs(by):.3g}"
    way = "higher" if by > 0 else "lower"
    return f"{names[at]} is {much} {way} where {names[j]} is {texts(j, ends[1])} than where it is {texts(j, ends[0])}"


def scales_of(
    cells: Float[np.ndarray, "n c"], named: Bool[np.ndarray, " c"], columns: Sequence[int]
) -> dict[int, Scale]:
    """The scale of each column of numbers that varies."""
    found = {}
    for j in (j for j in columns if not named[j]):
        own = cells[np.isfinite(cells[:, j]), j]
        if len(own) < 2 or np.ptp(own) == 0:
            continue
        logs = bool(own.min() > 0 and own.max() > WIDE * own.min())
        own = np.log(own) if logs else own
        found[j] = Scale(logs, float(own.mean()), float(own.std()))
    return found


def slopes(
    cells: Float[np.ndarray, "n c"],
    named: Bool[np.ndarray, " c"],
    at: int,
    others: Sequence[int],
    scales: Mapping[int, Scale],
) -> dict[int, tuple[float, float]]:
    """The slopes of one column by each number, in spreads of both, and their standard errors; none of too few rows."""
    y = scales[at](cells[:, at])
    cells, y = cells[np.isfinite(y)], y[np.isfinite(y)]
    places: dict[int, int] = {}
    parts: list[np.ndarray] = []
    for j in (j for j in others if j != at):
        if named[j]:
            codes = np.unique(cells[np.isfinite(cells[:, j]), j])
            parts += [cells[:, j] == code for code in codes[1:] if len(codes) <= MOST_NAMES]
        elif j in scales:
            places[j] = len(parts)
            parts.append(np.nan_to_num(scales[j](cells[:, j])))
    if len(y) < max(LEAST_ROWS, EACH * (len(parts) + 1)) or not parts:
        return {}
    design = np.stack(parts, axis=1).astype(np.float64)
    design, y = design - design.mean(axis=0), y - y.mean()
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    found = inverse @ (design.T @ y)
    free = max(len(y) - 1 - int(np.linalg.matrix_rank(design)), 1)
    noise = float(np.sum((y - design @ found) ** 2)) / free
    errors = np.sqrt(np.maximum(np.diag(inverse) * noise, 1e-300))
    return {j: (float(found[k]), float(errors[k])) for j, k in places.items()}


def lost(
    real: Float[np.ndarray, "n c"], fake: Float[np.ndarray, "m c"], named: Bool[np.ndarray, " c"], names: Sequence[str],
    columns: Sequence[int],
) -> list[Effect]:  # fmt: skip
    """Effects of real rows, with the other columns held still, of which synthetic ones have less than half."""
    # Codes of names and numbers, NaN where a cell is missing; columns: those that nothing computes.
    real, fake, found = real[:MOST_ROWS], fake[:MOST_ROWS], []
    scales = scales_of(real, named, columns)
    for at in scales:
        usual, made = slopes(real, named, at, columns, scales), slopes(fake, named, at, columns, scales)
        for j, (slope, error) in usual.items():
            other, own = made.get(j, (slope, error))
            apart = abs(slope - other) / np.hypot(error, own)
            if abs(slope) >= SURE * error and apart >= LOST and other * np.sign(slope) < LEFT * abs(slope):
                words = in_words(real, at, j, slope, scales, names, lambda _, value: f"{value:.4g}")
                found.append((Effect(names[j], float(apart), words), frozenset((at, j))))
    kept: dict[frozenset[int], Effect] = {}  # of both directions the surer one
    for effect, pair in sorted(found, key=lambda one: -one[0].errors):
        kept.setdefault(pair, effect)
    return list(kept.values())
