"""The command on rows that stay on disk: the same words, the same files, and what needs all rows says so."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result, process

from latens.data import load
from latens.data.formats import npy as npy_shards
from latens.data.streams import dataset as stream_dataset
from latens.io.safetensors import read

pytest_plugins = ("cli_fixtures",)

BUDGET = ("--steps", "40", "--batch-size", "32", "--set", "network.hidden=8", "--set", "posterior.latent_dim=2")
BUDGET = (*BUDGET, "--set", "training.chunk_steps=7", "--num-samples", "10")


def shards(folder: Path) -> Path:
    folder.mkdir()
    x = np.random.default_rng(0).integers(0, 2, (600, 6), np.uint8)
    for i in range(3):
        np.save(folder / f"part-{i}.npy", x[i * 200 : (i + 1) * 200])
        np.save(folder / f"part-{i}.label.npy", np.arange(200) % 2)
    return folder


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy_shards, "BLOCK_ROWS", 40)
    monkeypatch.setattr(stream_dataset, "WINDOW", 2 * 130 * 6)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of shards, `folder/run` beside `folder/rows`."""
    folder = tmp_path_factory.mktemp("streamed")
    shards(folder / "rows")
    done = process(KILLED, 0, "fit", folder / "rows", "--stream", *BUDGET, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    assert "400 of" not in done.stderr
    assert "the rows stay on disk; in memory are" in done.stderr
    return folder


KILLED = """
import os, sys
import latens.training.checkpoint as checkpoint
import latens.workflow.experiment as experiment
from latens.cli.main import main
from latens.data.formats import npy
from latens.data.streams import dataset
npy.BLOCK_ROWS, dataset.WINDOW = 40, 2 * 130 * 6
checkpoint.SECONDS_BETWEEN_CHECKPOINTS = 0.0
record = experiment.Recorder.__call__
def killed(self, event):
    answer = record(self, event)
    if event.kind == "chunk" and event.record["step"] == int(sys.argv[1]):
        os.kill(os.getpid(), 9)
    return answer
experiment.Recorder.__call__ = killed
sys.exit(main(sys.argv[2:]))
"""


def test_fit_on_a_stream_leaves_a_run_like_any_other(latens: Callable[..., Result], streamed: Path) -> None:
    info = json.loads((streamed / "run" / "run.json").read_text())
    data = load(streamed / "rows")
    assert info["state"] == "done"
    assert info["data"]["stream"] is True
    rows = [info["data"]["rows"][name] for name in ("train", "validation", "test")]
    assert rows == np.bincount(data.split).tolist()
    metrics = latens("evaluate", streamed / "run", "--num-samples", "10", "--json").json
    assert metrics["metrics"]["log_marginal"]["value"] == info["metrics"]["log_marginal"]["value"]
    assert (metrics["data"]["rows"], metrics["data"]["of"]) == (np.sum(data.split == 2),) * 2
    assert latens("figures", streamed / "run", "--out", streamed / "figures").code == 0


def test_a_run_killed_in_a_stream_goes_on_to_the_same_bits(
    latens: Callable[..., Result], streamed: Path, tmp_path: Path
) -> None:
    done = process(KILLED, 23, "fit", streamed / "rows", "--stream", *BUDGET, "--out", tmp_path / "run", "--quiet")
    assert done.returncode == -9
    with pytest.MonkeyPatch.context() as patch:
        # Going on takes what the first pass found, and reads windows only.
        patch.setattr("latens.data.streams.find.build", None)
        result = latens("resume", tmp_path / "run")
    assert result.code == 0, result.err
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (streamed / "run" / "metrics.jsonl").read_bytes()
    (arrays, metadata), (others, expected) = (read(p / "run" / "model.safetensors") for p in (tmp_path, streamed))
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}
    assert metadata == expected


def test_encode_goes_through_a_stream_by_parts(
    latens: Callable[..., Result], streamed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latens.data.streams.stream.PART", 100 * 6)
    for name, flag in (("stream", "--stream"), ("memory", "--no-stream")):
        out = tmp_path / f"{name}.npz"
        assert latens("encode", streamed / "run", streamed / "rows", flag, "--out", out).code == 0
    with np.load(tmp_path / "stream.npz") as a, np.load(tmp_path / "memory.npz") as b:
        assert set(a) == set(b)
        assert (
            a["row_id"].tolist() == b["row_id"].tolist() == [f"part-{i}.npy:{j}" for i in range(3) for j in range(200)]
        )
        assert a["label"].tolist() == b["label"].tolist()
        for name in ("mean", "log_variance", "elbo"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-5)


def test_what_needs_all_rows_says_so(latens: Callable[..., Result], streamed: Path, tmp_path: Path) -> None:
    rows, run = streamed / "rows", streamed / "run"

    def refused(code: int, words: str, *argv: object) -> None:
        result = latens(*argv, "--json")
        assert result.code == code
        assert words in result.json["error"]["message"], result.json
        assert result.json["error"]["fix"]

    out = ("--out", tmp_path / "new")
    at_once = "600 rows, which stay on disk, and this command takes all of them at once"
    refused(3, at_once, "reconstruct", run, rows, "--stream", "--out", tmp_path / "x.npz")
    refused(3, at_once, "impute", run, rows, "--stream", "--out", tmp_path / "x.npz")
    refused(3, at_once, "detect", run, rows, "--stream", "--out", tmp_path / "x.csv")
    refused(4, "a Bayes classifier is fitted to all rows", "fit", rows, "--stream", "--recipe", "mlq-gaussian", *out)
    refused(4, "hides labels of rows", "fit", rows, "--stream", "--recipe", "m2", "--set", "data.labelled=10", *out)
    refused(4, "draws rows with labels more often", "fit", rows, "--stream", "--recipe", "m2", *out)
    refused(3, "is of a format that is read into memory as a whole", "fit", run / "run.json", "--stream", *out)
    refused(2, "is not a file that could stay on disk", "fit", "digits", "--stream", *out)
    assert not (tmp_path / "new").exists()


def test_a_file_that_changed_stops_a_resume(latens: Callable[..., Result], streamed: Path, tmp_path: Path) -> None:
    shutil.copytree(streamed, tmp_path / "copy")
    info = json.loads((tmp_path / "copy" / "run" / "run.json").read_text())
    info["data"] |= {"folder": str(tmp_path / "copy"), "spec": "rows"}
    (tmp_path / "copy" / "run" / "run.json").write_text(json.dumps(info))
    os.remove(tmp_path / "copy" / "rows" / "part-2.npy")
    result = latens("resume", tmp_path / "copy" / "run", "--steps", "50", "--json")
    assert result.code == 3
    assert result.json["error"]["message"] == "the file part-2.npy is no longer there."
