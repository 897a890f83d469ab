"""The evidence lower bound with its usual weights and penalties."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from latens.config import ObjectiveConfig
from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, kl_terms
from latens.errors import ConfigError, nearest
from latens.models import AbstractLatentModel, StepNormals, TopDownNormals
from latens.objectives.base import KL, AbstractObjective, Loss, by_formula, mean, require, sum_of_squares, weighted
from latens.objectives.draws import Statistic, draw
from latens.typing import Array, Count, Float, Key, Nats, PyTree, Scheduled, Step, Weight


class ELBO(AbstractObjective):
    r"""The evidence lower bound: the expected log-likelihood minus the KL divergence of posterior and prior.

    $\mathcal L = E_{q(z|x)}[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \| p(z)) \le \log p(x)$, in nats per row.

    The objective is $-E_q[\log p(x|z)] + \beta\,\mathrm{KL} + \lambda \frac12\sum w^2$, summed over the event and
    averaged over the batch. The metric `elbo` is the bound itself (beta 1, no penalty); other metrics are
    `log_likelihood` and `kl`. The paper calls this estimator SGVB, in form B with an exact KL and in form A with a
    sampled one.

    Args:
        kl: "analytic" (exact, or an error), "sampled", or "auto" (exact if available, else sampled).
        num_samples: Number of posterior samples for each row.
        beta: Weight of the KL: a number, or a schedule of the step in the form of optax.
        free_bits: Nats of KL of each latent dimension without penalty, $\sum_j \max(\lambda, E_{batch}\mathrm{KL}_j)$.
            The mean is over the rows of a batch, or of a shard.
        l2: Weight $\lambda$ of the penalty on weight matrices.
        capacity: C in nats, a number or a schedule of the step. The penalty is then $\beta\,|\mathrm{KL} - C|$.
        free_bits_group: Number of neighbouring latent dimensions that share their free bits.
        noise_scale: Factor on the noise of posterior samples in training (`epsilon_std` of the Keras examples). If it
            is not 1, the training objective is not a bound. Validation and evaluation use 1.

    Raises:
        ConfigError: An option is out of range, or groups do not divide the latent dimensions.

    Source: Kingma & Welling (2014), equation 10; beta: Higgins et al. (2017); free bits: Kingma et al. (2016),
    appendix C.8; capacity: Burgess et al. (2018).
    """

    monitor: ClassVar[str] = "elbo"

    kl: KL = eqx.field(static=True, default="auto")
    num_samples: Count = eqx.field(static=True, default=1)
    beta: Scheduled = eqx.field(static=True, default=1.0)
    free_bits: Weight = eqx.field(static=True, default=0.0)
    l2: Weight = eqx.field(static=True, default=0.0)
    capacity: Scheduled | None = eqx.field(static=True, default=None)
    free_bits_group: Count = eqx.field(static=True, default=1)
    noise_scale: Weight = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        alone = self.capacity is None or self.free_bits == 0.0
        require(alone, "`capacity` and `free_bits` cannot be combined.", "capacity", "Use one of them.")

    def remarks(self) -> list[str]:
        """Say that noise of another scale makes no bound."""
        if self.noise_scale == 1.0:
            return []
        return [
            f"samples in training have {self.noise_scale:g} times the noise of the posterior (objective.noise_scale): "
            "what training calls elbo is not a bound of log p(x); validation and evaluation use the posterior itself"
        ]

    def couples_rows(self) -> str:
        """A capacity is a bound on the mean KL of a batch; free bits are of the rows of each shard."""
        return "" if self.capacity is None else "objective.capacity bounds the mean KL of a whole batch"

    def in_validation(self) -> "ELBO":
        """The same objective with the noise of the posterior itself, so that what it reports is a bound."""
        return replace(self, noise_scale=1.0) if self.noise_scale != 1.0 else self

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        by_unit = self.kl != "sampled" or self.free_bits > 0.0
        statistics: dict[str, Statistic] = {"kl": self._kl_by_unit} if by_unit else {}
        draws = draw(
            model, batch, num_samples=self.num_samples, key=key, noise_scale=self.noise_scale, statistics=statistics
        )
        log_likelihood = jnp.mean(draws.log_likelihood, axis=0)
        units = draws.statistics.get("kl")
        if draws.kl is not None and self.kl != "sampled":
            units = jnp.mean(draws.kl, axis=0)
        if units is not None:
            units = units.reshape(batch.row_id.shape[0], -1)
            divergence = jnp.sum(units, axis=1)
        else:
            divergence = jnp.mean(draws.log_posterior - draws.log_prior, axis=0)
        (log_likelihoods, weight), (divergences, _) = weighted(log_likelihood, batch), weighted(divergence, batch)
        metrics = {
            "elbo": (log_likelihoods - divergences, weight),
            "log_likelihood": (log_likelihoods, weight),
            "kl": (divergences, weight),
        }
        penalty = mean(metrics["kl"]) if units is None or self.free_bits == 0.0 else self._free_bits(units, batch)
        beta = self.beta(step) if callable(self.beta) else self.beta
        if self.capacity is not None:
            penalty = jnp.abs(penalty - (self.capacity(step) if callable(self.capacity) else self.capacity))
        loss = -mean(metrics["log_likelihood"]) + beta * penalty
        if self.l2 > 0.0:
            loss = loss + self.l2 * sum_of_squares(model)
        return loss, metrics

    def _kl_by_unit(
        self, q: AbstractDistribution, p: AbstractDistribution, z: PyTree, x: PyTree
    ) -> Float[Array, "*z"] | None:
        if isinstance(q, TopDownNormals | StepNormals) and self.kl != "sampled" and self.noise_scale == 1.0:
            return None  # `draw` gives it
        if by_formula(self.kl, q, p):
            return kl_terms(q, p)
        if self.free_bits == 0.0:
            return None
        by_unit = isinstance(q, AbstractFactorised) and isinstance(p, AbstractFactorised)
        what = f"free bits count by unit, which {type(q).__name__} and {type(p).__name__} do not both give."
        require(by_unit, what, "free_bits", "Leave it out, or use a diagonal posterior and prior.")
        terms: Any = lambda zk: q.log_prob_terms(zk) - p.log_prob_terms(zk)  # noqa: E731  # pyright: ignore
        return jnp.mean(jax.vmap(terms)(z), axis=0)

    def _free_bits(self, units: Float[Array, "B n"], batch: Batch) -> Nats:
        average = jax.vmap(lambda unit: mean(weighted(unit, batch)), in_axes=1)(units)
        require(
            average.size % self.free_bits_group == 0,
            f"groups of {self.free_bits_group} do not divide {average.size} units.",
            "free_bits_group",
        )
        groups = jnp.sum(average.reshape(-1, self.free_bits_group), axis=1)
        return jnp.sum(jnp.maximum(groups, self.free_bits))


SCHEDULES: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "linear": ("rises in a straight line, and stays", lambda share: jnp.minimum(1.0, share)),
    "cosine": ("rises as half a wave, and stays", lambda share: 0.5 - 0.5 * jnp.cos(math.pi * jnp.minimum(1.0, share))),
    "sigmoid": (
        "rises as an S from 0.0025 to 0.9975",
        lambda share: 1.0 / (1.0 + jnp.exp(6.0 - 12.0 * jnp.minimum(1.0, share))),
    ),
    "cyclical": (
        "rises in the first half of each period, rests in the second, and begins anew",
        lambda share: jnp.minimum(1.0, 2.0 * jnp.mod(share, 1.0)),
    ),
}
"""Name: what the weight does, and its share of beta where `share` of the epochs named is over."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A weight that changes with the step, in the place of the number beta."""

    name: str
    steps: int  # steps in the epochs that were named
    beta: float = 1.0  # the weight at the top

    def __call__(self, step: Array | int) -> Array:
        """Give the weight at a step."""
        return self.beta * SCHEDULES[self.name][1](jnp.asarray(step) / float(self.steps))


def check_schedule(text: str, where: str = "objective.beta") -> tuple[str, float]:
    """Split a name such as `cyclical:4` into its kind and epochs, or refuse it."""
    name, _, epochs = text.partition(":")
    if name not in SCHEDULES:
        what = f"{text!r:.100} is not a number, and there is no schedule {name!r:.50}."
        raise ConfigError(what, where=where, fix=nearest(name, list(SCHEDULES)))
    try:
        value = float(epochs)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        what = f"{text!r:.100} does not say in how many epochs."
        raise ConfigError(what, where=where, fix=f"Write for example {name}:10, with a number above 0.")
    return name, value


def with_beta(objective: AbstractObjective, config: ObjectiveConfig, steps_per_epoch: float) -> Any:
    """Give an objective the warm-up or schedule of its beta that a configuration names."""
    given: Any = config.options.get("beta", 1.0)
    top, scheduled = float(given), config.beta_schedule != "constant"
    if scheduled and config.beta_warmup_epochs:
        what = "beta is given a warm-up and a schedule."
        raise ConfigError(what, where="objective.beta_schedule", fix="Leave one of them out.")
    if scheduled:
        name, epochs = check_schedule(config.beta_schedule)
        return dataclasses.replace(objective, beta=Schedule(name, max(1, round(epochs * steps_per_epoch)), top))
    if config.beta_warmup_epochs:
        steps = max(1, round(config.beta_warmup_epochs * steps_per_epoch))
        return dataclasses.replace(objective, beta=optax.linear_schedule(0.0, top, steps))
    return objective


def without_beta(objective: AbstractObjective, config: ObjectiveConfig) -> Any:
    """Refuse a warm-up or schedule for an objective that has no beta."""
    given = {"beta_warmup_epochs": config.beta_warmup_epochs, "beta_schedule": config.beta_schedule != "constant"}
    if named := [name for name, told in given.items() if told]:
        verb = "warmed up" if config.beta_warmup_epochs else "scheduled"
        what = f"the objective {config.name} has no beta that could be {verb}."
        raise ConfigError(what, where=f"objective.{named[0]}", fix=f"Remove --set objective.{named[0]}=...")
    return objective
