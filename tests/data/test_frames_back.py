"""Ordered names and times with zones: what is read of them, and that frames get them back as they were."""

import json

import numpy as np
import pandas as pd
import pytest

from latens.data import Schema, load
from latens.data.conditions import conditions_of, parse_conditions
from latens.data.tables.schema import as_frame
from latens.errors import ConfigError, DataError

SIZES = ["S", "M", "L", "XL"]
N = 300


def sized(seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    size = pd.Categorical(rng.choice(SIZES[:3], N), categories=SIZES, ordered=True)  # nobody is XL
    frame = pd.DataFrame({"size": size, "x": rng.integers(0, 9, N)})
    frame.loc[rng.random(N) < missing, "size"] = None
    return frame


def test_ordered_categoricals_are_ordinals_and_come_back(tmp_path):
    frame = sized(missing=0.1)
    data = load(frame)
    one = data.schema.types[0]
    assert (one.kind, one.values) == ("ordinal", tuple(SIZES))
    seen = frame["size"].notna().to_numpy()
    assert np.array_equal(data.mask[:, 0], seen)
    assert np.array_equal(data.x[seen, 0], frame["size"].cat.codes[seen])
    counts = frame["size"][(data.split == 0) & seen].value_counts()[SIZES] + 0.5
    np.testing.assert_allclose(one.shares, counts / counts.sum())
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema
    back = as_frame(data.x, data.schema)
    assert back["size"].dtype == frame["size"].dtype
    pd.testing.assert_series_equal(back["size"][seen], frame["size"][seen])
    frame.to_parquet(tmp_path / "t.parquet")
    file = load(tmp_path / "t.parquet")
    assert file.schema == data.schema
    np.testing.assert_array_equal(file.x, data.x)
    # In a file of text they are names of the model all the same.
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(load(tmp_path / "t.csv", schema=data.schema).x, data.x)


def test_ordinals_are_declared_with_their_order(tmp_path):
    frame = sized()
    frame.astype({"size": str}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r'order of its names is not said.*"values": \["S", "M", "L"\]'):
        load(tmp_path / "t.csv", columns={"size": "ordinal"})
    said = {"size": {"kind": "ordinal", "values": SIZES}}
    assert load(tmp_path / "t.csv", columns=said).schema.types[0] == load(frame).schema.types[0]
    with pytest.raises(DataError, match="holds 'M', which is none of its 2 declared"):
        load(tmp_path / "t.csv", columns={"size": {"kind": "ordinal", "values": ["S", "L"]}})
    # Numbers have an order of their own: 10 comes after 9.
    grade = pd.DataFrame({"grade": np.arange(N) % 12})
    assert load(grade, columns={"grade": "ordinal"}).schema.types[0].values == tuple(map(str, range(12)))


def test_ordinals_have_ranges_in_conditions():
    schema = load(sized()).schema
    found = parse_conditions(["size>=M"], schema)
    assert (found.low[0], found.high[0]) == (1, 3)
    found = parse_conditions(["size=S..L", "size<L"], schema)
    assert (found.low[0], found.high[0]) == (0, 1)
    found = conditions_of({"size": ("M", None)}, schema)
    assert (found.low[0], found.high[0]) == (1, 3)
    found = conditions_of({"size": "L"}, schema)
    assert (found.low[0], found.high[0]) == (2, 2)
    with pytest.raises(DataError, match="'Q', which no training row had"):
        parse_conditions(["size>Q"], schema)
    with pytest.raises(DataError, match="exclude one another"):
        parse_conditions(["size>L", "size<XL"], schema)


# --- times with zones ---


def zoned(zone, step="min"):
    rng = np.random.default_rng(0)
    # Over both changes of the clocks of 2021.
    times = pd.Timestamp("2021-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 365 * 24 * 60, N), step)
    return pd.DataFrame({"when": times.tz_convert(zone), "x": rng.integers(0, 9, N)})


@pytest.mark.parametrize("zone", ["Europe/Paris", "UTC", "-03:30"])
def test_times_keep_their_instants_and_their_zone(zone, tmp_path):
    frame = zoned(zone)
    frame.loc[3, "when"] = pd.NaT
    data = load(frame)
    one = data.schema.types[0]
    assert (one.kind, one.written, one.zone) == ("date", "s", zone)
    step = one.step  # of a year of seconds
    back = as_frame(data.x, data.schema)["when"]
    seen = data.mask[:, 0] & (data.split == 0)
    assert not data.mask[3, 0]
    gap = (back[seen].dt.tz_convert("UTC") - frame["when"][seen].dt.tz_convert("UTC")).abs()
    assert gap.max() <= pd.Timedelta(seconds=step / 2)
    assert back.dt.tz.utcoffset(back[0]) == frame["when"].dt.tz.utcoffset(frame["when"][0])
    text = as_frame(data.x, data.schema)["when"]
    pd.testing.assert_series_equal(
        pd.Series(pd.to_datetime(text, utc=True)), back.dt.tz_convert("UTC"), check_names=False
    )
    # Parquet has the zone, and a CSV file the offset of each row, which the model reads.
    frame.to_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(load(tmp_path / "t.parquet").x, data.x)
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(load(tmp_path / "t.csv", schema=data.schema).x, data.x)
    said = load(tmp_path / "t.csv", columns={"when": {"kind": "date", "zone": zone}})
    assert said.schema.types[0] == one
    if zone == "Europe/Paris":
        with pytest.raises(
            DataError, match=r"'when' holds times of several zones.*\+02:00.*Write all times in one zone"
        ):
            load(tmp_path / "t.csv")
    else:
        assert load(tmp_path / "t.csv").schema.types[0] == one
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_midnights_of_a_zone_are_its_days():
    days = pd.date_range("2021-03-01", periods=90, tz="Europe/Paris")  # the clocks change on the 28th
    data = load(pd.DataFrame({"day": days, "name": ["a", "b", "c"] * 30}))
    assert (data.schema.types[0].written, data.schema.types[0].size) == ("D", 90)
    back = as_frame(data.x, data.schema)["day"]
    inside = data.split == 0
    assert (back[inside].dt.tz_convert("UTC") == pd.Series(days)[inside].dt.tz_convert("UTC")).all()
    assert as_frame(data.x, data.schema)["day"][[0, 40]].tolist() == [
        "2021-03-01 00:00:00+01:00",
        "2021-04-10 00:00:00+02:00",
    ]


def test_conditions_on_times_of_a_zone_are_of_its_clocks():
    schema = load(zoned("Europe/Paris")).schema
    plain = parse_conditions(["when>=2021-07-01 12:00"], schema)
    same = parse_conditions(["when>=2021-07-01 10:00Z"], schema)
    assert plain.low[0] == same.low[0]
    other = parse_conditions(["when>=2021-07-01 12:00-02:00"], schema)
    assert other.low[0] - plain.low[0] == 4 * 3600 / schema.types[0].step


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            ["2021-05-01 12:00+01:00", "2021-05-01 12:00Z"],
            r"times of several zones \(2021-05-01 12:00\+01:00 and others\): '2021-05-01 12:00Z'",
        ),
        (["2021-05-01 12:00Z", "2021-05-01 12:00"], r"with a zone \(.*\) and without one: '2021-05-01 12:00'"),
        (["2021-05-01", "2021-05-02", "2021-02-31"], "holds dates and '2021-02-31'.*no such day"),
        (["2021-05-01", "2021-05-02", "2021-05-02", "May"], "holds dates and 'May'"),
    ],
)
def test_dates_that_contradict_each_other_are_refused(cells, words):
    frame = pd.DataFrame({"t": np.resize(cells[:-1], 60).tolist() + cells[-1:], "x": 1.5})
    with pytest.raises(DataError, match=f"(?s)column 't' .*{words}"):
        load(frame)


def test_times_of_objects_with_several_zones_are_refused():
    frame = zoned("Europe/Paris").astype({"when": object})
    frame.loc[0, "when"] = pd.Timestamp("2021-01-01 12:00", tz="Asia/Tokyo")
    with pytest.raises(DataError, match="'when' holds times of several zones"):
        load(frame)
    data = load(zoned("UTC"))
    # Times without a zone are of the clocks of the model's.
    bare = zoned("UTC").assign(when=lambda frame: frame["when"].dt.tz_localize(None))
    np.testing.assert_array_equal(load(bare, schema=data.schema).x, data.x)
    with pytest.raises(DataError, match="'when' holds times with a time zone; the model knows them without one"):
        load(zoned("UTC"), schema=load(bare).schema)
    # Another zone says the same instants.
    np.testing.assert_array_equal(load(zoned("Asia/Tokyo"), schema=data.schema).x, data.x)


def test_names_that_look_like_dates_stay_names():
    frame = pd.DataFrame({"code": ["1234-56-78", "2345-67-89", "2021-01-01"] * 20})
    assert load(frame).schema.types[0].kind == "category"


def test_zones_have_names():
    assert [zone_name(name) for name in ("Z", "+0100", "+00:00", "Europe/Paris")] == [
        "UTC",
        "+01:00",
        "UTC",
        "Europe/Paris",
    ]
    assert zone_name(pd.Timestamp("2021-01-01 00:00-05:00").tz) == "-05:00"
    assert zone_of("../../etc/passwd") is None
    assert number_of("1970-01-02 01:00", "s", "+01:00") == 86_400.0
    with pytest.raises(ValueError, match="Z"):
        number_of("1970-01-02 01:00Z", "s", "")


def test_only_typed_columns_make_a_frame():
    data = load(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(ConfigError, match="no types"):
        as_frame(data.x, data.schema)
