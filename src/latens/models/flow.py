"""A posterior that is a flow: a Normal from the encoder, pushed through bijections that read the encoder too."""

from typing import Literal

import equinox as eqx
import jax

from latens.distributions.bijections import AbstractBijection, Autoregressive, Planar, Stack
from latens.distributions.chain import Transformed
from latens.models.heads.base import AbstractHead, NormalHead
from latens.typing import Array, Float, Key


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
    shape: tuple[int, ...] = eqx.field(static=True)

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
