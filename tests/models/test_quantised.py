"""Quantised latents: the nearest code, its straight gradient, codes that are averages, and their prior."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from checks import agrees, close
from quantised_fixtures import BOOKS, GROUPS, KEY, model_of, vectors
from training_fixtures import make_data

from latens.data import Preparation
from latens.models import CodeHead, ScalarQuantiser, UniformCodes, VectorQuantiser
from latens.objectives import Quantised
from latens.training import make_optimizer
from latens.training.loop import pad_rows
from latens.training.step import make_program

# --- codes ---


def test_the_code_is_the_nearest_by_brute_force(float64):
    assignment = vectors(BOOKS[:1])(jnp.asarray(GROUPS))
    distance = np.sum((GROUPS[:, None] - BOOKS[0][None]) ** 2, axis=2)
    np.testing.assert_array_equal(assignment.codes[:, 0], distance.argmin(axis=1))
    close(assignment.chosen[:, 0], BOOKS[0][distance.argmin(axis=1)])
    close(vectors(BOOKS[:1]).decode(assignment.codes), BOOKS[0][distance.argmin(axis=1)])


def test_each_codebook_quantises_what_those_before_it_leave_over(float64):
    quantiser = vectors(np.array([[[-2.0], [0.0], [2.0]], [[-0.5], [0.0], [0.5]], [[-0.1], [0.0], [0.1]]]))
    assignment = quantiser(jnp.array([[1.2], [-1.9], [0.3], [5.0]]))
    # 1.2 = 2 - 0.5 - 0.1 - 0.2; -1.9 = -2 + 0 + 0.1; 0.3 = 0 + 0.5 - 0.1 - 0.1; 5 = 2 + 0.5 + 0.1 + 2.4
    np.testing.assert_array_equal(assignment.codes, [[2, 0, 0], [0, 1, 2], [1, 2, 0], [2, 2, 2]])
    close(assignment.inputs[:, :, 0], [[1.2, -0.8, -0.3], [-1.9, 0.1, 0.1], [0.3, 0.3, -0.2], [5.0, 3.0, 2.5]])
    left = np.abs(np.asarray(assignment.inputs - assignment.chosen))[:, :, 0]
    close(left, [[0.8, 0.3, 0.2], [0.1, 0.1, 0.0], [0.3, 0.2, 0.1], [3.0, 2.5, 2.4]])
    close(quantiser.decode(assignment.codes)[:, 0], [1.4, -1.9, 0.4, 2.6])
    # With a code at 0 in each, no codebook makes it worse; on many points each makes it better.
    points = jax.random.normal(KEY, (500, 1))
    many = quantiser(points)
    errors = np.mean(np.asarray(many.inputs - many.chosen) ** 2, axis=(0, 2))
    assert errors[0] > 2 * errors[1] > 3 * errors[2]


def test_the_gradient_goes_straight_through_at_the_code(float64):
    """Of any function of the code: the slope at the code, handed to the encoder; the value is the code to the bit."""
    head, outputs = CodeHead((6,), vectors()), jnp.asarray(GROUPS[:2].reshape(-1))
    slope = lambda z: jnp.sin(z) @ jnp.arange(6.0) + z[0] * z[3]  # noqa: E731
    code = jnp.sum(head(outputs).assignment.chosen, axis=1).reshape(-1)
    assert np.asarray(head(outputs).sample(key=KEY)).tobytes() == np.asarray(code).tobytes()
    close(jax.grad(lambda o: slope(head(o).sample(key=KEY)))(outputs), jax.grad(slope)(code))
    # FSQ: through the tanh, and past the rounding.
    grid, z = CodeHead((2,), ScalarQuantiser((5, 5))), jnp.array([0.3, -1.0])
    gradient = jax.grad(lambda o: jnp.sum(grid(o).sample(key=KEY) ** 2))(z)
    close(gradient, 2 * grid(z).mean() * 1.998 / 2 * (1 - np.tanh([0.3, -1.0]) ** 2))


def test_scalars_meet_the_table():
    """By hand: 5 levels, half 1.998, no shift; 4 levels, half 1.4985, offset 0.5, shift tan(0.5/1.4985) = 0.3467."""
    z = np.array([-9.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.3, 0.5, 1.0, 9.0])
    five = [-1.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    # h tanh(z + shift) - o: -2.00, -1.36, -0.73, -0.28, 0.00, 0.25, 0.35, 0.53, 0.81, 1.00
    four = [-1.0, -0.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5]
    assignment = ScalarQuantiser((5, 4))(jnp.asarray(np.stack([z, z], 1), jnp.float32))
    close(assignment.chosen[:, 0], np.stack([five, four], 1))
    first, second = 2 * np.array(five) + 2, 2 * np.array(four) + 2
    np.testing.assert_array_equal(assignment.codes[:, 0], first + 5 * second)
    everything = jnp.arange(20)[:, None]
    values = ScalarQuantiser((5, 4)).decode(everything)
    expected = [[a, b] for b in (-1.0, -0.5, 0.0, 0.5) for a in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    close(values, expected)
    # The middle of every level is that level again.
    inside = np.arctanh(np.array([-1.9, -1.0, 0.0, 1.0, 1.9]) / 1.998)
    close(ScalarQuantiser((5,))(jnp.asarray(inside[:, None], jnp.float32)).codes[:, 0], np.arange(5))


def test_the_prior_draws_every_code_alike():
    prior = UniformCodes(vectors(np.array([[[-1.0], [0.0], [2.0]]])), (2,))
    draws = np.asarray(jax.vmap(lambda k: prior.sample(key=k))(jax.random.split(KEY, 4000)))
    for value in (-1.0, 0.0, 2.0):
        agrees(draws == value, 1 / 3)
    agrees(draws[:, 0] * draws[:, 1], (1 / 3) ** 2)
    close(prior.log_prob(jnp.asarray(draws[0])), -2 * math.log(3))


# --- averages ---


def test_an_average_is_the_one_by_hand_and_a_padded_row_counts_nothing(float64):
    """N' = 0.9 N + 0.1 n and e' = (0.9 N e + 0.1 m) / N', code by code; the third code is in use by its past alone."""
    books, counts = np.array([[[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]]]), np.array([[2.0, 1.0, 3.0]])
    inputs = np.array([[1.0, 0.0], [0.0, -1.0], [5.0, 1.0], [100.0, 0.0]])
    quantiser = vectors(books, averaged=True, counts=counts, decay=0.9, reset_below=0.0)
    met = quantiser(jnp.asarray(inputs))
    np.testing.assert_array_equal(met.codes[:, 0], [0, 0, 1, 1])
    moved = quantiser.moved(met.inputs, met.codes, jnp.array([1.0, 2.0, 1.0, 0.0]), key=KEY)
    after = [0.9 * 2 + 0.1 * 3, 0.9 * 1 + 0.1 * 1, 0.9 * 3]
    close(moved.counts.value[0], after)
    first = (0.1 * 1.0 * inputs[0] + 0.1 * 2.0 * inputs[1]) / after[0]
    second = (0.9 * books[0, 1] + 0.1 * inputs[2]) / after[1]
    close(moved.books[0], [first, second, [0.0, 9.0]])


def test_a_dead_code_is_put_at_a_group_of_the_batch(float64):
    books, counts = np.array([[[0.0], [50.0], [60.0]]]), np.array([[1.0, 0.1, 1e-3]])
    inputs = np.array([[1.0], [2.0], [3.0], [77.0]])
    quantiser = vectors(books, averaged=True, counts=counts, decay=0.5, reset_below=0.1)
    met = quantiser(jnp.asarray(inputs))
    weights = jnp.array([1.0, 1.0, 2.0, 0.0])
    over = jax.jit(jax.vmap(lambda key: quantiser.moved(met.inputs, met.codes, weights, key=key)))
    moved = over(jax.random.split(KEY, 2000))
    after = np.array([0.5 + 0.5 * 4, 0.5 * 0.1, 0.5 * 1e-3])
    # Only the last two are below a tenth of the average use; both go on with the average.
    average = after.mean()
    assert after[1] < 0.1 * average
    close(moved.counts.value[:, 0], np.tile([after[0], average, average], (2000, 1)))
    close(moved.codebooks.value[:, 0, 0, 0], (0.5 * (1.0 + 2.0 + 2 * 3.0)) / after[0])
    reset = np.asarray(moved.codebooks.value[:, 0, 1:, 0])
    for value, share in ((1.0, 0.25), (2.0, 0.25), (3.0, 0.5), (77.0, 0.0)):
        agrees(reset == value, share)
    # Not below: nothing is moved.
    kept = vectors(books, averaged=True, counts=counts, decay=0.5, reset_below=0.01)
    close(kept.moved(met.inputs, met.codes, weights, key=KEY).books[0, 1], [50.0])


def test_averages_move_in_the_step_and_the_encoder_is_trained_beside_them():
    """One compiled step: the codebook is `moved` with the codes of the model before the step, no gradient and no
    average of the optimiser in it."""
    quantiser = VectorQuantiser.create(2, codes=8, averaged=True, key=KEY, decay=0.9, reset_below=0.0)
    quantiser = eqx.tree_at(lambda q: q.counts.value, quantiser, jnp.ones((1, 8)))
    model = model_of(quantiser, 4)
    optimizer = make_optimizer("adamw", learning_rate=1e-2, schedule="schedule-free", b1=0.0, weight_decay=0.1)
    program = make_program(model, Quantised(), optimizer, Preparation())
    rows = pad_rows(make_data(shape=(6,)), np.arange(12), 1, 16)
    start = program.init(KEY)
    state, _ = program.chunk(start, rows, jnp.asarray(1), jnp.asarray(1e9, jnp.float32))
    x, weights = rows.x[0].astype(np.float32), jnp.asarray(rows.weight[0])
    met = jax.vmap(lambda row: model.posterior(row).assignment)(jnp.asarray(x))
    flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
    expected = quantiser.moved(flat(met.inputs), flat(met.codes), jnp.repeat(weights, 2), key=KEY)
    after = eqx.combine(program.averaged(state), program.static)[0]
    close(after.encoder.head.quantiser.books, expected.books)
    close(after.encoder.head.quantiser.counts.value, expected.counts.value)
    assert not np.allclose(expected.books, quantiser.books)
    assert not np.allclose(after.encoder.network.layers[0].weight, model.encoder.network.layers[0].weight)
