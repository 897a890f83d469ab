"""Rows as the columns of a table: as they stood on disk, with what a model filled in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Shaped

from latens.data import Dataset
from latens.data.raw import ColumnRoles
from latens.kinds.tables.derived import hidden_in
from latens.kinds.tables.frame import with_cells
from latens.kinds.tables.infer_columns import role_positions
from latens.kinds.tables.table_files import format_of, read_table
from latens.kinds.tables.table_rows import as_frame


def column_table(
    data: Dataset, x: np.ndarray, hidden: np.ndarray, path: Path, options: Mapping[str, Any]
) -> pl.DataFrame:
    """The columns of a table of numbers, every cell that was there as it stood where they come from a file."""
    if data.places is not None:
        from latens.commands._long import long_as_written

        return long_as_written(data, x, hidden, path, options)
    flat, gaps = x.reshape(len(x), -1), hidden.reshape(len(x), -1)
    found = table_columns(path, options)
    names = data.schema.names or [f"x{i}" for i in range(flat.shape[1])]
    if found is not None and data.schema.columns is None:
        roles = {name: options[name] for name in ("label", "row_id", "weight") if options.get(name) is not None}
        taken = role_positions(found.columns, ColumnRoles(**roles), str(path)).values()
        names = [name for i, name in enumerate(found.columns) if i not in taken]
    made = pl.DataFrame([numbers_of(name, *pair) for name, *pair in zip(names, flat.T, gaps.T)])
    if found is None or len(found) != len(flat) or not set(names) <= set(found.columns):
        return pl.DataFrame({n: a for n, a in beside(data, options).items() if n not in names}).hstack(made)
    filled = [name for name in made.columns if found[name].dtype.is_integer() and made[name].dtype.is_float()]
    return with_cells(found.with_columns(found[name].cast(made[name].dtype) for name in filled), made, gaps)


def table_as_written(
    data: Dataset, x: Shaped[np.ndarray, "n columns"], hidden: np.ndarray, path: Path, options: Mapping[str, Any]
) -> pl.DataFrame:
    """The columns of a mixed table as they were read, with what was filled in of the same dtypes."""
    filled = as_frame(x, data.schema, data.outside)
    found = _as_read(data, path, options)
    if found is None:
        return pl.DataFrame({n: a for n, a in beside(data, options).items() if n not in filled.columns}).hstack(filled)
    return with_cells(found, filled, hidden_in(found, filled.columns, data.schema, hidden))


def with_derived_gaps(
    data: Dataset, hidden: Bool[np.ndarray, "n *columns"], path: Path, options: Mapping[str, Any]
) -> Bool[np.ndarray, "n *more"]:
    """What is filled of a table, with the gaps of its derived columns."""
    found = _as_read(data, path, options) if data.schema.derived else None
    every = [*data.schema.names, *(one.name for one in data.schema.derived or ())]
    return hidden if found is None else hidden_in(found, every, data.schema, hidden)


def _as_read(data: Dataset, path: Path, options: Mapping[str, Any]) -> pl.DataFrame | None:
    """The columns of the table that rows were read from; None where they are not its rows."""
    found = table_columns(path, options)
    if found is not None and data.kept is not None:
        found = found[data.kept]
    return found if found is not None and len(found) == len(data) else None


def beside(data: Dataset, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Names and labels of the rows, where the data brought some."""
    own = options.get("row_id") is not None or not np.array_equal(data.names, np.arange(len(data)))
    words = np.array([*(data.schema.classes or ()), ""])
    arrays = {"row_id": data.names} if own else {}
    return arrays if data.label is None else {**arrays, "label": words[data.label]}


def numbers_of(name: str, column: Shaped[np.ndarray, " n"], gaps: Bool[np.ndarray, " n"]) -> pl.Series:
    """A column; whole numbers stay whole, unless a fraction was filled in."""
    whole = np.all(column == np.round(column)) and np.abs(column).max(initial=0) < 2**53
    return pl.Series(name, column.astype(np.int64) if whole and not np.all(gaps) else column)


def table_columns(path: Path, options: Mapping[str, Any]) -> pl.DataFrame | None:
    """The columns of a table in a file, as they are read; None for data of another kind."""
    if not path.is_file() or not format_of(path.name):
        return None
    names = ("null", "decimal_comma", "separator", "encoding", "sheet", "header")
    given = {name: options[name] for name in names if options.get(name) is not None}
    if "null" in given:
        given["null"] = (given["null"],) if isinstance(given["null"], str) else tuple(given["null"])
    return read_table(path, ColumnRoles(**given))[0]
