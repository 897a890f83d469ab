"""Long tables as rows that are sequences: steps, gaps, windows, splits, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from latens import read
from latens.data import Schema
from latens.data.schema import scaling
from latens.errors import DataError, ModelFileError, UsageError
from latens.kinds.steps.sequences import Step, days_of, lengths, named_steps
from latens.kinds.steps.times import Times, _as_known

LONG = pd.DataFrame(
    {
        "who": ["b", "b", "a", "b", "a"],
        "t": [0, 1, 5, 3, 6],
        "x": [1.0, 2.0, 3.0, np.nan, 5.0],
        "y": [True, False, True, True, False],
    }
)


def hourly(n: int, columns: int = 2, **more) -> pd.DataFrame:
    """A series with the number of the hour in its first column."""
    x = np.arange(n, dtype=float)
    return pd.DataFrame(
        {
            "time": pd.date_range("2024-01-31 20:00", periods=n, freq="h"),
            **{f"c{j}": x + 1000 * j for j in range(columns)},
        }
    ).assign(**more)


def test_rows_are_sequences_and_a_missing_time_is_a_masked_step():
    data = read(LONG, sequence="who", time="t")
    assert data.names.tolist() == ["b", "a"]
    assert data.schema.shape == (4, 2)
    assert data.schema.kind == "real"
    assert data.mask.tolist() == [[[True, True], [True, True], [False, False], [False, True]],
                                  [[True, True], [True, True], [False, False], [False, False]]]  # fmt: skip
    shift, scale = (np.array(one) for one in zip(*[(c.shift, c.scale) for c in data.schema.sequences.columns]))
    train = data.split == 0
    seen = [data.x[train][..., j][data.mask[train][..., j]] for j in range(2)]
    assert np.allclose(shift, [one.mean() for one in seen])
    assert np.allclose(scale, [one.std() for one in seen])
    assert np.array_equal(data.x[~data.mask], np.broadcast_to(shift.astype(np.float32), data.x.shape)[~data.mask])
    assert np.array_equal(data.x[0, :2], [[1, 1], [2, 0]])
    assert np.array_equal(data.x[1, :2], [[3, 1], [5, 0]])
    assert [one.tolist() for one in scaling(data.schema)] == [[list(shift)] * 4, [list(scale)] * 4]
    assert lengths(data.mask, 4, 2).tolist() == [4, 2]
    assert data.places.line.tolist() == [[0, 1, -1, 3], [2, 4, -1, -1]]
    assert data.places.count.tolist() == [4, 2]
    assert data.schema.image is None
    assert data.schema.sequences.edges == (4,)
    made = named_steps(data.schema.sequences, data.places, data.places.held)
    assert made["who"].tolist() == ["b"] * 4 + ["a"] * 2
    assert made["t"].tolist() == [0, 1, 2, 3, 5, 6]
    assert any("1 and 0" in note for note in data.notes)
    assert any("1 step has no line" in note for note in data.notes)


def test_the_order_of_lines_of_other_sequences_is_nothing():
    one = read(LONG, sequence="who", time="t")
    other = read(LONG.iloc[[2, 0, 4, 1, 3]].reset_index(drop=True), sequence="who", time="t")
    assert np.array_equal(one.x[[1, 0]], other.x)
    assert np.array_equal(one.row_id[[1, 0]], other.row_id)


def test_arrays_of_unlike_length_are_sequences():
    parts = {"u": np.ones((2, 3)), "v": np.full((5, 3), 2.0)}
    named, listed = read(parts), read(list(parts.values()))
    assert named.names.tolist() == ["u", "v"]
    assert listed.names.tolist() == [0, 1]
    assert named.schema.shape == (5, 3)
    assert np.array_equal(named.mask, listed.mask)
    assert named.mask[0, :, 0].tolist() == [True, True, False, False, False]
    padded = np.full((2, 5, 3), np.nan)
    padded[0, :2], padded[1] = 1.0, 2.0
    again = read(padded, sequence="-")
    assert np.array_equal(again.x, listed.x)
    assert np.array_equal(again.mask, listed.mask)
    assert read([np.zeros((3, 2)), np.ones((3, 2))]).schema.sequences is None  # rows of one shape, as ever


def test_a_series_is_split_by_time_and_no_window_crosses_a_split():
    data = read(hourly(100), time="time", window=8, stride=3)
    steps = [set(row[row >= 0].tolist()) for row in data.places.line]
    by = [set().union(*(one for one, split in zip(steps, data.split) if split == code)) for code in range(3)]
    assert by == [set(range(80)), set(range(80, 90)), set(range(90, 100))]  # every step, and none of them twice
    assert all(len(one) == 8 for one in steps)
    first = data.places.first[data.split == 0]
    assert first.tolist() == [*range(0, 73, 3)]
    assert data.places.last.sum() == 1
    assert data.names[0] == "2024-01-31 20:00:00"
    assert data.names[1] == "2024-01-31 23:00:00"
    assert np.array_equal(data.x[..., 0], data.places.first[:, None] + np.arange(8))
    assert np.array_equal(data.x[..., 1], data.x[..., 0] + 1000)


def test_default_stride_and_windows_as_times():
    data = read(hourly(200), time="time", window="12h")
    assert data.schema.sequences.window == 12
    assert data.schema.sequences.stride == 3
    assert read(hourly(200), time="time", window=12, stride="3h").fingerprint == data.fingerprint


def test_whole_sequences_are_split_first_and_windows_after():
    frame = pd.concat([hourly(20, who=f"s{i}") for i in range(40)], ignore_index=True)
    data = read(frame, sequence="who", time="time", window=8, stride=4)
    whole = read(frame, sequence="who", time="time")
    of = dict(zip(whole.names.tolist(), whole.split.tolist()))
    assert set(of.values()) == {0, 1, 2}
    assert [of[name] for name in data.places.sequence.tolist()] == data.split.tolist()
    assert data.places.first[:4].tolist() == [0, 4, 8, 12]
    assert len(data) == 160


def test_other_rows_are_read_as_windows_side_by_side():
    data = read(hourly(100), time="time", window=8, stride=3)
    other = read(hourly(21), schema=data.schema)
    assert other.places.first.tolist() == [0, 8, 13]
    assert other.schema == data.schema
    assert read(hourly(17), schema=data.schema).places.first.tolist() == [0, 8, 9]
    short = read(hourly(5), schema=data.schema)
    assert short.x.shape == (1, 8, 2)
    assert short.mask[0, :, 0].tolist() == [True] * 5 + [False] * 3
    same = read(hourly(100), schema=data.schema, time="time", window=8, stride=3)
    assert same.fingerprint == data.fingerprint
    swapped = read(hourly(21)[["c1", "c0", "time"]], schema=data.schema)
    assert np.array_equal(swapped.x, other.x)


def test_steps_that_were_found():
    def step(times, **how):
        frame = pd.DataFrame({"t": times, "x": np.arange(len(times), dtype=float)})
        data = read(frame, time="t", **how)
        found, count = data.schema.sequences.step, data.places.count.tolist()
        last = found.times(float(data.places.start[0]), np.arange(count[0]))[-1]
        assert pd.Timestamp(last) == pd.Timestamp(times[-1]), last  # a step leads to the rows that it was found of
        return found, count

    months = pd.date_range("2023-01-31", periods=14, freq="ME")
    assert step(months)[0].told == "1 month"
    assert step(months)[1] == [14]
    assert step(pd.to_datetime(["2023-01-15", "2023-04-15", "2023-10-15"]))[0].told == "1 quarter"
    week = pd.bdate_range("2024-01-01", periods=10)
    assert step(week)[0].told == "1 day"
    assert step(week)[1] == [12]
    assert step([0.0, 0.1, 0.2, 0.5])[0].size == pytest.approx(0.1)
    assert step([0.0, 0.1, 0.2, 0.5])[1] == [6]
    assert step([0, 2, 4, 5, 7, 9])[0].size == 1.0  # most are 2 apart, but all lie on steps of 1
    assert step([7])[1] == [1]


def test_times_are_written_as_they_were_also_beyond_the_end():
    data = read(hourly(100), time="time", window=8)
    step, places = data.schema.sequences.step, data.places
    later = step.times(float(places.start[0]), np.arange(30))
    assert later[0] == np.datetime64("2024-01-31T20:00:00")
    assert later[-1] == np.datetime64("2024-02-02T01:00:00")
    zoned = hourly(100).assign(time=lambda f: f.time.dt.tz_localize("Europe/Paris"))
    found = read(zoned, time="time", window=8)
    assert found.schema.sequences.step.times(found.places.start[:1], np.array([0])).tolist() == [
        "2024-01-31 20:00:00+01:00"
    ]
    months = pd.DataFrame({"t": pd.date_range("2023-01-31", periods=14, freq="ME"), "x": np.arange(14.0)})
    data = read(months, time="t")
    last = data.schema.sequences.step.times(float(data.places.start[0]), np.array([1, 13]))
    assert last.astype(str).tolist() == ["2023-02-28", "2024-02-29"]


@pytest.mark.parametrize("day", [1, 15, 28, 0])
def test_days_are_the_months_that_a_model_counts(day):
    months = np.array([600, 601, 637])
    days = Times(days_of(months, day).astype(float), "days", name="t")
    found = _as_known(days, Step(1.0, "months", day), "rows")
    assert (found.unit, found.numbers.tolist()) == ("months", months.tolist())
    with pytest.raises(DataError, match="not a whole number of steps"):
        _as_known(days, Step(1.0, "months", 14), "rows")


def test_labels_weights_conditions_and_inputs():
    frame = pd.DataFrame({"who": np.repeat(["p", "q", "r"], 3), "t": list(range(3)) * 3, "x": np.arange(9.0)})
    frame["kind"], frame["w"], frame["place"] = np.repeat(["k", "l", "k"], 3), np.repeat([1.0, 2.0, 3.0], 3), "here"
    frame["act"] = [np.nan, 1, 0, np.nan, 0, 1, np.nan, 1, 1]
    given = {"label": "kind", "weight": "w", "condition": "place", "inputs": ["act"]}
    data = read(frame, sequence="who", time="t", **given)
    assert data.label.tolist() == [0, 1, 0]
    assert data.weight.tolist() == [1, 2, 3]
    assert data.schema.conditions[0].values == ("here",)
    assert data.cond["given"].shape == (3, 1)
    (one,) = data.schema.sequences.inputs
    told = data.cond["inputs"][..., 0] * one.scale + one.usual
    assert np.allclose(told[:, 1:], [[1, 0], [0, 1], [1, 1]], atol=1e-6)
    assert np.all(data.cond["inputs"][:, 0] == 0)
    again = read(frame, sequence="who", time="t", **given | {"condition": None}, schema=data.schema)
    assert again.fingerprint == data.fingerprint
    with pytest.raises(DataError, match="changes within a row, as in rows 0 and 1"):
        read(frame.drop(columns=["kind", "place"]), sequence="who", time="t", label="act")
    with pytest.raises(DataError, match=r"the condition 'act' changes within a row.*--input COLUMN"):
        read(frame.drop(columns=["kind", "place"]), sequence="who", time="t", condition="act")


def test_a_schema_of_sequences_is_data():
    schema = read(hourly(100), time="time", window=8).schema
    text = json.dumps(schema.to_json())
    assert Schema.from_json(json.loads(text)) == schema
    assert "sequences" not in read(np.random.default_rng(0).normal(size=(20, 3))).schema.to_json()
    value = json.loads(text)
    for change in (
        {"window": 9},
        {"columns": []},
        {"edges": [4]},
        {"step": {"size": -1.0}},
        {"columns": value["sequences"]["columns"][:1]},
    ):
        with pytest.raises(ModelFileError):
            Schema.from_json({**value, "sequences": {**value["sequences"], **change}})
    with pytest.raises(ModelFileError):
        Schema.from_json({**value, "kind": "unit"})


def _times(*times):
    return pd.DataFrame({"t": list(times), "x": np.arange(len(times), dtype=float)})


@pytest.mark.parametrize(
    ("frame", "how", "says"),
    [
        (LONG, {"sequence": "nobody", "time": "t"}, "has no column 'nobody'"),
        (LONG, {"sequence": "who", "time": "when"}, "has no column 'when'"),
        (LONG, {"sequence": "who", "time": "who"}, "named twice"),
        (LONG.drop(columns="who"), {"time": "t"}, "row 3: has the time 3, which lies before 5 in row 2"),
        (_times(0, 1, 1), {"time": "t"}, "row 2: has the time 1 of row 1, which is there twice"),
        (_times(0, 10, 20, 30, 33, 43), {"time": "t"}, "row 4: has the time 33.*--step '10'"),
        (_times(0, 10, 11), {"time": "t", "step": 10}, "of one step with 10 in row 1"),
        (_times(0, 1), {"time": "t", "step": "1h"}, "is not a time between two steps"),
        (_times(0, 1), {"time": "t", "stride": 2}, "Add --window W"),
        (_times(0, 1), {"time": "t", "window": 5}, "no series has three windows of 5 steps"),
        (_times(0, 1), {"time": "t", "window": "2.5"}, "is not a number of steps"),
        (LONG, {"time": "who"}, "holds names, such as 'b', not times"),
        (_times(0, np.nan), {"time": "t"}, "row 1: has no 't', its time"),
        (_times(0, np.inf, 2), {"time": "x"}, "row 1, column 't': holds inf"),
        (LONG, {"time": "t"}, "holds names such as 'a'.*--sequence who"),
        (LONG.assign(z=["u"] * 5), {"sequence": "who", "time": "t"}, "'z' holds names such as 'u'.*--condition z"),
        (LONG.assign(x=[np.nan, np.nan, 1, np.nan, 1], y=np.nan), {"sequence": "who", "time": "t"}, "no observed cell"),
        (LONG, {"sequence": "who", "time": "t", "counts": True}, "take no counts"),
        (LONG, {"sequence": "who", "time": "t", "row_id": "t"}, "take no row_id"),
        ({"a": np.zeros((0, 2)), "b": np.ones((3, 2))}, {}, "sequence 'a' is of length 0"),
        ({"a": np.ones((3, 1)), "b": np.ones((3, 2))}, {}, "has 2 columns"),
        (np.full((2, 3, 1), np.nan), {"sequence": "-"}, "is of length 0"),
        (["a text", "b"], {"sequence": "-"}, "not lines of a long table"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(frame, how, says):
    with pytest.raises((DataError, UsageError), match=says) as raised:
        read(frame, **how)
    assert raised.value.fix


def test_rows_of_a_model_must_fit_it():
    data = read(LONG, sequence="who", time="t")
    with pytest.raises(DataError, match="has 9 steps; the model knows sequences of up to 4"):
        read(_times(*range(9)).assign(y=True), sequence="-", schema=data.schema)
    longer = read(_times(*range(9)).assign(y=True), sequence="-", schema=data.schema, longest=12)
    assert longer.x.shape == (1, 12, 2)
    assert longer.schema.shape == (12, 2)
    with pytest.raises(DataError, match="lacks the column 'y'"):
        read(_times(0, 1), sequence="-", schema=data.schema)
    plain = read(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(UsageError, match="not on sequences"):
        read(LONG, sequence="who", time="t", schema=plain.schema)
