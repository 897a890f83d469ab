"""What networks of every kind share: initialisation by fan, hidden units with dropout, the order of outputs."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.errors import ConfigError
from latens.networks.dense import ACTIVATIONS, Linear, _dropout
from latens.networks.initial import INITIALIZERS
from latens.typing import Array, Float, Key


def make_linear(n_in: int, n_out: int, initializer: str, *, key: Key) -> Linear:
    """Initialise a linear layer, with biases of 0."""
    weight = INITIALIZERS[initializer](key, (n_in, n_out))
    return Linear(weight, jnp.zeros(n_out, jnp.float32))


class Hidden(eqx.Module):
    """An activation by name, then dropout of its values where a key is given."""

    activation: str = eqx.field(static=True)  # the name of the activation
    drop_probability: float = eqx.field(static=True)  # the probability of dropping an activation in training, in [0, 1)
    inference: bool = False  # whether dropout is switched off

    def __call__(self, x: Float[Array, "*x"], *, key: Key | None, index: int) -> Float[Array, "*x"]:
        """Apply the activation, then dropout."""
        # key: a JAX random key for dropout; None: no dropout.
        # index: the number of the layer, so that layers with one key drop independently.
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
