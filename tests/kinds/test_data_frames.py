"""Frames, Parquet and arrays from memory."""

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


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (frame(z=[1j, 2, 3]).drop(columns="kind"), "column 'z' holds complex numbers"),
        (frame(i=[1, 1, 2]).drop(columns="kind"), "row id 1 is used 2 times"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
        (pd.DataFrame({"a": []}), "nothing in it"),
    ],
)
def test_refused_frames(table, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(table, row_id="i" if "i" in table else None)


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
