"""The latent plane: points where they were given, grids at their percentiles, classes by name and colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.stats import norm

from latens.errors import DataError
from latens.figures import latent_scatter, latent_scatter_table, linear_grid, percentile_grid, save
from latens.figures.style import THEMES


def points(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2))


def legend_names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("n", [1, 2, 10, 41])
def test_percentile_grid_is_the_inverse_normal(n):
    p = np.linspace(0.05, 0.95, n) if n > 1 else np.array([0.5])
    grid = percentile_grid(n)
    np.testing.assert_allclose(grid[0, :, 0], norm.ppf(p), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(grid[:, 0, 1], norm.ppf(p)[::-1], rtol=1e-14, atol=1e-15)
    assert (grid[..., 0] == grid[:1, :, 0]).all()
    assert (grid[..., 1] == grid[:, :1, 1]).all()


def test_linear_grid_runs_right_and_up():
    grid = linear_grid(3, -1.0, 2.0)
    assert grid.tolist() == [
        [[-1, 2], [0.5, 2], [2, 2]],
        [[-1, 0.5], [0.5, 0.5], [2, 0.5]],
        [[-1, -1], [0.5, -1], [2, -1]],
    ]
    assert linear_grid(1, 0.0, 4.0).tolist() == [[[2, 2]]]


def test_a_legend_counts_as_a_reader_does():
    """Classes of text are coded in the order of their letters: kind 10 before kind 2."""
    names = sorted(f"kind {i}" for i in range(1, 13))
    ax = latent_scatter(points(24), np.arange(24) % 12, names)
    assert legend_names(ax) == [f"kind {i}" for i in range(1, 13)]
    handles = dict(zip(legend_names(ax), ax.get_legend().legend_handles))
    assert to_hex(handles["kind 2"].get_color()) == THEMES["light"].classes[names.index("kind 2")]
    own = ["low", "middle", "high"]
    assert legend_names(latent_scatter(points(6), np.arange(6) % 3, own)) == own


@pytest.mark.parametrize("n", [1, 300, 2500])
def test_points_lie_where_they_were_given_in_their_class_colour(n):
    z, label = points(n), np.arange(n) % 10
    ax = latent_scatter(z, label, [f"class {i}" for i in range(10)])
    (drawn,) = ax.collections
    np.testing.assert_array_equal(drawn.get_offsets(), z)
    colours = [to_hex(colour) for colour in drawn.get_facecolors()]
    assert colours == [THEMES["light"].classes[i] for i in label]
    assert legend_names(ax) == [f"class {i}" for i in range(min(n, 10))]
    assert ax.get_aspect() == 1.0


def test_up_to_fifty_classes_differ_by_marker_too():
    z, label = points(60), np.arange(60) % 30
    ax = latent_scatter(z, label)
    assert len(ax.collections) == 3
    for decade, drawn in enumerate(ax.collections):
        np.testing.assert_array_equal(drawn.get_offsets(), z[label // 10 == decade])
    assert legend_names(ax) == [str(i) for i in range(30)]
    looks = {(h.get_marker(), h.get_color()) for h in ax.get_legend().legend_handles}
    assert len(looks) == 30


def test_more_than_fifty_classes_get_a_colour_bar():
    z, label = points(200), np.arange(200)
    ax = latent_scatter(z, label)
    assert ax.get_legend() is None
    np.testing.assert_array_equal(ax.collections[0].get_array(), label)
    assert ax.figure.axes[1].get_ylabel() == "class number"


def test_points_without_a_label_are_grey_and_named_so():
    z = points(3)
    ax = latent_scatter(z, np.array([1, -1, 0]), ["a", "b"])
    assert legend_names(ax) == ["a", "b", "no label"]
    colours = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
    theme = THEMES["light"]
    assert colours == [theme.classes[1], theme.muted, theme.classes[0]]
    assert latent_scatter_table(z, np.array([1, -1, 0]), ["a", "b"])["class"].tolist() == ["b", "", "a"]


def test_odd_class_names_are_drawn_as_written(tmp_path):
    names = ["<img src=x onerror=alert(1)>", "$x^2$", "_hidden", "a\nb", "$\\frac{"]
    ax = latent_scatter(points(5), np.arange(5), names, title="$\\bad{ and $x$")
    assert legend_names(ax) == [names[0], r"\$x^2\$", "_hidden", "a b", r"\$\frac{"]
    table = latent_scatter_table(points(5), np.arange(5), names)
    assert table["class"].tolist() == names
    assert len(save(ax, tmp_path / "x", table)) == 3


def test_labels_of_any_kind_are_classes():
    table = latent_scatter_table(points(4), np.array(["b", "a", "b", "c"]))
    assert table["label"].tolist() == [1, 0, 1, 2]
    assert table["class"].tolist() == ["b", "a", "b", "c"]


def test_table_is_named_by_units():
    z = points(3)
    table = latent_scatter_table(z, units=(3, 17))
    assert list(table) == ["latent_3", "latent_17"]
    np.testing.assert_array_equal(np.stack([table["latent_3"], table["latent_17"]], axis=1), z)
    ax = latent_scatter(z, units=(3, 17))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latent unit 3", "latent unit 17")
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), z)


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"z": np.zeros((0, 2))}, "z"),
        ({"z": np.zeros((3, 5))}, "z"),
        ({"z": np.full((3, 2), np.inf)}, "z"),
        ({"z": np.zeros((3, 2)), "label": [0, 1]}, "label"),
        ({"z": np.zeros((3, 2)), "label": [0, 1, 2], "classes": ["a", "b"]}, "label"),
        ({"z": np.zeros((3, 2)), "label": [0.0, 1.0, 1.0], "classes": ["a", "b"]}, "label"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused(arguments, where):
    with pytest.raises(DataError) as caught:
        latent_scatter(**arguments)
    assert caught.value.where == where
    assert caught.value.fix
