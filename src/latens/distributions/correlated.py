"""A Normal of an array whose variables all depend on one another."""

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractReparameterised
from latens.distributions.continuous import LOG_2PI
from latens.distributions.triangular import cholesky, inverse_lower, solve_lower
from latens.typing import Array, Bool, Float, Key, Nats


class CorrelatedNormal(AbstractReparameterised[Array]):
    r"""A Normal with a scale for each variable and correlated noise, by what makes the noise independent.

    $x = \mu + \sigma \odot W^{-1} \epsilon$ with independent standard Normals $\epsilon$, so that
    $\log p(x) = -\frac12 |W (x - \mu) / \sigma|^2 + \log|W| - \sum_i \log\sigma_i - \frac d2 \log 2\pi$. A density
    takes one product with W and no system to solve.

    Args:
        loc: The means $\mu$, of shape (*x), in the unit of the event.
        log_scale: The logarithms $\log\sigma$, of shape (*x).
        white: The lower triangular $W$ with positive diagonal, of shape (d, d) for the d variables in row-major
            order. What stands above the diagonal is not read.

    Examples:
        >>> round(float(CorrelatedNormal(jnp.zeros(2), jnp.zeros(2), jnp.eye(2)).log_prob(jnp.zeros(2))), 5)
        -1.83788
    """

    loc: Float[Array, "*x"]
    log_scale: Float[Array, "*x"]
    white: Float[Array, "d d"]

    def affine(self, shift: Float[Array, "*x"], scale: Float[Array, "*x"]) -> "CorrelatedNormal":
        """The distribution of `shift + scale * x`.

        Args:
            shift: The shift, of shape (*x), in the new unit.
            scale: Positive scales, likewise.

        Returns:
            The same family, in the new unit.
        """
        return CorrelatedNormal(shift + scale * self.loc, self.log_scale + jnp.log(scale), self.white)

    def covariance(self) -> Float[Array, "d d"]:
        """The covariance of all variables, of shape (d, d), in the square of their unit."""
        scale = jnp.exp(self.log_scale).reshape(-1)
        root = scale[:, None] * inverse_lower(jnp.tril(self.white))
        return root @ root.T

    def moments(self) -> tuple[Float[Array, "*x"], Float[Array, "*ones d d"]]:
        """The means, of shape (*x), and the covariance of all variables, of shape (1, ..., 1, d, d)."""
        covariance = self.covariance()
        return self.loc, covariance.reshape(*(1,) * self.loc.ndim, *covariance.shape)

    def sample_noise(self, *, key: Key) -> Float[Array, "*x"]:
        """Draw standard Normal noise of the shape of an event."""
        return jax.random.normal(key, self.loc.shape, self.loc.dtype)

    def from_noise(self, noise: Float[Array, "*x"]) -> Float[Array, "*x"]:
        """The event that belongs to this noise; zero noise gives the mean."""
        return self.loc + jnp.exp(self.log_scale) * solve_lower(jnp.tril(self.white), noise.reshape(-1)).reshape(
            self.loc.shape
        )

    def log_prob(self, event: Float[Array, "*x"]) -> Nats:
        """The log density of one event, in nats."""
        residual = jnp.tril(self.white) @ ((event - self.loc) * jnp.exp(-self.log_scale)).reshape(-1)
        log_det = jnp.sum(jnp.log(jnp.diagonal(self.white))) - jnp.sum(self.log_scale)
        return -0.5 * (jnp.sum(residual**2) + residual.size * LOG_2PI) + log_det

    def log_prob_observed(self, event: Float[Array, "*x"], mask: Bool[Array, "*x"]) -> Nats:
        """The log density of the observed variables, whose covariance is a part of the whole one, in nats."""
        white, away = self._observed(event, mask)
        log_det = jnp.sum(jnp.log(jnp.diagonal(white)))
        return -0.5 * (jnp.sum((white @ away) ** 2) + jnp.sum(mask) * LOG_2PI) + log_det

    def conditioned(self, event: Float[Array, "*x"], mask: Bool[Array, "*x"]) -> "CorrelatedNormal":
        """The Normal of all variables given the observed ones; of these it says nothing."""
        at, covariance = mask.reshape(-1), self.covariance()
        white, away = self._observed(event, mask)
        # Rows of `seen` are observed variables made independent, its columns the hidden ones.
        seen = white @ jnp.where(at[:, None] & ~at[None], covariance, 0.0)
        moved = seen.T @ (white @ away)
        left = jnp.where(at[:, None] | at[None], jnp.eye(at.size), covariance - seen.T @ seen)
        deviation = jnp.sqrt(jnp.diagonal(left))
        inner = inverse_lower(cholesky(left / (deviation[:, None] * deviation)))
        scale = jnp.log(deviation).reshape(self.loc.shape)
        return CorrelatedNormal(self.loc + moved.reshape(self.loc.shape), scale, inner)

    def _observed(self, event: Array, mask: Array) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
        """What makes the noise of observed variables independent, and how far these are away; 1 and 0 for others."""
        at = mask.reshape(-1)
        away = jnp.where(at, event.reshape(-1) - self.loc.reshape(-1), 0.0)
        whole = jnp.where(at[:, None] & at[None], self.covariance(), jnp.eye(at.size))
        return inverse_lower(cholesky(whole)), away

    def mean(self) -> Float[Array, "*x"]:
        """The mean of each variable, `loc`."""
        return self.loc
