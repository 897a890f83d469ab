"""What `fit` prints: at most ten lines, one headline, "better" where two errors say so, and the plan of its minutes."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_fixtures import SMALL, Result
from sklearn.decomposition import PCA

import latens as lt
from latens.cli.training import TimePlan
from latens.commands.evaluate import verdict
from latens.data import load
from latens.evidence import Estimate

pytest_plugins = ("cli_fixtures",)
PICTURES = re.compile(r"bits a pixel; reconstructions off by ([\d.]+) of 16 levels \(PCA with 3 components: ([\d.]+)\)")


def table(path: Path) -> Path:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 300)
    rows = [f"{'ab'[k]},{'xy'[k] if rng.random() < 0.95 else 'z'},{k + 0.1 * rng.normal():.2f}" for k in kind]
    path.write_text("\n".join(["one,two,three", *rows]) + "\n")
    return path


def numbers(path: Path) -> Path:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    np.savetxt(path, np.stack([a, a + 0.2 * rng.normal(size=300), rng.normal(size=300)], 1), delimiter=",",
               header="a,b,c", comments="")  # fmt: skip
    return path


@pytest.mark.parametrize("kind", ["table", "digits", "numbers"])
def test_fit_prints_at_most_ten_lines(kind: str, latens: Callable[..., Result], tmp_path: Path) -> None:
    data = {"table": table, "numbers": numbers}[kind](tmp_path / "t.csv") if kind != "digits" else kind
    done = latens("fit", data, "--steps", 60, *SMALL, "--num-samples", 10, "--out", tmp_path / "run")
    lines = [line for line in done.err.splitlines() if not line.startswith("train ")]  # of a slow machine
    assert done.code == 0, done.err
    assert 6 <= len(lines) <= 10, done.err
    titles = [line[:8].strip() for line in lines]
    assert titles[:4] == ["data", "model", "trained", "result"]
    assert titles[-1] == "next"
    assert sum("log p(x)" in line for line in lines if not line.startswith("warning")) == 1
    if kind == "table":
        assert any(line.strip().startswith("hidden cells: right in ") for line in lines), done.err
    if kind == "digits":
        data, (found,) = load("digits"), PICTURES.findall(done.err)
        train, test = (np.asarray(data.x[data.subset(one)], float).reshape(-1, 64) for one in ("train", "test"))
        back = lt.load(tmp_path / "run").reconstruct(data)[data.subset("test")].reshape(-1, 64)
        pca = PCA(3).fit(train)
        for told, made in zip(found, (back, pca.inverse_transform(pca.transform(test)))):
            assert float(told) == pytest.approx(np.sqrt(np.square(made - test).mean()), abs=0.06)
    if kind == "numbers":
        assert latens("sample", tmp_path / "run", "-n", 3, "--out", tmp_path / "s.csv").code == 0
        assert (tmp_path / "s.csv").read_text().splitlines()[0] == "a,b,c"
    again = latens("resume", tmp_path / "run").err.splitlines()
    assert again[1:] == lines[2:]  # what is said of a run that is done stands in its folder


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        (0.74, 0.09, "the model is better by 0.74 ± 0.09"),
        (-0.74, 0.09, "the model is WORSE by 0.74 ± 0.09"),
        (0.17, 0.33, "no significant difference (0.17 ± 0.33)"),
        (0.17, np.nan, "the model +0.17"),
    ],
)
def test_better_is_said_where_two_errors_say_so(size: float, error: float, words: str) -> None:
    gain = Estimate(size, error, 100, 50)
    assert verdict(gain) == words
    better = "the model is better by at least 0.74"  # a lower bound proves no more
    assert verdict(gain.with_draws_error(np.inf)) == (better if size > 0.5 else "which the bound does not decide")


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
    plan.before = 500.0
    assert (plan(event(571.9)), plan(event(572.0))) == (None, "minutes")


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
    plan.before = 500.0
    assert plan.late(530.0) == f"2:00, not 1:00: {rest}; give more --minutes"
    assert TimePlan(None, 0.0, clock).late(30.0) == ""
