"""What seen pixels count for: in full where the model is true, less where neighbours repeat one another."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import linear

from latens.data import Dataset, Preparation, load
from latens.distributions import StandardNormal
from latens.evaluation.carry import Carry
from latens.evaluation.linear_answer import Gaussian, around, latents_of
from latens.models import Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.trees import Frozen
from latens.workflow.hidden import POWERS, SURE, Way, _chosen, carried_on, near_answers, way_of
from latens.workflow.trained import TrainedModel

SIDE, SIGMA = 12, 0.5
GRID = np.linspace(-1, 1, SIDE)
SLOPE = np.stack([np.outer(GRID, np.ones(SIDE)), np.outer(np.ones(SIDE), GRID), np.outer(GRID, GRID)]).reshape(3, -1)
SEEN = np.ones((1, SIDE, SIDE), bool)
SEEN[:, 4:8] = False


def trained(data: Dataset) -> TrainedModel:
    """x = W z + sigma e on pictures, with an encoder that knows nothing."""
    head = SharedScaleNormalHead((SIDE, SIDE), Frozen(jnp.asarray(np.log(SIGMA))))
    blind = linear(np.zeros((SIDE * SIDE, 6)), np.zeros(6))
    decoder = Conditional(linear(SLOPE, np.zeros(SIDE * SIDE)), head)
    model = LatentModel(StandardNormal((3,)), Conditional(lambda x: blind(x.reshape(-1)), NormalHead((3,))), decoder)
    return TrainedModel(model, data.schema, Preparation())


def pictures(noise: np.ndarray) -> Dataset:
    z = np.random.default_rng(5).standard_normal((len(noise), 3))
    return load((z @ SLOPE).reshape(-1, SIDE, SIDE).astype(np.float32) + noise.astype(np.float32))


def smooth(count: int) -> np.ndarray:
    """Residuals of standard deviation sigma whose neighbours are nearly alike."""
    made = np.random.default_rng(2).standard_normal((count, SIDE + 6, SIDE + 6))
    for axis in (1, 2):
        made = sum(np.roll(made, k, axis=axis) for k in range(-3, 4))
    made = made[:, 3:-3, 3:-3]
    return SIGMA * made / made.std()


def test_where_the_model_is_true_seen_pixels_count_in_full():
    for seed in range(3):
        data = pictures(SIGMA * np.random.default_rng(seed).standard_normal((300, SIDE, SIDE)))
        found = way_of(trained(data), data, SEEN, None)
        assert found.as_it_is
        assert found.rows > 20
        assert found.root is None
        assert found.errors is not None
        assert abs(found.errors[0] / SIGMA - 1) < 0.1  # of the exact conditional mean, beside what nobody can know
        assert found.errors[1] > found.errors[0]


def test_residuals_that_neighbours_share_go_on_into_the_gap():
    data = pictures(smooth(300))
    model = trained(data)
    found = way_of(model, data, SEEN, None)
    assert found.carry is not None
    assert found.carry.noise == 0.0
    assert found.errors is not None
    assert found.errors[0] < 0.75 * SIGMA  # as it is it would be off by sigma at the least
    assert found.errors[0] < found.errors[1]
    assert way_of(model, data, SEEN, None, power=1.0).as_it_is
    assert way_of(model, None, SEEN, None) == Way()
    asked = way_of(model, data, SEEN, None, power=0.1)
    assert asked.power == 0.1
    assert asked.carry is not None


def test_draws_lie_as_far_from_the_truth_as_they_say():
    data = pictures(smooth(300))
    model = trained(data)
    way = way_of(model, data, SEEN, None)
    held = data.subset("test")
    x, seen = np.asarray(data.x[held], float), np.repeat(SEEN, len(held), axis=0)
    rows = model.rows(replace(model.batch(data, held), mask=seen))
    near = jax.jit(lambda z: around(lambda one: model.model.likelihood(one), z))(jnp.zeros(3))
    made = near_answers(rows, way._replace(near=near), 200, False)
    mean, draws = carried_on(model, way, made.mean, made.draws, x, seen, means=False, seeds=held)
    error = np.sqrt(np.square(mean - x)[~seen].mean())
    spread = draws.transpose(0, 2, 3, 1)[~seen].std(axis=-1)
    assert abs(np.sqrt(np.square(spread).mean()) / error - 1) < 0.15
    inside = np.abs(x - mean)[~seen] < 1.645 * spread
    assert 0.82 < inside.mean() < 0.97
    step = np.abs(np.diff(mean, axis=1))  # no edge shows: steps across it are those beside it
    assert step[:, [3, 7]].mean() < 1.2 * step[:, [1, 2, 8, 9]].mean()


@pytest.mark.parametrize("power", [1.0, 0.1])
def test_near_answers_are_those_of_a_linear_model(power: float):
    """Mean and covariance of z with the likelihood to a power, from the whole covariance."""
    data = pictures(np.zeros((4, SIDE, SIDE)))
    model, seen = trained(data), np.repeat(SEEN, 4, axis=0)
    near = around(lambda one: model.model.likelihood(one), jnp.zeros(3))
    rows = model.rows(replace(model.batch(data, np.arange(4)), mask=seen))
    found = near_answers(rows, Way(power, near=near), 4000, True)
    at = SEEN.reshape(-1)
    variance = SIGMA**2 / power
    left = np.linalg.inv(np.eye(3) + SLOPE[:, at] @ SLOPE[:, at].T / variance)
    loc = np.asarray(data.x).reshape(4, -1)[:, at] @ SLOPE[:, at].T @ left / variance
    np.testing.assert_allclose(found.mean.reshape(4, -1), loc @ SLOPE, atol=1e-4)
    away = found.draws[0].reshape(4000, -1) - (loc @ SLOPE)[0]
    expected = SLOPE.T @ left @ SLOPE
    np.testing.assert_allclose(away.T @ away / 4000, expected, atol=0.12 * expected.max())


def test_latents_of_every_power_and_mask():
    made = Gaussian(*(jnp.asarray(part, jnp.float32) for part in (
        np.arange(6) / 3, np.random.default_rng(0).standard_normal((6, 2)), np.tile(0.3 * np.eye(3) + 0.1, (2, 1, 1)),
    )))  # fmt: skip
    x = np.random.default_rng(1).standard_normal((3, 6))
    seen = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]], bool)
    found = latents_of(made, x, seen, POWERS)
    for row in range(3):
        for k, power in enumerate(POWERS):
            q, _ = made.powered(power).answer(jnp.asarray(x[row], jnp.float32), jnp.asarray(seen[row]), None)
            np.testing.assert_allclose(found[row, k], q.loc, atol=2e-4)
    moved = latents_of(made._replace(mean=np.asarray(made.mean) + x), 2 * x, seen, (0.1,))
    np.testing.assert_allclose(moved, latents_of(made, x, seen, (0.1,)), atol=1e-6)


def test_the_simplest_way_that_is_not_behind():
    base = np.random.default_rng(0).standard_normal(40)
    carry = Carry(0.1)
    tried: Any = {(0, None): 9 + base, (0, carry): 6 + base, (3, None): 5 + base, (3, carry): 4 + base}
    assert _chosen(tried) == (3, carry)
    noise = 3 * np.random.default_rng(1).standard_normal(40)
    noise -= noise.mean()
    for gap, expected in ((0.8, (3, None)), (1.2, (3, carry))):
        error = noise.std(ddof=1) / np.sqrt(40)
        assert (SURE * error > gap) == (expected[1] is None)
        assert _chosen(tried | {(3, None): 4 + base + noise + gap}) == expected
    assert _chosen(tried | {(0, None): 4 + base}) == (0, None)


def test_levels_stay_levels():
    data = load(np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE)).astype(np.uint8))
    model = TrainedModel(None, data.schema, Preparation())
    x, seen = np.asarray(data.x[:2]), np.repeat(SEEN, 2, axis=0)
    way = Way(0.1, Carry(0.1), 90.0 * np.eye(1))
    mean, draws = np.full(x.shape, 250.0), np.full((2, 30, SIDE, SIDE), 4.0)
    mean, draws = carried_on(model, way, mean, draws, x, seen, means=False, seeds=np.arange(2))
    assert (draws.min(), draws.max()) == (0, 255)
    assert np.all(draws == np.round(draws))
    assert mean.max() <= 255
