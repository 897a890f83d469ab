"""Pixels given those before them, from a configuration: likelihoods, and what is refused with its remedy."""

import jax
import numpy as np
import pytest

from latens.config import override
from latens.data import load
from latens.errors import ConfigError
from latens.recipes import get_recipe
from latens.recipes.building.model import build
from latens.trained.experiment import prepare


def pictures(*shape: int, levels: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, levels, (60, *shape)).astype(np.uint8)


@pytest.mark.parametrize(
    ("rows", "settings", "family", "network"),
    [
        (pictures(8, 8, levels=2), {}, "autoregressive-bernoulli", "dense"),
        (pictures(16, 16), {"data.binarize": "stochastic"}, "autoregressive-bernoulli", "dense"),
        (pictures(16, 16), {}, "autoregressive-logistics", "conv"),
        (pictures(16, 16, 3), {"network.kind": "dense"}, "autoregressive-logistics", "dense"),
        (pictures(8, 8, levels=17), {}, "autoregressive-logistics", "dense"),
    ],
)
def test_pixels_given_their_neighbours(rows, settings, family, network):
    made = prepare(override(get_recipe("pixel-vae").config, {"training.steps": 1, **settings}), load(rows))
    assert (made.config.likelihood.family, made.config.network.kind) == (family, network)
    # Of one row the outputs that the decoder gives are those that the head reads, and seeds draw other weights.
    heads = [build(made.data.schema, made.config, key=jax.random.key(seed)).decoder.head for seed in (0, 1)]
    assert not np.array_equal(heads[0].context.of_values, heads[1].context.of_values)


def test_pixels_of_two_levels_have_options_of_their_own_and_those_that_were_set():
    """Runs of before, whose family is stored, keep the defaults that they were trained with."""
    recipe, data = override(get_recipe("pixel-vae").config, {"training.steps": 1}), load(pictures(8, 8, levels=2))
    made = prepare(override(recipe, {"likelihood.width": 4}), data).config.likelihood
    assert made.options == {"features": 8, "block": 2, "neighbour_units": 16, "rows": 4, "sides": 5, "width": 4}
    again = prepare(override(recipe, {"likelihood": "autoregressive-bernoulli"}), data).config.likelihood
    assert again.options == {}


def test_pixels_given_their_neighbours_are_refused_where_they_have_no_meaning():
    recipe = get_recipe("pixel-vae").config
    with pytest.raises(ConfigError) as error:
        prepare(override(recipe, {"training.steps": 1}), load(np.random.default_rng(0).normal(size=(60, 5))))
    assert error.value.where == "likelihood.family"
    with pytest.raises(ConfigError) as error:
        prepare(override(recipe, {"training.steps": 1, "likelihood": "autoregressive-bernoulli"}), load(pictures(8, 8)))
    assert error.value.where == "likelihood.family"
    assert "data.binarize=stochastic" in str(error.value)
