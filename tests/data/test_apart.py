"""Names that never come together: found beyond chance, kept by new rows, both ways over how often they do."""

import math

import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data import apart
from latens.data.mixed import as_columns
from latens.data.rules import broken_in, rules_of
from latens.recipes import get_recipe

CHANCE = math.log(2 * 2 / apart.BY_CHANCE)
"""Rows that two names of two columns with two each must have together by chance, for that none says something."""


def hires(n: int = 900, *, private: int = 0, share: float = 0.3) -> pd.DataFrame:
    """Customers of whom only firms pay by invoice, but so many private ones; a season that the month says."""
    rng = np.random.default_rng(0)
    who = rng.choice(["firm", "private"], n, p=[share, 1 - share])
    pay = np.where((who == "firm") & (rng.random(n) < 0.8), "invoice", "card")
    pay[np.flatnonzero(who == "private")[:private]] = "invoice"
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 731, n), "D")
    season = np.where(day.month.isin([6, 7, 8]), "high", "low")
    rate = np.where(season == "high", 60, 50) + 4 * (day.year == 2024)
    frame = {"who": who, "pay": pay, "day": day, "season": season, "rate": rate, "km": rng.integers(10, 900, n)}
    return pd.DataFrame(frame)


def found(frame: pd.DataFrame) -> dict[tuple[str, str, str, str], apart.Apart]:
    return {one[:4]: one for one in apart.found_in(latens.load_data(frame, label="none"))}


@pytest.mark.parametrize("private", [0, 1, 5])
def test_names_that_come_together_once_are_no_such_names(private: int) -> None:
    rules = found(hires(private=private))
    pairs = [one.pairs for one in rules.values() if (one.first, one.second) == ("who", "pay")]
    assert pairs == ([(("private", "invoice"),)] if private == 0 else [])


def test_months_years_and_few_numbers_count_as_names() -> None:
    rules = found(hires())
    season = rules["day", "month", "season", ""]
    assert set(season.pairs) == {(str(m), "low" if m in (6, 7, 8) else "high") for m in range(1, 13)}
    assert set(rules["day", "year", "rate", ""].pairs) == {
        ("2023", "54"),
        ("2023", "64"),
        ("2024", "50"),
        ("2024", "60"),
    }
    never = {("high", "50"), ("high", "54"), ("low", "60"), ("low", "64")}
    assert set(rules["season", "", "rate", ""].pairs) == never
    assert season.rows == 900


def test_months_of_a_date_that_follows_another_count_too() -> None:
    """A yard that is open from May to September, and shows that are booked some weeks before."""
    rng = np.random.default_rng(0)
    ordered = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 731, 1500), "D")
    show = ordered + pd.to_timedelta(rng.gamma(2.0, 9, 1500).astype(int), "D")
    hall = np.where(show.month.isin([5, 6, 7, 8, 9]), rng.choice(["yard", "hall"], 1500), "hall")
    frame = pd.DataFrame({"ordered": ordered, "show": show, "hall": hall})
    data = latens.load_data(frame, label="none")
    assert (data.schema.types or ())[1].after is not None
    rules = [one for one in apart.found_in(data) if {one.first, one.second} == {"show", "hall"}]
    assert [set(map(frozenset, one.pairs)) for one in rules] == [
        {frozenset((str(month), "yard")) for month in (1, 2, 3, 4, 10, 11, 12)}
    ]
    x = np.array(data.x)
    assert not apart.broken_in(rules, data.schema, x).any()
    x[:, 0] += 150  # the show moves with the order that it is counted from
    moved = (show + pd.Timedelta(150, "D")).month.isin([5, 6, 7, 8, 9])
    assert apart.broken_in(rules, data.schema, x).tolist() == ((hall == "yard") & ~moved).tolist()
    hidden = np.ones(x.shape, bool)
    hidden[:, 0] = False
    assert not apart.broken_in(rules, data.schema, x, hidden).any()


@pytest.mark.parametrize("times", [0.6, 1.6])
def test_so_few_rows_may_lack_them_by_chance(times: float) -> None:
    """Names of n_a and n_b of n rows: n_a n_b / n of them together, of which none is there."""
    n = 400
    both = round(math.sqrt(times * CHANCE * n))
    a, b = np.arange(n) < both, np.arange(n) >= n - both
    frame = pd.DataFrame({"a": np.where(a, "x", "y"), "b": np.where(b, "u", "v")})
    rules = found(frame)
    assert rules == {} if times < 1 else rules["a", "", "b", ""].pairs == (("x", "u"),)


def test_of_independent_columns_hardly_any_pair_is_missing() -> None:
    told = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        names = {f"c{j}": rng.choice(list("abcdefgh")[: 2 + j], 900, p=rng.dirichlet(np.ones(2 + j))) for j in range(6)}
        day = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 900, 900), "D")
        told += len(found(pd.DataFrame(names | {"n": rng.poisson(3, 900), "day": day})))
    assert told <= 1


def test_new_rows_never_have_them_together() -> None:
    data = latens.load_data(hires(), label="none")
    config = override(get_recipe("default").config, {"training.steps": 2, "start": "none"})
    trained = latens.train(latens.prepare(config, data))[0]
    assert trained.facts["apart"] == rules_of(data)["apart"]
    new = pd.DataFrame(as_columns(trained.sample(300, seed=1), trained.schema))
    assert not ((new["who"] == "private") & (new["pay"] == "invoice")).any()
    assert ((new["season"] == "high") == pd.to_datetime(new["day"]).dt.month.isin([6, 7, 8])).all()
    assert (
        new["rate"] == np.where(new["season"] == "high", 60, 50) + 4 * (pd.to_datetime(new["day"]).dt.year > 2023)
    ).all()
    wild = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    assert broken_in({"apart": trained.facts["apart"]}, data.schema, wild).mean() > 0.3
    assert not broken_in({"apart": trained.facts["apart"]}, data.schema, np.asarray(data.x)).any()


def test_empty_cells_break_nothing_and_a_stranger_s_rule_is_left_out() -> None:
    data = latens.load_data(hires(), label="none")
    rules, x = apart.found_in(data), np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    assert apart.read([list(one) for one in rules]) == rules
    assert not apart.broken_in(rules, data.schema, x, np.zeros(x.shape, bool)).any()
    stored = list(rules[0])
    for place, value in ((0, 3), (1, "week"), (2, stored[0]), (4, [["private"]]), (5, "many")):
        assert apart.read([[*stored[:place], value, *stored[place + 1 :]]]) == (), place
    assert apart.read("no list") == apart.read(None) == ()
    unknown = [["who", "", "pay", "", [["nobody", "invoice"]], 3], ["gone", "", "pay", "", [["a", "b"]], 3]]
    assert not apart.broken_in(apart.read(unknown), data.schema, x).any()
