"""Data against samples, column by column: shares by hand, weights, bars of categories, hidden cells."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.dates import ConciseDateFormatter
from scipy import stats

from latens.figures import marginals, marginals_table, save
from latens.figures.tables import LEVELS, date_ticks, filled, histogram


def test_whole_numbers_get_one_bin_each():
    one = histogram(np.array([0, 0, 1, 3]), np.array([1, 1, 0, 2, 3]))
    assert one.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert one.data.tolist() == [0.5, 0.25, 0.0, 0.25]
    assert one.samples.tolist() == [0.2, 0.4, 0.2, 0.2]


def test_real_numbers_get_thirty_bins_over_both():
    one = histogram(np.array([0.0, 0.95, 1.0]), np.array([-0.5, 1.5]))
    np.testing.assert_allclose(one.edges, np.linspace(-0.5, 1.5, 31))
    # (0.0 + 0.5) * 15 = 7.5, (0.95 + 0.5) * 15 = 21.75, (1.0 + 0.5) * 15 = 22.5
    assert np.flatnonzero(one.data).tolist() == [7, 21, 22]
    assert one.data.sum() == pytest.approx(1.0)
    assert np.flatnonzero(one.samples).tolist() == [0, 29]
    assert one.samples.tolist()[0] == 0.5


def test_a_wild_sample_does_not_squeeze_the_rest():
    data = np.linspace(0.0, 1.0, 101)
    samples = np.array([0.5, 0.5, 0.5, 1e9])
    one = histogram(data, samples)
    assert (one.edges[0], one.edges[-1]) == (0.0, 2.0)
    assert one.samples.sum() == 0.75
    assert one.data.sum() == pytest.approx(1.0)


def test_constant_missing_and_empty_columns():
    one = histogram(np.full(5, 3.5), np.full(2, 3.5))
    assert (one.edges.tolist(), one.data.tolist(), one.samples.tolist()) == ([1.75, 5.25], [1.0], [1.0])
    one = histogram(np.full(5, 3.0), np.full(2, 3.0))
    assert (one.edges.tolist(), one.data.tolist()) == ([2.5, 3.5], [1.0])
    one = histogram(np.array([np.nan, 1.0, 1.0, 0.0]), np.array([np.nan]))
    assert one.data.tolist() == [1 / 3, 2 / 3]
    assert one.samples.tolist() == [0.0, 0.0]
    one = histogram(np.array([np.nan]), np.array([np.inf]))
    assert (one.data.tolist(), one.samples.tolist()) == ([0.0], [0.0])
    one = histogram(np.full(3, 2.5), np.linspace(2.0, 3.0, 11))
    assert (one.edges[0], one.edges[-1]) == pytest.approx((2.0, 3.0))


def test_panels_show_the_shares(tmp_path):
    rng = np.random.default_rng(0)
    data = np.stack([rng.normal(size=50), rng.integers(0, 3, 50), np.full(50, 7.25), np.full(50, np.nan)], axis=1)
    names = ["<img src=x onerror=alert(1)>", "$x^2$", "_constant", "missing"]
    samples = data[::-1][:20]
    axes = marginals(data, samples, names)
    assert [ax.get_title("left") for ax in axes] == [names[0], r"\$x^2\$", "_constant", "missing"]
    for column, ax in enumerate(axes):
        expected = histogram(data[:, column], samples[:, column])
        filled, line = ax.patches
        np.testing.assert_array_equal(filled.get_data().values, expected.data)
        np.testing.assert_array_equal(filled.get_data().edges, expected.edges)
        np.testing.assert_array_equal(line.get_data().values, expected.samples)
    assert axes[3].texts[0].get_text() == "no values"
    table = marginals_table(data, samples, names)
    assert sorted(set(table["column"])) == sorted(names)
    first = table["column"] == names[0]
    np.testing.assert_array_equal(table["data_share"][first], axes[0].patches[0].get_data().values)
    np.testing.assert_array_equal(table["high"][first][:-1], table["low"][first][1:])
    assert len(save(axes, tmp_path / "x", table)) == 3


@pytest.mark.parametrize(
    ("width", "panels", "across"), [(1, 1, 1), (3, 3, 3), (5, 5, 3), (6, 6, 3), (7, 7, 4), (21, 21, 4), (30, 24, 4)]
)
def test_number_of_panels(width, panels, across):
    """The last column of a wide table, which often is the one asked for, has a panel."""
    values = np.random.default_rng(0).normal(size=(9, width))
    axes = marginals(values, values, [f"c{i}" for i in range(width)])
    assert [ax.get_title("left") for ax in axes] == [f"c{i}" for i in [*range(panels - 1), width - 1]]
    figure = axes[0].figure
    assert len(figure.axes) == panels
    assert axes[0].get_subplotspec().get_gridspec().ncols == across
    more = ", the first 23 columns and the last of 30" if width == 30 else ""
    assert figure.get_suptitle() == f"Data and samples{more}"


def test_share_of_samples_outside_is_said():
    data, samples = np.linspace(0, 1, 11)[:, None], np.array([[0.55], [0.45], [0.2], [50.0]])
    (ax,) = marginals(data, samples, ["c"])
    assert ax.get_xlabel() == "25.0% of samples outside"
    (ax,) = marginals(np.zeros((3, 1)), np.full((2, 1), 9.0), ["c"])
    assert ax.get_xlabel() == "100.0% of samples outside"
    (ax,) = marginals(np.zeros((3, 1)), np.full((2, 1), np.nan), ["c"])
    assert ax.get_xlabel() == ""


@pytest.mark.parametrize(("far", "left_out"), [(8.0, False), (14.0, False), (19.0, True), (400.0, True)])
def test_a_value_far_from_all_others_presses_them_into_no_bar(far: float, left_out: bool) -> None:
    """The middle of the data is 6 wide: what lies more than twice as far beyond it has no bar, and is counted."""
    data = np.append(np.linspace(0.0, 6.0, 2000), far)
    one = histogram(data, np.array([1.0, far]))
    assert bool(one.edges[-1] < 7.0) is left_out
    assert one.beyond == pytest.approx(1 / 2001 if left_out else 0.0, abs=1e-9)
    assert one.outside == (0.5 if left_out else 0.0)
    assert one.data.sum() == pytest.approx(1.0 - one.beyond)
    few = histogram(np.append(np.linspace(0.0, 6.0, 100), far), np.array([1.0]))
    assert few.beyond == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("points", "step", "each"),
    [
        (np.arange(74.0), 1.0, 3),  # days: 25 bins of three, where 30 of 2.43 held two or three
        (19783.0 + np.arange(46) / 96, 1 / 96, 2),  # quarters of an hour
        (18.0 + np.arange(60), 1.0, 2),
        (0.25 * np.arange(30), 0.25, 1),
    ],
)
def test_bins_hold_as_many_points_of_the_grid_each(points, step, each):
    """Even data on a grid give a flat histogram, without the comb of bins that are finer than the grid or beside it."""
    found = histogram(np.repeat(points, 3), points)
    np.testing.assert_allclose(np.diff(found.edges), each * step)
    whole = len(points) // each
    np.testing.assert_allclose(found.data[:whole], each / len(points))
    np.testing.assert_allclose(found.samples[:whole], each / len(points))
    assert found.data.sum() == pytest.approx(1.0)
    assert max(found.outside, found.beyond) < 1e-12


def test_what_lies_on_no_grid_has_thirty_even_bins():
    random = np.random.default_rng(0)
    for data in (random.normal(size=500), random.choice([0.0, 1.0, np.pi, 10.0, 50.0], 500)):
        assert len(histogram(data, data).data) == 30
    # A sample between the points of the grid, or beyond them, stays in a bin.
    days = np.repeat(np.arange(74.0), 2)
    assert histogram(days, np.array([-5.2, 3.4, 80.9])).samples.sum() == pytest.approx(1.0)


@pytest.mark.filterwarnings("error")
def test_dates_of_any_span_have_a_few_ticks() -> None:
    """From a day to a century: at most six warned of 31 to 36 months, where none of Matplotlib's intervals fits."""
    for days in [*range(1, 1500, 29), 4000, 12_000, 36_500]:
        figure, axes = plt.subplots()
        axes.xaxis.set_major_locator(date_ticks())
        axes.set_xlim(19_000, 19_000 + days)
        assert 3 <= len(axes.get_xticks()) <= 8, days
        plt.close(figure)


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
