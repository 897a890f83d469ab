"""Durations: read from frames, Parquet and text, stored as whole numbers of one unit, and given back as they came."""

import datetime
import json
import re

import numpy as np
import pandas as pd
import pytest

from latens.cli.main import main
from latens.data import load
from latens.data.check import check
from latens.data.columns import check_types
from latens.data.conditions import conditions_of, parse_conditions
from latens.data.declared import as_declared
from latens.data.durations import UNITS, nanoseconds, recorded
from latens.data.frames import as_frame
from latens.data.mixed import as_columns, in_units
from latens.data.schema import Schema
from latens.errors import DataError
from latens.text import csv_bytes, span_texts

N = 300
SIZES = {
    "days": 86_400 * 10**9,
    "hours": 3_600 * 10**9,
    "minutes": 60 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}


def visits(unit="min", resolution="ns", n=N):
    """Waits from -3 to 96 of a unit, with a gap."""
    rng = np.random.default_rng(0)
    wait = pd.Series(rng.integers(-3, 97, n).astype(f"timedelta64[{'m' if unit == 'min' else unit}]"))
    frame = pd.DataFrame({"size": np.resize(["S", "M"], n), "wait": wait.astype(f"timedelta64[{resolution}]")})
    frame.loc[5, "wait"] = pd.NaT
    return frame


@pytest.mark.parametrize(
    ("unit", "resolution", "written"),
    [
        ("D", "s", "days"),
        ("h", "ns", "hours"),
        ("min", "us", "minutes"),
        ("s", "ms", "seconds"),
        ("ms", "ms", "milliseconds"),
        ("us", "ns", "microseconds"),
        ("ns", "ns", "nanoseconds"),
    ],
)
def test_the_coarsest_unit_is_kept_and_the_dtype_comes_back(unit, resolution, written):
    frame = visits(unit, resolution)
    data = load(frame)
    one = data.schema.types[1]
    assert (one.kind, one.written, one.resolution, one.low, one.step, one.size) == (
        "duration", written, resolution, -3.0, 1.0, 100,
    )  # fmt: skip
    assert not data.mask[5, 1]
    back = as_frame(data.x, data.schema)["wait"]
    assert back.dtype == frame["wait"].dtype
    seen = frame["wait"].notna()
    assert (back[seen] == frame["wait"][seen]).all()
    assert np.array_equal(
        in_units(data.x, data.schema.types)[seen, 1], frame["wait"][seen] / pd.Timedelta(SIZES[written])
    )
    assert check_types(data.schema.types) == ""
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_files_hold_what_the_frame_holds(tmp_path):
    frame = visits("s", "ns")
    data = load(frame)
    frame.to_parquet(tmp_path / "t.parquet")
    again = load(tmp_path / "t.parquet")
    assert again.schema == data.schema
    np.testing.assert_array_equal(again.x, data.x)
    # pandas and latens write the same text.
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(load(tmp_path / "t.csv").x, data.x)
    assert load(tmp_path / "t.csv").schema == data.schema
    columns = {name: frame[name].to_numpy(object if name == "size" else None) for name in frame}
    assert csv_bytes(columns) == (tmp_path / "t.csv").read_bytes()
    # A model of other rows counts them in its own unit.
    hours = load(visits("h", "us"))
    some = pd.DataFrame({"size": ["S", "M"], "wait": pd.to_timedelta([5, 90], "h")})
    stored = load(some, schema=hours.schema)
    assert stored.x[:, 1].tolist() == [8.0, 93.0]
    assert as_columns(stored.x, hours.schema)["wait"].tolist() == [datetime.timedelta(hours=h) for h in (5, 90)]
    rounded = load(some.assign(wait=pd.to_timedelta([250, 340], "min")), schema=hours.schema)
    assert rounded.x[:, 1].tolist() == [7.0, 9.0]  # 4.17 and 5.67 hours


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 days 02:30:00", 26.5 * 3600),
        ("-1 days +23:59:59.5", -0.5),
        ("1 day, 2:30:00", 26.5 * 3600),
        ("-1 day, 22:00:00", -7200.0),
        ("2:30:00", 9000.0),
        ("-0:00:01", -1.0),
        ("-2:30:00", -9000.0),
        ("-2 days -01:00:00", -49 * 3600.0),
        ("0 days 00:00:00.000000001", 1e-9),
        ("26.5 hours", 26.5 * 3600),
        ("90min", 5400.0),
        ("1 Day", 86_400.0),
        ("250 ms", 0.25),
        ("-3d", -3 * 86_400.0),
    ],
)
def test_spans_are_read_as_they_are_written(text, expected):
    assert nanoseconds(text) == round(expected * 1e9)


@pytest.mark.parametrize("text", ["5", "hours", "1e3 h", "5 years", "1:2", "--1:00:00", "-+1:00:00", "nan h"])
def test_other_texts_are_none(text):
    with pytest.raises(ValueError, match=re.escape(text)):
        nanoseconds(text)


def test_texts_are_those_of_pandas():
    rng = np.random.default_rng(0)
    for unit, most in (("s", 10**9), ("ms", 10**12), ("us", 10**15), ("ns", 10**18)):
        spans = rng.integers(-most, most, 50).astype(f"timedelta64[{unit}]")
        for text, span in zip(span_texts(spans), spans):
            assert nanoseconds(text) == int(span.astype("timedelta64[ns]").astype(np.int64))
            assert pd.Timedelta(text) == pd.Timedelta(span)
    assert span_texts(np.array(["NaT", 90], "timedelta64[s]")) == ["", "0 days 00:01:30"]


def test_the_unit_divides_all():
    assert recorded(np.array([7200, -86_400]), "s")[1] == "hours"
    numbers, unit = recorded(np.array([7200, -86_400, 60]), "s")
    assert (numbers.tolist(), unit) == ([120.0, -1440.0, 1.0], "minutes")
    assert recorded(np.array([1_500]), "us") == (np.array([1500.0]), "microseconds")
    assert recorded(np.zeros(0, np.int64), "ns")[1] == "days"
    assert UNITS == SIZES


def test_check_speaks_in_words():
    report = check(load(visits("h", "us")))
    column = next(one for one in report["columns"] if one["name"] == "wait")
    assert (column["kind"], column["written"], column["missing"]) == ("duration", "hours", 1)
    assert column["values"] == "-1 days +21:00:00 to 4 days 00:00:00"
    # A mark of missing values among them is told as a span.
    frame = visits("min", "ns")
    frame.loc[:9, "wait"] = pd.Timedelta(days=-999)
    assert any("'wait' holds -999 days +00:00:00 in 10 rows" in words for words in check(load(frame))["warnings"])


def test_conditions_speak_in_words_too():
    schema = load(visits("min", "ns")).schema
    found = parse_conditions(["wait>=10 minutes", "wait<1h"], schema)
    assert (found.low[1], found.high[1]) == (13, 62)
    found = parse_conditions(["wait=0 days 00:05:00..0 days 00:06:00"], schema)
    assert (found.low[1], found.high[1]) == (8, 9)
    for five in (
        "5min",
        pd.Timedelta("5min"),
        datetime.timedelta(minutes=5),
        np.timedelta64(5, "m"),
        np.timedelta64(300, "s"),
    ):
        assert conditions_of({"wait": five}, schema).low[1] == 8
    with pytest.raises(DataError, match="'wait' is recorded in steps of 1 minutes, which 90 s is not"):
        parse_conditions(["wait=90 s"], schema)
    with pytest.raises(DataError, match=r"'wait' cannot be 1 days: .* between -1 days \+23:57:00 and 0 days 01:36:00"):
        parse_conditions(["wait=1 days"], schema)
    with pytest.raises(DataError, match="'wait' holds durations, which '5' is not"):
        parse_conditions(["wait=5"], schema)


def test_what_is_declared_and_what_is_not_fit():
    frame = visits("h", "us")
    data = load(frame)
    said = as_declared(data.schema)["wait"]
    assert said == {"kind": "duration", "low": "-1 days +21:00:00", "high": "4 days 00:00:00"}
    assert load(frame, columns={"wait": said}).schema == data.schema
    wider = load(frame, columns={"wait": {"kind": "duration", "high": "100 hours"}}).schema.types[1]
    assert (wider.low, wider.size) == (-3.0, 104)
    with pytest.raises(DataError, match=r"'wait' holds .*, beyond its declared bounds to 10 hours"):
        load(frame, columns={"wait": {"kind": "duration", "high": "10 hours"}})
    with pytest.raises(DataError, match="is given high = '10', which is not a duration"):
        load(frame, columns={"wait": {"kind": "duration", "high": "10"}})
    clocks = pd.DataFrame({"size": np.resize(["S", "M"], N), "wait": np.resize(["0:30:00", "2h", ""], N)})
    assert load(clocks).schema.types[1].kind == "category"  # a time of the day, or a name
    told = load(clocks, columns={"wait": "duration"})
    assert (told.schema.types[1].kind, told.schema.types[1].written) == ("duration", "minutes")
    assert as_columns(told.x, told.schema)["wait"][:2].astype("timedelta64[m]").astype(int).tolist() == [30, 120]
    with pytest.raises(DataError, match=r"row 1: column 'size' holds the text 'M'.*spans of time"):
        load(clocks, columns={"size": "duration"})
    with pytest.raises(DataError, match="is to hold spans of time and holds numbers, such as 3"):
        load(clocks.assign(wait=3), columns={"wait": "duration"})
    with pytest.raises(DataError, match="is to hold spans of time and holds numbers"):
        load(clocks.assign(wait=3), schema=data.schema)
    with pytest.raises(DataError, match="column 'n' holds durations; the model knows it as numbers"):
        load(clocks.assign(n=frame["wait"]), schema=load(clocks.assign(n=1)).schema)


def test_the_command_goes_from_durations_to_durations(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = visits("min", "us")
    frame.to_parquet("visits.parquet")
    assert main(["fit", "visits.parquet", "--out", "run", "--steps", "5", "--set", "network.hidden=[8]"]) == 0
    assert main(["sample", "run", "-n", "40", "--where", "wait>=1h", "--out", "new.parquet"]) == 0
    new = pd.read_parquet("new.parquet")
    assert new["wait"].dtype == frame["wait"].dtype == "timedelta64[us]"
    assert new["wait"].between(pd.Timedelta(hours=1), frame["wait"].max()).all()
    assert main(["sample", "run", "-n", "40", "--out", "new.csv"]) == 0
    text = pd.read_csv("new.csv")["wait"].dropna()  # empty as often as in the data
    assert text.str.fullmatch(r"-?\d days \+?\d\d:\d\d:00").all()
    assert (pd.to_timedelta(text).dt.total_seconds() % 60 == 0).all()
    for source, out in (("visits.parquet", "full.parquet"), ("visits.parquet", "full.csv")):
        assert main(["impute", "run", source, "--out", out, "--num-samples", "20", "--interval", "0.9"]) == 0
    full, words = pd.read_parquet("full.parquet"), pd.read_csv("full.csv")
    assert full["wait"].dtype == "timedelta64[us]"
    seen = frame["wait"].notna()
    assert (full["wait"][seen] == frame["wait"][seen]).all()
    assert full["wait.low"][5] <= full["wait"][5] <= full["wait.high"][5]
    assert (pd.to_timedelta(words["wait"]) == full["wait"]).all()
    words.drop(columns=["wait.low", "wait.high"]).to_csv("again.csv", index=False)
    assert main(["impute", "run", "again.csv", "--out", "same.csv", "--num-samples", "20"]) == 0
    assert pd.read_csv("same.csv")["wait"].equals(words["wait"])
    strange = frame.iloc[:30].assign(wait=pd.Timedelta(days=3))
    strange.to_csv("strange.csv", index=False)
    assert main(["detect", "run", "strange.csv", "--out", "found.csv", "--alpha", "0.1", "--cells", "1"]) == 0
    found = pd.read_csv("found.csv")
    assert (found["cell_1"] == "wait").all()
    assert (found["value_1"] == "3 days 00:00:00").all()
    assert found["expected_1"].str.fullmatch(r"0 days .* \(.* to .*\)").all()
    capsys.readouterr()
    assert main(["check", "visits.parquet"]) == 0
    assert "duration" in capsys.readouterr().out
