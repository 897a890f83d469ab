"""Text tables: .csv and its relatives, gzipped or not.

One pass, one line at a time, cells straight into one float64 buffer: a line, a cell and the whole have bounds, so no
file can make the reader grow without end. About 2 million cells a second: store large tables as .npy or .parquet.
"""

import codecs
import contextlib
import csv
import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.columns import WHOLE
from latens.data.declared import Declared
from latens.data.formats.format import Format
from latens.data.formats.tables import check_column_names, from_words, kept_columns, role_positions, text_array
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, damaged, unpacked
from latens.data.rows import MISSING_WORDS
from latens.errors import DataError, ResourceError, UsageError
from latens.text import MARK, Dialect, fixed_decimals, original_text

MAX_LINE = 2**24
MAX_COLUMNS = 2**20
MAX_BLANK = 10**6
MOST_HEAD = 2**20
"""Characters of the first lines after which no more are looked at for decimals."""
_SEPARATORS = "\t;|,"
_SNIFFED_LINES, _LOOKED_AT = 20, 400  # by which the separator is found, and the decimals of numbers
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x81\x8d\x8f\x90\x9d]")
"""Bytes that text in cp1252 does not hold."""
_ODD = re.compile(r"(?:^|,)\s*[-+]?(?:0\d|\d{16})|_")
"""Among cells of numbers those that may be names, or have more digits than float64."""
BLOCK_ROWS, BLOCK_BYTES = 8192, 2**22
"""A block of a table on disk has so many rows, or fewer where they take more bytes."""
QUICK, QUICKEST = 2**20, 2**31
"""Tables of plain numbers of so many bytes are read by pyarrow, where it is installed."""
_ROWS = "Give a file with at least one row of numbers."


def read_csv(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a text table."""
    # The separator (tab, semicolon, bar, comma or blanks) is the one that cuts the first 20 lines most evenly. The
    # first line is a header if none of its cells is a number (or if it counts the columns from 0). A first column
    # without a name in the header is the row id. The apostrophe that keeps a spreadsheet from running a name as a
    # formula is left out of names, labels and ids. Empty cells, NA, N/A, NaN, null, none and ? are missing values.
    # Columns of text and of ISO dates are kept as codes with what they stand for.
    try:
        return _read_csv(path, roles)
    except NotUtf8:
        encoding, example = guess_encoding(path)
        raw = _read_csv(path, replace(roles, encoding=encoding))
        note = f"is not UTF-8, and was read as {encoding} ({example!r}); --encoding NAME names another"
        raw.notes = (f"{path.name} {note}.", *raw.notes)
        return raw


def _read_csv(path: Path, roles: ColumnRoles) -> Raw:
    try:
        if roles.declared or roles.decimal == ",":  # 007 is one name and 7 another
            raise HasText
        if (raw := _of_numbers(path, roles)) is not None:
            return raw
        with _opened(path, roles) as rows:
            return _read(rows, roles, str(path))
    except HasText:
        with _opened(path, roles) as rows:  # once more, and the text is kept
            return _read(rows, roles, str(path), text=True)


def _of_numbers(path: Path, roles: ColumnRoles) -> Raw | None:
    """The rows of a large table of plain numbers, by pyarrow; None of any other, and where it is not installed."""
    # The same numbers, since both take the nearest float64; whatever looks otherwise is read line by line.
    if not QUICK <= path.stat().st_size <= QUICKEST or roles.asked() or roles.encoding:
        return None
    try:
        import pyarrow as pa
        from pyarrow import csv as quick
    except ImportError:
        return None
    with _opened(path, roles) as rows:
        head = list(islice(rows, _SNIFFED_LINES))
    with unpacked(path) as (stream, packed):
        separator = _separator(list(islice(_lines(stream, str(path)), _SNIFFED_LINES)), str(path))
    header, names, found = _columns(head[0][0], [row for _, row in head], roles, str(path))
    held = b"" if packed else path.read_bytes()
    alone = b"\r" in held and held.count(b"\r") != held.count(b"\r\n")
    odd = alone or b'"' in held or b"\0" in held
    if packed or odd or found or separator == " " or len(names) < 2 or head[0][0] != 1:
        return None
    words = [form for word in MISSING_WORDS for form in {word, word.upper(), word.title(), word.capitalize()}]
    try:
        table = quick.read_csv(
            pa.BufferReader(held),
            quick.ReadOptions(column_names=list(map(str, range(len(names)))), skip_rows_after_names=int(header)),
            quick.ParseOptions(delimiter=separator, quote_char=False),
            quick.ConvertOptions(
                column_types={str(i): pa.float64() for i in range(len(names))}, null_values=[*words, "NaN"]
            ),
        )
    except pa.ArrowInvalid:
        return None
    del held
    if not table.num_rows:
        return None
    x = np.empty((table.num_rows, len(names)), order="F")  # a column is written, and looked at, as it lies
    for i in range(len(names)):
        x[:, i] = table.column(0).to_numpy()
        table = table.remove_column(0)
    return Raw(x, columns=tuple(names) if header else None)


def read_rows(rows: list[tuple[int, list[str]]], roles: ColumnRoles, where: str) -> Raw:
    """Read the rows of a table whose cells are text, each with its line."""
    try:
        if roles.declared or roles.decimal == ",":
            raise HasText
        return _read(iter(rows), roles, where)
    except HasText:
        return _read(iter(rows), roles, where, text=True)


def read_text(path: Path, roles: ColumnRoles) -> tuple[list[str] | None, list[list[str]]]:
    """Read the text of a table that `read_csv` has read."""
    try:
        with _opened(path, roles) as rows:
            head = list(islice(rows, _SNIFFED_LINES))
            every = [row for _, row in head]
            header = _has_header(every, roles)
            rows = _once(chain(head[header:], rows), every[0] if header and not _is_row(every) else None)
            cells = [[original_text(cell.strip()) for cell in row] for _, row in rows]
    except NotUtf8:
        return read_text(path, replace(roles, encoding=guess_encoding(path)[0]))
    return ([original_text(cell.strip()) for cell in head[0][1]], cells) if header else (None, cells)


class NotUtf8(Exception):
    """A line is not UTF-8, and no encoding was said."""


def guess_encoding(path: Path) -> tuple[str, str]:
    """The encoding of a table that is not UTF-8, and the first of its words that says so."""
    with unpacked(path) as (stream, _):
        number, first, damaged_one = 0, None, False
        while line := stream.readline(MAX_LINE):
            number += 1
            try:
                damaged_one |= not line.decode("utf-8").isascii()  # what is UTF-8 elsewhere is of no other encoding
            except UnicodeDecodeError:
                first = first or (number, line)
                damaged_one |= _NO_TEXT.search(line) is not None
    assert first is not None
    if damaged_one:
        fix = "Save it as UTF-8, or name its encoding: --encoding cp1250, cp1251, mac_roman, shift_jis ..."
        raise DataError("is not UTF-8 text.", where=f"{path}, line {first[0]}", fix=fix)
    words = re.split(r"[\t;|,\"\r\n]+", first[1].decode("cp1252"))
    return "cp1252", next((word.strip() for word in words if not word.isascii()), "")[:40]


def _wide(stream: Any) -> str | None:
    """The encoding of a file whose characters have two or four bytes each."""
    start = stream.read(64)
    stream.seek(0)
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")):
        if start.startswith(mark) and len(start) % 4 == 0:
            return encoding
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [sum(byte == 0 for byte in start[at::2]) * 4 > len(start) > 7 for at in (0, 1)]
    return None if zeros[0] == zeros[1] else "utf-16-be" if zeros[0] else "utf-16-le"


@contextlib.contextmanager
def _opened(path: Path, roles: ColumnRoles) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """(line number, cells) of the rows of a file."""
    where, encoding = str(path), known_encoding(roles)
    with unpacked(path) as (stream, _):
        wide = _wide(stream) if encoding is None else encoding if "16" in encoding or "32" in encoding else None
        if wide is not None:
            stream, encoding = codecs.EncodedFile(stream, "utf-8", wide), "utf-8"
        lines = _lines(stream, where, encoding=encoding)
        head = list(islice(lines, _SNIFFED_LINES))
        with _in_words(where):
            yield _rows(chain(head, lines), _separator(head, where), where)


@contextlib.contextmanager
def _in_words(where: str) -> Iterator[None]:
    """Say in words what the csv module raises."""
    try:
        yield
    except csv.Error as error:
        if "new-line character" in str(error):
            fix = "Save it with line feeds as line ends."
            raise DataError("has a carriage return within a line.", where=where, fix=fix) from None
        raise damaged(where, f"is not a readable table ({error}).") from None


def known_encoding(roles: ColumnRoles) -> str | None:
    """The encoding that was said, by its name in Python."""
    if roles.encoding is None:
        return None
    try:
        return codecs.lookup(roles.encoding).name
    except LookupError:
        fix = "Such as utf-8, cp1252, latin-1, utf-16, shift_jis."
        raise UsageError(f"there is no encoding {roles.encoding[:40]!r}.", where="--encoding", fix=fix) from None


def _lines(
    stream: Any, where: str, number: int = 0, *, whole: bool = True, encoding: str | None = None
) -> Iterator[str]:
    """The lines after the first `number`; of a file that stays on disk (`whole` is false) only lines have bounds."""
    total, blank = 0, 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        total += len(line)
        blank += line.isspace()
        if blank > MAX_BLANK:
            fix = "Remove the blank lines."
            raise DataError(f"has more than {MAX_BLANK} blank lines.", where=where, fix=fix)
        if len(line) > MAX_LINE or (whole and total > MAX_BYTES):
            long = len(line) > MAX_LINE
            what = f"line {number} is longer than {MAX_LINE} bytes" if long else "the table is too large"
            raise ResourceError(f"{what}.", where=where, fix="Store large arrays as .npy or .npz.")
        if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            fix = "Save it as UTF-8, or leave --stream out."
            raise DataError("is written in UTF-16.", where=where, fix=fix)
        if b"\0" in line:
            raise damaged(f"{where}, line {number}", "holds a zero byte: this is not a text table.")
        try:
            of = encoding or "utf-8"
            yield line.decode("utf-8-sig" if number == 1 and of == "utf-8" else of)
        except UnicodeDecodeError:
            if encoding is None:
                raise NotUtf8 from None
            what, fix = f"is not text in {encoding}.", "Name another with --encoding, or save it as UTF-8."
            raise DataError(what, where=f"{where}, line {number}", fix=fix) from None


def dialect_of(spec: Any, encoding: str | None = None) -> Dialect | None:
    """How a .csv file is written; None of anything else."""
    # encoding: the one that was said; None finds it as `read_csv` does.
    path = Path(spec) if isinstance(spec, str | Path) else None
    if path is None or not path.name.lower().removesuffix(".gz").endswith(".csv") or not path.is_file():
        return None
    known = known_encoding(ColumnRoles(encoding=encoding)) or _encoding_of(path)
    with unpacked(path) as (stream, _):
        if "16" in known or "32" in known:
            stream = codecs.EncodedFile(stream, "utf-8", known)
        of = "utf-8" if isinstance(stream, codecs.StreamRecoder) else known
        head, size = [], 0
        while len(head) < (_LOOKED_AT if size < MOST_HEAD else _SNIFFED_LINES):
            head.append(stream.readline(MAX_LINE).decode(of, "replace"))
            size += len(head[-1])
    found = _separator([line for line in head[:_SNIFFED_LINES] if line.strip()] or [","], str(path))
    marked = known == "utf-8" and head[0].startswith(MARK)
    separator = found if found in _SEPARATORS else ","
    ends = "\r\n" if head[0].endswith("\r\n") else "\n"
    return Dialect(separator, MARK if marked else "", known, decimals=_decimals(head, separator), ends=ends)


def _decimals(head: list[str], separator: str) -> dict[str, int]:
    """The columns of plain numbers that have as many decimals in each of the first lines, and how many."""
    try:
        names, *rows = [row for row in csv.reader(head, delimiter=separator) if row]
    except (csv.Error, ValueError):
        return {}
    numbers = ([cell for cell in cells if cell.strip().lower() not in MISSING_WORDS] for cells in zip(*rows))
    found = {name.strip().removeprefix(MARK): fixed_decimals(cells) for name, cells in zip(names, numbers)}
    return {name: count for name, count in found.items() if count}


def _encoding_of(path: Path) -> str:
    """The encoding that a file of text is read in where none was said."""
    with unpacked(path) as (stream, _):
        wide = _wide(stream)
        if wide is not None:
            return wide
        try:
            while line := stream.readline(MAX_LINE):
                line.decode("utf-8")
        except UnicodeDecodeError:
            with contextlib.suppress(DataError):
                return guess_encoding(path)[0]
    return "utf-8"


def _separator(head: list[str], where: str) -> str:
    """The separator that gives the most lines the same number of cells (more than one); blanks if none does."""
    filled = [line for line in head if line.strip()]
    if not filled:
        raise DataError("has no rows.", where=where, fix=_ROWS)
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


def _rows(lines: Iterator[str], separator: str, where: str, before: int = 0) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every row that is not blank, after so many lines before."""
    if separator == " ":
        for number, line in enumerate(lines, before + 1):
            if "\r" in line.strip():
                raise csv.Error("new-line character within a line")
            if line.strip():
                yield number, line.split()
        return
    # No line of a file holds a zero byte: one is a row of its own at the end, or in a cell whose quote has no end.
    reader = csv.reader(chain(lines, "\0"), delimiter=separator, skipinitialspace=True)
    ended = 0
    for row in reader:
        if row and row[-1].endswith("\0"):
            if reader.line_num == ended + 1:
                return
            fix = "Close it, or leave it out."
            raise DataError("a quotation mark has no end.", where=f"{where}, line {before + ended + 1}", fix=fix)
        began, ended = ended + 1, reader.line_num  # a cell between quotes may have several lines
        if row and (len(row) > 1 or row[0].strip()):
            if len(row) > MAX_COLUMNS:
                raise ResourceError(f"has more than {MAX_COLUMNS} columns.", where=where, fix="Store it as .npy.")
            yield before + began, row


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


def _has_header(head: list[list[str]], roles: ColumnRoles) -> bool:
    """Whether the first of the first rows names the columns, as was said or as they look."""
    if roles.header is not None or not head:
        return bool(roles.header)
    return not _is_row(head) and _is_header(head[0], head[1] if len(head) > 1 else [])


def _is_row(head: list[list[str]]) -> bool:
    """Whether the first row, of a table without numbers, is like those below: names of columns do not come again."""
    first, *others = head
    again = [row for row in others if row != first and len(row) == len(first)]
    numbers = any(_is_number(cell) for row in head for cell in row)
    return len(first) > 1 and not numbers and all(cell in [row[i] for row in again] for i, cell in enumerate(first))


def _once(
    rows: Iterator[tuple[int, list[str]]], header: list[str] | None, found: list[int] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The rows without a header that comes again; the lines of these are put in `found`."""
    for number, row in rows:
        if row != header:
            yield number, row
        elif found is not None:
            found.append(number)


def _columns(
    number: int, head: list[list[str]], roles: ColumnRoles, where: str
) -> tuple[bool, list[str], dict[str, int]]:
    """Whether there is a header, the names of the columns, and which of them are label, id and weight."""
    if not head:
        raise DataError("has no rows.", where=where, fix=_ROWS)
    first, header = head[0], _has_header(head, roles)
    names = [original_text(cell.strip()) for cell in first] if header else [f"x{i}" for i in range(len(first))]
    check_column_names(names, where)
    found = role_positions(names, roles, where)
    if header and names[0] == "" and len(names) > 1 and "row_id" not in found and 0 not in found.values():
        found["row_id"] = 0
    if "" in [name for i, name in enumerate(names) if i not in found.values()]:
        raise DataError("a column has no name.", where=f"{where}, line {number}", fix="Name it in the first line.")
    return header, names, found


def _check_length(row: list[str], names: list[str], where: str) -> None:
    if len(row) != len(names):
        what = f"has {len(row)} values, the first line has {len(names)}."
        raise DataError(what, where=where, fix="Give every line the same number of values.")


class Csv(Format):
    """Text tables whose rows stay on disk: a block is some thousand lines."""

    endings = (".csv", ".tsv")

    def open(self, file: Any) -> None:
        self._encoding = known_encoding(self.roles)
        try:
            self._open(file)
        except NotUtf8:
            self._encoding = guess_encoding(Path(self.where))[0]
            file.seek(0)
            self._open(file)

    def _open(self, file: Any) -> None:
        where, self._blocks = self.where, []
        lines = _lines(file, where, whole=False, encoding=self._encoding)
        self._separator = _separator(list(islice(lines, _SNIFFED_LINES)), where)
        with _in_words(where):
            self._header = None
            rows = self._rows(file, 0, 0)
            number, first = next(rows, (0, []))
            at, more = (file.tell(), number), islice(rows, _SNIFFED_LINES - 1)
            head = [first, *(row for _, row in more)] if first else []
            self.titled, self._names, found = _columns(number, head, self.roles, where)
            self._header = first if self.titled and not _is_row(head) else None
            self.ids = "" if "" in self._names else None
            # Labels and ids are text in memory too, where 007 is not 7.
            asked = {found[role] for role in ("label", "row_id") if role in found}
            said = {i for i, name in enumerate(self._names) if _told((self.roles.declared or {}).get(name))}
            numeric, odd = [i for i in range(len(first)) if i not in asked | said], set[int]()
            at = at if self.titled else (0, 0)
            for number, row in self._rows(file, *at):
                _check_length(row, self._names, f"{where}, line {number}")
                last = self._blocks[-1] if self._blocks else (0, 0, BLOCK_ROWS)
                if last[2] == BLOCK_ROWS or at[0] - last[0] > BLOCK_BYTES:
                    self._blocks.append((*at, 0))
                self._blocks[-1] = (*self._blocks[-1][:2], self._blocks[-1][2] + 1)
                at = (file.tell(), number)
                if others := _no_numbers(row, numeric, odd):
                    numeric = [i for i in numeric if i not in others]
        if not self._blocks:
            raise DataError("has a header but no rows.", where=where, fix="Give at least one row of numbers.")
        kinds = {i: "odd" if i in odd else "number" for i in numeric}
        self.kinds = {name: kinds.get(i, "text") for i, name in enumerate(self._names)}

    def _rows(self, file: Any, start: int, before: int) -> Iterator[tuple[int, list[str]]]:
        file.seek(start)
        lines = _lines(file, self.where, before, whole=False, encoding=self._encoding)
        rows = _rows(lines, self._separator, self.where, before)
        return (pair for pair in rows if pair[1] != self._header) if self._header else rows

    def table(self) -> list[int]:
        return [rows for _, _, rows in self._blocks]

    def read(self, file: Any, block: int) -> dict[str, Any]:
        start, before, count = self._blocks[block]
        with _in_words(self.where):
            rows = [row for _, row in islice(self._rows(file, start, before), count)]
        return {name: self._cells(name, cells) for name, cells in zip(self._names, zip(*rows, strict=True))}

    def _cells(self, name: str, cells: tuple[str, ...]) -> Any:
        if name in self.texts:
            return [original_text(cell.strip()) for cell in cells]
        numbers = array("d")
        _add_numbers(numbers, cells)
        return np.frombuffer(numbers, np.float64)


def _told(said: Declared | None) -> bool:
    """Whether a column was declared as one whose cells are read as text."""
    return said is not None and (said.named or said.kind in ("date", "duration"))


def _no_numbers(row: list[str], numeric: list[int], odd: set[int]) -> list[int]:
    """Which of the columns that held numbers so far hold none in this row; cells that may be names make them odd."""
    cells = [row[i] for i in numeric]
    if not _ODD.search(",".join(cells)):
        with contextlib.suppress(ValueError):
            sum(map(float, cells))
            return []
    odd.update(i for i in numeric if _ODD.search(row[i]))
    return [i for i in numeric if not _is_number(row[i]) and row[i].strip().lower() not in MISSING_WORDS]


class HasText(Exception):
    """A cell is no number: the table is read again, as one of columns of several kinds."""


def _read(rows: Iterator[tuple[int, list[str]]], roles: ColumnRoles, where: str, *, text: bool = False) -> Raw:
    head = list(islice(rows, _SNIFFED_LINES))
    (number, first), every = head[0] if head else (0, []), [row for _, row in head]
    header, names, found = _columns(number, every, roles, where)
    kept = kept_columns(range(len(names)), found.values(), where)
    texts: dict[str, list[str]] = {role: [] for role in found}
    cells = array("d")
    words: list[list[str]] = [[] for _ in kept]
    held, lines = 0, array("q")

    def add(number: int, row: list[str]) -> None:
        _check_length(row, names, f"{where}, line {number}")
        lines.append(number)
        for role, position in found.items():
            texts[role].append(original_text(row[position].strip()))
        nonlocal held
        if text:
            for column, i in zip(words, kept):
                column.append(sys.intern(original_text(row[i].strip())))
            held += len(kept)
        else:
            _add_numbers(cells, [row[i] for i in kept] if found else row)
        if max(len(cells), held) * 8 > MAX_BYTES:
            raise ResourceError(f"has more than {MAX_BYTES // 8} cells.", where=where, fix="Store it as .npy.")

    again: list[int] = []
    known = None if _is_row(every) else first  # else it may be one of the rows
    for number, row in _once(chain(head[header:], rows), known if header else None, again):
        add(number, row)
    if not cells and not held:
        raise DataError("has a header but no rows.", where=where, fix="Give at least one row of numbers.")
    titles = tuple(names[i] for i in kept)
    columns = titles if header or text else None
    if text:
        x, texts_of = from_words(dict(zip(titles, words)), roles.declared, where, lines, roles.every)
    else:
        x, texts_of = np.frombuffer(cells, np.float64).reshape(-1, len(kept)), None
        if roles.declared is not None and np.any(np.abs(x) >= WHOLE):
            raise HasText  # digits that float64 does not hold are seen in the text
    weight = _weights(texts["weight"], where) if "weight" in texts else None
    label, ids = (text_array(texts[role], where) if role in texts else None for role in ("label", "row_id"))
    label_name = names[found["label"]] if header and "label" in found else None
    notes = ()
    if again:
        lines_of = ", ".join(map(str, again[:5])) + (", ..." if len(again) > 5 else "")
        notes += (f"the header comes again and was left out: line{'s' * (len(again) > 1)} {lines_of}",)
    if not header and _is_header(first, head[1][1] if len(head) > 1 else []):
        notes += ("the first line was taken for a row, not for names of columns; --header says that it names them",)
    if header and _above_text(first, head[1][1] if len(head) > 1 else []):
        notes += (f"the first line, {', '.join(first[:5])}, holds the names of the columns, as there is text below it",)
    told: dict[str, Any] = {"label_name": label_name, "texts": texts_of, "notes": notes, "lines": lines.tolist()}
    return Raw(x, label, ids, weight, columns, **told)


def _add_numbers(cells: array, row: Sequence[str]) -> None:
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
