"""Kinds of columns through the command: declared, kept in the run, unknown names judged, dtypes written."""

import csv
import json

import numpy as np
import pytest

from latens import load
from latens.cli.main import main
from latens.runs.folder import RunFolder

pytestmark = pytest.mark.more
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


def test_columns_are_left_out_by_name(places, capsys):
    table, out = str(places / "t.csv"), places / "fewer"
    words = ["fit", table, "--id", "who", "--leave-out", "country", "--column", "income=number", *TINY, "--quiet"]
    assert main([*words, "--leave-out", "joined", "--out", str(out)]) == 0
    schema = load(out).schema
    assert [column.name for column in schema.columns] == ["city", "income"]
    assert main(["resume", str(out), "--steps", "3", "--num-samples", "2", "--quiet"]) == 0
    assert main(["detect", str(out), table, "--out", str(places / "odd2.csv"), "--quiet"]) == 0  # it may be there
    capsys.readouterr()
    assert main([*words, "--leave-out", "contry", "--out", str(places / "not2")]) == 3
    assert "Did you mean 'country'?" in capsys.readouterr().err
