"""Pixels beside what test_whole_events.py enumerates: channels, masks, far values, means, starts, windows."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_whole_events import colours, grid, head_of, outputs_of

from latens.distributions import ColourLogistics, Context, DiscretisedLogistic, VariableMixture
from latens.errors import ConfigError
from latens.models import AutoregressiveHead, BernoulliHead, PixelHead

LEVELS = 5


def test_a_pixel_counts_where_all_its_channels_are_seen():
    d = colours(5, shape=(2, 2, 3))
    event = d.sample(key=jax.random.key(1))
    mask = jnp.ones((2, 2, 3), bool).at[0, 1].set(False).at[1, 0, 2].set(False)
    hidden = jnp.where(mask, event, -(2**30))
    terms = d.pixel_terms(event)
    at = lambda loc: ColourLogistics(d.logits, loc, d.log_scale, d.coupling, LEVELS)  # noqa: E731
    value, slope = jax.jit(jax.value_and_grad(lambda loc: at(loc).log_prob_observed(hidden, mask)))(d.loc)
    np.testing.assert_allclose(value, terms[0, 0] + terms[1, 1], rtol=1e-5)
    assert np.isfinite(slope).all()
    assert not np.any(np.asarray(slope)[..., 0, 1])


def test_values_and_slopes_are_finite_far_from_every_location():
    event = jnp.asarray([[[0, 255, 128]]])
    for far, narrow in ((0.0, -6.0), (50.0, -6.0), (-50.0, -6.0), (1e4, 3.0), (0.0, 20.0)):
        d = ColourLogistics(
            jnp.zeros((2, 1, 1)), jnp.full((3, 2, 1, 1), far), jnp.full((3, 2, 1, 1), narrow), jnp.ones((3, 2, 1, 1))
        )
        value, slopes = jax.jit(jax.value_and_grad(lambda d: d.log_prob(event)))(d)
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    wrong = jnp.asarray([[[256, 0, 0]]])
    assert float(d.log_prob(wrong)) == -np.inf


def test_the_head_starts_at_the_moments_of_the_pixels():
    generator = np.random.default_rng(0)
    # No deeper in the dark or the light: what is cut off there moves the mean of one channel, and so the next.
    mean, spread = generator.uniform(90, 160, (3, 2, 3)), generator.uniform(10, 30, (3, 2, 3))
    for components in (1, 3):
        head = PixelHead((3, 2, 3), components=components)
        _, outputs = head.started(mean, None, spread**2)
        assert outputs.shape == (head.num_outputs,)
        d = head(jnp.asarray(outputs, jnp.float32))
        drawn = jax.jit(jax.vmap(lambda key, d=d: d.sample(key=key)))(jax.random.split(jax.random.key(0), 2000))
        np.testing.assert_allclose(np.asarray(drawn).mean(axis=0), mean, atol=4)
        np.testing.assert_allclose(d.mean(), mean, atol=4)
        np.testing.assert_allclose(np.asarray(drawn).std(axis=0), spread, rtol=0.25)


def test_grey_pixels_are_mixtures_cell_by_cell_and_four_channels_are_refused():
    head = PixelHead((4, 4), 16, 2)
    d = head(jnp.zeros(head.num_outputs))
    assert isinstance(d, VariableMixture)
    assert d.logits.shape == (4, 4, 2)
    assert isinstance(PixelHead((4, 4, 1), 16, 1)(jnp.zeros(32)), DiscretisedLogistic)
    with pytest.raises(ConfigError, match="up to three channels, not 4"):
        PixelHead((4, 4, 4))


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
