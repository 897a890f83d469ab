"""Text that others wrote (names of columns, classes, rows), where it is shown or written into a table.

A name may hold characters that steer a terminal, turn the text after it around, or begin a formula in a spreadsheet.
Needs only the standard library.
"""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # errors are told before anything heavy is imported
    import numpy as np

# Marks that change the direction of the text after them; the joiners that Persian or emoji need are no such marks.
_DIRECTIONS = frozenset((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPAN = re.compile(r"-\d+ days \+\d\d:\d\d:\d\d(\.\d{1,9})?", re.ASCII)
_FIXED = re.compile(r"[+-]?\d+\.(\d{1,15})")
_PARTS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WRITTEN = re.compile(r"[+-][$£€¥]? ?\d[\d.,'\u2019 \u00a0\u202f\u2009]*[^\W\d_]{0,10}[%°€$£¥]?")
"""A number with its marks and unit, and nothing that could be run."""


def visible(text: object, *, keep: str = "") -> str:
    r"""Text whose control characters, line ends and marks of direction are spelled out, `\x1b` or `\u202e`."""
    words = str(text)
    # A printable text may still hold a mark of direction, but only among characters beyond ASCII.
    if words.isprintable() and words.isascii():
        return words
    return "".join(c if c in keep or not _steers(c) else ascii(c)[1:-1] for c in words)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or ord(character) in _DIRECTIONS


def spreadsheet_text(text: str) -> str:
    """A text as it is written into a CSV file, with an apostrophe before what a spreadsheet would run as a formula."""
    # Numbers, also with a unit, and spans of time never get one. It is the remedy for "CSV injection" of
    # the Open Worldwide Application Security Project: for text that begins with `=`, `+`, `-`, `@`, a tab or a carriage
    # return.
    plain = any(form.fullmatch(text) for form in (_NUMBER, _SPAN, _WRITTEN))
    return f"'{text}" if text.startswith(_FORMULA) and not plain else text


def original_text(cell: str) -> str:
    """The text that `spreadsheet_text` was given, without the apostrophe that it added."""
    rest = cell[1:]
    return rest if cell.startswith("'") and rest != cell and spreadsheet_text(rest) == cell else cell


MARK = "\ufeff"
"""The byte order mark, with which Excel on Windows tells UTF-8."""


class Dialect(NamedTuple):
    """How a CSV file is written."""

    separator: str = ","  # between cells
    mark: str = ""  # what stands before the first: `MARK` or nothing
    encoding: str = "utf-8"  # of its text, by its name in Python
    decimal: str = "."  # the mark of the decimals in numbers that are added to its own columns
    # of plain numbers, by the column, where all cells have as many
    decimals: "Mapping[str, int]" = MappingProxyType({})
    ends: str = "\n"  # of its lines


COMMAS = Dialect()
"""How a CSV file is written unless the rows came otherwise."""


def csv_bytes(columns: "Mapping[str, np.ndarray]", known: "Collection[str]" = (), dialect: Dialect = COMMAS) -> bytes:
    """Equally long columns as a CSV file: a header, then a line for each row."""
    # In the encoding of the dialect, or in UTF-8 with a byte order mark where that lacks one of the characters.
    # A number is its shortest text that reads back as the same number in its own precision, a truth value 0 or 1, text
    # as `spreadsheet_text` writes it.
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=dialect.separator, lineterminator=dialect.ends)
    writer.writerow(name if name in known else spreadsheet_text(name) for name in columns)
    cells = [_padded(one, dialect.decimals.get(name)) or _cells(one, known) for name, one in columns.items()]
    writer.writerows(zip(*cells))
    text = stream.getvalue()
    if dialect.encoding != "utf-8":
        try:
            return text.encode(dialect.encoding)
        except UnicodeEncodeError:
            dialect = dialect._replace(mark=MARK)
    return f"{dialect.mark}{text}".encode("utf-8", "backslashreplace")


def fixed_decimals(cells: "Iterable[str]") -> int:
    """How many decimals each of these numbers has, of which a last one is 0; 0 where they differ or none ends in 0."""
    # Where no number ends in 0 the shortest text is how they are written.
    numbers = [cell.strip() for cell in cells]
    counts = {len(match[1]) if (match := _FIXED.fullmatch(cell)) else 0 for cell in numbers}
    return min(counts) if len(counts) == 1 and any(cell.endswith("0") for cell in numbers) else 0


def _padded(column: "np.ndarray", decimals: int | None) -> list[str]:
    """Numbers with so many decimals each, empty cells beside them; nothing where one of them has more."""
    cells = column.tolist()
    if (
        decimals is None
        or column.dtype.kind not in "fO"
        or not all(one == "" or isinstance(one, float) for one in cells)
    ):
        return []
    texts = [one if one == "" else f"{one:.{decimals}f}" for one in cells]
    return [] if any(text and abs(float(text) - one) > 1e-9 for text, one in zip(texts, cells)) else texts


def lacking(data: bytes, dialect: Dialect) -> str:
    """The sentence that a file of `csv_bytes` has another encoding than its dialect, and why; "" where it has not."""
    if dialect.encoding == "utf-8" or not data.startswith(MARK.encode()):
        return ""
    text = data.decode("utf-8-sig", "replace")
    one = next((c for c in dict.fromkeys(text) if not _encodes(c, dialect.encoding)), "")
    if not one:
        return ""
    words = f"is written in UTF-8 with a byte order mark, as {dialect.encoding} has no {visible(one)!r}"
    return f"{words} (spreadsheets read both)"


def _encodes(character: str, encoding: str) -> bool:
    try:
        return bool(character.encode(encoding))
    except UnicodeEncodeError:
        return False


def added_texts(column: "np.ndarray", decimal: str) -> list[str]:
    """Numbers that latens adds to a table, with four significant digits and the table's decimal mark."""

    # column: numbers, or their texts, of which some may be empty.
    def text(value: Any) -> str:
        try:
            return f"{float(value):.4g}".replace(".", decimal)
        except ValueError:
            return str(value)

    return [text(value) for value in column.tolist()]


def span_texts(spans: "np.ndarray") -> list[str]:
    """Spans of time as pandas writes them: "1 days 02:30:00", "-1 days +23:59:59.5", without closing zeros."""
    made, parts = [], _PARTS[spans.dtype.str[4:-1]]
    for gone, span in zip((spans != spans).tolist(), spans.astype("int64").tolist()):
        days, rest = divmod(span, 86_400 * parts)
        seconds, part = divmod(rest, parts)
        fraction = f".{part:0{len(str(parts)) - 1}d}".rstrip("0") if part else ""
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"
        made.append("" if gone else f"{days} days {'+' if days < 0 else ''}{clock}")
    return made


def _cells(column: Any, known: "Collection[str]") -> list[str]:
    if column.dtype.kind == "m":
        return span_texts(column)
    if column.dtype.kind == "b":
        column = column.astype("uint8")
    texts = [str(value) for value in column]
    if column.dtype.kind in "iuf":
        return texts
    plain = lambda value, text: isinstance(value, int | float) or text in known  # noqa: E731
    return [text if plain(value, text) else spreadsheet_text(text) for value, text in zip(column, texts)]


def number(value: Any, digits: int = 2) -> str:
    """Write a number for people, with a true minus sign; small ones keep three figures."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return "—"
    size = abs(value)
    shown = f"{value:,.{digits}f}" if size >= 0.1 or value == 0 else f"{value:.3g}"
    return _signed(shown)


def with_digits(value: Any, error: Any = None) -> tuple[str, str]:
    """Write a value and its standard error with the digits that the error leaves: 2.18 and 0.02."""
    # The error has one figure, two where the first is a 1, and the value as many decimal places; without an error a
    # whole number has none, and others have two.
    # error: its standard error, in the same unit; None where there is none.
    # returns: the two texts, with true minus signs; a dash for an error that is not there or not finite.
    sure = isinstance(error, int | float) and math.isfinite(error) and error > 0
    if value is None or not math.isfinite(value) or not sure:
        whole = isinstance(value, int | float) and math.isfinite(value) and value == round(value)
        return number(value, 0 if whole else 2), "—"
    first = math.floor(math.log10(error))
    places = 1 - first if f"{error:e}"[0] == "1" else -first
    places = min(6, max(0, places))
    return _signed(f"{value:,.{places}f}"), f"{error:,.{places}f}"


def _signed(shown: str) -> str:
    """With a true minus sign, and none before a zero."""
    shown = shown if any(digit in shown for digit in "123456789") else shown.removeprefix("-")
    return shown.replace("-", "\N{MINUS SIGN}")
