"""Distributions of real vectors: the Normal with its parametrisations, a point mass, a shift and scale."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution, AbstractFactorised, AbstractReparameterised
from latens.errors import ConfigError
from latens.typing import Array, Float, Key

LOG_2PI = math.log(2 * math.pi)


class StandardNormal(AbstractReparameterised[Array], AbstractFactorised):
    """Independent standard Normal variables of a given shape.

    $N(0, I)$. It holds no arrays, so nothing of it can be trained.

    Args:
        shape: The shape of an event.

    Examples:
        >>> float(StandardNormal((2,)).log_prob(jnp.zeros(2)))  # -log(2 pi)
        -1.8378770351409912
    """

    shape: tuple[int, ...] = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]

    def sample_noise(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw standard Normal noise."""
        return jax.random.normal(key, self.shape)

    def from_noise(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The noise itself."""
        return noise

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats.

        Args:
            event: One event of exactly the distribution's shape.

        Returns:
            The same shape, in nats.

        Raises:
            ValueError: The event has another shape.
        """
        if event.shape != self.shape:
            raise ValueError(f"an event of shape {event.shape} under a StandardNormal of shape {self.shape}")
        return -0.5 * (event**2 + LOG_2PI)

    def mean(self) -> Float[Array, "*x"]:
        """Zero for each variable."""
        return jnp.zeros(self.shape)

    def log_scale_array(self) -> Float[Array, "*x"]:
        """The logarithm of each standard deviation: zeros of the event's shape."""
        return jnp.zeros(self.shape)


class AbstractLocationScale(AbstractReparameterised[Array], AbstractFactorised):
    """Independent variables that are standard noise, scaled and shifted to their mean."""

    loc: Float[Array, "*x"]
    log_scale: Float[Array, "..."]

    def from_noise(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The noise, scaled and shifted."""
        return self.loc + jnp.exp(self.log_scale) * noise

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable, `loc`."""
        return self.loc


class DiagonalNormal(AbstractLocationScale):
    r"""Independent Normal variables, each with its mean and the logarithm of its standard deviation.

    $\prod_i N(x_i; \mu_i, \sigma_i^2)$ with $\log\sigma$ given.

    Args:
        loc: The means $\mu$, of shape (*x).
        log_scale: The logarithms $\log\sigma$, of a shape that broadcasts to that of `loc`.

    Examples:
        >>> float(DiagonalNormal(jnp.array([1.0]), jnp.array([0.0])).log_prob(jnp.array([1.0])))
        -0.9189385175704956
    """

    def sample_noise(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw standard Normal noise."""
        return jax.random.normal(key, self.loc.shape, self.loc.dtype)

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, "*x"], Float[Array, ""]]:
        """Draw one event with its log density in nats, which is found from the noise."""
        noise = self.sample_noise(key=key)
        event = self.from_noise(noise)
        # The standardised residual is the noise: no division, and exact when the scale underflows.
        terms = -0.5 * (noise**2 + LOG_2PI) - self.log_scale_array()
        return event, jnp.sum(terms)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats."""
        residual = (event - self.loc) * jnp.exp(-self.log_scale)
        return -0.5 * (residual**2 + LOG_2PI) - self.log_scale

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable."""
        return self.loc, jnp.exp(2.0 * self.log_scale_array())

    def log_scale_array(self) -> Float[Array, "*x"]:
        """The logarithm of each standard deviation, broadcast to the event's shape."""
        return jnp.broadcast_to(self.log_scale, self.loc.shape)


class Deterministic(AbstractReparameterised[Array], AbstractFactorised):
    """A point mass: the "posterior" of a plain autoencoder.

    It has no density, and asking for one is an error.

    Args:
        loc: Where the mass lies, of shape (*x).
    """

    loc: Float[Array, "*x"]

    def sample_noise(self, *, key: Key) -> Float[Array, "*x"]:
        """Zeros: a point mass has no noise."""
        return jnp.zeros_like(self.loc)

    def from_noise(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The point, whatever the noise is."""
        return self.loc

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """Refuse: a point mass has no density.

        Args:
            event: One event of shape (*x).

        Raises:
            ConfigError: Always.
        """
        what = "a point mass has no density, so that an autoencoder has no ELBO and no log p(x)."
        raise ConfigError(
            what, where="posterior", fix="Take `Autoencoder`, or train with the objective Reconstruction."
        )

    def mean(self) -> Float[Array, "*x"]:
        """The point itself, `loc`."""
        return self.loc


class Affine(AbstractFactorised):
    r"""A shifted and scaled distribution: a density in the data's own units.

    The distribution of $s + c\,y$ for $y$ from `base`: $\log p(x) = \log p_y((x - s)/c) - \sum_i \log c_i$. A model
    keeps `shift` and `scale` frozen.

    Args:
        base: The factorised distribution of $y$, over events of shape (*x).
        shift: The shift $s$, of shape (*x), in the data's units.
        scale: The scale $c > 0$, of shape (*x), in the data's units.
    """

    base: AbstractFactorised
    shift: Float[Array, "*x"]
    scale: Float[Array, "*x"]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event in the data's units."""
        return self.shift + self.scale * self.base.sample(key=key)

    def without_path(self, event: Float[Array, "*x"]) -> AbstractDistribution | None:
        """What the base says of itself."""
        return self.base.without_path(event)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable in the data's units, in nats."""
        terms = self.base.log_prob_terms((event - self.shift) / self.scale)
        return terms - jnp.log(self.scale)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable in the data's units."""
        return self.shift + self.scale * self.base.mean()

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable in the data's units."""
        mean, variance = self.base.moments()
        return self.shift + self.scale * mean, self.scale**2 * variance
