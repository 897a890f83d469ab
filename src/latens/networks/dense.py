"""Dense networks from a list of widths."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.errors import ConfigError, nearest
from latens.networks.initial import INITIALIZERS
from latens.trees import held, on_host
from latens.typing import Array, Float, Key, Shaped


@jax.custom_jvp
def elu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The exponential linear unit, whose derivative is read off its value."""
    # x where positive, exp(x) - 1 elsewhere.
    # Source: Clevert et al. (2016).
    # Not expm1, which takes twice as long: the difference is below one unit in the last place of the 1.
    return jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0.0)) - 1.0)


@elu.defjvp
def _elu_jvp(primals: tuple, tangents: tuple) -> tuple:
    # 1 where positive, value + 1 = exp(x) elsewhere: no second exponential (3 % of a training step).
    value = elu(primals[0])
    return value, tangents[0] * (jnp.minimum(value, 0.0) + 1.0)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": elu,
    "gelu": jax.nn.gelu,
    "identity": lambda x: x,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


class Linear(eqx.Module):
    """A linear layer.

    `x @ weight + bias`.

    Args:
        weight: Shape (n_in, n_out).
        bias: Shape (n_out,), or (t, n_out) for one at each of t places.
    """

    weight: Float[Array, "n_in n_out"]
    bias: Float[Array, "*t n_out"]

    def __call__(self, x: Float[Array, "*places n_in"]) -> Float[Array, "*places n_out"]:
        """Apply the layer to one vector, or to each of several."""
        return x @ self.weight + self.bias


def check_options(activation: str, output_activation: str, initializer: str, drop_probability: float) -> None:
    """Refuse names that are in no table and a probability outside [0, 1)."""
    for name, table in ((activation, ACTIVATIONS), (output_activation, ACTIVATIONS), (initializer, INITIALIZERS)):
        if name not in table:
            raise ConfigError(f"there is no {name!r}.", where="network", fix=nearest(name, table))
    if not 0.0 <= drop_probability < 1.0:
        raise ConfigError(f"a drop probability lies in [0, 1), not {drop_probability}", where="network")


def _dropout(x: Array, drop_probability: float, key: Key) -> Array:
    """Set entries to zero with `drop_probability` and divide the rest by the keep probability."""
    keep = 1.0 - drop_probability
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0.0)


class Dense(eqx.Module):
    """A dense network. The input is flattened, and integers become floats.

    Dropout is active only in training. `equinox.nn.inference_mode` switches it off.

    Args:
        widths: The number of inputs, of units of each hidden layer, and of outputs, such as `[784, 500, 500, 50]`.
        activation: The name of the activation between layers.
        output_activation: The name of the activation after the last layer.
        initializer: The name of the distribution of the initial weights. Biases start at 0.
        drop_probability: The probability of dropping a hidden unit, in [0, 1).
        key: A JAX random key for the initial weights.

    Attributes:
        layers: The linear layers, in order.
        activation: As given.
        output_activation: As given.
        drop_probability: As given.
        inference: Whether dropout is switched off.

    Raises:
        ConfigError: There are fewer than two widths, a width is not positive, a name is unknown, or a probability is
            out of range.

    Examples:
        >>> network = Dense([4, 3, 2], key=jax.random.key(0))
        >>> network(jnp.ones(4)).shape
        (2,)
    """

    layers: tuple[Linear, ...]
    activation: str = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)
    drop_probability: float = eqx.field(static=True)
    inference: bool

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str = "relu",
        output_activation: str = "identity",
        initializer: str = "he-normal",
        drop_probability: float = 0.0,
        key: Key,
    ) -> None:
        if len(widths) < 2 or any(int(w) < 1 for w in widths):
            raise ConfigError(f"widths {list(widths)} need an input and an output, all positive", where="network")
        check_options(activation, output_activation, initializer, drop_probability)
        law = INITIALIZERS[initializer]
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = tuple(
            Linear(law(k, (n_in, n_out)), jnp.zeros(n_out, jnp.float32))
            for k, n_in, n_out in zip(keys, widths[:-1], widths[1:])
        )
        self.activation, self.output_activation = activation, output_activation
        self.drop_probability = drop_probability
        self.inference = False

    def __call__(self, x: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one example."""
        # key: a JAX random key for dropout; None: no dropout.
        hidden = x.reshape(-1).astype(self.layers[0].weight.dtype)
        for index, layer in enumerate(self.layers[:-1]):
            hidden = ACTIVATIONS[self.activation](layer(hidden))
            if key is not None and self.drop_probability > 0.0 and not self.inference:
                hidden = _dropout(hidden, self.drop_probability, jax.random.fold_in(key, index))
        return ACTIVATIONS[self.output_activation](self.layers[-1](hidden))

    def with_output_weights_times(self, factor: float) -> "Dense":
        """The same network with the weights of its last layer multiplied by a factor.

        A network of a single layer is left alone, but for a factor of 0.

        Args:
            factor: A number.

        Returns:
            A new network.
        """
        if len(self.layers) == 1 and factor:
            return self
        weight = held(np.float32(factor) * on_host(self.layers[-1].weight))
        return eqx.tree_at(lambda n: n.layers[-1].weight, self, weight)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "Dense":
        """The same network with another bias in its last layer.

        Args:
            bias: Shape (n_out,).

        Returns:
            A new network.
        """
        return eqx.tree_at(lambda n: n.layers[-1].bias, self, held(bias))
