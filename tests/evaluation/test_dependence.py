"""The share of dependence: the weight of the data in a mixture with independent columns, whatever the kinds."""

import numpy as np
import pytest
from scipy.stats.contingency import association, crosstab

from latens.evaluation.samples.dependence import associations, dependence
from latens.kinds.tables.columns import ColumnType


def _rows(n: int, weight: float, seed: int) -> np.ndarray:
    """Rows of three columns that depend on one another with a probability, and else are drawn apart."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, n)
    joint = np.stack(
        [first, np.where(rng.random(n) < 0.8, first, rng.integers(0, 3, n)), 2 * first + rng.integers(0, 2, n)]
    )
    apart = np.stack([rng.permutation(column) for column in joint])
    return np.where(rng.random(n) < weight, joint, apart).T.astype(np.float64)


TYPES = (
    ColumnType("category", values=("a", "b", "c"), shares=(1 / 3, 1 / 3, 1 / 3)),
    ColumnType("ordinal", values=("l", "m", "h"), shares=(1 / 3, 1 / 3, 1 / 3)),
    ColumnType("number", size=6, starts=tuple(range(6)), shares=(1 / 6,) * 6),
)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_slope_is_the_weight_of_a_mixture(weight: float) -> None:
    found = dependence(_rows(2000, 1.0, 0), _rows(2000, 1.0, 1), _rows(20_000, weight, 2), TYPES)
    assert found is not None
    assert abs(found.value - weight) < 4.0 * found.standard_error < 0.12


def test_its_error_covers() -> None:
    values = [
        dependence(_rows(500, 1.0, 0), _rows(150, 1.0, 10 + i), _rows(1000, 0.7, 200 + i), TYPES) for i in range(60)
    ]
    found = np.array([(one.value, one.standard_error) for one in values if one is not None])
    assert len(found) == 60
    assert np.mean(np.abs(found[:, 0] - 0.7) < 1.96 * found[:, 1]) >= 0.88
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.3)


def test_missing_cells_say_nothing() -> None:
    train, test, fake = _rows(2000, 1.0, 0), _rows(2000, 1.0, 1), _rows(5000, 0.5, 2)
    hidden = np.random.default_rng(0).random(test.shape) > 0.3
    other = np.where(hidden, test, 0.0)
    one, gaps = dependence(train, test, fake, TYPES), dependence(train, other, fake, TYPES, test_mask=hidden)
    assert one is not None
    assert gaps is not None
    # Both cells of a pair are there in about half of the rows, of held-out rows alone.
    assert gaps.value == pytest.approx(one.value, abs=4.0 * gaps.standard_error)


def test_columns_that_do_not_depend_have_no_slope() -> None:
    assert dependence(_rows(500, 0.0, 0), _rows(500, 0.0, 1), _rows(500, 0.0, 2), TYPES) is None


def test_associations_are_cramers_v_of_the_rows_that_have_both_cells() -> None:
    x = _rows(400, 0.6, 3)
    mask = np.random.default_rng(0).random(x.shape) > 0.2
    joint, strength = associations(np.where(mask, x, 0.0), TYPES, mask=mask)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = mask[:, i] & mask[:, j]
        table = crosstab(x[both, i], x[both, j]).count
        assert strength[i, j] == pytest.approx(association(table, method="cramer"))
        np.testing.assert_allclose(joint[i, j][: table.shape[0], : table.shape[1]], table / table.sum())
    twice = associations(x, TYPES, weight=np.full(len(x), 2.0))[1]
    np.testing.assert_allclose(twice, associations(np.concatenate([x, x]), TYPES)[1])
    assert np.isnan(associations(x, TYPES, mask=np.zeros(x.shape, bool))[1]).all()
    assert associations(x * [1.0, 0.0, 1.0], TYPES)[1][0, 1] == 0.0
