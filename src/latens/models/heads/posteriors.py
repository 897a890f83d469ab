"""Heads of posteriors: correlated Normals, directions, the Poincare ball and relaxed choices."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import FullNormal, RelaxedOneHot, VonMisesFisher, WrappedNormal
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


class WrappedNormalHead(AbstractAroundNormalHead):
    """A Normal wrapped onto the Poincare ball.

    Args:
        normal: The head of its centre's tangent coordinates, and of its scales.
    """

    def __call__(self, outputs: Float[Array, " n_out"]) -> WrappedNormal:
        """The distribution that belongs to these outputs."""
        normal = self.normal(outputs)
        return WrappedNormal(from_tangent(normal.loc), normal.log_scale_array())


class VonMisesFisherHead(AbstractHead):
    r"""A von Mises-Fisher distribution: a direction, then one output for the concentration.

    $\kappa = 1 + \log(1 + e^r)$ of the last output $r$. A millionth is added to every coordinate: a network that gives
    nothing but zeros (an empty picture, before training) still has a direction.

    Args:
        shape: The shape (m,) of one event.

    Source: Davidson et al. (2018), for the floor of 1.
    """

    shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        """One for each coordinate, and one for the concentration."""
        return math.prod(self.shape) + 1

    def __call__(self, outputs: Float[Array, " n_out"]) -> VonMisesFisher:
        """The distribution that belongs to these outputs."""
        return VonMisesFisher(outputs[:-1] + 1e-6, jnp.log1p(jax.nn.softplus(outputs[-1])))


class ConcreteHead(AbstractHead):
    """Relaxed one-hot variables at one temperature, with logits from the network.

    Args:
        shape: The shape (variables, choices) of one event.
        temperature: The temperature, above 0.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> RelaxedOneHot:
        """The distribution with these logits."""
        return RelaxedOneHot(outputs.reshape(self.shape), jnp.log(jnp.asarray(self.temperature, outputs.dtype)))
