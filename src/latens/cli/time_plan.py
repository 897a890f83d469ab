"""`--minutes N`: the whole command takes about so long; training ends early enough for the measuring after it."""

import time
from collections.abc import Callable
from typing import Any

from latens.io.progress_line import clock

DECODINGS = 6.0
"""Decodings that a row of a training step takes as long as."""

WORK = 2.0
"""How many times its decodings what follows training takes: measured on digits, a table of 15 columns, and names."""

MEASURING = 0.25
"""The share of the minutes that is kept for what follows training: the prior, log p(x), and old rows beside new."""

LATE = 1.2
"""How many times its minutes a command takes that says so."""

TRAINING = 0.3
"""The share of the minutes that training has at least, however long reading and compiling took."""

COMPILING = 12.0
"""Seconds for the programs of measuring.

Photographs of 64 x 64, 270 rows a second in training: 140 rows by 100 draws are 17 s, and took 24 s with compiling.
"""

DRAWS, FEWEST_ROWS = (1000, 300, 100, 30, 10), 40
"""Draws a row, of which the most that fit are taken, and the rows that are measured at least."""


class TimePlan:
    """What a command may take, and from when on."""

    # minutes: of the whole command; None: no limit.

    def __init__(self, minutes: float | None, began: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = None if minutes is None else 60.0 * minutes
        self.began, self.clock = began, clock

    def __call__(self, event: Any) -> str | None:
        """End training, as a callback of it, when what is left is for measuring."""
        if self.seconds is None or event.kind != "boundary" or event.snapshot.loop.finished:
            return None
        late = self.clock() - self.began >= (1.0 - MEASURING) * self.seconds
        return "minutes" if late and event.snapshot.loop.seconds >= TRAINING * self.seconds else None

    def late(self, training: float) -> str:
        """Say that the command took longer than its minutes, and what helps; empty where it did not."""
        took = self.clock() - self.began
        if self.seconds is None or took < LATE * self.seconds:
            return ""
        rest = f"reading, compiling and measuring took {clock(took - training)}"
        return f"{clock(took)}, not {clock(self.seconds)}: {rest}; give more --minutes"

    def effort(self, rows: int, usual: int, pace: float) -> tuple[int, int, str]:
        """Rows and draws of each that can be measured in the time that is left, and words where these are fewer."""
        # usual: draws without a limit; pace: rows a second in training.
        if self.seconds is None or not rows or pace <= 0.0:
            return rows, usual, ""
        left = self.seconds - (self.clock() - self.began) - COMPILING
        # Half of the time is for the comparison with training rows and for what no draws are taken of.
        most = 0.5 * max(left, 0.0) * DECODINGS * pace / WORK
        fitting = [count for count in DRAWS if count <= usual and count * rows <= most]
        draws = max(fitting, default=min(usual, DRAWS[-1]))
        few = min(rows, max(FEWEST_ROWS, int(most / draws)))
        if (few, draws) == (rows, usual):
            return rows, usual, ""
        said = f"measured on {few:,} of {rows:,} rows" if few < rows else f"measured on {rows:,} rows"
        return few, draws, f"{said} by {draws} draws each, because of --minutes; `latens evaluate` uses more"
