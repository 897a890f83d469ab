"""Arrays as a data set; frames with columns of several kinds as rows of a model, and back with their dtypes."""

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Shaped

from latens.data.checks import lost_digits
from latens.data.dataset import Dataset, hash_rows
from latens.data.infer import cell_name, conform, fill, infer_schema, store
from latens.data.loading import IncomingRows
from latens.data.row_fields import TRAIN, VALIDATION, row_keys
from latens.data.schema import Schema
from latens.kinds import Guessed, kind_of, kind_of_rows
from latens.kinds.tables.derived import hidden_in
from latens.kinds.tables.frame import Frame, is_pandas, like, to_pandas, with_cells
from latens.kinds.tables.table_schema import as_frame, in_units
from latens.trained.inputs import RowsLike


def coming(X: RowsLike, schema: Schema | None, unknown: str, **said: Any) -> IncomingRows:
    """Read rows of text, or of a frame, as `latens.read` does."""
    rows = IncomingRows(Guessed(X, **said), schema, unknown, False, {}, "X")
    rows.plan()
    rows.read()
    rows.raw.names = None  # an index is no id of a row
    return rows


def dataset_of(rows: IncomingRows, validation_fraction: float) -> Dataset:
    """Turn rows that were read into a data set, of which a share validates."""
    rows.identify()
    rows.split = split_of_few(rows.n, validation_fraction)
    made = rows.dataset(kind_of_rows(rows).store(rows))
    if made.kept is not None:
        warnings.warn(made.notes[-1], UserWarning, stacklevel=4)
    return replace(made, row_id=hash_rows(made.x))


def as_named(X: Any, names: Sequence[str] | None) -> pl.DataFrame:
    """An array of numbers as a frame."""
    names = names or [f"x{i}" for i in range(X.shape[1])]
    return pl.DataFrame({name: X[:, i] for i, name in enumerate(names)}, nan_to_null=True)


def with_filled(
    X: Any, data: Dataset, filled: Shaped[np.ndarray, "n columns"], gone: Shaped[np.ndarray, "n columns"]
) -> Any:
    """Fill in the gaps of a frame that are to be filled, whose other cells and dtypes stay."""
    made = as_frame(filled, data.schema, data.outside)
    return _with_gaps(X, made, hidden_in(X, made.columns, data.schema, gone))


def _with_gaps(X: Any, made: pl.DataFrame, gone: Shaped[np.ndarray, "n columns"]) -> Any:
    """Put cells into the gaps of a frame, whose dtypes stay."""
    if not is_pandas(X):
        return with_cells(X, made, gone)
    table: Any = X.copy()
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
    X: RowsLike, names: Sequence[str] | None, data: Dataset, filled: Shaped[np.ndarray, "n columns"], gone: np.ndarray
) -> Shaped[np.ndarray, "n columns"]:
    """Fill in the gaps of an array whose columns have types."""
    made, types = np.array(X, np.float64), data.schema.column_types
    names = names or [f"x{i}" for i in range(made.shape[1])]
    values = in_units(filled, types)
    for j, (name, one) in enumerate(zip(data.schema.names, types)):
        named = one.series(filled[gone[:, j], j]).cast(pl.Float64, strict=False).to_numpy() if one.named else None
        made[gone[:, j], list(names).index(name)] = values[gone[:, j], j] if named is None else named
    return made


def with_numbers(X: Any, filled: Shaped[np.ndarray, "n columns"]) -> Any:
    """Fill in the gaps of a frame of numbers, whose index and other columns stay."""
    if not is_pandas(X):
        X = X.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    made, gone = {}, X.isna().to_numpy() if is_pandas(X) else X.select(pl.all().is_null()).to_numpy()
    for name, kind, cells in zip(X.columns, X.dtypes, filled.T):
        whole = re.match(r"u?int\d+", str(kind).lower())  # a nullable one, that of Arrow, or that of Polars
        ends = np.iinfo(whole[0]) if whole else None
        made[str(name)] = cells if ends is None else np.clip(np.rint(cells), ends.min, ends.max)
    return _with_gaps(X, pl.DataFrame(made), gone)


def ends_like(X: RowsLike, data: Dataset, ends: Shaped[np.ndarray, "n columns"]) -> Any:
    """Ends of intervals, NaN for none, as a frame with the index of another one."""
    types = data.schema.column_types
    numbers = [name for name, one in zip(data.schema.names, types) if one.named or one.kind == "number"]
    named = [name for name, one in zip(data.schema.names, types) if one.named]
    found = kind_of(data.schema).frame(ends, data.schema, data.outside)
    found = pl.DataFrame(np.ascontiguousarray(ends), schema=list(data.schema.names)) if found is None else found
    made = found.select(data.schema.names)
    made = made.with_columns(pl.lit(None).alias(name) for name in named)
    made = made.with_columns(pl.col(name).cast(pl.Float64) for name in numbers)
    if not is_pandas(X):
        return made
    frame = like(made, X.iloc[:0, :0])
    frame.index = X.index
    return frame


def as_fitted(x: Shaped[np.ndarray, " n *x"], schema: Schema, template: Frame | None) -> Any:
    """Write stored rows as strings, or as a frame with the dtypes and names of the one that a model was fitted to."""
    for texts in kind_of(schema).texts(schema, x).values():
        return texts.tolist()
    made = kind_of(schema).frame(x, schema)
    return x if made is None else made if template is None else like(made, template)


LEAST_ROWS_TO_VALIDATE = 50
"""With fewer rows than this all of them train."""


def split_of_few(n: int, validation_fraction: float) -> Shaped[np.ndarray, " n"]:
    """Choose by a hash of their positions the rows that validate; of few rows all train."""
    picked = row_keys(np.arange(n)).astype(np.float64) / 2**32
    fraction = validation_fraction if n >= LEAST_ROWS_TO_VALIDATE else 0.0
    return np.where(picked < fraction, VALIDATION, TRAIN).astype(np.uint8)


def as_dataset(
    x: Shaped[np.ndarray, "n D"],
    shape: Sequence[int] | None,
    *,
    kinds: Collection[str] = (),
    names: Sequence[str] | None = None,
    validation_fraction: float | None = None,
    schema: Schema | None = None,
) -> Dataset:
    """Turn the rows of a table into a data set whose kind of feature suits the likelihood."""
    # validation_fraction: share of the rows that validates, chosen by a hash of their position. With fewer than 50
    # rows, or with None or 0, all rows train.
    n, split = len(x), split_of_few(len(x), validation_fraction or 0.0)
    rows = x if shape is None else x.reshape(n, *shape)
    observed = observed_cells(rows)
    seen = x if observed is None else x[observed.reshape(x.shape)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    whole = x.dtype.kind in "biu" or bool(np.all(seen == np.floor(seen)))
    if kinds and set(kinds) <= {"binary", "levels"} and whole and observed is None and low >= 0 and high <= 255:
        rows = rows.astype(np.uint8)
    if schema is None:
        titles = None if shape else names
        schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X")
        if schema.kind not in kinds and "unit" in kinds and low >= 0 and high <= 1:
            schema = Schema(schema.shape, "unit")
        elif schema.kind not in kinds and "counts" in kinds and shape is None and whole and low >= 0:
            schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X", counts=True)
        empty = [] if observed is None or shape else np.flatnonzero(~observed[split == TRAIN].any(axis=0)).tolist()
        hollow = "has no observed value to train on: what is filled in there means nothing. Leave it out."
        for sentence in (*lost_digits(schema), *(f"X, {cell_name((j,), schema.columns)} {hollow}" for j in empty)):
            warnings.warn(sentence, UserWarning, stacklevel=4)
    else:
        conform(rows, None, schema, observed, where="X")
    stored = store(fill(rows, observed, split == TRAIN, schema), schema, "X")
    return Dataset(stored, schema, hash_rows(stored), np.arange(n), split, "X", mask=observed)


def observed_cells(x: np.ndarray) -> np.ndarray | None:
    """Find the values that are observed."""
    missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(0, bool)
    return ~missing if missing.any() else None
