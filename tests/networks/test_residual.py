"""Residual dense networks against numpy; a block without weights is the identity."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from network_fixtures import check_batching, check_gradient, filled, parameters

from latens.errors import ConfigError
from latens.networks import ResidualDense, decoder_network, encoder_network
from latens.trees import count_parameters, realise

X = np.array([0.5, -1.0, 2.0, 0.25])


def by_hand(network, x):
    layer = lambda part, h: h @ np.asarray(part.weight, float) + np.asarray(part.bias, float)  # noqa: E731
    h = layer(network.stem, x)
    for block in network.blocks:
        active = np.tanh(h)
        skip = h if block.shortcut is None else layer(block.shortcut, active)
        h = skip + layer(block.second, np.tanh(layer(block.first, active)))
    return layer(network.output, np.tanh(h))


def test_a_network_meets_numpy(strict):
    """Two blocks of one width and one that changes it; batched by vmap and compiled."""
    network = filled(ResidualDense, [4, 6, 6, 5, 3], activation="tanh")
    assert [block.shortcut is None for block in network.blocks] == [True, True, False]
    assert count_parameters(network) == (4 * 6 + 6) + 2 * 2 * (6 * 6 + 6) + (6 * 5 + 5 + 5 * 5 + 5 + 6 * 5 + 5) + (
        5 * 3 + 3
    )
    rows = np.random.default_rng(0).normal(size=(3, 4))
    check_batching(network, rows, np.stack([by_hand(network, row) for row in rows]))


def test_a_block_without_weights_is_the_identity():
    network = filled(ResidualDense, [4, 6, 6, 2])
    block = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, network.blocks[0])
    h = jnp.asarray([0.5, -1.0, 2.0, 0.25, -3.0, 1.0])
    close(block(h), h, rtol=0, atol=0)
    none = eqx.tree_at(lambda n: n.blocks, network, (block, block))
    active = jnp.maximum(network.stem(jnp.asarray(X, jnp.float32)), 0.0)
    close(none(jnp.asarray(X)), network.output(active), rtol=0, atol=0)


def test_gradient_meets_finite_differences(float64):
    network = filled(ResidualDense, [4, 3, 2, 2], activation="tanh", dtype=np.float64)
    check_gradient(network, lambda network: jnp.sin(network(jnp.asarray(X))).sum())


def test_branches_start_small_enough_for_many_blocks(getkey):
    """With 4 blocks the second weights have a quarter of the variance of He's law, 2 / n."""
    network = eqx.filter_jit(lambda key: ResidualDense([4, *[60] * 4, 2], key=key))(getkey())
    first, second = (np.stack([getattr(b, part).weight for b in network.blocks]) for part in ("first", "second"))
    agrees((first**2).ravel(), 2 / 60)
    agrees((second**2).ravel(), 2 / 60 / 4)


def test_the_last_bias_and_the_size_of_rows():
    network = filled(decoder_network, "residual", 2, (5,), (3, 2), 6)
    z, bias = jnp.ones(2), jnp.arange(6, dtype=jnp.float32)
    close(network.with_output_bias(bias)(z) - network.with_output_bias(0 * bias)(z), bias)
    extra = {"shape": (3, 2), "hidden": (5,), "num_outputs": 4, "extra": 2}
    block = [(5, 5), (5,), (5, 5), (5,)]
    assert parameters(encoder_network, "residual", **extra) == [(8, 5), (5,), *block, (5, 4), (4,)]
    assert parameters(encoder_network, "dense", **extra) == [(8, 5), (5,), (5, 4), (4,)]


def test_dropout_acts_inside_the_blocks(getkey):
    """One block of 50 ones whose mean is added: 1 + a mean of dropped ones, then the same output for each."""
    network = filled(ResidualDense, [1, 50, 1], activation="identity", drop_probability=0.4)
    network = jax.tree.map(lambda leaf: 0 * leaf if eqx.is_array(leaf) else leaf, network)
    where = lambda n: (n.blocks[0].first.bias, n.blocks[0].second.weight)  # noqa: E731
    network = eqx.tree_at(where, network, (jnp.ones(50), jnp.full((50, 50), 1 / 50)))
    network = eqx.tree_at(lambda n: n.output.weight, network, jnp.full((50, 1), 1 / 50))
    x = jnp.ones(1)
    close(network(x), [1.0])
    close(eqx.nn.inference_mode(network)(x, key=getkey()), [1.0])
    samples = jax.vmap(lambda k: network(x, key=k))(jax.random.split(getkey(), 2_000))[:, 0]
    agrees(samples, 1.0)
    agrees((np.asarray(samples) - 1.0) ** 2, (1 / 0.6 - 1) / 50)


def test_blocks_drop_different_units_and_weights(getkey):
    """Two blocks, one adding and one taking 400 ones of which each drops its own half."""
    network = filled(ResidualDense, [1, 400, 400, 400], activation="identity", drop_probability=0.5)
    network = jax.tree.map(lambda leaf: 0 * leaf if eqx.is_array(leaf) else leaf, network)
    where = lambda n: (  # noqa: E731
        *(b.first.bias for b in n.blocks),
        *(b.second.weight for b in n.blocks),
        n.output.weight,
    )
    eye = jnp.eye(400)
    square = eqx.tree_at(where, network, (jnp.ones(400), jnp.ones(400), eye, -eye, eye))
    # The sum of both branches is 0 where both kept or both dropped a unit, which is half of them.
    sums = jax.vmap(lambda k: square(jnp.ones(1), key=k))(jax.random.split(getkey(), 50))
    agrees(np.asarray(sums == 0).ravel(), 0.5)

    network = filled(ResidualDense, [4, 100, 100, 2], weight_drop_probability=0.3)
    drawn = eqx.filter_jit(lambda key: realise(network, key=key))(getkey())
    gone = [np.asarray(part.weight) == 0 for block in drawn.blocks for part in (block.first, block.second)]
    agrees((gone[0] & gone[1]).ravel(), 0.09)
    agrees((gone[0] & gone[2]).ravel(), 0.09)


@pytest.mark.parametrize(
    ("widths", "message"),
    [([4, 2], r"need an input, a hidden layer and an output.*network=dense"), ([4, 0, 2], r"all positive")],
)
def test_wrong_widths_are_refused(widths, message, getkey):
    with pytest.raises(ConfigError, match=message):
        ResidualDense(widths, key=getkey())


def test_unknown_options_are_refused(getkey):
    with pytest.raises(ConfigError, match=r"a residual network has no option 'kernel_size'"):
        encoder_network("residual", (4,), (3,), 2, kernel_size=3, key=getkey())
