"""What a budget does to early stopping: nothing, unless early stopping is switched off by its own option."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_fixtures import Result
from training_fixtures import assert_same_bits

from latens import VAE
from latens.config import VAEConfig, override
from latens.data import Dataset
from latens.estimators.frames import as_dataset
from latens.fitting import prepare
from latens.recipes import RECIPES, get_recipe

pytest_plugins = ("cli_fixtures",)


@pytest.fixture(scope="module")
def noise() -> Dataset:
    """Columns that hold nothing but noise: whatever is learned of them is soon too much."""
    return as_dataset(np.random.default_rng(0).normal(size=(60, 3)), None, validation_fraction=0.3)


def patience(data: Dataset, **training: object) -> int | None:
    config = get_recipe("default").config
    assert isinstance(config, VAEConfig)
    found = prepare(override(config, {f"training.{k}": v for k, v in training.items()}), data).config
    assert isinstance(found, VAEConfig)
    assert found.training.patience != "auto"
    return found.training.patience


def test_a_budget_leaves_early_stopping_on(noise: Dataset) -> None:
    own = patience(noise)
    assert own is not None
    for limit in ({"epochs": 500}, {"steps": 10**6}, {"minutes": 5}, {"epochs": 500, "minutes": 5}):
        assert patience(noise, **limit) == own, limit
        assert patience(noise, patience="none", **limit) is None
        assert patience(noise, patience=7, **limit) == 7
    assert patience(noise, patience="none") is None


@pytest.mark.parametrize("recipe", ["tiao", "mlq-vae", "notebook"])
def test_tutorials_train_their_whole_budget_unless_asked_to_stop_early(noise: Dataset, recipe: str) -> None:
    settings = {"likelihood.family": "normal", "data.binarize": "none"}
    config = override(RECIPES[recipe].config, {**settings, "data.validation": "split", "network.hidden": [8]})
    for given, expected in (({}, None), ({"training.epochs": 90}, None), ({"training.patience": 4}, 4)):
        own = {**given, "training.steps": None} if "training.epochs" in given else given
        found = prepare(override(config, own), noise).config
        assert isinstance(found, VAEConfig)
        assert found.training.patience == expected


def test_a_resolved_configuration_stays_as_it_is(noise: Dataset) -> None:
    for training in ({}, {"epochs": 3}, {"epochs": 3, "patience": None}):
        once = prepare(override(get_recipe("default").config, {f"training.{k}": v for k, v in training.items()}), noise)
        again = prepare(once.config, noise)
        assert again.config == once.config
        assert again.reasons == ()


def test_a_budget_too_long_trains_the_model_of_the_default_budget() -> None:
    x = np.random.default_rng(0).normal(size=(300, 3))

    def fitted(**given: object) -> VAE:
        settings = {"network.hidden": [16], "training.batch_size": 8, "optimizer.learning_rate": 0.05}
        settings |= {"training.validate_every": 1}  # without a limit small data are validated every few epochs
        limits = {f"training.{name}": value for name, value in given.items()}
        return VAE(1, settings={**settings, **limits, "validation_fraction": 0.3}, random_state=0).fit(x)

    default = fitted()
    assert default.model_.facts["stopped_because"] == "no gain on validation"
    for limit in ({"steps": 10**7}, {"minutes": 60}):
        found = fitted(**limit)
        assert_same_bits(found.model_.model, default.model_.model)
        for fact in ("steps", "best_step", "stopped_because"):
            assert found.model_.facts[fact] == default.model_.facts[fact]
    whole = fitted(steps=default.model_.facts["steps"] + 50, patience=None)
    assert whole.model_.facts["steps"] == default.model_.facts["steps"] + 50
    assert whole.model_.facts["stopped_because"] == "budget"


def test_the_end_says_why_and_which_step_is_kept(latens: Callable[..., Result], tmp_path: Path) -> None:
    x = tmp_path / "noise.npy"
    np.save(x, np.random.default_rng(0).normal(size=(60, 3)))
    small = ("--set", "network.hidden=16", "--batch-size", "64", "--set", "optimizer.learning_rate=0.05")
    budget = ("--minutes", "60", "--set", "training.patience=20", "--num-samples", "2")
    found = latens("fit", x, *small, *budget, "--out", tmp_path / "run", "--json", "--verbose")
    value = found.json
    assert value["stopped_because"] == "no gain on validation"
    assert value["step"] - value["best_step"] == 20  # one step an epoch
    why = "ended because the validation ELBO stopped improving (early stopping)"
    assert f"{value['step']} steps, {why}; step {value['best_step']}, the best on validation rows, is used" in found.err
