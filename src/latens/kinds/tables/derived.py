"""Derived columns: declared as an expression over others, held against the rows, and computed in every output."""

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
from msgspec import Meta, Struct, structs

from latens.data.columns_and_conditions import Name
from latens.errors import DataError, nearest
from latens.kinds.tables import LEFT_OUT as LEFT_OUT
from latens.kinds.tables.columns import (
    MOST_CATEGORIES,
    ColumnType,
    FrameColumn,
    check_types,
    decimals_of,
    recorded_step,
)
from latens.kinds.tables.dtypes import DAY, is_zone, number_of
from latens.kinds.tables.frame import Frame

if TYPE_CHECKING:
    from latens.data.schema import Schema


HOLDS, SHOWN, LONGEST = 0.99, 5, 300  # share of rows that must hold, rows that are named, letters of an expression
_FIX = (
    "Allowed: columns (`in backticks` where a name has blanks), numbers, 'dates' and 'spans', + - * / **, comparison, "
    "min, max, round and parentheses."
)
_SPAN, _EPOCH = np.timedelta64(1, "D"), np.datetime64(0, "us")
_HOW: dict[str, Callable[..., np.ndarray]] = {  # all that may be computed, in the words of Python's `ast`
    "BinOp Add": np.add, "BinOp Sub": np.subtract, "BinOp Mult": np.multiply, "BinOp Div": np.divide,
    "BinOp Pow": np.power, "UnaryOp USub": np.negative, "Compare Eq": np.equal, "Compare NotEq": np.not_equal,
    "Compare Lt": np.less, "Compare LtE": np.less_equal, "Compare Gt": np.greater, "Compare GtE": np.greater_equal,
    "Call min": lambda first, second, *more: reduce(np.minimum, (first, second, *more)),
    "Call max": lambda first, second, *more: reduce(np.maximum, (first, second, *more)),
    "Call round": lambda numbers, digits=0: np.round(numbers, range(16).index(digits)),
}  # fmt: skip


class Derived(Struct, frozen=True, forbid_unknown_fields=True):
    """A column that an expression gives."""

    name: Name
    expression: Annotated[str, Meta(min_length=1, max_length=LONGEST)]
    type: ColumnType  # kind, dtype, form and step of its values; truth values are numbers
    place: Annotated[int, Meta(ge=0)] = 0  # where it stands among the columns that are written


def definitions(given: str | Iterable[str] | Mapping[str, str] | None) -> dict[str, str]:
    """The expressions by the names of their columns, of a mapping or of texts such as "total = count * price"."""
    said = dict[str, str]()
    texts = [given] if isinstance(given, str) else given or ()
    pairs = given.items() if isinstance(given, Mapping) else [str(one).partition("=")[::2] for one in texts]
    for name, text in ((str(name).strip(" `"), str(text).strip()) for name, text in pairs):
        if not name or name in said:
            raise DataError(f"{name!r} is defined twice.", where="derive", fix='Write "total = count * price" once.')
        said[name] = text
    return said


def _parts(text: str) -> list[ast.expr]:
    """The parts of an expression, each after those that it is made of; `a name` in backticks is a column."""
    quoted = {f"_quoted_{k}": name for k, name in enumerate(re.findall(r"`([^`]+)`", text))}
    code = reduce(lambda code, own: code.replace(f"`{quoted[own]}`", own, 1), quoted, text)
    try:
        tree = ast.parse(code if len(text) <= LONGEST else "", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DataError(f"{text[:80]!r} is not an expression.", where="derive", fix=_FIX) from None
    every = [node for node in ast.walk(tree) if isinstance(node, ast.expr)]
    called = [node.func for node in every if isinstance(node, ast.Call)]
    for node in (one for one in every if isinstance(one, ast.Name)):
        node.id = quoted.get(node.id, node.id)
    return [node for node in reversed(every) if node not in called]


@np.errstate(all="ignore")
def evaluate(text: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """What an expression gives of columns of floats and datetime64; NaN where an input is, or nothing is defined."""
    done = dict[ast.AST, np.ndarray]()
    for node in _parts(text):  # without recursion, as a stranger's may be deep
        if isinstance(node, ast.Name) and node.id not in columns:
            what = f"there is no column {node.id!r} of numbers, dates or truth values."
            raise DataError(what, where="derive", fix=nearest(node.id, list(columns)))
        below = list(ast.iter_child_nodes(node))
        words = [type(node).__name__, *(getattr(one, "id", type(one).__name__) for one in below if one not in done)]
        try:
            match node:
                case ast.Name(id=name):
                    found = columns[name]
                case ast.Constant(value=int() | float() as number):
                    found = np.asarray(float(number))
                case ast.Constant(value=str() as written):
                    dtype = "Datetime[us]" if written[4:5] == "-" else "Duration[us]"  # a date has a year first
                    days = np.asarray(number_of(written, dtype) / DAY)
                    found = days if dtype == "Duration[us]" else _EPOCH + _spans(days)
                case _:
                    how, of = _HOW[" ".join(words)], [done.pop(one) for one in below if one in done]
                    if how in (np.add, np.subtract) and any(one.dtype.kind == "M" for one in of):
                        of = [one if one.dtype.kind == "M" else _spans(one) for one in of]
                    found = how(*of)  # a TypeError of dates and numbers that do not go together
                    if found.dtype.kind != "M":
                        there = reduce(np.logical_and, map(np.isfinite, [found, *of]))
                        found = np.where(there, found / _SPAN if found.dtype.kind == "m" else found, np.nan)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise DataError(f"{text[:80]!r} cannot be computed: {' '.join(words)}.", where="derive", fix=_FIX) from None
        done[node] = found
    return done.popitem()[1]


def _spans(days: np.ndarray) -> np.ndarray:
    """Numbers of days as spans of time, of which a date is as many as have gone by since 1970."""
    return np.where(np.abs(days) < 1e7, np.round(days * DAY * 1e6), np.nan).astype("timedelta64[us]")


def _values(names: Iterable[str], types: Iterable[ColumnType], cells: Iterable[np.ndarray]) -> dict[str, Any]:
    """The columns that expressions may be over: dates, numbers, truth values, and times in days."""
    made = dict[str, np.ndarray]()
    for name, one, numbers in zip(names, types, cells):
        if one.named and one.dtype == "Boolean":
            numbers = np.where(np.isnan(numbers), np.nan, numbers == [*one.values, "True"].index("True"))
        if not one.named or one.dtype == "Boolean":
            days = numbers / DAY if one.kind in ("date", "duration") and not one.days else numbers
            made[name] = _EPOCH + _spans(days) if one.kind == "date" and one.dtype != "Time" else days
    return made


def _computed(one: Derived, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """What an expression gives, in the unit of its column: the day of a time, where that has days."""
    found = evaluate(one.expression, values)
    if (dated := found.dtype.kind == "M") != (one.type.kind == "date" and one.type.dtype != "Time") or one.type.named:
        what = f"{one.expression!r} gives {'dates' if dated else 'numbers'}, unlike column {one.name!r}."
        raise DataError(what, where="derive", fix="Change the expression.")
    days = (found - _EPOCH) / _SPAN if dated else found
    return np.floor(days) if one.type.days else days * DAY if one.type.kind in ("date", "duration") else days


def apart(
    said: Mapping[str, str], names: Sequence[str], x: np.ndarray, kinds: Mapping[int, FrameColumn],
    called: Sequence[object] | np.ndarray, where: str,
) -> tuple[list[Derived], tuple[str, ...]]:  # fmt: skip
    """The derived columns of a table, held against its rows, and a sentence on each."""
    # x: numbers, codes of names, NaN where a cell is missing; called: what a reader calls each row.
    types = [ColumnType(k.kind, k.values, dtype=k.dtype, form=k.form) for _, k in sorted(kinds.items()) if said]
    values, made, notes = _values(names, types, x.T if said else ()), list[Derived](), []
    over = {name: [one.id for one in _parts(text) if isinstance(one, ast.Name)] for name, text in said.items()}
    try:
        order = [name for name in TopologicalSorter(over).static_order() if name in said]
    except CycleError as error:
        what = f"the columns {', '.join(map(repr, dict.fromkeys(error.args[1])))} are derived of each other."
        raise DataError(what, where="derive", fix="Leave one of them out.") from None
    for name in order:
        kind = structs.replace(types[names.index(name)], values=()) if name in names else ColumnType("number")
        one = Derived(name, said[name], structs.replace(kind, kind="number") if kind.named else kind)
        given, told = _computed(structs.replace(one, expression=f"`{name}`"), values), _computed(one, values)
        step = min(recorded_step(given[np.isfinite(given)]), 1.0)
        away = np.abs(given - told)
        wrong = np.flatnonzero(away > 0.5 * step * (1 + 1e-6) + 1e-9 * np.abs(given))
        count, some = int(np.isfinite(away).sum()), ", ".join(str(called[row]) for row in wrong[:SHOWN].tolist())
        words = f"{name} = {said[name]} holds in {count - len(wrong):,} of {count:,} rows"
        words += f", not in {some}{', ...' * (len(wrong) > SHOWN)}" if len(wrong) else ""
        if count - len(wrong) < HOLDS * count or not count:
            fix = f"Mend the rows or the expression, or leave {name!r} to the model: no --derive (derive=) of it."
            raise DataError(f"{words}; in {HOLDS:.0%} it must.", where=where, fix=fix)
        made.append(structs.replace(one, type=structs.replace(one.type, step=step)))
        notes.append(f"Column {name!r} is computed, and not modelled: {words}.")
    return made, tuple(notes)


def with_derived(schema: "Schema", made: Sequence[Derived], every: Sequence[str], where: str) -> Any:
    """A schema with its derived columns, of which each has its place among those that are written."""
    if not made:
        return schema
    order = [name for name in every if name in schema.names or name in [one.name for one in made]]
    found = structs.replace(schema, derived=tuple(structs.replace(one, place=order.index(one.name)) for one in made))
    if wrong := check_derived(found):
        raise DataError(f"{wrong}.", where=where, fix="Compute it of columns that the model has.")
    return found


def check_derived(schema: "Schema") -> str:
    """What is wrong with derived columns, each of which is computed of modelled ones and of those before it."""
    try:
        names = (schema.names or ()) if schema.derived else ()
        with_computed(pl.DataFrame([pl.Series(name, [0.0]) for name in names]), schema, np.zeros((len(names), 1)))
    except (DataError, ValueError, IndexError, pl.exceptions.PolarsError) as error:
        return getattr(error, "message", "a column is there twice, or its dtype, form or place is none").rstrip(".")
    return ""


def wrong_table(schema: "Schema") -> tuple[str, str] | None:
    """What is wrong with the columns of a file's table."""
    if schema.types is not None and len(schema.types) != len(schema.names):
        return "types", "are those of the columns of a mixed table, one for each"
    if wrong := check_types(schema.column_types):
        return "types", wrong
    return ("derived", wrong) if (wrong := check_derived(schema)) else None


def with_computed(frame: pl.DataFrame, schema: "Schema", cells: Iterable[np.ndarray]) -> pl.DataFrame:
    """A frame with derived columns where they stood, computed of the numbers in units, or codes, of its others."""
    values, made = _values(frame.columns, schema.column_types, cells), []
    for one in schema.derived or ():
        numbers = np.round(np.broadcast_to(_computed(one, values), len(frame)), decimals_of(one.type.step))
        values |= _values([one.name], [one.type], [numbers])
        made.append((one.place, one.type.written(numbers).alias(one.name)))
    for place, series in sorted(made, key=lambda pair: pair[0]):
        frame = frame.insert_column(place, series)
    return frame


def hidden_in(frame: Frame, columns: Sequence[str], schema: "Schema", hidden: np.ndarray) -> np.ndarray:
    """The gaps of a frame that came, of each column that fills them; of derived columns the cells that it lacks."""
    own = dict(zip(schema.names, hidden.T))
    for one in schema.derived or ():
        found = frame[one.name] if one.name in frame.columns else np.full(len(frame), np.nan)
        gone: Any = getattr(found, "is_null", None) or getattr(found, "isna", None)
        own[one.name] = np.asarray(gone() if gone else np.isnan(found))
    return np.stack([own[name] for name in columns], axis=1)


COLUMN_KINDS: dict[str, tuple[str, ...]] = {
    "category": ("values",),
    "ordinal": ("values",),
    "number": (),
    "date": ("zone", "form"),
    "duration": (),
    LEFT_OUT: (),
}
"""What a column may be declared as, and what may be said beside it."""


class Declared(Struct, frozen=True):
    """What is said of one column; what is not said follows from its dtype."""

    kind: str | None = None  # one of `COLUMN_KINDS`; None: not said
    values: tuple[str, ...] = ()  # the names of a category or an ordinal, in the order of their codes; empty: not said
    zone: str = ""  # the time zone of dates; empty: not said
    form: str = ""  # how dates of text or whole numbers are written, in the letters of strftime; empty: not said
    dtype: str = ""  # the dtype by which a model knows the column; empty: no model does

    @property
    def named(self) -> bool:
        """Whether the cells were said to be names."""
        return self.kind in ("category", "ordinal")


def declared_columns(given: object, where: str = "columns") -> dict[str, Declared]:
    """Check what is said of columns: kinds by name, or texts "NAME=KIND"."""
    if isinstance(given, str | list | tuple):
        given = dict(parsed_column(text, where) for text in ([given] if isinstance(given, str) else given))
    if not isinstance(given, Mapping):
        fix = 'Give for example {"city": "category"}.'
        raise DataError(f"holds {type(given).__name__}, not kinds by the names of columns.", where=where, fix=fix)
    return {str(name): _declared(str(name), entry, where) for name, entry in given.items()}


def parsed_column(text: object, where: str) -> tuple[str, Any]:
    """What is typed of one column: "size=ordinal:S,M,L", "day=date:%d/%m/%Y", "day=date:Europe/Paris"."""
    name, sign, said = str(text).rpartition("=")
    kind, _, more = said.partition(":")
    if not sign:
        raise DataError(f"{text!r:.80} is not NAME=KIND.", where=where, fix=f"Kinds: {', '.join(COLUMN_KINDS)}.")
    if not more:
        return name, kind
    if kind == "date":
        return name, {"kind": kind, "form" if "%" in more else "zone": more}
    return name, {"kind": kind, "values": more.split(",")}


def _declared(name: str, entry: object, where: str) -> Declared:
    def wrong(what: str, fix: str) -> DataError:
        return DataError(f"column {name!r} {what}.", where=where, fix=fix)

    entry = {"kind": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, Mapping) or not isinstance(entry.get("kind"), str):
        raise wrong(f"is given {str(entry)[:60]!r}, which is not a kind", f"Allowed: {', '.join(COLUMN_KINDS)}.")
    kind = entry["kind"]
    if kind not in COLUMN_KINDS:
        raise wrong(f"is given the unknown kind {kind[:60]!r}", f"Allowed: {', '.join(COLUMN_KINDS)}.")
    for key in entry:
        if key != "kind" and key not in COLUMN_KINDS[kind]:
            allowed = ", ".join(COLUMN_KINDS[kind]) or "nothing else"
            raise wrong(f"of the kind {kind!r} is given {str(key)[:60]!r}", f"Allowed with this kind: {allowed}.")
    values = entry.get("values", ())
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, str) for v in values):
        raise wrong(f"is given the values {str(values)[:60]!r}", "Give a list of texts, each once.")
    if len(set(values)) != len(values) or len(values) > MOST_CATEGORIES:
        twice = len(set(values)) != len(values)
        what = "is given a value twice" if twice else f"is given {len(values):,} values"
        raise wrong(what, f"Give a list of at most {MOST_CATEGORIES:,} texts, each once.")
    zone, form = entry.get("zone", ""), entry.get("form", "")
    if not isinstance(zone, str) or (zone and not is_zone(zone)):
        raise wrong(
            f"is given the unknown zone {str(zone)[:60]!r}", 'Allowed: "UTC", or a name such as "Europe/Paris".'
        )
    if not isinstance(form, str) or (form and ("%" not in form or len(form) > 100)):
        raise wrong(f"is given the form {str(form)[:60]!r}", 'Write it as "%d/%m/%Y".')
    return Declared(kind, tuple(values), zone, form)


def check_declared(names: Sequence[str], declared: Mapping[str, Declared], where: str) -> None:
    """Refuse what is said of columns that are not there."""
    unknown = next((name for name in declared if name not in names), None)
    if unknown is not None:
        hint = nearest(unknown, names) if len(names) <= 1000 else ""
        raise DataError(f"has no column {unknown!r}, which --column (columns=) declares.", where=where, fix=hint)
