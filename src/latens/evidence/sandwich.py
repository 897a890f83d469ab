"""log p(x) from below and from above on rows that the model itself made: how far off an estimator can be."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.evidence.annealing import Annealed, backward_chain, forward_chain, run_chains
from latens.evidence.batched import Rows, map_rows
from latens.evidence.estimate import Estimate
from latens.evidence.importance import as_log_marginals
from latens.evidence.log_marginals import LogMarginals, WeightSummary, summarise
from latens.evidence.moves import Start, check_numbers, hamiltonian_move, path_of, pilot, sigmoid_schedule
from latens.io.process import counted
from latens.typing import Array, Cond, Key, Nats


@dataclass(frozen=True)
class Sandwich:
    """Two bounds of log p(x) for rows sampled from the model.

    Args:
        x: The rows, shape (n, *x).
        z: The latents that they were made from, with n as leading axis.
        lower: The bound by annealing from the start, nats.
        upper: The bound by annealing back from z, nats.
    """

    x: Any
    z: Any
    lower: LogMarginals
    upper: LogMarginals

    @property
    def gap(self) -> np.ndarray:
        """The upper minus the lower bound of each row, shape (n,), in nats: in expectation not below 0."""
        return self.upper.rows - self.lower.rows

    def estimates(self) -> dict[str, Estimate]:
        """Average both bounds and their gap over rows.

        Returns:
            `log_marginal_lower`, `log_marginal_upper` and `log_marginal_gap`, in nats.
        """
        upper = replace(self.upper.estimate(), protocol=self.upper.protocol, side="at most")
        error = self.upper.draws_error
        words = f"upper minus lower bound, paired over rows simulated from the model; {self.lower.protocol}"
        return {
            "log_marginal_lower": self.lower.estimate(),
            "log_marginal_upper": upper.with_draws_error(-error if math.isinf(error) else error),
            "log_marginal_gap": Estimate.of(self.gap, num_samples=self.lower.num_samples, protocol=words),
        }


@counted(n=1, num_samples=1, num_temperatures=1, num_leapfrog=1, num_moves=1, batch_size=1, chains_at_once=1)
def sandwich(
    model: Any,
    n: int,
    *,
    num_samples: int = 16,
    num_temperatures: int = 500,
    num_leapfrog: int = 10,
    num_moves: int = 20,
    start: Start = "prior",
    cond: Cond = None,
    key: Key,
    batch_size: int | None = None,
    chains_at_once: int = 64,
) -> Sandwich:
    r"""Bound log p(x) from both sides on rows simulated from the model (bidirectional Monte Carlo).

    $z \sim p(z)$, $x \sim p(x|z)$: then z is a sample of the exact posterior of x, and annealing *back* from it gives
    weights with $E[1/w] = 1/p(x)$, so that $-\log\frac1K\sum_k 1/w_k$ is an upper bound of log p(x) in expectation.
    Forward annealing gives the lower one. Where they meet, both are right; on other data the lower bound is then as
    good only as far as those are like the model's own. Each backward chain first makes `num_moves` moves on the exact
    posterior. Chains of one row still share one z: on posteriors with separate modes trust the error over rows, not
    that of a row.

    Args:
        model: The trained model.
        n: Number of rows to simulate.
        num_samples: K, chains for each row.
        num_temperatures: T.
        num_leapfrog: L, gradients of one move.
        num_moves: Moves on the exact posterior before a backward chain.
        start: "prior" or the encoder's "posterior", as in `annealed_importance_sampling`.
        cond: Conditions, with n as leading axis.
        key: Random key.
        batch_size: Rows in one compiled batch; None chooses.
        chains_at_once: Chains of a row that run at once, which bounds memory.

    Returns:
        Both bounds in nats, with the rows and their latents.

    Raises:
        ConfigError: For latents that are not free vectors.

    Source: Grosse, Ghahramani & Adams (2015), "Sandwiching the marginal likelihood using bidirectional Monte Carlo";
    Grosse, Ancha & Roy (2016), arXiv 1606.02275.
    """
    check_numbers(num_temperatures=num_temperatures, num_leapfrog=num_leapfrog, num_samples=num_samples - 1, n=n)
    numbers = {"num_samples": num_samples, "num_temperatures": num_temperatures, "num_leapfrog": num_leapfrog}
    function = Partial(_sandwich, num_moves=num_moves, start=start, chains_at_once=chains_at_once, **numbers)
    batch = Batch(np.zeros((n, 1), np.float32), np.arange(n, dtype=np.uint32), cond=cond)
    rows = Rows(model, batch, key, batch_size=batch_size or min(n, 16))
    x, z, lower, upper, acceptance = map_rows(function, rows)
    how = (
        f"{num_samples} chains a row, {num_temperatures} temperatures, {num_leapfrog} leapfrog steps a move, "
        f"{acceptance.mean():.2f} of the moves accepted; rows simulated from the model"
    )
    below, above = f"lower bound by annealing from the {start}, {how}", f"upper bound by annealing back to the {start}"
    given = ((lower, below), (upper, f"{above}, {how}"))
    return Sandwich(x, z, *(as_log_marginals(one, num_samples, words, batch) for one, words in given))


def _sandwich(
    model: Any,
    batch: Batch,
    key: Key,
    num_samples: int,
    num_temperatures: int,
    num_leapfrog: int,
    num_moves: int,
    start: Start,
    chains_at_once: int,
) -> tuple[Any, Any, WeightSummary, WeightSummary, Array]:
    betas = sigmoid_schedule(num_temperatures)

    def one_row(row_id: Any, cond: Cond) -> tuple[Any, Any, Annealed, Annealed]:
        keys = jax.random.split(jax.random.fold_in(key, row_id), 5)
        z = model.prior(cond=cond).sample(key=keys[0])
        x = model.likelihood(z, cond=cond).sample(key=keys[1])
        path = path_of(model, x, cond, None, start)
        steps = pilot(path, betas, num_leapfrog, key=keys[2])
        exact = path.at(path.flat(z))

        def forward(key: Key) -> tuple[Nats, Array]:
            return forward_chain(path, betas, steps, num_leapfrog, key=key)

        def backward(key: Key) -> tuple[Nats, Array]:
            def move(number: Array, place: Any) -> Any:
                own = jax.random.fold_in(key, num_temperatures + number)
                return hamiltonian_move(path, place, jnp.ones(()), steps[-1], num_leapfrog, key=own)[0]

            end = jax.lax.fori_loop(0, num_moves, move, exact)
            return backward_chain(path, end, betas, steps, num_leapfrog, key=key)

        ahead = run_chains(forward, num_samples, chains_at_once, key=keys[3])
        return x, z, ahead, run_chains(backward, num_samples, chains_at_once, key=keys[4])

    x, z, ahead, back = jax.vmap(one_row)(batch.row_id, batch.cond)
    inverse = summarise(-back.log_weights)
    upper = inverse._replace(log_mean=-inverse.log_mean)
    return x, z, summarise(ahead.log_weights), upper, 0.5 * (ahead.acceptance + back.acceptance)
