"""Leapfrog steps in a curved space: a metric that is learned says how far apart latents are."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.conditional import Conditional
from latens.models.hamiltonian import Hamiltonian, along_draws_only, log_joint, temperings
from latens.typing import Array, Cond, Float, Key, Nats


class Metric(eqx.Module):
    r"""A learned metric of the latent space: smooth, and flat far from its centroids.

    $G^{-1}(z) = \sum_i L_i L_i^T e^{-\|z - c_i\|^2 / T^2} + \lambda I$.

    Args:
        centroids: The points $c_i$, of shape (C, n).
        factors: Matrices of shape (C, n, n), whose lower triangles are the $L_i$.
        width: The distance T over which a centroid is felt.
        floor: The number $\lambda > 0$ that keeps the inverse metric positive definite.
    """

    centroids: Float[Array, "C n"]
    factors: Float[Array, "C n n"]
    width: float = eqx.field(static=True, default=1.5)
    floor: float = eqx.field(static=True, default=0.1)

    def inverse(self, z: Float[Array, " n"]) -> Float[Array, "n n"]:
        """The inverse of the metric: what maps a momentum to a velocity.

        Args:
            z: One latent, of shape (n,).

        Returns:
            Shape (n, n).
        """
        spread = (self._near(z) @ self._products().reshape(-1, z.size**2)).reshape(z.size, z.size)
        return spread + self.floor * jnp.eye(z.size, dtype=z.dtype)

    def velocity(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""The velocity of a momentum, without the matrix.

        $G^{-1}(z)\rho$.

        Args:
            z: One latent, of shape (n,).
            momentum: The momentum $\rho$, of shape (n,).

        Returns:
            Shape (n,).
        """
        turned = (momentum @ self._products().reshape(-1, z.size).T).reshape(-1, z.size)
        return self._near(z) @ turned + self.floor * momentum

    def energy(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> Nats:
        r"""The kinetic energy.

        $\frac12\rho^T G^{-1}(z)\rho$.

        Args:
            z: One latent, of shape (n,).
            momentum: The momentum $\rho$, of shape (n,).

        Returns:
            A number of shape (), in nats.
        """
        return 0.5 * jnp.dot(momentum, self.velocity(z, momentum))

    def half_log_det(self, z: Float[Array, " n"]) -> Nats:
        r"""Half the log determinant of the inverse metric.

        $\frac12\log\det G^{-1}(z)$.

        Args:
            z: One latent, of shape (n,).

        Returns:
            A number of shape (), in nats.
        """
        return 0.5 * jnp.sum(jnp.log(eliminated(self.inverse(z))[1]))

    def log_density(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> Nats:
        r"""The log density of a momentum under its Normal distribution.

        $\log N(\rho; 0, G(z))$.

        Args:
            z: One latent, of shape (n,).
            momentum: The momentum $\rho$, of shape (n,).

        Returns:
            A number of shape (), in nats.
        """
        return self.half_log_det(z) - self.energy(z, momentum) - 0.5 * z.size * math.log(2.0 * math.pi)

    def _products(self) -> Float[Array, "C n n"]:
        """They have nothing of z: under vmap they are made once, and each use is one plain matrix product."""
        lower = jnp.tril(self.factors)
        return jnp.einsum("cij,ckj->cik", lower, lower)

    def _near(self, z: Float[Array, " n"]) -> Float[Array, " C"]:
        return jnp.exp(-jnp.sum((z - self.centroids) ** 2, axis=1) / self.width**2)

    def momentum(self, z: Float[Array, " n"], noise: Float[Array, " n"]) -> Float[Array, " n"]:
        """A sample of the momentum from standard Normal noise.

        $N(0, G(z))$ from $N(0, I)$.

        Args:
            z: One latent, of shape (n,).
            noise: Standard Normal noise, of shape (n,).

        Returns:
            Shape (n,).
        """
        lower, pivots = eliminated(self.inverse(z))
        given = noise / jnp.sqrt(pivots)

        def substitute(count: Array, found: Array) -> Array:
            row = z.size - 1 - count
            return found.at[row].set(given[row] - jnp.dot(lower[:, row], found))

        return jax.lax.fori_loop(0, z.size, substitute, jnp.zeros_like(given))


def eliminated(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, " n"]]:
    """Gaussian elimination without exchanges."""
    # Right for positive definite matrices and those near the identity. Written out, because a batch of rows is then one
    # program, where LAPACK is called for each small matrix.

    def step(rest: Array, column: Array) -> tuple[Array, tuple[Array, Array]]:
        pivot = rest[column, column]
        below = rest[:, column] / pivot
        return rest - below[:, None] * rest[column][None, :], (below, pivot)

    _, (columns, pivots) = jax.lax.scan(step, matrix, jnp.arange(matrix.shape[0]))
    # What stands above a pivot is rounding: those rows were cleared before.
    return jnp.tril(columns.T), pivots


class RiemannianPosterior(AbstractDistribution[Array]):
    r"""The latent after generalised leapfrog steps in a curved space, tempered.

    $z_K$ after K steps of $-\log p(x, z) - \log N(\rho; 0, G(z))$. As in `HamiltonianPosterior`, but momenta are $\rho
    \sim N(0, G(z))$ and two of the three parts of a step are equations, solved by a few rounds of substitution. However
    far those have come, each part moves z or $\rho$ alone: its determinant is that of one n by n matrix, found by
    differentiation, so that no bound rests on convergence.

    Args:
        base: The distribution of the first sample.
        model: The model whose joint density with `x` gives the gradient.
        x: The row that the posterior is for.
        cond: Named arrays that the model is conditioned on, or None.
        mask: True where `x` is observed, or None.
        key: A JAX random key for dropout in the model, or None.
        metric: The metric G.
        step_size: The step sizes, of shape (n,).
        log_temperature: $\log\beta_0 \le 0$, of shape ().
        num_steps: The number K of steps.
        rounds: How many rounds of substitution solve each equation.

    Source: Chadebec, Mantoux & Allassonniere (2020), arXiv 2010.11518.
    """

    has_path: ClassVar[bool] = True

    density_elsewhere: ClassVar[bool] = False

    base: AbstractDistribution
    model: AbstractLatentModel
    x: Any
    cond: Any
    mask: Any
    key: Key | None
    metric: Metric
    step_size: Float[Array, " n"]
    log_temperature: Float[Array, ""]
    num_steps: int = eqx.field(static=True)
    rounds: int = eqx.field(static=True, default=3)

    def sample(self, *, key: Key) -> Float[Array, " n"]:
        """Draw one latent."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " n"], Nats]:
        """Draw one latent with the number, in nats, that stands for its log density in every bound."""
        base_key, momentum_key = jax.random.split(key)
        start, log_base = self.base.sample_and_log_prob(key=base_key)
        noise = jax.random.normal(momentum_key, start.shape, start.dtype)
        momentum = self.metric.momentum(start, noise)
        # The wider start (by 1/beta_0) and the temperings change densities by d/2 log beta_0 each, and that cancels.
        log_start = log_base + self.metric.log_density(start, momentum)
        z, momentum, log_det = self.moved(start, momentum * jnp.exp(-0.5 * self.log_temperature))
        return z, log_start - log_det - self.metric.log_density(z, momentum)

    def moved(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> tuple[Array, Array, Nats]:
        r"""The latent and momentum after all steps, and how much the steps stretch volume.

        $(z_K, \rho_K)$ from $(z_0, \rho_0)$.

        Args:
            z: The first latent, of shape (n,).
            momentum: The first momentum, of shape (n,).

        Returns:
            The last latent and momentum, both of shape (n,), and the log determinant of the steps without their
            temperings, of shape (), in nats.
        """

        def step(carry: tuple[Array, Array, Array, Array], scaling: Array) -> tuple[tuple, None]:
            z, momentum, slope, total = carry
            momentum, first = _with_log_det(lambda p: self._half(z, p, slope), momentum)
            z, second = _with_log_det(lambda z: self._drift(z, momentum), z)
            slope = self._slope(z)
            half = 0.5 * self.step_size
            momentum, third = _with_log_det(lambda p: p + half * (slope + self._pull(z, p)), momentum)
            return (z, scaling * momentum, slope, total + first + second + third), None

        start = (z, momentum, self._slope(z), jnp.zeros((), z.dtype))
        (z, momentum, _, total), _ = jax.lax.scan(step, start, temperings(self.log_temperature, self.num_steps))
        return z, momentum, total

    def log_prob(self, event: Float[Array, " n"]) -> Nats:
        """Refuse: the density is known along the posterior's own samples only.

        Args:
            event: One latent of shape (n,).

        Raises:
            ConfigError: Always.
        """
        raise along_draws_only("Riemannian Hamiltonian")

    def mean(self) -> Float[Array, " n"]:
        """Where the base's mean moves to without a momentum: the middle of the samples, not their expectation.

        Returns:
            Shape (n,).
        """
        base: Any = self.base
        return self.moved(base.mean(), jnp.zeros_like(base.mean()))[0]

    def _half(self, z: Array, momentum: Array, slope: Array) -> Array:
        """The momentum p with p = momentum + half a step of the gradient at (z, p)."""
        half = 0.5 * self.step_size
        return self._substituted(lambda p: momentum + half * (slope + self._pull(z, p)), momentum)

    def _drift(self, z: Array, momentum: Array) -> Array:
        """The latent y with y = z + half a step of the velocity at z and half a step of that at y."""
        half, velocity = 0.5 * self.step_size, self.metric.velocity(z, momentum)
        return self._substituted(lambda y: z + half * (velocity + self.metric.velocity(y, momentum)), z)

    def _substituted(self, step: Callable[[Array], Array], start: Array) -> Array:
        return jax.lax.fori_loop(0, self.rounds, lambda _, found: step(found), start)

    def _pull(self, z: Array, momentum: Array) -> Array:
        """The part of the gradient that depends on the momentum."""
        return -jax.grad(self.metric.energy)(z, momentum)

    def _slope(self, z: Array) -> Array:
        """The part of the gradient that the momentum does not change: the model's, and that of the metric's volume."""
        return jax.grad(lambda z: log_joint(self, z) + self.metric.half_log_det(z))(z)


def _with_log_det(move: Any, start: Array) -> tuple[Array, Nats]:
    """Where a map goes, and the log determinant of its derivative."""
    _, pivots = eliminated(jax.jacfwd(move)(start))
    return move(start), jnp.sum(jnp.log(jnp.abs(pivots)))


class Riemannian(AbstractModelEncoder):
    """Generalised leapfrog steps after an encoder, under a metric trained with the model.

    The paper's centroids and factors are functions of training rows; here they are arrays of their own.

    Args:
        steps: The encoder with its steps as in `Hamiltonian`.
        metric: The metric.
        rounds: How many rounds of substitution solve each equation.

    Source: Chadebec, Mantoux & Allassonniere (2020), arXiv 2010.11518.
    """

    steps: Hamiltonian
    metric: Metric
    rounds: int = eqx.field(static=True, default=3)

    @classmethod
    def create(
        cls,
        encoder: Conditional,
        *,
        centroids: int = 20,
        width: float = 1.5,
        floor: float = 0.1,
        key: Key,
        **options: Any,
    ) -> "Riemannian":
        """Put generalised leapfrog steps after an encoder, with centroids drawn from N(0, 1) and factors 1.

        Args:
            encoder: The encoder of the first sample.
            centroids: How many centroids the metric has.
            width: The distance over which a centroid is felt.
            floor: The number that keeps the inverse metric positive definite.
            key: A JAX random key for the initialisation.
            options: Keyword arguments of `Hamiltonian.create`.

        Returns:
            The encoder with its steps.
        """
        (n,) = encoder.head.shape
        factors = jnp.broadcast_to(jnp.eye(n), (centroids, n, n))
        metric = Metric(jax.random.normal(key, (centroids, n)), factors, width, floor)
        return cls(Hamiltonian.create(encoder, **options), metric)

    def __call__(
        self, model: AbstractLatentModel, x: Any, *, cond: Cond = None, mask: Any = None, key: Key | None = None
    ) -> RiemannianPosterior:
        """The posterior of one row, which holds the model and the row."""
        flat = self.steps(model, x, cond=cond, mask=mask, key=key)
        given = (flat.step_size, flat.log_temperature, flat.num_steps, self.rounds)
        return RiemannianPosterior(flat.base, model, x, cond, mask, key, self.metric, *given)
