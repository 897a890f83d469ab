"""Invertible maps with the log-determinant of their Jacobian, for one event of shape (n,).

Any bijection of flowjax has the same two methods.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.errors import ConfigError
from latens.typing import Array, Float, Key, Nats


class AbstractBijection(eqx.Module):
    """An invertible map of one event, which may depend on a context."""

    @abstractmethod
    def transform_and_log_det(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        r"""The image of an event, and how much the map stretches volume there."""

    @abstractmethod
    def inverse_and_log_det(self, y: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        r"""The event that the map sends to a given image, and how much the inverse stretches volume there."""


class Stack(AbstractBijection):
    """Bijections one after the other, with the order of the variables reversed between them."""

    parts: tuple[AbstractBijection, ...]  # the bijections, the one that sees the event first at the front

    def transform_and_log_det(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """Apply every part in order, and add up the log-determinants."""
        total = jnp.zeros(())
        for part in self.parts:
            x, log_det = part.transform_and_log_det(x, context)
            x, total = x[::-1], total + log_det
        return x, total

    def inverse_and_log_det(self, y: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """Invert every part, the last one first, and add up the log-determinants."""
        total = jnp.zeros(())
        for part in reversed(self.parts):
            y, log_det = part.inverse_and_log_det(y[::-1], context)
            total = total + log_det
        return y, total


class Inverse(AbstractBijection):
    """A bijection the other way round."""

    # What was one pass backwards is one pass forwards, and the reverse.

    inner: AbstractBijection  # the bijection whose inverse this is

    def transform_and_log_det(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The inverse of the inner bijection, with its log-determinant."""
        return self.inner.inverse_and_log_det(x, context)

    def inverse_and_log_det(self, y: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The image under the inner bijection, with its log-determinant."""
        return self.inner.transform_and_log_det(y, context)


class Scaled(AbstractBijection):
    """Another bijection, then a shift and a scale for each variable."""

    # $y = s + e^{l} f(x)$.

    inner: AbstractBijection  # the bijection $f$ of shape (n,)
    shift: Float[Array, " n"]  # the shift $s$, of shape (n,)
    log_scale: Float[Array, " n"]  # the logarithm $l$ of the scale, of shape (n,)

    def transform_and_log_det(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The scaled and shifted image under the inner bijection, with the log-determinant."""
        y, log_det = self.inner.transform_and_log_det(x, context)
        return self.shift + jnp.exp(self.log_scale) * y, log_det + jnp.sum(self.log_scale)

    def inverse_and_log_det(self, y: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The inverse of shift and scale, then of the inner bijection, with the log-determinant."""
        x, log_det = self.inner.inverse_and_log_det((y - self.shift) * jnp.exp(-self.log_scale), context)
        return x, log_det - jnp.sum(self.log_scale)


class Autoregressive(AbstractBijection):
    r"""An inverse autoregressive flow: each variable is mixed with a mean that only sees the variables before it."""

    # $y_i = \sigma_i x_i + (1 - \sigma_i)\, m_i$ where $m_i$ and $\sigma_i \in (0, 1)$ see $x_{<i}$ and the context.
    # One masked network with a hidden layer gives all of them at once, so that forwards is one pass and backwards n.
    # Source: Kingma et al. (2016), arXiv 1606.04934, algorithm 1; masks: Germain et al. (2015).

    weight: Float[Array, "n width"]  # from the event to the hidden layer, of shape (n, width)
    bias: Float[Array, " width"]  # of the hidden layer, of shape (width,)
    context_weight: Float[Array, "c width"]  # from the context to the hidden layer, of shape (c, width)
    output_weight: Float[Array, "width two_n"]  # from the hidden layer to means and gates, of shape (width, 2 n)
    output_bias: Float[Array, " two_n"]  # of means and gates, of shape (2 n,)

    @classmethod
    def create(cls, n: int, context_size: int, width: int, *, key: Key) -> "Autoregressive":
        """Initialise a flow close to the identity."""
        # He-normal first layer, a small last one, gates at sigmoid(2).
        first, second, third = jax.random.split(key, 3)
        return cls(
            jax.random.normal(first, (n, width)) * (2.0 / n) ** 0.5,
            jnp.zeros(width),
            jax.random.normal(second, (context_size, width)) * (2.0 / max(context_size, 1)) ** 0.5,
            jax.random.normal(third, (width, 2 * n)) * 0.01,
            jnp.concatenate([jnp.zeros(n), jnp.full(n, 2.0)]),
        )

    def _terms(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Array]:
        n, width = self.weight.shape
        seen = jnp.arange(n)  # input i may be seen by hidden units of degree >= i
        degree = jnp.arange(width) % max(n - 1, 1)  # which outputs > degree may see
        mask = (degree[None, :] >= seen[:, None]).astype(x.dtype)
        output_mask = (seen[None, :] > degree[:, None]).astype(x.dtype)
        hidden = x @ (self.weight * mask) + self.bias
        if context is not None and self.context_weight.shape[0]:
            hidden = hidden + context @ self.context_weight
        masked = self.output_weight.reshape(width, 2, n) * output_mask[:, None, :]
        mean, gate = (jax.nn.relu(hidden) @ masked.reshape(width, 2 * n) + self.output_bias).reshape(2, n)
        return mean, gate

    def transform_and_log_det(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The image and the log-determinant, in one pass of the network."""
        mean, gate = self._terms(x, context)
        share = jax.nn.sigmoid(gate)
        return share * x + (1.0 - share) * mean, jnp.sum(jax.nn.log_sigmoid(gate))

    def inverse_and_log_det(self, y: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The inverse and its log-determinant, in n passes of the network."""

        def settle(i: Array, x: Array) -> Array:
            # After pass i the first i + 1 variables are right.
            mean, gate = self._terms(x, context)
            share = jax.nn.sigmoid(gate)
            return (y - (1.0 - share) * mean) / share

        x = jax.lax.fori_loop(0, y.shape[0], settle, jnp.zeros_like(y))
        return x, -jnp.sum(jax.nn.log_sigmoid(self._terms(x, context)[1]))


class Planar(AbstractBijection):
    r"""A planar flow whose parameters are read off the context."""

    # $y = x + \hat u \tanh(w \cdot x + b)$ with $w$, $u$ and $b$ in the context from `offset` on, $2 n + 1$ numbers.
    # $\hat u$ is $u$ moved along $w$ so that $w \cdot \hat u > -1$, which makes the map invertible; its inverse has no
    # formula.
    # Source: Rezende & Mohamed (2015), arXiv 1505.05770, equations 10-12 and appendix A.1.

    offset: int = eqx.field(static=True)  # where in the context the parameters begin, from 0

    def transform_and_log_det(self, x: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """The image and the log-determinant, in closed form."""
        n = x.shape[0]
        assert context is not None
        own = context[self.offset : self.offset + 2 * n + 1]
        w, u, b = own[:n], own[n : 2 * n], own[2 * n]
        along = jnp.dot(w, u)
        moved = u + (jax.nn.softplus(along) - 1.0 - along) * w / (jnp.dot(w, w) + 1e-8)
        bent = jnp.tanh(jnp.dot(w, x) + b)
        return x + moved * bent, jnp.log1p((1.0 - bent**2) * jnp.dot(w, moved))

    def inverse_and_log_det(self, y: Float[Array, " n"], context: Float[Array, " c"] | None) -> tuple[Array, Nats]:
        """Refuse: the inverse has no closed form."""
        raise ConfigError(
            "a planar flow has no inverse in closed form: its density is known for its own draws only.",
            where="posterior.kind",
            fix="Use --set posterior=iaf, or an objective and a prior that ask for no other densities.",
        )
