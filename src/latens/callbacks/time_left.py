"""How long a run still takes at most: its steps by their pace, and the measuring after them."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latens.training import Event

DECODINGS = 6.0
"""Decodings that a row of a training step takes as long as."""

WORK, PROGRAMS, READY = 2.0, 3.0, 8.0
"""What follows training takes its decodings this many times, compiles so many programs, and reads for so many seconds.

Measured on two cores of digits, a table of 15 columns, and names: 13, 15 and 15 s. This gives 12, 17 and 20 s.
"""


class TimeLeft:
    """The time that is left, from the events of training."""

    # minutes: what training may take, which ends it where steps are not counted; None for no such end.
    # decoded: rows decoded for the numbers after a training of so many steps; None where nothing is measured.
    # again: whether the steps up to the best one are taken once more on all rows.
    # whole: the time by the clock at which a command that plans its minutes as a whole is done; None for no such plan.

    def __init__(
        self,
        minutes: float | None = None,
        decoded: Callable[[int], int] | None = None,
        again: bool = False,
        whole: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._minutes, self._decoded, self._again, self._clock = minutes, decoded, again, clock
        self._whole, self._began = whole, clock()
        self._first: tuple[float, int] | None = None  # when the first chunk ended, and at which step
        self._pace = self._first_took = 0.0
        self._ends: float | None = None

    def see(self, event: "Event") -> None:
        """Take note of an event."""
        now, loop = self._clock(), event.snapshot.loop
        if event.kind == "start":
            self._began, self._first = now, None
        elif event.kind == "chunk":
            self._chunk(event, now, loop)
        elif event.kind == "stage-end":
            self._ends = now + (self._after(loop.total, event.rows_per_second) or 0.0)

    def seconds(self) -> float | None:
        """The seconds that are left at most; None where nothing is known."""
        ends = [one for one in (self._ends, self._whole) if one is not None]
        return max(0.0, min(ends) - self._clock()) if ends else None

    @property
    def spent(self) -> float:
        """The seconds since training began."""
        return self._clock() - self._began

    def _chunk(self, event: "Event", now: float, loop: Any) -> None:
        if self._first is None:
            # The first chunk is compiled; how much of its time that took shows once there is a second one.
            self._first, self._first_took = (now, loop.step), now - self._began
            self._pace = self._first_took / max(loop.step, 1)
        elif loop.step > self._first[1]:
            self._pace = (now - self._first[0]) / (loop.step - self._first[1])
        steps = self._steps_left(event, loop)
        if steps is None:
            self._ends = None
            return
        more = loop.step + steps if self._again and not loop.stage else 0.0
        after = self._after(loop.total + round(steps + more), event.rows_per_second)
        self._ends = now + self._pace * (steps + more) + after

    def _steps_left(self, event: "Event", loop: Any) -> float | None:
        """Steps until the end at the latest, by their count or by the minutes, whichever comes first."""
        ends = [] if event.total_steps is None else [float(event.total_steps - loop.step)]
        if self._minutes is not None and loop.seconds:
            # Minutes count the steps alone, so a step takes of them what it took so far.
            ends.append(max(0.0, 60.0 * self._minutes - loop.seconds) * loop.step / loop.seconds)
        return min(ends) if ends else None

    def _after(self, steps: int, rows_per_second: float) -> float:
        """Seconds that what follows training takes."""
        if self._decoded is None:
            return 0.0
        compiled = max(0.0, self._first_took - self._pace * (self._first[1] if self._first else 0))
        work = self._decoded(steps) / (DECODINGS * rows_per_second) if rows_per_second else 0.0
        return WORK * work + PROGRAMS * compiled + READY
