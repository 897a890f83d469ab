"""Tables of several kinds: weighted values, bars of categories, hidden cells."""

import numpy as np
from matplotlib.dates import ConciseDateFormatter
from scipy import stats

from latens.figures.tables import LEVELS, filled, histogram, marginals


def test_weighted_values_have_the_shares_of_repeated_ones():
    rng = np.random.default_rng(0)
    data, times = np.append(rng.normal(size=50), np.nan), rng.integers(0, 4, 51)
    times[0], data[0] = 0, 100.0  # counts never, so that no bin is for it
    one = histogram(data, data[1:20], times.astype(float))
    other = histogram(np.repeat(data, times), data[1:20])
    for a, b in zip(one, other):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_hidden_cells_are_drawn_with_the_share_that_intervals_hold():
    """One column whose draws are right, one whose draws are half as wide as they should be, and a category."""
    rng, n = np.random.default_rng(0), 4000
    true = np.column_stack([rng.normal(size=(n, 2)), rng.integers(0, 2, n)])
    draws = rng.normal(size=(n, 99, 3)) * [1.0, 0.5, 1.0]
    values = np.zeros((n, 3))
    cells = np.ones((n, 3), bool)
    cells[:100, 2] = False
    axes, table = filled(true, values, draws, cells, ["wide", "narrow", "kind"], words={2: ("no", "yes")})
    assert len(table["true"]) == 3 * n - 100
    low, high = (table[end][table["column"] == "narrow"] for end in ("low", "high"))
    np.testing.assert_allclose(low, np.quantile(draws[:, :, 1], 0.05, axis=1))
    np.testing.assert_allclose(high, np.quantile(draws[:, :, 1], 0.95, axis=1))
    inside = np.mean((low <= true[:, 1]) & (true[:, 1] <= high))
    assert abs(inside - (2 * stats.norm.cdf(0.5 * 1.645) - 1)) < 0.03
    titles = [ax.get_title(loc="left") for ax in axes]
    right = np.mean(true[100:, 2] == 0)
    assert titles[1:] == [f"narrow: {inside:.0%} inside", f"kind: right in {right:.0%}", "Intervals of all numbers"]
    assert [bar.get_height() for bar in axes[2].patches] == [1.0, 0.0]
    shares = axes[3].lines[1].get_ydata()
    one, other = LEVELS, 2 * stats.norm.cdf(0.5 * stats.norm.ppf(0.5 + LEVELS / 2)) - 1
    np.testing.assert_allclose(shares, (one + other) / 2, atol=0.03)


def test_intervals_of_whole_numbers_hold_the_share_of_their_level():
    rng, n = np.random.default_rng(0), 4000
    true, draws = rng.poisson(1.5, (n, 3)).astype(float), rng.poisson(1.5, (n, 199, 3)).astype(float)
    cells = np.ones((n, 3), bool) & [True, True, False]
    axes, _ = filled(true, true, draws, cells, ["count", "day", "none"], words={}, dates=[1])
    assert axes[0].figure.get_suptitle().endswith("beyond 24 columns: none")
    np.testing.assert_allclose(axes[2].lines[1].get_ydata(), LEVELS, atol=0.02)
    axes[0].figure.canvas.draw()
    assert all(tick == round(tick) for tick in axes[0].get_xticks())
    assert {type(axis.get_major_formatter()) for axis in (axes[1].xaxis, axes[1].yaxis)} == {ConciseDateFormatter}


def test_categories_have_two_bars_for_each_value():
    data = np.column_stack([np.repeat([0.0, 1.0], [30, 10]), np.linspace(0.0, 1.0, 40)])
    axes = marginals(data, data[::2], ["kind", "size"], bars=[0])
    assert [bar.get_height() for bar in axes[0].patches] == [0.75, 0.25, 0.75, 0.25]
    assert {type(patch).__name__ for patch in axes[1].patches} == {"StepPatch"}
