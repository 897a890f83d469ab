"""What holds in nearly all rows of a table: found once, and kept by the model file, by samples and by filled cells."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from latens.data import (
    apart,
    effects,
    equations,
    found_effects,
    found_equations,
    gaps,
    hours,
    implied,
    inapplicable,
    lines,
    month_days,
    ordered,
    ranges,
    rates,
    weekdays,
    within,
)
from latens.data.dataset import Dataset
from latens.data.schema import Schema

LEAST_BEYOND = 3
"""Rows with the same other value than names say that may lie beyond the others."""
RULES = {
    "inapplicable": inapplicable.found_in,
    "ordered": ordered.found_in,
    "pending": ordered.pending_in,
    "gaps": gaps.found_in,
    "equations": found_equations.found_in,
    "rates": rates.found_in,
    "implied": implied.found_in,
    "weekdays": weekdays.found_in,
    "weekday_shares": weekdays.shares_in,
    "month_days": month_days.found_in,
    "hours": hours.found_in,
    "within": within.found_in,
    "apart": apart.found_in,
}
"""What looks for a kind of rule, by the name that it has in the model file."""


def rules_of(data: Dataset) -> dict[str, list[list[Any]]]:
    """Find the rules of the rows of a table, as a model file holds them."""
    found = {name: of(data) for name, of in RULES.items() if name not in ("equations", "rates", "implied")}
    found |= dict(zip(("equations", "rates"), exact := numbers_of(data)))
    found["implied"] = said_of(data, _broken_numbers(data, *exact))
    # Names that a range of a number says are drawn all the same: this is drawn by them.
    named = [one for one in found["implied"] if not one.cuts]
    given = {one.target: one.columns for one in (*chain(*exact), *named)}
    found["lines"] = lines.found_in(data, given)
    found["effects"] = found_effects.found_in(data, given, found["lines"])
    return {name: [list(rule) for rule in rules] for name, rules in found.items() if rules}


def numbers_of(data: Dataset) -> tuple[tuple[equations.Equation, ...], tuple[rates.Rate, ...]]:
    """The equations and rates of a table, each column given by one of them."""
    # price = total - extra, where the price has a rate: the total is computed from it, not the other way round.
    # A length by its growth a day has as many rates as there are numbers of days, which the equation of all three says.
    every = RULES["equations"](data)
    bound = [{one.target, *one.columns} for one in every if one.factor]
    rated = [one for one in RULES["rates"](data) if not any({one.target, *one.bases} < own for own in bound)]
    exact = equations.turned(every, {one.target: one.base for one in rated})
    given = {one.target for one in exact}
    return exact, tuple(one for one in rated if one.target not in given)


def broken_rules(
    data: Dataset, of: Dataset | None = None
) -> list[tuple[equations.Equation | rates.Rate | implied.Implied, np.ndarray]]:
    """What gives a column of a table in nearly all rows, and the rows in which it does not."""
    # of: the same rows without some cells, which say the rules; None: the data do.
    of = data if of is None else of
    exact = numbers_of(of)
    found: list[Any] = _broken_numbers(data, *exact)
    said = said_of(of, found if of is data else _broken_numbers(of, *exact))
    return found + [(one, implied.broken_in([one], data.schema, weekdays.on_own_days(data), data.mask)) for one in said]


def _broken_numbers(
    data: Dataset, exact: Sequence[equations.Equation], rated: Sequence[rates.Rate]
) -> list[tuple[equations.Equation | rates.Rate, np.ndarray]]:
    """The equations and rates of a table, and the rows that break each."""
    schema, x, mask = data.schema, data.x, data.mask
    cells = equations.numbers(x, schema, mask, data.outside) if exact else np.zeros((0, 0))
    names = schema.names
    found: list[Any] = [(one, equations.broken_by(one, names, cells)) for one in exact]
    return found + [(one, rates.broken_in(one, schema, x, mask, data.outside)) for one in rated]


def said_of(
    data: Dataset, numbers: Sequence[tuple[equations.Equation | rates.Rate, np.ndarray]]
) -> tuple[implied.Implied, ...]:
    """The columns that names say, with what stands there instead where another number lies beyond the others."""
    schema, x, mask, made = data.schema, data.x, data.mask, []
    names, days = schema.names, weekdays.on_own_days(data) if schema.types else x
    said = implied.found_in(data)
    said = (*said, *ranges.found_in(data, said, {rule.target: rule.columns for rule, _ in numbers}))
    cells = equations.numbers(x, schema, mask, data.outside) if said else np.zeros((0, 0))
    sound = ~np.any([wrong for _, wrong in numbers], axis=0) if numbers else np.ones(len(cells), bool)
    for one in said:
        bound = {name for rule, _ in numbers if one.column in (own := {rule.target, *rule.columns}) for name in own}
        types = schema.types or ()
        free = [k for k, name in enumerate(names)
                if types[k].kind == "number" and name not in (bound | {one.column, *one.columns})]  # fmt: skip
        if one.cuts:
            made.append(one)
            continue
        wrong, told = implied.broken_in([one], schema, days, mask), implied.told_by(one, schema, days, mask)
        place = np.round(np.asarray(x)[:, names.index(one.column)]).astype(int)
        but = tuple(_beyond({names[k]: cells[:, k] for k in free}, place, told, wrong, sound, one.text_in(schema)))
        one = one._replace(but=but)
        made.append(one._replace(broken=int(np.count_nonzero(implied.broken_in([one], schema, days, mask)))))
    return tuple(made)


def _beyond(
    columns: Mapping[str, np.ndarray],
    target: np.ndarray,
    said: np.ndarray,
    wrong: np.ndarray,
    sound: np.ndarray,
    text_of: Callable[[int], str],
) -> Iterator[implied.But]:
    """What stands in the place of what names say in rows that lie beyond the others in some number: a discount."""
    # columns: numbers that the target is not computed with; sound: rows whose totals add up, as in others the number
    # may be wrong. Where more than a third as many usual rows lie there, the value may be wrong.
    for value in np.unique(target[wrong]).tolist():
        rows = wrong & sound & (target == value)
        usual = ~wrong & sound & np.isin(said, said[rows])  # with the same names, or others that say the same
        count = np.count_nonzero(rows)
        if count < LEAST_BEYOND or value in said:  # what another name says is that of a wrong name
            continue
        ends = []
        for name, column in columns.items():
            if np.isfinite(column[rows]).all():
                low, high = float(column[rows].min()), float(column[rows].max())
                ends += [(int((usual & (column >= low)).sum()), len(np.unique(column)), name, low, True)]
                ends += [(int((usual & (column <= high)).sum()), len(np.unique(column)), name, high, False)]
        others, _, name, end, above = min(ends, default=(count, 0, "", 0.0, True))
        if others <= count / 3:
            for own in np.unique(said[rows]).tolist():
                yield implied.But(text_of(own), text_of(value), name, end, above, others == 0)


def _refuted(
    rule: implied.Implied, exact: Sequence[equations.Equation], schema: Schema, cells: np.ndarray, told: np.ndarray
) -> np.ndarray:
    """The rows in which an equation holds with what stands there, and not with what the names say."""
    names, found = schema.names, np.zeros(len(cells), bool)
    k = names.index(rule.column)
    one = (schema.types or ())[k]
    if one.named:
        return found
    instead = cells.copy()
    instead[:, k] = np.where(told >= 0, one.low + told * one.step, np.nan)
    for each in exact:
        if rule.column in (each.target, *each.columns):
            found |= ~equations.broken_by(each, names, cells) & equations.broken_by(each, names, instead)
    return found


def in_words(rule: equations.Equation | rates.Rate | implied.Implied, schema: Schema) -> str:
    """What gives a column, as it stands in a sentence after "is"."""
    return rule.words_in(schema) if isinstance(rule, implied.Implied) else rule.words


def broken_in(facts: Mapping[str, Any], schema: Schema, x: np.ndarray) -> np.ndarray:
    """Which stored new rows break the order of dates, days of the week, names that go together or their ranges."""
    there = _applying(facts, schema, x)
    wrong = ordered.broken_in(ordered.read(facts.get("ordered")), schema, x, there)
    wrong |= weekdays.broken_in(weekdays.read(facts.get("weekdays")), schema, x, there).any(axis=1)
    wrong |= within.broken_in(within.read(facts.get("within")), schema, x, there)
    wrong |= apart.broken_in(apart.read(facts.get("apart")), schema, x, there)
    return wrong | implied.broken_in(implied.read(facts.get("implied")), schema, x, there)


def unsolved_in(facts: Mapping[str, Any], schema: Schema, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Which stored rows break a rule of `broken_in`, or an equation of which a cell was hidden."""
    names, wrong = schema.names, broken_in(facts, schema, x)
    exact = equations.placed(equations.read(facts.get("equations")), schema)
    cells = equations.numbers(x, schema) if exact else x
    for one in exact:
        free = hidden[:, [names.index(name) for name in (one.target, *one.columns)]].any(axis=1)
        wrong |= free & equations.broken_by(one, names, cells)
    return wrong


def _applying(facts: Mapping[str, Any], schema: Schema, x: np.ndarray) -> np.ndarray:
    """The cells of new rows that are written: others stay empty, and neither break a rule nor say anything."""
    return ~inapplicable.cells_of(inapplicable.read(facts.get("inapplicable")), schema, x)


def left_empty(facts: Mapping[str, Any], schema: Schema, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The hidden cells of rows that do not apply there, or whose date may not have come yet."""
    blank = inapplicable.cells_of(inapplicable.read(facts.get("inapplicable")), schema, x)
    return hidden & (blank | ordered.cells_to_come(ordered.read_pending(facts.get("pending")), schema, x, ~hidden))


def placed(
    facts: Mapping[str, Any], schema: Schema, *, names: bool = False
) -> list[equations.Equation | rates.Rate | implied.Implied]:
    """What gives the numbers of columns that a table has: equations, rates and names; names: what gives names too."""
    exact = equations.placed(equations.read(facts.get("equations")), schema)
    said = implied.placed if names else implied.numbers_in
    named = [rule for rule, *_ in said(implied.read(facts.get("implied")), schema)]
    return [*exact, *rates.placed(rates.read(facts.get("rates")), schema), *named]


def tied_in(facts: Mapping[str, Any], schema: Schema) -> list[set[str]]:
    """The columns of each equation of a table: they go together because one of them is computed."""
    return [{one.target, *one.columns} for one in equations.placed(equations.read(facts.get("equations")), schema)]


def computed_in(facts: Mapping[str, Any], schema: Schema) -> set[str]:
    """The columns that a reader takes for computed of others: of a date and the days until it that is the date."""
    kinds = {name: one.kind for name, one in zip(schema.names, schema.types or ())}
    found = set[str]()
    for one in placed(facts, schema):
        dated = {kinds[name] for name in one.columns} <= {"date", "duration"}
        found |= {*one.columns} if dated and len({*one.columns}) == 1 else {one.target}
    return found


def near_in(facts: Mapping[str, Any], schema: Schema) -> list[lines.Line | effects.Effects]:
    """What says about where numbers of columns that a table has lie: lines, and effects of several columns."""
    near = lines.placed(lines.read(facts.get("lines")), schema)
    return [*near, *effects.placed(effects.read(facts.get("effects")), schema)]


def results_of(facts: Mapping[str, Any], schema: Schema, target: str) -> set[str]:
    """A column, and all that is computed of it, lies along a line by it or is drawn by it, however many steps after."""
    after = {target}
    rules = [(one.columns, {one.target, *getattr(one, "of", ())}) for one in near_in(facts, schema)]
    rules += [(one.columns, {one.target}) for one in placed(facts, schema)]
    while more := set[str]().union(*(made for columns, made in rules if after & {*columns})) - after:
        after |= more
    return after


def ends_near(
    facts: Mapping[str, Any],
    schema: Schema,
    x: np.ndarray,
    hidden: np.ndarray,
    quantiles: Sequence[float],
    outside: np.ndarray | None = None,
) -> np.ndarray:
    """What hidden cells are at quantiles where known cells say about where they lie; NaN elsewhere."""
    # outside: how far beyond the training rows each known cell lies.
    x = x if outside is None else x + np.where(hidden, 0.0, outside)
    along = lines.told(lines.read(facts.get("lines")), schema, x, hidden, quantiles)
    about = effects.told(effects.read(facts.get("effects")), schema, x, hidden, quantiles)
    return np.where(np.isfinite(along), along, about)


def computed(
    facts: Mapping[str, Any],
    schema: Schema,
    x: np.ndarray,
    asked: Callable[[str], bool] = lambda name: False,
    rng: np.random.Generator | None = None,
    bounded: Callable[[str], bool] = lambda name: False,
    usual: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Stored new rows whose columns that others give are computed; and which have one beyond its grid, that stays."""
    # Rates first, as a total may be of their target; before them what they are upon. asked: columns that stay;
    # bounded: those that a line leaves as they are; usual: rows without conditions, among which x is ranked.
    rated = [one for one in rates.read(facts.get("rates")) if not asked(one.target)]
    exact = equations.free_for(equations.read(facts.get("equations")), asked, {one.target for one in rated})
    x = np.array(x)
    days = month_days.read(facts.get("month_days"))
    x = month_days.moved(days, schema, x, np.broadcast_to([not asked(name) for name in schema.names], x.shape))
    for rule, *_ in implied.placed(implied.read(facts.get("implied")), schema):
        x = implied.on_their_day(rule, schema, x) if rule.weekday and not asked(rule.by) else x
    near, some = lines.read(facts.get("lines")), effects.read(facts.get("effects"))
    open_ = np.array([not (asked(name) or bounded(name)) for name in schema.names], bool)
    open_ = np.broadcast_to(open_, x.shape)
    # What the range of a number says is known once this is: a material by its density after the mass.
    late = {name for one in some for name in (one.target, *one.of)}
    settled = lambda rows: _settled(facts, schema, rows, exact, rated, asked, some, late)[0]  # noqa: E731
    # What is near a line moves after what says this by its effects, and before what it says itself.
    first = [one for one in some if not effects.above(one, some) & {line.target for line in near}]
    if first:
        x = effects.moved(first, schema, x, open_, rng, usual, settled).astype(x.dtype)
    if near:
        x = lines.moved(near, schema, x, open_, rng, usual).astype(x.dtype)
    if len(first) < len(some):
        others = [one for one in some if one not in first]
        x = effects.moved(others, schema, x, open_, rng, usual, settled).astype(x.dtype)
    return _settled(facts, schema, x, exact, rated, asked, some)


def _settled(
    facts: Mapping[str, Any],
    schema: Schema,
    x: np.ndarray,
    exact: Sequence[equations.Equation],
    rated: Sequence[rates.Rate],
    asked: Callable[[str], bool],
    some: Sequence[effects.Effects],
    late: Collection[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Stored rows with what others give exactly, but by ranges of late numbers; and which have one beyond its grid."""
    # An angle follows the height that other columns know, but where a sum of effects says it.
    said = {one.target for one in some}
    x, stays = np.array(x), lambda name: asked(name) or name in said
    for rule, _, k in implied.numbers_in(implied.read(facts.get("implied")), schema):
        told = implied.told_by(rule, schema, x)
        x[:, k] = np.where((told >= 0) & (not asked(rule.target)), told, x[:, k])
    x, beyond = equations.computed(exact, schema, x, stays)
    # A part of a total is computed after the total, and this after the prices that it sums: again until nothing moves.
    for _ in rated:
        before = x
        x, far = rates.computed(rated, schema, x)
        x, beyond = equations.computed(exact, schema, x, stays)
        beyond |= far
        if np.array_equal(before, x, equal_nan=True):
            break
    for rule, _, k in implied.ranges_in(implied.read(facts.get("implied")), schema):
        if rule.by not in late:
            told = implied.told_by(rule, schema, x, _applying(facts, schema, x))
            x[:, k] = np.where((told >= 0) & (not asked(rule.target)), told, x[:, k])
    return x, beyond


def solved(
    facts: Mapping[str, Any],
    schema: Schema,
    x: np.ndarray,
    hidden: np.ndarray,
    rng: np.random.Generator | None = None,
    outside: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Stored rows whose hidden cells keep equations, rates and lines; and where a cell follows from known ones."""
    # outside: how far beyond the training rows each known cell lies: a total is of what is there.
    beyond = np.zeros(hidden.shape) if outside is None else np.where(hidden, 0.0, outside)
    first = x + beyond
    x, sure = _solved(facts, schema, first, hidden)
    if near := lines.read(facts.get("lines")):
        (told,) = lines.told(near, schema, x, hidden & ~sure, (0.5,), rng)
        x, open_ = np.where(np.isfinite(told), told, x), hidden & ~sure & np.isnan(told)
        x, _ = _solved(facts, schema, lines.moved(near, schema, x, open_, rng), hidden)
    if some := effects.read(facts.get("effects")):
        (told,) = effects.told(some, schema, x, hidden & ~sure, (0.5,), rng)
        x, open_ = np.where(np.isfinite(told), told, x), hidden & ~sure & np.isnan(told)
        settled = lambda rows: _solved(facts, schema, rows, hidden)[0]  # noqa: E731
        x = effects.moved(some, schema, x, open_, rng, settled=settled)
        # What is computed of them anew and lies beyond its grid is as the model filled it.
        near = {name for one in near_in(facts, schema) for name in (one.target, *one.columns)}
        x = settled(np.where(hidden & ~sure & ~np.isin(schema.names, [*near]), first, x))
    return x - beyond, sure


def filled(
    facts: Mapping[str, Any],
    schema: Schema,
    made: np.ndarray,
    x: np.ndarray,
    hidden: np.ndarray,
    draw: int | None = None,
    outside: np.ndarray | None = None,
) -> np.ndarray:
    """Stored rows with fillings in their hidden cells that keep the rules; draw: the number of a draw, None of none."""
    rng = None if draw is None else np.random.default_rng(draw)
    return solved(facts, schema, np.where(hidden, made, x), hidden, rng, outside)[0]


def _solved(
    facts: Mapping[str, Any], schema: Schema, x: np.ndarray, hidden: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same without lines."""
    exact, named = equations.read(facts.get("equations")), np.zeros(hidden.shape, bool)
    x = np.array(x, np.float64)
    said = implied.placed(implied.read(facts.get("implied")), schema)
    known, given, _ = equations.solved(exact, schema, x, hidden) if said and exact else (x, np.zeros_like(named), None)
    for rule, _, k in said:
        told = implied.told_by(rule, schema, x, ~hidden)
        takes = hidden[:, k] & (told >= 0)
        if (both := takes & given[:, k]).any():  # a discount that known totals give, and not the usual one
            cells = equations.numbers(known[both], schema)
            takes[both] = ~_refuted(rule, exact, schema, cells, told[both])
        named[:, k] |= takes
        x[:, k] = np.where(takes, told, x[:, k])
    x = month_days.moved(month_days.read(facts.get("month_days")), schema, x, hidden & ~named)
    x, sure, _ = equations.solved(exact, schema, x, hidden & ~named)
    sure |= named
    for rule in rates.placed(rates.read(facts.get("rates")), schema):
        x, own = rates.filled(rule, schema, x, hidden & ~sure)
        sure |= own
        x, own, _ = equations.solved(exact, schema, x, hidden & ~sure)
        sure |= own
    for rule, by, k in said:
        if rule.weekday:  # a filled date lies on the day that its name says
            moves = hidden[:, by[0]] & ~hidden[:, k]
            x = np.where(moves[:, None], implied.on_their_day(rule, schema, x), x)
    for rule, by, k in implied.ranges_in(implied.read(facts.get("implied")), schema):
        takes = hidden[:, k] & (~hidden[:, by[0]] | sure[:, by[0]])
        x[:, k] = np.where(hidden[:, k], implied.told_by(rule, schema, x), x[:, k])
        sure[:, k] |= takes
    return x, sure
