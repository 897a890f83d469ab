"""Positive numbers, fractions and proportions: Gamma, Beta, Kumaraswamy, Dirichlet.

Outside its support a density is minus infinity, with a gradient of zero. A sample that would round onto the edge of the
support is the nearest number inside it.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.special import HALF_LOG_2PI, log_one_minus_exp, stirling_error, weighted_excess
from latens.typing import Array, Float, Key, Nats


def above_zero(event: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """Raise numbers to at least the smallest normal number of their precision, whose logarithm is finite."""
    return jnp.maximum(event, float(jnp.finfo(event.dtype).tiny))


def inside_unit(event: Float[Array, "*x"]) -> Float[Array, "*x"]:
    """Move numbers strictly between 0 and 1 in their precision."""
    kind = jnp.finfo(event.dtype)
    return jnp.clip(event, float(kind.tiny), 1.0 - float(kind.epsneg))


class Gamma(AbstractFactorised):
    r"""Independent Gamma variables, which are positive.

    $\prod_i \frac{\lambda_i^{a_i}}{\Gamma(a_i)} x_i^{a_i - 1} e^{-\lambda_i x_i}$ on $x > 0$. The mean is $a/\lambda$.
    Samples are differentiable in both parameters.

    Args:
        log_concentration: The logarithms $\log a$, of shape (*x).
        log_rate: The logarithms $\log\lambda$, of a shape that broadcasts to that of `log_concentration`.

    Examples:
        >>> round(float(Gamma(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.ones(1))), 6)  # an exponential
        -1.0
    """

    has_path: ClassVar[bool] = True

    log_concentration: Float[Array, "*x"]
    log_rate: Float[Array, "..."]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event of positive numbers, differentiable in both parameters."""
        log_unit = jax.random.loggamma(key, jnp.exp(self.log_concentration))
        return above_zero(jnp.exp(log_unit - self.log_rate))

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats; minus infinity from 0 down."""
        inside = event > 0.0
        log_event = jnp.log(jnp.where(inside, event, 1.0))
        a = jnp.exp(self.log_concentration)
        # a log(rate x) - rate x - log Gamma(a), with the large terms cancelled: t is the log of x over its mean.
        t = log_event + self.log_rate - self.log_concentration
        loss = weighted_excess(a, t, jnp.exp(self.log_rate) * event)
        terms = 0.5 * self.log_concentration - loss - HALF_LOG_2PI - stirling_error(a) - log_event
        return jnp.where(inside, terms, -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable."""
        return jnp.exp(self.log_concentration - self.log_rate)


class Beta(AbstractFactorised):
    r"""Independent Beta variables, which lie between 0 and 1.

    $\prod_i \frac{x_i^{a_i - 1}(1 - x_i)^{b_i - 1}}{B(a_i, b_i)}$ on $0 < x < 1$. The mean is $a/(a+b)$. Samples are
    differentiable in both parameters.

    Args:
        log_alpha: The logarithms $\log a$, of shape (*x).
        log_beta: The logarithms $\log b$, of shape (*x).

    Examples:
        >>> round(float(Beta(jnp.log(jnp.array([2.0])), jnp.log(jnp.array([2.0]))).log_prob(jnp.array([0.5]))), 4)
        0.4055
    """

    has_path: ClassVar[bool] = True

    log_alpha: Float[Array, "*x"]
    log_beta: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event between 0 and 1, differentiable in both parameters."""
        first, second = jax.random.split(key)
        log_ratio = jax.random.loggamma(first, jnp.exp(self.log_alpha))
        log_ratio = log_ratio - jax.random.loggamma(second, jnp.exp(self.log_beta))
        return inside_unit(jax.nn.sigmoid(log_ratio))

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats; minus infinity outside (0, 1)."""
        inside = (event > 0.0) & (event < 1.0)
        safe = jnp.where(inside, event, 0.5)
        a, b = jnp.exp(self.log_alpha), jnp.exp(self.log_beta)
        log_total = jnp.logaddexp(self.log_alpha, self.log_beta)
        log_x, log_rest = jnp.log(safe), jnp.log1p(-safe)
        # The large terms of a log x + b log(1 - x) - log B(a, b) cancel in this form.
        loss = weighted_excess(a, log_x - self.log_alpha + log_total, jnp.exp(log_total) * safe)
        loss = loss + weighted_excess(b, log_rest - self.log_beta + log_total, jnp.exp(log_total) * (1.0 - safe))
        constant = 0.5 * (self.log_alpha + self.log_beta - log_total) - HALF_LOG_2PI
        constant = constant + stirling_error(a + b) - stirling_error(a) - stirling_error(b)
        return jnp.where(inside, constant - loss - log_x - log_rest, -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable."""
        return jax.nn.sigmoid(self.log_alpha - self.log_beta)


class Kumaraswamy(AbstractFactorised):
    r"""Independent Kumaraswamy variables: like Beta, with samples in closed form.

    $\prod_i a_i b_i x_i^{a_i - 1}(1 - x_i^{a_i})^{b_i - 1}$ on $0 < x < 1$. The mean is $b\,B(1 + 1/a, b)$; a sample is
    $(1 - u^{1/b})^{1/a}$ with $u$ uniform.

    Args:
        log_a: The logarithms $\log a$, of shape (*x).
        log_b: The logarithms $\log b$, of shape (*x).

    Examples:
        >>> round(float(Kumaraswamy(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.array([0.3]))), 6)  # uniform
        0.0

    Source: Nalisnick & Smyth (2017), "Stick-breaking variational autoencoders", who use it for stick lengths.
    """

    has_path: ClassVar[bool] = True

    log_a: Float[Array, "*x"]
    log_b: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event between 0 and 1, in closed form from uniform noise."""
        # The logarithm of a uniform number is minus an exponential one.
        log_u = -jax.random.exponential(key, self.log_a.shape, self.log_a.dtype)
        log_rest = jnp.log(above_zero(-jnp.expm1(log_u * jnp.exp(-self.log_b))))
        return inside_unit(jnp.exp(log_rest * jnp.exp(-self.log_a)))

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats; minus infinity outside (0, 1)."""
        inside = (event > 0.0) & (event < 1.0)
        log_x = jnp.log(jnp.where(inside, event, 0.5))
        a = jnp.exp(self.log_a)
        log_rest = log_one_minus_exp(-a * log_x)
        terms = self.log_a + self.log_b + (a - 1.0) * log_x + jnp.expm1(self.log_b) * log_rest
        return jnp.where(inside, terms, -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable."""
        return jnp.exp(self.log_b + betaln(1.0 + jnp.exp(-self.log_a), jnp.exp(self.log_b)))


class Dirichlet(AbstractDistribution[Array]):
    r"""Proportions: a distribution on the simplex.

    $\Gamma(\sum_i a_i)\prod_i \frac{x_i^{a_i - 1}}{\Gamma(a_i)}$ for proportions $x_i > 0$ with $\sum_i x_i = 1$. The
    density is with respect to the first $n - 1$ proportions. One event is one vector of proportions. Samples are
    differentiable in the parameter.

    Args:
        log_concentration: The logarithms $\log a$, of shape (n,).

    Examples:
        >>> round(float(Dirichlet(jnp.zeros(3)).log_prob(jnp.full(3, 1 / 3))), 5)  # uniform: log 2!
        0.69315
    """

    has_path: ClassVar[bool] = True
    by_volume: ClassVar[bool] = False

    log_concentration: Float[Array, " n"]

    def sample(self, *, key: Key) -> Float[Array, " n"]:
        """Draw one vector of proportions."""
        return above_zero(jax.nn.softmax(jax.random.loggamma(key, jnp.exp(self.log_concentration))))

    def log_prob(self, event: Float[Array, " n"]) -> Nats:
        """The log density of one vector of proportions, in nats; minus infinity outside the simplex."""
        inside = jnp.all(event > 0.0)
        log_x = jnp.log(jnp.where(inside, event, 1.0 / event.size))
        a, log_total = jnp.exp(self.log_concentration), jax.nn.logsumexp(self.log_concentration)
        # As for Beta: a sum to one turns sum(a log x) into a sum of small losses.
        loss = weighted_excess(a, log_x - self.log_concentration + log_total, jnp.exp(log_total + log_x))
        terms = 0.5 * self.log_concentration - stirling_error(a) - HALF_LOG_2PI - log_x - loss
        total = jnp.sum(terms) - 0.5 * log_total + stirling_error(jnp.exp(log_total)) + HALF_LOG_2PI
        return jnp.where(inside, total, -jnp.inf)

    def mean(self) -> Float[Array, " n"]:
        """The expected proportions."""
        return jax.nn.softmax(self.log_concentration)
