"""SOAP: against numpy, against Adam where nothing is turned, and with turned gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from latens.training import by_group, make_optimizer
from latens.training.soap import back, soap, turned


def gradients(count: int, shape: tuple[int, int] = (3, 4)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def updates_of(transform: optax.GradientTransformation, given: np.ndarray) -> list[np.ndarray]:
    state, found = transform.init({"w": jnp.zeros_like(given[0])}), []
    step = jax.jit(transform.update)
    for gradient in given:
        update, state = step({"w": jnp.asarray(gradient)}, state)
        found.append(np.asarray(update["w"]))
    return found


def by_hand(given: np.ndarray, b1: float, b2: float, decay: float, every: int, largest: int) -> list[np.ndarray]:
    """The definition, step by step, with an average of every gradient and a basis found anew at step 10 and `every`.

    The rate of step 1, 2, ... is 0.1, 0.2, ...
    """
    rows, columns = given[0].shape
    left, right = np.zeros((rows, rows)), np.zeros((columns, columns))
    q_left, q_right = np.eye(rows), np.eye(columns)
    first = second = np.zeros((rows, columns))
    found = []
    for step, gradient in enumerate(given.astype(float), start=1):
        left = decay * left + (1 - decay) * gradient @ gradient.T
        right = decay * right + (1 - decay) * gradient.T @ gradient
        if step == 10 or step % every == 0:
            plain = q_left @ first @ q_right.T
            q_left = np.linalg.eigh(left)[1] if rows <= largest else q_left
            q_right = np.linalg.eigh(right)[1] if columns <= largest else q_right
            first = q_left.T @ plain @ q_right
        inside = q_left.T @ gradient @ q_right
        first = b1 * first + (1 - b1) * inside
        second = b2 * second + (1 - b2) * inside**2
        scaled = first / (1 - b1**step) / (np.sqrt(second / (1 - b2**step)) + 1e-8)
        found.append(-0.1 * step * q_left @ np.clip(scaled, -1, 1) @ q_right.T)
    return found


@pytest.mark.parametrize(("shape", "largest"), [((3, 4), 256), ((3, 4), 3), ((4, 3), 3)])
@pytest.mark.parametrize("double", [False, True])
def test_updates_are_those_of_the_definition(shape: tuple[int, int], largest: int, double: bool):
    """Both sides turned, the left alone, the right alone; arrays stay in single precision in either mode."""
    given = gradients(40, shape)
    options = {"b1": 0.9, "b2": 0.95, "decay": 0.9, "average_every": 1, "basis_every": 7, "largest": largest}
    with jax.enable_x64(double):
        found = updates_of(soap(lambda step: 0.1 * (step + 1.0), **options), given)
    for ours, expected in zip(found, by_hand(given, 0.9, 0.95, 0.9, 7, largest), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_it_serves_a_group_of_arrays_in_a_compiled_loop():
    """Five steps for the model beside plain descent for the objective: as each alone."""
    model, objective = make_optimizer("soap", learning_rate=0.1, largest=3.0), make_optimizer("sgd", learning_rate=1.0)
    both = by_group({"model": model, "objective": objective})
    given = (jnp.asarray(gradients(1)[0]), jnp.array(2.0))

    def body(_: int, carry: tuple) -> tuple:
        params, state = carry
        steps, state = both.update(given, state, params)
        return optax.apply_updates(params, steps), state

    start = jax.tree.map(jnp.zeros_like, given)
    moved, _ = jax.jit(lambda: jax.lax.fori_loop(0, 5, body, (start, both.init(start))))()
    alone = np.sum(updates_of(soap(0.1, largest=3), np.repeat(gradients(1), 5, axis=0)), axis=0)
    np.testing.assert_allclose(moved[0], alone, rtol=1e-5)
    assert float(moved[1]) == -10.0


def test_averages_of_every_fourth_gradient_count_four_times():
    transform, kept = soap(0.1, average_every=4), np.zeros((3, 3))
    state, update = transform.init(jnp.zeros((3, 4))), jax.jit(transform.update)
    for step, gradient in enumerate(gradients(30), start=1):
        _, state = update(jnp.asarray(gradient), state)
        if step % 4 == 0 or step <= 10:
            kept = 0.99**4 * kept + (1 - 0.99**4) * gradient @ gradient.T
    np.testing.assert_allclose(state.sides[0][0].average, kept, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4), (5,), (2, 3, 4)])
def test_arrays_that_are_not_turned_take_adams_step(shape: tuple[int, ...]):
    given = np.random.default_rng(1).normal(size=(30, *shape)).astype(np.float32)
    parts = [optax.scale_by_adam(b1=0.9, b2=0.98, eps=1e-8), optax.clip(1.0), optax.scale(-0.01)]
    largest = 2 if len(shape) == 2 else 256
    for ours, expected in zip(updates_of(soap(0.01, largest=largest), given), updates_of(optax.chain(*parts), given)):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-8)


def test_the_basis_makes_the_averages_diagonal_and_turning_back_undoes_it():
    transform = soap(0.1, average_every=1, basis_every=5)
    state, update = transform.init(jnp.zeros((3, 4))), jax.jit(transform.update)
    for gradient in gradients(25):
        _, state = update(jnp.asarray(gradient), state)
    for side in state.sides[0]:
        inside = np.asarray(side.basis.T @ side.average @ side.basis)
        assert np.abs(inside - np.diag(np.diag(inside))).max() < 1e-5 * np.abs(inside).max()
    array = jnp.asarray(gradients(1)[0])
    np.testing.assert_allclose(back(turned(array, state.sides[0]), state.sides[0]), array, atol=1e-6)


def test_turned_gradients_give_turned_updates():
    """With a basis found at every step the axes of the weights mean nothing; to Adam they do."""
    given = gradients(30)
    u, v = (np.linalg.qr(gradients(1, (n, n))[0])[0] for n in (3, 4))
    # The first gradient is diagonal in its own basis: epsilon keeps the rounding beside it from being scaled to 1.
    ours = soap(0.1, average_every=1, basis_every=1, epsilon=1e-3)
    for transform, agree in [(ours, True), (optax.adam(0.1, eps=1e-3), False)]:
        plain, other = updates_of(transform, given), updates_of(transform, u @ given @ v.T)
        difference = np.abs(u @ np.stack(plain) @ v.T - np.stack(other)).max()
        assert difference < 1e-4 if agree else difference > 0.01
