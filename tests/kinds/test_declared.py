"""What a user says of columns, and what numbers were recorded in: held against the cells."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import load
from latens.errors import DataError, UsageError
from latens.kinds.tables.columns import FrameColumn, number_type, recorded_step
from latens.kinds.tables.derived import declared_columns
from latens.kinds.tables.table_schema import as_frame

N = 400


def table(n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "city": np.array(["Lyon", "Oslo", "Porto"])[rng.integers(0, 3, n)],
            "code": rng.integers(1, 5, n),
            "price": np.round(rng.uniform(1.0, 9.0, n), 2),
            "joined": (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 90, n), "D")).date,
            "who": [f"c{i}" for i in range(n)],
        }
    )


@pytest.fixture(params=["file", "parquet", "frame"])
def source(request, tmp_path):
    """The same table by each door."""

    def made(frame):
        if request.param == "frame":
            return frame
        path = tmp_path / f"t.{request.param}".replace(".file", ".csv")
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        return path

    return made


def test_a_kind_alone_is_enough(source):
    data = load(source(table()), columns={"code": "category", "price": "leave out"})
    kinds = {column.name: one.kind for column, one in zip(data.schema.columns, data.schema.types)}
    assert kinds == {"city": "category", "code": "category", "joined": "date"}
    assert data.schema.types[1].values == ("1", "2", "3", "4")
    assert as_frame(data.x, data.schema)["code"].to_list() == table()["code"].tolist()
    assert data.schema.ignored == ("price", "who")
    # A file of the same columns is then read alike, whatever stands in those that are left out.
    same = load(source(table()), schema=data.schema)
    assert same.fingerprint == data.fingerprint
    odd = table().assign(price=["a lot", *table()["price"].astype(str)[1:]])
    np.testing.assert_array_equal(load(source(odd), schema=data.schema).x, data.x)


def test_names_that_are_said_have_their_order(source):
    said = {"city": {"kind": "category", "values": ["Porto", "Oslo", "Lyon", "Rome"]}}
    data = load(source(table()), columns=said)
    city = data.schema.types[0]
    assert city.values == ("Porto", "Oslo", "Lyon", "Rome")
    counts = table()["city"][data.split == 0].value_counts()
    expected = np.array([*(counts[name] + 0.5 for name in ("Porto", "Oslo", "Lyon")), 0.5]) / (counts.sum() + 2)
    np.testing.assert_allclose(city.shares, expected)
    for one in data.schema.types[1:]:
        assert np.exp(one.log_shares(np.arange(one.size))).sum() == pytest.approx(1.0, abs=1e-9)


def test_columns_of_an_array_are_declared_by_their_places():
    x = np.random.default_rng(0).integers(0, 3, (200, 2)).astype(float)
    x[3, 1] = np.nan
    data = load(x, columns={"x1": "category"})
    assert [one.kind for one in data.schema.types] == ["number", "category"]
    assert data.schema.types[1].values == ("0", "1", "2")
    assert np.array_equal(~data.mask, np.isnan(x))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"city": "categroy"},
            "column 'city' is given the unknown kind 'categroy'.* Allowed: category, ordinal, number, date, ",
        ),
        ({"city": 3}, "column 'city' is given '3', which is not a kind"),
        ({"city": {"values": ["a"]}}, "column 'city' is given .*, which is not a kind"),
        ({"city": {"kind": "category", "step": 1}}, "column 'city' of the kind 'category' is given 'step'.*: values"),
        ({"city": {"kind": "leave out", "low": 1}}, "'leave out' is given 'low'.*: nothing else"),
        ({"city": {"kind": "category", "values": "ab"}}, "is given the values 'ab'"),
        ({"city": {"kind": "category", "values": ["a", "a"]}}, "is given a value twice"),
        ({"joined": {"kind": "date", "zone": "Mars"}}, "unknown zone 'Mars'.*Europe/Paris"),
        ({"town": "category"}, "no column 'town', .* Valid: city, code"),
        (["city"], "is not NAME=KIND"),
        ({"city": "number"}, "column 'city' holds '.*is to hold numbers"),
        ({"city": "date"}, "column 'city' holds '.*is to hold dates"),
        ({"code": "date"}, "column 'code' holds .*is to hold dates"),
        ({"city": {"kind": "category", "values": ["Lyon", "Oslo"]}}, "holds 'Porto', which is not one of its declared"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(said, words):
    with pytest.raises(DataError, match=f"(?s){words}"):
        load(table(), columns=said)


def test_a_category_of_more_names_than_are_modelled_is_refused():
    many = pd.DataFrame({"word": [f"w{i // 2}" for i in range(3000)], "x": np.arange(3000) % 7})
    assert load(many).schema.ignored == ("word",)
    assert load(many, columns={"word": "category"}).schema.types[0].count < 4  # by how often they came
    with pytest.raises(DataError, match=r"'word' is declared as ordinal and has 1,500 categories.*1,000 are modelled"):
        load(many.assign(word=np.arange(3000) // 2), columns={"word": "ordinal"})


def test_a_model_knows_the_kinds_of_its_own():
    data = load(table())
    with pytest.raises(UsageError, match="given twice"):
        load(table(), schema=data.schema, columns={"city": "category"})
    assert declared_columns({}) == {}


@pytest.mark.parametrize(
    ("size", "rows", "values", "step"),
    [
        (10, 500, 200, 10.0),
        (50, 500, 200, 50.0),
        (1000, 500, 200, 1000.0),
        (10, 90, 60, 1.0),
        (10, 500, 30, 1.0),
        (7, 500, 200, 1.0),
    ],
)
def test_many_multiples_of_a_round_number_were_recorded_in_it(size: int, rows: int, values: int, step: float) -> None:
    x = size * (np.arange(rows) % values + 3.0)
    assert recorded_step(x) == step
    assert recorded_step(-x) == step
    assert recorded_step(np.append(x, 3 * size + 1.0)) == 1.0
    assert number_type(x, x, FrameColumn()).step == step


def test_new_rows_of_incomes_in_tens_are_in_tens() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 600), "income": np.round(np.exp(rng.normal(8, 0.3, 600)), -1)})
    schema = latens.read(frame, label="none").schema
    income = (schema.types or ())[1]
    assert (income.series(np.arange(income.size)).to_numpy() % 10 == 0).all()


@pytest.mark.parametrize(("each", "own"), [(1, False), (6, True)])
def test_amounts_that_one_row_each_has_have_no_place_of_their_own(each: int, own: bool) -> None:
    """What some owe, where most owe nothing: no new row repeats the debt of one tenant."""
    rng = np.random.default_rng(1)
    owed = np.repeat(np.round(rng.uniform(200, 3000, 24), 2), each)
    x = np.append(np.zeros(1176), owed)
    made = number_type(x, x, FrameColumn())
    widths = np.asarray(made.widths)
    where = np.searchsorted(made.firsts, np.round((owed - made.low) / made.step), side="right") - 1
    assert (widths[where] == 1).mean() == (1.0 if own else pytest.approx(0.0, abs=0.1))
    assert made.widths[0] == 1  # nothing is nothing
