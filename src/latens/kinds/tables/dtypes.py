"""Columns of a frame as numbers and names, and back with the dtype that they had."""

import datetime
import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl
from jaxtyping import Float, Shaped

from latens.errors import DataError

DAY = 86_400
"""Seconds of a day."""
FIRST_DAY, LAST_DAY = -719_162, 2_932_897
"""Days from 1970 to 0001-01-01, and to the end of 9999-12-31."""
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_FORM = re.compile(r"(\w{1,20})(?:\[(\w{1,2}|\d{1,2})(?:, ([\w/+:-]{1,60}))?\])?\Z")
_WHOLE = ("Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64")
_PLAIN = ("Boolean", *_WHOLE, "Float32", "Float64", "String", "Categorical", "Enum", "Date", "Time", "Binary", "Null")
PLAIN: dict[str, Any] = {name: getattr(pl, name) for name in _PLAIN}
"""The dtypes without parameters by name; an `Enum` has the names of its column."""


def name_of(dtype: pl.DataType) -> str:
    """Name a dtype so that `dtype_of` finds it: "Int64", "Datetime[us, UTC]", "Duration[ms]", "Decimal[2]"."""
    if isinstance(dtype, pl.Datetime):
        return f"Datetime[{dtype.time_unit}{f', {dtype.time_zone}' if dtype.time_zone else ''}]"
    if isinstance(dtype, pl.Duration):
        return f"Duration[{dtype.time_unit}]"
    return f"Decimal[{dtype.scale}]" if isinstance(dtype, pl.Decimal) else type(dtype).__name__


def dtype_of(name: str, values: tuple[str, ...] = ()) -> Any:
    """The dtype of a name; a ValueError where there is none."""
    # values: the names of an Enum.
    found = _FORM.match(name)
    if name == "Enum":
        return pl.Enum(list(values))
    if name in PLAIN:
        return PLAIN[name]
    if found is None or found[2] is None:
        raise ValueError(name)
    if found[1] == "Decimal" and found[2].isdecimal() and not found[3]:
        return pl.Decimal(38, int(found[2]))
    if found[2] in _PER_SECOND and found[1] == "Duration" and not found[3]:
        return pl.Duration(found[2])  # type: ignore[arg-type]
    if found[2] in _PER_SECOND and found[1] == "Datetime":
        return pl.Datetime(found[2], found[3])  # type: ignore[arg-type]
    raise ValueError(name)


def is_known(name: str) -> bool:
    """Whether a text names a dtype; a file of a stranger may hold any."""
    try:
        dtype = dtype_of(name, ("a",))
        pl.Series([None], dtype=dtype)
    except (ValueError, pl.exceptions.PolarsError):
        return False
    return True


def numbers_of(series: pl.Series) -> Float[np.ndarray, " n"]:
    """A column as numbers, NaN where it has none: dates in days since 1970, times and durations in seconds."""
    dtype = series.dtype
    if dtype == pl.Date or dtype.is_temporal():
        whole = series.to_physical().cast(pl.Float64)
        unit = "ns" if dtype == pl.Time else getattr(dtype, "time_unit", None)
        series = whole if unit is None else whole / _PER_SECOND[unit]
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def series_of(numbers: Shaped[np.ndarray, " n"], dtype: str) -> pl.Series:
    """Numbers, NaN for none, as a column of a dtype: what `numbers_of` undoes."""
    own, values = dtype_of(dtype), pl.Series(np.asarray(numbers, np.float64), nan_to_null=True)
    if own == pl.Date:
        return values.round().cast(pl.Int32, strict=False).cast(pl.Date)
    if own == pl.Time:
        return (values * 1e9).round().clip(0, DAY * 10**9 - 1).cast(pl.Int64).cast(pl.Time)
    if isinstance(own, pl.Datetime | pl.Duration):
        whole = (values * _PER_SECOND[own.time_unit]).round().cast(pl.Int64, strict=False)
        zone = getattr(own, "time_zone", None)
        if isinstance(own, pl.Duration) or zone is None:
            return whole.cast(own)
        return whole.cast(pl.Datetime(own.time_unit)).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    if own == pl.Boolean:
        return values > 0.5
    if dtype in _WHOLE:
        low, high = (float(pl.select(end).item()) for end in (own.min(), own.max()))
        return values.round().clip(low, high).cast(own, strict=False)
    return values.cast(own, strict=False)


def names_of(series: pl.Series) -> pl.Series:
    """A column as names: text as it is, whole numbers without a fraction, "True" and "False"."""
    if series.dtype == pl.Boolean:
        return series.replace_strict({True: "True", False: "False"}, return_dtype=pl.String)
    if series.dtype == pl.Binary:
        return series.bin.encode("hex")
    if series.dtype.is_float() and (series.drop_nulls() == series.drop_nulls().round()).all():
        series = series.cast(pl.Int64, strict=False)
    return series.cast(pl.String)


def named_series(names: pl.Series, dtype: str, values: tuple[str, ...] = ()) -> pl.Series:
    """Names as a column of a dtype: what `names_of` undoes."""
    if dtype == "Boolean":
        return names == "True"
    if dtype == "Binary":
        return names.str.decode("hex", strict=False)
    own = dtype_of(dtype, values)
    if own == pl.Date:
        return names.str.to_date(strict=False)
    return (
        names.str.to_datetime(strict=False).cast(own) if isinstance(own, pl.Datetime) else names.cast(own, strict=False)
    )


def as_dates(series: pl.Series, form: str, zone: str) -> pl.Series | None:
    """Read text or whole numbers, such as 20230623, as days or times; None where a cell is neither."""
    # form: how they are written, in the letters of strftime; empty: ISO 8601, of whole numbers %Y%m%d.
    # zone: the zone of times, that of their clocks where they have no offset; empty for none.
    words = series.cast(pl.Int64, strict=False).cast(pl.String) if series.dtype.is_numeric() else series
    words = words.cast(pl.String).str.strip_chars()
    compact = form or ("%Y%m%d" if words.str.contains(r"^\d{8}$").all(ignore_nulls=True) else "")
    days = words.str.to_date(compact or "%Y-%m-%d", strict=False)
    if days.null_count() == series.null_count() and not zone and not any(f"%{c}" in compact for c in "HIMST"):
        return days
    try:
        times = _times(words, compact, zone)
    except pl.exceptions.PolarsError:
        return None
    return times if times.null_count() == series.null_count() else None


def _times(words: pl.Series, form: str, zone: str) -> pl.Series:
    offsets = words.str.contains(r"\d(Z|[+-]\d\d:?\d\d)$").drop_nulls()
    if len(offsets) and offsets.all():
        found = words.str.to_datetime(form or None, time_unit="us", time_zone="UTC", strict=False)
        return found.dt.convert_time_zone(zone or "UTC")
    found = words.str.to_datetime(form or None, time_unit="us", strict=False)
    return found.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null") if zone else found


def check_dates(frame: pl.DataFrame, where: str) -> None:
    """Refuse dates that neither Python nor Polars writes: those before the year 1 and after 9999."""
    for series in frame.iter_columns():
        if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
            days = numbers_of(series) / (1 if series.dtype == pl.Date else DAY)
            if np.any((days < FIRST_DAY) | (days > LAST_DAY)):
                what = f"column {series.name!r} holds a date before the year 1 or after 9999 ({series.dtype})."
                raise DataError(what, where=where, fix="Leave such cells empty, or write the column as numbers.")


def check_plain(frame: pl.DataFrame, where: str) -> None:
    """Refuse columns of lists, records and objects."""
    for name, dtype in frame.schema.items():
        if dtype.is_nested() or dtype == pl.Object:
            fix = "Leave it out with --column NAME='leave out', or write it as text, or its parts as columns."
            raise DataError(f"column {name!r} holds {dtype}, not cells.", where=where, fix=fix)


_CLOCK = re.compile(r"(?:([-+]?\d{1,9}) days?,? )?([-+]?)(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d{1,9})?))?\Z")
_AMOUNT = re.compile(r"([-+]?\d{1,19}(?:\.\d{1,9})?) ?([a-z]{0,12})\Z")
_UNITS = {
    ("d", "day", "days"): float(DAY),
    ("h", "hr", "hour", "hours"): 3600.0,
    ("m", "min", "minute", "minutes"): 60.0,
    ("", "s", "sec", "second", "seconds"): 1.0,
    ("ms", "millisecond", "milliseconds"): 1e-3,
    ("us", "microsecond", "microseconds"): 1e-6,
    ("ns", "nanosecond", "nanoseconds"): 1e-9,
}
SECONDS = {word: size for words, size in _UNITS.items() for word in words}
"""Seconds of a unit, by its words."""
_EPOCH = datetime.datetime(1970, 1, 1)
DAY_ONLY = re.compile(r"\s*\d{4}-\d\d-\d\d\s*\Z")
"""A date without a time."""


def is_zone(name: str) -> bool:
    """Say whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def seconds_of(text: str) -> float:
    """Read a span of time, as "26.5 hours", "7d", "90" or "1 days 02:30:00"; a ValueError for others."""
    if found := _CLOCK.match(text.strip()):
        days, sign, hours, minutes, seconds = found.groups()
        clock = 3600 * int(hours) + 60 * int(minutes) + float(seconds or 0)
        return int(days or 0) * DAY + (-clock if sign == "-" else clock)
    found = _AMOUNT.match(text.strip().lower())
    if found is None or found[2] not in SECONDS:
        raise ValueError(text)
    return float(found[1]) * SECONDS[found[2]]


def number_of(text: str, dtype: str, *, days: bool = False) -> float:
    """Read a date, a time of the day or a span of time as the number that a column of a dtype holds."""
    # days: whether the column counts days. Without an offset a time is of the clocks of the column's zone.
    text = text.strip()
    if dtype.startswith("Duration"):
        return seconds_of(text)
    if dtype == "Time":
        at = datetime.time.fromisoformat(text)
        return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6
    moment = datetime.datetime.fromisoformat(text)
    if days:
        return float((moment.replace(tzinfo=None) - _EPOCH).days)
    zone = dtype.partition(", ")[2].rstrip("]")
    if moment.tzinfo is None and zone:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    if moment.tzinfo is not None:
        if not zone:
            raise ValueError(text)
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - _EPOCH).total_seconds()
