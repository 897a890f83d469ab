"""Two-player objectives: a critic, trained beside the model by its own loss, that estimates a density ratio.

One scalar is built so that each group's gradient is that of its own loss: the model meets a stopped critic, the critic
meets stopped codes.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Metrics, mean, value_with_gradient, weighted, without_padding
from latens.objectives.reconstruction import reconstruct
from latens.objectives.roles import KL, evidence, flat_codes, prior_samples, require_kl, require_weight, stopped
from latens.typing import Array, Float, Int, Key, Nats

Critic = Callable[..., Array]
"""One vector to one logit: a network with one output, such as `Dense([n, 100, 100, 1], ...)`."""


def logits(critic: Critic, codes: Float[Array, "B n"]) -> Float[Array, " B"]:
    """The critic's logit of each row."""
    return jax.vmap(lambda z: critic(z).reshape(()))(codes)


def critic_loss(
    critic: Critic, positive: Float[Array, "B n"], negative: Float[Array, "B n"], batch: Batch
) -> Float[Array, ""]:
    r"""Mean binary cross-entropy, in nats: $\frac12 E_+[\log(1 + e^{-l})] + \frac12 E_-[\log(1 + e^{l})]$.

    Its minimum is at $l = \log p_+ / p_-$; the codes are stopped, so only the critic is trained.
    """
    positive, negative = jax.lax.stop_gradient(positive), jax.lax.stop_gradient(negative)
    rows = jax.nn.softplus(-logits(critic, positive)) + jax.nn.softplus(logits(critic, negative))
    return 0.5 * mean(weighted(rows, batch))


def critic_accuracy(critic: Critic, positive: Float[Array, "B n"], negative: Float[Array, "B n"]) -> Float[Array, " B"]:
    """By row, the share of the two codes that the critic tells right: one half where it cannot."""
    right = [logits(critic, positive) > 0.0, logits(critic, negative) < 0.0]
    return 0.5 * (right[0].astype(positive.dtype) + right[1].astype(positive.dtype))


def shuffled_units(codes: Float[Array, "B n"], batch: Batch, *, key: Key) -> Float[Array, "B n"]:
    r"""Rows from $\prod_d q(z_d)$: every unit of every row is taken from a row of its own, drawn by weight.

    Drawn with replacement and by row id, so that the order and the padding of a batch do not matter.
    """
    order = jnp.argsort(batch.row_id)
    ends = jnp.cumsum(batch.weights[order])
    base = jax.random.fold_in(key, 0x5F1E)
    place = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(base, i), codes.shape[1:]))(batch.row_id)
    chosen = jnp.minimum(jnp.searchsorted(ends, place * ends[-1], side="right"), codes.shape[0] - 1)
    return jnp.take_along_axis(codes, order[chosen], axis=0)


class FactorVAE(AbstractObjective):
    r"""The ELBO minus $\gamma\,\mathrm{TC}(z)$, with $\mathrm{TC} = E_{q(z)}[\log D/(1-D)]$ from a critic.

    Kim & Mnih (2018). The critic tells codes from codes whose units were shuffled over the rows; its logit is the
    density ratio. The encoder goes down the mean logit, the critic down its cross-entropy, and neither sees the
    other's gradient. Reports `elbo`, `log_likelihood`, `kl`, `total_correlation` (the critic's estimate),
    `critic_loss` and `critic_accuracy`.

    **Arguments:** `critic` a network from the flat code to one logit, trained with the model; `weight` $\gamma$; `kl`
    "auto", "analytic" or "sampled". **Raises:** ConfigError.
    """

    monitor: ClassVar[str] = "elbo"

    critic: Critic
    weight: float = eqx.field(static=True, default=10.0)
    kl: KL = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        require_weight(self.weight)
        require_kl(self.kl)

    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics]:
        batch = without_padding(batch)
        parts = evidence(model, batch, key=key, kl=self.kl)
        codes = flat_codes(jax.tree.map(lambda leaf: leaf[0], parts.draws.z))
        shuffled = shuffled_units(codes, batch, key=key)
        ratio = logits(stopped(self.critic), codes)
        own = critic_loss(self.critic, codes, shuffled, batch)
        metrics = {
            **parts.metrics,
            "total_correlation": weighted(ratio, batch),
            **critic_metrics(self.critic, own, codes, shuffled, batch),
        }
        loss = -mean(metrics["elbo"]) + self.weight * mean(metrics["total_correlation"])
        return value_with_gradient(loss, loss + own), metrics


class AAE(AbstractObjective):
    r"""$-\log p(x \mid z) + \lambda E_q[\log(1 + e^{-l(z)})]$: a critic is to take codes for draws of the prior.

    Makhzani et al. (2016), adversarial autoencoders, and with a larger $\lambda$ the WAE-GAN of Tolstikhin et al.
    (2018); no bound; for encoders with or without noise. The critic's logit $l$ is above 0 for the prior. Reports
    `log_likelihood`, `critic_loss` and `critic_accuracy` (one half where the codes cannot be told from the prior).

    **Arguments:** `critic` a network from the flat code to one logit, trained with the model; `weight` $\lambda$ in
    nats. **Raises:** ConfigError.
    """

    monitor: ClassVar[str] = "log_likelihood"

    critic: Critic
    weight: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        require_weight(self.weight)

    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics]:
        batch = without_padding(batch)
        z, log_likelihood = reconstruct(model, batch, key=key)
        codes, prior = flat_codes(z), flat_codes(prior_samples(model, batch, key=key))
        taken = mean(weighted(jax.nn.softplus(-logits(stopped(self.critic), codes)), batch))
        own = critic_loss(self.critic, prior, codes, batch)
        metrics = {
            "log_likelihood": weighted(log_likelihood, batch),
            **critic_metrics(self.critic, own, prior, codes, batch),
        }
        loss = -mean(metrics["log_likelihood"]) + self.weight * taken
        return value_with_gradient(loss, loss + own), metrics


class AdversarialBayes(AbstractObjective):
    r"""$-E_q[\log p(x \mid z)] + E_q[T(x, z)]$ with $T \approx \log q(z \mid x) / p(z)$ from a critic.

    Mescheder, Nowozin & Geiger (2017), adversarial variational Bayes: posterior and prior need samples only, no
    density. The critic sees the flat datum and code side by side. Reports `log_likelihood`, `critic_kl` (the mean of
    T) and `critic_elbo`: estimates, and bounds only as far as the critic is right.

    **Arguments:** `critic` a network from (flat x, flat z) to one logit, trained with the model. Nats.
    """

    monitor: ClassVar[str] = "critic_elbo"
    critic_sees: ClassVar[tuple[Literal["codes", "row"], ...]] = ("codes", "row")

    critic: Critic

    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics]:
        batch = without_padding(batch)
        z, log_likelihood = reconstruct(model, batch, key=key)
        codes, prior = flat_codes(z), flat_codes(prior_samples(model, batch, key=key))
        x = batch.x if batch.mask is None else jax.tree.map(_observed, batch.x, batch.mask)
        data = flat_codes(x).astype(codes.dtype)
        beside = lambda code: jnp.concatenate([data, code], axis=1)  # noqa: E731
        ratio = logits(stopped(self.critic), beside(codes))
        own = critic_loss(self.critic, beside(codes), beside(prior), batch)
        metrics = {
            "critic_elbo": weighted(log_likelihood - ratio, batch),
            "log_likelihood": weighted(log_likelihood, batch),
            "critic_kl": weighted(ratio, batch),
            **critic_metrics(self.critic, own, beside(codes), beside(prior), batch),
        }
        loss = -mean(metrics["critic_elbo"])
        return value_with_gradient(loss, loss + own), metrics


def _observed(x: Array, mask: Array) -> Array:
    return jnp.where(mask, x, jnp.zeros_like(x))


def critic_metrics(
    critic: Critic, loss: Nats, positive: Float[Array, "B n"], negative: Float[Array, "B n"], batch: Batch
) -> Metrics:
    return {
        "critic_loss": weighted(loss * jnp.ones_like(batch.weights), batch),
        "critic_accuracy": weighted(critic_accuracy(critic, positive, negative), batch),
    }
