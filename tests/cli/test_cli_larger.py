"""The command on rows that stay on disk: the same words, the same files, also after it was killed."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import KILLED, Result, process

from latens.runtime.safetensors import read

pytest_plugins = ("cli_fixtures",)

BUDGET = ("--steps", "40", "--batch-size", "32", "--set", "network.hidden=8", "--set", "posterior.latent_dim=2")
BUDGET = (*BUDGET, "--set", "training.chunk_steps=7", "--num-samples", "10")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on shards of rows on disk, `run` beside `rows`."""
    folder = tmp_path_factory.mktemp("larger")
    (folder / "rows").mkdir()
    x = np.random.default_rng(0).integers(0, 2, (600, 6), np.uint8)
    for i in range(3):
        np.save(folder / "rows" / f"part-{i}.npy", x[i * 200 : (i + 1) * 200])
        np.save(folder / "rows" / f"part-{i}.label.npy", np.arange(200) % 2)
    done = process(KILLED, 0, 9, "fit", folder / "rows", "--stream", "--verbose", *BUDGET, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    assert "the rows stay on disk, 0 MB" in done.stderr
    return folder


def test_fit_on_disk_leaves_the_run_of_the_rows_in_memory(
    latens: Callable[..., Result], folder: Path, tmp_path: Path
) -> None:
    assert latens("fit", folder / "rows", *BUDGET, "--out", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (folder / "run" / "metrics.jsonl").read_bytes()
    info = json.loads((folder / "run" / "run.json").read_text())
    assert (info["state"], info["data"]["stream"]) == ("done", True)
    metrics = latens("evaluate", folder / "run", "--num-samples", "10", "--json").json
    assert metrics["metrics"]["log_marginal"]["value"] == info["metrics"]["log_marginal"]["value"]
    for flag in ("--stream", "--no-stream"):
        (tmp_path / flag).mkdir()
    for verb, out in (("encode", "a.npz"), ("reconstruct", "b.npz"), ("detect", "c.csv")):
        done = [
            latens(verb, folder / "run", folder / "rows", flag, "--out", tmp_path / flag / out)
            for flag in ("--stream", "--no-stream")
        ]
        assert [one.code for one in done] == [0, 0], done[0].err
        assert (tmp_path / "--stream" / out).read_bytes() == (tmp_path / "--no-stream" / out).read_bytes()


def test_a_killed_run_goes_on_to_the_same_bits(latens: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    done = process(KILLED, 23, 9, "fit", folder / "rows", "--stream", *BUDGET, "--out", tmp_path / "run", "--quiet")
    assert done.returncode == -9
    result = latens("resume", tmp_path / "run")
    assert result.code == 0, result.err
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (folder / "run" / "metrics.jsonl").read_bytes()
    (arrays, metadata), (others, expected) = (read(p / "run" / "model.safetensors") for p in (tmp_path, folder))
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}
    assert metadata == expected
    label = folder / "rows" / "part-2.label.npy"
    label.write_bytes(label.read_bytes()[:-8] + b"\1\0\0\0\0\0\0\0" if label.read_bytes()[-8] == 0 else
                      label.read_bytes()[:-8] + bytes(8))  # fmt: skip
    result = latens("resume", tmp_path / "run", "--steps", "50", "--json")
    assert result.code == 3
    assert "the data have changed since the run began" in result.json["error"]["message"]
