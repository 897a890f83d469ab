"""Which cells are empty: the column that says it over strengths, exact shares, and the law of what is drawn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.config import override
from latens.data.gaps import PRIOR, Gaps, _log_chance, drawn, found_in, read
from latens.recipes import get_recipe


def survey(rows: int, seed: int, *, tilt: float, share: float = 0.2) -> pd.DataFrame:
    """Incomes that are empty with a probability of share + tilt in one town and share - tilt in the other."""
    rng = np.random.default_rng(seed)
    town = rng.choice(["Lyon", "Nice"], rows)
    chance = np.where(town == "Lyon", share + tilt, share - tilt)
    frame = pd.DataFrame({"town": town, "age": rng.integers(18, 80, rows), "income": rng.normal(30, 5, rows).round(1)})
    return frame.assign(income=frame["income"].mask(rng.random(rows) < chance))


def data_of(frame: pd.DataFrame) -> latens.Dataset:
    return latens.load_data(frame, label="none", typed=True)


def test_the_column_that_says_it_is_found_over_strengths() -> None:
    """Told in nearly no table without a dependence, and in all with a strong one."""
    rate = {}
    for tilt in (0.0, 0.05, 0.1, 0.15):
        rules = [found_in(data_of(survey(600, seed, tilt=tilt))) for seed in range(20)]
        assert all(len(rule) == 1 and rule[0].column == "income" for rule in rules)
        rate[tilt] = np.mean([rule[0].other == "town" for rule in rules])
    assert rate[0.0] <= 0.1
    assert rate[0.15] == 1.0
    assert rate[0.0] <= rate[0.05] <= rate[0.1] <= rate[0.15]


@pytest.mark.parametrize(("empty", "kept"), [(1, False), (3, False), (8, True), (40, True)])
def test_what_was_taken_out_is_not_repeated(empty: int, kept: bool) -> None:
    """A few of 1,000 cells, as `check --clean` empties them, are no habit of a column."""
    frame = survey(1000, 0, tilt=0.0, share=0.0)
    data = data_of(frame)
    rows = np.flatnonzero(data.split == 0)[:empty]
    frame.loc[rows, "income"] = np.nan
    data = data_of(frame)
    (rule,) = found_in(data)  # the column has gaps, so that one more is not odd
    assert rule.column == "income"
    assert any(rule.shares) == kept
    assert drawn([rule], data.schema, np.asarray(data.x), 0).any() == kept


def test_of_many_columns_hardly_one_says_it_by_chance() -> None:
    """Sixteen columns and gaps of 4 % in three of them: of 90 such columns at most four are told."""
    told = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        names = {f"c{j}": rng.choice(list("abcde")[: 2 + j % 4], 460) for j in range(10)}
        frame = pd.DataFrame(names | {f"n{j}": rng.normal(size=460).round(2) for j in range(6)})
        for j in (3, 12, 14):
            frame.isetitem(j, frame.iloc[:, j].mask(rng.random(460) < 0.04))
        told += sum(bool(rule.other) for rule in found_in(data_of(frame)))
    assert told <= 4


def test_shares_are_counted_with_a_little_of_the_whole() -> None:
    data = data_of(survey(600, 0, tilt=0.15))
    (rule,) = found_in(data)
    train, types = data.split == 0, data.schema.types
    assert types is not None
    assert data.mask is not None
    gone, code = ~data.mask[train, 2], data.x[train, 0]
    for part in range(2):
        own = gone[code == part]
        assert rule.shares[part] == pytest.approx((own.sum() + PRIOR * gone.mean()) / (len(own) + PRIOR), abs=1e-12)
    assert rule.shares[2] == pytest.approx(gone.mean())  # no town is empty
    assert rule.starts == (0, 1)


def test_a_gap_is_told_by_the_other_rows_of_its_part() -> None:
    """By counting them one by one: a row never tells itself."""
    rng = np.random.default_rng(0)
    part, empty = rng.integers(0, 3, 40), rng.random(40) < 0.3
    found = _log_chance(part, empty, 0.3)
    for row in range(40):
        others = (part == part[row]) & (np.arange(40) != row)
        share = (empty[others].sum() + PRIOR * 0.3) / (others.sum() + PRIOR)
        assert found[row] == pytest.approx(np.log(share if empty[row] else 1.0 - share), abs=1e-12)


def test_no_gaps_no_rule_and_the_order_of_rows_says_nothing() -> None:
    frame = survey(600, 0, tilt=0.15)
    assert found_in(data_of(frame.fillna({"income": 30.0}))) == ()
    data = data_of(frame)
    order = np.random.default_rng(1).permutation(len(frame))
    parts = {name: getattr(data, name) for name in data.__dataclass_fields__ if data.__dataclass_fields__[name].init}
    moved = {name: parts[name][order] for name in ("x", "mask", "split", "row_id", "names")}
    (one,), (other,) = found_in(data), found_in(type(data)(**parts | moved))
    assert one[:3] == other[:3]
    assert one.shares == pytest.approx(other.shares, abs=1e-12)


def test_gaps_are_drawn_in_order_each_by_its_own_part() -> None:
    """A column is empty where a number is large, and a second one where the first is empty."""
    data = data_of(survey(900, 3, tilt=0.1))
    rules = (Gaps("town", "age", (0, 30), (0.1, 0.5, 0.0)), Gaps("income", "town", (0, 1), (0.0, 0.3, 0.9)))
    x = np.repeat(np.asarray(data.x), 30, axis=0)
    gone = drawn(rules, data.schema, x, seed=4)
    band = lambda rows, share: abs(gone_of(rows) - share) < 4 * np.sqrt(max(share * (1 - share), 1e-9) / rows.sum())  # noqa: E731
    column = 0
    gone_of = lambda rows: gone[rows, column].mean()  # noqa: E731
    assert band(x[:, 1] < 30, 0.1)
    assert band(x[:, 1] >= 30, 0.5)
    column = 2
    assert not gone[~gone[:, 0] & (x[:, 0] == 0), 2].any()
    assert band(~gone[:, 0] & (x[:, 0] == 1), 0.3)
    assert band(gone[:, 0], 0.9)
    assert not gone[:, 1].any()
    assert (drawn(rules, data.schema, x, seed=4) == gone).all()
    assert (drawn(rules, data.schema, x, seed=5) != gone).any()


def test_what_a_stranger_wrote_is_no_error() -> None:
    sound = ["a", "b", [0, 3], [0.1, 0.2, 0.3]]
    strange = [["a", "b", [3, 0], [0.1, 0.2, 0.3]], ["a", "b", [0], [2.0, 0.1]], ["a", 1, [], [0.1]], "abcd", None]
    strange += [["a", "b", [0, 3], [0.1]], ["a", "b", [-1], [0.1, 0.1]], ["a", "b", [2**70], [0.1, 0.1]]]
    assert read([sound, *strange]) == (Gaps("a", "b", (0, 3), (0.1, 0.2, 0.3)),)
    assert read("abcd") == read(None) == read(7) == ()
    data = data_of(survey(300, 0, tilt=0.1))
    assert not drawn((Gaps("no", "such", (0,), (1.0, 1.0)),), data.schema, np.asarray(data.x), 0).any()


def test_samples_have_as_many_gaps_as_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = survey(900, 5, tilt=0.15)
    config = override(get_recipe("table-mixture").config, {"training.epochs": 3.0})
    trained = latens.train(latens.prepare(config, data_of(frame)))[0]
    trained.save(tmp_path / "m.safetensors")
    model = str(tmp_path / "m.safetensors")
    for name in ("s.csv", "s.parquet"):
        assert main(["sample", model, "-n", "6000", "--out", str(tmp_path / name)]) == 0
    capsys.readouterr()
    made, other = pd.read_csv(tmp_path / "s.csv"), pd.read_parquet(tmp_path / "s.parquet")
    assert (made["income"].isna() == other["income"].isna()).all()
    assert not made[["town", "age"]].isna().any(axis=None)
    shares = dict(zip(("Lyon", "Nice"), read(trained.facts["gaps"])[0].shares))
    for town, share in shares.items():
        rows = made[made["town"] == town]
        assert abs(rows["income"].isna().mean() - share) < 4 * np.sqrt(share * (1 - share) / len(rows))
    assert main(["sample", model, "-n", "60", "--gaps", "none", "--out", str(tmp_path / "whole.csv")]) == 0
    assert not pd.read_csv(tmp_path / "whole.csv").isna().any(axis=None)
    asked = ["sample", model, "-n", "200", "--where", "income>=25", "--out", str(tmp_path / "asked.csv")]
    assert main(asked) == 0
    assert not pd.read_csv(tmp_path / "asked.csv")["income"].isna().any()  # what is asked for is there
    assert main(["sample", model, "-n", "60", "--out", str(tmp_path / "s.npz")]) == 0
    with np.load(tmp_path / "s.npz") as arrays:
        assert np.isfinite(arrays["income"]).all()
