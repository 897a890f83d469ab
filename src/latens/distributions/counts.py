"""Counts: Poisson, negative binomial, and either with more zeros than it has by itself.

A count is a whole number held as a float (integers are accepted), because networks read it; any other number has
probability 0. Rates and dispersions are logarithms.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractFactorised
from latens.distributions.special import excess, log_count_remainder, stirling_error, weighted_excess
from latens.typing import Array, Float, Key, Shaped


def _as_counts(event: Shaped[Array, "*x"], like: Float[Array, "..."]) -> tuple[Array, Array]:
    """The counts in the precision of the parameters, and which of them are counts at all."""
    count = event.astype(like.dtype)
    valid = (count >= 0.0) & (count == jnp.floor(count))
    return jnp.where(valid, count, 0.0), valid


class Poisson(AbstractFactorised):
    r"""Independent Poisson counts.

    $\prod_i \frac{\lambda_i^{x_i} e^{-\lambda_i}}{x_i!}$.

    Args:
        log_rate: The logarithms $\log\lambda$ of the rates, of shape (*x).

    Examples:
        >>> round(float(Poisson(jnp.log(jnp.array([3.0]))).log_prob(jnp.array([0.0]))), 5)
        -3.0
    """

    has_path: ClassVar[bool] = False

    log_rate: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event of counts, held as floats."""
        return jax.random.poisson(key, jnp.exp(self.log_rate)).astype(self.log_rate.dtype)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each count, in nats; minus infinity for anything but whole numbers from 0."""
        count, valid = _as_counts(event, self.log_rate)
        is_zero, rate = count == 0.0, jnp.exp(self.log_rate)
        safe = jnp.where(is_zero, 1.0, count)
        # x log(rate) - rate - log x! for x > 0, with the large terms cancelled: the loss for the ratio of rate and x.
        some = -weighted_excess(safe, self.log_rate - jnp.log(safe), rate) - log_count_remainder(safe)
        return jnp.where(valid, jnp.where(is_zero, -rate, some), -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The rate of each variable."""
        return jnp.exp(self.log_rate)


class NegativeBinomial(AbstractFactorised):
    r"""Independent negative binomial counts: each a Poisson whose rate is Gamma distributed.

    $\frac{\Gamma(x + \theta)}{\Gamma(\theta)\,x!} \left(\frac{\theta}{\theta + \mu}\right)^\theta
    \left(\frac{\mu}{\theta + \mu}\right)^x$ with mean $\mu$ and variance $\mu + \mu^2/\theta$; a large dispersion
    parameter $\theta$ makes it a Poisson. Samples are not differentiable.

    Args:
        log_mean: The logarithms $\log\mu$ of the means, of shape (*x).
        log_dispersion: The logarithms $\log\theta$, of a shape that broadcasts to that of `log_mean`.

    Examples:
        >>> density = NegativeBinomial(jnp.log(jnp.array([3.0])), jnp.log(jnp.array([2.0])))
        >>> round(float(density.log_prob(jnp.array([4.0]))), 5)
        -2.26645
    """

    has_path: ClassVar[bool] = False

    log_mean: Float[Array, "*x"]
    log_dispersion: Float[Array, "..."]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event of counts, held as floats: a Gamma rate, then a Poisson count."""
        rate_key, count_key = jax.random.split(key)
        log_dispersion = jnp.broadcast_to(self.log_dispersion, self.log_mean.shape)
        log_rate = jax.random.loggamma(rate_key, jnp.exp(log_dispersion)) + self.log_mean - log_dispersion
        return jax.random.poisson(count_key, jnp.exp(log_rate)).astype(self.log_mean.dtype)

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each count, in nats; minus infinity for anything but whole numbers from 0."""
        count, valid = _as_counts(event, self.log_mean)
        log_mean, log_theta = jnp.broadcast_arrays(self.log_mean, self.log_dispersion)
        theta, log_sum = jnp.exp(log_theta), jnp.logaddexp(log_mean, log_theta)
        is_zero = count == 0.0
        safe = jnp.where(is_zero, 1.0, count)
        total = safe + theta
        # t = log((x + theta) / (mean + theta)): by the share that x lies away from the mean where that is small, else
        # by the logarithms. The sum of both losses has no slope in t, so its rounding hardly matters.
        share = safe * jnp.exp(-log_sum) - jnp.exp(log_mean - log_sum)
        near = jnp.abs(share) < 0.5
        t = jnp.where(near, jnp.log1p(jnp.where(near, share, 0.0)), jnp.log(total) - log_sum)
        shifted = t + log_mean - jnp.log(safe)
        of_count = weighted_excess(safe, shifted, jnp.exp(t + log_mean)) + log_count_remainder(safe)
        some = 0.5 * (log_theta - jnp.log(total)) + stirling_error(total) - stirling_error(theta)
        some = some - weighted_excess(theta, t, jnp.exp(log_theta + t)) - of_count
        # theta log(1 + v) with v = mean / theta; where v is small, the mean less theta (v - log(1 + v)).
        log_ratio = log_mean - log_theta
        small = log_ratio < -1.5
        log_one_more = jnp.log1p(jnp.exp(jnp.where(small, log_ratio, -1.5)))
        none = jnp.where(small, theta * excess(log_one_more) - jnp.exp(log_mean), -theta * jax.nn.softplus(log_ratio))
        return jnp.where(valid, jnp.where(is_zero, none, some), -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each count."""
        return jnp.exp(self.log_mean)


class ZeroInflated(AbstractFactorised):
    r"""Counts that are 0 with an extra probability, and else drawn from another distribution.

    $p(0) = \pi + (1 - \pi)\,p_{inner}(0)$ and $p(x) = (1 - \pi)\,p_{inner}(x)$ for $x > 0$.

    Args:
        inner: The distribution of counts, over events of shape (*x).
        logits: The logits of $\pi$, of shape (*x).
    """

    has_path: ClassVar[bool] = False

    inner: AbstractFactorised
    logits: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event: extra zeros, and counts of the inner distribution elsewhere."""
        coin_key, count_key = jax.random.split(key)
        is_extra = jax.random.bernoulli(coin_key, jax.nn.sigmoid(self.logits))
        return jnp.where(is_extra, 0.0, self.inner.sample(key=count_key))

    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log probability of each count, in nats, with the extra zeros."""
        inner = self.inner.log_prob_terms(event)
        # An impossible count must reach neither the value of the other counts nor a gradient; 0 is always possible.
        possible, is_zero = inner > -jnp.inf, event == 0
        kept = jnp.where(possible, inner, 0.0) - jax.nn.softplus(self.logits)
        extra = -jax.nn.softplus(-self.logits)
        with_extra = jnp.where(possible, jnp.logaddexp(extra, kept), extra)
        return jnp.where(is_zero, with_extra, jnp.where(possible, kept, -jnp.inf))

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each count, with the extra zeros."""
        return jax.nn.sigmoid(-self.logits) * self.inner.mean()
