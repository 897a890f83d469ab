"""Which cell of a row is wrong: named exactly where one mistake was planted, none where there is none."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli.main import main
from latens.data import mistakes
from latens.data.mistakes import mistaken
from latens.data.suspects import Suspicion, suspected

BREEDS = {"Labrador": "dog", "Poodle": "dog", "Siamese": "cat", "Persian": "cat", "Lop": "rabbit"}


def visits(n: int = 900, seed: int = 0) -> pd.DataFrame:
    """Bills with sums, a rate that a name gives, a part of a total that many lack, and names that others say."""
    rng = np.random.default_rng(seed)
    breed, vet, insured = rng.choice(list(BREEDS), n), rng.choice(["Hale", "Ortiz"], n), rng.choice(["no", "yes"], n)
    minutes = rng.integers(2, 12, n) * 5
    fee = np.round(minutes * np.where(vet == "Hale", 2.4, 2.1), 2)
    medicine = np.round(rng.gamma(2.0, 20.0, n), 2)
    total = np.round(fee + medicine, 2)
    covered = np.round(np.where(insured == "yes", 0.8, 0.0) * total, 2)
    return pd.DataFrame(
        {
            "species": [BREEDS[one] for one in breed],
            "breed": breed,
            "weight": np.round(np.exp(rng.normal(2.0, 0.4, n)), 2),
            "vet": vet,
            "minutes": minutes,
            "fee": fee,
            "medicine": medicine,
            "total": total,
            "insured": insured,
            "covered": covered,
            "due": np.round(total - covered, 2),
        }
    )


def plant(frame: pd.DataFrame, count: int, seed: int = 1) -> dict[int, str]:
    """Make mistakes of seven kinds in rows of their own; give the column that is wrong in each."""
    rng, wrong = np.random.default_rng(seed), {}
    cats = np.flatnonzero((frame["species"] == "cat").to_numpy())
    plain = np.flatnonzero((frame["insured"] == "no").to_numpy())
    free = lambda rows: rng.choice([row for row in rows if row not in wrong], count, replace=False).tolist()  # noqa: E731
    every = range(len(frame))
    for row in free(every):
        frame.loc[row, "total"], wrong[row] = frame.loc[row, "total"] + 100.0, "total"
    for row in free(every):
        frame.loc[row, "weight"], wrong[row] = frame.loc[row, "weight"] * 1000.0, "weight"
    for row in free(every):
        frame.loc[row, "minutes"], wrong[row] = frame.loc[row, "minutes"] * 60, "minutes"
    for row in free(cats):
        frame.loc[row, "species"], wrong[row] = "dog", "species"
    for row in free(plain):  # the sum is kept with what was paid: the name is what does not fit
        paid = round(0.8 * frame.loc[row, "total"], 2)
        frame.loc[row, "covered"], frame.loc[row, "due"] = paid, round(frame.loc[row, "total"] - paid, 2)
        wrong[row] = "insured"
    for row in free(np.flatnonzero((frame["breed"] == "Labrador").to_numpy())):
        frame.loc[row, "breed"], wrong[row] = "Labardor", "breed"
    return wrong


def named(frame: pd.DataFrame) -> dict[int, list[str]]:
    data = latens.load_data(frame, label="none")
    cells = mistaken(data)
    names = [column.name for column in data.schema.columns or ()]
    return {row: [names[k] for k in np.flatnonzero(cells[row])] for row in np.flatnonzero(cells.any(axis=1)).tolist()}


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_planted_cell_is_named_and_no_other(count: int, seed: int) -> None:
    frame = visits(seed=seed)
    wrong = plant(frame, count, seed)
    assert named(frame) == {row: [name] for row, name in sorted(wrong.items())}


def test_the_order_of_rows_and_of_columns_changes_nothing() -> None:
    frame = visits()
    wrong = plant(frame, 2)
    mixed = frame.sample(frac=1.0, random_state=3)
    back = np.asarray(mixed.index)
    found = named(mixed[sorted(frame.columns)].reset_index(drop=True))
    assert {int(back[row]): columns for row, columns in found.items()} == {row: [name] for row, name in wrong.items()}


def test_a_number_far_out_is_blamed_before_the_target_of_a_rule() -> None:
    frame = visits()[["vet", "minutes", "fee"]]
    frame.loc[7, "minutes"] *= 60
    frame.loc[8, "fee"] += 3.0
    assert named(frame) == {7: ["minutes"], 8: ["fee"]}


def test_a_wrong_cell_explains_the_rules_that_it_breaks() -> None:
    frame = visits()
    frame.loc[4, "medicine"] = 90_000.0  # far from all others, and so no sum holds
    assert named(frame) == {4: ["medicine"]}


def test_of_two_dates_in_the_wrong_order_the_later_one_is_blamed() -> None:
    rng = np.random.default_rng(0)
    first = np.datetime64("2024-01-01") + rng.integers(0, 300, 500)
    second = first + rng.integers(0, 40, 500)
    second[[30, 60]] = first[[30, 60]] - 9
    frame = pd.DataFrame({"sent": first, "paid": second, "kind": rng.choice(["a", "b"], 500)})
    assert named(frame) == {30: ["paid"], 60: ["paid"]}


def test_the_time_since_a_wrong_date_is_not_wrong_itself() -> None:
    rng = np.random.default_rng(0)
    sent = np.datetime64("2025-01-06") + rng.integers(0, 300, 900)
    late = rng.random(900) < 0.05
    arrived = sent + np.where(late, rng.integers(6, 12, 900), rng.integers(2, 6, 900))
    sent[[40, 400, 800]] -= [3651, 3652, 3653]
    frame = pd.DataFrame({"sent": sent, "arrived": arrived, "kind": rng.choice(["a", "b"], 900)})
    assert named(frame) == {40: ["sent"], 400: ["sent"], 800: ["sent"]}


def test_the_share_of_the_cells_that_lie_as_far_out() -> None:
    column = np.array([5.0, 1.0, 2.0, 2.0, 9.0])
    np.testing.assert_allclose(mistakes._tail(column), [0.4, 0.2, 0.6, 0.6, 0.2])
    np.testing.assert_allclose(mistakes._tail(-column), mistakes._tail(column))


def test_the_clean_file_is_the_old_one_but_for_these_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = visits(500)
    wrong = plant(frame, 1)
    source, clean = tmp_path / "visits.csv", tmp_path / "clean.csv"
    frame.to_csv(source, index=False, sep=";", decimal=",")
    assert main(["check", str(source), "--clean", str(clean), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["line"] - 2: one["column"] for one in told["mistakes"]} == wrong
    before, after = (path.read_text().splitlines() for path in (source, clean))
    names = before[0].split(";")
    for row, (old, new) in enumerate(zip(before[1:], after[1:], strict=True)):
        cells = old.split(";")
        if row in wrong:
            cells[names.index(wrong[row])] = "Labrador" if "Labardor" in old else ""
        assert new == ";".join(cells)
    assert [(one["line"] - 2, one["written"]) for one in told["mistakes"] if "written" in one] == [
        (row, "Labrador") for row in wrong if frame.breed[row] == "Labardor"
    ]
    assert main(["check", str(source), "--clean", str(clean)]) == 0
    said = ": 5 cells that may be wrong are empty, 1 misspelt name is written right; all others are as they were"
    assert said in capsys.readouterr().out
    assert main(["check", str(clean), "--quiet"]) == 0
    assert "look at" not in capsys.readouterr().out
    assert main(["check", str(source), "--clean", str(source)]) == 2
    assert "--clean" in capsys.readouterr().err
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32))
    assert main(["check", str(tmp_path / "x.npy"), "--clean", str(clean)]) == 2
    assert "only of such a table" in capsys.readouterr().err


def parcels(n: int = 900) -> tuple[pd.DataFrame, dict[int, str]]:
    """Parcels with mistakes that hide others: years beside negative times, and wrong parts of a total beside totals."""
    rng = np.random.default_rng(0)
    sent = pd.Timestamp("2024-01-02") + pd.to_timedelta(rng.integers(0, 400 * 1440, n), "min")
    came = sent + pd.to_timedelta(rng.normal(30, 6, n).clip(8) * 60, "min").floor("min")
    insured, value = rng.choice(["no", "yes"], n, p=[0.6, 0.4]), np.round(rng.lognormal(4.5, 0.7, n), 2)
    fee = np.where(insured == "yes", np.round(0.02 * value, 2), 0.0)
    base, freight = np.round(rng.gamma(4.0, 3.0, n), 2), np.round(rng.gamma(3.0, 2.0, n), 2)
    total = np.round(base + freight + fee, 2)
    frame = pd.DataFrame({"sent": sent, "came": came, "insured": insured, "value": value, "fee": fee,
                          "base": base, "freight": freight, "total": total})  # fmt: skip
    rows, wrong = iter(rng.permutation(np.flatnonzero((insured == "yes") & (fee > 1)))), {}
    for days in (-40, -41, -41, 365, 365, 366):
        row = next(rows)
        frame.loc[row, "came"], wrong[row] = frame.came[row] + pd.Timedelta(days, "D"), "came"
    for name, other in (("freight", 30.0), ("total", -2.0), ("total", 0.9)):
        row = next(rows)
        frame.loc[row, name], wrong[row] = np.round(frame.loc[row, name] + other, 2), name
    for row in [next(rows), next(rows)]:
        frame.loc[row, "insured"], wrong[row] = "no", "insured"
    return frame, wrong


def test_what_greater_mistakes_hide_is_found_at_another_look() -> None:
    frame, wrong = parcels()
    data = latens.load_data(frame, label="none")
    names = [column.name for column in data.schema.columns or ()]
    found = {(row, names[k]) for row, k in np.argwhere(mistakes.all_mistaken(data)).tolist()}
    assert found == set(wrong.items())
    far = {row for row in wrong if (frame.came[row] - frame.sent[row]).days > 300}
    told = [one for one in mistakes.all_suspected(data) if one.rows is not None and far <= set(one.rows.tolist())]
    assert [one.columns[0] for one in told] == ["came"]
    assert not any(far & set(() if one.rows is None else one.rows.tolist()) for one in suspected(data))
    good, none = frame.drop(index=list(wrong)).reset_index(drop=True), np.zeros(0, int)
    assert not mistakes.all_mistaken(latens.load_data(good, label="none")).any()
    assert [
        one
        for one in mistakes.all_suspected(latens.load_data(good, label="none"))
        if len(one.rows if one.rows is not None else none)
    ] == []


def test_by_the_rules_that_are_left_another_cell_may_explain_more(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, wrong = parcels()
    data = latens.load_data(frame, label="none")
    rows = np.array([row for row, name in wrong.items() if name == "insured"])
    first = np.zeros(data.x.shape, bool)
    first[rows, 3] = True  # the value, as a look that knows of no total blames it
    first[0, 1] = True  # of a row of which nothing else is said
    monkeypatch.setattr(mistakes, "_looked", lambda data, found: (first, [data], []))
    found = mistakes.all_mistaken(data)
    assert np.argwhere(found[rows]).tolist() == [[0, 2], [1, 2]]
    assert np.flatnonzero(found[0]).tolist() == [1]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("column", "years"), [("reported", 10), ("closed", -1)])
def test_the_number_of_days_is_right_where_one_of_its_dates_is_wrong(column: str, years: int, turned: bool) -> None:
    """Of all that a wrong date breaks it alone is blamed."""
    rng = np.random.default_rng(8)
    happened = pd.Timestamp("2023-01-03") + pd.to_timedelta(rng.integers(0, 500, 600), unit="D")
    reported = happened + pd.to_timedelta(rng.integers(0, 20, 600), unit="D")
    days = rng.integers(3, 40, 600)
    dates = {"happened": happened, "reported": reported, "closed": reported + pd.to_timedelta(days, unit="D")}
    columns = {"days": days} | dates if turned else dates | {"days": days}
    frame = pd.DataFrame(columns | {"kind": rng.choice(["a", "b"], 600)})
    for row in (7, 90):
        frame.loc[row, column] += pd.DateOffset(years=years)
    assert named(frame) == {7: [column], 90: [column]}


def test_of_several_broken_rules_the_cell_that_is_in_most_is_wrong() -> None:
    """Also where another one lies further out: the deductible of a claim, and not what is paid."""
    rng = np.random.default_rng(9)
    cover = rng.choice(["full", "part"], 500)
    deductible = np.where(cover == "full", 300, 0)
    net = rng.gamma(8.0, 300.0, 500).round(2) + 310
    frame = pd.DataFrame({"cover": cover, "deductible": deductible, "net": net, "paid": (net - deductible).round(2)})
    row = int(np.argmax(np.where(cover == "part", net, 0)))
    frame.loc[row, "deductible"] = 300
    assert named(frame) == {row: ["deductible"]}


def test_of_cells_that_explain_nearly_as_much_the_one_in_most_broken_rules_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even where the other one lies further out than all."""
    frame = pd.DataFrame({"net": [*range(99), 900], "cut": [0, 10] * 50, "paid": range(100)})
    data, rows = latens.load_data(frame, label="none"), np.array([99])

    def score(data: object, shown: np.ndarray, of: object, exact: set[frozenset[int]]) -> np.ndarray:
        exact.add(frozenset({0, 1}))
        return np.tile([0.75, 1.0, 0.25], (100, 1))

    monkeypatch.setattr(mistakes, "_score", score)
    once, twice = Suspicion("", ("net", "cut"), rows), Suspicion("", ("cut", "paid"), rows)
    assert np.argwhere(mistaken(data, found=[once, twice])).tolist() == [[99, 1]]
    assert np.argwhere(mistaken(data, found=[once])).tolist() == [[99, 0]]


def test_what_a_time_since_a_wrong_date_breaks_blames_no_other_cell() -> None:
    rng = np.random.default_rng(3)
    reported = pd.Timestamp("2023-01-03") + pd.to_timedelta(rng.integers(0, 500, 300), unit="D")
    closed = reported + pd.to_timedelta(rng.integers(1, 30, 300), unit="D")
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 300), "reported": reported, "closed": closed})
    data, rows = latens.load_data(frame, label="none"), np.array([7])
    alone, both = Suspicion("", ("reported",), rows), Suspicion("", ("kind", "closed"), rows)
    assert np.argwhere(mistaken(data, found=[alone, both])).tolist() == [[7, 1]]
    assert np.argwhere(mistaken(data, found=[both])).tolist() == [[7, 0]]


def test_each_wrong_cell_stands_in_a_sentence_and_in_the_list(tmp_path: Path) -> None:
    """Also where a rule is written the other way round without it: a code that no other row has."""
    rng = np.random.default_rng(2)
    service = rng.choice(["Audit", "Cloud", "Data"], 600)
    code = np.array([{"Audit": "P-10", "Cloud": "P-20", "Data": "P-21"}[one] for one in service])
    code[[40, 300]] = "P-99"
    pd.DataFrame({"service": service, "code": code}).to_csv(tmp_path / "jobs.csv", index=False)
    data = latens.load_data(tmp_path / "jobs.csv", label="none")
    told = {(name, row) for one in mistakes.all_suspected(data) if one.rows is not None
            for name in one.columns for row in one.rows.tolist()}  # fmt: skip
    wrong = {(data.schema.names[k], row) for row, k in np.argwhere(mistakes.all_mistaken(data)).tolist()}
    assert wrong == {("code", 40), ("code", 300)} <= told
    for clean in ([], ["--clean", str(tmp_path / "clean.csv")]):
        out = tmp_path / f"found{len(clean)}.csv"
        assert main(["check", str(tmp_path / "jobs.csv"), "--out", str(out), *clean]) == 0
        found = pd.read_csv(out, dtype=str)
        cells = found[found["kind"] == "wrong cell"]
        assert list(zip(cells["row"], cells["of"])) == [("42", "code"), ("302", "code")]
        assert (found["kind"] == "warning").any()
