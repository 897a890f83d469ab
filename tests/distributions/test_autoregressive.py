"""Pixels given the pixels before them, beside what test_whole_events.py enumerates: means, starts, windows."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_whole_events import grid, head_of, outputs_of

from latens.distributions import Context
from latens.errors import ConfigError
from latens.models import AutoregressiveHead, BernoulliHead, PixelHead


def test_the_estimated_mean_is_that_of_all_pictures():
    head = head_of((2, 3))
    made, events = head(outputs_of(head)), jnp.asarray(grid(2, (2, 3)))
    mass = np.exp(np.asarray(jax.jit(jax.vmap(made.log_prob))(events), np.float64))
    exact = np.tensordot(mass, np.asarray(events), 1)
    np.testing.assert_allclose(made.expected(20_000, key=jax.random.key(1)), exact, atol=0.02)
    several = [jax.jit(jax.vmap(lambda k: made.expected(8, key=k)))(jax.random.split(jax.random.key(2), 2000))]
    np.testing.assert_allclose(np.mean(several, axis=(0, 1)), exact, atol=0.02)  # without bias
    np.testing.assert_array_equal(made.mean(), made.mean())


@pytest.mark.parametrize("inner", [BernoulliHead((4, 3)), PixelHead((4, 3), 7, 2), PixelHead((4, 3, 3), 7, 2)])
def test_at_first_pixels_are_those_of_the_inner_head(inner):
    head = AutoregressiveHead(inner).initialised(key=jax.random.key(0))
    outputs = outputs_of(head)
    kind = jnp.float32 if isinstance(inner, BernoulliHead) else jnp.int32
    event = jnp.asarray(np.random.default_rng(0).integers(0, 2, inner.shape), kind)
    found = head(outputs).log_prob(event)
    np.testing.assert_array_equal(found, inner(outputs[: inner.num_outputs]).log_prob(event))


def test_a_decoder_starts_at_the_mean_of_the_data():
    head = AutoregressiveHead(BernoulliHead((2, 2))).initialised(key=jax.random.key(0))
    mean = np.array([[0.1, 0.5], [0.9, 0.3]])
    started, outputs = head.started(mean)
    np.testing.assert_allclose(started(jnp.asarray(outputs, jnp.float32)).mean(), mean, rtol=1e-5)


@pytest.mark.parametrize("width", [4, 64, 70])  # one tile of 32 columns, two, and a part of a third
def test_windows_are_those_of_a_loop(width):
    context = Context.drawn(2, 1, 1, width=1, rows=2, sides=1, key=jax.random.key(0))
    picture = np.random.default_rng(0).normal(size=(3, width, 2)).astype(np.float32)
    found = np.asarray(context.before(jnp.asarray(picture))).reshape(3, width, 7, 2)
    for i, j in itertools.product(range(3), range(width)):
        places = [(i + a, j + b) for a in (-2, -1) for b in (-1, 0, 1)] + [(i, j - 1)]
        want = [picture[p] if p[0] >= 0 and 0 <= p[1] < width else np.zeros(2) for p in places]
        np.testing.assert_array_equal(found[i, j], want)


def test_what_has_no_answer_is_refused():
    with pytest.raises(ConfigError, match="rows of shape"):
        AutoregressiveHead(BernoulliHead((5,)))
    with pytest.raises(ConfigError, match="no weights"):
        AutoregressiveHead(BernoulliHead((2, 2)))(jnp.zeros(16))
    head = head_of((2, 2))
    with pytest.raises(ConfigError, match="missing"):
        head(outputs_of(head)).log_prob_observed(jnp.zeros((2, 2)), jnp.ones((2, 2), bool))
