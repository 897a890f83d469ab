"""What a silent command is at: a line on a terminal, drawn by rich."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_shown: "Waiting | None" = None


class Waiting:
    """The line of one command: its name, what it is at, how far, for how long, and the time left."""

    # It goes before other words are written, and comes back with the next thing that the command is at.

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.name, self.pauses = name, 0
        columns = (TextColumn("{task.description}", markup=False), TimeElapsedColumn(), TimeRemainingColumn())
        kept: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False, "console": Console(file=sys.stderr)}
        self.bar = Progress(*columns, transient=True, refresh_per_second=4, **kept)
        self._task, self._at = self.bar.add_task(name, total=None), ""

    def __enter__(self) -> "Waiting":
        global _shown
        _shown = self
        self.show()
        return self

    def __exit__(self, *error: object) -> None:
        global _shown
        _shown = None
        self.bar.stop()

    def show(self, at: str | None = None, done: int = 0, total: int | None = None, of: str = "rows") -> None:
        """Show what the command is at, and how many of its rows, or other things, are done."""
        self._at = self._at if at is None else at
        # Rows that are all done say nothing of what goes on behind them.
        left = total if total and done < total else None
        parts = [self.name, self._at, f"{done:,} of {left:,} {of}" if left else ""]
        fields: dict[str, Any] = {"description": ": ".join(part for part in parts if part)[:60], "completed": done}
        self.bar.update(self._task, total=left, **fields)  # another total forgets the pace so far
        self.bar.tasks[0].total = left
        if not self.pauses:
            self.bar.start()


def doing(what: str) -> None:
    """Name what the command is at from now on."""
    if _shown is not None:
        _shown.show(what)


def reached(done: int, total: int, of: str = "rows") -> None:
    """Say how many rows, or other things, are done, of how many."""
    if _shown is not None:
        _shown.show(None, done, total, of)


def clear() -> None:
    """Take the line away before other words are written."""
    if _shown is not None:
        _shown.bar.stop()


@contextmanager
def paused() -> Iterator[None]:
    """Keep the line away: something else has the last line of the terminal."""
    own = _shown
    if own is not None:
        own.pauses += 1
        own.bar.stop()
    try:
        yield
    finally:
        if own is not None:
            own.pauses -= 1
