"""What is chosen by `--set part.option=value`, in whatever order, and what an option of any part may be."""

import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import jax
import numpy as np
import pytest

from latens import typing as words
from latens.config import VAEConfig, override
from latens.data import load
from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.models import AbstractHead, AbstractModelPrior
from latens.objectives import ELBO, AbstractObjective, InfoVAE, ScoreFunction
from latens.recipes import get_recipe
from latens.recipes.build import build
from latens.recipes.plan import _budget


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


@pytest.mark.parametrize("option", ["kernel_size", "blocks"])
def test_what_is_of_convolutions_is_refused_elsewhere(option: str) -> None:
    made = prepare(settings_of(**{"training.steps": 1}), load("iris"))
    config = override(made.config, {f"network.{option}": 4})
    with pytest.raises(ConfigError, match="kernel_size and blocks are of convolutional networks, and these are dense"):
        build(made.data.schema, config, key=jax.random.key(0))


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


def below(kind: type) -> list[type]:
    """The classes of latens that are of a kind."""
    found = [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]
    known = [one for one in dict.fromkeys(found) if one.__module__.startswith("latens.")]
    return [one for one in known if not inspect.isabstract(one)]


TOPS = (AbstractObjective, AbstractHead, AbstractModelPrior, AbstractDistribution)
KINDS = {f"{kind.__module__}.{kind.__name__}": kind for top in TOPS for kind in below(top)}


def values_of(hint: Any) -> tuple[list[Any], list[Any]]:
    """Values that a type allows, and some that it does not."""
    arm = words.arms_of(hint)[0]
    kind, meta = words._bounded(arm)
    if kind in (int, float):
        good = kind(min(value for value in (meta.le, meta.ge, (meta.gt or 0) + 2) if value is not None))
        beyond = [bound + step for bound, step in ((meta.ge, -1), (meta.le, 1)) if bound is not None]
        odd = [0.5] if kind is int else []
        return [good, np.asarray(good)[()]], ["4", [1], True, np.nan, np.inf, *odd, *beyond, *[0] * (meta.gt == 0)]
    if get_origin(arm) is Literal:
        return list(get_args(arm)), ["no such word", 0.5, ["auto"]]
    if kind is bool:
        return [True, np.bool_(False)], [2, "yes"]
    if get_origin(arm) is tuple:
        return [()], ["4", 4, [2]]
    if get_origin(arm) is Callable:
        return [len], ["len", 1.0]
    return [None], ["4", [0.0], (1.0,)] if hasattr(hint, "array_type") else []


@pytest.mark.parametrize("name", KINDS)
def test_options_are_of_their_types(name: str) -> None:
    hints = words._hints(KINDS[name])
    allowed = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(KINDS[name])}

    def check(**options: Any) -> None:
        part = object.__new__(KINDS[name])  # the checks of types that tests make would be first
        for each, values in allowed.items():
            object.__setattr__(part, each, options.get(each, values[0][0]))
        words.check_options(part)

    for each, (good, bad) in allowed.items():
        for value in good:
            check(**{each: value})
        for value in bad:
            with pytest.raises(ConfigError, match="must be ") as error:
                check(**{each: value})
            assert error.value.where.endswith(f".{each}")


def test_options_that_do_not_go_together_are_refused() -> None:
    for make in (lambda: ELBO(free_bits=1.0, capacity=2.0), lambda: InfoVAE(weight=0.5), lambda: ScoreFunction(1)):
        with pytest.raises(ConfigError):
            make()
