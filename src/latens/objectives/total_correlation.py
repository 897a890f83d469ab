"""Terms on the aggregated posterior q(z): its total correlation and its covariance."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.objectives.base import KL, AbstractObjective, Loss, evidence, flat_codes, mean, weighted
from latens.typing import Array, Float, Key, Step, Weight

NOTHING = -1e30
"""The logarithm of a weight of 0, finite so that its gradient is 0 and not NaN."""


def _positive(total: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.where(total > 0.0, total, 1.0)


def _factorised(q: AbstractDistribution, name: str) -> AbstractFactorised:
    if not isinstance(q, AbstractFactorised):
        raise ConfigError(
            f"it needs a posterior that factorises over its units, not {type(q).__name__}.",
            where=f"objective.{name}",
            fix="Use a diagonal Normal posterior.",
        )
    return q


class BetaTC(AbstractObjective):
    r"""The ELBO with its KL split into mutual information, total correlation and dimension-wise KL, each with a weight.

    The objective is
    $-E_q[\log p(x \mid z)] + \alpha I(x; z) + \beta\,\mathrm{TC}(z) + \gamma\sum_d \mathrm{KL}(q(z_d) \| p(z_d))$. The
    three terms add up to the sampled KL exactly: 1, 1, 1 is the ELBO. $q(z)$ is the mean over the batch: the published
    constant $-\log N$ has no gradient and would falsify the reported terms, and the mutual information of M rows is at
    most $\log M$. The metrics are `elbo`, `log_likelihood`, `kl` and the terms `mutual_information`,
    `total_correlation`, `dimension_kl`, in nats for each row.

    Args:
        alpha: Weight of the mutual information.
        beta: Weight of the total correlation.
        gamma: Weight of the dimension-wise KL.

    Raises:
        ConfigError: The options are not valid, or a posterior that does not factorise.

    Source: Chen, Li, Grosse & Duvenaud (2018).
    """

    monitor: ClassVar[str] = "elbo"

    alpha: Weight = eqx.field(static=True, default=1.0)
    beta: Weight = eqx.field(static=True, default=6.0)
    gamma: Weight = eqx.field(static=True, default=1.0)

    def couples_rows(self) -> str:
        """Every row is held against the posteriors of the others."""
        return "q(z) is estimated from a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        # A factorised posterior holds its own numbers alone: it may leave the row's vmap.
        statistics = {"q": lambda q, p, z, x: _factorised(q, "beta-tc")}
        parts = evidence(model, batch, key=key, kl="sampled", statistics=statistics)
        own, prior = parts.draws.log_posterior[0], parts.draws.log_prior[0]
        # $\log q(z_{i,d} \mid x_j)$ for all i, j and latent dimensions d.
        z = parts.draws.z[0]
        terms = jax.vmap(lambda q: jax.vmap(q.log_prob_terms)(z))(parts.draws.statistics["q"])
        by_unit = jnp.swapaxes(terms, 0, 1).reshape(z.shape[0], z.shape[0], -1)
        weight = batch.weights / _positive(jnp.sum(batch.weights))
        share = jnp.where(weight > 0.0, jnp.log(jnp.where(weight > 0.0, weight, 1.0)), NOTHING)
        joint = jax.nn.logsumexp(share + jnp.sum(by_unit, axis=2), axis=1)
        units = jnp.sum(jax.nn.logsumexp(share[:, None] + by_unit, axis=1), axis=1)
        metrics = {
            **parts.metrics,
            "mutual_information": weighted(own - joint, batch),
            "total_correlation": weighted(joint - units, batch),
            "dimension_kl": weighted(units - prior, batch),
        }
        loss = (
            -mean(metrics["log_likelihood"])
            + self.alpha * mean(metrics["mutual_information"])
            + self.beta * mean(metrics["total_correlation"])
            + self.gamma * mean(metrics["dimension_kl"])
        )
        return loss, metrics


class DIP(AbstractObjective):
    r"""The ELBO with a penalty that pulls the covariance of the codes towards the identity matrix.

    The penalty is $\lambda_o\sum_{i\ne j} C_{ij}^2 + \lambda_d\sum_i(C_{ii}-1)^2$. Variant 1 takes C of the posterior
    means, variant 2 of z itself: $C = \mathrm{Cov}[\mu(x)] + E[\Sigma(x)]$. The covariance is that of the batch,
    divided by its number of rows. The metrics are `elbo`, `log_likelihood`, `kl` and the penalty's two sums
    `off_diagonal`, `diagonal` (before their weights).

    Args:
        variant: 1 or 2.
        off_diagonal: $\lambda_o$, at least 0.
        diagonal: $\lambda_d$, at least 0.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: The options are not valid, or a variant 2 posterior without a scale.

    Source: Kumar, Sattigeri & Balakrishnan (2018), DIP-VAE.
    """

    monitor: ClassVar[str] = "elbo"

    variant: Literal[1, 2] = eqx.field(static=True, default=1)
    off_diagonal: Weight = eqx.field(static=True, default=10.0)
    diagonal: Weight = eqx.field(static=True, default=100.0)
    kl: KL = eqx.field(static=True, default="auto")

    def couples_rows(self) -> str:
        """The penalty is of the covariance of all rows."""
        return "its covariance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        statistics = {"loc": lambda q, p, z, x: _factorised(q, "dip").mean()}
        if self.variant == 2:
            statistics["variance"] = lambda q, p, z, x: _variance(q)
        parts = evidence(model, batch, key=key, kl=self.kl, statistics=statistics)
        covariance = _covariance(flat_codes(parts.draws.statistics["loc"]), batch)
        if self.variant == 2:
            variances = flat_codes(parts.draws.statistics["variance"])
            average = jax.vmap(lambda unit: mean(weighted(unit, batch)), in_axes=1)(variances)
            covariance = covariance + jnp.diag(average)
        own = jnp.diagonal(covariance)
        off, on = jnp.sum(covariance**2) - jnp.sum(own**2), jnp.sum((own - 1.0) ** 2)
        ones = jnp.ones_like(parts.kl)
        metrics = {**parts.metrics, "off_diagonal": weighted(off * ones, batch), "diagonal": weighted(on * ones, batch)}
        return -mean(metrics["elbo"]) + self.off_diagonal * off + self.diagonal * on, metrics


def _variance(q: AbstractFactorised) -> Float[Array, "*z"]:
    log_scale = getattr(q, "log_scale_array", None)
    if log_scale is None:
        raise ConfigError(
            f"variant 2 needs the posterior's variance, and {type(q).__name__} gives none.",
            where="objective.dip",
            fix="Use variant=1 or a diagonal Normal posterior.",
        )
    return jnp.exp(2.0 * log_scale())


def _covariance(codes: Float[Array, "B n"], batch: Batch) -> Float[Array, "n n"]:
    share = batch.weights / _positive(jnp.sum(batch.weights))
    centred = codes - (share @ codes)[None]
    return jnp.einsum("b,bi,bj->ij", share, centred, centred)
