"""Frames, Parquet and arrays from memory."""

from pathlib import Path

import numpy as np
import pytest

from latens.data import load
from latens.errors import DataError

pd = pytest.importorskip("pandas")


def frame(**extra):
    return pd.DataFrame({"a": [1.5, 2.0, 4.0], "b": [1, 2, 3], "kind": ["u", "v", "u"], **extra})


def test_pandas_columns_label_and_index() -> None:
    data = load(frame().set_index(pd.Index(["r", "s", "t"])), label="kind")
    assert data.x.tolist() == [[1.5, 1], [2, 2], [4, 3]]
    assert (data.label.tolist(), data.schema.classes) == ([0, 1, 0], ("u", "v"))
    assert data.label_name == "kind"
    assert data.names.tolist() == ["r", "s", "t"]
    assert [c.name for c in data.schema.columns] == ["a", "b"]


def test_a_subset_of_a_frame_keeps_its_row_ids() -> None:
    data = load(frame().iloc[[2, 0]], label="kind")
    assert data.names.tolist() == [2, 0]
    whole = load(frame(), label="kind")
    assert data.split.tolist() == whole.split[[2, 0]].tolist()


def test_nullable_columns_become_masked() -> None:
    table = frame(c=pd.array([1, None, 3], "Int64"), d=pd.array([True, None, False], "boolean"))
    data = load(table, label="kind", missing="nan")
    assert data.mask.tolist() == [[True] * 4, [True, True, False, False], [True] * 4]
    assert data.x[0].tolist() == [1.5, 1, 1, 1]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (frame(z=[1j, 2, 3]).drop(columns="kind"), "column 'z' holds .*neither a number nor text"),
        (frame(i=[1, 1, 2]).drop(columns="kind"), "row id 1 is used 2 times"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
        (pd.DataFrame({"a": []}), "nothing in it"),
    ],
)
def test_refused_frames(table, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(table, row_id="i" if "i" in table else None)


def test_parquet_equals_the_frame(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    table = frame(c=[True, False, True]).set_index(pd.Index(["r", "s", "t"]))
    table.to_parquet(tmp_path / "t.parquet")
    from_file, from_memory = load(tmp_path / "t.parquet", label="kind"), load(table, label="kind")
    assert from_file.fingerprint == from_memory.fingerprint
    (tmp_path / "u.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-9])
    with pytest.raises(DataError, match="not readable Parquet"):
        load(tmp_path / "u.parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"latens\[tables\]"):
        load(tmp_path / "t.parquet")


def test_polars_frames() -> None:
    pl = pytest.importorskip("polars")
    data = load(pl.DataFrame({"a": [1.5, None], "b": [True, False], "k": ["u", "v"]}), label="k", missing="nan")
    assert data.mask.tolist() == [[True, True], [False, True]]
    assert (data.x[0].tolist(), data.label.tolist()) == ([1.5, 1], [0, 1])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([["a", "b"]]), "holds text, not numbers"),
        (np.array([[1j]]), "holds complex numbers"),
        (np.array([[None, 1]]), "holds Python objects"),
        (np.array([["2020"]], "M8[Y]"), "holds dates"),
        ([[1, 2], [3]], "rows differ in length"),
        (np.zeros(5), r"x\[:, None\]"),
        (np.float64(3), "rows and columns are needed"),
        (np.zeros((0, 4)), "nothing in it"),
        (np.zeros((4, 0)), "nothing in it"),
        (np.array([[1e300, 0.5]]), "too large for float32|is too large"),
    ],
)
def test_refused_arrays(value, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(value)


def test_arrays_with_labels_ids_and_weights() -> None:
    data = load([[0.5, 1], [2, 3]], label=["b", "a"], row_id=["p", "q"], weight=[1, 2], name="mine")
    assert (data.label.tolist(), data.names.tolist(), data.weight.tolist()) == ([1, 0], ["p", "q"], [1, 2])
    assert data.name == "mine"
    for weight in ([1, -1], [1, np.nan], [1], ["x", "y"]):
        with pytest.raises(DataError, match="weights must be"):
            load([[0.5, 1], [2, 3]], weight=weight)


def test_sparse_matrices_become_dense() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    assert load(sparse.csr_matrix(np.diag([1.5, 2.5]))).x.tolist() == [[1.5, 0], [0, 2.5]]


def test_fractions_beside_whole_numbers_stay_fractions() -> None:
    table = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.25]})
    assert load(table).x.tolist() == [[1.0, 0.5], [2.0, 1.5], [3.0, 2.25]]
