"""log p(x) of sequences by a particle filter: draws that go along the steps together, and are drawn anew by weight."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import log_prob
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_rows
from latens.evidence.importance import as_log_marginals
from latens.evidence.log_marginals import LogMarginals, WeightSummary, effective_sample_size, log_mean, summarise
from latens.io.compilation import counted
from latens.models import StateSpaceModel, StepNormals, StepState
from latens.models.state_space import posterior_of
from latens.typing import AnyArray, Array, Bool, Cond, Float, Key, Mask, Nats, PyTree

THRESHOLD = 0.5
"""The share of particles below which these are drawn anew."""


def resampled(places: PyTree, log_weights: Float[Array, " N"], *, key: Key) -> PyTree:
    """Resample N particles by their weights, at evenly spaced places with one random offset (systematic resampling)."""
    count = log_weights.shape[0]
    ends = jnp.cumsum(jax.nn.softmax(log_weights))
    marks = (jax.random.uniform(key) + jnp.arange(count)) / count
    chosen = jnp.minimum(jnp.searchsorted(ends / ends[-1], marks), count - 1)
    return jax.tree.map(lambda leaf: leaf[chosen], places)


class Filtered(NamedTuple):
    """A run of a particle filter."""

    log_z: Nats  # the log of the estimate of p(x)
    particles: PyTree  # the states after the last step, led by N
    log_weights: Float[Array, " N"]  # their log weights
    smallest: Float[Array, ""]  # the smallest effective number of particles on the way


def run_particles(
    start: PyTree, ahead: Callable[[Any, Any, Key], tuple[Any, Nats]], steps: PyTree, count: int, *, key: Key
) -> Filtered:
    """Send particles along the steps; where fewer than half are effective, they are drawn anew by their weights."""

    def step(carry: tuple, at: tuple) -> tuple[tuple, None]:
        particles, log_weights, log_z, smallest = carry
        number, at = at
        move_key, draw_key = jax.random.split(jax.random.fold_in(key, number))
        particles, more = jax.vmap(ahead, (0, None, 0))(particles, at, jax.random.split(move_key, count))
        log_weights = log_weights + more
        effective = effective_sample_size(log_weights)
        again = effective < THRESHOLD * count
        drawn = resampled(particles, log_weights, key=draw_key)
        particles = jax.tree.map(lambda new, old: jnp.where(again, new, old), drawn, particles)
        log_z = log_z + jnp.where(again, log_mean(log_weights), 0.0)
        log_weights = jnp.where(again, 0.0, log_weights)
        return (particles, log_weights, log_z, jnp.minimum(smallest, effective)), None

    particles = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), start)
    length = len(jax.tree.leaves(steps)[0])
    first = (particles, jnp.zeros(count), jnp.zeros(()), jnp.asarray(float(count)))
    found, log_weights, log_z, smallest = jax.lax.scan(step, first, (jnp.arange(length), steps))[0]
    return Filtered(log_z + log_mean(log_weights), found, log_weights, smallest)


def filtered(
    model: StateSpaceModel, x: PyTree, mask: Mask, cond: Cond, *, count: int, held: Bool[Array, " T"] | None = None,
    key: Key,
) -> Filtered:  # fmt: skip
    """One run of a particle filter over one row; its particles are states after the steps that are held."""
    posterior: StepNormals = posterior_of(model.encoder, model, x, cond=cond, mask=mask)
    decoder, reads = posterior.decoder, bool(posterior.decoder.lags)
    known = jnp.ones(x.shape, bool) if mask is None else jnp.asarray(mask, bool)
    clean = jnp.where(known, x, jnp.zeros_like(x))

    def ahead(state: StepState, at: tuple, key: Key) -> tuple[StepState, Nats]:
        action, message, alive, x, known, held = at
        z_key, x_key = jax.random.split(key)
        memory, recalled = decoder.remember(state, action), decoder.recalled(state)
        prior = decoder.prior(state, memory, action)
        own: Any = posterior.encoder.meet(decoder, message, alive, prior, memory, recalled)
        z, log_own = own.sample_and_log_prob(key=z_key)
        emission: Any = decoder.emission(memory, z, recalled)
        weight = log_prob(emission, x, known) + jnp.where(alive, prior.log_prob(z) - log_own, 0.0)
        # A cell that is missing is drawn of its own likelihood, which leaves the weight as it is.
        filled = jnp.where(known, x, emission.sample(key=x_key)) if reads else None
        after = decoder.next_state(state, memory, z, filled)
        return jax.tree.map(lambda new, old: jnp.where(held, new, old), after, state), weight

    held = jnp.ones(len(x), bool) if held is None else held
    steps = (posterior.inputs, posterior.messages, posterior.alive, clean, known, held)
    return run_particles(decoder.start(), ahead, steps, count, key=key)


@counted(num_samples=1, num_runs=1)
def particle_filter(rows: ModelRows, *, num_samples: int = 1024, num_runs: int = 8) -> LogMarginals:
    r"""Estimate log p(x) of each sequence by a particle filter.

    $\log\frac1R\sum_r \hat Z_r$ from R runs of K/R particles, where $E[\hat Z_r] = p(x)$ exactly, so that the logarithm
    is a lower bound in expectation. Particles are drawn from the posterior of each step, and drawn anew by systematic
    resampling where fewer than half of them are effective. The error comes from the spread between runs.

    Args:
        rows: The model, with a latent for every step, and the stored rows, B of them.
        num_samples: K, all particles of a row.
        num_runs: R, 2 or more.

    Returns:
        log p(x) in nats with its errors; `effective_sample_size` is the smallest on the way, of all runs; Pareto k is
        NaN.

    Raises:
        ConfigError: The model has no latent for every step; or there are fewer than 2 particles a run, or 2 runs.

    Source: Gordon, Salmond & Smith (1993); with a trained proposal: Maddison et al. (2017), arXiv 1705.09279.
    """
    if not isinstance(rows.model, StateSpaceModel):
        what = f"a particle filter needs a model of steps, and {type(rows.model).__name__} is another."
        raise ConfigError(what, where="model", fix="Use importance sampling, or --recipe deep-kalman.")
    particles = math.ceil(num_samples / max(num_runs, 1))
    if num_runs < 2 or particles < 2:
        what = f"{num_runs} runs of {particles} particles."
        raise ConfigError(what, where="num_runs", fix="Use at least 2 runs, and 2 particles in each.")
    function = Partial(_particles, num_runs=num_runs, particles=particles)
    found = map_rows(function, replace(rows, batch_size=rows.batch_size or 16))
    protocol = f"a particle filter with its posterior as proposal, {num_runs} runs of {particles} particles a row"
    made = as_log_marginals(found, num_runs, f"{protocol}; a lower bound in expectation", rows.batch)
    return replace(made, num_samples=num_runs * particles)


def _particles(model: StateSpaceModel, batch: Batch, key: Key, num_runs: int, particles: int) -> WeightSummary:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> tuple[Array, Array]:
        keys = jax.random.split(jax.random.fold_in(key, row_id), num_runs)
        run = lambda key: filtered(model, x, mask, cond, count=particles, key=key)  # noqa: E731
        found = jax.vmap(run)(keys)
        return found.log_z, jnp.sum(found.smallest)

    log_z, sizes = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
    # The runs are the weights; what is effective and what smooth is said of the particles.
    value, unknown = jax.vmap(log_mean)(log_z), jnp.full(sizes.shape, jnp.nan)
    return summarise(log_z)._replace(log_mean=value, effective_sample_size=sizes, pareto_k=unknown)
