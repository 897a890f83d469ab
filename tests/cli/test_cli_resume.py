"""Runs that are stopped or killed and go on: equal to a run that never stopped, bit for bit."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_fixtures import KILLED, LONG, SMALL, Result, process

from latens.runtime.safetensors import read

pytest_plugins = ("cli_fixtures",)

# --- stopping and going on ---


def same_run(one: Path, other: Path) -> None:
    """Equal metrics byte for byte, and equal models bit for bit."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    arrays, metadata = read(one / "model.safetensors")
    others, other_metadata = read(other / "model.safetensors")
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}
    facts, others = (one.pop("facts") for one in (metadata, other_metadata))
    assert metadata == other_metadata
    assert {name: (one, others.get(name)) for name, one in facts.items() if one != others.get(name)} == {}
    assert set(facts) == set(others)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_signal_then_resume(
    latens: Callable[..., Result],
    whole_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: int,
) -> None:
    import signal

    from latens.fitting import Recorder

    record = Recorder.__call__

    def interrupted(self: Recorder, event: Any) -> str | None:
        if event.kind == "chunk" and event.record["step"] == 33:
            os.kill(os.getpid(), getattr(signal, name))
        return record(self, event)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "__call__", interrupted)
        patch.setattr("latens.cli.main.PATIENCE", 100.0)  # it would end this process
        result = latens("fit", "digits", *LONG, "--out", folder, "--json")
    assert (result.code, result.json["error"]["code"]) == (code, "interrupted")
    assert result.json["error"]["fix"] == f"Continue with `latens resume {folder}`."
    assert json.loads((folder / "run.json").read_text())["state"] == "stopped"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-0000000033"]
    assert latens("evaluate", folder).code == 6
    assert latens("resume", folder).code == 0
    same_run(folder, whole_run)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    again = latens("resume", folder, "--json")
    assert (again.code, again.json["state"]) == (0, "done")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def recording(folder: Path) -> list[str]:
    """Write a recording of an environment, and the flags of a model of it."""
    pytest.importorskip("gymnasium")
    pytest.importorskip("pyarrow")
    from latens.environments import record

    record("CartPole-v1", steps=900, seed=0).write(folder / "cart.parquet")
    small = "--recipe world --set posterior.units=4 --set optimizer.warmup_steps=0"
    return [str(folder / "cart.parquet"), *small.split()]


@pytest.mark.parametrize("kind", ["mixed", "recording"])
def test_other_rows_go_on_bit_for_bit(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Hidden cells, gaps, kinds that were declared, actions: all come again as in a run that never stopped."""
    import signal

    from golden.make import written
    from latens.fitting import Recorder

    given = recording(tmp_path) if kind == "recording" else written("mixed", tmp_path)
    record, words = Recorder.__call__, [*given, "--steps", "40", "--batch-size", "20", *SMALL]
    assert latens("fit", *words, "--num-samples", "2", "--out", tmp_path / "whole", "--quiet").code == 0

    def interrupted(self: Recorder, event: Any) -> str | None:
        if event.kind == "chunk" and event.record["step"] >= 17:
            os.kill(os.getpid(), signal.SIGINT)
        return record(self, event)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "__call__", interrupted)
        patch.setattr("latens.cli.main.PATIENCE", 100.0)
        result = latens("fit", *words, "--num-samples", "2", "--out", tmp_path / "run", "--json")
    assert (result.code, result.json["error"]["code"]) == (130, "interrupted")
    assert latens("resume", tmp_path / "run").code == 0
    same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(("signals", "code", "step"), [("9", -9, 44), ("9", -9, 11), ("2,2", 130, 44)])
def test_kill_then_resume(
    latens: Callable[..., Result], whole_run: Path, tmp_path: Path, signals: str, code: int, step: int
) -> None:
    folder = tmp_path / "run"
    done = process(KILLED, step, signals, "fit", "digits", *LONG, "--out", folder, "--quiet")
    assert done.returncode == code, done.stderr
    assert json.loads((folder / "run.json").read_text())["state"] == "running"
    assert latens("info", folder, "--json").json["run"]["state"] == "killed"
    result = latens("resume", folder)
    assert result.code == 0, result.err
    assert "no longer alive" in result.err
    same_run(folder, whole_run)


def test_resume_of_a_run_that_saw_no_data(latens: Callable[..., Result], whole_run: Path, tmp_path: Path) -> None:
    from latens.runs.folder import RunFolder

    settings = {"training.epochs": None, "training.steps": 66, "training.minutes": None}
    settings |= {"network.hidden": "32", "posterior.latent_dim": "3"}
    config = {"resolved": False, "recipe": "default", "settings": settings}
    source = {"spec": "digits", "folder": str(tmp_path)}
    RunFolder.create(tmp_path / "run", "latens fit digits", config, source, 0).release()
    assert latens("resume", tmp_path / "run").code == 0
    same_run(tmp_path / "run", whole_run)


def test_resume_does_as_the_first_command_said(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import latens.cli.training as training

    folder = tmp_path / "run"
    flags = ("--num-samples", 7, "--set", "training.seed=5", "--out", folder)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", lambda *_: (_ for _ in ()).throw(RuntimeError("lost power")))
        assert latens("fit", "digits", "--steps", 11, *SMALL, *flags).code == 1
    info = json.loads((folder / "run.json").read_text())
    assert (info["state"], info["seed"], info["error"]) == ("failed", 5, "RuntimeError: lost power")
    planned = latens("resume", folder, "--dry-run", "--json").json
    assert (planned["step"], planned["state"], json.loads((folder / "run.json").read_text())) == (11, "failed", info)
    assert latens("resume", folder, "--json").json["metrics"]["log_marginal"]["num_samples"] == 7
    info = json.loads((folder / "run.json").read_text())
    assert (info["state"], "error" in info, "&& latens resume" in latens("info", folder).out) == ("done", False, True)
    model = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    assert latens("evaluate", folder).code == 6
    assert latens("resume", folder, "--num-samples", 7).code == 0
    assert (folder / "model.safetensors").read_bytes() == model


def test_minutes_of_a_resume_are_its_own(
    latens: Callable[..., Result], whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was trained before, it trains; where early stopping ended the run, it says so and what helps."""
    import latens.cli.training as training

    folder, plans, judged = tmp_path / "run", [], []
    shutil.copytree(whole_run, folder)
    told = training.result_lines
    monkeypatch.setattr(training, "result_lines", lambda *a, **b: judged.append(len(a[2])) or told(*a, **b))
    monkeypatch.setattr(training.TimePlan, "effort", lambda plan, *_: plans.append(plan) or (9, 2, ""))
    before = json.loads((folder / "run.json").read_text())["training_seconds"]
    minutes = max(before, 1.0) / 240.0  # less than was trained
    assert latens("resume", folder, "--minutes", minutes).code == 0
    info = json.loads((folder / "run.json").read_text())
    assert info["step"] > 66
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["minutes"] == pytest.approx(minutes + before / 60.0)
    assert (plans[0].seconds, plans[0].before) == pytest.approx((60.0 * minutes, before))
    assert judged == [info["data"]["rows"]["test"]]  # all test rows, of which 9 have log p(x)
    (folder / "run.json").write_text(json.dumps(info | {"stopped_because": "no gain on validation"}))
    refused = latens("resume", folder, "--minutes", 1)
    assert (refused.code, f"latens fit DATA --from {folder} --set training.patience=none" in refused.err) == (2, True)


def test_resume_refuses_other_data(latens: Callable[..., Result], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 4))
    np.save(tmp_path / "x.npy", x)
    folder = tmp_path / "run"
    assert latens("fit", tmp_path / "x.npy", "--steps", 4, *SMALL, "--out", folder).code == 0
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | {"state": "stopped"}))
    np.save(tmp_path / "x.npy", x + 1)
    assert latens("resume", folder).code == 3
    assert latens("evaluate", folder).code == 3
