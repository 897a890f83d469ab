"""Gated recurrent networks against the formula written in numpy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from network_fixtures import check_batching, check_gradient, filled, parameters
from scipy.special import expit

from latens.errors import ConfigError
from latens.networks import RecurrentDecoder, RecurrentEncoder, decoder_network, encoder_network
from latens.trees import realise


def array(a):
    return np.asarray(a, np.float64)


def layer(part, h):
    return h @ array(part.weight) + array(part.bias)


def gru(cell, xs, h):
    """The states by the formula: reset, update, new."""
    n, states = len(h), []
    w, b, u, c = array(cell.inputs.weight), array(cell.inputs.bias), array(cell.state.weight), array(cell.state.bias)
    for x in xs:
        of = lambda g: (x @ w[:, g] + b[g], h @ u[:, g] + c[g])  # noqa: B023, E731
        reset, update = (expit(sum(of(slice(i * n, (i + 1) * n)))) for i in (0, 1))
        from_x, from_h = of(slice(2 * n, 3 * n))
        h = (1 - update) * np.tanh(from_x + reset * from_h) + update * h
        states.append(h)
    return np.stack(states)


def encoded(network, x):
    h = x.reshape(x.shape[0], -1)
    for cell in network.cells:
        h = gru(cell, h, np.zeros(len(array(cell.state.weight))))
    first, second = network.readout.layers
    return layer(second, np.maximum(layer(first, h[-1]), 0.0))


def decoded(network, z, steps):
    starts, h = np.tanh(layer(network.start, z)), np.tile(z, (steps, 1))
    for cell in network.cells:
        n = len(array(cell.state.weight))
        h, starts = gru(cell, h, starts[:n]), starts[n:]
    return layer(network.output, np.maximum(layer(network.between, h), 0.0))


def test_one_step_is_the_formula(strict):
    """From the state 0 with all weights 0: (1 - sigma(b_u)) tanh(b_n + sigma(b_r) c_n)."""
    cell = filled(RecurrentEncoder, (3, 2), (1,), 1).cells[0]
    zero = jax.tree.map(jnp.zeros_like, cell)
    cell = eqx.tree_at(
        lambda c: (c.inputs.bias, c.state.bias), zero, (jnp.asarray([0.3, -0.7, 0.2]), jnp.asarray([0.1, 0.4, -1.5]))
    )
    states = cell(jax.vmap(cell.inputs)(jnp.ones((1, 2))), jnp.zeros(1))
    close(states, [[(1 - expit(-0.3)) * np.tanh(0.2 - 1.5 * expit(0.4))]])


@pytest.mark.parametrize("widths", [(4,), (4, 3)], ids=str)
def test_networks_meet_numpy(widths, strict):
    """Batched by vmap and compiled, from flat rows too."""
    encoder = filled(RecurrentEncoder, (5, 2, 3), widths, 2)
    decoder = filled(RecurrentDecoder, 2, widths[::-1], (5, 2, 3), 30, seed=1)
    rows = np.random.default_rng(0).normal(size=(3, 5, 2, 3))
    expected = np.stack([decoded(decoder, encoded(encoder, row), 5).reshape(-1) for row in rows])
    check_batching(lambda x: decoder(encoder(x)), rows, expected)


def test_sizes():
    """For every layer the weights and biases of its input, then of its state, three gates wide."""
    arrays = parameters(RecurrentEncoder, (5, 6), (4, 3), 2)
    layers = [(6, 12), (12,), (4, 12), (12,), (4, 9), (9,), (3, 9), (9,)]
    assert arrays == [*layers, (3, 3), (3,), (3, 2), (2,)]
    arrays = parameters(RecurrentDecoder, 2, (3, 4), (5, 6), 30)
    layers = [(2, 9), (9,), (3, 9), (9,), (3, 12), (12,), (4, 12), (12,)]
    assert arrays == [(2, 7), (7,), *layers, (4, 4), (4,), (4, 6), (5, 6)]


def test_gradient_meets_finite_differences(float64):
    encoder = filled(RecurrentEncoder, (3, 2), (2,), 2, activation="tanh", dtype=np.float64)
    decoder = filled(RecurrentDecoder, 2, (2,), (3, 2), 12, blocks=2, activation="tanh", dtype=np.float64)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2)))
    check_gradient((encoder, decoder), lambda nets: jnp.sin(nets[1](nets[0](x))).sum())


def test_outputs_come_as_heads_read_them():
    """Two blocks: the means of every step, then the scales; each output has its own bias."""
    decoder = filled(RecurrentDecoder, 2, (3,), (4, 2), 16, blocks=2)
    z, bias = jnp.ones(2), jnp.arange(16, dtype=jnp.float32)
    by_step = decoded(decoder, np.ones(2), 4)
    close(decoder(z), np.concatenate([by_step[:, :2].reshape(-1), by_step[:, 2:].reshape(-1)]))
    close(decoder.with_output_bias(bias)(z) - decoder.with_output_bias(0 * bias)(z), bias)
    levels = filled(RecurrentDecoder, 2, (3,), (4, 2), 24, blocks=1)
    close(levels(z), decoded(levels, np.ones(2), 4).reshape(-1))
    encoder, x = filled(RecurrentEncoder, (4, 2), (3,), 2), jnp.ones((4, 2))
    bias = jnp.asarray([1.0, -2.0])
    close(encoder.with_output_bias(bias)(x) - encoder(x), bias - encoder.readout.layers[-1].bias)


def test_first_weights_follow_the_law_gate_by_gate(getkey):
    """Glorot's variance 2 / (in + out) with a gate's own size, not that of the three side by side."""
    cell = eqx.filter_jit(lambda key: RecurrentEncoder((3, 60), (100,), 1, key=key))(getkey()).cells[0]
    agrees((np.asarray(cell.inputs.weight) ** 2).ravel(), 2 / 160)
    agrees((np.asarray(cell.state.weight) ** 2).ravel(), 2 / 200)
    gates = np.split(np.asarray(cell.state.weight), 3, axis=1)
    assert abs(np.corrcoef(gates[0].ravel(), gates[1].ravel())[0, 1]) < 5 / 100


def test_conditions_join_the_last_state():
    encoder = filled(encoder_network, "recurrent", (3, 2), (4,), 2, extra=2, activation="identity")
    row, cond = jnp.ones(6), jnp.asarray([0.5, -2.0])
    first, second = encoder.readout.layers
    effect = cond @ first.weight[-2:] @ second.weight
    close(encoder(jnp.concatenate([row, cond])) - encoder(jnp.concatenate([row, 0 * cond])), effect)


def test_dropout_of_units_and_of_weights(getkey):
    decoder = filled(RecurrentDecoder, 1, (50,), (2, 1), 2, activation="identity", drop_probability=0.4)
    where = lambda n: (n.between.weight, n.between.bias, n.output.weight, n.output.bias)  # noqa: E731
    decoder = eqx.tree_at(
        where, decoder, (jnp.zeros((50, 50)), jnp.ones(50), jnp.full((50, 1), 1 / 50), jnp.zeros((2, 1)))
    )
    z = jnp.ones(1)
    close(decoder(z), [1.0, 1.0])
    close(eqx.nn.inference_mode(decoder)(z, key=getkey()), [1.0, 1.0])
    samples = np.asarray(jax.vmap(lambda k: decoder(z, key=k))(jax.random.split(getkey(), 2_000)))
    agrees(samples, 1.0)
    agrees((samples - 1.0) ** 2, (1 / 0.6 - 1) / 50)
    agrees((samples[:, 0] - 1.0) * (samples[:, 1] - 1.0), 0.0)

    network = filled(RecurrentDecoder, 2, (60,), (3, 40), 120, weight_drop_probability=0.3)
    drawn = eqx.filter_jit(lambda key: realise(network, key=key))(getkey())
    parts = (drawn.cells[0].inputs, drawn.cells[0].state, drawn.between, drawn.output, drawn.start)
    agrees(np.concatenate([np.asarray(part.weight == 0).ravel() for part in parts]), 0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (8,)}, r"of at least two axes, not of shape \(8,\)\. Use --set network=dense"),
        ({"hidden": ()}, r"at least one width, all positive"),
        ({"num_outputs": 16}, r"16 outputs for 8 cells can be read in two orders\. Give blocks=2"),
        ({"kernel_size": 3}, r"a recurrent network has no option 'kernel_size'"),
        ({"initializer": "glorot"}, r"there is no 'glorot'\. Did you mean 'glorot-uniform'"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(change, message):
    arguments = {"latent_dim": 2, "hidden": (3,), "shape": (4, 2), "num_outputs": 8, **change}
    with pytest.raises(ConfigError, match=message):
        decoder_network("recurrent", **arguments, key=jax.random.key(0))
