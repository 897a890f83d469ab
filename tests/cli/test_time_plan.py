"""`--minutes` is of the whole command: when training ends, and how much is measured in what is left."""

from types import SimpleNamespace

import pytest

from latens.cli.training import TimePlan


class Clock:
    """A time that is set."""

    now = 100.0

    def __call__(self):
        return self.now


def event(seconds, kind="boundary", finished=False):
    return SimpleNamespace(
        kind=kind, snapshot=SimpleNamespace(loop=SimpleNamespace(seconds=seconds, finished=finished))
    )


def test_training_ends_when_a_quarter_is_left():
    """Of 4 minutes 180 s: wall time, from the beginning of the command, not that of the steps."""
    clock = Clock()
    plan = TimePlan(4, 100.0, clock)
    clock.now = 279.9
    assert plan(event(170.0)) is None
    clock.now = 280.0
    assert plan(event(150.0)) == "minutes"
    assert plan(event(150.0, kind="chunk")) is None
    assert plan(event(150.0, finished=True)) is None
    assert plan(event(71.9)) is None  # it has at least 0.3 of the minutes, 72 s, however long reading took
    assert plan(event(72.0)) == "minutes"


def test_without_minutes_nothing_changes():
    plan = TimePlan(None, 0.0, Clock())
    assert plan(event(1e9)) is None
    assert plan.effort(140, 1000, 270.0) == (140, 1000, "")


@pytest.mark.parametrize(
    ("left", "usual", "found"),
    [
        (1000.0, 1000, (140, 1000)),  # (1000 - 12) / 2 s x 6 x 270 / 2 = 400,140 draws, of which 140,000 are needed
        (60.0, 1000, (140, 100)),  # 19,440: 100 each, as 300 would be 42,000
        (60.0, 100, (140, 100)),
        (16.0, 100, (140, 10)),  # 1,620 are 10 each
        (14.0, 100, (81, 10)),  # 810: fewer rows
        (0.0, 100, (40, 10)),
    ],
)
def test_what_is_measured_fits_into_what_is_left(left, usual, found):
    clock = Clock()
    clock.now = 340.0 - left
    rows, draws, words = TimePlan(4, 100.0, clock).effort(140, usual, 270.0)
    assert (rows, draws) == found
    said = "" if found == (140, usual) else "by"
    assert said in words
    assert bool(words) == ((rows, draws) != (140, usual))


def test_a_command_that_takes_longer_says_so_and_what_helps():
    clock = Clock()
    plan = TimePlan(1, 100.0, clock)
    clock.now = 170.0
    assert plan.late(30.0) == ""
    clock.now = 220.0
    rest = "reading, compiling and measuring took 1:30"
    assert plan.late(30.0) == f"2:00, not 1:00: {rest}; give more --minutes"
    assert TimePlan(None, 0.0, clock).late(30.0) == ""
