"""Text tables: .csv and its relatives, gzipped or not.

One pass, one line at a time, cells straight into one float64 buffer: a line, a cell and the whole have bounds, so no
file can make the reader grow without end. About 2 million cells a second: store large tables as .npy or .parquet.
"""

import contextlib
import csv
import gzip
import io
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from latens.data.columns import WHOLE
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, damaged
from latens.data.readers.tables import check_column_names, from_words, role_positions, text_array
from latens.data.rows import MISSING_WORDS
from latens.errors import DataError, ResourceError
from latens.text import original_text

MAX_LINE = 2**24
MAX_COLUMNS = 2**20
MAX_BLANK = 10**6
_SEPARATORS = "\t;|,"
_SNIFFED_LINES = 20
_ROWS = "Give a file with at least one row of numbers."


def read_csv(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a text table."""
    # The separator (tab, semicolon, bar, comma or blanks) is the one that cuts the first 20 lines most evenly. The
    # first line is a header if none of its cells is a number (or if it counts the columns from 0). A first column
    # without a name in the header is the row id. The apostrophe that keeps a spreadsheet from running a name as a
    # formula is left out of names, labels and ids. Empty cells, NA, N/A, NaN, null, none and ? are missing values.
    # Columns of text and of ISO dates are kept as codes with what they stand for.
    try:
        if roles.declared:  # 007 is one name and 7 another
            raise HasText
        with _opened(path) as rows:
            return _read(rows, roles, str(path))
    except HasText:
        with _opened(path) as rows:  # once more, and the text is kept
            return _read(rows, roles, str(path), text=True)


def read_text(path: Path) -> tuple[list[str] | None, list[list[str]]]:
    """Read the text of a table that `read_csv` has read."""
    with _opened(path) as rows:
        cells = [[original_text(cell.strip()) for cell in row] for _, row in rows]
    header = _is_header(cells[0], cells[1] if len(cells) > 1 else [])
    return (cells[0], cells[1:]) if header else (None, cells)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """(line number, cells) of the rows of a file."""
    where = str(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        lines = _lines(stream, where)  # type: ignore[arg-type]
        head = list(islice(lines, _SNIFFED_LINES))
        if not any(line.strip() for line in head):
            raise DataError("has no rows.", where=where, fix=_ROWS)
        try:
            yield _rows(_chain(head, lines), _separator(head), where)
        except csv.Error as error:
            if "new-line character" in str(error):
                fix = "Save it with line feeds as line ends."
                raise DataError("has a carriage return within a line.", where=where, fix=fix) from None
            raise damaged(where, f"is not a readable table ({error}).") from None


def _lines(stream: io.BufferedIOBase, where: str) -> Iterator[str]:
    total, number, blank = 0, 0, 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        total += len(line)
        blank += line.isspace()
        if blank > MAX_BLANK:
            fix = "Remove the blank lines."
            raise DataError(f"has more than {MAX_BLANK} blank lines.", where=where, fix=fix)
        if len(line) > MAX_LINE or total > MAX_BYTES:
            what = (
                f"line {number} is longer than {MAX_LINE} bytes" if len(line) > MAX_LINE else "the table is too large"
            )
            raise ResourceError(f"{what}.", where=where, fix="Store large arrays as .npy or .npz.")
        if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError("is written in UTF-16.", where=where, fix="Save it as UTF-8.")
        if b"\0" in line:
            raise damaged(f"{where}, line {number}", "holds a zero byte: this is not a text table.")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise DataError("is not UTF-8 text.", where=f"{where}, line {number}", fix="Save it as UTF-8.") from None


def _chain(head: Iterable[str], rest: Iterator[str]) -> Iterator[str]:
    yield from head
    yield from rest


def _separator(head: list[str]) -> str:
    """The separator that gives the most lines the same number of cells (more than one); blanks if none does."""
    filled = [line for line in head if line.strip()]
    best, share = ",", 0.0
    for separator in _SEPARATORS:
        try:
            rows = [row for row in csv.reader(filled, delimiter=separator) if row]
        except csv.Error:  # a wide table is one cell of more characters than a cell may have, for all but its separator
            continue
        if any(all(cell.endswith(other) for row in rows for cell in row[:-1]) for other in _SEPARATORS):
            continue  # in "1,<tab>2" the tab is a blank
        counts = [len(row) for row in rows]
        common = max(set(counts), key=counts.count)
        if common > 1 and counts.count(common) / len(counts) > share:
            best, share = separator, counts.count(common) / len(counts)
    counts = [len(line.split()) for line in filled]
    return " " if share < 0.5 and min(counts) == max(counts) > 1 else best


def _rows(lines: Iterator[str], separator: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every row that is not blank."""
    if separator == " ":
        for number, line in enumerate(lines, 1):
            if "\r" in line.strip():
                raise csv.Error("new-line character within a line")
            if line.strip():
                yield number, line.split()
        return
    # No line of a file holds a zero byte: one is a row of its own at the end, or in a cell whose quote has no end.
    reader = csv.reader(_chain(lines, iter("\0")), delimiter=separator, skipinitialspace=True)
    ended = 0
    for row in reader:
        if row and row[-1].endswith("\0"):
            if reader.line_num == ended + 1:
                return
            fix = "Close it, or leave it out."
            raise DataError("a quotation mark has no end.", where=f"{where}, line {ended + 1}", fix=fix)
        ended = reader.line_num
        if row and (len(row) > 1 or row[0].strip()):
            if len(row) > MAX_COLUMNS:
                raise ResourceError(f"has more than {MAX_COLUMNS} columns.", where=where, fix="Store it as .npy.")
            yield reader.line_num, row


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell.strip().lower() not in MISSING_WORDS


def _is_header(first: list[str], second: list[str]) -> bool:
    """Whether the first row names the columns."""
    # Names that are numbers are believed only where they count the columns from 0 and a row of data cannot be meant:
    # there is an index column without a name, or the second row holds a fraction.
    numbers = [cell.strip() for cell in first if _is_number(cell)]
    if not numbers:
        return any(cell.strip() for cell in first)
    counted = len(numbers) > 2 and numbers == [str(i) for i in range(len(numbers))]
    return (counted and (not first[0].strip() or any("." in cell for cell in second))) or _above_text(first, second)


def _above_text(first: list[str], second: list[str]) -> bool:
    """Whether the first row holds different numbers alone, and the second text below one of them."""
    cells = [cell.strip() for cell in first]
    below = [cell.strip() for cell in second[: len(cells)]]
    words = [cell for cell in below if cell.lower() not in MISSING_WORDS and not _is_number(cell)]
    return len(set(cells)) == len(cells) > 1 and all(map(_is_number, cells)) and bool(words)


class HasText(Exception):
    """A cell is no number: the table is read again, as one of columns of several kinds."""


def _read(rows: Iterator[tuple[int, list[str]]], roles: ColumnRoles, where: str, *, text: bool = False) -> Raw:
    number, first = next(rows, (0, []))
    if not first:
        raise DataError("has no rows.", where=where, fix=_ROWS)
    second = next(rows, None)
    header = _is_header(first, second[1] if second else [])
    names = [original_text(cell.strip()) for cell in first] if header else [f"x{i}" for i in range(len(first))]
    check_column_names(names, where)
    found = role_positions(names, roles, where)
    if header and names[0] == "" and len(names) > 1 and "row_id" not in found and 0 not in found.values():
        found["row_id"] = 0
    if "" in [name for i, name in enumerate(names) if i not in found.values()]:
        raise DataError("a column has no name.", where=f"{where}, line {number}", fix="Name it in the first line.")
    kept = [i for i in range(len(names)) if i not in found.values()]
    if not kept:
        raise DataError("has no column of numbers left.", where=where, fix="Name fewer columns as label, id or weight.")
    texts: dict[str, list[str]] = {role: [] for role in found}
    cells = array("d")
    words: list[list[str]] = [[] for _ in kept]
    held, lines = 0, array("q")

    def add(number: int, row: list[str]) -> None:
        if len(row) != len(names):
            raise DataError(
                f"has {len(row)} values, the first line has {len(names)}.",
                where=f"{where}, line {number}",
                fix="Give every line the same number of values.",
            )
        for role, position in found.items():
            texts[role].append(original_text(row[position].strip()))
        nonlocal held
        if text:
            for column, i in zip(words, kept):
                column.append(sys.intern(original_text(row[i].strip())))
            held += len(kept)
            lines.append(number)
        else:
            _add_numbers(cells, [row[i] for i in kept] if found else row)
        if max(len(cells), held) * 8 > MAX_BYTES:
            raise ResourceError(f"has more than {MAX_BYTES // 8} cells.", where=where, fix="Store it as .npy.")

    if not header:
        add(number, first)
    if second:
        add(*second)
    for number, row in rows:
        add(number, row)
    if not cells and not held:
        raise DataError("has a header but no rows.", where=where, fix="Give at least one row of numbers.")
    columns = tuple(names[i] for i in kept) if header else None
    if text:
        titles = [names[i] for i in kept]
        x, texts_of = from_words(dict(zip(titles, words)), roles.declared, where, lines)
        columns = columns if header else tuple(titles)
    else:
        x, texts_of = np.frombuffer(cells, np.float64).reshape(-1, len(kept)), None
        if roles.declared is not None and np.any(np.abs(x) >= WHOLE):
            raise HasText  # digits that float64 does not hold are seen in the text
    weight = _weights(texts["weight"], where) if "weight" in texts else None
    label, ids = (text_array(texts[role], where) if role in texts else None for role in ("label", "row_id"))
    label_name = names[found["label"]] if header and "label" in found else None
    notes = ()
    if header and _above_text(first, second[1] if second else []):
        notes = (f"the first line, {', '.join(first[:5])}, holds the names of the columns, as there is text below it",)
    return Raw(x, label, ids, weight, columns, label_name=label_name, texts=texts_of, notes=notes)


def _add_numbers(cells: array, row: list[str]) -> None:
    """Append the numbers of one row; the plain case is one C loop, anything else is looked at cell by cell."""
    length = len(cells)
    try:
        cells.extend(map(float, row))
        if "_" not in "".join(row):
            return
    except ValueError:
        pass
    del cells[length:]
    for cell in row:
        if _is_number(cell):
            cells.append(float(cell))
        elif cell.strip().lower() in MISSING_WORDS:
            cells.append(float("nan"))
        else:
            raise HasText


def _weights(texts: list[str], where: str) -> np.ndarray:
    wrong = next((i for i, text in enumerate(texts) if not _is_number(text)), None)
    if wrong is not None:
        what = f"the weight {texts[wrong][:40]!r} is not a number."
        raise DataError(what, where=f"{where}, row {wrong}", fix="Give every row a weight of 0 or more.")
    return np.array([float(text) for text in texts])
