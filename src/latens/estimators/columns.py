"""Frames with columns of several kinds: as rows of a model, and back with the dtypes that they had."""

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data import TRAIN, VALIDATION, Dataset, Schema
from latens.data.arrays import LEAST_ROWS_TO_VALIDATE
from latens.data.batches import hash_rows
from latens.data.columns import ColumnType, TextColumn
from latens.data.declared import Declared
from latens.data.formats.tables import from_words, is_frame
from latens.data.frames import as_frame, as_series
from latens.data.infer import find_missing
from latens.data.mixed import mixed_schema, stored_columns
from latens.data.raw import Raw
from latens.data.rows import row_keys
from latens.data.sources import hints, read_columns, without_unknown
from latens.data.text_rows import code_strings, text_schema
from latens.errors import UsageError


def has_words(X: Any) -> bool:
    """Say whether rows are a frame of which a column holds text, names, truth values or dates."""
    return _is_other(X, truth=False)


def read_mixed(X: Any) -> Raw | None:
    """Read a frame whose columns are of several kinds, by their dtypes and then by their cells."""
    # returns: the rows; None for an array, and for a frame whose cells are all numbers or truth values.
    if not _is_other(X, truth=True):
        return None
    raw = read_columns(X)
    return raw if any(found.written != "bool" for found in (raw.texts or {}).values()) else None


def _is_other(X: Any, *, truth: bool) -> bool:
    """Whether a dtype of a frame is not of numbers; `truth`: nor of truth values."""
    if not is_frame(X):
        return False
    if not hasattr(X, "isna"):  # of polars
        return not all(dtype.is_numeric() or (truth and str(dtype) == "Boolean") for dtype in X.dtypes)
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not all(is_numeric_dtype(dtype) and (truth or not is_bool_dtype(dtype)) for dtype in X.dtypes)


def rows_like(X: Any, schema: Schema, names: Sequence[str]) -> Raw:
    """Read rows for a model of typed columns."""
    said = hints(schema)
    if is_frame(X):
        return read_columns(X, said)
    array = np.asarray(X, np.float64)
    x, texts = from_words({name: array[:, i] for i, name in enumerate(names)}, said, "X")
    return Raw(x, columns=tuple(names), texts=texts)


def mixed_dataset(
    x: Shaped[np.ndarray, "n columns"],
    names: Sequence[str],
    texts: Mapping[int, TextColumn],
    *,
    schema: Schema | None = None,
    said: Mapping[str, Declared] | None = None,
    validation_fraction: float = 0.1,
    unknown: str = "error",
) -> Dataset:
    """Turn rows into a data set of typed columns."""
    # schema: the schema of a trained model; None tells it from the rows.
    find_missing(Raw(x, columns=tuple(names)), np.arange(len(x)), "nan", "X")  # infinities are refused
    observed = ~np.isnan(x)
    split = _split(len(x), validation_fraction)
    if schema is None:
        schema = mixed_schema(x, split == TRAIN, names, observed, texts, "X", said)
    refuse_unknown(unknown)
    strange: list[tuple[int, int, str]] | None = None if unknown == "error" else []
    cells, shown, outside = stored_columns(x, names, observed, texts, schema, "X", strange)
    stored = np.ascontiguousarray(cells, np.float32)
    beside = {"mask": shown, "outside": outside, "unseen": tuple(strange or ())}
    return _kept(Dataset(stored, schema, hash_rows(stored), np.arange(len(x)), split, "X", **beside), unknown)


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
    made = X.copy() if hasattr(X, "isna") else X.to_pandas()
    titles = {str(name): name for name in made.columns}
    for j, (own, one) in enumerate(zip(data.schema.columns or (), data.schema.types or ())):
        if not gone[:, j].any():
            continue
        column = made[titles[own.name]]
        values: Any = one.decoded(filled[gone[:, j], j])
        if one.zone:
            values = as_series(values, one).to_numpy()
        if one.named:  # True and 3 are no text in the frame
            known = {str(value): value for value in column.dropna().unique()}
            values = np.array([known.get(value, value) for value in values.tolist()], object)
        if values.dtype.kind not in "fiu" and not column.notna().any():
            column = column.astype(object)  # a column without a cell has the dtype of numbers
        if column.dtype.kind == "f":  # float32 takes no double that it cannot hold
            values = values.astype(getattr(column.dtype, "numpy_dtype", column.dtype))
        column = column.copy()
        column[gone[:, j]] = values
        made[titles[own.name]] = column.infer_objects() if column.dtype == object else column
    return like(X, made)


def with_numbers(X: Any, filled: Shaped[np.ndarray, "n columns"]) -> Any:
    """Fill in the gaps of a frame of numbers, whose index and other columns stay."""
    made = X.copy() if hasattr(X, "isna") else X.to_pandas()
    for j, name in enumerate(made.columns):
        column = made[name]
        gone = column.isna().to_numpy()
        if gone.any():
            numbers = column.to_numpy(np.float64, na_value=np.nan).copy()
            numbers[gone] = filled[gone, j]
            kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else ""
            made[name] = numbers.astype(column.dtype) if kind == "f" else numbers
    return like(X, made)


def ends_like(X: Any, data: Dataset, ends: Shaped[np.ndarray, "n columns"]) -> Any:
    """Ends of intervals, NaN for none, as a frame with the index of another one."""
    made: dict[str, Any] = {}
    for j, (own, one) in enumerate(zip(data.schema.columns or (), data.schema.types or ())):
        there = ~np.isnan(ends[:, j])
        values = one.decoded(np.where(there, ends[:, j], 0.0)) if not one.named else np.zeros(len(ends))
        if values.dtype.kind in "mM":
            made[own.name] = np.where(there, values, np.array("NaT", values.dtype))
        elif values.dtype.kind in "iuf":
            made[own.name] = np.where(there, values.astype(np.float64), np.nan)
        else:
            made[own.name] = np.array([one if seen else None for seen, one in zip(there, values.tolist())], object)
    pandas = importlib.import_module("pandas")
    return like(X, pandas.DataFrame(made, index=getattr(X, "index", None)))


def like(X: Any, made: Any) -> Any:
    """A frame of pandas as the library has it that another frame is of."""
    return made if hasattr(X, "isna") else type(X)(made)


def as_fitted(x: Shaped[np.ndarray, "n columns"], schema: Schema, dtypes: Mapping[str, Any]) -> Any:
    """Write stored rows as a frame with the dtypes of the frame that a model was fitted to."""
    made = as_frame(x, schema)
    for column, one in zip(schema.columns or (), schema.types or ()):
        if column.name in dtypes:
            made[column.name] = _as_dtype(made[column.name], one, dtypes[column.name])
    return made


def _as_dtype(values: Any, one: ColumnType, dtype: Any) -> Any:
    """A column in another dtype; names as the objects that they are of in categories."""
    if hasattr(dtype, "categories"):
        known = {str(value).strip(): value for value in dtype.categories}
        values = values.astype(object).map(lambda name: known.get(name, name))
    if isinstance(dtype, np.dtype) and dtype.kind == "O" and one.written != "text":
        return values  # truth values and numbers that came as objects
    return values.astype(dtype)
