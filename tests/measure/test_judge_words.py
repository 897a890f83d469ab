"""What `judge` says in plain words of weekdays and of combinations of two columns, with the shares of rows."""

import numpy as np
import pandas as pd
import pytest

from latens.evaluation.samples.words import combinations, weekdays
from latens.verbs.judge import _plain
from latens.workflow.judge import judge, tables_of


def lent(n: int, seed: int, *, mondays: float = 0.0, broken: float = 0.0) -> pd.DataFrame:
    """Days of which none but a share is a Monday, and prices that are high for one kind of bike but in a share."""
    rng = np.random.default_rng(seed)
    weeks = np.datetime64("2024-01-01") + 7 * rng.integers(0, 52, n)  # Mondays
    days = weeks + np.where(rng.random(n) < mondays, 0, rng.integers(1, 7, n))
    bike = rng.choice(["City", "Cargo"], n)
    price = np.where((bike == "Cargo") ^ (rng.random(n) < broken), 90.0, 20.0) + np.round(rng.normal(0, 3, n), 1)
    return pd.DataFrame({"day": days.astype(str), "bike": bike, "price": price, "age": rng.integers(18, 80, n)})


@pytest.mark.parametrize(("mondays", "told"), [(0.0, False), (0.005, False), (0.1, True), (0.3, True)])
def test_a_day_that_real_rows_do_not_have_is_told(mondays: float, told: bool) -> None:
    tables, _ = tables_of(lent(3000, 0), lent(3000, 1, mondays=mondays))
    found = weekdays(*tables)
    assert bool(found) is told
    if told:
        assert (found[0]["column"], found[0]["day"], found[0]["real"]) == ("day", "Monday", 0.0)
        assert found[0]["fake"] == pytest.approx(mondays, abs=0.02)


@pytest.mark.parametrize(("broken", "told"), [(0.0, False), (0.01, False), (0.1, True), (0.35, True)])
def test_a_combination_that_breaks_a_pattern_is_told(broken: float, told: bool) -> None:
    tables, _ = tables_of(lent(3000, 0), lent(3000, 1, broken=broken))
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    found = combinations(*tables, pairs)
    assert bool(found) is told
    if told:
        assert found[0]["columns"] == ["bike", "price"]
        assert abs(found[0]["fake"] - found[0]["real"]) > 0.02
        bike, price = found[0]["values"]
        assert bike in ("City", "Cargo")
        assert price.startswith(("from ", "below "))


def test_the_shares_are_those_of_rows() -> None:
    real, fake = lent(3000, 0), lent(3000, 1, broken=0.3)
    tables, _ = tables_of(real, fake)
    one = combinations(*tables, [(1, 2)])[0]
    bike, (words, low, *rest) = one["values"][0], one["values"][1].split(" ")
    for frame, share in ((real, one["real"]), (fake, one["fake"])):
        price = frame["price"]
        inside = price < float(low) if words == "below" else price >= float(low)
        inside &= price < float(rest[-1]) if rest[-1:] and rest[-1] != "on" else True
        assert share == pytest.approx(np.mean(inside & (frame["bike"] == bike)), abs=1e-9)


def test_they_stand_among_the_first_lines() -> None:
    said = _plain(judge(lent(1500, 0), lent(1500, 1, mondays=0.2, broken=0.3)))
    assert any(line.startswith("day is a Monday in 0.0% of real rows, ") for line in said)
    assert any(line.startswith("bike C") and " with price " in line for line in said)
    same = _plain(judge(lent(1500, 0), lent(1500, 1)))
    assert not any("Monday" in line or " with price " in line for line in same)
