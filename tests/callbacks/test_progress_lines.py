"""What training says on its way: the line of the command on a terminal, few plain lines elsewhere."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from latens.callbacks import progress
from latens.callbacks.progress import PlainProgress, Progress, TerminalProgress
from latens.runtime.terminal import Waiting
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
    fields = {"record": RECORD | record, "snapshot": SimpleNamespace(loop=loop), "total_steps": 9999}
    fields["monitor"] = monitor
    return MagicMock(spec=Event, kind=kind, rows_per_second=12345.0, **fields)


def test_epochs_are_told_with_what_is_done_of_them() -> None:
    shown = Progress()
    assert shown.text(event("chunk")) == "epoch 123.5 of at most 292, training -12063.9"
    assert shown.text(event("chunk", epoch=0.01234)).startswith("epoch 0.012 of at most 1, ")
    shown(event("epoch", epoch=124.0, validation_elbo=-11997.08))
    said = "epoch 124 of at most 293, validation -11997.1 (best -11997.1)"
    assert shown.text(event("chunk", epoch=124.0)) == said


def test_the_best_so_far_stays() -> None:
    shown = Progress()
    for value, best in ((-99.25, -99.25), (-98.5, -98.5), (-98.75, -98.5)):
        shown(event("epoch", best, validation_elbo=value))
    assert shown.text(event("chunk")).count("validation -98.75 (best -98.50)") == 1


def test_the_line_has_what_training_stops_by() -> None:
    """By IWAE, which gains where the ELBO has long turned; a loss that is made small has its lowest value as best."""
    shown = Progress()
    shown(event("epoch", -97.5, "iwae", validation_elbo=-99.0, validation_iwae=-97.5, train_iwae=-90.0))
    assert "validation -97.50 (best -97.50)" in shown.text(event("chunk", monitor="iwae", iwae=-90.0))
    shown = Progress()
    shown(event("epoch", 0.25, "critic_loss", validation_elbo=-99.0, validation_critic_loss=0.5))
    assert "validation 0.50 (best 0.25)" in shown.text(event("chunk", monitor="critic_loss"))


def test_plain_lines_become_rare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown, times = PlainProgress(), []
    for second in range(3600):
        now[0] = float(second)
        shown(event("chunk"))
        if capsys.readouterr().err:
            times.append(second)
    assert times == [10, 20, 40, 80, 160, 320, 640, 1280, 2560]


@pytest.mark.parametrize(
    ("minutes", "counted", "share"), [(2.0, None, 0.25), (2.0, 9999, 4242 / 9999), (None, None, None)]
)
def test_training_fills_its_part_of_the_line(minutes: Any, counted: Any, share: Any) -> None:
    with Waiting("fit", minutes) as line:
        shown = TerminalProgress(minutes=minutes)
        assert line.bar.tasks[0].description == "fit: compiling"
        told = event("chunk")
        told.total_steps, told.snapshot.loop.seconds = counted, 30.0
        shown(told)
        assert line.bar.tasks[0].description.startswith("fit: epoch 123.5")
        low, high = progress.TRAINING
        assert line.done == pytest.approx(0.0 if share is None else low + (high - low) * share)
