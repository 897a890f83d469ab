"""Leapfrog steps in a curved space: a metric that is learned says how far apart latents are."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.conditional import Conditional
from latens.models.hamiltonian import Hamiltonian, along_draws_only, log_joint, temperings
from latens.typing import Array, Float, Key, Nats


class Metric(eqx.Module):
    r"""$G^{-1}(z) = \sum_i L_i L_i^T e^{-\|z - c_i\|^2 / T^2} + \lambda I$: smooth, and flat far from the centroids.

    **Arguments:** `centroids` $c_i$; `factors`, whose lower triangles are the $L_i$; `width` T; `floor` $\lambda$.
    """

    centroids: Float[Array, "C n"]
    factors: Float[Array, "C n n"]
    width: float = eqx.field(static=True, default=1.5)
    floor: float = eqx.field(static=True, default=0.1)

    def inverse(self, z: Float[Array, " n"]) -> Float[Array, "n n"]:
        """The inverse of the metric: what turns a momentum into a velocity."""
        spread = (self._near(z) @ self._products().reshape(-1, z.size**2)).reshape(z.size, z.size)
        return spread + self.floor * jnp.eye(z.size, dtype=z.dtype)

    def velocity(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""$G^{-1}(z)\rho$, without the matrix."""
        turned = (momentum @ self._products().reshape(-1, z.size).T).reshape(-1, z.size)
        return self._near(z) @ turned + self.floor * momentum

    def energy(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> Nats:
        r"""$\frac12\rho^T G^{-1}(z)\rho$."""
        return 0.5 * jnp.dot(momentum, self.velocity(z, momentum))

    def half_log_det(self, z: Float[Array, " n"]) -> Nats:
        r"""$\frac12\log\det G^{-1}(z)$."""
        return 0.5 * jnp.sum(jnp.log(eliminated(self.inverse(z))[1]))

    def log_density(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> Nats:
        r"""$\log N(\rho; 0, G(z))$."""
        return self.half_log_det(z) - self.energy(z, momentum) - 0.5 * z.size * math.log(2.0 * math.pi)

    def _products(self) -> Float[Array, "C n n"]:
        """They have nothing of z: under vmap they are made once, and each use is one plain matrix product."""
        lower = jnp.tril(self.factors)
        return jnp.einsum("cij,ckj->cik", lower, lower)

    def _near(self, z: Float[Array, " n"]) -> Float[Array, " C"]:
        return jnp.exp(-jnp.sum((z - self.centroids) ** 2, axis=1) / self.width**2)

    def momentum(self, z: Float[Array, " n"], noise: Float[Array, " n"]) -> Float[Array, " n"]:
        r"""A draw of $N(0, G(z))$ from one of $N(0, I)$."""
        lower, pivots = eliminated(self.inverse(z))
        given = noise / jnp.sqrt(pivots)

        def substitute(count: Array, found: Array) -> Array:
            row = z.size - 1 - count
            return found.at[row].set(given[row] - jnp.dot(lower[:, row], found))

        return jax.lax.fori_loop(0, z.size, substitute, jnp.zeros_like(given))


def eliminated(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, " n"]]:
    """Gaussian elimination without exchanges: the columns below the pivots (unit diagonal), and the pivots.

    Right for positive definite matrices and those near the identity. Written out, because a batch of rows is then one
    program, where LAPACK is called for each small matrix.
    """

    def step(rest: Array, column: Array) -> tuple[Array, tuple[Array, Array]]:
        pivot = rest[column, column]
        below = rest[:, column] / pivot
        return rest - below[:, None] * rest[column][None, :], (below, pivot)

    _, (columns, pivots) = jax.lax.scan(step, matrix, jnp.arange(matrix.shape[0]))
    # What stands above a pivot is rounding: those rows were cleared before.
    return jnp.tril(columns.T), pivots


class RiemannianPosterior(AbstractDistribution[Array]):
    r"""$z_K$ after K generalised leapfrog steps of $-\log p(x, z) - \log N(\rho; 0, G(z))$, tempered.

    As in `HamiltonianPosterior`, but momenta are $\rho \sim N(0, G(z))$ and two of the three parts of a step are
    equations, solved by a few rounds of substitution. However far those have come, each part moves z or $\rho$ alone:
    its determinant is that of one n by n matrix, found by differentiation, so that no bound rests on convergence.

    **Arguments:** as there; `metric` G; `rounds` of substitution. Chadebec, Mantoux & Allassonniere (2020), arXiv
    2010.11518.
    """

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
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " n"], Nats]:
        base_key, momentum_key = jax.random.split(key)
        start, log_base = self.base.sample_and_log_prob(key=base_key)
        noise = jax.random.normal(momentum_key, start.shape, start.dtype)
        momentum = self.metric.momentum(start, noise)
        # The wider start (by 1/beta_0) and the temperings change densities by d/2 log beta_0 each, and that cancels.
        log_start = log_base + self.metric.log_density(start, momentum)
        z, momentum, log_det = self.moved(start, momentum * jnp.exp(-0.5 * self.log_temperature))
        return z, log_start - log_det - self.metric.log_density(z, momentum)

    def moved(self, z: Float[Array, " n"], momentum: Float[Array, " n"]) -> tuple[Array, Array, Nats]:
        r"""$(z_K, \rho_K)$ from $(z_0, \rho_0)$, and the log determinant of the steps without their temperings."""

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
        raise along_draws_only("Riemannian Hamiltonian")

    def mean(self) -> Float[Array, " n"]:
        """Where the base's mean moves to without a momentum: the middle of the draws, not their expectation."""
        base: Any = self.base
        return self.moved(base.mean(), jnp.zeros_like(base.mean()))[0]

    def _half(self, z: Array, momentum: Array, slope: Array) -> Array:
        """p with p = momentum + half a step of the slope at (z, p)."""
        half = 0.5 * self.step_size
        return self._substituted(lambda p: momentum + half * (slope + self._pull(z, p)), momentum)

    def _drift(self, z: Array, momentum: Array) -> Array:
        """y with y = z + half a step of the velocity at z and half a step of that at y."""
        half, velocity = 0.5 * self.step_size, self.metric.velocity(z, momentum)
        return self._substituted(lambda y: z + half * (velocity + self.metric.velocity(y, momentum)), z)

    def _substituted(self, step: Callable[[Array], Array], start: Array) -> Array:
        return jax.lax.fori_loop(0, self.rounds, lambda _, found: step(found), start)

    def _pull(self, z: Array, momentum: Array) -> Array:
        """What of the slope depends on the momentum."""
        return -jax.grad(self.metric.energy)(z, momentum)

    def _slope(self, z: Array) -> Array:
        """What of the slope does not: the model's, and that of the metric's volume."""
        return jax.grad(lambda z: log_joint(self, z) + self.metric.half_log_det(z))(z)


def _with_log_det(move: Any, start: Array) -> tuple[Array, Nats]:
    """Where a map goes, and the log determinant of its derivative."""
    _, pivots = eliminated(jax.jacfwd(move)(start))
    return move(start), jnp.sum(jnp.log(jnp.abs(pivots)))


class Riemannian(AbstractModelEncoder):
    """Generalised leapfrog steps after an encoder, under a metric trained with the model.

    The paper's centroids and factors are functions of training rows; here they are arrays of their own.
    **Arguments:** `steps` the encoder with its steps as in `Hamiltonian`; `metric`; `rounds` of substitution.
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
        """Centroids drawn from N(0, 1), factors 1; **Arguments:** `options` those of `Hamiltonian.create`."""
        (n,) = encoder.head.shape
        factors = jnp.broadcast_to(jnp.eye(n), (centroids, n, n))
        metric = Metric(jax.random.normal(key, (centroids, n)), factors, width, floor)
        return cls(Hamiltonian.create(encoder, **options), metric)

    def __call__(
        self,
        model: AbstractLatentModel,
        x: Any,
        *,
        cond: dict[str, Any] | None = None,
        mask: Any = None,
        key: Key | None = None,
    ) -> RiemannianPosterior:
        flat = self.steps(model, x, cond=cond, mask=mask, key=key)
        given = (flat.step_size, flat.log_temperature, flat.num_steps, self.rounds)
        return RiemannianPosterior(flat.base, model, x, cond, mask, key, self.metric, *given)
