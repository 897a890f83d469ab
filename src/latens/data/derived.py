"""Derived columns: declared as an expression over others, held against the rows, and computed in every output."""

import ast
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from msgspec import Meta, Struct, structs

from latens.data.columns import ColumnType, FrameColumn, decimals_of, has_clock, recorded_step
from latens.data.named import Name
from latens.data.tables.dtypes import DAY, dtype_of, is_known, series_of
from latens.data.tables.times import number_of
from latens.errors import DataError, nearest

HOLDS, SHOWN, LONGEST = 0.99, 5, 300
"""Share of the rows in which a derived column must hold, rows that are named, and letters of an expression."""
_FIX = "Allowed: columns, numbers, 'dates' and 'spans', + - * / **, comparison, min, max, round and parentheses."
_BINARY = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power}
_ORDER: dict[type, Any] = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}
_ORDER |= {ast.Eq: np.equal, ast.NotEq: np.not_equal}


class Derived(Struct, frozen=True, forbid_unknown_fields=True):
    """A column that an expression gives."""

    name: Name
    expression: Annotated[str, Meta(min_length=1, max_length=LONGEST)]
    type: FrameColumn  # what its values are
    decimals: Annotated[int, Meta(ge=0, le=15)]  # of numbers
    place: Annotated[int, Meta(ge=0)] = 0  # where it stands among the columns that are written


class Value(NamedTuple):
    """Numbers, or dates in days since 1970; spans of time and times of the day are numbers of days."""

    of: np.ndarray
    date: bool = False


def definitions(given: Any) -> dict[str, str]:
    """The expressions by the names of their columns, of a mapping or of texts such as "total = count * price"."""
    texts = [f"{name}={text}" for name, text in given.items()] if isinstance(given, Mapping) else given or ()
    pairs = [(name.strip(" `"), text.strip()) for name, _, text in (str(one).partition("=") for one in texts)]
    for name, text in pairs:
        if not name or [other for other, _ in pairs].count(name) > 1:
            raise DataError(f"{name!r} is defined twice.", where="derive", fix='Write "total = count * price" once.')
        _parsed(text)
    return dict(pairs)


def _parsed(text: str) -> tuple[ast.expr, dict[str, str]]:
    """An expression as a tree, and the columns that its identifiers stand for; `a name` in backticks is one."""
    quoted: list[str] = re.findall(r"`([^`]+)`", text)
    for k, name in enumerate(quoted):
        text = text.replace(f"`{name}`", f"_quoted_{k}", 1)
    try:
        tree = ast.parse(text if len(text) <= LONGEST else "", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DataError(f"{text[:80]!r} is no expression.", where="derive", fix=_FIX) from None
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return tree, {name: quoted[int(name[8:])] if name.startswith("_quoted_") else name for name in names}


def needed(text: str) -> list[str]:
    """The columns that an expression is over."""
    return sorted(set(_parsed(text)[1].values()))


def evaluate(text: str, columns: Mapping[str, Value]) -> Value:
    """What an expression gives of columns; NaN where one of them is missing, or nothing is defined."""
    tree, names = _parsed(text)

    def of(node: ast.expr) -> Value:
        match node:
            case ast.Name(id=name) if name in names:
                return columns[names[name]]
            case ast.Constant(value=bool() | int() | float() as number):
                return Value(np.asarray(float(number)))
            case ast.Constant(value=str() as written):
                return _literal(written)
            case ast.UnaryOp(op=ast.USub(), operand=inner) if not of(inner).date:
                return Value(-of(inner).of)
            case ast.BinOp(left=first, op=op, right=second) if type(op) in _BINARY:
                a, b = of(first), of(second)
                dated = {ast.Add: a.date != b.date, ast.Sub: a.date and not b.date}.get(type(op), False)
                if not (a.date or b.date) or dated or (isinstance(op, ast.Sub) and a.date and b.date):
                    return Value(_BINARY[type(op)](a.of, b.of), dated)
            case ast.Compare(left=first, ops=[op], comparators=[second]) if type(op) in _ORDER:
                if (a := of(first)).date == (b := of(second)).date:
                    return Value(np.where(np.isnan(a.of) | np.isnan(b.of), np.nan, _ORDER[type(op)](a.of, b.of)))
            case ast.Call(func=ast.Name(id="min" | "max" as which), args=[_, _, *_] as inner, keywords=[]):
                several = [of(one) for one in inner]
                if len({one.date for one in several}) == 1:
                    values = np.stack(np.broadcast_arrays(*(one.of for one in several)))
                    return Value(values.min(axis=0) if which == "min" else values.max(axis=0), several[0].date)
            case ast.Call(func=ast.Name(id="round"), args=[inner, *digits], keywords=[]) if not of(inner).date:
                if not digits or (len(digits) == 1 and ast.unparse(digits[0]) in map(str, range(16))):
                    return Value(np.round(of(inner).of, int(ast.unparse(digits[0])) if digits else 0))
        raise DataError(f"{ast.unparse(node)[:60]!r} cannot be computed.", where="derive", fix=_FIX)

    with np.errstate(all="ignore"):
        found = of(tree)
    return Value(np.where(np.isfinite(found.of), found.of, np.nan), found.date)


def _literal(text: str) -> Value:
    """A date of ISO 8601, or a span such as "2 days"."""
    for dtype in ("Datetime[us]", "Duration[us]"):
        with suppress(ValueError):
            return Value(np.asarray(number_of(text, dtype) / DAY), dtype.startswith("Date"))
    raise DataError(f"{text[:40]!r} is no date and no span.", where="derive", fix=_FIX)


def in_turn(said: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """The derived columns, each after those that it is computed of."""
    for name in [*said, *(name for text in said.values() for name in needed(text))]:
        if name not in columns:
            raise DataError(f"there is no column {name!r}.", where="derive", fix=nearest(name, columns))
    try:
        order = TopologicalSorter({name: needed(text) for name, text in said.items()}).static_order()
        return [name for name in order if name in said]
    except CycleError as error:
        what = f"the columns {', '.join(map(repr, dict.fromkeys(error.args[1])))} are derived of each other."
        raise DataError(what, where="derive", fix="Leave one of them out.") from None


def _days(one: ColumnType | FrameColumn) -> float:
    """How many days a unit is in which a date or a duration is stored; 1 of a number."""
    whole = one.kind == "date" and (one.dtype == "Date" or (one.form and not has_clock(one.form)))
    return 1.0 if whole or one.kind not in ("date", "duration") else 1 / DAY


def _is_date(one: ColumnType | FrameColumn) -> bool:
    return one.kind == "date" and one.dtype != "Time"


def _value(one: ColumnType | FrameColumn, numbers: Float[np.ndarray, " n"]) -> Value:
    """The cells of a column, in its unit or codes of truth values, as an expression has them."""
    if one.kind in ("category", "ordinal"):
        truth = np.append(np.array(one.values) == "True", False)
        numbers = np.where(np.isnan(numbers), np.nan, truth[np.nan_to_num(numbers, nan=-1).astype(int)])
    return Value(numbers * _days(one), _is_date(one))


def _in_units(found: Value, one: ColumnType | FrameColumn) -> Float[np.ndarray, " n"]:
    """What an expression gave, in the units of its column: the day of a time, where that has days."""
    return np.floor(found.of + 1e-9) if one.kind == "date" and _days(one) == 1 else found.of / _days(one)


def apart(
    said: Mapping[str, str], names: Sequence[str], x: Any, kinds: Mapping[int, FrameColumn], called: Any, where: str
) -> tuple[list[Derived], tuple[str, ...]]:
    """The derived columns of a table, held against its rows, and a sentence on each."""
    # x: numbers, codes of names, NaN where a cell is missing; called: what a reader calls each row.
    places = [i for i, _ in enumerate(names if said else ()) if not kinds[i].named or kinds[i].dtype == "Boolean"]
    values, made, notes = {names[i]: _value(kinds[i], x[:, i]) for i in places}, list[Derived](), []
    for name in in_turn(said, names):
        if lacking := [one for one in (name, *needed(said[name])) if one not in values]:
            what = f"column {lacking[0]!r} holds names, of which nothing is computed."
            raise DataError(what, where=where, fix="Leave it out of derived columns.")
        one, found = kinds[names.index(name)], evaluate(said[name], values)
        if found.date != values[name].date:
            what = f"{said[name]!r} gives {'dates' if found.date else 'numbers'}, unlike column {name!r}."
            raise DataError(what, where=where, fix="Change the expression.")
        given = _in_units(values[name], one)
        told, seen = np.broadcast_to(_in_units(found, one), given.shape), given[np.isfinite(given)]
        step = min(recorded_step(seen), 1.0) if one.kind == "number" and len(seen) else float(not one.named)
        there = np.isfinite(given) & np.isfinite(told)
        wrong = np.flatnonzero(there & ~(np.abs(given - told) <= 0.5 * step * (1 + 1e-6) + 1e-9 * np.abs(given)))
        count, some = int(there.sum()), ", ".join(str(called[row]) for row in wrong[:SHOWN].tolist())
        words = f"{name} = {said[name]} holds in {count - len(wrong):,} of {count:,} rows"
        words += f", not in {some}{', ...' * (len(wrong) > SHOWN)}" if len(wrong) else ""
        if count - len(wrong) < HOLDS * count or not count:
            fix = f"Mend the rows or the expression, or leave {name!r} to the model: no --derive (derive=) of it."
            raise DataError(f"{words}; in {HOLDS:.0%} it must.", where=where, fix=fix)
        made.append(Derived(name, said[name], one, decimals_of(step) if one.kind == "number" else 0))
        notes.append(f"Column {name!r} is computed, and not modelled: {words}.")
    return made, tuple(notes)


def with_derived(schema: Any, made: Sequence[Derived], every: Sequence[str], where: str) -> Any:
    """A schema with its derived columns, of which each has its place among those that are written."""
    if not made:
        return schema
    order = [name for name in every if name in schema.names or name in [one.name for one in made]]
    derived = tuple(structs.replace(one, place=order.index(one.name)) for one in made)
    if wrong := check_derived(derived, schema.names, schema.types):
        raise DataError(f"{wrong}.", where=where, fix="Compute it of columns that the model has.")
    return structs.replace(schema, derived=derived)


def check_derived(derived: Sequence[Derived], names: Sequence[str], types: Sequence[ColumnType]) -> str:
    """What is wrong with derived columns, each of which is computed of modelled ones and of those before it."""
    own = [(name, one) for name, one in zip(names, types) if not one.named or one.dtype == "Boolean"]
    known = {name: _value(one, np.zeros(1)) for name, one in own}
    for one in derived:
        try:
            found = evaluate(one.expression, known)
        except KeyError as error:
            return f"column {one.name!r} is computed of {error}, which the model does not have"
        except DataError as error:
            return error.message.rstrip(".")
        if one.name in (*names, *known) or not is_known(one.type.dtype) or found.date != _is_date(one.type):
            return f"column {one.name!r} is there twice, or of another kind than its expression"
        known[one.name] = found
    return ""


def with_computed(frame: pl.DataFrame, schema: Any, x: Float[np.ndarray, "n c"], beyond: Any = None) -> pl.DataFrame:
    """A frame of stored rows with its derived columns where they stood; null where an input is missing."""
    # beyond: by how many steps of its grid each cell is beyond what is stored, of shape (n, columns).
    values = dict[str, Value]()
    for i, (name, one) in enumerate(zip(schema.names, schema.types) if schema.derived else ()):
        cells = np.clip(np.round(x[:, i]), 0, max(one.cells, 1) - 1)
        more = 0.0 if beyond is None or one.named else beyond[:, i] * one.step
        values[name] = _value(one, cells if one.named else one.value(cells) + more)
    made = dict[str, tuple[int, pl.Series]]()
    for own in schema.derived or ():
        one, found = own.type, evaluate(own.expression, values)
        numbers = np.broadcast_to(_in_units(found, one), len(x))
        numbers = np.round(numbers, own.decimals) if one.kind == "number" else numbers
        values[own.name] = Value(numbers * _days(one), found.date)
        series = series_of(numbers, one.dtype if not one.form else "Date" if _days(one) == 1 else "Datetime[us]")
        written = series.dt.strftime(one.form).cast(dtype_of(one.dtype), strict=False) if one.form else series
        made[own.name] = own.place, written.alias(own.name)
    for place, series in sorted(made.values(), key=lambda one: one[0]):
        frame = frame.insert_column(place, series)
    return frame


def hidden_in(frame: Any, made: pl.DataFrame, schema: Any, hidden: np.ndarray) -> np.ndarray:
    """The gaps of a frame that came, for each column of what fills them; of derived columns the cells that it lacks."""
    own = dict(zip(schema.names, hidden.T))
    for one in schema.derived or ():
        found = frame[one.name] if one.name in frame.columns else np.zeros(len(frame))
        own[one.name] = np.asarray(found.is_null() if isinstance(found, pl.Series) else found != found)
    return np.stack([own[name] for name in made.columns], axis=1)
