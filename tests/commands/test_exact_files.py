"""What commands read and write, and what they say of rows, without a model that is trained."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest
from paths import GOLDEN

from latens.cli.main import main
from latens.commands._files import _as_read, read_latents
from latens.commands._sources import _warn_of
from latens.commands.base import Call, Result
from latens.commands.evaluate import Evaluate
from latens.commands.forecast import _steps
from latens.commands.report import ANIMATIONS, Report
from latens.commands.sample import Sample, _class_of
from latens.config import ClassifierConfig, VAEConfig
from latens.data import load
from latens.errors import DataError, DivergedError, UsageError
from latens.model_figures.draw import PICTURES
from latens.predictive.classes import sample_classes
from latens.trained.trained_model import TrainedModel

TRAINED = TrainedModel.load(GOLDEN / "format-2-table.safetensors")
Z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet", ".arrow"])
def test_latents_are_read_as_they_were_written(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"z{ending}"
    Result(arrays={"mean": Z, "row_id": np.array(list("vwxyz"))}).write(path)
    found, names = read_latents(path, (3,))
    np.testing.assert_allclose(found, Z, rtol=1e-6)
    assert names is not None
    assert names.tolist() == list("vwxyz")
    path.rename(tmp_path / "z.png")
    with pytest.raises(DataError, match=r"latents are not read from '.png'"):
        read_latents(tmp_path / "z.png", (3,))


def test_an_empty_cell_of_text_is_no_text_and_infinity_is_written_where_it_is_meant(tmp_path: Path) -> None:
    Result(table=pl.DataFrame({"name": ["a", None], "x": [1, 2]})).write(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as found:
        assert (found["name"].tolist(), found["x"].tolist()) == (["a", ""], [1, 2])
    table = {"x": np.array([1.0, np.inf]), "y": np.zeros(2)}
    Result(arrays=table, infinite=("x",)).write(tmp_path / "a.csv")
    with pytest.raises(DivergedError, match="x: 1 of 2 rows hold NaN or infinity"):
        Result(arrays=table, infinite=("y",)).write(tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()


def test_the_lines_of_rows_that_are_left_out_are_left_out(tmp_path: Path) -> None:
    schema = load(pl.DataFrame({"city": ["Lyon", "Oslo"] * 30, "size": np.arange(60)})).schema
    path = tmp_path / "new.csv"
    path.write_text("city,size\nNice,1\nOslo,2\nRome,3\nLyon,4\n")
    rows = _as_read(load(path, schema=schema, unknown="skip"), path, {})
    assert rows is not None
    assert rows.rows() == [("Oslo", 2), ("Lyon", 4)]


@pytest.mark.parametrize(
    ("given", "unknown", "other", "said"),
    [
        ({"cells": True}, None, True, ["rows: first", "rows: last"]),
        ({"cells": True}, None, False, []),
        ({}, None, True, []),
        ({"kept": [0]}, "skip", False, ["rows: last"]),
        ({"unseen": [1] * 2000}, None, False, ["rows: 2,000 names"]),
        ({"unseen": [1] * 2000}, "missing", False, []),
    ],
)
def test_a_command_warns_of_what_reading_noted(given: dict, unknown: str | None, other: bool, said: list[str]) -> None:
    heard: list[str] = []
    at: Any = SimpleNamespace(warn=heard.append, kind=SimpleNamespace(unknown=("", "names")))
    plain = {"cells": False, "notes": ("first", "last"), "name": "rows", "kept": None, "unseen": ()}
    _warn_of(at, SimpleNamespace(**plain | given), unknown, other)  # type: ignore[arg-type]
    assert heard == said


def test_a_class_has_its_code_or_is_refused_by_name() -> None:
    """Of a Bayes classifier its place among the classes; of other models what their own method says."""
    for kind, name, code in ((ClassifierConfig, "b", 1), (ClassifierConfig, "c", 7), (VAEConfig, "b", 7)):
        classes = SimpleNamespace(classes=("a", "b"))
        trained: Any = SimpleNamespace(schema=classes, config=kind(recipe=""), code_of=lambda name: 7)
        assert _class_of(trained, name) == code


def test_rows_of_a_classifier_bring_their_class_and_component() -> None:
    trained = TrainedModel.load(GOLDEN / "format-2-classifier.safetensors")
    drawn = sample_classes(trained.model, 40, key=jax.random.key(0), label=None)
    found = Sample(run="", n=40)._drawn(Call(trained), 40, None, False)
    assert found["label"].tolist() == [(trained.schema.classes or ())[code] for code in drawn.label]
    assert len(set(found["label"])) > len(set(found["component"].tolist()))
    np.testing.assert_array_equal(found["component"], drawn.component)
    np.testing.assert_array_equal(found["x"], trained.data_units(drawn.x, mean=False))


@pytest.mark.parametrize(("only", "name"), [(None, "run.html"), ("figures", "folder"), ("animation", "walk.gif")])
def test_a_report_goes_where_it_is_asked_to(only: str | None, name: str, tmp_path: Path) -> None:
    run: Any = SimpleNamespace(path=tmp_path)
    usual = {None: "report.html", "figures": "figures", "animation": "figures/walk.gif"}[only]
    for asked, path in (("", tmp_path / usual), (str(tmp_path / "own" / name), tmp_path / "own" / name)):
        at = Call(TRAINED, run=run, out=asked)
        report = Report(run="", only=only, name="walk" if only == "animation" else None)
        assert (report.place(at) or at.out) == path


def test_steps_that_follow_rows_of_arrays_are_counted_on() -> None:
    data: Any = SimpleNamespace(places=None, names=np.array([4, 9]))
    found = _steps(data, np.array([1, 0]), np.array([5, 2]), 2)
    assert {name: column.tolist() for name, column in found.items()} == {"sequence": [9, 9, 4, 4], "step": [5, 6, 2, 3]}


def test_pictures_are_written_as_they_are_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 2, 300), np.round(rng.normal(size=300), 2)
    (tmp_path / "t.csv").write_text("\n".join(["kind,size", *(f"k{k},{k + s:.2f}" for k, s in zip(kind, size))]))
    assert main(["fit", "t.csv", "--steps", "5", "--out", "run", "--quiet"]) == 0
    assert main(["report", "run", "--only", "figures", "--name", "marginals,latentmap", "--quiet"]) == 2
    names = ["marginals", "information"]
    order = [name for name in PICTURES if name in names]

    def stopped(source: object) -> None:
        assert (tmp_path / "run" / "figures" / f"{order[0]}.png").is_file()
        raise KeyboardInterrupt

    monkeypatch.setitem(PICTURES, order[1], PICTURES[order[1]]._replace(draw=stopped))
    assert main(["report", "run", "--only", "figures", "--name", ",".join(names), "--quiet"]) == 130
    kept = sorted(path.name for path in (tmp_path / "run" / "figures").iterdir())
    assert kept == [f"{order[0]}.{kind}" for kind in ("csv", "png", "svg")]


DRAWN: list[dict[str, Any]] = [{}, {"only": "figures"}, *({"only": "animation", "name": one} for one in ANIMATIONS)]
OPTIONS = {"theme": "dark", "given": ["a=1"], "manifold_cells": 5, "manifold_range": "percentile", "between": "a,b"}
OPTIONS |= {"percentiles": (0.1, 0.9), "path": "linear", "frames": 3, "fps": 5.0, "seed": 1, "data": "rows.csv"}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_a_report_is_taken_where_its_refusal_says(option: str) -> None:
    given: dict[str, Any] = {option: OPTIONS[option]}
    given |= {"manifold_range": "percentile"} if option == "percentiles" else {}
    taken, fixes = [], []
    for kind in DRAWN:
        try:
            Report(run="", **kind, **given)._refuse_idle()
            taken.append(kind)
        except UsageError as error:
            fixes.append(error.fix)
    said = (re.findall(r"--only (\w+)(?: --name (\w+))?", str(fix)) for fix in fixes)
    named = [[{"only": a} | ({"name": b} if b else {}) for a, b in each] for each in said]
    assert fixes
    assert all(each == taken for each in named if each)
    assert all(named) or len(taken) > 2


@pytest.mark.parametrize(("run", "known"), [(None, True), (None, False), ("r", True), ("r", False)])
def test_a_report_is_next_where_there_is_one(run: str | None, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latens.commands.evaluate.result_lines", lambda *values, **options: ["first", ""])
    at: Any = SimpleNamespace(run=run, name="a run", trained=None, knows=lambda data: known)
    found = Evaluate(run="")._plain(at, *[None] * 3)  # type: ignore[arg-type]
    assert found == ("first", *["Next: latens report 'a run'"] * (run is not None and known))
