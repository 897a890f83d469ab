"""The times of the lines of a long table as steps of like length: found out, or as it was said."""

import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from latens.errors import DataError, UsageError
from latens.kinds.steps.sequences import LONGEST, Step, TimeUnit, days_of
from latens.kinds.tables.columns import FrameColumn, has_clock
from latens.kinds.tables.dtypes import DAY, seconds_of

SPARSE = 4
"""Steps for each line at the most where the step is the least time between two lines, and not the commonest one."""
_MONTHS = {"month": 1, "months": 1, "mo": 1, "quarter": 3, "quarters": 3, "year": 12, "years": 12, "y": 12}
_WEEKS = {"w": 7, "week": 7, "weeks": 7}
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)?\s*([a-z]*)\s*\Z")
_SHOWN = {"": "numbers", "seconds": "times", "days": "days", "months": "months"}


class Times(NamedTuple):
    """The times of lines."""

    numbers: Float[np.ndarray, " lines"] | None  # in their unit; None: lines follow each other
    unit: TimeUnit = ""
    zone: str = ""
    name: str = ""  # of the column

    def shown(self, line: int) -> str:
        """The time of a line, in words."""
        assert self.numbers is not None
        one = Step(1.0, self.unit, 1, bool(self.numbers[line] % 1 == 0), self.zone)
        return str(one.times(float(self.numbers[line]), np.zeros(1, np.int64))[0]).replace("T", " ")


def refuse_gaps(values: Shaped[np.ndarray, " lines"], what: str, where: str) -> None:
    """Refuse lines without what each must have."""
    gone = np.flatnonzero(~np.isfinite(values))
    if len(gone):
        words = f"has no {what} ({len(gone)} rows lack it)."
        raise DataError(words, where=f"{where}, row {int(gone[0])}", fix="Fill it in, or leave the row out.")


def read_times(numbers: Shaped[np.ndarray, " lines"], found: FrameColumn | None, name: str, where: str) -> Times:
    """Take a column as times: dates, or numbers."""
    refuse_gaps(numbers, f"{name!r}, its time", where)
    numbers = numbers.astype(np.float64)
    if found is None or found.kind == "number":
        return Times(numbers, name=name)
    if found.kind == "date" and found.dtype != "Time":
        zone = found.dtype.partition(", ")[2].rstrip("]")
        days = found.dtype == "Date" or bool(found.form and not has_clock(found.form))
        if not days and not zone and not np.any(numbers % DAY):
            numbers, days = numbers / DAY, True
        return Times(numbers, "days" if days else "seconds", zone, name)
    first = f", such as {found.values[int(numbers[0])]!r:.60}" if found.values else ""
    kind = "names" if found.named else "durations"
    fix = f"Write times as 2024-05-16 13:20 or as numbers; or say how: --column '{name}=date:%d/%m/%Y'."
    raise DataError(f"column {name!r} holds {kind}{first}, not times.", where=where, fix=fix)


class Grid(NamedTuple):
    """Lines on steps, in the order of their sequences."""

    k: Int[np.ndarray, " lines"]  # the step of each line, from 0 within its sequence
    start: Float[np.ndarray, " sequences"]  # the time of the first step of each
    step: Step


def grid_of(
    times: Times,
    order: Int[np.ndarray, " lines"],
    ends: Int[np.ndarray, " sequences"],
    asked: float | str | None,
    known: Step | None,
    where: str,
) -> Grid:
    """Put lines on steps of like length."""
    # order, ends: the lines sequence by sequence, in the order of the table, and where each sequence ends.
    # asked: the step that was said, whose lines go to their nearest step. known: the step of a model.
    starts = np.array([0, *ends[:-1]])
    if times.numbers is None:
        if asked is not None:
            raise UsageError("is a time, and the table has none.", where="--step", fix="Add --time COLUMN.")
        return Grid(np.arange(len(order)) - np.repeat(starts, np.diff([0, *ends])), np.zeros(len(ends)), Step())
    inside = np.ones(len(order), bool)
    inside[starts] = False
    _refuse_disorder(times, order, inside, where)
    if asked is not None:
        return _nearest(times, order, starts, inside, asked, known, where)
    if known is not None:
        times = _as_known(times, known, where)
        return _exact(times, order, starts, inside, known, where)
    for step, own in _candidates(times, order, inside):
        if _on(own.numbers[order], starts, inside, step).all():  # pyright: ignore[reportOptionalSubscript]
            return _exact(own, order, starts, inside, step, where)
    step, own = next(iter(_candidates(times, order, inside)))
    return _exact(own, order, starts, inside, step, where)


def _refuse_disorder(times: Times, order: np.ndarray, inside: np.ndarray, where: str) -> None:
    """Refuse a sequence with a time twice, or whose times go backwards."""
    assert times.numbers is not None
    ahead = np.diff(times.numbers[order], prepend=0.0)
    bad = np.flatnonzero(inside & (ahead <= 0))
    if not len(bad):
        return
    line, former = int(order[bad[0]]), int(order[bad[0] - 1])
    place, now = f"{where}, row {line}", times.shown(line)
    if ahead[bad[0]] == 0:
        fix = "Leave one of the rows out; or name the column of the sequences with --sequence."
        raise DataError(f"has the time {now} of row {former}, which is there twice.", where=place, fix=fix)
    what = f"has the time {now}, which lies before {times.shown(former)} in row {former}."
    fix = f"Sort the rows by {times.name!r}; or name the column of the sequences with --sequence."
    raise DataError(what, where=place, fix=fix)


def _candidates(times: Times, order: np.ndarray, inside: np.ndarray) -> list[tuple[Step, Times]]:
    """Steps that may be those of a table, the likeliest first, each with the times in its unit."""
    assert times.numbers is not None
    numbers = times.numbers
    found, ahead = [], np.diff(numbers[order], prepend=0.0)[inside]
    whole = bool(np.all(numbers == np.round(numbers)))

    def step(size: float, unit: TimeUnit = times.unit, day: int = 0) -> Step:
        return Step(size, unit, day, whole, times.zone)

    if not len(ahead):
        return [(step(1.0), times)]
    if not whole:
        middle = float(np.median(ahead))
        ahead = np.round(ahead / middle, 6) * middle
    sizes, counts = np.unique(ahead, return_counts=True)
    found.append((step(float(sizes[np.argmax(counts)])), times))
    if times.unit == "days" and whole and (monthly := _monthly(numbers)) is not None:
        months, day = monthly
        apart = np.diff(months[order], prepend=0)[inside]
        sizes_m, counts_m = np.unique(apart[apart > 0], return_counts=True)
        own = times._replace(numbers=months.astype(np.float64), unit="months")
        found += [(step(float(size), "months", day), own) for size in (sizes_m[np.argmax(counts_m)], sizes_m[0])]
    if np.sum(ahead) / sizes[0] <= SPARSE * len(order):
        found.append((step(float(sizes[0])), times))
    return found


def _monthly(days: Float[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], int] | None:
    """Months since 1970, and the day of the month that all of these days are; None where they are of several."""
    whole = days.astype(np.int64)
    months = whole.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    day = whole - days_of(months, 1) + 1
    if np.all(day == day[0]) and day[0] <= 28:
        return months, int(day[0])
    return (months, 0) if np.array_equal(days_of(months, 0), whole) else None


def _on(numbers: np.ndarray, starts: np.ndarray, inside: np.ndarray, step: Step) -> Bool[np.ndarray, " lines"]:
    """Which lines, sequence by sequence, lie on the steps of their sequence."""
    from_start = numbers - numbers[starts][np.cumsum(~inside) - 1]
    if step.whole:
        return from_start % step.size == 0
    ratio = from_start / step.size
    return np.abs(ratio - np.round(ratio)) <= 1e-3


def _as_known(times: Times, known: Step, where: str) -> Times:
    """Times in the unit of a model's step."""
    if known.unit == "months" and times.unit == "days" and times.numbers is not None:
        months = times.numbers.astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.float64)
        if np.array_equal(days_of(months.astype(np.int64), known.day), times.numbers):
            return times._replace(numbers=months, unit="months")
        raise _off(times, int(np.argmax(days_of(months.astype(np.int64), known.day) != times.numbers)), known, where)
    if known.unit == "seconds" and times.unit == "days" and times.numbers is not None:
        return times._replace(numbers=times.numbers * DAY, unit="seconds")  # midnights alone
    if known.unit != times.unit:
        what = f"has {_SHOWN[times.unit]} in {times.name!r}; the model was trained on {_SHOWN[known.unit]}."
        raise DataError(what, where=where, fix="Write the times as those of the training rows.")
    return times


def _off(times: Times, line: int, step: Step, where: str) -> DataError:
    what = f"has the time {times.shown(line)}, which is not a whole number of steps ({step.told}) after the first time."
    fix = f"Take each time as its nearest step: --step '{step.typed}'; or mend the row."
    return DataError(what, where=f"{where}, row {line}", fix=fix)


def _exact(times: Times, order: np.ndarray, starts: np.ndarray, inside: np.ndarray, step: Step, where: str) -> Grid:
    """Lines on steps where all of them lie on these, else a DataError that names the first which does not."""
    assert times.numbers is not None
    numbers = times.numbers[order]
    on = _on(numbers, starts, inside, step)
    if not on.all():
        raise _off(times, int(order[np.argmin(on)]), step, where)
    first = numbers[starts]
    k = np.round((numbers - first[np.cumsum(~inside) - 1]) / step.size)
    return Grid(_bounded(k, where), first, step)


def _nearest(
    times: Times,
    order: np.ndarray,
    starts: np.ndarray,
    inside: np.ndarray,
    asked: float | str,
    known: Step | None,
    where: str,
) -> Grid:
    """Lines on the steps nearest to their times."""
    assert times.numbers is not None
    size, unit = span_of(asked, times.unit, "--step")
    if known is not None and (size, unit) != (known.size, known.unit):
        fix = "Leave --step out."
        raise UsageError(f"{asked} is not the step of the model, {known.told}.", where="--step", fix=fix)
    numbers, day = times.numbers, 0
    if unit == "months":
        numbers = numbers.astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.float64)
        day = 1 if known is None else known.day
    grid = np.floor(numbers[order] / size) if unit == "months" else np.round(numbers[order] / size)
    k = grid - grid[starts][np.cumsum(~inside) - 1]
    twice = np.flatnonzero(inside & (np.diff(k, prepend=0.0) == 0))
    if len(twice):
        line, former = int(order[twice[0]]), int(order[twice[0] - 1])
        what = f"has the time {times.shown(line)}, of one step with {times.shown(former)} in row {former}."
        raise DataError(what, where=f"{where}, row {line}", fix="Leave one of them out; or give a smaller --step.")
    start = grid[starts] * size
    whole = bool(np.all(start % 1 == 0) and size % 1 == 0)
    return Grid(_bounded(k, where), start, known or Step(size, unit, day, whole, times.zone))


def _bounded(k: np.ndarray, where: str) -> np.ndarray:
    if k.max() >= 2**40:
        raise DataError(f"would have {k.max():.3g} steps.", where=where, fix="Give a larger step: --step.")
    return k.astype(np.int64)


def span_of(asked: float | str, unit: TimeUnit, flag: str) -> tuple[float, TimeUnit]:
    """Read a span of time as it is typed, in the unit of times, or in months."""
    text = str(asked).strip().lower()
    found = _AMOUNT.match(text)
    if found is None or not text:
        raise _no_span(asked, unit, flag)
    count, word = float(found[1] or 1), found[2]
    if not unit:
        if word or not count > 0:
            raise _no_span(asked, unit, flag)
        return count, ""
    if word in _MONTHS:
        if unit != "days" or count * _MONTHS[word] % 1 or not count > 0:
            what = f"{asked!r} is a number of months, and the times are {_SHOWN[unit]}."
            raise UsageError(what, where=flag, fix="Write the times as days, or give a step such as 1h.")
        return count * _MONTHS[word], "months"
    try:
        seconds = count * _WEEKS[word] * DAY if word in _WEEKS else seconds_of(f"{count:g} {word}")
    except ValueError:
        raise _no_span(asked, unit, flag) from None
    size = seconds / DAY if unit == "days" else seconds
    if not size > 0 or size % 1:
        raise _no_span(asked, unit, flag)
    return size, unit


def _no_span(asked: float | str, unit: TimeUnit, flag: str) -> UsageError:
    allowed = {"": "a number above 0, such as 0.5", "days": "days, weeks or months, such as 1d"}
    what = f"{asked!r} is not a time between two steps."
    return UsageError(what, where=flag, fix=f"Give {allowed.get(unit, 'seconds, minutes, hours or days, such as 1h')}.")


def steps_in(asked: int | str | None, step: Step, flag: str) -> int | None:
    """Read a number of steps, or a span of time as one."""
    if asked is None:
        return None
    text = str(asked).strip()
    if text.isdecimal() and text.isascii():
        count = float(text)
    else:
        unit: TimeUnit = "days" if step.unit == "months" else step.unit
        size, found = span_of(text, unit, flag) if unit else (float("nan"), "")
        count = size / step.size if found == step.unit else float("nan")
    if not (count % 1 == 0 and 1 <= count <= LONGEST):
        what = f"{asked!r} is not a number of steps of {step.told}."
        raise UsageError(what, where=flag, fix=f"Give a whole number of steps from 1 to {LONGEST:,}, such as 24.")
    return int(count)
