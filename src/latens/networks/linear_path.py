"""A linear map beside a network: what a closed form says of the data, to which the network adds."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from latens.trainable import Frozen, held, on_host
from latens.typing import AnyArray, Array, Float, Key, Shaped


class LinearPath(eqx.Module):
    r"""A network whose first outputs also are a fixed linear map of its input: $u \odot f(x) + W^\top x$.

    The map is fixed because one step of Adam moves every weight alike, and those of the closed form of many pixels are
    smaller than such a step.

    Args:
        network: The network, f.
        weight: The map, of shape (n_in, n_out); it is frozen. Outputs after these are the network's alone.
        copies: How many times the map's outputs are added, one after another.
        mean: Of a decoder: the mean of the closed form, of shape (n_out,); it is frozen. None: it is not kept.
        noise: Of a decoder: the covariance of what the closed form leaves, of every c outputs, of shape (g, c, c).
        unit: The unit u of each output of the network, of shape (n_out,); it is frozen. None: 1.
    """

    network: Callable[..., Array]
    weight: Frozen
    mean: Frozen | None
    noise: Frozen | None
    unit: Frozen | None
    copies: int = eqx.field(static=True)

    def __init__(
        self,
        network: Callable[..., Array],
        weight: AnyArray,
        copies: int = 1,
        mean: AnyArray | None = None,
        noise: AnyArray | None = None,
        unit: AnyArray | None = None,
    ) -> None:
        self.network, self.copies = network, copies
        self.weight = Frozen(held(weight))
        self.mean = None if mean is None else Frozen(held(mean))
        self.noise = None if noise is None else Frozen(held(noise))
        self.unit = None if unit is None else Frozen(held(unit))

    def __call__(self, x: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply network and map to one example."""
        # key: a JAX random key for dropout; None: no dropout.
        outputs = self.network(x, key=key)
        outputs = outputs if self.unit is None else outputs * self.unit.value
        linear = x.reshape(-1).astype(self.weight.value.dtype) @ self.weight.value
        rest = jnp.zeros(outputs.size - self.copies * linear.size, outputs.dtype)
        return outputs + jnp.concatenate([*[linear] * self.copies, rest])

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "LinearPath":
        """The same path with another bias in the last layer of its network."""
        inner: Any = self.network
        bias = bias if self.unit is None else held(on_host(bias) / on_host(self.unit.value))
        return eqx.tree_at(lambda p: p.network, self, inner.with_output_bias(bias))

    def at(
        self,
        weight: AnyArray,
        bias: AnyArray,
        mean: AnyArray | None = None,
        noise: AnyArray | None = None,
        unit: AnyArray | None = None,
    ) -> "LinearPath":
        """The same path with this map alone, and this bias: the network adds nothing until it is trained.

        Args:
            weight: Shape (n_in, n_out) of the map.
            bias: The last bias of the network, one entry for each of its outputs.
            mean: Of a decoder: the mean of the closed form.
            noise: Of a decoder: what the closed form leaves.
            unit: The unit of each output of the network, where the path has any.

        Returns:
            A new path.
        """
        kept = None if self.unit is None or unit is None else Frozen(held(unit))
        path = eqx.tree_at(lambda p: p.unit, self, kept, is_leaf=lambda x: x is None or isinstance(x, Frozen))
        started: Any = path.with_output_bias(held(bias))
        inner = started.network.with_output_weights_times(0.0)
        return LinearPath(inner, weight, self.copies, mean, noise, None if kept is None else kept.value)
