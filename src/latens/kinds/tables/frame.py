"""Whatever is a table in memory as one frame of Polars, and a frame as the library has it that a user gave."""

import datetime
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Shaped

from latens.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas
    from typing_extensions import TypeIs

    Frame: TypeAlias = pl.DataFrame | pandas.DataFrame
else:  # without importing pandas
    Frame = Any


def is_frame(value: object) -> "TypeIs[Frame]":
    """Say whether this is a frame of pandas or Polars, without importing pandas."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.split(".")[0] in ("pandas", "polars")


def is_pandas(value: object) -> "TypeIs[pandas.DataFrame]":
    """Say whether this is a frame of pandas."""
    return is_frame(value) and not isinstance(value, pl.DataFrame)


def as_rows(value: Any, where: str = "X") -> Any:
    """Take tables of other libraries and records as frames of Polars; frames and arrays stay as they are."""
    if is_frame(value) or isinstance(value, np.ndarray) or hasattr(value, "tocsr"):
        return value
    if hasattr(value, "collect") and "Frame" in type(value).__name__:  # lazy ones
        return as_rows(value.collect(), where)
    if callable(getattr(value, "pl", None)):  # a result of DuckDB
        return value.pl()
    records = isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value)
    if type(value).__name__ == "Series" or not (records or hasattr(value, "__arrow_c_stream__")):
        return value
    try:
        if records:
            return _of_records(value)
        return pl.DataFrame(value, strict=False)  # anything with the stream of Arrow
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        what = f"is not a table: {str(error).strip().splitlines()[0][:200].rstrip('.')}."
        raise DataError(what, where=where, fix="Give columns of one length.") from None


def _of_records(records: Sequence[Mapping[Any, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(str(name) for row in records for name in row)
    rows = [{str(name): cell for name, cell in row.items()} for row in records]
    return pl.DataFrame([_of_cells(name, [row.get(name) for row in rows]) for name in names])


def _of_columns(columns: Mapping[Any, Any], where: str) -> pl.DataFrame:
    if odd := next((repr(name) for name, one in columns.items() if not isinstance(one, Iterable)), None):
        raise DataError(f"column {odd} is not a list of cells.", where=where, fix="Give a cell for each row.")
    cells = {str(name): list(column) for name, column in columns.items()}
    if len(set(map(len, cells.values()))) > 1:
        raise DataError("has columns of unequal length.", where=where, fix="Give every column a cell for each row.")
    return pl.DataFrame([_of_cells(name, column) for name, column in cells.items()])


def as_table(value: Any, where: str) -> pl.DataFrame | None:
    """Take what is a table as a frame of Polars, with its columns as text; None for what is no table."""
    if isinstance(value, Mapping) and not hasattr(value, "tocsr"):  # SciPy's matrix of keys is a dict
        return _of_columns(value, where)
    value = as_rows(value, where)
    if isinstance(value, pl.DataFrame):
        return value
    return from_pandas(value, where) if is_pandas(value) else None


def from_pandas(frame: "pandas.DataFrame", where: str) -> pl.DataFrame:
    """Take a frame of pandas as one of Polars, by its dtypes."""
    if getattr(frame.columns, "nlevels", 1) > 1:
        what = f"has column names of {frame.columns.nlevels} levels, such as {frame.columns[0]!r}."
        fix = "Join them: frame.columns = ['_'.join(map(str, c)) for c in frame.columns]."
        raise DataError(what, where=where, fix=fix)
    names = [str(name) for name in frame.columns]
    check_names(names, where)
    return pl.DataFrame([_of_pandas(name, frame.iloc[:, i], where) for i, name in enumerate(names)])


def _of_pandas(name: str, column: Any, where: str) -> pl.Series:
    """A column of pandas as one of Polars."""
    from pandas.api import types

    column = column.sparse.to_dense() if type(column.dtype).__name__ == "SparseDtype" else column
    dtype, gone = column.dtype, column.isna()
    if hasattr(dtype, "categories"):
        values = [None if code < 0 else code for code in column.cat.codes.tolist()]
        own = [str(value).strip() for value in dtype.categories]
        kind = pl.Enum(own) if dtype.ordered and len(set(own)) == len(own) else pl.Categorical
        return pl.Series(name, [None if code is None else own[code] for code in values], dtype=kind)
    if types.is_complex_dtype(dtype):
        what = f"column {name!r} holds complex numbers."
        raise DataError(what, where=where, fix="Give real and imaginary part as columns of their own.")
    if types.is_bool_dtype(dtype):
        return _nullable(name, column, gone, bool, pl.Boolean)
    if types.is_integer_dtype(dtype):
        kind = np.dtype(str(getattr(dtype, "numpy_dtype", dtype)))
        return _nullable(name, column, gone, kind, pl.Series(np.zeros(0, kind)).dtype)
    if types.is_float_dtype(dtype):
        single = str(dtype).lower().startswith("float32")
        values = column.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        return pl.Series(name, np.ascontiguousarray(values), nan_to_null=True)
    if types.is_datetime64_any_dtype(dtype):
        zone = getattr(column.dt, "tz", None)
        plain = column if zone is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
        made = pl.Series(name, _in_unit(plain, "datetime64"))
        return made if zone is None else made.dt.replace_time_zone("UTC").dt.convert_time_zone(zone_name(zone))
    if types.is_timedelta64_dtype(dtype):
        return pl.Series(name, _in_unit(column, "timedelta64"))
    return _of_cells(name, [None if lost else value for value, lost in zip(column.tolist(), gone.tolist())])


def _in_unit(column: "pandas.Series", kind: str) -> np.ndarray:
    """Dates or durations of pandas in a unit that Polars has."""
    unit = next((one for one in ("ns", "us", "ms") if f"[{one}" in str(column.dtype)), "ms")
    return column.to_numpy(f"{kind}[{unit}]")


def _nullable(name: str, column: "pandas.Series", gone: "pandas.Series", kind: Any, dtype: Any) -> pl.Series:
    if not gone.any():
        return pl.Series(name, column.to_numpy(dtype=kind), dtype=dtype)
    cells = [None if lost else value for value, lost in zip(column.tolist(), gone.tolist())]
    return pl.Series(name, cells, dtype=dtype)


def _of_cells(name: str, cells: list[Any]) -> pl.Series:
    """Objects of Python as a column: of one kind as what they are, of several as text."""
    if cells and all(cell is None or isinstance(cell, datetime.datetime) for cell in cells):
        aware = [cell for cell in cells if cell is not None and cell.tzinfo is not None]
        if len({cell.utcoffset() for cell in aware}) > 1:  # moments of several zones
            return pl.Series(name, [None if cell is None else cell.astimezone(datetime.UTC) for cell in cells])
    if {type(cell).__module__.split(".")[0] for cell in cells} - {"builtins", "datetime", "decimal", "numpy", "pandas"}:
        return pl.Series(name, cells, dtype=pl.Object)  # refused: text would come back
    try:
        made = pl.Series(name, cells, nan_to_null=True)
        if made.dtype != pl.Object:
            return made
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    return pl.Series(name, [None if cell is None or cell != cell else str(cell) for cell in cells], dtype=pl.String)


def zone_name(zone: datetime.tzinfo | str) -> str:
    """The name that Polars has for a time zone of Python."""
    name = str(zone)
    for own in (name, name.removeprefix("UTC"), getattr(zone, "key", name)):
        try:
            pl.Series([0]).cast(pl.Datetime("us", own)).dt.base_utc_offset()
            return own
        except pl.exceptions.PolarsError:
            continue
    return "UTC"  # a fixed offset: the same moments


def check_names(names: Sequence[str], where: str, fix: str = "Give every column a name of its own.") -> None:
    """Refuse a table in which two columns have one name."""
    if not len(names):
        raise DataError("has no columns.", where=where, fix="Give at least one column.")
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise DataError(f"two columns are named {twice!r}.", where=where, fix=fix)


def like(made: pl.DataFrame, given: Frame) -> Any:
    """A frame with the dtypes and names of columns of another one, in its library."""
    # made: its columns are those of `given`, by their names as text, in any order, or some of them, and others.
    # given: a frame, of which an empty one is enough.
    if not is_pandas(given):
        known = given.schema if isinstance(given, pl.DataFrame) else {}
        wanted = [(name, known[name]) for name in made.columns if name in known and known[name] != made.schema[name]]
        return made.with_columns(pl.col(name).cast(dtype, strict=False) for name, dtype in wanted)
    pandas = importlib.import_module("pandas")
    titles = {str(name): name for name in given.columns}
    columns = [to_pandas(made[name], given[titles[name]].dtype if name in titles else None) for name in made.columns]
    frame = pandas.concat(columns, axis=1) if columns else pandas.DataFrame()
    frame.columns = [titles.get(name, name) for name in made.columns]
    return frame


def to_pandas(column: pl.Series, dtype: Any = None) -> Any:
    """A column as one of pandas, of a dtype where it is known."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise ConfigError("pandas is not installed.", where="pandas", fix="pip install pandas") from None
    gone = column.is_null().any()
    if hasattr(dtype, "categories"):
        known = {str(value).strip(): value for value in dtype.categories}
        return pandas.Series(pandas.Categorical([known.get(name) for name in column.cast(pl.String)], dtype=dtype))
    if str(dtype) == "object":
        return pandas.Series(column.to_list(), dtype=object)
    if isinstance(column.dtype, pl.Enum) and dtype is None:
        names = column.dtype.categories.to_list()
        return pandas.Series(pandas.Categorical(column.to_list(), categories=names, ordered=True))
    if isinstance(column.dtype, pl.Datetime | pl.Duration):
        zone, plain = getattr(column.dtype, "time_zone", None), column
        if zone is not None:
            plain = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        made = pandas.Series(plain.to_numpy())
        made = made if zone is None else made.dt.tz_localize("UTC").dt.tz_convert(zone)
    elif column.dtype == pl.Boolean or column.dtype.is_integer():
        if not gone:
            made = pandas.Series(column.to_numpy())
        elif column.dtype == pl.Boolean:
            made = pandas.Series(column.to_list(), dtype="boolean" if dtype is None else dtype)
        else:
            made = pandas.Series(column.to_list(), dtype=type(column.dtype).__name__ if dtype is None else dtype)
    elif column.dtype.is_float():
        made = pandas.Series(column.to_numpy())
    elif column.dtype in (pl.Date, pl.Time) or column.dtype == pl.Binary or column.dtype.is_decimal():
        made = pandas.Series(column.to_list(), dtype=object)
    else:
        made = pandas.Series(column.cast(pl.String).to_list(), dtype="str")
    return made if dtype is None or made.dtype == dtype else made.astype(dtype)


def with_cells(frame: pl.DataFrame, made: pl.DataFrame, gone: Shaped[np.ndarray, "n columns"]) -> pl.DataFrame:
    """A frame with the cells of another one in its gaps."""
    # gone: which cells are taken, of shape (n, columns of `made`).
    for name, hidden in zip(made.columns, gone.T):
        own, new = frame[name] if name in frame.columns else made[name], made[name]
        if hidden.any() or name not in frame.columns:
            if own.dtype not in (pl.Null, new.dtype):
                new = new.cast(own.dtype, strict=False)
            frame = frame.with_columns(new.zip_with(pl.Series(hidden), own.cast(new.dtype)).alias(name))
    return frame
