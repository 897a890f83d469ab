"""Tables whose columns have types, as they are stored."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from latens.data.infer import find_missing, store
from latens.data.raw import without_columns
from latens.errors import DataError
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.tables.cells import coded
from latens.kinds.tables.declared import check_declared
from latens.kinds.tables.derived import Derived, apart, with_derived
from latens.kinds.tables.files import lines_of_rows
from latens.kinds.tables.grown import grown
from latens.kinds.tables.typed import beyond_words, notes_of, stored_columns, table_schema, with_absent

if TYPE_CHECKING:
    from latens.data.door import Coming, Stored


def store_table(rows: "Coming") -> "Stored":
    """Store a table: codes of names, and places on the grids of numbers and dates."""
    from latens.data.door import Stored

    every, derived = _typed(rows)
    raw, where = rows.raw, rows.where
    observed = find_missing(raw, rows.names, "nan", where)  # a gap in a table of several kinds is a gap
    said = rows.declared if rows.schema is None else None
    if rows.schema is None:
        with np.errstate(over="ignore", invalid="ignore"):
            found = table_schema(raw.x, rows.trains, raw.columns or (), raw.kinds or {}, where, said)
    else:
        found = rows.schema
    found = rows.told(with_derived(found, derived, every, where))
    strange: list[tuple[int, int, str]] | None = None if rows.unknown == "error" else []
    given = (raw.x, raw.columns or (), raw.kinds or {})
    x, observed, outside = stored_columns(*given, found, where, strange, rows.names)
    if rows.unknown == "grow" and strange:
        seen = np.ones(x.shape, bool) if observed is None else observed
        found, more = grown(found, strange, seen, rows.trains, where)
        x, observed, outside = stored_columns(*given, found, where, None, rows.names)
        raw.notes, strange = raw.notes + more, None
    raw.notes += notes_of(raw, found, beyond_words(x, found, outside), np.flatnonzero(rows.trains), said)
    raw.x = x
    return Stored(store(x, found, where), found, observed, outside, tuple(strange or ()))


def _typed(rows: "Coming") -> tuple[tuple[str, ...], list[Derived]]:
    """Give each column what it holds, in place, and take derived columns out; the names that there were, and these."""
    raw, where, asked = rows.raw, rows.where, rows.asked
    if raw.x.ndim != 2:
        what = f"has rows of shape {raw.x.shape[1:]}, which are no columns."
        raise DataError(what, where=where, fix=f"Leave out --{'typed' if asked.columns is None else 'columns'}.")
    if isinstance(raw.x, SparseRows):
        what = f"is a sparse matrix of {raw.x.shape[0]} rows and {raw.x.shape[1]} columns, which get no types."
        raise DataError(what, where=where, fix="Leave out --typed, or give fewer columns as a dense table.")
    raw.columns = raw.columns or tuple(f"x{i}" for i in range(raw.x.shape[1]))
    if raw.kinds is None:  # of a source that knows numbers alone
        frame = pl.DataFrame({name: raw.x[:, i] for i, name in enumerate(raw.columns)}, nan_to_null=True)
        raw.x, raw.kinds = coded(frame, rows.roles.declared or {}, where)
    if asked.columns is not None:
        check_declared(raw.columns, rows.declared or {}, where)
    if rows.partial and rows.schema is not None:
        with_absent(raw, rows.schema)
    every, derived, about = raw.columns, list[Derived](), ()
    if rows.derived:
        named = "row_id" in rows.given or raw.names is not None
        path = asked.source if isinstance(asked.source, str | Path) and not named else None
        lines = None if path is None else lines_of_rows(Path(path), every, rows.n)
        called = [f"row {name}" for name in rows.names] if lines is None else [f"line {line}" for line in lines]
        derived, about = apart(rows.derived, every, raw.x, raw.kinds or {}, called, where)
    known = derived if rows.schema is None else rows.schema.derived or ()
    rows.raw = without_columns(raw, [one.name for one in known])
    rows.raw.notes += about
    return every, derived
