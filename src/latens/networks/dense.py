"""Dense networks from a list of widths, and networks beside a linear map."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.errors import ConfigError, nearest
from latens.runtime.lazy_imports import special
from latens.runtime.random_keys import threefry
from latens.trainable import Frozen, held, on_host
from latens.typing import AnyArray, Array, Float, Key, Shaped


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


LAWS: dict[str, tuple[float, str, str]] = {
    "glorot-uniform": (1.0, "fan_avg", "uniform"),
    "he-normal-fan-out": (2.0, "fan_out", "normal"),
    "he-normal": (2.0, "fan_in", "normal"),
    "lecun-normal": (1.0, "fan_in", "normal"),
    "normal-gain-2": (4.0, "fan_in", "normal"),
    "xavier-normal": (1.0, "fan_avg", "normal"),
}
"""Scale, which fan it is divided by, and family: the variance of an initial weight is scale / fan."""


def first_weights(name: str, shape: tuple[int, ...], fan_in: float, fan_out: float, *, key: Key) -> Float[Array, "..."]:
    """Draw initial weights by a law with the fans said outright, for layers whose shape does not tell them."""
    # A pixel of a convolution of stride 2 sees k k c inputs and reaches k k o / 4 outputs; transposed, the reverse.
    scale, mode, family = LAWS[name]
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    spread = math.sqrt((scale if family == "normal" else 3 * scale) / fan)
    drawn = jax.ShapeDtypeStruct(shape, jnp.float32)
    draw = partial(host_draws, shape=shape, family=family)
    return jax.pure_callback(draw, drawn, jax.random.key_data(key), vmap_method="sequential") * spread


INITIALIZERS: dict[str, Callable[[Key, tuple[int, int]], Float[Array, "n_in n_out"]]] = {
    name: lambda key, shape, name=name: first_weights(name, shape, *shape, key=key) for name in LAWS
}
"""Laws of the initial weights of a dense layer, called with a key and (in, out).

Uniform on +-sqrt(6/(in+out)), or normal with standard deviation sqrt(2/in) (he-normal), sqrt(2/out)
(he-normal-fan-out), sqrt(1/in) (lecun), 2/sqrt(in) (normal-gain-2), sqrt(2/(in+out)) (xavier).

The normal laws are not truncated. Glorot & Bengio (2010); He et al. (2015); LeCun et al. (1998).
"""


def host_draws(words: np.ndarray | jax.Array, *, shape: tuple[int, ...], family: str) -> np.ndarray:
    """Draw by NumPy, to a rounding, what JAX draws for a key of two words."""
    # `jax.random.normal`, or `uniform` on [-1, 1), by Threefry, whatever the generator of the key is.
    left, right = threefry(np.asarray(words, np.uint32)[:2], np.arange(math.prod(shape)))
    bits = left ^ right
    unit = ((bits >> np.uint32(9)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1.0)
    low = np.nextafter(np.float32(-1.0), np.float32(0.0)) if family == "normal" else np.float32(-1.0)
    drawn = np.maximum(unit * (np.float32(1.0) - low) + low, low)
    if family == "normal":
        drawn = np.float32(math.sqrt(2.0)) * special.erfinv(drawn)
    return drawn.astype(np.float32).reshape(shape)


def make_linear(n_in: int, n_out: int, initializer: str, *, key: Key) -> Linear:
    """Initialise a linear layer, with biases of 0."""
    weight = INITIALIZERS[initializer](key, (n_in, n_out))
    return Linear(weight, jnp.zeros(n_out, jnp.float32))


class HiddenActivation(eqx.Module):
    """An activation by name, then dropout of its values where a key is given."""

    activation: str = eqx.field(static=True)  # the name of the activation
    drop_probability: float = eqx.field(static=True)  # the probability of dropping an activation in training, in [0, 1)
    inference: bool = False  # whether dropout is switched off

    def __call__(self, x: Float[Array, "*x"], *, key: Key | None, index: int) -> Float[Array, "*x"]:
        """Apply the activation, then dropout."""
        x = ACTIVATIONS[self.activation](x)
        if key is None or self.drop_probability == 0.0 or self.inference:
            return x
        return _dropout(x, self.drop_probability, jax.random.fold_in(key, index))


def check_widths(widths: tuple[int, ...], num_outputs: int) -> None:
    """Refuse an empty list of widths, and widths and outputs below 1."""
    if not widths or any(int(n) < 1 for n in (*widths, num_outputs)):
        raise ConfigError(
            f"hidden widths {list(widths)} and {num_outputs} outputs: at least one width, all positive.",
            where="network.hidden",
            fix="Give e.g. --set network.hidden=[32,64].",
        )


def split_event(x: Array, cells: int, extra: int, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Divide a row into the event and the numbers appended to it, both flat."""
    flat = x.reshape(-1).astype(dtype)
    if flat.size != cells + extra:
        raise ConfigError(
            f"the network was built for {cells + extra} numbers a row and got {flat.size}.",
            where="network",
            fix="Give it rows of that size; build it with `extra` for conditions appended to a row.",
        )
    return (flat[:cells], flat[cells:]) if extra else (flat, flat[:0])


def channels_of(num_outputs: int, cells: int, positions: int, blocks: int | None) -> tuple[int, int]:
    """How many outputs each position has, and how many blocks."""
    # A head reads its outputs as `blocks` events one after another (means, then scales) or as several numbers for each
    # feature (logits of levels): a network that shares weights between positions has to know which.
    # blocks: how many events the outputs hold; None where there is one output for each feature.
    if blocks is None and num_outputs == cells:
        blocks = 1
    if blocks is None:
        raise ConfigError(
            f"{num_outputs} outputs for {cells} cells can be read in two orders.",
            where="network",
            fix="Give blocks=2 for means and then scales, blocks=1 for several numbers a cell.",
        )
    if blocks < 1 or num_outputs % (cells * blocks):
        raise ConfigError(f"{num_outputs} outputs are not {blocks} blocks of {cells} cells.", where="network")
    return num_outputs // positions, blocks


def to_outputs(values: Float[Array, "*positions n"], blocks: int) -> Float[Array, " n_out"]:
    """Put numbers by position into the order in which a head reads them: `blocks` events one after another."""
    if blocks == 1:
        return values.reshape(-1)
    return jnp.moveaxis(values.reshape(-1, blocks, values.shape[-1] // blocks), 1, 0).reshape(-1)


def from_outputs(
    outputs: Float[Array, " n_out"], positions: tuple[int, ...], blocks: int
) -> Float[Array, "*positions n"]:
    """Put outputs in the order of a head back by position; the inverse of `to_outputs`."""
    return jnp.moveaxis(outputs.reshape(blocks, math.prod(positions), -1), 0, 1).reshape(*positions, -1)


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
