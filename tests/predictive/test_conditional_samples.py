"""Samples under conditions on columns, and what single cells may be, against enumeration of a small table."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from latens.data.dataset import as_batch
from latens.data.schema import Column, Schema
from latens.distributions import StandardNormal
from latens.errors import DataError, UsageError
from latens.evidence import ModelRows
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.table import TableHead, TableInput
from latens.predictive import conditional_samples, impute
from latens.predictive.conditional_samples import _weighed, conditions_of, parse_conditions, sample_given, shares_given

rng = np.random.default_rng(0)
CITY = ColumnType("category", ("a", "b", "c"), shares=(0.2, 0.3, 0.5))
AGE = number_type(v := rng.integers(0, 30, 300).astype(float), v, FrameColumn(dtype="Int64"))
MEMBER = ColumnType("category", ("no", "yes"), shares=(0.9, 0.1))
DAY = number_type(v := 18_000.0 + rng.integers(0, 50, 300), v, FrameColumn(dtype="Date"))
TYPES = (CITY, AGE, MEMBER)
SCHEMA = Schema((3,), "mixed", columns=tuple(map(Column, ("city", "age", "city=b"))), types=TYPES)
DATED = Schema((2,), "mixed", columns=(Column("city"), Column("day")), types=(CITY, DAY))


class Tilt(eqx.Module):
    """Outputs that are linear in z: all columns hang on it."""

    weight: jax.Array

    def __call__(self, z):
        return self.weight @ z.reshape(-1)


@pytest.fixture(scope="module")
def model():
    head = TableHead(TYPES)
    weight = 1.5 * jax.random.normal(jax.random.key(3), (head.num_outputs, 1))
    # An encoder that knows little: the weights make up for it.
    encoder = Conditional(lambda x: jnp.array([0.4, 0.1]) + 0.2 * x[:2], NormalHead((1,)), TableInput(TYPES))
    return LatentModel(StandardNormal((1,)), encoder, Conditional(Tilt(weight), head))


@pytest.fixture(scope="module")
def table(model):
    """Every row of the table with its probability, by quadrature over z."""
    rows = np.array(list(itertools.product(range(3), range(AGE.size), range(2))), np.float32)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    log_p = jax.vmap(lambda z: jax.vmap(model.likelihood(z).log_prob)(jnp.asarray(rows)))(jnp.asarray(nodes[:, None]))
    log_w = np.log(weights) - 0.5 * np.log(2 * np.pi)
    return rows, np.exp(special.logsumexp(np.asarray(log_p, np.float64) + log_w[:, None], axis=0))


def given_z(model, rows, z):
    """p(row | z) of every row, for each z."""
    of = jax.jit(jax.vmap(lambda one: jax.vmap(model.likelihood(one).log_prob)(jnp.asarray(rows))))
    return np.exp(np.asarray(of(jnp.asarray(z)), np.float64))


@eqx.filter_jit
def log_p_at(model, row, z):
    return model.likelihood(jnp.asarray(z)).log_prob(jnp.asarray(row))


def normal(z, loc=0.0, scale=1.0):
    return np.exp(-0.5 * ((z - loc) / scale) ** 2) / scale / np.sqrt(2 * np.pi)


ASKED = [{"city": "b"}, {"age": (10, 19), "city=b": "yes"}, {}]


@pytest.mark.parametrize("given", ASKED, ids=str)
def test_draws_are_weighed_counted_and_chosen_as_by_hand(model, table, given):
    """Half of q and half of p, against their mixture; a row comes as often as its draw weighs, to one row."""
    rows, conditions, key = table[0], conditions_of(given, SCHEMA), jax.random.key(2)
    inside = np.all((rows >= conditions.low) & (rows <= conditions.high), axis=1)
    found, draw_key = sample_given(model, conditions, 200, key=key, chunk=64), jax.random.split(key, 3)[0]
    low, high = (jnp.asarray(bound, jnp.float32) for bound in conditions)
    parts = [_weighed(model, low, high, jax.random.fold_in(draw_key, at), 64) for at in range(0, found.draws, 64)]
    z, log_weight = (np.concatenate([np.asarray(part[k], np.float64) for part in parts]) for k in (0, 1))
    seen = np.array([isinstance(given.get(column.name), str) for column in SCHEMA.columns])  # a range counts by weight
    q = model.posterior(jnp.asarray(np.where(seen, conditions.low, 7.0), jnp.float32), mask=jnp.asarray(seen))
    of_q = normal(z[:, 0], *(float(part[0]) for part in (q.loc, jnp.exp(q.log_scale))))
    like = given_z(model, rows, z.astype(np.float32))[:, inside].sum(axis=1)
    weight = like * normal(z[:, 0]) / (0.5 * normal(z[:, 0]) + 0.5 * of_q)
    np.testing.assert_allclose(np.exp(log_weight), weight, rtol=1e-3)
    assert abs(z[:32].mean() - q.loc[0]) < 5 * np.exp(q.log_scale[0]) / np.sqrt(32)
    assert len(np.unique(z)) == found.draws
    effective = lambda w: w.sum() ** 2 / (w**2).sum()  # noqa: E731
    assert found.effective == pytest.approx(effective(weight), rel=1e-3)
    assert found.effective >= 200 > effective(weight[:-64])  # no more draws than are needed
    assert found.log_probability == pytest.approx(np.log(weight.mean()), abs=1e-3)
    place = {float(np.float32(one)): i for i, one in enumerate(z[:, 0])}
    of = np.array([place[float(one)] for one in np.ravel(found.z)])
    counts = np.bincount(of, minlength=len(z))
    assert np.all(np.abs(counts - 200 * weight / weight.sum()) < 1 + 1e-3)
    assert np.all((found.x >= conditions.low) & (found.x <= conditions.high))
    assert np.any(np.diff(of) < 0)  # in no order, but each beside its own draw
    own = [log_p_at(model, row, one) for row, one in zip(found.x, found.z)]
    assert np.mean(own) > np.mean([log_p_at(model, row, one) for row, one in zip(found.x, found.z[::-1])])


@pytest.mark.parametrize("given", ASKED, ids=str)
def test_shares_are_weighed_means_over_all_draws(model, table, given):
    rows, conditions, key = table[0], conditions_of(given, SCHEMA), jax.random.key(5)
    inside = np.all((rows >= conditions.low) & (rows <= conditions.high), axis=1)
    found = shares_given(model, conditions, TYPES, key=key, enough=150.0, chunk=64)
    low, high = (jnp.asarray(bound, jnp.float32) for bound in conditions)
    parts = [_weighed(model, low, high, jax.random.fold_in(key, at), 64) for at in range(0, found.draws, 64)]
    z, weight = np.concatenate([part[0] for part in parts]), np.exp(np.concatenate([part[1] for part in parts]))
    assert len(parts) > 2
    assert found.effective == pytest.approx(weight.sum() ** 2 / (weight**2).sum(), rel=1e-3)
    assert found.log_probability == pytest.approx(np.log(weight.mean()), abs=1e-3)
    like = given_z(model, rows, z)
    for j, one in enumerate(TYPES):
        if np.isfinite(conditions.low[j]):
            continue
        segment = np.searchsorted(one.firsts, rows[:, j], side="right") - 1
        exact = weight @ np.stack([like[:, segment == s].sum(axis=1) for s in range(one.count)], axis=1) / weight.sum()
        np.testing.assert_allclose(found.columns[j], exact, rtol=2e-3, atol=1e-5)
    assert inside.any()


@pytest.mark.parametrize(("worth", "calls"), [(10.0, 4), (1e-3, conditional_samples.MOST_CHUNKS)])
def test_draws_end_where_they_are_enough_or_too_many(monkeypatch, model, worth, calls):
    """Each call adds draws that are worth so many."""
    shares, chunks = np.array([[0.25, 0.75]]), iter([2**12] * calls)  # one more is none
    made = lambda *given: (0.0, worth, worth * (given[-1] == next(chunks)), {"own": worth * shares})  # noqa: E731
    monkeypatch.setattr(conditional_samples, "_shares", made)
    monkeypatch.setattr(conditional_samples, "model_places", lambda model: {"own": [0]})
    found = shares_given(model, conditions_of({}, SCHEMA), [MEMBER], key=jax.random.key(0), enough=35.0)
    assert (found.draws, next(chunks, None)) == (calls * 2**12, None)
    assert found.effective == pytest.approx(calls * worth)
    assert found.log_probability == pytest.approx(np.log(calls * worth / found.draws))
    np.testing.assert_allclose(found.columns, shares)


def test_conditionals_are_the_enumerated_ones(model, table):
    rows, p = table
    seen = np.array([[True, False, True], [False, True, True], [False, False, False], [True, True, False]])
    x = np.array([[1, 29, 0], [0, 3, 1], [2, 7, 1], [2, 0, 1]], np.float32)
    found = impute(ModelRows(model, as_batch(x, mask=seen)), types=TYPES, num_samples=20_000)
    shares, effective = found.shares, found.effective
    for i, (row, mask) in enumerate(zip(x, seen)):
        alike = np.where(np.all((rows == row) | ~mask, axis=1), p, 0.0)
        assert effective[i] > 1000
        for j in np.flatnonzero(~mask):
            exact = np.array(
                [
                    np.sum(alike[(rows[:, j] >= first) & (rows[:, j] < first + width)])
                    for first, width in zip(TYPES[j].firsts, TYPES[j].widths)
                ]
            )
            exact /= exact.sum()
            assert shares[j][i].sum() == pytest.approx(1.0, abs=1e-5)
            np.testing.assert_allclose(shares[j][i], exact, atol=5 / np.sqrt(effective[i]) * np.sqrt(exact.max()))
    # The same rows in another order have the same numbers.
    again = impute(
        ModelRows(model, as_batch(x[::-1], mask=seen[::-1]), key=jax.random.key(1)), types=TYPES, num_samples=500
    ).shares
    first = impute(ModelRows(model, as_batch(x, mask=seen), key=jax.random.key(1)), types=TYPES, num_samples=500).shares
    for one, other in zip(first, again):
        np.testing.assert_allclose(one, other[::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "low", "high"),
    [
        (["city=b"], [1, -np.inf, -np.inf], [1, np.inf, np.inf]),
        (["city=b=yes"], [-np.inf, -np.inf, 1], [np.inf, np.inf, 1]),
        (["age>=10", "age<20"], [-np.inf, 10, -np.inf], [np.inf, 19, np.inf]),
        (["age=10..19"], [-np.inf, 10, -np.inf], [np.inf, 19, np.inf]),
        (["age=10.."], [-np.inf, 10, -np.inf], [np.inf, 29, np.inf]),
        (["age>9.5", "age<=19.5"], [-np.inf, 10, -np.inf], [np.inf, 19, np.inf]),
        (["age>10"], [-np.inf, 11, -np.inf], [np.inf, 29, np.inf]),
        (["age=7"], [-np.inf, 7, -np.inf], [np.inf, 7, np.inf]),
        (["age<=1000"], [-np.inf, 0, -np.inf], [np.inf, 29, np.inf]),
    ],
    ids=str,
)
def test_conditions_as_they_are_typed(texts, low, high):
    found = parse_conditions(texts, SCHEMA)
    np.testing.assert_array_equal(found.low, low)
    np.testing.assert_array_equal(found.high, high)


def test_dates_are_conditions():
    found = parse_conditions(["day>=2019-04-20"], DATED)
    first = int(np.datetime64("2019-04-20").astype(int) - DAY.low)
    assert (found.low[1], found.high[1]) == (first, DAY.size - 1)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("city=d", DataError, "no training row"),
        ("town=a", DataError, "no column 'town'"),
        ("city", UsageError, "is not a condition"),
        ("city>a", DataError, "no order"),
        ("age=3.5", DataError, "steps of 1, which 3.5 is not"),
        ("age=99", DataError, "between 0 and 29"),
        ("age>=99", DataError, r"no row can have column 'age' so \('age>=99'\)"),
        ("age=x", DataError, "holds numbers, which 'x' is not"),
        ("age=nan", DataError, "holds numbers"),
    ],
)
def test_what_no_row_can_fulfil_is_refused(text, kind, words):
    with pytest.raises(kind, match=words):
        parse_conditions([text], SCHEMA)


def test_conditions_that_exclude_one_another_are_refused():
    with pytest.raises(DataError, match="exclude one another"):
        parse_conditions(["city=a", "city=b"], SCHEMA)
    with pytest.raises(DataError, match="no training row had") as error:
        parse_conditions(["city=Q"], SCHEMA)
    assert error.value.fix
    assert "cell" not in error.value.fix  # a condition has none that could be left empty
    with pytest.raises(DataError, match="no columns by kind"):
        parse_conditions(["x0=1"], Schema((1,), "real"))
