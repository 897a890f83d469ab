"""Words to stderr and JSON to stdout, whoever listens."""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from latens.errors import ResourceError
from latens.io.atomic import reason_of
from latens.io.json import plain, to_json
from latens.io.progress_line import clear
from latens.text import visible

WIDTH = 80
"""Columns of the narrowest terminal that is written for."""

RULE = "-- details ".ljust(WIDTH, "-")
"""What parts the plain lines from the numbers."""


def say(text: str) -> None:
    """Write a line on stderr; that nobody listens is no reason to stop."""
    clear()
    with contextlib.suppress(OSError, ValueError):
        print(visible(text, keep="\n\t"), file=sys.stderr, flush=True)


def put(text: str, end: str = "\n") -> None:
    """Write a result on stdout."""
    if sys.stdout is None:
        raise ResourceError("it is closed, and the result goes there.", where="standard output", fix="Leave it open.")
    clear()
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        what, fix = reason_of(error)
        raise ResourceError(f"{what}.", where="standard output", fix=fix) from error


def print_json(value: dict[str, Any]) -> None:
    """Write one JSON object on stdout."""
    put(json_text(value))


def json_text(value: dict[str, Any]) -> str:
    """A JSON object as text; a number that is not finite, for which JSON has no word, is null."""
    return to_json(plain(value, nonfinite=lambda number: None), indent=2).decode("ascii")


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Lay out rows of text in columns, two blanks apart."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows), default=0))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def with_record(lines: Iterable[str], record: str) -> str:
    """Put plain lines and a rule above the numbers; without lines the numbers stand alone."""
    said = [line for line in lines if line]
    return "\n".join([*said, RULE, record]) if said else record
