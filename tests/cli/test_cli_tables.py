"""A table of several kinds through the command: from a file to samples."""

import csv
import datetime
import json

import numpy as np
import polars as pl
import pytest

from latens import load
from latens.cli.main import main
from latens.kinds.tables.table_schema import as_frame

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two columns that say the same, a number that hangs on both, and a date; a tenth of one column is missing."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    kind = rng.integers(0, 3, 1500)
    rows = [("who", "city", "country", "income", "joined")]
    for i, k in enumerate(kind):
        country = "" if rng.random() < 0.1 else ("F", "N", "P")[k]
        day = np.datetime64("2020-01-01") + rng.integers(0, 300)
        rows.append((f"c{i}", ("Lyon", "Oslo", "Porto")[k], country, f"{rng.normal(100 * k, 10):.1f}", str(day)))
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    made = ("--id", "who", "--steps", "1000", "--num-samples", "20", "--out", str(folder / "run"))
    assert main(["fit", str(folder / "t.csv"), *made, "--quiet"]) == 0
    return folder


def test_samples_under_conditions(places, capsys):
    """Oslo's income is 100 ± 10 and its country N; the model has a third of its rows there."""
    out = places / "oslo.csv"
    words = ["sample", str(places / "run"), "-n", "1000", "--out", str(out)]
    assert main([*words, "--where", "city=Oslo", "--where", "joined<2020-03-01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["probability"] == pytest.approx(60 / 300 / 3, rel=0.3)
    assert found["effective_sample_size"] > 1000
    with out.open() as file:
        city, country, income, joined = map(np.array, zip(*list(csv.reader(file))[1:]))
    assert set(city) == {"Oslo"}
    assert max(joined) < "2020-03-01"
    # As often as in rows that were drawn without a condition and happen to fulfil it.
    free = as_frame((trained := load(places / "run")).sample(50_000), trained.schema)
    there = free.filter(pl.col("city") == "Oslo", pl.col("joined") < datetime.date(2020, 3, 1))
    own = (there["country"] == "N").mean()
    assert own > 0.7
    assert np.mean(country == "N") == pytest.approx(own, abs=4 * np.sqrt(own * (1 - own) * (1 / 1000 + 1 / 3500)))
    assert abs(np.median(income.astype(float)) - 100) < 10
    assert main([*words, "--where", "city=Olso", "--json"]) == 3
    assert "Oslo" in capsys.readouterr().out
