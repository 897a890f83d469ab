"""Single cells from an AnnData file to codes in it, as they are typed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import latens as lt
from latens.cli.main import main
from latens.commands.evaluate import next_of
from latens.errors import DataError
from latens.trained.sample_sets import SampleSets

h5py = pytest.importorskip("h5py")

GENES = [f"g{j}" for j in range(10)]


def counts(n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kind, batch = np.arange(n) % 2, rng.integers(0, 2, n)
    logits = np.zeros((n, 10)) + np.linspace(0, 1, 10)
    logits[:, 0] += 2.0 * kind
    logits[:, 1] -= 2.0 * kind
    logits[:, 5] += 1.0 * batch
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return rng.poisson(60 * np.exp(rng.normal(0, 0.4, n))[:, None] * share), kind, batch


def column(group: Any, name: str, words: list[str]) -> None:
    values = sorted(set(words))
    made = group.create_group(name)
    made.attrs["encoding-type"] = "categorical"
    made["codes"] = np.array([values.index(word) for word in words], np.int8)
    made.create_dataset("categories", data=values, dtype=h5py.string_dtype())


def write(
    path: Path, x: np.ndarray, kind: np.ndarray, batch: np.ndarray, genes: list[str], *, layers: bool = False,
    columns: tuple[str, ...] = ("type", "donor"),
) -> Path:  # fmt: skip
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        sparse = scipy.sparse.csr_matrix(np.log1p(x).astype(np.float32) if layers else x.astype(np.float32))
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", x.shape
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(sparse, name)
        if layers:
            file["layers/counts"] = x.astype(np.int32)
        for name, names in (("obs", [f"c{i}" for i in range(len(x))]), ("var", genes)):
            made = file.create_group(name)
            made.attrs["_index"] = "_index"
            made.create_dataset("_index", data=names, dtype=h5py.string_dtype())
        for name, words in (("type", [f"t{k}" for k in kind]), ("donor", [f"d{b}" for b in batch])):
            if name in columns:
                column(file["obs"], name, words)
        file["uns/note"] = "kept"
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("cells")
    x, kind, batch = counts()
    write(here / "cells.h5ad", x, kind, batch, GENES, layers=True)
    order = [*range(9, -1, -1)]
    extra = np.concatenate([x[:, order], np.full((len(x), 1), 7)], axis=1)
    write(here / "new.h5ad", extra, kind, batch, [*(GENES[j] for j in order), "other"])
    third = np.where(np.arange(len(x)) < 3, 2, batch)
    write(here / "third.h5ad", x, kind, third, GENES)
    write(here / "fewer.h5ad", x[:, 1:], kind, batch, GENES[1:])
    argv = ["fit", str(here / "cells.h5ad"), "--layer", "counts", "--condition", "donor", "--label", "type"]
    small = ["--steps", "12", "--set", "network.hidden=8", "--set", "posterior.latent_dim=2", "--quiet"]
    assert main([*argv, *small, "--out", str(here / "run")]) == 0
    return here


def said(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main([str(word) for word in argv]) == code
    return capsys.readouterr()


def test_a_label_that_the_model_did_not_see_colours_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, kind, batch = counts()
    third = np.where(np.arange(len(x)) < 3, 2, kind)
    write(folder / "treated.h5ad", x, third, batch, GENES)
    words = ("report", folder / "run", folder / "treated.h5ad", "--only", "figures", "--name", "latent")
    words = (*words, "--out", folder / "own", "--label")
    said(capsys, *words, "donor")
    table = np.genfromtxt(folder / "own" / "latent.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert table["class"].tolist() == [f"d{b}" for b in batch]
    said(capsys, *words, "type")  # t2, which no training cell had, is a name like the others
    table = np.genfromtxt(folder / "own" / "latent.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert table["class"].tolist() == [f"t{k}" for k in third]
    _, err = said(capsys, *words, "treatment", code=3)
    assert "obs has no column 'treatment'" in err
    with h5py.File(folder / "treated.h5ad", "a") as file:
        column(file["obs"], "barcode", [f"b{i}" for i in range(len(x))])
    _, err = said(capsys, *words, "barcode", code=2)
    assert "this column has 120 names, and a colour each for at most 100" in err


def test_a_file_of_cells_chooses_the_recipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = lt.load(folder / "run")
    assert trained.config is not None
    assert trained.config.recipe == "cells"
    assert [one.name for one in trained.schema.conditions or ()] == ["donor"]
    assert trained.schema.kind == "counts"
    assert trained.preparation.depth
    assert trained.preparation.classes == 0  # the label is beside, and not read
    _, err = said(capsys, "fit", folder / "cells.h5ad", "--recipe", "cells", "--dry-run", code=3)
    assert "holds no counts" in err
    assert "--layer NAME" in err
    assert next_of(trained, "r") == "latens report r --only figures"
    rising = trained.with_facts(stopped_because="minutes", steps=5, best_step=5)
    more = "latens resume r --minutes 2  # validation still improved"
    assert next_of(rising, "r", 2.0) == f"latens report r --only figures\n{more}"
    out, _ = said(capsys, "check", folder / "cells.h5ad")
    assert "X holds fractions" in out
    assert "--layer takes one of counts" in out
    out, _ = said(capsys, "check", folder / "cells.h5ad", "--layer", "counts", "--json")
    assert json.loads(out)["kind"] == "counts"
    _, err = said(capsys, "check", folder / "cells.h5ad", "--layer", "count", code=3)
    assert "'count'" in err
    assert "counts" in err
    _, err = said(capsys, "check", "iris", "--layer", "count", code=2)
    assert "has no layers" in err
    _, err = said(capsys, "check", folder / "cells.h5ad", "--condition", "donors", code=3)
    assert "obs has no column 'donors'" in err
    assert "donor" in err


def test_codes_go_into_a_copy_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out.h5ad"
    said(capsys, "encode", folder / "run", folder / "cells.h5ad", "--out", out)
    trained = lt.load(folder / "run")
    data = lt.read(str(folder / "cells.h5ad"), layer="counts", schema=trained.schema)
    with h5py.File(out) as new, h5py.File(folder / "cells.h5ad") as old:
        np.testing.assert_allclose(new["obsm/X_latens"][:], trained.encode(data), atol=1e-6)
        assert new["obsm/X_latens"].attrs["encoding-type"] == "array"
        for name in ("X/data", "X/indices", "layers/counts", "obs/type/codes", "var/_index"):
            assert (new[name][:] == old[name][:]).all()
    _, err = said(capsys, "encode", folder / "run", "digits", "--out", out, code=2)
    assert "a .h5ad output is a copy of DATA" in err


def test_predicted_types_have_their_names_in_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["fit", folder / "cells.h5ad", "--layer", "counts", "--condition", "donor", "--label", "type"]
    small = ["--recipe", "m2", "--set", "likelihood=depth-negative-binomial", "--set", "network.hidden=4"]
    said(capsys, *argv, *small, "--steps", "4", "--num-samples", "2", "--quiet", "--out", folder / "m2")
    for ending in ("npz", "csv"):
        said(capsys, "encode", folder / "m2", folder / "cells.h5ad", "--out", folder / f"predicted.{ending}")
    with np.load(folder / "predicted.npz") as made:
        share, best = made["class_probability"], made["predicted"]
        np.testing.assert_array_equal(made["probability_t1"], share[:, 1])
        np.testing.assert_array_equal(made["probability"], share.max(axis=1))
    assert best.tolist() == [f"t{code}" for code in share.argmax(axis=1)]
    table = np.genfromtxt(folder / "predicted.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert not [name for name in table.dtype.names or () if name.startswith("class_probability")]
    np.testing.assert_allclose(table["probability_t0"], share[:, 0], rtol=1e-5)
    others = ("--label", "donor", "--name", "latent", "--out", folder / "m2-maps")
    _, err = said(capsys, "report", folder / "m2", folder / "cells.h5ad", "--only", "figures", *others, code=2)
    assert "this column has none of the names that the model reads" in err


def test_genes_are_found_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = lt.load(folder / "run")
    known = lt.read(str(folder / "cells.h5ad"), layer="counts", schema=trained.schema)
    other = lt.read(str(folder / "new.h5ad"), schema=trained.schema)
    assert (np.asarray(other.x) == np.asarray(known.x)).all()
    assert "1 gene that the model does not know is left out" in other.notes
    with pytest.raises(DataError, match="lacks 1 of the model's 10 genes: 'g0'"):
        lt.read(str(folder / "fewer.h5ad"), schema=trained.schema)
    with pytest.raises(DataError, match="in Python unknown='missing'"):
        lt.read(str(folder / "fewer.h5ad"), schema=trained.schema)
    part = lt.read(str(folder / "fewer.h5ad"), schema=trained.schema, unknown="missing")
    assert "1 gene of the model is missing" in part.notes
    assert part.mask is not None
    assert not part.mask[:, 0].any()
    assert part.mask[:, 1:].all()
    with pytest.raises(DataError, match=r"has no name 'd2'.*In Python unknown='missing', or another name"):
        lt.read(str(folder / "third.h5ad"), schema=trained.schema)
    third = lt.read(str(folder / "third.h5ad"), schema=trained.schema, condition={"donor": "d1"})
    assert third.cond is not None
    batch = counts()[2]
    wanted = np.where((batch == 1) | (np.arange(120) < 3), 1.0, 0.0)
    usual = next(iter(trained.schema.conditions or ())).usual
    np.testing.assert_allclose(third.cond["given"][:, 1], wanted - usual)
    assert "3 cells of unknown donor count as donor=d1" in third.notes
    _, err = said(capsys, "encode", folder / "run", folder / "fewer.h5ad", "--out", folder / "z.npz", code=3)
    assert "--unknown missing" in err
    said(capsys, "encode", folder / "run", folder / "fewer.h5ad", "--unknown", "missing", "--out", folder / "z.npz")


def test_new_cells_need_no_label_and_have_the_layer_of_the_training_cells(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, _, batch = counts()
    bare: dict[str, Any] = {"columns": ("donor",)}
    write(folder / "bare.h5ad", x, batch, batch, GENES, **bare)
    write(folder / "bare-layer.h5ad", x, batch, batch, GENES, layers=True, **bare)
    known = lt.read(str(folder / "cells.h5ad"), layer="counts", schema=lt.load(folder / "run").schema)
    for name in ("bare", "bare-layer"):
        said(capsys, "encode", folder / "run", folder / f"{name}.h5ad", "--out", folder / "b.npz")
        with np.load(folder / "b.npz") as found:
            np.testing.assert_allclose(found["mean"], lt.load(folder / "run").encode(known), atol=1e-6)
    write(folder / "bare-alone.h5ad", x, batch, batch, GENES, columns=())
    _, err = said(capsys, "encode", folder / "run", folder / "bare-alone.h5ad", "--out", folder / "b.npz", code=3)
    assert "has no 'donor', a condition that the model reads" in err


def test_a_batch_that_no_training_cell_had(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("encode", folder / "run", folder / "third.h5ad", "--out", folder / "t.npz")
    _, err = said(capsys, *words, code=3)
    assert "Did you mean" not in err
    assert "(d0, d1): --given donor=d" in err
    assert "--unknown missing" in err
    _, err = said(capsys, *words, "--given", "donor=d1")
    assert "3 cells of unknown donor count as donor=d1" in err
    with np.load(folder / "t.npz") as found:
        assert found["given_donor"][:3].tolist() == ["d1"] * 3
    _, err = said(capsys, *words, "--unknown", "missing")
    assert "3 cells of unknown donor count as the mean of all categories" in err
    with np.load(folder / "t.npz") as found:
        assert found["given_donor"][:3].tolist() == [""] * 3
        assert set(found["given_donor"][3:].tolist()) == {"d0", "d1"}
    schema = lt.load(folder / "run").schema
    data = lt.read(str(folder / "third.h5ad"), schema=schema, unknown="missing")
    assert data.cond is not None
    usual = np.eye(2)[int(next(iter(schema.conditions or ())).usual)]
    np.testing.assert_allclose(data.cond["given"][:3], np.full((3, 2), 0.5) - usual)
    np.testing.assert_allclose(data.cond["given"][3:], np.eye(2)[counts()[2][3:]] - usual)


def test_log_p_is_given_the_total_and_beside_genes_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "evaluate", folder / "run", "--num-samples", "5", "--json")
    found = json.loads(out)["metrics"]
    assert "given donor and the total of each row" in found["log_marginal"]["protocol"]
    assert "a negative binomial a gene given total and donor" in found["gain_over_genes"]["protocol"]
    assert "gain_over_independent" not in found


def test_samples_are_compared_at_the_totals_and_batches_of_the_rows(folder: Path) -> None:
    trained = lt.load(folder / "run")
    data = lt.read(str(folder / "cells.h5ad"), layer="counts", label="type", condition=["donor"])
    rows = data.subset("test")
    sets = SampleSets(trained, data, rows, 0)
    cond = sets.conditions(3 * len(rows))
    assert cond is not None
    total, batch = np.log(data.x[rows].sum(axis=1)), data.cond["given"][rows]  # type: ignore[index]
    own = sorted(zip(total.round(4).tolist(), batch[:, 1].tolist()))
    told = sorted(zip(cond["depth"].round(4).tolist(), cond["given"][:, 1].tolist()))
    np.testing.assert_allclose(told[::3], own, atol=1e-3)  # three of each, total and batch of one cell
    made = np.log(sets.samples.sum(axis=1))
    assert made.std() == pytest.approx(total.std(), rel=0.25)
    assert np.corrcoef(made, sets.conditions(len(made))["depth"])[0, 1] > 0.8  # type: ignore[index]


def test_a_prior_is_fitted_to_codes_beside_a_label_that_is_not_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The codes stay, so that only the prior is another."""
    said(capsys, "refit", folder / "run", "--prior", "mixture", "--out", folder / "mixed.safetensors")
    ours, other = lt.load(folder / "run"), lt.load(folder / "mixed.safetensors")
    data = lt.read(str(folder / "cells.h5ad"), layer="counts", schema=ours.schema)
    np.testing.assert_array_equal(ours.encode(data), other.encode(data))
    assert type(other.model.prior_part) is not type(ours.model.prior_part)
