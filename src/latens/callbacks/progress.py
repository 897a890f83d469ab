"""How training is going, on stderr: the line of the command on a terminal, a plain line now and then elsewhere."""

import math
import time
from typing import Any

from latens.runtime.terminal import doing, say
from latens.training import Event
from latens.training.stages import falls_due

FIRST_LINE = 10.0
"""Seconds to the first line where there is no terminal."""
TRAINING = (0.05, 0.75)
"""The part of a command that training is, as the line of the command has it."""


class StepLines:
    """A line before the first step and at every multiple of so many: the mean objective since the last one."""

    # `every`: Steps from one line to the next, where chunks end.

    def __init__(self, every: int) -> None:
        self.every, self._step = every, -1
        self._means: list[tuple[float, int]] = []

    def __call__(self, event: Event) -> str | None:
        """Write a line where one is due."""
        record = event.record
        if event.kind == "start":
            self._step = event.snapshot.loop.total
            return _line(event, record, record["objective"]) if record else None
        if event.kind == "chunk":
            # How long the first chunk after a resume was nobody knows here: it counts where it is the only one.
            self._means.append((record["objective"], 0 if self._step < 0 else record["step"] - self._step))
            self._step, self._record = record["step"], record
        if not falls_due(event, self.every):
            return None
        steps = sum(count for _, count in self._means)
        mean = sum(value * count for value, count in self._means) / steps if steps else self._means[-1][0]
        self._means = []
        return _line(event, self._record, mean)


def _line(event: Event, record: dict[str, Any], objective: float) -> str:
    total = f"/{event.total_steps}" if event.total_steps else ""
    return f"step {record['step']}{total}  epoch {record['epoch']:.4g}  objective {objective:.3f}"


class Progress:
    """What every kind of progress has: lines that `--log-every` asks for, skipped steps, and the line of now."""

    # `every`: Steps from one line to the next, or None for no such lines.

    def __init__(self, every: int | None = None) -> None:
        self._best, self._by_count = _Best(), None if every is None else StepLines(every)

    def __call__(self, event: Event) -> None:
        """Say what is due."""
        if event.kind == "bad-chunk":
            say(_bad_chunk(event))
        if self._by_count is not None and (line := self._by_count(event)) is not None:
            say(line)
        self._best.see(event)
        if event.kind in ("chunk", "epoch"):
            self.show(event)

    def show(self, event: Event) -> None:
        """Show where training is."""

    def text(self, event: Event) -> str:
        """How many epochs are done, of how many, and what training stops by."""
        epoch, step = event.record["epoch"], event.record["step"]
        known = event.total_steps and step and epoch
        whole = f" of at most {math.ceil(event.total_steps * epoch / step)}" if known else ""
        done = f"{round(epoch, 1):,g}" if epoch >= 1.0 else f"{epoch:.2g}"
        return ", ".join([f"epoch {done}{whole}", *(self._best.words() or [f"training {_value(_training(event))}"])])


class PlainProgress(Progress):
    """A line after 10 seconds, and then whenever twice as much time has gone."""

    def __init__(self, every: int | None = None) -> None:
        super().__init__(every)
        self._began, self._due = time.monotonic(), FIRST_LINE

    def show(self, event: Event) -> None:
        now = time.monotonic() - self._began
        if self._by_count is None and now >= self._due:
            self._due = 2 * now
            say(f"{'train':<8} {self.text(event)}")


class TerminalProgress(Progress):
    """The one line of the command, which training fills up to where measuring begins."""

    # `minutes`: What the steps may take, which fills the line without a count of steps.

    def __init__(self, every: int | None = None, minutes: float | None = None) -> None:
        super().__init__(every)
        self._seconds = None if minutes is None else 60.0 * minutes
        doing("compiling", part=TRAINING)

    def show(self, event: Event) -> None:
        total, seconds = event.total_steps, event.snapshot.loop.seconds
        share = min(1.0, seconds / self._seconds) if total is None and self._seconds else None
        doing(self.text(event), event.record["step"] / total if total else share, part=TRAINING)


class _Best:
    """What training stops by, of validation rows: the last value, and the best so far."""

    def __init__(self) -> None:
        self._last, self._best = math.nan, math.nan

    def see(self, event: Event) -> None:
        if (value := event.record.get(f"validation_{event.monitor}")) is not None:
            best = event.snapshot.loop.best_value
            self._last, self._best = value, value if best is None else best

    def words(self) -> list[str]:
        if math.isnan(self._last):
            return []
        return [f"validation {_value(self._last)} (best {_value(self._best)})"]


def _training(event: Event) -> float:
    """What training stops by, of training rows; the ELBO where that is not known of them, NaN where neither is."""
    record, watched = event.record, event.monitor
    return next(
        (record[name] for name in (watched, f"train_{watched}", "elbo", "train_elbo") if name in record), math.nan
    )


def _value(value: float) -> str:
    """A number with as many places as it can be read with: -98.21, -11997.1."""
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.1f}"


def _bad_chunk(event: Event) -> str:
    record = event.record
    terms = ", ".join(record["terms"]) or "the update"
    return f"warning: step {record['first_bad_step']} was not finite ({terms}); {record['skipped']} steps skipped"
