"""Names that other names say: found with their mistakes, kept by samples, told by check and detect; both ways."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.data import implied, weekdays
from latens.data.mistakes import mistaken
from latens.data.rules import broken_in, broken_rules, computed, rules_of, solved
from latens.data.suspects import suspicions
from latens.recipes import get_recipe
from latens.workflow.cells import _against_equations, _against_names, blame

BREEDS = {"Labrador": "dog", "Poodle": "dog", "Siamese": "cat", "Persian": "cat", "Lop": "rabbit"}


def animals(n: int = 600, *, seed: int = 0, wrong: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with a breed that says the species, but in some rows, and a colour that says nothing."""
    rng = np.random.default_rng(seed)
    breed = rng.choice(list(BREEDS), n)
    species = np.array([BREEDS[one] for one in breed])
    rows = rng.choice(np.flatnonzero(species == "cat"), wrong, replace=False)
    species[rows] = "dog"
    weight = np.round(np.where(species == "dog", 20.0, 4.0) * np.exp(rng.normal(0, 0.1, n)), 1)
    colour = rng.choice(["black", "brown", "white"], n)
    return pd.DataFrame({"species": species, "breed": breed, "colour": colour, "weight": weight}), np.sort(rows)


def found(frame: pd.DataFrame) -> tuple[implied.Implied, ...]:
    return implied.found_in(latens.load_data(frame, label="none"))


@pytest.mark.parametrize("wrong", [0, 1, 4])
def test_the_names_and_the_mistakes_are_found_exactly(wrong: int) -> None:
    frame, rows = animals(wrong=wrong)
    (rule,) = found(frame)
    assert (rule.by, rule.column, rule.rows, rule.broken) == ("breed", "species", 600, wrong)
    assert dict(rule.pairs) == BREEDS
    data = latens.load_data(frame, label="none")
    np.testing.assert_array_equal(np.flatnonzero(implied.broken_in([rule], data.schema, data.x)), rows)
    said = [one for one in suspicions(data) if "says (" in one]
    assert len(said) == (wrong > 0)
    if wrong == 4:
        at = ", ".join(map(str, rows))
        pair = "Column 'species' is what 'breed' says ('Labrador': 'dog')"
        assert said == [f"{pair} in 596 rows, and not in 4: look at row {at}. Samples keep it."]


def test_the_order_of_rows_and_of_columns_changes_nothing() -> None:
    frame, _ = animals(wrong=3)
    mixed = frame.sample(frac=1.0, random_state=1)
    other = pd.DataFrame({name: mixed[name] for name in ("weight", "breed", "colour", "species")})
    (one,), (two,) = found(frame), found(other)
    assert (one.by, one.column, set(one.pairs), one.rows) == (two.by, two.column, set(two.pairs), two.rows)


@pytest.mark.parametrize("kind", ["independent", "many mistakes", "often", "few rows", "one name"])
def test_what_names_do_not_say_is_not_told(kind: str) -> None:
    frame, _ = animals(60 if kind == "few rows" else 600)
    rng = np.random.default_rng(1)
    if kind == "many mistakes":
        frame.loc[rng.choice(600, 40, replace=False), "species"] = rng.choice(["dog", "cat", "rabbit"], 40)
    if kind == "independent":
        frame["species"] = rng.permutation(frame["species"])
    elif kind == "often":  # 95 of 100 Lops are rabbits: so are they, and not by mistake
        lop = np.flatnonzero(frame["breed"] == "Lop")
        frame.loc[rng.choice(lop, len(lop) // 20, replace=False), "species"] = "hare"
    elif kind == "one name":
        frame["species"] = np.where(rng.random(len(frame)) < 0.005, "cat", "dog")
    assert found(frame) == ()


def test_of_independent_names_none_say_each_other() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        columns = {f"c{j}": rng.choice(list("abcdef"[: j + 2]), 400, p=rng.dirichlet(np.ones(j + 2))) for j in range(4)}
        assert found(pd.DataFrame(columns)) == ()


def test_codes_and_their_names_are_told_once() -> None:
    """Two columns that say each other: one rule, and rows without a name in one of them break nothing."""
    frame, _ = animals()
    frame["code"] = [f"B{list(BREEDS).index(one)}" for one in frame["breed"]]
    frame.loc[:9, "code"] = None
    rules = {(one.by, one.column, one.broken) for one in found(frame)}
    assert rules == {("breed", "species", 0), ("code", "species", 0), ("code", "breed", 0)}


def test_samples_keep_it_and_one_of_both_names_is_blamed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, rows = animals(wrong=5)
    data = latens.load_data(frame, label="none")
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    names = [column.name for column in data.schema.columns or ()]
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    wrong = broken_in({"implied": trained.facts["implied"]}, data.schema, drawn)
    assert np.all(broken_in(trained.facts, data.schema, drawn)[wrong])  # prices lie in ranges of their species, too
    species, breed = (np.array(one.values)[drawn[:, k].astype(int)]
                      for k, one in enumerate((data.schema.types or ())[:2]))  # fmt: skip
    np.testing.assert_array_equal(wrong, [BREEDS[one] != other for one, other in zip(breed, species)])
    file = str(trained.save(tmp_path / "model.safetensors"))
    for where, say in (([], "samples"), (["--where", "species=rabbit"], "where species=rabbit")):
        out = tmp_path / "new.csv"
        assert main(["sample", file, "-n", "300", "--out", str(out), *where]) == 0
        new = pd.read_csv(out)
        assert [BREEDS[one] for one in new["breed"]] == list(new["species"])
        assert say in capsys.readouterr().err
    blamed = blame(trained, data, rows, others=480, cells=1, num_samples=2)
    assert set(blamed.column[:, 0].tolist()) <= {names.index("species"), names.index("breed")}
    assert np.all(blamed.p_value[:, 0] <= 1 / 400)
    i, k = names.index("breed"), names.index("species")
    for expected, at in ((np.asarray(data.x)[rows[0], i], k), ((np.asarray(data.x)[rows[0], i] + 1) % 2, i)):
        p, cells = np.full((1, len(names)), 0.5), np.zeros((3, 1, len(names)))
        p[0, i], cells[:, 0, i] = 0.01, expected  # the breed is odder, and as it is expected, or not
        _against_names(p, cells, trained, data, rows[:1])
        assert int(p[0].argmin()) == at
        assert p[0, at] < 0.01
    right = np.setdiff1d(np.arange(len(data)), rows)[:50]
    free = trained.with_facts(implied=[])
    for column in ("p_value", "column"):
        one, other = (getattr(blame(each, data, right, others=480, num_samples=2), column) for each in (trained, free))
        np.testing.assert_array_equal(one, other)


DEPOSITS = {("car", "none"): 300, ("car", "full"): 150, ("van", "none"): 600, ("van", "full"): 200}


def hired(n: int = 900, *, wrong: int = 0) -> pd.DataFrame:
    """Deposits that the kind and the cover say together and neither alone, in some rows ten times as high."""
    rng = np.random.default_rng(2)
    kind, cover = rng.choice(["car", "van"], n, p=[0.6, 0.4]), rng.choice(["none", "full"], n, p=[0.3, 0.7])
    deposit = np.array([DEPOSITS[pair] for pair in zip(kind, cover)])
    deposit[rng.permutation(n)[:wrong]] *= 10
    place, days = rng.choice(["Ulm", "Bonn", "Kiel"], n), rng.integers(1, 20, n)
    return pd.DataFrame({"kind": kind, "deposit": deposit, "place": place, "cover": cover, "days": days})


@pytest.mark.parametrize("wrong", [0, 1, 6, 40])
def test_two_names_together_say_a_number(wrong: int) -> None:
    frame = hired(wrong=wrong)
    for columns in (list(frame), list(frame)[::-1]):
        rules = found(frame[columns])
        if wrong == 40:
            assert rules == ()
            continue
        (rule,) = rules
        assert ({*rule.columns}, rule.column, rule.rows, rule.broken) == ({"kind", "cover"}, "deposit", 900, wrong)
        pairs = {tuple(sorted(pair)): value for pair, value in DEPOSITS.items()}
        assert {tuple(sorted(own)): float(told) for *own, told in rule.pairs} == pairs
    data = latens.load_data(frame, label="none")
    said = [one for one in suspicions(data) if "'deposit'" in one and "say (" in one]
    assert len(said) == (0 < wrong < 40)
    if wrong == 6:
        assert said[0].startswith("Column 'deposit' is what 'kind' and 'cover' say ('car', 'full': '150') in 894 rows")
        wrong_rows = implied.broken_in(rules, data.schema, np.asarray(data.x))
        np.testing.assert_array_equal(wrong_rows, frame["deposit"].to_numpy() > 600)


def test_what_two_names_say_is_kept_filled_and_read_back() -> None:
    data = latens.load_data(hired(), label="none")
    facts, schema = rules_of(data), data.schema
    names = [column.name for column in schema.columns or ()]
    rules = implied.read(facts["implied"])
    assert rules == implied.found_in(data)
    made, _ = computed(facts, schema, np.random.default_rng(0).permuted(np.asarray(data.x), axis=0))
    assert not implied.broken_in(rules, schema, made).any()
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, names.index("deposit")] = True
    full, sure = solved(facts, schema, np.where(hidden, 0.0, data.x), hidden)
    np.testing.assert_array_equal(full, data.x)
    np.testing.assert_array_equal(sure, hidden)
    hidden[:, names.index("cover")] = True  # one of the two alone says nothing
    assert not solved(facts, schema, np.asarray(data.x, np.float64), hidden)[1].any()
    stored = list(facts["implied"][0])
    for also in ("kind", "deposit", 3):
        assert implied.read([[*stored[:5], also]]) == ()
    assert implied.read([stored[:5]]) == ()  # names of two columns, of which one is not said


def test_where_one_name_says_it_no_second_one_is_asked() -> None:
    """And of three columns of which each two say the third one there is one rule."""
    frame, _ = animals()
    assert {rule.also for rule in found(frame)} == {""}
    # A husband is married, and others mostly single, a little more with some work: the work adds next to nothing.
    rng = np.random.default_rng(1)
    kin = rng.choice(["husband", "child", "none"], 3000, p=[0.4, 0.25, 0.35])
    work = rng.choice(["a", "b"], 3000, p=[0.7, 0.3])
    alone = np.where(kin == "none", 0.4, np.where(work == "a", 0.99, 0.85))
    state = np.where(kin == "husband", "married", np.where(rng.random(3000) < alone, "single", "divorced"))
    assert not [rule for rule in found(pd.DataFrame({"kin": kin, "work": work, "state": state})) if rule.also]
    rng = np.random.default_rng(0)
    a, b = (rng.choice(3, 900, p=[0.6, 0.3, 0.1]) for _ in range(2))
    (rule,) = found(pd.DataFrame({"a": np.array(list("xyz"))[a], "b": np.array(list("uvw"))[b], "days": a + b,
                                  "c": np.array(list("lmn"))[(a + b) % 3]}).drop(columns="days"))  # fmt: skip
    assert {*rule.columns, rule.column} == {"a", "b", "c"}


def test_a_model_file_gives_it_back_and_a_stranger_s_rule_is_left_out() -> None:
    frame, _ = animals(wrong=2)
    data = latens.load_data(frame, label="none")
    stored = rules_of(data)["implied"]
    assert implied.read(stored) == implied.found_in(data)
    bad = {0: "species", 1: 3, 2: [["Lop"]], 3: -1, 4: True}
    for place, value in bad.items():
        own = list(stored[0])
        own[place] = value
        assert implied.read([own]) == (), place
    assert implied.read("no list") == implied.read([stored[0][:4]]) == implied.read(None) == ()
    # As files of before have it.
    for last in (5, 6, 7, 8):
        assert implied.read([stored[0][:last]]) == implied.read(stored)
    but = ["rabbit", "cat", "age", 3.0, True, True]
    assert implied.read([[*stored[0][:6], [but]]])[0].but == (implied.But(*but),)
    for place, value in {0: 1, 2: None, 3: float("nan"), 4: 1, 5: "yes"}.items():
        assert implied.read([[*stored[0][:6], [[*but[:place], value, *but[place + 1 :]]]]]) == (), place
    assert implied.read([[*stored[0][:6], [but[:-2]]]]) == implied.read([[*stored[0][:6], "but"]]) == ()
    unknown = implied.read([["breed", "species", [["Unknown", "dog"], ["Lop", "hare"]], 3, 0]])
    assert not implied.broken_in(unknown, data.schema, np.asarray(data.x)).any()


def test_a_hidden_name_is_filled_by_the_name_that_says_it(tmp_path: Path) -> None:
    frame, _ = animals()
    data = latens.load_data(frame, label="none")
    names, facts = [column.name for column in data.schema.columns or ()], rules_of(data)
    species, breed = names.index("species"), names.index("breed")
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, species] = True
    guess = np.where(hidden, 0.0, np.asarray(data.x, np.float64))
    made, sure = solved(facts, data.schema, guess, hidden)
    np.testing.assert_array_equal(made, np.asarray(data.x))
    np.testing.assert_array_equal(sure, hidden)
    hidden[:, breed] = True  # then nothing says it
    assert not solved(facts, data.schema, guess, hidden)[1].any()
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    trained.save(tmp_path / "model.latens")
    frame.assign(species=np.where(np.arange(len(frame)) < 40, "", frame["species"])).to_csv(
        tmp_path / "gaps.csv", index=False
    )
    asked = ["impute", str(tmp_path / "model.latens"), str(tmp_path / "gaps.csv"), "--interval", "0.9"]
    assert main([*asked, "--out", str(tmp_path / "full.csv")]) == 0
    full = pd.read_csv(tmp_path / "full.csv")
    assert full["species"].tolist() == frame["species"].tolist()
    np.testing.assert_array_equal(full["species.p"][:40], 1.0)


def test_a_number_that_a_name_says_is_computed_filled_and_expected() -> None:
    """A price of each breed: four rows with ten times of it are named, new rows and hidden cells have it."""
    frame, _ = animals()
    prices = {"Labrador": 38.5, "Poodle": 29.9, "Siamese": 54.0, "Persian": 4.2, "Lop": 3.9}
    frame["price"] = [prices[one] for one in frame["breed"]]
    rows = np.array([3, 50, 77, 301])
    frame.loc[rows, "price"] *= 10
    (rule,) = (one for one in found(frame) if one.column == "price")
    assert (rule.by, rule.broken, {name: float(told) for name, told in rule.pairs}) == ("breed", 4, prices)
    data = latens.load_data(frame, label="none")
    facts, schema = rules_of(data), data.schema
    np.testing.assert_array_equal(np.flatnonzero(implied.broken_in([rule], schema, np.asarray(data.x))), rows)
    said = [one for one in suspicions(data) if "'price'" in one and "says (" in one]
    at = "look at row 3, 50, 77, 301"
    assert said == [f"Column 'price' is {rule.words_in(schema)} in 596 rows, and not in 4: {at}. Samples keep it."]
    k = [column.name for column in schema.columns or ()].index("price")
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    made, beyond = computed(facts, schema, drawn)
    assert not beyond.any()
    assert not implied.broken_in([rule], schema, made).any()
    np.testing.assert_array_equal(np.delete(made, k, axis=1), np.delete(drawn, k, axis=1))
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, k] = True
    full, sure = solved(facts, schema, np.zeros(data.x.shape) + np.where(hidden, 1.0, data.x), hidden)
    right = np.setdiff1d(np.arange(len(data)), rows)
    np.testing.assert_array_equal(full[right], np.asarray(data.x)[right])
    assert sure[:, k].all()
    hidden[:, 1] = True  # without the breed the price is not known
    assert not solved(facts, schema, np.asarray(data.x, np.float64), hidden)[1].any()
    stranger = [["breed", "price", [["Lop", "much"], ["Poodle", "1e9"]], 3, 0]]
    assert not implied.broken_in(implied.read(stranger), schema, np.asarray(data.x)).any()


@pytest.mark.parametrize(
    ("bulk", "alike", "kept"),
    [(0, 0, True), (2, 0, False), (3, 0, True), (4, 0, True), (4, 1, True), (4, 2, False), (4, None, False)],
)
def test_a_discount_from_some_number_on_is_no_mistake(bulk: int, alike: int | None, kept: bool) -> None:
    """3 % of those who buy most, of whom there are three or more; of others it is a mistake, as 30 % is, and 15 %."""
    # alike: who buys as many without a discount; None: the discount has nothing to do with what is bought.
    rng = np.random.default_rng(0)
    n, wrong = 800, np.array([11, 60, 61, 62])
    kind, goods = rng.choice(["trade", "staff", "retail"], n), np.round(rng.gamma(3.0, 40.0, n), 2) + 20
    rate = np.array([{"trade": 8, "staff": 15, "retail": 0}[one] for one in kind])
    pieces, other = rng.integers(1, 10, n), np.flatnonzero(kind == "retail")[10 : 10 + bulk]
    pieces[np.flatnonzero(kind == "trade")[:90]] += 30
    rate[other] = 3
    if alike is not None:
        pieces[np.flatnonzero(kind == "retail")[10 : 10 + bulk + alike]] += 25
    frame = pd.DataFrame({"kind": kind, "goods": goods, "pieces": pieces, "discount": rate})
    frame["net"] = np.round(goods * (1 - rate / 100), 2)
    frame.loc[wrong[:2], "discount"] = 30
    wrong[2:] = np.flatnonzero(kind == "retail")[-2:]
    frame.loc[wrong[2:], ["discount", "pieces"]] = [15, 50]  # what staff has
    data = latens.load_data(frame, label="none")
    said = [one for one in suspicions(data) if one.startswith("Column 'discount' is what 'kind' says")]
    rows = np.sort(wrong) if kept else np.union1d(wrong, other)
    at = ", ".join(map(str, rows.tolist())) if len(rows) <= 8 else ""
    assert f"and not in {len(rows)}: look at row {at}" in said[0]
    # Hidden, each is what its net says; without the net what its kind says.
    facts, schema, x = rules_of(data), data.schema, np.asarray(data.x, np.float64)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 3] = True
    right = np.setdiff1d(np.arange(n), wrong)
    full, sure = solved(facts, schema, np.where(hidden, 1.0, x), hidden)
    np.testing.assert_array_equal(full[right], x[right])
    assert sure[right, 3].all()
    hidden[:, 4] = True
    full, sure = solved(facts, schema, np.where(hidden, 1.0, x), hidden)
    usual = np.setdiff1d(right, np.flatnonzero((kind == "retail") & (pieces >= 25)) if alike == 1 else other)
    np.testing.assert_array_equal(full[usual, 3], x[usual, 3])
    retail = x[kind == "retail", 3].min()
    # From so many pieces on the discount is known; where some have none, nothing is said; else what most have.
    told = x[other, 3] if kept and not alike else np.where(alike == 1, 1.0, retail)
    assert (full[other, 3] == told).all()
    [rule] = [one for one in implied.read(facts["implied"]) if one.column == "discount"]
    fewest = float(frame.pieces[other].min()) if bulk else 0.0
    said = implied.But("0.0", "3.0", "pieces", fewest, True, not alike)
    assert rule.but == ((said,) if kept and bulk else ())
    assert ("; from pieces" in rule.words_in(schema)) is (kept and bulk > 0 and not alike)
    if rule.but and not alike:  # a new row with as many pieces has it, and one with a piece less has not
        new = x[np.repeat(other[:1], 2)]
        new[:, 2] += (np.array([fewest, fewest - 1]) - fewest - frame.pieces[other[0]] + fewest) / schema.types[2].step
        new[:, 3] = 1.0
        np.testing.assert_array_equal(computed(facts, schema, new)[0][:, 3], [x[other[0], 3], retail])


def test_the_cell_that_no_other_rule_bears_out_is_to_blame() -> None:
    """goods = pieces * price, total = goods + freight: a hundred times the pieces is not a mistake of the goods."""
    rng = np.random.default_rng(0)
    n = 500
    kind, pieces = rng.choice(list("abcdef"), n), rng.integers(2, 12, n)
    price = np.array([3.5, 4.25, 9.0, 12.5, 20.0, 54.0])[[ord(one) - 97 for one in kind]]
    freight = np.round(rng.gamma(4.0, 3.0, n), 2)
    goods = np.round(pieces * price, 2)
    frame = pd.DataFrame({"kind": kind, "pieces": pieces, "price": price, "goods": goods, "freight": freight,
                          "total": np.round(goods + freight, 2)})  # fmt: skip
    frame.loc[[5, 9], "pieces"] *= 100
    frame.loc[[17], "total"] *= 10
    frame.loc[[23], "price"] *= 10
    data = latens.load_data(frame, label="none")
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    rows = np.array([5, 9, 17, 23])
    blamed = blame(trained, data, rows, others=400, cells=1, num_samples=2)
    names = [column.name for column in data.schema.columns or ()]
    assert [names[k] for k in blamed.column[:, 0]] == ["pieces", "pieces", "total", "price"]
    types = list(data.schema.types or ())
    told = [float(types[k].decoded(np.array([cell]))[0]) for k, cell in zip(blamed.column[:, 0], blamed.expected[:, 0])]
    np.testing.assert_allclose(told, [pieces[5], pieces[9], goods[17] + freight[17], price[23]], rtol=1e-6)
    # Goods that look odder by themselves are borne out by their total, and the price by its kind.
    p, found = np.full((1, len(names)), 0.5), np.zeros((3, 1, len(names)))
    p[0, names.index("goods")] = 0.01
    _against_equations(p, found, trained, data, rows[:1])
    assert names[int(p[0].argmin())] == "pieces"


def stays(n: int = 1600, *, wrong: int = 0, seed: int = 0) -> pd.DataFrame:
    """Nights in three houses: the rate is said by the house, the room and the season together."""
    rng = np.random.default_rng(seed)
    house, room = rng.choice(["hill", "lake", "town"], n), rng.choice(["single", "double"], n, p=[0.4, 0.6])
    season = rng.choice(["high", "low"], n, p=[0.35, 0.65])
    base = np.array([{"hill": 60, "lake": 84, "town": 71}[one] for one in house])
    rate = base * np.where(room == "double", 1.5, 1.0) * np.where(season == "high", 1.25, 1.0)
    season[:wrong] = np.where(season[:wrong] == "high", "low", "high")
    return pd.DataFrame({"house": house, "room": room, "season": season, "nights": rng.integers(1, 9, n),
                         "desk": rng.choice(["a", "b", "c"], n), "rate": rate.round(2)})  # fmt: skip


@pytest.mark.parametrize("wrong", [0, 5])
def test_three_names_together_say_a_number(wrong: int) -> None:
    """Every combination with the rate that it has, kept by new rows and filled in; a wrong season is to blame."""
    frame = stays(wrong=wrong)
    data = latens.load_data(frame, label="none")
    (rule,) = implied.found_in(data)
    assert set(rule.columns) == {"house", "room", "season"}
    assert rule.short == f"what {rule.columns[0]!r}, {rule.columns[1]!r} and {rule.columns[2]!r} say"
    assert (rule.column, rule.rows, rule.broken) == ("rate", 1600, wrong)
    right = stays().groupby(list(rule.columns))["rate"].first()
    assert {tuple(own): float(told) for *own, told in rule.pairs} == {key: float(v) for key, v in right.items()}
    facts, x = rules_of(data), np.asarray(data.x)
    assert implied.read(facts["implied"]) == (rule,)
    assert implied.read([[*facts["implied"][0][:7], rule.also]]) == ()
    assert implied.read([facts["implied"][0][:7]]) == ()  # names of three columns, of which one is not said
    made, _ = computed(facts, data.schema, np.random.default_rng(0).permuted(x, axis=0))
    assert not implied.broken_in([rule], data.schema, made).any()
    names = list(frame)
    hidden = np.zeros(x.shape, bool)
    hidden[:, names.index("rate")] = True
    full, sure = solved(facts, data.schema, np.where(hidden, 0.0, x), hidden)
    np.testing.assert_array_equal(full[wrong:], x[wrong:])
    assert sure[:, names.index("rate")].all()
    blamed = np.argwhere(mistaken(data)).tolist()
    season = names.index("season")
    assert [row for row, _ in blamed] == list(range(wrong))
    # A room of another kind has no such rate there; the rate itself, in no other rule, may be as wrong.
    assert {column for _, column in blamed} <= {season, names.index("rate")}
    heals = {name: implied.mended_by(rule, data.schema, x, name)[:wrong] for name in rule.columns}
    assert heals["season"].all()
    assert not heals["room"].any()


def test_numbers_of_three_names_by_chance_have_none() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        frame = stays(seed=seed).assign(rate=rng.choice([60.0, 84.0, 90.0, 105.0], 1600))
        assert found(frame) == ()
        two = stays(seed=seed)
        two["rate"] = two["rate"].where(two["season"] == "high", two["rate"] * 1.25).round(2)
        (rule,) = found(two)
        assert set(rule.columns) == {"house", "room"}  # the season says nothing more


def visits(n: int = 480, *, wrong: int = 0, free: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Samples of streams on days of two years, each with its season; of a part any season at all."""
    rng = np.random.default_rng(seed)
    date = np.datetime64("2023-04-03") + rng.integers(0, 730, n)
    month = date.astype("datetime64[M]").astype(int) % 12
    season = np.array(["winter", "spring", "summer", "autumn"])[(month + 1) // 3 % 4]
    season = np.where(rng.random(n) < free, rng.choice(season, n), season)
    season[:wrong] = np.where(season[:wrong] == "winter", "summer", "winter")
    animals = rng.poisson(4, (2, n))
    return pd.DataFrame({"date": date.astype("datetime64[s]"), "season": season, "team": rng.choice(list("abc"), n),
                         "flies": animals[0], "worms": animals[1]})  # fmt: skip


@pytest.mark.parametrize(("wrong", "free", "told"), [(0, 0.0, True), (2, 0.0, True), (0, 0.3, False), (0, 1.0, False)])
def test_the_month_of_a_date_says_a_name(wrong: int, free: float, told: bool) -> None:
    """Each month its season; new rows with another one break it, and a hidden season follows from the date."""
    frame = visits(wrong=wrong, free=free)
    data = latens.load_data(frame, label="none")
    rules = [one for one in implied.found_in(data) if one.column == "season"]
    assert bool(rules) == told
    if not told:
        return
    (rule,) = rules
    assert (rule.by, rule.month, rule.broken) == ("date", True, wrong)
    assert dict(rule.pairs)["July"] == "summer"
    assert rule.words_in(data.schema).startswith("what the month of 'date' says (January: 'winter'")
    facts, x = rules_of(data), np.asarray(data.x)
    assert rule in implied.read(facts["implied"])
    assert implied.read([[*facts["implied"][0][:8], "yes"]]) == ()
    two = ["date", "season", [["July", "a", "summer"]], 9, 0, "team", [], "", True]
    assert implied.read([two]) == ()  # a month and a name together are no rule
    np.testing.assert_array_equal(broken_in({"implied": [list(rule)]}, data.schema, x), np.arange(480) < wrong)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 1] = True
    full, sure = solved({"implied": [list(rule)]}, data.schema, np.where(hidden, 0.0, x), hidden)
    np.testing.assert_array_equal(full[wrong:], x[wrong:])
    assert sure[:, 1].all()
    assert np.argwhere(mistaken(data)).tolist() == [[row, 1] for row in range(wrong)]


def test_months_by_chance_say_nothing() -> None:
    for seed in range(20):
        assert found(visits(free=1.0, seed=seed)) == ()
    for seed in range(5):  # hardly 20 rows of a month, which say the season together
        (rule,) = found(visits(200, seed=seed))
        seasons = ["winter", "spring", "summer", "autumn"]
        right = {name: seasons[(at + 1) // 3 % 4] for at, name in enumerate(implied.MONTHS)}
        assert dict(rule.pairs).items() <= right.items()
        assert len(rule.pairs) >= 10


def test_a_wrong_total_is_to_blame_though_it_goes_with_a_part_of_it() -> None:
    """A total that is mostly of one count goes with it in its row still: no more than a hint that both are right."""
    rng = np.random.default_rng(1)
    frame = visits(600)
    site = rng.choice(["ford", "mill"], 600)
    frame["flies"] = np.where(site == "ford", rng.poisson(30, 600), rng.poisson(6, 600))
    frame["worms"] = rng.poisson(2, 600)
    frame["all"], frame["site"] = frame["flies"] + frame["worms"], site
    frame.loc[:1, "all"] += 4
    data = latens.load_data(frame, label="none")
    blamed = np.argwhere(mistaken(data)).tolist()
    assert blamed == [[0, list(frame).index("all")], [1, list(frame).index("all")]]


def days_of(n: int = 700, seed: int = 0, wrong: int = 0) -> pd.DataFrame:
    """Dates, whether they are working days or not, and a number."""
    rng = np.random.default_rng(seed)
    date = np.datetime64("2024-01-01") + rng.integers(0, 500, n)
    kind = np.where((date.astype(int) + 3) % 7 < 5, "work", "rest")
    kind[:wrong] = np.where(kind[:wrong] == "work", "rest", "work")
    return pd.DataFrame({"date": date.astype("datetime64[s]"), "kind": kind, "visits": rng.poisson(20, n)})


def test_a_day_of_the_week_says_a_name() -> None:
    frame = days_of(wrong=2)
    data = latens.load_data(frame, label="none")
    facts = rules_of(data)
    (rule,) = implied.read(facts["implied"])
    assert (rule.by, rule.column, rule.weekday, rule.month, rule.broken) == ("date", "kind", True, False, 2)
    assert rule.words_in(data.schema) == "what the day of the week of 'date' says (Monday: 'work')"
    assert dict(rule.pairs) == {day: "rest" if day in ("Saturday", "Sunday") else "work" for day in implied.DAYS}
    assert np.flatnonzero(implied.broken_in([rule], data.schema, data.x)).tolist() == [0, 1]
    # New rows: a date moves to the nearest day of its kind, at most two days on, and the kind stays.
    x = np.array(data.x)
    x[:, 1] = x[::-1, 1]
    made, _ = computed(facts, data.schema, x)
    assert not implied.broken_in([rule], data.schema, made).any()
    np.testing.assert_array_equal(made[:, 1:], x[:, 1:])
    wrong = implied.broken_in([rule], data.schema, x)
    day = (np.round((data.schema.types or ())[0].low + x[:, 0]).astype(int) + 3) % 7  # Monday is 0
    near = np.array([-1, -2, 3, 2, 1, -1, 1])  # from Monday on, to a day of rest and from one
    inside = wrong & (x[:, 0] > 3) & (x[:, 0] < x[:, 0].max() - 3)
    np.testing.assert_array_equal((made - x)[inside, 0], near[day[inside]])
    np.testing.assert_array_equal(made[~wrong], x[~wrong])
    kept, _ = computed(facts, data.schema, x, "date".__eq__)
    np.testing.assert_array_equal(kept, x)
    assert implied.read([list(rule)]) == (rule,)
    assert implied.read([[*rule[:8], True, *rule[9:]]]) == ()  # month and weekday at once


def test_a_date_before_those_of_the_training_rows_is_on_its_own_day() -> None:
    frame = days_of()
    data = latens.load_data(frame, label="none")
    k = data.schema.names.index("date")
    x, outside = np.array(data.x), np.zeros(data.x.shape, np.float32)
    early = np.flatnonzero(x[:, k] < 5.0)[:3]
    outside[early, k], x[early, k] = x[early, k] - 5.0, 5.0
    moved = replace(data, x=x, outside=outside)
    (plain,), (rule,) = implied.found_in(data), implied.found_in(moved)
    assert rule == plain
    assert plain.weekday
    assert not [rows for one, rows in broken_rules(moved) if one.target == "kind" and rows.any()]
    np.testing.assert_array_equal(weekdays.on_own_days(moved), data.x)
    np.testing.assert_array_equal(weekdays.on_own_days(moved, early), np.asarray(data.x)[early])


def test_the_day_of_a_date_that_is_counted_from_another_says_a_name() -> None:
    rng = np.random.default_rng(0)
    sown = np.datetime64("2025-03-03") + rng.integers(0, 40, 500)
    measured = sown + rng.integers(8, 36, 500)
    frame = pd.DataFrame({"sown": sown, "measured": measured, "kind": rng.choice(["a", "b"], 500)})
    frame["weekday"] = pd.Series(measured).dt.day_name()
    wrong = np.flatnonzero(frame["weekday"] != "Monday")[:2]
    frame.loc[wrong, "weekday"] = "Monday"
    data = latens.load_data(frame.assign(sown=sown.astype("datetime64[s]")), label="none")
    types, names = data.schema.types or (), data.schema.names
    assert types[names.index("measured")].after
    facts = rules_of(data)
    (rule,) = implied.read(facts["implied"])
    assert (rule.by, rule.column, rule.weekday, rule.broken) == ("measured", "weekday", True, 2)
    assert np.flatnonzero(implied.broken_in([rule], data.schema, data.x)).tolist() == wrong.tolist()
    x = np.stack([rng.permutation(column) for column in np.asarray(data.x).T], axis=1)
    made, _ = computed(facts, data.schema, x)
    late, broken = names.index("measured"), implied.broken_in([rule], data.schema, made)
    ends = np.minimum(x[:, late], types[late].size - 1 - x[:, late]) < 3
    assert not broken[~ends].any()  # near the ends of its grid a date has nowhere to go, and is drawn again
    assert np.abs(made[:, late] - x[:, late]).max() <= 3
    hidden = np.zeros(x.shape, bool)
    hidden[:, names.index("sown")] = True  # the first date is not known, and so nor is the day of the second
    mask = ~hidden
    assert (implied.told_by(rule, data.schema, np.asarray(data.x), mask) < 0).all()
    assert (implied.told_by(rule, data.schema, np.asarray(data.x)) >= 0).all()


def teams(n: int = 400, *, free: float = 0.0, wrong: int = 0, count: int = 45, seed: int = 0) -> pd.DataFrame:
    """Teams of a few rows each, which belong to one of five classes, or with a part of the rows to any."""
    rng = np.random.default_rng(seed)
    team = rng.integers(0, count, n)
    of = np.where(rng.random(n) < free, rng.integers(0, 5, n), team % 5)
    of[:wrong] = (of[:wrong] + 1) % 5
    return pd.DataFrame({"team": [f"T{one:02d}" for one in team], "class": np.array(list("abcde"))[of],
                         "side": rng.choice(["left", "right"], n), "size": rng.normal(9, 2, n).round(1)})  # fmt: skip


@pytest.mark.parametrize(("free", "told"), [(0.0, True), (0.1, False), (0.5, False), (1.0, False)])
def test_names_of_few_rows_say_another_together(free: float, told: bool) -> None:
    for seed in range(6):
        rules = [one for one in found(teams(free=free, seed=seed)) if one.by == "team" and one.column == "class"]
        assert bool(rules) == told
        if told:
            assert all(int(team[1:]) % 5 == "abcde".index(name) for team, name in rules[0].pairs)
            assert len(rules[0].pairs) >= 40
    assert not [one for one in found(teams(free=free)) if "side" in (one.by, one.column)]


def test_a_row_of_another_class_than_that_of_its_team_is_a_mistake_and_is_not_drawn() -> None:
    frame = teams(wrong=2)
    data = latens.load_data(frame, label="none")
    (rule,) = [one for one in implied.found_in(data) if one.column == "class"]
    assert (rule.by, rule.broken) == ("team", 2)
    assert np.argwhere(mistaken(data)).tolist() == [[0, 1], [1, 1]]
    assert np.flatnonzero(implied.broken_in([rule], data.schema, np.asarray(data.x))).tolist() == [0, 1]


def test_a_name_that_nearly_all_rows_have_is_said_by_no_few() -> None:
    rng = np.random.default_rng(0)
    for seed in range(6):
        frame = teams(seed=seed)
        frame["class"] = np.where(rng.random(len(frame)) < 0.02, "b", "a")
        assert not [one for one in found(frame) if one.by == "team"]


def test_a_date_on_another_day_has_none_of_the_names_of_days() -> None:
    """Lessons on three days; one row is dated on a Saturday, which has hardly any row, and is called Thursday."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2026-01-12") + np.add.outer(7 * np.arange(17), [0, 2, 3]).ravel()
    day = rng.choice(days, 360)
    names = np.array(["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"])
    said = names[(day.astype(int) + 3) % 7]
    day[7] += 2 if said[7] != "Mo" else 5
    frame = pd.DataFrame({"day": pd.to_datetime(day), "said": said, "size": rng.normal(9, 2, 360).round(1)})
    data = latens.load_data(frame, label="none")
    (rule,) = [one for one in implied.found_in(data) if one.weekday]
    assert (rule.own, rule.rows) == (True, 360)
    assert np.flatnonzero(implied.broken_in([rule], data.schema, implied.on_own_days(data), data.mask)).tolist() == [7]
    frame["said"] = np.where(np.isin(said, ["Mo", "We"]), said, "other")  # a name that other days may share
    frame.loc[frame.index[:40], "day"] += pd.Timedelta(days=1)
    shared = [one for one in implied.found_in(latens.load_data(frame, label="none")) if one.weekday]
    assert not any(one.own for one in shared)
