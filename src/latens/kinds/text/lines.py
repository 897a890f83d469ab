"""Text files whose rows are their lines."""

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from latens.data.formats.source import AbstractRows, AbstractSource, BlockTable, Place, file_of
from latens.data.raw import ColumnRoles, Raw, unpacked, with_roles
from latens.data.rows import TEST, TRAIN, VALIDATION, row_keys, split_of
from latens.data.schema import Schema
from latens.errors import DataError
from latens.kinds.tables.cells import plain_cells, role_positions, rows_of
from latens.kinds.tables.files import read_table
from latens.kinds.tables.scanned import TableRows
from latens.kinds.text.rows import code_strings, known_pieces
from latens.kinds.text.tokens import learn_tokens

_LOOKED_AT = 20
_COLUMNS = "\t;|"
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*\Z", re.IGNORECASE)

SPLIT_FILES = {"train": TRAIN, "valid": VALIDATION, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
"""Names of text files in a folder that say which split their lines are of."""


BLOCK_ROWS, BLOCK_BYTES = 4096, 2**22
"""Lines and bytes of a block."""
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
        given = [line.rstrip("\r\n") for line in _lines(stream, where, encoding=roles.encoding)]
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


def read_rows(path: Path, roles: ColumnRoles) -> Raw:
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
        what = f"has {len(left)} columns beside label, id and weight ({', '.join(frame.columns[i] for i in left[:5])})."
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
            if len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
                continue
            numbers = all(any(map(_NUMBER.match, row)) for row in rows[1:] or rows)
            return numbers or separator in _COLUMNS
        return all(map(_NUMBER.match, head[1:] or head))
    return False


def _lines(
    stream: Any, where: str, before: int = 0, *, whole: bool = True, encoding: str | None = None
) -> Iterator[str]:
    """The lines of a stream of text: of the encoding that is said, else UTF-8, or where a line is not, cp1252."""
    # before: lines before the first. whole: whether the stream is at the start of its file.
    wrapped = io.TextIOWrapper(stream, encoding=encoding or "utf-8-sig", newline="") if whole else None
    try:
        if wrapped is not None and encoding is not None:
            yield from wrapped
            return
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), before + 1):
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
    finally:
        if wrapped is not None:
            wrapped.detach()


def text_blocks(place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> AbstractRows:
    """Open text files by parts: tables, or rows that are lines of text."""
    local = Path(place.shown(names[0]))
    if not names[0].lower().endswith(".txt") or (roles.pieces is None and (not local.is_file() or is_table(local))):
        return TableRows(place, names, roles, single=single)
    return LinesSource(place, names, roles, single=single)


class LinesSource(AbstractSource):
    """Text files whose rows are their lines: a block is some thousand lines."""

    def __init__(self, place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> None:
        super().__init__(place, names, roles, single=single)
        self.schema: Schema | None = None
        self._starts: list[tuple[int, int]] = []  # where each block begins: its byte, and the lines before it
        files, cut = [], []
        for name in names:
            with_roles(Raw(None), roles, place.shown(name))
            with place.open(name) as file:
                files.append(file_of(name, file))
                cut.append(self._blocks(file, place.shown(name)))
        self.files, self.table = tuple(files), BlockTable.of(cut)
        found = [SPLIT_FILES.get(Path(name).name.lower().removesuffix(".txt")) for name in names]
        named = [split for split in found if split is not None]
        # The split that each file is named after; None where other files lie among them.
        self.splits = named if len(named) == len(found) > 1 and TRAIN in named else None

    def split_of_block(self, block: int) -> np.ndarray:
        """The split of each row of a block: that of its file, or where there is no such file by the rows' names."""
        split = split_of(row_keys(self.row_names(block)))
        if self.splits is None:
            return split
        own = self.splits[self.extent(block)[0]]
        return np.where(np.isin(split, self.splits), own, split) if own == TRAIN else np.full_like(split, own)

    def _blocks(self, file: Any, where: str) -> list[int]:
        """Find the blocks of a file."""
        file.seek(0)
        rows, at, first = [], 0, 0
        for number, line in enumerate(_lines(file, where, whole=False), 1):
            if line.strip():
                if not rows or rows[-1] == BLOCK_ROWS or at - first > BLOCK_BYTES:
                    self._starts.append((at, number - 1))
                    rows, first = [*rows, 0], at
                rows[-1] += 1
            at = file.tell()
        if not rows:
            raise DataError("has no line with a character.", where=where, fix="Give a file with a row of text a line.")
        return rows

    @property
    def size(self) -> int:
        return 4 * sum(file.bytes for file in self.files)

    def told(self) -> dict[str, Any]:
        return {**super().told(), "schema": None if self.schema is None else self.schema.to_json()}

    def strings(self, block: int) -> tuple[list[str], list[int]]:
        """Read the rows of a block, and the numbers of their lines."""
        (at, _, rows), (start, before) = self.extent(block), self._starts[block]
        with self.place.open(self.names[at]) as file:
            file.seek(start)
            given = enumerate(_lines(file, self.place.shown(self.names[at]), before, whole=False), before + 1)
            kept = list(islice(((line.rstrip(), number) for number, line in given if line.strip()), rows))
        return [line for line, _ in kept], [number for _, number in kept]

    def __iter__(self) -> Iterator[str]:
        for block in range(len(self.table)):
            yield from self.strings(block)[0]

    def learned(self, schema: Schema | None, where: str) -> Schema:
        """Take the schema of a trained model, or make one in a pass over all lines."""
        if schema is None:
            splits = map(self.split_of_block, range(len(self.table)))
            train = (trains for own in splits for trains in (own == TRAIN).tolist())
            tokens, length = learn_tokens(self, train, known_pieces(self.roles.pieces or "characters"), where)
            schema = Schema((length,), "tokens", tokens=tokens)
        if schema.tokens is None:
            raise DataError("holds text; the model was trained on numbers.", where=where, fix="Give rows of numbers.")
        self.schema, self.shape, self.dtype = schema, schema.shape, schema.tokens.dtype
        return schema

    def read(self, block: int) -> tuple[Raw, np.ndarray | None]:
        assert self.schema is not None
        strings, lines = self.strings(block)
        brought = None if self.splits is None else self.split_of_block(block).astype(np.uint8)
        raw = Raw(None, strings=strings, lines=lines, brought=brought)
        code_strings(raw, self.schema, "error", self.place.shown(self.file_name(block)))
        return raw, None
