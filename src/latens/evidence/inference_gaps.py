"""Where the nats between the ELBO and log p(x) go: to the family of the posterior, or to the encoder.

Gradient steps on the parameters of a row's posterior, from the encoder's start, tell one from the other.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

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
    DiagonalNormal,
    FullNormal,
)
from latens.errors import ConfigError
from latens.evidence.annealing import check_numbers, path_of
from latens.evidence.batched import ModelRows, map_rows, weights_of
from latens.evidence.estimate import Estimate
from latens.evidence.importance import LogMarginals, log_mean_error, summarise
from latens.models import AbstractLatentModel
from latens.runtime.compilation import counted
from latens.runtime.random_keys import CURVATURE
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


Family = Literal["own", "diagonal", "full"]

_CHUNK = 50

MOST_FULL = 64
"""Latent numbers up to which log p(x) is also drawn from a full-covariance Normal: it costs their cube."""

_CURVATURE_DRAWS, _FLATTEST = 8, 0.1


@counted(num_samples=1, steps=0, draws_per_step=1)
def gap_rows(
    rows: ModelRows,
    *,
    family: Family = "own",
    num_samples: int = 1000,
    steps: int = 300,
    learning_rate: float = 0.05,
    draws_per_step: int = 8,
) -> dict[str, np.ndarray]:
    """What `inference_gaps` averages, by row: bounds and gaps in nats, and what the weights of log p(x) say."""
    check_numbers(num_samples=num_samples - 1, draws_per_step=draws_per_step)
    options = {"steps": steps, "learning_rate": learning_rate, "draws_per_step": draws_per_step}
    function = Partial(_gaps, family=family, num_samples=num_samples, **options)
    size = rows.batch_size or min(len(rows.batch.row_id), 128)
    return map_rows(function, replace(rows, batch_size=size))


@counted(num_samples=1, steps=0, draws_per_step=1)
def inference_gaps(
    rows: ModelRows,
    *,
    family: Family = "own",
    num_samples: int = 1000,
    steps: int = 300,
    learning_rate: float = 0.05,
    draws_per_step: int = 8,
) -> dict[str, Estimate]:
    r"""Split the gap between log p(x) and the ELBO into the part of the family and the part of the encoder.

    $\log p(x) - L[q] = (\log p(x) - L[q^*]) + (L[q^*] - L[q])$: the `approximation_gap`, what the best posterior $q^*$
    of the family leaves, and the `amortisation_gap`, what the encoder's q loses against it. $q^*$ is found for each
    row by gradient steps from the encoder's q. log p(x) is by importance sampling, half of the samples from $q^*$ and
    half from a Normal with the full covariance that the curvature of log p(x, z) around $q^*$ asks for, each weighted
    by the mean of both densities: so it sees posteriors whose latents depend on each other, as a diagonal $q^*$ cannot.
    (From $q^*$ alone where that is full already, or has more than 64 numbers.) In expectation it is below
    log p(x), so the approximation gap is a lower bound of the true one, tight where `pareto_k` is small.

    Args:
        rows: The model and the stored rows, B of them.
        family: Of $q^*$: "diagonal" or "full" Normal, or "own": the encoder's, one of these. Under a richer family than
            the encoder's the amortisation gap also holds what the encoder's family cannot say.
        num_samples: K, for every bound.
        steps: Gradient steps of each row's posterior.
        learning_rate: Learning rate of these steps.
        draws_per_step: Samples in one of these steps.

    Returns:
        The means `log_marginal`, `elbo`, `approximation_gap`, `amortisation_gap` in nats, and the medians
        `effective_sample_size` and `pareto_k`.

    Raises:
        ConfigError: For latents that are not free vectors, and for an "own" family that is none of the above.

    Source: Cremer, Li & Duvenaud (2018), "Inference suboptimality in variational autoencoders", arXiv 1801.03558.
    """
    options = {"steps": steps, "learning_rate": learning_rate, "draws_per_step": draws_per_step}
    by_row = gap_rows(rows, family=family, num_samples=num_samples, **options)
    words = f"posterior of each row refined by {steps} steps ({family} family), {num_samples} draws a row"
    weight = weights_of(rows.batch)
    size, k = by_row["effective_sample_size"], by_row["pareto_k"]
    error = np.asarray(log_mean_error(jnp.asarray(size), num_samples))
    rises = by_row["rises"]
    value = LogMarginals(by_row["log_marginal"], error, num_samples, words, size, k, num_samples - 1, weight, rises)
    found = value.estimates()
    for name in ("elbo", "approximation_gap", "amortisation_gap"):
        found[name] = Estimate.of(by_row[name], num_samples=num_samples, protocol=words, weight=weight)
    # It is log p(x) minus a number of little noise: what the draws leave unsaid of the one they do of the other.
    note = f"{words}; a lower bound, short by about the error of the draws"
    gap = replace(found["approximation_gap"], protocol=note)
    found["approximation_gap"] = gap.with_draws_error(value.draws_error, value.sums.lacks)
    return found


def _gaps(
    model: AbstractLatentModel,
    batch: Batch,
    key: Key,
    family: Family,
    num_samples: int,
    steps: int,
    learning_rate: float,
    draws_per_step: int,
) -> dict[str, Array]:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> tuple[Array, Array, Array]:
        path = path_of(model, x, cond, mask)
        posterior = model.posterior(x, cond=cond, mask=mask)
        start_key, step_key, draw_key = jax.random.split(jax.random.fold_in(key, row_id), 3)

        def log_joint(z: PyTree) -> Array:
            place = path.at(path.flat(z))
            return place.log_prior + place.log_likelihood

        start = starting_point(posterior, family, path.flat, key=start_key)
        options = {"steps": steps, "learning_rate": learning_rate, "num_samples": draws_per_step}
        best = ascend(log_joint, start, key=step_key, **options)

        def weights(q: AbstractDistribution, density: Any = None) -> Float[Array, " K"]:
            chunk = lambda key: log_weights(log_joint, q, min(_CHUNK, num_samples), key=key, density=density)  # noqa: E731
            keys = jax.random.split(draw_key, -(-num_samples // _CHUNK))
            return jax.lax.map(chunk, keys).reshape(-1)[:num_samples]

        own = weights(best)
        if not isinstance(best, DiagonalNormal) or path.size > MOST_FULL:
            return own, own, weights(posterior)
        full = curved(log_joint, best, key=jax.random.fold_in(draw_key, CURVATURE))
        both, half = _Both(best, full), num_samples // 2
        mixed = jnp.concatenate([weights(best, both)[: num_samples - half], weights(full, both)[:half]])
        return mixed, own, weights(posterior)

    of_p, best, encoded = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
    # Interleaved, so that each half of the draws has as many from either distribution.
    order = np.argsort(np.arange(num_samples) % (num_samples - num_samples // 2), kind="stable")
    summary = summarise(of_p[:, order])
    elbo, refined = jnp.mean(encoded, axis=1), jnp.mean(best, axis=1)
    return {
        "log_marginal": summary.log_mean,
        "elbo": elbo,
        "refined_elbo": refined,
        "approximation_gap": summary.log_mean - refined,
        "amortisation_gap": refined - elbo,
        "effective_sample_size": summary.effective_sample_size,
        "pareto_k": summary.pareto_k,
        "rises": summary.rises,
    }


class _Both(NamedTuple):
    """Two distributions, each with half of the draws."""

    one: AbstractDistribution
    other: AbstractDistribution

    def log_prob(self, z: PyTree) -> Array:
        return jnp.logaddexp(self.one.log_prob(z), self.other.log_prob(z)) - math.log(2.0)


def curved(log_joint: LogJoint, best: DiagonalNormal, *, key: Key) -> FullNormal:
    r"""Fit a full-covariance Normal around the best diagonal one, by the curvature of the joint density."""
    # The full-covariance Normal around `best` whose precision is $-E_q[\nabla^2 \log p(x, z)]$, q = `best`.
    # That is the condition of the best full Normal (Opper & Archambeau 2009, equation 9); of a Gaussian model it is the
    # exact posterior. Directions in which the curvature is below 0.1, or of the wrong sign, get that precision.
    draws = jax.vmap(lambda key: best.sample(key=key))(jax.random.split(key, _CURVATURE_DRAWS))

    def row(axis: Array) -> Array:  # one after the other: all at once would need as many decoders as latents
        slope = jax.grad(log_joint)
        return -jnp.mean(jax.lax.map(lambda z: jax.jvp(slope, (z,), (axis,))[1], draws), axis=0)

    curvature = jax.lax.map(row, jnp.eye(best.loc.shape[0], dtype=best.loc.dtype))
    values, axes = jnp.linalg.eigh(0.5 * (curvature + curvature.T))
    spread = axes / jnp.sqrt(jnp.maximum(values, _FLATTEST))
    # S S^T = L L^T with S^T = Q R and L = R^T: signs of the rows of R are free.
    upper = jnp.linalg.qr(spread.T, mode="r")
    upper = upper * jnp.sign(jnp.diagonal(upper))[:, None]
    scale = jnp.maximum(jnp.diagonal(upper), 1e-12)
    return FullNormal(best.loc, jnp.tril(upper.T, -1) + jnp.diag(jnp.log(scale)))


def starting_point(
    posterior: AbstractDistribution, family: Family, flat: Callable[[PyTree], Array], *, key: Key
) -> AbstractDistribution:
    """Find the member of a family nearest to the encoder's posterior, over flat latents."""
    # It has the means and scales of the posterior, taken from 256 samples where these have no closed form.
    if family == "own":
        if not isinstance(posterior, DiagonalNormal | FullNormal):
            what = f"a {type(posterior).__name__} posterior has no parameters of one row that could be refined."
            raise ConfigError(what, where="family", fix='Use family="diagonal" or "full".')
        family = "diagonal" if isinstance(posterior, DiagonalNormal) else "full"
    if family == "full" and isinstance(posterior, FullNormal):
        return posterior
    if isinstance(posterior, DiagonalNormal):
        loc, log_scale = posterior.loc.reshape(-1), posterior.log_scale_array().reshape(-1)
    elif isinstance(posterior, FullNormal):
        loc, log_scale = posterior.loc, 0.5 * jnp.log(jnp.diagonal(posterior.covariance()))
    else:
        draws = jax.vmap(lambda k: flat(posterior.sample(key=k)))(jax.random.split(key, 256))
        loc, log_scale = jnp.mean(draws, axis=0), jnp.log(jnp.std(draws, axis=0) + 1e-6)
    if family == "diagonal":
        return DiagonalNormal(loc, log_scale)
    return FullNormal(loc, jnp.diag(log_scale))
