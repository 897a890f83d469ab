"""Learning in two phases: on data with codes from the posterior, and on dreams of the model itself."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.io import keys
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, by_row, mean, value_with_gradient, weighted
from latens.objectives.draws import draw
from latens.objectives.importance import importance_bound
from latens.objectives.roles import require, sampled_metrics
from latens.typing import AnyArray, Array, Float, Key, Nats, Step


def dream_log_posterior(model: AbstractLatentModel, batch: Batch, *, key: Key) -> Float[Array, " B"]:
    r"""The log posterior density at one event of each row that the model itself sampled; trains the posterior only."""
    # $\log q(z \mid x)$ for one dream $z \sim p(z), x \sim p(x \mid z)$. A dream has the row's conditions and its mask:
    # the posterior learns to read what it will be given.
    base = jax.random.fold_in(key, keys.DREAMS)

    def one_row(row_id: AnyArray, cond: Any, mask: Any) -> Nats:
        z_key, x_key, encoder_key = jax.random.split(jax.random.fold_in(base, row_id), 3)
        z = jax.lax.stop_gradient(model.prior(cond=cond).sample(key=z_key))
        x = jax.lax.stop_gradient(model.likelihood(z, cond=cond).sample(key=x_key))
        return model.posterior(x, cond=cond, mask=mask, key=encoder_key).log_prob(z)

    return jax.vmap(one_row)(batch.row_id, batch.cond, batch.mask)


class WakeSleep(AbstractObjective):
    r"""Wake-sleep: the model learns from codes of the data, the posterior from samples of the model.

    Wake: the generative part follows $E_q[\log p(x, z)]$. Sleep: the posterior follows $E_p[\log q(z \mid x)]$. Needs
    no reparameterisation; the two parts follow different numbers, so no single one is maximised. Reports `elbo`,
    `log_likelihood`, `kl` of the wake samples and `sleep` $= E_p[\log q(z \mid x)]$, in nats for each row; the number
    minimised is -`elbo`.

    Args:
        num_samples: K, wake samples for each row.

    Raises:
        ConfigError: For fewer than 1 sample.

    Source: Hinton, Dayan, Frey & Neal (1995), the Helmholtz machine.
    """

    monitor: ClassVar[str] = "elbo"
    couples_rows = by_row

    num_samples: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        require(self.num_samples >= 1, f"num_samples must be 1 or more, not {self.num_samples}.", "num_samples")

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        # log q itself is left out: its gradient belongs to the posterior, which sleeps.
        draws = draw(model, batch, num_samples=self.num_samples, key=key, reparameterised=False)
        wake = jnp.mean(draws.log_likelihood + draws.log_prior, axis=0)
        sleep = dream_log_posterior(model, batch, key=key)
        metrics = {**sampled_metrics(draws, batch), "sleep": weighted(sleep, batch)}
        return value_with_gradient(-mean(metrics["elbo"]), -mean(weighted(wake + sleep, batch))), metrics


class ReweightedWakeSleep(AbstractObjective):
    r"""Wake-sleep with importance weights: the model follows the IWAE bound, the posterior a weighted target.

    The gradients are $\sum_k \tilde w_k \nabla\log p(x, z_k)$ and $\sum_k\tilde w_k\nabla\log q$ with K weighted
    samples. The generative part maximises `iwae`; the posterior follows the estimated $-\mathrm{KL}(p(z \mid x) \| q)$
    on data ("wake phi"), $E_p[\log q(z\mid x)]$ on dreams ("sleep phi"), or both. Reports `iwae`, `elbo`,
    `log_likelihood`, `kl` and, where it is trained, `sleep`; in nats for each row; the number minimised is -`iwae`.

    Args:
        num_samples: K, 2 or more.
        wake: Weight of the posterior's gradient on data, 0 or more.
        sleep: Weight of the posterior's gradient on dreams, 0 or more.

    Raises:
        ConfigError: For fewer than 2 samples, or weights below 0 or both 0.

    Source: Bornschein & Bengio (2015).
    """

    monitor: ClassVar[str] = "iwae"
    couples_rows = by_row

    num_samples: int = eqx.field(static=True, default=10)
    wake: float = eqx.field(static=True, default=1.0)
    sleep: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        require(
            self.num_samples >= 2,
            f"with {self.num_samples} sample every weight is 1.",
            "num_samples",
            "Use 2 samples or more, or the wake-sleep objective.",
        )
        fits = self.wake >= 0 and self.sleep >= 0 and self.wake + self.sleep > 0
        require(fits, f"weights {self.wake} and {self.sleep} leave the posterior untrained.", "wake", "Use wake=1.")

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        draws = draw(model, batch, num_samples=self.num_samples, key=key, reparameterised=False)
        share = jax.lax.stop_gradient(jax.nn.softmax(draws.log_weight, axis=0))
        joint = draws.log_likelihood + draws.log_prior
        surrogate = jnp.sum(share * (joint + self.wake * draws.log_posterior), axis=0)
        bound = importance_bound(draws.log_weight)
        metrics = {"iwae": weighted(bound, batch), **sampled_metrics(draws, batch)}
        if self.sleep > 0.0:
            sleep = dream_log_posterior(model, batch, key=key)
            metrics["sleep"] = weighted(sleep, batch)
            surrogate = surrogate + self.sleep * sleep
        return value_with_gradient(-mean(metrics["iwae"]), -mean(weighted(surrogate, batch))), metrics
