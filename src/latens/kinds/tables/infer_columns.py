"""A frame as rows of numbers: what its columns hold by their dtypes, or as it is declared or a model knows them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl
from jaxtyping import Float

from latens.data.row_fields import ColumnRoles, LackingColumn, Raw
from latens.errors import DataError, ResourceError, nearest
from latens.kinds.tables.columns import WHOLE, ColumnType, FrameColumn
from latens.kinds.tables.derived import LEFT_OUT, Declared
from latens.kinds.tables.dtypes import as_dates, check_dates, check_plain, dtype_of, name_of, names_of, numbers_of
from latens.kinds.tables.frame import check_names
from latens.runtime.file_limits import MAX_BYTES

_WIDE = (pl.Int128, pl.UInt128)
"""Whole numbers that NumPy has no type for."""


def rows_of(frame: pl.DataFrame, roles: ColumnRoles, where: str, names: np.ndarray | None = None) -> Raw:
    """Take label, id and weight out of a frame; the other columns are rows, of numbers alone or of several kinds."""
    # names: ids of the rows that stand beside the frame; None without any.
    check_names(frame.columns, where)
    check_dates(frame, where)
    found = role_positions(frame.columns, roles, where)
    if frame.columns[0] == "" and "row_id" not in found and 0 not in found.values():  # the index that pandas writes
        found["row_id"] = 0
    beside = {role: plain_cells(frame.to_series(i)) for role, i in found.items()}
    kept = [name for i, name in enumerate(frame.columns) if i not in found.values()]
    if not kept:
        raise DataError("has no column left.", where=where, fix="Name fewer columns as label, id or weight.")
    if len(kept) * frame.height * 8 > MAX_BYTES:
        raise ResourceError(f"has more than {MAX_BYTES // 8} cells.", where=where, fix="Use fewer rows or columns.")
    ids, rest = beside.get("row_id", names), frame.select(kept)
    label_name = frame.columns[found["label"]] if "label" in found else None
    truth = all(dtype == pl.Boolean for dtype in rest.dtypes)
    plain = roles.declared is None and (truth or all(dtype.is_numeric() for dtype in rest.dtypes))
    if plain:
        label, weight = beside.get("label"), beside.get("weight")
        return Raw(plain_numbers(rest), label, ids, weight, tuple(kept), label_name=label_name)
    x, kinds = coded(rest, roles.declared or {}, where)
    raw = Raw(x, beside.get("label"), ids, beside.get("weight"), tuple(kept), label_name=label_name, kinds=kinds)
    raw.notes += mostly_numbers(rest) if not roles.declared else ()
    return raw


def plain_numbers(frame: pl.DataFrame) -> np.ndarray:
    """Columns of numbers and truth values as an array of the type that holds them all, NaN where a cell is missing."""
    exact = lambda one: one.dtype.is_float() or not (one.null_count() or one.dtype in _WIDE)  # noqa: E731
    columns = [one.to_numpy() if exact(one) else numbers_of(one) for one in frame]
    columns = [one.astype(np.float64) if one.dtype == object else one for one in columns]
    x = np.empty((frame.height, frame.width), np.result_type(*columns))
    for i, column in enumerate(columns):
        x[:, i] = column
    return x


def plain_cells(column: pl.Series) -> np.ndarray:
    """Labels, ids or weights as an array: numbers, or objects of text with "" for what is missing."""
    if column.dtype.is_numeric() and not column.dtype.is_decimal() and column.dtype not in _WIDE:
        return numbers_of(column) if column.null_count() else column.to_numpy()
    if column.dtype == pl.Boolean and not column.null_count():
        return column.to_numpy()
    return np.array(names_of(column).fill_null("").to_list(), object)


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


def coded(
    frame: pl.DataFrame, declared: Mapping[str, Declared], where: str
) -> tuple[Float[np.ndarray, "n columns"], dict[int, FrameColumn]]:
    """Columns as numbers and codes of names, NaN where a cell is missing; and what each column is."""
    left = [name for name, one in declared.items() if one.kind == LEFT_OUT and name in frame.columns]
    check_plain(frame.drop(left), where)
    x, kinds = np.full((frame.height, frame.width), np.nan), {}
    for i, series in enumerate(frame.iter_columns()):
        said = declared.get(series.name, Declared())
        kinds[i] = FrameColumn() if said.kind == LEFT_OUT else None
        if kinds[i] is None:
            x[:, i], kinds[i] = _column(series, said, where)
    return x, kinds


def _column(series: pl.Series, said: Declared, where: str) -> tuple[np.ndarray, FrameColumn]:
    """A column as numbers, and what it is."""
    refuse = partial(_refusal, series, said, where)
    if said.kind in ("category", "ordinal"):
        _refuse_names(series, said, where)
        return _names(series, said)
    if said.kind == "date":
        return _dates(series, said, refuse)
    if said.kind == "duration":
        if not isinstance(series.dtype, pl.Duration) and not series.dtype.is_numeric():
            raise refuse("durations", "Give a column of durations, or of seconds.")
        dtype = name_of(series.dtype) if isinstance(series.dtype, pl.Duration) else said.dtype or "Duration[us]"
        return numbers_of(series), FrameColumn(dtype=dtype)
    if said.kind == "number":
        return _numbers(series, refuse)
    if series.dtype == pl.String or series.dtype in (pl.Boolean, pl.Categorical, pl.Enum, pl.Binary):
        return _names(series, said)
    numbers = numbers_of(series)
    if series.dtype.is_integer() and np.nanmax(np.abs(numbers), initial=0.0) >= WHOLE:
        return _names(series, said)  # more digits than float64 has
    return numbers, FrameColumn(dtype="Float64" if series.dtype == pl.Null else name_of(series.dtype))


def coded_as(values: Sequence[pl.DataFrame], declared: Mapping[str, Declared], where: str) -> dict[str, Declared]:
    """How to read some of the rows of columns whose different values these are."""
    made = {}
    for column in values:
        name = column.columns[0]
        said = declared.get(name, Declared())
        found = _column(column.to_series(), said, where)[1]
        made[name] = Declared(found.kind, found.values, said.zone, found.form, found.dtype)
    return made


def _refusal(series: pl.Series, said: Declared, where: str, wanted: str, fix: str, bad: object = None) -> DataError:
    """The error for a column that is not what it is declared, or what a model knows it as."""
    given = bad if bad is not None else next(iter(series.drop_nulls().head(1)), "nothing")
    known = f"the model knows it as {wanted}" if said.dtype else f"it is to hold {wanted}"
    what = f"column {series.name!r} holds {str(given)[:60]!r} ({series.dtype}); {known}."
    return DataError(what, where=where, fix=fix)


def _numbers(series: pl.Series, refuse: Callable[..., DataError]) -> tuple[np.ndarray, FrameColumn]:
    dtype = name_of(series.dtype) if series.dtype.is_numeric() else "Float64"
    if series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null):
        return numbers_of(series), FrameColumn(dtype=dtype)
    if series.dtype.is_temporal():
        raise refuse("numbers", "Declare it a date or a duration, or write numbers.")
    words = names_of(series).str.strip_chars()
    made = words.cast(pl.Float64, strict=False)
    bad = words.filter(made.is_null() & words.is_not_null() & (words != ""))
    if len(bad):
        raise refuse("numbers", "Mend the cell, leave it empty, or name its word: --null WORD.", bad[0])
    return numbers_of(made), FrameColumn(dtype=dtype)


def _dates(series: pl.Series, said: Declared, refuse: Callable[..., DataError]) -> tuple[np.ndarray, FrameColumn]:
    form, known = said.form, dtype_of(said.dtype) if said.dtype else None
    if not series.dtype.is_temporal() and series.dtype != pl.Null:
        own = series.dtype
        if known == pl.Time:
            raise refuse("times of the day", "Give a column of times.")
        compact = own.is_integer() and not form
        made = as_dates(series, form, said.zone)
        if made is None:
            raise refuse("dates", 'Say how they are written: {"kind": "date", "form": "%d/%m/%Y"}.')
        if (form or compact) and not said.zone:  # written again as they were
            clock = isinstance(made.dtype, pl.Datetime)
            return numbers_of(made), FrameColumn(dtype=name_of(own), form=form or ("%Y%m%d" if not clock else form))
        series = made
    if isinstance(series.dtype, pl.Duration):
        raise refuse("dates", "Declare it a duration.")
    if said.zone and isinstance(series.dtype, pl.Datetime):
        bare = series.dtype.time_zone is None
        if bare and known is not None:
            raise refuse(f"times of the zone {said.zone}", "Give them their zone.")
        series = series.dt.replace_time_zone(said.zone, ambiguous="earliest", non_existent="null") if bare else series
        series = series.dt.convert_time_zone(said.zone)
    elif known is not None and getattr(series.dtype, "time_zone", None):
        raise refuse("times without a zone", "Leave the zone out, or write them in it.")
    if known is not None and not said.form and known != series.dtype and series.dtype != pl.Null:
        try:
            series = series.cast(known)
        except pl.exceptions.PolarsError:
            raise refuse("dates of another kind", "Write them as in the training data.") from None
    dtype = said.dtype if said.form and said.dtype else name_of(series.dtype)
    return numbers_of(series), FrameColumn(dtype=said.dtype or dtype, form=said.form)


def _refuse_names(series: pl.Series, said: Declared, where: str) -> None:
    """Refuse names in no order where one is declared, and names beside those that are declared."""
    if said.dtype:  # a model knows them
        return
    if said.kind == "ordinal" and not said.values and not (series.dtype.is_numeric() or series.dtype == pl.Enum):
        what = f"column {series.name!r} is declared as ordinal, but its categories have no order."
        raise DataError(what, where=where, fix=f"Say it, from the least on: --column {series.name}=ordinal:A,B,C.")
    own = names_of(series).unique().drop_nulls().sort()
    other = own.filter(~own.is_in(list(said.values)))
    if said.values and len(other):
        what = f"column {series.name!r} holds {other[0]!r:.60}, which is not one of its declared categories."
        raise DataError(what, where=where, fix="Add it, or leave such cells empty.")


def _names(series: pl.Series, said: Declared) -> tuple[np.ndarray, FrameColumn]:
    """Codes of names: in the order of an `Enum` or of what is declared, else sorted."""
    words, ordered = names_of(series), said.kind == "ordinal" or (said.kind is None and series.dtype == pl.Enum)
    if said.dtype == "Boolean":
        words = words.replace({"0": "False", "1": "True", "false": "False", "true": "True"})
    if said.values:
        more = [name for name in words.unique().drop_nulls().sort().to_list() if name not in said.values]
        values = [*said.values, *more]
    elif isinstance(series.dtype, pl.Enum) and ordered:
        values = series.dtype.categories.to_list()
    elif series.dtype.is_numeric() and said.dtype != "Boolean":
        values = names_of(series.unique().drop_nulls().sort()).to_list()
    else:
        values = words.unique().drop_nulls().sort().to_list()
    dtype = said.dtype or name_of(series.dtype)
    dtype = "String" if dtype == "Enum" and not ordered else dtype
    place = pl.DataFrame(
        {"name": values, "code": np.arange(len(values), dtype=np.float64)}, schema_overrides={"name": pl.String}
    )
    codes = pl.DataFrame({"name": words}).join(place, on="name", how="left", maintain_order="left")["code"]
    return numbers_of(codes), FrameColumn(tuple(values), dtype, ordered, named=True)


def mostly_numbers(frame: pl.DataFrame) -> tuple[str, ...]:
    """Say of columns of names that most are numbers."""
    made = []
    for series in frame.select(pl.col(pl.String)).iter_columns():
        words = series.drop_nulls()
        slips = words.filter(words.str.strip_chars().cast(pl.Float64, strict=False).is_null())
        if 0 < len(slips) < 0.5 * len(words) and len(words) - len(slips) > 2 and not words.str.contains(r"^0\d").any():
            share, how = 1 - len(slips) / len(words), f"--null {slips[0]!r:.40} takes such cells as empty"
            made.append(f"Column {series.name!r} is a category, but {share:.0%} of its cells are numbers: {how}.")
    return tuple(made)


def known_as(types: Mapping[str, ColumnType], ignored: Sequence[str]) -> dict[str, Declared]:
    """How to read columns as those of a model."""
    made = {}
    for name, one in types.items():
        zone = one.dtype.partition(", ")[2].rstrip("]") if one.dtype.startswith("Datetime") else ""
        values = one.values if one.kind == "ordinal" else ()
        made[name] = Declared(one.kind, values, zone=zone, dtype=one.dtype, form=one.form)
    return made | {name: Declared(LEFT_OUT) for name in ignored}
