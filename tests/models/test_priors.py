"""Priors with arrays and several levels of latents: densities, where they start, and what is trained of them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from training_fixtures import make_data

from latens.config import override
from latens.data import Preparation
from latens.data.dataset import as_batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.errors import ConfigError
from latens.evidence import ModelRows
from latens.fitting import prepare
from latens.latents import decode, encode, sample_prior
from latens.models import (
    BernoulliHead,
    Conditional,
    Downwards,
    FromLowest,
    LatentModel,
    NormalHead,
    SharedScaleNormalHead,
    Upwards,
    VampPrior,
)
from latens.networks import Dense
from latens.objectives import draw
from latens.recipes import get_recipe
from latens.recipes.build import build
from latens.trainable import partition_trainable


def model(prior: object) -> LatentModel:
    one, two = jax.random.split(jax.random.key(0))
    return LatentModel(
        prior,
        Conditional(Dense([6, 8, 4], key=one), NormalHead((2,), "softplus")),
        Conditional(Dense([2, 8, 6], key=two), BernoulliHead((3, 2))),
    )


def test_a_vamp_prior_is_the_average_posterior_of_its_inputs() -> None:
    data = make_data()
    prior = VampPrior.create((2,), (3, 2), components=5, key=jax.random.key(1)).started(data, Preparation())
    assert np.array_equal(prior.inputs, data.x[data.order(0, 0)[:5]].astype(np.float32))
    vamp, z = model(prior), jnp.array([0.4, -0.3])
    parts = [float(vamp.posterior(u).log_prob(z)) for u in prior.inputs]
    assert float(vamp.prior().log_prob(z)) == pytest.approx(special.logsumexp(parts) - np.log(5), abs=1e-5)
    draws = draw(vamp, as_batch(data.x[:4].astype(np.float32)), num_samples=2, key=jax.random.key(3))
    expected = [[float(vamp.prior().log_prob(z)) for z in row] for row in draws.z]
    np.testing.assert_allclose(draws.log_prior, expected, atol=1e-4)


@pytest.mark.parametrize("learned", [True, False])
def test_exemplars_are_kept_and_pseudo_inputs_learned(learned: bool) -> None:
    prior = VampPrior.create((2,), (3, 2), components=4, learned=learned, key=jax.random.key(1))
    prior = jax.tree.map(lambda inputs: inputs + 1.0, prior)
    trainable, rest = partition_trainable(model(prior))

    def evidence(arrays: object) -> jax.Array:

        return eqx.combine(arrays, rest).prior().log_prob(jnp.ones(2))

    slope = jax.grad(evidence)(trainable)
    assert (float(jnp.abs(slope.prior_part.inputs).sum()) > 0) is learned
    assert float(jnp.abs(slope.encoder.network.layers[0].bias).sum()) > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prior": "vamp", "prior.components": 0}, "from 1 to 10000, not 0"),
        ({"prior": "mixture", "prior.component": 3}, "no option 'component'"),
        ({"prior": "vmap"}, "there is no prior 'vmap'"),
        ({"prior": "mixture", "prior.components": "many"}, "'many' does not fit: expected `int`"),
    ],
)
def test_priors_refuse_what_they_are_not(settings: dict, words: str) -> None:
    config = get_recipe("default").config
    with pytest.raises(ConfigError, match=words):
        prepare(override(config, settings), make_data())


def linear(weight: float, log_scale: float) -> Conditional:
    """N(weight * input, exp(log_scale)^2), a single number."""
    network = Dense([1, 2], key=jax.random.key(0))
    arrays = (jnp.array([[weight, 0.0]]), jnp.array([0.0, log_scale]))
    network = eqx.tree_at(lambda n: (n.layers[0].weight, n.layers[0].bias), network, arrays)
    return Conditional(network, NormalHead((1,)))


def exact_chain() -> LatentModel:
    """z2 ~ N(0, 1), z1 | z2 ~ N(0.8 z2, 0.6^2), x | z1 ~ N(z1, 0.5^2), with its exact posterior from the bottom up."""
    prior = Downwards(StandardNormal((1,)), (linear(0.8, np.log(0.6)),))
    # z1 ~ N(0, 1) marginally; z1 | x and z2 | z1 are Normal.
    gain = 1.0 / (1.0 + 0.25)
    up1 = linear(gain, 0.5 * np.log(0.25 * gain))
    up2 = linear(0.8, np.log(0.6))
    decoder_network = Dense([1, 1], key=jax.random.key(1))
    decoder_network = eqx.tree_at(
        lambda n: (n.layers[0].weight, n.layers[0].bias), decoder_network, (jnp.ones((1, 1)), jnp.zeros(1))
    )
    decoder = Conditional(decoder_network, SharedScaleNormalHead((1,), jnp.asarray(np.log(0.5))))
    return LatentModel(prior, Upwards((up1, up2)), FromLowest(decoder))


def test_latents_of_several_levels_are_one_row_for_users() -> None:
    model, x = exact_chain(), np.array([[-1.3], [0.2]], np.float32)
    codes = encode(ModelRows(model, as_batch(x), preparation=Preparation()))["mean"]
    np.testing.assert_allclose(codes, np.concatenate([0.8 * x, 0.64 * x], axis=1), atol=1e-5)
    np.testing.assert_allclose(decode(model, codes), codes[:, :1], atol=1e-6)
    drawn = sample_prior(model, 4000, key=jax.random.key(2))
    assert drawn.shape == (4000, 2)
    assert np.cov(drawn.T) == pytest.approx(np.array([[1.0, 0.8], [0.8, 1.0]]), abs=5 * 1.5 / np.sqrt(4000))


def test_a_decoder_of_a_hierarchy_starts_at_the_data() -> None:
    part = FromLowest(Conditional(Dense([1, 2], key=jax.random.key(0)), SharedScaleNormalHead((2,), jnp.zeros(()))))
    start = part.with_output_bias(np.array([3.0, -1.0]))
    mean = start((jnp.zeros(1), jnp.ones(4))).mean()
    np.testing.assert_allclose(mean, [3.0, -1.0], atol=1e-6)
    assert isinstance(start((jnp.zeros(1),)), DiagonalNormal)


@pytest.mark.parametrize(("scale", "start"), [("log-scale", 1.0), ("log-variance", 1.0), ("softplus", np.log(2.0))])
def test_the_prior_of_a_lower_level_starts_without_looking_up(scale: str, start: float) -> None:
    """Before training p(z1 | z2) is N(0, s^2), whatever z2: random weights put it hundreds of nats off, or diverged."""
    settings = {"posterior.latent_dim": 3, "posterior.levels": "2", "posterior.scale": scale}
    made: Any = prepare(override(get_recipe("two-level").config, settings), make_data())
    model: Any = build(made.data.schema, made.config, key=jax.random.key(0))
    (part,) = model.prior_part.parts
    for above in (np.zeros(2), np.array([-40.0, 7.0])):
        given = part(jnp.asarray(above, jnp.float32))
        np.testing.assert_array_equal(given.mean(), np.zeros(3))
        np.testing.assert_allclose(np.exp(given.log_scale_array()), np.full(3, start), rtol=2e-6)
    # It can learn to: the last weights have a gradient, by hand the hidden units times (residual / scale^2).
    slope = eqx.filter_grad(lambda p: p(jnp.ones(2)).log_prob(jnp.array([1.0, 0.0, -2.0])))(part)
    hidden = part.network.layers[0](jnp.ones(2))
    for layer in part.network.layers[1:-1]:
        hidden = layer(hidden * jax.nn.sigmoid(hidden))
    hidden = hidden * jax.nn.sigmoid(hidden)
    expected = np.outer(hidden, np.array([1.0, 0.0, -2.0]) / start**2)
    np.testing.assert_allclose(slope.network.layers[-1].weight[:, :3], expected, rtol=1e-4, atol=1e-5)
