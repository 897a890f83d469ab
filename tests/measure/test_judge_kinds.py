"""A judgement within each name: how alike, beside what chance reaches, and the picture of pairs."""

import numpy as np
import pandas as pd
import pytest

from latens.evaluation.samples.kinds import by_name, together, unlike
from latens.evaluation.samples.tables import shapes
from latens.evaluation.samples.words import strongest_pairs
from latens.report.judged import judgement_page
from latens.verbs.judge import _lines, _plain
from latens.workflow.judge import judge, judged, tables_of


def rocks(n: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Volumes and masses of three rocks; `shift` swaps the masses of so many basalts and pumices."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["basalt", "granite", "pumice"], n, p=[0.5, 0.3, 0.2])
    volume = rng.gamma(4.0, 10.0, n).round(1)
    density = pd.Series(kind).map({"basalt": 2.9, "granite": 2.7, "pumice": 0.6}).to_numpy()
    density = np.where((kind == "pumice") & (rng.random(n) < shift), 2.8, density)
    shade = np.where(rng.random(n) < 0.8, np.where(kind == "basalt", "dark", "light"), "mixed")
    return pd.DataFrame({"found": rng.choice(["A", "B"], n), "rock": kind, "volume": volume,
                         "mass": (volume * density * rng.normal(1.0, 0.05, n)).round(1), "shade": shade})  # fmt: skip


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (0.05, False), (0.5, True), (0.9, True)])
def test_a_name_within_which_the_tables_differ_is_told(shift: float, told: bool) -> None:
    tables, _ = tables_of(rocks(900, 0), rocks(900, 1, shift))
    found = by_name(*tables)
    assert found is not None
    assert found["column"] == "rock"
    assert [one["name"] for one in found["names"]] == ["basalt", "granite", "pumice"]
    worst = unlike(found)
    assert (worst is not None) is told
    if told:
        assert (worst["name"], worst["worst"]) == ("pumice", "mass")
        said = "\n".join(_plain(judged(*tables_of(rocks(900, 0), rocks(900, 1, shift)))))
        assert f"Least alike within rock pumice: {100 * worst['alike']:.0f} % (by chance " in said


def test_how_alike_a_name_is_equals_that_of_its_rows_alone() -> None:
    real, fake = rocks(700, 0), rocks(500, 1, 0.4)
    found = by_name(*tables_of(real, fake)[0])
    assert found is not None
    for one in found["names"]:
        own = [frame[frame.rock == one["name"]].drop(columns="rock") for frame in (real, fake)]
        assert one["rows"] == {"real": len(own[0]), "fake": len(own[1])}
        alone = shapes(*tables_of(*own)[0])
        assert one["alike"] == pytest.approx(alone.mean(), abs=1e-12)
    turned = [f[["mass", "shade", "rock", "found", "volume"]].assign(mass=7.0 + 100.0 * f.mass) for f in (real, fake)]
    other = by_name(*tables_of(*turned)[0])
    assert other is not None
    assert [one["alike"] for one in other["names"]] == pytest.approx([one["alike"] for one in found["names"]])


def test_chance_is_what_parts_of_one_law_reach() -> None:
    """Forty tables of one law: the mean lies at chance, and at most one name in a hundred beyond."""
    off, told = [], 0
    for seed in range(40):
        found = by_name(*tables_of(rocks(300 + 10 * seed, seed), rocks(400, 500 + seed))[0])
        assert found is not None
        off += [(one["alike"] - one["by_chance"]) / one["spread"] for one in found["names"]]
        told += unlike(found) is not None
    assert abs(np.mean(off)) < 4 * np.std(off) / np.sqrt(len(off))
    assert told <= 1


def test_names_that_say_nothing_are_not_a_kind() -> None:
    rng = np.random.default_rng(0)
    frame = lambda: pd.DataFrame({"a": rng.choice(["x", "y"], 400), "b": rng.normal(size=400), "c": rng.random(400)})  # noqa: E731
    assert by_name(*tables_of(frame(), frame())[0]) is None
    assert by_name(*tables_of(rocks(400, 0)[["rock", "mass"]], rocks(400, 1)[["rock", "mass"]])[0]) is None


def test_the_strongest_pairs_each_bring_a_new_column() -> None:
    rng = np.random.default_rng(0)
    a, c = rng.normal(size=(2, 300))
    columns = {"a": a, "b": a + 0.1 * rng.normal(size=300), "k": rng.choice(["x", "y"], 300)}
    columns |= {"a2": a + 0.2 * rng.normal(size=300), "c": c, "d": -c + rng.normal(size=300)}
    table = tables_of(pd.DataFrame(columns), pd.DataFrame(columns))[0][0]
    pairs = [tuple(table.names[k] for k in pair) for pair in strongest_pairs(table, 3)]
    assert pairs == [("a", "b"), ("a", "a2"), ("c", "d")]
    assert strongest_pairs(table, 1) == [(0, 1)]


def test_the_page_shows_pairs_and_names() -> None:
    real, fake = rocks(300, 0), rocks(300, 1)
    tables, left_out = tables_of(real, fake)
    found = judged(tables, left_out)
    page = judgement_page(found, tables, _plain(found), "real.csv", "fake.csv")
    assert "volume with mass, coloured by rock" in page
    assert "How alike the other columns are within each rock" in page
    assert any(line.startswith("alike within each rock (and by chance): basalt ") for line in _lines(found, "r", "f"))
    bare = [frame[["found", "mass"]] for frame in (real, fake)]
    tables, left_out = tables_of(*bare)
    found = judged(tables, left_out)
    assert "coloured by" not in judgement_page(found, tables, _plain(found), "real.csv", "fake.csv")


def test_mistakes_in_the_real_rows_do_not_make_a_copy_come_apart() -> None:
    """Ten of 400 diameters of the real rows are wrong: the copy, which has none, is not to blame."""
    rng = np.random.default_rng(0)

    def trees(seed: int, wrong: int) -> pd.DataFrame:
        own = np.random.default_rng(seed)
        girth = own.gamma(6.0, 15.0, 400).round()
        across = (girth / np.pi * own.normal(1.0, 0.012, 400)).round(1)
        across[own.permutation(400)[:wrong]] *= own.choice([0.4, 3.0], wrong)
        return pd.DataFrame({"tree": own.choice(["oak", "pine"], 400), "girth": girth, "across": across})

    for wrong, told in ((0, 0), (4, 0), (60, 2)):
        found = judge(trees(int(rng.integers(1e6)), wrong), trees(7, 0))
        assert len(found["within_names"]) == min(told, 1), wrong


def hires(n: int, seed: int, *, wrong: float = 0.0) -> pd.DataFrame:
    """Customers of whom only firms pay by invoice, a season by the month; so many rows break either."""
    rng = np.random.default_rng(seed)
    who = rng.choice(["firm", "private"], n, p=[0.3, 0.7])
    pay = np.where((who == "firm") | (rng.random(n) < wrong), "invoice", "card")
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 730, n), "D")
    high = day.month.isin([6, 7, 8]) ^ (rng.random(n) < wrong)
    frame = {"who": who, "pay": pay, "day": day.strftime("%Y-%m-%d"), "season": np.where(high, "high", "low")}
    return pd.DataFrame(frame | {"km": rng.gamma(2.0, 50.0, n).round()})


@pytest.mark.parametrize("wrong", [0.0, 0.01, 0.1, 0.4])
def test_rows_with_values_that_never_come_together_are_counted(wrong: float) -> None:
    real, fake = hires(900, 0), hires(700, 1, wrong=wrong)
    tables, _ = tables_of(real, fake)
    found = together(*tables)
    by_hand = (fake.who == "private") & (fake.pay == "invoice")
    season = (fake.season == "high") != pd.to_datetime(fake.day).dt.month.isin([6, 7, 8])
    never = by_hand | season  # a firm always pays by invoice, and so few real cards of firms are none
    assert found["rows"] == int((never | ((fake.who == "firm") & (fake.pay == "card"))).sum())
    assert found["share"] == found["rows"] / 700
    if wrong:
        pairs = {tuple(word.split()[0] for word in one["columns"]): one["rows"] for one in found["pairs"]}
        assert pairs["who", "pay"] == int(by_hand.sum())
        assert pairs["day", "season"] == int(season.sum())
        told = next(one["columns"] for one in found["pairs"] if one["columns"][0].startswith("day"))
        month, level = int(told[0].removeprefix("day in month ")), told[1].removeprefix("season ")
        assert (month in (6, 7, 8)) == (level == "low")  # a pair that no real row has, not the commonest of each
    judged_ = judged(*tables_of(real, fake))
    told = "have values that never come together in real ones" in "\n".join(_plain(judged_))
    assert told is (wrong > 0.03)
    assert (judged_["verdict"]["word"] in ("very good", "good")) is (wrong < 0.03)


def test_values_of_one_law_hardly_ever_count_as_never_together() -> None:
    told = sum(together(*tables_of(rocks(600, seed), rocks(600, 99 + seed))[0])["rows"] for seed in range(30))
    assert told <= 6
