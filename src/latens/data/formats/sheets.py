"""Spreadsheets: .xlsx, .xls and .ods, by python-calamine; the cells of a sheet are read as those of a text table."""

import datetime
import zipfile
from pathlib import Path
from typing import Any

from latens.data.formats.csv import read_rows
from latens.data.raw import MAX_BYTES, ColumnRoles, Raw, damaged, needed
from latens.errors import DataError, ResourceError, nearest

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(path: Path, roles: ColumnRoles) -> Raw:
    """Read the rows of one sheet of a spreadsheet."""
    where = str(path)
    fix = "pip install 'latens[spreadsheets]', or save the sheet as .csv."
    calamine = needed("python_calamine", "a spreadsheet", where, fix)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > MAX_BYTES:
                raise ResourceError("is too large.", where=where, fix="Store large tables as .parquet.")
    try:
        # Its bytes say which kind it is, whatever its name.
        with path.open("rb") as file, calamine.CalamineWorkbook.from_filelike(file) as book:
            names = list(book.sheet_names)
            name = _chosen(names, roles.sheet, where)
            where = f"{where}, sheet {name!r}"
            cells = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except DataError:
        raise
    except calamine.PasswordError:
        raise DataError("is protected by a password.", where=where, fix="Save it without one.") from None
    except (calamine.CalamineError, zipfile.BadZipFile, OSError, ValueError) as error:
        raise damaged(where, f"is not a readable spreadsheet ({str(error)[:100]}).") from None
    rows, notes = _table([[_text(cell) for cell in row] for row in cells])
    if not rows:
        raise DataError("has no rows.", where=where, fix="Name another sheet with --sheet NAME.")
    raw = read_rows(rows, roles, where)
    if len(names) > 1 and roles.sheet is None:
        others = ", ".join(repr(one) for one in names if one != name)
        notes.append(f"Sheet {name!r} was read; --sheet NAME names another: {others}.")
    raw.notes = (*notes, *raw.notes)
    return raw


def _chosen(names: list[str], asked: str | None, where: str) -> str:
    if not names:
        raise DataError("has no sheets.", where=where, fix="Give a spreadsheet with one.")
    if asked is None or asked in names:
        return asked or names[0]
    if asked.isdecimal() and 1 <= int(asked) <= len(names):
        return names[int(asked) - 1]
    raise DataError(f"has no sheet {asked[:60]!r}.", where=where, fix=nearest(asked, names))


def _table(cells: list[list[str]]) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows of the table of a sheet with their numbers, without empty rows and columns and the title above it."""
    rows = [(number, row) for number, row in enumerate(cells, 1) if any(row)]
    used = [i for i in range(max((len(row) for _, row in rows), default=0)) if any(row[i] for _, row in rows)]
    rows, above = [(number, [row[i] for i in used]) for number, row in rows], []
    while len(rows) > 1 and len(used) > 1 and sum(map(bool, rows[0][1])) == 1:
        if not all(rows[1][1]) and sum(map(bool, rows[1][1])) > 1:
            break  # names of columns have no gaps
        above.append(rows.pop(0))
    title = ", ".join(repr(next(filter(None, row))[:40]) for _, row in above[:3])
    return rows, [f"What stands above the table was left out: {title}."] if above else []


def _text(cell: Any) -> str:
    """A cell as a text table would have it; days are midnights, as spreadsheets know no other."""
    if isinstance(cell, datetime.datetime):
        midnight = cell.time() == datetime.time(0)
        return cell.date().isoformat() if midnight else cell.replace(microsecond=0).isoformat(" ")
    if isinstance(cell, datetime.timedelta):
        seconds = round(cell.total_seconds())
        return f"{seconds // 86_400} days {seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if isinstance(cell, datetime.time):
        return cell.replace(microsecond=0).isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return "" if cell is None else str(cell).strip() if isinstance(cell, str) else str(cell)
