"""Tables from memory (pandas, polars) and from Parquet: named columns, some of them labels, ids or weights."""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from msgspec import structs

from latens.data.columns import WHOLE, TextColumn
from latens.data.dates import dated, zone_name
from latens.data.declared import LEFT_OUT, Declared
from latens.data.durations import recorded
from latens.data.raw import MAX_BYTES, ColumnRoles, LackingColumn, Raw
from latens.data.rows import MISSING_NAMES, MISSING_WORDS
from latens.data.sparse import sparse_rows
from latens.data.words import Coded, Words, only_gaps, read_column
from latens.data.writings import decimal_of
from latens.errors import DataError, ResourceError, nearest

T = TypeVar("T")

TRUTH = TextColumn(("False", "True"), "bool")
"""What the codes of truth values stand for."""
_LONG, _CHARACTERS = 1000, 2**26
"""Characters of a cell, and of an array whose cells are all as long, above which text is no label and no id."""


def role_positions(names: Sequence[str], roles: ColumnRoles, where: str) -> dict[str, int]:
    """Find the columns of the label, the id and the weight."""
    # A whole number counts columns (-1: the last).
    found: dict[str, int] = {}
    for role, name in roles.asked().items():
        if name in names:
            found[role] = list(names).index(name)
        elif name.lstrip("-").isdecimal() and name.isascii() and -len(names) <= int(name) < len(names):
            found[role] = int(name) % len(names)
        else:
            wide = f"It has {len(names)} columns, from {names[0][:40]!r} to {names[-1][:40]!r}."
            hint = nearest(name, names) if len(names) <= 1000 else wide
            raise LackingColumn(f"has no column {name!r}.", where=where, fix=hint)
    if len(set(found.values())) != len(found):
        raise DataError("one column was named for two roles.", where=where, fix="Name different columns.")
    return found


def kept_columns(columns: Iterable[T], apart: Collection[Any], where: str) -> list[T]:
    """Give the columns that are rows: all but the label, the id and the weight."""
    kept = [column for column in columns if column not in apart]
    if not kept:
        raise DataError("has no column of numbers left.", where=where, fix="Name fewer columns as label, id or weight.")
    return kept


def stacked(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Put columns into an array of the type that holds them all."""
    x = np.empty((len(columns[0]), len(columns)), np.result_type(*columns))
    for i, column in enumerate(columns):
        x[:, i] = column
    return x


def _check_cells(columns: int, rows: int, where: str) -> None:
    if columns * rows * 8 > MAX_BYTES:
        raise ResourceError(f"has more than {MAX_BYTES // 8} cells.", where=where, fix="Use fewer rows or columns.")


def check_column_names(names: Sequence[str], where: str, fix: str = "Give every column a name of its own.") -> None:
    """Refuse a table in which two columns have one name."""
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise DataError(f"two columns are named {twice!r}.", where=where, fix=fix)


def from_words(
    columns: dict[str, Any],
    declared: Mapping[str, Declared] | None,
    where: str,
    lines: Sequence[int] | None = None,
    every: Declared = Declared(),  # noqa: B008 - immutable
) -> tuple[np.ndarray, dict[int, TextColumn]]:
    """Make rows of columns of which some are text, dates or names: numbers, and what their codes stand for."""
    # lines: the line of the file that each row is in; None: rows are counted from 0.
    # every: what is said of all columns, where nothing is said of one.
    # returns: rowsNaN where a cell of text is missing; and by position what the codes of a column stand for.
    texts: dict[int, TextColumn] = {}
    n = len(next(iter(columns.values())))
    _check_cells(len(columns), n, where)
    x = np.empty((n, len(columns)))
    beside = functools.cache(lambda: decimal_beside(columns.values()))
    for i, (name, values) in enumerate(columns.items()):
        said = said_of(name, declared, every)
        if said.kind == LEFT_OUT:
            x[:, i] = only_gaps(values)
            continue
        x[:, i], found = read_column(values, said, name, where, lines, beside)
        if found is not None:
            texts[i] = found
    return x, texts


def said_of(name: str, declared: Mapping[str, Declared] | None, every: Declared) -> Declared:
    """What is said of one column, or of all of them."""
    one = (declared or {}).get(name, every)
    return structs.replace(one, order=one.order or every.order, decimal=one.decimal or every.decimal)


def decimal_beside(columns: Iterable[Any]) -> str:
    """The decimal mark of the columns of text, "" where there is none, or more than one."""
    words = (column.words if isinstance(column, Words) else column for column in columns)
    lists = (one.tolist() if isinstance(one, np.ndarray) and one.dtype.kind == "U" else one for one in words)
    texts = (set(map(str.strip, one)) for one in lists if isinstance(one, list) and one and isinstance(one[0], str))
    return decimal_of([cell for cell in cells if cell.lower() not in MISSING_WORDS] for cells in texts)


def from_columns(columns: dict[str, Any], roles: ColumnRoles, where: str, names: np.ndarray | None = None) -> Raw:
    """Make rows of named columns; each is a `Coded` column, a NumPy array or a list of text."""
    words = list(columns)
    found = role_positions(words, roles, where)
    picked = {role: plain_cells(columns[words[i]], where) for role, i in found.items()}
    kept = kept_columns(words, [words[i] for i in found.values()], where)
    arrays = [column if isinstance(column := columns[word], Coded | list) else np.asarray(column) for word in kept]
    label_name = words[found["label"]] if "label" in found else None
    ids = picked.get("row_id", names)
    beside = (picked.get("label"), ids, picked.get("weight"), tuple(kept))
    plain = [numbers for array in arrays if (numbers := _as_numbers(array)) is not None]
    if len(plain) < len(arrays) or roles.declared is not None:
        x, texts = from_words(dict(zip(kept, arrays)), roles.declared, where, every=roles.every)
        return Raw(x, *beside, label_name=label_name, texts=texts)
    _check_cells(len(plain), len(plain[0]), where)
    return Raw(stacked(plain), *beside, label_name=label_name)


def _as_numbers(column: "np.ndarray | Coded | list[str]") -> np.ndarray | None:
    """A column of numbers or truth values as it stands in an array of one type; None for others."""
    if isinstance(column, list):
        return None
    if isinstance(column, Coded):
        return column.numbers if column.text.written == "bool" else None
    return column if column.dtype.kind in "biuf" else None


def plain_cells(column: Any, where: str) -> np.ndarray:
    """Give a column as an array of numbers or text."""
    words = column.words() if isinstance(column, Coded) else column
    return text_array(words, where) if isinstance(words, list) else np.asarray(words)


def text_array(words: list[str], where: str) -> np.ndarray:
    """Make an array of labels or ids, where a cell takes the memory of the longest and loses zero bytes at its end."""
    longest = max(map(len, words), default=0)
    if longest > _LONG and longest * len(words) > _CHARACTERS:
        row = next(i for i, word in enumerate(words) if len(word) == longest)
        what = f"a label or id has {longest} characters."
        raise DataError(what, where=f"{where}, row {row}", fix=f"Name a column whose cells have at most {_LONG}.")
    row = next((i for i, word in enumerate(words) if word.endswith("\0")), None)
    if row is not None:
        raise DataError("a label or id ends in a zero byte.", where=f"{where}, row {row}", fix="Remove that byte.")
    return np.array(words, dtype=str)


def is_frame(value: Any) -> bool:
    """Say whether this is a pandas or polars frame, without importing either."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.split(".")[0] in ("pandas", "polars")


def from_frame(frame: Any, roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of a pandas or polars frame; a pandas index that is not just a count becomes the row ids."""
    if getattr(frame.columns, "nlevels", 1) > 1:
        what = f"has column names of {frame.columns.nlevels} levels, such as {frame.columns[0]!r}."
        fix = "Join them: frame.columns = ['_'.join(map(str, c)) for c in frame.columns]."
        raise DataError(what, where=where, fix=fix)
    words = [str(name) for name in frame.columns]
    check_column_names(words, where)
    if type(frame).__module__.split(".")[0] == "polars":
        return from_columns({word: _polars(frame[word]) for word in words}, roles, where)
    index = frame.index
    counted = type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1
    # An index that names a row twice is not one of rows: of days, say, or of what was put together.
    twice = not counted and not index.is_unique and roles.row_id is None
    counted = counted or twice
    names = None if counted else np.asarray([v if isinstance(v, int) else str(v) for v in index.tolist()])
    found = role_positions(words, roles, where)
    kept = [i for i in range(len(words)) if i not in found.values()]
    if kept and not roles.declared and all(_is_sparse(frame.dtypes.iloc[i]) for i in kept):
        picked = {role: frame_column(frame.iloc[:, i]) for role, i in found.items()}
        x = sparse_rows(frame.iloc[:, kept].sparse.to_coo(), where)
        ids, named = picked.get("row_id", names), tuple(words[i] for i in kept)
        label_name = words[found["label"]] if "label" in found else None
        return Raw(x, picked.get("label"), ids, picked.get("weight"), named, label_name=label_name)
    asides = {words[i] for i in found.values()}
    left = {word for word, one in (roles.declared or {}).items() if one.kind == LEFT_OUT}
    columns = {
        word: frame_column(series) if word in asides | left else typed_column(series)
        for word, series in zip(words, (frame.iloc[:, i] for i in range(len(words))))
    }
    raw = from_columns(columns, roles, where, names)
    raw.notes += ("The index names some rows twice, and is not taken as ids: rows are counted from 0.",) * twice
    return raw


def typed_column(series: Any) -> "np.ndarray | Coded | list[str]":
    """Turn a column of a pandas frame into what its dtype says: names, truth values, times; else as `frame_column`."""
    from pandas import CategoricalDtype
    from pandas.api import types

    gone = series.isna().to_numpy()
    if isinstance(series.dtype, CategoricalDtype):
        return categories(series.cat.codes.to_numpy(), series.cat.categories.tolist(), bool(series.cat.ordered))
    if types.is_bool_dtype(series.dtype) and gone.any():
        return Coded(series.to_numpy(dtype=np.float64, na_value=np.nan), TRUTH)
    if getattr(series.dtype, "kind", "") == "m":
        unit = getattr(getattr(series.dtype, "pyarrow_dtype", None), "unit", None) or np.datetime_data(series.dtype)[0]
        return spans(series.to_numpy(f"timedelta64[{unit}]").astype(np.int64), gone, unit)
    if types.is_integer_dtype(series.dtype) and gone.any() and is_wide(series.fillna(0).to_numpy()):
        return ["" if missing else str(v) for v, missing in zip(series, gone)]
    if not types.is_datetime64_any_dtype(series.dtype):
        return frame_column(series)
    zone = "" if series.dt.tz is None else zone_name(series.dt.tz)
    utc = series if series.dt.tz is None else series.dt.tz_convert("UTC").dt.tz_localize(None)
    return times(utc.to_numpy("datetime64[s]").astype(np.int64), gone, zone)


def is_wide(values: np.ndarray) -> bool:
    """Whether whole numbers are beyond those that float64, which gaps need, tells apart: their text says them."""
    return bool(((values > WHOLE) | (values < -WHOLE)).any())


def times(seconds: np.ndarray, gone: np.ndarray, zone: str) -> Coded:
    """Days where all are midnights: not seconds of which 86,399 in 86,400 never come."""
    numbers = np.full(len(seconds), np.nan)
    numbers[~gone], unit = dated(seconds[~gone], zone)
    return Coded(numbers, TextColumn((), unit, zone))


def spans(whole: np.ndarray, gone: np.ndarray, resolution: str) -> Coded:
    """Durations, in the coarsest unit in which all of them are whole."""
    numbers = np.full(len(whole), np.nan)
    numbers[~gone], unit = recorded(whole[~gone], resolution)
    return Coded(numbers, TextColumn((), unit, resolution=resolution))  # type: ignore[arg-type]


def categories(codes: np.ndarray, values: Sequence[Any], ordered: bool) -> Coded:
    """Names that come as codes, -1 for missing ones: with an order all of them, else those that some row has."""
    names = ["" if value is None else str(value).strip() for value in values]
    used = range(len(names)) if ordered else np.unique(codes[codes >= 0]).tolist()
    kept = [name for name in dict.fromkeys(names[code] for code in used) if name.lower() not in MISSING_NAMES]
    kept = kept if ordered else sorted(kept)
    place = {name: float(i) for i, name in enumerate(kept)}
    of = np.array([place.get(name, np.nan) for name in names] + [np.nan])
    return Coded(of[codes], TextColumn(tuple(kept), ordered=ordered))


def _is_sparse(dtype: Any) -> bool:
    """Whether cells of a pandas column that are not stored are 0 (where they are NaN, they are missing)."""
    return type(dtype).__name__ == "SparseDtype" and dtype.subtype.kind in "biuf" and dtype.fill_value == 0


def frame_column(series: Any) -> np.ndarray:
    """Turn a column of a pandas frame into numbers, or into text with "" for what is missing."""
    from pandas.api import types

    if types.is_bool_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=bool)
    if types.is_complex_dtype(series.dtype):
        return series.to_numpy()
    if types.is_numeric_dtype(series.dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan) if series.isna().any() else plain(series.to_numpy())
    if types.is_datetime64_dtype(series.dtype) and (series.isna() | (series == series.dt.normalize())).all():
        series = series.dt.strftime("%Y-%m-%d")  # days, not seconds of which 86,399 in 86,400 never come
    return np.array(["" if missing else str(v) for v, missing in zip(series, series.isna())], dtype=str)


def _polars(series: Any) -> "np.ndarray | Coded":
    if series.dtype.is_numeric() or str(series.dtype) == "Boolean":
        return plain(series.to_numpy())
    if str(series.dtype).startswith("Duration"):
        whole = series.to_physical()
        return spans(whole.fill_null(0).to_numpy(), whole.is_null().to_numpy(), series.dtype.time_unit)
    return np.array(["" if v is None else str(v) for v in series.to_list()], dtype=str)


def plain(values: np.ndarray) -> np.ndarray:
    """Numbers that come as objects (yes-or-no with holes, decimals) as float64: None becomes NaN."""
    return values.astype(np.float64) if values.dtype == object else values
