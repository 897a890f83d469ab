"""JSON lines: a row is one object, and its keys are the columns."""

from typing import Any

from latens.data.formats.format import Format
from latens.errors import DataError
from latens.io.json import parse_json_strict

BLOCK_ROWS, BLOCK_BYTES, MAX_LINE = 4096, 2**22, 2**24


class JsonLines(Format):
    """Files with an object in each line; a key that a line lacks is a missing cell."""

    endings = (".jsonl", ".ndjson")

    def open(self, file: Any) -> None:
        self._blocks: list[list[int]] = []  # the byte that each begins with, the number of its first line, its rows
        at = number = 0
        while line := file.readline(MAX_LINE + 1):
            at, number = at + len(line), number + 1
            if not line.isspace():
                full = not self._blocks or self._blocks[-1][2] == BLOCK_ROWS or at - self._blocks[-1][0] > BLOCK_BYTES
                self._blocks += [[at - len(line), number, 0]] * full
                self._blocks[-1][2] += 1

    def table(self) -> list[int]:
        return [rows for _, _, rows in self._blocks]

    def read(self, file: Any, block: int) -> dict[str, list[Any]]:
        start, number, count = self._blocks[block]
        rows, fix = [], "Write one object a line, of numbers, text, true, false and null."
        file.seek(start)
        while len(rows) < count:
            line, number, where = file.readline(MAX_LINE + 1), number + 1, f"{self.where}, line {number}"
            if not line.isspace():
                rows.append(parse_json_strict(line, max_bytes=MAX_LINE, error=DataError, where=where, fix=fix))
                if not isinstance(rows[-1], dict) or any(isinstance(cell, (list, dict)) for cell in rows[-1].values()):
                    raise DataError("is not an object of single cells.", where=where, fix=fix)
        return {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
