"""Choices with a gradient: relaxed one-hot vectors.

The temperature is given as a logarithm; a sample that would round onto a corner is the nearest number inside.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution
from latens.distributions.special import inside_unit
from latens.typing import Array, Float, Key, Nats


class RelaxedOneHot(AbstractDistribution[Array]):
    r"""The Concrete or Gumbel-softmax distribution: relaxed one-hot vectors on the simplex.

    $x = \mathrm{softmax}((l + g)/\tau)$ with Gumbel noise $g$. $\log p(x) = \log (n-1)! + (n-1)\log\tau + \sum_i [l_i -
    (\tau + 1)\log x_i] - n\log\sum_i e^{l_i} x_i^{-\tau}$, with respect to the first $n - 1$ entries.

    Args:
        logits: Real numbers $l$ of shape (*k, n): independent choices, each among n.
        log_temperature: The logarithm $\log\tau$, of shape ().

    Examples:
        >>> near = RelaxedOneHot(jnp.log(jnp.array([0.7, 0.2, 0.1])), jnp.log(0.5))
        >>> round(float(near.log_prob(jnp.array([0.6, 0.3, 0.1]))), 5)
        -0.31766

    Source: Maddison, Mnih & Teh (2017), "The Concrete distribution"; Jang, Gu & Poole (2017), "Categorical
    reparameterization with Gumbel-softmax".
    """

    has_path: ClassVar[bool] = True

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
        return self._at(-jnp.log(-jnp.log(inside_unit(noise))))

    def _at(self, noise: Float[Array, "*k n"]) -> Float[Array, "*k n"]:
        event = jax.nn.softmax((self.logits + noise) * jnp.exp(-self.log_temperature))
        return jnp.maximum(event, float(jnp.finfo(event.dtype).tiny))  # whose logarithm is finite

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
