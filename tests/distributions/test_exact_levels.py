"""Small exact cases of grades, segments and chains, worked out by hand or by SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

from latens.distributions import DiagonalNormal, Ordinal, Segments
from latens.distributions.bijections import Inverse, Scaled, Stack
from latens.distributions.chain import Chain

LOC, CUTS = np.array([0.7, -1.2]), np.array([-0.5, np.log(0.8), np.log(1.5)])


SEGMENTS = Segments(jnp.log(jnp.array([[0.5, 0.3, 0.2]])), jnp.array([[0, 1, 4]]), jnp.array([[1, 3, 2]]))
CELLS = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])  # 0.3 over the cells 1 to 3, 0.2 over 4 and 5


def test_the_most_probable_name_is_that_of_a_cell_not_of_a_segment():
    names = Segments(
        jnp.log(jnp.array([[0.3, 0.4, 0.3]])), jnp.array([[0, 1, 4]]), jnp.array([[1, 3, 0]]), ordered=False
    )
    assert names.mean().tolist() == [0.0]  # 0.3 against 0.4 / 3; the last segment has no cell


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0.0, 0.0), (2.0, 4.0), (3.0, 9.0)])
def test_segments_within_a_range_are_the_cells_of_it(low, high):
    inside, mass = SEGMENTS.within(jnp.array([low]), jnp.array([high]))
    kept = np.where((np.arange(6) >= low) & (np.arange(6) <= high), CELLS, 0.0)
    close(jnp.exp(mass), kept.sum())
    found = [float(jnp.exp(inside.log_prob(jnp.array([float(cell)])))) for cell in range(6)]
    close(found, kept / kept.sum())
    close(inside.mean(), [kept @ np.arange(6) / kept.sum()], rtol=1e-5)


def chain(backwards: bool) -> Chain:
    above = lambda z: DiagonalNormal(z + 1.0, jnp.zeros(2))  # noqa: E731
    return Chain(DiagonalNormal(jnp.zeros(2), jnp.zeros(2)), (above,), backwards)


@pytest.mark.parametrize("backwards", [False, True])
def test_every_level_of_a_chain_has_noise_of_its_own(backwards):
    levels, key = chain(backwards), jax.random.key(3)
    order = (1, 0) if backwards else (0, 1)
    event, density = levels.sample_and_log_prob(key=key)
    top, low = (np.asarray(event[i]) for i in order)
    assert np.all(np.abs(low - top - 1.0 - top) > 1e-3)  # one noise for both levels would be low = 2 top + 1
    noise = levels.sample_noise(key=key)
    close(noise[order[0]], top)
    close(noise[order[1]], low - top - 1.0, atol=1e-5)
    for ours, again in zip(levels.from_noise(noise), event):
        close(ours, again)
    by_hand = [-0.5 * (part**2).sum() - np.log(2 * np.pi) for part in (top, low - top - 1.0)]
    close(levels.log_prob_by_level(event), [by_hand[i] for i in order])
    close(levels.log_prob(event), sum(by_hand))
    close(density, sum(by_hand))
    assert [part.tolist() for part in levels.mean()] == [[[0.0, 0.0], [1.0, 1.0]][i] for i in order]


def test_a_stack_turns_the_order_around_between_its_parts():
    """y = 1 + 2 x, turned around, then y = 3 + 5 x, turned around: and back again."""
    same = Inverse(Stack(()))
    parts = [
        Scaled(same, jnp.full(2, shift), jnp.log(jnp.array(scale)))
        for shift, scale in ((1.0, [2.0, 3.0]), (3.0, [5.0, 7.0]))
    ]
    stack, x = Stack(tuple(parts)), np.array([0.5, -1.0])
    once = (1.0 + np.array([2.0, 3.0]) * x)[::-1]
    y, log_det = stack.transform_and_log_det(jnp.asarray(x), None)
    close(y, (3.0 + np.array([5.0, 7.0]) * once)[::-1])
    close(log_det, np.log(2 * 3 * 5 * 7))
    back, other = stack.inverse_and_log_det(y, None)
    close(back, x, rtol=1e-4)
    close(other, -log_det)


@pytest.mark.parametrize("output", [-1e4, -100.0, -90.0, 90.0, 100.0, 1e4])
def test_an_ordinal_keeps_its_slope_where_a_gap_leaves_float32(output: float) -> None:
    def loss(gap: jax.Array) -> jax.Array:
        terms = Ordinal(jnp.zeros(1), jnp.stack([jnp.array(-0.5), gap, jnp.array(0.2)])).log_probabilities()
        return -terms[0, 3], jax.nn.logsumexp(terms[0])

    (value, total), slope = jax.value_and_grad(loss, has_aux=True)(jnp.float32(output))
    assert np.isfinite(value)
    assert np.isfinite(slope)
    assert abs(float(total)) < 1e-5
