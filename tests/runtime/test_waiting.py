"""The line that says what a silent command is at."""

import pytest

from latens.runtime import terminal
from latens.runtime.terminal import Waiting, doing, reached, say


def told(line: Waiting) -> str:
    return line.bar.tasks[0].description


def test_it_says_what_and_never_goes_back():
    with Waiting("impute") as line:
        assert told(line) == "impute"
        doing("drawing")
        assert line.bar.tasks[0].total is None
        seen = []
        for done, total in ((1, 4), (4, 4), (0, 8), (4, 8), (8, 8), (1, 2)):
            reached(done, total)
            seen.append(line.bar.tasks[0].completed)
        assert told(line) == "impute: drawing"
        assert seen == sorted(seen)
        assert seen[-1] < 1.0
        doing("[red]x")
        assert told(line) == "impute: [red]x"
    assert terminal._shown is None


def test_a_part_of_the_command_fills_its_part_of_the_bar():
    with Waiting("fit") as line:
        doing("training", 0.5, part=(0.1, 0.7))
        assert line.done == pytest.approx(0.4)
        doing("measuring", part=(0.7, 1.0))
        reached(1, 1)
        assert line.done == pytest.approx(0.85)


def test_it_knows_the_minutes_and_says_when_they_are_over():
    with Waiting("fit", minutes=1.0) as line:
        assert line.time(30.0) == "0:30 of 1:00"
        assert line.time(125.0) == "2:05 of 1:00, over by 1:05"
    with Waiting("fit") as line:
        assert line.time(30.0) == "0:30"
        doing("training", 0.25)
        assert line.time(30.0) == "0:30, about 1:30 left"
        assert line.time(0.5) == "0:00, about 0:01 left"


def test_it_goes_before_words_and_comes_back(monkeypatch):
    seen = []
    with Waiting("fit") as line:
        monkeypatch.setattr(
            terminal, "print", lambda *text, **how: seen.append(line.bar.live.is_started), raising=False
        )
        assert line.bar.live.is_started
        say("words")
        assert seen == [False]
        doing("measuring")
        assert line.bar.live.is_started
    assert not line.bar.live.is_started
    doing("nothing")  # nobody shows it
