"""What a user says of the columns of a table: their kinds, and what of a kind may be chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from latens.errors import DataError, nearest
from latens.kinds.tables import LEFT_OUT as LEFT_OUT
from latens.kinds.tables.columns import MOST_CATEGORIES
from latens.kinds.tables.dtypes import is_zone

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
        given = dict(typed_column(text, where) for text in ([given] if isinstance(given, str) else given))
    if not isinstance(given, Mapping):
        fix = 'Give for example {"city": "category"}.'
        raise DataError(f"holds {type(given).__name__}, not kinds by the names of columns.", where=where, fix=fix)
    return {str(name): _declared(str(name), entry, where) for name, entry in given.items()}


def typed_column(text: object, where: str) -> tuple[str, Any]:
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
        what = f"has no column {unknown!r}, which --column (columns=) declares."
        raise DataError(what, where=where, fix=hint)
