"""Gradients for posteriors that cannot be reparameterised: the score function with its baselines, and VIMCO."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.distributions import kl
from latens.models import AbstractLatentModel
from latens.objectives.base import AbstractObjective, Loss, by_row, mean, value_with_gradient, weighted
from latens.objectives.draws import Statistic, draw
from latens.objectives.importance import importance_bound
from latens.objectives.roles import KL, by_formula, require, require_kl, sampled_metrics
from latens.typing import Array, Float, Key, Step


class Level(eqx.Module):
    """A baseline of one trained number, the same for every row: it follows the mean learning signal.

    Args:
        value: Where the baseline starts, shape (), nats; trained.
    """

    value: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.zeros(()))

    def __call__(self, x: Any) -> Float[Array, ""]:
        return self.value


class ScoreFunction(AbstractObjective):
    r"""The ELBO by score-function gradients with a baseline, for posteriors that cannot be reparameterised.

    $\nabla_\phi\mathcal L = E_q[(\log w - b)\,\nabla_\phi\log q(z \mid x)]$, for posteriors such as Bernoulli or
    categorical ones. Unbiased for every baseline b that does not see its own z. Reports `elbo`, `log_likelihood`, `kl`,
    in nats for each row.

    Args:
        num_samples: K, posterior samples for each row.
        baseline: "none", "leave-one-out" (the mean of the other K - 1 signals of the row) or "learned".
        critic: For "learned" alone, a trained function of one event to one number (`Level()`, or a network that takes
            the flat event), fitted by least squares to the signal.
        kl: "sampled", or "analytic" ("auto": where there is one): its gradient then needs no score and the signal is
            log p(x|z) alone.

    Raises:
        ConfigError: For an option that does not fit, or an analytic KL without a closed form.

    Source: Williams (1992); Mnih & Gregor (2014); "leave-one-out": Mnih & Rezende (2016), Kool et al. (2019).
    """

    monitor: ClassVar[str] = "elbo"
    critic_sees: ClassVar[tuple[Literal["codes", "row"], ...]] = ("row",)
    couples_rows = by_row

    num_samples: int = eqx.field(static=True, default=5)
    baseline: Literal["none", "leave-one-out", "learned"] = eqx.field(static=True, default="leave-one-out")
    critic: Callable[..., Array] | None = None
    kl: KL = eqx.field(static=True, default="sampled")

    def __check_init__(self) -> None:
        forms = ("none", "leave-one-out", "learned")
        require(
            self.baseline in forms, f"there is no baseline {self.baseline!r}.", "baseline", f"Use {', '.join(forms)}."
        )
        require_kl(self.kl)
        least = 2 if self.baseline == "leave-one-out" else 1
        require(
            self.num_samples >= least,
            f"the {self.baseline} baseline needs {least} samples or more, not {self.num_samples}.",
            "num_samples",
        )
        require(
            (self.baseline == "learned") == (self.critic is not None),
            "a learned baseline, and no other, has a critic.",
            "critic",
            "Give critic=Level() or a network with one output.",
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
        regression = jnp.zeros(signal.shape[1])
        if self.baseline == "leave-one-out":
            others = (jnp.sum(signal, axis=0, keepdims=True) - signal) / (self.num_samples - 1)
            signal = signal - others
        elif self.critic is not None:
            levels = self._levels(batch)
            regression = 0.5 * jnp.mean((signal - levels[None]) ** 2, axis=0)
            metrics["baseline_error"] = weighted(2.0 * regression, batch)
            signal = signal - jax.lax.stop_gradient(levels)[None]
        surrogate = direct + jnp.mean(signal * draws.log_posterior, axis=0) - regression
        return value_with_gradient(-mean(metrics["elbo"]), -mean(weighted(surrogate, batch))), metrics

    def _levels(self, batch: Batch) -> Float[Array, " B"]:
        critic = self.critic
        assert critic is not None

        def one_row(x: Any, mask: Any) -> Float[Array, ""]:
            leaves = jax.tree.leaves(x)
            if mask is not None:
                leaves = [jnp.where(m, a, jnp.zeros_like(a)) for a, m in zip(leaves, jax.tree.leaves(mask))]
            flat = jnp.concatenate([jnp.asarray(leaf, float).reshape(-1) for leaf in leaves])
            return critic(flat).reshape(())

        return jax.vmap(one_row)(batch.x, batch.mask)


class VIMCO(AbstractObjective):
    r"""The importance-weighted bound by score-function gradients, each sample with a baseline from the other ones.

    $\nabla\mathcal L_K = E\left[\sum_k (\hat L - \hat L_{-k})\nabla\log q(z_k \mid x) + \nabla\hat L\right]$ with
    $\hat L = \log\frac1K\sum_k w_k$, and $\hat L_{-k}$ the same with $w_k$ replaced by a mean of the others. Unbiased.
    Reports `iwae` (the bound), `elbo`, `log_likelihood`, `kl`, in nats for each row.

    Args:
        num_samples: K, 2 or more.
        signal: Mean of the other weights: "geometric" (the published choice) or "arithmetic".

    Raises:
        ConfigError: For an option out of its range.

    Source: Mnih & Rezende (2016).
    """

    monitor: ClassVar[str] = "iwae"
    couples_rows = by_row

    num_samples: int = eqx.field(static=True, default=5)
    signal: Literal["geometric", "arithmetic"] = eqx.field(static=True, default="geometric")

    def __check_init__(self) -> None:
        require(self.num_samples >= 2, f"VIMCO needs 2 samples or more, not {self.num_samples}.", "num_samples")
        forms = ("geometric", "arithmetic")
        require(self.signal in forms, f"there is no signal {self.signal!r}.", "signal", f"Use {' or '.join(forms)}.")

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        draws = draw(model, batch, num_samples=self.num_samples, key=key, reparameterised=False)
        bound = importance_bound(draws.log_weight)
        without = self._without_each(draws.log_weight)
        signal = jax.lax.stop_gradient(bound[None] - without)
        surrogate = bound + jnp.sum(signal * draws.log_posterior, axis=0)
        metrics = {"iwae": weighted(bound, batch), **sampled_metrics(draws, batch)}
        return value_with_gradient(-mean(metrics["iwae"]), -mean(weighted(surrogate, batch))), metrics

    def _without_each(self, log_weight: Float[Array, "K B"]) -> Float[Array, "K B"]:
        """The bound with draw k replaced, for every k."""
        count = self.num_samples
        own = jnp.eye(count, dtype=bool)[:, :, None]
        by_draw = jnp.broadcast_to(log_weight[None], (count, *log_weight.shape))
        if self.signal == "arithmetic":
            # With their arithmetic mean put in for it, the mean of all K is that of the others.
            return jax.nn.logsumexp(jnp.where(own, -jnp.inf, by_draw), axis=1) - math.log(count - 1)
        others = (jnp.sum(log_weight, axis=0, keepdims=True) - log_weight) / (count - 1)
        replaced = jnp.where(own, jnp.broadcast_to(others[:, None], by_draw.shape), by_draw)
        return jax.nn.logsumexp(replaced, axis=1) - math.log(count)
