"""What a column does to another one in rows while the other columns are held still, by least squares."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from latens.data import Dataset
from latens.data.equations import numbers

LEAST_ROWS, EACH, MOST_ROWS = 100, 5, 20_000
"""Rows from which on effects are told, rows for each coefficient at the least, and rows that are looked at."""
OFTEN = 10
"""Rows of a name whose effect is told."""
WEAK = 2.0
"""Standard errors below which a column is left out of what is held still."""
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


def held_still(
    rows: Dataset, target: str, given: Collection[str] = (), tied: Sequence[Collection[str]] = ()
) -> list[Effect]:
    """What a number goes with in rows when all other columns are held still, the surest first."""
    # given: columns that others compute, which hold nothing of their own. tied: columns that are in one equation with
    # the target; of these the one that goes most with it is the target in another form, as the speed is of a time.
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
    same = {_nearest(cells, at, [names.index(name) for name in own if name != target]) for own in tied}
    others = [j for j, one in enumerate(types) if (one.kind == "number" or one.named) and names[j] not in given]
    others = [j for j in others if j not in same]
    scales = scales_of(cells, named, others)
    fit = fitted(cells, named, at, others, scales) if at in scales else None
    if fit is None:
        return []

    def texts(j: int, value: float) -> str:
        return types[j].texts(np.round((np.array([value]) - types[j].low) / types[j].step))[0]

    found = []
    for j in fit.places:
        slope, _ = fit.slope(j)
        found.append((fit.sure(j), j, lambda j=j, by=slope: in_words(cells, at, j, by, scales, names, texts)))
    for j in fit.names:
        by, _, most, least = fit.apart(j)
        told = [types[j].values[code] for code in (most, least)]
        much = _much(by * scales[at].spread, scales[at].logs)
        words = f"{names[at]} is {much} higher where {names[j]} is {told[0]} than where it is {told[1]}"
        found.append((fit.sure(j), j, lambda words=words: words))
    found.sort(key=lambda one: -one[0])
    return [Effect(names[j], sure, words()) for sure, j, words in found if sure >= SURE]


def _nearest(cells: Float[np.ndarray, "n c"], at: int, some: Sequence[int]) -> int:
    """The column whose ranks go most with those of another one; -1 of none."""
    ranks = {j: np.argsort(np.argsort(np.nan_to_num(cells[:, j], nan=np.nanmedian(cells[:, j])))) for j in (at, *some)}
    return max(some, key=lambda j: abs(np.corrcoef(ranks[j], ranks[at])[0, 1]), default=-1)


def _much(by: float, logs: bool) -> str:
    """A difference in words: of logarithms in per cent."""
    return f"{100 * abs(np.expm1(by)):.2g} %" if logs else f"{abs(by):.3g}"


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
    much = _much(by, scales[at].logs)
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


class Fit(NamedTuple):
    """Least squares of a number by all others, in spreads of each."""

    found: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    places: dict[int, int]  # of each column of numbers its coefficient
    names: dict[int, dict[int, int]]  # of each column of names the coefficient of each name but its base
    bases: dict[int, int]  # of each column of names the name that the others are held against, the most frequent one
    said: float  # the share of the variance that is said

    def slope(self, j: int) -> tuple[float, float]:
        """The slope of a number, and its standard error."""
        k = self.places[j]
        return float(self.found[k]), float(np.sqrt(max(self.covariance[k, k], 1e-300)))

    def apart(self, j: int) -> tuple[float, float, int, int]:
        """By how much two names of a column differ at most, the error, and these names."""
        value = {self.bases[j]: 0.0, **{code: float(self.found[k]) for code, k in self.names[j].items()}}
        most, least = max(value, key=lambda code: value[code]), min(value, key=lambda code: value[code])
        return (*self.between(j, most, least), most, least)

    def between(self, j: int, first: int, second: int) -> tuple[float, float]:
        """By how much one name is above another, and the error."""
        weight = np.zeros(len(self.found))
        for code, sign in ((first, 1.0), (second, -1.0)):
            if code != self.bases[j]:
                weight[self.names[j][code]] += sign
        return float(weight @ self.found), float(np.sqrt(max(weight @ self.covariance @ weight, 1e-300)))

    def tells(self, j: int) -> bool:
        """Whether a column says something of the number for sure."""
        return (j in self.places or j in self.names) and self.sure(j) >= SURE

    def sure(self, j: int) -> float:
        """How many standard errors what a column does is from nothing; of two names among many each pair counts."""
        if j in self.places:
            return abs(self.slope(j)[0] / self.slope(j)[1])
        by, error, *_ = self.apart(j)
        return by / error - math.log(max(len(self.names[j]) * (len(self.names[j]) + 1) / 2, 1))


def fitted(
    cells: Float[np.ndarray, "n c"],
    named: Bool[np.ndarray, " c"],
    at: int,
    others: Sequence[int],
    scales: Mapping[int, Scale],
    *,
    pruned: bool = True,
    bases: Mapping[int, int] = MappingProxyType({}),
) -> Fit | None:
    """The slopes of one column by each number and each name, in spreads of numbers; None of too few rows."""
    # pruned: whether what says little is left out; bases: the names that others are held against, where they are known.
    y = scales[at](cells[:, at])
    cells, y = cells[np.isfinite(y)], y[np.isfinite(y)]
    places: dict[int, int] = {}
    names: dict[int, dict[int, int]] = {}
    spans: dict[int, range] = {}
    base: dict[int, int] = {}
    parts: list[np.ndarray] = []
    for j in (j for j in others if j != at):
        if named[j]:
            codes, counts = np.unique(cells[np.isfinite(cells[:, j]), j], return_counts=True)
            base[j] = bases.get(j, int(codes[counts.argmax()]) if len(codes) else -1)
            own = [code for code in codes if code != base[j]] if 1 < len(codes) <= MOST_NAMES else []
            often = [code for code, count in zip(codes, counts) if count >= OFTEN]
            names[j] = {int(code): len(parts) + k for k, code in enumerate(own) if code in often}
            spans[j] = range(len(parts), len(parts) + len(own))
            parts += [cells[:, j] == code for code in own]
        elif j in scales:
            places[j] = len(parts)
            parts.append(np.nan_to_num(scales[j](cells[:, j])))
    if len(y) < max(LEAST_ROWS, EACH * (len(parts) + 1)) or not parts:
        return None
    design = np.stack(parts, axis=1).astype(np.float64)
    design, y = design - design.mean(axis=0), y - y.mean()
    gram, by, whole = design.T @ design, design.T @ y, float(y @ y)
    while True:
        fit = _solved(gram, by, whole, len(y), places, {j: own for j, own in names.items() if own}, base)
        weak = min((*places, *fit.names), key=fit.sure, default=-1)
        if not pruned or weak < 0 or fit.sure(weak) >= WEAK:
            return fit
        # What says little is left out, the least first: of a mass and a material that go together one stays.
        gone = [places.pop(weak)] if weak in places else list(spans.pop(weak))
        names.pop(weak, None)
        gram[gone], gram[:, gone], by[gone] = 0.0, 0.0, 0.0


def _solved(
    gram: Float[np.ndarray, "k k"],
    by: Float[np.ndarray, " k"],
    whole: float,
    rows: int,
    places: dict[int, int],
    names: dict[int, dict[int, int]],
    bases: dict[int, int],
) -> Fit:
    """Least squares by the products of all columns; those that are 0 throughout are left out."""
    inverse = np.linalg.pinv(gram, hermitian=True)
    found = inverse @ by
    free = max(rows - 1 - int(np.linalg.matrix_rank(gram, hermitian=True)), 1)
    noise, said = max(whole - float(found @ by), 0.0) / free, float(found @ by) / max(whole, 1e-300)
    return Fit(found, inverse * noise, dict(places), names, bases, said)


def lost(
    real: Float[np.ndarray, "n c"], fake: Float[np.ndarray, "m c"], named: Bool[np.ndarray, " c"], names: Sequence[str],
    columns: Sequence[int], text_of: Callable[[int, int], str] = lambda j, code: str(code),
) -> list[Effect]:  # fmt: skip
    """Effects of real rows, with the other columns held still, of which synthetic ones have less than half."""
    # Codes of names and numbers, NaN where a cell is missing; columns: those that nothing computes.
    real, fake, found = real[:MOST_ROWS], fake[:MOST_ROWS], []
    scales = scales_of(real, named, columns)
    fits = {at: fit for at in scales if (fit := fitted(real, named, at, columns, scales)) is not None}
    for at, usual in fits.items():
        # What two columns do to a third one goes the other way where this is held still: slopes on which oil is rare.
        others = [fit for t, fit in fits.items() if t != at and fit.said > usual.said and fit.tells(at)]
        own = [j for j in (*usual.places, *usual.names) if not any(fit.tells(j) for fit in others)]
        kept = [*usual.places, *usual.names]
        made = fitted(fake, named, at, kept, scales, pruned=False, bases=usual.bases) if own else None
        for j in own:
            if made is None or usual.sure(j) < SURE:
                continue
            effect = _lost_names(usual, made, j) if j in usual.names else _lost_number(usual, made, j)
            if effect is not None:
                apart, by, ends = effect
                if ends is None:
                    words = in_words(real, at, j, by, scales, names, lambda _, value: f"{value:.4g}")
                else:
                    first, second = (text_of(j, code) for code in ends)
                    much = _much(by * scales[at].spread, scales[at].logs)
                    words = f"{names[at]} is {much} higher where {names[j]} is {first} than where it is {second}"
                found.append((Effect(names[j], apart, words), frozenset((at, j))))
    told: dict[frozenset[int], Effect] = {}  # of both directions the surer one
    for effect, pair in sorted(found, key=lambda one: -one[0].errors):
        told.setdefault(pair, effect)
    return list(told.values())


_Lost: TypeAlias = tuple[float, float, tuple[int, int] | None] | None  # errors, how much of it is real, and two names


def _lost_number(usual: Fit, made: Fit, j: int) -> _Lost:
    """By how many errors synthetic rows lack the slope of a number."""
    (slope, error), (other, own) = usual.slope(j), made.slope(j) if j in made.places else usual.slope(j)
    apart = float(abs(slope - other) / np.hypot(error, own))
    return (apart, slope, None) if apart >= LOST and other * np.sign(slope) < LEFT * abs(slope) else None


def _lost_names(usual: Fit, made: Fit, j: int) -> _Lost:
    """By how many errors synthetic rows lack how far apart two names are."""
    by, error, most, least = usual.apart(j)
    if not {most, least} - {usual.bases[j]} <= set(made.names.get(j, ())):
        return None
    other, own = made.between(j, most, least)
    apart = float(abs(by - other) / np.hypot(error, own))
    return (apart, by, (most, least)) if apart >= LOST and other < LEFT * by else None
