"""The encoder of rows of tokens: what follows the end changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np

from latens.models.heads.table import TokenHead, TokenInput
from latens.networks.token_networks import TokenEncoder

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
