"""The mixture of independent columns that a model of a mixed table is compared with."""

import itertools

import numpy as np
import pytest

from latens.evidence.mixture_baseline import PSEUDO_ROWS, best_classes, fit_mixture
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type

rng = np.random.default_rng(0)
NAMES = ColumnType("category", ("a", "b", "c"), shares=(0.2, 0.3, 0.5))
GRID = number_type(v := rng.integers(0, 12, 400).astype(float), v, FrameColumn(dtype="Int64"))
MEMBER = ColumnType("category", ("no", "yes"), shares=(0.6, 0.4))
TYPES = (NAMES, GRID, MEMBER)
TRUE = (
    np.array([0.5, 0.3, 0.2]),
    [
        np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.1, 0.1, 0.8]]),
        np.stack([np.exp(-0.5 * (np.arange(GRID.size) - m) ** 2) for m in (1.0, 5.0, 10.0)]),
        np.array([[0.9, 0.1], [0.5, 0.5], [0.05, 0.95]]),
    ],
)
for table in TRUE[1]:
    table /= table.sum(axis=1, keepdims=True)


def drawn(n, seed):
    """Rows of three kinds, and their exact log probability."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n, p=TRUE[0])
    x = np.stack([(rng.random(n)[:, None] > np.cumsum(t[kind], axis=1)).sum(axis=1) for t in TRUE[1]], axis=1)
    return x.astype(np.float32), np.log(sum(w * p for w, p in zip(TRUE[0], given(x))))


def given(x):
    return [np.prod([t[k, x[:, j].astype(int)] for j, t in enumerate(TRUE[1])], axis=0) for k in range(3)]


def test_probabilities_sum_to_one_and_a_hidden_cell_leaves_the_marginal():
    x, _ = drawn(2000, 0)
    mixture = fit_mixture(x, None, TYPES, 4)
    every = np.array(list(itertools.product(range(3), range(GRID.size), range(2))), np.float32)
    p = np.exp(mixture.log_prob(every))
    assert p.sum() == pytest.approx(1.0, abs=1e-9)
    mask = np.tile([True, False, True], (len(every), 1))
    marginal = [p[np.all((every == row) | [False, True, False], axis=1)].sum() for row in every]
    np.testing.assert_allclose(np.exp(mixture.log_prob(every, mask)), marginal, rtol=1e-9)


def test_one_class_has_the_shares_of_the_rows():
    x, _ = drawn(500, 1)
    mixture = fit_mixture(x, None, TYPES, 1)
    counts = np.bincount(x[:, 0].astype(int), minlength=3)
    expected = (counts + PSEUDO_ROWS * np.array(NAMES.shares)) / (500 + PSEUDO_ROWS)
    np.testing.assert_allclose(np.exp(mixture.log_shares[0, :3]), expected, rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 16])
def test_every_step_raises_the_posterior(classes):
    x, _ = drawn(1000, 2)
    mask = np.random.default_rng(0).random(x.shape) < 0.8
    history: list[float] = []
    fit_mixture(x, mask, TYPES, classes, history=history)
    assert len(history) > 3
    assert np.all(np.diff(history) > -1e-8)


def test_rows_of_three_kinds_are_as_probable_as_they_are():
    train, _ = drawn(8000, 3)
    test, exact = drawn(4000, 4)
    classes = best_classes(train, None, TYPES, np.ones(8000))
    assert classes >= 4
    found = fit_mixture(train, None, TYPES, classes).log_prob(test)
    # The fit has some hundred parameters of 8,000 rows: about half a nat in a hundred rows for each.
    assert 0 < (exact - found).mean() < 0.03
    alone = sum(one.log_shares(test[:, j]) for j, one in enumerate(TYPES))
    assert (found - alone).mean() > 0.9


def test_neither_order_of_columns_nor_weights_change_what_is_found():
    train, _ = drawn(3000, 5)
    test, _ = drawn(500, 6)
    classes = best_classes(train, None, TYPES, np.ones(3000))
    base = fit_mixture(train, None, TYPES, classes).log_prob(test)
    turned = fit_mixture(train[:, ::-1], None, TYPES[::-1], classes).log_prob(test[:, ::-1])
    np.testing.assert_allclose(turned, base, atol=1e-6)
    one = fit_mixture(train, None, TYPES, classes, weight=np.full(3000, 1.0))
    none = np.concatenate([train, drawn(500, 9)[0]])
    weight = np.concatenate([np.ones(3000), np.zeros(500)])
    other = fit_mixture(
        none, None, TYPES, classes, weight=weight
    )  # a weight of 0 is no row, a weight of 2 the row twice
    np.testing.assert_allclose(other.log_prob(test), one.log_prob(test), atol=1e-9)
    times = np.random.default_rng(2).integers(0, 4, 3000)
    weighted = fit_mixture(train, None, TYPES, classes, weight=times.astype(float))
    repeated = fit_mixture(np.repeat(train, times, axis=0), None, TYPES, classes)
    np.testing.assert_allclose(weighted.log_prob(test), repeated.log_prob(test), atol=1e-9)


def test_rows_that_are_held_a_part_at_a_time_give_the_same_mixture(monkeypatch):
    train, _ = drawn(3000, 5)
    mask = np.random.default_rng(0).random(train.shape) < 0.8
    whole = fit_mixture(train, mask, TYPES, 4)
    monkeypatch.setattr("latens.evidence.mixture_baseline.MOST_ROWS", 700)
    np.testing.assert_allclose(fit_mixture(train, mask, TYPES, 4).log_shares, whole.log_shares, atol=1e-9)
