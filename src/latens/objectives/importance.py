"""Bounds of the evidence from several importance weights a row: IWAE and its relatives, Renyi, chi."""

import math
from typing import Annotated, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from msgspec import Meta

from latens.data.dataset import Batch
from latens.models import AbstractLatentModel
from latens.objectives.base import (
    AbstractObjective,
    Loss,
    by_row,
    generative_part,
    mean,
    recognition_part,
    sampled_metrics,
    value_with_gradient,
    weighted,
)
from latens.objectives.draws import Draws, draw
from latens.typing import Array, Count, Float, Key, Step

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
