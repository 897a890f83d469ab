"""Names that come in some months of the year only, and dates that never lie the other way round though they may."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import ordered, within
from latens.data.rules import broken_in, rules_of


def damage(
    n: int = 1500, *, hail: float = 0.05, all_year: bool = False, days: int = 640, late: int = 0
) -> latens.Dataset:
    """Damage by hail from May to August, or in all months; and when the car was first registered."""
    rng = np.random.default_rng(0)
    happened = pd.Timestamp("2023-01-03") + pd.to_timedelta(rng.integers(0, days, n), unit="D")
    cause = np.where(rng.random(n) < hail, "hail", rng.choice(["parking", "glass"], n))
    summer = happened.month.isin([5, 6, 7, 8])
    cause = np.where((cause == "hail") & ~summer & (not all_year), "glass", cause)
    built = happened - pd.to_timedelta((rng.gamma(2, 950, n) + 20).round(), unit="D")
    built = built.where(np.arange(n) >= late, happened + pd.Timedelta(days=40))
    return latens.load_data(pd.DataFrame({"happened": happened, "cause": cause, "built": built}), label="none")


@pytest.mark.parametrize(
    ("hail", "all_year", "days", "found"),
    [(0.15, False, 640, True), (0.3, False, 640, True), (0.15, True, 640, False), (0.15, False, 300, False)],
)
def test_the_months_of_a_name(hail: float, all_year: bool, days: int, found: bool) -> None:
    data = damage(hail=hail, all_year=all_year, days=days)
    months = [one for one in within.found_in(data) if one.month]
    assert bool(months) is found
    if found:
        (one,) = months
        assert (one.by, one.column) == ("cause", "happened")
        ((name, low, high),) = one.ranges
        assert name == "hail"
        assert 4.0 < low <= 5.0
        assert 8.0 <= high < 9.0
        assert within.read([one]) == (one,)


def test_new_rows_keep_to_the_months_whatever_the_year() -> None:
    data = damage(hail=0.15)
    facts, names = rules_of(data), data.schema.names
    facts = {name: own for name, own in facts.items() if name in ("within", "ordered")}
    cause = (data.schema.types or ())[names.index("cause")].values.index("hail")
    x = np.array(data.x)
    assert not broken_in(facts, data.schema, x).any()
    x[:, names.index("cause")] = cause
    days = pd.Series(np.asarray((data.schema.types or ())[names.index("happened")].texts(np.asarray(data.x)[:, 0])))
    summer = pd.to_datetime(days).dt.month.isin([5, 6, 7, 8]).to_numpy()
    np.testing.assert_array_equal(broken_in(facts, data.schema, x), ~summer)


@pytest.mark.parametrize(("late", "found"), [(0, True), (1, False)])
def test_dates_in_one_order_by_no_chance(late: int, found: bool) -> None:
    """By chance about one car in eighty would be built after the damage; none is."""
    pairs = [(one.first, one.second) for one in ordered.found_in(damage(late=late))]
    assert (("built", "happened") in pairs) is found


def test_dates_that_hardly_meet_have_no_order() -> None:
    rng = np.random.default_rng(0)
    born = pd.Timestamp("1950-01-01") + pd.to_timedelta(rng.integers(0, 19_000, 800), unit="D")
    seen = pd.Timestamp("2000-06-01") + pd.to_timedelta(rng.integers(0, 900, 800), unit="D")
    frame = pd.DataFrame({"born": born.where(born < seen, seen), "seen": seen, "kind": rng.choice(["a", "b"], 800)})
    chance = np.mean(frame["born"].to_numpy()[:, None] > frame["seen"].to_numpy()) * 800
    assert 5 < chance < ordered.EXPECTED
    assert not ordered.found_in(latens.load_data(frame, label="none"))
