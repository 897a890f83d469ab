"""The fit of the prior at the end of `fit`: what is said and written, and a run that is ended in it."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli_fixtures import Result

from latens.cli.training import after
from latens.runs.folder import RunFolder
from latens.runtime.safetensors import read

pytest_plugins = ("cli_fixtures",)

WORDS = ("--steps", "300", "--batch-size", "128", "--num-samples", "2", "--set", "network.hidden=[]",
         "--set", "posterior.latent_dim=1", "--set", "optimizer.learning_rate=0.03",
         "--set", "optimizer.options.weight_decay=0")  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of two clusters along a line."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("rows") / "rows.npy"
    z = rng.choice([-1.0, 1.0], (600, 1)) + 0.05 * rng.standard_normal((600, 1))
    np.save(path, (z @ [[1.0, -0.5, 0.8]] + 0.1 * rng.standard_normal((600, 3))).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from latens.cli.main import main

    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["fit", str(table), *WORDS, "--out", str(folder), "--quiet"]) == 0
    return folder


def test_fit_says_which_prior_is_kept_and_a_run_ended_meanwhile_ends_the_same(
    latens: Callable[..., Result], table: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latens.trained import prior_refit as refit

    info = json.loads((whole / "run.json").read_text())
    assert info["refit"]["kept"] is True
    assert info["refit"]["gain"]["n"] == info["data"]["rows"]["validation"]
    said = "prior: a mixture of Gaussians fitted to the codes"
    assert f"{said}, which changes log p(x) by +" in (whole / "log.txt").read_text()
    assert after(RunFolder.open(whole))[0].endswith(f"in all; {said}")
    folder = tmp_path / "run"

    def cut_off(*given: Any, **named: Any) -> Any:
        if not (folder / "model.safetensors").exists():
            raise AssertionError("the trained model is not there yet")
        os.kill(os.getpid(), signal.SIGINT)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(refit, "mixture_of", cut_off)
        patch.setattr("latens.cli.main.PATIENCE", 100.0)
        result = latens("fit", table, *WORDS, "--out", folder)
    assert result.code == 130
    arrays, metadata = read(folder / "model.safetensors")
    assert (metadata["config"]["prior"]["kind"], "refit" in metadata["facts"]) == ("standard-normal", False)
    again = latens("resume", folder, "--verbose")
    assert again.code == 0, again.err
    assert "prior: a mixture of Gaussians fitted to the codes, which changes log p(x) by +" in again.err
    one, two = read(folder / "model.safetensors"), read(whole / "model.safetensors")
    assert one[1] == two[1]
    assert {n: a.tobytes() for n, a in one[0].items()} == {n: a.tobytes() for n, a in two[0].items()}
    assert one[1]["config"]["prior"]["kind"] == "mixture"
    assert all(np.array_equal(one[0][name], array) for name, array in arrays.items())


def test_refit_false_writes_the_arrays_of_before(
    latens: Callable[..., Result], table: Path, whole: Path, tmp_path: Path
) -> None:
    assert latens("fit", table, *WORDS, "--set", "prior.refit=false", "--out", tmp_path / "run").code == 0
    before, after = read(tmp_path / "run" / "model.safetensors"), read(whole / "model.safetensors")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["refit"] is None
    assert before[1]["config"]["prior"] == {"kind": "standard-normal", "options": {}, "refit": False}
    assert set(after[0]) - set(before[0]) == {f"prior_part.{name}" for name in ("logits", "loc", "log_scale")}
    assert all(np.array_equal(after[0][name], array) for name, array in before[0].items())
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_then_fits_a_prior_in_the_same_command(latens: Callable[..., Result], table: Path, tmp_path: Path) -> None:
    resumed = {"training_seconds": 90.0, "command_seconds": 70.0, "step": 5}
    assert after(SimpleNamespace(info=resumed, path=tmp_path))[0].endswith("70 s of this command")
    run, few = tmp_path / "run", (*WORDS[2:], "--steps", "20")
    refused = latens("fit", table, *few, "--then", "transformer", "--out", run)
    assert refused.code != 0
    assert "no prior for the latents" in refused.err
    assert not run.exists()
    assert latens("fit", table, *few, "--then", "normal", "--out", run).code == 0
    info, metadata = json.loads((run / "run.json").read_text()), read(run / "model.safetensors")[1]
    assert info["options"]["then"] == "normal"
    assert any(
        line.startswith("Prior: normal, fitted to the latents of training rows; log p(x)") for line in info["plain"]
    )
    assert "--then normal" in str(metadata)
    assert "full-normal" in str(metadata)
