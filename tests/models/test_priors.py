"""Priors with arrays: their densities against scipy, where they start, and what is trained of them."""

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
from latens.errors import ConfigError
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead, VampPrior
from latens.networks import Dense
from latens.objectives import draw
from latens.recipes import get_recipe
from latens.trainable import partition_trainable
from latens.trained.experiment import prepare


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
