"""Colour pixels beside what test_whole_events.py enumerates: channels, masks, far values, the head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_whole_events import colours

from latens.distributions import ColourLogistics, DiscretisedLogistic, VariableMixture
from latens.errors import ConfigError
from latens.models import PixelHead

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
