"""Families with a location and a scale: Laplace, logistic and Student's t."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractFactorised
from latens.distributions.continuous import AbstractLocationScale
from latens.distributions.special import excess, log_gamma_ratio
from latens.typing import Array, Float, Key

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
