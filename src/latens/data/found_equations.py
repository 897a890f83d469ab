"""The equations of a table, found among its numbers."""

import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, combinations_with_replacement, permutations, product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from latens.data.dataset import Dataset
from latens.data.dated_equations import of_dates
from latens.data.equations import (
    BY_CHANCE,
    FEW,
    MOST_ADDED,
    MOST_COLUMNS,
    Equation,
    apart,
    coarser,
    formed,
    half_of,
    in_turn,
    numbers,
    of_nothing,
    slack_of,
    value_of,
)  # fmt: skip
from latens.data.fits import ALMOST, SEEN, plane, short_factor, shortest, straight
from latens.data.sought import LEAST_ROWS, Found, Terms, checked

SAMPLE, FIRST = 128, 16
"""Rows on which all equations are tried, and the first of them."""
MEDIAN = 33
"""Rows of which the median ratio is taken."""
ODD, CLOSE = 0.03, 0.02
"""How far from a whole number what least squares make of a column may lie; and, in spreads of the target, how far off
they are at the most where columns are left out."""
MOST_TERMS = 3
"""Terms of a product, and of sums that are all tried."""
ADDED = 0.05
"""Share of rows in which what is added to a column times a rate is something, at the least."""
LEAST_NOTHING = 0.05
"""Share of rows in which what is beyond a bound is 0, at the least."""
MOST_TAX = 50
"""Per cent of a tax that may be contained in a number."""
NEAR = 0.01
"""How near to a multiple of another column one must be to be looked at."""
NOTHING = (0.01, 0.6)
"""Share of rows in which a column may be 0 instead of what the others give."""
ANGLE = re.compile(r"(?i)angle|degrees?\b|\bdeg\b|°|winkel|inclin|elevation|slope")
"""Names of columns that may hold degrees of an angle."""
COARSE, FINE = 1.01, 0.05
"""How many times as far as it was rounded a column may lie from what gives it, before another one is given instead; and
the rounding in spreads above which a column lies near what gives it whatever that is."""
SHORT = 3
"""Digits of a constant above which another column is given instead: 1.8 * C + 32, not 0.56 * F - 18.092."""
OF_THREE = 6
"""Columns that go most with another one, of which three may give it."""
RANKED = 0.9
"""The rank correlation with a product from which on a column may be a constant and so much of it."""
RATES = 25
"""Different numbers from 0 to 1, or to 100, that may be a rate of which 1 - x or 1 + x is taken."""

_Forms: TypeAlias = Sequence[tuple[tuple[float, ...], Equation]]  # one equation for each of its columns, ranked


FINER = 0.01
"""Share of the rows that another factor gives to their last digit beyond the one of fewest digits, at the least."""


class _Sought(NamedTuple):
    """The numbers among which equations are looked for."""

    some: np.ndarray  # rows on which all are tried
    places: Sequence[int]  # of the columns that vary
    targets: Sequence[int]  # those of them that an equation may give
    within: Sequence[float]  # how far each column may lie from what gives it
    halves: Sequence[float]  # half of what each column may have been rounded to afterwards
    rates: Sequence[tuple[int, str]]  # the columns, and what of those that may be rates is taken


def found_in(data: Dataset) -> tuple[Equation, ...]:
    """Find the equations between the numbers of a mixed table."""
    x, types = getattr(data, "x", None), data.schema.types or ()
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not types:
        return ()
    names = data.schema.names
    places = [i for i, one in enumerate(types) if one.kind == "number"]
    values = numbers(x, data.schema, data.mask, data.outside)[:, places]
    percent = [bool(one.writing and one.writing.unit == "%") for one in (types[i] for i in places)]
    found = find([names[i] for i in places], values, [types[i].step for i in places], percent)
    return (*of_dates(data, found), *found)


def find(
    names: Sequence[str], x: Float[np.ndarray, "n columns"], steps: Sequence[float], percent: Sequence[bool]
) -> tuple[Equation, ...]:
    """Find the columns that others give, each set of columns once."""
    # steps: how finely each column is recorded; percent: whether its numbers are written in per cent.
    places = [j for j in range(x.shape[1]) if _varies(x[:, j])][:MOST_COLUMNS]
    if len(places) < 2 or len(x) < LEAST_ROWS:
        return ()
    within = [0.5 * steps[j] * coarser(x[:, j] / steps[j]) * (1.0 + 1e-6) for j in range(x.shape[1])]
    halves = [0.5 * steps[j] if steps[j] < 1 and len(np.unique(x[:, j])) > FEW else 0.0 for j in range(x.shape[1])]
    some = x[np.random.default_rng(0).permutation(len(x))[:SAMPLE]]
    found: dict[frozenset[str], list[tuple[tuple[float, ...], Equation]]] = {}
    targets = [j for j in places if _often(x[:, j]) <= BY_CHANCE]
    rates = [(i, form) for i in places for form in _forms(names[i], some[:, i], percent[i])]
    of = _Sought(some, places, targets, within, halves, rates)
    sums = (one for target in targets for one in _sums(of, x, target))
    every = (
        *_products(of),
        *_scaled(of, x),
        *sums,
        *_rated(of),
        *_means(of),
        *_excess(of, x),
        *_rated_and_more(of),
        *_product_and_another(of),
        *_lines(of, x),
        *_planes(of),
        *_products_and_more(of),
    )
    for one in (*every, *_or_nothing(of, x)):
        terms, rate, plus = (
            # What is right but for rounding is a line by chance, so a line is of numbers as they are.
            tuple((names[i], form, power, 0.0 if one.constant else halves[i]) for i, form, power in each)
            for each in (one.terms, [one.rate] if one.rate else [], [one.plus] if one.plus else [])
        )
        j, last, more = one.target, rate[0] if rate else None, plus[0] if plus else None
        rule = Equation(names[j], terms, one.factor, within[j], 0, 0, last, one.excess, more, one.constant)
        rule = rule._replace(among=one.among, or_nothing=one.or_nothing, times=one.times)
        made = checked(rule, names, x)
        if made is None:
            continue
        own = frozenset((*made.columns, names[j]))
        slack = slack_of(made, names, x)  # infinite where a number is divided by 0
        off = float(np.mean(slack[np.isfinite(slack)]) / np.nanstd(x[:, j]))
        apart_by = np.abs(value_of(made, names, x) - x[:, j])
        room = np.quantile(apart_by[np.isfinite(apart_by)], 0.9)
        signs = [*(term[2] for term in (*made.terms, *([last] if last else []))), *one.times]
        parted = sum(sign < 0 for sign in signs) + (one.factor not in (0.0, 1.0))
        parted += one.constant < 0 and bool(one.times)
        long = len(f"{abs(one.constant):.12g}".replace(".", "").strip("0")) > SHORT
        rough = bool(room > COARSE * within[j] or within[j] > FINE * np.nanstd(x[:, j]))
        # A rent of 812.35 is not made of a rounded income and share: the share is of the rent.
        rank = (
            max(parted - 1, 0) + int(rough) + int(long),
            int(np.log10(off)),
            -j,
            parted,
            made.broken / made.rows + 1e-3 * len(terms),
        )
        found.setdefault(own, []).append((rank, made))
    kept: list[Equation] = []
    best = [sorted(forms, key=lambda pair: pair[0]) for forms in found.values()]
    best.sort(key=lambda forms: (forms[0][1].broken / forms[0][1].rows, forms[0][0]))
    # Each by its best form. Of two that give the same column one is written for another: rest = gross - paid.
    # What has a constant beside several terms comes last: a sum of net * 1.19 and others is one of gross.
    blended = lambda made: len(made.terms) > 1 and bool(made.constant or made.times)  # noqa: E731
    last = [forms for forms in best if blended(forms[0][1])]
    best = [forms for forms in best if not blended(forms[0][1])]
    for forms in best:
        if apart(kept, forms[0][1]):
            kept.append(forms[0][1])
    for forms in best:
        if not any(made in kept for _, made in forms):
            kept = _with_one(forms, kept, best)
    for forms in last:
        kept += [made for _, made in forms if apart(kept, made)][:1]
    return tuple(_to_the_digit(one, names, x, steps) for one in in_turn(kept))


def _to_the_digit(one: Equation, names: Sequence[str], x: np.ndarray, steps: Sequence[float]) -> Equation:
    """The product by a factor that gives more rows to their last digit, where there is one."""
    if one.factor in (0.0, 1.0) or one.constant or one.plus or one.rate:
        return one
    j = names.index(one.target)
    factor = short_factor(x[:, j], value_of(one, names, x) / one.factor, one.within)
    other = one._replace(factor=factor)
    right = [np.mean(np.round(value_of(each, names, x) / steps[j]) == np.round(x[:, j] / steps[j]))
             for each in (one, other)]  # fmt: skip
    return other if factor and right[1] > right[0] + FINER else one


def _varies(column: Float[np.ndarray, " n"]) -> bool:
    seen = column[~np.isnan(column)]
    return len(seen) >= LEAST_ROWS and bool(np.any(seen != seen[0]))


def _often(column: Float[np.ndarray, " n"]) -> float:
    """The share of the commonest number of a column."""
    counts = np.unique(column[~np.isnan(column)], return_counts=True)[1]
    return float(counts.max() / counts.sum())


def _products(of: _Sought) -> Iterator[Found]:
    """The products of up to three terms that give a column in most of some rows, with that column and a factor."""
    some, _, targets, within, halves, terms = of
    values = np.stack([formed(some[:, i], form) for i, form in terms])
    with np.errstate(all="ignore"):
        slack = np.stack([half_of(halves[i], form) / np.abs(v) for (i, form), v in zip(terms, values)])
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
                loose = of_nothing(np.abs(made) * np.sum([slack[at[:, k]] for k in range(count)], axis=0))
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
                            yield Found(target, one, float(factor[k]))  # the same column twice is told elsewhere


def _scaled(of: _Sought, x: np.ndarray) -> Iterator[Found]:
    """The columns that are so much of another one, to the digits that the rows tell: kilowatts as horsepower."""
    for target, base in permutations(of.places, 2):
        if target not in of.targets:
            continue
        with np.errstate(all="ignore"):
            ratio = of.some[:, target] / of.some[:, base]
        usual = float(np.median(ratio[np.isfinite(ratio)])) if np.isfinite(ratio).any() else 0.0
        off = of.within[target] + NEAR * np.abs(of.some[:, target])
        if usual and _agrees(of.some[:, target], (usual * of.some[:, base])[None], off)[0]:
            factor = short_factor(x[:, target], x[:, base], of.within[target])
            # A product of the base by as few digits is told for that, where it is as fine.
            turned = factor != float(f"{factor:.6g}") and 1.0 / factor == float(f"{1.0 / factor:.3g}")
            fine = [of.within[k] / np.nanstd(x[:, k]) for k in (target, base)]
            if factor not in (0.0, 1.0) and not (turned and fine[0] > 0.5 * fine[1]):
                yield Found(target, ((base, "x", 1),), factor)


def _joined(terms: Sequence[tuple[int, str]], powers: Sequence[int]) -> Terms:
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


def _forms(name: str, column: np.ndarray, percent: bool) -> tuple[str, ...]:
    low, high, seen = np.nanmin(column), np.nanmax(column), column[~np.isnan(column)]
    if ANGLE.search(name) and low >= 0 and 1 < high < 90 and not percent:
        return ("x", "tan")
    if low < 0 or high > 100 or (len(np.unique(seen)) > RATES and not percent):
        return ("x",)
    return ("x", "1-x", "1+x") if high <= 1 and not percent else ("x", "1-x/100", "1+x/100")


def _sound(terms: Sequence[tuple[int, str]], at: Sequence[int]) -> bool:
    """Whether no column is there in two forms, nor more than squared."""
    columns = [terms[k][0] for k in set(at)]
    return len(set(columns)) == len(columns) and max(at.count(k) for k in at) <= 2


def _factors(target: np.ndarray, made: np.ndarray) -> Float[np.ndarray, "digits combinations"]:
    """What each product may be multiplied by: the median ratio in up to three digits, or by a tax; 0 for none."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of products without a finite ratio
        ratio = target[:MEDIAN] / made[:, :MEDIAN]
        ratio = np.nanmedian(np.where(np.isfinite(ratio), ratio, np.nan), axis=1)
        size = 10.0 ** np.floor(np.log10(np.abs(ratio)))
        rounded = [np.round(ratio / size, digits) * size for digits in range(3)]
    with np.errstate(all="ignore"):  # of a tax of p % that is contained: p / (100 + p)
        tax = np.round(100.0 * ratio / (1.0 - ratio))
        rounded.append(np.where((tax >= 1.0) & (tax <= MOST_TAX), tax / (100.0 + tax), 0.0))
        near = [np.isfinite(one) & (np.abs(ratio / one - 1.0) < 0.02) for one in rounded]
    return np.array([np.where(good, one, 0.0) for good, one in zip(near, rounded)])


def _agrees(target: np.ndarray, made: np.ndarray, within: Any) -> Bool[np.ndarray, " combinations"]:
    with np.errstate(all="ignore"):
        off = np.abs(made - target)
        seen = np.isfinite(target) & ~np.isnan(made)
        good = (off <= within + 1e-9 * np.abs(target)) & seen
    return good.sum(axis=1) >= ALMOST * np.maximum(seen.sum(axis=1), SEEN)


def _sums(of: _Sought, x: np.ndarray, target: int) -> Iterator[Found]:
    """The sums and differences of two or three columns, and of more by least squares, that give a column."""
    some, places, _, within, halves, rates = of
    others = [i for i in places if i != target]
    for count in (2, 3):
        chosen = list(combinations(others, count))
        if not chosen:
            continue
        at = np.array(chosen)
        for signs in product((1, -1), repeat=count):
            made = np.sum([signs[k] * some[:, at[:, k]] for k in range(count)], axis=0).T
            off = within[target] + np.asarray(halves)[at].sum(axis=1)[:, None]
            for k in np.flatnonzero(_agrees(some[:, target], made, off)).tolist():
                yield Found(target, tuple((int(i), "x", sign) for i, sign in zip(at[k], signs)))
    if terms := _long_sum(x, x[:, target], others, MOST_TERMS + 1):
        yield Found(target, terms)
    for rate, form in (
        one for one in rates if one[0] != target and one[1] not in ("x", "tan") and len(others) > MOST_TERMS
    ):
        with np.errstate(all="ignore"):
            before = x[:, target] / formed(x[:, rate], form)
        before = np.where(np.isfinite(before), before, np.nan)
        if terms := _long_sum(x, before, [i for i in others if i != rate], MOST_TERMS):
            yield Found(target, terms, 0.0, (rate, form, 1))


def _or_nothing(of: _Sought, x: np.ndarray) -> Iterator[Found]:
    """The sums that give a column wherever it is not 0: what is paid, but for claims that are refused."""
    for target in of.places:
        y = x[:, target]
        if np.nanmin(y) != 0 or not NOTHING[0] <= np.nanmean(y == 0) <= NOTHING[1] or _often(y[y != 0]) > BY_CHANCE:
            continue
        rest = x[y != 0]
        if len(rest) >= LEAST_ROWS:
            some = rest[np.random.default_rng(0).permutation(len(rest))[:SAMPLE]]
            yield from (one._replace(or_nothing=True) for one in _sums(of._replace(some=some), rest, target))


def _means(of: _Sought) -> Iterator[Found]:
    """The columns that are the mean of two or three others."""
    some, places, targets, within, halves, _ = of
    for count in (2, 3):
        chosen = list(combinations(places, count))
        if not chosen:
            continue
        at = np.array(chosen)
        made = np.sum([some[:, at[:, k]] for k in range(count)], axis=0).T / count
        for target in targets:
            off = within[target] + np.asarray(halves)[at].sum(axis=1)[:, None] / count
            for k in np.flatnonzero(_agrees(some[:, target], made, off)).tolist():
                if target not in at[k]:
                    yield Found(target, tuple((int(i), "x", 1) for i in at[k]), among=count)


def _long_sum(x: np.ndarray, y: Float[np.ndarray, " n"], others: Sequence[int], least: int) -> Terms:
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
    left, close = np.arange(len(others)), CLOSE * float(y[kept].std())
    while (
        np.abs(x[kept] @ found - y[kept]).max() <= close
        and len(odd := np.flatnonzero(np.abs(found - np.round(found)) > ODD)) > 1
        and len(left) > least
    ):
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


def _rated(of: _Sought) -> Iterator[Found]:
    """The sums and differences of two columns, times or by a third one or a rate, that give a column."""
    some, places, targets, within, halves, rates = of
    for a, b in combinations(places, 2):
        for sign in (1, -1):
            total = some[:, a] + sign * some[:, b]
            chosen = [one for one in rates if one[0] not in (a, b)]
            if not chosen:
                continue
            parts = np.stack([formed(some[:, i], form) for i, form in chosen])
            halved = np.array([[half_of(halves[i], form)] for i, form in chosen])
            for power in (1, -1):
                with np.errstate(all="ignore"):
                    made = total * parts**power
                    loose = np.abs(parts**power) * (halves[a] + halves[b]) + np.abs(made) * halved / np.abs(parts)
                for target in targets:
                    rows = np.array([k for k, (i, _) in enumerate(chosen) if i != target], int)
                    if target in (a, b) or not len(rows):
                        continue
                    for k in _agreeing(some[:, target], made, loose, rows, np.ones(len(rows)), within[target]).tolist():
                        yield Found(target, ((a, "x", 1), (b, "x", sign)), 0.0, (*chosen[rows[k]], power))


def _rated_and_more(of: _Sought) -> Iterator[Found]:
    """The columns times a rate, with another one added or taken: goods less a discount, and freight."""
    some, places, targets, within, halves, rates = of
    for a, (i, form) in product(places, [one for one in rates if one[1] != "x"]):
        made = some[:, a] * formed(some[:, i], form)
        loose = np.abs(formed(some[:, i], form)) * halves[a] + np.abs(some[:, a]) * half_of(halves[i], form)
        for target in targets:
            others = [b for b in places if b not in (a, i, target)]
            if a == i or target in (a, i) or not others:
                continue
            for sign in (1, -1):
                whole = made + sign * some[:, others].T
                off = within[target] + loose + np.asarray(halves)[others][:, None]
                for k in np.flatnonzero(_agrees(some[:, target], whole, off)).tolist():
                    if np.nanmean(some[:, others[k]] != 0) >= ADDED:
                        yield Found(target, ((a, "x", 1),), 0.0, (i, form, 1), plus=(others[k], "x", sign))


def _product_and_another(of: _Sought) -> Iterator[Found]:
    """The products of two columns with a third one added or taken: a price times a count, and freight."""
    # Of numbers as they are: what is right but for the rounding of a price hides a small third column.
    some, places, targets, within, *_ = of
    pairs = np.array(list(combinations(places, 2)))
    if len(places) < 4:
        return
    made = some[:, pairs[:, 0]] * some[:, pairs[:, 1]]  # (rows, pairs)
    added = [c for c in places if np.nanmean(some[:, c] != 0) >= ADDED]
    for target, other, sign in product(targets, added, (1, -1)):
        want = some[:, target] - sign * some[:, other]
        kept = np.flatnonzero(~np.isin(pairs, (target, other)).any(axis=1)) if target != other else []
        for rows in (slice(FIRST), slice(None)):
            kept = kept if not len(kept) else kept[_agrees(want[rows], made[rows, kept].T, within[target])]
        for a, b in pairs[kept].tolist() if len(kept) else ():
            yield Found(target, ((a, "x", 1),), 0.0, (b, "x", 1), plus=(other, "x", sign))


def _excess(of: _Sought, x: np.ndarray) -> Iterator[Found]:
    """The differences of two columns that a third one is where they are above 0: kilometres beyond those included."""
    for target in of.places:
        y = x[:, target]
        if np.nanmin(y) != 0 or np.nanmean(y == 0) < LEAST_NOTHING or (y > 0).sum() < LEAST_ROWS:
            continue
        some = x[np.random.default_rng(0).permutation(np.flatnonzero(y > 0))[:SAMPLE]]
        for a, b in permutations([i for i in of.places if i != target], 2):
            off = np.asarray(of.within[target] + of.halves[a] + of.halves[b])
            if _agrees(some[:, target], (some[:, a] - some[:, b])[None], off)[0]:
                yield Found(target, ((a, "x", 1), (b, "x", -1)), excess=True)


def _lines(of: _Sought, x: np.ndarray) -> Iterator[Found]:
    """The columns that are a constant and so much of another one: a fee and a price a kilometre, or what is beyond."""
    for target in of.places:
        y = x[:, target]
        seldom = bool(np.nanmin(y) == 0 and np.nanmean(y == 0) >= LEAST_NOTHING)
        rows = np.flatnonzero(y > 0 if seldom else np.isfinite(y))
        if (not seldom and target not in of.targets) or len(rows) < LEAST_ROWS:
            continue
        some = x[np.random.default_rng(0).permutation(rows)[:SAMPLE]]
        for base in (i for i in of.places if i != target):
            for factor, constant in straight(some[:, target], some[:, base]):
                if 2.0 * abs(factor) * of.within[base] < of.within[target]:
                    continue  # a target that is coarser than the base may lie near a line by chance
                small = abs(constant) <= of.within[target]  # it is rounding
                if (
                    not small
                    and _agrees(some[:, target], (factor * some[:, base] + constant)[None], of.within[target])[0]
                ):
                    yield Found(target, ((base, "x", 1),), factor, excess=seldom, constant=constant)
                    break


def _planes(of: _Sought) -> Iterator[Found]:
    """The columns that are a constant and so much of two or three others: a fee, so much a person and a metre."""
    ranks = {i: _ranks(of.some[:, i]) for i in of.places}
    for target in of.targets:
        y, within, others = of.some[:, target], of.within[target], [i for i in of.places if i != target]
        likely = sorted(others, key=lambda i: -abs(np.corrcoef(ranks[i], ranks[target])[0, 1]))[:OF_THREE]
        for bases in chain(combinations(others, 2), combinations(sorted(likely), 3)):
            times, constant = plane(y, of.some[:, bases], within) or ((), 0.0)
            if set(times) <= {1.0, -1.0}:
                continue
            if _agrees(y, (of.some[:, bases] @ times + constant)[None], within)[0]:
                yield Found(target, tuple((i, "x", 1) for i in bases), constant=constant, times=times)


def _products_and_more(of: _Sought) -> Iterator[Found]:
    """The columns that are a constant and so much of a product: a fee and hours * wage, a height by an angle."""
    pairs = [((a, "x"), (b, "x")) for a, b in combinations(of.places, 2)]
    pairs += [((a, "x"), (b, "tan")) for a, (b, form) in product(of.places, of.rates) if form == "tan" and a != b]
    ranks = {j: _ranks(of.some[:, j]) for j in of.targets}
    for (a, first), (b, second) in pairs:
        one, other = formed(of.some[:, a], first), formed(of.some[:, b], second)
        made, rank = one * other, _ranks(one * other)
        fine = float(np.nanmedian(np.abs(one)) * of.within[b] + np.nanmedian(np.abs(other)) * of.within[a])
        for target in (j for j in of.targets if j not in (a, b)):
            y, within = of.some[:, target], of.within[target]
            if abs(np.corrcoef(rank, ranks[target])[0, 1]) < RANKED:
                continue
            for factor, _ in straight(y, made):
                constant = shortest(y - factor * made, within)
                if 2.0 * abs(factor) * fine < within or not constant:
                    continue
                if _agrees(y, (factor * made + constant)[None], within)[0]:
                    yield Found(target, ((a, first, 1), (b, second, 1)), factor, constant=constant)
                    break


def _ranks(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.argsort(np.argsort(np.nan_to_num(column, nan=np.nanmedian(column)))).astype(np.float64)


def _with_one(forms: _Forms, kept: list[Equation], every: Sequence[_Forms]) -> list[Equation]:
    """The equations and one of some forms, for which one of them may be written for another column; or as they were."""
    # Of all ways that with the fewest parts: share = 100 * rent / income beside the sum that the rent is, and no rent
    # that is income * share, of which the sum's last term would be the rest.
    best: tuple[int, list[Equation]] | None = None
    for (rank, made), other in product(forms, [None, *kept]):
        left = [one for one in kept if one is not other]
        same = next((each for each in every if any(one is other for _, one in each)), [])
        was = next((own[0] for own, one in same if one is other), 0)
        for own in ([],) if other is None else ([pair] for pair in same if pair[1] is not other):
            parts = rank[0] + sum(int(pair[0][0]) for pair in own) - was
            trial = [*left, made, *(one for _, one in own)]
            if (best is None or parts < best[0]) and all(apart(trial[:k], trial[k]) for k in range(len(trial))):
                best = int(parts), trial
    return kept if best is None else best[1]
