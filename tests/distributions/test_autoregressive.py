"""Pixels given the pixels before them: masses that sum to 1, the definition by loops, causality, samples and means."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from latens.distributions import Context
from latens.errors import ConfigError
from latens.models import AutoregressiveHead, BernoulliHead, PixelHead


def head_of(shape, levels=2, components=1, seed=0, **options):
    """A head with random weights everywhere, so that pixels depend strongly on one another."""
    inner = BernoulliHead(shape) if levels == 2 else PixelHead(shape, levels, components)
    head = AutoregressiveHead(inner, **{"rows": 1, "sides": 1, "width": 5, "features": 2, **options})
    head = head.initialised(key=jax.random.key(seed))
    generator = np.random.default_rng(seed)
    weights = jax.tree.map(lambda a: jnp.asarray(0.6 * generator.normal(size=a.shape), jnp.float32), head.context)
    return replace(head, context=weights)


def outputs_of(head, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=head.num_outputs), jnp.float32)


def events_of(shape, levels):
    events = np.array(list(itertools.product(range(levels), repeat=int(np.prod(shape)))))
    return jnp.asarray(events.reshape(-1, *shape), jnp.float32 if levels == 2 else jnp.int32)


CASES = [
    ((3, 3), 2, {}),
    ((2, 3), 2, {"rows": 4, "sides": 5}),  # a window larger than the picture
    ((3, 3), 2, {"rows": 0}),
    ((2, 2), 5, {"components": 2}),
    ((1, 2, 3), 3, {"components": 2}),
    ((2, 2, 2), 2, {}),
    ((3, 3), 2, {"block": 2}),  # blocks that the edges cut
    ((1, 2, 3), 3, {"block": 2}),
    ((3, 3), 2, {"neighbour_units": 3}),
    ((2, 2), 5, {"neighbour_units": 9, "components": 2}),  # all five there are
]


@pytest.mark.parametrize(("shape", "levels", "options"), CASES)
def test_masses_of_all_pictures_sum_to_one(shape, levels, options):
    head = head_of(shape, levels, **options)
    masses = jnp.exp(jax.jit(jax.vmap(head(outputs_of(head)).log_prob))(events_of(shape, levels)))
    assert abs(float(masses.sum()) - 1.0) < 2e-5
    assert float(masses.max()) < 0.9  # not a sum of one term


@pytest.mark.parametrize(("block", "units"), [(1, 0), (2, 0), (3, 0), (1, 2), (2, 5)])
def test_the_probability_is_that_of_the_definition(block, units):
    """By loops in double precision: windows row by row, features of a block, a residual layer, a logit each."""
    head = head_of((4, 5), rows=2, sides=1, block=block, neighbour_units=units)
    outputs = np.asarray(outputs_of(head), np.float64)
    own, features = outputs[:20].reshape(4, 5), outputs[20:].reshape(2, 4, 5)
    c = jax.tree.map(lambda a: np.asarray(a, np.float64), head.context)
    x = np.random.default_rng(2).integers(0, 2, (4, 5))
    total, passed = 0.0, {}
    for i, j in itertools.product(range(4), range(5)):
        places = [(i + a, j + b) for a in (-2, -1) for b in (-1, 0, 1)] + [(i, j - 1)]
        inside = lambda p: 0 <= p[0] < 4 and 0 <= p[1] < 5  # noqa: E731
        v = np.array([2.0 * x[p] - 1.0 if inside(p) else 0.0 for p in places])
        corner, place = (i // block * block, j // block * block), (i % block * block + j % block) * 5
        shown = [(corner[0] + a, corner[1] + b) for a, b in itertools.product(range(block), repeat=2)]
        f = np.concatenate([features[:, *p] if inside(p) else np.zeros(2) for p in shown])
        h = c.of_values @ v + c.of_features[place : place + 5] @ f + c.bias
        passed[i, j] = np.maximum(h, 0)[:units]
        k = [passed.get(p, np.zeros(units)) for p in [(i - 1, j - 1), (i - 1, j), (i - 1, j + 1), (i, j - 1)]]
        h = h + c.hidden @ np.maximum(h, 0) + c.hidden_bias + (c.near @ np.concatenate(k) if units else 0.0)
        p = expit(own[i, j] + (c.output @ np.maximum(h, 0))[0])
        total += np.log(p if x[i, j] else 1 - p)
    found = head(jnp.asarray(outputs, jnp.float32)).log_prob(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(float(found), total, rtol=1e-5)


@pytest.mark.parametrize("units", [0, 3])
def test_no_pixel_depends_on_itself_or_on_later_ones(units):
    head = head_of((4, 4), rows=2, sides=2, neighbour_units=units)
    made, x = head(outputs_of(head)), jnp.zeros((4, 4))
    before = np.asarray(made.given(x).logits).reshape(-1)
    for index in range(16):
        after = np.asarray(made.given(x.reshape(-1).at[index].set(1.0).reshape(4, 4)).logits).reshape(-1)
        np.testing.assert_array_equal(after[: index + 1], before[: index + 1])
        assert index == 15 or np.any(after[index + 1 :] != before[index + 1 :])


@pytest.mark.parametrize(
    ("shape", "levels", "options"),
    [
        ((2, 3), 2, {"block": 2}),
        ((2, 3), 2, {"neighbour_units": 4}),
        ((2, 2), 3, {}),
        ((1, 2, 2), 3, {"neighbour_units": 4}),
    ],
)
def test_samples_come_as_often_as_their_mass_says(shape, levels, options):
    head, count = head_of(shape, levels, seed=3, **options), 40_000
    made, events = head(outputs_of(head)), events_of(shape, levels)
    drawn = np.asarray(jax.jit(jax.vmap(lambda k: made.sample(key=k)))(jax.random.split(jax.random.key(0), count)))
    cells = int(np.prod(shape))
    place = drawn.reshape(count, cells).astype(int) @ levels ** np.arange(cells)[::-1]
    found = np.bincount(place, minlength=levels**cells)
    mass = np.exp(np.asarray(jax.jit(jax.vmap(made.log_prob))(events), np.float64))
    assert np.all(np.abs(found - count * mass) < 5 * np.sqrt(count * mass) + 5)


def test_the_estimated_mean_is_that_of_all_pictures():
    head = head_of((2, 3))
    made, events = head(outputs_of(head)), events_of((2, 3), 2)
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
