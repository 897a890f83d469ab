"""`latens sweep` on Optuna: its space, two processes over one journal of which one is killed, pruning, the table."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from asked import at
from paths import SOURCE

import latens
from latens.cli.main import main
from latens.cli.sweep import pruning, space_of
from latens.errors import RunFolderError, UsageError
from latens.evidence import log_marginal
from latens.trained.paired import over_seeds
from latens.trained.trained_model import TrainedModel
from latens.training import Pause

WORDS = ("--epochs", "2", "--num-samples", "5", "--set", "network.hidden=[8]")


def typed(*texts: str, seeds: int = 1) -> Namespace:
    return Namespace(set=list(texts), seeds=seeds)


def test_what_is_typed_becomes_what_optuna_suggests() -> None:
    fixed, space = space_of(
        typed(
            "objective.beta=0.5..4:log",
            "posterior.latent_dim=1..8",
            "recipe=default,iaf",
            "network.hidden=[8,4],[2]",
            "training.batch_size=64",
            "optimizer.learning_rate=1e-4..1e-2",
        )
    )
    assert fixed == {"training.batch_size": "64"}
    assert space == {
        "objective.beta": ("suggest_float", (0.5, 4.0), {"log": True}),
        "posterior.latent_dim": ("suggest_int", (1, 8), {"log": False}),
        "recipe": ("suggest_categorical", (["default", "iaf"],), {}),
        "network.hidden": ("suggest_categorical", (["[8,4]", "[2]"],), {}),
        "optimizer.learning_rate": ("suggest_float", (1e-4, 1e-2), {"log": False}),
    }
    assert space_of(typed("a.b=1", seeds=2)) == ({"a.b": "1"}, {})


@pytest.mark.parametrize(
    "text", ["beta", "=1", "training.seed=1,2", "a.b=2..1", "a.b=0..1:log", "a.b=x..y", "a.b=1..2:lin", "a.b=1"]
)
def test_what_is_no_space_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        space_of(typed(text))
    assert "--set" in refused.value.where


def test_the_bound_of_each_epoch_is_reported_once_and_prunes() -> None:
    told: list[tuple[float, int]] = []
    trial: Any = SimpleNamespace(report=lambda *pair: told.append(pair), should_prune=lambda: len(told) > 1)
    report = pruning(trial)

    def event(kind: str, **record: float) -> Any:
        return SimpleNamespace(kind=kind, record=record, monitor="elbo")

    assert report(event("boundary")) is None
    assert report(event("epoch", epoch=1.0, validation_elbo=-3.0)) is None
    assert report(event("epoch", epoch=1.0, validation_elbo=-2.0)) is None
    assert report(event("boundary")) is None
    assert report(event("epoch", epoch=2.0, validation_elbo=-1.0)) is None
    assert told == [(-3.0, 1), (-1.0, 2)]
    stop = report(event("boundary"))
    assert isinstance(stop, Pause)
    assert stop == "pruned"


@pytest.fixture
def rows(tmp_path: Path) -> str:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(90, 4)))
    return str(tmp_path / "x.npy")


@pytest.mark.more
def test_a_sweep_is_measured_on_validation_rows(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "sweep"
    words = ["sweep", rows, *WORDS, "--set", "posterior.latent_dim=1,2", "--seeds", "2", "--out", str(folder)]
    words += ["--sampler", "BruteForceSampler", "--pruner", "NopPruner", "--json", "--quiet"]
    with pytest.raises(RunFolderError, match="there is no sweep"):
        latens.trained.load_sweep(folder)
    assert main([*words, "--trials", "2"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["states"] == ["COMPLETE", "COMPLETE"]
    found = latens.trained.load_sweep(folder)
    assert {one.options["posterior.latent_dim"] for one in found.models} == {"1", "2"}
    best = found.models[0]
    # The number is log p(x) of the validation rows of the run, and the interval that of two seeds.
    trained = TrainedModel.load(folder / best.name / "seed=1" / "model.safetensors")
    data = latens.read(rows, schema=trained.schema)
    batch = trained.batch(data, data.subset("validation"))
    options: Any = {"key": jax.random.key(0), "preparation": trained.preparation}
    expected = at(log_marginal, trained.model, batch, num_samples=5, **options)
    assert best.runs[1].estimate.value == pytest.approx(float(np.mean(expected)), rel=1e-5)
    assert best.mean == over_seeds([best.runs[seed].estimate.value for seed in (0, 1)])
    assert value["best"] == best.name
    assert found.table().startswith("model")
    # The same command trains nothing more, other options are refused.
    assert main([*words, "--trials", "2"]) == 0
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["trial-0000", "trial-0001"]
    capsys.readouterr()
    assert main([*words, "--trials", "2", "--batch-size", "16"]) == 6
    assert "batch_size None, not 16" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert main(["sweep", rows, "--seeds", "2", "--sampler", "GridSampler", "--out", str(folder)]) == 2


@pytest.mark.more
def test_two_processes_share_a_journal_and_a_killed_trial_is_trained_again(rows: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "sweep"
    words = [sys.executable, "-m", "latens.cli.main", "sweep", rows, *WORDS, "--set", "objective.beta=0.5..4:log"]
    words += ["--trials", "12", "--out", str(folder), "--quiet", "--pruner", "NopPruner"]
    kept = os.environ | {"PYTHONPATH": str(SOURCE.parent), "JAX_PLATFORMS": "cpu"}
    first, second = (subprocess.Popen(words, env=kept, stdout=subprocess.DEVNULL) for _ in range(2))
    began = time.monotonic()
    while time.monotonic() - began < 120 and not list(folder.glob("trial-*/seed=0/run.json")):
        time.sleep(0.05)
    second.kill()
    assert first.wait(300) == 0
    second.wait()
    subprocess.run(words, env=kept, stdout=subprocess.DEVNULL, check=True, timeout=300)
    found = latens.trained.load_sweep(folder)
    assert len(found.models) == 12
    betas = [one.options["objective.beta"] for one in found.models]
    assert len(set(betas)) == 12
    assert all(0.5 <= beta <= 4.0 for beta in betas)
