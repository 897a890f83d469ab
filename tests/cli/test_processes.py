"""One training by several processes: the bits of one, whatever their number, and an end for all where one ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from cli_fixtures import Result
from paths import ROOT, SOURCE

from latens.cli import processes
from latens.cli.context import Context
from latens.cli.main import main
from latens.io.safetensors import read
from latens.training.group import Joined

pytest_plugins = ("cli_fixtures",)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is pinned and counted here is Linux's")

SMALL = ("--set", "network.hidden=8", "--set", "posterior.latent_dim=2", "--set", "training.chunk_steps=3")
SHARDS = ("--batch-size", "512", "--steps", "18", "--set", "training.shards=4", "--num-samples", "2")
LIMITS = {"LATENS_PEER_SECONDS": "6", "LATENS_CHUNK_SECONDS": "6"}
FAULTY = ROOT / "tests" / "support" / "faulty.py"


def command(*words: object, **more: str) -> subprocess.Popen[str]:
    """A process of the command."""
    environ = {**os.environ, **LIMITS, "PYTHONPATH": str(SOURCE.parent), "JAX_PLATFORMS": "cpu", **more}
    line = [sys.executable, "-m", "latens.cli.main", *map(str, words)]
    return subprocess.Popen(line, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=240)
    return process.returncode, err


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert ended(command("fit", "digits", *SMALL, *SHARDS, "--out", folder))[0] == 0
    return folder


def same_run(one: Path, other: Path) -> None:
    """Equal metrics byte for byte, equal models and last states bit for bit."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    for name in ("model.safetensors", "checkpoints/step-0000000018/state.safetensors"):
        arrays, others = read(one / name)[0], read(other / name)[0]
        assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}


def test_two_processes_have_the_bits_of_one(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, err = ended(command("fit", "digits", *SMALL, *SHARDS, "--out", folder, "--processes", 2))
    assert code == 0, err
    same_run(folder, alone)
    assert err.count("Next: latens ") == 1  # one of them speaks


def four(*words: object, **more: str) -> list[tuple[int, str]]:
    """Four processes that something else started, all with the same line but for their number."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    meet = ("--coordinator", f"127.0.0.1:{port}", "--processes", 4)
    return [ended(one) for one in [command(*words, *meet, "--process", number, **more) for number in range(4)]]


def test_one_two_and_four_processes_in_turn_with_kills_between(alone: Path, tmp_path: Path) -> None:
    """1 -> 2 -> 4 -> 1: the lead of each but the last is killed with kill -9 after a further checkpoint."""
    folder, slow = tmp_path / "run", ("--import", FAULTY)
    killed = command("fit", "digits", *SMALL, *SHARDS, "--out", folder, *slow, LATENS_TEST_STOP="3")
    assert ended(killed)[0] == -signal.SIGKILL
    assert steps(folder) == [3]
    code, err = ended(command("resume", folder, "--processes", 2, *slow, LATENS_TEST_STOP="9"))
    assert (code, "process 0 was ended by SIGKILL" in err) == (128 + signal.SIGKILL, True), err
    assert steps(folder)[-1] == 9
    codes = [code for code, _ in four("resume", folder, *slow, LATENS_TEST_STOP="15")]
    assert codes[0] == -signal.SIGKILL
    assert set(codes[1:]) <= {9, -signal.SIGABRT}  # JAX aborts who loses process 0, unless we see it first
    assert steps(folder)[-1] == 15
    assert ended(command("resume", folder))[0] == 0
    same_run(folder, alone)


def test_rows_of_text_in_buckets_have_the_same_bits_after_a_kill_and_by_two_processes(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lengths = [*draw.integers(1, 4, 300), *draw.integers(9, 16, 300)]
    rows = tmp_path / "rows.txt"
    rows.write_text("".join("".join(draw.choice(list("abc"), n)) + "\n" for n in lengths))
    words = ("fit", rows, "--recipe", "text", *SMALL, "--batch-size", "32", "--steps", "18", "--num-samples", "2",
             "--set", "training.shards=2")  # fmt: skip
    slow = ("--import", FAULTY)
    one, other = tmp_path / "one", tmp_path / "other"
    assert ended(command(*words, "--out", one))[0] == 0
    assert ended(command(*words, "--out", other, *slow, LATENS_TEST_STOP="9"))[0] == -signal.SIGKILL
    assert steps(other)[-1] == 9
    code, err = ended(command("resume", other, "--processes", 2))
    assert code == 0, err
    same_run(other, one)


def test_four_processes_have_the_bits_of_one(alone: Path, tmp_path: Path) -> None:
    """Also of those without a share in the run folder: three of them write nothing."""
    found = four("fit", "digits", *SMALL, *SHARDS, "--out", tmp_path / "run")
    assert [code for code, _ in found] == [0, 0, 0, 0], found
    assert [err.count("Next: latens ") for _, err in found] == [1, 0, 0, 0]
    same_run(tmp_path / "run", alone)


def test_two_processes_on_a_stream_have_the_bits_of_one(tmp_path: Path) -> None:
    """Each reads the blocks of its own shards; and a run of two, killed in an epoch, goes on as one."""
    (tmp_path / "rows").mkdir()
    x = (np.random.default_rng(0).random((40, 60, 8)) < 0.3).astype(np.uint8)
    for number, rows in enumerate(x):  # a block each
        np.save(tmp_path / "rows" / f"part-{number:02d}.npy", rows)
    words = ("fit", tmp_path / "rows", "--stream", *SMALL, *SHARDS)
    assert ended(command(*words, "--out", tmp_path / "one"))[0] == 0
    slow = ("--processes", 2, "--import", FAULTY)
    code, err = ended(command(*words, "--out", tmp_path / "two", *slow, LATENS_TEST_STOP="6"))
    assert (code, steps(tmp_path / "two")[-1]) == (128 + signal.SIGKILL, 7), err  # an epoch has 4 steps
    code, err = ended(command("resume", tmp_path / "two", "--processes", 2))
    assert code == 0, err
    same_run(tmp_path / "two", tmp_path / "one")


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints; `step-N.1` is written where a run ends at a step that has one."""
    return sorted(int(path.name[5:].partition(".")[0]) for path in (folder / "checkpoints").iterdir())


FAULTS = {
    "kill": (137, "process 1 has not answered"),
    "raise": (1, "process 1 ended: RuntimeError: bad rows"),
    "exit": (3, "process 1 ended: it exited with code 3"),
    "term": (143, "stopped by SIGTERM after step 9; a checkpoint is written"),
    "stop": (9, "process 1 has not answered"),
    "hang": (9, "a chunk of steps has taken"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_where_one_process_ends_all_end(fault: str, alone: Path, tmp_path: Path) -> None:
    """With one sentence, the documented exit code and a checkpoint, within 15 seconds; and the run goes on."""
    folder, clock = tmp_path / "run", tmp_path / "clock"
    faulty = {"LATENS_TEST_FAULT": fault, "LATENS_TEST_CLOCK": str(clock)}
    words = ("fit", "digits", *SMALL, *SHARDS, "--out", folder, "--processes", 2, "--import", FAULTY)
    code, err = ended(command(*words, **faulty))
    took, (wanted, sentence) = time.time() - float(clock.read_text()), FAULTS[fault]
    assert (code, took < 15.0) == (wanted, True), err
    assert sum(line.startswith(("error: ", "stopped: ")) for line in err.splitlines()) == 1, err
    assert sentence in err
    assert steps(folder)[-1] == (9 if fault == "term" else 6)
    assert json.loads((folder / "run.json").read_text())["state"] == "stopped"
    assert ended(command("resume", folder))[0] == 0
    same_run(folder, alone)


@pytest.mark.parametrize("fault", ["first", "within"])
def test_the_process_killed_in_its_first_chunk_is_named(fault: str, alone: Path, tmp_path: Path) -> None:
    """Before the chunk or while it is computed; there is no checkpoint yet, and the run starts anew."""
    folder, clock = tmp_path / "run", tmp_path / "clock"
    words = ("fit", "digits", *SMALL, *SHARDS, "--out", folder, "--processes", 2, "--import", FAULTY)
    code, err = ended(command(*words, LATENS_TEST_FAULT=fault, LATENS_TEST_CLOCK=str(clock)))
    assert (code, time.time() - float(clock.read_text()) < 15.0) == (128 + signal.SIGKILL, True), err
    said = [line for line in err.splitlines() if line.startswith(("error: ", "stopped: "))]
    assert len(said) == 1, err
    assert "process 1" in said[0], err
    assert "process 0" not in said[0], err
    assert ended(command("resume", folder))[0] == 0
    same_run(folder, alone)


DISKS = {
    "full": (7, "would be larger than the system allows"),
    "gone": (6, "run: the folder was removed, or moved to another disk"),
}


@pytest.mark.parametrize("fault", DISKS)
def test_a_disk_that_fails_the_lead_ends_all(fault: str, alone: Path, tmp_path: Path) -> None:
    """With one sentence and the documented code within 15 seconds; what was written before is whole."""
    folder, clock = tmp_path / "run", tmp_path / "clock"
    words = ("fit", "digits", *SMALL, *SHARDS, "--out", folder, "--processes", 2, "--import", FAULTY)
    code, err = ended(command(*words, LATENS_TEST_FAULT=fault, LATENS_TEST_CLOCK=str(clock)))
    took = time.time() - float(clock.read_text())
    assert (code, took < 15.0, DISKS[fault][1] in err) == (DISKS[fault][0], True, True), err
    assert sum(line.startswith(("error: ", "stopped: ")) for line in err.splitlines()) == 1, err
    if fault == "gone":
        assert not folder.exists() or not list(folder.rglob("*.safetensors"))
        return
    assert steps(folder)[-1] == 6
    assert ended(command("resume", folder, "--processes", 2))[0] == 0
    same_run(folder, alone)


def test_processes_that_differ_refuse_to_train(tmp_path: Path) -> None:
    """Another version, or other data under the same name: all say what differs, and leave with the code of it."""
    words = ("fit", "digits", *SMALL, *SHARDS, "--out", tmp_path / "run", "--processes", 2, "--import", FAULTY)
    code, err = ended(command(*words, LATENS_TEST_FAULT="version"))
    assert code == 4, err
    assert sum(line.startswith("error: ") for line in err.splitlines()) == 1, err
    assert "the version of latens is " in err
    assert "in process 0 and 0.0.1 in process 1. Start all processes alike" in err.replace("\n", " ")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    started = []
    for number in range(2):
        (place := tmp_path / str(number)).mkdir()
        np.save(place / "rows.npy", np.random.default_rng(number).random((900, 4)) < 0.5)
        meet = ("--coordinator", f"127.0.0.1:{port}", "--processes", 2, "--process", number)
        data = ("fit", place / "rows.npy", *SMALL, *SHARDS, "--out", tmp_path / "other", *meet)
        started.append(command(*data))
    for code, err in map(ended, started):
        assert code == 4, err
    assert "the fingerprint of the data is " in err
    assert "in process 1. Start all processes alike" in err.replace("\n", " ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_stops_all(number: signal.Signals, tmp_path: Path) -> None:
    """Handed on once: all finish their chunk, and one of them says so."""
    folder = tmp_path / "run"
    long = (*SHARDS[:2], "--steps", 100_000, *SHARDS[4:])
    running = command("fit", "digits", *SMALL, *long, "--out", folder, "--processes", 2)
    while not (folder / "metrics.jsonl").exists():
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(number)
    began = time.monotonic()
    code, err = ended(running)
    assert (code, time.monotonic() - began < 15.0) == (128 + number, True), err
    assert sum(line.startswith(("error: ", "stopped: ")) for line in err.splitlines()) == 1, err
    assert "a checkpoint is written" in err
    assert len(steps(folder)) >= 1


# --- refused before anything starts ---


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (("--processes", 1025), 2, "1025 is not within 1 and 1024"),
        (("--processes", 1000), 2, "1000 processes would share"),
        (("--process", 1), 2, "where do the processes meet?"),
        (("--coordinator", "here:1", "--processes", 2), 2, "which of the processes is this one?"),
    ],
)
def test_what_no_group_can_be_is_refused(
    latens: Callable[..., Result], words: tuple, code: int, what: str, tmp_path: Path
) -> None:
    result = latens("fit", "digits", "--out", tmp_path / "run", *words)
    assert (result.code, what in result.err) == (code, True)
    assert list(tmp_path.iterdir()) == []


def test_the_process_that_ended_first_is_named() -> None:
    """Process 1 is killed; process 0, which lost it, ends by a signal of its own some time later."""
    later = [sys.executable, "-c", "import os, time; time.sleep(1); os.abort()"]
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    context = Mock(spec=Context, signals=SimpleNamespace(received=None))
    assert processes._wait(context, [subprocess.Popen(later), subprocess.Popen(killed)]) == 1
    nine = [sys.executable, "-c", "raise SystemExit(9)"]
    assert processes._wait(context, [subprocess.Popen(nine), subprocess.Popen(later)]) == 1


@pytest.mark.parametrize("trouble", [False, True])
def test_a_process_names_the_one_that_is_silent_longest(trouble: bool) -> None:
    group: Any = Joined.__new__(Joined)
    group.number, group._limit, group._chunk, group._since, group._usual, group._parent = (
        0,
        20.0,
        600.0,
        None,
        None,
        None,
    )
    group._trouble = threading.Event()
    assert group._fault({0: 99.0, 1: 0.1, 2: 0.0}, 0.0) == ""
    if trouble:
        group._trouble.set()
    silences = {0: 99.0, 1: 21.0, 2: 22.0} if not trouble else {0: 9.0, 1: 8.0, 2: 10.0}
    assert group._fault(silences, 0.0).startswith("process 2 has not answered for")


def test_every_process_has_cores_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: [2, 3, 5, 7, 11])
    monkeypatch.setattr(processes, "gpus", list)
    assert [share["LATENS_CORES"] for share in processes.shares(2, "--processes")] == ["2,3", "5,7"]
    monkeypatch.setattr(processes, "gpus", lambda: ["4", "6"])
    assert [share["CUDA_VISIBLE_DEVICES"] for share in processes.shares(2, "--processes")] == ["4", "6"]
    with pytest.raises(processes.UsageError, match="3 processes would share 2 GPUs"):
        processes.shares(3, "--processes")


def test_a_dry_run_starts_nothing(latens: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "launch", None)
    result = latens("fit", "digits", *SMALL, *SHARDS, "--processes", 2, "--dry-run", "--json")
    assert (result.code, result.json["config"]["training"]["shards"]) == (0, 4)
    assert main(["fit", "digits", "--processes", "2", "--dry-run", "--set", "training.shards=3"]) == 4
