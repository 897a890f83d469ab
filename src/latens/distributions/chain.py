"""Several levels of latents, each drawn given the one before it; and a distribution pushed through a bijection."""

import functools
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax

from latens.distributions.base import AbstractDistribution, AbstractReparameterised, as_reparameterised
from latens.typing import Array, Float, Key, Nats, PyTree, Shaped


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
