"""Samples under conditions on columns, and what single cells may be, against enumeration of a small table."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from latens.data.batches import as_batch
from latens.data.schema import Column, Schema
from latens.distributions import StandardNormal
from latens.errors import DataError, UsageError
from latens.evaluation import Rows
from latens.evaluation.conditional_samples import sample_given
from latens.evaluation.missing_cells import impute
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.kinds.tables.where import conditions_of, parse_conditions
from latens.models import Conditional, LatentModel, NormalHead
from latens.models.heads.table import TableHead, TableInput

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
    encoder = Conditional(lambda x: jnp.array([0.4, 0.1]) + 0.0 * x[:2], NormalHead((1,)), TableInput(TYPES))
    return LatentModel(StandardNormal((1,)), encoder, Conditional(Tilt(weight), head))


@pytest.fixture(scope="module")
def table(model):
    """Every row of the table with its probability, by quadrature over z."""
    rows = np.array(list(itertools.product(range(3), range(AGE.size), range(2))), np.float32)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    log_p = jax.vmap(lambda z: jax.vmap(model.likelihood(z).log_prob)(jnp.asarray(rows)))(jnp.asarray(nodes[:, None]))
    log_w = np.log(weights) - 0.5 * np.log(2 * np.pi)
    return rows, np.exp(special.logsumexp(np.asarray(log_p, np.float64) + log_w[:, None], axis=0))


@pytest.mark.parametrize(
    "given",
    [{"city": "b"}, {"age": (10, 19)}, {"city": "c", "age": (25, None)}, {"city": "a", "age": 3, "city=b": "yes"}, {}],
    ids=str,
)
def test_samples_have_the_enumerated_probabilities(model, table, given):
    rows, p = table
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    conditions = conditions_of(given, SCHEMA)
    inside = np.all((rows >= conditions.low) & (rows <= conditions.high), axis=1)
    found = sample_given(model, conditions, 20_000, key=jax.random.key(0))
    assert np.all((found.x >= conditions.low) & (found.x <= conditions.high))
    assert found.effective > 1000
    error = 5.0 / np.sqrt(found.effective)
    assert found.log_probability == pytest.approx(np.log(p[inside].sum()), abs=error)
    expected = np.where(inside, p, 0.0) / p[inside].sum()
    for columns in ([0], [1], [2], [0, 1], [0, 2], [1, 2]):
        sizes = [(3, AGE.size, 2)[c] for c in columns]
        cell = np.ravel_multi_index(rows[:, columns].astype(int).T, sizes)
        drawn = np.ravel_multi_index(found.x[:, columns].astype(int).T, sizes)
        want = np.bincount(cell, expected, np.prod(sizes))
        have = np.bincount(drawn, minlength=np.prod(sizes)) / 20_000
        # Draws of z are shared by rows: the error is that of the effective number, at the worst.
        assert np.all(np.abs(have - want) < 5 * np.sqrt(want / found.effective) + 5e-4), columns


def test_conditionals_are_the_enumerated_ones(model, table):
    rows, p = table
    seen = np.array([[True, False, True], [False, True, True], [False, False, False], [True, True, False]])
    x = np.array([[1, 29, 0], [0, 3, 1], [2, 7, 1], [2, 0, 1]], np.float32)
    found = impute(Rows(model, as_batch(x, mask=seen)), types=TYPES, num_samples=20_000)
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
        Rows(model, as_batch(x[::-1], mask=seen[::-1]), key=jax.random.key(1)), types=TYPES, num_samples=500
    ).shares
    first = impute(Rows(model, as_batch(x, mask=seen), key=jax.random.key(1)), types=TYPES, num_samples=500).shares
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
        ("age=3.5", DataError, "steps of 1"),
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
