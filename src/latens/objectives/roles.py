"""Which arrays a term of an objective trains, and the numbers that most objectives report."""

from typing import Any, Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from latens.data.batches import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.io import keys
from latens.models import AbstractLatentModel
from latens.objectives.base import Metrics, weighted
from latens.objectives.draws import Draws, Statistic, draw
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, Nats, PyTree

KL: TypeAlias = Literal["auto", "analytic", "sampled"]
"""How KL(q || p) is found: in closed form where there is one, else from draws; in closed form only; from draws only."""


def stopped(tree: PyTree) -> PyTree:
    """Return the same tree, through which no gradient flows."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


class Roles(AbstractLatentModel):
    """A model made of two: the prior and the likelihood of one, the posterior of the other."""

    # `Roles(model, stopped(model))` has the values of `model` and trains its generative part alone; a prior that reads
    # the encoder (VampPrior) counts as generative.

    generative: AbstractLatentModel  # the model whose prior and likelihood are used
    recognition: AbstractLatentModel  # the model whose posterior is used

    def prior(self, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        return self.generative.prior(cond=cond, key=key)

    def posterior(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        return self.recognition.posterior(x, cond=cond, mask=mask, key=key)

    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        return self.generative.likelihood(z, cond=cond, key=key)

    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        return self.generative.log_joint(z, x, cond=cond, mask=mask, key=key)


def generative_part(model: AbstractLatentModel) -> Roles:
    """Keep a model's values and let gradients reach its prior and likelihood only."""
    return Roles(model, stopped(model))


def recognition_part(model: AbstractLatentModel) -> Roles:
    """Keep a model's values and let gradients reach its posterior only, through z and through log q."""
    return Roles(stopped(model), model)


def sampled_metrics(draws: Draws, batch: Batch) -> Metrics:
    r"""Report the ELBO and its two parts from posterior samples alone, averaged over the K samples of a row."""
    # `kl` is $E_q[\log q - \log p]$.
    return {
        "elbo": weighted(jnp.mean(draws.log_weight, axis=0), batch),
        "log_likelihood": weighted(jnp.mean(draws.log_likelihood, axis=0), batch),
        "kl": weighted(jnp.mean(draws.log_posterior - draws.log_prior, axis=0), batch),
    }


class Evidence(NamedTuple):
    r"""The two parts of the ELBO by row, the samples they come from, and the metrics to report."""

    draws: Draws  # the posterior samples and their log densities
    log_likelihood: Float[Array, " B"]  # mean of $\log p(x \mid z)$ over the samples, shape (B,), nats
    kl: Float[Array, " B"]  # KL(q || p), shape (B,), nats
    metrics: Metrics  # `elbo`, `log_likelihood` and `kl`, in nats


def evidence(
    model: AbstractLatentModel,
    batch: Batch,
    *,
    key: Key,
    kl: KL = "auto",
    num_samples: int = 1,
    statistics: dict[str, Statistic] | None = None,
) -> Evidence:
    """Compute the two parts of the ELBO: what an objective that adds a term to it starts from."""
    wanted: dict[str, Statistic] = dict(statistics or {})
    if kl != "sampled":
        wanted["kl"] = lambda q, p, z, x: jnp.sum(kl_terms(q, p)) if by_formula(kl, q, p) else None
    draws = draw(model, batch, num_samples=num_samples, key=key, statistics=wanted)
    log_likelihood = jnp.mean(draws.log_likelihood, axis=0)
    divergence = draws.statistics.get("kl")
    if divergence is None:
        divergence = jnp.mean(draws.log_posterior - draws.log_prior, axis=0)
    metrics = {
        "elbo": weighted(log_likelihood - divergence, batch),
        "log_likelihood": weighted(log_likelihood, batch),
        "kl": weighted(divergence, batch),
    }
    return Evidence(draws, log_likelihood, divergence, metrics)


def prior_samples(model: AbstractLatentModel, batch: Batch, *, key: Key) -> PyTree:
    """Sample one event of the prior for each row, independently of the row's posterior sample."""
    # A row of the same id gets the same event.
    base = jax.random.fold_in(key, keys.PRIOR_SAMPLES)

    def one_row(row_id: AnyArray, cond: Cond) -> Any:
        return model.prior(cond=cond).sample(key=jax.random.fold_in(base, row_id))

    return jax.vmap(one_row)(batch.row_id, batch.cond)


def flat_codes(z: PyTree) -> Float[Array, "B n"]:
    """Lay latent events out as one vector for each row: leaves flattened and put side by side."""
    # Levels of a categorical row are whole numbers; a critic sees them as numbers.
    as_numbers = [v if eqx.is_inexact_array(v) else jnp.asarray(v, jnp.float32) for v in jax.tree.leaves(z)]
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in as_numbers]
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=1)


def decoded(model: AbstractLatentModel, z: PyTree, batch: Batch) -> Float[Array, "B n"]:
    """Compute the decoder's mean of each row, flat, with zeros where x is missing."""

    def one_row(z: PyTree, cond: Cond) -> AnyArray:
        likelihood = model.likelihood(z, cond=cond)
        if not isinstance(likelihood, AbstractFactorised):
            raise ConfigError(
                f"a {type(likelihood).__name__} likelihood has no mean by variable to compare.",
                where="likelihood.family",
                fix="Use --set likelihood.family=normal.",
            )
        return likelihood.mean()

    rows = jax.vmap(one_row)(z, batch.cond)
    return flat_rows(rows, batch.mask, rows.dtype)


def flat_rows(x: PyTree, mask: Mask, dtype: DTypeLike) -> Float[Array, "B n"]:
    """Lay rows out as a critic sees them, with zeros where they are missing."""
    # mask: true where a row is observed, as a row is; None for everywhere.
    x = x if mask is None else jax.tree.map(lambda leaf, m: jnp.where(m, leaf, jnp.zeros_like(leaf)), x, mask)
    return flat_codes(x).astype(dtype)


def require(holds: bool, message: str, where: str, fix: str = "") -> None:
    """Refuse an option of an objective unless a condition holds."""
    if not holds:
        raise ConfigError(message, where=f"objective.{where}", fix=fix)


def by_formula(kl: KL, q: AbstractDistribution, p: AbstractDistribution) -> bool:
    """Say whether an objective takes KL(q || p) in closed form rather than from samples."""
    return kl == "analytic" or (kl == "auto" and has_closed_form(q, p))
