"""What `judge` says in plain words of weekdays and of combinations of two columns, with the shares of rows."""

import numpy as np
import pandas as pd
import pytest

from latens.evaluation.samples.words import combinations, weekdays, within_names
from latens.verbs.judge import _plain
from latens.workflow.judge import _equations, judge, tables_of, verdict


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


def shells(n: int, seed: int, r: float = 0.95) -> pd.DataFrame:
    """Lengths and widths of three kinds: within a kind correlated by r, the kinds far apart."""
    rng = np.random.default_rng(seed)
    kind, one = rng.integers(0, 3, n), rng.standard_normal(n)
    two = r * one + np.sqrt(1.0 - r**2) * rng.standard_normal(n)
    names = np.array(["cockle", "mussel", "whelk"])[kind]
    sizes = {"length": (one + 8.0 * kind).round(3), "width": (two - 9.0 * (kind == 1)).round(3)}
    return pd.DataFrame({"kind": names, **sizes, "mass": rng.gamma(2.0, 3.0, n).round(2)})


@pytest.mark.parametrize(("r", "told"), [(0.95, False), (0.93, False), (0.8, False), (0.6, True), (0.3, True)])
def test_numbers_that_come_apart_within_a_name_are_told(r: float, told: bool) -> None:
    """A difference of 0.15 is not worth telling; of all shells the two numbers are as before."""
    tables, _ = tables_of(shells(1500, 0), shells(1500, 1, r))
    found = within_names(*tables)
    assert bool(found) is told
    if told:
        [one] = found
        assert (one["column"], one["columns"]) == ("kind", ["length", "width"])
        assert one["name"] in ("cockle", "mussel", "whelk")
        own = [frame[frame.kind == one["name"]] for frame in (shells(1500, 0), shells(1500, 1, r))]
        ranks = [frame[["length", "width"]].corr(method="spearman").iloc[0, 1] for frame in own]
        assert [one["real"], one["fake"]] == pytest.approx(ranks, abs=1e-9)


@pytest.mark.parametrize(("r", "told"), [(0.998, False), (0.993, False), (0.97, True), (0.9, True)])
def test_a_tight_relation_that_comes_loose_is_told(r: float, told: bool) -> None:
    """0.998 and 0.97 are 0.03 apart, and four times as much is left to chance."""
    for real, fake in ((0.998, r), (r, 0.998)):
        tables, _ = tables_of(shells(900, 0, real), shells(900, 1, fake))
        assert [one["columns"] for one in within_names(*tables)] == [["length", "width"]] * told


def test_relations_do_not_hang_on_units_order_or_few_gaps() -> None:
    real, fake = shells(1500, 0), shells(1500, 1, 0.4)
    [one] = within_names(*tables_of(real, fake)[0])
    rng = np.random.default_rng(0)
    other = [frame.assign(length=np.exp(frame.length), width=100.0 * frame.width + 7.0) for frame in (real, fake)]
    assert within_names(*tables_of(*other)[0]) == [one]
    turned = [frame[["width", "mass", "kind", "length"]].sample(frac=1.0, random_state=3) for frame in (real, fake)]
    [same] = within_names(*tables_of(*turned)[0])
    assert (same["name"], sorted(same["columns"])) == (one["name"], ["length", "width"])
    assert [same["real"], same["fake"]] == pytest.approx([one["real"], one["fake"]])
    gaps = [frame.mask((rng.random(frame.shape) < 0.05) & (frame.columns != "kind")) for frame in (real, fake)]
    [few] = within_names(*tables_of(*gaps)[0])
    assert few["fake"] == pytest.approx(one["fake"], abs=0.1)


def test_chance_is_not_told() -> None:
    """Sixty tables of the same law, with small and large kinds."""
    for seed in range(60):
        tables, _ = tables_of(shells(200 + 20 * seed, seed, 0.5), shells(150 + 30 * seed, 1000 + seed, 0.5))
        assert within_names(*tables) == [], seed


@pytest.mark.parametrize(
    ("area", "broken", "apart", "word"),
    [(0.5, False, False, "very good"), (0.55, False, False, "very good"), (0.56, False, False, "good"),
     (0.66, False, False, "fair"), (0.81, False, False, "poor"), (0.5, False, True, "fair"),
     (0.9, False, True, "poor"), (0.5, True, False, "poor"), (0.5, True, True, "poor")],
)  # fmt: skip
def test_the_verdict_is_a_word_that_follows_what_is_found(area: float, broken: bool, apart: bool, word: str) -> None:
    found = {
        "detection": {"trees": {"auc": area}, "logistic": {"auc": 0.45}},
        "equations": [{"target": "total", "is": "a + b", "real": 1.0, "fake": 0.9, "broken": broken}],
        "within_names": [{"column": "kind", "name": "cockle", "columns": ["length", "width"]}] * apart,
        "beyond_names": {"share": 0.0, "rows": 0, "columns": []},
        "never_together": {"share": 0.0, "rows": 0, "pairs": []},
    }
    said = verdict(found)
    assert said["word"] == word
    if broken:
        assert said["because"] == "total is not a + b as in the real rows"
    found["detection"] = {"trees": {"auc": 0.45}, "logistic": {"auc": area}}
    assert verdict(found)["word"] == word


def test_sums_that_break_are_said_to() -> None:
    real, fake = (shells(300, seed) for seed in range(2))
    both = [frame.assign(whole=(frame.length + frame.mass).round(3)) for frame in (real, fake)]
    assert [one["broken"] for one in _equations(*tables_of(*both)[0])] == [False]
    both[1]["whole"] += np.random.default_rng(0).normal(0.0, 1.0, 300).round(3)
    assert [one["broken"] for one in _equations(*tables_of(*both)[0])] == [True]


def test_the_verdict_and_what_comes_apart_stand_among_the_first_lines() -> None:
    said = _plain(judge(shells(400, 0), shells(400, 1, 0.3)))
    assert said[0].startswith(("Verdict: fair. Compared 400 ", "Verdict: poor. Compared 400 "))
    assert any(line.startswith("Within kind ") and "length and width go together otherwise" in line for line in said)
