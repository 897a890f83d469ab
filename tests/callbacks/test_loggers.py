"""Loggers hand on the numbers of events."""

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from latens import VAE
from latens.callbacks import MlflowLogger, TensorBoardLogger, WandbLogger, numbers
from latens.errors import ConfigError
from latens.training import Event, Snapshot

X = np.random.default_rng(0).normal(size=(60, 3))


class Writer:
    """The calls that a writer of TensorBoard and a run of Weights & Biases take."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.logged: list[tuple[dict[str, float], int]] = []
        self.flushed = 0

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        self.flushed += 1

    def log(self, found: dict[str, float], step: int) -> None:
        self.logged.append((found, step))


def event(kind: str, **record: Any) -> Event:
    snapshot = object.__new__(Snapshot)
    object.__setattr__(snapshot, "loop", SimpleNamespace(total=7))
    return Event(kind, record, snapshot, lambda: None)


def test_numbers_of_an_event_by_name() -> None:
    record = {"step": 7, "epoch": 1.0, "train_elbo": -2.0, "validation_elbo": -3.0, "active_units": 2, "terms": ["kl"]}
    assert numbers(event("epoch", **record)) == {
        "train/elbo": -2.0, "validation/elbo": -3.0, "epoch/active_units": 2,
    }  # fmt: skip
    assert numbers(event("chunk", step=7, epoch=1.0, objective=1.5)) == {"chunk/objective": 1.5}
    assert numbers(event("start", objective=4.0)) == {"chunk/objective": 4.0}
    assert numbers(event("start")) == numbers(event("boundary", objective=1.0)) == {}


def test_loggers_hand_every_number_on() -> None:
    board, run, seen = Writer(), Writer(), []
    loggers = [TensorBoardLogger(board), WandbLogger(run), seen.append]
    fit = VAE(
        2,
        hidden=(4,),
        epochs=2,
        batch_size=20,
        settings={"validation_fraction": 0.2, "callbacks": loggers},
        random_state=0,
    )
    fit.fit(X)
    told = [(numbers(one), one.snapshot.loop.total) for one in seen if numbers(one)]
    assert [names for names, _ in run.logged] == [names for names, _ in told]
    assert board.scalars == [(name, value, step) for names, step in run.logged for name, value in names.items()]
    assert "validation/elbo" in {name for name, *_ in board.scalars}
    assert board.flushed == 3  # two epochs and the end


def test_loggers_can_be_copied_without_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    logger = TensorBoardLogger(str(tmp_path / "logs"))
    logger(event("epoch", train_elbo=-1.0))
    assert list((tmp_path / "logs").glob("events.*"))
    for other in (copy.deepcopy(logger), pickle.loads(pickle.dumps(logger))):
        assert other == logger
        assert other._open is None
    run = WandbLogger(project="p")
    assert copy.deepcopy(run) == pickle.loads(pickle.dumps(run)) == run
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match="wandb is not installed"):
        run(event("epoch", train_elbo=-1.0))


def test_a_run_of_mlflow_has_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    logger = MlflowLogger(experiment="rows")
    try:
        logger(event("epoch", train_elbo=-1.0, validation_elbo=-2.0))
        run = mlflow.active_run().info.run_id
        copy.deepcopy(logger)(event("epoch", train_elbo=-0.5))  # goes to the run that is active
    finally:
        mlflow.end_run()
    pickle.loads(pickle.dumps(MlflowLogger(run)))(event("chunk", objective=3.0))
    found = mlflow.get_run(run)
    assert found.data.metrics == {"train/elbo": -0.5, "validation/elbo": -2.0, "chunk/objective": 3.0}
    assert [one.step for one in mlflow.MlflowClient().get_metric_history(run, "train/elbo")] == [7, 7]


def test_mlflow_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match="mlflow is not installed"):
        MlflowLogger()(event("epoch", train_elbo=-1.0))
