"""How numbers and dates are written that are more than digits and a point: marks, units, money, orders of days."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

Words = Annotated[str, Meta(max_length=40)]
Refused = Callable[[str, str, str], Exception]

MONTH = 365.2425 / 12
"""Days of a month of the calendar, on average: what periods are counted by."""
_BLANKS = " \u00a0\u202f\u2009"
_CELL = re.compile(
    rf"(\(?)([-+\u2212]?)([^\d.,'()+\-\u2212]{{0,8}}?)([-+\u2212]?)"
    rf"((?:[0-9](?:[0-9.,'\u2019{_BLANKS}]*[0-9])?|[.,][0-9]+)(?:[eE][-+]?[0-9]{{1,3}})?)"
    rf"([{_BLANKS}]*(?:[^\d\s.,;()+=][^\d;()=]{{0,20}}[0-9\u00b2\u00b3]?)?)(\)?)\Z"
)
_GROUPED = re.compile(r"[-+]?[0-9]{1,3}(\.[0-9]{3})*\Z")
_MONEY = re.compile(
    r"USD|EUR|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|INR|BRL|Rs\.?|kr\.?|zł|Fr\.|Kč|Ft|[A-Z]{0,3}[$£€¥₹₽₩₺₫₴฿¢]"
)
_UNITS = re.compile(
    r"[nµumcdk]?m|in|ft|yd|mi|[npµumk]?g|t|lbs?|oz|[mcdh]?l|m?L|ha|sqm|sqft|ms|s|sec|min|h|hrs?|hours?|days?|d|weeks?|months?|"
    r"years?|yrs?|[mk]?V|m?A|[kMG]?Wh?|[kM]?J|k?cal|[kMG]?Hz|[hkM]?Pa|m?bar|mmHg|psi|mph|kn|[mµ]?mol|[mI]?U|[kKMGT]?B|px|"
    r"pt|dpi|bpm|rpm|pp[mb]|dB|K|k?N|lm|lx|°[CF]?|%|‰"
)
_ALONE = set("ABJKLNUVW")
"""Units of one capital letter are believed after a blank alone: 5A may be a class of a school."""
_MARKS = ("", ",", ".", "'", "\u2019", *_BLANKS)
_CLOCK = r"(?:(,? |T|)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,9})?)?( ?[AaPp][Mm])?)?\Z"
_DAY = re.compile(r"([0-9]{1,4})([-/. ])([0-9]{1,2}|[A-Za-z]{3,9})\2([0-9]{4}|[0-9]{1,2})" + _CLOCK)
_SAID = re.compile(r"()()([A-Za-z]{3,9}) ([0-9]{1,2}), ([0-9]{4})" + _CLOCK)
_HOUR = re.compile(r"()()()()" + _CLOCK)
_PERIODS = {
    "%Y#Q%q": re.compile(r"(?P<Y>[12][0-9]{3})(?P<s>[-/. ]?)Q(?P<q>[1-4])\Z"),
    "Q%q#%Y": re.compile(r"Q(?P<q>[1-4])(?P<s>[-/. ]?)(?P<Y>[12][0-9]{3})\Z"),
    "%Y#%m": re.compile(r"(?P<Y>[12][0-9]{3})(?P<s>[-/])(?P<m>0[1-9]|1[0-2])\Z"),
    "%m#%Y": re.compile(r"(?P<m>0[1-9]|1[0-2])(?P<s>[-/])(?P<Y>[12][0-9]{3})\Z"),
    "%b#%Y": re.compile(r"(?P<b>[A-Za-z]{3})(?P<s>[- /])(?P<Y>[12][0-9]{3})\Z"),
    "%B#%Y": re.compile(r"(?P<b>[A-Za-z]{3,9})(?P<s>[- /])(?P<Y>[12][0-9]{3})\Z"),
    "%G#W%V": re.compile(r"(?P<Y>[12][0-9]{3})(?P<s>[- ]?)W(?P<V>[0-5][0-9])\Z"),
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NAMES = {name: i for i, full in enumerate(_MONTHS, 1) for name in (full.lower(), full[:3].lower())}
ORDERS = ("dmy", "mdy", "ymd")
"""What --dates takes: the order of day, month and year."""


class Writing(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the cells of a column are written: a number with its marks and unit, or a date by its pattern."""

    prefix: Words = ""  # what stands before the digits, with its blank
    suffix: Words = ""  # what stands after them
    decimal: Literal[".", ","] = "."  # the mark before the decimals
    thousands: Annotated[str, Meta(max_length=1)] = ""  # the mark between groups of three digits; empty for none
    decimals: Annotated[int, Meta(ge=-1, le=15)] = -1  # how many decimals every cell has; -1: as many as it needs
    minus: Literal["-", "\u2212", "()"] = "-"  # how a number below 0 is marked
    inside: bool = False  # whether a sign stands after the prefix
    plus: bool = False  # whether numbers above 0 have a sign
    minutes: Annotated[int, Meta(ge=0, le=9)] = 0  # of seconds as 3:11 the least digits before the colon; 0: plain ones
    # of a date or time, by the letters of strftime; %-d, %-m, %-H and %-I have no leading zeros, %P is am or pm, %q the
    # quarter
    pattern: Words = ""

    @property
    def step(self) -> float | None:
        """The distance of two cells of a date's grid, in days or seconds; None for one of these."""
        if not self.pattern or any(letter in self.pattern for letter in ("%S", "%d", "%-d")):
            return 60.0 if "%M" in self.pattern and "%S" not in self.pattern else None
        if "%M" in self.pattern:
            return 60.0
        return 7.0 if "%V" in self.pattern else 3 * MONTH if "%q" in self.pattern else MONTH

    @property
    def of_day(self) -> bool:
        """Whether it is that of times of the day."""
        return "%M" in self.pattern and not set(re.findall(r"%-?([a-zA-Z])", self.pattern)) - set("HIMSpP")

    @property
    def unit(self) -> str:
        """The unit of numbers, without blanks."""
        return f"{self.prefix}{self.suffix}".strip()

    def fits(self, kind: str, ends: tuple[float, float]) -> bool:
        """Whether numbers between two ends, of a column of this kind, can be written so."""
        if not self.pattern:
            return kind == "number"
        size = 1 if "%M" in self.pattern else 86_400
        plain = re.sub(r"%-[dmHI]|%[YymdHIMSpPbBqGV]", "", self.pattern)
        return kind == "date" and "%" not in plain and all(-6.2e10 < end * size < 2.5e11 for end in ends)

    def text(self, number: float, digits: int = 0) -> str:
        """Write a number, with at most so many decimals where their count is not fixed; or days or seconds."""
        if self.pattern:
            return _dated(number, self.pattern)
        digits = digits if self.decimals < 0 else self.decimals
        shown = lap(abs(number), digits, self.minutes) if self.minutes else f"{abs(number):,.{digits}f}"
        shown = shown.rstrip("0").rstrip(".") if self.decimals < 0 and "." in shown else shown
        below = number < 0 and any(c in "123456789" for c in shown)
        marks = {",": self.thousands, ".": self.decimal}
        shown = "".join(marks.get(c, c) for c in shown) + self.suffix
        if below and self.minus == "()":
            return f"({self.prefix}{shown})"
        sign = self.minus if below else "+" if self.plus and number > 0 else ""
        return f"{self.prefix}{sign}{shown}" if self.inside else f"{sign}{self.prefix}{shown}"

    def number(self, text: str) -> float:
        """Read a cell that is written so; a ValueError where it is not."""
        return self.read(text)[0]

    def read(self, text: str) -> tuple[float, str]:
        """The same, and whether a date is in days or seconds: one without a time may stand for one with it."""

        def refused(*words: str) -> Exception:
            return ValueError(text)

        if self.pattern:
            found: Any = read_patterns([text], _order_of(self.pattern), self, refused)
        elif self.minutes and ":" in text:
            found = read_laps([text], True)
        else:
            found = read_numbers([text], self.decimal, str, True, refused)
        if found is None:
            raise ValueError(text)
        return found[0][text], found[1] if self.pattern else ""


# --- numbers ---


def part_of(cell: str, every: bool = False) -> tuple[str, ...] | None:
    """Split a cell into parenthesis, sign, prefix, sign, digits and suffix, where it is a number with a known unit."""
    # every: whether any prefix and suffix is a unit.
    found = _CELL.match(cell)
    if found is None or bool(found[1]) != bool(found[7]) or (found[2] and found[4]):
        return None
    prefix, suffix = found[3], found[6]
    if not every:
        if prefix and not _is_money(prefix.strip()):
            return None
        if suffix and not (_is_unit(suffix.strip(), suffix[0] in _BLANKS) or _is_money(suffix.strip())):
            return None
    return found.groups()[:6]


def _is_money(word: str) -> bool:
    return _MONEY.fullmatch(word) is not None


def _is_unit(word: str, apart: bool) -> bool:
    parts = [part.rstrip("\u00b2\u00b323") for part in word.split("/")]
    return len(parts) <= 2 and all(map(_UNITS.fullmatch, parts)) and (apart or word not in _ALONE)


@functools.cache
def _shape(decimal: str, thousands: str, strict: bool) -> re.Pattern[str]:
    """The digits of a number with these marks; `strict`: every thousand has its mark."""
    group, many = re.escape(thousands), "*" if strict else "+"
    whole = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}}){many}{'' if strict else '|[0-9]+'})" if thousands else "[0-9]+"
    if thousands and strict:  # 0,123 is no thousand
        whole = rf"(?:(?!0{group}){whole})"
    return re.compile(rf"{whole}?(?:{re.escape(decimal)}[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")


def marks_of(bodies: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of marks, of decimals and of thousands, with which all of these digits are numbers."""
    present = {mark for mark in _MARKS[1:] if any(mark in body for body in bodies)}
    for strict in (True, False):
        found = {}
        for decimal in ".,":
            for thousands in _MARKS:
                if thousands != decimal and thousands in present | {""}:
                    shape = _shape(decimal, thousands, strict)
                    if all(map(shape.match, bodies)):
                        used = any(decimal in body for body in bodies)
                        found.setdefault((decimal if used else "", thousands), (decimal, thousands))
        if found:
            return list(found.values())
    return []


def is_grouped(cells: Iterable[str]) -> bool:
    """Whether plain numbers may be whole ones with a point at every thousand."""
    some = False
    for cell in cells:
        if not _GROUPED.match(cell):
            return False
        some = some or "." in cell
    return some


def decimal_of(columns: Iterable[Iterable[str]]) -> str:
    """The decimal mark that columns of text have where they leave no doubt; "" where they do or have both."""
    found = set()
    for cells in columns:
        parts = [part_of(cell) for cell in cells]
        if parts and None not in parts:
            bodies = [part[4] for part in parts if part is not None]
            marks = {decimal for decimal, _ in marks_of(bodies)}
            if len(marks) == 1 and any(next(iter(marks)) in body for body in bodies):
                found |= marks
    return next(iter(found)) if len(found) == 1 else ""


def decimal_mark(writings: Iterable[Writing | None]) -> str:
    """The decimal mark that most of these columns have, of those that are written with marks."""
    marks = Counter(one.decimal for one in writings if one is not None and not one.pattern)
    return marks.most_common(1)[0][0] if marks else "."


def read_numbers(
    distinct: Iterable[str], decimal: str, beside: Callable[[], str], every: bool, refused: Refused
) -> tuple[dict[str, float], Writing] | None:
    """Read the distinct texts of a column as numbers that are written with marks and a unit."""
    # decimal: the mark that was said; "" for none. beside: the mark that other columns have.
    # every: whether any unit is believed, as of a column that was declared as one of numbers.
    # returns: the number of each text, and how they are written; None where they are none.
    parts = {cell: part for cell in distinct if (part := part_of(cell, every)) is not None}
    if len(parts) < len(list(distinct)) or not parts:
        return None
    units: dict[str, str] = {}
    for cell, part in parts.items():
        units.setdefault((part[2] + part[5]).strip(), cell)
    if len(units) > 1:
        one, other = list(units)[:2]
        what = f"numbers of several units, {one or 'none'!r} and {other or 'none'!r}, such as"
        fix = 'Write one unit in every cell, or say in --columns that it is a "category" (or, of times, a "duration").'
        raise refused(units[other], what, fix)
    bodies = [part[4] for part in parts.values()]
    found = marks_of(bodies)
    if len(found) > 1 and (mark := decimal or beside()):
        found = [pair for pair in found if pair[0] == mark] or found
    if len(found) > 1:
        cell = next(cell for cell, part in parts.items() if "," in part[4] or "." in part[4])
        what = "numbers whose mark may be that of decimals or of thousands, such as"
        raise refused(cell, what, "Say which mark stands before decimals: --decimal , or --decimal . (decimal=).")
    if not found:
        return None
    (point, thousands), numbers = found[0], {}
    for cell, part in parts.items():
        value = float(part[4].replace(thousands, "").replace(point, ".") if thousands else part[4].replace(point, "."))
        numbers[cell] = -value if part[0] or {part[1], part[3]} & {"-", "\u2212"} else value
    counts = {len(body.partition(point)[2]) for body in bodies}
    below = [part for cell, part in parts.items() if numbers[cell] < 0]
    above = [part for cell, part in parts.items() if numbers[cell] > 0]
    first: tuple[str, ...] = below[0] if below else above[0] if above else next(iter(parts.values()))
    (prefix, suffix), _ = Counter((part[2], part[5]) for part in parts.values()).most_common(1)[0]
    writing = Writing(
        prefix, suffix, point, thousands,  # type: ignore[arg-type]
        decimals=counts.pop() if len(counts) == 1 and not any("e" in body.lower() for body in bodies) else -1,
        minus="()" if first[0] else "\u2212" if "\u2212" in (first[1], first[3]) else "-",
        inside=bool(first[3]), plus=bool(above) and all("+" in (part[1], part[3]) for part in above),
    )  # fmt: skip
    return numbers, writing


_LAP = re.compile(r"([0-9]{1,6}):([0-5][0-9])(?:([.,])([0-9]{1,3}))?\Z")
DAYBREAK = 360.0
"""Times without leading zeros of which the middle one is below 6:00 are minutes and seconds, as nights are rare."""


def lap(seconds: float, digits: int, least: int) -> str:
    """Write seconds as minutes and seconds."""
    ticks = round(seconds * 10**digits)
    whole, left = divmod(ticks, 60 * 10**digits)
    return f"{whole:0{least}d}:{left / 10**digits:0{3 + digits if digits else 2}.{digits}f}"


def read_laps(distinct: Sequence[str], sure: bool) -> tuple[dict[str, float], Writing] | None:
    """Read the distinct texts of a column as minutes and seconds, 3:11 or 1:02.35; None where they are none."""
    # sure: whether this is known. Else 12:05 is a time of the day, and 3:11 is one beside it.
    found = [_LAP.match(cell) for cell in distinct]
    if not all(found) or not found:
        return None
    parts = [match.groups("") for match in found if match]
    numbers = [60 * int(one) + float(f"{two}.{four or 0}") for one, two, _, four in parts]
    padded = min(len(part[0]) for part in parts)
    short = padded == 1 and float(np.median(numbers)) < DAYBREAK
    if not (sure or short or max(numbers) >= 24 * 60 or any(part[3] for part in parts)):
        return None
    marks, counts = {part[2] for part in parts if part[2]}, {len(part[3]) for part in parts}
    if len(marks) > 1:
        return None
    writing = Writing(
        decimal=marks.pop() if marks else ".",  # type: ignore[arg-type]
        decimals=counts.pop() if len(counts) == 1 else -1,
        minutes=padded,
    )
    return dict(zip(distinct, numbers)), writing


# --- dates ---


def is_dated(cell: str) -> bool:
    """Whether a cell looks like a day, a time of the day or a period."""
    return any(form.match(cell) for form in (_DAY, _SAID, *_PERIODS.values())) or (
        ":" in cell and _HOUR.match(cell) is not None
    )


def read_patterns(
    distinct: Iterable[str], order: str, known: Writing | None, refused: Refused
) -> tuple[dict[str, float], Literal["D", "s"], Writing] | None:
    """Read the distinct texts of a column as days, times or periods that are not written as ISO 8601 has them."""
    # order: "dmy", "mdy" or "ymd" where it was said; "" for none.
    # known: how a model's rows are written, whose order is taken where cells allow it.
    # returns: days or seconds of each text, which of these, and how they are written; None where they are none.
    words = list(distinct)
    if not words:
        return None
    for pattern, form in _PERIODS.items():
        if form.match(words[0]) and all(found := [form.match(word) for word in words]):
            read = _periods(words, found, pattern)
            if read is not None:
                return read
    for form in (_DAY, _SAID, _HOUR):
        if form.match(words[0]) and all(found := [form.match(word) for word in words]):
            return _days(words, [match.groups("") for match in found if match], form is _SAID, order, known, refused)
    return None


def _periods(words: list[str], found: list[Any], pattern: str) -> tuple[dict[str, float], Literal["D"], Writing] | None:
    blanks = {match["s"] for match in found}
    numbers = {}
    for word, match in zip(words, found):
        year, parts = int(match["Y"]), match.groupdict()
        if "V" in parts:
            try:
                numbers[word] = float((date.fromisocalendar(year, int(parts["V"]), 4) - date(1970, 1, 1)).days)
            except ValueError:
                return None
            continue
        month = 3 * int(parts["q"]) - 2 if "q" in parts else int(parts.get("m") or _NAMES.get(parts["b"].lower(), 0))
        if not month:
            return None
        numbers[word] = ((year - 1970) * 12 + month - 1) * MONTH
    return (numbers, "D", Writing(pattern=pattern.replace("#", blanks.pop()))) if len(blanks) == 1 else None


def _days(
    words: list[str], cells: list[tuple[str, ...]], said: bool, order: str, known: Writing | None, refused: Refused
) -> tuple[dict[str, float], Literal["D", "s"], Writing] | None:
    """Days and times of one form: first field, mark, second and third field, then the parts of the time."""
    marks, gaps = {cell[1] for cell in cells}, {cell[4] if not said else cell[5] for cell in cells}
    if said:  # a month by its name before the day
        cells = [(cell[3], " ", cell[2], cell[4], *cell[5:]) for cell in cells]
    times = [cell[4:] for cell in cells]
    shapes = {tuple(bool(part) for part in time[1:]) for time in times}
    if len(marks) > 1 or len(gaps) > 1 or len(shapes) > 1:
        return None
    clock = _clock(times)
    if clock is None:
        return None
    seconds, shown = clock
    if not cells[0][0]:
        return (dict(zip(words, seconds.tolist())), "s", Writing(pattern=shown)) if shown else None
    fields = [[cell[i] for cell in cells] for i in (0, 2, 3)]
    chosen = _order(words, fields, "" if said else cells[0][1], order, known, refused)
    if chosen is None:
        return None
    which, days = chosen
    letters = {"d": f"%{_pad(fields[which.index('d')])}d", "y": "%Y" if len(fields[which.index("y")][0]) == 4 else "%y"}
    month = fields[which.index("m")]
    full = any(len(name) > 3 for name in month)
    letters["m"] = f"%{_pad(month)}m" if month[0].isdigit() else "%B" if full else "%b"
    pattern = (
        f"{letters['m']} {letters['d']}, {letters['y']}" if said else cells[0][1].join(map(letters.__getitem__, which))
    )
    if not shown:
        return dict(zip(words, days.astype(float).tolist())), "D", Writing(pattern=pattern)
    whole = days * 86_400 + seconds
    return dict(zip(words, whole.astype(float).tolist())), "s", Writing(pattern=pattern + gaps.pop() + shown)


def _clock(times: list[tuple[str, ...]]) -> tuple[np.ndarray, str] | None:
    """Seconds since midnight, and the pattern of a time; 0 and "" where there is none."""
    if not times[0][1]:
        return np.zeros(len(times), np.int64), ""
    hours, minutes, seconds = (np.array([int(time[i] or 0) for time in times]) for i in (1, 2, 3))
    half = [time[4].strip().lower() for time in times]
    if (
        minutes.max() > 59
        or seconds.max() > 59
        or hours.max() > (12 if half[0] else 23)
        or (half[0] and hours.min() < 1)
    ):
        return None
    if half[0]:
        hours = hours % 12 + 12 * np.array([word == "pm" for word in half])
    pad, letter = _pad([time[1] for time in times]), "I" if half[0] else "H"
    end = (" " if times[0][4].startswith(" ") else "") + ("%P" if times[0][4].islower() else "%p") if half[0] else ""
    return hours * 3600 + minutes * 60 + seconds, f"%{pad}{letter}:%M{':%S' if times[0][3] else ''}{end}"


def _pad(fields: list[str]) -> str:
    return "-" if any(len(field) == 1 for field in fields) else ""


def _order(
    words: list[str], fields: list[list[str]], mark: str, order: str, known: Writing | None, refused: Refused
) -> tuple[str, np.ndarray] | None:
    """Which field is the day, the month and the year, and the days since 1970."""
    first, last = {len(field) for field in fields[0]}, {len(field) for field in fields[2]}
    long, short = first == {4}, last == {2} and max(first) < 3
    if not short and (long == (last == {4}) or max(last if long else first) > 2):
        return None
    if short and mark == "." and "-" in (_pad(fields[0]), _pad(fields[1])):
        return None  # 1.2.10 is a version
    named = not fields[1][0].isdigit()
    months = [_NAMES.get(name.lower(), 0) for name in fields[1]] if named else [int(field) for field in fields[1]]
    ends = [np.array([int(field) for field in fields[i]]) for i in (0, 2)]
    numbers = [ends[0], np.array(months), ends[1]]
    allowed = ["ymd"] if long else ["dmy"] if named else ["dmy", "mdy"] + ["ymd"] * short
    read = {}
    for which in allowed:
        year, month, day = (numbers[which.index(part)] for part in "ymd")
        read[which] = _calendar(year, month, day, short)
    good = [which for which in allowed if read[which][1].all()]
    if order and order in allowed and order not in good:
        bad = int(np.argmin(read[order][1]))
        raise refused(
            words[bad], f"dates, in the order {order} as was said, and", "Mend the cell, or say another order."
        )
    if not good:
        best = max(allowed, key=lambda which: int(read[which][1].sum()))
        if 2 * int(read[best][1].sum()) < len(words):
            return None
        bad = int(np.argmin(read[best][1]))
        raise refused(words[bad], "dates and", "There is no such day: mend the cell or leave it empty.")
    if order in good:
        good = [order]
    elif len(good) > 1 and known is not None and (of := _order_of(known.pattern)) in good:
        good = [of]
    elif mark == "." and "dmy" in good:  # a point goes with the day first
        good = ["dmy"]
    if any(not np.array_equal(read[good[0]][0], read[which][0]) for which in good[1:]):
        at = int(np.argmax(read[good[0]][0] != read[good[1]][0]))
        meant = " or ".join(f"--dates {which} ({np.datetime64(int(read[which][0][at]), 'D')})" for which in good)
        raise refused(words[at], "dates whose order cannot be told, such as", f"Say it: {meant}.")
    return good[0], read[good[0]][0]


def _order_of(pattern: str) -> str:
    letters = re.findall(r"%-?([dmyYbB])", pattern)
    return "".join("m" if letter in "bB" else letter.lower() for letter in letters)


def _calendar(year: np.ndarray, month: np.ndarray, day: np.ndarray, short: bool) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970, and which of them the calendar has; years of two digits are those from 1970 to 2069."""
    year = np.where(year < 70, year + 2000, year + 1900) if short else year
    good = (month >= 1) & (month <= 12) & (year >= 1)
    at = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    start, end = (part.astype("datetime64[D]").astype(np.int64) for part in (at, at + 1))
    return start + day - 1, good & (day >= 1) & (day <= end - start)


def _dated(number: float, pattern: str) -> str:
    """Write days or seconds by a pattern."""
    if "%M" in pattern:
        moment = datetime(1970, 1, 1) + timedelta(seconds=round(number))
    elif "%V" in pattern or "%d" in pattern or "%-d" in pattern:
        moment = datetime(1970, 1, 1) + timedelta(days=round(number))
    else:
        months = round(number / MONTH)
        moment = datetime(1970 + months // 12, months % 12 + 1, 1)
    iso, half = moment.isocalendar(), "AM" if moment.hour < 12 else "PM"
    values: dict[str, Any] = {
        "Y": f"{moment.year:04d}", "y": f"{moment.year % 100:02d}", "m": moment.month, "d": moment.day,
        "H": moment.hour, "I": (moment.hour + 11) % 12 + 1, "M": moment.minute, "S": moment.second, "p": half,
        "P": half.lower(), "b": _MONTHS[moment.month - 1][:3], "B": _MONTHS[moment.month - 1],
        "q": str((moment.month + 2) // 3), "G": f"{iso.year:04d}", "V": iso.week,
    }  # fmt: skip

    def shown(found: re.Match[str]) -> str:
        value = values[found[2]]
        return value if isinstance(value, str) else str(value) if found[1] else f"{value:02d}"

    return re.sub(r"%(-?)([a-zA-Z])", shown, pattern)
