"""The command as tests type it: in this process, with both streams caught; and a small run for all of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from latens.cli.main import main

SMALL = ("--set", "network.hidden=32", "--set", "posterior.latent_dim=3")
LONG = ("--steps", "66", *SMALL)
FIT = ("fit", "digits", "--epochs", "3", *SMALL)


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def latens(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*argv: object) -> Result:
        capsys.readouterr()
        return Result(main([str(word) for word in argv]), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["fit", "digits", *LONG, "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main([*FIT, "--out", str(folder), "--quiet"]) == 0
    return folder


def dead_process() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def process(code: str, *argv: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Another Python that runs `code`, with `argv` as the command line."""
    words = [sys.executable, "-c", code, *map(str, argv)]
    return subprocess.run(words, capture_output=True, text=True, timeout=200, **options)


KILLED = """
import os, signal, sys
import latens.training.checkpoint as checkpoint
import latens.fitting as experiment
from latens.cli.main import main
checkpoint.SECONDS_BETWEEN_CHECKPOINTS = 0.0
record = experiment.Recorder.__call__
def killed(self, event):
    answer = record(self, event)
    if event.kind == "chunk" and event.record["step"] == int(sys.argv[1]):
        for number in sys.argv[2].split(","):
            os.kill(os.getpid(), int(number))
        import time
        time.sleep(5)
    return answer
experiment.Recorder.__call__ = killed
sys.exit(main(sys.argv[3:]))
"""
"""A program that runs a command and sends itself signals after a step: STEP SIGNAL,... WORDS."""
