"""The functions of the recipes that people know by name: what editors are told is what the tables say."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import latens
from latens import VAE
from latens.config import override
from latens.errors import ConfigError
from latens.recipes import get_recipe, typed


def test_what_editors_are_told_is_what_the_tables_say():
    assert Path(typed.__file__).with_suffix(".pyi").read_text() == typed.stub()


@pytest.mark.parametrize("name", typed.NAMES)
def test_a_function_without_arguments_is_its_recipe(name):
    function = getattr(latens.recipes, name.replace("-", "_"))
    recipe = get_recipe(name)
    assert function() == recipe.config
    # Each default, written out, says the same.
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items()}
    given = {n: value for n, value in defaults.items() if value is not None}
    settings = {typed.arguments(name)[n][0]: value for n, value in given.items()}
    assert function(**given) == override(recipe.config, settings)
    assert recipe.summary[1:] in function.__doc__


def test_an_argument_is_an_option():
    config = latens.recipes.beta_vae(beta=2.5, latent_dim=3)
    assert config.objective.options["beta"] == 2.5
    assert config.posterior.latent_dim == 3
    assert latens.recipes.vamp_prior(components=7).prior.options["components"] == 7
    with pytest.raises(ConfigError, match="beta_vae has no argument 'betta'"):
        latens.recipes.beta_vae(betta=2.5)
    with pytest.raises(AttributeError, match="beta_vae"):
        latens.recipes.beta_vaee  # noqa: B018


def test_an_estimator_takes_a_configuration():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    few = {"steps": 2, "random_state": 0}
    typed_one = VAE(recipe=latens.recipes.beta_vae(beta=2.0), **few).fit(x)
    named_one = VAE(recipe="beta-vae", beta=2.0, **few).fit(x)
    assert np.array_equal(typed_one.transform(x), named_one.transform(x))
