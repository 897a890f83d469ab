"""What a user says of the columns of a table: their kinds, and what of a kind may be chosen."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from latens.data.schema import Schema
from latens.errors import DataError, nearest
from latens.io.json import read_json
from latens.kinds.tables.columns import MOST_CATEGORIES, ColumnType, FrameColumn
from latens.kinds.tables.dtypes import is_zone, number_of

LEFT_OUT = "leave out"
_EXAMPLE = {"date": "2021-05-01", "duration": "1 days 02:30:00"}
KINDS: dict[str, tuple[str, ...]] = {
    "category": ("values",),
    "ordinal": ("values",),
    "number": ("step", "low", "high"),
    "date": ("low", "high", "zone", "form"),
    "duration": ("low", "high"),
    LEFT_OUT: (),
}
"""What a column may be declared as, and what may be said beside it."""


class Declared(Struct, frozen=True):
    """What is said of one column; what is not said follows from its dtype."""

    kind: str | None = None  # one of `KINDS`; None: not said
    values: tuple[str, ...] = ()  # the names of a category or an ordinal, in the order of their codes; empty: not said
    step: float | None = None  # the distance of two cells of a number's grid; None: not said
    low: float | str | None = None  # the least value, a number, or a date or duration as text; None: not said
    high: float | str | None = None  # the largest one, likewise
    zone: str = ""  # the time zone of dates; empty: not said
    form: str = ""  # how dates of text or whole numbers are written, in the letters of strftime; empty: not said
    dtype: str = ""  # the dtype by which a model knows the column; empty: no model does

    @property
    def named(self) -> bool:
        """Whether the cells were said to be names."""
        return self.kind in ("category", "ordinal")


def declared_columns(given: Any, where: str = "columns") -> dict[str, Declared]:
    """Check what is said of columns: kinds by name, the path of a JSON file with them, or texts "NAME=KIND"."""
    if isinstance(given, Path) or (isinstance(given, str) and given.lower().endswith(".json")):
        fix = "`latens check DATA --columns FILE` writes one."
        given = read_json(Path(given), error=DataError, where=f"{where} {given}", fix=fix)
    elif isinstance(given, str | list | tuple):
        given = dict(typed_column(text, where) for text in ([given] if isinstance(given, str) else given))
    if not isinstance(given, Mapping):
        fix = 'Give for example {"city": "category"}.'
        raise DataError(f"holds {type(given).__name__}, not kinds by the names of columns.", where=where, fix=fix)
    return {str(name): _declared(str(name), entry, where) for name, entry in given.items()}


def typed_column(text: Any, where: str) -> tuple[str, Any]:
    """What is typed of one column: "size=ordinal:S,M,L", "day=date:%d/%m/%Y"."""
    name, sign, said = str(text).rpartition("=")
    kind, _, more = said.partition(":")
    if not sign:
        raise DataError(f"{text!r:.80} is not NAME=KIND.", where=where, fix=f"Kinds: {', '.join(KINDS)}.")
    if not more:
        return name, kind
    return name, {"kind": kind, "form": more} if kind == "date" else {"kind": kind, "values": more.split(",")}


def _declared(name: str, entry: Any, where: str) -> Declared:
    def wrong(what: str, fix: str) -> DataError:
        return DataError(f"column {name!r} {what}.", where=where, fix=fix)

    entry = {"kind": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, Mapping) or not isinstance(entry.get("kind"), str):
        raise wrong(f"is given {str(entry)[:60]!r}, which is not a kind", f"Allowed: {', '.join(KINDS)}.")
    kind = entry["kind"]
    if kind not in KINDS:
        raise wrong(f"is given the unknown kind {kind[:60]!r}", f"Allowed: {', '.join(KINDS)}.")
    for key in entry:
        if key != "kind" and key not in KINDS[kind]:
            allowed = ", ".join(KINDS[kind]) or "nothing else"
            raise wrong(f"of the kind {kind!r} is given {str(key)[:60]!r}", f"Allowed beside the kind: {allowed}.")
    values = entry.get("values", ())
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, str) for v in values):
        raise wrong(f"is given the values {str(values)[:60]!r}", "Give a list of texts, each once.")
    if len(set(values)) != len(values) or len(values) > MOST_CATEGORIES:
        twice = len(set(values)) != len(values)
        what = "is given a value twice" if twice else f"is given {len(values):,} values"
        raise wrong(what, f"Give a list of at most {MOST_CATEGORIES:,} texts, each once.")
    step, low, high = (entry.get(key) for key in ("step", "low", "high"))
    if step is not None and not (_is_number(step) and step > 0):
        raise wrong(f"is given the step {repr(step)[:60]}", "Give a number above 0.")
    zone, form = entry.get("zone", ""), entry.get("form", "")
    if not isinstance(zone, str) or (zone and not is_zone(zone)):
        raise wrong(
            f"is given the unknown zone {str(zone)[:60]!r}", 'Allowed: "UTC", or a name such as "Europe/Paris".'
        )
    if not isinstance(form, str) or (form and ("%" not in form or len(form) > 100)):
        raise wrong(f"is given the form {str(form)[:60]!r}", 'Write it as "%d/%m/%Y".')
    for key, bound in (("low", low), ("high", high)):
        if bound is not None and not (_is_number(bound) if kind == "number" else isinstance(bound, str)):
            fix = "Give a number." if kind == "number" else f'Give a {kind} as text, such as "{_EXAMPLE[kind]}".'
            raise wrong(f"is given {key} = {repr(bound)[:60]}", fix)
    one = Declared(kind, tuple(values), step, low, high, zone, form)
    seconds = FrameColumn(dtype="Duration[us]" if kind == "duration" else f"Datetime[us{f', {zone}' if zone else ''}]")
    first, last = (_bound(one, key, name, seconds, where) for key in ("low", "high"))
    if first is not None and last is not None and first > last:
        raise wrong(f"is given low = {low!r} and high = {high!r}", "Give a low that is not above high.")
    return one


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    except (OverflowError, TypeError):  # whole numbers that no float64 holds; complex numbers
        return False


def _bound(one: Declared, key: str, name: str, found: FrameColumn, where: str) -> float | None:
    """A bound as the number that the column holds."""
    given = getattr(one, key)
    if not isinstance(given, str):
        return None if given is None else float(given)
    days = ColumnType(found.kind, dtype=found.dtype, form=found.form).days
    try:
        return number_of(given, found.dtype if not found.form else "Datetime[us]", days=days)
    except ValueError:
        what = f"column {name!r} is given {key} = {given[:40]!r}, which is not a {one.kind}."
        raise DataError(what, where=where, fix=f"Write it as {_EXAMPLE.get(one.kind or '')}.") from None


def check_declared(names: Sequence[str], declared: Mapping[str, Declared], where: str) -> None:
    """Refuse what is said of columns that are not there."""
    unknown = next((name for name in declared if name not in names), None)
    if unknown is not None:
        hint = nearest(unknown, names) if len(names) <= 1000 else ""
        what = f"has no column {unknown!r}, of which --column (columns=) says a kind."
        raise DataError(what, where=where, fix=hint)


def bounds_of(
    one: Declared, name: str, values: np.ndarray, found: FrameColumn, where: str
) -> tuple[float, float] | None:
    """The bounds that are declared for a column, in the numbers that it holds, after a look at its training rows."""
    if one.low is None and one.high is None:
        return None
    low, high = (_bound(one, key, name, found, where) for key in ("low", "high"))
    low, high = float(values.min()) if low is None else low, float(values.max()) if high is None else high
    slack = 1e-9 * max(abs(low), abs(high))
    beyond = values[(values < low - slack) | (values > high + slack)]
    if len(beyond):
        worst = ColumnType(found.kind, low=float(beyond[0]), step=1e-9, size=1, dtype=found.dtype, form=found.form)
        words = (
            f"from {one.low}"
            if one.high is None
            else f"to {one.high}"
            if one.low is None
            else f"{one.low} to {one.high}"
        )
        what = f"column {name!r} holds {worst.texts(np.zeros(1))[0]}, beyond its declared bounds {words}"
        what = f"{what}; {len(beyond)} such training rows."
        raise DataError(what, where=where, fix="Widen the bounds, or leave such cells empty.")
    return low, high


def as_declared(schema: Schema) -> dict[str, dict[str, Any]]:
    """Write the columns of a table as a user may change them and give them back."""
    # returns: by name the kind with what may be changed, in the order of the table; those that are left out at its end.
    made: dict[str, dict[str, Any]] = {}
    for column, one in zip(schema.columns or (), schema.types or ()):
        entry: dict[str, Any] = {"kind": one.kind}
        if one.named:
            made[column.name] = entry | ({} if one.starts else {"values": list(one.values)})
            continue
        low, high = one.value(np.array([0, one.size - 1])).tolist()
        if one.kind == "number":
            ends = (int(low), int(high)) if one.whole else (low, high)
            entry |= {"step": int(one.step) if one.whole else one.step, "low": ends[0], "high": ends[1]}
        else:
            entry |= dict(zip(("low", "high"), one.texts(np.array([0, one.size - 1]))))
            entry |= {"form": one.form} if one.form else {}
        made[column.name] = entry
    return made | {name: {"kind": LEFT_OUT} for name in schema.ignored or ()}
