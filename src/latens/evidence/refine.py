"""A posterior made better for single rows: gradient steps on its parameters, from the encoder's start."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import (
    AbstractDistribution,
    AbstractFactorised,
    AbstractReparameterised,
    Deterministic,
    FullNormal,
)
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_rows
from latens.io.process import counted
from latens.models import AbstractLatentModel
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, Nats, PyTree


class Refined(NamedTuple):
    """Posteriors of rows after gradient steps of their own.

    Args:
        posterior: The distribution, its arrays with B as leading axis (`jax.vmap` goes over it).
        elbo: ELBO of the refined posterior, shape (B,), nats.
        start: ELBO of the encoder's posterior, shape (B,), nats, from the same noise.
    """

    posterior: AbstractDistribution
    elbo: np.ndarray
    start: np.ndarray


@counted(steps=0, num_samples=1, num_evaluation_samples=1)
def refine(
    rows: ModelRows,
    *,
    steps: int = 100,
    learning_rate: float = 0.05,
    num_samples: int = 8,
    num_evaluation_samples: int = 256,
) -> Refined:
    r"""Improve the posterior of each row by gradient steps on its parameters, from the encoder's; the model stays.

    $\max_\lambda E_{q_\lambda(z)}[\log p(x, z) - \log q_\lambda(z)]$ by Adam with a rate that falls to 0 along a half
    cosine, on all parameters $\lambda$ of the row's posterior (of a Normal its means and the logarithms of its scales).
    The gradient leaves out the score of $\log q_\lambda$, whose expectation is 0: so it has no noise left where q is
    exact.

    Args:
        rows: The model and the stored rows, B of them.
        steps: Gradient steps.
        learning_rate: Learning rate at the start.
        num_samples: Samples in one step.
        num_evaluation_samples: Samples for the bounds that are returned.

    Returns:
        The posteriors and their bounds.

    Raises:
        ConfigError: For a posterior that is not a Normal or another location-scale family of its own row.

    Source: semi-amortised inference: Kim et al. (2018), arXiv 1802.02550; gradient: Roeder, Wu & Duvenaud (2017), arXiv
    1703.09194.
    """
    given = {"steps": steps, "learning_rate": learning_rate, "num_samples": num_samples}
    function = Partial(_refine, num_evaluation_samples=num_evaluation_samples, **given)
    return Refined(*map_rows(function, rows))


def _refine(
    model: AbstractLatentModel,
    batch: Batch,
    key: Key,
    steps: int,
    learning_rate: float,
    num_samples: int,
    num_evaluation_samples: int,
) -> tuple[AbstractDistribution, Array, Array]:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> tuple:
        own = jax.random.fold_in(key, row_id)
        posterior = model.posterior(x, cond=cond, mask=mask)
        _check(posterior)

        def log_joint(z: PyTree) -> Nats:
            return sum(model.log_joint(z, x, cond=cond, mask=mask), start=jnp.zeros(()))

        options = {"steps": steps, "learning_rate": learning_rate, "num_samples": num_samples}
        refined = ascend(log_joint, posterior, key=own, **options)
        last = jax.random.fold_in(own, steps)
        values = [jnp.mean(log_weights(log_joint, q, num_evaluation_samples, key=last)) for q in (refined, posterior)]
        return refined, *values

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


LogJoint = Callable[[Any], Nats]


def log_weights(
    log_joint: LogJoint, q: AbstractDistribution, count: int, *, key: Key, density: Any = None
) -> Float[Array, " K"]:
    r"""The log importance weights of samples of a distribution."""
    # $\log p(x, z) - \log q(z)$.
    # log_joint: log p(x, z) of one row as a function of z, nats.

    def one(key: Key) -> Nats:
        if density is None:
            z, log_q = q.sample_and_log_prob(key=key)
            return log_joint(z) - log_q
        z = q.sample(key=key)
        return log_joint(z) - density.log_prob(z)

    return jax.vmap(one)(jax.random.split(key, count))


def ascend(
    log_joint: LogJoint, start: AbstractDistribution, *, steps: int, learning_rate: float, num_samples: int, key: Key
) -> AbstractDistribution:
    """Maximise the bound over every array of a distribution by Adam, as in `refine`."""
    # log_joint: function of a latent event to log p(x, z), in nats.
    first, static = eqx.partition(start, eqx.is_inexact_array)

    def bound(parameters: PyTree, key: Key) -> Nats:
        still = eqx.combine(jax.lax.stop_gradient(parameters), static)
        q = eqx.combine(parameters, static)
        return jnp.mean(log_weights(log_joint, q, num_samples, key=key, density=still))

    adam = optax.adam(optax.cosine_decay_schedule(-learning_rate, max(steps, 1)))  # upwards

    def step(index: Array, carry: tuple) -> tuple:
        slope = jax.grad(bound)(carry[0], jax.random.fold_in(key, index))
        updates, state = adam.update(slope, carry[1])
        return optax.apply_updates(carry[0], updates), state

    best, _ = jax.lax.fori_loop(0, steps, step, (first, adam.init(first)))
    return eqx.combine(best, static)


def has_own_parameters(posterior: AbstractDistribution) -> bool:
    """Whether every array of a posterior is a parameter of its row alone, so that gradient steps can refine it."""
    # returns: true for one level of a reparameterised family with a density: flows and hierarchies share arrays among
    # rows.
    one_level = isinstance(posterior, AbstractFactorised | FullNormal)
    return one_level and isinstance(posterior, AbstractReparameterised) and not isinstance(posterior, Deterministic)


def _check(posterior: AbstractDistribution) -> None:
    """Every array of the posterior is a parameter of this row alone, and its density is known everywhere."""
    if not has_own_parameters(posterior):
        what = f"a {type(posterior).__name__} posterior is not refined: its arrays are not parameters of one row."
        fix = "Use a Normal posterior (diagonal, full or low rank) with one level."
        raise ConfigError(what, where="posterior.kind", fix=fix)
