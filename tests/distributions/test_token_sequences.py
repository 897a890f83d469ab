"""Rows of tokens beside what test_whole_events.py enumerates: holes, padding, temperatures."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_whole_events import grid, tokens

from latens.distributions import TokenSequence
from latens.errors import ConfigError
from latens.networks.token_networks import TokenGRU

KEY = jax.random.key(3)


def sequence(vocabulary=3, places=4):
    return tokens(vocabulary, places)


def test_a_hole_is_refused_in_words_and_is_no_number_where_it_is_not_known():
    p, event, mask = sequence(), jnp.array([2, 1, 0, 0]), jnp.array([True, False, True, True])
    said = "likelihood.family: a token behind a missing one has no closed form: only a beginning of a row can be given"
    for refused in (p.log_prob_observed, p.conditioned):
        with pytest.raises(ConfigError, match=said):
            refused(event, mask)
    assert math.isnan(jax.jit(lambda m: p.log_prob_observed(event, m))(mask))


def test_fewer_places_give_the_same_log_probabilities():
    p = sequence(places=12)
    rows = np.zeros((3, 12), np.int32)
    rows[1, :2], rows[2, :4] = (2, 1), (1, 2, 2, 1)
    rows = jnp.asarray(rows)
    full = jax.jit(jax.vmap(p.log_prob))(rows)
    np.testing.assert_allclose(jax.jit(jax.vmap(p.log_prob))(rows[:, :5]), full, rtol=1e-6)
    assert np.isneginf(p.log_prob(rows[2, :4]))  # it has no end there: it is longer than these places
    assert np.array_equal(jax.jit(jax.vmap(p.log_prob))(rows[::-1])[::-1], full)
    terms = np.asarray(jax.jit(jax.vmap(p.log_prob_terms))(rows))
    assert not terms[1, 3:].any()
    assert terms[1, :3].all()


def test_temperatures_and_beginnings_of_samples():
    p, rows = sequence(), jnp.asarray(grid(3, (4,)))
    half = replace(p, network=_Cooler(p.network, 0.5))
    key = jax.random.key(5)
    assert np.array_equal(p.sample_at(0.5, key=key), half.sample(key=key))
    greedy, memory, previous = np.asarray(p.mean()), p.network.memory(p.given), 0
    for place in range(3):
        logits, memory = p.network.step(jnp.asarray(previous), jnp.asarray(place), memory, p.given)
        previous = int(jnp.argmax(logits))
        assert greedy[place] == previous
        if previous == 0:
            break
    given = p.conditioned(jnp.array([2, 2, 0, 0]), jnp.array([True, True, False, False]))
    drawn = np.asarray(jax.jit(jax.vmap(lambda k: given.sample(key=k)))(jax.random.split(key, 4000)))
    assert np.all(drawn[:, :2] == 2)
    of_given = np.exp(np.asarray(jax.jit(jax.vmap(given.log_prob))(rows), np.float64))
    shares = np.bincount(drawn @ 3 ** np.arange(3, -1, -1), minlength=len(rows)) / len(drawn)
    assert np.all(np.abs(shares - of_given) <= 4.5 * np.sqrt(of_given * (1 - of_given) / len(drawn)) + 1e-9)


class _Cooler:
    """A network whose logits are divided by a temperature."""

    def __init__(self, inner, temperature):
        self.inner, self.temperature, self.memory = inner, temperature, inner.memory

    def step(self, *args):
        logits, memory = self.inner.step(*args)
        return logits / self.temperature, memory


def test_untrained_networks_give_the_logits_that_are_given():
    net = TokenGRU.create(4, 6, key=KEY)
    given = jnp.zeros(4 * 6 + 4).at[-4:].set(jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1])))
    p = TokenSequence(net, given, (6,))
    assert p.log_prob(jnp.array([3, 1, 0, 0, 0, 0])) == pytest.approx(math.log(0.1 * 0.3 * 0.4), rel=1e-6)
