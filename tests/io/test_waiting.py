"""The line that says what a silent command is at."""

from latens.io import terminal, waiting
from latens.io.terminal import say
from latens.io.waiting import Waiting, doing, paused, reached


def told(line: Waiting) -> str:
    return line.bar.tasks[0].description


def test_it_says_what_and_how_far():
    with Waiting("impute") as line:
        assert told(line) == "impute"
        doing("drawing")
        reached(64, 2600)
        assert told(line) == "impute: drawing: 64 of 2,600 rows"
        assert (line.bar.tasks[0].completed, line.bar.tasks[0].total) == (64, 2600)
        doing("reading")  # the rows were those of what came before
        assert told(line) == "impute: reading"
        reached(6, 6, "models")
        assert told(line) == "impute: reading"
        doing("[red]x" * 100)
        assert len(told(line)) == 60
    assert waiting._shown is None


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


def test_it_keeps_away_while_a_bar_is_there():
    with Waiting("fit") as line:
        with paused():
            doing("training")
            assert not line.bar.live.is_started
            with paused():
                pass
            reached(1, 2)
            assert not line.bar.live.is_started
        doing("measuring")
        assert line.bar.live.is_started
