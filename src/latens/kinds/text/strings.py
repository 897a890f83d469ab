"""Strings as the rows of a data set: their schema, their codes, and what of them is said."""

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import polars as pl

from latens.data.infer import conform, store
from latens.data.row_fields import TRAIN, ColumnRoles, Raw, with_roles
from latens.data.schema import Schema
from latens.errors import DataError, UsageError, nearest, visible
from latens.kinds.base import Stored
from latens.kinds.tables.infer_columns import plain_cells, role_positions, rows_of
from latens.kinds.tables.table_files import read_table, table_parts
from latens.kinds.text.vocabulary import PIECES, PieceName, closes, learn_tokens, row_name, steps_of, unknown_pieces
from latens.runtime.file_limits import unpacked

if TYPE_CHECKING:
    from latens.data.dataset import Dataset
    from latens.data.loading import IncomingRows


def text_schema(raw: Raw, split: np.ndarray, pieces: str | None, where: str) -> Schema:
    """Give strings a schema: their pieces, and the vocabulary and the lengths of these."""
    chosen: PieceName | None = next((name for name in PIECES if pieces in (name, None)), None)  # None: the first
    if chosen is None:
        raise UsageError(f"there are no pieces {pieces!r}.", where="--pieces", fix=nearest(str(pieces), PIECES))
    strings = raw.strings or []
    tokens, length = learn_tokens(strings, (split == TRAIN).tolist(), chosen, where, raw.lines)
    held = {one for one, part in zip(strings, split) if part == TRAIN}
    copies = sum(one in held for one, part in zip(strings, split) if part != TRAIN)
    if copies:
        rest = int((split != TRAIN).sum())
        raw.notes += (f"{copies:,} of the {rest:,} rows that do not train are copies of training rows.",)
    return Schema((length,), "tokens", tokens=tokens)


def one_column(raw: Raw, pieces: str | None, where: str) -> None:
    """Take the only column of a table, which is of text, for rows of text, in place."""
    if raw.strings is not None:
        return
    if raw.kinds and raw.kinds[0].named and raw.x.shape[1] == 1:
        if np.isnan(raw.x).any():
            row = int(np.argmax(np.isnan(raw.x[:, 0])))
            raise DataError("has no text.", where=f"{where}, row {row}", fix="Leave this row out, or write .txt.")
        values = raw.kinds[0].values
        raw.strings, raw.x, raw.kinds, raw.columns = [values[int(code)] for code in raw.x[:, 0]], None, None, None
    elif pieces is not None:
        found = "" if raw.columns is None else f"; it has the columns {', '.join(raw.columns[:5])}"
        fix = "Give a text file with a line a row, a table with one column of text, a label and an id, or strings."
        raise DataError(f"holds no rows of text to be cut into pieces{found}.", where=where, fix=fix)


def code_strings(raw: Raw, schema: Schema, unknown: str, where: str) -> tuple[np.ndarray | None, list]:
    """Turn strings into codes in place; and what of them is seen, with the pieces that the vocabulary lacks."""
    # What follows a piece that is not known counts as missing, so a row is then a beginning.
    if schema.tokens is None:
        raise DataError("holds text; the model was trained on numbers.", where=where, fix="Give rows of numbers.")
    raw.x, strange = schema.tokens.coded(raw.strings or [], schema.shape[0], where, raw.lines)
    cut, begun = PIECES[schema.tokens.pieces].split, {row for row, *_ in strange}
    if schema.tokens.closed:
        for row, text in enumerate(raw.strings or []):
            if row not in begun and not closes(cut(text)):
                what = f"{visible(text)} has a parenthesis or a ring number that does not close; no training row has."
                raise DataError(what, where=f"{where}, {row_name(row, raw.lines)}", fix="Leave it out.")
    raw.strings = None
    if not strange:
        return None, []
    if unknown == "error":
        raise unknown_pieces(strange, schema.tokens, where, raw.lines)
    seen = np.ones(raw.x.shape, bool)
    for row, at, _ in strange:
        seen[row, at:] = False
    return seen, strange


def store_text(rows: "IncomingRows") -> Stored:
    """Store strings as rows of codes."""
    raw, where, asked = rows.raw, rows.where, rows.asked
    if rows.typed or rows.counts:
        flag = "counts" if rows.counts else "typed" if asked.columns is None else "column"
        raise DataError(
            "holds rows of text, which have no columns of numbers.", where=where, fix=f"Leave out --{flag}."
        )
    schema = rows.schema or text_schema(raw, rows.split, asked.pieces, where)
    observed, strange = code_strings(raw, schema, rows.unknown, where)
    raw.x, _ = conform(raw.x, None, schema, None, where)
    return Stored(store(raw.x, schema, where), rows.told(schema), observed, unseen=tuple(strange))


_LOOKED_AT = 20
_COLUMNS = "\t;|"
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*\Z", re.IGNORECASE)

LONGEST_LINE = 2**24
"""Characters of a line."""


def read_txt(path: Path, roles: ColumnRoles) -> Raw:
    """Read the lines of a .txt file as rows of text, or its table where it is one."""
    if not path.name.lower().removesuffix(".gz").endswith(".txt"):
        return read_rows(path, roles) if roles.pieces is None else _column(path, roles)
    if roles.pieces is None and (roles.separator is not None or is_table(path)):
        return read_rows(path, roles)
    where = str(path)
    with unpacked(path) as (stream, _):
        given = [line.rstrip("\r\n") for line in _lines(stream, where, roles.encoding)]
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


def read_rows(path: str | Path, roles: ColumnRoles) -> Raw:
    """Read the rows of a table in a file."""
    frame, notes = read_table(path, roles)
    raw = rows_of(frame, roles, str(path))
    raw.notes = (*notes, *raw.notes)
    return raw


def _column(path: Path, roles: ColumnRoles) -> Raw:
    """Read the one column of a table that is not label, id or weight as rows of text, letter by letter."""
    frame, notes = read_table(path, roles)
    found = role_positions(frame.columns, roles, str(path))
    left = [i for i in range(frame.width) if i not in found.values()]
    if len(left) != 1:
        what = (
            f"has {len(left)} columns other than label, id, weight ({', '.join(frame.columns[i] for i in left[:5])})."
        )
        raise DataError(what, where=str(path), fix="Leave one of them, whose cells are the rows of text.")
    given = {role: plain_cells(frame.to_series(i)) for role, i in found.items()}
    strings = frame.to_series(left[0]).cast(pl.String).fill_null("").to_list()
    read = Raw(None, strings=strings, label_name=roles.label, notes=notes)
    return replace(read, names=given.get("row_id"), label=given.get("label"), weight=given.get("weight"))


def is_table(path: Path) -> bool:
    """Say whether the first lines of a text file look like those of a table."""
    # All have as many cells, and each but the first has a number, or tabs, semicolons or bars stand between the cells.
    with contextlib.suppress(DataError, csv.Error), unpacked(path) as (stream, _):
        head = [line.rstrip("\r\n") for line in islice(_lines(stream, str(path)), _LOOKED_AT) if line.strip()]
        for separator in "\t;|, ":
            rows = [line.split() for line in head] if separator == " " else list(csv.reader(head, delimiter=separator))
            if not head or len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
                continue
            numbers = all(any(map(_NUMBER.match, row)) for row in rows[1:] or rows)
            return numbers or separator in _COLUMNS
        return all(map(_NUMBER.match, head[1:] or head))
    return False


def _lines(stream: IO[bytes], where: str, encoding: str | None = None) -> Iterator[str]:
    """The lines of a stream of text: of the encoding that is said, else UTF-8, or where a line is not, cp1252."""
    try:
        if encoding is not None:
            wrapped = io.TextIOWrapper(stream, encoding=encoding, newline="")
            yield from wrapped
            wrapped.detach()
            return
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1):
            if len(line) == LONGEST_LINE:
                what = f"line {number} has more than {LONGEST_LINE:,} characters."
                raise DataError(what, where=where, fix="Cut it into lines.")
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            try:
                yield line.decode()
            except UnicodeDecodeError:
                yield line.decode("cp1252", "replace")
    except (UnicodeError, LookupError) as error:
        raise DataError(f"is not text of this encoding ({error}).", where=where, fix="--encoding NAME") from None


def text_parts(path: Path, roles: ColumnRoles) -> Iterator[Raw]:
    """Read a text file some rows at a time: a table, or all at once rows that are lines of text."""
    yield from [read_txt(path, roles)] if has_lines(path, roles) else table_parts(path, roles)


def has_lines(path: Path, roles: ColumnRoles) -> bool:
    """Whether the lines of a file are rows of text, not of a table."""
    return path.suffix.lower() == ".txt" and (roles.pieces is not None or not is_table(path))


def report_text(dataset: "Dataset") -> dict[str, Any]:
    """What rows of text are made of, and which share of the steps that training computes is of their pieces."""
    tokens, lengths = dataset.schema.vocabulary, steps_of(dataset.x)
    train = lengths[dataset.split == TRAIN] if (dataset.split == TRAIN).any() else lengths
    computed = np.array(tokens.edges)[np.searchsorted(tokens.edges, train)].sum()
    found = {
        "pieces": tokens.pieces,
        "vocabulary": len(tokens.values),
        "longest": int(lengths.max()) - 1,
        "mean": float(lengths.mean()) - 1,
        "edges": list(tokens.edges),
        "counted": float(train.sum() / computed),
    }
    return {"tokens": found, "constant_columns": {"count": 0, "first": []}}
