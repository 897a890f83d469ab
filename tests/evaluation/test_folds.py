"""Fold changes of two groups from sums of cells: batches that both hold, and the spread of cells, by hand."""

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from latens.evaluation.folds import FEWEST, CellSums, folds, merged


def sums(share: np.ndarray, counted: np.ndarray, expected: np.ndarray) -> CellSums:
    """Cells of these shares (n, genes), which are known exactly."""
    made = CellSums(1, share.shape[1])
    made.add(share[:, None], counted, expected, counted, np.ones_like(counted))
    return made


def test_one_batch_by_hand() -> None:
    share = np.array([[0.2], [0.4], [0.3]]), np.array([[0.1], [0.1]])
    counted = np.array([[3.0], [5.0], [2.0]]), np.array([[2.0], [1.0]])
    expected = np.array([[2.0], [4.0], [3.0]]), np.array([[1.0], [1.0]])
    found = folds(*({0: sums(s, o, e)} for s, o, e in zip(share, counted, expected)))
    logs, variances = [], []
    for s, o, e in zip(share, counted, expected):
        n, total, wanted = len(s), o.sum(), e.sum()
        logs.append(np.log2(s.mean()) + (digamma(total + 1) - np.log(wanted + 1)) / np.log(2))
        each = (s - s.mean()) / s.mean() / n + (o - total / wanted * e) / (total + 1)
        of_shares = np.sum(((s - s.mean()) / s.mean() / n) ** 2) * n / (n - 1)
        variances.append(max(np.sum(each**2) * n / (n - 1), of_shares + polygamma(1, total + 1)))
    np.testing.assert_allclose([found.first[0], found.second[0]], logs, rtol=1e-12)
    np.testing.assert_allclose(found.error, np.sqrt(sum(variances)) / np.log(2), rtol=1e-12)
    assert found.shared
    assert found.cells == (3, 2)


def test_what_a_model_gets_wrong_of_a_batch_leaves_the_difference() -> None:
    """Batch 1 has 3 times what the model expects, in both groups; the first group has twice the share of the second."""
    groups = []
    for rows, truth in (((900, 100), 2.0), ((200, 800), 1.0)):
        made = {}
        for batch, n in enumerate(rows):
            expected = np.full((n, 1), 40.0)  # of a model that sees no difference of the groups
            made[batch] = sums(np.full((n, 1), 0.01), truth * (1.0, 3.0)[batch] * expected, expected)
        groups.append(made)
    found = folds(*groups)
    np.testing.assert_allclose(found.first - found.second, 1.0, atol=1e-3)
    assert found.cells == (1000, 1000)
    pooled = folds(*({0: merged(group)} for group in groups))  # as if all cells were of one batch
    np.testing.assert_allclose(pooled.first - pooled.second, np.log2(2.0 * 1.2 / 2.6), atol=1e-3)


def test_cells_of_batches_that_hold_one_group_are_left_out_while_others_are_enough() -> None:
    def cells(n: int, times: float) -> CellSums:
        return sums(np.full((n, 1), 0.01), np.full((n, 1), 50.0 * times), np.full((n, 1), 50.0))

    found = folds({0: cells(20, 2.0), 1: cells(30, 8.0)}, {0: cells(40, 1.0)})
    np.testing.assert_allclose(found.first - found.second, 1.0, atol=2e-3)
    assert (found.cells, found.shared) == ((20, 40), True)
    apart = folds({0: cells(20, 2.0)}, {1: cells(40, 1.0)})
    assert (apart.cells, apart.shared) == ((20, 40), False)
    few = folds({0: cells(FEWEST - 1, 2.0), 1: cells(30, 2.0)}, {0: cells(40, 1.0)})
    assert (few.cells, few.shared) == ((FEWEST + 29, 40), False)


@pytest.mark.parametrize("unlike", [0.0, 0.8])
def test_errors_are_the_spread_of_the_estimates(unlike: float) -> None:
    """Counts of cells that vary beyond what the model expects of them: the spread over cells counts, not Poisson's."""
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        groups = []
        for n in (60, 80):
            expected = np.full((n, 10), 4.0)
            theirs = expected * np.exp(unlike * rng.normal(size=(n, 10)) - unlike**2 / 2)
            groups.append({0: sums(np.full((n, 10), 0.01), rng.poisson(theirs).astype(float), expected)})
        made = folds(*groups)
        found.append((made.first - made.second, made.error))
    estimate, error = np.array(found).swapaxes(0, 1)
    assert error.mean() == pytest.approx(estimate.std(), rel=0.12)
    held = np.mean(np.abs(estimate) <= 1.96 * error)
    assert 0.92 < held < 0.97
    poisson = np.sqrt(1 / 240 + 1 / 320) / np.log(2)
    assert error.mean() / poisson == pytest.approx(1.0 if not unlike else 2.14, rel=0.15)
