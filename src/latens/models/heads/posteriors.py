"""Heads of posteriors: correlated Normals, directions, relaxed discrete variables and more.

The Poincare ball, proportions, and several heads side by side are here too.
"""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import lambertw

from latens.distributions import (
    AbstractDistribution,
    DiagonalNormal,
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


class AbstractAroundNormalHead(AbstractHead):
    """A head whose first outputs are those of a `NormalHead`, of whose shape it is."""

    normal: NormalHead

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The shape (n,) of one event."""
        return self.normal.shape

    @property
    def num_outputs(self) -> int:
        """Those of the `NormalHead`."""
        return self.normal.num_outputs


class FullNormalHead(AbstractAroundNormalHead):
    """A Normal with all correlations.

    The outputs are those of a `NormalHead`, then what stands below the diagonal of the Cholesky factor, by rows.

    Args:
        normal: The head of the means and of the factor's diagonal.
    """

    @property
    def num_outputs(self) -> int:
        """Those of the `NormalHead`, and n (n - 1) / 2 more."""
        (n,) = self.shape
        return self.normal.num_outputs + n * (n - 1) // 2

    def __call__(self, outputs: Float[Array, " n_out"]) -> FullNormal:
        """The distribution that belongs to these outputs."""
        (n,), split = self.shape, self.normal.num_outputs
        diagonal = self.normal(outputs[:split])
        rows, columns = np.tril_indices(n, -1)
        below = jnp.zeros((n, n), outputs.dtype).at[rows, columns].set(outputs[split:])
        return FullNormal(diagonal.loc, below + jnp.diag(diagonal.log_scale_array()))


class LowRankNormalHead(AbstractAroundNormalHead):
    """A Normal with a few common directions.

    The outputs are those of a `NormalHead`, then the directions by variable.

    Args:
        normal: The head of the means and of each variable's own scale.
        rank: How many common directions there are.
    """

    rank: int = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        """Those of the `NormalHead`, and one more for each variable and direction."""
        return self.normal.num_outputs + self.shape[0] * self.rank

    def __call__(self, outputs: Float[Array, " n_out"]) -> LowRankNormal:
        """The distribution that belongs to these outputs."""
        split = self.normal.num_outputs
        diagonal = self.normal(outputs[:split])
        factor = outputs[split:].reshape(self.shape[0], self.rank)
        return LowRankNormal(diagonal.loc, factor, diagonal.log_scale_array())


class DeltaNormalHead(AbstractHead):
    r"""A Normal whose scales are so small that its KL to a standard Normal cannot be below a number of nats.

    The scale is $s\,\sigma(r)$ of the output $r$, with the s at which $\frac12(s^2 - 1) - \log s$ is the rate over the
    number of variables: a decoder that needs no latent cannot make the KL vanish.

    Args:
        shape: The shape of one event.
        rate: The least KL, in nats over all variables.

    Source: Razavi, van den Oord, Poole & Vinyals (2019), "Preventing posterior collapse with delta-VAEs".
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    rate: float = eqx.field(static=True, default=3.0)

    @property
    def num_outputs(self) -> int:
        """Two for each variable: a mean and a scale."""
        return 2 * math.prod(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> DiagonalNormal:
        """The distribution that belongs to these outputs."""
        loc, raw = outputs.reshape(2, *self.shape)
        # With y = s^2: y - log(y) = 2 c + 1, of which the root below 1 is that of Lambert's function.
        root = -lambertw(-math.exp(-2.0 * self.rate / math.prod(self.shape) - 1.0)).real
        return DiagonalNormal(loc, 0.5 * math.log(root) + jax.nn.log_sigmoid(raw))


class AbstractDirectionHead(AbstractHead):
    r"""A direction, then one output for the concentration.

    $\kappa = 1 + \log(1 + e^r)$ of the last output $r$. A millionth is added to every coordinate: a network that gives
    nothing but zeros (an empty picture, before training) still has a direction.

    Args:
        shape: The shape (m,) of one event.

    Source: Davidson et al. (2018), for the floor of 1.
    """

    family: ClassVar[type[VonMisesFisher | PowerSpherical]]

    shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        """One for each coordinate, and one for the concentration."""
        return math.prod(self.shape) + 1

    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The distribution that belongs to these outputs."""
        return self.family(outputs[:-1] + 1e-6, jnp.log1p(jax.nn.softplus(outputs[-1])))


class VonMisesFisherHead(AbstractDirectionHead):
    """A von Mises-Fisher distribution; its arguments are those of `AbstractDirectionHead`."""

    family = VonMisesFisher


class PowerSphericalHead(AbstractDirectionHead):
    """A power spherical distribution; its arguments are those of `AbstractDirectionHead`."""

    family = PowerSpherical


class WrappedNormalHead(AbstractAroundNormalHead):
    """A Normal wrapped onto the Poincare ball.

    Args:
        normal: The head of its centre's tangent coordinates, and of its scales.
    """

    def __call__(self, outputs: Float[Array, " n_out"]) -> WrappedNormal:
        """The distribution that belongs to these outputs."""
        normal = self.normal(outputs)
        return WrappedNormal(from_tangent(normal.loc), normal.log_scale_array())


class AbstractRelaxedHead(AbstractHead):
    """Discrete variables relaxed at one temperature, with logits from the network.

    Args:
        shape: The shape of one event: of one-hot variables (variables, choices).
        temperature: The temperature, above 0.
    """

    family: ClassVar[type[RelaxedBernoulli | RelaxedOneHot | StraightThroughOneHot]]

    shape: tuple[int, ...] = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> AbstractDistribution:
        """The distribution with these logits."""
        return self.family(outputs.reshape(self.shape), jnp.log(jnp.asarray(self.temperature, outputs.dtype)))


class RelaxedBernoulliHead(AbstractRelaxedHead):
    """Relaxed Bernoulli variables; the arguments are those of `AbstractRelaxedHead`."""

    family = RelaxedBernoulli


class ConcreteHead(AbstractRelaxedHead):
    """Relaxed one-hot variables; the arguments are those of `AbstractRelaxedHead`."""

    family = RelaxedOneHot


class StraightThroughHead(AbstractRelaxedHead):
    """One-hot variables with the gradient of relaxed ones; the arguments are those of `AbstractRelaxedHead`."""

    family = StraightThroughOneHot


class DirichletHead(AbstractHead):
    r"""Proportions with concentrations from the network.

    Concentrations are $\log(1 + e^r)$ + `floor`.

    Args:
        shape: The shape (n,) of one event.
        floor: The smallest concentration: below it a sample is all corner in float32.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    floor: float = eqx.field(static=True, default=1e-2)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Dirichlet:
        """The distribution with these concentrations."""
        return Dirichlet(jnp.log(jax.nn.softplus(outputs) + self.floor))


class PositiveHead(AbstractHead):
    r"""Gamma variables with means and concentrations from the network.

    The mean is $\log(1 + e^r)$ and the concentration $\log(1 + e^s)$, each + `floor`: the r come first.

    Args:
        shape: The shape of one event.
        floor: The smallest mean and concentration: below it samples are zeros in float32, without a gradient.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    floor: float = eqx.field(static=True, default=1e-2)

    @property
    def num_outputs(self) -> int:
        """Two for each variable: a mean and a concentration."""
        return 2 * math.prod(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> Gamma:
        """The distribution with these means and concentrations."""
        log_mean, log_concentration = jnp.log(jax.nn.softplus(outputs.reshape(2, *self.shape)) + self.floor)
        return Gamma(log_concentration, log_concentration - log_mean)


class JointHead(AbstractHead):
    """Independent groups of latents by name, each by a head of its own; the outputs stand in the order of the names.

    Args:
        parts: A head for each group, by name.
    """

    parts: dict[str, AbstractHead]

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How many latent dimensions all groups have together, as a shape (n,)."""
        return (sum(math.prod(part.shape) for part in self.parts.values()),)

    @property
    def num_outputs(self) -> int:
        """The sum over all groups."""
        return sum(part.num_outputs for part in self.parts.values())

    def __call__(self, outputs: Float[Array, " n_out"]) -> Product:
        """The product of the groups' distributions, by name."""
        made: dict[str, AbstractDistribution] = {}
        for name, part in sorted(self.parts.items()):
            made[name], outputs = part(outputs[: part.num_outputs]), outputs[part.num_outputs :]
        return Product(made)
