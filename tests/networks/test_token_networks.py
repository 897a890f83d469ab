"""The encoder of rows of tokens: what follows the end changes nothing; and dropped words."""

import dataclasses
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from latens.models.heads.token_head import TokenHead, TokenInput
from latens.networks.token_networks import DroppedUnits, DroppedWords, TokenEncoder, TokenGRU
from latens.trees import realise

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


def test_a_step_leaves_out_whole_words_of_the_inputs_only():
    words = DroppedWords(2000, 0.3)
    drawn = words.realise(key=KEY)
    kept = np.asarray(drawn(jnp.arange(2000)).sum(axis=1))
    assert set(kept) == {0.0, 1.0}
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.21 / 2000)
    assert np.array_equal(words(jnp.arange(2000)), jnp.eye(2000))
    head = TokenHead((4,), 6, width=3, word_dropout=0.9).initialised(key=KEY)
    drawn = realise(head, key=KEY)
    given = jax.random.normal(KEY, (head.num_outputs,))
    rows = jnp.array([[*row, *[0] * (4 - n)] for n in range(4) for row in product(range(1, 6), repeat=n)])
    log_p = jax.jit(jax.vmap(drawn(given).log_prob))(rows)
    assert np.isfinite(log_p).all()  # dropped words can still be written
    np.testing.assert_allclose(np.exp(np.asarray(log_p, float)).sum(), 1.0, rtol=1e-5)


def test_a_step_drops_units_of_a_place_by_the_law_of_one_step():
    drawn = DroppedUnits(500, 20, 0.25).realise(key=KEY)
    kept = np.asarray(drawn.kept)
    assert set(kept.ravel()) == {0.0, np.float32(1 / 0.75)}
    assert abs((kept > 0).mean() - 0.75) < 4 * np.sqrt(0.1875 / kept.size)
    assert abs((kept[0] == kept[1]).mean() - 0.625) < 0.02  # the two are drawn apart
    network = TokenGRU.create(4, 3, places=4, dropout=0.5, key=KEY)
    output = dataclasses.replace(network.output, weight=jax.random.normal(KEY, (3, 4)))
    network = dataclasses.replace(network, output=output)
    given, kept = jax.random.normal(KEY, (network.num_given,)), 2.0 * jax.random.bernoulli(KEY, 0.5, (2, 4, 3))
    found = dataclasses.replace(network, units=DroppedUnits(4, 3, 0.0, kept))(ROW[:3], given)
    state = jnp.tanh(given[:3])
    for place, previous in enumerate([None, 2, 1]):
        inputs = network.cell.inputs(jnp.zeros(4) if previous is None else jnp.eye(4)[previous]) + given[3:12]
        o = network.cell.state(state)
        reset, update = jax.nn.sigmoid(inputs[:3] + o[:3]), jax.nn.sigmoid(inputs[3:6] + o[3:6])
        state = (1 - update) * kept[0, place] * jnp.tanh(inputs[6:] + reset * o[6:]) + update * state
        logits = (state * kept[1, place]) @ output.weight + output.bias + given[12:]
        np.testing.assert_allclose(found[place], logits, rtol=1e-5, atol=1e-6)
    plain = TokenGRU.create(4, 3, key=KEY)
    assert np.array_equal(network.cell(jnp.zeros((2, 9)), state), plain.cell(jnp.zeros((2, 9)), state))
    assert TokenHead((4,), 4, width=3).initialised(key=KEY).network.units.realise(key=KEY).kept is None


def test_the_first_outputs_are_the_shares_of_the_tokens():
    head = TokenHead((3,), 3, width=2).initialised(key=KEY)
    frequencies = np.array([[0.0, 0.75, 0.25], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    _, bias = head.started(np.zeros(3), frequencies)
    found = np.exp(head(jnp.asarray(bias, jnp.float32)).log_prob_terms(jnp.array([1, 0, 0])))
    np.testing.assert_allclose(found, [1.25 / 2.5, 1.0 / 2.5, 1.0], rtol=1e-5)  # one end a row
