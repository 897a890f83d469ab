"""Rows as the columns of a table: as they stood on disk, with what a model filled in written alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.data.formats.csv import read_text
from latens.data.formats.tables import role_positions
from latens.data.mixed import as_columns
from latens.data.raw import ColumnRoles
from latens.data.rows import MISSING_WORDS
from latens.text import fixed_decimals, span_texts


def column_table(
    data: Dataset, x: np.ndarray, hidden: np.ndarray, path: Path, options: dict[str, Any], out: Path
) -> dict[str, np.ndarray]:
    """The columns of a table of numbers, every cell that was there as it stood where they come from a file."""
    if data.schema.sequences is not None and data.places is not None:
        from latens.verbs._long import long_as_written

        return long_as_written(data, x, hidden, path, options, out)
    flat, gaps = x.reshape(len(x), -1), hidden.reshape(len(x), -1)
    plain = _table(data, flat, gaps)
    arrays = _as_it_was(data, flat, gaps, path, options) or plain
    if out.suffix.lower() == ".parquet":  # text of numbers is for .csv alone
        arrays |= {name: plain[name] for name in plain if name in arrays and arrays[name].dtype == object}
    return arrays


def table_as_written(
    data: Dataset,
    x: Shaped[np.ndarray, "n columns"],
    hidden: np.ndarray,
    path: Path,
    out: Path,
    options: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """The columns of a mixed table as they were written, with what was filled in written alike."""
    filled = as_columns(x, data.schema)
    found = table_columns(path, options)
    if found is not None and data.kept is not None:
        found = {name: column[data.kept] for name, column in found.items()}
    if found is None or any(len(column) != len(x) for column in found.values()):
        return {**{n: a for n, a in beside(data).items() if n not in filled}, **filled}
    table = dict(found)
    types = data.schema.types or ()
    for i, (name, values) in enumerate(filled.items()):
        if name not in found:
            table[name] = values
            continue
        if types[i].after:  # the first of two dates may be missing alone
            hidden = hidden.copy()
            hidden[:, i] &= np.array([str(v).strip().lower() in (*MISSING_WORDS, "nat") for v in found[name]], bool)
        if not hidden[:, i].any():
            continue
        if values.dtype.kind == "m" and found[name].dtype.kind == "m":
            table[name] = np.where(hidden[:, i], values, found[name].astype(values.dtype))
        else:
            values = np.array(span_texts(values)) if values.dtype.kind == "m" else values
            seen = [str(one) for one in found[name][~hidden[:, i]]]
            if values.dtype.kind == "f" and out.suffix.lower() == ".csv" and (count := fixed_decimals(seen)):
                values = np.array([f"{one:.{count}f}" for one in values.tolist()])
            was = zip(hidden[:, i], values.tolist() if values.dtype.kind != "M" else values.astype(str), found[name])
            mixed = [new if gap else old for gap, new, old in was]
            whole = out.suffix.lower() == ".csv" or values.dtype.kind in "UM"
            table[name] = np.array([str(v) for v in mixed]).astype(object) if whole else np.array(mixed, values.dtype)
    return table


def beside(data: Dataset) -> dict[str, np.ndarray]:
    """Names and labels of the rows, where the data brought some."""
    own = not np.array_equal(data.names, np.arange(len(data)))
    words = np.array([*(data.schema.classes or ()), ""])
    arrays = {"row_id": data.names} if own else {}
    return arrays if data.label is None else {**arrays, "label": words[data.label]}


def _names(data: Dataset, count: int) -> list[str]:
    columns = data.schema.columns
    return [c.name for c in columns] if columns is not None else [f"x{i}" for i in range(count)]


def _table(data: Dataset, flat: np.ndarray, gaps: np.ndarray) -> dict[str, np.ndarray]:
    """One array for each column, by its name, where the data were no table on disk."""
    names = _names(data, flat.shape[1])
    more = {name: array for name, array in beside(data).items() if name not in names}
    return {**more, **{name: numbers_of(flat[:, i], gaps[:, i]) for i, name in enumerate(names)}}


def numbers_of(column: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """A column; whole numbers stay whole, with a fraction only where one was filled in."""
    observed = column[~gaps]
    if not np.all(observed == np.round(observed)) or np.abs(column).max(initial=0) >= 2**53:
        return column
    if not gaps.any() or np.all(column == np.round(column)):
        return column.astype(np.int64)
    return np.array([int(v) if v == round(v) else v for v in column], object)


def _as_it_was(
    data: Dataset, flat: np.ndarray, gaps: np.ndarray, path: Path, options: dict[str, Any]
) -> dict[str, np.ndarray] | None:
    """The columns of a table on disk, every cell that was there as it stood; None for data of another kind."""
    found = table_columns(path, options)
    if found is None or any(len(column) != len(flat) for column in found.values()):
        return None
    names = _names(data, flat.shape[1])
    if data.schema.columns is None:
        roles = {name: options[name] for name in ("label", "row_id", "weight") if options.get(name) is not None}
        taken = set(role_positions(list(found), ColumnRoles(**roles), str(path)).values())
        names = [name for i, name in enumerate(found) if i not in taken]
    table = dict(found)
    for i, name in enumerate(names):
        if name not in found:
            return None
        if gaps[:, i].any():
            filled = numbers_of(flat[:, i], gaps[:, i])
            if found[name].dtype.kind == "O":
                filled = np.array([str(new) if gap else old for new, gap, old in zip(filled, gaps[:, i], found[name])])
            table[name] = filled.astype(object) if filled.dtype.kind == "U" else filled
    return table


def table_columns(path: Path, options: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """The columns of a .csv (text of dtype object) or .parquet file (as pyarrow gives them), by name."""
    name = path.name.lower().removesuffix(".gz")
    if not path.is_file():
        return None
    if name.endswith((".csv", ".tsv", ".txt")):
        header, rows = read_text(path, ColumnRoles(encoding=options.get("encoding"), header=options.get("header")))
        columns = header if header is not None else [f"x{i}" for i in range(len(rows[0]))]
        return {column: np.array([row[i] for row in rows], object) for i, column in enumerate(columns)}
    if name.endswith(".parquet"):
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        return {column: np.asarray(table[column].to_numpy(zero_copy_only=False)) for column in table.column_names}
    return None
