"""How training is going, on stderr: a bar on a terminal, a plain line now and then elsewhere."""

import contextlib
import math
import sys
import time
from typing import Any

import numpy as np

from latens.config import VAEConfig
from latens.evaluation import Rows, active_units, encode
from latens.io import keys
from latens.io.terminal import say, say_line
from latens.io.waiting import doing, paused
from latens.training import Callback, Event
from latens.training.plan import falls_due
from latens.workflow.experiment import Experiment

MOST_ROWS = 500
SECONDS_BETWEEN_LINES = 5.0


class ActiveUnits:
    """A callback that adds `active_units` to the record of each epoch."""

    # It is how many latent dimensions move with x, of up to 500 validation rows; only of a posterior of kind "normal".

    def __init__(self, experiment: Experiment) -> None:
        data = experiment.data
        positions = data.subset("validation")[:MOST_ROWS]
        self.preparation = experiment.preparation
        config = experiment.config
        applies = isinstance(config, VAEConfig) and config.posterior.kind == "normal" and len(positions) > 1
        self.batch = data.rows(positions) if applies else None

    def __call__(self, event: Event) -> None:
        """Add `active_units` to the record of an event that ends an epoch."""
        if event.kind == "epoch" and self.batch is not None:
            codes = encode(Rows(event.model(), self.batch, keys.of_seed(0), self.preparation))
            event.record["active_units"] = int(np.sum(active_units(codes["mean"])))


def objective_so_far(event: Event) -> float:
    """Compute the mean of the objective that is minimised, since the epoch began."""
    running = event.snapshot.loop.running
    if event.kind == "epoch" or not running.get("steps"):
        return event.record.get("train_objective", event.record.get("objective", math.nan))
    return running["objective"] / running["steps"]


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


class PlainProgress:
    """A line at the first epoch, one every few seconds, and a closing one: step, epoch, running mean objective."""

    # `every`: Steps from one line to the next in the place of seconds, or None.
    # `altered`: what training does to rows, so that its ELBO is not that of whole rows.

    def __init__(self, every: int | None = None, altered: str = "") -> None:
        self._last, self._altered = -math.inf, altered
        self._active: Any = None
        self._line, self._best = "trained", _Best()
        self._by_count = None if every is None else StepLines(every)

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        """Write a line where one is due."""
        if event.kind == "bad-chunk":
            say(_bad_chunk(event))
        if self._by_count is not None and (line := self._by_count(event)) is not None:
            say(line)
        if event.kind in ("chunk", "epoch"):
            self._active = event.record.get("active_units", self._active)
            self._line = self._text(event)
            now = time.monotonic()
            if self._by_count is None and now - self._last >= SECONDS_BETWEEN_LINES:
                self._last = now
                say(self._line)
        if event.kind == "stage-end":
            say(f"{self._line}  done ({event.snapshot.loop.stopped_because})")

    def _text(self, event: Event) -> str:
        record, parts = event.record, [_line(event, event.record, objective_so_far(event))]
        training = _training(event)
        if math.isfinite(training):  # beside a bound of validation rows stands that bound, never its negative
            total = f"/{event.total_steps}" if event.total_steps else ""
            parts = [f"step {record['step']}{total}", f"epoch {record['epoch']:.4g}"]
            words = f"training ({self._altered})" if self._altered else "training"
            parts.append(f"{words} {_value(training)}")
        self._best.see(event)
        parts += self._best.words()
        if self._active is not None:
            parts.append(f"{self._active} units")
        if event.rows_per_second:
            parts.append(f"{event.rows_per_second:,.0f} rows/s")
        return "  ".join(parts)


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


class TerminalProgress:
    """One line: the epoch, a bar, what training stops by beside the best so far, and the time left."""

    # `every`: Steps from one line above the bar to the next, or None for no such lines.
    # `minutes`: What the steps may take, which fills the bar without a count of steps.

    def __init__(self, every: int | None = None, minutes: float | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._seconds = None if minutes is None else 60.0 * minutes
        console, self._still = Console(file=sys.stderr), contextlib.ExitStack()
        # What is left for the numbers, at the widest: "epoch 1819/1819", the bar, "1:02:03" and blanks.
        self._room = console.width - 15 - 8 - 7 - 4
        self._bar = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[terms]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            console=console,
            refresh_per_second=4,
            transient=True,
        )
        self._task: Any = None
        self._active: Any = None
        self._best = _Best()
        self._by_count = None if every is None else StepLines(every)

    def __enter__(self) -> "TerminalProgress":
        self._still.enter_context(paused())
        self._bar.start()
        self._task = self._bar.add_task("compiling", total=None, terms="")
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
        doing("measuring")
        self._still.close()

    def __call__(self, event: Event) -> None:
        """Bring the bar up to date."""
        record = event.record
        if event.kind == "bad-chunk":
            self._bar.console.print(_bad_chunk(event), markup=False, highlight=False)
        if self._by_count is not None and (line := self._by_count(event)) is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        if event.kind == "epoch":
            self._active = record.get("active_units", self._active)
            self._best.see(event)
        if event.kind == "chunk":
            training = _training(event)
            training = record.get("objective", math.nan) if math.isnan(training) else training
            terms = self._best.words() or [f"training {_value(training)}"]
            terms += [f"{self._active} units"] if self._active is not None else []
            terms.append(f"{event.rows_per_second:,.0f} rows/s")
            # A line that is too long would squeeze every column, the epoch first.
            while len(terms) > 1 and len("  ".join(terms)) > self._room:
                terms.pop()
            done, total = record["step"], event.total_steps
            if total is None and self._seconds is not None:
                done, total = min(event.snapshot.loop.seconds, self._seconds), self._seconds
            self._bar.update(
                self._task,
                description=_epochs(event),
                completed=done,
                total=total,
                terms="  ".join(terms)[: max(self._room, 20)],
            )
        if event.kind == "stage-end":
            because = event.snapshot.loop.stopped_because
            text = f"{event.snapshot.loop.total:,} steps in {event.snapshot.loop.seconds:.1f} s, ended by: {because}"
            self._bar.console.print(text, markup=False, highlight=False)
            self._bar.update(self._task, description="measuring", total=None, terms="")


def _epochs(event: Event) -> str:
    """How far training is: the epoch, and of how many where that is known."""
    epoch, step = event.record["epoch"], event.record["step"]
    total = event.total_steps * epoch / step if event.total_steps and step else 0.0
    shown = f"{epoch:.1f}" if max(total, epoch) < 100 else f"{epoch:.0f}"
    return f"epoch {shown}/{total:.0f}" if total >= 1 else f"epoch {shown}"


def _bad_chunk(event: Event) -> str:
    record = event.record
    terms = ", ".join(record["terms"]) or "the update"
    return f"warning: step {record['first_bad_step']} was not finite ({terms}); {record['skipped']} steps skipped"


class JsonProgress(PlainProgress):
    """A line of JSON for the first numbers, each epoch, each step that was skipped, and the end."""

    def __call__(self, event: Event) -> None:
        """Write a line where there is something to say."""
        loop, due = event.snapshot.loop, self._by_count is not None and self._by_count(event) is not None
        if event.kind == "bad-chunk":
            say_line("warning", text=_bad_chunk(event).removeprefix("warning: "))
        elif event.kind == "epoch" or due:
            speed = round(event.rows_per_second, 1)
            say_line("progress", **event.record, total_steps=event.total_steps, rows_per_second=speed)
        elif event.kind == "stage-end":
            say_line("trained", steps=loop.total, seconds=round(loop.seconds, 3), because=loop.stopped_because)


def make_progress(
    terminal: bool,
    every: int | None = None,
    lines: bool = False,
    altered: str = "",
    minutes: float | None = None,
) -> "PlainProgress | TerminalProgress":
    """Make the callback that shows progress: on a terminal a bar, else plain lines, or lines of JSON."""
    # every: steps from one line to the next, from before the first step on; None writes lines by time.
    # altered: what training does to rows, in words; minutes: what the steps may take.
    if lines:
        return JsonProgress(every)
    return TerminalProgress(every, minutes) if terminal else PlainProgress(every, altered)


__all__ = ["ActiveUnits", "Callback", "PlainProgress", "TerminalProgress", "make_progress", "objective_so_far"]
