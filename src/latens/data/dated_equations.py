"""Numbers that dates or times of the day give: nights, days too late, hours of work, an age."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import numpy as np

from latens.data.clocks import is_clock
from latens.data.columns import ColumnType
from latens.data.dataset import Dataset
from latens.data.dates import DAY
from latens.data.equations import (
    BY_CHANCE,
    LONG,
    SECONDS,
    Equation,
    apart_from,
    in_days,
    is_day,
    is_timed,
    numbers,
    slack_of,
    value_of,
)
from latens.data.fits import ALMOST
from latens.data.sought import Found, checked

DAYS_BY_CHANCE = 0.6
"""Share of rows in which days between dates may hold when the left side is that of another row."""
SAMPLE = 128
"""Rows on which all are tried."""
LEAST_YEAR = 1000
"""The least number of a column that may hold years."""


def of_dates(data: Dataset, found: Sequence[Equation]) -> Iterator[Equation]:
    """The numbers that dates or times of the day give: nights, days too late, hours of work, an age."""
    names, types = data.schema.names, data.schema.types or ()
    given, x = {one.target for one in found}, numbers(np.asarray(data.x), data.schema, data.mask, data.outside)
    some = x[np.random.default_rng(0).permutation(len(x))[:SAMPLE]]
    forms = [*_of_spans(types, x), *_of_clocks(types, x), *_of_years(types, x)]
    for j, one in enumerate(types):
        if one.kind != "number" or names[j] in given:
            continue
        for made, most in forms:
            columns = {i for i, *_ in made.terms}
            if j in columns or len(columns) < len(made.terms):
                continue
            if made.terms[0][1] in ("year", *LONG) and one.step < 1:
                continue
            terms = tuple((names[i], form, sign, 0.0) for i, form, sign in made.terms)
            rule = Equation(names[j], terms, made.factor, 0.5 * one.step, 0, 0, excess=made.excess)
            rule = rule._replace(cycle=made.cycle, times=made.times)
            if _at_all(rule, names, some) and (held := checked(rule, names, x, most)) is not None:
                yield held
                break


def _of_spans(types: Sequence[ColumnType], x: np.ndarray) -> Iterator[tuple[Found, float]]:
    """The days from a date to one that is counted from it, and between two that are; hours and minutes of times."""
    for d, other in enumerate(types):
        for form in ("days", *LONG) if in_days(other) else SECONDS if other.after and is_timed(other) else ():
            yield Found(0, ((d, form, 1),), 1.0), DAYS_BY_CHANCE
        for form, i, size in product(
            SECONDS if other.after and is_timed(other) else (), _breaks(types, x), (1.0, 60.0)
        ):
            times = (1.0, -size * 60.0 / SECONDS[form])
            yield Found(0, ((d, form, 1), (i, "x", 1)), times=times), BY_CHANCE
    counted = [(d, one.after.column) for d, one in enumerate(types) if one.after and in_days(one)]
    for (last, first), excess in product(permutations(counted, 2), (False, True)):
        if last[1] == first[1]:
            yield Found(0, ((last[0], "days", 1), (first[0], "days", -1)), excess=excess), DAYS_BY_CHANCE


def _breaks(types: Sequence[ColumnType], x: np.ndarray) -> list[int]:
    """The numbers that may be breaks: the least of them is none."""
    return [i for i, one in enumerate(types) if one.kind == "number" and np.nanmin(x[:, i], initial=np.inf) == 0.0]


def _of_clocks(types: Sequence[ColumnType], x: np.ndarray) -> Iterator[tuple[Found, float]]:
    """The hours or minutes from a time of the day to another, also over midnight, and less a break."""
    clocks = [i for i, one in enumerate(types) if is_clock(one)]
    spans = [
        Found(0, ((last, form, 1), (first, form, -1)), cycle=DAY / SECONDS[form])
        for first, last in permutations(clocks, 2)
        for form in SECONDS
    ]
    yield from ((one, BY_CHANCE) for one in spans)
    for one, i, size in product(spans, _breaks(types, x), (1.0, 60.0)):  # in minutes, or in hours
        times = (1.0, 1.0, -size * 60.0 / SECONDS[one.terms[0][1]])
        yield one._replace(terms=(*one.terms, (i, "x", 1)), times=times), BY_CHANCE


def _of_years(types: Sequence[ColumnType], x: np.ndarray) -> Iterator[tuple[Found, float]]:
    """The year of a date, less that of another one or less a number that holds years."""
    dates = [i for i, one in enumerate(types) if is_day(one)]
    whole = [i for i, one in enumerate(types) if one.kind == "number" and one.written == "int"]
    years = [(i, "x") for i in whole if np.nanmin(x[:, i], initial=np.inf) >= LEAST_YEAR]
    for last in dates:
        yield Found(0, ((last, "year", 1),)), DAYS_BY_CHANCE
    for last, (first, form) in product(dates, [*((i, "year") for i in dates), *years]):
        yield Found(0, ((last, "year", 1), (first, form, -1))), DAYS_BY_CHANCE


def _at_all(rule: Equation, names: Sequence[str], some: np.ndarray) -> bool:
    """Whether an equation holds in most of some rows, but those in which its target is 0."""
    left, right = some[:, names.index(rule.target)], value_of(rule, names, some)
    seen = np.isfinite(left) & np.isfinite(right) & (left != 0)
    with np.errstate(all="ignore"):
        good = apart_from(rule, left, right) <= slack_of(rule, names, some)
    return bool(good[seen].sum() >= ALMOST * np.count_nonzero(seen))
