"""The optimisers: schedules, schedule-free averages, warm-up, clipping, decay, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.errors import ConfigError
from latens.training import make_optimizer


def test_schedule_free_evaluates_the_average():
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free")
    x = jnp.array(1.0)
    state, z, mean = optimizer.transform.init(x), 1.0, 1.0
    for step in range(1, 6):
        y = float(x)
        updates, state = optimizer.transform.update(jnp.array(2.0 * y), state, x)
        x = x + updates
        # Defazio et al. (2024), equations 3-5 with beta 0.9: gradient at y, z moves, x averages the z.
        z -= 0.1 * 2.0 * y
        mean = (1 - 1 / step) * mean + z / step
        assert float(x) == pytest.approx(0.9 * mean + 0.1 * z, rel=1e-5)
        assert float(optimizer.evaluate(state, x)) == pytest.approx(mean, rel=1e-5)


def test_half_the_learning_rate_moves_the_average_half_as_far():
    """With the factor on the updates and on z, every sequence of schedule-free moves by that share of its step."""
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free")
    x = jnp.array(1.0)
    state = optimizer.transform.init(x)
    for _ in range(3):
        updates, state = optimizer.transform.update(2.0 * x, state, x)
        x = x + updates
    updates, full = optimizer.transform.update(2.0 * x, state, x)
    half = optimizer.damp(state, full, 0.5)
    before, after = optimizer.evaluate(state, x), optimizer.evaluate(full, x + updates)
    assert float(optimizer.evaluate(half, x + 0.5 * updates)) == pytest.approx(float(0.5 * (before + after)), rel=1e-6)
    assert float(half[-1].z) == pytest.approx(float(0.5 * (state[-1].z + full[-1].z)), rel=1e-6)


def test_decay_pulls_weights_and_not_biases():
    from latens.networks import Linear

    optimizer = make_optimizer("adamw", learning_rate=0.1, weight_decay=0.5)
    layer = Linear(jnp.ones((1, 1)), jnp.ones(1))
    zeros = jax.tree.map(jnp.zeros_like, layer)
    updates, _ = optimizer.transform.update(zeros, optimizer.transform.init(layer), layer)
    assert float(updates.weight[0, 0]) == pytest.approx(-0.05)
    assert float(updates.bias[0]) == 0.0


def test_warmup_rises_in_equal_steps():
    optimizer = make_optimizer("sgd", learning_rate=1.0, warmup_steps=4)
    state = optimizer.transform.init(jnp.zeros(()))
    sizes = []
    for _ in range(6):
        updates, state = optimizer.transform.update(jnp.ones(()), state, jnp.zeros(()))
        sizes.append(-float(updates))
    assert sizes == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_a_cosine_climbs_to_the_rate_and_ends_at_zero():
    """Of 12 steps 4 go up, from a quarter of the rate; then half a cosine."""
    optimizer = make_optimizer("sgd", learning_rate=1.0, schedule="cosine", warmup_steps=4, total_steps=12)
    state = optimizer.transform.init(jnp.zeros(()))
    sizes = []
    for _ in range(13):
        updates, state = optimizer.transform.update(jnp.ones(()), state, jnp.zeros(()))
        sizes.append(-float(updates))
    rising = 0.25 + 0.75 * np.arange(4) / 4
    np.testing.assert_allclose(sizes, [*rising, *(0.5 + 0.5 * np.cos(np.pi * np.arange(9) / 8))], atol=1e-6)


def test_clipping_by_value_and_norm():
    optimizer = make_optimizer("sgd", learning_rate=1.0, clip_value=5.0)
    updates, _ = optimizer.transform.update(jnp.array([9.0, -2.0]), optimizer.transform.init(jnp.zeros(2)))
    assert updates.tolist() == [-5.0, 2.0]
    optimizer = make_optimizer("sgd", learning_rate=1.0, clip_norm=5.0)
    updates, _ = optimizer.transform.update(jnp.array([30.0, -40.0]), optimizer.transform.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-3.0, 4.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "adm"}, "Did you mean 'adam'"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"schedule": "cosine"}, "needs its end"),
        ({"schedule": "cosine", "total_steps": 20, "warmup_steps": 20}, "20 steps ends within the warm-up of 20"),
        ({"name": "soap", "basis_every": 2.5}, "basis_every must be a whole number above 0"),
        ({"name": "soap", "largest": 0.0}, "largest must be a whole number above 0"),
        ({"name": "sgd", "beta": 3}, "does not take"),
    ],
)
def test_optimisers_refuse_what_they_cannot_do(arguments, words):
    with pytest.raises(ConfigError, match=words):
        make_optimizer(**arguments)
