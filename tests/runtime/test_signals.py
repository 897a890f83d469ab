"""SIGTERM and Ctrl-C end every command within five seconds, wherever it stands, and say so."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_fixtures import SMALL

from latens.training.checkpoint import latest_checkpoint

pytest_plugins = ("cli_fixtures",)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")

LONGEST = 5.0
ENTRY = "import signal; signal.signal(2, signal.default_int_handler); from latens.cli.main import entry; "
STUCK = """
import contextlib, sys, time
import latens.cli.main as cli

def program(context):
    import jax
    ready()
    jax.jit(lambda x: jax.lax.fori_loop(0, 2**31 - 1, lambda i, y: jax.lax.sin(y + i), x))(1.0).block_until_ready()

def parts(context):
    from latens.evidence.batched import _at_once
    ready()
    _at_once(lambda start: time.sleep(1000), range(9))

def waiting(context):
    with context.signals.deferred():
        ready()
        time.sleep(1000)

def swallowed(context):
    ready()
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(1000)

def unread(context):  # nobody reads what is printed
    ready()
    while True:
        print("x" * 10_000)

def ready():
    print("ready", file=sys.stderr, flush=True)

cli._run = globals()[sys.argv.pop(1)]
entry()
"""
AFTERWARDS = """
import os, signal, time
from latens.cli import main

main.PATIENCE = 0.5
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])  # so that the watching thread wakes up late

def command(interrupted):
    try:
        with (one := main.Signals()), one.deferred():
            if interrupted:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.02)
    except KeyboardInterrupt:
        pass

for _ in range(20):
    command(True)
    command(False)
with main.Signals():
    time.sleep(1.0)
print("alive")
"""
GENTLE = ("parts", "unread")
"""Where the main thread hears of the signal; the others end after four seconds."""


def started(code: str, *argv: object, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", code, *map(str, argv)]
    return subprocess.Popen(words, stdout=stdout, stderr=subprocess.PIPE, text=True)


def stopped(child: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str]:
    """Send the signal. **Returns:** the seconds until the end, and what was said."""
    began = time.monotonic()
    child.send_signal(number)
    try:
        child.wait(timeout=4 * LONGEST)
    finally:
        seconds = time.monotonic() - began
        child.kill()
    assert child.stderr is not None
    with child.stderr:
        return seconds, child.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
@pytest.mark.parametrize("where", ["program", "parts", "waiting", "swallowed", "unread"])
def test_a_command_that_is_stuck_ends(where: str, number: signal.Signals) -> None:
    child = started(ENTRY + STUCK, where, stdout=subprocess.PIPE)
    assert child.stderr is not None
    assert child.stdout is not None
    assert child.stderr.readline() == "ready\n"
    time.sleep(0.5)
    seconds, words = stopped(child, number)
    child.stdout.close()
    assert child.returncode == 128 + number
    assert seconds < LONGEST
    name = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    if where not in GENTLE:
        assert words == f"stopped: stopped by {name}; what was being computed did not end within 4 s.\n"
    elif where == "parts":
        assert f"stopped: stopped by {name}." in words


def test_a_step_that_takes_too_long_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    code = """
import time
import latens.training.checkpoint as checkpoint
import latens.fitting as experiment
checkpoint.SECONDS_BETWEEN_CHECKPOINTS = 0.0
record = experiment.Recorder.__call__
def slow(self, event):
    answer = record(self, event)
    if event.kind == "chunk" and event.record["step"] >= 33:
        print("ready", file=__import__("sys").stderr, flush=True)
        time.sleep(1000)
    return answer
experiment.Recorder.__call__ = slow
entry()
"""
    folder = tmp_path / "run"
    words = ("fit", "digits", "--steps", 66, *SMALL, "--out", folder, "--quiet", "--json")
    child = started(ENTRY + code, *words, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    while child.stderr.readline() not in ("ready\n", ""):
        pass
    seconds, said = stopped(child, signal.SIGTERM)
    assert (child.returncode, seconds < LONGEST) == (143, True)
    assert f"Continue with `latens resume {folder}`." in said
    with child.stdout:
        assert json.loads(child.stdout.read())["error"]["code"] == "interrupted"
    kept = latest_checkpoint(folder / "checkpoints")
    assert kept is not None
    assert kept.step in (11, 22)


COMMANDS = {
    "report-animation": "report {run} --only animation --name walk --frames 200 --out {new}.gif",
    "check": "check digits", "evaluate-two": "evaluate {run} pretrained:digits-2d --num-samples 5000",
    "demo": "demo --epochs 50 --out {new}", "encode": "encode {run} digits --num-samples 5000 --out {new}.npz",
    "evaluate": "evaluate {run} --num-samples 20000", "evaluate --all": "evaluate {run} --all",
    "explore": "explore {run} --no-browser", "report-figures": "report {run} --only figures --out {new}",
    "fit": "fit digits --epochs 50 --out {new}", "fit of a mixture": "fit digits --recipe mlq-mixture --out {new}",
    "impute": "impute {run} digits --num-samples 20000 --out {new}.npz",
    "reconstruct": "reconstruct {run} digits --out {new}.npz",
    "refit": "refit {run} --prior mixture --steps 100000 --out {new}.safetensors",
    "report": "report {run} --out {new}.html", "sample": "sample {run} -n 100000 --out {new}.npz",
}  # fmt: skip
QUICK = ("evaluate", "fit")
ANY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in COMMANDS]


@pytest.mark.parametrize("name", ANY)
def test_any_command_ends_at_any_instant(run_folder: Path, tmp_path: Path, name: str) -> None:
    """An instant at random, while it imports, reads, compiles, computes or writes. Two of them in `make long`."""
    rng = random.Random(name)
    for number in (signal.SIGTERM, signal.SIGINT)[: 1 if name in QUICK else 2]:
        words = [word.format(run=run_folder, new=tmp_path / f"new{number}") for word in COMMANDS[name].split()]
        child = started(ENTRY + "entry()", *words)
        time.sleep(rng.uniform(0.5, 8.0))
        over = child.poll() is not None
        seconds, said = stopped(child, number)
        # Before and after Python runs the command, the system's own handling ends it.
        assert child.returncode in ((0,) if over else (0, 128 + number, -number)), said
        assert seconds < LONGEST


def test_a_signal_of_a_command_that_ended_does_not_end_the_next_one():
    done = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "alive\n")
