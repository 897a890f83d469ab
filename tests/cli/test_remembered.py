"""What a run remembers: how its data were read, and its whole configuration."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli_fixtures import Result

from latens import load
from latens.errors import UsageError

pytest_plugins = ("cli_fixtures",)

TINY = ("--steps", "2", "--set", "network.hidden=4", "--set", "posterior.latent_dim=2")
HEADER = ["who", "height", "kind", "children", "note_count"]


def rows_of(n: int, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        height = f"{rng.normal(170, 9):.3f}" if rng.random() > 0.2 else "NA"
        children = str(rng.integers(0, 5)) if rng.random() > 0.2 else ""
        rows.append([f"p{seed}-{i}", height, "ab"[i % 2], children, f"{rng.integers(1, 5):03d}"])
    return rows


def write(path: Path, rows: list[list[str]], keep: list[str] = HEADER) -> None:
    places = [HEADER.index(name) for name in keep]
    lines = [keep, *([row[i] for i in places] for row in rows)]
    path.write_text("".join(",".join(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from latens.cli.main import main

    folder = tmp_path_factory.mktemp("remembered")
    write(folder / "d.csv", rows_of(60))
    words = ["fit", str(folder / "d.csv"), "--label", "kind", "--id", "who", "--missing", "nan", "--null", "NA", *TINY]
    assert main([*words, "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


def test_a_run_in_python_reads_its_own_rows(home: Path) -> None:
    trained = load(home / "run")
    assert trained.evaluate(num_samples=2).value["data"]["fingerprint"] == trained.facts["fingerprint"]
    with pytest.raises(UsageError, match=r"A model file contains no rows: pass data="):
        load(home / "run" / "model.safetensors").evaluate()


def test_another_file_of_the_form_is_read_as_the_training_data_were(
    home: Path, latens: Callable[..., Result], tmp_path: Path
) -> None:
    write(tmp_path / "new.csv", rows_of(9, seed=1))
    for model in (home / "run", home / "run" / "model.safetensors"):
        assert latens("encode", model, tmp_path / "new.csv", "--out", tmp_path / "z.npz").code == 0
        with np.load(tmp_path / "z.npz") as z:
            assert (z["row_id"][3], z["label"].tolist()) == ("p1-3", [*"ababababa"])
        assert latens("evaluate", model, tmp_path / "new.csv", "--num-samples", "5").code == 0
        assert latens("reconstruct", model, tmp_path / "new.csv", "--out", tmp_path / "r.npz").code == 0
    facts = load(home / "run" / "model.safetensors").facts
    assert facts["read_with"] == {"label": "kind", "id": "who", "missing": "nan", "null": ["NA"]}


def test_a_file_without_the_label_is_read_without_it_and_flags_win(
    home: Path, latens: Callable[..., Result], tmp_path: Path
) -> None:
    rows = rows_of(9, seed=2)
    write(tmp_path / "bare.csv", rows, ["who", "height", "children", "note_count"])
    write(tmp_path / "barer.csv", rows, ["height", "children", "note_count"])
    for name, first in (("bare.csv", "p2-0"), ("barer.csv", 0)):
        assert latens("encode", home / "run", tmp_path / name, "--out", tmp_path / "z.npz").code == 0
        with np.load(tmp_path / "z.npz") as z:
            assert (z["row_id"][0].item(), "label" in z) == (first, False)
    (tmp_path / "renamed.csv").write_text((tmp_path / "bare.csv").read_text().replace("who", "name"))
    assert (
        latens("encode", home / "run", tmp_path / "renamed.csv", "--id", "name", "--out", tmp_path / "z.npz").code == 0
    )


def test_a_stranger_s_model_file_names_no_files(home: Path) -> None:
    from latens.commands._sources import remembered

    hostile = {"label": "/etc/y.npy", "id": 7, "weight": ["a"], "missing": "yes", "counts": True, "spec": "/etc"}
    assert remembered(hostile) == {"counts": True}
    assert remembered("words") == {}


def test_imputing_changes_missing_cells_and_nothing_else(
    home: Path, latens: Callable[..., Result], tmp_path: Path
) -> None:
    rows = [*rows_of(12, seed=3), ["=1+1", "1.70e2", "b", "2", "003"]]
    write(tmp_path / "gaps.csv", rows)
    out = tmp_path / "full.csv"
    assert latens("impute", home / "run", tmp_path / "gaps.csv", "--num-samples", "20", "--out", out).code == 0
    header, *found = csv.reader(io.StringIO(out.read_text()))
    assert header == HEADER
    assert len(found) == 13
    gaps = 0
    for before, after in zip(rows, found):
        for name, old, new in zip(HEADER, before, after):
            if old in ("NA", ""):
                gaps += 1
                assert np.isfinite(float(new)), (name, new)
            elif name == "height":
                assert float(new) == float(old)
            else:
                assert new == ("'=1+1" if old == "=1+1" else old)
    assert gaps > 2
    again = latens("impute", home / "run", out, "--num-samples", "20", "--out", tmp_path / "again.csv", "--json")
    assert again.json["missing"] == 0
    assert (tmp_path / "again.csv").read_text() == out.read_text()


def test_parquet_keeps_columns_order_and_whole_numbers(
    home: Path, latens: Callable[..., Result], tmp_path: Path
) -> None:
    write(tmp_path / "gaps.csv", rows_of(12))
    words = ("impute", home / "run", tmp_path / "gaps.csv", "--num-samples", "20", "--out")
    assert latens(*words, tmp_path / "full.parquet").code == 0
    table = pl.read_parquet(tmp_path / "full.parquet")
    assert table.columns == HEADER
    assert [str(dtype) for dtype in table.dtypes] == ["String", "Float64", "String", "Int64", "String"]
    assert table["note_count"].to_list() == [row[4] for row in rows_of(12)]  # 003 is a name


def test_what_a_dry_run_prints_and_what_a_run_keeps_are_configurations(
    latens: Callable[..., Result], tmp_path: Path
) -> None:
    words = ("fit", "digits", "--recipe", "beta-vae", *TINY, "--set", "objective.beta=3", "--seed", "5")
    shown = latens(*words, "--dry-run")
    (tmp_path / "a.json").write_text(shown.out)
    (tmp_path / "b.json").write_text(latens(*words, "--dry-run", "--json").out)
    for name in ("a.json", "b.json"):
        again = latens("fit", "digits", "--config", tmp_path / name, "--dry-run")
        assert (again.code, json.loads(again.out)) == (0, json.loads(shown.out))
    assert latens(*words, "--out", tmp_path / "one", "--quiet").code == 0
    kept = tmp_path / "one" / "config.json"
    assert json.loads(kept.read_text()) == json.loads(shown.out)
    assert latens("fit", "digits", "--config", kept, "--out", tmp_path / "two", "--quiet").code == 0
    for name in ("config.json", "metrics.jsonl", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    changed = latens("fit", "digits", "--config", kept, "--set", "objective.beta=2", "--batch-size", "50", "--dry-run")
    config = json.loads(changed.out)
    assert (config["objective"]["options"]["beta"], config["training"]["batch_size"]) == (2, 50)
    assert config["recipe"] == "beta-vae"


def test_a_configuration_that_is_none_is_refused(latens: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text('{"format": 1}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"recipe": "default", "kind": "vae", "network": {"hidden": "wide"}}')
    for name, code, error in (("no", 4, "config"), ("broken", 4, "config"), ("wrong", 4, "config"), ("x", 4, "config")):
        result = latens("fit", "digits", "--config", tmp_path / f"{name}.json", "--dry-run", "--json")
        assert (result.code, result.json["error"]["code"]) == (code, error), name
    (tmp_path / "good.json").write_text('{"recipe": "default", "kind": "vae"}')
    words = ("fit", "digits", "--config", tmp_path / "good.json", "--dry-run", "--recipe", "iwae")
    assert latens(*words).code == 2
