"""Heads of posteriors: correlated Normals, directions, the Poincare ball, relaxed choices, proportions, and several
side by side."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import (
    AbstractDistribution,
    Dirichlet,
    FullNormal,
    Gamma,
    LowRankNormal,
    PowerSpherical,
    Product,
    RelaxedBernoulli,
    RelaxedOneHot,
    StraightThroughOneHot,
    VonMisesFisher,
    WrappedNormal,
)
from latens.distributions.hyperbolic import from_tangent
from latens.models.heads.base import AbstractHead, NormalHead
from latens.typing import Array, Float


class FullNormalHead(AbstractHead):
    """A Normal with all correlations: the outputs of a `NormalHead`, then what stands below the diagonal of the
    Cholesky factor, by rows."""

    normal: NormalHead

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.normal.shape

    @property
    def num_outputs(self) -> int:
        (n,) = self.shape
        return self.normal.num_outputs + n * (n - 1) // 2

    def __call__(self, outputs: Float[Array, " n_out"]) -> FullNormal:
        (n,), split = self.shape, self.normal.num_outputs
        diagonal = self.normal(outputs[:split])
        rows, columns = np.tril_indices(n, -1)
        below = jnp.zeros((n, n), outputs.dtype).at[rows, columns].set(outputs[split:])
        return FullNormal(diagonal.loc, below + jnp.diag(diagonal.log_scale_array()))


class LowRankNormalHead(AbstractHead):
    """A Normal with `rank` common directions: the outputs of a `NormalHead`, then the directions by variable."""

    normal: NormalHead
    rank: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.normal.shape

    @property
    def num_outputs(self) -> int:
        return self.normal.num_outputs + self.shape[0] * self.rank

    def __call__(self, outputs: Float[Array, " n_out"]) -> LowRankNormal:
        split = self.normal.num_outputs
        diagonal = self.normal(outputs[:split])
        factor = outputs[split:].reshape(self.shape[0], self.rank)
        return LowRankNormal(diagonal.loc, factor, diagonal.log_scale_array())


class AbstractDirectionHead(AbstractHead):
    r"""A direction, then one number $r$ for the concentration $\kappa = 1 + \log(1 + e^r)$.

    A floor of 1 as in Davidson et al. (2018). A millionth is added to every coordinate: a network that gives nothing
    but zeros (an empty picture, before training) still has a direction.
    """

    @property
    def num_outputs(self) -> int:
        return math.prod(self.shape) + 1

    def _parts(self, outputs: Float[Array, " n_out"]) -> tuple[Array, Array]:
        return outputs[:-1] + 1e-6, jnp.log1p(jax.nn.softplus(outputs[-1]))


class VonMisesFisherHead(AbstractDirectionHead):
    """A von Mises-Fisher distribution; direction and concentration as in the class above."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> VonMisesFisher:
        return VonMisesFisher(*self._parts(outputs))


class PowerSphericalHead(AbstractDirectionHead):
    """A power spherical distribution; direction and concentration as in the class above."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> PowerSpherical:
        return PowerSpherical(*self._parts(outputs))


class WrappedNormalHead(AbstractHead):
    """A Normal wrapped onto the Poincare ball: a `NormalHead` gives its centre's tangent coordinates, and scales."""

    normal: NormalHead

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.normal.shape

    @property
    def num_outputs(self) -> int:
        return self.normal.num_outputs

    def __call__(self, outputs: Float[Array, " n_out"]) -> WrappedNormal:
        normal = self.normal(outputs)
        return WrappedNormal(from_tangent(normal.loc), normal.log_scale_array())


class RelaxedBernoulliHead(AbstractHead):
    """Relaxed coins of one `temperature`, with logits from the network."""

    shape: tuple[int, ...] = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> RelaxedBernoulli:
        return RelaxedBernoulli(outputs.reshape(self.shape), jnp.log(jnp.asarray(self.temperature, outputs.dtype)))


class ConcreteHead(AbstractHead):
    """Relaxed one-hot choices of one `temperature`: `shape` is (variables, choices)."""

    shape: tuple[int, ...] = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> RelaxedOneHot:
        return RelaxedOneHot(outputs.reshape(self.shape), jnp.log(jnp.asarray(self.temperature, outputs.dtype)))


class StraightThroughHead(AbstractHead):
    """One-hot choices with the gradient of relaxed ones of one `temperature`: `shape` is (variables, choices)."""

    shape: tuple[int, ...] = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> StraightThroughOneHot:
        temperature = jnp.log(jnp.asarray(self.temperature, outputs.dtype))
        return StraightThroughOneHot(outputs.reshape(self.shape), temperature)


class DirichletHead(AbstractHead):
    r"""Proportions with concentrations $\log(1 + e^r)$ + `floor`: below the floor a draw is all corner in float32."""

    shape: tuple[int, ...] = eqx.field(static=True)
    floor: float = eqx.field(static=True, default=1e-2)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Dirichlet:
        return Dirichlet(jnp.log(jax.nn.softplus(outputs) + self.floor))


class PositiveHead(AbstractHead):
    r"""Gamma units of mean $\log(1 + e^r)$ and concentration $\log(1 + e^s)$, each + `floor`: the r come first.

    Below the floor draws are zeros in float32, with gradients that are none.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    floor: float = eqx.field(static=True, default=1e-2)

    @property
    def num_outputs(self) -> int:
        return 2 * math.prod(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Gamma:
        log_mean, log_concentration = jnp.log(jax.nn.softplus(outputs.reshape(2, *self.shape)) + self.floor)
        return Gamma(log_concentration, log_concentration - log_mean)


class JointHead(AbstractHead):
    """Independent groups of latents by name, each by a head of its own; the outputs stand in the order of the names."""

    parts: dict[str, AbstractHead]

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (sum(math.prod(part.shape) for part in self.parts.values()),)

    @property
    def num_outputs(self) -> int:
        return sum(part.num_outputs for part in self.parts.values())

    def __call__(self, outputs: Float[Array, " n_out"]) -> Product:
        made: dict[str, AbstractDistribution] = {}
        for name, part in sorted(self.parts.items()):
            made[name], outputs = part(outputs[: part.num_outputs]), outputs[part.num_outputs :]
        return Product(made)
