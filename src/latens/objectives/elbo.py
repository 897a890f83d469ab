"""Bounds of the evidence: the ELBO with its penalties and gradients, and those of several importance weights."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from msgspec import Meta

from latens.config import ObjectiveConfig
from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, AbstractFactorised, kl, kl_terms
from latens.errors import ConfigError, nearest
from latens.models import AbstractLatentModel, StepNormals, TopDownNormals
from latens.objectives.base import (
    KL,
    AbstractObjective,
    Draws,
    Loss,
    Statistic,
    by_formula,
    by_row,
    draw,
    generative_part,
    mean,
    recognition_part,
    require,
    sampled_metrics,
    sum_of_squares,
    value_with_gradient,
    weighted,
)
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


GradientForm = Literal["plain", "stl", "dreg"]


def importance_bound(log_weight: Float[Array, " K *B"]) -> Float[Array, "*B"]:
    r"""The K-sample importance-weighted bound of the evidence from log weights."""
    # $\log \frac1K \sum_k w_k$; its mean is at most $\log p(x)$.
    return jax.nn.logsumexp(log_weight, axis=0) - math.log(log_weight.shape[0])


def renyi_bound(log_weight: Float[Array, " K *B"], alpha: float) -> Float[Array, "*B"]:
    r"""The variational Renyi bound of the evidence from log weights."""
    # $\frac{1}{1-\alpha}\log\frac1K\sum_k w_k^{1-\alpha}$; the mean of $\log w$ at $\alpha = 1$, the largest at minus
    # infinity.
    power = 1.0 - alpha
    if math.isinf(power):
        return jnp.max(log_weight, axis=0)
    if abs(power) > 0.1:
        return importance_bound(power * log_weight) / power
    # Near alpha 1 the logarithm would lose every digit: the deviation from the mean is what is small.
    centre = jnp.mean(log_weight, axis=0)
    if power == 0.0:
        return centre
    return centre + jnp.log1p(jnp.mean(jnp.expm1(power * (log_weight - centre[None])), axis=0)) / power


def _grouped(log_weight: Float[Array, "K B"], num_averages: int) -> Float[Array, "k m B"]:
    """K = k m draws as m groups of k."""
    return log_weight.reshape(num_averages, -1, log_weight.shape[-1]).swapaxes(0, 1)


def _bounds(
    model: AbstractLatentModel, batch: Batch, key: Key, num_samples: int, num_averages: int, gradient: GradientForm
) -> tuple[Float[Array, " B"], Float[Array, " B"], Draws]:
    """The bound of each row, what is differentiated in its place, and the draws."""
    count = num_samples * num_averages
    if gradient != "dreg":
        stop = gradient == "stl"
        draws = draw(model, batch, num_samples=count, key=key, stop_posterior_gradient=stop)
        bound = jnp.mean(importance_bound(_grouped(draws.log_weight, num_averages)), axis=0)
        return bound, bound, draws
    # The same draws twice, once for each group of parameters, since their weights differ.
    draws = draw(generative_part(model), batch, num_samples=count, key=key)
    path = draw(recognition_part(model), batch, num_samples=count, key=key, stop_posterior_gradient=True)
    log_weight, path_weight = _grouped(draws.log_weight, num_averages), _grouped(path.log_weight, num_averages)
    share = jax.lax.stop_gradient(jax.nn.softmax(log_weight, axis=0))
    surrogate = jnp.mean(jnp.sum(share * log_weight + share**2 * path_weight, axis=0), axis=0)
    return jnp.mean(importance_bound(log_weight), axis=0), surrogate, draws


class IWAE(AbstractObjective):
    r"""The importance-weighted bound: the log of the mean of K importance weights, tighter than the ELBO for K above 1.

    $\mathcal L_K = E\left[\log\frac1K\sum_k w_k\right]$ with $w_k = p(x, z_k) / q(z_k \mid x)$, in nats for each row.
    The metrics are `iwae` (the bound), and `elbo`, `log_likelihood`, `kl` of the same samples.

    Args:
        num_samples: Number of samples K, at least 1.
        gradient: "plain"; "stl", log q's parameters stopped (sticking the landing: unbiased for K = 1, biased for the
            posterior's parameters above); or "dreg" (doubly reparameterised: unbiased, less variance; the posterior's
            parameters see squared normalised weights through z alone). The last two evaluate log q(z) for a given z.

    Raises:
        ConfigError: A number is below 1, or the gradient is unknown.

    Source: Burda, Grosse & Salakhutdinov (2016); "stl": Roeder, Wu & Duvenaud (2017); "dreg": Tucker et al. (2019).
    """

    monitor: ClassVar[str] = "iwae"
    couples_rows = by_row

    num_samples: Count = eqx.field(static=True, default=50)
    gradient: GradientForm = eqx.field(static=True, default="plain")

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        bound, surrogate, draws = _bounds(model, batch, key, self.num_samples, 1, self.gradient)
        return _result("iwae", bound, surrogate, draws, batch)


class MIWAE(AbstractObjective):
    r"""The mean of M independent importance-weighted bounds of K samples each.

    $\frac1M\sum_m \log\frac1K\sum_k w_{mk}$, in nats for each row. (The method for missing values of the same name is
    not this one.) Reports `miwae`, `iwae` of all M K samples, and `elbo`, `log_likelihood`, `kl`.

    Args:
        num_samples: Number of samples K, at least 1.
        num_averages: Number of averages M, at least 1.

    Raises:
        ConfigError: A number is below 1.

    Source: Rainforth et al. (2018), "Tighter variational bounds are not necessarily better".
    """

    monitor: ClassVar[str] = "miwae"
    couples_rows = by_row

    num_samples: Count = eqx.field(static=True, default=8)
    num_averages: Count = eqx.field(static=True, default=8)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        bound, surrogate, draws = _bounds(model, batch, key, self.num_samples, self.num_averages, "plain")
        loss, metrics = _result("miwae", bound, surrogate, draws, batch)
        return loss, {**metrics, "iwae": weighted(importance_bound(draws.log_weight), batch)}


class PIWAE(MIWAE):
    """The prior and likelihood maximise the bound of all M K samples, the posterior the mean of M bounds of K samples.

    A large number of samples helps prior and likelihood and harms the posterior's gradient. The metrics are `iwae` (all
    M K samples), `miwae`, and `elbo`, `log_likelihood`, `kl`, in nats for each row; the number minimised is -`iwae`.

    Source: Rainforth et al. (2018), "Tighter variational bounds are not necessarily better".
    """

    monitor: ClassVar[str] = "iwae"
    couples_rows = by_row

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        count = self.num_samples * self.num_averages
        draws = draw(generative_part(model), batch, num_samples=count, key=key)
        path = draw(recognition_part(model), batch, num_samples=count, key=key)
        bound = importance_bound(draws.log_weight)
        averaged = jnp.mean(importance_bound(_grouped(path.log_weight, self.num_averages)), axis=0)
        loss, metrics = _result("iwae", bound, bound + averaged, draws, batch)
        return loss, {**metrics, "miwae": weighted(averaged, batch)}


class CIWAE(AbstractObjective):
    r"""A weighted mean of the ELBO and the importance-weighted bound of the same samples.

    $\beta\,\mathcal L_1 + (1 - \beta)\,\mathcal L_K$, in nats for each row: the ELBO at 1, IWAE at 0. The metrics are
    `ciwae`, `iwae` and, from the same K samples, `elbo`, `log_likelihood` and `kl`.

    Args:
        num_samples: Number of samples K, at least 1.
        beta: Share of the ELBO, from 0 to 1.

    Raises:
        ConfigError: An option is out of range.

    Source: Rainforth et al. (2018), "Tighter variational bounds are not necessarily better".
    """

    monitor: ClassVar[str] = "ciwae"
    couples_rows = by_row

    num_samples: Count = eqx.field(static=True, default=50)
    beta: Annotated[float, Meta(ge=0.0, le=1.0)] = eqx.field(static=True, default=0.5)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        bound, _, draws = _bounds(model, batch, key, self.num_samples, 1, "plain")
        mixed = self.beta * jnp.mean(draws.log_weight, axis=0) + (1.0 - self.beta) * bound
        loss, metrics = _result("ciwae", mixed, mixed, draws, batch)
        return loss, {**metrics, "iwae": weighted(bound, batch)}


class Renyi(AbstractObjective):
    r"""The variational Renyi bound, which includes the ELBO and the importance-weighted bound.

    $\mathcal L_\alpha = \frac{1}{1-\alpha} \log \frac1K\sum_k w_k^{1-\alpha}$, in nats for each row. $\alpha = 1$ is
    the ELBO, 0 is IWAE, minus infinity takes the largest weight (VR-max); for $0 \le \alpha$ its mean is a lower bound
    of $\log p(x)$, below 0 it can be above. The metrics are `renyi`, `iwae` and, of the same samples, `elbo`,
    `log_likelihood` and `kl`.

    Args:
        alpha: The order $\alpha$, any number or `-inf`.
        num_samples: Number of samples K, at least 1.

    Raises:
        ConfigError: An option is out of range.

    Source: Li & Turner (2016).
    """

    monitor: ClassVar[str] = "renyi"
    couples_rows = by_row

    alpha: float = eqx.field(static=True, default=0.5)
    num_samples: Count = eqx.field(static=True, default=5)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        bound, _, draws = _bounds(model, batch, key, self.num_samples, 1, "plain")
        renyi = renyi_bound(draws.log_weight, self.alpha)
        loss, metrics = _result("renyi", renyi, renyi, draws, batch)
        return loss, {**metrics, "iwae": weighted(bound, batch)}


def _result(name: str, bound: Float[Array, " B"], surrogate: Float[Array, " B"], draws: Draws, batch: Batch) -> Loss:
    """Minus the mean bound, with the gradient of the mean surrogate, and the metrics."""
    reported = weighted(bound, batch)
    loss = value_with_gradient(-mean(reported), -mean(weighted(surrogate, batch)))
    return loss, {name: reported, **sampled_metrics(draws, batch)}
