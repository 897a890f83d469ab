"""The line that says what a silent command is at."""

import argparse
import io
import json
from types import SimpleNamespace

import pytest

from latens.cli.context import Context
from latens.io import terminal, waiting
from latens.io.terminal import say
from latens.io.waiting import CLEAR, SILENCE, Waiting, doing, paused, reached


@pytest.fixture
def screen(monkeypatch):
    """What the line writes, without its thread."""
    found = io.StringIO()
    monkeypatch.setattr(Waiting, "_run", lambda self: None)
    monkeypatch.setattr(Waiting, "_write", lambda self, text: found.write(text))
    monkeypatch.setattr(terminal, "print", lambda text, **how: found.write(f"{text}\n"), raising=False)
    return found


def test_it_says_what_how_far_and_for_how_long(screen):
    with Waiting("impute") as line:
        assert line.text(line.since + 61.9) == "impute, 1:01"
        doing("drawing")
        reached(64, 2600)
        assert line.text(line.since + 3) == "impute: drawing: 64 of 2,600 rows, 0:03"
        doing("reading")  # the rows were those of what came before
        assert line.text(line.since) == "impute: reading, 0:00"
        reached(0, 6)
        line.begun = line.last - 30.0
        line.done = 2  # in 30 s: four more take 60, of which 5 have passed
        assert line.text(line.last + 5).endswith(": reading: 2 of 6 rows, " + clock(line, 5) + ", about 0:55 left")
        assert line.left(line.last + 70) == 0.0
        line.done = 6
        assert line.left(line.last) is None
        doing("x" * 200)
        assert len(line.text(line.since)) == 79  # a line that wraps cannot be taken away


def clock(line, after):
    return f"0:{int(line.last + after - line.since):02d}"


def test_it_comes_after_silence_and_goes_before_words(screen):
    with Waiting("fit") as line:
        line.draw(line.heard + 0.9 * SILENCE)
        assert screen.getvalue() == ""
        line.draw(line.heard + 1.01 * SILENCE)
        assert screen.getvalue().startswith(CLEAR + "fit, ")
        say("words")
        assert screen.getvalue().endswith(f"{CLEAR}words\n")
        line.draw(line.heard + 0.9 * SILENCE)
        assert screen.getvalue().endswith(f"{CLEAR}words\n")


@pytest.mark.parametrize("lines", [False, True])
def test_where_no_terminal_is_it_says_lines_further_and_further_apart(screen, lines, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(waiting, "FIRST", 15.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0]))
    context = Context(argparse.Namespace(log="json" if lines else None), [])
    with Waiting("detect", context.still) as line:
        doing("looking for odd cells")
        reached(0, 30, "models")
        for second in range(1, 200):
            now[0] += 1
            if second == 3:
                reached(3, 30, "models")
            line.draw(now[0])
    said = screen.getvalue().splitlines()
    at = [15, 45, 105, 165]
    if lines:
        said = [json.loads(one) for one in said]
        assert [round(one["seconds"]) for one in said] == at
        assert {one["event"] for one in said} == {"waiting"}
        assert (said[0]["done"], said[0]["total"], said[0]["of"]) == (3, 30, "models")
    else:
        assert [one.split(", ")[1][:4] for one in said] == [waiting.clock_text(second) for second in at]
        assert said[0] == "detect: looking for odd cells: 3 of 30 models, 0:15, about 0:15 left"


def test_it_keeps_away_while_a_bar_is_there_and_after_the_end(screen):
    with Waiting("fit") as line:
        with paused():
            line.draw(line.heard + 9 * SILENCE)
            with paused():
                pass
            line.draw(line.heard + 9 * SILENCE)
            assert screen.getvalue() == ""
        line.draw(line.heard + 1.01 * SILENCE)
        assert screen.getvalue() != ""
    assert screen.getvalue().endswith(CLEAR)
    assert waiting._shown is None
    line.draw(line.heard + 9 * SILENCE)
    assert screen.getvalue().endswith(CLEAR)
    say("words")  # nothing is there to take away
    assert screen.getvalue().endswith(f"{CLEAR}words\n")
