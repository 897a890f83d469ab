"""log p(x) by annealed importance sampling: from the prior to the posterior in many small steps."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.evidence.batched import Rows, map_rows
from latens.evidence.hmc import Path, Place, check_numbers, hamiltonian_move, path_of, pilot, sigmoid_schedule
from latens.evidence.importance import as_log_marginals
from latens.evidence.log_marginals import LogMarginals, WeightSummary, summarise
from latens.io.process import counted
from latens.models import AbstractLatentModel
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, Nats, PyTree


class Annealed(NamedTuple):
    """The chains of one row."""

    log_weights: Float[Array, " K"]  # log weights of the chains, shape (K,), nats
    acceptance: Float[Array, ""]  # share of their moves that was accepted, shape ()


@counted(num_samples=1, num_temperatures=1, num_leapfrog=1, chains_at_once=1)
def annealed_importance_sampling(
    rows: Rows, *, num_samples: int = 16, num_temperatures: int = 500, num_leapfrog: int = 10, chains_at_once: int = 64
) -> LogMarginals:
    r"""Estimate log p(x) of each row by annealed importance sampling: from the prior to the posterior in small steps.

    $\log\frac1K\sum_k w_k$, where chain k went from the prior to the posterior by T temperatures:
    $\log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log p(x \mid z_{t-1})$, with $z_0$ from the prior and $z_t$ from
    $z_{t-1}$ by a Hamiltonian move that leaves $p(\cdot)\,p(x \mid \cdot)^{\beta_t}$ as it is. The mean weight has
    expectation p(x) exactly (steps are sized by chains that are not weighted), so its logarithm is a *lower bound* of
    log p(x) in expectation; more temperatures make it tight where importance sampling stays loose.
    Costs about $(K + 8)\,T\,(L + 1)$ gradients of the decoder for each row.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, chains for each row.
        num_temperatures: T.
        num_leapfrog: L, gradients of one move.
        chains_at_once: Chains of a row that run at once, which bounds memory.

    Returns:
        log p(x) in nats with its errors.

    Raises:
        ConfigError: For latents that are not free vectors.

    Source: Neal (2001), "Annealed importance sampling"; for decoders Wu, Burda, Salakhutdinov & Grosse (2017), arXiv
    1611.04273, whose schedule this is.
    """
    check_numbers(num_temperatures=num_temperatures, num_leapfrog=num_leapfrog, num_samples=num_samples - 1)
    options = {"num_temperatures": num_temperatures, "num_leapfrog": num_leapfrog, "chains_at_once": chains_at_once}
    function = Partial(_annealed, num_samples=num_samples, **options)
    size = rows.batch_size or min(len(rows.batch.row_id), 16)
    found, acceptance = map_rows(function, replace(rows, batch_size=size))
    protocol = (
        f"annealed importance sampling from the prior, {num_samples} chains a row, {num_temperatures} temperatures, "
        f"{num_leapfrog} leapfrog steps a move, {acceptance.mean():.2f} of the moves accepted; a lower bound in "
        "expectation"
    )
    return as_log_marginals(found, num_samples, protocol, rows.batch)


def _annealed(
    model: AbstractLatentModel,
    batch: Batch,
    key: Key,
    num_samples: int,
    num_temperatures: int,
    num_leapfrog: int,
    chains_at_once: int,
) -> tuple[WeightSummary, Array]:
    betas = sigmoid_schedule(num_temperatures)

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Annealed:
        path = path_of(model, x, cond, mask)
        pilot_key, chain_key = jax.random.split(jax.random.fold_in(key, row_id))
        steps = pilot(path, betas, num_leapfrog, key=pilot_key)

        def chain(key: Key) -> tuple[Nats, Array]:
            return forward_chain(path, betas, steps, num_leapfrog, key=key)

        return run_chains(chain, num_samples, chains_at_once, key=chain_key)

    rows = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
    return summarise(rows.log_weights), rows.acceptance


def run_chains(
    chain: Callable[[Key], tuple[Array, Array]], num_samples: int, chains_at_once: int, *, key: Key
) -> Annealed:
    """Run K chains, at most some of them beside one another."""
    parts = math.ceil(num_samples / chains_at_once)
    together = math.ceil(num_samples / parts)
    keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(parts * together))
    if parts == 1:
        log_weights, acceptance = jax.vmap(chain)(keys)
    else:
        log_weights, acceptance = jax.lax.map(jax.vmap(chain), keys.reshape(parts, together))
    return Annealed(log_weights.reshape(-1)[:num_samples], jnp.mean(acceptance))


def forward_chain(path: Path, betas: Array, steps: Array, num_leapfrog: int, *, key: Key) -> tuple[Nats, Array]:
    """Run one chain from the prior to the posterior."""
    # returns: the log weight of the chain in nats, and the mean acceptance of its moves, both
    start_key, move_key = jax.random.split(key)

    def step(carry: tuple[Place, Nats], given: tuple) -> tuple[tuple[Place, Nats], Array]:
        place, log_weight = carry
        before, beta, size, number = given
        log_weight = log_weight + (beta - before) * place.log_likelihood
        own = jax.random.fold_in(move_key, number)
        place, acceptance = hamiltonian_move(path, place, beta, size, num_leapfrog, key=own)
        return (place, log_weight), acceptance

    given = (betas[:-1], betas[1:], steps, jnp.arange(steps.shape[0]))
    (_, log_weight), acceptance = jax.lax.scan(step, (path.at(path.sample(start_key)), jnp.zeros(())), given)
    return log_weight, jnp.mean(acceptance)
