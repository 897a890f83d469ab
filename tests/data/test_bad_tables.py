"""Tables as they come: each thing that may be wrong is an error that names it, or a behaviour with a name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latens.data import check, load
from latens.data.far import beyond_levels, cut_off, far_values, lone_values
from latens.data.frames import as_frame
from latens.data.mistakes import mistaken
from latens.data.suspects import misspelt, suspected, suspicions, tells_label
from latens.errors import DataError

N = 300


def table(**others) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = {
        "city": rng.choice(["Lyon", "Oslo"], N),
        "age": rng.integers(18, 80, N),
        "pay": rng.normal(size=N).round(2),
    }
    return pd.DataFrame(frame).assign(**others)


def levels():
    frame = table()
    frame.columns = pd.MultiIndex.from_tuples([("a", "city"), ("a", "age"), ("b", "pay")])
    return frame


def repeated(values, n=N):
    return np.resize(np.array(values, object), n)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table(n=repeated(["3"] * 299 + ["three"])), r"row 299: column 'n' holds numbers and the text 'three'.*Mend"),
        (table(n=repeated([3] * 299 + ["three"])), r"row 299: column 'n' holds numbers and the text 'three'"),
        (table(n=repeated(["2021-05-01"] * 299 + ["soon"])), r"row 299: column 'n' holds dates and 'soon'"),
        (table(n=repeated(["1", "2", "inf"])), r"row 2: column 'n' holds numbers and the infinite value 'inf'"),
        (table(n=np.where(np.arange(N) == 7, np.inf, 1.5)), r"row 7, column 'n': holds inf.*Replace infinite"),
        (table(n=np.where(np.arange(N) == 7, -np.inf, 1.5)), r"row 7, column 'n': holds -inf"),
        (table(n=np.full(N, 2**53 + 1)), r"row 0: column 'n' holds 9007199254740993, beyond 2\^53.*leave out"),
        (table(n=repeated(["1", "-9007199254740993"])), r"row 1: column 'n' holds -9007199254740993, beyond 2\^53"),
        (levels(), r"column names of 2 levels, such as \('a', 'city'\).*frame.columns = \['_'.join"),
        (table().rename(columns={"pay": "age"}), "two columns are named 'age'"),
        (table(city="")[["city"]], r"column 'city': holds NaN \(a missing value\); 300 such cells in all"),
        (table()[:0], "nothing in it|no rows|holds no row"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(frame, words):
    with pytest.raises(DataError, match=f"(?s){words}"):
        load(frame)


def test_wide_whole_numbers_of_files_are_seen(tmp_path):
    table(n=np.full(N, 2**53 + 1)).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"line 2: column 'n' holds 9007199254740993, beyond"):
        load(tmp_path / "t.csv")
    table(n=np.full(N, 2**53 + 1)).drop(columns="city").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"line 2: column 'n' holds 9007199254740993, beyond"):
        load(tmp_path / "t.csv", typed=True)
    said = {"n": "leave out"}
    assert load(tmp_path / "t.csv", columns=said).schema.ignored == ("n",)
    assert load(tmp_path / "t.csv", columns={"n": "category"}).schema.types[2].values == ("9007199254740993",)


@pytest.mark.more
def test_a_hundred_thousand_names_are_left_out_and_it_is_said():
    n = 200_000
    frame = pd.DataFrame({"word": [f"w{i // 2}" for i in range(n)], "x": np.arange(n) % 7})
    data = load(frame)
    assert data.schema.ignored == ("word",)
    assert "Column 'word' is not modelled: 100,000 different texts, more than 65,536." in data.notes
    with pytest.raises(DataError, match=r"declared as category and has 100,000 names.*join rare ones"):
        load(frame, columns={"word": "category"})


def test_a_column_without_a_value_is_left_out_and_a_row_without_one_is_said():
    frame = table(empty=np.nan, none=None)
    frame.loc[[3, 9]] = None
    data = load(frame)
    assert data.schema.ignored == ("empty", "none")
    assert "Column 'empty' is not modelled: no training row has a value." in data.notes
    assert not data.mask[[3, 9]].any()
    assert "2 rows have no cell at all: they change nothing, and may be left out." in check(data)["warnings"]


def test_a_constant_column_is_a_column_of_one_cell():
    data = load(table(one=5, name="x", fine=np.pi))
    assert [one.cells for one in data.schema.types[3:]] == [1, 1, 1]
    assert data.schema.types[5].decoded(np.zeros(1))[0] == pytest.approx(np.pi, rel=1e-4)
    for place in (3, 4, 5):
        np.testing.assert_allclose(data.schema.types[place].log_shares(data.x[:, place]), 0.0, atol=1e-12)
    (told,) = [text for text in check(data)["warnings"] if "never change" in text]
    assert "3 columns never change (one, name, fine)" in told


def test_one_row_is_a_table_whose_cells_are_certain():
    data = load(table()[:1])
    assert len(data) == 1
    assert [one.count for one in data.schema.types] == [1, 1, 1]
    assert any(text.startswith("Only 1 rows") for text in check(data)["warnings"])


def test_few_rows_are_said_and_other_methods_named():
    said = [text for text in check(load(table()[:99]))["warnings"] if text.startswith("Only 99 rows")]
    assert len(said) == 1
    assert "KNNImputer" in said[0]
    assert not any(text.startswith("Only") for text in check(load(table()))["warnings"])


@pytest.mark.parametrize("typed", [False, True])
def test_a_mark_of_missing_values_is_pointed_at(typed):
    frame = table(typed=1.5) if typed else table().drop(columns="city")
    frame.loc[frame.index[::30], "age"] = -999
    frame.loc[frame.index[::25], "pay"] = 99.0
    said = [
        text for text in check(load(frame, counts=False))["warnings"] if "missing value" in text and "holds" in text
    ]
    assert said == [
        f"Column {name!r} holds {value} in {count} rows, far from its other values: if it stands for a missing value, "
        "leave those cells empty."
        for name, value, count in (("age", -999, 10), ("pay", "99.0" if typed else 99, 12))
    ]


def test_marks_of_missing_values_repeat_and_lie_apart():
    usual = np.arange(200.0) % 50
    assert far_values(usual) == []
    assert far_values(np.append(usual, [-999.0] * 2)) == []  # a slip, not a mark
    assert far_values(np.append(usual, [-999.0] * 3)) == [-999.0]
    assert far_values(np.append(usual, [-40.0] * 30)) == []  # no further than the others lie apart
    assert far_values(np.append(usual, [99.0] * 3)) == [99.0]
    assert far_values(np.repeat([0.0, 1.0, 2.0, 50.0], 9)) == []  # a few levels are no marks
    fares = np.random.default_rng(1).uniform(9.7, 19.3, 100).round(1)  # most rows have none, which is no gap
    assert [len(far_values(np.append(fares, np.zeros(n)))) for n in (2, 3, 60, 80, 900)] == [0, 1, 1, 0, 0]


def test_a_column_that_tells_the_label_is_pointed_at():
    y = np.arange(N) % 2
    frame = table(y=y, after=np.where(y == 1, "paid", "open"))
    said = [text for text in check(load(frame, label="y"))["warnings"] if "tells the label" in text]
    assert said == ["Column 'after' tells the label of every row: leave it out if it is known only with the label."]
    assert not tells_label(np.arange(20.0), np.arange(20) % 2)  # every value once: that says nothing
    assert not tells_label(np.repeat([0.0, 1.0], 50), np.repeat([0, 1, 1, 1], 25))


def test_names_of_missing_values_are_missing():
    words = ["", "NA", "N/A", "nan", "null", "?", "a", "b"]
    data = load(table(word=repeated(words)))
    assert data.schema.types[3].values == ("a", "b")
    np.testing.assert_array_equal(data.mask[:8, 3], [False] * 6 + [True] * 2)
    kinds = pd.Categorical(repeated(words), categories=words)
    np.testing.assert_array_equal(load(table(word=kinds)).x, data.x)


@pytest.mark.parametrize("word", ["none", "None"])
def test_none_is_a_name_among_names_and_missing_among_numbers(word: str) -> None:
    """Insurance is none, basic or full; an age that is none is not known."""
    insurance, age = repeated([word, "basic", "full", ""]), repeated(["31", word, "47", "52"])
    data = load(table(insurance=insurance, years=age))
    assert set(data.schema.types[3].values) == {word, "basic", "full"}
    np.testing.assert_array_equal(data.mask[:4, 3:], [[1, 1], [1, 0], [1, 1], [0, 1]])
    said = f"{word!r} is a name of column 'insurance'; leave its cell empty where the name is not known."
    assert said in data.notes
    assert as_frame(data.x, data.schema)["insurance"].tolist()[:3] == [word, "basic", "full"]
    declared = load(table(insurance=insurance, years=age), columns={"insurance": "category"})
    assert not any("is a name" in note for note in declared.notes)
    # A model that saw no such name takes it as missing, as it does when all cells of new rows are so.
    old = load(table(insurance=repeated(["basic", "full"])))
    for cells in (insurance, [word] * len(insurance)):
        new = load(table(insurance=cells), schema=old.schema)
        assert not new.mask[np.array(cells) == word, 3].any()
    own = load(table(insurance=[word] * len(age), years=age), schema=data.schema)
    assert own.mask[:, 3].all()


@pytest.mark.parametrize("far", [0.3, 0.6, 0.9, 1.1, 2.0, 12.0])
def test_a_lone_value_is_told_by_how_far_it_lies(far: float) -> None:
    """Twenty columns of each strength: so many widths of the others beyond these, from none to all of them told."""
    told = 0
    for seed in range(20):
        values = np.random.default_rng(seed).uniform(0.0, 1.0, 500)
        told += lone_values(np.append(values, 1.0 + far)) == [1.0 + far]
        assert lone_values(values) == []
    assert told == (20 if far > 1.0 else 0)


@pytest.mark.parametrize(
    ("pulse", "told"), [(17, True), (30, True), (59, False), (84, False), (340, True), (310, False)]
)
def test_a_lone_value_beside_a_tail_is_told_where_digits_were_lost(pulse: int, told: bool) -> None:
    """Pulses have a tail to 119 and 196; half or twice of these, and 1.5 widths of 98 % away, is no pulse."""
    values = np.append(np.random.default_rng(2).normal(158, 12, 440).round().clip(119, 196), [119.0, 196.0])
    assert lone_values(np.append(values, pulse)) == ([float(pulse)] if told else [])
    # As places on a grid that begins at the least value.
    places = np.append(values, pulse) - min(pulse, 119)
    assert (len(lone_values(places, float(min(pulse, 119)))) > 0) is told


def test_what_is_not_twice_the_next_one_is_none() -> None:
    """Half as much again, and far away from narrow others with one beside them: a rare value, and no lost digit."""
    values = np.append(np.random.default_rng(2).normal(158, 5, 440).clip(142, 172), [180.0])
    assert lone_values(np.append(values, 270.0)) == []
    assert lone_values(np.append(values, 400.0)) == [400.0]


@pytest.mark.parametrize("seed", range(20))
def test_a_long_tail_has_no_lone_value(seed: int) -> None:
    """Incomes and the like, of which the highest lies far from the next one."""
    rng = np.random.default_rng(seed)
    assert lone_values(rng.lognormal(3.0, 1.2, 500)) == []
    assert lone_values(rng.exponential(10.0, 500)) == []


@pytest.mark.parametrize("apart", [1, 3, 5, 8, 12])
def test_few_rows_beyond_an_empty_stretch_are_told_by_how_long_it_is(apart: int) -> None:
    """Ages that begin at 19 with a twentieth of the rows; four rows so far below, in 40 tables."""
    told = {"low": 0, "moved": 0, "high": 0}
    for seed in range(40):
        ages = np.clip(np.random.default_rng(seed).normal(41, 13, 2000), 19, 82).round()
        assert cut_off(ages) == []
        some = np.append(ages, [19.0 - apart] * 4)
        told["low"] += cut_off(some) == [19.0 - apart]
        told["moved"] += cut_off(some - 200) == [-181.0 - apart]
        told["high"] += cut_off(-some) == [apart - 19.0]
        assert cut_off(np.append(ages, [19.0 - apart] * 12)) == []  # so many are a kind of their own
    assert set(told.values()) == {{1: 0, 3: 0, 5: 3}.get(apart, 40)}


@pytest.mark.parametrize(("rows", "told"), [(900, False), (2000, True)])
def test_one_row_alone_is_cut_off_among_many(rows: int, told: bool) -> None:
    ages = np.clip(np.random.default_rng(0).normal(44, 15, rows), 16, 92).round()
    assert cut_off(np.append(ages, 2.0)) == [2.0] * told
    assert cut_off(np.append(ages, 15.0)) == []


def test_tails_are_not_cut_off() -> None:
    told = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tails = [
            rng.normal(50, 10, 1500).round(),
            rng.exponential(10, 1500).round(1),
            rng.lognormal(2, 1, 1500).round(1),
        ]
        tails += [
            rng.standard_t(2, 1500).round(1),
            rng.poisson(3, 1500).astype(float),
            rng.uniform(0, 1, 1500).round(2),
        ]
        told += sum(bool(cut_off(values)) for values in tails)
    assert told <= 2
    # Sulphur in wine: a tail that thins out, and two bottles far beyond it, which may be as they are.
    sulphur = np.random.default_rng(0).gamma(2.0, 23.0, 1600).clip(6, 165).round()
    assert cut_off(np.append(sulphur[sulphur < 165], [278.0, 289.0])) == []
    assert cut_off(np.append(sulphur.clip(max=90), [150.0, 155.0])) == [150.0, 155.0]  # where the others end at 90


def test_ages_of_seven_are_named_and_emptied(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ages = np.clip(rng.normal(41, 13, 1500), 19, 82).round()
    ages[[5, 70, 700]] = 7
    frame = pd.DataFrame({"age": ages.astype(int), "kind": rng.choice(list("abc"), 1500)})
    (said,) = (text for text in suspicions(load(frame, label="none")) if "apart from" in text)
    assert said == "Column 'age' holds 7 in 3 rows, apart from all its other values: look at row 5, 70, 700."
    wrong = mistaken(load(frame, label="none"))
    assert sorted((int(row), int(column)) for row, column in zip(*np.nonzero(wrong))) == [(5, 0), (70, 0), (700, 0)]


def test_two_lone_values_do_not_hide_each_other() -> None:
    """Commutes of 1440 and 9999 minutes among those of at most 120; three of them are no slips in so few rows."""
    values = np.random.default_rng(0).normal(40, 15, 700).round()
    assert sorted(lone_values(np.append(values, [1440.0, 9999.0]))) == [1440.0, 9999.0]
    assert sorted(lone_values(np.append(values, [-900.0, 9999.0]))) == [-900.0, 9999.0]
    assert lone_values(np.append(values, [1440.0, 1500.0, 9999.0])) == []


@pytest.mark.parametrize(("age", "told"), [(110, False), (130, False), (187, True), (999, True)])
def test_where_the_others_end_soon_less_far_is_lone(age: float, told: bool) -> None:
    """Ages around 50 up to 89 of 2,000 guests; where a tail is long, as far away is not told."""
    values = np.clip(np.random.default_rng(2).normal(50, 15, 2000), 16, 89).round()
    assert lone_values(np.append(values, age)) == ([age] if told else [])
    long = np.random.default_rng(2).exponential(1.0, 2000)
    beyond = long.max() + 12.0 * (long.max() - np.quantile(long, 0.99))
    assert lone_values(np.append(long, beyond)) == []


def test_a_value_beyond_an_end_that_repeats_is_lone() -> None:
    """Hours of work from 0.5 to 9, of which 9 in three rows: 25 is a slip. With 9 in one row they may go on to 25."""
    hours = np.repeat(np.arange(0.5, 8.75, 0.5), np.arange(17, 0, -1) ** 2)
    assert lone_values(np.append(hours, [9.0, 9.0, 9.0, 25.0])) == [25.0]
    assert lone_values(np.append(hours, [9.0, 25.0])) == []


def test_long_tails_are_no_lone_values() -> None:
    """Incomes, waiting times, a t of three degrees of freedom and counts: at most one column of a hundred each."""
    rng = np.random.default_rng(0)
    draws = (
        lambda: np.exp(rng.normal(10.0, 0.8, 2000)),
        lambda: rng.exponential(3.0, 2000),
        lambda: rng.standard_t(3.0, 2000),
        lambda: rng.geometric(0.2, 2000),
        lambda: np.exp(rng.normal(1.0, 1.0, 2000)).round(),
        lambda: rng.negative_binomial(1, 0.05, 2000),
        lambda: rng.poisson(3.0, 2000),
    )
    for draw in draws:
        assert sum(bool(lone_values(draw())) for _ in range(100)) <= 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Volkswagn", True), ("Volkswagens", True), ("Folkswagen", True), ("Volkswagne", True), ("Volkswagen", False),
        ("Vlokswagen", True), ("volkswagn ", True), ("Volkswgan", False), ("Volkswage1", False), ("Vokswagn", False),
        ("Volkswagen 2", False), ("Volvo", False), ("Volkkswaggen", True), ("Vollkswagens", False),
    ],
)  # fmt: skip
def test_a_name_a_letter_away_from_a_frequent_one_is_told(name: str, told: bool) -> None:
    names = ["Ford", "Volkswagen", name]
    assert misspelt(names, np.array([700, 600, 12])) == ([(1, 2)] if told else [])
    swapped = name in ("Volkswagne", "Vlokswagen")  # hardly any two names differ so
    # As often as in 2 % it is a name of its own, with letters that changed places in 5 %.
    assert misspelt(names, np.array([700, 600, 13])) == ([(1, 2)] if swapped else [])
    assert misspelt(names, np.array([700, 600, 31])) == []
    assert misspelt(names[::-1], np.array([3, 600, 700])) == ([(1, 0)] if told else [])


def test_short_names_and_numbers_are_no_slips(tmp_path: Path) -> None:
    assert misspelt(["bean", "baen", "beam"], np.array([140, 3, 2])) == [(0, 1)]  # of four letters two that are swapped
    assert misspelt(["bean", "baen"], np.array([140, 8])) == []
    assert misspelt(["ale", "lae"], np.array([140, 1])) == []
    assert misspelt(["male", "mole", "type 1", "type 2", "A-100", "B-100"], np.array([900, 1, 900, 2, 900, 2])) == []
    names = ["Inspektion"] * 200 + ["Bremsen"] * 99 + ["Inspekton"]
    frame = table(work=repeated(names))
    said = [text for text in check(load(frame))["warnings"] if "letter" in text]
    assert len(said) == 1
    assert said[0].startswith("Column 'work' holds 'Inspekton' (")
    assert "a letter away from 'Inspektion' (" in said[0]


def test_names_that_differ_in_case_or_blanks_are_told(tmp_path: Path) -> None:
    towns = ["Nîmes"] * 120 + ["Paris"] * 99 + ["nîmes", "Par is", "Paris "]
    (tmp_path / "t.csv").write_text(
        "\n".join(["town,rooms", *(f"{t},{k % 5}" for k, t in enumerate(towns)), "Paris,40"])
    )
    said = " ".join(suspicions(load(str(tmp_path / "t.csv"), label="none", typed=True)))
    assert "'Nîmes' and 'nîmes' (line 221), which differ in case or blanks alone" in said
    assert "'Par is' (line 222), a letter away from 'Paris' (101 rows): if it is misspelt, write it alike" in said
    assert "holds 40 far from all its other values: look at line 224" in said


@pytest.mark.parametrize(("other", "named"), [("copy 80g", True), ("copy  80 G", True), ("copy 90 g", False)])
def test_a_blank_before_a_unit_makes_no_other_name(other: str, named: bool) -> None:
    paper = ["copy 80 g"] * 120 + ["card 160 g"] * 100 + [other]
    data = load(pd.DataFrame({"paper": paper, "mass": np.arange(221.0)}), label="none")
    said = [one.words for one in suspected(data) if "case or blanks" in one.words]
    assert bool(said) == named


def test_years_of_birth_among_ages_are_named_where_they_lie_beyond_the_training_rows() -> None:
    """They are not counted as the oldest of these."""
    rng = np.random.default_rng(0)
    age = np.clip(np.round(rng.normal(40, 14, 2000)), 16, 84)
    data = load(pd.DataFrame({"age": age, "kind": ["a", "b"] * 1000}), label="none")
    one = (data.schema.types or ())[0]
    x, outside, rows = np.array(data.x), np.zeros(data.x.shape, np.float32), data.subset("test")[:3]
    x[rows, 0] = one.size - 1
    outside[rows, 0] = np.array([1997.0, 1990.0, 1995.0]) - (one.low + (one.size - 1) * one.step)
    data = replace(data, x=x, outside=outside)
    [said] = [one for one in suspicions(data) if "'age'" in one]
    assert said.startswith("Column 'age' holds 1990 to 1997 in 3 rows, far from its other values, 16 to 8")
    assert ", ".join(str(name) for name in data.names[rows]) in said
    assert np.argwhere(mistaken(data)).tolist() == [[row, 0] for row in rows.tolist()]


@pytest.mark.parametrize("side", ["fee", "months"])
def test_of_a_product_that_breaks_the_value_that_its_name_hardly_has_is_wrong(side: str) -> None:
    """A student's fee in another plan, or months that a trial never has: neither lies far out."""
    rng = np.random.default_rng(0)
    plan = rng.choice(["trial", "basic", "plus", "student"], 1500)
    fee = pd.Series(plan).map({"trial": 10.0, "basic": 30.0, "plus": 50.0, "student": 20.0}).to_numpy().copy()
    months = np.where(plan == "trial", 1, rng.choice([6, 12, 24], 1500)).copy()
    total = fee * months + 0.0
    rows = np.flatnonzero(plan == ("plus" if side == "fee" else "trial"))[:4]
    if side == "fee":
        fee[rows] = 20.0
    else:
        months[rows] = 12
    frame = pd.DataFrame({"plan": plan, "months": months, "fee": fee, "total": total})
    wrong = mistaken(load(frame, label="none"))
    names = list(frame)
    assert np.argwhere(wrong).tolist() == [[row, names.index(side)] for row in rows.tolist()]


@pytest.mark.parametrize(("price", "article", "told", "emptied"), [
    (640.0, True, False, False), (640.0, False, True, False), (999.0, False, True, True), (-999.0, False, True, True),
])  # fmt: skip
def test_a_dear_article_is_no_mark_of_a_missing_value(
    tmp_path: Path, price: float, article: bool, told: bool, emptied: bool
) -> None:
    """One article in eight costs far more than the others; only what is a mark by its digits is emptied."""
    rng = np.random.default_rng(0)
    usual = {"tap": 44.0, "hose": 14.5, "pipe": 18.0, "filter": 24.0, "valve": 9.9, "tile": 3.2, "meter": 75.0}
    names = rng.choice([*usual, "boiler"], 800)
    own = np.array([usual.get(name, price) for name in names])
    if not article:
        own = np.where(own == price, 50.0, own)
        own[rng.permutation(800)[:100]] = price
    data = load(pd.DataFrame({"article": names, "price": own}), label="none")
    marks = [one for one in suspected(data) if "far from its other values" in one.words]
    assert bool(marks) is told
    assert any(one.rows is not None for one in marks) is emptied


@pytest.mark.parametrize(("value", "named"), [(3, True), (5, True), (6, False), (12, False), (75, True), (70, False)])
def test_a_number_of_one_row_beyond_levels_that_come_often_is_named(value: int, named: bool) -> None:
    levels = np.repeat([20, 25, 30, 35, 40, 50, 60], 40)
    assert beyond_levels(np.append(levels, value)) == ([float(value)] if named else [])
    assert beyond_levels(np.append(levels, [value, value])) == []  # two rows may be a level of its own
    assert beyond_levels(np.append(levels * 7.0, 7.0 * value)) == ([7.0 * value] if named else [])


def test_tails_of_counts_are_no_levels() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        assert beyond_levels(rng.poisson(rng.uniform(0.3, 6.0), 500)) == []
        assert beyond_levels(rng.geometric(rng.uniform(0.2, 0.8), 500)) == []
