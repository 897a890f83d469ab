"""Sparse matrices: the same rows, schema, training and numbers as of the array, which is never made."""

import gzip
import re

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

import latens
from latens.config import override
from latens.data import Preparation, check, load
from latens.data import dataset as dataset_module
from latens.errors import DataError, ResourceError
from latens.evidence.baseline import independent_baseline
from latens.kinds.counts import sparse as sparse_module
from latens.kinds.counts.sparse import SparseRows
from latens.recipes import get_recipe
from latens.recipes.plan import prepared_moments
from latens.trained.measurement import measured


def counts(n=120, columns=40, seed=0):
    """Counts of which few are above 0; a row and a column are empty."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    x = rng.poisson(np.where(kind[:, None] == np.arange(columns) % 2, 6.0, 0.2)) * (rng.random((n, columns)) < 0.2)
    x[3], x[:, 5], x[0, 0] = 0, 0, 90
    return x.astype(np.int64)


@pytest.fixture
def keep(monkeypatch):
    """Small matrices stay sparse, too."""
    for module in (sparse_module, dataset_module):
        monkeypatch.setattr(module, "SMALL", 0)


def written(x, path):
    """The matrix in every format, by name."""
    made = {f"{form}.npz": form for form in ("csr", "csc", "coo")}
    for name, form in made.items():
        scipy.sparse.save_npz(path / name, scipy.sparse.csr_matrix(x).asformat(form))
    scipy.io.mmwrite(path / "a.mtx", scipy.sparse.coo_matrix(x))
    (path / "a.mtx.gz").write_bytes(gzip.compress((path / "a.mtx").read_bytes()))
    return [str(path / name) for name in (*made, "a.mtx", "a.mtx.gz")]


def same(found, dense):
    assert isinstance(found.x, SparseRows)
    np.testing.assert_array_equal(np.asarray(found.x), dense.x)
    assert np.asarray(found.x).dtype == dense.x.dtype
    assert found.schema.kind == dense.schema.kind
    assert found.fingerprint == dense.fingerprint


def test_every_format_gives_the_rows_of_the_array(tmp_path, keep):
    x = counts()
    dense = load(x, label=np.arange(120) % 3)
    assert dense.schema.kind == "counts"
    for path in written(x, tmp_path):
        found = load(path, label=np.arange(120) % 3)
        same(found, dense)
        assert found.schema == dense.schema
    for form in ("csr", "csc", "coo", "lil", "dok", "bsr"):
        for maker in (scipy.sparse.coo_matrix, scipy.sparse.coo_array):
            same(load(maker(x).asformat(form), label=np.arange(120) % 3), dense)
    frame = pd.DataFrame.sparse.from_spmatrix(scipy.sparse.csr_matrix(x), columns=[f"g{i}" for i in range(40)])
    found = load(frame.assign(kind=np.arange(120) % 3), label="kind")
    assert (found.schema.kind, found.fingerprint) == ("counts", dense.fingerprint)
    assert [column.name for column in found.schema.columns] == [f"g{i}" for i in range(40)]
    shuffled = load(frame[[f"g{i}" for i in range(39, -1, -1)]], schema=found.schema)
    np.testing.assert_array_equal(np.asarray(shuffled.x), dense.x)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "float32", "float64"])
def test_cells_of_every_type_are_what_they_are_in_an_array(dtype, keep):
    x = (counts() % 7).astype(dtype)
    if dtype.startswith("float"):
        x[1, 1] = -1.25
    same(load(scipy.sparse.csr_array(x)), load(x))
    assert load(scipy.sparse.csr_array(x)).schema == load(x).schema


def test_a_small_matrix_becomes_an_array(tmp_path):
    x = counts()
    for path in written(x, tmp_path):
        assert isinstance(load(path).x, np.ndarray)
    assert isinstance(load(scipy.sparse.csr_array((4, 2**22 + 1), dtype=np.float32)).x, SparseRows)


def test_rows_are_indexed_like_an_array():
    x = counts().astype(np.float32)
    rows, rng = SparseRows(scipy.sparse.csr_array(x)), np.random.default_rng(0)
    some = rng.integers(0, 120, 17)
    for key in (some, slice(3, 50, 4), x[:, 0] >= 0, 7, -1, np.int64(4), (some, rng.integers(0, 40, 17))):
        np.testing.assert_array_equal(rows[key], x[key])
    np.testing.assert_array_equal(np.stack(list(rows)), x)
    np.testing.assert_array_equal(np.stack(list(rows.columns()), axis=1), x)
    np.testing.assert_array_equal(np.asarray(rows.take(some)), x[some])
    for axis in (None, 0):
        np.testing.assert_array_equal(rows.min(axis), x.min(axis))
        np.testing.assert_array_equal(rows.max(axis), x.max(axis))
    with pytest.raises(IndexError):
        rows[120]
    assert (SparseRows(scipy.sparse.csr_array(np.ones((2, 2)))).min(), rows.size, len(rows)) == (1.0, 4800, 120)


def test_equal_places_are_summed_and_what_is_given_stays_as_it_was(keep):
    x = counts()
    row, column = np.nonzero(x)
    data = x[row, column].astype(float)
    halves = scipy.sparse.coo_array((np.tile(data / 2, 2), (np.tile(row, 2), np.tile(column, 2))), shape=x.shape)
    same(load(halves), load(x.astype(float)))
    matrix = scipy.sparse.csr_array(
        (np.array([1.0, 2.0, 0.0, 5.0]), np.array([2, 2, 1, 0]), np.array([0, 3, 3, 4])), shape=(3, 3)
    )
    found = load(matrix)
    assert np.asarray(found.x).tolist() == [[0, 0, 3], [0, 0, 0], [5, 0, 0]]
    assert (matrix.data.tolist(), matrix.indices.tolist()) == ([1, 2, 0, 5], [2, 2, 1, 0])
    assert check(found) == check(load(np.array([[0, 0, 3.0], [0, 0, 0], [5, 0, 0]])))


def test_what_check_says_is_the_same(keep):
    for x in (counts(), (counts() > 0).astype(np.uint8), counts() / 7, np.vstack([counts(), counts()[:5]])):
        assert check(load(scipy.sparse.csr_array(x))) == check(load(x))


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (scipy.sparse.csr_array(np.eye(3) * 1j), {}, "complex numbers"),
        (scipy.sparse.csr_array(np.diag([1.0, np.nan, np.inf])), {}, r"row 1, column 1 holds nan; 2 such cells"),
        (scipy.sparse.csr_array(np.diag([1.0, np.nan])), {"missing": "nan"}, "no missing cells"),
        (scipy.sparse.csr_array(np.diag([1.0, 1e300])), {}, "too large"),
        (scipy.sparse.csr_array(np.eye(3)), {"typed": True}, "get no types"),
        (scipy.sparse.csr_array((0, 3)), {}, "there is nothing in it"),
    ],
)
def test_what_no_rows_can_be_is_refused(matrix, options, message, keep):
    with pytest.raises(DataError) as caught:
        load(matrix, **options)
    assert re.search(message, str(caught.value).replace(": ", " "))


def test_all_rows_at_once_are_refused_where_they_are_too_many(monkeypatch, keep):
    found = load(scipy.sparse.csr_array(counts()))
    monkeypatch.setattr(sparse_module, "MOST_DENSE", 2000)
    with pytest.raises(ResourceError, match=r"120 rows of 40 columns are sparse.*19200 bytes.*at most 50 rows"):
        np.asarray(found.x)
    assert found.x[:50].shape == (50, 40)


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        ("matrix coordinate real general", "2 2 1\n3 1 1.5\n", "Line 5: Row index out of bounds"),
        ("matrix coordinate real general", "2 2 1\n1 1 abc\n", "Line 5: Invalid floating-point value"),
        ("matrix coordinate real general", "99999999999 2 1\n1 1 1\n", "declares 99999999999 rows for 1 cells"),
        ("matrix array real general", "20000 20000\n1\n", "Expected another 399999999 lines"),
        ("matrix coordinate complex general", "1 1 1\n1 1 1 0\n", "complex numbers"),
    ],
)
def test_matrix_market_files_that_lie_are_refused(head, body, message, tmp_path):
    (tmp_path / "a.mtx").write_text(f"%%MatrixMarket {head}\n% a comment\n\n{body}")
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.mtx")


@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
def test_matrix_market_is_read_as_scipy_reads_it(field, tmp_path, keep):
    x = (counts(40, 40) > 0) * (1 if field == "pattern" else 3)
    path = tmp_path / "a.mtx"
    for symmetry, matrix in (("general", x), ("symmetric", x + x.T)):
        scipy.io.mmwrite(path, scipy.sparse.coo_matrix(matrix), field=field, symmetry=symmetry)
        expected = scipy.io.mmread(path, spmatrix=False).toarray()
        np.testing.assert_array_equal(np.asarray(load(path).x), expected)
    path.write_text(path.read_text().replace("\n", " \n", 5) + "\n\n")
    np.testing.assert_array_equal(np.asarray(load(path).x), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": np.array([9, 0])}, "indices must be < 2"),
        ({"indptr": np.array([0, 2])}, "index pointer size 2 should be 3"),
        ({"format": np.array(b"dia")}, "offsets is not a file"),
        ({"format": np.array(b"csc"), "shape": np.array([2**50, 2])}, "declares 1125899906842624 rows"),
        ({"shape": np.array([2, 2, 2])}, "shape must have length"),
        ({"data": np.array([1j, 2])}, "values of type"),
        ({"format": np.array(b"coo")}, "row is not a file"),
    ],
)
def test_sparse_archives_that_lie_are_refused(change, message, tmp_path):
    right = {"indices": [0, 1], "indptr": [0, 1, 2], "format": b"csr", "shape": [2, 2], "data": [1.0, 2.0]}
    np.savez(tmp_path / "a.npz", **{key: np.array(value) for key, value in right.items()} | change)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.npz")


# --- what is computed of them ---


def test_moments_of_wide_rows_are_those_of_all_rows_at_once():
    """Rows that come a few at a time have the sums, to the last bit, of a block of 4,096."""
    x = np.random.default_rng(0).normal(3.0, 2.0, (5600, 1100))
    data = load(x)
    part = data.x[data.subset("train")].astype(np.float64)
    count, mean, squares = 0.0, np.zeros(1100), np.zeros(1100)
    for block in (part[:4096], part[4096:]):
        own = block.sum(axis=0) / len(block)
        step, total = own - mean, count + len(block)
        squares += ((block - own) ** 2).sum(axis=0) + step**2 * count * len(block) / total
        mean, count = mean + step * len(block) / total, total
    found = prepared_moments(data, Preparation(), 2)
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.variance, squares / count)


@pytest.mark.parametrize("kind", ["binary", "levels", "real", "counts"])
def test_independent_columns_are_the_same(kind):
    x = counts(200, 30) % (2 if kind == "binary" else 1000)
    train, test = SparseRows(scipy.sparse.csr_array(x[:150])), x[150:]
    weight = np.resize([1.0, 2.0, 0.0], 150)
    for options in ({}, {"train_weight": weight}):
        found = independent_baseline(train, test, kind, 91, **options)
        np.testing.assert_array_equal(found, independent_baseline(x[:150], test, kind, 91, **options))


SETTINGS = {"training.steps": 6, "network.hidden": [8], "training.batch_size": 16}


@pytest.mark.parametrize("likelihood", ["auto", "negative-binomial"])
def test_training_and_evaluation_have_the_same_bits(likelihood, keep):
    x = counts()
    config = override(get_recipe("default").config, SETTINGS | {"likelihood": likelihood})
    found = []
    for rows in (x, scipy.sparse.csc_matrix(x)):
        data = load(rows)
        trained = latens.fitting.train(latens.fitting.prepare(config, data))[0]
        metrics = measured(trained, data, data.subset("test"), num_samples=20).metrics
        numbers = {name: (one.value, one.standard_error) for name, one in metrics.items()}
        found.append((trained, numbers, trained.encode(data)))
    for a, b in zip(*(jax.tree.leaves(trained.model) for trained, _, _ in found)):
        np.testing.assert_array_equal(a, b)
    assert "gain_over_independent" in found[0][1]
    np.testing.assert_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(found[0][2], found[1][2])
