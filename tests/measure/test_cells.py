"""Single cells of a mixed table: their intervals and p-values, and which of a row are to blame."""

import csv
import json

import jax
import numpy as np
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.errors import ConfigError
from latens.kinds.tables.columns import ColumnType, FrameColumn, number_type
from latens.recipes import get_recipe
from latens.trained.cell_scores import blame, interval, named_cells, p_values, point, row_scores, tails

rng = np.random.default_rng(0)
NAMES = ColumnType("category", ("a", "b", "c", "d"), shares=(0.1, 0.2, 0.3, 0.4))
GRID = number_type(v := np.round(rng.gamma(2.0, 20.0, 500)), v, FrameColumn(dtype="Int64"))
COLUMNS = 6


def cells_of(shares, one):
    """The probability of every cell of the grid."""
    return np.repeat(np.asarray(shares) / np.asarray(one.widths), one.widths)


@pytest.mark.parametrize("seed", range(5))
def test_points_intervals_and_p_values_are_those_of_every_cell(seed):
    shares = np.random.default_rng(seed).dirichlet(np.full(GRID.count, 0.5), size=3)
    stored = np.random.default_rng(seed).integers(0, GRID.size, 3).astype(float)
    low, high = interval(shares, GRID, 0.8)
    for i in range(3):
        p = cells_of(shares[i], GRID)
        above = np.cumsum(p)
        assert point(shares, GRID)[i] == pytest.approx(p @ np.arange(GRID.size))
        assert low[i] == np.flatnonzero(above >= 0.1 - 1e-9)[0]
        assert high[i] == np.flatnonzero(above >= 0.9 - 1e-9)[0]
        tails = above[int(stored[i])], 1.0 - above[int(stored[i])] + p[int(stored[i])]
        assert p_values(shares, GRID, stored)[i] == pytest.approx(min(1.0, 2.0 * min(tails)))
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.4, 0.1, 0.1]])
    assert point(shares, NAMES).tolist() == [3.0, 0.0]
    np.testing.assert_allclose(p_values(shares, NAMES, np.array([1.0, 2.0])), [0.3, 0.2])
    np.testing.assert_allclose(p_values(shares, NAMES, np.array([3.0, 0.0])), [1.0, 1.0])


def test_numbers_beyond_the_training_rows_have_one_probability_in_all():
    steps = np.arange(1, 200_001, dtype=float)
    r = {side: max(1.0, q) for side, q in ((-1, np.quantile(v, 0.05) - v.min()), (1, v.max() - np.quantile(v, 0.95)))}
    for side in (-1, 1):
        log_p, farther = tails((side * steps)[:, None], [GRID], 99)
        assert np.all(np.diff(log_p[:, 0]) < 0)
        assert farther[0, 0] == pytest.approx(1 / 100)  # one of a hundred like these is the outermost
        total = np.exp(log_p[:, 0])
        np.testing.assert_allclose(total[:1000].sum(), farther[0, 0] - farther[1000, 0], rtol=1e-9)
        half = np.searchsorted(-farther[:, 0], -1 / 200) + 1
        assert half == pytest.approx(
            r[side] + 1, abs=0.1 * r[side] + 2
        )  # half of them within the reach of the outer 5 %
    within = tails(np.zeros((2, 1)), [GRID], 99)
    assert [one.tolist() for one in within] == [[[0.0], [0.0]], [[1.0], [1.0]]]


def test_a_number_beyond_counts_as_missing_and_has_the_surprise_of_its_tail():
    data = latens.read(rows(300, 0), typed=True)
    settings = {"training.steps": 20, "network.hidden": [8]}
    trained = latens.fitting.train(latens.fitting.prepare(override(get_recipe("default").config, settings), data))[0]
    x = rows(4, 1)
    x[:, 3] = [x[0, 3], 50.0, 5000.0, -5000.0]
    options = {"others": 60, "num_samples": 20, "key": jax.random.key(0)}
    found = row_scores(trained, latens.read(x, schema=trained.schema), None, **options).surprise
    gaps = np.where(np.arange(COLUMNS) == 3, np.nan, x)
    without = row_scores(trained, latens.read(gaps, schema=trained.schema, missing="nan"), None, **options).surprise
    one = trained.schema.types[3]
    top = one.low + (one.size - 1) * one.step
    d = np.round(np.array([50.0 - top, 5000.0 - top, 5000.0 + one.low]) / one.step)
    values = np.sort(data.x[data.subset("train"), 3])
    for k, q in ((1, 0.95), (2, 0.95), (3, 0.05)):
        r = abs(np.quantile(values, q) - (0 if k == 3 else one.size - 1))
        expected = np.log(61.0) + np.log((r + d[k - 1] - 1) * (r + d[k - 1]) / r)
        assert found[k] - without[k] == pytest.approx(expected, abs=0.1)  # r is known to a segment
    assert found[0] < found[1] < found[2]
    told = named_cells(
        blame(trained, data_of := latens.read(x, schema=trained.schema), np.arange(4), others=60, num_samples=20),
        data_of, np.arange(4),
    )  # fmt: skip
    assert told["cell_1"][2:].tolist() == ["x3", "x3"]
    assert told["value_1"][1:].tolist() == ["50.0", "5000.0", "-5000.0"]


LOADING = np.random.default_rng(99).normal(size=(2, COLUMNS))


def rows(n, seed):
    """Six columns that hang on two numbers, with noise of a third of their spread."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(size=(n, 2)) @ LOADING + 0.4 * rng.normal(size=(n, COLUMNS)), 2)


@pytest.mark.more
def test_the_commands_name_cells_and_write_intervals(tmp_path, capsys):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 900)
    size = np.round(10.0 * kind + rng.normal(0, 1, 900), 1)
    lines = [f"{'abc'[k]},{s}" for k, s in zip(kind, size)]
    (tmp_path / "t.csv").write_text("kind,size\n" + "\n".join(lines))
    (tmp_path / "new.csv").write_text("kind,size\na,15.0\n" + lines[0])
    (tmp_path / "holes.csv").write_text("kind,size\na,\n,20.0\nb,10.5\n,\n")
    run, out = str(tmp_path / "run"), str(tmp_path / "out.csv")
    assert main(["fit", str(tmp_path / "t.csv"), "--steps", "4000", "--out", run, "--quiet"]) == 0
    trained = latens.load(f"{run}/model.safetensors")
    odd = trained.batch(latens.read({"kind": ["a", "a"], "size": [20.0, 15.0]}, schema=trained.schema), np.arange(2))
    at_20, at_15 = latens.evidence.log_marginal(trained.rows(odd, seed=0), num_samples=2000)
    assert at_15 < at_20 - 2.0  # the decoder gives a name some per cent where c is, and hardly any row is between kinds
    assert main(["detect", run, str(tmp_path / "new.csv"), "--out", out, "--json", "--cells", "1"]) == 0
    with open(out) as file:
        found = list(csv.DictReader(file))
    assert [row["flagged"] for row in found] == ["1", "0"]
    assert found[0]["cell_1"] in ("kind", "size")
    assert float(found[0]["p_1"]) < 0.05
    assert found[1]["cell_1"] == ""
    assert "cell_2" not in found[0]
    capsys.readouterr()
    argv = ["impute", run, str(tmp_path / "holes.csv"), "--out", out, "--interval", "0.9", "--draws", "2", "--json"]
    assert main(argv) == 0
    assert [path[-11:] for path in json.loads(capsys.readouterr().out)["draws"]] == ["out-001.csv", "out-002.csv"]
    with open(out) as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["kind", "size", "kind.p", "size.low", "size.high"]
    assert float(found[0]["size.low"]) < 0 < float(found[0]["size.high"]) < 12  # a is around 0, c around 20
    assert found[1]["kind"] == "c"
    assert float(found[1]["kind.p"]) > 0.9
    assert found[2] == {"kind": "b", "size": "10.5", "kind.p": "", "size.low": "", "size.high": ""}
    assert float(found[3]["size.high"]) - float(found[3]["size.low"]) > 15
    with open(tmp_path / "out-001.csv") as file:
        drawn = list(csv.DictReader(file))
    assert drawn[2] == {"kind": "b", "size": "10.5"}
    assert all(row["kind"] in "abc" and row["size"] for row in drawn)
    (tmp_path / "out-001.csv").write_text((tmp_path / "holes.csv").read_text())
    assert main(["impute", run, str(tmp_path / "out-001.csv"), "--out", out, "--draws", "2"]) == 2
    assert (tmp_path / "out-001.csv").read_text() == (tmp_path / "holes.csv").read_text()


@pytest.mark.more
def test_cells_need_columns_of_types():
    data = latens.read(rows(200, 0))
    settings = {"training.steps": 10, "posterior.latent_dim": 2}
    plain = latens.fitting.train(latens.fitting.prepare(override(get_recipe("default").config, settings), data))[0]
    with pytest.raises(ConfigError, match="--typed"):
        blame(plain, data, np.arange(3), others=200)
    assert plain.detect(rows(20, 1), held_out=rows(200, 2), cells=0, num_samples=2).value["rows"] == 20


def test_the_outermost_of_many_rows_is_no_odder_than_one_more_row_beyond_them():
    """Of m rows in an outermost segment the farthest has a tail of 1 / (m + 1) of it; other cells are as they were."""
    one = ColumnType("number", dtype="Int64", size=4000, starts=(0, 1000, 2000, 3000), shares=(0.25,) * 4)
    shares, stored = np.full((6, 4), 0.25), np.array([0.0, 3999.0, 40.0, 1000.0, 2999.0, 2400.0])
    plain, found = (p_values(shares, one, stored, others) for others in (0, 396))
    assert found[:2] == pytest.approx([2 * 0.25 / 100] * 2)
    assert plain[:2] == pytest.approx([2 * 0.25 / 1000] * 2)
    np.testing.assert_array_equal(found[2:], plain[2:])
    more = p_values(shares, one, stored, 10**9)
    np.testing.assert_allclose(more, plain)
