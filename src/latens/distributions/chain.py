"""Several levels of latents, each drawn given the one before it; and a distribution pushed through a bijection.

A bijection has the log-determinant of its Jacobian, for one event of shape (n,). Any one of flowjax has the same two
methods.
"""

import functools
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution, AbstractReparameterised, as_reparameterised
from latens.errors import ConfigError
from latens.typing import Array, Float, Key, Nats, PyTree, Shaped


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


class AbstractLevels(AbstractReparameterised[tuple[Any, ...]]):
    """Several levels of latents: an event is a tuple, one entry a level."""

    @abstractmethod
    def log_prob_by_level(self, event: tuple[Any, ...]) -> list[Nats]:
        """The log density of every level, given those drawn before it.

        Args:
            event: One event.

        Returns:
            A number of shape () for each level, in the order of the event, in nats.
        """

    def log_prob(self, event: tuple[Any, ...]) -> Nats:
        """The log density of all levels together, in nats, added up in the order of the event."""
        return added(self.log_prob_by_level(event))


def added(terms: Iterable[Nats]) -> Nats:
    """Log densities added up in their order, from the first."""
    return functools.reduce(operator.add, terms)


class Chain(AbstractLevels):
    r"""Several levels of latents, each drawn given the one before it."""

    # $p(z_1, \dots, z_L) = p(z_1) \prod_{l>1} p(z_l \mid z_{l-1})$: an event is a tuple, one entry a level.

    first: AbstractDistribution  # the distribution of the level that is drawn first
    # for each next level a function that maps an event of the level before it to the distribution of this one
    parts: tuple[Callable[[Any], AbstractDistribution], ...]
    # whether the level drawn first stands last in the tuple, so that a prior from the top down has the same order of
    # levels as a posterior from the bottom up
    backwards: bool = eqx.field(static=True, default=False)

    def sample_and_log_prob(self, *, key: Key) -> tuple[tuple[Any, ...], Nats]:
        """Draw every level in turn; the log density is the sum over the levels, in nats."""
        levels, total = [], None
        for level in range(len(self.parts) + 1):
            distribution = self.first if level == 0 else self.parts[level - 1](levels[-1])
            event, density = distribution.sample_and_log_prob(key=jax.random.fold_in(key, level))
            levels.append(event)
            total = density if total is None else total + density
        assert total is not None
        return self._ordered(levels), total

    def sample(self, *, key: Key) -> tuple[Any, ...]:
        """Draw every level in turn."""
        return self.sample_and_log_prob(key=key)[0]

    def without_path(self, event: tuple[Any, ...]) -> AbstractDistribution | None:
        """What the levels say of themselves."""
        levels = self._ordered(list(event))
        # Only what kind of distribution each level has, nothing is computed.
        parts = [self.first, *(jax.eval_shape(part, given) for part, given in zip(self.parts, levels[:-1]))]
        found = (part.without_path(level) for part, level in zip(parts, levels))
        return next((part for part in found if part is not None), None)

    def sample_noise(self, *, key: Key) -> tuple[Any, ...]:
        """Draw the noise of every level: a tuple in the order of an event."""
        noises, levels = [], []
        for level in range(len(self.parts) + 1):
            distribution = as_reparameterised(self.first if level == 0 else self.parts[level - 1](levels[-1]))
            noises.append(distribution.sample_noise(key=jax.random.fold_in(key, level)))
            levels.append(distribution.from_noise(noises[-1]))
        return self._ordered(noises)

    def from_noise(self, noise: tuple[Any, ...]) -> tuple[Any, ...]:
        """The levels that belong to this noise, each given the one before it."""
        first, *others = self._ordered(list(noise))
        levels = [as_reparameterised(self.first).from_noise(first)]
        for part, own in zip(self.parts, others):
            levels.append(as_reparameterised(part(levels[-1])).from_noise(own))
        return self._ordered(levels)

    def log_prob(self, event: tuple[Any, ...]) -> Nats:
        """The log density of all levels together, in nats, added up in the order of drawing."""
        return added(self._ordered(self.log_prob_by_level(event)))

    def log_prob_by_level(self, event: tuple[Any, ...]) -> list[Nats]:
        """The log density of every level given the one before it, in the order of the event, in nats."""
        levels = self._ordered(list(event))
        parts = [self.first, *(part(given) for part, given in zip(self.parts, levels[:-1]))]
        return list(self._ordered([part.log_prob(level) for part, level in zip(parts, levels)]))

    def mean(self) -> tuple[Any, ...]:
        """The mean of the first level, and of each next one given that: where the chain goes without noise."""
        first: Any = self.first
        levels = [first.mean()]
        for part in self.parts:
            distribution: Any = part(levels[-1])
            levels.append(distribution.mean())
        return self._ordered(levels)

    def _ordered(self, levels: list[Any]) -> tuple[Any, ...]:
        return tuple(reversed(levels)) if self.backwards else tuple(levels)


class Transformed(AbstractReparameterised[Array]):
    r"""A distribution pushed through a bijection."""

    # $y = f(x)$ with $x$ from `base`: $\log p(y) = \log p(x) - \log\lvert\det \partial f / \partial x\rvert$.
    # `sample_and_log_prob` goes forwards only; `log_prob` inverts, which is slow for inverse autoregressive flows.

    base: AbstractDistribution  # the distribution of $x$, over events of shape (n,)
    bijection: Any  # the map $f$: any of flowjax's, or one with the same two methods
    context: Float[Array, " c"] | None = None  # what the map is conditioned on, of shape (c,); None for nothing

    def sample(self, *, key: Key) -> Float[Array, " n"]:
        """Draw an event of the base, and map it forwards."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " n"], Nats]:
        """Draw one event with its log density in nats, forwards only."""
        x, density = self.base.sample_and_log_prob(key=key)
        y, log_det = self.bijection.transform_and_log_det(x, self.context)
        return y, density - log_det

    def without_path(self, event: Shaped[Array, " n"]) -> AbstractDistribution | None:
        """What the base says of itself."""
        return self.base.without_path(event)

    def sample_noise(self, *, key: Key) -> Any:
        """Draw the noise of the base."""
        return as_reparameterised(self.base).sample_noise(key=key)

    def from_noise(self, noise: PyTree[Array]) -> Float[Array, " n"]:
        """The event of the base that belongs to this noise, mapped forwards."""
        return self.bijection.transform_and_log_det(as_reparameterised(self.base).from_noise(noise), self.context)[0]

    def log_prob(self, event: Shaped[Array, " n"]) -> Nats:
        """The log density of one event, in nats, by the inverse of the bijection."""
        x, log_det = self.bijection.inverse_and_log_det(event, self.context)
        return self.base.log_prob(x) + log_det

    def mean(self) -> Float[Array, " n"]:
        """The image of the base's mean: the middle of the distribution, not its expectation."""
        base: Any = self.base
        return self.bijection.transform_and_log_det(base.mean(), self.context)[0]
