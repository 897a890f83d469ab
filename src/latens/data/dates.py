"""Dates and times as text: numbers of days or seconds, and the zone that they are of."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from jaxtyping import Shaped

from latens.data.writings import Writing
from latens.errors import DataError

DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s?(Z|[+-]\d\d:?\d\d)?\Z")
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?\Z")
DAY = 86_400
"""Seconds of a day."""

BEYOND = "Leave such cells empty, or write the column as numbers."
"""What to do with a date that no calendar of Python has."""

_OFFSET = re.compile(r"(?:UTC)?([+-])(\d\d):?(\d\d)\Z")
_EPOCH = datetime(1970, 1, 1)


def zone_of(name: str) -> tzinfo | None:
    """Find a time zone by its name."""
    if name == "UTC":
        return UTC
    if found := _OFFSET.match(name):
        minutes = 60 * int(found[2]) + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes)) if minutes < 1440 else None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_name(zone: Any, where: str = "dates") -> str:
    """Name a time zone so that `zone_of` finds it."""
    name = "UTC" if str(zone) == "Z" else str(zone)
    if (found := _OFFSET.match(name)) is None and zone_of(name) is None:
        offset = zone.utcoffset(None) if isinstance(zone, tzinfo) else None
        if offset is None:
            raise _no_zone(name, where)
        minutes = int(offset.total_seconds() // 60)
        name = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    elif found is not None:
        name = f"{found[1]}{found[2]}:{found[3]}"
        if zone_of(name) is None:
            raise _no_zone(name, where)
    return "UTC" if name in ("+00:00", "-00:00") else name


def _no_zone(name: str, where: str) -> DataError:
    fix = 'Use "UTC", an offset such as "+01:00", or a name such as "Europe/Paris".'
    return DataError(f"there is no time zone {name[:60]!r} on this machine.", where=where, fix=fix)


def zone_offsets(seconds: Shaped[np.ndarray, " n"], zone: str, *, wall: bool) -> Shaped[np.ndarray, " n"]:
    """Find by how many seconds the clocks of a zone are ahead of UTC."""
    own = zone_of(zone)
    if own is None:
        raise _no_zone(zone, "dates")
    values, which = np.unique(seconds.astype(np.int64), return_inverse=True)
    found = np.empty(len(values), np.int64)
    for i, value in enumerate(values.tolist()):
        try:
            moment = _EPOCH + timedelta(seconds=value)
            at = moment.replace(tzinfo=own) if wall else moment.replace(tzinfo=UTC).astimezone(own)
        except OverflowError:
            what = f"a time {value} seconds after 1970 lies beyond the years 1 to 9999."
            raise DataError(what, where="dates", fix=BEYOND) from None
        found[i] = int((at.utcoffset() or timedelta()).total_seconds())
    return found[which]


def dated(seconds: Shaped[np.ndarray, " n"], zone: str) -> tuple[np.ndarray, Literal["D", "s"]]:
    """Count times in days where all are midnights of their zone, else in seconds."""
    # seconds: whole seconds since 1970 in UTC, or of a clock without a zone.
    # returns: days of the zone's own calendar, or the seconds as they cameand "D" or "s".
    seconds = seconds.astype(np.int64)
    whole = zone and not np.any(seconds % 60)  # else there is no midnight among them, wherever the zone is
    wall = seconds + zone_offsets(seconds, zone, wall=False) if whole else seconds
    if len(wall) and not np.any(wall % DAY):
        return wall // DAY, "D"
    return seconds, "s"


def written_times(numbers: Shaped[np.ndarray, " n"], written: str, zone: str) -> Shaped[np.ndarray, " n"]:
    """Write days or seconds of a zone as text with its offset."""
    # numbers: days of the zone's calendar, or seconds since 1970 in UTC.
    seconds = np.round(np.asarray(numbers, np.float64)).astype(np.int64) * (DAY if written == "D" else 1)
    offset = zone_offsets(seconds, zone, wall=written == "D")
    wall = (seconds if written == "D" else seconds + offset).astype("datetime64[s]").astype(str)
    signs = [f"{'-' if each < 0 else '+'}{abs(each) // 3600:02d}:{abs(each) // 60 % 60:02d}" for each in offset]
    return np.array([f"{text.replace('T', ' ')}{sign}" for text, sign in zip(wall.tolist(), signs)], dtype=str)


def number_of(text: str, written: str, zone: str) -> float:
    """Turn a date or a time into the number that a column stores."""
    found = TIME.match(text)
    if found is None or not zone:
        if found is not None and found[2]:
            raise ValueError(text)
        number = float(np.array(text, f"datetime64[{written}]").astype(np.int64))
        if not zone or written == "D":
            return number
        return number - float(zone_offsets(np.array([number]), zone, wall=True)[0])
    seconds = _instants([text], zone)
    if written == "s":
        return float(seconds[0])
    return float((seconds[0] + zone_offsets(seconds, zone, wall=False)[0]) // DAY)


def _instants(words: list[str], zone: str) -> np.ndarray:
    """Seconds of UTC of times with or without an offset; without one they are of the zone's clocks."""
    parts = [(match[1], match[2]) if (match := TIME.match(word)) else (word, None) for word in words]
    wall = np.array([part for part, _ in parts], "datetime64[s]").astype(np.int64)
    own = np.zeros(len(wall), np.int64)
    bare = np.array([offset is None for _, offset in parts])
    if bare.any() and zone:
        own[bare] = zone_offsets(wall[bare], zone, wall=True)
    for i, (_, offset) in enumerate(parts):
        if offset is not None and offset != "Z":
            minutes = 60 * int(offset[1:3]) + int(offset[-2:])
            own[i] = 60 * (-minutes if offset[0] == "-" else minutes)
    return wall - own


def read_dates(
    distinct: Iterable[str], zone: str, refused: Callable[[str, str, str], DataError]
) -> tuple[dict[str, int], Literal["D", "s"], str] | None:
    """Read the distinct texts of a column as dates or times."""
    # returns: the number of each text, "D" or "s", and the zone (empty for none); None where they are no dates.
    words = sorted(distinct)
    days = {word for word in words if DATE.match(word)}
    times = {word: match for word in words if word not in days and (match := TIME.match(word))}
    if not words or len(days) + len(times) != len(words):
        return None
    offsets = {match[2]: word for word, match in times.items() if match[2]}
    bare = days | {word for word, match in times.items() if not match[2]}
    bad = [word for word in words if not _is_day(word)]
    if bad:  # 1234-56-78 is a name; a few among dates are slips
        if 2 * len(bad) >= len(words):
            return None
        raise refused(bad[0], "dates and", "There is no such day: mend the cell or leave it empty.")
    if offsets and bare and not zone:
        fix = "Write all of them with their zone, or all without."
        raise refused(sorted(bare)[0], f"times with a zone ({next(iter(offsets.values()))}) and without one:", fix)
    names = {zone_name(offset): word for offset, word in offsets.items()}
    if len(names) > 1 and not zone:
        first, second = [word for _, word in sorted(names.items())][:2]
        fix = 'Write all times in one zone, or name one: {"kind": "date", "zone": "UTC"}.'
        raise refused(second, f"times of several zones ({first} and others):", fix)
    zone = zone or next(iter(names), "")
    if not times:  # days, of a zone where one is named
        numbers = np.array(words, "datetime64[D]").astype(np.int64)
        return dict(zip(words, numbers.tolist())), "D", zone
    numbers, unit = _instants(words, zone), "s"
    if zone:
        numbers, unit = dated(numbers, zone)
    return dict(zip(words, numbers.tolist())), unit, zone


def iso_writing(distinct: Iterable[str]) -> Writing | None:
    """How times of ISO 8601 are written without a zone, where all are alike: with a blank or without seconds."""
    forms = {(word[10], word.count(":")) for word in distinct if _PLAIN.match(word)}
    if len(forms) != 1 or not all(map(_PLAIN.match, distinct)):
        return None
    ((between, colons),) = forms
    if (between, colons) == ("T", 2):  # as it is written anyway
        return None
    return Writing(pattern=f"%Y-%m-%d{between}%H:%M" + (":%S" if colons == 2 else ""))


def _is_day(word: str) -> bool:
    try:
        np.datetime64((TIME.match(word) or ("", word))[1], "s")
    except ValueError:
        return False
    return True
