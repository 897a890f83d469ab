"""A tree of columns against the table of all its rows: every sum over missing cells is exact."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latens.data.columns import ColumnType
from latens.distributions import SwitchedTree, Tree
from latens.models.heads.table import TableHead
from latens.models.heads.tree import BINS, Bins, TreeHead, bins_of, gathered

TYPES = (
    ColumnType("category", values=("a", "b", "c"), shares=(0.5, 0.3, 0.2)),
    ColumnType("number", size=6, starts=(0, 1, 4), shares=(0.3, 0.3, 0.4)),
    ColumnType("category", values=("x", "y"), shares=(0.6, 0.4)),
    ColumnType("ordinal", values=("low", "middle", "high"), shares=(0.2, 0.5, 0.3)),
    ColumnType("category", values=("p", "q"), shares=(0.5, 0.5)),
)
EVERY = np.array(list(itertools.product(range(3), range(6), range(2), range(3), range(2))), np.float32)
# 3 and 4 hang from 1, which hangs from 2; 0 is alone.
PARENTS, ORDER = np.array([0, 2, 2, 1, 1]), np.array([2, 0, 1, 4, 3])


# Compiled once for all cases.
OBSERVED = eqx.filter_jit(lambda tree, event, mask: tree.log_prob_observed(event, mask))
TERMS = eqx.filter_jit(lambda tree, event, mask: tree.terms_observed(event, mask))
REST = eqx.filter_jit(lambda tree, event, mask: jax.vmap(tree.conditioned(event, mask).log_prob)(jnp.asarray(EVERY)))
LOG_PROB = eqx.filter_jit(lambda tree, events: jax.vmap(tree.log_prob)(events))
SAMPLE = eqx.filter_jit(lambda tree, keys: jax.vmap(lambda key: tree.sample(key=key))(keys))


def _tree(switched: bool) -> Tree | SwitchedTree:
    """One tree, or three of which the first column says which one holds, the last two of its names the same one."""
    rng = np.random.default_rng(0)
    ratios = rng.normal(size=(*([2] if switched else []), 5, BINS, BINS))
    ratios[..., [0, 2], :, :] = 0.0
    if switched:
        ratios[:, 2] = rng.normal(size=(2, 1, BINS))  # a root may depend on the name
    head = TreeHead(TYPES, num_trees=2 if switched else 1)
    head = head.with_tree(PARENTS, ORDER, ratios, None, *((0, np.minimum(np.arange(BINS), 1)) if switched else ()))
    head = eqx.tree_at(lambda h: h.more, head, jnp.asarray(rng.normal(size=head.more.shape), jnp.float32))
    outputs = rng.normal(size=head.num_outputs) * (0.5 if switched else 1.0)  # no column is sure of a cell
    return head(jnp.asarray(outputs, jnp.float32))


@pytest.fixture(scope="module", params=[False, True], ids=["one", "switched"])
def tree(request: pytest.FixtureRequest) -> Tree | SwitchedTree:
    return _tree(request.param)


@pytest.fixture(scope="module")
def table(tree: Tree | SwitchedTree) -> np.ndarray:
    """The probability of each row of `EVERY`."""
    return np.exp(np.asarray(LOG_PROB(tree, jnp.asarray(EVERY)), np.float64))


def test_blocks_that_are_computed_together_are_the_same_columns() -> None:
    """Padded to the widest of a group, each column is what it was: log probabilities, means and slopes."""
    rng = np.random.default_rng(3)
    types = (*TYPES, ColumnType("number", size=900, starts=tuple(range(900)), shares=(1 / 900,) * 900))
    head = TreeHead(types)
    outputs = jnp.asarray(rng.normal(size=head.num_outputs), jnp.float32)
    bins = {name: one.value for name, one in head.bins.of.items()}
    event = jnp.asarray([1.0, 4.0, 1.0, 2.0, 0.0, 40.0])

    @eqx.filter_jit
    def of(outputs: jax.Array, together: bool) -> tuple:
        made = lambda o: gathered(head.columns(o), bins)[0] if together else head.columns(o)  # noqa: E731
        terms = lambda o: made(o).log_prob_terms(event)  # noqa: E731
        return terms(outputs), made(outputs).mean(), jax.grad(lambda o: terms(o).sum())(outputs)

    for together, alone in zip(of(outputs, True), of(outputs, False)):
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    apart = head.columns(outputs)
    joint, own = gathered(apart, bins)
    assert len(joint.parts) == 3 < len(apart.parts)  # names, the short numbers, the long one
    for name, places in zip(joint.blocks.names, joint.blocks.places):
        for row, place in enumerate(places):
            where = next(n for n, own_places in zip(apart.blocks.names, apart.blocks.places) if place in own_places)
            at = apart.blocks.places[apart.blocks.names.index(where)].index(place)
            count = types[place].count
            np.testing.assert_array_equal(own[name][row, :count], bins[where][at, :count])
            assert not np.asarray(joint.parts[name].widths[row, count:]).any()


def test_the_rows_sum_to_one(table: np.ndarray) -> None:
    assert table.sum() == pytest.approx(1.0, abs=1e-6)


def test_a_column_depends_on_its_parent_alone(tree: Tree | SwitchedTree, table: np.ndarray) -> None:
    def given(j: int, others: tuple[int, ...]) -> np.ndarray:
        """P(x_j | the others), led by the others' values."""
        sums = table.reshape(3, 6, 2, 3, 2).sum(axis=tuple(set(range(5)) - {j, *others}), keepdims=True)
        return sums / sums.sum(axis=j, keepdims=True)

    by = (0,) if isinstance(tree, SwitchedTree) else ()
    assert np.allclose(given(3, (1, *by)), given(3, (0, 1, 2, 4)), atol=1e-5)
    assert np.allclose(given(1, (2, *by)), given(1, (0, 2)), atol=1e-5)
    if by:  # two names share a tree, the third has one of its own
        assert np.allclose(given(3, (1, 0))[1], given(3, (1, 0))[2], atol=1e-5)
        assert np.abs(given(3, (1, 0))[0] - given(3, (1, 0))[1]).max() > 0.05
        assert np.abs(given(2, (0,))[0] - given(2, (0,))[1]).max() > 0.05
    assert np.abs(given(3, (1,)) - given(3, ())).max() > 0.05
    terms = np.asarray(tree.log_prob_terms(jnp.array([1.0, 2.0, 1.0, 2.0, 0.0])))
    assert np.exp(terms[3]) == pytest.approx(given(3, (1, *by))[1 if by else 0, 2, 0, 2, 0], rel=1e-5)


@pytest.mark.parametrize("shown", list(itertools.product((True, False), repeat=5))[::3])
def test_missing_cells_are_summed_over(tree: Tree | SwitchedTree, table: np.ndarray, shown: tuple[bool, ...]) -> None:
    row, mask = np.array([1.0, 4.0, 1.0, 2.0, 0.0]), np.array(shown)
    event = jnp.asarray(np.where(mask, row, np.nan))
    fits = np.all((row == EVERY) | ~mask, axis=1)
    assert float(OBSERVED(tree, event, jnp.asarray(mask))) == pytest.approx(np.log(table[fits].sum()), abs=2e-6)
    terms = np.asarray(TERMS(tree, event, jnp.asarray(mask)))
    assert terms.sum() == pytest.approx(np.log(table[fits].sum()), abs=5e-6)
    assert (terms[~mask] == 0).all()
    # Each by enumeration: given the observed ones before it, the name that says which tree holds first.
    first = [int(tree.by)] if isinstance(tree, SwitchedTree) else []
    order = list(dict.fromkeys([*first, *np.asarray(tree.order).tolist()]))
    before, seen = 0.0, np.zeros(5, bool)
    for j in order:
        seen[j] = mask[j]
        upto = np.log(table[np.all((row == EVERY) | ~seen, axis=1)].sum())
        assert terms[j] == pytest.approx(upto - before, abs=5e-6)
        before = upto
    rest = np.asarray(REST(tree, jnp.where(mask, row, 0.0), jnp.asarray(mask)), np.float64)[fits]
    # An observed column of `conditioned` is one of its bin: column 1 has two cells in the one of 4.
    inside = 2.0 if mask[1] else 1.0
    assert np.allclose(np.exp(rest) * inside, table[fits] / table[fits].sum(), atol=2e-6)


@pytest.mark.parametrize("shown", [(True, False, True, False, True), (False, True, True, True, False), (True,) * 5])
def test_each_column_given_the_others(tree: Tree | SwitchedTree, table: np.ndarray, shown: tuple[bool, ...]) -> None:
    row, mask = np.array([1.0, 4.0, 1.0, 2.0, 0.0]), np.array(shown)
    each = tree.each_given(jnp.asarray(row), jnp.asarray(mask))
    for j, size in enumerate((3, 6, 2, 3, 2)):
        others = np.all((row == EVERY) | ~mask | (np.arange(5) == j), axis=1)
        exact = [table[others & (EVERY[:, j] == v)].sum() / table[others].sum() for v in range(size)]
        found = [float(each.log_prob_terms(jnp.asarray(row).at[j].set(v))[j]) for v in range(size)]
        assert np.allclose(np.exp(found), exact, atol=2e-6), j


def test_marginals_and_means(tree: Tree | SwitchedTree, table: np.ndarray) -> None:
    alone = tree.marginals()
    for j, size in enumerate((3, 6, 2, 3, 2)):
        exact = [table[EVERY[:, j] == v].sum() for v in range(size)]
        found = [float(alone.log_prob_terms(jnp.zeros(5).at[j].set(v))[j]) for v in range(size)]
        assert np.allclose(np.exp(found), exact, atol=2e-6)
    assert float(tree.mean()[1]) == pytest.approx((table * EVERY[:, 1]).sum(), abs=1e-5)


def test_within_ranges(tree: Tree | SwitchedTree, table: np.ndarray) -> None:
    low, high = np.array([-np.inf, 2, -np.inf, 1, -np.inf]), np.array([1, 4, np.inf, np.inf, np.inf])
    fits = np.all((low <= EVERY) & (high >= EVERY), axis=1)
    inside, mass = tree.within(jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32))
    assert float(mass) == pytest.approx(np.log(table[fits].sum()), abs=2e-6)
    found = np.exp(np.asarray(jax.vmap(inside.log_prob)(jnp.asarray(EVERY)), np.float64))
    assert np.allclose(found, np.where(fits, table / table[fits].sum(), 0.0), atol=2e-6)
    each = tree.each_within(jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32))
    for j, size in enumerate((3, 6, 2, 3, 2)):
        others = np.all(((low <= EVERY) & (high >= EVERY)) | (np.arange(5) == j), axis=1)
        exact = [table[others & (EVERY[:, j] == v)].sum() / table[others].sum() for v in range(size)]
        found = [float(each.log_prob_terms(jnp.zeros(5).at[j].set(v))[j]) for v in range(size)]
        assert np.allclose(np.exp(found), exact, atol=2e-6), j


def test_samples_are_of_the_table(tree: Tree | SwitchedTree, table: np.ndarray) -> None:
    n = 40_000
    rows = np.asarray(SAMPLE(tree, jax.random.split(jax.random.key(1), n)))
    places = np.ravel_multi_index(rows.astype(int).T, (3, 6, 2, 3, 2))
    share = np.bincount(places, minlength=len(EVERY)) / n
    assert (np.abs(share - table) < 5.0 * np.sqrt(table / n) + 1e-4).all()


def test_without_a_tree_columns_are_independent() -> None:
    head, row = TreeHead(TYPES), jnp.array([2.0, 5.0, 0.0, 1.0, 1.0])
    outputs = jnp.linspace(-1.0, 1.0, head.num_outputs)
    mask = jnp.array([True, False, True, True, False])
    assert float(head(outputs).log_prob(row)) == pytest.approx(float(TableHead(TYPES)(outputs).log_prob(row)), abs=1e-5)
    alone = TableHead(TYPES)(outputs).log_prob_observed(row, mask)
    assert float(head(outputs).log_prob_observed(row, mask)) == pytest.approx(float(alone), abs=1e-5)


@pytest.mark.parametrize("trees", [1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_gradients_are_finite_where_cells_are_missing(trees: int, first: bool) -> None:
    more = [trees] if trees > 1 else []
    switch = (0, np.minimum(np.arange(BINS), 1)) if more else ()
    head = TreeHead(TYPES, num_trees=trees).with_tree(PARENTS, ORDER, np.zeros((*more, 5, BINS, BINS)), None, *switch)
    mask = jnp.array([first, False, True, False, True])
    event = jnp.array([1.0 if first else jnp.nan, jnp.nan, 1.0, jnp.nan, 0.0])
    of = lambda outputs: head(outputs).log_prob_observed(event, mask)  # noqa: E731
    grads = jax.jit(jax.grad(of))(jnp.zeros(head.num_outputs))
    assert np.isfinite(np.asarray(grads)).all()
    assert np.isfinite(np.asarray(jax.jit(jax.hessian(of))(jnp.zeros(head.num_outputs)))).all()
    assert np.abs(np.asarray(grads)).max() > 0.01


def test_bins_of_many_segments() -> None:
    names = ColumnType(
        "category", values=tuple("abcdefghij"), shares=(0.01, 0.3, 0.02, 0.2, 0.05, 0.1, 0.08, 0.07, 0.12, 0.05)
    )
    assert bins_of(names).tolist() == [7, 0, 7, 1, 6, 3, 4, 5, 2, 7]
    number = ColumnType("number", size=100, starts=tuple(range(0, 100, 5)), shares=(0.05,) * 20)
    assert bins_of(number).tolist() == sorted(bins_of(number).tolist())
    assert bins_of(number).max() == 7
    assert np.ptp(np.bincount(bins_of(number))) <= 1


def test_later_names_take_free_bins_and_the_others_stay() -> None:
    blocks = TableHead(TYPES).blocks
    old = Bins([bins_of(one) for one in TYPES], blocks)
    more = [bins_of(one) for one in TYPES]
    more[0], more[2] = np.arange(3)[::-1], np.zeros(9, int)
    grown = Bins([*more[:2], more[2], more[3], more[4]], blocks).grown_from(old).columns()
    assert [one.tolist() for one in grown] == [[0, 1, 2], [0, 1, 2], [0, 1, 2, 3, 4, 5, 6, 7, 7], [0, 1, 2], [0, 1]]
    wide = Bins([*more[:2], np.arange(12), more[3], more[4]], blocks)  # a column of more bins than `BINS`
    grown = Bins([*more[:2], np.zeros(14, int), more[3], more[4]], blocks).grown_from(wide).columns()
    assert grown[2].tolist() == [*range(12), 11, 11]


def test_extreme_outputs_stay_finite_and_exact() -> None:
    rng = np.random.default_rng(1)
    head = TreeHead(TYPES).with_tree(
        PARENTS, ORDER, rng.normal(size=(5, BINS, BINS)) * (np.arange(5) != PARENTS)[:, None, None]
    )
    row, whole = jnp.array([1.0, 4.0, 1.0, 2.0, 0.0]), jnp.ones(5, bool)
    for seed in range(5):
        outputs = 60.0 * jax.random.normal(jax.random.key(seed), (head.num_outputs,))
        value, slope = jax.value_and_grad(lambda outputs: head(outputs).log_prob_observed(row, whole))(outputs)
        assert float(value) == pytest.approx(float(head(outputs).log_prob(row)), rel=1e-4)
        # The tree adds no slope that is not a number to those of the columns alone.
        alone = jax.grad(lambda outputs: TableHead(TYPES)(outputs).log_prob_observed(row, whole))(outputs)
        assert (np.isfinite(np.asarray(slope)) | ~np.isfinite(np.asarray(alone))).all()


@pytest.mark.parametrize("trees", [1, 2])
@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_many_columns_that_hang_from_a_missing_one(trees: int, strength: float) -> None:
    """Their messages are small together, in every bin: what they say of it is that of sums of logarithms."""
    rng, children = np.random.default_rng(7), 150
    names = ColumnType("category", values=tuple("abcdefgh"), shares=(0.125,) * 8)
    types = (names, *[ColumnType("category", values=("p", "q"), shares=(0.5, 0.5))] * (children + 1))
    c = len(types)  # the hub, its children, and a name that says which tree holds
    parents = np.append(np.zeros(children + 1, int), c - 1)
    ratios = np.zeros((c, BINS, BINS))
    ratios[1:-1, :, 0] = strength * rng.normal(size=(children, BINS))
    both = np.stack([ratios] * trees) if trees > 1 else ratios
    switch = (c - 1, np.minimum(np.arange(BINS), 1)) if trees > 1 else ()
    head = TreeHead(types, num_trees=trees).with_tree(parents, np.arange(c), both, None, *switch)
    tree = head(jnp.zeros(head.num_outputs))
    row, mask = np.zeros(c), np.arange(c) > 0
    row[1:-1] = rng.integers(0, 2, children)
    step = ratios[1:-1, :, :2] - np.logaddexp(ratios[1:-1, :, 0], ratios[1:-1, :, 1])[..., None]
    log = step[np.arange(children), :, row[1:-1].astype(int)].sum(axis=0) - np.log(8.0)
    assert log.max() < -90.0  # less than the least number of single precision
    whole = np.logaddexp.reduce(log)
    event, shown = jnp.asarray(row), jnp.asarray(mask)
    of = eqx.filter_jit(lambda tree: (tree.log_prob_observed(event, shown), tree.each_given(event, shown)))
    total, each = of(tree)
    assert float(total) == pytest.approx(whole - np.log(2.0), rel=1e-5)
    found = [float(each.log_prob_terms(event.at[0].set(v))[0]) for v in range(8)]
    np.testing.assert_allclose(np.exp(found), np.exp(log - whole), atol=1e-4)
    inside, mass = tree.within(jnp.where(mask, event, -jnp.inf), jnp.where(mask, event, jnp.inf))
    assert float(mass) == pytest.approx(whole - np.log(2.0), rel=1e-5)
    shares = np.asarray([inside.log_prob(event.at[0].set(v)) for v in range(8)])
    np.testing.assert_allclose(np.exp(shares), np.exp(log - whole), atol=1e-4)
