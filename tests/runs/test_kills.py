"""SIGKILL at any instant: the run goes on to the same bits. Five kills here, ten more with `-m long`."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_fixtures import SMALL

from latens.runtime.safetensors import read
from latens.training.checkpoint import latest_checkpoint

CODE = """
import sys
import latens.training.checkpoint
import latens.fitting
from latens.cli.main import main
latens.training.checkpoint.SECONDS_BETWEEN_CHECKPOINTS = 0.0
sys.exit(main(sys.argv[1:]))
"""
FIT = ("fit", "digits", "--epochs", "20", "--num-samples", "10", "--quiet", *SMALL)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


def start(*argv: object) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", CODE, *map(str, argv)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(child: subprocess.Popen[bytes]) -> str:
    _, errors = child.communicate(timeout=200)
    assert child.returncode == 0, errors.decode()
    return errors.decode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run that is never killed, and how long it takes."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start(*FIT[:3], 1, *FIT[4:], "--out", folder.with_name("warm")))  # fills the compilation cache
    began = time.monotonic()
    finish(start(*FIT, "--out", folder))
    return folder, time.monotonic() - began


def killed(folder: Path, rng: random.Random, whole: tuple[Path, float], *argv: object) -> None:
    """Start the command and kill it: at a random time, or a little after a random part of the metrics is written."""
    child, (other, seconds) = start(*argv), whole
    if rng.random() < 0.4:
        time.sleep(rng.uniform(0.0, seconds))
    else:
        size, limit = rng.uniform(0, (other / "metrics.jsonl").stat().st_size), time.monotonic() + 100
        metrics = folder / "metrics.jsonl"
        while child.poll() is None and time.monotonic() < limit:
            if metrics.exists() and metrics.stat().st_size >= size:
                break
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.03))
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def assert_killed_run_is_the_whole(tmp_path: Path, whole: tuple[Path, float], seed: int) -> None:
    rng, folder, (other, _) = random.Random(seed), tmp_path / "run", whole
    killed(folder, rng, whole, *FIT, "--out", folder)
    while rng.random() < 0.3 and (folder / "config.json").exists():
        killed(folder, rng, whole, "resume", folder, "--quiet")
    if (folder / "config.json").exists():
        finish(start("resume", folder, "--quiet"))
    else:  # killed before there was a run: nothing is lost, nothing is in the way
        finish(start(*FIT, "--out", folder, "--force"))
    assert json.loads((folder / "run.json").read_text())["state"] == "done"
    assert (folder / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    arrays, metadata = read(folder / "model.safetensors")
    others, other_metadata = read(other / "model.safetensors")
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}
    assert metadata == other_metadata
    states = [latest_checkpoint(path / "checkpoints") for path in (folder, other)]
    assert states[0] is not None
    assert states[1] is not None
    assert states[0].step == states[1].step
    one, two = (read(state.path / "state.safetensors")[0] for state in states if state is not None)
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in two.items()}


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_run_goes_on(tmp_path: Path, whole: tuple[Path, float], seed: int) -> None:
    assert_killed_run_is_the_whole(tmp_path, whole, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_more_killed_runs_go_on(tmp_path: Path, whole: tuple[Path, float], seed: int) -> None:
    assert_killed_run_is_the_whole(tmp_path, whole, seed)
