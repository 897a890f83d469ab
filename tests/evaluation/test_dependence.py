"""The dependence of columns is Cramer's V."""

import numpy as np
import pytest
from scipy.stats.contingency import association, crosstab

from latens.evaluation.samples.dependence import associations
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
