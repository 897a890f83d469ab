"""What every distribution is: a density over one event.

Batches are made with `jax.vmap`.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from latens.errors import ConfigError, UsageError
from latens.trainable import said
from latens.typing import Array, Bool, Float, Key, Mask, Nats, PyTree, Shaped, check_options

Event = TypeVar("Event")


def _of_one_event(log_prob: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a batch, which a density of one event would sum over or broadcast in silence."""

    @wraps(log_prob)
    def checked(self: "AbstractDistribution", event: PyTree) -> Any:
        known = isinstance(event, np.ndarray | jax.Array | float | int | str) and not isinstance(event, Tracer)
        if known and not self._takes(np.shape(event)):
            what = f"an array of shape {np.shape(event)} is not one event of shape {self.shape}."
            raise UsageError(what, where="event", fix="Use jax.vmap for a batch of events.")
        return log_prob(self, event)

    return checked


class AbstractDistribution(eqx.Module, Generic[Event]):
    """A density over one event.

    Subclasses write `sample` and `log_prob` for that one event, as in the paper; `jax.vmap` makes batches of it.
    A subclass whose density is known along its own draws only sets `density_elsewhere` to False.

    Attributes:
        has_path: Whether samples are a smooth function of all parameters, so that a gradient through them is whole.
            There is no default: a gradient through samples of a class that does not say it is refused.
        density_elsewhere: Whether the density is known elsewhere than along its own draws.
    """

    has_path: ClassVar[bool]
    density_elsewhere: ClassVar[bool] = True

    __check_init__ = check_options

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "log_prob" in vars(cls):
            cls.log_prob = _of_one_event(cls.log_prob)

    @abstractmethod
    def sample(self, *, key: Key) -> Event:
        """Draw one event.

        Args:
            key: A JAX random key.

        Returns:
            One event: an array, or for named columns or levels a dict or tuple of them.
        """

    @abstractmethod
    def log_prob(self, event: Event) -> Nats:
        """The log density (or log probability) of one event, with every constant.

        Args:
            event: One event, of the structure and shape that `sample` returns.

        Returns:
            A number of shape (), in nats.

        Raises:
            UsageError: The array is not one event, as a batch of them.
        """

    @cached_property  # no plain property: a distribution may hold its shape as a field
    def shape(self) -> Any:
        """The shape of one event; of an event of several parts the shape of each, in the same structure.

        It is read off `sample`, of which nothing is computed.
        """
        event = jax.eval_shape(lambda: self.sample(key=jax.random.key(0)))
        return jax.tree.map(lambda leaf: leaf.shape, event)

    def _takes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is one event."""
        return shape == self.shape

    def sample_and_log_prob(self, *, key: Key) -> tuple[Event, Nats]:
        """Draw one event together with its log density.

        Subclasses override it where both together are cheaper.

        Args:
            key: A JAX random key.

        Returns:
            The event, and its log density in nats, of shape ().
        """
        event = self.sample(key=key)
        return event, self.log_prob(event)

    def without_path(self, event: PyTree) -> "AbstractDistribution | None":
        """The part whose samples are not a smooth function of all its parameters; None where there is none.

        Args:
            event: One event, of which a chain of levels reads what its parts are; nothing is computed.

        Returns:
            The distribution itself, or a part of it, whose class says `has_path = False` or nothing.
        """
        return None if said(self, "has_path", of=("sample",)) else self

    def sample_at(self, temperature: float, *, key: Key) -> Event:
        """Draw one event at a temperature: 1 draws as `sample` does, below 1 nearer to the centre.

        Of samples that are a function of noise, the noise is multiplied by it (Kingma & Dhariwal, 2018, arXiv
        1807.03039); a mixture draws its component as ever; logits of codes are divided by it.

        Args:
            temperature: From 0, where the noise is none and of codes the most probable one is taken.
            key: A JAX random key.

        Returns:
            One event, as `sample` gives it.

        Raises:
            TypeError: The family has no temperature.
        """
        raise TypeError(f"a {type(self).__name__} has no samples at a temperature")

    def log_prob_observed(self, event: Event, mask: PyTree) -> Nats:
        """The log density of the observed part of one event.

        Subclasses override it where parts of an event have a density.

        Args:
            event: One event; where the mask is False its value has no influence.
            mask: True where the entry is observed, of the structure of the event.

        Returns:
            A number of shape (), in nats.

        Raises:
            ConfigError: The class defines no density of a part of an event.
        """
        fix = "Inherit from AbstractFactorised, or define log_prob_observed(self, event, mask) in its class."
        raise ConfigError(f"a {type(self).__name__} has no density of rows with missing cells.", fix=fix)

    def mean(self) -> Any:
        """The mean of one event, of families that have it in closed form.

        Returns:
            The mean, of the structure and shape of an event.

        Raises:
            ConfigError: The family has none.
        """
        what = f"a {type(self).__name__} has no mean in closed form."
        raise ConfigError(what, fix="In a class of your own, define mean(self) in the shape of a sample.")

    def conditioned(self, event: Event, mask: PyTree) -> "AbstractDistribution[Event]":
        """The distribution given the observed part of an event; only what it says of the rest is of use.

        The default is the distribution itself, which is right where variables are independent.

        Args:
            event: One event; where the mask is False its value has no influence.
            mask: True where the entry is observed, of the structure of the event.

        Returns:
            A distribution over whole events.
        """
        return self


class AbstractFactorised(AbstractDistribution[Array]):
    """A distribution whose variables are independent given its parameters."""

    @abstractmethod
    def log_prob_terms(self, event: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable; their sum is `log_prob`.

        Args:
            event: One event, of shape (*x).

        Returns:
            Shape (*x), in nats.
        """

    @abstractmethod
    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable.

        Returns:
            Shape (*x), in the unit of the event.
        """

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable, of families that have both in closed form.

        Returns:
            Two arrays of shape (*x), in the unit of the event and in its square.

        Raises:
            TypeError: The family gives no variance.
        """
        raise TypeError(f"{type(self).__name__} gives no variance")

    def log_prob(self, event: Shaped[Array, "*x"]) -> Nats:
        """The log density of one event: the sum of `log_prob_terms`, in nats."""
        return jnp.sum(self.log_prob_terms(event))

    def log_prob_observed(self, event: Shaped[Array, "*x"], mask: Bool[Array, "..."]) -> Nats:
        """The sum of `terms_observed`, in nats."""
        return jnp.sum(self.terms_observed(event, mask))

    def terms_observed(self, event: Shaped[Array, "*x"], mask: Bool[Array, "..."]) -> Float[Array, "*x"]:
        """The log density of each observed variable, 0 where it is missing; they add up to `log_prob_observed`.

        Args:
            event: One event, of shape (*x).
            mask: True where the entry is observed, likewise.

        Returns:
            Shape (*x), in nats.
        """
        # Before and after: a NaN in a missing cell must reach neither the value nor a gradient. An observed cell lies
        # in the support, which 0 does not of every family; where none is observed, a half does.
        shown = jnp.broadcast_to(mask, jnp.shape(event))
        half = jnp.asarray(0.5, jnp.result_type(event))
        inside = jnp.where(jnp.any(shown), jnp.ravel(event)[jnp.argmax(shown)], half)
        terms = self.log_prob_terms(jnp.where(shown, event, inside))
        return jnp.where(mask, terms, 0.0)


class AbstractReparameterised(AbstractDistribution[Event]):
    """A distribution whose samples are a smooth function of its parameters and of noise without parameters."""

    has_path: ClassVar[bool] = True

    @abstractmethod
    def sample_noise(self, *, key: Key) -> Any:
        """Draw the noise; zero noise gives the mean exactly.

        Args:
            key: A JAX random key.

        Returns:
            Noise, an array or for an event of several parts a dict or tuple of them; its shape is that of the event
            unless the distribution says otherwise.

        Raises:
            TypeError: A part of the distribution is not a function of noise.
        """

    @abstractmethod
    def from_noise(self, noise: PyTree[Array]) -> Event:
        """The event that belongs to this noise.

        Args:
            noise: As `sample_noise` returns it.

        Returns:
            One event, differentiable in the parameters and in the noise.

        Raises:
            TypeError: A part of the distribution is not a function of noise.
        """

    def sample(self, *, key: Key) -> Event:
        """Draw one event: noise first, then the event that belongs to it."""
        return self.from_noise(self.sample_noise(key=key))

    def sample_at(self, temperature: float, *, key: Key) -> Event:
        """Draw one event with its noise multiplied by the temperature."""
        noise = self.sample_noise(key=key)
        return self.from_noise(jax.tree.map(lambda leaf: temperature * leaf, noise))


def as_reparameterised(distribution: AbstractDistribution) -> AbstractReparameterised:
    """The distribution itself, where its samples are a function of noise.

    Args:
        distribution: A distribution.

    Returns:
        The same distribution.

    Raises:
        TypeError: Its samples are no function of noise, as those of discrete variables.
    """
    if not isinstance(distribution, AbstractReparameterised):
        raise TypeError(f"{type(distribution).__name__} is not a function of noise: draw it with a key")
    return distribution


def log_prob(distribution: AbstractDistribution, event: PyTree, mask: Mask = None) -> Nats:
    r"""The log density of the observed part of an event.

    $\sum_i m_i \log p(x_i)$. Missing entries are replaced by a value inside the support *before* the density and
    removed by `where` after it, so that a NaN there reaches neither the value nor a gradient.

    Args:
        distribution: The distribution of the whole event.
        event: One event, with any value (NaN too) in its missing entries.
        mask: True where the entry is observed: an array of the event's shape, or for an event of named columns a dict
            of them. None: everything is observed.

    Returns:
        A number of shape (), in nats.

    Raises:
        ConfigError: There is a mask, and the class defines no density of a part of an event.
        UsageError: The array is not one event, as a batch of them.
    """
    return distribution.log_prob(event) if mask is None else distribution.log_prob_observed(event, mask)
