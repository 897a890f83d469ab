"""Rows of tokens: probabilities by enumeration, beginnings, padding, and samples against what they were drawn from."""

import itertools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.distributions import TokenSequence
from latens.errors import ConfigError
from latens.networks.token_networks import TokenGRU, TokenTransformer
from latens.networks.transformer import CausalTransformer

KEY = jax.random.key(3)


def uneven(network, scale=1.0):
    """The same network with all its arrays drawn at random."""
    leaves, tree = jax.tree.flatten(network)
    keys = jax.random.split(KEY, len(leaves))
    return jax.tree.unflatten(tree, [scale * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves)])


def network(kind, vocabulary=3, places=4):
    if kind == "gru":
        return uneven(TokenGRU.create(vocabulary, 5, key=KEY))
    inner = CausalTransformer.create(places, vocabulary, layers=2, width=4, heads=2, classes=4, key=KEY)
    return TokenTransformer(uneven(inner, 0.7))


def sequence(kind, vocabulary=3, places=4, seed=0):
    net = network(kind, vocabulary, places)
    return TokenSequence(net, jax.random.normal(jax.random.key(seed), (net.num_given,)), (places,))


def every(vocabulary=3, places=4):
    return jnp.array(list(itertools.product(range(vocabulary), repeat=places)), jnp.int32)


def by_hand(p, row, step):
    """The log probability of a row, term by term, from the logits of single steps."""
    memory, total, previous = p.network.memory(p.given), 0.0, 0
    for place, code in enumerate(row):
        logits, memory = step(jnp.asarray(previous), jnp.asarray(place), memory, p.given)
        if place == p.shape[0] - 1:
            break
        total += float(jax.nn.log_softmax(logits)[code])
        if code == 0:
            break
        previous = code
    return total


KINDS = pytest.mark.parametrize("kind", ["gru", "transformer"])


@KINDS
def test_probabilities_of_all_arrays_sum_to_1_and_are_those_of_single_steps(kind):
    p, rows = sequence(kind), every()
    found = np.asarray(jax.jit(jax.vmap(p.log_prob))(rows))
    assert np.exp(found.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(found).sum() == 1 + 2 + 4 + 8  # words of 0, 1, 2 and 3 tokens
    step = jax.jit(lambda *args: p.network.step(*args))
    for row in [i for i in range(len(rows)) if np.isfinite(found[i])]:
        assert found[row] == pytest.approx(by_hand(p, np.asarray(rows[row]), step), abs=3e-6)


@KINDS
def test_a_beginning_is_the_sum_over_all_rows_that_begin_so(kind):
    p, rows = sequence(kind), every()
    probabilities = np.exp(np.asarray(jax.jit(jax.vmap(p.log_prob))(rows), np.float64))
    masks = jnp.arange(4) < jnp.arange(5)[:, None]
    event = jnp.array([2, 1, 0, 0], jnp.int32)
    for mask in masks:
        begins = np.all((rows == event) | ~mask, axis=1)
        expected = probabilities[begins].sum()
        assert math.exp(p.log_prob_observed(event, mask)) == pytest.approx(expected, rel=1e-5)
        given = p.conditioned(event, mask)
        of_given = np.exp(np.asarray(jax.jit(jax.vmap(given.log_prob))(rows), np.float64))
        np.testing.assert_allclose(of_given, np.where(begins, probabilities, 0.0) / expected, rtol=1e-5)
    garbage = jnp.array([2, 1, 7, -9])
    assert p.log_prob_observed(garbage, masks[2]) == p.log_prob_observed(event, masks[2])


def test_a_hole_is_refused_in_words_and_is_no_number_where_it_is_not_known():
    p, event, mask = sequence("gru"), jnp.array([2, 1, 0, 0]), jnp.array([True, False, True, True])
    said = "likelihood.family: a token behind a missing one has no closed form: only a beginning of a row can be given"
    for refused in (p.log_prob_observed, p.conditioned):
        with pytest.raises(ConfigError, match=said):
            refused(event, mask)
    assert math.isnan(jax.jit(lambda m: p.log_prob_observed(event, m))(mask))


@KINDS
def test_fewer_places_give_the_same_log_probabilities(kind):
    p = sequence(kind, places=12)
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


@KINDS
def test_samples_have_the_log_probability_of_what_they_were_drawn_from(kind):
    p = sequence(kind, vocabulary=5, places=9)
    keys = jax.random.split(KEY, 200)
    rows, drawn = jax.jit(jax.vmap(lambda k: p.sample_and_log_prob(key=k)))(keys)
    np.testing.assert_allclose(drawn, jax.jit(jax.vmap(p.log_prob))(rows), rtol=1e-5, atol=1e-5)
    assert np.array_equal(rows, jax.jit(jax.vmap(lambda k: p.sample(key=k)))(keys))
    ended = np.cumsum(np.asarray(rows) == 0, axis=1) > 0
    assert ended[:, -1].all()
    assert not np.asarray(rows)[ended].any()
    assert len(set(map(bytes, np.asarray(rows)))) > 20


@KINDS
def test_samples_come_as_often_as_their_probability_says(kind):
    p, rows = sequence(kind), every()
    keys = jax.random.split(jax.random.key(8), 20000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda k: p.sample(key=k)))(keys)) @ 3 ** np.arange(3, -1, -1)
    shares = np.bincount(drawn, minlength=len(rows)) / len(keys)
    expected = np.exp(np.asarray(jax.jit(jax.vmap(p.log_prob))(rows), np.float64))
    assert np.all(np.abs(shares - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / len(keys)) + 1e-9)


@KINDS
def test_temperatures_and_beginnings_of_samples(kind):
    p, rows = sequence(kind), every()
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
    given = jnp.zeros(net.num_given).at[-4:].set(jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1])))
    p = TokenSequence(net, given, (6,))
    assert p.log_prob(jnp.array([3, 1, 0, 0, 0, 0])) == pytest.approx(math.log(0.1 * 0.3 * 0.4), rel=1e-6)


@KINDS
def test_rows_that_are_never_empty_share_the_probability_of_the_empty_one(kind):
    p, rows = sequence(kind), every()
    q = replace(p, never_empty=True)
    before, after = (np.exp(np.asarray(jax.jit(jax.vmap(d.log_prob))(rows), np.float64)) for d in (p, q))
    assert after[0] == 0.0  # the row without a token
    np.testing.assert_allclose(after[1:], before[1:] / (1.0 - before[0]), rtol=2e-5)
    assert after.sum() == pytest.approx(1.0, abs=1e-6)
    masks = jnp.arange(4) < jnp.arange(5)[:, None]
    for mask in masks:
        begins = np.all((rows == rows[21]) | ~mask, axis=1)
        assert math.exp(q.log_prob_observed(rows[21], mask)) == pytest.approx(after[begins].sum(), rel=1e-5)
    keys = jax.random.split(KEY, 4000)
    drawn, terms = jax.jit(jax.vmap(lambda k: q.sample_and_log_prob(key=k)))(keys)
    np.testing.assert_allclose(terms, jax.jit(jax.vmap(q.log_prob))(drawn), rtol=1e-5, atol=1e-5)
    shares = np.bincount(drawn @ 3 ** np.arange(3, -1, -1), minlength=len(rows)) / len(drawn)
    assert shares[0] == 0.0
    assert np.all(np.abs(shares - after) <= 4.5 * np.sqrt(after * (1 - after) / len(drawn)) + 1e-9)
    ends = replace(q, given=q.given.at[-3].add(60.0))  # an end is most probable everywhere
    assert ends.mean()[0] != 0
    slopes = jax.jit(jax.grad(lambda given: replace(q, given=given).log_prob(rows[21])))(q.given)
    assert np.isfinite(slopes).all()


def is_open(before):
    """Whether a parenthesis is open, and a ring."""
    return jnp.array([before.count(2) > before.count(3), before.count(4) % 2])


def possible(before):
    """Of codes end, a letter, "(", ")", and a ring number, those that may follow others."""
    depth = before.count(2) - before.count(3)
    is_open = depth > 0 or before.count(4) % 2
    return [code for code in range(5) if not (code == 0 and (is_open or not before)) and not (code == 3 and depth < 1)]


def test_what_is_opened_is_closed_before_an_end():
    net = uneven(TokenGRU.create(5, 5, marks=2, key=KEY))
    given = jax.random.normal(KEY, (net.num_given,))
    p = TokenSequence(net, given, (6,), never_empty=True, closing=(2, 3, (4,)))
    rows = every(5, 6)
    logs = np.asarray(jax.jit(jax.vmap(p.log_prob))(rows), np.float64)
    assert np.exp(logs).sum() == pytest.approx(1.0, abs=1e-5)
    step = p.network.step
    for row in ([1, 0], [2, 1, 3, 0], [4, 1, 4, 0], [1, 2, 4, 3, 4, 0], [2, 4, 1, 1, 4, 0]):
        memory, total, previous = p.network.memory(p.given), 0.0, 0
        for place, code in enumerate(row[:5]):
            logits, memory = step(jnp.asarray(previous), jnp.asarray(place), memory, p.given, is_open(row[:place]))
            may = possible(row[:place])
            total += float(logits[code] - jax.nn.logsumexp(logits[np.array(may)]))
            previous = code
        whole = jnp.array([*row, *[0] * (6 - len(row))])
        assert p.log_prob(whole) == pytest.approx(total, rel=2e-5)
    for row in ([0], [2, 0], [2, 1, 1, 0], [3, 0], [1, 3, 0], [4, 0], [4, 4, 4, 0], [2, 3, 3, 0], [2, 4, 3, 0]):
        assert p.log_prob(jnp.array([*row, *[0] * (6 - len(row))])) == -np.inf
    drawn, terms = jax.jit(jax.vmap(lambda k: p.sample_and_log_prob(key=k)))(jax.random.split(KEY, 4000))
    np.testing.assert_allclose(terms, jax.jit(jax.vmap(p.log_prob))(drawn), rtol=1e-5, atol=1e-5)
    index = np.asarray(drawn) @ 5 ** np.arange(5, -1, -1)
    for at in np.argsort(logs)[-20:]:
        share = math.exp(logs[at])
        assert abs(np.mean(index == at) - share) <= 4.5 * math.sqrt(share * (1 - share) / 4000) + 1e-9
    for mask in jnp.arange(6) < jnp.arange(7)[:, None]:
        row = rows[index[0]]
        begins = np.all((rows == row) | ~mask, axis=1)
        assert math.exp(p.log_prob_observed(row, mask)) == pytest.approx(np.exp(logs[begins]).sum(), rel=1e-4)
    ends = replace(p, given=p.given.at[-5].add(60.0)).mean()  # an end is most probable everywhere
    assert possible(list(np.asarray(ends[: int(jnp.argmax(ends == 0))])))[0] == 0
