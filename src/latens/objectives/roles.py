"""Which arrays a term of an objective trains, and the numbers that most objectives report."""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.distributions import AbstractDistribution, has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.objectives.base import Metrics, weighted
from latens.objectives.draws import Draws, Statistic, draw
from latens.typing import AnyArray, Array, Float, Key, Nats, PyTree

KL: TypeAlias = Literal["auto", "analytic", "sampled"]
"""How KL(q || p) is found: in closed form where there is one, else from draws; in closed form only; from draws only."""


def stopped(tree: PyTree) -> PyTree:
    """The same tree, through which no gradient flows."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


class Roles(AbstractLatentModel):
    """A model made of two: prior and likelihood of `generative`, the posterior of `recognition`.

    `Roles(model, stopped(model))` has the values of `model` and trains its generative part alone; a prior that reads
    the encoder (VampPrior) counts as generative.
    """

    generative: AbstractLatentModel
    recognition: AbstractLatentModel

    def prior(self, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> AbstractDistribution:
        return self.generative.prior(cond=cond, key=key)

    def posterior(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> AbstractDistribution:
        return self.recognition.posterior(x, cond=cond, mask=mask, key=key)

    def likelihood(self, z: Any, *, cond: dict[str, Any] | None = None, key: Key | None = None) -> AbstractDistribution:
        return self.generative.likelihood(z, cond=cond, key=key)

    def log_joint(
        self, z: Any, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        return self.generative.log_joint(z, x, cond=cond, mask=mask, key=key)


def generative_part(model: AbstractLatentModel) -> Roles:
    """The same values; gradients reach prior and likelihood only, neither the posterior nor z."""
    return Roles(model, stopped(model))


def recognition_part(model: AbstractLatentModel) -> Roles:
    """The same values; gradients reach the posterior only, through z and through log q."""
    return Roles(stopped(model), model)


def sampled_metrics(draws: Draws, batch: Batch) -> Metrics:
    r"""`elbo`, `log_likelihood` and `kl` $= E_q[\log q - \log p]$, all from the draws, averaged over the K of a row."""
    return {
        "elbo": weighted(jnp.mean(draws.log_weight, axis=0), batch),
        "log_likelihood": weighted(jnp.mean(draws.log_likelihood, axis=0), batch),
        "kl": weighted(jnp.mean(draws.log_posterior - draws.log_prior, axis=0), batch),
    }


class Evidence(NamedTuple):
    """The two parts of the ELBO by row, the draws they come from, and the metrics `elbo`, `log_likelihood`, `kl`."""

    draws: Draws
    log_likelihood: Float[Array, " B"]
    kl: Float[Array, " B"]
    metrics: Metrics


def evidence(
    model: AbstractLatentModel,
    batch: Batch,
    *,
    key: Key,
    kl: KL = "auto",
    num_samples: int = 1,
    statistics: dict[str, Statistic] | None = None,
) -> Evidence:
    """What an objective that adds a term to the ELBO starts from; nats.

    **Raises:** ConfigError for an analytic KL without a closed form.
    """
    wanted: dict[str, Statistic] = dict(statistics or {})
    if kl != "sampled":
        wanted["kl"] = lambda q, p, z, x: jnp.sum(kl_terms(q, p)) if by_formula(kl, q, p) else None
    draws = draw(model, batch, num_samples=num_samples, key=key, statistics=wanted, dropout=True)
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
    """One event of the prior for each row, led by B: independent of the row's posterior draw, the same for its id."""
    base = jax.random.fold_in(key, 0x9A10)

    def one_row(row_id: AnyArray, cond: Any) -> Any:
        return model.prior(cond=cond).sample(key=jax.random.fold_in(base, row_id))

    return jax.vmap(one_row)(batch.row_id, batch.cond)


def flat_codes(z: PyTree) -> Float[Array, "B n"]:
    """Latent events as one vector a row: leaves flattened and put side by side."""
    # Levels of a categorical row are whole numbers; a critic sees them as numbers.
    as_numbers = [v if eqx.is_inexact_array(v) else jnp.asarray(v, jnp.float32) for v in jax.tree.leaves(z)]
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in as_numbers]
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=1)


def require(holds: bool, message: str, where: str, fix: str = "") -> None:
    """**Raises:** ConfigError at `objective.<where>` unless the condition holds."""
    if not holds:
        raise ConfigError(message, where=f"objective.{where}", fix=fix)


def by_formula(kl: KL, q: AbstractDistribution, p: AbstractDistribution) -> bool:
    """Whether an objective with this `kl` takes KL(q || p) exactly, not from its draws."""
    return kl == "analytic" or (kl == "auto" and has_closed_form(q, p))


def require_kl(kl: str) -> None:
    """**Raises:** ConfigError unless `kl` says how the divergence is found."""
    require(kl in get_args(KL), f"there is no way {kl!r} to compute the KL.", "kl", f"Use {', '.join(get_args(KL))}.")


def require_weight(weight: float) -> None:
    """**Raises:** ConfigError for a weight below 0."""
    require(weight >= 0.0, f"the weight must be 0 or more, not {weight}.", "weight")
