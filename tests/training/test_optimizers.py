"""The optimisers: schedules, schedule-free averages, warm-up, clipping, decay, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checks import close
from optax import contrib

from latens.errors import ConfigError
from latens.networks.dense import Linear
from latens.training import OPTIMIZERS, from_optax, make_optimizer
from latens.training.optimizers import schedule_free


def test_schedule_free_evaluates_the_average():
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free")
    x = jnp.array(1.0)
    state, z, mean = optimizer.init(x), 1.0, 1.0
    for step in range(1, 6):
        y = float(x)
        updates, state = optimizer.update(jnp.array(2.0 * y), state, x)
        x = x + updates
        # Defazio et al. (2024), equations 3-5 with beta 0.9: gradient at y, z moves, x averages the z.
        z -= 0.1 * 2.0 * y
        mean = (1 - 1 / step) * mean + z / step
        assert float(x) == pytest.approx(0.9 * mean + 0.1 * z, rel=1e-5)
        assert float(optimizer.evaluate(state, x)) == pytest.approx(mean, rel=1e-5)


def test_half_the_learning_rate_is_half_the_step_of_z():
    """A factor of 1/2 at the fourth step: z goes half as far, and enters the average as ever."""
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free")
    x = jnp.array(1.0)
    state, z, mean = optimizer.init(x), 1.0, 1.0
    for step, factor in enumerate([1.0, 1.0, 1.0, 0.5], start=1):
        y = float(x)
        updates, state = optimizer.update(2.0 * x, state, x, factor)
        x = x + updates
        z -= factor * 0.1 * 2.0 * y
        mean = (1 - 1 / step) * mean + z / step
    assert float(state.z) == pytest.approx(z, rel=1e-6)
    assert float(optimizer.evaluate(state, x)) == pytest.approx(mean, rel=1e-5)
    plain = make_optimizer("sgd", learning_rate=0.1)
    assert float(plain.update(jnp.array(3.0), plain.init(x), x, 0.5)[0]) == pytest.approx(-0.15)


def trajectory(transform, gradients) -> np.ndarray:
    """The parameters after every step from 1, under gradients given beforehand: shape (steps, entries)."""
    x = jnp.ones(gradients.shape[1])
    state, path = transform.init(x), []
    for gradient in jnp.asarray(gradients):
        updates, state = transform.update(gradient, state, x)
        x = x + updates
        path.append(x)
    return np.stack(path)


def adam_in_double(gradients, rate, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, weight_decay=0.0) -> np.ndarray:
    """Kingma & Ba (2015), algorithm 1, with a decay beside it and optax's second small number: the path from 1."""
    x, m, v, path = np.ones(gradients.shape[1]), 0.0, 0.0, []
    for t, g in enumerate(np.float64(gradients), start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        step = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        x = x - rate(t - 1) * (step + weight_decay * x)
        path.append(x)
    return np.stack(path)


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.99), (0.0, 0.99), (0.5, 0.0)])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_is_the_papers(name, b1, b2):
    """Thirty steps under gradients of sizes from 1e-6 to 1e2, with what the two small numbers do at either end."""
    gradients = np.random.default_rng(0).normal(size=(30, 9)).astype(np.float32) * np.float32(10.0) ** np.arange(-6, 3)
    options = {"b1": b1, "b2": b2, "eps": 1e-5, "eps_root": 1e-9}
    options |= {"weight_decay": 0.1} if name == "adamw" else {}
    ours = trajectory(OPTIMIZERS[name](lambda step: 0.1 / (step + 1.0), **options), gradients)
    expected = adam_in_double(gradients, lambda step: 0.1 / (step + 1.0), **options)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.0), ("adamw", 1e-4)])
def test_adams_constants_are_the_papers(name, decay):
    gradients = np.random.default_rng(0).normal(size=(30, 9)).astype(np.float32)
    expected = adam_in_double(gradients, lambda step: 0.1, weight_decay=decay)
    np.testing.assert_allclose(trajectory(OPTIMIZERS[name](0.1), gradients), expected, atol=2e-6)


def test_schedule_free_adam_is_optaxs():
    gradients = np.random.default_rng(0).normal(size=(30, 9)).astype(np.float32)
    options = {"b1": 0.0, "b2": 0.99, "weight_decay": 0.1}
    reference = contrib.schedule_free(optax.adamw(0.01, **options), 0.01, b1=0.9)
    inner = from_optax(OPTIMIZERS["adamw"](0.01, **options))
    np.testing.assert_allclose(
        trajectory(schedule_free(inner, 0.01), gradients), trajectory(reference, gradients), atol=1e-6
    )


def test_a_schedule_free_average_weighs_a_step_by_the_square_of_its_rate():
    """In a warm-up of four steps to 0.1: weights in ratios 1, 4, 9, 16, 16, ... (Defazio et al. 2024, section 4)."""
    optimizer = make_optimizer("sgd", learning_rate=0.1, schedule="schedule-free", warmup_steps=4)
    x = jnp.array(1.0)
    state, z, mean, total = optimizer.init(x), 1.0, 1.0, 0.0
    for step in range(7):
        y, rate = float(x), 0.1 * min(1.0, (step + 1) / 4)
        updates, state = optimizer.update(2.0 * x, state, x)
        x = x + updates
        z -= rate * 2.0 * y
        total += rate**2
        mean += rate**2 / total * (z - mean)
        assert float(optimizer.evaluate(state, x)) == pytest.approx(mean, rel=1e-5)


def test_decay_pulls_weights_and_not_biases():
    from latens.networks import Linear

    optimizer = make_optimizer("adamw", learning_rate=0.1, weight_decay=0.5)
    layer = Linear(jnp.ones((1, 1)), jnp.ones(1))
    zeros = jax.tree.map(jnp.zeros_like, layer)
    updates, _ = optimizer.update(zeros, optimizer.init(layer), layer)
    assert float(updates.weight[0, 0]) == pytest.approx(-0.05)
    assert float(updates.bias[0]) == 0.0
    # Without being asked for: AdamW decays by 1e-4.
    optimizer = make_optimizer("adamw", learning_rate=0.1)
    updates, _ = optimizer.update(zeros, optimizer.init(layer), layer)
    assert float(updates.weight[0, 0]) == pytest.approx(-1e-5)
    assert float(updates.bias[0]) == 0.0


def test_warmup_rises_in_equal_steps():
    optimizer = make_optimizer("sgd", learning_rate=1.0, warmup_steps=4)
    state = optimizer.init(jnp.zeros(()))
    sizes = []
    for _ in range(6):
        updates, state = optimizer.update(jnp.ones(()), state, jnp.zeros(()))
        sizes.append(-float(updates))
    assert sizes == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_a_cosine_climbs_to_the_rate_and_ends_at_zero():
    """Of 12 steps 4 go up, from a quarter of the rate; then half a cosine."""
    optimizer = make_optimizer("sgd", learning_rate=1.0, schedule="cosine", warmup_steps=4, total_steps=12)
    state = optimizer.init(jnp.zeros(()))
    sizes = []
    for _ in range(13):
        updates, state = optimizer.update(jnp.ones(()), state, jnp.zeros(()))
        sizes.append(-float(updates))
    rising = 0.25 + 0.75 * np.arange(4) / 4
    np.testing.assert_allclose(sizes, [*rising, *(0.5 + 0.5 * np.cos(np.pi * np.arange(9) / 8))], atol=1e-6)


def test_clipping_by_value_and_norm():
    optimizer = make_optimizer("sgd", learning_rate=1.0, clip_value=5.0)
    updates, _ = optimizer.update(jnp.array([9.0, -2.0]), optimizer.init(jnp.zeros(2)))
    assert updates.tolist() == [-5.0, 2.0]
    optimizer = make_optimizer("sgd", learning_rate=1.0, clip_norm=5.0)
    updates, _ = optimizer.update(jnp.array([30.0, -40.0]), optimizer.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-3.0, 4.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "adm"}, "Did you mean 'adam'"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"schedule": "cosine"}, "needs its end"),
        ({"schedule": "cosine", "total_steps": 20, "warmup_steps": 20}, "20 steps ends within the warm-up of 20"),
        ({"name": "sgd", "beta": 3}, "sgd has no option 'beta'"),
        ({"nesterov": True}, "It takes b1, b2, eps, eps_root."),
        ({"b1": 1.0}, "b1 must be at least 0 and below 1"),
        ({"name": "adamw", "b2": -0.1}, "b2 must be at least 0 and below 1"),
    ],
)
def test_optimisers_refuse_what_they_cannot_do(arguments, words):
    with pytest.raises(ConfigError, match=words):
        make_optimizer(**arguments)


@pytest.mark.parametrize("schedule", ["constant", "schedule-free"])
def test_layers_of_many_inputs_take_smaller_steps(schedule):
    """The first step of Adam is the rate; the outputs of a layer whose inputs are all 1 move by 4096 rates at most."""
    params = {n: Linear(jnp.zeros((n, 2)), jnp.zeros(2)) for n in (100, 4096, 16384)}
    optimizer = make_optimizer("adamw", learning_rate=0.01, schedule=schedule, b1=0.0, weight_decay=0.0)
    gradients = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    for n, moved in updates.items():
        close(moved.weight, np.full((n, 2), -0.01 * min(1.0, 4096 / n)), rtol=1e-5)
        close(moved.bias, [-0.01, -0.01], rtol=1e-5)
    plain = make_optimizer("sgd", learning_rate=0.01)
    moved, _ = plain.update(gradients, plain.init(params), params)
    close(moved[16384].weight, np.full((16384, 2), -0.01), rtol=1e-6)
