"""Discrete variables with a gradient: relaxed Bernoulli and one-hot, and straight-through one-hot.

The temperature is given as a logarithm; a sample that would round onto a corner is the nearest number inside.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions.base import AbstractDistribution, AbstractFactorised
from latens.distributions.positive import above_zero, inside_unit
from latens.distributions.special import logistic_term
from latens.typing import Array, Float, Key, Nats


def _gumbel(uniform: Float[Array, "*x"]) -> Float[Array, "*x"]:
    return -jnp.log(-jnp.log(inside_unit(uniform)))


_NODES = np.arange(-40.0, 40.25, 0.5)
_WEIGHTS = 0.5 / (2.0 * np.cosh(0.5 * _NODES)) ** 2
"""The trapezoid rule for the expectation under a logistic: its error falls as exp(-2 pi^2 / step), here 1e-17."""


class RelaxedBernoulli(AbstractFactorised):
    r"""Independent relaxed Bernoulli variables: between 0 and 1, near one of both for a small temperature.

    $x_i = \sigma((l_i + \epsilon_i)/\tau)$ with logistic noise $\epsilon$. With $r = \tau\,\mathrm{logit}(x) - l$,
    $\log p(x) = \log\tau - r - 2\log(1 + e^{-r}) - \log x - \log(1 - x)$.

    Args:
        logits: The logits $l$, of shape (*x).
        log_temperature: The logarithm $\log\tau$, of a shape that broadcasts to that of `logits`.

    Examples:
        >>> round(float(RelaxedBernoulli(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.array([0.3]))), 6)  # uniform
        0.0

    Source: Maddison, Mnih & Teh (2017), "The Concrete distribution", appendix B.
    """

    has_path: ClassVar[bool] = True

    logits: Float[Array, "*x"]
    log_temperature: Float[Array, "..."]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event between 0 and 1, differentiable in both parameters."""
        return self._at(jax.random.logistic(key, self.logits.shape, self.logits.dtype))

    def from_uniform(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The event that belongs to uniform noise between 0 and 1, differentiable in both parameters.

        Args:
            noise: Uniform numbers from 0 to 1, of the shape of the event.

        Returns:
            The event.
        """
        inside = inside_unit(noise)
        return self._at(jnp.log(inside) - jnp.log1p(-inside))

    def _at(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        return inside_unit(jax.nn.sigmoid((self.logits + noise) * jnp.exp(-self.log_temperature)))

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats; minus infinity outside (0, 1)."""
        inside = (event > 0.0) & (event < 1.0)
        safe = jnp.where(inside, event, 0.5)
        log_x, log_rest = jnp.log(safe), jnp.log1p(-safe)
        residual = jnp.exp(self.log_temperature) * (log_x - log_rest) - self.logits
        terms = self.log_temperature + logistic_term(residual) - log_x - log_rest
        return jnp.where(inside, terms, -jnp.inf)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable, by quadrature."""
        # E sigma((l + e)/t) = P(l + e - t e' > 0) = E sigma(l + t e') for two logistics: take the smoother integrand.
        across = (*(1,) * self.logits.ndim, -1)
        nodes = jnp.asarray(_NODES, self.logits.dtype).reshape(across)
        temperature = jnp.broadcast_to(jnp.exp(self.log_temperature), self.logits.shape)[..., None]
        low = self.logits[..., None] + jnp.minimum(temperature, 1.0) * nodes
        high = (self.logits[..., None] + nodes) / jnp.maximum(temperature, 1.0)
        smooth = jax.nn.sigmoid(jnp.where(temperature <= 1.0, low, high))
        return jnp.sum(smooth * jnp.asarray(_WEIGHTS, self.logits.dtype).reshape(across), axis=-1)


class RelaxedOneHot(AbstractDistribution[Array]):
    r"""The Concrete or Gumbel-softmax distribution: relaxed one-hot vectors on the simplex.

    $x = \mathrm{softmax}((l + g)/\tau)$ with Gumbel noise $g$. $\log p(x) = \log (n-1)! + (n-1)\log\tau + \sum_i [l_i -
    (\tau + 1)\log x_i] - n\log\sum_i e^{l_i} x_i^{-\tau}$, with respect to the first $n - 1$ entries.

    Args:
        logits: Any real numbers $l$ of shape (*k, n): independent choices, each among n.
        log_temperature: The logarithm $\log\tau$, of shape ().

    Examples:
        >>> near = RelaxedOneHot(jnp.log(jnp.array([0.7, 0.2, 0.1])), jnp.log(0.5))
        >>> round(float(near.log_prob(jnp.array([0.6, 0.3, 0.1]))), 5)
        -0.31766

    Source: Maddison, Mnih & Teh (2017), "The Concrete distribution"; Jang, Gu & Poole (2017), "Categorical
    reparameterization with Gumbel-softmax".
    """

    has_path: ClassVar[bool] = True
    by_volume: ClassVar[bool] = False

    logits: Float[Array, "*k n"]
    log_temperature: Float[Array, ""]

    def sample(self, *, key: Key) -> Float[Array, "*k n"]:
        """Draw one event on the simplex, differentiable in both parameters."""
        return self._at(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def from_uniform(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        """The event that belongs to uniform noise between 0 and 1, differentiable in both parameters.

        Args:
            noise: Uniform numbers from 0 to 1, of the shape of the event.

        Returns:
            The event.
        """
        return self._at(_gumbel(noise))

    def _at(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        return above_zero(jax.nn.softmax((self.logits + noise) * jnp.exp(-self.log_temperature)))

    def log_prob(self, event: Float[Array, "*k n"]) -> Nats:
        """The log density of one event, in nats; minus infinity outside the simplex."""
        inside = event > 0.0
        log_x = jnp.log(jnp.where(inside, event, 0.5))
        n, choices = event.shape[-1], event.size // event.shape[-1]
        # Written with s = l - tau log x, so that no power is taken.
        scores = self.logits - jnp.exp(self.log_temperature) * log_x
        total = jnp.sum(jax.nn.log_softmax(scores)) - jnp.sum(log_x)
        constant = choices * (math.lgamma(n) + (n - 1) * self.log_temperature)
        return jnp.where(jnp.all(inside), constant + total, -jnp.inf)


class StraightThroughOneHot(AbstractDistribution[Array]):
    r"""One-hot vectors whose samples pass the gradient of the relaxed choice.

    The value of a sample is exactly one-hot, $\arg\max_i(l_i + g_i)$ with Gumbel noise $g$, so that densities and
    models see a true choice; its gradient is that of $\mathrm{softmax}((l + g)/\tau)$, which is biased.

    Args:
        logits: Any real numbers $l$ of shape (*k, n): independent choices, each among n.
        log_temperature: The logarithm $\log\tau$, of shape ().

    Examples:
        >>> choice = StraightThroughOneHot(jnp.zeros((2, 4)), jnp.zeros(()))
        >>> round(float(choice.log_prob(jax.nn.one_hot(jnp.array([1, 3]), 4))), 5)  # -2 log 4
        -2.77259

    Source: Jang, Gu & Poole (2017), "Categorical reparameterization with Gumbel-softmax", section 2.2.
    """

    has_path: ClassVar[bool] = True

    logits: Float[Array, "*k n"]
    log_temperature: Float[Array, ""]

    def sample(self, *, key: Key) -> Float[Array, "*k n"]:
        """Draw one event of one-hot vectors, with the gradient of the relaxed choice."""
        return self._at(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def from_uniform(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        """The event that belongs to uniform noise between 0 and 1, with the gradient of the relaxed choice.

        Args:
            noise: Uniform numbers from 0 to 1, of the shape of the event.

        Returns:
            The event.
        """
        return self._at(_gumbel(noise))

    def _at(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        scores = self.logits + noise
        soft = jax.nn.softmax(scores * jnp.exp(-self.log_temperature))
        hard = jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=scores.dtype)
        # soft - stop(soft) is exactly 0, so the value stays exactly one-hot.
        return hard + (soft - jax.lax.stop_gradient(soft))

    def log_prob(self, event: Float[Array, "*k n"]) -> Nats:
        """The log probability of one event, in nats; minus infinity for anything but one-hot vectors."""
        one_hot = jnp.all((event == 0.0) | (event == 1.0)) & jnp.all(jnp.sum(event, axis=-1) == 1.0)
        return jnp.where(one_hot, jnp.sum(event * jax.nn.log_softmax(self.logits)), -jnp.inf)

    def mean(self) -> Float[Array, "*k n"]:
        """The probability of each choice.

        Returns:
            Shape (*k, n); the last axis sums to 1.
        """
        return jax.nn.softmax(self.logits)
