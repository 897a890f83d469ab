"""Dense networks with residual blocks."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.errors import ConfigError
from latens.networks.dense import ACTIVATIONS, Linear, check_options
from latens.networks.parts import Hidden, make_linear
from latens.typing import Array, Float, Key, Shaped


class ResidualBlock(eqx.Module):
    r"""A residual block whose activation comes first, without normalisation."""

    # $h + W_2\,a(W_1\,a(h))$, or $W_s\,a(h)$ for $h$ where the width changes.
    # Source: He et al. (2016), "Identity Mappings in Deep Residual Networks".

    first: Linear  # the linear layer $W_1$
    second: Linear  # the linear layer $W_2$
    shortcut: Linear | None  # the linear layer $W_s$, or None where the width stays
    hidden: Hidden  # the activation $a$, with dropout

    def __call__(self, h: Float[Array, " n"], *, key: Key | None = None) -> Float[Array, " m"]:
        """Apply the block to one vector."""
        # key: a JAX random key for dropout; None: no dropout.
        active = ACTIVATIONS[self.hidden.activation](h)
        branch = self.second(self.hidden(self.first(active), key=key, index=0))
        return branch + (h if self.shortcut is None else self.shortcut(active))


class ResidualDense(eqx.Module):
    """A dense layer, residual blocks, and a dense layer; the input is flattened, integers become floats.

    The second weights of a block are divided by the root of the number of blocks, so that the variance of all branches
    together does not grow with their number. Dropout acts inside the blocks.

    Args:
        widths: The number of inputs, hidden widths and the number of outputs: `[784, 500, 500, 50]` is a layer of width
            500, a block for each 500, and the output.
        activation: The name of the activation inside the blocks.
        output_activation: The name of the activation after the last layer.
        initializer: The name of the law of the initial weights; biases start at 0.
        drop_probability: The probability of dropping a hidden activation in training, in [0, 1).
        weight_drop_probability: The probability of dropping a single weight in training, in [0, 1).
        key: A JAX random key for the initialisation.

    Attributes:
        stem: The first dense layer.
        blocks: The residual blocks.
        output: The last dense layer.
        output_activation: As given.

    Raises:
        ConfigError: There is no hidden layer, a width is not positive, a name is in no table, or a probability is out
            of range.

    Examples:
        >>> network = ResidualDense([4, 3, 2], key=jax.random.key(0))
        >>> network(jnp.ones(4)).shape
        (2,)
    """

    stem: Linear
    blocks: tuple[ResidualBlock, ...]
    output: Linear
    output_activation: str = eqx.field(static=True)

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str = "relu",
        output_activation: str = "identity",
        initializer: str = "he-normal",
        drop_probability: float = 0.0,
        weight_drop_probability: float = 0.0,
        key: Key,
    ) -> None:
        if len(widths) < 3 or any(int(w) < 1 for w in widths):
            raise ConfigError(
                f"widths {list(widths)} need an input, a hidden layer and an output, all positive.",
                where="network",
                fix="Give a hidden width, or --set network=dense for none.",
            )
        check_options(activation, output_activation, initializer, drop_probability, weight_drop_probability)

        def linear(n_in: int, n_out: int, layer_key: Key) -> Linear:
            return make_linear(n_in, n_out, initializer, weight_drop_probability, key=layer_key)

        n_in, *hidden, n_out = (int(w) for w in widths)
        stem_key, output_key, *keys = jax.random.split(key, 2 + len(hidden))
        self.stem = linear(n_in, hidden[0], stem_key)
        blocks = []
        for block_key, before, after in zip(keys, (hidden[0], *hidden[:-1]), hidden):
            k = jax.random.split(block_key, 3)
            second = linear(after, after, k[1])
            second = eqx.tree_at(lambda layer: layer.weight, second, second.weight / math.sqrt(len(hidden)))
            shortcut = None if before == after else linear(before, after, k[2])
            blocks.append(
                ResidualBlock(linear(before, after, k[0]), second, shortcut, Hidden(activation, drop_probability))
            )
        self.blocks = tuple(blocks)
        self.output = linear(hidden[-1], n_out, output_key)
        self.output_activation = output_activation

    def __call__(self, x: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one example."""
        # key: a JAX random key for dropout; None: no dropout.
        h = self.stem(x.reshape(-1).astype(self.stem.weight.dtype))
        for index, block in enumerate(self.blocks):
            h = block(h, key=None if key is None else jax.random.fold_in(key, index))
        active = ACTIVATIONS[self.blocks[-1].hidden.activation](h)
        return ACTIVATIONS[self.output_activation](self.output(active))

    def with_output_weights_times(self, factor: float) -> "ResidualDense":
        """The same network with the weights of its last layer multiplied by a factor.

        Args:
            factor: Any number.

        Returns:
            A new network.
        """
        return eqx.tree_at(lambda n: n.output.weight, self, factor * self.output.weight)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "ResidualDense":
        """The same network with another bias in its last layer.

        Args:
            bias: Shape (n_out,).

        Returns:
            A new network.
        """
        return eqx.tree_at(lambda n: n.output.bias, self, jnp.asarray(bias, jnp.float32))
