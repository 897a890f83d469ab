"""Dates that follow one another: found both ways over strengths, told by `check`, and kept by new rows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.data.ordered import Ordered, broken_in, found_in, read
from latens.data.suspects import suspicions
from latens.workflow.trained import TrainedModel


def contracts(rows: int, seed: int, *, wrong: int = 0, gaps: float = 0.2, tied: bool = True) -> pd.DataFrame:
    """A start, an end up to a year later, and in some rows a year before."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 700, rows)
    days = rng.integers(0, 365, rows) if tied else rng.integers(-365, 365, rows)
    end = start + days
    end[:wrong] = start[:wrong] - 300
    origin = np.datetime64("2020-01-01")
    frame = pd.DataFrame({"start": origin + start, "end": origin + end, "kind": rng.choice(["a", "b"], rows)})
    return frame.assign(end=frame["end"].mask(rng.random(rows) < gaps))


def data_of(frame: pd.DataFrame) -> latens.Dataset:
    return latens.load_data(frame, label="none", typed=True)


@pytest.mark.parametrize(("wrong", "found"), [(0, True), (2, True), (4, True), (8, False), (100, False)])
def test_an_order_holds_in_nearly_all_rows(wrong: int, found: bool) -> None:
    """Of 1,000 rows with both dates at most five may break it."""
    data = data_of(contracts(1000, 0, wrong=wrong, gaps=0.0))
    assert found_in(data) == ((Ordered("start", "end", 1000, wrong),) if found else ())


def test_dates_in_any_order_or_far_apart_have_none() -> None:
    assert found_in(data_of(contracts(1000, 1, tied=False))) == ()
    assert found_in(data_of(contracts(90, 1, gaps=0.0))) == ()  # too few rows
    apart = contracts(500, 1, gaps=0.0)
    apart["end"] = apart["start"].max() + (apart["end"] - apart["start"].min())
    assert found_in(data_of(apart)) == ()  # every pair of rows has it: samples keep it by themselves


def test_the_row_that_breaks_it_is_named() -> None:
    data = data_of(contracts(1000, 0, wrong=1, gaps=0.0))
    said = [one for one in suspicions(data) if "lies after" in one]
    assert said == ["'start' lies after 'end' in 1 of the 1000 rows that have both: look at row 0."]
    assert not [one for one in suspicions(data_of(contracts(1000, 0))) if "lies after" in one]


def test_what_a_stranger_wrote_is_no_pair() -> None:
    assert read([["a", "b", 3, 0], ["a", 1, 2, 3], "abcd", None, ["a", "b"]]) == (Ordered("a", "b", 3, 0),)
    assert read("abcd") == read(None) == read(7) == ()


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    """A model whose columns are independent within few classes, so that many samples break the order."""
    settings = {"posterior.choices": 2, "training.epochs": 3.0}
    config = latens.config.override(latens.recipes.get_recipe("table-mixture").config, settings)
    return latens.train(latens.prepare(config, data_of(contracts(900, 2))))[0]


def test_new_rows_keep_the_order_and_their_law(
    trained: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows in order are the same bits; the others are drawn from p(row given the order), whatever was first drawn."""
    rule = read(trained.facts["ordered"])
    assert [one[:2] for one in rule] == [("start", "end")]
    files = {"free": trained.with_facts(ordered=[]), "kept": trained}
    rows = {}
    for name, one in files.items():
        one.save(tmp_path / f"{name}.safetensors")
        out = str(tmp_path / f"{name}.csv")
        assert main(["sample", str(tmp_path / f"{name}.safetensors"), "-n", "4000", "--out", out, "--json"]) == 0
        rows[name] = pd.read_csv(out, parse_dates=["start", "end"])
        told = json.loads(capsys.readouterr().out)
        assert ("redrawn" in told) is (name == "kept")
    plain, kept = rows["free"], rows["kept"]
    before = (plain["start"] > plain["end"]).to_numpy()
    assert 0.05 < before.mean() < 0.6
    assert told["redrawn"] == before.sum()
    assert not (kept["start"] > kept["end"]).any()
    pd.testing.assert_frame_equal(plain[~before], kept[~before])
    days = lambda one: (one["end"] - one["start"]).dt.days.to_numpy(float)  # noqa: E731
    exact, redrawn = days(plain)[~before], days(kept)[before]
    error = exact.std() * np.sqrt(1 / len(exact) + 1 / len(redrawn))
    assert abs(exact.mean() - redrawn.mean()) < 4 * error
    types = trained.schema.types or ()
    x = np.array([[one.size - 1.0 for one in types[:2]] + [0.0]] * 2, np.float32)
    x[0, 1] = 0.0
    assert broken_in(rule, trained.schema, x).tolist() == [True, False]
    assert broken_in(rule, trained.schema, x, np.array([[True, False, True]] * 2)).tolist() == [False, False]
