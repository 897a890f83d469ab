"""Times between two dates: found both ways over strengths, written back exactly, kept by samples and fillings."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec import structs

import latens
from latens.cli.main import main
from latens.data.conditions import parse_conditions
from latens.data.frames import as_frame
from latens.data.mixed import as_columns
from latens.data.ordered import Ordered, broken_in, found_in, limits, ordered_again, shown_dates
from latens.data.schema import Schema
from latens.data.spans import dated, placed_spans
from latens.errors import DataError, ModelFileError

ORIGIN = np.datetime64("2021-03-01")


def orders(rows: int = 1000, seed: int = 0, *, unit: str = "D", longest: int = 9, wrong: int = 0) -> pd.DataFrame:
    """An order and its delivery, from none to so many units later, over 700 units."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 700, rows)
    end = start + rng.integers(0, longest + 1, rows)
    end[:wrong] = start[:wrong] - 5
    made = {"came": ORIGIN + start.astype(f"timedelta64[{unit}]"), "went": ORIGIN + end.astype(f"timedelta64[{unit}]")}
    return pd.DataFrame(made | {"kind": rng.choice(["a", "b"], rows)})


def data_of(frame: pd.DataFrame, **options: object) -> latens.Dataset:
    return latens.load_data(frame, label="none", typed=True, **options)  # type: ignore[arg-type]


def after_of(data: latens.Dataset) -> dict[str, str]:
    pairs = zip(data.schema.columns or (), data.schema.types or ())
    return {column.name: one.after.column for column, one in pairs if one.after}


@pytest.mark.parametrize("wrong", [0, 2, 4, 8, 100])
def test_a_date_that_follows_another_in_nearly_all_rows_is_the_time_since(wrong: int) -> None:
    """At most one of 200 training rows may break the order."""
    data = data_of(orders(wrong=wrong))
    train = data.subset("train")
    found = bool(np.count_nonzero(train < wrong) <= 0.005 * len(train))
    assert found is (wrong <= 2) or wrong == 4
    assert after_of(data) == ({"went": "came"} if found else {})
    assert any("'went' since 'came'" in note for note in data.notes) is found


def test_few_rows_gaps_in_the_first_and_dates_of_their_own_are_left() -> None:
    assert after_of(data_of(orders(90))) == {}
    few = orders()
    few["came"] = few["came"].mask(np.arange(1000) % 20 == 0)  # a twentieth of the deliveries would be lost
    assert after_of(data_of(few)) == {}
    ends = orders(longest=300)
    ends["went"] = ends["went"] + pd.offsets.YearEnd(0)  # three days tell more than the time since
    assert after_of(data_of(ends)) == {}
    apart = orders()
    apart["went"] += np.timedelta64(3000, "D")  # any row comes before any other: the order says nothing
    assert after_of(data_of(apart)) == {}


def test_what_is_declared_counts() -> None:
    assert after_of(data_of(orders(), columns={"went": "date"})) == {}
    assert after_of(data_of(orders(60), columns={"went": {"kind": "date", "after": "came"}})) == {"went": "came"}
    said = latens.data.declared.as_declared(data_of(orders()).schema)
    assert said["went"] == {"kind": "date", "after": "came"}
    assert data_of(orders(), columns=said).schema.types == data_of(orders()).schema.types
    with pytest.raises(DataError, match=r"'went' is declared to come after 'kind'"):
        data_of(orders(), columns={"went": {"kind": "date", "after": "kind"}})
    both = {"went": {"kind": "date", "after": "came"}, "came": {"kind": "date", "after": "went"}}
    with pytest.raises(DataError, match="and that one after it"):
        data_of(orders(), columns=both)
    with pytest.raises(DataError, match="bounds beside after"):
        data_of(orders(), columns={"went": {"kind": "date", "after": "came", "low": "2021-01-01"}})


@pytest.mark.parametrize("unit", ["D", "h", "m", "s"])
def test_rows_are_written_back_as_they_were(unit: str) -> None:
    frame = orders(unit=unit, wrong=3)
    frame["paid"] = frame["went"] + np.random.default_rng(1).integers(0, 4, 1000).astype(f"timedelta64[{unit}]")
    data = data_of(frame)
    assert after_of(data) == {"went": "came", "paid": "went"}  # each counts from the nearest before
    types = dict(zip(frame, data.schema.types or ()))
    assert types["went"].written == {"D": "days", "h": "hours", "m": "minutes", "s": "seconds"}[unit]
    train = data.subset("train")
    made = as_columns(np.asarray(data.x), data.schema, data.outside)
    for name in ("came", "went", "paid"):
        np.testing.assert_array_equal(made[name][train], frame[name].to_numpy()[train].astype(made[name].dtype))
    plain = as_frame(np.asarray(data.x)[train], data.schema)
    pd.testing.assert_series_equal(plain["paid"].astype("datetime64[s]"), made_series(frame["paid"][train]))


def made_series(values: pd.Series) -> pd.Series:
    return values.astype("datetime64[s]").reset_index(drop=True)


def test_times_of_a_zone_are_counted_in_it() -> None:
    """A night in which the clocks go back is an hour longer."""
    frame = orders(600, unit="h")
    frame[["came", "went"]] = frame[["came", "went"]].apply(lambda one: one.dt.tz_localize("UTC"))
    frame[["came", "went"]] = frame[["came", "went"]].apply(lambda one: one.dt.tz_convert("Europe/Paris"))
    data = data_of(frame)
    assert after_of(data) == {"went": "came"}
    again = as_frame(np.asarray(data.x), data.schema)
    seen = data.subset("train")
    pd.testing.assert_series_equal(again["went"].iloc[seen], frame["went"].iloc[seen], check_dtype=False)


def test_the_time_since_is_the_same_when_all_dates_move() -> None:
    frame = orders(seed=4)
    later = frame.assign(came=frame["came"] + np.timedelta64(1234, "D"), went=frame["went"] + np.timedelta64(1234, "D"))
    one, other = data_of(frame), data_of(later)
    np.testing.assert_array_equal(one.x, other.x)
    assert (one.schema.types or ())[1] == (other.schema.types or ())[1]


def test_dates_beyond_the_training_rows_are_counted_from_themselves() -> None:
    data = data_of(orders())
    new = orders(40, seed=9)
    new[["came", "went"]] += np.timedelta64(5000, "D")
    rows = latens.load_data(new, label="none", schema=data.schema)
    made = as_columns(np.asarray(rows.x), rows.schema, rows.outside)
    np.testing.assert_array_equal(made["went"], new["went"].to_numpy().astype(made["went"].dtype))
    new["went"] = np.arange(40.0)
    with pytest.raises(DataError, match="'went' holds numbers; the model knows it as dates"):
        latens.load_data(new, label="none", schema=data.schema)


def test_the_order_of_dates_is_that_no_time_is_below_zero() -> None:
    data = data_of(orders(wrong=2))
    (rule,) = found_in(data)
    assert rule == Ordered("came", "went", 1000, 2)
    wrong = broken_in([rule], data.schema, np.asarray(data.x), data.mask)
    assert np.flatnonzero(wrong[data.subset("train")]).size == np.count_nonzero(data.subset("train") < 2)
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, 1] = True
    low = limits([rule], data.schema, np.asarray(data.x), ~hidden)[0]
    one = (data.schema.types or ())[1]
    assert (one.low + low[:, 1] * one.step == 0.0).all()
    x = np.zeros(data.x.shape)
    again = ordered_again([rule], data.schema, x, hidden)
    assert not broken_in([rule], data.schema, again).any()
    np.testing.assert_array_equal(ordered_again([rule], data.schema, x, ~hidden), x)  # what was there stays


def test_a_time_is_said_with_the_date_that_it_is_counted_from() -> None:
    one = (data_of(orders(wrong=1)).schema.types or ())[1]
    cells = np.array([-5.0, 0.0, 3.0]) - one.low
    assert one.texts(cells) == [
        "5 days before came",
        "0 days after came",
        "3 days after came",
    ]


def stays(rows: int = 900) -> pd.DataFrame:
    """Two dates that both are counted from a first one, of which the later never comes before the other."""
    frame = orders(rows, longest=4).rename(columns={"came": "begun", "went": "done"})
    rng = np.random.default_rng(5)
    late = rng.choice([0, 30], rows)  # a bill at once, or thirty days after the beginning
    paid = np.maximum(frame["done"], frame["begun"] + late.astype("timedelta64[D]"))
    return frame.assign(paid=paid.to_numpy().astype("datetime64[D]"))


SAID = {"done": {"kind": "date", "after": "begun"}, "paid": {"kind": "date", "after": "begun"}}


def test_two_dates_that_follow_a_third_keep_their_own_order() -> None:
    data = data_of(stays(), columns=SAID)
    assert after_of(data) == {"done": "begun", "paid": "begun"}
    rules = found_in(data)
    assert {(one.first, one.second) for one in rules} == {("begun", "done"), ("begun", "paid"), ("done", "paid")}
    assert [one.broken for one in rules] == [0, 0, 0]
    x, names = np.array(data.x, np.float64), ["begun", "done", "kind", "paid"]
    places = {column.name: i for i, column in enumerate(data.schema.columns or ())}
    done, paid = places["done"], places["paid"]
    assert sorted(places) == sorted(names)
    x[:, done] = 3 - (data.schema.types or ())[done].low  # three days
    hidden = np.zeros(x.shape, bool)
    hidden[:, paid] = True
    low = limits(rules, data.schema, x, ~hidden)[0][:, paid]
    assert (low + (data.schema.types or ())[paid].low == 3.0).all()  # not before the other is done
    x[:, paid] = 0.0 - (data.schema.types or ())[paid].low
    assert broken_in(rules, data.schema, x).all()
    again = ordered_again(rules, data.schema, x, hidden)
    assert (again[:, paid] + (data.schema.types or ())[paid].low == 3.0).all()
    unknown = ~hidden
    unknown[:, places["begun"]] = False
    assert np.isneginf(limits(rules[-1:], data.schema, x, unknown)[0][:, paid]).all()  # without the beginning, nothing


def test_a_date_is_known_where_all_are_that_it_is_counted_from() -> None:
    frame = orders()
    frame["paid"] = frame["went"] + np.random.default_rng(1).integers(0, 4, 1000).astype("timedelta64[D]")
    schema = data_of(frame).schema
    names, types = list(frame), schema.types or ()
    assert [one.after.column if one.after else "" for one in types] == ["", "came", "", "went"]
    mask = np.ones((2, 4), bool)
    mask[1, 0] = False  # without the first date nothing is known of the last two
    assert shown_dates(mask, 1, 3, names, types).tolist() == [True, False]
    assert shown_dates(mask, 3, 3, names, types).tolist() == [True, False]


def test_samples_keep_the_order_of_two_dates_that_follow_a_third(tmp_path: Path) -> None:
    stays().to_csv(tmp_path / "stays.csv", index=False)
    fit = ["fit", str(tmp_path / "stays.csv"), "--recipe", "table-mixture", "--label", "none", "--epochs", "3"]
    (tmp_path / "said.json").write_text(json.dumps(SAID))
    more = ["--columns", str(tmp_path / "said.json"), "--set", "posterior.choices=2", "--out", str(tmp_path / "run")]
    assert main([*fit, *more]) == 0
    assert main(["sample", str(tmp_path / "run"), "-n", "1000", "--out", str(tmp_path / "new.csv")]) == 0
    new = pd.read_csv(tmp_path / "new.csv")
    assert ((new["begun"] <= new["done"]) & (new["done"] <= new["paid"])).all()


def test_a_file_that_counts_dates_wrongly_is_refused() -> None:
    schema = data_of(orders()).schema
    assert Schema.from_json(schema.to_json()) == schema
    came, went, kind = schema.types or ()
    assert went.after is not None
    for after in (
        structs.replace(went.after, column="none"),
        structs.replace(went.after, column="went"),
        structs.replace(went.after, column="kind"),
        structs.replace(went.after, written="s"),
    ):
        made = structs.replace(schema, types=(came, structs.replace(went, after=after), kind))
        with pytest.raises(ModelFileError):
            Schema.from_json(made.to_json())


def test_gaps_stay_where_they_were() -> None:
    frame = orders()
    frame["went"] = frame["went"].mask(np.arange(1000) % 7 == 0)
    data = data_of(frame)
    assert data.mask is not None
    np.testing.assert_array_equal(~data.mask[:, 1], np.arange(1000) % 7 == 0)
    rows, types = dated(np.where(data.mask, data.x, np.nan), list(frame), data.schema.types or ())
    assert np.isnan(rows[~data.mask[:, 1], 1]).all()
    assert types[1].kind == "date"
    assert placed_spans(list(frame), data.schema.types or ()) == [(0, 1)]


def test_samples_and_fillings_keep_the_time_between(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From 0 to 9 minutes, as in the data; a filled one too; what was there stays as it was, written as it was."""
    frame = orders(900, unit="m")
    dates = frame[["came", "went"]].apply(lambda one: one.dt.strftime("%Y-%m-%d %H:%M"))
    text = frame.assign(came=dates["came"], went=dates["went"])
    text.to_csv(tmp_path / "orders.csv", index=False)
    fit = ["fit", str(tmp_path / "orders.csv"), "--recipe", "table-mixture", "--label", "none", "--epochs", "3"]
    assert main([*fit, "--out", str(tmp_path / "run"), "--set", "posterior.choices=2"]) == 0
    assert main(["sample", str(tmp_path / "run"), "-n", "2000", "--out", str(tmp_path / "new.csv")]) == 0
    new = pd.read_csv(tmp_path / "new.csv")
    assert new["went"].str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d").all()
    between = (pd.to_datetime(new["went"]) - pd.to_datetime(new["came"])).dt.total_seconds() / 60
    assert between.between(0, 9).all()
    assert np.abs(between.value_counts(normalize=True) - 0.1).max() < 0.05  # a tenth each; 2,000 draws
    holes = text.copy()
    holes.loc[:99, "went"] = ""
    holes.loc[100:149, "came"] = ""
    holes.to_csv(tmp_path / "holes.csv", index=False)
    filled = ["impute", str(tmp_path / "run"), str(tmp_path / "holes.csv"), "--inapplicable", "fill"]
    assert main([*filled, "--out", str(tmp_path / "filled.csv"), "--interval", "0.9"]) == 0
    told = pd.read_csv(tmp_path / "filled.csv")
    pd.testing.assert_series_equal(told["went"][100:], text["went"][100:])
    pd.testing.assert_series_equal(told["came"][:100], text["came"][:100])
    start = pd.to_datetime(told["came"][:100])
    for name in ("went", "went.low", "went.high"):
        minutes = (pd.to_datetime(told[name][:100]) - start).dt.total_seconds() / 60
        assert minutes.between(0, 9).all(), name
    capsys.readouterr()


def test_a_date_that_is_asked_of_a_span_says_what_to_ask_instead() -> None:
    data = data_of(orders())
    with pytest.raises(DataError, match="'went' is modelled as the time since 'came', in ") as told:
        parse_conditions(["went=2024-07-01..2024-07-31"], data.schema)
    assert told.value.fix == "Ask for 'came' by its date, and for 'went' as a span, as '9 days'."


@pytest.mark.parametrize(("wrong", "counted"), [(0, True), (8, True), (40, False)])
def test_dates_whose_days_between_a_column_holds_are_counted_from_each_other(wrong: int, counted: bool) -> None:
    """Sown within 18 days and measured two weeks later or more: their order says nothing, the days do."""
    rng = np.random.default_rng(0)
    start, days = rng.integers(0, 18, 400), rng.choice([14, 21, 28, 35], 400)
    frame = pd.DataFrame(
        {"sown": ORIGIN + start, "measured": ORIGIN + start + days, "kind": rng.choice(["a", "b"], 400)}
    )
    assert after_of(data_of(frame)) == {}
    days[rng.permutation(400)[:wrong]] += 1
    assert after_of(data_of(frame.assign(days=days))) == ({"measured": "sown"} if counted else {})
    assert after_of(data_of(frame.assign(days=rng.permutation(days)))) == {}
