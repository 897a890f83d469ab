"""A model small enough to enumerate, and what is exact on it: two coins as a code, three coins as an event."""

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from bound_checks import STEP
from jax.flatten_util import ravel_pytree
from tables import batch_of, linear

from latens.data.dataset import Batch
from latens.distributions import Bernoulli
from latens.models import BernoulliHead, Conditional, LatentModel
from latens.objectives import AbstractObjective
from latens.trainable import partition_trainable

CODES = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
EVENT = np.array([1.0, 0.0, 1.0])


def coins() -> LatentModel:
    """Every number is trained: the prior's two logits, a linear encoder and a linear decoder."""
    rng = np.random.default_rng(5)
    return LatentModel(
        Bernoulli(jnp.asarray([0.4, -0.6])),
        Conditional(linear(rng.normal(size=(3, 2)), rng.normal(size=2)), BernoulliHead((2,))),
        Conditional(linear(2 * rng.normal(size=(2, 3)), rng.normal(size=3)), BernoulliHead((3,))),
    )


def log_tables(model: LatentModel, x: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """(log p(x, z), log q(z | x)) for the four codes."""
    event, posterior = jnp.asarray(x, float), model.posterior(jnp.asarray(x, float))
    joint = jax.vmap(lambda z: sum(model.log_joint(z, event)))(jnp.asarray(CODES, float))
    return jnp.asarray(joint), jax.vmap(posterior.log_prob)(jnp.asarray(CODES, float))


def expected_bound(model: LatentModel, num_samples: int, bound: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The mean of a bound of log weights (K, n) over all 4^K ways to draw K codes for `EVENT`."""
    joint, log_q = log_tables(model, EVENT)
    ways = np.array(list(itertools.product(range(4), repeat=num_samples))).T
    return jnp.sum(jnp.exp(jnp.sum(log_q[ways], axis=0)) * bound((joint - log_q)[ways]))


def gradients(objective: AbstractObjective, model: LatentModel, batch: Batch, num_keys: int) -> np.ndarray:
    """The objective's gradient by every trained number of the model, for many keys: (num_keys, n)."""
    flat, rebuild, rest = trained(model)

    @jax.jit
    def many(flat: jax.Array, keys: jax.Array) -> jax.Array:
        loss = lambda t, key: objective(eqx.combine(rebuild(t), rest), batch, key=key, step=STEP)[0]  # noqa: E731
        return jax.vmap(jax.grad(loss), in_axes=(None, 0))(flat, keys)

    return np.asarray(many(flat, jax.random.split(jax.random.key(3), num_keys)))


def gradient_of(value: Callable[[LatentModel], jax.Array], model: LatentModel) -> np.ndarray:
    """The gradient of a number by every trained number of the model, in the order of `gradients`."""
    flat, rebuild, rest = trained(model)
    return np.asarray(jax.jit(jax.grad(lambda t: value(eqx.combine(rebuild(t), rest))))(flat))


def trained(model: LatentModel) -> tuple:
    trainable, rest = partition_trainable(model)
    flat, rebuild = ravel_pytree(trainable)
    return flat, rebuild, rest


def only(model: LatentModel, part: str) -> np.ndarray:
    """Which trained numbers belong to a part of the model."""
    marked = jax.tree.map(jnp.zeros_like, partition_trainable(model)[0])
    where = lambda m: getattr(m, part)  # noqa: E731
    marked = eqx.tree_at(where, marked, jax.tree.map(jnp.ones_like, where(marked)))
    return np.asarray(ravel_pytree(marked)[0]) > 0


def one_event() -> Batch:
    return batch_of(EVENT[None])
