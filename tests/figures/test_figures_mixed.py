"""Mixed tables: associations, gaps and nats by column are drawn with the numbers of their tables."""

import numpy as np
import pytest

from latens.errors import DataError
from latens.figures import save
from latens.figures.associations import associations
from latens.figures.missing import missing_cells
from latens.figures.nats import column_nats, gene_gains
from latens.figures.tables import histogram
from latens.pictures import alternatives


def matrices(count):
    values = np.random.default_rng(0).uniform(-1, 1, (3, count, count))
    values[2] = np.abs(values[2]) / 4
    return values


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_data_lie_below_the_diagonal_and_samples_above_it(tmp_path, theme):
    data, samples, apart = matrices(5)
    names = ["a", "$b$", "c", "d", "_e"]
    table = associations(data, samples, apart, names)[1]
    assert len(table["first"]) == 10
    assert (table["first"][1], table["second"][1], table["data"][1]) == ("a", "c", data[0, 2])
    axes = associations(data, samples, apart, names, theme=theme)[0]
    shown = axes[0].images[0].get_array().filled(np.nan)
    for i in range(5):
        for j in range(i + 1, 5):
            assert (shown[j, i], shown[i, j]) == (data[i, j], samples[i, j])
    assert np.isnan(np.diag(shown)).all()
    difference = axes[1].images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(difference[np.tril_indices(5, -1)], apart.T[np.tril_indices(5, -1)])
    assert np.isnan(difference[np.triu_indices(5)]).all()
    assert axes[1].get_title("left") == f"Difference, {table['difference'].mean():.3f} on average"
    assert axes[0].images[0].get_clim() == (-1, 1)
    assert len(save(axes, tmp_path / "associations", table)) == 3


def test_of_many_columns_the_first_thirty_are_drawn():
    axes = associations(*matrices(40), [f"column {i}" for i in range(40)])[0]
    assert axes[0].images[0].get_array().shape == (30, 30)
    assert axes[0].get_title("left").endswith("30 of 40 columns")
    assert associations(*matrices(3), list("abc"), of=50)[0][0].get_title("left").endswith("3 of 50 columns")
    with pytest.raises(DataError, match="5 names"):
        associations(*matrices(4), list("abcde"))


def test_patterns_of_gaps_are_counted():
    seen = np.ones((10, 3), bool)
    seen[:3, 1], seen[2:4, 2] = False, False
    table = missing_cells(seen, ["a", "b", "c"])[1]
    rows = list(zip(table["share"], *(table[f"missing {name}"].tolist() for name in "abc")))
    assert rows[0] == (0.6, False, False, False)
    assert rows[1] == (0.2, False, True, False)
    assert sorted(rows[2:]) == [(0.1, False, False, True), (0.1, False, True, True)]
    weight = np.arange(10.0)
    weighted = missing_cells(seen, ["a", "b", "c"], weight=weight)[1]
    repeated = missing_cells(np.repeat(seen, np.arange(10), axis=0), ["a", "b", "c"])[1]
    for name in weighted:
        np.testing.assert_allclose(weighted[name].astype(float), repeated[name].astype(float), atol=1e-12)
    bars, patterns = missing_cells(seen, ["a", "b", "c"])[0]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([0.3, 0.2])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["b", "c"]
    assert patterns.get_xticklabels()[0].get_text() == "60.0%"
    filled = patterns.collections[1].get_offsets()
    found = {(table["missing b"][int(x)], int(y)) for x, y in filled if y == 0}
    assert found == {(True, 0)}
    assert len(filled) == 4
    with pytest.raises(DataError, match="2 names"):
        missing_cells(seen, ["a", "b"])


def test_columns_are_drawn_with_their_nats():
    nats, alone = [-1.0, -4.0, -0.5], [-1.5, -6.0, -0.5]
    table = column_nats(nats, alone, -0.75, ["a", "b", "c"])[1]
    assert table["nats"].sum() == -6.25
    assert table["independent"].sum() == -8.0
    assert table["column"].tolist() == ["a", "b", "c", "(latents)"]
    ax = column_nats(nats, alone, -0.75, ["a", "b", "c"])[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c", "(latents)"]
    assert [bar.get_width() for bar in ax.patches] == [6.0, 1.5, 0.5, 0.0, 4.0, 1.0, 0.5, 0.75]
    assert ax.get_title("left") == "log p(x) = \N{MINUS SIGN}6.25 nats by column; alone \N{MINUS SIGN}8.00"
    with pytest.raises(DataError, match="2 names"):
        column_nats(nats, alone, -0.75, ["a", "b"])
    for latents, bars in ((-1e-6, 3), (-0.01, 4)):  # latents that cost nothing say nothing
        ax, table = column_nats(nats, alone, latents, ["a", "b", "c"])
        assert len(ax.get_yticklabels()) == bars
        assert table["nats"].sum() == pytest.approx(-5.5 + latents)


def test_genes_are_drawn_by_what_codes_say_of_them():
    ax, table = gene_gains([0.25, 2.0, -0.5], [0.1, 0.2, 0.3], -1.25, ["a", "b", "c"])
    assert table["gene"].tolist() == ["b", "a", "c"]
    assert table["nats"].tolist() == [2.0, 0.25, -0.5]
    assert table["standard_error"].tolist() == [0.2, 0.1, 0.3]
    assert [bar.get_width() for bar in ax.patches] == [2.0, 0.25, -0.5]
    words = "All genes +1.8 nats a cell, codes \N{MINUS SIGN}1.2: +0.5 in all"
    assert ax.get_title("left") == words
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    many = gene_gains(np.arange(40.0), np.ones(40), 0.0, [f"g{j}" for j in range(40)])[0]
    assert len(many.patches) == 30
    assert many.get_title("left").endswith("; the first 30 of 40")
    assert alternatives.gene_gains(table).endswith("b 2.00, a 0.25, c \N{MINUS SIGN}0.50. 1 genes lose.")
    with pytest.raises(DataError, match="2 names"):
        gene_gains([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 0.0, ["a", "b"])


def test_weighted_values_have_the_shares_of_repeated_ones():
    rng = np.random.default_rng(0)
    data, times = np.append(rng.normal(size=50), np.nan), rng.integers(0, 4, 51)
    times[0], data[0] = 0, 100.0  # counts never, so that no bin is for it
    one = histogram(data, data[1:20], times.astype(float))
    other = histogram(np.repeat(data, times), data[1:20])
    for a, b in zip(one, other):
        np.testing.assert_allclose(a, b, atol=1e-12)
