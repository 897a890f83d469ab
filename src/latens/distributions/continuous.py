"""Distributions of real vectors: the Normal with its parametrisations, a point mass, a shift and scale."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution, AbstractFactorised, AbstractReparameterised
from latens.distributions.special import excess, log_gamma_ratio
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


LOG_2, LOG_PI = math.log(2.0), math.log(math.pi)


class Laplace(AbstractLocationScale):
    r"""Independent Laplace variables.

    $\prod_i \frac{1}{2 b_i} e^{-|x_i - \mu_i| / b_i}$ with $\log b$ given.

    Args:
        loc: The means $\mu$, of shape (*x).
        log_scale: The logarithms $\log b$, of a shape that broadcasts to that of `loc`.

    Examples:
        >>> round(float(Laplace(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.ones(1))), 6)  # -log 2 - 1
        -1.693147
    """

    def sample_noise(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw standard Laplace noise."""
        return jax.random.laplace(key, self.loc.shape, self.loc.dtype)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats."""
        return -jnp.abs(event - self.loc) * jnp.exp(-self.log_scale) - LOG_2 - self.log_scale

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*x"]]:
        """The mean and the variance of each variable, $2 b^2$."""
        return self.loc, jnp.broadcast_to(2.0 * jnp.exp(2.0 * self.log_scale), self.loc.shape)


class StudentT(AbstractFactorised):
    r"""Independent variables with Student's t distribution.

    $\prod_i \frac{\Gamma(\frac{\nu+1}2)}{\Gamma(\frac\nu2)\sqrt{\nu\pi}\,\sigma_i}(1 + r_i^2/\nu)^{-(\nu+1)/2}$ with
    $r_i = (x_i - \mu_i)/\sigma_i$. Samples are differentiable in all three parameters. `mean` is `loc`, and NaN where
    $\nu \le 1$: there is none.

    Args:
        loc: The locations $\mu$, of shape (*x).
        log_scale: The logarithms $\log\sigma$, of a shape that broadcasts to that of `loc`.
        log_df: The logarithms $\log\nu$ of the degrees of freedom, of a shape that broadcasts to that of `loc`.

    Examples:
        >>> round(float(StudentT(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.zeros(1))), 4)  # -log pi
        -1.1447
    """

    has_path: ClassVar[bool] = True

    loc: Float[Array, "*x"]
    log_scale: Float[Array, "..."]
    log_df: Float[Array, "..."]

    def sample(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw one event, differentiable in all parameters."""
        df = jnp.broadcast_to(jnp.exp(self.log_df), self.loc.shape)
        return self.loc + jnp.exp(self.log_scale) * jax.random.t(key, df, self.loc.shape, self.loc.dtype)

    def log_prob_terms(self, event: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The log density of each variable, in nats."""
        df, distance = jnp.exp(self.log_df), jnp.abs(event - self.loc)
        constant = log_gamma_ratio(0.5 * df, 0.5) - 0.5 * (self.log_df + LOG_PI) - self.log_scale
        # log(1 + r^2/df): far out by logarithms, because the square (or its slope) would overflow.
        log_root = self.log_scale + 0.5 * self.log_df
        far = distance > jnp.minimum(jnp.exp(log_root), 1.0)
        ratio = jnp.where(far, 0.0, distance) * jnp.exp(-log_root)
        log_distance = jnp.log(jnp.where(far, distance, 1.0))
        log_square = 2.0 * (log_distance - log_root)
        grown = jnp.where(far, jax.nn.softplus(log_square), jnp.log1p(ratio**2))
        # With many degrees of freedom the square itself, less a small loss: nearly a Normal.
        is_small = grown < 0.25
        log_residual = jnp.where(is_small, 2.0 * (log_distance - self.log_scale), 0.0)
        near_residual = jnp.where(far, 0.0, distance) * jnp.exp(-self.log_scale)
        square = jnp.where(far, jnp.exp(log_residual), near_residual**2)
        loss = jnp.where(is_small, square - df * excess(jnp.where(is_small, grown, 0.0)), df * grown)
        return constant - 0.5 * (loss + grown)

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable; NaN where the degrees of freedom are 1 or fewer."""
        return jnp.where(self.log_df > 0.0, self.loc, jnp.nan)
