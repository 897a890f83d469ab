"""Deep hierarchies of pictures from a configuration: sizes, likelihoods, and what is refused with its remedy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.config import override
from latens.data import load
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.networks.dense import Linear
from latens.networks.pyramid import Grow, Shrink, sizes_of
from latens.recipes import get_recipe
from latens.recipes.build import build
from latens.recipes.part_tables import refuse_others
from latens.recipes.parts import bind
from latens.recipes.pictures import for_hierarchy


def resolved(rows: np.ndarray, **settings: object):
    return prepare(override(get_recipe("ladder-conv").config, {"training.steps": 1, **settings}), load(rows))


def pictures(*shape: int, levels: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, levels, (60, *shape)).astype(np.uint8)


def test_sizes_are_halved_and_end_in_a_point():
    assert sizes_of((28, 20), (8, 16, 32)) == ((14, 10, 8), (7, 5, 16), (4, 3, 32), (1, 1, 32))


def test_growing_is_the_adjoint_of_shrinking():
    """<y, shrink x> = <grow y, x> with one weight and its transpose, for odd sizes."""
    random = np.random.default_rng(1)
    for shape, small, whole in (((5, 7, 3), (3, 4, 2), False), ((3, 2, 3), (1, 1, 2), True)):
        weight = jnp.asarray(random.normal(size=(18 if whole else 12, 2)), jnp.float32)
        zero = jnp.zeros
        shrink, grow = Shrink(Linear(weight, zero(2)), whole), Grow(Linear(weight.T, zero(len(weight))), shape)
        x, y = (jnp.asarray(random.normal(size=s), jnp.float32) for s in (shape, small))
        np.testing.assert_allclose(float(jnp.sum(y * shrink(x))), float(jnp.sum(grow(y) * x)), rtol=1e-4)


@pytest.mark.parametrize(
    ("rows", "family"),
    [
        (pictures(16, 18), "logistic-mixture"),
        (pictures(17, 16, 3), "logistic-mixture"),
        (pictures(9, 8, levels=2), "bernoulli"),
        (pictures(8, 8, levels=17), "categorical"),
    ],
)
def test_the_likelihood_is_what_the_pictures_ask_for(rows, family):
    assert resolved(rows).config.likelihood.family == family


@pytest.mark.parametrize(("side", "widths"), [(7, (16,)), (16, (16, 32)), (40, (16, 32, 64, 64))])
def test_channels_grow_where_pictures_are_halved_and_reasons_name_them(side, widths):
    parts = bind(get_recipe("ladder-conv").config)
    config, reasons = for_hierarchy(parts, load(pictures(side, side)))
    assert config.network.hidden == widths
    assert reasons[0] == f"{', '.join(map(str, widths))} channels, for pictures of {side} x {side}"
    assert for_hierarchy(bind(config), load(pictures(side, side)))[0] == config


@pytest.mark.parametrize(
    ("rows", "settings", "where"),
    [
        (np.random.default_rng(0).normal(size=(60, 5)), {}, "posterior.kind"),
        (pictures(8, 8, 4), {}, "posterior.kind"),
        (pictures(8, 8), {"network.kind": "dense"}, "network.kind"),
        (pictures(8, 8), {"network.drop_probability": 0.1}, "network.drop_probability"),
        (pictures(8, 8), {"prior": "mixture"}, "prior.kind"),
        (pictures(8, 8), {"posterior.levels": "4"}, "posterior.levels"),
    ],
)
def test_what_does_not_go_together_is_refused(rows, settings, where):
    with pytest.raises(ConfigError) as error:
        resolved(rows, **settings)
    assert error.value.where == where
    assert error.value.fix


@pytest.mark.parametrize(
    ("settings", "where", "allowed"),
    [
        ({}, None, None),
        ({"network.linear": True}, "network.linear", "None"),
        ({"network.kind": "dense"}, "network.kind", "'conv'"),
        ({"network.kernel_size": 4}, "network.kernel_size", "3"),
        ({"prior": "mixture"}, "prior.kind", "'standard-normal'"),
    ],
)
def test_options_that_a_model_does_not_read_are_named_with_what_is_allowed(settings, where, allowed):
    usual = {"network.kind": "conv", "prior": "standard-normal"}
    config = override(get_recipe("default").config, {**usual, **settings})
    fixes = {"network.kind": "Use conv.", "network.linear": "It is linear."}
    if where is None:
        refuse_others(config, "a model", fixes, kind="conv")
        return
    with pytest.raises(ConfigError, match=f"a model takes no other {where} than {allowed}") as error:
        refuse_others(config, "a model", fixes, kind="conv")
    assert error.value.where == where
    assert error.value.fix == fixes.get(where, error.value.fix)


def test_blocks_are_levels_at_each_size():
    made = resolved(pictures(8, 8, levels=2), **{"network.blocks": 2, "network.hidden": [4], "posterior.latent_dim": 3})
    new = eqx.filter_eval_shape(lambda key: build(made.data.schema, made.config, key=key), jax.random.key(0))
    assert [block.grow is None for block in new.decoder.blocks] == [True, True, False, True]
    assert [meeting.size for meeting in new.encoder.meetings] == [1, 1, 0, 0]


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
