"""A Normal with correlations, and products of different families over named columns."""

from typing import Any

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution, AbstractReparameterised, as_reparameterised, log_prob
from latens.distributions.continuous import LOG_2PI
from latens.distributions.triangular import cholesky, inverse_lower, solve_lower
from latens.typing import Array, Bool, Float, Key, Nats


class FullNormal(AbstractReparameterised[Array]):
    r"""A Normal with any covariance, by its Cholesky factor.

    $N(\mu, L L^\top)$ with a lower triangular $L$.

    Args:
        loc: The mean $\mu$, of shape (n,).
        factor: Below its diagonal the entries of $L$, on its diagonal the *logarithms* of those of $L$; what is above
            has no influence. Shape (n, n).

    Examples:
        >>> round(float(FullNormal(jnp.zeros(2), jnp.zeros((2, 2))).log_prob(jnp.zeros(2))), 5)  # -log(2 pi)
        -1.83788
    """

    loc: Float[Array, " n"]
    factor: Float[Array, "n n"]

    def scale_tril(self) -> Float[Array, "n n"]:
        """The Cholesky factor of the covariance.

        Returns:
            The lower triangular $L$, of shape (n, n).
        """
        return jnp.tril(self.factor, -1) + jnp.diag(jnp.exp(jnp.diagonal(self.factor)))

    def covariance(self) -> Float[Array, "n n"]:
        """The covariance matrix, of shape (n, n)."""
        scale = self.scale_tril()
        return scale @ scale.T

    def log_det(self) -> Nats:
        """The log determinant of the covariance.

        Returns:
            A number of shape (), in nats.
        """
        return 2.0 * jnp.trace(self.factor)

    def sample_noise(self, *, key: Key) -> Float[Array, " n"]:
        """Draw standard Normal noise of shape (n,)."""
        return jax.random.normal(key, self.loc.shape, self.loc.dtype)

    def from_noise(self, noise: Float[Array, " n"]) -> Float[Array, " n"]:
        """The event that belongs to this noise.

        Args:
            noise: Standard Normal noise of shape (n,); zero noise gives the mean.

        Returns:
            One event of shape (n,).
        """
        return self.loc + self.scale_tril() @ noise

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " n"], Nats]:
        """Draw one event with its log density in nats, without a triangular system to solve."""
        noise = self.sample_noise(key=key)
        # The standardised residual is the noise: no triangular system to solve.
        return self.from_noise(noise), -0.5 * (jnp.sum(noise**2) + noise.size * LOG_2PI + self.log_det())

    def log_prob(self, event: Float[Array, " n"]) -> Nats:
        """The log density of one event, in nats."""
        residual = solve_lower(self.scale_tril(), event - self.loc)
        return -0.5 * (jnp.sum(residual**2) + event.size * LOG_2PI + self.log_det())

    def mean(self) -> Float[Array, " n"]:
        """The mean of each variable, `loc`."""
        return self.loc


class Product(AbstractReparameterised[dict[str, Any]]):
    r"""Independent columns, each of a family of its own; an event is a dict of the same names.

    $\prod_c p_c(x_c)$.

    Args:
        parts: A distribution for each column, by name.

    Raises:
        ValueError: An event has other columns.

    Examples:
        >>> from latens.distributions import Bernoulli, StandardNormal
        >>> both = Product({"age": StandardNormal((1,)), "smokes": Bernoulli(jnp.zeros(1))})
        >>> round(float(both.log_prob({"age": jnp.zeros(1), "smokes": jnp.ones(1)})), 5)  # -log(2 pi)/2 - log 2
        -1.61209
    """

    parts: dict[str, AbstractDistribution]

    def _check(self, event: dict[str, Any]) -> None:
        if set(event) != set(self.parts):
            raise ValueError(f"an event with columns {sorted(event)} under a Product of {sorted(self.parts)}")

    def sample(self, *, key: Key) -> dict[str, Any]:
        """Draw one event: a dict with a value of each column."""
        # Sorted names: a dict written in another order draws the same numbers.
        keys = dict(zip(sorted(self.parts), jax.random.split(key, len(self.parts))))
        return {name: part.sample(key=keys[name]) for name, part in self.parts.items()}

    def sample_noise(self, *, key: Key) -> dict[str, Any]:
        """Draw the noise of each column: a dict of the same names."""
        keys = dict(zip(sorted(self.parts), jax.random.split(key, len(self.parts))))
        return {name: as_reparameterised(part).sample_noise(key=keys[name]) for name, part in self.parts.items()}

    def from_noise(self, noise: dict[str, Any]) -> dict[str, Any]:
        """The event that belongs to this noise, column by column."""
        return {name: as_reparameterised(part).from_noise(noise[name]) for name, part in self.parts.items()}

    def without_path(self, event: dict[str, Any]) -> AbstractDistribution | None:
        """What the columns say of themselves."""
        found = (part.without_path(event[name]) for name, part in self.parts.items())
        return next((part for part in found if part is not None), None)

    def log_prob_by_part(self, event: dict[str, Any], mask: dict[str, Any] | None = None) -> dict[str, Nats]:
        """The log density of each column; their sum is `log_prob`.

        Args:
            event: One event, a dict of columns.
            mask: What is observed, by column or by entry of a column; a column that it does not name is observed, and
                one that the event lacks is not. None: everything is observed.

        Returns:
            A number of shape () for each column, by name, in nats; 0 for a column that the event lacks.

        Raises:
            ValueError: There is no mask, and the event has other columns.
        """
        if mask is None:
            self._check(event)
            return {name: part.log_prob(event[name]) for name, part in self.parts.items()}
        shown = {name: part for name, part in self.parts.items() if name in event}
        found = {name: log_prob(part, event[name], mask.get(name)) for name, part in shown.items()}
        return {name: found.get(name, jnp.zeros(())) for name in self.parts}

    def log_prob_observed(self, event: dict[str, Any], mask: dict[str, Any]) -> Nats:
        """The log density of the observed columns and entries, in nats."""
        return sum(self.log_prob_by_part(event, mask).values(), start=jnp.zeros(()))

    def log_prob(self, event: dict[str, Any]) -> Nats:
        """The log density of all columns, in nats."""
        return sum(self.log_prob_by_part(event).values(), start=jnp.zeros(()))

    def mean(self) -> dict[str, Any]:
        """The mean of each column.

        Returns:
            A dict with the mean of each column, by name.

        Raises:
            ConfigError: A column's distribution has no mean in closed form.
        """
        return {name: part.mean() for name, part in self.parts.items()}


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
