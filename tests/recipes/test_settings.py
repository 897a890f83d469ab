"""`--set part.option=value`: what is chosen, in whatever order it is said."""

import itertools
import math

import numpy as np
import pytest

from latens.config import VAEConfig, override
from latens.data import load
from latens.errors import ConfigError
from latens.recipes import get_recipe
from latens.recipes.plan import _budget
from latens.trained.experiment import prepare


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
    assert settings_of("iwae", objective="iwae").objective == settings_of("iwae").objective


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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optimizer.lerning_rate", "Did you mean 'learning_rate'?"),
        ("optimizer.options.wieght_decay", "Did you mean 'weight_decay'?"),
        ("optimizer.zzz", "It takes b1, b2, eps, eps_root, weight_decay."),
        ("optimizer.critic.lerning_rate", "Did you mean 'learning_rate'?"),
        ("objective.nmae", "Did you mean 'name'?"),
        ("posterior.latnt_dim", "Did you mean 'latent_dim'?"),
        ("likelihood.famly", "Did you mean 'family'?"),
        ("network.options.kernel_siz", "Did you mean 'kernel_size'?"),
        ("prior.zzz", "Remove prior.zzz."),
    ],
)
def test_the_nearest_option_is_named_whatever_holds_it(name: str, hint: str) -> None:
    data = load("iris")
    with pytest.raises(ConfigError) as caught:
        prepare(settings_of(**{name: 1}), data)
    assert caught.value.fix == hint
    assert caught.value.where.replace(".options.", ".") == name.replace(".options.", ".")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network.hidden": "abc"}, "'abc' does not fit: expected `whole number from 1, or a list of them | none`"),
        ({"network.hidden": [0]}, "'[0]' does not fit: expected `int` >= 1"),
        ({"training.drop_last": 3}, "'3' does not fit: expected `bool`, got `int`"),
        ({"data.threshold": 2}, "'2' does not fit: expected `float` < 1.0"),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_would(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(**settings)
    assert str(caught.value).startswith(f"{next(iter(settings))}: {words}")


def test_an_option_of_an_option_that_is_unknown_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"optimizer.critic has no option 'learning'.*learning_rate"):
        settings_of(**{"optimizer.critic.learning": 1})


@pytest.mark.parametrize("rows", [1, 40, 999, 1999, 2000, 10**5, 10**6])
def test_a_budget_is_20_000_steps_in_30_epochs_or_10_steps_a_row_without_validation(rows: int) -> None:
    for size, validated in itertools.product((1, 32, 128, 10**7), (True, False)):
        steps, (epochs, patience) = math.ceil(rows / min(rows, size)), _budget(rows, size, validated)
        least = 20_000 if validated or rows >= 2000 else max(200, 10 * rows)
        assert epochs * steps >= least
        assert (epochs - 1) * steps < least or epochs == 30
        assert (epochs >= 30, patience > 0) == (True, True) or least < 20_000


@pytest.mark.parametrize(
    ("shape", "network", "size"), [((16, 16), "auto", 32), ((16, 16), "dense", 128), ((5,), "auto", 128)]
)
def test_pictures_have_small_batches_where_they_are_convolved(shape: tuple, network: str, size: int) -> None:
    x = np.random.default_rng(0).integers(0, 256, (1500, *shape))
    config, _ = get_recipe("default").resolve(settings_of(network=network), load(x))
    assert isinstance(config, VAEConfig)
    assert (config.network.kind, config.training.batch_size) == ("conv" if size == 32 else "dense", size)


def test_gradients_of_a_poisson_are_clipped_where_nothing_else_is_said() -> None:
    counts = np.random.default_rng(0).poisson(3.0, (60, 5))
    for settings, clip in [
        ({"likelihood": "poisson"}, 100.0),
        ({"likelihood": "poisson", "optimizer.clip_norm": 7}, 7.0),
        ({"likelihood": "negative-binomial"}, None),
    ]:
        experiment = prepare(settings_of(**settings), load(counts, counts=True))
        assert experiment.config.optimizer.clip_norm == clip
        assert any("norm above 100 are clipped" in reason for reason in experiment.reasons) == (clip == 100.0)


def test_a_text_too_long_is_not_called_a_list_too_long() -> None:
    with pytest.raises(ConfigError, match="expected `str` of length <= 64"):
        settings_of(**{"objective.options": {"a" * 65: 1}})
