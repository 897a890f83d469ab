"""The aggregated posterior, what a prior would be if it were fitted to the rows: its moments, draws and fits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.dataset import Batch
from latens.distributions import Deterministic, DiagonalNormal, FullNormal
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_rows
from latens.io.process import counted
from latens.models import AbstractLatentModel, FullMixturePrior, MixturePrior
from latens.trainable import held
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, PyTree

_RIDGE = 1e-6
"""Of the mean variance, added to every variance: a unit that never moves has no density."""


class LatentMoments(NamedTuple):
    """The first two moments of latents, in float64."""

    mean: np.ndarray
    covariance: np.ndarray


def top_level(z: PyTree) -> PyTree:
    """Pick what a prior is fitted to: the latent, of a hierarchy its highest level."""
    return z[-1] if isinstance(z, tuple) else z


@counted(num_draws=1)
def aggregated_draws(rows: ModelRows, *, num_draws: int = 1) -> np.ndarray:
    """Some samples of q(z | x) for every row, of a hierarchy its highest level: the aggregated posterior."""
    drawn = map_rows(Partial(_draws, num_draws=num_draws), rows)
    return drawn.reshape(len(drawn) * num_draws, -1)


def _draws(model: AbstractLatentModel, batch: Batch, key: Key, num_draws: int) -> Float[Array, "B M *z"]:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        posterior = model.posterior(x, cond=cond, mask=mask)
        keys = jax.random.split(jax.random.fold_in(key, row_id), num_draws)
        return jax.vmap(lambda k: top_level(posterior.sample(key=k)))(keys)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@counted(num_draws=1)
def aggregated_moments(rows: ModelRows, *, num_draws: int = 20) -> LatentMoments:
    """The mean and the covariance of the aggregated posterior."""
    # Of $\bar q(z) = \frac1N\sum_i q(z \mid x_i)$: $E[\mu_i]$ and $\mathrm{Cov}[\mu_i] + E[\Sigma_i]$ (both over the N
    # rows, weighted where they have weights): exact for posteriors whose mean and covariance are known (Normals, point
    # masses); of others, also of the highest level of a hierarchy, from `num_draws` samples of each row.
    weight = np.ones(len(rows.batch.row_id)) if rows.batch.weight is None else np.asarray(rows.batch.weight, np.float64)
    found = map_rows(_moments, rows)
    if found is None:
        draws = aggregated_draws(rows, num_draws=num_draws)
        weight, within = np.repeat(weight, num_draws), 0.0
    else:
        draws, spread = (np.asarray(part, np.float64) for part in found)
        within = np.tensordot(weight / weight.sum(), spread, axes=1)
    share = weight / weight.sum()
    mean = share @ np.asarray(draws, np.float64)
    centred = draws - mean
    return LatentMoments(mean, (share[:, None] * centred).T @ centred + within)


def _moments(model: AbstractLatentModel, batch: Batch, key: Key) -> tuple[Array, Array] | None:
    """(mean, covariance) of each row's posterior, None where they have no formula."""

    def one_row(x: PyTree, cond: Cond, mask: Mask) -> tuple[Array, Array] | None:
        posterior = model.posterior(x, cond=cond, mask=mask)
        if isinstance(posterior, DiagonalNormal):
            return posterior.loc.reshape(-1), jnp.diag(jnp.exp(2.0 * posterior.log_scale_array()).reshape(-1))
        if isinstance(posterior, Deterministic):
            return posterior.loc.reshape(-1), jnp.zeros((posterior.loc.size, posterior.loc.size))
        if isinstance(posterior, FullNormal):
            return posterior.loc, posterior.covariance()
        return None

    return jax.vmap(one_row)(batch.x, batch.cond, batch.mask)


def normal_of(moments: LatentMoments) -> FullNormal:
    """Build the Normal with these moments; a millionth of the mean variance is added to every variance."""
    covariance = np.asarray(moments.covariance, np.float64)
    ridge = _RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return FullNormal(jnp.asarray(moments.mean, jnp.float32), _factor(covariance + ridge * np.eye(len(covariance))))


def _factor(covariance: np.ndarray) -> Float[Array, "*c n n"]:
    """Cholesky factors as `FullNormal` has them: logarithms on the diagonal."""
    lower = np.linalg.cholesky(covariance)
    diagonal = np.arange(covariance.shape[-1])
    lower[..., diagonal, diagonal] = np.log(lower[..., diagonal, diagonal])
    return held(lower)


@counted(components=1)
def mixture_of(draws: np.ndarray, components: int, *, full: bool, seed: int = 0) -> MixturePrior | FullMixturePrior:
    """Fit a mixture of Normals by EM from k-means (scikit-learn's `GaussianMixture`)."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    draws = np.asarray(draws, np.float64)
    if not 1 <= components <= len(draws):
        what = f"components must be a number from 1 to the {len(draws)} samples, not {components}."
        raise ConfigError(what, where="prior.components", fix=f"Use 1 to {len(draws)}.")
    ridge = _RIDGE * max(float(draws.var(0).mean()), 1e-12)
    kind = "full" if full else "diag"
    # `tol` is of the mean log-likelihood, in nats; a fit that stops at the limit is still a fit.
    em = GaussianMixture(components, covariance_type=kind, reg_covar=ridge, max_iter=500, random_state=seed)
    with threadpool_limits(1):  # threads for matrices this small wait for one another: 25 s in the place of 0.2
        em.fit(draws)
    logits, loc = held(np.log(np.asarray(em.weights_))), held(np.asarray(em.means_))
    if full:
        return FullMixturePrior(logits, loc, _factor(np.asarray(em.covariances_)), components)
    return MixturePrior(logits, loc, held(0.5 * np.log(np.asarray(em.covariances_))), components)
