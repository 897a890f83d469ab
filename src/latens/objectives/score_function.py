"""The gradient for posteriors that cannot be reparameterised: the score function with its baseline."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.dataset import Batch
from latens.distributions import kl
from latens.models import AbstractLatentModel
from latens.objectives.base import (
    KL,
    AbstractObjective,
    Loss,
    by_formula,
    by_row,
    mean,
    require,
    sampled_metrics,
    value_with_gradient,
    weighted,
)
from latens.objectives.draws import Statistic, draw
from latens.typing import Count, Key, Step


class ScoreFunction(AbstractObjective):
    r"""The ELBO by score-function gradients with a baseline, for posteriors that cannot be reparameterised.

    $\nabla_\phi\mathcal L = E_q[(\log w - b)\,\nabla_\phi\log q(z \mid x)]$, for posteriors such as Bernoulli or
    categorical ones. Unbiased for every baseline b that does not see its own z. The metrics are `elbo`,
    `log_likelihood`, `kl`, in nats for each row.

    Args:
        num_samples: Number of posterior samples for each row.
        baseline: "none", or "leave-one-out" (the mean of the other K - 1 signals of the row).
        kl: "sampled", or "analytic" ("auto": where there is one): its gradient then needs no score and the signal is
            log p(x|z) alone.

    Raises:
        ConfigError: For an option that does not fit, or an analytic KL without a closed form.

    Source: Williams (1992); Mnih & Gregor (2014); "leave-one-out": Mnih & Rezende (2016), Kool et al. (2019).
    """

    monitor: ClassVar[str] = "elbo"
    couples_rows = by_row

    num_samples: Count = eqx.field(static=True, default=5)
    baseline: Literal["none", "leave-one-out"] = eqx.field(static=True, default="leave-one-out")
    kl: KL = eqx.field(static=True, default="sampled")

    def __check_init__(self) -> None:
        super().__check_init__()
        least = 2 if self.baseline == "leave-one-out" else 1
        require(
            self.num_samples >= least,
            f"the {self.baseline} baseline needs {least} samples or more, not {self.num_samples}.",
            "num_samples",
        )

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        exact: Statistic = lambda q, p, z, x: kl(q, p) if by_formula(self.kl, q, p) else None  # noqa: E731
        draws = draw(
            model,
            batch,
            num_samples=self.num_samples,
            key=key,
            reparameterised=False,
            statistics={} if self.kl == "sampled" else {"kl": exact},
        )
        metrics = sampled_metrics(draws, batch)
        divergence = draws.statistics.get("kl")
        if divergence is not None:
            value = draws.log_likelihood
            bound = jnp.mean(draws.log_likelihood, axis=0) - divergence
            metrics |= {"elbo": weighted(bound, batch), "kl": weighted(divergence, batch)}
            direct = bound
        else:
            value = draws.log_weight
            direct = jnp.mean(draws.log_likelihood + draws.log_prior, axis=0)
        signal = jax.lax.stop_gradient(value)
        if self.baseline == "leave-one-out":
            others = (jnp.sum(signal, axis=0, keepdims=True) - signal) / (self.num_samples - 1)
            signal = signal - others
        surrogate = direct + jnp.mean(signal * draws.log_posterior, axis=0)
        return value_with_gradient(-mean(metrics["elbo"]), -mean(weighted(surrogate, batch))), metrics
