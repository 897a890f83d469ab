"""Where the KL goes: information about x, dependence between units, each unit's distance from the prior; by level."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Preparation
from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, Deterministic, DiagonalNormal, FullNormal
from latens.distributions.chain import AbstractLevels
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_rows, padded_batches, prepared_with, weights_of
from latens.evidence.estimate import Estimate
from latens.models import AbstractLatentModel
from latens.runtime.compilation import counted
from latens.runtime.programs import compiled
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, PyTree

_NUMBERS = 2**23
"""Log densities held at once (32 MB): draws times rows times units."""


@counted(num_samples=1)
def kl_split(rows: ModelRows, *, num_samples: int = 1) -> dict[str, Estimate]:
    r"""Split the KL of a model into mutual information, total correlation and dimension-wise KL.

    $\mathrm{KL}(q(z|x)\|p(z)) = I(x; z) + \mathrm{KL}(q(z)\|\prod_d q(z_d)) + \sum_d\mathrm{KL}(q(z_d)\|p(z_d))$.

    In nats a row, as `kl`, `mutual_information`, `total_correlation`, `dimensionwise_kl`; with `aggregate_kl`,
    $\mathrm{KL}(q(z)\|p(z))$, the sum of the last two. $q(z) = \sum_j w_j\,q(z \mid x_j)$ is taken over all n rows
    given, not over minibatches of them, so with the same draws the parts add up to the KL exactly.

    The split is that of these n rows: the information cannot exceed log n, and is near it wherever posteriors hardly
    overlap. More rows raise it until the posteriors do. Errors are those of rows and draws, for the n rows' q(z).
    Without `total_correlation` and `dimensionwise_kl` where the posterior has no marginals (flows, hierarchies), and
    without the second where the prior's units depend on each other.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: Number K of posterior samples for each row. It costs K n^2 log densities: 10 000 rows take minutes.

    Returns:
        The parts by name, in nats for each row.

    Raises:
        ConfigError: For a posterior without a density, or one that is a point.

    Source: Hoffman & Johnson (2016), "ELBO surgery"; Chen, Li, Grosse & Duvenaud (2018), arXiv 1802.04942.
    """
    by_row = _by_row(rows, num_samples)
    n, weight = len(rows.batch.row_id), weights_of(rows.batch)
    own, prior, joint = by_row["own"], by_row["prior"], by_row["joint"]
    found = {"kl": own - prior, "mutual_information": own - joint, "aggregate_kl": joint - prior}
    if "units" in by_row:
        units = by_row["units"].sum(axis=-1)
        found["total_correlation"] = joint - units
        if "prior units" in by_row:
            found["dimensionwise_kl"] = units - prior
    words = f"q(z) over the {n} rows given, {num_samples} draw{'s' * (num_samples > 1)} a row"
    limit = f"; at most log {n} = {math.log(n):.2f} nats"
    return {
        name: Estimate.of(
            values.mean(axis=1),
            num_samples=num_samples,
            protocol=words + (limit if name == "mutual_information" else ""),
            weight=weight,
        )
        for name, values in found.items()
    }


@counted(num_samples=1)
def level_kl(rows: ModelRows, *, num_samples: int = 16) -> list[Estimate]:
    r"""The KL of every level of a hierarchy, lowest first.

    $E_q[\log q(z_l \mid \cdot) - \log p(z_l \mid \cdot)]$ for every level, lowest first, in nats a row.

    Each level given what comes before it in q and in p; they add up to the KL. One level's is a KL only where both
    are given the same levels (a ladder); it may be negative elsewhere. A model of one level has one number.

    Args:
        rows: The model and the stored rows, B of them.
        num_samples: Number of posterior samples for each row.

    Returns:
        One estimate for each level, in nats for each row.
    """
    found = level_kl_rows(rows, num_samples=num_samples)
    words = f"mean over {num_samples} draws from the posterior"
    weight = weights_of(rows.batch)
    return [Estimate.of(part, num_samples=num_samples, protocol=words, weight=weight) for part in found.T]


@counted(num_samples=1)
def level_kl_rows(rows: ModelRows, *, num_samples: int = 16) -> np.ndarray:
    """The KL of every level of a hierarchy for each row, lowest level first, of which `level_kl` is the mean."""
    function = Partial(_levels, num_samples=num_samples)
    return map_rows(function, rows)


def _levels(model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int) -> Float[Array, "B L"]:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        _refuse_points(posterior)
        own = jax.random.fold_in(key, row_id)

        def one(index: Array) -> Array:
            z = posterior.sample(key=jax.random.fold_in(own, index))
            each = posterior, prior
            both = [d.log_prob_by_level(z) if isinstance(d, AbstractLevels) else [d.log_prob(z)] for d in each]
            if len(both[0]) != len(both[1]):
                both = [[sum(terms[1:], start=terms[0])] for terms in both]
            return jnp.stack([q - p for q, p in zip(*both)])

        return jnp.mean(jax.vmap(one)(jnp.arange(num_samples)), axis=0)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def _refuse_points(posterior: AbstractDistribution) -> None:
    if isinstance(posterior, Deterministic):
        what = "a code without noise has no density, and its KL no parts."
        raise ConfigError(what, where="posterior.kind", fix="Use a posterior that is a distribution.")


def _unit_terms(distribution: AbstractDistribution, z: PyTree) -> Float[Array, " d"] | None:
    """log density of every unit under its own marginal, None where that is not known."""
    if isinstance(distribution, AbstractFactorised):
        return distribution.log_prob_terms(z).reshape(-1)
    if isinstance(distribution, FullNormal):
        variance = jnp.diagonal(distribution.covariance())
        return DiagonalNormal(distribution.mean(), 0.5 * jnp.log(variance)).log_prob_terms(z)
    return None


def _drawn(model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int) -> dict[str, Any]:
    """Draws of each row's posterior with their own log densities, led by (B, K)."""

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> dict[str, Any]:
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        _refuse_points(posterior)
        own = jax.random.fold_in(key, row_id)

        def one(index: Array) -> dict[str, Any]:
            z = posterior.sample(key=jax.random.fold_in(own, index))
            found = {"z": z, "own": posterior.log_prob(z), "prior": prior.log_prob(z)}
            return found | ({"prior units": _unit_terms(prior, z)} if isinstance(prior, AbstractFactorised) else {})

        return jax.vmap(one)(jnp.arange(num_samples))

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@compiled
def _against(
    model: AbstractLatentModel, rows: Batch, log_share: Array, z: PyTree, preparation: Preparation, key: Key
) -> tuple:
    """log sum_j w_j q(z | x_j) of each draw over these rows, and likewise of each unit (None without marginals)."""
    batch, _ = prepared_with(rows, preparation, key)

    def one_row(x: PyTree, cond: Cond, mask: Mask) -> tuple:
        posterior = model.posterior(x, cond=cond, mask=mask)
        units = jax.vmap(lambda one: _unit_terms(posterior, one))(z)
        if isinstance(posterior, AbstractFactorised) and units is not None:
            return units.sum(axis=-1), units
        return jax.vmap(posterior.log_prob)(z), units

    joint, units = jax.vmap(one_row)(batch.x, batch.cond, batch.mask)
    total = jax.nn.logsumexp(joint + log_share[:, None], axis=0)
    return total, None if units is None else jax.nn.logsumexp(units + log_share[:, None, None], axis=0)


def _by_row(rows: ModelRows, num_samples: int) -> dict[str, np.ndarray]:
    """Log densities (n, K) and, by unit, (n, K, d): own, under the prior, and under the aggregate of all rows."""
    function = Partial(_drawn, num_samples=num_samples)
    found = map_rows(function, rows)
    z = found.pop("z")
    batch = rows.batch
    n, width = len(batch.row_id), max(1, sum(leaf[0, 0].size for leaf in jax.tree.leaves(z)))
    weight = weights_of(batch)
    share = np.full(n, 1.0 / n) if weight is None else weight / weight.sum()
    with np.errstate(divide="ignore"):
        log_share = np.log(share).astype(np.float32)
    flat = jax.tree.map(lambda leaf: leaf.reshape(n * num_samples, *leaf.shape[2:]), z)
    parts = list(padded_batches(batch, rows.batch_size))
    size = len(parts[0][0].row_id)
    draws = min(n * num_samples, max(1, _NUMBERS // (size * width)))
    model, joint, units = eqx.nn.inference_mode(rows.model), [], []
    for first in range(0, n * num_samples, draws):
        index = np.minimum(np.arange(first, first + draws), n * num_samples - 1)
        some, total = jax.tree.map(lambda leaf, i=index: jnp.asarray(leaf[i]), flat), None
        for number, (part, count) in enumerate(parts):
            shares = np.full(size, -np.inf, np.float32)
            shares[:count] = log_share[number * size : number * size + count]
            new = _against(model, part, jnp.asarray(shares), some, rows.preparation, rows.key)
            total = new if total is None else jax.tree.map(jnp.logaddexp, total, new)
        assert total is not None
        kept = min(draws, n * num_samples - first)
        joint.append(np.asarray(total[0], np.float64)[:kept])
        units.append(None if total[1] is None else np.asarray(total[1], np.float64)[:kept])
    result = {name: np.asarray(values, np.float64) for name, values in found.items()}
    result["joint"] = np.concatenate(joint).reshape(n, num_samples)
    if units[0] is not None:
        result["units"] = np.concatenate(units).reshape(n, num_samples, -1)
    return _finite(result)


def _finite(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not all(np.isfinite(values).all() for values in found.values()):
        what = "a draw has probability 0 or infinite density, so the KL has no finite parts."
        fix = "Use a posterior that is a distribution; look for extreme values with `latens check`."
        raise ConfigError(what, where="posterior.kind", fix=fix)
    return found
