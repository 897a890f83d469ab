"""Columns that others give exactly: total = quantity × unit_price × (1 − discount)."""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations, combinations_with_replacement, product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.schema import Schema

LEAST_ROWS = 100
"""Rows with all of its columns from which on an equation counts."""
HOLDS = 0.98
"""Share of these rows in which it must hold; the others are mistakes."""
BY_CHANCE, DAYS_BY_CHANCE = 0.3, 0.6
"""Share of rows in which it may hold when its left side is that of another row; of days between dates."""
SAMPLE, FIRST, ALMOST = 128, 16, 0.9
"""Rows on which all equations are tried, the first of them, and the share in which one must hold to go on."""
MEDIAN = 33
"""Rows of which the median ratio is taken."""
ODD = 0.03
"""How far from a whole number what least squares make of a column may lie."""
MOST_COLUMNS, MOST_TERMS, MOST_ADDED = 20, 3, 12
"""Columns that are looked at, terms of a product, and of a sum."""
SEEN = 5
"""Rows with all columns that one must have among these."""
RATES = 25
"""Different numbers from 0 to 1, or to 100, that may be a rate of which 1 - x or 1 + x is taken."""
FEW = 40
"""Columns with so few different numbers are taken as exact: others may have been rounded after the target was made."""
COARSER = (1000, 500, 100, 50, 25, 20, 10, 5, 2)
"""How many steps of its grid a column may be rounded to."""

FORMS = {"x": "{}", "1-x": "(1 - {})", "1+x": "(1 + {})", "1-x/100": "(1 - {} / 100)", "1+x/100": "(1 + {} / 100)",
         "days": "the days until {}"}  # fmt: skip
"""What a term makes of its column, and how it is written."""


_Terms: TypeAlias = tuple[tuple[int, str, int], ...]  # the place of a column, one of `FORMS`, and a power or a sign
_Found: TypeAlias = tuple[int, _Terms, float, tuple[int, str, int] | None]  # target, terms, factor and rate


class Equation(NamedTuple):
    """A column that is a product of powers, or a sum, of others in nearly all rows."""

    target: str
    # column, one of `FORMS`, power (of a sum the sign), and half of what the column was rounded to
    terms: tuple[tuple[str, str, int, float], ...]
    factor: float  # of a product; 0 of a sum
    within: float  # how far from it the target may lie: half of what it is rounded to
    rows: int  # with all of its columns
    broken: int  # of these, where it does not hold
    rate: tuple[str, str, int, float] | None = None  # of a sum, a term that all of it is multiplied by

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the right side."""
        return tuple(name for name, *_ in (*self.terms, *([self.rate] if self.rate else [])))

    @property
    def words(self) -> str:
        """The right side, as it is written in algebra."""
        parts = [(FORMS[form].format(name), power) for name, form, power, _ in self.terms]
        if not self.factor:
            made = "".join(f" {'+' if sign > 0 else '-'} {part}" for part, sign in parts)
            made = made[3:] if made.startswith(" + ") else made[1:]
            if self.rate is None:
                return made
            name, form, power, _ = self.rate
            return f"({made}) {'*' if power > 0 else '/'} {FORMS[form].format(name)}"
        over = [part if power == -1 else f"{part}^{-power}" for part, power in parts if power < 0]
        upon = [part if power == 1 else f"{part}^{power}" for part, power in parts if power > 0]
        upon = [f"{self.factor:g}"] * (self.factor != 1.0) + upon
        return " / ".join([" * ".join(upon) or "1", *over])


def found_in(data: Dataset) -> tuple[Equation, ...]:
    """Find the equations between the numbers of a mixed table."""
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return ()
    names = [column.name for column in data.schema.columns or ()]
    places = [i for i, one in enumerate(types) if one.kind == "number"]
    values = numbers(x, data.schema, data.mask, data.outside)[:, places]
    percent = [bool(one.writing and one.writing.unit == "%") for one in (types[i] for i in places)]
    found = find([names[i] for i in places], values, [types[i].step for i in places], percent)
    return (*_days(data, found), *found)


def _days(data: Dataset, found: Sequence[Equation]) -> Iterator[Equation]:
    """The numbers that are the days between two dates: nights from arrival to departure."""
    names, types = [column.name for column in data.schema.columns or ()], data.schema.types or ()
    given, x = {one.target for one in found}, numbers(np.asarray(data.x), data.schema, data.mask, data.outside)
    for j, one in enumerate(types):
        if one.kind != "number" or names[j] in given:
            continue
        for d, other in enumerate(types):
            if not _in_days(other):
                continue
            rule = Equation(names[j], ((names[d], "days", 1, 0.0),), 1.0, 0.5 * one.step, 0, 0)
            made = _checked(rule, names, x, DAYS_BY_CHANCE)
            if made is not None:
                yield made
                break


def _in_days(one: ColumnType) -> bool:
    return one.kind == "duration" and one.written == "days"


def numbers(
    x: np.ndarray, schema: Schema, mask: np.ndarray | None = None, outside: np.ndarray | None = None
) -> Float[np.ndarray, "n columns"]:
    """Stored rows in the units of their columns; NaN where a cell is missing or holds no number."""
    made = np.array(x, np.float64) if outside is None else np.asarray(x, np.float64) + outside
    for i, one in enumerate(schema.types or ()):
        made[:, i] = one.low + made[:, i] * one.step if one.kind == "number" or _in_days(one) else np.nan
    return made if mask is None else np.where(mask, made, np.nan)


def find(
    names: Sequence[str], x: Float[np.ndarray, "n columns"], steps: Sequence[float], percent: Sequence[bool]
) -> tuple[Equation, ...]:
    """Find the columns that others give, each set of columns once."""
    # steps: how finely each column is recorded; percent: whether its numbers are written in per cent.
    places = [j for j in range(x.shape[1]) if _varies(x[:, j])][:MOST_COLUMNS]
    if len(places) < 2 or len(x) < LEAST_ROWS:
        return ()
    within = [0.5 * steps[j] * _coarser(x[:, j] / steps[j]) * (1.0 + 1e-6) for j in range(x.shape[1])]
    halves = [0.5 * steps[j] if steps[j] < 1 and len(np.unique(x[:, j])) > FEW else 0.0 for j in range(x.shape[1])]
    some = x[np.random.default_rng(0).permutation(len(x))[:SAMPLE]]
    found: dict[frozenset[str], list[tuple[tuple[float, ...], Equation]]] = {}
    targets = [j for j in places if _often(x[:, j]) <= BY_CHANCE]
    sums = (one for j in targets for one in _sums(some, x, j, places, within[j], halves, percent))
    rated = _rated(some, places, targets, within, percent, halves)
    for j, terms, factor, rate in (*_products(some, places, targets, within, percent, halves), *sums, *rated):
        named = [(names[i], form, power, halves[i]) for i, form, power in (*terms, *([rate] if rate else []))]
        parts, last = tuple(named[: len(terms)]), named[-1] if rate else None
        made = _checked(Equation(names[j], parts, factor, within[j], 0, 0, last), names, x)
        if made is None:
            continue
        own = frozenset((*made.columns, names[j]))
        slack = slack_of(made, names, x)  # infinite where a number is divided by 0
        off = float(np.mean(slack[np.isfinite(slack)]) / np.nanstd(x[:, j]))
        apart = sum(term[2] < 0 for term in (*made.terms, *([last] if last else []))) + (factor not in (0.0, 1.0))
        rank = (max(apart - 1, 0), int(np.log10(off)), -j, apart, made.broken / made.rows + 1e-3 * len(terms))
        found.setdefault(own, []).append((rank, made))
    kept: list[Equation] = []
    best = [sorted(forms, key=lambda pair: pair[0]) for forms in found.values()]
    best.sort(key=lambda forms: (forms[0][1].broken / forms[0][1].rows, forms[0][0]))
    # Each by its best form. Of two that give the same column one is written for another: rest = gross - paid.
    for forms in best:
        if _apart(kept, forms[0][1]):
            kept.append(forms[0][1])
    every = [[made for _, made in forms] for forms in best]
    for forms in every:
        if not any(made in kept for made in forms):
            kept = _with_one(forms, kept, every)
    return tuple(_in_turn(kept))


def _varies(column: Float[np.ndarray, " n"]) -> bool:
    seen = column[~np.isnan(column)]
    return len(seen) >= LEAST_ROWS and bool(np.any(seen != seen[0]))


def _often(column: Float[np.ndarray, " n"]) -> float:
    """The share of the commonest number of a column."""
    counts = np.unique(column[~np.isnan(column)], return_counts=True)[1]
    return float(counts.max() / counts.sum())


def _coarser(places: Float[np.ndarray, " n"]) -> int:
    """How many steps of its grid a column is rounded to."""
    seen = np.round(places[~np.isnan(places)])
    return next((g for g in COARSER if len(seen) and np.mean(seen % g == 0) >= HOLDS and np.ptp(seen) > g), 1)


def _products(
    some: np.ndarray,
    places: Sequence[int],
    targets: Sequence[int],
    within: Sequence[float],
    percent: Sequence[bool],
    halves: Sequence[float],
) -> Iterator[_Found]:
    """The products of up to three terms that give a column in most of some rows, with that column and a factor."""
    terms = [(i, form) for i in places for form in _forms(some[:, i], percent[i])]
    values = np.stack([formed(some[:, i], form) for i, form in terms])
    with np.errstate(all="ignore"):
        slack = np.stack([_half(halves[i], form) / np.abs(v) for (i, form), v in zip(terms, values)])
    for count in range(1, MOST_TERMS + 1):
        chosen = [at for at in combinations_with_replacement(range(len(terms)), count) if _sound(terms, at)]
        if not chosen:
            continue
        at = np.array(chosen)
        columns = np.array([terms[k][0] for k in range(len(terms))])[at]
        two = np.array([len(set(one)) < MOST_TERMS for one in chosen])  # a factor and three columns fit anything
        for powers in product((1, -1), repeat=count):
            with np.errstate(all="ignore"):
                made = np.prod([values[at[:, k]] ** powers[k] for k in range(count)], axis=0)
                loose = _of_nothing(np.abs(made) * np.sum([slack[at[:, k]] for k in range(count)], axis=0))
            for target in targets:
                own = np.flatnonzero((columns != target).all(axis=1))
                few = own[two[own]]
                found = [(own, np.ones(len(own)))]
                found += [(few, factor) for factor in _factors(some[:, target], made[few])] if len(few) else []
                for rows, factor in found:
                    rows, factor = rows[factor != 0.0], factor[factor != 0.0]
                    for k in _agreeing(some[:, target], made, loose, rows, factor, within[target]).tolist():
                        one = _joined([terms[i] for i in at[rows[k]].tolist()], powers)
                        if one and not (factor[k] == 1.0 and len(one) == 1 and one[0][1:] == ("x", 1)):
                            yield target, one, float(factor[k]), None  # the same column twice is told elsewhere


def _joined(terms: Sequence[tuple[int, str]], powers: Sequence[int]) -> _Terms:
    """Terms with equal ones as a power; none where two of them cancel."""
    joined: dict[tuple[int, str], int] = {}
    for one, power in zip(terms, powers):
        joined[one] = joined.get(one, 0) + power
    return tuple((i, form, power) for (i, form), power in joined.items()) if all(joined.values()) else ()


def _agreeing(
    target: np.ndarray, made: np.ndarray, loose: np.ndarray, rows: np.ndarray, factor: np.ndarray, within: float
) -> np.ndarray:
    """Which products times their factors agree with a column, after a look at few of the rows."""
    kept = np.arange(len(rows))
    for few in (slice(FIRST), slice(None)):
        left = kept
        scale = factor[left, None]
        off = within + np.abs(scale) * loose[rows[left], few]
        kept = left[_agrees(target[few], made[rows[left], few] * scale, off)]
    return kept


def _forms(column: np.ndarray, percent: bool) -> tuple[str, ...]:
    low, high, seen = np.nanmin(column), np.nanmax(column), column[~np.isnan(column)]
    if low < 0 or high > 100 or (len(np.unique(seen)) > RATES and not percent):
        return ("x",)
    return ("x", "1-x", "1+x") if high <= 1 and not percent else ("x", "1-x/100", "1+x/100")


def _sound(terms: Sequence[tuple[int, str]], at: Sequence[int]) -> bool:
    """Whether no column is there in two forms, nor more than squared."""
    columns = [terms[k][0] for k in set(at)]
    return len(set(columns)) == len(columns) and max(at.count(k) for k in at) <= 2


def _factors(target: np.ndarray, made: np.ndarray) -> Float[np.ndarray, "digits combinations"]:
    """What each product may be multiplied by: the median ratio in up to three digits; 0 for none."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of products without a finite ratio
        ratio = target[:MEDIAN] / made[:, :MEDIAN]
        ratio = np.nanmedian(np.where(np.isfinite(ratio), ratio, np.nan), axis=1)
        size = 10.0 ** np.floor(np.log10(np.abs(ratio)))
        rounded = [np.round(ratio / size, digits) * size for digits in range(3)]
    return np.array([np.where(np.isfinite(one) & (np.abs(ratio / one - 1.0) < 0.02), one, 0.0) for one in rounded])


def _half(half: float, form: str) -> float:
    """Half of what a term was rounded to."""
    return half / 100.0 if form.endswith("/100") else half


def _agrees(target: np.ndarray, made: np.ndarray, within: Any) -> Bool[np.ndarray, " combinations"]:
    with np.errstate(all="ignore"):
        off = np.abs(made - target)
        seen = np.isfinite(target) & ~np.isnan(made)
        good = (off <= within + 1e-9 * np.abs(target)) & seen
    return good.sum(axis=1) >= ALMOST * np.maximum(seen.sum(axis=1), SEEN)


def _sums(
    some: np.ndarray,
    x: np.ndarray,
    target: int,
    places: Sequence[int],
    within: float,
    halves: Sequence[float],
    percent: Sequence[bool],
) -> Iterator[_Found]:
    """The sums and differences of two or three columns, and of more by least squares, that give a column."""
    others = [i for i in places if i != target]
    for count in (2, 3):
        chosen = list(combinations(others, count))
        if not chosen:
            continue
        at = np.array(chosen)
        for signs in product((1, -1), repeat=count):
            made = np.sum([signs[k] * some[:, at[:, k]] for k in range(count)], axis=0).T
            off = within + np.asarray(halves)[at].sum(axis=1)[:, None]
            for k in np.flatnonzero(_agrees(some[:, target], made, off)).tolist():
                yield target, tuple((int(i), "x", sign) for i, sign in zip(at[k], signs)), 0.0, None
    if terms := _long_sum(x, x[:, target], others, MOST_TERMS + 1):
        yield target, terms, 0.0, None
    for rate in (i for i in others if len(others) > MOST_TERMS):
        for form in _forms(some[:, rate], percent[rate])[1:]:
            with np.errstate(all="ignore"):
                before = x[:, target] / formed(x[:, rate], form)
            before = np.where(np.isfinite(before), before, np.nan)
            if terms := _long_sum(x, before, [i for i in others if i != rate], MOST_TERMS):
                yield target, terms, 0.0, (rate, form, 1)


def _long_sum(x: np.ndarray, y: Float[np.ndarray, " n"], others: Sequence[int], least: int) -> _Terms:
    """The columns, with their signs, of which least squares make a sum of at least so many; none where that fails."""
    rows = np.flatnonzero(~np.isnan(np.column_stack([x[:, others], y])).any(axis=1))[:2000]
    if len(rows) < max(LEAST_ROWS, 5 * len(others)):
        return ()
    x, y = x[rows][:, others], y[rows]
    kept, found = np.arange(len(rows)), np.zeros(len(others))
    for _ in range(5):  # without the tenth that fits least: mistakes weigh much
        found = np.linalg.lstsq(x[kept], y[kept], rcond=None)[0]
        off = np.abs(x @ found - y)
        kept = np.argsort(off, kind="stable")[: int(0.9 * len(rows))]
    # Columns that are parts of one another share what one of them adds: without the others it is a whole number.
    left = np.arange(len(others))
    while len(odd := np.flatnonzero(np.abs(found - np.round(found)) > ODD)) > 1 and len(left) > least:
        off = np.abs(x[kept] @ found - y[kept]).max()
        tried = [np.delete(left, np.searchsorted(left, k)) for k in odd]
        fitted = [np.linalg.lstsq(x[kept][:, own], y[kept], rcond=None)[0] for own in tried]
        best = min(range(len(odd)), key=lambda k: np.abs(fitted[k] - np.round(fitted[k])).sum())
        left, found = tried[best], np.zeros(len(others))
        found[left] = fitted[best]
        if np.abs(x[kept] @ found - y[kept]).max() > max(2.0 * off, 1e-6 * np.abs(y[kept]).max()):
            return ()
    signs = np.round(found).astype(int)
    fits = least <= np.count_nonzero(signs) <= MOST_ADDED and np.all(np.abs(signs) <= 1)
    return tuple((i, "x", int(sign)) for i, sign in zip(others, signs) if sign) if fits else ()


def _rated(
    some: np.ndarray,
    places: Sequence[int],
    targets: Sequence[int],
    within: Sequence[float],
    percent: Sequence[bool],
    halves: Sequence[float],
) -> Iterator[_Found]:
    """The sums and differences of two columns, times or by a third one or a rate, that give a column."""
    rates = [(i, form) for i in places for form in _forms(some[:, i], percent[i])]
    for a, b in combinations(places, 2):
        for sign in (1, -1):
            total = some[:, a] + sign * some[:, b]
            chosen = [one for one in rates if one[0] not in (a, b)]
            if not chosen:
                continue
            parts = np.stack([formed(some[:, i], form) for i, form in chosen])
            halved = np.array([[_half(halves[i], form)] for i, form in chosen])
            for power in (1, -1):
                with np.errstate(all="ignore"):
                    made = total * parts**power
                    loose = np.abs(parts**power) * (halves[a] + halves[b]) + np.abs(made) * halved / np.abs(parts)
                for target in targets:
                    rows = np.array([k for k, (i, _) in enumerate(chosen) if i != target], int)
                    if target in (a, b) or not len(rows):
                        continue
                    for k in _agreeing(some[:, target], made, loose, rows, np.ones(len(rows)), within[target]).tolist():
                        yield target, ((a, "x", 1), (b, "x", sign)), 0.0, (*chosen[rows[k]], power)


def _checked(made: Equation, names: Sequence[str], x: np.ndarray, most: float = BY_CHANCE) -> Equation | None:
    """An equation with the rows that it holds in; None where these are too few, or too many by chance."""
    right, left = value_of(made, names, x), x[:, names.index(made.target)]
    seen = np.isfinite(right) & np.isfinite(left)
    if np.count_nonzero(seen) < LEAST_ROWS:
        return None
    right, left, off = right[seen], left[seen], slack_of(made, names, x)[seen]
    good = np.abs(right - left) <= off + 1e-9 * np.abs(left)
    others = np.roll(np.sort(left), len(left) // 3)[np.argsort(np.argsort(left, kind="stable"))]
    by_chance = np.abs(right - others) <= off
    chance = max(float(by_chance.mean()), float(np.mean(np.abs(right - np.median(left)) <= off)))
    if good.mean() < HOLDS or chance > most:
        return None
    return made._replace(rows=len(left), broken=int(np.count_nonzero(~good)))


def _with_one(forms: Sequence[Equation], kept: list[Equation], every: Sequence[Sequence[Equation]]) -> list[Equation]:
    """The equations and one of some forms, for which one of them may be written for another column; or as they were."""
    for made, other in product(forms, [None, *kept]):
        left = [one for one in kept if one is not other]
        same = next((each for each in every if any(one is other for one in each)), [])
        for own in ([],) if other is None else ([one] for one in same if one is not other):
            trial = [*left, made, *own]
            if all(_apart(trial[:k], trial[k]) for k in range(len(trial))):
                return trial
    return kept


def _apart(kept: Sequence[Equation], made: Equation) -> bool:
    """Whether no other equation has its target or needs it for its terms."""
    return made.target not in {one.target for one in kept} and not _circular(made, kept)


def _circular(made: Equation, kept: Sequence[Equation]) -> bool:
    """Whether its target is needed for one of its terms."""
    given = {one.target: set(one.columns) for one in (*kept, made)}
    reached = set(made.columns)
    while more := {name for one in reached for name in given.get(one, ())} - reached:
        reached |= more
    return made.target in reached


def _in_turn(kept: Sequence[Equation]) -> Iterator[Equation]:
    """Those first whose targets others need."""
    left = list(kept)
    while left:
        targets = {one.target for one in left}
        one = next(one for one in left if not targets & set(one.columns))
        left.remove(one)
        yield one


def turned(rules: Sequence[Equation], otherwise: Mapping[str, str]) -> tuple[Equation, ...]:
    """The equations with those differences whose target another column gives written as the sum that they are of."""
    # otherwise: the column that gives each of these targets.
    made = list(rules)
    edges = [Equation(target, ((base, "x", 1, 0.0),), 1.0, 0.0, 0, 0) for target, base in otherwise.items()]
    for at, one in enumerate(rules):
        plus = [term for term in one.terms if term[1:3] == ("x", 1)]
        if one.target not in otherwise or one.factor or one.rate or len(plus) != 1 or len(one.terms) < 2:
            continue
        whole, given = written_for(one, plus[0][0]), {other.target for other in made}
        free = whole.target not in given and whole.target not in otherwise
        if free and not _circular(whole, [*made[:at], *made[at + 1 :], *edges]):
            made[at] = whole
    return tuple(_in_turn(made))


def written_for(one: Equation, name: str) -> Equation:
    """A sum written for one of its terms: paid = gross - rest for rest = gross - paid."""
    (_, _, sign, half), rest = next(t for t in one.terms if t[0] == name), [t for t in one.terms if t[0] != name]
    others = tuple((term, form, -sign * own, width) for term, form, own, width in rest)
    return one._replace(target=name, terms=((one.target, "x", sign, one.within), *others), within=max(half, 1e-9))


def free_for(rules: Sequence[Equation], asked: Callable[[str], bool], given: Collection[str]) -> tuple[Equation, ...]:
    """The equations whose targets may be computed; a sum whose target is asked for is written for a free term."""
    # given: what else is computed.
    made = [one for one in rules if not asked(one.target)]
    for one in rules:
        if not asked(one.target) or one.factor or one.rate:
            continue
        taken = {*given, *(other.target for other in made)}
        free = (written_for(one, t[0]) for t in one.terms if t[1] == "x" and not asked(t[0]) and t[0] not in taken)
        whole = next((other for other in free if not _circular(other, made)), None)
        made += [] if whole is None else [whole]
    return tuple(_in_turn(made))


def targets_of(rules: Sequence[Equation], schema: Schema) -> Bool[np.ndarray, " columns"]:
    """Which columns are given by others."""
    given = {one.target for one in placed(rules, schema)}
    return np.array([column.name in given for column in schema.columns or ()], bool)


# --- what they give ---


def formed(column: Float[np.ndarray, " n"], form: str) -> Float[np.ndarray, " n"]:
    """What a term makes of its column."""
    part = column / 100.0 if form.endswith("/100") else column
    return part if form in ("x", "days") else 1.0 - part if form.startswith("1-") else 1.0 + part


def value_of(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The right side, NaN where one of its cells is missing."""
    parts = [(formed(x[:, names.index(name)], form), power) for name, form, power, _ in one.terms]
    with np.errstate(all="ignore"):
        if not one.factor:
            return np.sum([sign * part for part, sign in parts], axis=0) * rate_of(one, names, x)
        return one.factor * np.prod([part**power for part, power in parts], axis=0)


def rate_of(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """What a sum is multiplied by."""
    if one.rate is None:
        return np.ones(len(x))
    name, form, power, _ = one.rate
    with np.errstate(all="ignore"):
        return formed(x[:, names.index(name)], form) ** float(power)


def slack_of(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """How far the target may lie from the right side, as it and the terms were rounded."""
    if not one.factor:
        rate, off = rate_of(one, names, x), sum(half for *_, half in one.terms)
        with np.errstate(all="ignore"):
            part = _half(one.rate[3], one.rate[1]) / np.abs(rate ** one.rate[2]) if one.rate else 0.0
            return one.within + np.abs(rate) * off + np.abs(value_of(one, names, x)) * part
    with np.errstate(all="ignore"):
        parts = [abs(power) * _half(half, form) / np.abs(formed(x[:, names.index(name)], form))
                 for name, form, power, half in one.terms]  # fmt: skip
        return one.within + _of_nothing(np.abs(value_of(one, names, x)) * np.sum(parts, axis=0))


def _of_nothing(off: np.ndarray) -> np.ndarray:
    """How far a product may be off, 0 where a term is 0: a rounded one is no part of nothing."""
    return np.where(np.isnan(off), 0.0, off)


def broken_by(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Bool[np.ndarray, " n"]:
    """The rows with all of its columns in which it does not hold."""
    left, right = x[:, names.index(one.target)], value_of(one, names, x)
    with np.errstate(all="ignore"):
        return np.abs(right - left) > slack_of(one, names, x) + 1e-9 * np.abs(left)


def placed(rules: Sequence[Equation], schema: Schema) -> list[Equation]:
    """The equations between columns that a table has as numbers."""
    types = dict(zip((column.name for column in schema.columns or ()), schema.types or ()))
    own = {name for name, one in types.items() if one.kind == "number"}
    days = {name for name, one in types.items() if _in_days(one)}
    of = lambda rule: (*rule.terms, *([rule.rate] if rule.rate else []))  # noqa: E731
    there = lambda rule: all(name in (days if form == "days" else own) for name, form, *_ in of(rule))  # noqa: E731
    return [one for one in rules if one.target in own and there(one)]


def solved(
    rules: Sequence[Equation], schema: Schema, x: Float[np.ndarray, "n columns"], hidden: np.ndarray
) -> tuple[Float[np.ndarray, "n columns"], Bool[np.ndarray, "n columns"], Bool[np.ndarray, " n"]]:
    """Stored rows whose hidden cells keep the equations: those that known cells give, then targets of filled cells."""
    # returns: the rows; where a cell follows from known ones; which rows have a target beyond its grid, that stays.
    names, types = [column.name for column in schema.columns or ()], schema.types or ()
    x = np.where(hidden, np.round(np.asarray(x, np.float64)), x)  # as filled cells are written
    open_, sure, beyond = np.array(hidden, bool), np.zeros(x.shape, bool), np.zeros(len(x), bool)

    def put(rows: np.ndarray, j: int, value: np.ndarray, one: Equation) -> np.ndarray:
        place = np.round((value - types[j].low) / types[j].step)
        fits = rows & np.isfinite(place) & (place >= 0) & (place < types[j].size)
        was = x[:, j].copy()
        x[:, j] = np.where(fits, place, was)
        if j != names.index(one.target):  # another cell must give the target again
            wrong = fits & broken_by(one, names, numbers(x, schema))
            x[:, j], fits = np.where(wrong, was, x[:, j]), fits & ~wrong
        return fits

    for _ in range(len(rules) + 1):
        for one in placed(rules, schema):
            columns = [names.index(name) for name in (one.target, *one.columns)]
            for k, j in enumerate(columns):
                alone = open_[:, j] & (open_[:, columns].sum(axis=1) == 1)
                if alone.any():
                    value = (
                        value_of(one, names, numbers(x, schema))
                        if k == 0
                        else other_of(one, k - 1, names, numbers(x, schema))
                    )
                    done = put(alone, j, value, one)
                    open_[:, j] &= ~done
                    sure[:, j] |= done
    for one in placed(rules, schema):
        j = names.index(one.target)
        rows = open_[:, j]
        if rows.any():
            done = put(rows, j, value_of(one, names, numbers(x, schema)), one)
            beyond |= rows & ~done
    return x, sure, beyond


def computed(
    rules: Sequence[Equation], schema: Schema, x: Float[np.ndarray, "n columns"]
) -> tuple[Float[np.ndarray, "n columns"], Bool[np.ndarray, " n"]]:
    """Stored rows with the targets that their other cells give; and which have one beyond its grid, that stays."""
    made, _, beyond = solved(rules, schema, x, np.broadcast_to(targets_of(rules, schema), x.shape))
    return made.astype(x.dtype), beyond


def other_of(one: Equation, k: int, names: Sequence[str], x: np.ndarray) -> Float[np.ndarray, " n"]:
    """The column of one term, given the target and the other terms."""
    left, (_, form, power, _) = x[:, names.index(one.target)], (*one.terms, one.rate or one.terms[0])[k]
    with np.errstate(all="ignore"):
        if not one.factor and k < len(one.terms):
            rest = one._replace(terms=one.terms[:k] + one.terms[k + 1 :], rate=None)
            return power * (left / rate_of(one, names, x) - value_of(rest, names, x))
        rest = one._replace(rate=None) if one.rate else one._replace(terms=one.terms[:k] + one.terms[k + 1 :])
        others = value_of(rest, names, x) if rest.terms else np.full(len(x), one.factor)
        part = (left / others) ** (1.0 / power)
    part = part if form in ("x", "days") else 1.0 - part if form.startswith("1-") else part - 1.0
    return 100.0 * part if form.endswith("/100") else part


def read(stored: Any) -> tuple[Equation, ...]:
    """The equations that a model file holds; a stranger may have written it, so what is none is left out."""
    rows = stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ()
    return tuple(one for one in map(_read, rows[:1000]) if one is not None)


def _read(row: Any) -> Equation | None:
    if not isinstance(row, list | tuple) or len(row) not in (6, 7) or not isinstance(row[0], str):
        return None
    terms = row[1] if isinstance(row[1], list | tuple) else ()
    rate = [] if len(row) == 6 or row[6] is None else [row[6]]
    sound = [term for term in (*terms, *rate) if _is_term(term)]
    bad = len(sound) != len(terms) + len(rate) or not all(map(_is_number, row[2:6])) or (rate and row[2] != 0)
    if not terms or bad or len(terms) > MOST_ADDED:
        return None
    parts = tuple((str(a), str(b), int(c), float(d)) for a, b, c, d in sound)
    last = parts[-1] if rate else None
    made = Equation(row[0], parts[: len(terms)], float(row[2]), float(row[3]), int(row[4]), int(row[5]), last)
    return None if row[0] in made.columns else made


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_term(term: Any) -> bool:
    if not isinstance(term, list | tuple) or len(term) != 4 or not isinstance(term[0], str):
        return False
    return term[1] in FORMS and term[2] in (-2, -1, 1, 2) and _is_number(term[3])
