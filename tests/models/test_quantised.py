"""Quantised latents: the nearest code, its gradient, averages, and a transformer over codes as their prior."""

import dataclasses
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import agrees, close
from quantised_fixtures import BOOKS, EVERY, GROUPS, HEAD, KEY, PLACES, model_of, uneven, uneven_prior, vectors
from scipy import special, stats
from training_fixtures import make_data

from latens.config import override
from latens.data import Preparation, load
from latens.errors import ConfigError
from latens.models import CodeHead, ScalarQuantiser, TransformerCodePrior, UniformCodes, VectorQuantiser
from latens.objectives import Quantised
from latens.recipes import get_recipe
from latens.trained.experiment import prepare
from latens.trained.prior_refit import refit_prior
from latens.training import make_optimizer
from latens.training.padding import pad_rows
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


pytest_plugins = ("cli_fixtures",)


def test_a_code_depends_on_all_before_it_and_on_no_later_one():
    """The logits at a place are those of the codes before it to the last bit, whatever comes at it and after it."""
    network = uneven_prior(CodeHead((12,), HEAD.quantiser)).network
    codes = np.array([2, 0, 1, 1, 0, 2])
    logits = np.asarray(network(jnp.asarray(codes)))
    for place in range(6):
        other = codes.copy()
        other[place:] = (other[place:] + 1) % 3
        found = np.asarray(network(jnp.asarray(other)))
        np.testing.assert_array_equal(found[: place + 1], logits[: place + 1])
        assert np.all(np.abs(found[place + 1 :] - logits[place + 1 :]).max(axis=1) > 1e-3)
    # The last place sees the first code, which no place between them has.
    other = np.array([0, *codes[1:]])
    assert np.abs(np.asarray(network(jnp.asarray(other)))[-1] - logits[-1]).max() > 1e-3


@pytest.mark.parametrize("together", [1, 2, 3, 6])
def test_one_step_at_a_time_is_all_places_at_once(together):
    network = uneven_prior(CodeHead((12,), HEAD.quantiser), together=together, classes=2).network
    codes, label = jnp.array([2, 0, 1, 1, 0, 2]), jnp.array([0.0, 1.0])
    logits, memory, step = network(codes, label), network.memory(), eqx.filter_jit(network.step)
    for start in range(0, 6, together):
        found, memory = step(codes[start - together : start or None][:together], jnp.asarray(start), memory, label)
        close(found, logits[start : start + together], atol=1e-5)


def test_codes_of_a_step_depend_on_those_of_the_steps_before_alone():
    p = uneven_prior(CodeHead((12,), HEAD.quantiser), together=2)(model_of(HEAD.quantiser, 12))
    codes, order = np.array([2, 0, 1, 1, 0, 2]), p.order
    assert sorted(order) == list(range(6))
    assert not np.array_equal(order, np.arange(6)), "neighbours are drawn apart"
    logits = np.asarray(p._logits(jnp.asarray(codes)))
    for step in range(3):
        other = codes.copy()
        other[order[2 * step :]] = (other[order[2 * step :]] + 1) % 3
        found = np.asarray(p._logits(jnp.asarray(other)))
        np.testing.assert_array_equal(found[order[: 2 * step + 2]], logits[order[: 2 * step + 2]])
        assert np.all(np.abs(found - logits)[order[2 * step + 2 :]].max(axis=1) > 1e-3)


def test_of_each_class_the_probabilities_sum_to_one_and_draws_have_them():
    head = CodeHead((8,), HEAD.quantiser)
    prior, model = uneven_prior(head, together=2, classes=2), model_of(HEAD.quantiser, 8)
    every = np.array(list(itertools.product(range(3), repeat=4)))
    events = jax.vmap(lambda codes: head.quantiser.decode(codes[:, None]).reshape(-1))(jnp.asarray(every))
    found = []
    for number, label in enumerate(jnp.eye(2)):
        p = prior(model, cond={"label": label})
        found.append(np.exp(np.asarray(jax.jit(jax.vmap(p.log_prob))(events), np.float64)))
        assert abs(found[-1].sum() - 1.0) < 1e-5
        keys = jax.random.split(jax.random.key(number), 20_000)
        draws = np.asarray(jax.jit(jax.vmap(lambda k, p=p: p.codes(p.sample(key=k))))(keys))
        counts = np.bincount(draws @ [27, 9, 3, 1], minlength=81)
        assert stats.chisquare(counts, 20_000 * found[-1] / found[-1].sum()).pvalue > 1e-4
    assert np.abs(found[0] - found[1]).max() > 0.02
    # A class is a vector that is added at every place: the network without classes whose places hold it says the same.
    network = prior.network
    plain = dataclasses.replace(network, positions=network.positions + network.classes[1], classes=None)
    close(plain(jnp.asarray(every[5])), network(jnp.asarray(every[5]), jnp.eye(2)[1]), atol=1e-5)
    with pytest.raises(ConfigError, match="'label'"):
        prior(model)


def test_attention_is_the_one_by_hand(float64):
    """One block of one head against plain sums over the places so far."""
    network = uneven_prior(HEAD, layers=1, width=4, heads=1).network
    network = jax.tree.map(lambda a: np.asarray(a, np.float64) if eqx.is_array(a) else a, network)
    (block,), codes = network.blocks, np.array([1, 2, 0])
    norm = lambda h: (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)  # noqa: E731
    layer = lambda linear, h: h @ linear.weight + linear.bias  # noqa: E731
    h = network.positions + np.concatenate([np.zeros((1, 4)), network.embedding[codes[:-1]]])
    query, key, value = np.split(layer(block.inwards, norm(h)), 3, axis=1)
    mixed = [special.softmax(key[: t + 1] @ query[t] / 2.0) @ value[: t + 1] for t in range(3)]
    h = h + layer(block.outwards, np.stack(mixed))
    h = h + layer(block.down, np.asarray(jax.nn.gelu(layer(block.up, norm(h)))))
    close(jax.tree.map(jnp.asarray, network)(jnp.asarray(codes)), norm(h) @ network.output.weight + network.output.bias)


def test_it_starts_uniform():
    p = TransformerCodePrior.create(HEAD, (6,), key=KEY)(model_of(HEAD.quantiser, HEAD.shape[0]))
    event = HEAD.quantiser.decode(jnp.array([[2], [0], [1]])).reshape(-1)
    close(p.log_prob(event), -PLACES * math.log(3))
    np.testing.assert_array_equal(jax.grad(uneven().log_prob)(event), 0.0)


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="groups of 2") as found:
        TransformerCodePrior.create(HEAD, (6,), together=2, key=KEY)
    assert found.value.fix == "Use one of 1, 3."
    with pytest.raises(ConfigError, match="cannot be cut into 4 heads") as caught:
        TransformerCodePrior.create(HEAD, (6,), width=30, key=KEY)
    assert caught.value.fix == "Use 32."
    with pytest.raises(ConfigError, match="stages"):
        TransformerCodePrior.create(CodeHead((6,), vectors()), (6,), key=KEY)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_codes_at_a_temperature_are_drawn_from_powers_of_each_step(temperature):
    """All 27 sequences: the product over places of p(k | before)^(1/t), each normalised; at 0 the most probable one."""
    p, draws = uneven(), 20_000
    steps = np.stack([np.asarray(jax.nn.log_softmax(p._logits(jnp.asarray(codes)))) for codes in EVERY])
    logs = steps / max(temperature, 1e-6)
    logs = logs - special.logsumexp(logs, axis=-1, keepdims=True)
    expected = np.exp(np.take_along_axis(logs, EVERY[..., None], axis=-1).sum(axis=(1, 2)))
    assert abs(expected.sum() - 1.0) < 1e-5
    keys = jax.random.split(jax.random.key(5), draws)
    events = jax.jit(jax.vmap(lambda key: p.sample_at(temperature, key=key)))(keys)
    found = np.asarray(jax.vmap(p.codes)(events))
    counts = np.bincount(found @ np.array([9, 3, 1]), minlength=27)
    kept = expected * draws > 5
    share = expected[kept].sum()
    assert abs(counts[kept].sum() - draws * share) <= 5 * np.sqrt(draws * share * max(1 - share, 0.0))
    apart = ((counts - draws * expected)[kept] ** 2 / (draws * expected[kept])).sum()
    assert stats.chi2.sf(apart, kept.sum()) > 1e-3


FOUR = VectorQuantiser(jnp.asarray([[[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]]))


@pytest.mark.parametrize("quantiser", [FOUR, ScalarQuantiser((5, 4))], ids=["vectors", "levels"])
def test_codes_of_every_quantiser_are_found_again(quantiser) -> None:
    head = CodeHead((2 * PLACES,), quantiser)
    prior = TransformerCodePrior.create(head, (6,), width=4, key=jax.random.key(0))
    p = prior(model_of(quantiser, 2 * PLACES))
    for codes in ([0, 1, 2], [3, 3, quantiser.num_codes - 1]):
        event = quantiser.decode(jnp.array(codes)[:, None]).reshape(-1)
        np.testing.assert_array_equal(p.codes(event), codes)


@pytest.mark.parametrize(
    ("recipe", "kind", "words"), [("vq-vae", "mixture", "transformer"), ("default", "transformer", "mixture")]
)
def test_priors_of_other_latents_are_refused_with_those_that_fit(recipe: str, kind: str, words: str) -> None:
    data = load("digits")
    chosen = {"network.hidden": [4], "posterior.latent_dim": 4, "training.steps": 1}
    experiment = prepare(override(get_recipe(recipe).config, chosen), data)
    trained = experiment.trained(experiment.new_model())
    with pytest.raises(ConfigError) as caught:
        refit_prior(trained, data, kind)
    assert words in caught.value.fix
