"""Columns through the command: declared, kept, unknown names judged, dtypes written, rows asked for by a few."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens import load
from latens.cli.main import main
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.recipes.principal_components import started_from
from latens.runs.folder import RunFolder

TINY = ("--steps", "2", "--num-samples", "2", "--set", "network.hidden=4", "--set", "posterior.latent_dim=2")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two columns that say the same, a number that hangs on both, and a date; and a run on them."""
    folder, rng = tmp_path_factory.mktemp("columns"), np.random.default_rng(0)
    rows = [("who", "city", "country", "income", "joined")]
    for i, k in enumerate(rng.integers(0, 3, 600)):
        day = np.datetime64("2020-01-01") + rng.integers(0, 300)
        rows.append(
            (f"c{i}", ("Lyon", "Oslo", "Porto")[k], ("F", "N", "P")[k], f"{rng.normal(100 * k, 10):.1f}", str(day))
        )
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    made = ("--id", "who", "--steps", "300", "--num-samples", "20", "--out", str(folder / "run"))
    assert main(["fit", str(folder / "t.csv"), *made, "--quiet"]) == 0
    return folder


@pytest.mark.more
def test_kinds_are_said_and_kept_in_the_run(places, capsys):
    out, said = places / "declared", ("--column", "city=ordinal:Lyon,Oslo,Porto", "--column", "country=leave out")
    words = [str(places / "t.csv"), "--id", "who", *said]
    assert main(["check", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"][0]["kind"] == "ordinal"
    assert main(["fit", *words, *TINY, "--out", str(out), "--quiet"]) == 0
    schema = load(out).schema
    assert [column.name for column in schema.columns] == ["city", "income", "joined"]
    assert schema.types[0].kind == "ordinal"
    assert RunFolder.open(out, lock=False).info["data"]["column"] == list(said[1::2])
    assert main(["evaluate", str(out), "--num-samples", "2", "--quiet"]) == 0
    assert main(["resume", str(out), "--steps", "3", "--num-samples", "2", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["fit", *words[:3], "--column", "city=town", "--out", str(places / "not")]) == 3
    error = capsys.readouterr().err
    assert "column 'city' is given the unknown kind 'town'" in error
    assert "Allowed: category, ordinal, number, date, duration, leave out.\n" in error
    assert not (places / "not").exists()


@pytest.mark.more
def test_columns_are_left_out_by_name(places, capsys):
    table, out = str(places / "t.csv"), places / "fewer"
    words = ["fit", table, "--id", "who", "--leave-out", "country", "--column", "income=number", *TINY, "--quiet"]
    assert main([*words, "--leave-out", "joined", "--out", str(out)]) == 0
    assert [column.name for column in load(out).schema.columns] == ["city", "income"]
    assert main(["resume", str(out), "--steps", "3", "--num-samples", "2", "--quiet"]) == 0
    assert main(["detect", str(out), table, "--out", str(places / "odd2.csv"), "--quiet"]) == 0  # it may be there
    capsys.readouterr()
    assert main([*words, "--leave-out", "contry", "--out", str(places / "not2")]) == 3
    assert "Did you mean 'country'?" in capsys.readouterr().err


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orders with what they cost: price times count and a fee."""
    rng, n = np.random.default_rng(0), 400
    price, count = np.round(rng.uniform(2, 30, n), 1), rng.integers(1, 12, n)
    fee = rng.choice([0.0, 2.5, 4.0], n)
    frame = {"shop": rng.choice(["north", "south"], n), "price": price, "count": count, "fee": fee}
    total = (price * count + fee).round(2)
    data = latens.read(pd.DataFrame(frame | {"total": total}), label="none", derive={"total": "price * count + fee"})
    experiment = prepare(get_recipe("default").config, data)
    made = started_from(experiment.new_model(), experiment.data, experiment.preparation)
    path = tmp_path_factory.mktemp("orders") / "model.safetensors"
    experiment.trained(made).save(path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_columns_that_a_file_lacks_are_filled_and_unknown_ones_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out = tmp_path / "asked.csv", tmp_path / "filled.csv"
    asked.write_text("count,price,fee\n3,12.5,2.5\n,10.0,4.0\n")
    assert main(["impute", str(model), str(asked), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == 5  # also the two totals, which are computed
    first, second = rows_of(out)
    assert list(first)[:3] == ["count", "price", "fee"]
    assert float(first["total"]) == pytest.approx(40.0)
    assert float(second["total"]) == pytest.approx(10.0 * float(second["count"]) + 4.0)
    assert first["shop"] in ("north", "south")
    asked.write_text("coun,price\n3,12.5\n")
    assert main(["impute", str(model), str(asked), "--out", str(out), "--json"]) == 3
    assert "'coun'" in capsys.readouterr().out
