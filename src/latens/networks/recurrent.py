"""Recurrent networks over the first axis of an event: an encoder that reads it, a decoder that writes it."""

import math
from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.errors import ConfigError
from latens.networks.dense import ACTIVATIONS, Dense, Linear, check_options
from latens.networks.initial import INITIALIZERS
from latens.networks.parts import (
    Hidden,
    channels_of,
    check_widths,
    from_outputs,
    make_linear,
    split_event,
    to_outputs,
    with_drawn_weight,
)
from latens.trees import AbstractRandomWeights
from latens.typing import Array, Float, Key, Shaped


class GRU(eqx.Module):
    r"""A gated recurrent unit, in the form in which the reset gate acts after the product."""

    # $r = \sigma(x W_r + b_r + h U_r + c_r)$, $u = \sigma(x W_u + b_u + h U_u + c_u)$, $n = \tanh(x W_n + b_n + r \odot
    # (h U_n + c_n))$, and the next state is $(1 - u) \odot n + u \odot h$.
    # Source: Cho et al. (2014); this form is the one of `torch.nn.GRU`.

    inputs: Linear  # the linear layer of $W$ and $b$, to 3 n outputs: r, u and n side by side
    state: Linear  # the linear layer of $U$ and $c$, from n to 3 n, in the same order

    @classmethod
    def create(
        cls, n_in: int, n: int, *, initializer: str = "glorot-uniform", drop_probability: float = 0.0, key: Key
    ) -> "GRU":
        """Initialise a unit; every gate's weights are drawn by the law on their own."""

        def gates(size: int, layer_key: Key) -> Linear:
            parts = [INITIALIZERS[initializer](k, (size, n)) for k in jax.random.split(layer_key, 3)]
            return Linear(jnp.concatenate(parts, axis=1), jnp.zeros(3 * n, jnp.float32), drop_probability)

        return cls(*(gates(size, k) for size, k in zip((n_in, n), jax.random.split(key, 2))))

    def __call__(
        self,
        gates: Float[Array, "t three_n"],
        start: Float[Array, " n"],
        *,
        kept: Float[Array, "t n"] | None = None,
        unroll: int = 1,
    ) -> Float[Array, "t n"]:
        """The state after every step."""
        # kept: a factor of what each step adds to each unit, 0 where it is dropped; None: nothing is.
        # unroll: how many steps a turn of the compiled loop takes.

        def step(state: Array, at: tuple[Array, Array | None]) -> tuple[Array, Array]:
            return (after := self.step(at[0], state, at[1])), after

        return jax.lax.scan(step, start, (gates, kept), unroll=unroll)[1]

    def step(
        self, gate: Float[Array, " three_n"], state: Float[Array, " n"], kept: Float[Array, " n"] | None = None
    ) -> Float[Array, " n"]:
        """The state after one step, of which `inputs` gave the gates."""
        of_input, of_state = jnp.split(gate, 3), jnp.split(self.state(state), 3)
        reset, update = (jax.nn.sigmoid(of_input[i] + of_state[i]) for i in (0, 1))
        new = jnp.tanh(of_input[2] + reset * of_state[2])
        return (1.0 - update) * (new if kept is None else kept * new) + update * state


class StepOutput(AbstractRandomWeights):
    """A linear layer that is the same at all steps but for its bias."""

    # `states @ weight + bias`.

    weight: Float[Array, "n_in n_out"]
    bias: Float[Array, "t n_out"]  # a bias for each step, of shape (t, n_out)
    # the probability of dropping a single weight in a training step, in [0, 1)
    drop_probability: float = eqx.field(static=True, default=0.0)

    def __call__(self, states: Float[Array, "t n_in"]) -> Float[Array, "t n_out"]:
        """Apply the layer to the states of all steps."""
        return states @ self.weight + self.bias

    def realise(self, *, key: Key) -> "StepOutput":
        """The layer with this step's weights, some of them dropped."""
        return with_drawn_weight(self, key=key)


class RecurrentEncoder(eqx.Module):
    """Gated recurrent layers from the first to the last entry of an event; the last state, then two dense layers.

    Args:
        shape: (t, ...) of one event, which may come flattened.
        widths: The number of units of each layer's state.
        num_outputs: How many outputs the network has.
        extra: How many numbers (conditions) follow the event: they join the last state.
        activation: The name of the activation between the two dense layers; the recurrent ones keep their tanh.
        output_activation: The name of the activation after the last layer.
        initializer: The name of the law of the initial weights; biases start at 0.
        drop_probability: The probability of dropping an activation between the two dense layers in training, in [0, 1).
        weight_drop_probability: The probability of dropping a single weight in training, in [0, 1).
        key: A JAX random key for the initialisation.

    Attributes:
        cells: The recurrent layers, in order.
        readout: The two dense layers.
        shape: How many steps an event has, and how many numbers a step.
        extra: As given.

    Raises:
        ConfigError: A name is in no table, or a probability, a width or the shape is out of range.

    Examples:
        >>> network = RecurrentEncoder((10, 3), (8,), 4, key=jax.random.key(0))
        >>> network(jnp.zeros((10, 3))).shape
        (4,)
    """

    cells: tuple[GRU, ...]
    readout: Dense
    shape: tuple[int, int] = eqx.field(static=True)
    extra: int = eqx.field(static=True)

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int],
        num_outputs: int,
        *,
        extra: int = 0,
        activation: str = "relu",
        output_activation: str = "identity",
        initializer: str = "glorot-uniform",
        drop_probability: float = 0.0,
        weight_drop_probability: float = 0.0,
        key: Key,
    ) -> None:
        check_options(activation, output_activation, initializer, drop_probability, weight_drop_probability)
        check_widths(tuple(widths), num_outputs)
        self.shape, self.extra = _sequence(shape), extra
        cells_key, readout_key = jax.random.split(key)
        self.cells = _cells((self.shape[1], *widths), initializer, weight_drop_probability, key=cells_key)
        self.readout = Dense(
            [widths[-1] + extra, widths[-1], num_outputs],
            activation=activation,
            output_activation=output_activation,
            initializer=initializer,
            drop_probability=drop_probability,
            weight_drop_probability=weight_drop_probability,
            key=readout_key,
        )

    def __call__(self, x: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one event."""
        # key: a JAX random key for dropout; None: no dropout.
        dtype = self.readout.layers[0].weight.dtype
        event, extra = split_event(x, math.prod(self.shape), self.extra, dtype)
        states = event.reshape(self.shape)
        for cell in self.cells:
            start = jnp.zeros(cell.state.weight.shape[0], dtype)
            states = cell(jax.vmap(cell.inputs)(states), start)
        last = jnp.concatenate([states[-1], extra]) if self.extra else states[-1]
        return self.readout(last, key=key)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "RecurrentEncoder":
        """The same network with another bias in its last layer.

        Args:
            bias: Shape (n_out,).

        Returns:
            A new network.
        """
        return eqx.tree_at(lambda n: n.readout, self, self.readout.with_output_bias(bias))


class RecurrentDecoder(eqx.Module):
    """Gated recurrent layers that start from z, see z at every step, and write one entry of the event a step.

    The first states are tanh of a dense layer on z. Every state of the last layer goes through two dense layers, the
    same at every step but for the last bias, which has an entry for each output, so that it can start at the data's
    mean.

    Args:
        latent_dim: How many numbers come in: a latent, with any conditions appended.
        widths: The number of units of the states in the order of the layers.
        shape: (t, ...) of one event.
        num_outputs: How many outputs the network has, a multiple of the event's number of features.
        blocks: How many events the outputs hold one after another (2: means, then scales); may be left out where there
            is one output for each feature.
        activation: The name of the activation between the two dense layers; the recurrent ones keep their tanh.
        output_activation: The name of the activation after the last layer.
        initializer: The name of the law of the initial weights; biases start at 0.
        drop_probability: The probability of dropping an activation between the two dense layers in training, in [0, 1).
        weight_drop_probability: The probability of dropping a single weight in training, in [0, 1).
        key: A JAX random key for the initialisation.

    Attributes:
        start: The dense layer on z that gives the first states.
        cells: The recurrent layers, in order.
        between: The first dense layer after the recurrent ones.
        output: The last layer.
        hidden: Activation and dropout between the two dense layers.
        blocks: How many events the outputs hold.
        output_activation: As given.

    Raises:
        ConfigError: A name is in no table, a probability, a width or the shape is out of range, or the outputs do not
            divide evenly.

    Examples:
        >>> network = RecurrentDecoder(2, (8,), (10, 3), 30, key=jax.random.key(0))
        >>> network(jnp.zeros(2)).shape
        (30,)
    """

    start: Linear
    cells: tuple[GRU, ...]
    between: Linear
    output: StepOutput
    hidden: Hidden
    blocks: int = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        widths: Sequence[int],
        shape: Sequence[int],
        num_outputs: int,
        *,
        blocks: int | None = None,
        activation: str = "relu",
        output_activation: str = "identity",
        initializer: str = "glorot-uniform",
        drop_probability: float = 0.0,
        weight_drop_probability: float = 0.0,
        key: Key,
    ) -> None:
        check_options(activation, output_activation, initializer, drop_probability, weight_drop_probability)
        check_widths(tuple(widths), num_outputs)
        steps, each = _sequence(shape)
        n_out, self.blocks = channels_of(num_outputs, steps * each, steps, blocks)
        law, k = (initializer, weight_drop_probability), jax.random.split(key, 4)
        self.start = make_linear(latent_dim, sum(widths), *law, key=k[0])
        self.cells = _cells((latent_dim, *widths), *law, key=k[1])
        self.between = make_linear(widths[-1], widths[-1], *law, key=k[2])
        weight = INITIALIZERS[initializer](k[3], (widths[-1], n_out))
        self.output = StepOutput(weight, jnp.zeros((steps, n_out), jnp.float32), weight_drop_probability)
        self.hidden = Hidden(activation, drop_probability)
        self.output_activation = output_activation

    def __call__(self, z: Shaped[Array, "..."], *, key: Key | None = None) -> Float[Array, " n_out"]:
        """Apply the network to one latent."""
        # key: a JAX random key for dropout; None: no dropout.
        z = z.reshape(-1).astype(self.start.weight.dtype)
        widths = [cell.state.weight.shape[0] for cell in self.cells]
        ends = [sum(widths[: i + 1]) for i in range(len(widths) - 1)]
        starts = jnp.split(jnp.tanh(self.start(z)), ends)
        # z is the same at every step: its product is taken once.
        gates = self.cells[0].inputs(z)
        states = self.cells[0](jnp.broadcast_to(gates, (self.output.bias.shape[0], gates.size)), starts[0])
        for cell, start in zip(self.cells[1:], starts[1:]):
            states = cell(jax.vmap(cell.inputs)(states), start)
        active = self.hidden(jax.vmap(self.between)(states), key=key, index=0)
        return ACTIVATIONS[self.output_activation](to_outputs(self.output(active), self.blocks))

    def with_output_weights_times(self, factor: float) -> "RecurrentDecoder":
        """The same network with the weights of its last layer multiplied by a factor.

        Args:
            factor: Any number.

        Returns:
            A new network.
        """
        return eqx.tree_at(lambda n: n.output.weight, self, factor * self.output.weight)

    def with_output_bias(self, bias: Float[Array, " n_out"]) -> "RecurrentDecoder":
        """The same network with another bias in its last layer, one entry for each output.

        Args:
            bias: Shape (n_out,).

        Returns:
            A new network.
        """
        steps = self.output.bias.shape[0]
        by_step = from_outputs(jnp.asarray(bias, jnp.float32), (steps,), self.blocks)
        return eqx.tree_at(lambda n: n.output.bias, self, by_step)


def _cells(widths: Sequence[int], initializer: str, drop_probability: float, *, key: Key) -> tuple[GRU, ...]:
    """One layer for each pair of widths."""
    law = {"initializer": initializer, "drop_probability": drop_probability}
    keys = jax.random.split(key, len(widths) - 1)
    return tuple(GRU.create(n_in, n, **law, key=k) for k, (n_in, n) in zip(keys, pairwise(widths)))


def _sequence(shape: Sequence[int]) -> tuple[int, int]:
    """How many steps a row of this shape has, and how many numbers a step; ConfigError where it is no sequence."""
    if len(shape) < 2 or any(int(n) < 1 for n in shape):
        raise ConfigError(
            f"a recurrent network reads rows (steps, ...) of at least two axes, not of shape {tuple(shape)}.",
            where="network",
            fix="Use --set network=dense.",
        )
    return int(shape[0]), math.prod(int(n) for n in shape[1:])
