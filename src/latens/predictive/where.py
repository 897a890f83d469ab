"""Conditions on the columns of a mixed table: which cells a row may have."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest
from latens.kinds import kind_of
from latens.kinds.tables.columns import ColumnType, unknown_category
from latens.kinds.tables.dtypes import DAY, DAY_ONLY, number_of
from latens.typing import checked_later

_OPERATOR = re.compile(r">=|<=|=|>|<")


class Conditions(NamedTuple):
    """The cells that rows of a mixed table may have: of each column a range of stored cells."""

    low: np.ndarray  # the first cell of each column, of shape (columns,)
    high: np.ndarray  # the last one, likewise; infinite where nothing is asked


@checked_later
def conditions_of(given: Mapping[str, Any], schema: Schema, where: str = "given") -> Conditions:
    """Turn values and ranges of columns into stored cells."""
    # given: of each column a value, or a pair of the least and the largest one; None in a pair has no bound.
    if not isinstance(given, Mapping):
        what = f"{given!r:.100} is not a mapping of columns to values."
        raise DataError(what, where=where, fix='Give for example {"city": "Lyon", "age": (30, 40)}.')
    asked = []
    for name, value in given.items():
        kind = _kind_of(name, schema, where)
        if not isinstance(value, tuple):
            asked.append((name, *_cells(value, kind, name, where)))
            continue
        if kind.kind == "category" or len(value) != 2:
            what = f"column {name!r} has no range {value!r}."
            raise DataError(what, where=where, fix="Give a category; for a number or a date (least, largest).")
        low, high = (_place(bound, kind, name, where, last=last) for bound, last in zip(value, (False, True)))
        first = 0.0 if value[0] is None else np.ceil(low - 1e-6)
        last = kind.cells - 1.0 if value[1] is None else np.floor(high + 1e-6)
        asked.append((name, max(first, 0.0), min(last, kind.cells - 1.0)))
    return _joined(asked, schema, where)


def parse_conditions(texts: Sequence[str], schema: Schema, where: str = "--where") -> Conditions:
    """Read conditions as they are typed: COLUMN=VALUE, COLUMN=A..B, and COLUMN with >=, <=, > or < before a value."""
    names = schema.names
    asked = []
    for text in texts:
        own = max((name for name in names if text.startswith(name) and _OPERATOR.match(text, len(name))),
                  key=len, default=None)  # fmt: skip
        found = _OPERATOR.search(text) if own is None else _OPERATOR.match(text, len(own))
        if found is None:
            fix = "Write COLUMN=VALUE, COLUMN=A..B, or COLUMN>=VALUE (also <=, >, <), in quotes."
            raise UsageError(f"{text!r} is not a condition.", where=where, fix=fix)
        name, value, sign = text[: found.start()], text[found.end() :], found[0]
        kind = _kind_of(name, schema, where)
        if sign == "=" and (kind.kind == "category" or value in kind.values or ".." not in value):
            asked.append((name, *_cells(value, kind, name, where)))
            continue
        if kind.kind == "category":
            what = f"column {name!r} contains categories, which have no order: {text!r}."
            raise DataError(what, where=where, fix=f"Ask for one of them, as {name}={kind.values[0]}.")
        if sign == "=":
            given = tuple(part.strip() or None for part in value.split("..", 1))
            one = conditions_of({name: given}, schema, where)
            place = names.index(name)
            asked.append((name, float(one.low[place]), float(one.high[place])))
            continue
        edge = _place(value, kind, name, where, last=sign in ("<=", ">"))
        if sign[0] == ">":
            first = np.ceil(edge - 1e-6) if sign == ">=" else np.floor(edge + 1e-6) + 1.0
            asked.append((name, max(first, 0.0), kind.cells - 1.0))
        else:
            last = np.floor(edge + 1e-6) if sign == "<=" else np.ceil(edge - 1e-6) - 1.0
            asked.append((name, 0.0, min(last, kind.cells - 1.0)))
    return _joined(asked, schema, where, texts)


def _joined(
    asked: Sequence[tuple[str, float, float]], schema: Schema, where: str, texts: Sequence[str] = ()
) -> Conditions:
    """All of these at once; texts: what was typed."""
    names = schema.names
    low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    for name, first, last in asked:
        place = names.index(name)
        low[place], high[place] = max(low[place], first), min(high[place], last)
        if low[place] > high[place]:
            typed = [repr(text) for text in texts if text.startswith(name)]
            said = f" ({' and '.join(typed)})" if typed else ""
            why = "the conditions exclude one another, or every training row"
            what = f"no row can have column {name!r} so{said}: {why}."
            kind = schema.column_types[place]
            span = "" if kind.named else " to ".join(kind.texts(np.array([0, kind.size - 1])))
            raise DataError(what, where=where, fix=f"The training rows have {span}." if span else "Ask for one name.")
    return Conditions(low, high)


@checked_later
def _kind_of(name: str, schema: Schema, where: str) -> ColumnType:
    kind_of(schema).refuse("types", where, DataError)
    names = schema.names
    if name not in names:
        hint = nearest(str(name), names) if len(names) <= 1000 else ""
        if name in [one.name for one in schema.derived or ()]:
            hint = "It is derived: ask for the columns that it is computed of."
        raise DataError(f"there is no column {name!r} in the model.", where=where, fix=hint)
    return schema.column_types[names.index(name)]


def _cells(value: object, kind: ColumnType, name: str, where: str) -> tuple[float, float]:
    """The first and the last stored cell of one value, which a row can have: of a day with times all of them."""
    if _is_day(value, kind):
        first, last = (_place(value, kind, name, where, last=last) for last in (False, True))
        return max(float(np.ceil(first - 1e-6)), 0.0), min(float(np.floor(last + 1e-6)), kind.cells - 1.0)
    cell = _cell(value, kind, name, where)
    return cell, cell


def _is_day(value: object, kind: ColumnType) -> bool:
    """Whether a value is a date without a time, of a column that has times."""
    return kind.kind == "date" and not kind.days and kind.dtype != "Time" and DAY_ONLY.match(str(value)) is not None


def _cell(value: object, kind: ColumnType, name: str, where: str) -> float:
    """The stored cell of one value, which a row can have."""
    if kind.named:
        return _place(value, kind, name, where)
    place = _place(value, kind, name, where)
    if abs(place - round(place)) > 1e-3:
        unit = "" if kind.kind == "number" else " days" if kind.days else " seconds"
        step = f"{kind.step:g}{unit}"
        what = f"column {name!r} is recorded in steps of {step}, which {value} is not."
        raise DataError(what, where=where, fix="Round it, or ask for a range.")
    if not 0 <= round(place) < kind.cells:
        first, last = kind.texts(np.array([0, kind.size - 1]))
        what = f"column {name!r} cannot be {value}: its training rows lie between {first} and {last}."
        raise DataError(what, where=where, fix="Ask for a value between them; beyond, the model gives probability 0.")
    return float(round(place))


def _place(value: Any, kind: ColumnType, name: str, where: str, *, last: bool = False) -> float:
    """Where a value lies on a column's grid; a fraction between two cells; NaN for None."""
    # last: of a day of a column with times its last second, else its first one.
    if value is None:
        return np.nan
    day = _is_day(value, kind)
    if kind.named:
        text = str(value)
        if set(kind.values) <= {"False", "True"}:  # files write Booleans in small letters
            text = text.capitalize()
        if text not in kind.values:
            raise unknown_category(text, name, kind.values, where, cell=False)
        return float(kind.values.index(text))
    try:
        dtype = "Datetime[us]" if kind.form else kind.dtype
        number = float(value) if kind.kind == "number" else number_of(str(value), dtype, days=kind.days)
        if not np.isfinite(number):
            raise ValueError
        number += DAY - 1 if day and last else 0
    except ValueError:
        what = f"column {name!r} holds {kind.kind}s, which {str(value)[:40]!r} is not."
        day = kind.texts(np.array([kind.size // 2]))[0] if kind.kind == "date" else ""
        examples = {"date": f"it as {day}", "duration": 'it as "26.5 hours" or "1 days 02:30:00"'}
        fix = f"Write {examples.get(kind.kind, 'a plain number')}."
        raise DataError(what, where=where, fix=fix) from None
    return float(kind.place(np.array(number)))
