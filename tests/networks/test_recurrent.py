"""Networks of steps and tokens: recurrent ones, scans and blocks against loops, and what follows an end is nothing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from scipy.special import expit

from latens.models.heads.table import TokenHead, TokenInput
from latens.networks.convolutional import ConvDecoder, ConvEncoder, convolve_same
from latens.networks.token_networks import GRU, LEAST, TokenEncoder, block_of, scanned


def states(cell, x, start):
    """The states by the formula: reset, update, new."""
    h, found = np.asarray(start, np.float64), []
    n = len(h)
    w, b, u, c = (
        np.asarray(a, np.float64) for a in (cell.inputs.weight, cell.inputs.bias, cell.state.weight, cell.state.bias)
    )
    for one in x:
        of_x, of_h = one @ w + b, h @ u + c
        reset, update = (expit((of_x + of_h)[i * n : (i + 1) * n]) for i in (0, 1))
        h = (1 - update) * np.tanh(of_x[2 * n :] + reset * of_h[2 * n :]) + update * h
        found.append(h)
    return np.stack(found)


def test_states_are_those_of_the_formula(strict):
    cell = GRU.create(3, 4, key=jax.random.key(0))
    cell = jax.tree.map(lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), cell)
    x, start = np.random.default_rng(0).normal(size=(6, 3)), np.linspace(-0.5, 0.5, 4)
    found = cell(jax.vmap(cell.inputs)(jnp.asarray(x, jnp.float32)), jnp.asarray(start, jnp.float32))
    close(found, states(cell, x, start), rtol=1e-5, atol=1e-6)


def test_first_weights_follow_the_law_gate_by_gate(getkey):
    """Glorot's uniform law of (n_in + n) for each of the three gates on its own."""
    cell = eqx.filter_jit(lambda key: GRU.create(60, 100, key=key))(getkey())
    for weight, n_in in ((cell.inputs.weight, 60), (cell.state.weight, 100)):
        limit = np.sqrt(6 / (n_in + 100))
        for gate in np.split(np.asarray(weight), 3, axis=1):
            assert np.abs(gate).max() <= limit
            agrees(gate.reshape(-1) ** 2, limit**2 / 3)


@pytest.mark.parametrize(
    ("steps", "size"),
    [(1, None), (LEAST - 1, None), (512, 32), (1000, 25), (1024, 32), (1009, None), (600, 30), (521, None)],
)
def test_a_long_loop_is_cut_where_its_steps_can_be(steps: int, size: int | None) -> None:
    assert block_of(steps) == size


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [600, 521])
def test_values_and_gradients_are_those_of_a_plain_loop(steps: int, reverse: bool) -> None:
    x = jax.random.normal(jax.random.key(0), (steps, 5))
    alive = jnp.arange(steps) < steps - 7
    weight = 0.3 * jax.random.normal(jax.random.key(1), (5, 5))

    def loss(weight, way):
        def step(state, at):
            one, alive = at
            state = jnp.where(alive, jnp.tanh(state @ weight + one), state)
            return state, (state, state.sum())

        last, (states, sums) = way(step, jnp.zeros(5), (x, alive), reverse=reverse)
        return jnp.sum(states**2) + jnp.sum(sums * jnp.arange(steps)) + last.sum()

    plain, cut = (jax.value_and_grad(loss)(weight, way) for way in (jax.lax.scan, scanned))
    np.testing.assert_allclose(cut[0], plain[0], rtol=1e-5)
    np.testing.assert_allclose(cut[1], plain[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (8, 8, 2), (4, 5, 8)])
def test_both_ways_are_the_sum_over_the_neighbours(shape: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(0)
    image, weight = generator.normal(size=shape), generator.normal(size=(4, 3, 3, shape[2]))
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    exact = np.zeros((*shape[:2], 4))
    for i, j in np.ndindex(*shape[:2]):
        exact[i, j] = np.einsum("abc,oabc->o", padded[i : i + 3, j : j + 3], weight)
    for method in ("canonical", "conv"):
        found = convolve_same(jnp.asarray(image, jnp.float32), jnp.asarray(weight, jnp.float32), method)
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


def test_blocks_that_add_nothing_change_nothing() -> None:
    key, image, z = jax.random.key(0), jnp.asarray(np.random.default_rng(1).normal(size=(10, 7, 3))), jnp.ones(2)
    encoder = lambda n: ConvEncoder((10, 7, 3), (4, 6), 5, num_blocks=n, kernel_size=4, key=key)  # noqa: E731
    decoder = lambda n: ConvDecoder(2, (6, 4), (10, 7, 3), 210, num_blocks=n, key=key)  # noqa: E731
    for make, row, widths in ((encoder, image, [4, 4, 6, 6]), (decoder, z, [6, 6, 4, 4])):
        plain, deep = make(0), make(2)
        assert not np.allclose(deep(row), plain(row))
        assert [weight.shape[0] for weight in seconds(deep)] == widths
        silent = eqx.tree_at(seconds, deep, [jnp.zeros_like(weight) for weight in seconds(deep)])
        np.testing.assert_allclose(silent(row), plain(row), rtol=1e-5, atol=1e-6)


def seconds(network: ConvEncoder | ConvDecoder) -> list[jax.Array]:
    groups = network.blocks if isinstance(network, ConvEncoder) else network.residual
    return [block.second.weight for group in groups for block in group]


KEY = jax.random.key(2)
ROW = jnp.array([2, 1, 3, 0])


def encoder(extra=0):
    return TokenEncoder.create(4, (6,), 5, extra=extra, initializer="glorot-uniform", key=KEY)


def test_places_behind_the_end_change_no_bit():
    network = encoder()
    short = network(ROW)
    for more in (1, 4, 9):
        np.testing.assert_allclose(network(jnp.pad(ROW, (0, more))), short, rtol=1e-6)
    longer = jnp.pad(ROW, (0, 4))
    garbage = longer.at[5:].set(jnp.array([3, 1, 2]))
    assert np.array_equal(network(garbage), network(longer))
    assert not np.allclose(network(ROW.at[2].set(1)), short, atol=1e-4)


def test_a_beginning_is_told_from_a_row_that_ends():
    network, see = encoder(), TokenInput((4,), 4)
    mask = jnp.array([True, True, False, False])
    begun = network(see(ROW, mask))
    assert np.array_equal(network(see(ROW.at[2:].set(1), mask)), begun)
    ended = network(jnp.array([2, 1, 0, 0]))
    assert not np.allclose(begun, ended, atol=1e-4)
    assert np.array_equal(see(ROW), ROW)


def test_conditions_stand_behind_the_row():
    network = encoder(extra=2)
    rows = [jnp.concatenate([row.astype(jnp.float32), jnp.array([0.5, -1.0])]) for row in (ROW, jnp.pad(ROW, (0, 3)))]
    np.testing.assert_allclose(network(rows[0]), network(rows[1]), rtol=1e-6)
    other = rows[0].at[-1].set(2.0)
    assert not np.allclose(network(other), network(rows[0]), atol=1e-4)


def test_the_first_outputs_are_the_shares_of_the_tokens():
    head = TokenHead((3,), 3, width=2).initialised(key=KEY)
    frequencies = np.array([[0.0, 0.75, 0.25], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    _, bias = head.started(np.zeros(3), frequencies)
    found = np.exp(head(jnp.asarray(bias, jnp.float32)).log_prob_terms(jnp.array([1, 0, 0])))
    np.testing.assert_allclose(found, [1.25 / 2.5, 1.0 / 2.5, 1.0], rtol=1e-5)  # one end a row
