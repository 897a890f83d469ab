"""Text files whose rows are their lines."""

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.formats.csv import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    Csv,
    _is_number,
    _lines,
    _rows,
    _separator,
    read_csv,
    read_text,
)
from latens.data.formats.format import FormatSource
from latens.data.formats.source import AbstractSource, BlockTable, Place, file_of
from latens.data.formats.tables import role_positions
from latens.data.raw import ColumnRoles, Raw, unpacked, with_roles
from latens.data.rows import TEST, TRAIN, VALIDATION, split_of
from latens.data.schema import Schema
from latens.data.text_rows import code_strings, known_pieces
from latens.data.tokens import learn_tokens
from latens.errors import DataError

_LOOKED_AT = 20
_COLUMNS = "\t;|"

SPLIT_FILES = {"train": TRAIN, "valid": VALIDATION, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
"""Names of text files in a folder that say which split their lines are of."""


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


def text_blocks(place: Place, names: tuple[str, ...], roles: ColumnRoles, *, single: bool) -> AbstractSource:
    """Open text files whose rows stay on disk: lines of text, or tables."""
    local = Path(place.shown(names[0]))
    text = names[0].lower().endswith(".txt") and (roles.pieces is not None or (local.is_file() and not is_table(local)))
    if text:
        return LinesSource(place, names, roles, single=single)
    return FormatSource(place, names, roles, single=single, kind=Csv).by_blocks()


class LinesSource(AbstractSource):
    """Text files whose rows are their lines and stay on disk: a block is some thousand lines."""

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
        split = split_of(self.place_keys(block))
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
