"""Tables in files, read by Polars: text with separators, Parquet, Arrow, JSON, spreadsheets."""

import codecs
import contextlib
import csv
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from polars import selectors

from latens.data.row_fields import ColumnRoles, OtherCells, Raw, damaged, file_errors, readable
from latens.errors import DataError, LatensError, ResourceError, UsageError, spreadsheet_text
from latens.kinds.tables import ENDINGS, PACKED, WRITTEN
from latens.kinds.tables.columns import WHOLE
from latens.kinds.tables.derived import Declared
from latens.kinds.tables.dtypes import as_dates
from latens.kinds.tables.frame import check_names
from latens.kinds.tables.infer_columns import coded_as, rows_of
from latens.runtime.file_limits import GZIP, MAX_BYTES, ZSTD, check_zstd, refuse_large, refuse_packed, unpacked

SEPARATORS = ",;\t|"
_HEAD, _LINES = 2**16, 100  # bytes and lines that the separator is told from
_TYPED = 10_000  # rows that say what columns hold; where a later one holds something else, all rows do
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*\Z|\s*[-+]?(nan|inf)\s*\Z|\s*\Z", re.IGNORECASE)
_ZEROS = r"^\s*[-+]?0\d"  # a cell that is led by a zero
_ADVICE = re.compile(r"(\\n|\s)*(Hint:|You might want|Consider setting|The current offset|Original error:|Context:).*")
_UNWRAPPED = re.compile(r"called `Result::unwrap\(\)` .*?ErrString\(\"")
MOST_COLUMNS = 2**20
"""Columns of a table of text: Polars takes a kilobyte and more for each."""
_PLACE = re.compile(rb"""<(?:\w+:)?(?:c|row)\s[^<>]*?\br\s*=\s*["']([A-Za-z]*)(\d{1,20})""")
_FAR = "Remove the cells that lie far from the others."
_OF_SHEETS = ("fastexcel", "_fastexcel", "builtins")
_DAY_FIRST = re.compile(r"(?<!\d)\d\d?([/.-])\d\d?\1\d{4}(?!\d)")
_ISO = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_CAPITAL = re.compile(r"(?<!\w)(True|False)(?!\w)")


class Written(NamedTuple):
    """How a table of text is written."""

    separator: str = ","
    decimal_comma: bool = False
    day_first: str = ""  # what stands between day, month and year; empty: dates of ISO 8601
    capital: bool = False  # whether Booleans are True and False, not true and false

    def known(self) -> dict[str, Any]:
        """What a model file keeps of it."""
        return self._asdict()


def ending_of(name: str) -> str:
    """The ending of a table's file, without that of its packing."""
    name = name.lower()
    for packed in PACKED:
        if name.endswith(packed):
            inner = Path(name.removesuffix(packed)).suffix
            return inner if inner in (*ENDINGS["text"], *ENDINGS["json"][:2]) else packed
    return Path(name).suffix


def format_of(name: Any) -> str:
    """The format of a file of a table by its name; "" of other files."""
    ending = ending_of(str(name))
    return next((form for form, endings in ENDINGS.items() if ending in endings), "")


def read_table(path: str | Path, roles: ColumnRoles, *, empty: bool = False) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a file, or what an address stands for, as a frame; and what is said of how it was read."""
    # empty: whether it may have no rows.
    where, form = str(path), format_of(path)
    if roles.sheet is not None and form != "sheets":
        raise UsageError(f"{Path(path).name} has no sheets.", where="--sheet", fix="Leave it out.")
    with polars_errors(where):
        scan, notes = read_text(path, roles) if form == "text" and isinstance(path, Path) else scanned(path, roles)
        if form in ("parquet", "arrow"):  # equal rows take no bytes there
            cells = scan.select(pl.len()).collect().item() * len(scan.collect_schema())
            if cells > MAX_BYTES // 8:
                raise ResourceError(f"has {cells:,} cells.", where=where, fix="Use fewer rows or columns.")
        frame = scan.collect()
    if not frame.width or not (frame.height or empty):
        raise DataError("has no rows." if frame.width else "has no columns.", where=where, fix="Give at least one row.")
    return with_null(frame, roles.null), tuple(dict.fromkeys(notes))


@contextlib.contextmanager
def polars_errors(where: str) -> Iterator[None]:
    """Put the name of a file before what Polars says of it."""
    with file_errors(where):
        try:
            yield
        except (LatensError, MemoryError, FileNotFoundError, PermissionError):
            raise
        except ModuleNotFoundError as error:
            fix = "pip install 'latens[spreadsheets]', or save it as .csv."
            raise DataError(f"reading it needs {error.name or 'another package'}.", where=where, fix=fix) from None
        except BaseException as error:
            kinds = (pl.exceptions.PolarsError, ValueError, OSError, EOFError)
            plain = isinstance(error, Exception) and type(error).__module__.startswith(_OF_SHEETS)
            if not (plain or isinstance(error, kinds) or type(error).__name__ == "PanicException"):
                raise
            raise damaged(where, f"cannot be read: {_said(error)}.") from None


def _said(error: BaseException) -> str:
    """What a library says of a file, without its advice on options and most of a long cell."""
    said = _ADVICE.sub("", _UNWRAPPED.sub("", " ".join(str(error).split())))
    return re.sub(r"`([^`]{40})[^`]+`", r"`\1...`", said)[:300].rstrip(". ") or type(error).__name__


def read_text(path: Path, roles: ColumnRoles) -> tuple[pl.LazyFrame, list[str]]:
    """Read a table of text; what was found out of how it is written is said."""
    where, text = str(path), TextTable.of(path, roles)
    try:
        frame = _collected(text, where)
    except pl.exceptions.ComputeError:
        if not where.lower().endswith(".zst"):
            _refuse_line(_bytes(text.source, where), text.options["separator"], text.width, where)
        raise
    cells = csv.reader(text.lines, delimiter=text.options["separator"])
    at = sorted({i for line in cells for i, cell in enumerate(line) if _DAY_FIRST.search(cell)})
    if named := [repr(frame.columns[i]) for i in at if frame.dtypes[i : i + 1] == [pl.Date]]:
        text.notes.append(f"Dates such as 01/02/2024 are read with the day first: {', '.join(named)}.")
    return text.finished(frame.lazy()), text.notes


def _collected(text: "TextTable", where: str) -> pl.DataFrame:
    for sure in (False, True):
        try:
            return text.scan(sure=sure).collect()
        except pl.exceptions.ComputeError as error:
            if sure and "utf-8" not in str(error).lower():
                raise
    text.notes.append("The text is not UTF-8, and is read as cp1252 (--encoding says otherwise).")
    text.source = _recoded(_bytes(text.source, where), "cp1252", where)
    return text.scan(sure=True).collect()


@dataclass
class TextTable:
    """How a table of text is written, as its first lines say."""

    source: Path | bytes  # the file, or its bytes where it is not UTF-8 as it stands
    lines: list[str]  # the first ones that hold something
    blank: bool  # whether there are lines without a cell
    width: int  # cells of the first line
    options: dict[str, Any]  # of Polars' readers
    notes: list[str]  # what was found out, a sentence each

    @classmethod
    def of(cls, path: Path, roles: ColumnRoles) -> "TextTable":
        """Look at the first lines of a file."""
        where, notes = str(path), list[str]()
        source, head = _source(path, roles.encoding, notes)
        lines = [line for line in head.splitlines()[:_LINES] if line.strip()]
        if not lines:
            raise DataError("is empty.", where=where, fix="Give a file with at least one row.")
        if "\0" in head:
            line = head.count("\n", 0, head.index("\0")) + 1
            fix = "Name its encoding (--encoding utf-16), or give a file of text."
            raise DataError("holds a zero byte, and is not text.", where=f"{where}, line {line}", fix=fix)
        separator, blanks = (roles.separator, False) if roles.separator else _sniffed(lines, path)
        if roles.separator is None and separator != ("\t" if ending_of(path.name) in (".tsv", ".tab") else ","):
            said = {"\t": "tabs", " ": "blanks"}.get(separator, repr(separator))
            notes.append(f"The cells are separated by {said} (--separator says otherwise).")
        ends = "\r" if "\r" in head and "\n" not in head else "\n"
        if separator == " ":
            lines, separator, ends = ["\t".join(line.split()) for line in lines], "\t", "\n"
            source = b"\n".join(b"\t".join(line.split()) for line in _bytes(source, where).splitlines())
        elif blanks:
            own = separator.encode()
            between = rb'"[^"]*"|[ \t]*' + re.escape(own) + rb"[ \t]*"
            source = re.sub(between, lambda m: m[0] if m[0][:1] == b'"' else own, _bytes(source, where))
            lines = [re.sub(rf"[ \t]*{re.escape(separator)}[ \t]*", separator, line) for line in lines]
            notes.append("Blanks around separators are left out.")
        _refuse_wide(source, separator, where)
        titles = next(csv.reader(lines[:1], delimiter=separator))
        counted = len(titles) > 1 and titles == [str(i) for i in range(len(titles))]  # as pandas names columns
        header = counted or not all(map(_NUMBER.match, titles)) if roles.header is None else roles.header
        if header:
            check_names(titles, where)
        options: dict[str, Any] = {
            "separator": separator, "has_header": header, "decimal_comma": roles.decimal_comma,
            "null_values": list(roles.null), "eol_char": ends,
        }  # fmt: skip
        return cls(source, lines, len(lines) < len(head.splitlines()[:_LINES]), len(titles), options, notes)

    def scan(self, *, sure: bool) -> pl.LazyFrame:
        """Columns as the first rows have them, where each has a cell there; else, or to be sure, as all rows do."""
        scanned = lambda **how: pl.scan_csv(  # noqa: E731
            self.source if isinstance(self.source, Path) else io.BytesIO(self.source), glob=False, **how, **self.options
        )
        rows = None if sure else _TYPED
        scan = scanned(infer_schema_length=rows, try_parse_dates=True)
        names = [name for name, dtype in scan.collect_schema().items() if dtype == pl.String]
        if rows and any(one.all() for one in scan.head(rows).select(pl.col(names).is_null()).collect()):
            rows, scan = None, scanned(infer_schema_length=None, try_parse_dates=True)
        schema = scan.collect_schema()
        whole = [name for name, dtype in schema.items() if dtype.is_integer()]
        words = scanned(infer_schema=False, encoding="utf8-lossy").select(pl.col(whole).str.contains(_ZEROS).any())
        led = [one.name for one in words.collect(engine="streaming") if one.any()] if whole else []
        if led:  # 01 is a name
            named = ", ".join(repr(name) for name in led)
            what = f"Cells with leading zeros are categories: {named} (--column NAME=number changes this)."
            self.notes.append(what)
        if led or rows is None:  # Polars would infer the schema again
            text = dict.fromkeys(led, pl.String)
            dated = any(dtype.is_temporal() for dtype in schema.dtypes())
            how = {"infer_schema_length": rows, "schema_overrides": text} if dated else {"schema": {**schema, **text}}
            scan = scanned(try_parse_dates=True, **how)
        # Polars leaves the two quotation marks that stand for one in a name.
        names = [re.sub(r"^'(?=[=+\-@\t\r])", "", name).replace('""', '"') for name in schema]
        names = names if self.options["has_header"] else [f"x{i}" for i in range(len(names))]
        return scan.rename(dict(zip(schema, names)))

    def finished(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Leave lines without a cell out, and read columns of numbers and nan, as NumPy writes it, as numbers."""
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null())) if self.width > 1 and self.blank else frame
        text = [name for name, dtype in frame.collect_schema().items() if dtype == pl.String]
        if not text:
            return frame
        made, same = pl.col(text).cast(pl.Float64, strict=False), pl.col(text).null_count()
        numbers = made.is_nan().any() & (made.null_count() == same) & ~pl.col(text).str.contains(_ZEROS).any()
        found = frame.select(numbers).collect(engine="streaming")
        # The apostrophe that `frame_bytes` writes before what a spreadsheet would run.
        plain = pl.col(pl.String).str.replace(r"^'([=+\-@\t\r])", "$1")
        return frame.with_columns(plain).with_columns(
            pl.col(one.name).cast(pl.Float64, strict=False) for one in found if one.any()
        )


def _refuse_wide(source: Path | bytes, separator: str, where: str) -> None:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        line = file.readline(2**26)
    if line.count(separator.encode()) >= MOST_COLUMNS:
        fix = "Write it as .npy, or turn it so that its rows are its columns."
        raise ResourceError(f"has more than {MOST_COLUMNS} columns.", where=where, fix=fix)


def _refuse_line(data: bytes, separator: str, width: int, where: str) -> None:
    """Say which line has more cells than the first, or begins a quotation that has no end."""
    reader = csv.reader(io.StringIO(data.decode(errors="replace"), newline=""), delimiter=separator, strict=True)
    line, what = 1, ""
    try:
        for cells in reader:
            if len(cells) > width:
                what = f"has {len(cells)} values, and the first line {width}."
                break
            line = reader.line_num + 1
    except csv.Error as error:
        what = "a quotation mark has no other one." if "unexpected end" in str(error) else ""
    if what:
        raise DataError(what, where=f"{where}, line {line}", fix="Mend the line.")


def written_of(spec: object, options: Mapping[str, Any]) -> Written | None:
    """How a table of text is written; None for other data."""
    path = Path(spec) if isinstance(spec, str | Path) else None
    if path is None or format_of(path.name) != "text" or not path.is_file():
        return None
    comma = bool(options.get("decimal_comma"))
    with contextlib.suppress(LatensError, pl.exceptions.PolarsError, OSError):
        lines = [line for line in _source(path, options.get("encoding"), [])[1].splitlines()[:_LINES] if line.strip()]
        found, text = options.get("separator") or _sniffed(lines, path)[0], "\n".join(lines)
        day = None if _ISO.search(text) else _DAY_FIRST.search(text)
        return Written(found if found != " " else "\t", comma, day[1] if day else "", bool(_CAPITAL.search(text)))
    return None


def _source(path: Path, encoding: str | None, notes: list[str]) -> tuple[Path | bytes, str]:
    """The bytes of a file in UTF-8, or the file itself where it has them; and its first lines."""
    where = str(path)
    with path.open("rb") as file:
        start = file.read(_HEAD)
    source: Path | bytes = path
    if start[:2] == GZIP:
        source = _bytes(path, where)
        start = source[:_HEAD]
    if path.name.lower().endswith(".zst") and start[:4] == ZSTD:
        check_zstd(path)
        found = pl.read_csv(
            path, has_header=False, separator="\x01", quote_char=None, infer_schema=False, n_rows=_LINES
        )
        return path, "\n".join("" if line is None else line for line in found.to_series())
    wide = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    refuse_packed(start, where)
    if encoding is not None or wide:
        source = _recoded(_bytes(source, where), encoding or "utf-16", where)
        start = source[:_HEAD]
    for name in ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder(name)().decode(start)
            break
    else:
        text = start.decode("latin-1")
    whole = text if len(start) < _HEAD else text.rpartition("\n")[0] or text
    return source, whole


def _bytes(source: Path | bytes, where: str) -> bytes:
    """The bytes of a file, unpacked where it is gzipped, not more than one file may hold."""
    if isinstance(source, bytes):
        return source
    with unpacked(source) as (file, _):
        found = file.read()
    refuse_packed(found[:4], where)
    return found


def _recoded(data: bytes, encoding: str, where: str) -> bytes:
    """Text of an encoding in UTF-8."""
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode()
    except LookupError:
        fix = "Use the name of an encoding of Python, such as cp1252."
        raise UsageError(f"there is no encoding {encoding!r}.", where="--encoding", fix=fix) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte {error.start} is not a character of {encoding}."
        raise DataError(what, where=f"{where}, line {line}", fix="Name its encoding: --encoding NAME.") from None


def _sniffed(lines: list[str], path: Path) -> tuple[str, bool]:
    """The separator of the first lines, and whether blanks follow it."""
    if ending_of(path.name) in (".tsv", ".tab"):
        return "\t", False
    kinds = SEPARATORS + (" " if ending_of(path.name) in (".txt", ".dat", ".data") else "")
    try:
        found = csv.Sniffer().sniff("\n".join(lines), delimiters=kinds)
    except csv.Error:
        return next((one for one in f"{kinds} " if all(one in line.strip() for line in lines)), ","), False
    counts = {one: min(line.strip().count(one) for line in lines) for one in kinds}
    if not any(counts.values()) and all(len(line.split()) > 1 for line in lines):
        return " ", False
    if not counts[found.delimiter] and max(counts.values()):  # the most even one, which not every line has
        return max(kinds, key=lambda one: counts[one]), False
    own = found.delimiter
    spaced = found.skipinitialspace or all(f"{own}\t" in line for line in lines)
    return own, own != " " and own != "\t" and spaced


def scan_arrow(path: Path) -> pl.LazyFrame:
    """A file of Arrow whose rows stay on disk; a stream of it, as Hugging Face writes, is read whole."""
    with path.open("rb") as file:
        whole = file.read(6) == b"ARROW1"
    return pl.scan_ipc(path, glob=False) if whole else pl.read_ipc_stream(path).lazy()


def _read_sheet(path: Path, roles: ColumnRoles) -> pl.DataFrame:
    """Read a sheet of a spreadsheet: the first, or that of a name or a number from 1."""
    chosen: dict[str, Any] = {"sheet_id": 1}
    if roles.sheet is not None:
        number = int(roles.sheet) if roles.sheet.isdecimal() else 0  # all sheets for Polars
        chosen = {"sheet_id": number} if number else {"sheet_name": roles.sheet}
    read = pl.read_ods if path.suffix.lower() == ".ods" else pl.read_excel
    header = True if roles.header is None else roles.header
    _refuse_far(path)
    try:
        frame = read(path, has_header=header, infer_schema_length=None, **chosen)
    except Exception as error:
        if "Cell limit" in str(error):
            raise ResourceError(f"cannot be read: {_said(error)}.", where=str(path), fix=_FAR) from None
        if "no matching sheet" not in str(error):
            raise
        fix = "Give the name of a sheet, or its number from 1."
        raise UsageError(f"{path.name} has no sheet {roles.sheet!r}.", where="--sheet", fix=fix) from None
    if not header:
        frame.columns = [f"x{i}" for i in range(frame.width)]
    return _with_dates(frame)


def _refuse_far(path: Path) -> None:
    """Refuse a workbook with a far cell: its reader takes memory for all cells before it, or ends the process."""
    if not zipfile.is_zipfile(path):
        return
    with readable(str(path)), zipfile.ZipFile(path) as archive:
        refuse_large(sum(one.file_size for one in archive.infolist()), str(path))
        for name in archive.namelist():
            rest, rows, letters = b"", 1, {b"A"}
            with archive.open(name) as file:
                while part := file.read(2**20):
                    found = _PLACE.findall(rest + part)
                    rows = max([rows, *(int(row) for _, row in found)])
                    letters |= {column.upper() for column, _ in found}
                    rest = part[part.rfind(b"<") :]
            width = max(sum((one - 64) * 26**i for i, one in enumerate(column[::-1])) for column in letters)
            if rows * width > MAX_BYTES // 32:
                raise ResourceError(f"has {rows:,} rows of {width:,} columns.", where=str(path), fix=_FAR)


def _with_dates(frame: pl.DataFrame) -> pl.DataFrame:
    """Read columns of text that are all dates of ISO 8601 as such: JSON and cells of text have no others."""
    some = [one for one in frame.iter_columns() if one.dtype == pl.String and one.null_count() < len(one)]
    iso = [one for one in some if one.str.contains(r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?$").all(ignore_nulls=True)]
    return frame.with_columns(made for one in iso if (made := as_dates(one, "", "")) is not None)


def with_null(frame: pl.DataFrame | pl.LazyFrame, words: tuple[str, ...]) -> Any:
    """Take some words as empty cells of a frame, lazy or not; other columns stay."""
    text = [name for name, dtype in frame.collect_schema().items() if dtype == pl.String] if words else []
    return frame.with_columns(
        pl.when(pl.col(name).is_in(list(words))).then(None).otherwise(pl.col(name)).alias(name) for name in text
    )


def frame_bytes(frame: pl.DataFrame, path: Path, written: Written = Written(), known: Collection[str] = ()) -> bytes:  # noqa: B008
    """The bytes of a table, in the format of the ending of its file."""
    # known: Text that stands in the training data, and is written as it is; other text that a spreadsheet would run as
    # a formula gets an apostrophe before it.
    ending, form, stream = path.suffix.lower(), format_of(path), io.BytesIO()
    if ending in (".csv", ".tsv"):
        separator = "\t" if ending == ".tsv" else written.separator
        # Whole seconds as pandas and spreadsheets write them; else, or with a zone, as Polars does.
        times = frame.select(selectors.datetime(time_zone=None).dt.microsecond() != 0)
        whole = times.width == frame.select(selectors.datetime()).width and not any(one.any() for one in times)
        clock = "%Y-%m-%d %H:%M:%S" if whole else None
        day = written.day_first
        how: dict[str, Any] = {
            "decimal_comma": written.decimal_comma,
            "datetime_format": clock,
            "date_format": f"%d{day}%m{day}%Y" if day else None,
        }
        if written.capital:
            frame = frame.with_columns(selectors.boolean().cast(pl.String).str.to_titlecase())
        _plain(frame, known).write_csv(stream, separator=separator, **how)
    elif ending == ".parquet":
        frame.write_parquet(stream)
    elif form == "arrow":
        frame.write_ipc(stream)
    elif form == "json" and ending != ".json":
        _texts(frame).write_ndjson(stream)
    elif ending == ".xlsx":
        try:
            frame.write_excel(stream)
        except ModuleNotFoundError:
            fix = "pip install xlsxwriter, or use .csv."
            raise UsageError("writing spreadsheets needs xlsxwriter.", where="--out", fix=fix) from None
    else:
        fix = f"Use one of {', '.join(WRITTEN)}."
        raise UsageError(f"tables are not written as {ending!r}.", where="--out", fix=fix)
    return stream.getvalue()


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose durations and bytes are text, which text files have no cells for."""
    made = []
    for name, dtype in frame.schema.items():
        if dtype == pl.Binary:
            made.append(pl.col(name).bin.encode("hex"))
        elif isinstance(dtype, pl.Duration):
            made.append(pl.col(name).dt.to_string("polars"))
    return frame.with_columns(made)


def _plain(frame: pl.DataFrame, known: Collection[str]) -> pl.DataFrame:
    """A frame as text files have it, without text that a spreadsheet would run as a formula."""
    frame = _texts(frame)
    for name, dtype in frame.schema.items():
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            column = frame[name].cast(pl.String)
            words = column.unique().drop_nulls().to_list()
            made = {word: text for word in words if word not in known and (text := spreadsheet_text(word)) != word}
            if made:
                frame = frame.with_columns(column.replace(made))
    names = {name: spreadsheet_text(name) for name in frame.columns if name not in known}
    return frame.rename({name: text for name, text in names.items() if text != name})


BATCH_ROWS = None
"""Rows of a batch; None: as Polars reads them."""


def scanned(path: str | Path, roles: ColumnRoles) -> tuple[pl.LazyFrame, list[str]]:
    """A table whose rows are not read yet, here or at an address that Polars reads; and what is said of it."""
    form, away, notes = format_of(path), isinstance(path, str), list[str]()
    if form == "text" and away:
        scan = pl.scan_csv(path, try_parse_dates=True, infer_schema_length=None)
    elif form == "text":
        text = TextTable.of(Path(path), roles)
        scan, notes = text.finished(text.scan(sure=roles.sure)), text.notes
    elif form == "parquet":
        scan = pl.scan_parquet(path, glob=away)
    elif form == "arrow":
        scan = pl.scan_ipc(path) if away else scan_arrow(Path(path))
    elif form == "json":
        source = _bytes(Path(path), str(path)).removeprefix(codecs.BOM_UTF8)
        read = pl.read_json if ending_of(str(path)) == ".json" else pl.read_ndjson
        scan = _with_dates(read(source, infer_schema_length=None)).lazy()
    else:
        scan = _read_sheet(Path(path), roles).lazy()
    return with_null(scan, roles.null), notes


def table_parts(path: str | Path, roles: ColumnRoles) -> Iterator[Raw]:
    """Read the rows of a table some at a time; `settled` says before what its columns of names hold."""
    with polars_errors(str(path)):
        scan, notes = scanned(path, roles)
        batches = scan.collect_batches(maintain_order=True, chunk_size=BATCH_ROWS)
        try:
            for frame in batches:
                if frame.height:
                    raw = rows_of(frame, roles, str(path))
                    raw.notes += tuple(notes)
                    yield raw
        except pl.exceptions.ComputeError:
            if roles.sure or format_of(path) != "text":
                raise
            raise OtherCells("later rows hold something else.", where=str(path), fix="Read all rows first.") from None


def settled(paths: Sequence[str | Path], roles: ColumnRoles) -> ColumnRoles:
    """Declare what columns of names, and of dates in words, hold in all rows, so that parts of them are read alike."""
    with polars_errors(str(paths[0])):
        scans = [scanned(path, roles)[0] for path in paths]
        names = [scan.collect_schema().names() for scan in scans]
        if other := next((path for path, own in zip(paths, names) if own != names[0]), None):
            fix = "Give all files the same columns, of the same types."
            raise DataError(f"has other columns than {Path(paths[0]).name}.", where=str(other), fix=fix)
        every = pl.concat(scans, how="vertical_relaxed")
        schema, said = every.collect_schema(), roles.declared or {}
        found = rows_of(pl.DataFrame(schema=schema), roles, str(paths[0]))
        if found.kinds is None:
            return roles
        own = found.columns or ()
        kinds = {name: said.get(name, Declared()).kind for name in own}
        whole = [name for name in own if kinds[name] is None and schema[name].is_integer()]
        most = every.select(pl.col(whole).cast(pl.Float64).abs().max()).collect(engine="streaming") if whole else ()
        large = [one.name for one in most if (one[0] or 0.0) >= WHOLE]  # names, by `_column`
        words = [n for i, n in enumerate(own) if found.kinds[i].named or n in large or kinds[n] == "date"]
        values = pl.collect_all([every.select(pl.col(name).unique()) for name in words], engine="streaming")
        known = coded_as(values, said, str(paths[0]))
    return replace(roles, declared={**said, **known})
