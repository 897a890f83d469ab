"""The time left: the pace of the steps without what compiling took, and the measuring after them."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from latens.callbacks.progress import _left
from latens.callbacks.time_left import PROGRAMS, READY, TimeLeft
from latens.training import Event


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(kind: str, loop: Any, total: int | None) -> Any:
    fields = {"snapshot": SimpleNamespace(loop=loop), "total_steps": total, "rows_per_second": 2.0}
    return MagicMock(spec=Event, kind=kind, **fields)


def run(left: TimeLeft, clock: Clock, *chunks: tuple[int, float], total: int | None = 100, stage: int = 0) -> None:
    """Chunks that end at these steps and seconds after the start; a row a step and second of the loop."""
    loop: Any = SimpleNamespace(total=0, step=0, stage=stage, seconds=0.0)
    began = clock.now
    left.see(event("start", loop, total))
    for step, seconds in chunks:
        loop.total = loop.step = step
        clock.now, loop.seconds = began + seconds, 0.5 * seconds
        left.see(event("chunk", loop, total))


def test_the_pace_leaves_out_what_compiling_took() -> None:
    """Ten steps in 31 s, of which 30 compile, then ten in 1 s: 80 steps more are 8 s."""
    clock = Clock()
    left = TimeLeft(clock=clock)
    assert left.seconds() is None
    run(left, clock, (10, 31.0), (20, 32.0))
    assert left.seconds() == pytest.approx(8.0)
    clock.now += 3.0
    assert left.seconds() == pytest.approx(5.0)  # it goes on between two events
    clock.now += 30.0
    assert left.seconds() == 0.0


def test_a_quarter_of_an_even_run_is_told_exactly() -> None:
    clock = Clock()
    left = TimeLeft(clock=clock)
    run(left, clock, *((10 * k, 1.0 + 2.0 * k) for k in range(1, 4)))
    assert left.seconds() == pytest.approx(7 * 2.0)


def test_the_measuring_after_it_is_counted() -> None:
    """1,200 decodings at two rows of six decodings a second: 100 s of work twice, and what is compiled."""
    clock, asked = Clock(), []
    left = TimeLeft(decoded=lambda steps: asked.append(steps) or 1200, clock=clock)
    run(left, clock, (10, 4.0), (20, 5.0))
    after = 2.0 * 100.0 + PROGRAMS * 3.0 + READY
    assert left.seconds() == pytest.approx(8.0 + after)
    assert asked[-1] == 100
    loop: Any = SimpleNamespace(total=20, step=20, stage=0, seconds=2.5)
    left.see(event("stage-end", loop, 100))  # early: the steps that were left are not taken
    assert left.seconds() == pytest.approx(after)
    assert asked[-1] == 20


def test_minutes_end_what_steps_do_not() -> None:
    """Of a step's second half counts as training: 60 s of that, 15 of them gone, are 90 s more by the clock."""
    clock = Clock()
    left = TimeLeft(minutes=1.0, clock=clock)
    run(left, clock, (10, 10.0), (20, 20.0), (30, 30.0), total=None)
    assert left.seconds() == pytest.approx(90.0)
    run(left, clock, (10, 10.0), (20, 20.0), total=40)  # the steps end before the minutes do
    assert left.seconds() == pytest.approx(20.0)
    unbounded = TimeLeft(clock=clock)
    run(unbounded, clock, (10, 1.0), total=None)
    assert unbounded.seconds() is None


def test_a_command_that_is_planned_as_a_whole_ends_with_its_plan() -> None:
    """Two minutes from 100 s on, of which 20 are gone: 100 s are left, unless the steps end before."""
    clock = Clock()
    left = TimeLeft(minutes=2.0, whole=clock.now + 120.0, clock=clock)
    assert left.seconds() == pytest.approx(120.0)  # before the first step too
    run(left, clock, (10, 10.0), (20, 20.0), total=None)
    assert left.seconds() == pytest.approx(100.0)
    run(left, clock, (10, 10.0), (20, 20.0), total=40)
    assert left.seconds() == pytest.approx(20.0)


def test_steps_that_are_taken_again_count_twice_in_the_first_stage_only() -> None:
    clock = Clock()
    left = TimeLeft(again=True, clock=clock)
    run(left, clock, (10, 1.0), (20, 2.0))
    assert left.seconds() == pytest.approx(8.0 + 10.0)
    run(left, clock, (10, 1.0), (20, 2.0), stage=1)
    assert left.seconds() == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-:-- left"), (12.4, "at most 0:12"), (59.6, "at most 1:00"), (3723.0, "at most 1:02:03")],
)
def test_it_says_at_most(seconds: float | None, words: str) -> None:
    assert _left(seconds) == words
