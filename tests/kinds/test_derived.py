"""Derived columns: what an expression gives by hand, what is refused by name, and one density with and without them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data.schema import Schema
from latens.errors import DataError, ModelFileError
from latens.kinds.tables.derived import definitions, evaluate

DERIVED = {"total": "count * price", "end": "start + days", "long stay": "days > 5"}


def stays(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Stays with what each costs, when it ends and whether it is long."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"kind": np.array(list("xyz"))[rng.integers(0, 3, n)], "count": rng.integers(1, 20, n)})
    made["price"] = rng.gamma(4, 3, n).round(2)
    made["total"] = (made["count"] * made.price).round(2)
    made["start"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 400, n), "D")
    made["days"] = rng.integers(1, 9, n)
    made["end"] = made.start + pd.to_timedelta(made.days, "D")
    made["long stay"] = made.days > 5
    return made


def holds(frame: pd.DataFrame) -> bool:
    """Whether the derived columns are what their expressions give."""
    total = np.allclose(frame.total, (frame["count"] * frame.price).round(2), atol=1e-9)
    dated = (frame.end == frame.start + pd.to_timedelta(frame.days, "D")).all()
    return bool(total and dated and ((frame.days > 5) == frame["long stay"].astype(bool)).all())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b * 2", 12.0), ("(a + b) * 2", 14.0), ("a ** b / 4", 8.0), ("-a", -2.0), ("min(a, b, 1)", 1.0),
        ("max(a, b)", 5.0), ("round(b / 3, 2)", 1.67), ("round(b / a)", 2.0), ("a < b", 1.0),
        ("a == b", 0.0), ("until - since", 2.5), ("until > since", 1.0), ("until - '2020-01-01'", 3.5),
        ("since + '36 hours' - since", 1.5), ("`a column` + 1", 8.0), ("a / 0", np.nan),
        ("-" * 298 + "a", 2.0), ("round(" * 40 + "a" + ")" * 40, 2.0), ("9**9**9**9", np.nan), ("gone ** 0", np.nan),
        ("min(a, gone)", np.nan), ("gone < a", np.nan), ("max(since, until) == until", 1.0), ("_quoted_0", 3.0),
        ("since + gone - since", np.nan), ("1 / (a / 0)", np.nan),
    ],
)  # fmt: skip
def test_what_an_expression_gives_by_hand(text: str, value: float) -> None:
    numbers = {"a": 2.0, "b": 5.0, "a column": 7.0, "gone": np.nan, "_quoted_0": 3.0}
    columns = {name: np.array([one]) for name, one in numbers.items()}
    columns |= {"since": np.array(["2020-01-02"], "M8[us]"), "until": np.array(["2020-01-04T12"], "M8[us]")}
    np.testing.assert_allclose(evaluate(text, columns), value, rtol=1e-12)


@pytest.mark.parametrize(
    "text",
    ["0x" + "f" * 298, "~" + "-" * 298 + "a", "round(a, -1)", "round(a, b, a)", "since == a", "Add(a, b)", "-since",
     "round(since)", "min(since, a)",
     "__import__('os')", "a.real", "a if b else 1", "[a]", "lambda: a", "a[0]", "a and b", "since + until", "since * 2",
     "2 - since", "a < since", "round(a, 99)", "abs(a)", "'soon'", "a +", "a" * 301],
)  # fmt: skip
def test_nothing_else_is_computed(text: str) -> None:
    columns = {"a": np.ones(1), "b": np.ones(1), "a" * 301: np.ones(1)}
    with pytest.raises(DataError, match=r"expression|computed"):
        evaluate(text, columns | {name: np.zeros(1, "M8[us]") for name in ("since", "until")})


@pytest.mark.parametrize(
    ("derive", "words"),
    [
        ({"totl": "count * price"}, "no column 'totl'.*total"),
        ({"total": "count * prise"}, "no column 'prise'.*price"),
        ({"total": "price * days", "price": "total / days"}, "derived of each other"),
        ({"total": "total + 1"}, "derived of each other"),
        ({"total": "kind * 2"}, "no column 'kind' of numbers, dates"),
        ({"total": "count + price"}, "holds in .* of 200 rows, not in row 0.*99%"),
        ({"total": "start + 1"}, "gives dates"),
        (["total = count * price", "total = 1"], "defined twice"),
    ],
)
def test_what_cannot_be_derived_is_refused_by_name(derive: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        latens.read(stays(), derive=derive)


@pytest.mark.parametrize(("wrong", "taken"), [(2, True), (3, False)])
def test_rows_that_break_it_are_named_up_to_one_of_a_hundred(wrong: int, taken: bool) -> None:
    table = stays()
    table.loc[: wrong - 1, "total"] += 1.0
    if not taken:
        with pytest.raises(DataError, match="holds in 197 of 200 rows, not in row 0, row 1, row 2"):
            latens.read(table, derive=DERIVED)
        return
    data = latens.read(table, derive=DERIVED)
    assert any("holds in 198 of 200 rows, not in row 0, row 1" in note for note in data.notes)
    assert data.schema.names == ["kind", "count", "price", "start", "days"]


def test_a_schema_comes_back_and_a_stranger_s_is_refused() -> None:
    schema = latens.read(stays(), derive=DERIVED).schema
    assert Schema.from_json(schema.to_json()) == schema
    assert definitions(["total = count * price"]) == {"total": "count * price"}
    for wrong in ("lost + 1", "__import__('os')", "start + 1"):
        stored = schema.to_json()
        stored["derived"][0]["expression"] = wrong
        with pytest.raises(ModelFileError, match="derived"):
            Schema.from_json(stored)
    for key, value in (("place", 99), ("name", "count"), ("type", {"kind": "category", "values": ["a"]})):
        stored = schema.to_json()
        stored["derived"][0][key] = value
        with pytest.raises(ModelFileError, match="derived"):
            Schema.from_json(stored)


def test_one_density_with_and_without_and_every_output_keeps_it(tmp_path: Path) -> None:
    table, how = stays(), {"settings": {"training.steps": 20}, "random_state": 0}
    derived = latens.VAE(**how).fit(latens.Table(table, derive=DERIVED))
    plain = table.drop(columns=list(DERIVED))
    assert (derived.score_samples(table) == latens.VAE(**how).fit(plain).score_samples(plain)).all()
    drawn = derived.sample(100)
    assert list(drawn) == list(table)
    assert holds(drawn)
    assert holds(derived.sample(50, given={"kind": "x"}))
    assert holds(derived.reconstruct(table.head(5)))
    gaps = table.copy()
    gaps.loc[:5, ["price", "total"]] = np.nan
    gaps.loc[3:9, "total"] = np.nan
    gaps.loc[2, "end"] = pd.NaT
    full = derived.impute(gaps)
    assert not full.isna().any().any()
    assert holds(full)
    derived.model_.save(tmp_path / "stays.safetensors")
    again = latens.load(tmp_path / "stays.safetensors")
    assert [one.expression for one in again.schema.derived or ()] == [
        one.expression for one in derived.model_.schema.derived or ()
    ]
    given = latens.read(table, schema=again.schema)
    assert (given.x == latens.read(plain, schema=again.schema).x).all()
