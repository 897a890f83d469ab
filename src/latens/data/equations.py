"""Columns that others give exactly: total = quantity × unit_price × (1 − discount)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from latens.data.clocks import is_clock, nearest_day
from latens.data.columns import ColumnType
from latens.data.dates import DAY
from latens.data.durations import UNITS
from latens.data.factor_words import divisor, factor_words, times_words
from latens.data.schema import Schema
from latens.data.stored_rules import rules_in

HOLDS, BY_CHANCE = 0.98, 0.3
"""Share of rows in which a rule must hold, the others are mistakes; and in which it may, with targets of other rows."""
MOST_COLUMNS, MOST_ADDED = 20, 12
"""Columns that are looked at, and terms of a sum."""
FEW = 40
"""Columns with so few different numbers are taken as exact: others may have been rounded after the target was made."""
LOOKED_AT = 500
"""Rows by which it is told which of two equations gives a cell more sharply."""
COARSER = (1000, 500, 100, 50, 25, 20, 10, 5, 2)
"""How many steps of its grid a column may be rounded to."""

FORMS = {"x": "{}", "1-x": "(1 - {})", "1+x": "(1 + {})", "1-x/100": "(1 - {} / 100)", "1+x/100": "(1 + {} / 100)",
         "tan": "tan({})",
         "days": "the days until {}", "hours": "{}", "minutes": "{}", "year": "the year of {}",
         "weeks": "the weeks until {}", "months": "the months until {}", "years": "the years until {}",
         "full years": "the full years until {}"}  # fmt: skip
"""What a term makes of its column, and how it is written."""
LONG = {"weeks": 7.0, "months": 365.2425 / 12.0, "years": 365.2425, "full years": 365.2425}
"""The days of those that count a span between two dates in whole numbers: no day follows from one."""
SECONDS = {"hours": 3600.0, "minutes": 60.0}
"""The seconds of those that are of times of the day."""


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
    excess: bool = False  # of a sum, whether the target is 0 where the sum is below 0
    plus: tuple[str, str, int, float] | None = None  # a term that is added after all is multiplied by the rate
    constant: float = 0.0  # what is added to a product, or to a weighted sum: a fee beside so much a kilometre
    cycle: float = 0.0  # of a sum, after how much it begins anew: the hours from a time of the day to another
    among: int = 1  # of a sum, what it is divided by: the mean of so many columns
    or_nothing: bool = False  # whether the target may be 0 instead: what is paid of a claim that is not refused
    times: tuple[float, ...] = ()  # of a weighted sum, what each term is multiplied by

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the right side."""
        return tuple(name for name, *_ in self.every)

    @property
    def every(self) -> tuple[tuple[str, str, int, float], ...]:
        """The terms of the right side, in the order of its columns."""
        return (*self.terms, *([self.rate] if self.rate else []), *([self.plus] if self.plus else []))

    @property
    def words(self) -> str:
        """The right side, as it is written in algebra."""
        return f"{self._made}, or 0" if self.or_nothing else self._made

    @property
    def _made(self) -> str:
        if self.cycle:
            (first, form, *_), (last, *_) = sorted(self.terms[:2], key=lambda term: term[2])
            made = f"the {form} from {first} to {last}"
            return f"{made} - {times_words(-self.times[2])}{self.terms[2][0]}" if self.times else made
        if self.terms[0][1] in SECONDS:
            made = f"the {self.terms[0][1]} until {self.terms[0][0]}"
            return f"{made} - {times_words(-self.times[1])}{self.terms[1][0]}" if self.times else made
        parts = [(FORMS[form].format(name), power) for name, form, power, _ in self.terms]
        if not self.factor:
            if self.times:
                each = [(own, part) for own, (part, _) in zip(self.times, parts)]
                made = "".join(f" {'+' if own > 0 else '-'} {times_words(abs(own))}{part}" for own, part in each)
                return f"{self.constant:.12g}{made}" if self.constant else made.removeprefix(" + ").strip()
            parts = sorted(parts, key=lambda part: -part[1])
            if self.terms[0][1] == "days":
                (last, *_), (first, *_) = sorted(self.terms, key=lambda term: -term[2])
                made = f"the days from {first} to {last}"
                return f"max(0, {made})" if self.excess else made
            made = "".join(f" {'+' if sign > 0 else '-'} {part}" for part, sign in parts)
            made = made[3:] if made.startswith(" + ") else made[1:]
            if self.among > 1:
                return f"({made}) / {self.among}"
            if self.rate is None:
                return f"max(0, {made})" if self.excess else made
            name, form, power, _ = self.rate
            made = f"({made})" if len(self.terms) > 1 else made
            made = f"{made} {'*' if power > 0 else '/'} {FORMS[form].format(name)}"
            return made if self.plus is None else f"{made} {'+' if self.plus[2] > 0 else '-'} {self.plus[0]}"
        over = [part if power == -1 else f"{part}^{-power}" for part, power in parts if power < 0]
        upon = [part if power == 1 else f"{part}^{power}" for part, power in parts if power > 0]
        if (by := divisor(self.factor)) and not self.constant:
            over.append(by)
        else:
            upon = [factor_words(self.factor)] * (self.factor != 1.0) + upon
        made = " / ".join([" * ".join(upon) or "1", *over])
        if not self.constant:
            return made
        if self.excess and self.factor > 0:
            (part, _), bound = parts[0], -self.constant / self.factor
            beyond = f"max(0, {part} {'-' if bound > 0 else '+'} {abs(bound):.12g})"
            return beyond if self.factor == 1.0 else f"{factor_words(self.factor)} * {beyond}"
        if self.factor < 0:
            made = " * ".join([factor_words(-self.factor)] * (self.factor != -1.0) + upon[1:])
            made = f"{self.constant:.12g} - {made}"
        else:
            made = f"{made} {'+' if self.constant > 0 else '-'} {abs(self.constant):.12g}"
        return f"max(0, {made})" if self.excess else made


def in_days(one: ColumnType) -> bool:
    """Whether a column holds the days between two dates."""
    return one.kind == "duration" and one.written == "days"


def is_day(one: ColumnType) -> bool:
    """Whether a column holds dates that have a year, in no time zone."""
    return one.kind == "date" and not one.zone and not is_clock(one)


def is_timed(one: ColumnType) -> bool:
    """Whether a column holds times of the day, or the time from one to another: both count in seconds."""
    return is_clock(one) or (one.kind == "duration" and one.after is not None and one.written in UNITS
                             and one.written != "days")  # fmt: skip


def seconds_in(one: ColumnType) -> float:
    """The seconds of the unit of a column of times; 1 of others."""
    return UNITS[one.written] / UNITS["seconds"] if is_timed(one) and one.kind == "duration" else 1.0


def unit_of(one: ColumnType) -> float:
    """What a number of a column is multiplied by: times count in seconds, other dates in days."""
    return 1.0 / DAY if is_day(one) and one.written == "s" else seconds_in(one)


def numbers(
    x: np.ndarray, schema: Schema, mask: np.ndarray | None = None, outside: np.ndarray | None = None
) -> Float[np.ndarray, "n columns"]:
    """Stored rows in the units of their columns; NaN where a cell is missing or holds no number."""
    made = np.array(x, np.float64) if outside is None else np.asarray(x, np.float64) + outside
    for i, one in enumerate(schema.types or ()):  # of times of the day their seconds, of other dates their days
        held = one.kind == "number" or in_days(one) or is_timed(one) or is_day(one)
        made[:, i] = (one.low + made[:, i] * one.step) * unit_of(one) if held else np.nan
    return made if mask is None else np.where(mask, made, np.nan)


def coarser(places: Float[np.ndarray, " n"]) -> int:
    """How many steps of its grid a column is rounded to."""
    seen = np.round(places[~np.isnan(places)])
    return next((g for g in COARSER if len(seen) and np.mean(seen % g == 0) >= HOLDS and np.ptp(seen) > g), 1)


def half_of(half: float, form: str) -> float:
    """Half of what a term was rounded to."""
    return half / 100.0 if form.endswith("/100") else half


def apart(kept: Sequence[Equation], made: Equation) -> bool:
    """Whether no other equation has its target or needs it for its terms."""
    return made.target not in {one.target for one in kept} and not circular(made, kept)


def follows(one: Equation) -> str:
    """The column that is known last: of a height by an angle the angle."""
    return next((name for name, form, *_ in one.every if form == "tan"), one.target)


def circular(made: Equation, kept: Sequence[Equation]) -> bool:
    """Whether its target is needed for one of its terms."""
    given = {one.target: set(one.columns) for one in (*kept, made)}
    reached = set(made.columns)
    while more := {name for one in reached for name in given.get(one, ())} - reached:
        reached |= more
    return made.target in reached


def in_turn(kept: Sequence[Equation]) -> Iterator[Equation]:
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
        if one.target not in otherwise or not _plain(one) or len(plus) != 1 or len(one.terms) < 2:
            continue
        whole, given = written_for(one, plus[0][0]), {other.target for other in made}
        free = whole.target not in given and whole.target not in otherwise
        if free and not circular(whole, [*made[:at], *made[at + 1 :], *edges]):
            made[at] = whole
    return tuple(in_turn(made))


def _plain(one: Equation) -> bool:
    """Whether it is a sum and nothing else, which any of its terms may be written for."""
    odd = one.factor or one.rate or one.excess or one.cycle or one.among > 1 or one.or_nothing or one.times
    return not odd and all(form == "x" for _, form, *_ in one.terms)


def _so_much(one: Equation) -> bool:
    """Whether it is so much of one column, which may be written for this."""
    odd = one.rate or one.excess or one.cycle or one.among > 1 or one.or_nothing or one.times or one.plus
    return not odd and bool(one.factor) and [term[1:3] for term in one.terms] in ([("x", 1)], [("days", 1)])


def written_for(one: Equation, name: str) -> Equation:
    """A sum written for one of its terms: paid = gross - rest for rest = gross - paid."""
    if one.factor:  # of so much of one column: degrees of another unit, the days from one date to another
        by = {"factor": 1.0 / one.factor, "constant": -one.constant / one.factor, "within": max(one.terms[0][3], 1e-9)}
        return one._replace(target=name, terms=((one.target, "x", 1, one.within),), **by)
    (_, _, sign, half), rest = next(t for t in one.terms if t[0] == name), [t for t in one.terms if t[0] != name]
    others = tuple((term, form, -sign * own, width) for term, form, own, width in rest)
    return one._replace(target=name, terms=((one.target, "x", sign, one.within), *others), within=max(half, 1e-9))


def free_for(rules: Sequence[Equation], asked: Callable[[str], bool], given: Collection[str]) -> tuple[Equation, ...]:
    """The equations whose targets may be computed; those whose target is asked for are written for a free term."""
    # given: what else is computed.
    made = [one for one in rules if one.cycle or not asked(one.target)]  # one of the times is moved instead
    for one in rules:
        if not asked(one.target) or not (_plain(one) or _so_much(one)):
            continue
        taken = {*given, *(other.target for other in made)}
        free = (
            written_for(one, t[0]) for t in one.terms if t[1] in ("x", "days") and not asked(t[0]) and t[0] not in taken
        )
        whole = next((other for other in free if not circular(other, made)), None)
        made += [] if whole is None else [whole]
    return tuple(in_turn(made))


def is_linear(one: Equation, free: Collection[str]) -> bool:
    """Whether its mean is what the means of the free columns give, where the other columns are known."""
    odd = one.excess or one.cycle or one.or_nothing or any(form in ("year", "tan", *LONG) for _, form, *_ in one.terms)
    if odd or (one.rate and one.rate[0] in free and any(name in free for name, *_ in one.terms)):
        return False
    factors = one.terms if one.factor else [one.rate] if one.rate else []
    powers = [power for name, _, power, _ in factors if name in free]
    return powers in ([], [1])


def targets_of(rules: Sequence[Equation], schema: Schema) -> Bool[np.ndarray, " columns"]:
    """Which columns are given by others."""
    given = {one.target for one in placed(rules, schema)}
    return np.array([name in given for name in schema.names], bool)


# --- what they give ---


def formed(column: Float[np.ndarray, " n"], form: str) -> Float[np.ndarray, " n"]:
    """What a term makes of its column."""
    if form in SECONDS:
        return column / SECONDS[form]
    if form == "year":
        days = np.where(np.isfinite(column), np.floor(column), 0).astype(np.int64).astype("datetime64[D]")
        return np.where(np.isfinite(column), days.astype("datetime64[Y]").astype(np.int64) + 1970.0, np.nan)
    if form == "tan":
        return np.tan(np.radians(column))
    if form == "full years":  # an anniversary lies up to three quarters of a day off so many mean years
        return np.floor((column + 0.75) / LONG[form])
    if form in LONG:
        return np.round(column / LONG[form])
    part = column / 100.0 if form.endswith("/100") else column
    return part if form in ("x", "days") else 1.0 - part if form.startswith("1-") else 1.0 + part


def value_of(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The right side, NaN where one of its cells is missing."""
    parts = [(formed(x[:, names.index(name)], form), power) for name, form, power, _ in one.terms]
    with np.errstate(all="ignore"):
        if not one.factor:
            made = np.sum([sign * part for part, sign in _weighed(one, parts)], axis=0) * rate_of(one, names, x)
            made = made + one.constant
            if one.plus is not None:
                made = made + one.plus[2] * x[:, names.index(one.plus[0])]
            made = made % one.cycle if one.cycle else made
            return np.maximum(made, 0.0) if one.excess else made
        made = one.factor * np.prod([part**power for part, power in parts], axis=0) + one.constant
        return np.maximum(made, 0.0) if one.excess else made


def _weighed(one: Equation, parts: Sequence[tuple[Any, int]]) -> Sequence[tuple[Any, float]]:
    """The terms of a sum with what each is multiplied by."""
    return [(part, own * sign) for (part, sign), own in zip(parts, one.times)] if one.times else parts


def places_of(one: Equation, schema: Schema, x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """The stored target that the right side gives, before it is rounded or cut to its grid."""
    own = (schema.types or ())[schema.names.index(one.target)]
    value = nearest_day(value_of(one, schema.names, numbers(x, schema)) / seconds_in(own), own)
    return (value - own.low) / own.step


def rate_of(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """What a sum is multiplied by."""
    if one.rate is None:
        return np.full(len(x), 1.0 / one.among)
    name, form, power, _ = one.rate
    with np.errstate(all="ignore"):
        return formed(x[:, names.index(name)], form) ** float(power)


def slack_of(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " n"]:
    """How far the target may lie from the right side, as it and the terms were rounded."""
    if not one.factor:
        halves = _weighed(one, [(half, 1) for *_, half in one.terms])
        rate, off = rate_of(one, names, x), sum(half * abs(own) for half, own in halves)
        with np.errstate(all="ignore"):
            part = half_of(one.rate[3], one.rate[1]) / np.abs(rate ** one.rate[2]) if one.rate else 0.0
            own = np.abs(value_of(one._replace(plus=None), names, x))
            return one.within + np.abs(rate) * off + own * part + (one.plus[3] if one.plus else 0.0)
    with np.errstate(all="ignore"):
        parts = [abs(power) * _room(form, half, x[:, names.index(name)]) for name, form, power, half in one.terms]
        own = np.abs(value_of(one._replace(constant=0.0, excess=False), names, x))
        return one.within + of_nothing(own * np.sum(parts, axis=0))


def _room(form: str, half: float, column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """How much of itself a term of a product may be off, as its column was rounded."""
    if form == "tan":
        return np.abs(2.0 * np.radians(half) / np.sin(2.0 * np.radians(column)))
    return half_of(half, form) / np.abs(formed(column, form))


def of_nothing(off: np.ndarray) -> np.ndarray:
    """How far a product may be off, 0 where a term is 0: a rounded one is no part of nothing."""
    return np.where(np.isnan(off), 0.0, off)


def broken_by(one: Equation, names: Sequence[str], x: Float[np.ndarray, "n columns"]) -> Bool[np.ndarray, " n"]:
    """The rows with all of its columns in which it does not hold."""
    left, right = x[:, names.index(one.target)], value_of(one, names, x)
    with np.errstate(all="ignore"):
        wrong = apart_from(one, left, right) > slack_of(one, names, x) + 1e-9 * np.abs(left)
        return wrong & (left != 0) if one.or_nothing else wrong


def apart_from(one: Equation, left: Float[np.ndarray, " n"], right: Float[np.ndarray, " n"]) -> np.ndarray:
    """How far the target lies from the right side, around midnight the short way."""
    off = np.abs(right - left)
    return np.minimum(off, np.abs(one.cycle - off)) if one.cycle else off


def placed(rules: Sequence[Equation], schema: Schema) -> list[Equation]:
    """The equations between columns that a table has as numbers."""
    types = dict(zip(schema.names, schema.types or ()))
    own = {name for name, one in types.items() if one.kind == "number"}
    days = {name for name, one in types.items() if in_days(one)}
    clocks = {name for name, one in types.items() if is_timed(one)}
    dated = {name for name, one in types.items() if is_day(one)}
    forms = {"days": days, **dict.fromkeys(LONG, days), "year": dated, **dict.fromkeys(SECONDS, clocks)}
    of = lambda form: forms.get(form, own)  # noqa: E731
    there = lambda rule: all(name in of(form) for name, form, *_ in rule.every)  # noqa: E731
    return [one for one in rules if one.target in (own | days if _so_much(one) else own) and there(one)]


def solved(
    rules: Sequence[Equation], schema: Schema, x: Float[np.ndarray, "n columns"], hidden: np.ndarray
) -> tuple[Float[np.ndarray, "n columns"], Bool[np.ndarray, "n columns"], Bool[np.ndarray, " n"]]:
    """Stored rows whose hidden cells keep the equations: those that known cells give, then targets of filled cells."""
    # returns: the rows; where a cell follows from known ones; which rows have a target beyond its grid, that stays.
    names, types = schema.names, schema.types or ()
    x = np.where(hidden, np.round(np.asarray(x, np.float64)), x)  # as filled cells are written
    open_, sure, beyond = np.array(hidden, bool), np.zeros(x.shape, bool), np.zeros(len(x), bool)

    def nothing(one: Equation, x: np.ndarray) -> np.ndarray:
        own = types[names.index(one.target)]
        at = np.abs(own.low + own.step * x[:, names.index(one.target)]) < 0.5 * own.step
        return at if one.or_nothing else np.zeros(len(x), bool)

    def put(rows: np.ndarray, j: int, value: np.ndarray, one: Equation) -> np.ndarray:
        value = nearest_day(value / seconds_in(types[j]), types[j])
        place = np.round((value - types[j].low) / types[j].step)
        fits = rows & np.isfinite(place) & (place >= 0) & (place < types[j].size)
        was = x[:, j].copy()
        x[:, j] = np.where(fits, place, was)
        if j != names.index(one.target):  # another cell must give the target again
            wrong = fits & broken_by(one, names, numbers(x, schema))
            x[:, j], fits = np.where(wrong, was, x[:, j]), fits & ~wrong
        return fits

    turns = _tightest(rules, schema, x, open_) if open_.any() else []
    for _ in range(len(rules) + 1):
        for one, k in turns:
            columns = [names.index(name) for name in (one.target, *one.columns)]
            j = columns[k]
            alone = open_[:, j] & (open_[:, columns].sum(axis=1) == 1)
            if one.or_nothing:  # whether a hidden target is 0, its filling says
                alone &= ~nothing(one, x) & (k > 0)
            if alone.any():
                cells = numbers(x, schema)
                value = value_of(one, names, cells) if k == 0 else other_of(one, k - 1, names, cells)
                done = put(alone, j, value, one)
                open_[:, j] &= ~done
                sure[:, j] |= done
    for one in placed(rules, schema):
        j = names.index(one.target)
        rows = open_[:, j] & ~nothing(one, x)
        if rows.any():
            done = put(rows, j, value_of(one, names, numbers(x, schema)), one)
            beyond |= rows & ~done
    return x, sure, beyond


def looseness(
    rules: Sequence[Equation], schema: Schema, x: Float[np.ndarray, "n columns"], hidden: np.ndarray, sure: np.ndarray
) -> Float[np.ndarray, "n columns"]:
    """By how many cells a computed number may lie elsewhere, as those that give it were rounded: weights by a BMI."""
    names, types, found = schema.names, schema.types or (), np.full(x.shape, np.inf)
    values = numbers(x, schema)
    for one in placed(rules, schema):
        columns = [names.index(name) for name in (one.target, *one.columns)]
        halves = _halves(one, names, values[~hidden[:, columns].any(axis=1)])
        for k, j in enumerate(columns):
            rows = np.flatnonzero(sure[:, j] & (sure[:, columns].sum(axis=1) == 1))
            if len(rows) and types[j].kind == "number":
                off = np.floor(_off(one, k, halves, names, values[rows]) / types[j].step + 1e-6)
                found[rows, j] = np.minimum(found[rows, j], off)
    return np.where(np.isfinite(found), found, 0.0)


def _halves(one: Equation, names: Sequence[str], values: Float[np.ndarray, "n columns"]) -> list[float]:
    """Half of what the target, and each term, was rounded to; 0 of terms where the whole rows need none."""
    held = values[~broken_by(one, names, values)]
    rest = apart_from(one, held[:, names.index(one.target)], value_of(one, names, held))
    rest = rest[np.isfinite(rest)]
    exact = not len(rest) or float(np.quantile(rest, HOLDS)) <= one.within * (1.0 + 1e-6)  # but for its own digits
    return [one.within, *(0.0 if exact else half for *_, half in one.every)]


def _off(
    one: Equation, k: int, halves: Sequence[float], names: Sequence[str], values: Float[np.ndarray, "n columns"]
) -> Float[np.ndarray, " n"]:
    """How far the target (0) or a term (from 1) may lie from what the others give, as these were rounded."""
    columns = [names.index(name) for name in (one.target, *one.columns)]
    own = lambda cells: value_of(one, names, cells) if k == 0 else other_of(one, k - 1, names, cells)  # noqa: E731
    off, base = np.zeros(len(values)), own(values)
    for place, (other, half) in enumerate(zip(columns, halves)):
        if place != k and half:
            moved = values.copy()
            moved[:, other] += half
            off += np.abs(own(moved) - base)
    return np.nan_to_num(off)


def _tightest(
    rules: Sequence[Equation], schema: Schema, x: np.ndarray, hidden: np.ndarray
) -> list[tuple[Equation, int]]:
    """Each equation for each of its columns, those first that leave least room, in cells: of two the sharper one."""
    names, types, found = schema.names, schema.types or (), []
    some = numbers(x[:LOOKED_AT], schema, ~hidden[:LOOKED_AT])
    for turn, one in enumerate(placed(rules, schema)):
        columns = [names.index(name) for name in (one.target, *one.columns)]
        whole = some[np.isfinite(some[:, columns]).all(axis=1)]
        halves = _halves(one, names, whole)
        for k, j in enumerate(columns):
            off = _off(one, k, halves, names, whole) / types[j].step
            room = float(np.median(off)) if len(off) else 0.0
            found.append((room if room > 0.5 else 0.0, turn, k, one))
    return [(one, k) for _, _, k, one in sorted(found, key=lambda each: each[:3])]


def computed(
    rules: Sequence[Equation],
    schema: Schema,
    x: Float[np.ndarray, "n columns"],
    asked: Callable[[str], bool] = lambda name: False,
) -> tuple[Float[np.ndarray, "n columns"], Bool[np.ndarray, " n"]]:
    """Stored rows with the targets that their other cells give; and which have one beyond its grid, that stays."""
    # asked: columns that stay; of the hours between two times that are asked for a time is given.
    given = targets_of(rules, schema)
    for one in placed(rules, schema):
        if one.cycle and asked(one.target):
            given[schema.names.index(one.target)] = False
            free = [name for name in one.columns if not asked(name)]
            given[[schema.names.index(name) for name in free[:1]]] = True
    x = _angles_of(rules, schema, x, asked)
    made, _, beyond = solved(rules, schema, x, np.broadcast_to(given, x.shape))
    return made.astype(x.dtype), beyond


def _angles_of(rules: Sequence[Equation], schema: Schema, x: np.ndarray, asked: Callable[[str], bool]) -> np.ndarray:
    """Stored rows whose angles are those under which their heights are seen: what a height is, other columns know."""
    types, x = schema.types or (), np.array(x)
    for one in placed(rules, schema):
        for at, (name, form, *_) in enumerate(one.every):
            if form == "tan" and not asked(name):
                j = schema.names.index(name)
                place = np.round((other_of(one, at, schema.names, numbers(x, schema)) - types[j].low) / types[j].step)
                x[:, j] = np.where(np.isfinite(place), np.clip(place, 0, types[j].size - 1), x[:, j])
    return x


def other_of(one: Equation, k: int, names: Sequence[str], x: np.ndarray) -> Float[np.ndarray, " n"]:
    """The column of one term, given the target and the other terms."""
    left, (_, form, power, _) = x[:, names.index(one.target)], one.every[k]
    if one.plus is not None:
        if k == len(one.every) - 1:
            return power * (left - value_of(one._replace(plus=None), names, x))
        one, left = one._replace(plus=None), left - one.plus[2] * x[:, names.index(one.plus[0])]
    if form == "year" or form in LONG:  # of a year no day follows
        return np.full(len(x), np.nan)
    with np.errstate(all="ignore"):
        if one.cycle:
            others, own = one.times[:k] + one.times[k + 1 :], one.times[k] if one.times else 1.0
            rest = one._replace(terms=one.terms[:k] + one.terms[k + 1 :], times=others, cycle=0.0)
            return SECONDS.get(form, 1.0) * power * (left - value_of(rest, names, x)) / own
        if not one.factor and k < len(one.terms):
            others, own = one.times[:k] + one.times[k + 1 :], one.times[k] if one.times else 1.0
            rest = one._replace(
                terms=one.terms[:k] + one.terms[k + 1 :], rate=None, excess=False, among=1, times=others
            )
            left = np.where((left > 0) | (not one.excess), left, np.nan)  # of 0 only a bound follows
            return SECONDS.get(form, 1.0) * power * (left / rate_of(one, names, x) - value_of(rest, names, x)) / own
        left = np.where((left > 0) | (not one.excess), left, np.nan) - one.constant
        one = one._replace(constant=0.0, excess=False)
        rest = one._replace(rate=None) if one.rate else one._replace(terms=one.terms[:k] + one.terms[k + 1 :])
        others = value_of(rest, names, x) if rest.terms else np.full(len(x), one.factor)
        part = (left / others) ** (1.0 / power)
    if form in SECONDS:
        return SECONDS[form] * part
    if form == "tan":
        return np.degrees(np.arctan(part))
    part = part if form in ("x", "days") else 1.0 - part if form.startswith("1-") else part - 1.0
    return 100.0 * part if form.endswith("/100") else part


def read(stored: Any) -> tuple[Equation, ...]:
    """The equations that a model file holds."""
    return rules_in(Equation, stored, _sound)


def _sound(rule: Equation) -> bool:
    """Whether it is a product, a line or a sum of columns that `value_of` knows, and not of its own target."""
    if not rule.terms or len(rule.terms) > MOST_ADDED or rule.target in rule.columns:
        return False
    if not all(form in FORMS and power in (-2, -1, 1, 2) for _, form, power, _ in rule.every):
        return False
    plain = rule.factor != 0 and all(power == 1 for _, _, power, _ in rule.terms)
    odd = rule.factor or rule.rate or rule.excess or rule.among > 1 or rule.or_nothing
    weighed = not odd and len(rule.times) == len(rule.terms) and all(is_number(own) and own for own in rule.times)
    several = rule.factor or rule.rate or rule.excess or rule.cycle
    timed = {form for _, form, *_ in rule.every if form in SECONDS}
    wrong = (
        (rule.times and not weighed),
        (rule.factor and rule.rate),
        (rule.constant and not (plain or rule.times)),
        (rule.plus and (not rule.rate or rule.excess)),
        (rule.excess and (rule.rate or (rule.factor and not (rule.constant and plain and len(rule.terms) == 1)))),
        not 1 <= rule.among <= MOST_ADDED or (rule.among > 1 and several),
        (rule.or_nothing and (rule.excess or rule.cycle)),
        (timed and not rule.cycle and not _until_a_time(rule)),
        (rule.cycle and not _from_time_to_time(rule, timed)),
    )
    return not any(wrong)


def _until_a_time(rule: Equation) -> bool:
    """Whether it is the hours or minutes until a time, and may be less a break."""
    forms = [term[1:3] for term in rule.every]
    return not rule.constant and (len(forms) == 1 and rule.factor == 1.0 if not rule.times else forms[1:] == [("x", 1)])


def _from_time_to_time(rule: Equation, timed: Collection[str]) -> bool:
    """Whether it is the hours or minutes from one time to another, and may be less a break."""
    clocks = [term for term in rule.terms if term[1] in SECONDS]
    both = len(timed) == 1 and len(clocks) == 2 and sum(term[2] for term in clocks) == 0 and clocks == [*rule.terms[:2]]
    paused = [term[1:3] for term in rule.terms[2:]] == [("x", 1)] and rule.times[:2] == (1.0, 1.0)
    both = both and len(rule.every) == len(rule.terms) and (paused or (len(rule.terms) == 2 and not rule.times))
    return both and not rule.factor and not rule.excess and rule.cycle == DAY / SECONDS[next(iter(timed))]


def is_number(value: Any) -> bool:
    """Whether what a file holds is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
