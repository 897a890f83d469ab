"""What a silent command is at: a line on a terminal, elsewhere lines further and further apart."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SILENCE, EVERY = 1.5, 0.25
"""Seconds without a word before the line appears, and between two of its states."""
FIRST, MOST = 15.0, 60.0
"""Seconds before the first line elsewhere, and between two of them at the most: each wait is twice the last."""
CLEAR = "\r\x1b[2K"
_shown: "Waiting | None" = None


class Waiting:
    """The line of one command: its name, what it is at, how far, and for how long."""

    def __init__(self, name: str, say: Callable[["Waiting", float], object] | None = None) -> None:
        # say: says a line of its own where there is no terminal to draw on.
        self.name, self.at, self.done, self.total, self.of, self.pauses = name, "", 0, 0, "rows", 0
        self.say, self.wait = say, FIRST
        self.since = self.heard = self.begun = self.last = time.monotonic()
        self._drawn, self._lock, self._over = False, threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="latens-waiting")

    def __enter__(self) -> "Waiting":
        global _shown
        _shown = self
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        global _shown
        _shown = None
        self._over.set()
        self.clear()

    def text(self, now: float) -> str:
        """The line at a time, in seconds of `time.monotonic`."""
        # Rows that are all done say nothing of what goes on behind them.
        open_rows = self.total and self.done < self.total
        parts = [self.name, self.at, f"{self.done:,} of {self.total:,} {self.of}" if open_rows else ""]
        left = self.left(now)
        more = "" if left is None else f", about {clock_text(left)} left"
        return f"{': '.join(part for part in parts if part)}, {clock_text(now - self.since)}{more}"[:79]

    def left(self, now: float) -> float | None:
        """Seconds until the rows are done, by what those done have taken; None before one is, and after the last."""
        if not 0 < self.done < self.total or self.last <= self.begun:
            return None
        per_row = (self.last - self.begun) / self.done
        return max(0.0, per_row * (self.total - self.done) - (now - self.last))

    def clear(self) -> None:
        """Take the line away, and wait for a while of silence before it comes back."""
        with self._lock:
            self.heard = time.monotonic()
            if self._drawn:
                self._drawn = False
                self._write(CLEAR)

    def draw(self, now: float) -> None:
        """Draw the line where there was silence long enough."""
        with self._lock:
            if self.pauses or self._over.is_set() or now - self.heard < (SILENCE if self.say is None else self.wait):
                return
            if self.say is None:
                self._drawn = True
                self._write(CLEAR + self.text(now))
            else:
                self.heard, self.wait = now, min(2 * self.wait, MOST)
                self.say(self, now)

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self.draw(time.monotonic())

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


def clock_text(seconds: float) -> str:
    """Write a time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def doing(what: str) -> None:
    """Name what the command is at from now on."""
    if _shown is not None:
        _shown.at, _shown.done, _shown.total = what, 0, 0


def reached(done: int, total: int, of: str = "rows") -> None:
    """Say how many rows, or other things, are done, of how many."""
    if _shown is not None:
        _shown.last = time.monotonic()
        if not done or total != _shown.total:
            _shown.begun = _shown.last
        _shown.done, _shown.total, _shown.of = done, total, of


def clear() -> None:
    """Take the line away before other words are written."""
    if _shown is not None:
        _shown.clear()


@contextmanager
def paused() -> Iterator[None]:
    """Keep the line away: something else has the last line of the terminal."""
    own = _shown
    if own is not None:
        own.pauses += 1
        own.clear()
    try:
        yield
    finally:
        if own is not None:
            own.pauses -= 1
            own.heard = time.monotonic()
