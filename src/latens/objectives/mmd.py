"""Objectives of autoencoders: a smooth decoder, codes like draws from the prior (MMD), independent dimensions."""

from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from msgspec import Meta

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, log_prob
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.objectives.base import (
    KL,
    AbstractObjective,
    Loss,
    by_row,
    evidence,
    flat_codes,
    mean,
    path_to,
    prior_samples,
    require,
    sum_of_squares,
    weighted,
)
from latens.runtime import random_keys
from latens.typing import AnyArray, Array, Bool, Cond, Float, Key, Mask, Nats, PyTree, Shaped, Step, Weight


def reconstruct(
    model: AbstractLatentModel, batch: Batch, *, key: Key
) -> tuple[PyTree[Shaped[Array, "B ..."]], Float[Array, " B"]]:
    r"""Sample one code for each row from the encoder and evaluate the log-likelihood."""

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> tuple[Any, Nats]:
        encoder_key, sample_key, decoder_key = jax.random.split(jax.random.fold_in(key, row_id), 3)
        posterior = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
        z = path_to(posterior, posterior.sample(key=sample_key))
        return z, log_prob(model.likelihood(z, cond=cond, key=decoder_key), x, mask)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


class Reconstruction(AbstractObjective):
    r"""The reconstruction error of a plain autoencoder, without a prior: no bound, and nothing to sample from.

    The objective is $-\log p(x \mid z)$ with $z$ drawn from the encoder, in nats, summed over the event.

    Args:
        l2: Weight of $\frac12\sum w^2$ over weight matrices.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = False
    couples_rows = by_row

    l2: Weight = eqx.field(static=True, default=0.0)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        _, rows = reconstruct(model, batch, key=key)
        metrics = {"log_likelihood": weighted(rows, batch)}
        loss = -mean(metrics["log_likelihood"])
        if self.l2 > 0.0:
            loss = loss + self.l2 * sum_of_squares(model)
        return loss, metrics


class RegularisedAutoencoder(AbstractObjective):
    r"""Reconstruction with penalties that keep the decoder smooth: on codes, on its gradient, on its weights; no bound.

    The objective is
    $-\log p(x \mid z) + \beta\frac12\|z\|^2 + \lambda\|\partial D(z)/\partial z\|_F^2 + \lambda_2\frac12\sum w^2$ with
    the decoder's mean D at the code z of x, for encoders with or without noise. RAE-GP has a gradient penalty, RAE-L2
    small decoder weights, RAE-SN a spectrally normalised decoder and neither. The metrics are `log_likelihood` in nats
    and, without their weights, `embedding` and (if it counts) `gradient_penalty`.

    Args:
        embedding: $\beta$, at least 0.
        gradient_penalty: $\lambda$, at least 0.
        l2: $\lambda_2$, at least 0, on the decoder's weight matrices.
        num_probes: How many random directions of the output estimate the gradient penalty without bias (Hutchinson's
            trick: one costs about a decoder's gradient); 0 computes it exactly, which costs as many as there are latent
            dimensions.

    Raises:
        ConfigError: An option is below 0.

    Source: Ghosh et al. (2020), arXiv 1903.12436.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = False
    couples_rows = by_row

    embedding: Weight = eqx.field(static=True, default=0.1)
    gradient_penalty: Weight = eqx.field(static=True, default=0.0)
    l2: Weight = eqx.field(static=True, default=0.0)
    num_probes: Annotated[int, Meta(ge=0)] = eqx.field(static=True, default=1)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        size = 0.5 * jnp.sum(flat_codes(z) ** 2, axis=1)
        metrics = {"log_likelihood": weighted(log_likelihood, batch), "embedding": weighted(size, batch)}
        loss = -mean(metrics["log_likelihood"]) + self.embedding * mean(metrics["embedding"])
        if self.gradient_penalty > 0.0:
            slopes = decoder_slopes(model, z, batch, num_probes=self.num_probes, key=key)
            metrics["gradient_penalty"] = weighted(slopes, batch)
            loss = loss + self.gradient_penalty * mean(metrics["gradient_penalty"])
        if self.l2 > 0.0:
            loss = loss + self.l2 * sum_of_squares(getattr(model, "decoder", model))
        return loss, metrics


def decoder_slopes(
    model: AbstractLatentModel, z: PyTree, batch: Batch, *, num_probes: int = 0, key: Key
) -> Float[Array, " B"]:
    r"""The squared norm of the decoder's Jacobian at the code of each row."""
    # $\|\partial D(z)/\partial z\|_F^2$ with D the mean of $p(x \mid z)$. With probes $v \sim N(0, I)$ it is the mean
    # of $\|v^T \partial D/\partial z\|^2$, which has the same expectation.
    base = jax.random.fold_in(key, random_keys.SLOPE_PROBES)

    def one_row(z: PyTree, row_id: AnyArray, cond: Cond) -> Nats:
        flat, rebuild = ravel_pytree(z)

        def decode(flat: Array) -> Array:
            likelihood: Any = model.likelihood(rebuild(flat), cond=cond)
            return likelihood.mean().reshape(-1)

        if num_probes == 0:
            return jnp.sum(jax.jacfwd(decode)(flat) ** 2)
        output, pull = jax.vjp(decode, flat)
        probes = jax.random.normal(jax.random.fold_in(base, row_id), (num_probes, output.size), output.dtype)
        return jnp.sum(jax.vmap(lambda v: pull(v)[0])(probes) ** 2) / num_probes

    return jax.vmap(one_row)(z, batch.row_id, batch.cond)


KernelForm = Literal["imq", "rbf"]
IMQ_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kernel(a: Float[Array, "A n"], b: Float[Array, "B n"], form: KernelForm) -> Float[Array, "A B"]:
    r"""Evaluate the kernel of the maximum mean discrepancy between all pairs of codes."""
    # With $C = 2 n$ (the scale of the prior is 1) and squared distance $r$: "rbf" $e^{-r/C}$; "imq"
    # $\sum_c \frac{cC}{cC + r}$. The seven c from 0.1 to 10 are those of the WAE authors' code.
    squared = jnp.sum((a[:, None] - b[None, :]) ** 2, axis=2)
    base = 2.0 * a.shape[1]
    if form == "rbf":
        return jnp.exp(-squared / base)
    return sum((c * base / (c * base + squared) for c in IMQ_SCALES), jnp.zeros_like(squared))


def mmd(codes: Float[Array, "B n"], prior: Float[Array, "B n"], batch: Batch, *, form: KernelForm) -> Nats:
    r"""Estimate the squared maximum mean discrepancy between codes and samples of the prior."""
    # $\mathrm{MMD}^2 = E\,k(z, z') + E\,k(y, y') - 2 E\,k(z, y)$.
    # Pairs of a row with itself are left out (rows of the same id are one row): without bias, the value can be below 0.
    pairs = batch.weights[:, None] * batch.weights[None, :]
    different = batch.row_id[:, None] != batch.row_id[None, :]
    value = lambda a, b, chosen: _average(kernel(a, b, form), pairs, chosen)  # noqa: E731
    everything = jnp.ones_like(different)
    return value(codes, codes, different) + value(prior, prior, different) - 2.0 * value(codes, prior, everything)


def _average(values: Float[Array, "B B"], pairs: Float[Array, "B B"], chosen: Bool[Array, "B B"]) -> Float[Array, ""]:
    kept = jnp.where(chosen, pairs, 0.0)
    total = jnp.sum(kept)
    return jnp.sum(kept * values) / jnp.where(total > 0.0, total, 1.0)


def _constant(value: Nats, batch: Batch) -> tuple[Nats, Float[Array, ""]]:
    """A number of the whole batch as a metric pair."""
    return weighted(value * jnp.ones_like(batch.weights), batch)


class InfoVAE(AbstractObjective):
    r"""The ELBO with a weight on its KL and a penalty on the distance between aggregated posterior and prior.

    The objective is
    $-E_q[\log p(x|z)] + (1-\alpha)\mathrm{KL}(q(z|x)\|p(z)) + (\alpha+\lambda-1)\,\mathrm{MMD}^2(q(z), p(z))$.
    $\alpha = 0, \lambda = 1$ is the ELBO, $\alpha = 1$ the MMD-VAE. The metrics are `elbo`, `log_likelihood`, `kl` in
    nats and `mmd`.

    Args:
        alpha: $\alpha$, at most 1.
        weight: $\lambda$, with $\alpha + \lambda$ at least 1.
        kernel: "imq" (inverse multiquadric) or "rbf" (Gaussian), see `kernel`.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: An option is out of range.

    Source: Zhao, Song & Ermon (2019).
    """

    monitor: ClassVar[str] = "elbo"
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "samples"

    alpha: Annotated[float, Meta(le=1.0)] = eqx.field(static=True, default=0.0)
    weight: float = eqx.field(static=True, default=10.0)
    kernel: KernelForm = eqx.field(static=True, default="rbf")
    kl: KL = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        super().__check_init__()
        both = self.alpha + self.weight
        require(both >= 1.0, f"alpha + weight, the weight of the MMD plus 1, must be at least 1, not {both}.", "weight")

    def couples_rows(self) -> str:
        """The distance is one of sets of rows."""
        return "its distance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        parts = evidence(model, batch, key=key, kl=self.kl)
        codes = flat_codes(jax.tree.map(lambda leaf: leaf[0], parts.draws.z))
        prior = flat_codes(prior_samples(model, batch, key=key))
        distance = mmd(codes, prior, batch, form=self.kernel)
        metrics = {**parts.metrics, "mmd": _constant(distance, batch)}
        divergence = (1.0 - self.alpha) * mean(metrics["kl"])
        return -mean(metrics["log_likelihood"]) + divergence + (self.alpha + self.weight - 1.0) * distance, metrics


class WAE(AbstractObjective):
    r"""Reconstruction with a penalty on the maximum mean discrepancy between codes and prior; no bound.

    The objective is $-\log p(x \mid z) + \lambda\,\mathrm{MMD}^2(q(z), p(z))$, for encoders with or without noise. The
    metrics are `log_likelihood` in nats and `mmd`.

    Args:
        weight: $\lambda$, at least 0; nats.
        kernel: "imq" (inverse multiquadric) or "rbf" (Gaussian), see `kernel`.

    Raises:
        ConfigError: An option is out of range.

    Source: Tolstikhin, Bousquet, Gelly & Schölkopf (2018), WAE-MMD.
    """

    monitor: ClassVar[str] = "log_likelihood"
    needs_density: ClassVar[bool] = False
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "samples"

    weight: Weight = eqx.field(static=True, default=10.0)
    kernel: KernelForm = eqx.field(static=True, default="imq")

    def couples_rows(self) -> str:
        """The distance is one of sets of rows."""
        return "its distance is that of a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        z, log_likelihood = reconstruct(model, batch, key=key)
        prior = flat_codes(prior_samples(model, batch, key=key))
        distance = mmd(flat_codes(z), prior, batch, form=self.kernel)
        metrics = {"log_likelihood": weighted(log_likelihood, batch), "mmd": _constant(distance, batch)}
        return -mean(metrics["log_likelihood"]) + self.weight * distance, metrics


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
