"""Callbacks of a user: a page with stand-ins for loggers, reasons to end, what files and copies keep."""

import contextlib
import pickle
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from paths import ROOT
from sklearn.base import clone

from latens import VAE, Autoencoder
from latens.errors import ConfigError
from latens.training import Event

OPTIONS: dict[str, Any] = {"hidden": (8,), "epochs": 4, "batch_size": 20, "random_state": 0}
X = np.random.default_rng(0).normal(size=(100, 3))


class Logger(ModuleType):
    """What the page uses of wandb and of mlflow: a run, and numbers by step."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.options: dict[str, Any] = {}
        self.files: list[str] = []

    def init(self, project: str, config: dict[str, Any]) -> "Logger":
        self.options = config
        return self

    def start_run(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def log_params(self, params: dict[str, Any]) -> None:
        self.options = params

    def log(self, data: dict[str, float], step: int) -> None:
        self.logged.append((step, data))

    log_metrics = lambda self, metrics, step: self.log(metrics, step)  # noqa: E731

    def log_artifact(self, path: str) -> None:
        self.files.append(path)


@pytest.mark.slow
def test_the_page_logs_stops_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wandb, mlflow = Logger("wandb"), Logger("mlflow")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    page: dict[str, Any] = {}
    blocks = re.findall(
        r"^```(?:python\n|\n(?=VAE))(.*?)^```", (ROOT / "docs" / "callbacks.md").read_text(), re.MULTILINE | re.DOTALL
    )
    for block in blocks:
        exec(compile(block, "callbacks.md", "exec"), page)
        if "start_run" in block:  # every epoch's numbers at its step, as in the history
            history = page["vae"].history_
            assert [step for step, _ in mlflow.logged] == history["step"] == [17, 34, 51, 68]
            for name in ("train_objective", "validation_elbo"):
                assert [numbers[name] for _, numbers in mlflow.logged] == history[name]
            logged = [numbers for _, numbers in wandb.logged if "validation/elbo" in numbers]
            assert [each["validation/elbo"] for each in logged] == history["validation_elbo"]
            assert mlflow.options == wandb.options == page["options"]
            assert mlflow.files == ["vae.safetensors"]
    assert page["seen"][:4] == [("start", 0), ("chunk", 17), ("epoch", 17), ("boundary", 17)]
    assert page["vae"].model_.facts["stopped_because"] == "the ELBO is good enough"
    assert page["vae"].history_["epoch"] == [1.0]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["epoch-2.png", "epoch-4.png"]


@pytest.mark.parametrize(("kind", "monitor"), [("elbo", "elbo"), ("iwae", "iwae")])
def test_events_say_what_training_stops_by(kind: str, monitor: str) -> None:
    seen: list[Any] = []
    VAE(2, **OPTIONS | {"epochs": 1}, settings={"objective": kind}, callbacks=[seen.append]).fit(X)
    assert {event.monitor for event in seen} == {monitor}
    epoch = next(event for event in seen if event.kind == "epoch")
    assert epoch.snapshot.loop.best_value == epoch.record[f"validation_{monitor}"]


@pytest.mark.parametrize("kind", ["chunk", "epoch", "boundary"])
def test_a_reason_ends_training_as_a_budget_of_that_length_does(kind: str) -> None:
    def enough(event: Event) -> str | None:
        return "enough" if event.kind == kind and event.snapshot.loop.total >= 10 else None

    ended = VAE(2, **OPTIONS, callbacks=[enough]).fit(X)
    steps = ended.model_.facts["steps"]
    assert ended.model_.facts["stopped_because"] == "enough"
    assert steps == 10
    budget = VAE(2, **{**OPTIONS, "epochs": 2}, settings={"optimizer.schedule": "constant"}).fit(X)
    plain = VAE(2, **OPTIONS, settings={"optimizer.schedule": "constant"}, callbacks=[enough]).fit(X)
    assert np.array_equal(plain.transform(X), budget.transform(X))
    assert plain.history_ == budget.history_


def test_copies_share_callbacks_and_files_hold_none(tmp_path: Path) -> None:
    vae = VAE(2, **OPTIONS, callbacks=[print_nothing])
    assert clone(vae).get_params()["callbacks"] == [print_nothing]
    path = vae.fit(X).save(tmp_path / "vae.safetensors")
    assert VAE.load(path).callbacks is None
    assert pickle.loads(pickle.dumps(vae)).callbacks == [print_nothing]
    assert np.array_equal(VAE.load(path).transform(X), vae.transform(X))


@pytest.mark.parametrize("wrong", [print, "early-stopping", [3], {"epoch": print}])
def test_what_is_no_list_of_functions_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="list of functions") as refused:
        Autoencoder(2, callbacks=wrong).fit(X)
    assert refused.value.where == "callbacks"


def print_nothing(event: Event) -> None:
    """A callback that a pickle finds by its name."""
