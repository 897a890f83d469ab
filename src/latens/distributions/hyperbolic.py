"""The Poincare ball of curvature -1, and Normals wrapped around it.

Densities are with respect to the ball's own (Riemannian) volume. A point has length below 1.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from latens.distributions.base import AbstractDistribution
from latens.distributions.continuous import LOG_2PI
from latens.distributions.special import LOG_2
from latens.typing import Array, Float, Key, Nats

_MOST = 1.0 - 4e-6
"""The greatest length of a point, 13 units from the centre: beyond it single precision cannot tell points apart."""


def _length(vector: Float[Array, " n"]) -> Float[Array, ""]:
    # Never exactly 0, so that its slope is a number.
    return jnp.sqrt(jnp.sum(vector**2) + 1e-20)


def from_tangent(vector: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""The point of the ball that lies in the direction and at the distance of a tangent vector at the centre.

    $\exp_0(v / 2) = \tanh(\|v\|/2)\,v/\|v\|$.

    Args:
        vector: The tangent vector $v$, of shape (n,); its length is the hyperbolic distance from the centre.

    Returns:
        A point of length below 1, of shape (n,).

    Examples:
        >>> round(float(jnp.linalg.norm(from_tangent(jnp.array([3.0, 4.0])))), 5)  # tanh(5 / 2)
        0.98661
    """
    length = _length(vector)
    return jnp.minimum(jnp.tanh(0.5 * length), _MOST) / length * vector


def to_tangent(point: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""The tangent vector at the centre that `from_tangent` maps to a point."""
    # $2\,\mathrm{artanh}(\|z\|)\,z/\|z\|$.
    length = _length(point)
    return 2.0 * jnp.arctanh(jnp.minimum(length, _MOST)) / length * point


def moebius_add(a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""The Moebius sum: one point carried along the geodesic from the centre to another."""
    # $a \oplus b$, for which $(-a) \oplus (a \oplus b) = b$.
    inner, aa, bb = jnp.sum(a * b), jnp.sum(a * a), jnp.sum(b * b)
    point = ((1.0 + 2.0 * inner + bb) * a + (1.0 - aa) * b) / (1.0 + 2.0 * inner + aa * bb)
    return point * jnp.minimum(1.0, _MOST / _length(point))


def _log_shrinkage(distance: Float[Array, ""]) -> Float[Array, ""]:
    r"""The log ratio of flat to hyperbolic length, by its series near 0."""
    # $\log(r / \sinh r)$.
    near = distance < 0.1
    r = jnp.where(near, 1.0, distance)
    far = jnp.log(r) + LOG_2 - r - jnp.log1p(-jnp.exp(-2.0 * r))
    square = distance**2
    return jnp.where(near, -square / 6.0 + square**2 / 180.0, far)


class WrappedNormal(AbstractDistribution[Array]):
    r"""A Normal in a tangent space of the Poincare ball, wrapped onto the ball.

    $z = \mu \oplus \exp_0(v/2)$ with $v \sim N(0, \mathrm{diag}\,\sigma^2)$. With $r = \|v\|$ the distance of z from
    $\mu$, $\log p(z) = \log N(v; 0, \sigma^2) + (n - 1)\log(r / \sinh r)$. Another curvature is another $\sigma$.

    Args:
        loc: The centre $\mu$, a point of length below 1, of shape (n,).
        log_scale: The logarithms $\log\sigma$, of shape (n,), in hyperbolic distance.

    Examples:
        >>> middle = WrappedNormal(jnp.array([0.3, 0.0]), jnp.zeros(2))
        >>> round(float(middle.log_prob(jnp.array([0.3, 0.0]))), 5)  # -log(2 pi)
        -1.83788

    Source: Nagano et al. (2019), "A wrapped normal distribution on hyperbolic space for gradient-based learning";
    Mathieu et al. (2019), arXiv 1901.06033.
    """

    has_path: ClassVar[bool] = True

    loc: Float[Array, " n"]
    log_scale: Float[Array, " n"]

    def _density(self, noise: Float[Array, " n"], tangent: Float[Array, " n"]) -> Nats:
        normal = jnp.sum(-0.5 * (noise**2 + LOG_2PI) - self.log_scale)
        return normal + (noise.size - 1) * _log_shrinkage(_length(tangent))

    def sample(self, *, key: Key) -> Float[Array, " n"]:
        """Draw one point of the ball."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " n"], Nats]:
        """Draw one point with its log density in nats, which is found from the noise."""
        noise = jax.random.normal(key, self.loc.shape, self.loc.dtype)
        tangent = jnp.exp(self.log_scale) * noise
        return moebius_add(self.loc, from_tangent(tangent)), self._density(noise, tangent)

    def log_prob(self, event: Float[Array, " n"]) -> Nats:
        """The log density of one point with respect to the ball's volume, in nats."""
        tangent = to_tangent(moebius_add(-self.loc, event))
        return self._density(tangent * jnp.exp(-self.log_scale), tangent)

    def centre(self) -> Float[Array, " n"]:
        """The centre of mass on the ball, which is the location.

        The mean of the coordinates has no formula.

        Returns:
            A point of length below 1, of shape (n,).
        """
        return self.loc
