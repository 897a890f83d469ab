"""Heads of posteriors: correlated Normals, directions, relaxed choices, flows after a Normal."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import FullNormal, RelaxedOneHot, VonMisesFisher
from latens.distributions.bijections import AbstractBijection, Autoregressive, Planar, Stack
from latens.distributions.chain import Transformed
from latens.models.heads.base import AbstractHead, NormalHead
from latens.typing import Array, Float, Key


class FullNormalHead(AbstractHead):
    """A Normal with all correlations.

    The outputs are those of a `NormalHead`, then what stands below the diagonal of the Cholesky factor, by rows.

    Args:
        normal: The head of the means and of the factor's diagonal.
    """

    shape: tuple[int, ...] = eqx.field(static=True, init=False)
    normal: NormalHead

    def __post_init__(self) -> None:
        self.shape = self.normal.shape

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


class VonMisesFisherHead(AbstractHead):
    r"""A von Mises-Fisher distribution: a direction, then one output for the concentration.

    $\kappa = 1 + \log(1 + e^r)$ of the last output $r$. A millionth is added to every coordinate: a network that gives
    nothing but zeros (an empty picture, before training) still has a direction.

    Args:
        shape: The shape (m,) of one event.

    Source: Davidson et al. (2018), for the floor of 1.
    """

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

    temperature: float = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " n_out"]) -> RelaxedOneHot:
        """The distribution with these logits."""
        return RelaxedOneHot(outputs.reshape(self.shape), jnp.log(jnp.asarray(self.temperature, outputs.dtype)))


class FlowHead(AbstractHead):
    r"""A head whose distribution is a Normal pushed through a flow that reads the network too.

    $z = f_K \circ \dots \circ f_1(z_0; h)$ with $z_0 \sim N(\mu, \sigma^2)$ and $\mu, \sigma, h$ from the network. The
    outputs are the Normal's, then `context_size` numbers h that the bijection reads.

    Args:
        normal: The head of the Normal.
        bijection: The flow.
        context_size: How many numbers h the bijection reads.
        shape: The shape (n,) of one latent.

    Source: Rezende & Mohamed (2015); inverse autoregressive flow: Kingma et al. (2016).
    """

    normal: NormalHead
    bijection: AbstractBijection
    context_size: int = eqx.field(static=True)

    @property
    def num_outputs(self) -> int:
        """How many outputs the network has: the Normal's and the context."""
        return self.normal.num_outputs + self.context_size

    def __call__(self, outputs: Float[Array, " n_out"]) -> Transformed:
        """The distribution that belongs to these outputs."""
        split = self.normal.num_outputs
        context = outputs[split:] if self.context_size else None
        return Transformed(self.normal(outputs[:split]), self.bijection, context)


def flow_head(
    normal: NormalHead, kind: Literal["iaf", "planar"], *, layers: int, width: int, context_size: int, key: Key
) -> FlowHead:
    """Build a Normal head with a flow after it.

    Args:
        normal: The head of the Normal.
        kind: `iaf` (inverse autoregressive) or `planar`.
        layers: How many bijections the flow has.
        width: The number of hidden units of the masked networks; for an inverse autoregressive flow only.
        context_size: How many numbers the flow reads of the encoder; for an inverse autoregressive flow only, as a
            planar flow reads all its parameters from the encoder.
        key: A JAX random key for the initialisation.

    Returns:
        The head.
    """
    (n,) = normal.shape
    if kind == "planar":
        parts = tuple(Planar(layer * (2 * n + 1)) for layer in range(layers))
        size = layers * (2 * n + 1)
        return FlowHead(shape=normal.shape, normal=normal, bijection=Stack(parts), context_size=size)
    keys = jax.random.split(key, layers)
    flows = tuple(Autoregressive.create(n, context_size, width, key=k) for k in keys)
    return FlowHead(shape=normal.shape, normal=normal, bijection=Stack(flows), context_size=context_size)
