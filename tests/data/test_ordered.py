"""Dates that follow one another: found both ways over strengths, told by `check`, and kept by new rows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.data.ordered import (
    Ordered,
    broken_in,
    cells_to_come,
    found_in,
    ordered_again,
    pending_in,
    read,
    read_pending,
    values,
)
from latens.data.spans import follows
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
    """A table whose dates are declared, so that none is counted from the other."""
    return latens.load_data(frame, label="none", columns={"start": "date", "end": "date"})


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
    trained = trained.with_facts(apart=[])  # years of both that never come together say as much
    files = {"free": trained.with_facts(ordered=[]), "kept": trained}
    rows = {}
    for name, one in files.items():
        one.save(tmp_path / f"{name}.safetensors")
        out = str(tmp_path / f"{name}.csv")
        assert (
            main(
                [
                    "sample",
                    str(tmp_path / f"{name}.safetensors"),
                    "-n",
                    "4000",
                    "--gaps",
                    "none",
                    "--out",
                    out,
                    "--json",
                ]
            )
            == 0
        )
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


def running(rows: int, seed: int, *, open_share: float, gaps: float = 0.03) -> pd.DataFrame:
    """Contracts of 30 to 400 days, of which some of those that run past the last day have no end."""
    rng = np.random.default_rng(seed)
    start, origin = rng.integers(0, 1400, rows), np.datetime64("2020-01-01")
    end = start + rng.integers(30, 400, rows)
    gone = ((end > 1400) & (rng.random(rows) < open_share)) | (rng.random(rows) < gaps)
    frame = pd.DataFrame({"start": origin + start, "end": origin + end, "kind": rng.choice(["a", "b"], rows)})
    return frame.assign(end=frame["end"].mask(gone))


def test_ends_to_come_are_found_over_strengths() -> None:
    """Told where every end past the last day is missing, never where gaps are as many in all rows."""
    rate = {share: np.mean([bool(pending_in(data_of(running(800, seed, open_share=share)))) for seed in range(10)])
            for share in (0.0, 0.3, 1.0)}  # fmt: skip
    assert rate[0.0] == 0.0
    assert rate[1.0] == 1.0
    assert rate[0.0] <= rate[0.3] <= rate[1.0]
    assert pending_in(data_of(running(800, 0, open_share=1.0).assign(start=lambda f: f["start"].min()))) == ()


def test_cells_to_come_are_empty_ends_of_late_rows() -> None:
    data = data_of(running(800, 0, open_share=1.0))
    (rule,) = pending_in(data)
    assert rule[:2] == ("start", "end")
    types, mask = data.schema.types, data.mask
    assert types is not None
    assert mask is not None
    first, second = values(data.x[:, 0], types[0]), values(data.x[:, 1], types[1])
    longest = np.quantile((second - first)[mask[:, 1]], 0.99)
    assert rule.since == pytest.approx(np.quantile(second[mask[:, 1]], 0.995) - longest)
    frame = running(800, 0, open_share=1.0)
    there = frame.index[frame["end"].notna()][0]
    wrong = frame.assign(end=frame["end"].where(frame.index != there, frame["end"].max() + np.timedelta64(900, "D")))
    (other,) = pending_in(data_of(wrong))  # one wrong year moves it by days, not by years
    assert abs(other.since - rule.since) < 30
    cells = cells_to_come([rule], data.schema, data.x, mask)
    assert (cells[:, 1] == (~mask[:, 1] & (first > rule.since))).all()
    assert rule.rows == cells.sum()
    assert not cells[:, [0, 2]].any()
    assert any("may not have come yet" in one for one in suspicions(data))
    assert read_pending([list(rule), ["a", "b", "c", 1], ["a", "b"], None]) == (rule,)
    assert read_pending("ab") == read_pending(None) == ()


def test_filled_dates_are_put_in_order() -> None:
    data = data_of(contracts(400, 0, gaps=0.0))
    rules = found_in(data)
    x = np.asarray(data.x, np.float64)[:4].copy()
    x[:, 0], x[:, 1] = [300, 300, 300, 10], [5, 5, 5, 200]
    hidden = np.array([[False, True, False], [True, False, False], [False, False, False], [True, True, False]])
    made = ordered_again(rules, data.schema, x, hidden)
    assert broken_in(rules, data.schema, made).tolist() == [False, False, True, False]
    assert broken_in(rules, data.schema, x, among=hidden).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(made[[2, 3]], x[[2, 3]])
    np.testing.assert_array_equal(made[0, [0, 2]], x[0, [0, 2]])
    np.testing.assert_array_equal(made[1, [1, 2]], x[1, [1, 2]])


def test_impute_keeps_the_order_and_ends_to_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No filled end lies before its start, also of drawn ones; ends to come stay empty until they are asked for."""
    frame = running(900, 2, open_share=1.0, gaps=0.1)
    path, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    frame.to_csv(path, index=False)
    settings = {"posterior.choices": 2, "training.epochs": 3.0}
    config = latens.config.override(latens.recipes.get_recipe("table-mixture").config, settings)
    data = latens.load_data(str(path), label="none", typed=True)
    trained = latens.train(latens.prepare(config, data))[0]
    trained.save(model)
    to_come = cells_to_come(read_pending(trained.facts["pending"]), data.schema, data.x, np.asarray(data.mask))[:, 1]
    fill = ["impute", str(model), str(path), "--draws", "2", "--interval", "0.9", "--num-samples", "50"]
    assert main([*fill, "--out", str(tmp_path / "kept.csv")]) == 0
    assert "may not have come yet" in capsys.readouterr().err
    assert main([*fill, "--out", str(tmp_path / "all.csv"), "--inapplicable", "fill"]) == 0
    for name in ("kept", "kept-001", "kept-002", "all", "all-001", "all-002"):
        made = pd.read_csv(tmp_path / f"{name}.csv", parse_dates=["start", "end"])
        assert not (made["start"] > made["end"]).any(), name
        np.testing.assert_array_equal(made["end"].isna(), to_come if name.startswith("kept") else np.zeros(900, bool))
    lacks, days = frame["end"].isna().to_numpy(), lambda one: (one["end"] - one["start"]).dt.days.to_numpy(float)
    read_back = lambda name: days(pd.read_csv(tmp_path / name, parse_dates=["start", "end"]))[lacks]  # noqa: E731
    apart = read_back("all-001.csv") - read_back("all.csv")  # a draw and its mean, under the same law
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(lacks.sum())
    gone = frame["end"].isna() & ~to_come
    made = pd.read_csv(tmp_path / "kept.csv", parse_dates=["start", "end", "end.low", "end.high"])
    assert (made["end.low"] >= made["start"])[gone].all()
    assert (made["end.low"] <= made["end.high"])[gone].all()


def test_intervals_begin_with_the_known_date(tmp_path: Path) -> None:
    """Stays of one to three days lie in the segment of their start, whose first cells come before it."""
    rng = np.random.default_rng(0)
    start, origin = rng.integers(0, 1400, 700), np.datetime64("2020-01-01")
    frame = pd.DataFrame({"start": origin + start, "end": origin + start + rng.integers(1, 4, 700)})
    gone = rng.random(700) < 0.1
    frame = frame.assign(kind=rng.choice(["a", "b"], 700), end=frame["end"].mask(gone))
    path, model, out = tmp_path / "t.csv", tmp_path / "m.safetensors", tmp_path / "full.csv"
    frame.to_csv(path, index=False)
    config = latens.config.override(latens.recipes.get_recipe("default").config, {"training.steps": 20})
    latens.train(latens.prepare(config, latens.load_data(str(path), label="none")))[0].save(model)
    words = ["impute", str(model), str(path), "--interval", "0.9", "--num-samples", "20", "--out", str(out)]
    assert main(words) == 0
    made = pd.read_csv(out, parse_dates=["start", "end", "end.low", "end.high"])[gone]
    assert (made["end.low"] >= made["start"]).all()
    assert (made["end"] >= made["start"]).all()
    assert (made["end.low"] <= made["end.high"]).all()


@pytest.mark.parametrize(("wrong", "found"), [(0, True), (3, True), (4, False)])
def test_of_few_rows_three_may_break_an_order(wrong: int, found: bool) -> None:
    data = data_of(contracts(300, 0, wrong=wrong, gaps=0.0))
    assert found_in(data) == ((Ordered("start", "end", 300, wrong),) if found else ())


@pytest.mark.parametrize(("wrong", "found"), [(0, True), (1, False)])
def test_few_wrong_rows_are_no_order_where_chance_makes_as_many(wrong: int, found: bool) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 400, 120).astype(float), rng.integers(300, 700, 120).astype(float)
    first = np.minimum(first, second)
    first[:wrong], second[:wrong] = 390.0, 310.0
    assert follows(first, second) == found
