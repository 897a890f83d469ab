"""The bar of training on a terminal of 80 columns, and its plain lines elsewhere."""

import re
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from latens.callbacks.progress import PlainProgress, TerminalProgress
from latens.training import Event

RECORD = {
    "step": 4242,
    "epoch": 123.5,
    "objective": 12063.9,
    "elbo": -12063.949,
    "log_likelihood": -11997.08,
    "kl": 66.9,
}


def event(kind: str, best: float = -11997.08, monitor: str = "elbo", **record: Any) -> Any:
    loop = SimpleNamespace(total=4242, step=4242, stage=0, seconds=1.0, stopped_because="epochs", best_value=best)
    loop.running = {"steps": 1, "objective": 12063.9}
    fields = {"record": RECORD | record, "snapshot": SimpleNamespace(loop=loop), "total_steps": 9999}
    fields["monitor"] = monitor
    return MagicMock(spec=Event, kind=kind, rows_per_second=12345.0, **fields)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_bar_fits_its_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = TerminalProgress()
    shown._task = shown._bar.add_task("compiling", total=None, terms="")
    for kind in ("epoch", "chunk"):
        shown(event(kind, validation_elbo=-11997.08, active_units=32))
    with shown._bar.console.capture() as kept:
        shown._bar.console.print(shown._bar.get_renderable())
    (line,) = kept.get().splitlines()
    assert len(line) <= width
    assert "epoch 124/291" in line
    assert "validation -11997.1 (best -11997.1)" in line
    assert ("rows/s" in line) == (width >= 100)
    assert re.search(r" [\d-]+:[\d-]+:[\d-]+$", line.rstrip())


def test_a_plain_line_has_numbers_of_one_sign(capsys: pytest.CaptureFixture[str]) -> None:
    PlainProgress()(event("epoch", validation_elbo=-11997.08))
    told = capsys.readouterr().err
    assert "training -12063.9  validation -11997.1 (best -11997.1)" in told


def test_the_best_so_far_stays(capsys: pytest.CaptureFixture[str]) -> None:
    shown = PlainProgress()
    for value, best in ((-99.25, -99.25), (-98.5, -98.5), (-98.75, -98.5)):
        shown(event("epoch", best, validation_elbo=value))
    assert shown._text(event("chunk")).count("validation -98.75 (best -98.50)") == 1


def test_the_line_has_what_training_stops_by() -> None:
    """By IWAE, which gains where the ELBO has long turned; a loss that is made small has its lowest value as best."""
    shown = PlainProgress()
    shown(event("epoch", -97.5, "iwae", validation_elbo=-99.0, validation_iwae=-97.5, train_iwae=-90.0))
    assert "training -90.00  validation -97.50 (best -97.50)" in shown._text(event("chunk", monitor="iwae", iwae=-90.0))
    shown = PlainProgress()
    shown(event("epoch", 0.25, "critic_loss", validation_elbo=-99.0, validation_critic_loss=0.5))
    assert "validation 0.50 (best 0.25)" in shown._text(event("chunk", monitor="critic_loss"))


@pytest.mark.parametrize(
    ("minutes", "counted", "found"),
    [(2.0, None, (30.0, 120.0)), (2.0, 9999, (4242, 9999)), (None, None, (4242, None))],
)
def test_the_time_fills_the_bar_where_steps_are_not_counted(minutes: Any, counted: Any, found: Any) -> None:
    shown = TerminalProgress(minutes=minutes)
    shown._task = shown._bar.add_task("compiling", total=None, terms="")
    told = event("chunk")
    told.total_steps, told.snapshot.loop.seconds = counted, 30.0
    shown(told)
    (task,) = shown._bar.tasks
    assert (task.completed, task.total) == found
