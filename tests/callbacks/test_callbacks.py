"""Callbacks of a user: reasons to end, what files and copies keep."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from latens import VAE, Autoencoder
from latens.errors import ConfigError
from latens.training import Event

OPTIONS: dict[str, Any] = {"hidden": (8,), "epochs": 4, "batch_size": 20, "random_state": 0}
X = np.random.default_rng(0).normal(size=(100, 3))


@pytest.mark.parametrize(("kind", "monitor"), [("elbo", "elbo"), ("iwae", "iwae")])
def test_events_say_what_training_stops_by(kind: str, monitor: str) -> None:
    seen: list[Any] = []
    VAE(2, **OPTIONS | {"epochs": 1}, settings={"objective": kind, "callbacks": [seen.append]}).fit(X)
    assert {event.monitor for event in seen} == {monitor}
    epoch = next(event for event in seen if event.kind == "epoch")
    assert epoch.snapshot.loop.best_value == epoch.record[f"validation_{monitor}"]


@pytest.mark.parametrize("kind", ["chunk", "epoch", "boundary"])
def test_a_reason_ends_training_as_a_budget_of_that_length_does(kind: str) -> None:
    def enough(event: Event) -> str | None:
        return "enough" if event.kind == kind and event.snapshot.loop.total >= 10 else None

    ended = VAE(2, **OPTIONS, settings={"callbacks": [enough]}).fit(X)
    steps = ended.model_.facts["steps"]
    assert ended.model_.facts["stopped_because"] == "enough"
    assert steps == 10
    budget = VAE(2, **{**OPTIONS, "epochs": 2}, settings={"optimizer.schedule": "constant"}).fit(X)
    plain = VAE(2, **OPTIONS, settings={"optimizer.schedule": "constant", "callbacks": [enough]}).fit(X)
    assert np.array_equal(plain.transform(X), budget.transform(X))
    assert plain.history_ == budget.history_


def test_copies_share_callbacks_and_files_hold_none(tmp_path: Path) -> None:
    vae = VAE(2, **OPTIONS, settings={"callbacks": [print_nothing]})
    assert clone(vae).settings["callbacks"] == [print_nothing]
    path = vae.fit(X).save(tmp_path / "vae.safetensors")
    assert "callbacks" not in (VAE.load(path).settings or {})
    assert pickle.loads(pickle.dumps(vae)).settings["callbacks"] == [print_nothing]
    assert np.array_equal(VAE.load(path).transform(X), vae.transform(X))


@pytest.mark.parametrize("wrong", [print, "early-stopping", [3], {"epoch": print}])
def test_what_is_no_list_of_functions_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="list of functions") as refused:
        Autoencoder(2, settings={"callbacks": wrong}).fit(X)
    assert refused.value.where == "callbacks"


def print_nothing(event: Event) -> None:
    """A callback that a pickle finds by its name."""
