"""Names that say a name or number of another column: the species of a breed, the price of an article and size."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from latens.data.columns import ColumnType, decimals_of
from latens.data.dataset import Dataset
from latens.data.dates import DAY
from latens.data.schema import Schema
from latens.data.spans import seconds_of
from latens.data.stored_rules import rules_in
from latens.data.weekdays import NAMES as DAYS
from latens.data.weekdays import local_dates, on_own_days

LEAST_ROWS = 20
"""Rows with a name from which on it counts that they have the same name in the other column."""
HOLDS, TWO, SHARED = 0.97, 0.94, 0.9
"""Share of its rows from which on a name says another, or all but one row; from which on in all but two; and below
which it goes with several."""
MISTAKES = 0.01
"""Share of the rows in which another name stands, at the most."""
COVERED, UNCLEAR, BY_CHANCE = 0.25, 0.1, 1e-9
"""Share of rows whose name says another, at the least; of these, with names in between; probability by chance."""
GAIN, MOST_FIRST, MOST_TRIED = 0.02, 2, 12
"""What one of two names must add to the share of the commonest value; columns that are tried as the first and as the
second one."""
LEAST_OF_FEW, MOST_OF_FEW, COVERED_BY_FEW, SURE_OF_FEW = 4, 0.8, 0.8, -100.0
"""Of names with fewer rows: their least number, the share of them that is alike, the share of all rows whose names say
another, and the logarithm of the probability by chance that all of them do, at the most."""
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
"""What a date says is said by its month, the season, or by its day of the week."""
LEAST_DAYS = 3
"""Days of the week with a name each, from which on no other day has one of these names."""
MOST_NAMES, MOST_NUMBERS, MOST_CELLS = 500, 100, 100_000
"""Columns of more names, or of more different numbers or cells, are not looked at."""


class But(NamedTuple):
    """What stands in the place of what names say where another number lies far up or down: a discount for many."""

    said: str
    instead: str
    other: str  # the column of the number
    end: float
    above: bool  # whether from there on, or up to there
    sure: bool = True  # whether it always does, there


class Implied(NamedTuple):
    """A column that the names of another one, of two or of three, say in nearly all rows."""

    by: str
    column: str
    pairs: tuple[tuple[str, ...], ...]  # a name of each of `columns`, and what they say
    rows: int  # with such a name, and something in the other column
    broken: int  # of these, with something else
    also: str = ""  # the second column of names, where there is one
    but: tuple["But", ...] = ()
    third: str = ""  # the third one, likewise
    month: bool = False  # whether `by` is a column of dates, whose month says it
    cuts: tuple[float, ...] = ()  # where the ranges of `by` begin that say it, but for the first; `by` is a number then
    weekday: bool = False  # whether `by` is a column of dates, whose day of the week says it
    own: bool = False  # whether other days of the week have none of what is said: each has its own

    @property
    def dated(self) -> bool:
        """Whether a part of a date says it."""
        return self.month or self.weekday

    @property
    def target(self) -> str:
        """The column that is said."""
        return self.column

    @property
    def columns(self) -> tuple[str, ...]:
        """What the target is given by."""
        return tuple(name for name in (self.by, self.also, self.third) if name)

    @property
    def read(self) -> tuple[str, ...]:
        """All columns by which the target is what it is."""
        return (*self.columns, *dict.fromkeys(one.other for one in self.but))

    def words_in(self, schema: Schema) -> str:
        """The rule with an example, what is said as it is written in the table."""
        names, types = schema.names, schema.types or ()
        *own, told = self.pairs[0]
        one = types[names.index(self.column)]

        def shown(text: str) -> str:
            place = _place(one, text)
            return text if one.named or place < 0 else one.texts(np.array([float(place)]))[0]

        words = [f"{', '.join(own if self.dated else map(repr, own))}: {shown(told)!r}"]
        if self.cuts:
            number = types[names.index(self.by)]
            ends = number.texts((np.array(self.cuts) - number.low) / number.step)
            each = zip([f"below {ends[0]}", *(f"from {end} on" for end in ends)], self.pairs)
            words = [f"{at} {shown(told)!r}" for at, (_, told) in each]
        for each in self.but:
            if each.sure:
                far = types[names.index(each.other)]
                [end] = far.texts(np.array([round((each.end - far.low) / far.step)], float))
                side = f"from {each.other} {end} on" if each.above else f"up to {each.other} {end}"
                words.append(f"{side} {shown(each.instead)!r} for {shown(each.said)!r}")
        return f"{self.short} ({'; '.join(words)})"

    def text_in(self, schema: Schema) -> Callable[[int], str]:
        """What a place of the column stands for, as pairs have it."""
        names = schema.names
        one = (schema.types or ())[names.index(self.column)]
        return lambda place: text_of(one, place)

    @property
    def short(self) -> str:
        """The rule without an example."""
        *others, last = map(repr, self.columns)
        part = "month" if self.month else "day of the week" if self.weekday else "range" if self.cuts else ""
        last = f"the {part} of {last}" if part else last
        return f"what {', '.join(others)}{' and ' * bool(others)}{last} {'say' if others else 'says'}"


def found_in(data: Dataset) -> tuple[Implied, ...]:
    """Find the columns of a mixed table whose names say what stands in another column."""
    types = data.schema.types or ()
    if not isinstance(getattr(data, "x", None), np.ndarray) or data.x.ndim != 2 or not types:
        return ()
    x = on_own_days(data)
    names = data.schema.names
    codes = {k: _codes(x, k, data.schema, data.mask) for k, one in enumerate(types) if _named(one) or _counted(one)}
    few: dict[int, _Column] = {}
    for k, own in codes.items():
        cells, places = np.unique(own, return_inverse=True)
        if types[k].named or 2 <= len(cells) <= MOST_NUMBERS:
            few[k] = _Column(names[k], types[k], own, cells, places.ravel())
    found = {(i, k): rule for i in few for k in few
             if i != k and types[i].named and (rule := _between([few[i]], few[k]))}  # fmt: skip
    for i, week in itertools.product((i for i, one in enumerate(types) if _monthly(one)), (False, True)):
        cells, places = np.unique(own := _codes(x, i, data.schema, data.mask, week), return_inverse=True)
        part = _Column(names[i], ColumnType("category", DAYS if week else MONTHS), own, cells, places.ravel())
        told = {(i, k): rule for k in few if types[k].named and (rule := _between([part], few[k]))}
        found |= {at: _of_dates(rule, part, few[at[1]], week) for at, rule in told.items()}
    # Two columns that say each other break in the same rows: once, by the one with more rows.
    less = {(i, k) for (i, k), rule in found.items() if (k, i) in found
            if (rule.rows, i, k) < (found[k, i].rows, k, i)}  # fmt: skip
    one = [rule for at, rule in found.items() if at not in less]
    return (*one, *_of_several(list(few.values()), one))


class _Column(NamedTuple):
    """A column with few names or numbers."""

    name: str
    of: ColumnType
    codes: Int[np.ndarray, " n"]
    cells: Int[np.ndarray, " cells"]  # the codes that there are
    places: Int[np.ndarray, " n"]  # of each row among these

    @property
    def size(self) -> int:
        """How many names or cells it may have; the code of a missing one."""
        return len(self.of.values) if self.of.named else self.of.size


def _of_dates(rule: Implied, part: _Column, column: _Column, week: bool) -> Implied:
    """The rule of months or days of the week; a day on which hardly any row lies has no name of another one."""
    rule = rule._replace(month=not week, weekday=week)
    names = [column.of.values.index(told) for *_, told in rule.pairs]
    if not week or len(set(names)) < max(len(names), LEAST_DAYS):
        return rule
    other = ~_told(rule, [part]) & (part.codes < part.size)
    strange = int(np.count_nonzero(other & np.isin(column.codes, names)))
    return rule._replace(own=True, rows=rule.rows + strange) if strange <= MISTAKES * rule.rows else rule


def _of_several(columns: Sequence[_Column], one: Sequence[Implied]) -> list[Implied]:
    """The columns that two or three columns of names say together, where fewer do not: the rule of most rows."""
    made: list[Implied] = []
    known = {(rule.by, rule.column) for rule in one}
    for column in columns:
        if any(rule.column == column.name for rule in one):
            continue
        usual = np.bincount(column.places).max() / len(column.places)
        alone = {k: _share([by], column) for k, by in enumerate(columns) if by.of.named and by is not column}
        kept = sorted((k for k, share in alone.items() if share <= SHARED), key=lambda k: -alone[k])[:MOST_TRIED]
        first = [k for k in kept[:MOST_FIRST] if alone[k] >= usual + GAIN]
        # What one says of the other adds nothing, and a name that the target says is no reason of it.
        tied = lambda *at: {(columns[i].name, columns[j].name) for i, j in itertools.permutations(at, 2)} & known  # noqa: E731
        target, rules = columns.index(column), []
        pairs = sorted({tuple(sorted(pair)) for pair in itertools.product(first, kept) if len({*pair}) > 1})
        pairs = [
            at for at in pairs if not tied(*at, target) and columns[at[0]].size * columns[at[1]].size <= MOST_NAMES
        ]
        for at in pairs:
            rules += _said_by([columns[k] for k in at], column)
        if not rules and pairs:
            share, best = max((_share([columns[k] for k in at], column), at) for at in pairs)
            for k in [k for k in kept if k not in best and share <= SHARED and not tied(*best, k, target)]:
                by = [columns[at] for at in (*best, k)]
                if math.prod(each.size for each in by) <= MOST_NAMES and _share(by, column) >= share + GAIN:
                    rules += _said_by(by, column)
        made += sorted(rules, key=lambda rule: (rule.broken - rule.rows, len(rule.pairs)))[:1]
    # Of columns of which each are said by the others, one rule is enough.
    of = [{*rule.columns, rule.column} for rule in made]
    return [rule for at, rule in enumerate(made) if of[at] not in of[:at]]


def _said_by(by: Sequence[_Column], column: _Column) -> list[Implied]:
    """The rule by which names say a column together, if there is one and fewer of them do not say it."""
    rule = _between(by, column)
    if rule is None:
        return []
    rows = _told(rule, by)
    fewer = itertools.combinations(by, len(by) - 1)
    return [rule] if max(_share(few, column, rows) for few in fewer) <= SHARED else []


def _told(rule: Implied, by: Sequence[_Column]) -> Bool[np.ndarray, " n"]:
    """The rows whose names say something."""
    sizes = [one.size for one in by]
    says = np.zeros(math.prod(sizes) + 1, bool)
    for *words, _ in rule.pairs:
        says[np.ravel_multi_index([one.of.values.index(word) for one, word in zip(by, words)], sizes)] = True
    return says[_joint([one.codes for one in by], sizes)]


def _share(by: Sequence[_Column], column: _Column, rows: Any = slice(None)) -> float:
    """The share of rows that have what is commonest with their names."""
    sizes = [one.size + 1 for one in by]
    joint = np.ravel_multi_index([np.minimum(one.codes[rows], one.size) for one in by], sizes)
    both = joint * len(column.cells) + column.places[rows]
    counts = np.bincount(both, minlength=math.prod(sizes) * len(column.cells))
    return float(counts.reshape(-1, len(column.cells)).max(axis=1).sum() / max(len(both), 1))


def _named(one: ColumnType) -> bool:
    return one.named and not one.starts and 2 <= len(one.values) <= MOST_NAMES


def _counted(one: ColumnType) -> bool:
    return one.kind == "number" and one.size <= MOST_CELLS


def _monthly(one: ColumnType) -> bool:
    """Whether a column holds dates, in no time zone, by themselves or as the time since another one."""
    return not one.after.zone if one.after else one.kind == "date" and not one.zone


def _levels(rule: Implied, one: ColumnType) -> tuple[str, ...]:
    """The names that may say something: of dates their months, of numbers their ranges."""
    return range_words(rule.cuts) if rule.cuts else DAYS if rule.weekday else MONTHS if rule.month else one.values


def range_words(cuts: Sequence[float]) -> tuple[str, ...]:
    """The ranges of a number between cuts, in words."""
    return (f"below {cuts[0]!r}", *(f"from {cut!r} on" for cut in cuts))


def _codes_by(rule: Implied, x: np.ndarray, k: int, schema: Schema, mask: np.ndarray | None) -> Int[np.ndarray, " n"]:
    """The names, months or ranges that say the column, by their places; one more than the last of a missing one."""
    if not rule.cuts:
        return _codes(x, k, schema, mask, rule.weekday)
    one = (schema.types or ())[k]
    value = one.low + np.asarray(x, np.float64)[:, k] * one.step
    places = np.searchsorted(np.array(rule.cuts) - 1e-6 * one.step, value, side="right")
    return places if mask is None else np.where(np.asarray(mask)[:, k], places, len(rule.cuts) + 1)


def _codes(x: np.ndarray, k: int, schema: Schema, mask: np.ndarray | None, week: bool = False) -> Int[np.ndarray, " n"]:
    """The names, months or cells of a column by their places; one more than the last of a missing one."""
    one = (schema.types or ())[k]
    if _monthly(one):
        dates = local_dates(np.asarray(x), schema).get(k)
        if dates is None:
            return np.full(len(x), len(DAYS if week else MONTHS))
        days = dates.astype("datetime64[D]")
        # The first of January 1970 was a Thursday.
        parts = (days.astype(np.int64) + 3) % 7 if week else days.astype("datetime64[M]").astype(np.int64) % 12
        seen = None if mask is None else np.asarray(mask)[:, [k, *counted_from(k, schema)]].all(axis=1)
        return parts if seen is None else np.where(seen, parts, len(DAYS if week else MONTHS))
    most = len(one.values) if one.named else one.size
    code = np.round(np.asarray(x)[:, k]).astype(np.int64).clip(0, most)
    return code if mask is None else np.where(np.asarray(mask)[:, k], code, most)


def counted_from(k: int, schema: Schema) -> list[int]:
    """The columns of dates from which a date is counted."""
    found: list[int] = []
    while (after := (schema.types or ())[k].after) and after.column in schema.names and len(found) < len(schema.names):
        k = schema.names.index(after.column)
        found.append(k)
    return found


def text_of(one: ColumnType, code: int) -> str:
    """What a place of a column stands for, a number in plain figures."""
    return one.values[code] if one.named else str(float(np.round(one.low + code * one.step, decimals_of(one.step))))


def _place(one: ColumnType, text: str) -> int:
    """The place of what a rule says; -1 where the column has none."""
    if one.named:
        return one.values.index(text) if text in one.values else -1
    try:
        place = round((float(text) - one.low) / one.step)
    except (ValueError, OverflowError):
        return -1
    return place if 0 <= place < one.size else -1


def _joint(codes: Sequence[np.ndarray], sizes: Sequence[int]) -> Int[np.ndarray, " n"]:
    """The place of the names of each row among all combinations; one more than the last where one is missing."""
    seen = np.all([code < size for code, size in zip(codes, sizes)], axis=0)
    places = np.ravel_multi_index([np.minimum(code, size - 1) for code, size in zip(codes, sizes)], tuple(sizes))
    return np.where(seen, places, math.prod(sizes))


def _between(by: Sequence[_Column], column: _Column) -> Implied | None:
    """The rule by which names of some columns say what stands in another, if there is one."""
    from scipy.stats import binom

    sizes, own = [one.size for one in by], column.cells
    a = math.prod(sizes)
    joint = _joint([one.codes for one in by], sizes)
    counts = np.bincount(joint * len(own) + column.places, minlength=(a + 1) * len(own)).reshape(-1, len(own))
    counts, own = counts[:a, own != column.size], own[own != column.size]
    if len(own) < 2:
        return None
    rows, top = counts.sum(axis=1), counts.max(axis=1)
    share = top / np.maximum(rows, 1)
    says = (rows >= LEAST_ROWS) & ((share >= HOLDS) | (rows - top <= 1) | ((rows - top <= 2) & (share >= TWO)))
    unclear = (rows >= LEAST_ROWS) & ~says & (share >= SHARED)
    usual = counts.sum(axis=0) / max(counts.sum(), 1)
    told = counts.argmax(axis=1)
    says &= binom.sf(top - 1, np.maximum(rows, 1), usual[told]) <= BY_CHANCE
    says |= _of_few(rows, top, usual[told], len(by))
    covered, broken = rows[says].sum(), (rows - top)[says].sum()
    if rows[unclear].sum() > UNCLEAR * covered or covered < COVERED * max(rows.sum(), 1):
        return None
    if broken > MISTAKES * covered or len(np.unique(told[says])) < 2:
        return None
    pairs = tuple(
        (*(one.of.values[at] for one, at in zip(by, np.unravel_index(i, sizes))), text_of(column.of, int(own[told[i]])))
        for i in np.flatnonzero(says).tolist()
    )
    also, third = [*(one.name for one in by[1:]), "", ""][:2]
    held = int(rows[says].sum()), int((rows - top)[says].sum())
    return Implied(by[0].name, column.name, pairs, *held, also, third=third)


def _of_few(
    rows: Int[np.ndarray, " a"], top: Int[np.ndarray, " a"], usual: np.ndarray, columns: int
) -> Bool[np.ndarray, " a"]:
    """The names of few rows that say another one, as all names of the column do together: the class of a team."""
    from scipy.stats import binom

    # rows: with each name; top: those of them that have what is commonest there, and how common this is in all rows.
    each = rows >= LEAST_OF_FEW
    few, whole = each & (rows < LEAST_ROWS) & (top >= MOST_OF_FEW * rows), rows[each].sum()
    agree = (rows - top)[each].sum() <= MISTAKES * whole and whole >= COVERED_BY_FEW * max(rows.sum(), 1)
    chance = binom.logsf(top[each] - 1, rows[each], usual[each]).sum() if columns == 1 and agree else 0.0
    return few & bool(chance <= SURE_OF_FEW)


def placed(rules: Sequence[Implied], schema: Schema) -> list[tuple[Implied, list[int], int]]:
    """The rules between columns that a table has, and the places of these."""
    names, types = schema.names, schema.types or ()
    dates = {name for name, one in zip(names, types) if _monthly(one)}
    by = {name for name, one in zip(names, types) if _named(one)}
    measured = {name for name, one in zip(names, types) if not one.named}
    said = by | {name for name, one in zip(names, types) if _counted(one)}
    return [
        (one, [names.index(name) for name in one.columns], names.index(one.column))
        for one in rules
        if {*one.columns} <= (measured if one.cuts else dates if one.dated else by) and one.column in said
    ]


def told_by(rule: Implied, schema: Schema, x: np.ndarray, mask: np.ndarray | None = None) -> Int[np.ndarray, " n"]:
    """The place of what the names of each row say; -1 where they say nothing."""
    names, types = schema.names, schema.types or ()
    places = [names.index(name) for name in rule.columns]
    says = np.append(each_told(rule, schema).ravel(), -1)
    sizes = [len(_levels(rule, types[i])) for i in places]
    told = says[_joint([_codes_by(rule, x, i, schema, mask) for i in places], sizes)]
    column, made = types[names.index(rule.column)], told.copy()
    for one, there, known in _far(rule, schema, x, mask):
        own = told == _place(column, one.said)
        made[own & there] = _place(column, one.instead) if one.sure else -1
        made[own & ~known] = -1
    return made


def _far(
    rule: Implied, schema: Schema, x: np.ndarray, mask: np.ndarray | None
) -> Iterator[tuple[But, Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]]:
    """What may stand in the place of what names say, the rows where its number lies there, and where it is known."""
    names, types = schema.names, schema.types or ()
    for one in rule.but:
        if one.other in names:
            k = names.index(one.other)
            value, near = types[k].low + np.asarray(x, np.float64)[:, k] * types[k].step, 0.5 * types[k].step
            known = np.ones(len(value), bool) if mask is None else np.asarray(mask)[:, k]
            yield one, known & (value >= one.end - near if one.above else value <= one.end + near), known


def each_told(rule: Implied, schema: Schema, *, sure: bool = False) -> Int[np.ndarray, "*names"]:
    """The place of what each name says, or each two; -1 where they say nothing."""
    # sure: -1 also where something else stands in their place here and there.
    unsure = {one.said for one in rule.but} if sure else set()
    names, types = schema.names, list(schema.types or ())
    levels = [_levels(rule, types[names.index(name)]) for name in rule.columns]
    column = types[names.index(rule.column)]
    says = np.full([len(own) for own in levels], -1)
    for *words, told in rule.pairs:
        if told not in unsure and all(word in own for word, own in zip(words, levels)):
            says[tuple(own.index(word) for word, own in zip(words, levels))] = _place(column, told)
    return says


def mended_by(rule: Implied, schema: Schema, x: np.ndarray, name: str) -> Bool[np.ndarray, " n"]:
    """The rows in which some other name of a column would say what stands there."""
    names = schema.names
    at, says = rule.columns.index(name), each_told(rule, schema)
    other = [_codes(x, names.index(one), schema, None) for one in rule.columns if one != name]
    sizes = np.delete(np.array(says.shape), at)
    known = np.all([code < size for code, size in zip(other, sizes)], axis=0) if other else np.ones(len(x), bool)
    rest = np.moveaxis(says, at, -1)[tuple(np.minimum(code, size - 1) for code, size in zip(other, sizes))]
    k = names.index(rule.column)
    return known & (np.broadcast_to(rest, (len(x), says.shape[at])) == _codes(x, k, schema, None)[:, None]).any(axis=1)


def codes_at(rule: Implied, schema: Schema, cells: np.ndarray) -> list[int]:
    """The places of the names, or the month, of one row that say the column."""
    names = schema.names
    return [int(_codes_by(rule, cells[None], names.index(name), schema, None)[0]) for name in rule.columns]


def broken_in(
    rules: Sequence[Implied], schema: Schema, x: np.ndarray, mask: np.ndarray | None = None
) -> Bool[np.ndarray, " n"]:
    """The rows that hold something else than a name says."""
    wrong, types = np.zeros(len(x), bool), schema.types or ()
    for rule, at, k in placed(rules, schema):
        want, have = told_by(rule, schema, x, mask), _codes(x, k, schema, mask)
        shown = have < (len(types[k].values) if types[k].named else types[k].size)
        wrong |= (want >= 0) & shown & (have != want)
        if rule.own:
            dated = _codes_by(rule, x, at[0], schema, mask) < len(DAYS)
            wrong |= (want < 0) & dated & np.isin(have, each_told(rule, schema)) & shown
        if unsure := [one for one in _far(rule, schema, x, mask) if not one[0].sure]:
            said = told_by(rule._replace(but=()), schema, x, mask)
            for one, there, _ in unsure:
                either = [_place(types[k], one.said), _place(types[k], one.instead)]
                wrong |= there & shown & (said == either[0]) & ~np.isin(have, either)
    return wrong


def ranges_in(rules: Sequence[Implied], schema: Schema) -> list[tuple[Implied, list[int], int]]:
    """The rules by which ranges of a number say names, and the places of their columns."""
    return [found for found in placed(rules, schema) if found[0].cuts]


def on_their_day(rule: Implied, schema: Schema, x: np.ndarray) -> np.ndarray:
    """Stored rows whose dates lie on the nearest day of the week that says what stands in the column."""
    i, k = (schema.names.index(name) for name in (rule.by, rule.column))
    one, says = (schema.types or ())[i], each_told(rule, schema)
    day, name = _codes_by(rule, x, i, schema, None), _codes(x, k, schema, None)
    unit = DAY / seconds_of(one)
    cell, moved = x[:, i].astype(np.float64), says[day] == name
    for shift in (1, -1, 2, -2, 3, -3):
        at = x[:, i] + shift * unit / one.step
        fits = ~moved & (says[(day + shift) % 7] == name) & (at >= 0) & (at < one.size) & (at % 1 == 0)
        cell, moved = np.where(fits, at, cell), moved | fits
    made = np.array(x)
    made[:, i] = cell
    return made


def numbers_in(rules: Sequence[Implied], schema: Schema) -> list[tuple[Implied, list[int], int]]:
    """The rules that say numbers, and the places of their columns."""
    return [found for found in placed(rules, schema) if not (schema.types or ())[found[2]].named]


def read(stored: Any) -> tuple[Implied, ...]:
    """The rules that a model file holds."""
    return rules_in(Implied, stored, _sound)


def _sound(rule: Implied) -> bool:
    """Whether there is a name of each column for what is said, and what says it is of one kind."""
    columns, parts = (rule.column, *rule.columns), rule.month + rule.weekday + bool(rule.cuts)
    if len(set(columns)) != len(columns) or (rule.third and not rule.also) or parts > 1 or (parts and rule.also):
        return False
    if not 1 <= len(rule.pairs) <= MOST_NAMES or any(len(pair) != len(columns) for pair in rule.pairs):
        return False
    if min(rule.rows, rule.broken) < 0 or len(rule.but) > MOST_NAMES or len(rule.cuts) > MOST_NUMBERS:
        return False
    rising = all(a < b for a, b in itertools.pairwise(rule.cuts))
    return not rule.cuts or (rising and not rule.but and len(rule.pairs) == len(rule.cuts) + 1)
