"""Gated recurrent units against the formula written in numpy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from checks import agrees, close
from scipy.special import expit

from latens.networks.recurrent import GRU


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
