"""Columns as they are read: text becomes numbers, days and seconds, or codes of names."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from msgspec import structs

from latens.data.columns import WHOLE, TextColumn
from latens.data.dates import DATE, TIME, iso_writing, read_dates, written_times
from latens.data.declared import Declared
from latens.data.durations import as_spans, read_spans
from latens.data.rows import MISSING_NAMES, MISSING_WORDS, NOTHING
from latens.data.scales import in_order
from latens.data.writings import Writing, is_dated, is_grouped, part_of, read_laps, read_numbers, read_patterns
from latens.errors import DataError, nearest
from latens.text import span_texts

SLIPS = 3
"""Where most cells of a column are numbers, a text that comes less often is taken for a slip of the pen and refused."""

TRUTH = {"False", "True"}
"""The names of truth values."""


class SlipError(DataError):
    """A cell does not fit the others of its column."""

    value = ""


class Slip(NamedTuple):
    """A cell that was taken as empty, as it does not fit the others of its column."""

    column: str
    row: int  # from 0, of all rows of the file
    error: SlipError


_SLIPS: ContextVar[list[Slip] | None] = ContextVar("slips", default=None)


@contextmanager
def slips_left_empty() -> Iterator[list[Slip]]:
    """Take single cells that do not fit their column as empty, and keep what would have been said of them."""
    kept: list[Slip] = []
    token = _SLIPS.set(kept)
    try:
        yield kept
    finally:
        _SLIPS.reset(token)


_ZERO_LED = re.compile(r"[-+]?0\d")
_GROUPED = re.compile(r"[-+]?\d+([,_']\d+)+(\.\d*)?\Z")
_WHOLE = re.compile(r"[-+]?\d{16,}\Z")


@dataclass(frozen=True)
class Coded:
    """A column of names or dates whose source says so by its type."""

    numbers: np.ndarray  # codes of names, or days or seconds, NaN where a cell is missing; of shape (n,)
    text: TextColumn  # what they stand for

    def __len__(self) -> int:
        return len(self.numbers)

    def words(self) -> list[str]:
        """The text of every cell."""
        gone = np.isnan(self.numbers)
        stored, text = np.where(gone, 0, self.numbers).astype(np.int64), self.text
        if text.values:
            shown = np.array(text.values)[stored]
        elif text.resolution:
            shown = np.array(span_texts(as_spans(stored, text.written, text.resolution)))
        elif text.zone:
            shown = written_times(stored, text.written, text.zone)
        else:
            shown = stored.astype(f"datetime64[{text.written}]").astype(str)
        return ["" if lacks else str(word) for word, lacks in zip(shown.tolist(), gone.tolist())]


@dataclass(frozen=True)
class Words:
    """A column of text as its distinct cells."""

    words: list[str]  # the distinct texts, as they were written
    codes: np.ndarray  # which of them each cell is, of shape (n,)
    counts: Sequence[int] | None = None  # how often each of `words` comes; None counts `codes`

    def __len__(self) -> int:
        return len(self.codes)

    def often(self) -> list[int]:
        """How often each of the words comes."""
        own = np.bincount(self.codes, minlength=len(self.words)).tolist()
        return own if self.counts is None else list(self.counts)


def read_column(
    values: Any,
    declared: Declared,
    name: str,
    where: str,
    lines: Sequence[int] | None = None,
    beside: Callable[[], str] = str,
) -> tuple[np.ndarray, TextColumn | None]:
    """Numbers of one column, and what they stand for: as it was declared, by its type, or by its cells."""
    # lines: the line of the file that each cell is in; None: rows are counted from 0.
    # beside: gives the decimal mark of the other columns, "" where they have none.
    if isinstance(values, Words):
        often = values.often()
        numbers, found = read_words(values.words, name, where, lines, declared=declared, counts=often, beside=beside)
        return numbers[values.codes], found
    if declared.kind in (None, "category") and set(declared.values) <= TRUTH and _is_truth(values):
        numbers = values.numbers if isinstance(values, Coded) else np.asarray(values, np.float64)
        return numbers, TextColumn(("False", "True"), "bool")
    if isinstance(values, Coded):
        if (
            declared.kind in (None, values.text.kind)
            and not declared.values
            and declared.zone in ("", values.text.zone)
        ):
            return values.numbers, values.text
        values = values.words()
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return _read_numbers(values, declared, name, where)
    if isinstance(values, np.ndarray) and values.dtype.kind != "U":
        shown = str(values[0])[:40] if len(values) else ""
        fix = f"Leave the column out, or name it with --label {shlex.quote(name)} or --id {shlex.quote(name)}."
        raise DataError(f"column {name!r} holds {shown!r}, neither a number nor text.", where=where, fix=fix)
    words, kept = list(values), _SLIPS.get()
    while True:
        try:
            return read_words(words, name, where, lines, declared=declared, beside=beside)
        except SlipError as slip:
            at = [row for row, word in enumerate(words) if word.strip() == slip.value]
            if kept is None or not 0 < len(at) < SLIPS:
                raise
            kept += [Slip(name, row, slip) for row in at]
            words = ["" if row in at else word for row, word in enumerate(words)]


def only_gaps(values: Any, missing: Collection[str] = MISSING_WORDS) -> Shaped[np.ndarray, " n"]:
    """Read of a column nothing but where its cells are missing."""
    if isinstance(values, Words):
        return only_gaps(values.words, missing)[values.codes]
    if isinstance(values, Coded):
        gone = np.isnan(values.numbers)
    elif isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        gone = np.isnan(values)
    else:
        gone = np.array([str(word).strip().lower() in missing for word in values], bool)
    return np.where(gone, np.nan, 0.0)


def _is_truth(values: Any) -> bool:
    """Whether a column came as truth values."""
    if isinstance(values, Coded):
        return values.text.written == "bool"
    return isinstance(values, np.ndarray) and values.dtype.kind == "b"


def _read_numbers(
    values: np.ndarray, declared: Declared, name: str, where: str
) -> tuple[np.ndarray, TextColumn | None]:
    """A column that came as numbers, or as truth values that were declared as something else."""
    if declared.kind == "duration" and not np.isnan(values).all():
        what = f"column {name!r} is to hold spans of time and holds numbers, such as {values[0]!s}."
        raise DataError(what, where=where, fix="Write its cells as 1 days 02:30:00 or 26.5 hours.")
    if declared.kind == "date":
        what = f"column {name!r} is declared as a date and holds numbers, such as {values[0]!s}."
        raise DataError(what, where=where, fix="Write its cells as 2021-05-01, or declare it as a number.")
    if declared.named:
        gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        known, which = np.unique(values[~gone], return_inverse=True)
        codes = np.full(len(values), np.nan)
        codes[~gone] = which
        return _named(codes, tuple(map(written_number, known.tolist())), declared, name, where)
    if values.dtype.kind in "iu" and (wide := (values > WHOLE) | (values < -WHOLE)).any():
        raise _too_wide(str(values[wide][0]), name, f"{where}, row {int(wide.argmax())}")
    return values.astype(np.float64), None


def written_number(value: float) -> str:
    """Write a number that stands for a name."""
    return str(int(value)) if value == int(value) else str(value)


def _too_wide(value: str, name: str, where: str) -> DataError:
    fix = (
        f'Leave the column out ("{name}": "leave out" in --columns), name it with --id {name}, or subtract a constant.'
    )
    what = f"column {name!r} holds {value[:40]}, beyond 2^53, where not every whole number has a float64 of its own."
    return DataError(what, where=where, fix=fix)


def _named(
    codes: np.ndarray, values: tuple[str, ...], declared: Declared, name: str, where: str
) -> tuple[np.ndarray, TextColumn]:
    """Codes into the names that were declared, where some were; those of numbers have the order of these."""
    order_of, ordered = declared.values, declared.kind == "ordinal"
    if ordered and not order_of:
        if not all(map(_is_number, values)):
            what = f"column {name!r} is declared as ordinal, and the order of its names is not said."
            shown = ", ".join(f'"{value[:40]}"' for value in values[:5]) + (", ..." if len(values) > 5 else "")
            fix = f'Say it: "{name}": {{"kind": "ordinal", "values": [{shown}]}}, from the least to the largest.'
            raise DataError(what, where=where, fix=fix)
        order_of = tuple(sorted(values, key=float))
    if not order_of:
        return codes, TextColumn(values)
    place = {value: i for i, value in enumerate(order_of)}
    unknown = next((value for value in values if value not in place), None)
    if unknown is not None:
        what = f"column {name!r} holds {unknown[:40]!r}, which is none of its {len(place)} declared values."
        raise DataError(what, where=where, fix=f"Add it to them. {nearest(unknown, order_of)}")
    order = np.array([place[value] for value in values] + [0], np.float64)
    gone = np.isnan(codes)
    return np.where(gone, np.nan, order[np.where(gone, -1, codes).astype(np.int64)]), TextColumn(
        order_of, ordered=ordered
    )


def read_words(
    words: Sequence[str],
    name: str,
    where: str,
    lines: Sequence[int] | None = None,
    *,
    declared: Declared = Declared(),  # noqa: B008 - immutable
    counts: Sequence[int] | None = None,
    beside: Callable[[], str] = str,
) -> tuple[np.ndarray, TextColumn | None]:
    """Numbers of a column of text: its own, those of its dates, or codes of its distinct values."""
    # lines: the line of the file that each cell is in; None: rows are counted from 0.
    # counts: how often each of `words` comes, where these are distinct cells; None: once.
    cells = [word.strip() for word in words]
    named = declared.named and (not declared.values or NOTHING in map(str.lower, declared.values))
    missing = MISSING_NAMES if named else MISSING_WORDS
    shown = [None if cell.lower() in missing else cell for cell in cells]
    seen: Counter[str] = Counter()  # in the order in which they come
    for cell, count in zip(shown, [1] * len(shown) if counts is None else counts):
        if cell is not None and count:
            seen[cell] += count
    distinct = set(seen)
    if not distinct:
        return np.full(len(cells), np.nan), None

    def place_of(value: str) -> str:
        at = shown.index(value)
        return where if counts is not None else f"{where}, {f'row {at}' if lines is None else f'line {lines[at]}'}"

    def refused(value: str, what: str, fix: str) -> DataError:
        error = SlipError(f"column {name!r} holds {what} {value[:40]!r}.", where=place_of(value), fix=fix)
        error.value = value
        return error

    def numbered(number: Mapping[str, float]) -> np.ndarray:
        return np.array([np.nan if cell is None else number[cell] for cell in shown], np.float64)

    if declared.named:
        values = in_order(distinct)
        return _named(numbered({value: i for i, value in enumerate(values)}), values, declared, name, where)
    spans = declared.kind == "duration"
    if declared.kind in (None, "duration") and (found := read_spans(distinct, spans, refused)) is not None:
        return numbered(found[0]), TextColumn((), found[1], resolution="ns")  # type: ignore[arg-type]
    iso = all(DATE.match(cell) or TIME.match(cell) for cell in distinct)
    writing = declared.writing or Writing()
    known = declared.kind == "number" or writing.minutes > 0
    may = declared.kind in (None, "number") and not writing.pattern
    if may and (laps := read_laps(list(seen), known)) is not None:
        return numbered(laps[0]), TextColumn((), "float", writing=laps[1])
    dated = declared.kind in (None, "date") and not iso
    if dated and (read := read_patterns(seen, declared.order, declared.writing, refused)) is not None:
        return numbered(read[0]), TextColumn((), read[1], writing=read[2])
    numbers = {cell: float(cell) for cell in distinct if _is_number(cell)}
    others = Counter({cell: count for cell, count in seen.items() if cell not in numbers})
    # 007 is a name, which as a number would lose its zeros.
    zero_led = sum(count for cell, count in seen.items() if _ZERO_LED.match(cell))
    codes = zero_led >= SLIPS and not any("." in cell for cell in numbers)
    plain = not others and (not codes or declared.kind == "number") and declared.kind != "date"
    mark = declared.decimal or (declared.writing.decimal if declared.writing else "")
    if plain and is_grouped(distinct) and (mark or beside()) == ",":  # 1.234 is a thousand and more
        plain, others, mark = False, seen, ","
    if others and declared.kind in (None, "number") and (not codes or declared.kind == "number"):
        written = read_numbers(seen, mark, beside, declared.kind == "number", refused)
        if written is not None:
            return numbered(written[0]), TextColumn((), "float", writing=written[1])
    if plain:
        wide = next((cell for cell in seen if _WHOLE.match(cell) and abs(int(cell)) > WHOLE), None)
        if wide is not None:
            raise _too_wide(wide, name, place_of(wide))
        return numbered(numbers), None
    if declared.kind in (None, "number"):  # of numbers that are written alike some may be slips
        others = Counter({cell: count for cell, count in others.items() if part_of(cell) is None}) or others
    infinite = next((cell for cell in others if np.isinf(_float(cell))), None)
    if infinite is not None and 2 * len(numbers) > len(distinct):
        raise refused(infinite, "numbers and the infinite value", "Leave such cells empty, or write a number.")
    if others and all(_GROUPED.match(cell) for cell in others) and declared.kind != "date":
        advice = "decimal points instead of decimal commas" if next(iter(others)).count(",") == 1 else "plain numbers"
        raise refused(next(iter(others)), "the text", f"Write {advice}.")
    if declared.kind == "number":
        fix = "Mend that cell or leave it empty, or declare the column as a category."
        raise refused(next(iter(others)), "the text", f"It is declared as a number. {fix}")

    def slip_of(few: Counter[str]) -> str | None:
        slips = few.items() if 2 * few.total() < seen.total() else ()
        return next((cell for cell, count in slips if count < SLIPS), None)

    if not codes and (slip := slip_of(others)) is not None:
        roles = f"name it with --label {shlex.quote(name)} or --id {shlex.quote(name)}"
        fix = f"Mend that cell or leave it empty, write the column as text, or {roles}."
        raise refused(slip, "numbers and the text", fix)
    undated = Counter({cell: n for cell, n in seen.items() if not (DATE.match(cell) or TIME.match(cell))})
    strange = Counter({cell: n for cell, n in undated.items() if not is_dated(cell)})
    undated = strange if strange and 2 * strange.total() < seen.total() else undated
    if (slip := slip_of(undated)) is not None:
        raise refused(slip, "dates and", "Mend that cell or leave it empty, or declare the column as a category.")
    dates = read_dates(distinct, declared.zone, refused) if not undated else None
    if dates is not None:
        return numbered(dates[0]), TextColumn(
            (), dates[1], dates[2], writing=None if dates[2] else iso_writing(distinct)
        )
    if declared.kind == "date":
        fix = "Write its cells as 2021-05-01 or 2021-05-01 12:30:00, or declare it as a category."
        raise refused(next(iter(undated or seen)), "the text", f"It is declared as a date. {fix}")
    as_names = structs.replace(declared, kind="category")
    return read_words(words, name, where, lines, declared=as_names, counts=counts)


def _float(cell: str) -> float:
    try:
        return np.nan if "_" in cell else float(cell)
    except ValueError:
        return np.nan


def _is_number(cell: str) -> bool:
    return bool(np.isfinite(_float(cell)))


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with marks and a unit or without."""
    return _is_number(cell) or part_of(cell) is not None


def is_zero_led(cell: str) -> bool:
    """Whether a cell begins as 007 does, which is a name."""
    return _ZERO_LED.match(cell) is not None
