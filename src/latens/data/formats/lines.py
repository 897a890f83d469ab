"""Text files whose rows are their lines."""

import contextlib
import csv
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from latens.data.formats.csv import _is_number, _lines, _rows, _separator, read_csv, read_text
from latens.data.formats.tables import role_positions
from latens.data.raw import ColumnRoles, Raw, unpacked, with_roles
from latens.errors import DataError

_LOOKED_AT = 20
_COLUMNS = "\t;|"


def read_txt(path: Path, roles: ColumnRoles) -> Raw:
    """Read the lines of a .txt file as rows of text, or its table where it is one."""
    if not path.name.lower().removesuffix(".gz").endswith(".txt"):
        return read_csv(path, roles) if roles.pieces is None else _column(path, roles)
    if roles.pieces is None and is_table(path):
        return read_csv(path, roles)
    where = str(path)
    with unpacked(path) as (stream, _):
        given = [line.rstrip("\r\n") for line in _lines(stream, where)]
    kept = [(number, line.rstrip()) for number, line in enumerate(given, 1) if not line.isspace() and line]
    if not kept:
        raise DataError("has no line with a character.", where=where, fix="Give a file with a row of text a line.")
    lines, strings = map(list, zip(*kept))
    notes, empty, ended = [], len(given) - len(kept), sum(line != given[at - 1] for at, line in kept)
    notes += [f"{empty:,} empty line{'s are' if empty > 1 else ' is'} left out."] * (empty > 0)
    notes += [f"Blanks at the end of {ended:,} line{'s' * (ended > 1)} are left out."] * (ended > 0)
    if roles.pieces is None:
        notes.append("Rows are lines of text: --pieces says what they are cut into; a table is named .csv.")
    return with_roles(Raw(None, strings=strings, lines=lines, notes=tuple(notes)), roles, where)


def _column(path: Path, roles: ColumnRoles) -> Raw:
    """Read the one column of a table that is not label, id or weight as rows of text, letter by letter."""
    header, rows = read_text(path, roles)
    names = [f"x{i}" for i in range(len(rows[0]))] if header is None else header
    if odd := next((row for row in rows if len(row) != len(names)), None):
        what = f"a row has {len(odd)} values, and there are {len(names)} columns."
        raise DataError(what, where=str(path), fix="Give every line the same number of values.")
    places = role_positions(names, roles, str(path))
    left = [place for place in range(len(names)) if place not in places.values()]
    if len(left) != 1:
        what = f"has {len(left)} columns beside label, id and weight ({', '.join(names[at] for at in left[:5])})."
        raise DataError(what, where=str(path), fix="Leave one of them, whose cells are the rows of text.")
    given = {role: np.array([row[place] for row in rows]) for role, place in places.items()}
    read = Raw(None, strings=[row[left[0]] for row in rows], label_name=roles.label)
    return replace(read, names=given.get("row_id"), label=given.get("label"), weight=given.get("weight"))


def is_table(path: Path) -> bool:
    """Say whether the first lines of a text file look like those of a table."""
    # All have as many cells, and each but the first has a number, or tabs, semicolons or bars stand between the cells.
    with contextlib.suppress(DataError, csv.Error), unpacked(path) as (stream, _):
        head = [line for line in islice(_lines(stream, str(path)), _LOOKED_AT) if line.strip()]
        separator = _separator(head, str(path))
        rows = [row for _, row in _rows(iter(head), separator, str(path))]
        alike = len({len(row) for row in rows}) == 1
        numbers = all(any(map(_is_number, row)) for row in rows[1:] or rows)
        return alike and (numbers or (separator in _COLUMNS and len(rows[0]) > 1))
    return False
