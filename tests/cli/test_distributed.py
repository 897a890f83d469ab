"""One training by several processes of `jax.distributed`: the bits of one, and on from a checkpoint after a kill."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import SOURCE

from latens.errors import UsageError
from latens.training import shards

WORDS = ("fit", "digits", "--epochs", "3", "--num-samples", "5", "--quiet", "--set", "training.chunk_steps=5")
KILLED = """
import os
from latens.training import checkpoint, shards
from latens.training.loop import _StageRun

checkpoint.SECONDS_BETWEEN_CHECKPOINTS = 0.0
chunk = _StageRun.chunk

def killed(self):
    if shards.number() == 1 and self.loop.step >= 15:
        os.kill(os.getpid(), 9)
    chunk(self)

_StageRun.chunk = killed
"""


def started(words: list[str], count: int = 1) -> list[tuple[int, str]]:
    """Exit code and stderr of each of so many processes with the same words."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    kept = os.environ | {"PYTHONPATH": str(SOURCE.parent), "LATENS_HEARTBEAT_SECONDS": "10", "JAX_PLATFORMS": "cpu"}
    given = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", str(count), "--process-id"]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "latens.cli.main", *words, *([*given, str(number)] if count > 1 else [])],
            env=kept, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )
        for number in range(count)
    ]  # fmt: skip
    said = [child.communicate(timeout=300)[1] for child in children]
    return [(child.returncode, text) for child, text in zip(children, said)]


@pytest.mark.more
def test_the_pods_of_the_example_train_the_model_of_one(tmp_path: Path) -> None:
    """The container's command, with the index that an Indexed Job gives each pod and this machine as its service."""
    yaml = pytest.importorskip("yaml")
    _, job = yaml.safe_load_all((SOURCE.parents[1] / "examples" / "job.yaml").read_text())
    count, pod = job["spec"]["completions"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["spec"]["completionMode"], job["spec"]["parallelism"]) == ("Indexed", count)
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(600, 3)).astype(np.float32))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        here = f"127.0.0.1:{found.getsockname()[1]}"
    host = f"{job['metadata']['name']}-0.{pod['subdomain']}:1234"
    children = []
    for index in range(count):
        known = {"$(JOB_COMPLETION_INDEX)": str(index), host: here}
        words = [
            known.get(word, word).replace("/data", str(tmp_path)) for word in container["command"] + container["args"]
        ]
        words = [sys.executable, "-m", "latens.cli.main", *words[1:], "--steps", "20", "--num-samples", "5"]
        kept = os.environ | {
            "PYTHONPATH": str(SOURCE.parent),
            "JAX_PLATFORMS": "cpu",
            "JOB_COMPLETION_INDEX": str(index),
        }
        children.append(subprocess.Popen(words, env=kept, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True))
    assert [(child.communicate(timeout=300)[1][-300:], child.returncode)[1] for child in children] == [0] * count
    words = ["fit", str(tmp_path / "rows.npy"), "--out", str(tmp_path / "alone"), "--steps", "20", "--num-samples", "5"]
    assert started([*words, "--quiet", "--set", "training.shards=2"])[0][0] == 0
    same(tmp_path / "run", tmp_path / "alone")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("alone") / "run"
    assert started([*WORDS, "--set", "training.shards=2", "--out", str(run)])[0][0] == 0
    return run


def same(run: Path, other: Path) -> None:
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.more
def test_two_processes_train_the_model_of_one_bit_for_bit(alone: Path, tmp_path: Path) -> None:
    found = started([*WORDS, "--out", str(tmp_path / "run")], 2)
    assert [code for code, _ in found] == [0, 0], found
    same(tmp_path / "run", alone)


@pytest.mark.more
@pytest.mark.parametrize("count", [1, 2])
def test_after_a_kill_any_number_of_processes_goes_on_to_the_same_bits(alone: Path, tmp_path: Path, count: int) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    run = tmp_path / "run"
    (code, said), (other, _) = started([*WORDS, "--out", str(run), "--import", str(tmp_path / "killed.py")], 2)
    assert (code, other) == (7, -9), said
    assert "--distributed: the processes of this training no longer compute together" in said
    assert not (run / "model.safetensors").exists()
    assert any((run / "checkpoints").iterdir())
    assert {code for code, _ in started(["resume", str(run), "--quiet"], count)} == {0}
    same(run, alone)


def test_a_process_alone_has_what_it_says() -> None:
    assert (shards.processes(), shards.number(), shards.leads()) == (1, 0, True)
    assert shards.gather("text") == ["text"]
    assert shards.of_lead({"a": 0.1}) == {"a": 0.1}
    shards.same("a", "1")
    shards.part()
    assert shards.of_others(RuntimeError("x")) is None


def test_where_nothing_started_several_processes_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards.jax.distributed, "initialize", lambda *_, **__: (_ for _ in ()).throw(ValueError("no.")))
    with pytest.raises(UsageError, match=r"no\. Add --coordinator"):
        shards.join()
    monkeypatch.setenv(shards.HEARTBEAT, "0")
    with pytest.raises(UsageError, match="from 1"):
        shards.join()
