"""Rivals of a model: independent cells, pairs of tokens, windows and a tree of columns, against closed forms."""

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checks import close
from scipy import optimize, stats

import latens
from latens.data.dataset import training_rows
from latens.errors import DataError
from latens.evidence import independent_baseline
from latens.evidence.baseline import STRENGTH, STRENGTHS, bigram_baseline, fit_tree, tokens_counted
from latens.evidence.rivals import _autoregression, fit_window

RNG = np.random.default_rng(3)
REAL = RNG.normal(size=(400, 2))
COUNTS = np.stack([RNG.negative_binomial(2.0, 0.1, 600), RNG.poisson(3.0, 600), np.zeros(600, int)], axis=1)
LEVELS = RNG.integers(0, 4, (60, 3))
COINS = (RNG.random((60, 3)) < 0.3).astype(np.uint8)

KINDS = {
    "real": (partial(independent_baseline, kind="real"), REAL),
    "real, one unit": (partial(independent_baseline, kind="real", common_unit=True), REAL),
    "counts": (partial(independent_baseline, kind="counts"), COUNTS),
    "levels": (partial(independent_baseline, kind="levels", levels=4), LEVELS),
    "grey": (partial(independent_baseline, kind="grey"), COINS),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3, 1e30])
def test_a_column_in_other_units_has_the_same_density_in_those(unit: float) -> None:
    """Two standard Normal columns cost log(2 pi e) = 2.84 nats, and a little for their unknown mean and variance."""
    train, test = REAL[:200], RNG.normal(size=(20_000, 2))
    units = np.array([1.0, unit])
    shift = np.array([0.0, -7.0 * unit])
    found = independent_baseline(train * units + shift, test * units + shift, "real") + math.log(unit)
    np.testing.assert_allclose(found, independent_baseline(train, test, "real"), rtol=1e-9)
    # The best that a density of this kind can do loses 1/n nats a column for the two parameters.
    assert found.mean() == pytest.approx(-math.log(2 * math.pi * math.e) - 2 / 200, abs=0.02)


@pytest.mark.parametrize("rows", [2, 5, 30])
def test_few_rows_are_the_predictive_density_by_quadrature(rows: int) -> None:
    """The Student-t is the integral over mean and variance that it is said to be."""
    train = RNG.normal(5.0, 2.0, rows)
    own = train.var()
    sigma = np.exp(np.linspace(-6, 9, 6001))
    squares = np.sum((train - train.mean()) ** 2) + own
    # Mean integrated out in closed form: what is left of n + 1 rows, of which one has the spread itself.
    weight = -rows * np.log(sigma) - squares / (2 * sigma**2)
    weight = np.exp(weight - weight.max())
    for x in (5.0, 9.0, -20.0):
        density = stats.norm.pdf(x, train.mean(), sigma * math.sqrt(1 + 1 / rows))
        expected = math.log(np.sum(weight * density) / np.sum(weight))
        found = independent_baseline(train[:, None], np.array([[x]]), "real")
        assert found[0] == pytest.approx(expected, abs=1e-6)


def test_one_row_and_columns_that_do_not_vary() -> None:
    """Both know no spread but the unit that models standardise with: 1 in a table."""
    found = independent_baseline(np.array([[3.0, 8.0]]), np.array([[3.5, 6.0]]), "real")
    assert found[0] == pytest.approx(stats.cauchy.logpdf([3.5, 6.0], [3.0, 8.0], math.sqrt(2)).sum(), abs=1e-12)
    fixed = np.full((50, 1), 0.1, np.float32)
    found = independent_baseline(fixed, np.array([[0.1]], np.float32), "real")
    scale = math.sqrt(1.02 / 50)
    assert found[0] == pytest.approx(stats.t.logpdf(0.0, 50, scale=scale), abs=1e-6)
    # In a picture all cells have the unit of the others.
    rows = np.concatenate([1e3 * REAL[:50], np.zeros((50, 1))], axis=1)
    at = np.zeros((1, 3))
    both = [independent_baseline(k * rows, at, "real", common_unit=True)[0] + 3 * math.log(k) for k in (1.0, 1e-3)]
    assert both[0] == pytest.approx(both[1], abs=1e-9)


def test_columns_that_were_never_seen() -> None:
    mask = np.zeros((3, 1), bool)
    rows, at = np.full((3, 1), 1e9), np.array([[2.0]])
    assert independent_baseline(rows, at, "real", train_mask=mask)[0] == pytest.approx(
        stats.cauchy.logpdf(2.0, 0.0, math.sqrt(2))
    )
    assert independent_baseline(rows, at, "counts", train_mask=mask)[0] == pytest.approx(
        stats.nbinom.logpmf(2, 0.5, 0.5)
    )
    assert independent_baseline(rows, at, "levels", 4, train_mask=mask)[0] == pytest.approx(math.log(0.25))


def test_negative_binomials_are_the_most_likely_ones() -> None:
    """Against SciPy's density at parameters that another optimiser found; a Poisson where there is no spread."""
    n, test = 600, np.stack([RNG.negative_binomial(2.0, 0.1, 200), RNG.poisson(3.0, 200), np.arange(200) % 2], axis=1)
    x = COUNTS[:, 0]
    loss = lambda p: -stats.nbinom.logpmf(x, np.exp(p), np.exp(p) / (np.exp(p) + x.mean())).sum()  # noqa: E731
    best = math.exp(optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x)
    mean = (x.sum() + 0.5) / n
    theta = 1 / ((1 + 1 / n) / best + 1 / (x.sum() + 0.5))
    expected = stats.nbinom.logpmf(test[:, 0], theta, theta / (theta + mean))
    np.testing.assert_allclose(independent_baseline(COUNTS[:, :1], test[:, :1], "counts"), expected, rtol=1e-6)
    # A column that was always 0: the predictive probability of a Poisson under Jeffreys' prior.
    expected = stats.nbinom.logpmf(test[:, 2], 0.5, n / (n + 1.0))
    np.testing.assert_allclose(independent_baseline(COUNTS[:, 2:], test[:, 2:], "counts"), expected, rtol=1e-9)
    # And near the truth, for the two columns that have one.
    exact = stats.nbinom.logpmf(test[:, 0], 2.0, 0.1) + stats.poisson.logpmf(test[:, 1], 3.0)
    assert np.mean(exact - independent_baseline(COUNTS[:, :2], test[:, :2], "counts")) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("seen", [[0], [7], [3, 3, 2]])
def test_few_counts_without_spread_are_poisson_predictive(seen: list[int]) -> None:
    total, n = sum(seen) + 0.5, len(seen)
    rate = np.linspace(1e-7, 60, 600_001)
    weight = rate ** (total - 1) * np.exp(-n * rate)
    found = independent_baseline(np.array(seen)[:, None], np.array([[0], [4], [20]]), "counts")
    if seen != [0]:  # the prior's pole at 0 is no matter of a grid
        expected = [np.log(np.sum(weight * stats.poisson.pmf(x, rate)) / np.sum(weight)) for x in (0, 4, 20)]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(found, stats.nbinom.logpmf([0, 4, 20], total, n / (n + 1)), rtol=1e-9)


@every_kind
def test_probabilities_sum_to_one(kind: str) -> None:
    baseline, rows = KINDS[kind]
    if kind.startswith("real"):
        grid = np.linspace(-3000, 3000, 1_200_001)
        assert np.exp(baseline(rows[:20, :1], grid[:, None])).sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-4)
    else:
        every = {"counts": np.arange(3000), "levels": np.arange(4), "grey": np.arange(2)}[kind]
        assert np.exp(baseline(rows[:20, :1], every[:, None])).sum() == pytest.approx(1, abs=1e-9)


@every_kind
def test_a_weight_is_a_row_so_many_times(kind: str) -> None:
    baseline, rows = KINDS[kind]
    weight = RNG.integers(0, 4, len(rows))
    mask, where = RNG.random(rows.shape) < 0.8, np.repeat(np.arange(len(rows)), weight)
    np.testing.assert_allclose(
        baseline(rows, rows[:9], train_weight=weight), baseline(rows[where], rows[:9]), rtol=1e-9
    )
    np.testing.assert_allclose(
        baseline(rows, rows[:9], train_weight=weight, train_mask=mask),
        baseline(rows[where], rows[:9], train_mask=mask[where]),
        rtol=1e-9,
    )
    # Other weights are ratios: equal ones change nothing.
    shares = np.full(len(rows), 1 / len(rows))
    np.testing.assert_allclose(baseline(rows, rows[:9], train_weight=shares), baseline(rows, rows[:9]), rtol=1e-9)


@every_kind
def test_the_order_of_rows_and_columns(kind: str) -> None:
    baseline, rows = KINDS[kind]
    columns = np.arange(rows.shape[1])[::-1]
    expected = baseline(rows, rows[:9])
    np.testing.assert_allclose(baseline(rows[::-1], rows[:9]), expected, rtol=1e-9)
    np.testing.assert_allclose(baseline(rows[:, columns], rows[:9][:, columns]), expected, rtol=1e-9)


def test_coins_are_frequencies() -> None:
    p = (COINS.sum(0) + 0.5) / 61
    expected = stats.bernoulli.logpmf(COINS[:5], p).sum(1)
    np.testing.assert_allclose(independent_baseline(COINS, COINS[:5], "binary"), expected, rtol=1e-10)


def test_levels_are_drawn_to_those_of_all_cells_by_how_probable_values_left_out_are() -> None:
    """The choice by hand, value by value; few pictures beat the uniform distribution of their 256 levels."""
    x = np.random.default_rng(23).binomial(3, 0.5, (3, 2, 2, 2))  # values not left out favour 256 rows, not 16
    cells = [(j, value) for row in x.reshape(3, 8) for j, value in enumerate(row)]

    def log_p(left: list[tuple[int, int]], j: int, value: int, rows: float) -> float:
        own, every = [v for at, v in left if at == j], [v for at, v in left if at % 2 == j % 2]
        return math.log((own.count(value) + rows * (every.count(value) + 1) / (len(every) + 4)) / (len(own) + rows))

    best = max(STRENGTHS, key=lambda s: sum(log_p(cells[:i] + cells[i + 1 :], *one, s) for i, one in enumerate(cells)))
    expected = [sum(log_p(cells, *one, best) for one in cells[8 * row : 8 * row + 8]) for row in range(3)]
    np.testing.assert_allclose(independent_baseline(x, x, "levels", 4), expected, rtol=1e-10)
    few, new = RNG.binomial(255, RNG.beta(2, 2, (2, 40, 8, 8)))
    assert independent_baseline(few, new, "levels", 256).mean() > -64 * math.log(256)


@every_kind
def test_missing_cells_have_no_influence(kind: str) -> None:
    """Column by column, the fit to the rows that show it, and the sum over the cells that a row shows."""
    baseline, rows = KINDS[kind]
    mask = RNG.random(rows.shape) < 0.7
    test_mask = np.array([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
    test_mask = test_mask[:, : rows.shape[1]]
    other = 3 if kind == "levels" else 1
    found = baseline(
        np.where(mask, rows, other), np.where(test_mask, rows[:4], other), train_mask=mask, test_mask=test_mask
    )
    expected = np.zeros(4)
    for j in range(rows.shape[1]):
        alone = baseline(rows[mask[:, j], j : j + 1], rows[:4, j : j + 1])
        expected += np.where(test_mask[:, j], alone, 0.0)
    if kind not in ("real, one unit", "levels"):  # of those all cells say something of each
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found[3] == 0.0


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="no training row has a weight above 0"):
        independent_baseline(REAL, REAL, "real", train_weight=np.zeros(400))


TRAIN = np.array([[1, 2, 0, 0], [1, 1, 2, 0], [2, 0, 0, 0]], np.int16)


def test_pairs_are_counted_up_to_the_end_and_smoothed_by_the_shares():
    found = bigram_baseline(TRAIN, np.array([[1, 0, 0, 0]]), 3)
    shares = np.array([4.0, 4.0, 4.0]) / 12.0  # 3 ends, 3 ones and 3 twos, each once more
    first = (2 + STRENGTH * shares[1]) / (3 + STRENGTH)
    end = (0 + STRENGTH * shares[0]) / (3 + STRENGTH)
    assert found[0] == pytest.approx(np.log(first) + np.log(end), rel=1e-12)
    twice = bigram_baseline(np.repeat(TRAIN, [2, 1, 1], axis=0), TRAIN, 3)
    assert np.array_equal(bigram_baseline(TRAIN, TRAIN, 3, train_weight=np.array([2.0, 1.0, 1.0])), twice)


def test_rows_up_to_a_length_have_less_than_all_the_probability_and_more_with_it():
    totals = []
    for longest in (2, 5, 8):
        words = [word for n in range(longest) for word in itertools.product((1, 2), repeat=n)]
        rows = np.array([[*word, *[0] * (9 - len(word))] for word in words])
        totals.append(np.exp(bigram_baseline(TRAIN, rows, 3)).sum())
    assert totals[0] < totals[1] < totals[2] < 1.0
    assert totals[2] > 0.9


def test_a_beginning_leaves_out_what_is_not_seen():
    mask = np.array([[True, True, False, False]])
    row = np.array([[1, 2, 1, 0]])
    begun = bigram_baseline(TRAIN, row, 3, test_mask=mask)
    ways = [[1, 2, 0, 0], [1, 2, 1, 0], [1, 2, 2, 0]]
    each = [bigram_baseline(TRAIN, np.array([way]), 3, test_mask=np.array([[True] * 3 + [False]]))[0] for way in ways]
    assert np.logaddexp.reduce(each) == pytest.approx(begun[0], rel=1e-12)
    assert list(tokens_counted(row, mask)) == [2]
    assert list(tokens_counted(TRAIN)) == [3, 4, 2]


def windows(rows: int, times: int = 12, period: int = 0, seed: int = 0) -> np.ndarray:
    """Windows of two series, of which each time depends on the one before it, or on that of a period before."""
    rng, lag = np.random.default_rng(seed), period or 1
    slopes = np.array([[0.6, 0.2], [0.0, 0.9 if period else 0.5]])
    x = np.zeros((rows * times + 200, 2))
    for t in range(lag, len(x)):
        x[t] = slopes @ x[t - lag] + rng.normal(size=2) @ np.array([[1.0, 0.5], [0.0, 0.4]])
    return x[200:].reshape(rows, times, 2) + np.arange(times)[:, None]


def exact(times: int = 12) -> np.ndarray:
    """The covariance of windows without a period."""
    slopes, root = np.array([[0.6, 0.2], [0.0, 0.5]]), np.array([[1.0, 0.5], [0.0, 0.4]])
    still = np.linalg.solve(np.eye(4) - np.kron(slopes, slopes), (root.T @ root).ravel()).reshape(2, 2)
    made = np.zeros((times, 2, times, 2))
    for s in range(times):
        for t in range(s, times):
            made[t, :, s] = np.linalg.matrix_power(slopes, t - s) @ still
            made[s, :, t] = made[t, :, s].T
    return made.reshape(2 * times, 2 * times)


def test_the_covariance_of_an_autoregression():
    """Slopes and noise of all times together: near the truth, and a density that is as high as its own to 1 %."""
    x, truth = windows(4000), exact()
    close(_autoregression(x - x.mean(axis=0), (1,)), truth, rtol=0, atol=0.1)
    made, fresh = fit_window(windows(300)), windows(500, seed=1).reshape(500, -1)
    true = stats.multivariate_normal(np.repeat(np.arange(12.0), 2), truth).logpdf(fresh)
    assert made.lags[0] == 1
    assert made.share >= 0.9
    assert 0.0 < np.mean(true - made.log_prob(fresh)) < 0.15
    close(made.log_prob(fresh[:5]), stats.multivariate_normal(made.mean, made.covariance).logpdf(fresh[:5]), rtol=1e-8)


def test_a_period_is_found():
    assert 6 in fit_window(windows(200, times=20, period=6)).lags


def test_rows_without_an_order_keep_their_covariance():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(16, 16))
    made = fit_window((rng.normal(size=(600, 16)) @ root).reshape(600, 8, 2))
    assert made.share <= 0.4


def test_any_number_of_factors_is_the_same_gaussian():
    """Factors and what they leave add up; the posterior of factors has no correlations; units do not matter."""
    x = windows(200)
    made = fit_window(x)
    for count in (3, 30):
        found = made.factors(count)
        close(found.weight @ found.weight.T + found.noise[0], made.covariance, rtol=0, atol=1e-9)
        assert found.noise.shape == (1, 24, 24)
        inner = found.weight.T @ np.linalg.solve(found.noise[0], found.weight)
        close(inner, np.diag(np.diagonal(inner)), rtol=0, atol=1e-6 * inner.max())
        close(found.log_prob(x.reshape(200, -1)), made.log_prob(x.reshape(200, -1)), rtol=1e-7)
    wide, unit = fit_window(x * np.array([1.0, 1000.0])), np.tile([1.0, 1000.0], 12)
    close(wide.covariance, made.covariance * unit[:, None] * unit, rtol=1e-6)
    spread = np.sqrt(np.diagonal(exact()))
    assert wide.latents == made.latents == np.sum(np.linalg.eigvalsh(exact() / (spread[:, None] * spread)) > 1.0)


def counted(frame: pd.DataFrame) -> tuple[Any, latens.Dataset]:
    data = latens.read(frame, label="none")
    x, mask, weight = training_rows(data)
    return fit_tree(x, mask, data.schema.types or (), weight), data


def chain(rows: int) -> pd.DataFrame:
    """c1 follows c0 in 8 of 10 rows, c2 follows c1 in 9 of 10; c3 is alone."""
    rng = np.random.default_rng(0)
    c0 = rng.integers(3, size=rows)
    c1 = np.where(rng.random(rows) < 0.8, c0, rng.integers(3, size=rows))
    c2 = np.where(rng.random(rows) < 0.9, c1 % 2, rng.integers(2, size=rows))
    columns = [c0, c1, c2, rng.integers(4, size=rows)]
    return pd.DataFrame({f"c{i}": np.array(list("abcd"))[column] for i, column in enumerate(columns)})


def every(tree: Any) -> np.ndarray:
    return np.array(list(itertools.product(*(range(one.count) for one in tree.types))), np.float64)


def test_its_edges_are_those_of_the_chain_and_its_rows_sum_to_one() -> None:
    tree, _ = counted(chain(3000))
    edges = {frozenset((j, int(p))) for j, p in enumerate(tree.parents) if j != p}
    assert edges == {frozenset((0, 1)), frozenset((1, 2))}
    assert np.exp(tree.log_prob(every(tree))).sum() == pytest.approx(1.0, abs=1e-12)


def test_its_gain_is_the_information_of_its_edges() -> None:
    """In the rows that were counted, and up to what shrinkage takes."""
    frame = chain(20_000)
    tree, data = counted(frame)
    x = data.x[data.subset("train")]
    alone = sum(one.log_shares(x[:, j]) for j, one in enumerate(tree.types))
    told = 0.0
    for a, b in (("c0", "c1"), ("c1", "c2")):
        joint = pd.crosstab(frame[a], frame[b], normalize=True).to_numpy()
        told += float((joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum())
    assert float((tree.log_prob(x) - alone).mean()) == pytest.approx(told, abs=0.02)


@pytest.mark.parametrize("hidden", [(0,), (1,), (2, 3), (0, 1, 2, 3), (1, 3)])
def test_missing_cells_are_summed_over(hidden: tuple[int, ...]) -> None:
    tree, _ = counted(chain(3000))
    rows = every(tree)
    p = np.exp(tree.log_prob(rows))
    row = np.array([1.0, 2.0, 0.0, 3.0])
    mask = ~np.isin(np.arange(4), hidden)
    same = np.all(rows[:, mask] == row[mask], axis=1)
    found = tree.log_prob(np.where(mask, row, np.nan)[None], mask[None])
    assert np.exp(found[0]) == pytest.approx(p[same].sum(), rel=1e-10)
