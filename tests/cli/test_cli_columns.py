"""Kinds of columns through the command: declared, kept in the run, unknown names judged, dtypes written."""

import csv
import datetime
import json
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from golden.make import written
from latens import load, read
from latens.cli.main import main
from latens.kinds.tables.typed import as_frame
from latens.runs.folder import RunFolder

pytestmark = pytest.mark.more
PARIS = ZoneInfo("Europe/Paris")
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


def test_a_row_with_an_unknown_name_is_flagged_and_the_name_is_said(places, capsys):
    lines = ["who,city,country,income,joined", "x,Lion,F,3.0,2020-02-02", "y,Oslo,N,103.0,2020-02-02"]
    (places / "odd.csv").write_text("\n".join(lines))
    out = places / "found.csv"
    words = ["detect", str(places / "run"), str(places / "odd.csv"), "--out", str(out), "--num-samples", "20"]
    assert main([*words, "--cells", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["flagged"], found["unseen"]) == (2, 1, 1)
    with out.open() as file:
        first, second = list(csv.DictReader(file))
    assert (first["row_id"], first["surprise"], first["flagged"]) == ("x", "inf", "1")
    assert float(first["p_value"]) == pytest.approx(1 / (found["held_out"] + 1), rel=1e-3)  # as it is written
    assert (first["cell_1"], first["value_1"], first["p_1"]) == ("city", "Lion", "0")
    assert (second["flagged"], second["cell_1"]) == ("0", "")
    assert main(["impute", str(places / "run"), str(places / "odd.csv"), "--out", str(places / "no.csv")]) == 3
    assert "'Lion', which no training row had" in capsys.readouterr().err


def test_samples_in_parquet_have_ordered_names_and_zones(tmp_path):
    assert main(["fit", *written("mixed", tmp_path), *TINY, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    out = tmp_path / "new.parquet"
    assert main(["sample", str(tmp_path / "run"), "-n", "50", "--out", str(out), "--quiet"]) == 0
    frame = pl.read_parquet(out)
    assert frame["size"].dtype == pl.String  # as it came; its order is declared
    assert frame["day"].dtype == pl.Datetime("us", "Europe/Paris")
    assert (frame["day"] == frame["day"].dt.truncate("1d")).all()
    assert frame["day"].is_between(*(datetime.datetime(2021, 3, k, tzinfo=PARIS) for k in (26, 31))).all()
    # It is read as it was written.
    again = read(out, schema=load(tmp_path / "run").schema)
    assert_frame_equal(as_frame(again.x, again.schema, shown=again.mask), frame)
