"""Inference with draws alone: a critic that sees data and latents together stands in for every density."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.io import keys
from latens.models import AbstractLatentModel
from latens.objectives.adversarial import Critic, critic_loss, critic_metrics, logits
from latens.objectives.base import AbstractObjective, Loss, by_row, mean, value_with_gradient, weighted
from latens.objectives.draws import path_to
from latens.objectives.roles import flat_codes, prior_samples, stopped
from latens.typing import AnyArray, Array, Float, Key, Step


class LikelihoodFree(AbstractObjective):
    r"""Inference from samples alone: a critic compares pairs of data and code with pairs that the model simulates.

    $\mathrm{KL}(q(x, z) \| p(x, z)) = E_q[T(x, z)]$ with $T \approx \log q(x, z)/p(x, z)$ from the critic. Both
    $q(x, z) = p_{data}(x)\,q(z \mid x)$ and $p(x, z) = p(z)\,p(x \mid z)$ are only sampled, so that the decoder may be
    a simulator (`Simulator`). Where the data are the model's own, the encoder's best is the exact posterior.

    Three players: the encoder minimises $E_q[T]$; a decoder with something to train, and a trained prior, minimise
    $E_p[\log(1 + e^{-T})]$, so that their samples pass for q's; the critic minimises its cross-entropy. Reports
    `critic_bound`, $-E_q[T]$ in nats (at most 0 and as right as the critic: no bound of log p(x)), `critic_loss` and
    `critic_accuracy` (one half where the two joint distributions cannot be told apart).

    Args:
        critic: A network from (flat x, flat z) to one logit, trained with the model.

    Raises:
        ConfigError: When differentiated, for posteriors and trained likelihoods whose samples have no gradient.

    Source: Tran, Ranganath & Blei (2017), arXiv 1702.08896; Huszar (2017), arXiv 1702.08235: joint-contrastive.
    """

    monitor: ClassVar[str] = "critic_bound"
    couples_rows = by_row

    critic: Critic

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        inferred = inferred_pairs(model, batch, key=key)
        simulated = simulated_pairs(model, batch, key=key)
        judge = stopped(self.critic)
        ratio = logits(judge, inferred)
        passes = mean(weighted(jax.nn.softplus(-logits(judge, simulated)), batch))
        own = critic_loss(self.critic, inferred, simulated, batch)
        metrics = {
            "critic_bound": weighted(-ratio, batch),
            **critic_metrics(self.critic, own, inferred, simulated, batch),
        }
        loss = -mean(metrics["critic_bound"])
        return value_with_gradient(loss, loss + passes + own), metrics


def inferred_pairs(model: AbstractLatentModel, batch: Batch, *, key: Key) -> Float[Array, "B n"]:
    """Put x of the data and z of the posterior side by side."""

    def one_row(x: Any, row_id: AnyArray, cond: Any, mask: Any) -> Any:
        encoder_key, sample_key = jax.random.split(jax.random.fold_in(key, row_id))
        posterior = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
        return path_to(posterior, posterior.sample(key=sample_key))

    z = flat_codes(jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask))
    return jnp.concatenate([_observed(batch.x, batch).astype(z.dtype), z], axis=1)


def simulated_pairs(model: AbstractLatentModel, batch: Batch, *, key: Key) -> Float[Array, "B n"]:
    """Put x and z of the model side by side, one pair for each row."""
    base = jax.random.fold_in(key, keys.SIMULATED_ROWS)

    def one_row(z: Any, row_id: AnyArray, cond: Any) -> Any:
        likelihood_key, sample_key = jax.random.split(jax.random.fold_in(base, row_id))
        likelihood = model.likelihood(z, cond=cond, key=likelihood_key)
        return path_to(likelihood, likelihood.sample(key=sample_key))

    z = prior_samples(model, batch, key=key)
    codes = flat_codes(z)
    x = _observed(jax.vmap(one_row)(z, batch.row_id, batch.cond), batch)
    return jnp.concatenate([x.astype(codes.dtype), codes], axis=1)


def _observed(x: Any, batch: Batch) -> Float[Array, "B n"]:
    if batch.mask is not None:
        x = jax.tree.map(lambda leaf, mask: jnp.where(mask, leaf, jnp.zeros_like(leaf)), x, batch.mask)
    return flat_codes(x)
