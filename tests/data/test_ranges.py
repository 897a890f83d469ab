"""Ranges of a number that say a name: found where they do, by the cut that parts the names, and kept."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import Dataset, implied
from latens.data.mistakes import all_mistaken
from latens.data.ranges import cuts_between
from latens.data.rules import broken_in, computed, rules_of, solved


def marked(n: int = 600, seed: int = 0, wrong: int = 0) -> pd.DataFrame:
    """Two tests, their sum, and a mark by it, of which the first ones are wrong."""
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 21, n), rng.integers(0, 21, n)
    points = one + two
    mark = np.array(["C", "B", "A"])[np.searchsorted([14, 27], points, side="right")]
    mark[:wrong] = np.where(mark[:wrong] == "A", "C", "A")
    return pd.DataFrame({"one": one, "two": two, "points": points, "mark": mark, "coin": rng.choice(["x", "y"], n)})


def loaded(frame: pd.DataFrame) -> Dataset:
    return latens.load_data(frame, label="none", typed=True)


def test_cuts_lie_between_the_names() -> None:
    values = np.array([*range(20)] * 6, float)
    codes = np.searchsorted([8, 15], values, side="right")
    assert cuts_between(values, codes, 3) == ((8.0, 15.0), (0, 1, 2), 0)
    assert cuts_between(values * 3.7 + 100.2, codes, 3) == ((129.0, 155.0), (0, 1, 2), 0)  # a short one between
    names = np.array([2, 0, 1])[codes]  # whatever their codes are
    assert cuts_between(values, names, 3) == ((8.0, 15.0), (2, 0, 1), 0)
    assert cuts_between(-values, codes, 3) == ((-14.0, -7.0), (2, 1, 0), 0)
    slips = codes.copy()
    slips[3] = 2  # a row in 120
    assert cuts_between(values, slips, 3) == ((8.0, 15.0), (0, 1, 2), 1)
    slips[4] = 2
    assert cuts_between(values, slips, 3) is None
    rare = np.append(codes, [3, 3])  # a misspelt name
    assert cuts_between(np.append(values, [5.0, 5.0]), rare, 4) is None  # two of 122 are more than 1 %
    many = np.tile(values, 2), np.tile(codes, 2)
    assert cuts_between(np.append(many[0], [5.0, 5.0]), np.append(many[1], [3, 3]), 4) == ((8.0, 15.0), (0, 1, 2), 2)
    few = np.where(values >= 19, 1, 0)[:100]  # nine rows of a name may be chance
    assert cuts_between(values[:100], np.where(np.cumsum(few) <= 4, few, 0), 2) is None


@pytest.mark.parametrize("shift", [0, 3])
def test_names_within_names_are_none(shift: int) -> None:
    """A name on both sides of another one, and names by chance, have no cuts."""
    rng = np.random.default_rng(shift)
    values = rng.normal(size=500)
    assert cuts_between(values, (np.abs(values) > 1).astype(int), 2) is None
    assert cuts_between(values, rng.integers(0, 2, 500), 2) is None


def test_a_mark_is_what_points_say() -> None:
    frame = marked(wrong=3)
    data = loaded(frame)
    facts = rules_of(data)
    (rule,) = implied.read(facts["implied"])
    assert (rule.by, rule.column, rule.cuts, rule.broken) == ("points", "mark", (14.0, 27.0), 3)
    assert (
        rule.words_in(data.schema) == "what the range of 'points' says (below 14 'C'; from 14 on 'B'; from 27 on 'A')"
    )
    assert np.flatnonzero(implied.broken_in([rule], data.schema, data.x)).tolist() == [0, 1, 2]
    mark = data.schema.names.index("mark")
    wrong = all_mistaken(data)
    assert np.argwhere(wrong).tolist() == [[k, mark] for k in range(3)]
    # New rows: the sum is computed, then the mark by it; where a mark is asked for it stays, and the row breaks a rule.
    x = np.array(data.x, np.float64)
    x[:, 0] = x[::-1, 0]
    made, beyond = computed(facts, data.schema, x)
    assert not implied.broken_in([rule], data.schema, made)[~beyond].any()
    assert (made[:, mark] != x[:, mark]).any()
    kept, _ = computed(facts, data.schema, x, "mark".__eq__)
    np.testing.assert_array_equal(kept[:, mark], x[:, mark])
    assert broken_in(facts, data.schema, kept).any()
    # A hidden mark follows from points, also from those that two tests give.
    hidden = np.zeros(x.shape, bool)
    hidden[3:, mark] = True
    hidden[300:, 2] = True
    x = np.array(data.x, np.float64)
    filled, sure = solved(facts, data.schema, np.where(hidden, 0.0, x), hidden)
    np.testing.assert_array_equal(filled[3:], x[3:])
    assert sure[hidden].all()


def test_a_wrong_number_is_not_right_for_its_range() -> None:
    """A sum that breaks its equation and still has its mark: the sum is blamed, not an addend."""
    frame = marked()
    frame.loc[5, ["one", "two", "points", "mark"]] = [10, 10, 25, "B"]
    data = loaded(frame)
    assert np.argwhere(all_mistaken(data)).tolist() == [[5, data.schema.names.index("points")]]


def test_what_names_say_each_other_has_no_ranges() -> None:
    rng = np.random.default_rng(0)
    tariff = rng.choice(["basic", "green", "night"], 400)
    price = np.array([{"basic": 0.31, "green": 0.34, "night": 0.28}[one] for one in tariff])
    data = loaded(pd.DataFrame({"tariff": tariff, "price": price, "coin": rng.choice(["x", "y"], 400)}))
    assert [(one.by, one.column, one.cuts) for one in implied.read(rules_of(data)["implied"])] == [
        ("tariff", "price", ())
    ]


def test_stored_ranges_are_read_and_others_left_out() -> None:
    row = ["points", "mark", [["below 14.0", "C"], ["from 14.0 on", "B"]], 9, 0, "", [], "", False, [14.0]]
    assert [list(one.cuts) for one in implied.read([row])] == [[14.0]]
    for at, value in ((9, [14.0, 13.0]), (9, [float("nan")]), (9, ["14"]), (9, [13.0, 14.0]), (8, True), (5, "coin")):
        assert implied.read([[*row[:at], value, *row[at + 1 :]]]) == ()


def test_a_number_with_few_values_is_what_ranges_say() -> None:
    """The Beaufort number of a wind, rare storms with it; numbers whose order is another one are none."""
    rng = np.random.default_rng(0)
    wind = np.round(rng.gamma(3.0, 5.0, 600)).astype(int)
    force = np.searchsorted([1, 6, 12, 20, 29, 39], wind, side="right")
    assert 0 < np.bincount(force)[6] < 10
    frame = pd.DataFrame({"wind": wind, "force": force, "coin": rng.choice(["x", "y"], 600)})
    frame.loc[[3, 8], "force"] = [5, 0]
    data = loaded(frame)
    (rule,) = implied.read(rules_of(data)["implied"])
    assert (rule.by, rule.column, rule.broken) == ("wind", "force", 2)
    # Any number between the largest wind of one force and the least of the next one parts them.
    told = [float(said) for _, said in rule.pairs]
    places = np.searchsorted(rule.cuts, (5, 6, 11, 12, 19, 20, 28, 29), side="right")
    assert [told[place] for place in places] == [1, 2, 2, 3, 3, 4, 4, 5]
    assert np.argwhere(all_mistaken(data)).tolist() == [[3, 1], [8, 1]]
    other = frame.assign(force=np.array([4, 0, 5, 1, 3, 2, 6])[force])
    assert not [one for one in implied.read(rules_of(loaded(other)).get("implied")) if one.cuts]


def test_the_number_that_says_a_name_best_is_taken() -> None:
    """An age with gaps says the group always, a year of birth nearly always."""
    rng = np.random.default_rng(1)
    age, late = rng.integers(1, 90, 900), rng.random(900) < 0.3
    group = np.where(age < 18, "child", np.where(age < 65, "adult", "senior"))
    frame = pd.DataFrame({"group": group, "born": 2025 - age - late, "age": pd.array(age, "Int64")})
    frame.loc[:60, "age"] = pd.NA
    (rule,) = [one for one in implied.read(rules_of(loaded(frame))["implied"]) if one.cuts]
    assert (rule.by, rule.cuts, rule.broken) == ("age", (18.0, 65.0), 0)
