"""Ordered names and times with zones: what is read of them, and that frames get them back as they were."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from msgspec import structs

from latens.data import Schema, load
from latens.errors import DataError
from latens.kinds.tables.frame import like
from latens.kinds.tables.table_schema import as_frame
from latens.predictive.conditional_samples import conditions_of, parse_conditions

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
    assert back["size"].dtype == pl.Enum(SIZES)
    assert back["size"].filter(seen).to_list() == frame["size"][seen].tolist()
    # In a file of text they are names of the model all the same.
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(load(tmp_path / "t.csv", schema=data.schema).x, data.x)


def test_ordinals_are_declared_with_their_order(tmp_path):
    frame = sized()
    frame.astype({"size": str}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"its categories have no order.*size=ordinal:A,B,C"):
        load(tmp_path / "t.csv", columns={"size": "ordinal"})
    said = {"size": {"kind": "ordinal", "values": SIZES}}
    assert load(tmp_path / "t.csv", columns=said).schema.types[0].shares == load(frame).schema.types[0].shares
    with pytest.raises(DataError, match="holds 'M', which is not one of its declared"):
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


def test_conditions_take_a_boolean_as_files_write_it():
    schema = load(pd.DataFrame({"paid": np.arange(N) % 2 == 0, "size": np.arange(N) % 5})).schema
    for text in ("paid=true", "paid=True"):
        assert parse_conditions([text], schema).low[0] == schema.types[0].values.index("True")


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
    known = "UTC" if zone == "-03:30" else zone  # Polars has zones with a name, and no offsets
    assert (one.kind, one.dtype, one.step) == ("date", f"Datetime[us, {known}]", 60.0)
    back = like(as_frame(data.x, data.schema), frame)["when"]
    seen = data.mask[:, 0] & (data.split == 0)
    assert not data.mask[3, 0]
    gap = (back[seen].dt.tz_convert("UTC") - frame["when"][seen].dt.tz_convert("UTC")).abs()
    assert gap.max() <= pd.Timedelta(seconds=30)
    assert back.dt.tz.utcoffset(back[0]) == frame["when"].dt.tz.utcoffset(frame["when"][0])
    # Parquet has the zone, and a CSV file the offset of each row, which the model reads.
    if known == zone:
        frame.to_parquet(tmp_path / "t.parquet")
        np.testing.assert_array_equal(load(tmp_path / "t.parquet").x, data.x)
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_array_equal(load(tmp_path / "t.csv", schema=data.schema).x, data.x)
    said = load(tmp_path / "t.csv", columns={"when": {"kind": "date", "zone": known}})
    assert said.schema.types[0] == one
    assert load(tmp_path / "t.csv").schema.types[0] == structs.replace(one, dtype="Datetime[us, UTC]")
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_conditions_on_times_of_a_zone_are_of_its_clocks():
    schema = load(zoned("Europe/Paris")).schema
    plain = parse_conditions(["when>=2021-07-01 12:00"], schema)
    same = parse_conditions(["when>=2021-07-01 10:00Z"], schema)
    assert plain.low[0] == same.low[0]
    other = parse_conditions(["when>=2021-07-01 12:00-02:00"], schema)
    assert other.low[0] - plain.low[0] == 4 * 3600 / schema.types[0].step


def test_names_that_look_like_dates_stay_names():
    frame = pd.DataFrame({"code": ["1234-56-78", "2345-67-89", "2021-01-01"] * 20})
    assert load(frame).schema.types[0].kind == "category"
