"""Words to stderr and JSON to stdout, whoever listens."""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from latens.errors import ResourceError, visible
from latens.runtime.atomic import plain, reason_of, to_json

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


_shown: "Waiting | None" = None


class Waiting:
    """The line of one command: its name, what it is at, how much of the whole is done, and the time."""

    # It goes before other words are written, and comes back with the next thing that the command is at.

    def __init__(self, name: str, minutes: float | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.table import Column
        from rich.text import Text

        line = self

        class Time(ProgressColumn):
            def render(self, task: Task) -> Text:
                return Text(line.time(task.elapsed or 0.0))

        self.name, self.seconds = name, None if minutes is None else 60.0 * minutes
        self.done, self.low, self.high, self._at = 0.0, 0.0, 1.0, ""
        one = Column(no_wrap=True, overflow="ellipsis")
        columns = (TextColumn("{task.description}", markup=False, table_column=one), BarColumn(10), Time())
        kept: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False, "console": Console(file=sys.stderr)}
        self.bar = Progress(*columns, transient=True, refresh_per_second=4, **kept)
        self._task = self.bar.add_task(name, total=None)

    def __enter__(self) -> "Waiting":
        global _shown
        _shown = self
        self.show()
        return self

    def __exit__(self, *error: object) -> None:
        global _shown
        _shown = None
        self.bar.stop()

    def show(self, at: str | None = None, share: float | None = None) -> None:
        """Show what the command is at, and which share of that part of it is done."""
        self._at = self._at if at is None else at
        if share is not None:  # never less than before: what is counted twice does not begin anew
            self.done = max(self.done, self.low + (self.high - self.low) * share)
        words = ": ".join(part for part in (self.name, self._at) if part)
        self.bar.update(self._task, description=words, completed=self.done, total=1.0 if self.done else None)
        self.bar.start()

    def time(self, elapsed: float) -> str:
        """How long it has taken, of how long, and what is left."""
        if self.seconds is not None:
            over = elapsed - self.seconds
            return f"{clock(elapsed)} of {clock(self.seconds)}" + (f", over by {clock(over)}" if over > 0 else "")
        left = elapsed * (1.0 - self.done) / self.done if 0.05 < self.done < 1.0 else 0.0
        return clock(elapsed) + (f", about {clock(left)} left" if left >= 1.0 else "")


def clock(seconds: float) -> str:
    """Minutes and seconds: 4:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def doing(what: str, share: float | None = None, part: tuple[float, float] | None = None) -> None:
    """Name what the command is at from now on, how much of it is done, and which part of the command it is."""
    if _shown is not None:
        if part is not None:
            _shown.low, _shown.high = part
        _shown.show(what, share)


def reached(done: int, total: int) -> None:
    """Say how many of the things at hand are done: whoever asks may ask several times, and then gets halfway on."""
    if _shown is not None and total and done:
        _shown.show(None, 0.5 * done / total)
        if done >= total:
            _shown.low = _shown.done


def clear() -> None:
    """Take the line away before other words are written."""
    if _shown is not None:
        _shown.bar.stop()
