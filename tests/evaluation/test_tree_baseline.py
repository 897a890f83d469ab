"""The tree of columns: the edges and conditionals of a table that has them, and what it says of held-out rows."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from latens.data.columns import ColumnType
from latens.evaluation.evidence import kinds, tree
from latens.evaluation.evidence.kinds import PLAIN
from latens.evaluation.evidence.tree import _copulas, fit_tree, tree_baseline
from latens.models.heads.table import middles_of
from latens.models.heads.tree import BINS, TreeHead, bins_of


def _chain(n: int, seed: int) -> np.ndarray:
    """Four yes-no columns: 0 to 1 to 2, each the same as the one before with probability 0.9; 3 is alone."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.5
    second = np.where(rng.random(n) < 0.9, first, ~first)
    third = np.where(rng.random(n) < 0.9, second, ~second)
    return np.stack([first, second, third, rng.random(n) < 0.3], axis=1).astype(np.float64)


def _types(x: np.ndarray) -> tuple[ColumnType, ...]:
    share = x.mean(axis=0).tolist()
    return tuple(ColumnType("category", values=("no", "yes"), shares=(1.0 - p, p)) for p in share)


def test_the_edges_are_those_of_the_chain() -> None:
    x = _chain(2000, 0)
    made = fit_tree(x, None, _types(x))
    edges = {frozenset((j, int(p))) for j, p in enumerate(made.parents) if p != j}
    assert edges == {frozenset((0, 1)), frozenset((1, 2))}
    assert made.parents[3] == 3
    rank = np.argsort(made.order)
    assert all(rank[made.parents[j]] < rank[j] or made.parents[j] == j for j in range(4))


def test_its_gain_is_the_mutual_information() -> None:
    x, fresh = _chain(50_000, 0), _chain(50_000, 1)
    types = _types(x)
    gain = fit_tree(x, None, types).log_prob(fresh) - sum(one.log_shares(fresh[:, j]) for j, one in enumerate(types))
    # Two edges of log 2 - H(0.9) each.
    exact = 2.0 * (np.log(2.0) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert gain.mean() == pytest.approx(exact, abs=5.0 * gain.std() / np.sqrt(len(gain)) + 1e-3)


def test_a_conditional_is_shrunk_to_the_shares() -> None:
    x = _chain(300, 2)
    types = _types(x)
    made = fit_tree(x, None, types, shrinks=(15.0,))
    child = next(j for j, p in enumerate(made.parents) if p != j)
    parent = int(made.parents[child])
    above = x[:, parent] == 1
    wanted = (x[above, child].sum() + 15.0 * types[child].shares[1]) / (above.sum() + 15.0)
    assert np.exp(made.log_ratios[child, 1, 1]) * types[child].shares[1] == pytest.approx(wanted, rel=1e-9)


def test_weights_count_rows_and_the_order_of_columns_does_not() -> None:
    x = _chain(400, 3)
    weight = np.random.default_rng(0).integers(1, 4, len(x)).astype(float)
    one = fit_tree(x, None, _types(x), weight=weight, shrinks=(5.0,))
    above, child = next((int(p), j) for j, p in enumerate(one.parents) if p != j)
    mine = weight * (x[:, above] == 1)
    wanted = (mine @ x[:, child] + 5.0 * x[:, child].mean()) / (mine.sum() + 5.0)
    assert np.exp(one.log_ratios[child, 1, 1]) * x[:, child].mean() == pytest.approx(wanted, rel=1e-6)
    turned = x[:, ::-1]
    values = fit_tree(x, None, _types(x)).log_prob(x), fit_tree(turned, None, _types(turned)).log_prob(turned)
    assert np.allclose(*values, atol=1e-4)


def test_pairs_of_which_one_is_missing_do_not_count() -> None:
    x, mask = _chain(2000, 4), np.ones((2000, 4), bool)
    hidden = np.arange(1000, 2000)
    mask[hidden, 1] = False
    spoilt = x.copy()
    spoilt[hidden, 1] = 1.0
    types = _types(x)
    made, plain = fit_tree(spoilt, mask, types, shrinks=(15.0,)), fit_tree(x[:1000], None, types, shrinks=(15.0,))
    j = next(j for j in (0, 1, 2) if {j, int(made.parents[j])} == {0, 1})
    if made.parents[j] == plain.parents[j]:
        assert np.allclose(made.log_ratios[j], plain.log_ratios[j], atol=1e-9)
    shown = np.array([[True, False, True, True]])
    row = np.array([[1.0, np.nan, 1.0, 0.0]])
    both = made.log_prob(np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]))
    assert made.log_prob(row, shown)[0] == pytest.approx(np.logaddexp(*both), abs=1e-5)


def test_the_head_begins_at_the_tree() -> None:
    x = _chain(500, 5)
    types = _types(x)
    made = fit_tree(x, None, types)
    head = TreeHead(types).with_tree(made.parents, made.order, made.log_ratios)
    values = [float(head(jnp.zeros(head.num_outputs)).log_prob(jnp.asarray(row))) for row in x[:20]]
    exact = sum(one.log_shares(x[:20, j]) for j, one in enumerate(types))
    for j, p in enumerate(made.parents):
        exact = exact + made.log_ratios[j][x[:20, p].astype(int), x[:20, j].astype(int)]
    assert np.allclose(values, exact, atol=1e-4)


def test_few_rows_and_one_column_have_no_tree() -> None:
    x = _chain(8, 6)
    assert (fit_tree(x, None, _types(x)).parents == np.arange(4)).all()
    one = _chain(100, 7)[:, :1]
    order = np.arange(100)
    found = tree_baseline(one, one[:5], _types(one), order=order)
    assert np.allclose(found, _types(one)[0].log_shares(one[:5, 0]), atol=1e-6)


def _numbers(n: int, r: float, seed: int) -> tuple[np.ndarray, tuple[ColumnType, ...]]:
    """Two columns of rounded Normals with a correlation, and their types."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(n)
    second = r * first + np.sqrt(1.0 - r**2) * rng.standard_normal(n)
    x = np.clip(np.round(np.stack([first, second], axis=1) * 4.0) + 12.0, 0.0, 24.0)
    shares = [(np.bincount(column.astype(int), minlength=25) + 0.1) / (n + 2.5) for column in x.T]
    return x, tuple(ColumnType("number", starts=tuple(range(25)), size=25, shares=tuple(s.tolist())) for s in shares)


def test_two_numbers_are_shrunk_to_a_normal_copula() -> None:
    """Each rectangle by the distribution function of two Normals with the correlation of their scores."""
    x, types = _numbers(400, 0.8, 0)
    bins = [bins_of(one) for one in types]
    alone = np.stack([np.bincount(own, weights=one.shares, minlength=BINS) for own, one in zip(bins, types)])
    found = _copulas(x, None, types, alone, np.ones(len(x)))[0, 1]
    scores = np.stack([middles_of(one)[x[:, j].astype(int)] for j, one in enumerate(types)])
    r = np.corrcoef(scores)[0, 1]
    edges = [np.clip(ndtri(np.clip(np.append(0.0, np.cumsum(one)), 0.0, 1.0)), -8.0, 8.0) for one in alone]
    upto = np.array([[multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([a, b]) for b in edges[1]] for a in edges[0]])
    exact = np.diff(np.diff(upto, axis=0), axis=1) / alone[0][:, None]
    assert np.allclose(found, (1.0 - PLAIN) * exact + PLAIN * alone[1], atol=0.01)
    assert np.allclose(found.sum(axis=1), 1.0, atol=1e-9)


def test_few_rows_of_two_numbers_gain_by_the_copula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 rows: beside what they gain where they are shrunk to the shares alone."""
    x, types = _numbers(100, 0.8, 1)
    fresh, _ = _numbers(20_000, 0.8, 2)
    one = fit_tree(x, None, types, parts=1).log_prob(fresh)
    monkeypatch.setattr(kinds, "PLAIN", 1.0)
    monkeypatch.setattr(tree, "_COUNTED", {})
    more = one - fit_tree(x, None, types, parts=1).log_prob(fresh)
    assert more.mean() > 0.1


def test_a_tree_is_counted_once_and_again_where_anything_is_another() -> None:
    """Of the same rows in other arrays it is the same object; a weight, a gap, a type or a shrinkage counts anew."""
    x, types = _numbers(120, 0.5, 3)
    shown, heavy = np.ones(x.shape, bool), np.ones(len(x))
    first = fit_tree(x, None, types)
    assert fit_tree(x.copy(), shown, types, weight=heavy) is first
    heavy[0], shown[0, 0] = 2.0, False
    other = (types[1], types[1])
    again = [fit_tree(x, None, types, weight=heavy), fit_tree(x, shown, types), fit_tree(x, None, other)]
    again += [fit_tree(x[::-1], None, types), fit_tree(x, None, types, shrinks=(3.0,))]
    assert all(one is not first for one in again)
    assert len(tree._COUNTED) <= tree.MOST_COUNTED


@pytest.mark.parametrize(("n", "r", "finer"), [(120, 0.5, False), (4000, 0.99, True)])
def test_a_tree_chosen_among_more_is_chosen_among_less_where_it_is_among_that(n: int, r: float, finer: bool) -> None:
    x, types = _numbers(n, r, 4)
    first = fit_tree(x, None, types)
    assert (first.most > BINS) is finer
    less = fit_tree(x, None, types, parts=1)
    assert (less is first) is not finer
    assert less.most == BINS
