"""Dates, times and spans of time as a person types them: numbers of days or seconds."""

import datetime
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from latens.kinds.tables.dtypes import DAY

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
_DAY_ONLY = re.compile(r"\s*\d{4}-\d\d-\d\d\s*\Z")


def is_day(text: str) -> bool:
    """Say whether a text is a date without a time."""
    return _DAY_ONLY.match(text) is not None


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
