"""Frames with columns of several kinds: as rows of a model, and back with the dtypes that they had."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Shaped

from latens.data import TRAIN, VALIDATION, Dataset, Schema
from latens.data.arrays import LEAST_ROWS_TO_VALIDATE
from latens.data.batches import hash_rows
from latens.data.door import read_columns, without_unknown
from latens.data.infer import find_missing
from latens.data.raw import Raw, without_columns
from latens.data.rows import row_keys
from latens.errors import UsageError
from latens.kinds.tables.cells import coded
from latens.kinds.tables.declared import Declared, check_declared
from latens.kinds.tables.derived import apart, definitions, hidden_in, with_derived
from latens.kinds.tables.frame import is_frame, is_pandas, like, to_pandas, with_cells
from latens.kinds.tables.typed import as_frame, in_units, known_columns, stored_columns, table_schema
from latens.kinds.text.strings import code_strings, text_schema


def read_mixed(X: Any, said: Mapping[str, Declared] | None) -> Raw | None:
    """Read rows whose columns are of several kinds, by their dtypes and by what is said of them."""
    # said: None where nothing was said. returns: the rows; None for numbers or truth values alone.
    if not is_frame(X) and said is None:
        return None
    raw = read_columns(X, said) if is_frame(X) else _typed(X, None, said or {})
    if said is not None:
        check_declared(raw.columns or (), said, "X")
    return None if raw.kinds is None else raw


def rows_like(X: Any, schema: Schema, names: Sequence[str] | None) -> Raw:
    """Read rows for a model of typed columns."""
    # names: of the columns of an array; None where it had none.
    return read_columns(X, known_columns(schema)) if is_frame(X) else _typed(X, names, known_columns(schema))


def _typed(X: Any, names: Sequence[str] | None, said: Mapping[str, Declared]) -> Raw:
    """Read an array of numbers as the rows of a table."""
    array = np.asarray(X, np.float64)
    names = names or [f"x{i}" for i in range(array.shape[1])]
    frame = pl.DataFrame({name: array[:, i] for i, name in enumerate(names)}, nan_to_null=True)
    x, kinds = coded(frame, said, "X")
    return Raw(x, columns=tuple(names), kinds=kinds)


def mixed_dataset(
    raw: Raw,
    *,
    schema: Schema | None = None,
    said: Mapping[str, Declared] | None = None,
    validation_fraction: float = 0.1,
    unknown: str = "error",
    derive: Any = None,
) -> Dataset:
    """Turn the rows of a table into a data set of typed columns."""
    # schema: the schema of a trained model; None tells it from the rows. derive: as for `load`.
    called, every = [f"row {i}" for i in range(len(raw.x))], raw.columns or ()
    derived, notes = apart(definitions(derive), every, raw.x, raw.kinds or {}, called, "X")
    raw = without_columns(raw, [one.name for one in ((schema.derived if schema is not None else derived) or ())])
    x, names, kinds = raw.x, raw.columns or (), raw.kinds or {}
    find_missing(Raw(x, columns=tuple(names)), np.arange(len(x)), "nan", "X")  # infinities are refused
    split = _split(len(x), validation_fraction)
    own: Schema = schema or with_derived(table_schema(x, split == TRAIN, names, kinds, "X", said), derived, every, "X")
    refuse_unknown(unknown)
    strange: list[tuple[int, int, str]] | None = None if unknown == "error" else []
    cells, shown, outside = stored_columns(x, names, kinds, own, "X", strange)
    stored = np.ascontiguousarray(cells, np.float32)
    beside = {"mask": shown, "outside": outside, "unseen": tuple(strange or ())}
    beside["notes"] = notes
    return _kept(Dataset(stored, own, hash_rows(stored), np.arange(len(x)), split, "X", **beside), unknown)


def text_dataset(
    strings: list[str], pieces: str | None, *, schema: Schema | None, validation_fraction: float, unknown: str = "error"
) -> Dataset:
    """Turn strings into a data set of rows of text."""
    refuse_unknown(unknown)
    raw, split = Raw(None, strings=strings), _split(len(strings), validation_fraction)
    schema = schema or text_schema(raw, split, pieces, "X")
    seen, strange = code_strings(raw, schema, unknown, "X")
    names, beside = np.arange(len(split)), {"mask": seen, "unseen": tuple(strange)}
    return _kept(Dataset(raw.x, schema, hash_rows(raw.x), names, split, "X", **beside), unknown)


def _split(n: int, validation_fraction: float) -> np.ndarray:
    """Choose by a hash of their positions the rows that validate; of few rows all train."""
    split = np.full(n, TRAIN, np.uint8)
    if n >= LEAST_ROWS_TO_VALIDATE:
        split[row_keys(np.arange(n)).astype(np.float64) / 2**32 < validation_fraction] = VALIDATION
    return split


def _kept(made: Dataset, unknown: str) -> Dataset:
    """Leave out rows with unknown names where that is asked for, and warn of it."""
    if unknown == "skip" and (made := without_unknown(made)).kept is not None:
        warnings.warn(made.notes[-1], UserWarning, stacklevel=3)
    return made


def refuse_unknown(unknown: Any) -> None:
    """Refuse a way with unknown names that there is not."""
    if not isinstance(unknown, str) or unknown not in ("error", "missing", "skip"):
        raise UsageError(f"{unknown!r:.100} is not known.", where="unknown", fix="Valid: error, missing, skip.")


def with_filled(
    X: Any, data: Dataset, filled: Shaped[np.ndarray, "n columns"], gone: Shaped[np.ndarray, "n columns"]
) -> Any:
    """Fill in the gaps of a frame that are to be filled, whose other cells and dtypes stay."""
    made = as_frame(filled, data.schema, data.outside)
    gone = hidden_in(X, made.columns, data.schema, gone)
    if not is_pandas(X):
        return with_cells(X, made, gone)
    table = X.copy()
    titles = {str(name): name for name in table.columns}
    for name, hidden in zip(made.columns, gone.T):
        if not hidden.any():
            continue
        column = table[titles[name]]
        own = None if not column.notna().any() else column.dtype  # a column without a cell says nothing
        values = to_pandas(made[name].filter(pl.Series(hidden)), own)
        if own is None:
            column = column.astype(values.dtype if values.dtype.kind in "fmM" else object)
        column = column.copy()
        column.iloc[np.flatnonzero(hidden)] = values.array
        table[titles[name]] = column
    return table


def array_with_filled(
    X: Any, names: Sequence[str] | None, data: Dataset, filled: Shaped[np.ndarray, "n columns"], gone: np.ndarray
) -> Shaped[np.ndarray, "n columns"]:
    """Fill in the gaps of an array whose columns have types."""
    made, types = np.array(X, np.float64), data.schema.types or ()
    names = names or [f"x{i}" for i in range(made.shape[1])]
    values = in_units(filled, types)
    for j, (name, one) in enumerate(zip(data.schema.names, types)):
        named = one.series(filled[gone[:, j], j]).cast(pl.Float64, strict=False).to_numpy() if one.named else None
        made[gone[:, j], list(names).index(name)] = values[gone[:, j], j] if named is None else named
    return made


def with_numbers(X: Any, filled: Shaped[np.ndarray, "n columns"]) -> Any:
    """Fill in the gaps of a frame of numbers, whose index and other columns stay."""
    if not is_pandas(X):
        frame = X.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
        made = pl.DataFrame({name: filled[:, j] for j, name in enumerate(frame.columns)})
        gone = [frame[name].is_null() for name in frame.columns]
        pairs = zip(frame.columns, gone)
        return frame.with_columns(
            made[name].zip_with(one, frame[name].cast(pl.Float64)) for name, one in pairs if one.any()
        )
    made = X.copy()
    for j, name in enumerate(made.columns):
        column = made[name]
        gone = column.isna().to_numpy()
        if gone.any():
            numbers = column.to_numpy(np.float64, na_value=np.nan).copy()
            numbers[gone] = filled[gone, j]
            kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else ""
            made[name] = numbers.astype(column.dtype) if kind == "f" else numbers
    return made


def ends_like(X: Any, data: Dataset, ends: Shaped[np.ndarray, "n columns"]) -> Any:
    """Ends of intervals, NaN for none, as a frame with the index of another one."""
    types = data.schema.types or ()
    numbers = [name for name, one in zip(data.schema.names, types) if one.named or one.kind == "number"]
    named = [name for name, one in zip(data.schema.names, types) if one.named]
    if data.schema.types is None:
        made = pl.DataFrame(np.ascontiguousarray(ends), schema=list(data.schema.names))
    else:
        made = as_frame(ends, data.schema, data.outside).select(data.schema.names)
    made = made.with_columns(pl.lit(None).alias(name) for name in named)
    made = made.with_columns(pl.col(name).cast(pl.Float64) for name in numbers)
    if not is_pandas(X):
        return made
    frame = like(made, X.iloc[:0, :0])
    frame.index = X.index
    return frame


def as_fitted(x: Shaped[np.ndarray, "n columns"], schema: Schema, template: Any) -> Any:
    """Write stored rows as a frame with the dtypes and the names of columns of the frame that a model was fitted to."""
    # template: that frame, without its rows; None where it is not known.
    made = as_frame(x, schema)
    return made if template is None else like(made, template)


def emptied(X: Any) -> Any:
    """A frame without its rows."""
    return X.iloc[:0] if is_pandas(X) else X.clear()
