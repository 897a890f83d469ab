"""AnnData: the file format, the object in memory, and files that lie."""

import gzip
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from paths import GOLDEN

from latens.data import check, load
from latens.data.row_fields import Raw
from latens.errors import DataError, ResourceError
from latens.kinds.counts import anndata as annotated
from latens.kinds.counts import sparse

h5py = pytest.importorskip("h5py")

# Written by anndata 0.12.19: 6 cells by 4 genes as CSR, obs with categories, whole numbers, missing ones and text.
WRITTEN = GOLDEN / "anndata-0.12.19.h5ad.gz"
X = [[1, 3, 2, 2], [0, 3, 7, 4], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 7], [0, 16, 3, 4]]


def text(group: Any, name: str, values: list[str]) -> None:
    group.create_dataset(name, data=values, dtype=h5py.string_dtype()).attrs["encoding-type"] = "string-array"


def write(path: Path, matrix: Any = None) -> Path:
    """An AnnData file after the published description of the format."""
    x = scipy.sparse.csr_matrix(np.array(X, np.float32)) if matrix is None else matrix
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        if scipy.sparse.issparse(x):
            group = file.create_group("X")
            group.attrs["encoding-type"] = f"{x.format}_matrix"
            group.attrs["shape"] = x.shape
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(x, name)
        else:
            file["X"] = x
        for name, names in (("obs", [f"c{i}" for i in range(6)]), ("var", list("GHIJ"))):
            group = file.create_group(name)
            group.attrs["_index"] = "who"
            text(group, "who", names)
        kind = file.create_group("obs/kind")
        kind.attrs["encoding-type"] = "categorical"
        kind["codes"] = np.array([0, 1, -1, 0, 1, 1], np.int8)
        text(kind, "categories", ["liver", "brain"])
        file["obs/w"] = np.arange(6.0)
    return path


def refusal(spec: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises((DataError, ResourceError)) as caught:
        load(spec, **options)
    error: Any = caught.value
    return error.message, error.fix


def test_a_file_that_anndata_wrote(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes(gzip.decompress(WRITTEN.read_bytes()))
    data = load(tmp_path / "a.h5ad", label="cell_type")
    assert data.x.tolist() == X
    assert (data.label.tolist(), data.schema.classes) == ([0, 1, -1, 0, 1, 1], ("a", "b"))
    assert data.names.tolist() == ["c0", "c1", "c2", "c3", "c4", "c5"]
    assert [column.name for column in data.schema.columns] == ["G", "H", "I", "J"]
    again = load(tmp_path / "a.h5ad", label="batch", row_id="txt")
    assert (again.label.tolist(), again.schema.classes) == ([0, -1, 1, 2, 3, 4], ("1", "3", "4", "5", "6"))
    assert again.names.tolist() == list("uvwxyz")
    assert load(tmp_path / "a.h5ad").label is None


def test_names_of_categories_may_be_nullable_strings(tmp_path: Path) -> None:
    # As anndata 0.12 writes the strings of pandas 3.
    path = write(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        del file["obs/kind/categories"]
        names = file.create_group("obs/kind/categories")
        names.attrs["encoding-type"] = "nullable-string-array"
        text(names, "values", ["liver", "brain"])
        names["mask"] = np.zeros(2, bool)
    data = load(path, label="kind")
    assert (data.label.tolist(), data.schema.classes) == (
        load(write(tmp_path / "b.h5ad"), label="kind").label.tolist(),
        load(tmp_path / "b.h5ad", label="kind").schema.classes,
    )


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint16"])
def test_every_form_of_the_matrix_is_the_same(
    tmp_path: Path, form: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.array(X, dtype)
    matrix = {"csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix, "dense": np.asarray}[form](x)
    data = load(write(tmp_path / "a.h5ad", matrix), label="kind", weight="w")
    assert data.x.tolist() == X
    assert (data.label.tolist(), data.schema.classes) == ([1, 0, -1, 1, 0, 0], ("brain", "liver"))
    assert data.weight.tolist() == [0, 1, 2, 3, 4, 5]
    monkeypatch.setattr(sparse, "SMALL", 0)
    again = load(tmp_path / "a.h5ad", label="kind", weight="w")
    assert isinstance(again.x, sparse.SparseRows) == (form != "dense")
    assert np.asarray(again.x).tolist() == X
    assert (again.schema, again.fingerprint) == (data.schema, data.fingerprint)


def test_the_ending_does_not_matter(tmp_path: Path) -> None:
    shutil.copy(write(tmp_path / "a.h5ad"), tmp_path / "b.h5")
    assert load(tmp_path / "b.h5").x.tolist() == X


def test_genes_are_put_in_the_order_of_the_model(tmp_path: Path) -> None:
    schema = load(write(tmp_path / "a.h5ad")).schema
    path = write(tmp_path / "b.h5ad", np.array(X, np.float32)[:, ::-1])
    with h5py.File(path, "a") as file:
        file["var/who"][...] = ["J", "I", "H", "G"]
    assert load(path, schema=schema).x.tolist() == X
    raw = Raw(np.array(X), columns=(*"GHI", "other"), notes=("first",))
    counted = annotated.with_genes(raw, schema, "missing", "rows")
    assert counted.tolist() == [[True, True, True, False]] * 6
    assert [note.partition(" gene")[0] for note in raw.notes] == ["first", "1", "1"]
    assert (raw.x[:, :3].tolist(), raw.columns) == ([row[:3] for row in X], tuple("GHIJ"))


def test_old_categories_are_decoded(tmp_path: Path) -> None:
    """anndata 0.7 kept the codes beside the names of all categories."""
    path = write(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file["obs/old"] = np.array([1, 0, 1, 0, 1, 0], np.int8)
        text(file.create_group("obs/__categories"), "old", ["x", "y"])
    data = load(path, label="old")
    assert (data.label.tolist(), data.schema.classes) == ([1, 0, 1, 0, 1, 0], ("x", "y"))


def test_names_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5ad")
    assert refusal(path, label="kinds") == ("obs has no column 'kinds'.", "Did you mean 'kind'?")
    assert refusal(path, label="who")[0] == "obs has no column 'who'."
    assert refusal(path, row_id="../var/who")[0] == "obs has no column '../var/who'."


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("X/indptr", [0, 4, 7, 8, 8, 10, 99], "Last value of index pointer"),
        ("X/indptr", [0, 9, 7, 8, 8, 10, 13], "indptr must be a non-decreasing"),
        ("X/indptr", [0, 13], "index pointer size 2 should be 7"),
        ("X/indices", [4] * 13, "indices must be < 4"),
        ("X/indices", [-1] * 13, "indices must be >= 0"),
        ("X/data", [1.0] * 12, "indices and data should have the same size"),
        ("X", None, "has no X, which every AnnData file with data has."),
        ("obs", None, "has no obs, which every AnnData file with data has."),
        ("obs", np.zeros(6, [("index", "S2")]), "is written by an anndata older than 0.7."),
        ("obs/kind/codes", [0, 1, 2, 0, 1, 1], "the codes do not belong to the categories."),
        ("obs/who", ["c"] * 6, "two rows have the same name in obs."),
        ("obs/who", ["c"] * 5, "X has shape (6, 4), for 5 names in obs and 4 in var."),
        ("var/who", list("GGIJ"), "two columns are named 'G'."),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, path: str, value: Any, message: str) -> None:
    file_path = write(tmp_path / "a.h5ad")
    with h5py.File(file_path, "a") as file:
        del file[path]
        if value is not None:
            file[path] = value
    found, fix = refusal(file_path, label="kind")
    assert message in found
    assert fix != ""


def test_a_matrix_with_too_many_columns_is_refused_before_it_is_made(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5ad", scipy.sparse.csr_matrix((6, 2**30), dtype=np.float32))
    assert refusal(path)[0] == "X has shape (6, 1073741824), for 6 names in obs and 4 in var."
    with pytest.raises(DataError, match="has more than 134217728 cells"):
        load(scipy.sparse.csr_matrix((6, 2**30), dtype=np.float32))


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_matrices_in_memory(form: str) -> None:
    x = np.array(X, np.float32) + np.eye(6, 4) / 2
    assert load(scipy.sparse.coo_array(x).asformat(form)).x.tolist() == x.tolist()


def anndata(**fields: Any) -> Any:
    """An object with the face of an AnnData."""
    pandas = pytest.importorskip("pandas")
    obs = pandas.DataFrame(
        {"kind": pandas.Categorical(["a", "b", None, "a", "b", "b"])}, index=[f"c{i}" for i in range(6)]
    )
    kind = type("AnnData", (SimpleNamespace,), {"__module__": "anndata._core.anndata"})
    given = {"X": scipy.sparse.csr_matrix(np.array(X, np.float32)), "obs": obs, "isbacked": False}
    return kind(**{**given, "obs_names": obs.index, "var_names": list("GHIJ"), **fields})


def test_an_object_in_memory() -> None:
    data = load(anndata(), label="kind", name="cells")
    assert (data.x.tolist(), data.names.tolist()) == (X, ["c0", "c1", "c2", "c3", "c4", "c5"])
    assert (data.label.tolist(), data.schema.classes, data.name) == ([0, 1, -1, 0, 1, 1], ("a", "b"), "cells")
    assert [column.name for column in data.schema.columns] == ["G", "H", "I", "J"]
    assert load(anndata(X=np.array(X))).x.tolist() == X
    assert refusal(anndata(isbacked=True)) == (
        "is still on disk.",
        "Load it first: adata.to_memory(), or give its path.",
    )
    assert refusal(anndata(X=None))[0] == "has no X."
    assert refusal(anndata(), label="kinds")[0] == "obs has no column 'kinds'."
    assert not annotated.is_annotated(SimpleNamespace())


def test_a_real_anndata_object() -> None:
    real = pytest.importorskip("anndata")
    fake = anndata()
    made = real.AnnData(fake.X, obs=fake.obs, var=fake.obs.iloc[:4, :0].set_axis(list("GHIJ")))
    data = load(made, label="kind")
    assert (data.x.tolist(), data.label.tolist()) == (X, [0, 1, -1, 0, 1, 1])


def test_counts_of_single_cells_are_recognised(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.negative_binomial(0.5, 0.05, size=(200, 30)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["X"] = x
        for name, n in (("obs", 200), ("var", 30)):
            group = file.create_group(name)
            group.attrs["_index"] = "who"
            text(group, "who", [f"{name}{i}" for i in range(n)])
    report = check(load(tmp_path / "a.h5ad"))
    assert (report["kind"], report["likelihood"], report["counts"]) == (
        "counts",
        "depth-negative-binomial",
        {"all": True, "count": 30},
    )
