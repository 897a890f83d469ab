"""What every distribution is: a density over one event. `jax.vmap` makes batches."""

from abc import abstractmethod
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp

from latens.typing import Array, Bool, Float, Key, Nats, Shaped

Event = TypeVar("Event")


class AbstractDistribution(eqx.Module, Generic[Event]):
    """A density over one event. Subclasses write `sample` and `log_prob` for that one event, as in the paper."""

    @abstractmethod
    def sample(self, *, key: Key) -> Event:
        """Draw one event."""

    @abstractmethod
    def log_prob(self, event: Event) -> Nats:
        """The log density (or log probability) of one event, in nats, with every constant."""

    def sample_and_log_prob(self, *, key: Key) -> tuple[Event, Nats]:
        """One event and its log density; overridden where both together are cheaper."""
        event = self.sample(key=key)
        return event, self.log_prob(event)

    def log_prob_observed(self, event: Event, mask: Any) -> Nats:
        """The log density of the observed part of one event; overridden where parts of it have one."""
        raise TypeError(f"a mask needs a distribution that factorises over its variables, not {type(self)}")


class AbstractFactorised(AbstractDistribution[Array]):
    """A distribution whose variables are independent given its parameters."""

    @abstractmethod
    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats; its sum is `log_prob`."""

    @abstractmethod
    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable."""

    def log_prob(self, event: Shaped[Array, "*x"]) -> Nats:
        return jnp.sum(self.log_prob_terms(event))

    def log_prob_observed(self, event: Shaped[Array, "*x"], mask: Bool[Array, "..."]) -> Nats:
        # Before and after: a NaN in a missing cell must reach neither the value nor a gradient.
        terms = self.log_prob_terms(jnp.where(mask, event, jnp.zeros_like(event)))
        return jnp.sum(jnp.where(mask, terms, 0.0))


class AbstractReparameterised(AbstractFactorised):
    """A distribution whose samples are a smooth function of its parameters and of noise without parameters."""

    @abstractmethod
    def sample_noise(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw the noise; zero noise gives the mean exactly."""

    @abstractmethod
    def from_noise(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The event that belongs to this noise."""

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        return self.from_noise(self.sample_noise(key=key))


def log_prob(distribution: AbstractDistribution, event: Any, mask: Any = None) -> Nats:
    r"""The log density of the observed part of an event.

    $\sum_i m_i \log p(x_i)$. Missing entries are replaced by a value inside the support *before* the density and
    removed by `where` after it, so that a NaN there reaches neither the value nor a gradient.

    **Arguments:** `mask` is True where the entry is observed: an array, or for an event of named columns a dict of
    them. **Returns:** nats.
    **Raises:** TypeError if the distribution does not factorise over its variables.
    """
    return distribution.log_prob(event) if mask is None else distribution.log_prob_observed(event, mask)
