"""The likelihood of a mixed table against enumeration, and what its encoder sees."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from latens.distributions import Segments, log_prob
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.models.heads.table import ATOMS, FREE, HATS, TableHead, TableInput, basis_of

rng = np.random.default_rng(0)
CITY = ColumnType("category", ("a", "b", "c"), shares=(0.2, 0.3, 0.5))
MEMBER = ColumnType("category", ("no", "yes"), shares=(0.9, 0.1), dtype="Boolean")
AGE = number_type(v := rng.integers(0, 30, 300).astype(float), v, FrameColumn(dtype="Int64"))
GAIN = number_type(
    v := np.where(rng.random(3000) < 0.05, 0, rng.integers(1, 2000, 3000)).astype(float), v, FrameColumn(dtype="Int64")
)
TYPES = (GAIN, CITY, AGE, MEMBER)


def outputs(head, seed=0, scale=1.0):
    return scale * jax.random.normal(jax.random.key(seed), (head.num_outputs,))


def cells(one):
    return range(one.size if one.kind == "number" else one.count)


LONGEST = max(len(cells(one)) for one in TYPES)


@eqx.filter_jit
def terms_of(made, rows):
    return jax.vmap(made.log_prob_terms)(rows)


def by_cell(made, place):
    """The log probability of every cell of one column, and of one cell beyond; compiled once for all columns."""
    rows = np.zeros((LONGEST + 1, len(TYPES)), np.float32)
    rows[:, place] = np.arange(LONGEST + 1)
    return np.asarray(terms_of(made, jnp.asarray(rows))[:, place], np.float64)


def test_gain_has_an_atom_and_more_segments_than_have_logits():
    assert GAIN.count > FREE
    assert basis_of(GAIN).shape == (2 + HATS + 1, GAIN.count)
    head = TableHead(TYPES)
    assert head.blocks.names == ("free-32", "ordered-64")
    assert head.num_outputs == 3 * AGE.count + 2 + HATS + ATOMS  # names are padded to the numbers beside them


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_the_cells_of_each_column_have_probabilities_that_sum_to_one(scale):
    head = TableHead(TYPES)
    made = head(outputs(head, scale=scale))
    for i, one in enumerate(TYPES):
        terms = by_cell(made, i)
        assert special.logsumexp(terms[: len(cells(one))]) == pytest.approx(0.0, abs=1e-5)
        assert np.all(terms[len(cells(one)) :] == -np.inf)


def test_outputs_of_zero_are_the_independent_columns():
    head = TableHead(TYPES)
    rows = np.stack([rng.integers(0, len(cells(one)), 50) for one in TYPES], axis=1).astype(np.float32)
    expected = np.stack([one.log_shares(rows[:, i]) for i, one in enumerate(TYPES)], axis=1)
    found = terms_of(head(jnp.zeros(head.num_outputs)), jnp.asarray(rows))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_mixed_row_sums_to_one_over_a_whole_table():
    """p(x) = sum over z of p(z) p(x | z), for a latent of three values, over all 3 * 30 * 2 rows."""
    types = (CITY, AGE, MEMBER)
    head = TableHead(types)
    decoders = [head(outputs(head, seed)) for seed in range(3)]
    prior = np.log([0.5, 0.3, 0.2])
    rows = jnp.asarray(list(itertools.product(*map(cells, types))), jnp.float32)
    joint = np.stack([p + np.asarray(terms_of(d, rows), np.float64).sum(axis=1) for p, d in zip(prior, decoders)])
    assert special.logsumexp(joint) == pytest.approx(0.0, abs=1e-5)
    # A missing cell contributes its marginal: summed over the cell's values, the rest is what a mask gives.
    mask = jnp.array([True, False, True])
    given = rows[(rows[:, 0] == 1) & (rows[:, 2] == 0)]
    for decoder in decoders:
        summed = special.logsumexp(np.asarray(terms_of(decoder, given), np.float64).sum(axis=1))
        nan = given[0].at[1].set(jnp.nan)
        assert float(log_prob(decoder, nan, mask)) == pytest.approx(summed, abs=1e-5)


def test_the_mean_is_that_of_numbers_and_the_most_probable_name():
    head = TableHead(TYPES)
    made = head(outputs(head))
    found = made.mean()
    for i, one in enumerate(TYPES):
        p = np.exp(by_cell(made, i)[: len(cells(one))])
        expected = p.argmax() if one.kind == "category" else p @ np.arange(len(p))
        assert float(found[i]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_gradients_are_finite_also_far_out():
    head = TableHead(TYPES)
    row = jnp.zeros(len(TYPES))
    slope_of = jax.jit(jax.grad(lambda o: head(o).log_prob(row)))
    for scale in (0.0, 1.0, 100.0):
        slope = slope_of(outputs(head, scale=scale))
        assert np.all(np.isfinite(slope))
        assert np.any(slope != 0)


def test_an_encoder_sees_what_is_there_and_that_the_rest_is_missing():
    seen = TableInput(TYPES)
    row = jnp.array([0.0, 2.0, 5.0, 1.0])
    whole = seen(row)
    assert whole.shape == seen.shape
    np.testing.assert_array_equal(whole[:4], 0.5)
    for i in range(4):
        mask = jnp.arange(4) != i
        hidden = seen(row.at[i].set(jnp.nan), mask)
        assert hidden[i] == -0.5
        assert np.all(np.isfinite(hidden))
        # What hides in the cell is not seen, and something of it was before.
        np.testing.assert_array_equal(hidden, seen(row.at[i].set(1.0), mask))
        assert np.any(hidden[4:] != whole[4:])


def test_segments_are_ordinary_categoricals_where_each_has_one_cell():
    logits = jnp.array([[0.3, -1.0, 2.0]])
    one = Segments(logits, jnp.arange(3)[None], jnp.ones((1, 3), int))
    np.testing.assert_allclose(
        [float(one.log_prob(jnp.array([float(i)]))) for i in range(3)], jax.nn.log_softmax(logits[0]), atol=1e-6
    )


SIZE = ColumnType("ordinal", ("S", "M", "L", "XL"), shares=(0.1, 0.4, 0.3, 0.2))
GRADE = ColumnType("ordinal", ("1", "2", "3", "4"), shares=(0.7, 0.1, 0.1, 0.1))
SOLE = ColumnType("ordinal", ("only",), shares=(1.0,))


def test_an_ordinal_has_cuts_that_begin_at_the_shares_and_cells_that_sum_to_one():
    types = (CITY, SIZE, SOLE, GRADE)
    head = TableHead(types)
    assert head.blocks.names == ("free-4", "ordinal-4")
    assert head.num_outputs == 2 * 3 + 2 * 3  # the sole name is padded to the three beside it
    found = np.exp(np.asarray(head(jnp.zeros(head.num_outputs)).parts["ordinal-4"].log_shares()))
    np.testing.assert_allclose(found, [SIZE.shares, GRADE.shares], atol=1e-6)
    made = np.array([[0.7, -0.3, 0.4], [-9.0, 1.5, -2.0]])
    part = head(jnp.concatenate([jnp.zeros(6), jnp.asarray(made, jnp.float32).ravel()])).parts["ordinal-4"]
    for i, one in enumerate((SIZE, GRADE)):
        odds = special.logit(np.cumsum(one.shares)[:-1])
        cuts = odds[0] + np.concatenate([[0.0], np.cumsum(np.diff(odds) * np.exp(made[i, 1:]))])
        below = np.concatenate([[0.0], special.expit(cuts - made[i, 0]), [1.0]])
        cells = jnp.zeros((4, 2)).at[:, i].set(jnp.arange(4.0))
        terms = np.asarray(jax.vmap(part.log_prob_terms)(cells)[:, i], np.float64)
        np.testing.assert_allclose(np.exp(terms), np.diff(below), rtol=2e-5)
        assert np.exp(terms).sum() == pytest.approx(1.0, abs=1e-6)
    assert part.ordered  # it has a mean, and tails


def test_an_encoder_sees_which_of_its_names_an_ordinal_is():
    seen = TableInput((SIZE, CITY))
    found = seen(jnp.array([2.0, 1.0]))
    np.testing.assert_array_equal(found, [0.5, 0.5, 0, 1, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(seen(jnp.array([2.0, 1.0]), jnp.array([False, True]))[5:], [0, 0, 0, 0])
