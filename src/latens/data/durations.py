"""Spans of time: whole numbers of the coarsest unit that they were recorded in, and text that says the same."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal

import numpy as np
from jaxtyping import Shaped

from latens.errors import DataError

UNITS = {
    "days": 86_400 * 10**9,
    "hours": 3_600 * 10**9,
    "minutes": 60 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}
"""The units by name, the coarsest first, with the nanoseconds of each."""
CODES = dict(zip(UNITS, ("D", "h", "m", "s", "ms", "us", "ns")))
"""What NumPy calls them."""

_CLOCK = re.compile(r"(?:([-+]?\d{1,9}) days?,? )?([-+]?)(\d{1,2}):(\d\d):(\d\d)(?:\.(\d{1,9}))?\Z")
_AMOUNT = re.compile(r"([-+]?\d{1,19}(?:\.\d{1,9})?) ?([a-z]{1,12})\Z")
_WORDS = {
    "days": ("d", "day"),
    "hours": ("h", "hr", "hour"),
    "minutes": ("m", "min", "minute"),
    "seconds": ("s", "sec", "second"),
    "milliseconds": ("ms", "millisecond"),
    "microseconds": ("us", "microsecond"),
    "nanoseconds": ("ns", "nanosecond"),
}
_OF_WORD = {word: UNITS[unit] for unit, words in _WORDS.items() for word in (unit, *words)}


def nanoseconds(text: str) -> int:
    """Read a span of time."""
    if found := _CLOCK.match(text):
        days, sign, hours, minutes, seconds, fraction = found.groups()
        clock = 3600 * int(hours) + 60 * int(minutes) + int(seconds)
        clock = clock * 10**9 + int((fraction or "").ljust(9, "0"))
        return int(days or 0) * UNITS["days"] + (-clock if sign == "-" else clock)
    found = _AMOUNT.match(text.lower())
    if found is None or found[2] not in _OF_WORD:
        raise ValueError(text)
    return int(Decimal(found[1]) * _OF_WORD[found[2]])


def span_number(text: str, unit: str) -> float:
    """Turn a span of time into the number that a column stores."""
    return float(Decimal(nanoseconds(text)) / UNITS[unit])


def recorded(whole: Shaped[np.ndarray, " n"], resolution: str) -> tuple[np.ndarray, str]:
    """Count spans of time in the coarsest unit of which all are multiples."""
    own = next(UNITS[name] for name, code in CODES.items() if code == resolution)
    for name, size in UNITS.items():
        if size >= own and not np.any(whole % (size // own)):
            return (whole // (size // own)).astype(np.float64), name
    raise AssertionError(resolution)  # every whole number is a multiple of its own unit


def as_spans(numbers: Shaped[np.ndarray, " n"], unit: str, resolution: str) -> Shaped[np.ndarray, " n"]:
    """Write numbers of a unit as spans of time."""
    whole = np.round(np.asarray(numbers, np.float64)).astype(np.int64)
    return whole.astype(f"timedelta64[{CODES[unit]}]").astype(f"timedelta64[{resolution}]")


def read_spans(
    distinct: Iterable[str], declared: bool, refused: Callable[[str, str, str], DataError]
) -> tuple[dict[str, float], str] | None:
    """Read the distinct texts of a column as spans of time."""
    words = sorted(distinct)
    if not declared and not (all(_CLOCK.match(word) for word in words) and any(" day" in word for word in words)):
        return None
    found = {}
    for word in words:
        try:
            found[word] = nanoseconds(word)
            if abs(found[word]) >= 2**63:
                raise ValueError(word)
        except ValueError:
            fix = 'It is to hold spans of time. Write "1 days 02:30:00" or "26.5 hours", or declare it as a category.'
            raise refused(word, "the text", fix) from None
    numbers, unit = recorded(np.array(list(found.values()), np.int64), "ns")
    return dict(zip(found, numbers.tolist())), unit
