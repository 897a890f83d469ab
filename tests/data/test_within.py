"""Numbers in a range of their own for each name: found beyond chance, kept by new rows, told by `judge`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.data import rules, within
from latens.evaluation.samples.kinds import beyond
from latens.recipes import get_recipe
from latens.verbs.judge import _plain
from latens.workflow.judge import judge, tables_of

MEAN = {"robin": 11.0, "blackbird": 24.0, "magpie": 36.0}


def birds(n: int = 400, seed: int = 0, apart: float = 1.0) -> pd.DataFrame:
    """Bills of three birds, as far apart as they are, or nearer."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(list(MEAN), n)
    middle = 24.0 + apart * (pd.Series(kind).map(MEAN).to_numpy() - 24.0)
    bill = np.round(middle + rng.uniform(-2.0, 2.0, n), 1)
    return pd.DataFrame({"bird": kind, "team": rng.choice(["A", "B", "C"], n), "bill": bill,
                         "eggs": rng.poisson(4.0, n)})  # fmt: skip


def test_the_range_of_each_name_is_that_of_its_rows_with_a_tenth_of_room() -> None:
    frame = birds()
    [rule] = within.found_in(latens.load_data(frame, label="none"))
    assert (rule.by, rule.column, rule.rows) == ("bird", "bill", 400)
    for name, low, high in rule.ranges:
        own = frame.bill[frame.bird == name]
        room = 0.1 * (own.max() - own.min())
        assert (low, high) == pytest.approx((own.min() - room, own.max() + room), abs=1e-4)
    cents = frame.assign(bill=(100 * frame.bill).round()).sample(frac=1.0, random_state=1)[
        ["eggs", "bill", "team", "bird"]
    ]
    [other] = within.found_in(latens.load_data(cents, label="none"))
    assert np.array([one[1:] for one in other.ranges]) == pytest.approx(
        100 * np.array([one[1:] for one in rule.ranges])
    )


@pytest.mark.parametrize(("apart", "told"), [(1.0, True), (0.4, True), (0.1, False), (0.0, False)])
def test_strengths(apart: float, told: bool) -> None:
    assert bool(within.found_in(latens.load_data(birds(apart=apart), label="none"))) is told


def test_by_chance_no_range_is_found() -> None:
    """Forty tables of long tails, whose few rows of a name reach less far than all rows."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(
            {"team": rng.choice(list("ABCDEFGHIJ"), 400), "size": np.exp(rng.normal(0, 1.0, 400)).round(3)}
        )
        assert within.found_in(latens.load_data(frame, label="none")) == (), seed


@pytest.mark.parametrize(("rows", "told"), [(29, False), (60, True), (300, True)])
def test_one_name_among_others_has_a_range_of_its_own(rows: int, told: bool) -> None:
    """Students are from 16 to 27, and most other guests anywhere between 16 and 92."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"who": ["student"] * rows + ["none"] * 900, "place": rng.choice(list("AB"), rows + 900),
                          "age": np.r_[rng.integers(16, 28, rows), rng.integers(16, 93, 900)]})  # fmt: skip
    found = within.found_in(latens.load_data(frame, label="none"))
    assert [[one[0] for one in rule.ranges] for rule in found] == [["student"]] * told
    if told:
        assert found[0].ranges[0][1:] == pytest.approx((14.9, 28.1), abs=0.01)
        assert found[0].rows == rows
    dealt = frame.assign(age=rng.permutation(frame.age))
    assert within.found_in(latens.load_data(dealt, label="none")) == ()


def test_a_few_mistakes_do_not_widen_a_range() -> None:
    frame = birds()
    rows = np.flatnonzero(frame.bird == "robin")[:2]
    frame.loc[rows, "bill"] *= 10
    [rule] = within.found_in(latens.load_data(frame, label="none"))
    assert {name: high for name, _, high in rule.ranges}["robin"] < 14.0


@pytest.mark.parametrize(("far", "told"), [(0, True), (4, True), (12, False)])
def test_names_that_hold_numbers_far_out_have_no_range(far: int, told: bool) -> None:
    """Gains of 99,999 beside a few thousand: so many are no mistakes."""
    rng = np.random.default_rng(0)
    gain = np.r_[rng.integers(3000, 6000, 600), rng.integers(0, 30_000, 600)]
    gain[:far] = 99_999
    frame = pd.DataFrame({"income": ["high"] * 600 + ["low"] * 600, "gain": gain})
    found = within.found_in(latens.load_data(frame, label="none"))
    assert ["high" in [name for name, *_ in rule.ranges] for rule in found] == [True] * told


@pytest.mark.parametrize(("far", "told"), [(5, True), (10, False)])
def test_of_all_rows_fewer_lie_beyond_the_ranges(far: int, told: bool) -> None:
    """Five names of 300 rows each, with as many numbers far out in each: 0.5 % of all may be mistakes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"kind": np.repeat(list("abcde"), 300), "x": np.repeat(np.arange(5), 300) * 10 + rng.random(1500)}
    )
    frame.loc[(np.arange(far) * 300 // 2), "x"] = 500.0
    assert bool(within.found_in(latens.load_data(frame, label="none"))) is told


def test_new_rows_lie_in_the_range_of_their_name(tmp_path: Path) -> None:
    frame = birds()
    data = latens.load_data(frame, label="none")
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    [rule] = within.read(trained.facts["within"])
    x = np.array(data.x[:5])
    x[0, 2] = x[:, 2].max() if frame.bird[0] == "robin" else 0.0
    assert rules.broken_in(trained.facts, data.schema, x).tolist() == [True, False, False, False, False]
    trained.save(tmp_path / "m.latens")
    for more in ([], ["--where", "bird=blackbird"]):
        out = tmp_path / f"new{len(more)}.csv"
        assert main(["sample", str(tmp_path / "m.latens"), "-n", "500", "--out", str(out), *more]) == 0
        new = pd.read_csv(out)
        for name, low, high in rule.ranges:
            assert new.bill[new.bird == name].dropna().between(low, high).all()
        assert len(new) == 500


def test_a_stranger_s_range_is_left_out() -> None:
    good = ["bird", "bill", [["robin", 9.0, 13.0]], 40]
    bad = [good[:3], ["bird", 3, [], 1], ["bird", "bill", [["robin", "9", 13.0]], 40], ["bird", "bill", [["robin", float("nan"), 1.0]], 4]]  # fmt: skip  # noqa: E501
    assert within.read([*bad, good, "x"]) == (within.Within("bird", "bill", (("robin", 9.0, 13.0),), 40),)
    assert within.read("x") == ()
    data = latens.load_data(birds(), label="none")
    foreign = (
        within.Within("fish", "bill", (("eel", 0.0, 1.0),), 3),
        within.Within("bird", "bill", (("owl", 0.0, 1.0),), 3),
    )
    assert not within.broken_in(foreign, data.schema, np.array(data.x)).any()


@pytest.mark.parametrize("wrong", [0, 5, 40])
def test_a_judgement_counts_rows_beyond_what_their_name_has(wrong: int) -> None:
    real, fake = birds(), birds(seed=1)
    rows = np.flatnonzero(fake.bird == "blackbird")[:wrong]
    fake.loc[rows, "bill"] = 31.0
    found = beyond(*tables_of(real, fake)[0])
    assert found["rows"] == wrong
    assert found["share"] == wrong / 400
    assert found["columns"] == ([{"column": "bill", "by": "bird", "name": "blackbird", "rows": wrong}] if wrong else [])
    said = "\n".join(_plain(judge(real, fake)))
    told = f"{wrong} of 400 rows have a number that no real row of their name has, most often bill of bird blackbird."
    assert (told in said) is (wrong == 40)
    if wrong == 40:
        assert "very good" not in said
