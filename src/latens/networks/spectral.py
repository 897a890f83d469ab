"""Spectral normalisation: every weight matrix of a network divided by its largest singular value."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.networks.dense import Linear
from latens.trees import AbstractRandomWeights, realise
from latens.typing import Array, Float, Key, Shaped

ITERATIONS = 30
"""Power iterations from a fixed start: 60 products of a matrix and a vector, against hundreds for a batch."""


def largest_singular_value(weight: Float[Array, "n m"], *, iterations: int = ITERATIONS) -> Float[Array, ""]:
    r"""The largest singular value of a matrix by power iterations: at most the true one, and soon equal to it.

    $u^T W v$ with u and v from the iterations. The relative error falls like
    $(\sigma_2/\sigma_1)^{4\,\mathrm{iterations}}$; the gradient by the weight is $u v^T$, that of the singular value.

    Args:
        weight: The matrix $W$, of shape (n, m).
        iterations: How many power iterations are done.

    Returns:
        A number of shape ().

    Examples:
        >>> round(float(largest_singular_value(jnp.diag(jnp.array([3.0, 1.0])))), 5)
        3.0

    Source: Miyato, Kataoka, Koyama & Yoshida (2018), arXiv 1802.05957, whose single iteration a step starts where the
    last one ended; here nothing is carried from step to step.
    """
    matrix = jax.lax.stop_gradient(weight)
    # The square root of the smallest normal number: a matrix of zeros has the singular value 0, not NaN.
    floor = float(jnp.finfo(weight.dtype).tiny) ** 0.5
    unit = lambda v: v / jnp.maximum(jnp.linalg.norm(v), floor)  # noqa: E731
    start = unit(jax.random.normal(jax.random.key(0), weight.shape[1:], weight.dtype))
    v = jax.lax.fori_loop(0, iterations, lambda _, v: unit(unit(matrix @ v) @ matrix), start)
    return unit(matrix @ v) @ weight @ v


class SpectrallyNormalised(AbstractRandomWeights):
    r"""A network whose linear layers stretch by 1 at most.

    The weights are $W / \max(\sigma_1(W), \epsilon)$. With activations whose derivative is at most 1 the network is
    then 1-Lipschitz. Training normalises once a step (`realise`), before any batching.

    Args:
        network: A network of `Linear` layers, dense or residual.
    """

    network: Callable[..., Array]

    def __call__(self, x: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the normalised network to one example."""
        # key: a JAX random key for dropout; None: no dropout.
        return self._normalised()(x, key=key)

    def realise(self, *, key: Key) -> Any:
        """The network with this step's weights: normalised first, then dropped where it drops some.

        Args:
            key: A JAX random key.

        Returns:
            The inner network with plain weights.
        """
        return realise(self._normalised(), key=key)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "SpectrallyNormalised":
        """The same network with another bias in its last layer, where it has one to set.

        Args:
            bias: Shape (n_out,).

        Returns:
            A new network.
        """
        start = getattr(self.network, "with_output_bias", None)
        return self if start is None else SpectrallyNormalised(start(bias))

    def _normalised(self) -> Any:
        def of(layer: object) -> object:
            if not isinstance(layer, Linear):
                return layer
            sigma = jnp.maximum(largest_singular_value(layer.weight), 1e-12)
            return dataclasses.replace(layer, weight=layer.weight / sigma)

        return jax.tree.map(of, self.network, is_leaf=lambda node: isinstance(node, Linear))


def can_normalise(network: object) -> bool:
    """Whether all weight matrices of a network are those of `Linear` layers.

    Args:
        network: Any network.

    Returns:
        True where `SpectrallyNormalised` normalises all of it.
    """
    is_linear = lambda node: isinstance(node, Linear)  # noqa: E731
    rest = jax.tree.leaves(eqx.filter(network, lambda node: not is_linear(node), is_leaf=is_linear), is_leaf=is_linear)
    return all(leaf.ndim < 2 for leaf in rest if eqx.is_inexact_array(leaf))
