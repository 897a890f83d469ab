"""Columns that are another one times one of a few rates: a price of hours, by the kind of bicycle and membership."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latens.data import equations
from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

LEAST_ROWS, LEAST_OF_ONE = 200, 50
"""Rows with both columns from which on rates count, and a single one: 5 % in few rows, nothing in all others."""
MOST_RATES, FEWEST_EACH, PART = 40, 3, 0.001
"""Rates at the most, and rows that each one has at least, also as a part of all."""
SCREENED, ALMOST = 200, 0.9
"""Rows on which all pairs of columns are tried, and the share that few rates must give there."""
MOST_BY, MOST_NAMES, SPLITS = 3, 50, 300
"""Columns of names that say which rate it is, their names at the most, and values of the base that are tried."""
LEAST_NOTHING, MOST_PARTS, MOST_NAMED = 0.1, 2, 8
"""Rows where a number is nothing, of those where it is something, from which on it may be a part of another one, and
such parts at the most; and rates that names give of a number that is as exact."""
MORE = 1.05
"""How many times as many rows as those of another base are clearly more."""
MOST_COUNTS = 6
"""Counts of which each two are tried as a product."""
FEWER = 6
"""How many times as many numbers as rates the target has at least."""
SELDOM = 0.02
"""Share of rows of one kind below which a rate is a mistake there."""
FREE = 10
"""Rows of one kind from which on nothing is no mistake there: children pay none."""
MARGIN = 1.0 + 1e-6
NEXT_TO_NOTHING = 0.01
"""Part of the least rate up to which a drawn target counts as nothing."""


ROUNDED = 0.01
"""The part of a target up to which its rounding may hide what it is a part of."""


class Rate(NamedTuple):
    """A column that is another one times one of a few rates in nearly all rows."""

    target: str
    base: str
    within: float  # how far from the product the target may lie: half of what it is rounded to
    rates: tuple[float, ...]
    by: tuple[str, ...]  # columns of names that say which of the rates it is
    above: float | None  # above this value of the base the rates are other ones
    # names of `by`, whether the base is above, and the places of the rates that such rows have
    allowed: tuple[tuple[tuple[str, ...], bool, tuple[int, ...]], ...]
    rows: int  # with both columns
    broken: int  # of these, with no rate that rows of their kind have
    times: str = ""  # the other count that the base is multiplied by: persons, of nights

    @property
    def used(self) -> set[float]:
        """The rates that rows of some kind have; others are mistakes."""
        return {self.rates[k] for *_, places in self.allowed for k in places} or set(self.rates)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the target is given by."""
        return (*self.bases, *self.by)

    @property
    def bases(self) -> tuple[str, ...]:
        """The columns that make up what the rates are of."""
        return (self.base, self.times) if self.times else (self.base,)

    @property
    def words(self) -> str:
        """The rule, as it stands in a sentence."""
        used = self.used
        low, high = min(used), max(used)
        if len(used) == 1:
            return " * ".join([f"{low:g}", *self.bases])
        own = " and ".join(repr(name) for name in self.by)
        own = f" that {own} {'gives' if len(self.by) == 1 else 'give'}" if own else ""
        step = f", another one above {self.above:g}" if self.above is not None else ""
        base = " * ".join(self.bases) if self.times else repr(self.base)
        return f"{base} times one of {len(used)} rates from {low:g} to {high:g}{own}{step}"


def found_in(data: Dataset) -> tuple[Rate, ...]:
    """Find the columns of a mixed table that are another one times one of a few rates, which names may give."""
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return ()
    names = data.schema.names
    values = equations.numbers(x, data.schema, data.mask, data.outside)
    places = [j for j, one in enumerate(types) if one.kind == "number" and len(np.unique(x[:, j])) > 2]
    places = places[: equations.MOST_COLUMNS]
    half = {j: 0.5 * types[j].step * equations.coarser(values[:, j] / types[j].step) * MARGIN for j in places}
    loose = {j: _loose(values[:, j], types[j].step) for j in places}
    # A number that is nearly always nothing is no target of equations, which may hold by chance there.
    seldom = {j: bool(np.mean(values[~np.isnan(values[:, j]), j] == 0) > equations.BY_CHANCE) for j in places}
    # Counts may be multiplied: nights and persons.
    counts = [j for j in places if types[j].written == "int" and types[j].low >= 0 and _is_count(values[:, j])]
    bases: list[tuple[int, ...]] = [*((j,) for j in places), *itertools.combinations(counts[:MOST_COUNTS], 2)]
    found: dict[str, Rate] = {}
    named: list[Rate] = []
    for target in places:
        for own in bases:
            y, b = values[:, target], np.prod(values[:, own], axis=1)
            near, far = (half[own[0]], loose[own[0]]) if len(own) == 1 else (0.0, False)
            # A price of counts is exact, though its multiples look rounded.
            within = half[target] if len(own) == 1 else 0.5 * types[target].step * MARGIN
            seen = np.flatnonzero((y > 0) & (b > 0))
            finer = np.median(within / y[seen]) < np.median(near / b[seen]) if len(seen) else False
            fewest, nothing = max(FEWEST_EACH, round(PART * len(seen))), np.flatnonzero((y == 0) & (b > 0))
            # A part of another number is less exact than that one, but of parts many are nothing, and there are few.
            single = seldom[target] and _of_seldom(y, b, seen, (within, near))
            part = not (finer or single) or (far and not single)
            if target in own or len(seen) < LEAST_OF_ONE:
                continue
            # One of a few rates of a number as exact is believed where names give it: a price by its currency.
            by_name = part and len(nothing) <= LEAST_NOTHING * len(seen)
            least = 2 if len(nothing) < fewest and not single else 1  # nothing is a rate too
            some = np.random.default_rng(0).permutation(seen)[:SCREENED]
            few = rates_of(y[some], b[some], within, fewest=2)
            if _held(few, y[some], b[some], within, least) < ALMOST:
                continue
            made = _checked(rates_of(y[seen], b[seen], within, fewest=fewest), y[seen], b[seen], within, least)
            if len(made) > 1 and len(seen) < LEAST_ROWS:
                continue
            # As many rates as there are numbers say less than these do.
            if (part and len(made) > (MOST_NAMED if by_name else MOST_PARTS)) or FEWER * len(made) > len(
                np.unique(y[seen])
            ):
                continue
            if made:
                if len(nothing) >= fewest:
                    made, seen = (0.0, *made), np.sort(np.concatenate([seen, nothing]))
                if names[target] in found and (by_name or not _better(made, len(seen), found[names[target]])):
                    continue
                base, times = [*(names[j] for j in own), ""][:2]
                rule = Rate(names[target], base, within, made, (), None, (), len(seen), 0, times)
                rule = _by_names(rule, data, seen, b[seen], which_of(rule, y[seen], b[seen]))
                if not by_name:
                    found[names[target]] = rule
                elif len(made) > 1 and all(len(places) == 1 for *_, places in rule.allowed):
                    named.append(rule)
    for rule in named[::-1]:  # of two that give each other the later one, where nothing else is said of either
        if not {rule.target, *rule.bases} & {name for one in found.values() for name in (one.target, *one.bases)}:
            found[rule.target] = rule
    # Of two numbers that give each other the smaller one is the part.
    twice = [one for one in found.values() if one.base in found and one.target in found[one.base].bases]
    return tuple(one for one in found.values() if one not in twice or max(one.rates) <= 1.0)


def _is_count(column: Float[np.ndarray, " n"]) -> bool:
    """Whether numbers may be counts that a price is multiplied by: few different ones."""
    return len(np.unique(column[~np.isnan(column)])) <= equations.FEW


def _better(made: Sequence[float], rows: int, other: Rate) -> bool:
    """Whether rates hold in clearly more rows than others, or in about as many and are fewer, or shorter ones."""
    # 7.5 a day, not 0.05 per 150 km.
    more = rows / other.rows
    return more > MORE or (more >= 1.0 / MORE and _length(made) < _length(other.rates))


def _length(rates: Sequence[float]) -> tuple[int, int]:
    own = [rate for rate in rates if rate]
    return len(own), sum(len(f"{rate:.12g}") for rate in own)


def _of_seldom(y: np.ndarray, b: np.ndarray, seen: np.ndarray, half: tuple[float, float]) -> bool:
    """Whether a number that is mostly nothing may be a part of another one: as exact, and nothing where that is."""
    if not len(seen) or np.median(half[0] / y[seen]) > np.median(half[1] / b[seen]) * MARGIN**4:
        return False
    return bool(np.mean(y[b == 0] == 0) > equations.HOLDS) if np.any(b == 0) else True


def _loose(column: Float[np.ndarray, " n"], step: float) -> bool:
    """Whether a column may have been rounded after others were made from it."""
    fine = step < 1 and equations.coarser(column / step) == 1
    return fine and len(np.unique(column[~np.isnan(column)])) > equations.FEW


def rates_of(
    y: Float[np.ndarray, " n"], base: Float[np.ndarray, " n"], half: float, *, fewest: int
) -> tuple[float, ...]:
    """The rates that most rows have one after the other, each written as shortly as its rows allow."""
    low, high = (y - half) / base, (y + half) / base
    found: list[float] = []
    while len(low) >= fewest and len(found) <= MOST_RATES:
        starts, ends = np.sort(low), np.sort(high)
        inside = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "left")
        point = starts[inside.argmax()]
        own = (low <= point) & (high >= point)
        if own.sum() < fewest:
            break
        found.append(_short(point, float(high[own].min())))
        low, high = low[~own], high[~own]
    return tuple(found)


def _short(low: float, high: float) -> float:
    """The number of the fewest digits between two ends."""
    middle = 0.5 * (low + high)
    for digits in range(1, 12):
        short = float(f"{middle:.{digits}g}")
        if low <= short <= high:
            return short
    return middle


def which_of(
    rule: Rate, y: Float[np.ndarray, " n"], base: Float[np.ndarray, " n"], allowed: np.ndarray | None = None
) -> np.ndarray:
    """The place of the rate of each row, of those that it may have; -1 where none gives the target."""
    rates = np.asarray(rule.rates)
    with np.errstate(all="ignore"):
        off = np.abs(base[:, None] * rates - y[:, None])
        off = np.where(np.isfinite(off) & (True if allowed is None else allowed), off, np.inf)
        best = off.argmin(axis=1)
        good = off[np.arange(len(off)), best] <= rule.within * MARGIN + 1e-9 * np.abs(y)
    return np.where(good, best, -1)


def _held(rates: tuple[float, ...], y: np.ndarray, base: np.ndarray, half: float, least: int) -> float:
    """The share of rows that one of the rates gives; 0 of too many rates or of too few."""
    if not least <= len(rates) <= MOST_RATES:
        return 0.0
    rule = Rate("", "", half, rates, (), None, (), 0, 0)
    return float(np.mean(which_of(rule, y, base) >= 0))


def _checked(rates: tuple[float, ...], y: np.ndarray, base: np.ndarray, half: float, least: int) -> tuple[float, ...]:
    """The rates if they give nearly all rows, and few where the target is that of another row; else none."""
    others = np.roll(np.sort(y), len(y) // 3)[np.argsort(np.argsort(y, kind="stable"))]
    held = [_held(rates, one, base, half, least) for one in (y, others)]
    good = held[0] >= equations.HOLDS and held[1] <= equations.BY_CHANCE
    return tuple(sorted(rates)) if good else ()


def _by_names(rule: Rate, data: Dataset, rows: np.ndarray, base: np.ndarray, which: np.ndarray) -> Rate:
    """The rule with the columns of names that say which rate a row has, chosen by what they save in nats."""
    names, types = data.schema.names, data.schema.types or ()
    codes = {
        name: np.where(_shown(data, rows, j), np.asarray(data.x)[rows, j], -1).astype(np.int64)
        for j, (name, one) in enumerate(zip(names, types))
        if _names(one)
    }
    group, by, kept = np.zeros(len(rows), np.int64), (), which >= 0
    while len(by) < MOST_BY and codes:
        costs = {name: _cost(group * (MOST_NAMES + 2) + own + 1, which, kept) for name, own in codes.items()}
        name = min(costs, key=lambda one: costs[one])
        if costs[name] >= _cost(group, which, kept):
            break
        own = codes.pop(name)
        group, by = np.unique(group * (MOST_NAMES + 2) + own + 1, return_inverse=True)[1].ravel(), (*by, name)
    # What only few rows have above or below a value is a mistake, as it is among names.
    steps = np.unique(np.quantile(base, np.linspace(SELDOM, 1.0 - SELDOM, SPLITS), method="lower"))[:-1]
    split = min(steps, key=lambda at: _cost(2 * group + (base > at), which, kept), default=None)
    above = None
    if split is not None and _cost(2 * group + (base > split), which, kept) < _cost(group, which, kept):
        above = float(split)
    rule = rule._replace(by=by, above=above)
    kinds, at = _kinds(rule, data.schema, np.asarray(data.x)[rows], _mask(data, rows), base)
    allowed = []
    for k, kind in enumerate(kinds):
        counts = np.bincount(which[(at == k) & kept], minlength=len(rule.rates))
        least = np.where(np.asarray(rule.rates) == 0.0, min(SELDOM * counts.sum(), FREE), SELDOM * counts.sum())
        own = tuple(np.flatnonzero(counts >= np.maximum(2.0, least)).tolist())
        if counts.sum() >= FEWEST_EACH and own and None not in kind[0]:
            allowed.append((*kind, own))
    rule = rule._replace(allowed=tuple(allowed))
    wrong = broken_in(rule, data.schema, np.asarray(data.x)[rows], _mask(data, rows), _mask(data, rows, outside=True))
    return rule._replace(broken=int(wrong.sum()))


def _mask(data: Dataset, rows: np.ndarray, *, outside: bool = False) -> np.ndarray | None:
    own = data.outside if outside else data.mask
    return None if own is None else np.asarray(own)[rows]


def _shown(data: Dataset, rows: np.ndarray, j: int) -> Bool[np.ndarray, " n"]:
    return np.ones(len(rows), bool) if data.mask is None else np.asarray(data.mask)[rows, j]


def _names(one: ColumnType) -> bool:
    return one.named and not one.starts and 2 <= len(one.values) <= MOST_NAMES


def _cost(group: np.ndarray, which: np.ndarray, kept: np.ndarray) -> float:
    """The nats of the rates of rows by their group, and of the shares that this takes (Schwarz, 1978)."""
    _, group = np.unique(group[kept], return_inverse=True)
    counts = np.zeros((int(group.max(initial=-1)) + 1, MOST_RATES + 1))
    np.add.at(counts, (group.ravel(), which[kept]), 1.0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    nats = -np.sum(counts * np.log(np.where(counts > 0, shares, 1.0)))
    return float(nats + 0.5 * math.log(max(kept.sum(), 2)) * np.sum(np.maximum((counts > 0).sum(axis=1) - 1, 0) + 1))


def _kinds(
    rule: Rate, schema: Schema, x: np.ndarray, mask: np.ndarray | None, base: np.ndarray
) -> tuple[list[tuple[tuple[Any, ...], bool]], np.ndarray]:
    """The kinds of rows that there are, by their names and base, and the one of each row; None is a missing name."""
    names = schema.names
    types: list[ColumnType] = list(schema.types or ())
    places = [names.index(name) for name in rule.by]
    codes = np.asarray(x)[:, places].astype(np.int64)
    codes = codes if mask is None else np.where(np.asarray(mask)[:, places], codes, -1)
    above = np.zeros(len(x), np.int64) if rule.above is None else (base > rule.above).astype(np.int64)
    found, at = np.unique(np.column_stack([codes, above]), axis=0, return_inverse=True)
    word = lambda j, code: types[j].values[code] if 0 <= code < len(types[j].values) else None  # noqa: E731
    kinds = [(tuple(word(j, c) for j, c in zip(places, row[:-1].tolist())), bool(row[-1])) for row in found]
    return kinds, at.ravel()


def allowed_in(
    rule: Rate, schema: Schema, x: np.ndarray, mask: np.ndarray | None, base: np.ndarray
) -> Bool[np.ndarray, "n rates"]:
    """Which rates rows may have; all of them where too few rows are of their kind."""
    known, (kinds, at) = {row[:2]: list(row[2]) for row in rule.allowed}, _kinds(rule, schema, x, mask, base)
    table = np.ones((len(kinds), len(rule.rates)), bool)
    for k, kind in enumerate(kinds):
        if own := known.get(kind):
            table[k] = np.isin(np.arange(len(rule.rates)), own)
    return table[at]


def placed(rules: Sequence[Rate], schema: Schema) -> list[Rate]:
    """The rules between columns that a table has as numbers and names."""
    types = dict(zip(schema.names, schema.types or ()))
    own = {name for name, one in types.items() if one.kind == "number"}
    named = {name for name, one in types.items() if _names(one)}
    return [one for one in rules if {one.target, *one.bases} <= own and set(one.by) <= named]


def broken_in(
    rule: Rate, schema: Schema, x: np.ndarray, mask: np.ndarray | None = None, outside: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """The rows with both columns that have no rate which rows of their kind have, where there are enough of these."""
    y, base = _pair(rule, schema, x, mask, outside)
    allowed = allowed_in(rule, schema, x, mask, base)
    wrong = (which_of(rule, y, base, allowed) < 0) & (~allowed.all(axis=1) if rule.by or rule.above else True)
    least = 0.0 if min(rule.rates) == 0.0 else np.nextafter(0.0, 1.0)
    return wrong & np.isfinite(y) & np.isfinite(base) & (y >= least) & (base > 0)


def _pair(
    rule: Rate, schema: Schema, x: np.ndarray, mask: np.ndarray | None, outside: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    names = schema.names
    cells = equations.numbers(x, schema, mask, outside)
    return cells[:, names.index(rule.target)], np.prod(cells[:, [names.index(one) for one in rule.bases]], axis=1)


def given_by(
    rule: Rate, schema: Schema, x: Float[np.ndarray, "n columns"], mask: np.ndarray | None = None
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The stored target by the rate that is nearest to its own, of those rows like it have; and where it is sure."""
    # NaN where there is no base, or the product lies beyond the grid.
    names, types = schema.names, schema.types or ()
    one, hidden = types[names.index(rule.target)], None if mask is None else np.array(mask)
    if hidden is not None:
        hidden[:, names.index(rule.target)] = True
    y, base = _pair(rule, schema, x, hidden, None)
    allowed = allowed_in(rule, schema, x, hidden, base)
    with np.errstate(all="ignore"):
        rates = np.asarray(rule.rates)
        least = NEXT_TO_NOTHING * rates[rates > 0].min(initial=1.0)
        off = np.abs(np.log(np.maximum(y / base, least))[:, None] - np.log(np.maximum(rates, least)))
        rate = rates[np.where(allowed, np.nan_to_num(off, nan=1e3), np.inf).argmin(axis=1)]
        place = np.round((base * rate - one.low) / one.step)
    least = 0.0 if len(rule.used) == 1 else np.nextafter(0.0, 1.0)  # a part of nothing is nothing
    fits = np.isfinite(place) & (place >= 0) & (place < one.size) & (base >= least)
    return np.where(fits, place, np.nan), fits & (allowed.sum(axis=1) == 1)


def filled(
    rule: Rate, schema: Schema, x: np.ndarray, hidden: Bool[np.ndarray, "n columns"]
) -> tuple[np.ndarray, Bool[np.ndarray, "n columns"]]:
    """Stored rows whose hidden targets have a rate of rows like them, or bases that of theirs; and which are sure."""
    names = schema.names
    k, of = names.index(rule.target), [names.index(name) for name in rule.columns]
    rounded = np.where(hidden, np.round(np.asarray(x, np.float64)), x)
    place, alone = given_by(rule, schema, rounded)
    open_, sure = hidden[:, k] & np.isfinite(place), np.zeros(hidden.shape, bool)
    sure[:, k] = open_ & alone & ~hidden[:, of].any(axis=1)
    made = np.array(x, np.float64)
    made[open_, k] = place[open_]
    if rule.above is None:  # else the rate hangs on the base
        own = hidden[:, of[0]] & ~hidden[:, [k, *of[1:]]].any(axis=1)
        place, fits = base_of(rule, schema, rounded)
        made[own & fits, of[0]] = place[own & fits]
        sure[:, of[0]] |= own & fits
    return made, sure


def base_of(
    rule: Rate, schema: Schema, x: Float[np.ndarray, "n columns"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The stored base by the target and its rate, and where one rate alone and little rounding tell it."""
    names, types = schema.names, schema.types or ()
    y, base = _pair(rule, schema, x, None, None)
    times = _pair(rule._replace(base=rule.times, times=""), schema, x, None, None)[1] if rule.times else 1.0
    allowed, rates, one = allowed_in(rule, schema, x, None, base), np.asarray(rule.rates), types[names.index(rule.base)]
    rate = np.where(allowed.sum(axis=1) == 1, rates[allowed.argmax(axis=1)], 0.0)
    with np.errstate(all="ignore"):
        place = np.round((y / rate / times - one.low) / one.step)
    fits = (rate > 0) & (y > 0) & (rule.within <= ROUNDED * y) & (place >= 0) & (place < one.size)
    return np.where(fits, place, np.nan), fits


def computed(rules: Sequence[Rate], schema: Schema, x: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """Stored rows whose targets have a rate that rows like them have; and which have one beyond its grid."""
    made, names = np.array(x, np.float64), schema.names
    beyond = np.zeros(len(made), bool)
    for rule in placed(rules, schema):
        of = [names.index(one) for one in rule.bases]
        made[:, of] = np.round(made[:, of])
        place, _ = given_by(rule, schema, made)
        _, base = _pair(rule, schema, made, None, None)
        missing = ~np.isfinite(place)
        beyond |= missing & (base > 0)
        made[:, names.index(rule.target)] = np.where(missing, made[:, names.index(rule.target)], place)
    return made.astype(np.asarray(x).dtype), beyond


def read(stored: Any) -> tuple[Rate, ...]:
    """The rules that a model file holds."""
    return rules_in(Rate, stored, _sound)


def _sound(rule: Rate) -> bool:
    """Whether there are rates, and those that rows may have are some of them."""
    if rule.target in rule.bases or len(set(rule.bases)) != len(rule.bases) or len(rule.by) > MOST_BY:
        return False
    if not 1 <= len(rule.rates) <= MOST_RATES or min(rule.rates) < 0 or max(rule.rates) <= 0:
        return False
    if len(rule.allowed) > 100_000:
        return False
    return all(len(words) == len(rule.by) and places and all(0 <= k < len(rule.rates) for k in places)
               for words, _, places in rule.allowed)  # fmt: skip
