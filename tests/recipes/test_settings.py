"""`--set part.option=value`: what is chosen, in whatever order it is said."""

import itertools

import pytest

from latens.config import VAEConfig, override
from latens.errors import ConfigError
from latens.recipes import get_recipe


def settings_of(name: str = "default", **settings: object) -> VAEConfig:
    config = override(get_recipe(name).config, settings)
    assert isinstance(config, VAEConfig)
    return config


CHOSEN = {"objective": "iwae", "objective.num_samples": 7, "prior.components": 9, "prior": "mixture"}


@pytest.mark.parametrize("settings", list(itertools.permutations(CHOSEN.items())))
def test_the_order_of_settings_says_nothing(settings: tuple) -> None:
    config = settings_of(**dict(settings))
    assert (config.objective.name, config.objective.options) == ("iwae", {"num_samples": 7})
    assert (config.prior.kind, config.prior.options) == ("mixture", {"components": 9})


def test_another_choice_leaves_no_options_of_the_former_one() -> None:
    assert settings_of("iwae").objective.options
    assert settings_of("iwae", objective="elbo").objective.options == {}
    kept = settings_of("iwae", objective="iwae")
    assert kept.objective == settings_of("iwae").objective


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"objectiv": "iwae"}, "objectiv"),
        ({"training": "x"}, "training"),
        ({"objective.kl.x": 1}, "objective.kl.x"),
        ({"network.hiden": 3}, "network.hiden"),
        ({"training.epochs": "many"}, "training.epochs"),
    ],
)
def test_what_is_no_setting_is_refused(settings: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(**settings)
    assert caught.value.where == where
