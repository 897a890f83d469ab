"""Whether samples have a gradient is a fact of the class: right for latens's own, asked of a user's."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bound_checks import evaluate
from enumeration import gradients
from tables import DISTRIBUTIONS, batch_of
from tables_joint import JOINT

from latens.distributions import AbstractFactorised, Affine, Bernoulli, DiagonalNormal
from latens.errors import ConfigError
from latens.models import AbstractHead, Conditional, LatentModel, NormalHead
from latens.networks import Dense
from latens.objectives import ELBO, ScoreFunction

KEYS = jax.random.split(jax.random.key(3), 4)


class Coins(AbstractFactorised):
    """A user's own coins, which say nothing of a path."""

    logits: jax.Array

    def sample(self, *, key):
        return jnp.asarray(jax.random.bernoulli(key, jax.nn.sigmoid(self.logits)), float)

    def log_prob_terms(self, event):
        return jax.nn.log_sigmoid(jnp.where(event > 0.5, self.logits, -self.logits))

    def mean(self):
        return jax.nn.sigmoid(self.logits)


class PlainCoins(Coins):
    has_path: ClassVar[bool] = False


class Rounded(DiagonalNormal):
    """What the class above says is of other samples."""

    def sample(self, *, key):
        return jnp.round(super().sample(key=key))


class CoinHead(AbstractHead):
    kind: type

    def __call__(self, outputs):
        return self.kind(outputs)


def model_of(kind):
    encoder = Conditional(Dense([3, 2], key=KEYS[0]), CoinHead((2,), kind))
    decoder = Conditional(Dense([2, 6], key=KEYS[1]), NormalHead((3,)))
    return LatentModel(Bernoulli(jnp.zeros(2)), encoder, decoder)


BATCH = batch_of(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Coins, "Coins does not say whether its samples have a gradient by its parameters."),
        (PlainCoins, "samples of a PlainCoins posterior have no gradient by its parameters."),
        (lambda logits: Rounded(logits, logits), "Rounded does not say whether"),
        (lambda logits: Affine(Coins(logits), jnp.zeros(2), jnp.ones(2)), "Coins does not say whether"),
    ],
)
def test_a_posterior_without_a_path_trains_under_no_reparameterised_objective(kind, says):
    """With the gradient of the ELBO the encoder would learn nothing from log p(x | z)."""
    with pytest.raises(ConfigError) as refused:
        gradients(ELBO(), model_of(kind), BATCH, 1)
    assert says in refused.value.message
    assert ("has_path: ClassVar[bool] = True" in (refused.value.fix or "")) == ("does not say" in says)


def test_a_posterior_that_says_nothing_can_be_used_where_no_path_is_needed():
    for objective in (ELBO(), ScoreFunction(2)):
        assert np.isfinite(evaluate(objective, model_of(Coins), BATCH)[0])
    gradients(ScoreFunction(2), model_of(Coins), BATCH, 1)


def without_path(distribution):
    found = distribution.without_path(distribution.sample(key=KEYS[0]))
    return None if found is None else type(found).__name__


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, *JOINT])
def test_what_a_class_says_is_so(name):
    """By every array of parameters there is a gradient, just where the class says so."""
    distribution = {**DISTRIBUTIONS, **JOINT}[name].make()

    def of_sample(parameters):
        leaves = jax.tree.leaves(eqx.combine(parameters, rest).sample(key=KEYS[0]))
        return sum((jnp.sum(jnp.cos(leaf)) for leaf in leaves), jnp.zeros(()))

    parameters, rest = eqx.partition(distribution, eqx.is_inexact_array)
    slopes = jax.tree.leaves(jax.jit(jax.grad(of_sample))(parameters))
    whole = all(np.any(slope != 0.0) for slope in slopes)
    assert whole == (without_path(distribution) is None)
