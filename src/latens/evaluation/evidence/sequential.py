"""log p(x) by tempered sequential Monte Carlo: particles that go from a start to the posterior together."""

import math
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.errors import ConfigError
from latens.evaluation.batched import Rows, map_rows
from latens.evaluation.evidence.importance import as_log_marginals
from latens.evaluation.evidence.log_marginals import (
    LogMarginals,
    WeightSummary,
    effective_sample_size,
    log_mean,
    summarise,
)
from latens.evaluation.evidence.moves import (
    Path,
    Place,
    Start,
    adapted,
    check_numbers,
    first_step,
    hamiltonian_move,
    path_of,
    pilot,
    sigmoid_schedule,
)
from latens.io.process import counted
from latens.typing import Array, Float, Int, Key, Nats, PyTree

Schedule = Literal["adaptive", "sigmoid"]


class Plan(NamedTuple):
    """The temperatures and step sizes of one row."""

    betas: Float[Array, " T_and_1"]  # inverse temperatures, shape (T + 1,); the first is 0
    steps: Float[Array, " T"]  # step size at every temperature but the first, shape (T,)
    length: Int[Array, ""]  # how many temperatures are used, shape ()


@counted(num_samples=1, num_runs=1, num_temperatures=1, num_moves=1, num_leapfrog=1)
def sequential_monte_carlo(
    rows: Rows,
    *,
    num_samples: int = 1024,
    num_runs: int = 16,
    num_temperatures: int = 100,
    num_moves: int = 2,
    num_leapfrog: int = 5,
    schedule: Schedule = "adaptive",
    threshold: float = 0.7,
    start: Start = "prior",
) -> LogMarginals:
    r"""Estimate log p(x) of each row by tempered sequential Monte Carlo: particles that go to the posterior together.

    $\log\frac1R\sum_r \hat Z_r$ from R runs of K/R particles; $\log\hat Z = \sum_t \log\bar w_t$. At every temperature
    particles are weighted by $(p(x, z)/s(z))^{\beta_t - \beta_{t-1}}$, drawn anew by systematic resampling and moved by
    Hamiltonian moves. With `schedule="adaptive"` a run that does not count chooses each temperature so that `threshold`
    of the particles stay effective, and sizes the steps; the runs that count use both as they are, so that
    $E[\hat Z] = p(x)$ exactly and the logarithm is a lower bound in expectation. The error comes from the spread
    between runs.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: K, all particles of a row.
        num_runs: R, 2 or more.
        num_temperatures: T, at most (adaptive) or exactly (sigmoid).
        num_moves: Moves at each temperature.
        num_leapfrog: L, gradients of one move.
        schedule: "adaptive" or "sigmoid".
        threshold: Share of the particles that stays effective, in (0, 1).
        start: "prior" or the encoder's "posterior".

    Returns:
        log p(x) in nats with its errors; `effective_sample_size` is the smallest on the way, of all runs; Pareto k is
        NaN.

    Raises:
        ConfigError: For latents that are not free vectors, for fewer than 2 particles a run or fewer than 2 runs, and
            for a threshold outside (0, 1).

    Source: Del Moral, Doucet & Jasra (2006), "Sequential Monte Carlo samplers".
    """
    check_numbers(num_temperatures=num_temperatures, num_moves=num_moves, num_leapfrog=num_leapfrog)
    particles = math.ceil(num_samples / max(num_runs, 1))
    if num_runs < 2 or particles < 2 or not 0.0 < threshold < 1.0:
        what = f"{num_runs} runs of {particles} particles with a threshold of {threshold:g}."
        fix = "Use at least 2 runs, 2 particles in each, and a threshold between 0 and 1."
        raise ConfigError(what, where="num_runs", fix=fix)
    options = {"num_temperatures": num_temperatures, "num_moves": num_moves, "num_leapfrog": num_leapfrog}
    options |= {"schedule": schedule, "threshold": threshold, "start": start}
    function = Partial(_sequential, num_runs=num_runs, particles=particles, **options)
    size = rows.batch_size or max(1, min(len(rows.batch.row_id), 16, 16384 // num_samples))
    found, count, acceptance = map_rows(function, replace(rows, batch_size=size))
    protocol = (
        f"sequential Monte Carlo from the {start}, {num_runs} runs of {particles} particles a row, {count.mean():.0f} "
        f"temperatures ({schedule}), {acceptance.mean():.2f} of the moves accepted; a lower bound in expectation"
    )
    made = as_log_marginals(found, num_runs, protocol, rows.batch)
    return replace(made, num_samples=num_runs * particles)


def _sequential(
    model: Any,
    batch: Batch,
    key: Key,
    num_runs: int,
    particles: int,
    num_temperatures: int,
    num_moves: int,
    num_leapfrog: int,
    schedule: Schedule,
    threshold: float,
    start: Start,
) -> tuple[WeightSummary, Array, Array]:
    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> tuple[Array, Array, Array, Array]:
        path = path_of(model, x, cond, mask, start)
        plan_key, key_of_runs = jax.random.split(jax.random.fold_in(key, row_id))
        if schedule == "sigmoid":
            betas = sigmoid_schedule(num_temperatures)
            steps = pilot(path, betas, num_leapfrog, key=plan_key)
            plan = Plan(betas, steps, jnp.asarray(num_temperatures))
        else:
            plan = _plan(path, particles, num_temperatures, num_moves, num_leapfrog, threshold, key=plan_key)
        run = lambda key: _run(path, plan, particles, num_moves, num_leapfrog, key=key)  # noqa: E731
        log_z, sizes, acceptance = jax.vmap(run)(jax.random.split(key_of_runs, num_runs))
        return log_z, jnp.min(jnp.sum(sizes, axis=0)), plan.length, jnp.mean(acceptance)

    log_z, sizes, count, acceptance = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
    return of_runs(log_z, sizes), count, acceptance


def of_runs(log_z: Float[Array, "B R"], sizes: Float[Array, " B"]) -> WeightSummary:
    """The summary of rows whose runs are the weights; what is effective and what smooth is said of the particles."""
    value, unknown = jax.vmap(log_mean)(log_z), jnp.full(sizes.shape, jnp.nan)
    return summarise(log_z)._replace(log_mean=value, effective_sample_size=sizes, pareto_k=unknown, smoothed=value)


def _particles(path: Path, count: int, *, key: Key) -> Place:
    return jax.vmap(lambda k: path.at(path.sample(k)))(jax.random.split(key, count))


def _moved(path: Path, places: Place, beta: Array, step: Array, num_leapfrog: int, *, key: Key) -> tuple[Place, Array]:
    keys = jax.random.split(key, places.log_start.shape[0])
    return jax.vmap(lambda p, k: hamiltonian_move(path, p, beta, step, num_leapfrog, key=k))(places, keys)


def resampled(places: PyTree, log_weights: Float[Array, " N"], *, key: Key) -> PyTree:
    """Resample N particles by their weights, at evenly spaced places with one random offset (systematic resampling)."""
    # log_weights: log weights in nats; they need not be normalised.
    count = log_weights.shape[0]
    ends = jnp.cumsum(jax.nn.softmax(log_weights))
    marks = (jax.random.uniform(key) + jnp.arange(count)) / count
    chosen = jnp.minimum(jnp.searchsorted(ends / ends[-1], marks), count - 1)
    return jax.tree.map(lambda leaf: leaf[chosen], places)


def _plan(
    path: Path, particles: int, most: int, num_moves: int, num_leapfrog: int, threshold: float, *, key: Key
) -> Plan:
    """Temperatures and step sizes, from a run of their own; the last of `most` temperatures is 1 in any case."""
    start_key, key = jax.random.split(key)

    def further(beta: Array, log_ratio: Array) -> Array:
        """The temperature at which the share `threshold` of the particles is still effective."""

        def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = 0.5 * (low + high)
            enough = effective_sample_size((middle - beta) * log_ratio) > threshold * particles
            return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

        whole = effective_sample_size((1.0 - beta) * log_ratio) > threshold * particles
        low, _ = jax.lax.fori_loop(0, 20, halve, (beta, jnp.ones(())))
        # Where not even the smallest step keeps enough, a little is gone on, or the run would never end.
        return jnp.where(whole, 1.0, jnp.maximum(low, beta + 1e-6))

    def temperature(carry: tuple) -> tuple:
        places, plan, log_step = carry
        number = plan.length
        beta = jnp.where(number == most - 1, 1.0, further(plan.betas[number], places.log_ratio))
        draw_key, own = jax.random.split(jax.random.fold_in(key, number))
        places = resampled(places, (beta - plan.betas[number]) * places.log_ratio, key=draw_key)

        def move(index: Array, carry: tuple[Place, Array]) -> tuple[Place, Array]:
            places, log_step = carry
            inner = jax.random.fold_in(own, index)
            places, acceptance = _moved(path, places, beta, jnp.exp(log_step), num_leapfrog, key=inner)
            return places, adapted(log_step, acceptance)

        # The first temperature finds the size of its steps before it counts.
        count = jnp.where(number == 0, 20, 0) + num_moves + 3
        places, log_step = jax.lax.fori_loop(0, count, move, (places, log_step))
        plan = Plan(plan.betas.at[number + 1].set(beta), plan.steps.at[number].set(jnp.exp(log_step)), number + 1)
        return places, plan, log_step

    def unfinished(carry: tuple) -> Array:
        return carry[1].betas[carry[1].length] < 1.0

    empty = Plan(jnp.zeros(most + 1), jnp.ones(most), jnp.asarray(0))
    first = (_particles(path, particles, key=start_key), empty, first_step(path))
    return jax.lax.while_loop(unfinished, temperature, first)[1]


def _run(
    path: Path, plan: Plan, particles: int, num_moves: int, num_leapfrog: int, *, key: Key
) -> tuple[Nats, Float[Array, " T"], Array]:
    """One run: its log normaliser, effective particles at each temperature, and the share of accepted moves."""
    start_key, key = jax.random.split(key)
    most = plan.steps.shape[0]

    def temperature(number: Array, carry: tuple) -> tuple:
        places, log_z, sizes, total = carry
        beta = plan.betas[number + 1]
        draw_key, own = jax.random.split(jax.random.fold_in(key, number))
        log_weights = (beta - plan.betas[number]) * places.log_ratio
        places = resampled(places, log_weights, key=draw_key)

        def move(index: Array, carry: tuple[Place, Array]) -> tuple[Place, Array]:
            inner = jax.random.fold_in(own, index)
            places, acceptance = _moved(path, carry[0], beta, plan.steps[number], num_leapfrog, key=inner)
            return places, carry[1] + jnp.mean(acceptance)

        places, total = jax.lax.fori_loop(0, num_moves, move, (places, total))
        sizes = sizes.at[number].set(effective_sample_size(log_weights))
        return places, log_z + log_mean(log_weights), sizes, total

    # Temperatures that the plan does not use have all particles effective.
    sizes = jnp.full(most, float(particles))
    first = (_particles(path, particles, key=start_key), jnp.zeros(()), sizes, jnp.zeros(()))
    _, log_z, sizes, total = jax.lax.fori_loop(0, plan.length, temperature, first)
    return log_z, sizes, total / (plan.length * num_moves)
