"""What a silent command is at: one line on a terminal, drawn by rich, from its start to its end."""

import sys
from typing import Any

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
