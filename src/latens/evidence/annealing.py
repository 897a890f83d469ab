"""log p(x) by annealed importance sampling: Hamiltonian moves along the geometric path from prior to posterior.

Of sequences a particle filter gives it: draws that go along the steps together, and are drawn anew by weight.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import (
    AbstractDistribution,
    Bernoulli,
    Product,
    RelaxedOneHot,
    UniformSphere,
    VonMisesFisher,
    log_prob,
)
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_rows
from latens.evidence.importance import (
    LogMarginals,
    WeightSummary,
    as_log_marginals,
    effective_sample_size,
    log_mean,
    summarise,
)
from latens.models import AbstractLatentModel, StateSpaceModel, StepNormals, StepState
from latens.models.state_space import posterior_of
from latens.runtime.compilation import counted
from latens.typing import AnyArray, Array, Bool, Cond, Float, Key, Mask, Nats, PyTree

ACCEPTANCE = 0.65
"""The share of moves that step sizes aim for: the best one in high dimensions (Neal 2011)."""

_PILOT_CHAINS = 8
_WARM_UP = 20
_ELSEWHERE = (RelaxedOneHot, UniformSphere, VonMisesFisher)


class Place(NamedTuple):
    """A point in latent space with its log densities."""

    z: Float[Array, " n"]  # flat latent, shape (n,)
    log_prior: Nats  # log p(z) in nats
    log_likelihood: Nats  # log p(x | z) in nats: what a weight grows by for a whole step of temperature


class Path(NamedTuple):
    r"""The geometric path of one row from the prior to the posterior."""

    # $f_\beta(z) = p(z)\,p(x \mid z)^\beta$.

    sample: Callable[[Key], Array]
    at: Callable[[Array], Place]  # `at(z)` is the `Place` of a flat z
    flat: Callable[[Any], Array]  # makes a latent event flat
    size: int  # how many numbers a flat z has


def path_of(model: AbstractLatentModel, x: PyTree, cond: Cond, mask: Mask) -> Path:
    """Build the path of one row."""
    prior = model.prior(cond=cond)
    shapes = jax.eval_shape(lambda: prior.sample(key=jax.random.key(0)))
    _check_latents(prior, shapes)
    empty, event = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))

    def at(z: Array) -> Place:
        return Place(z, *model.log_joint(event(z), x, cond=cond, mask=mask))

    def flat(z: PyTree) -> Array:
        return ravel_pytree(z)[0]

    return Path(lambda key: flat(prior.sample(key=key)), at, flat, empty.size)


def _check_latents(prior: AbstractDistribution, shapes: PyTree) -> None:
    parts = list(prior.parts.values()) if isinstance(prior, Product) else [prior]
    whole = any(not jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(shapes))
    kind = next((p for p in parts if isinstance(p, (*_ELSEWHERE, Bernoulli))), None)
    if whole or isinstance(kind, Bernoulli):
        what = "latents that are choices or whole numbers have no slope to move along."
    elif kind is not None:
        what = f"latents of a {type(kind).__name__} prior do not fill a whole vector space, in which moves are made."
    else:
        return
    raise ConfigError(what, where="model.prior", fix="Use importance_sampling (log_marginal), which any latents allow.")


def sigmoid_schedule(num_temperatures: int) -> Float[Array, " T_and_1"]:
    r"""Temperatures from 0 to 1 that lie close together at both ends."""
    # $\beta_0 = 0 < \dots < \beta_T = 1$ by $\sigma(\delta(2t/T - 1))$, rescaled.
    # Source: Wu, Burda, Salakhutdinov & Grosse (2017), arXiv 1611.04273, with their $\delta = 4$.
    raw = jax.nn.sigmoid(4.0 * (2.0 * jnp.arange(num_temperatures + 1) / num_temperatures - 1.0))
    return ((raw - raw[0]) / (raw[-1] - raw[0])).at[-1].set(1.0)


def hamiltonian_move(
    path: Path, place: Place, beta: Array, step_size: Array, num_leapfrog: int, *, key: Key
) -> tuple[Place, Float[Array, ""]]:
    r"""Make one Hamiltonian move that leaves a density of the path as it is."""
    # Leapfrog steps from a fresh Normal momentum, then accepted or rejected; the step size varies by a fifth at random,
    # so that no orbit closes. The density is $f_\beta$.
    # Source: Duane et al. (1987); Neal (2011), "MCMC using Hamiltonian dynamics".
    momentum_key, size_key, accept_key = jax.random.split(key, 3)
    size = step_size * jax.random.uniform(size_key, minval=0.8, maxval=1.2)

    def energy(z: Array) -> tuple[Nats, Place]:
        found = path.at(z)
        return found.log_prior + beta * found.log_likelihood, found

    slope = jax.value_and_grad(energy, has_aux=True)
    momentum = jax.random.normal(momentum_key, place.z.shape, place.z.dtype)
    (before, _), gradient = slope(place.z)

    def leap(_: Array, carry: tuple) -> tuple:
        now, p, gradient, _ = carry
        p = p + 0.5 * size * gradient
        (value, now), gradient = slope(now.z + size * p)
        return now, p + 0.5 * size * gradient, gradient, value

    end, p, _, after = jax.lax.fori_loop(0, num_leapfrog, leap, (place, momentum, gradient, before))
    log_accept = after - before + 0.5 * (jnp.sum(momentum**2) - jnp.sum(p**2))
    # An orbit that left the numbers is rejected like one of no probability.
    log_accept = jnp.where(jnp.isfinite(log_accept), log_accept, -jnp.inf)
    accepted = jnp.log(jax.random.uniform(accept_key)) < log_accept
    chosen = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), end, place)
    return chosen, jnp.exp(jnp.minimum(log_accept, 0.0))


def adapted(log_step: Array, acceptance: Array) -> Array:
    """Adapt a step size: longer where too many moves are accepted, shorter where too few are."""
    return log_step + 0.3 * (jnp.mean(acceptance) - ACCEPTANCE)


def first_step(path: Path) -> Array:
    """Choose a first step size, for a posterior of unit scale."""
    return jnp.asarray(math.log(0.5) - 0.25 * math.log(max(path.size, 1)))


def pilot(path: Path, betas: Float[Array, " T_and_1"], num_leapfrog: int, *, key: Key) -> Float[Array, " T"]:
    """Find step sizes for every temperature but the first, by 8 chains of their own."""
    # The chains that are weighted use these as they are: adapting on their own moves would bias them.
    moves = max(1, math.ceil(60 / (betas.shape[0] - 1)))

    def move(carry: tuple[Any, Array], given: tuple) -> tuple[tuple[Any, Array], Array]:
        places, log_step = carry
        beta, key = given
        keys = jax.random.split(key, _PILOT_CHAINS)
        one = lambda place, key: hamiltonian_move(path, place, beta, jnp.exp(log_step), num_leapfrog, key=key)  # noqa: E731
        places, acceptance = jax.vmap(one)(places, keys)
        return (places, adapted(log_step, acceptance)), log_step

    start_key, key = jax.random.split(key)
    places = jax.vmap(lambda k: path.at(path.sample(k)))(jax.random.split(start_key, _PILOT_CHAINS))
    schedule = jnp.concatenate([jnp.full(_WARM_UP, betas[1]), jnp.repeat(betas[1:], moves)])
    _, log_steps = jax.lax.scan(move, (places, first_step(path)), (schedule, jax.random.split(key, schedule.size)))
    # The mean of a temperature's moves is steadier than its last one.
    return jnp.exp(jnp.mean(log_steps[_WARM_UP:].reshape(-1, moves), axis=1))


def check_numbers(**numbers: int) -> None:
    """Check that counts are 1 or more."""
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name} must be 1 or more, not {value}.", where=name, fix="Use 1 or more.")


class Annealed(NamedTuple):
    """The chains of one row."""

    log_weights: Float[Array, " K"]  # log weights of the chains, shape (K,), nats
    acceptance: Float[Array, ""]  # share of their moves that was accepted, shape ()


@counted(num_samples=1, num_temperatures=1, num_leapfrog=1, chains_at_once=1)
def annealed_importance_sampling(
    rows: ModelRows,
    *,
    num_samples: int = 16,
    num_temperatures: int = 500,
    num_leapfrog: int = 10,
    chains_at_once: int = 64,
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
