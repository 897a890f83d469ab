"""Directions: distributions on the unit sphere in any number of dimensions, with samples that pass gradients.

Densities are with respect to the area of the sphere. An event has length 1; other lengths are not checked.
"""

from functools import partial
from typing import Annotated, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta

from latens.distributions.base import AbstractDistribution
from latens.distributions.special import log_bessel_scaled, log_sphere_area
from latens.typing import Array, Float, Key, Nats

LOG_2PI = float(np.log(2 * np.pi))


def _unit(vector: Float[Array, " m"]) -> Float[Array, " m"]:
    return vector / jnp.sqrt(jnp.sum(vector**2))


def _around(axis: Float[Array, " m"], gap: Float[Array, ""], key: Key) -> Float[Array, " m"]:
    """A uniform point among those of the sphere whose inner product with the axis is 1 - gap."""
    noise = jax.random.normal(key, axis.shape, axis.dtype)
    return axis * (1.0 - gap) + jnp.sqrt(gap * (2.0 - gap)) * _unit(noise - jnp.sum(noise * axis) * axis)


class UniformSphere(AbstractDistribution[Array]):
    r"""The uniform distribution on the unit sphere.

    $p(x) = \Gamma(m/2) / (2\pi^{m/2})$. It holds no arrays.

    Args:
        dimension: The number $m \ge 2$ of dimensions of the space around the sphere.

    Raises:
        ValueError: The dimension is below 2.

    Examples:
        >>> round(float(UniformSphere(3).log_prob(jnp.array([0.0, 0.0, 1.0]))), 5)  # -log(4 pi)
        -2.53102
    """

    has_path: ClassVar[bool] = True

    dimension: Annotated[int, Meta(ge=2)] = eqx.field(static=True)

    def sample(self, *, key: Key) -> Float[Array, " m"]:
        """Draw one point of the sphere."""
        return _unit(jax.random.normal(key, (self.dimension,)))

    def log_prob(self, event: Float[Array, " m"]) -> Nats:
        """The log density of one point, in nats: the same everywhere.

        Args:
            event: A point of length 1, of shape (m,).

        Returns:
            A number of shape (), in nats.
        """
        return jnp.asarray(-log_sphere_area(self.dimension), event.dtype)

    def mean(self) -> Float[Array, " m"]:
        """The mean in the space around the sphere: zeros of shape (m,)."""
        return jnp.zeros(self.dimension)

    def entropy(self) -> Nats:
        """The entropy: the log area of the sphere.

        Returns:
            A number of shape (), in nats.
        """
        return jnp.asarray(log_sphere_area(self.dimension), float)


class VonMisesFisher(AbstractDistribution[Array]):
    r"""The von Mises-Fisher distribution on the unit sphere.

    $p(x) = C_m(\kappa)\,e^{\kappa\mu^\top x}$ with $C_m$ from the Bessel function $I_{m/2-1}$. Sampled by rejection;
    the gradient by $\kappa$ is the implicit one, $-\partial_\kappa F(w) / p(w)$ of the cosine $w$, by quadrature, and
    so unbiased.

    Args:
        direction: A vector but 0, of which only the direction $\mu$ counts, of shape (m,), $m \ge 2$.
        log_concentration: The logarithm $\log\kappa$, of shape ().

    Raises:
        ValueError: The dimension is below 2.

    Examples:
        >>> one = VonMisesFisher(jnp.array([0.0, 0.0, 2.0]), jnp.log(10.0))
        >>> round(float(one.log_prob(jnp.array([0.0, 0.0, 1.0]))), 5)  # log(10 / (2 pi (1 - e^-20)))
        0.46471

    Source: Wood (1994), "Simulation of the von Mises Fisher distribution".
    """

    has_path: ClassVar[bool] = True

    direction: Float[Array, " m"]
    log_concentration: Float[Array, ""]

    def __check_init__(self) -> None:
        # Transformations also rebuild the module with leaves that are no arrays.
        if eqx.is_array(self.direction) and self.direction.shape[-1] < 2:
            raise ValueError(f"a sphere needs at least 2 dimensions, not {self.direction.shape[-1]}")

    def _log_constant(self) -> Nats:
        """The log density at the mean direction."""
        m = self.direction.shape[0]
        return log_bessel_scaled(m / 2 - 1, jnp.exp(self.log_concentration)) - 0.5 * m * LOG_2PI

    def sample(self, *, key: Key) -> Float[Array, " m"]:
        """Draw one point of the sphere, with a gradient in both parameters."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " m"], Nats]:
        """Draw one point with its log density in nats."""
        along, across = jax.random.split(key)
        concentration = jnp.exp(self.log_concentration)
        gap = _draw_gap(self.direction.shape[0], along, concentration)
        event = _around(_unit(self.direction), gap, across)
        return event, self._log_constant() - concentration * gap

    def log_prob(self, event: Float[Array, " m"]) -> Nats:
        """The log density of one point of the sphere, in nats."""
        # 1 - cos is half the squared chord, which keeps its digits near the mean direction.
        gap = 0.5 * jnp.sum((event - _unit(self.direction)) ** 2)
        return self._log_constant() - jnp.exp(self.log_concentration) * gap

    def mean_cosine(self) -> Float[Array, ""]:
        r"""The length of the mean, which is the mean cosine of the angle to the direction.

        $I_{m/2}(\kappa) / I_{m/2-1}(\kappa)$.

        Returns:
            A number of shape (), between 0 and 1.
        """
        return 1.0 - _mean_gap(self.direction.shape[0], jnp.exp(self.log_concentration))

    def mean(self) -> Float[Array, " m"]:
        """The mean in the space around the sphere, of shape (m,) and length below 1."""
        return self.mean_cosine() * _unit(self.direction)

    def entropy(self) -> Nats:
        r"""The entropy.

        $-E[\log p]$.

        Returns:
            A number of shape (), in nats.
        """
        concentration = jnp.exp(self.log_concentration)
        return concentration * _mean_gap(self.direction.shape[0], concentration) - self._log_constant()


def _mean_gap(m: int, concentration: Float[Array, ""]) -> Float[Array, ""]:
    """1 minus the mean cosine, without the cancellation."""
    return jax.grad(lambda x: log_bessel_scaled(m / 2 - 1, x))(concentration)


def _propose(m: int, concentration: Array, key: Key) -> tuple[Array, Array]:
    """One of Wood's proposals for the gap 1 - cos, and whether it is accepted."""
    beta_key, accept_key = jax.random.split(key)
    n = m - 1
    ratio = n / (2.0 * concentration + jnp.sqrt(4.0 * concentration**2 + n * n))  # b in the paper
    first, second = jax.random.split(beta_key)
    half = jnp.full_like(concentration, 0.5 * n)
    share = jax.nn.sigmoid(jax.random.loggamma(first, half) - jax.random.loggamma(second, half))
    below = 1.0 - (1.0 - ratio) * share
    gap = 2.0 * ratio * share / below
    # log of the density over that of the proposal, minus its maximum; both are exact for a small gap.
    centre = 2.0 * ratio / (1.0 + ratio)
    log_ratio = concentration * (centre - gap) + n * jnp.log(
        (centre + gap * (1.0 - centre)) / (centre * (2.0 - centre))
    )
    log_uniform = -jax.random.exponential(accept_key, (), concentration.dtype)
    return gap, log_uniform <= log_ratio


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _draw_gap(m: int, key: Key, concentration: Float[Array, ""]) -> Float[Array, ""]:
    r"""Draw one minus the cosine of the angle to the direction."""
    # $1 - w$ for the cosine $w$ with density proportional to $e^{\kappa w}(1 - w^2)^{(m-3)/2}$.

    def again(state: tuple) -> tuple:
        key, _, _ = state
        key, now = jax.random.split(key)
        return key, *_propose(m, concentration, now)

    start = (key, jnp.zeros_like(concentration), jnp.zeros((), bool))
    _, gap, _ = jax.lax.while_loop(lambda state: ~state[2], again, start)
    return jnp.clip(gap, float(jnp.finfo(gap.dtype).tiny), 2.0)


@_draw_gap.defjvp
def _draw_gap_jvp(m: int, primals: tuple, tangents: tuple) -> tuple:
    (key, concentration), (_, tangent) = primals, tangents
    gap = _draw_gap(m, key, concentration)
    return gap, _gap_slope(m, concentration, gap) * tangent


_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(48)


def _gap_slope(m: int, concentration: Float[Array, ""], gap: Float[Array, ""]) -> Float[Array, ""]:
    r"""The derivative of the gap by the concentration at a fixed quantile."""
    # $\partial_\kappa(1 - w)$. In the angle $\theta = \arccos w$, with density $h \propto
    # e^{\kappa\cos\theta}\sin^{m-2}\theta$, it is $\sin\theta\int_\theta^{end}(\cos s - E\cos)\,h(s)/h(\theta)\,ds$ to
    # either end, 0 or $\pi$: the nearer tail, cut after ten standard deviations of the peak.
    angle = 2.0 * jnp.arcsin(jnp.sqrt(jnp.clip(0.5 * gap, 0.0, 1.0)))
    mean_gap = _mean_gap(m, concentration)
    # The curvature of log h at its peak, where kappa sin^2 = (m - 2) cos.
    half = 0.5 * (m - 2)
    over_cosine = half + jnp.sqrt(half * half + concentration**2)  # kappa / cos
    curvature = concentration**2 / jnp.maximum(over_cosine, 1e-6) + (over_cosine if m > 2 else 0.0)
    reach = 10.0 / jnp.sqrt(jnp.maximum(curvature, 1e-6))
    upper = gap > mean_gap
    end = jnp.where(upper, jnp.minimum(angle + reach, np.pi), jnp.maximum(angle - reach, 0.0))
    s = angle + 0.5 * (end - angle) * (1.0 + jnp.asarray(_NODES, angle.dtype))
    drop = -2.0 * jnp.sin(0.5 * (s + angle)) * jnp.sin(0.5 * (s - angle))  # cos s - cos angle
    sines = jnp.maximum(jnp.sin(jnp.stack([s, jnp.full_like(s, angle)])), float(jnp.finfo(s.dtype).tiny))
    log_sines = (m - 2) * (jnp.log(sines[0]) - jnp.log(sines[1]))
    inside = (mean_gap - 2.0 * jnp.sin(0.5 * s) ** 2) * jnp.exp(concentration * drop + log_sines)
    integral = 0.5 * (end - angle) * jnp.sum(jnp.asarray(_NODE_WEIGHTS, angle.dtype) * inside)
    return jnp.sin(angle) * integral
