"""What follows several columns is counted in the new rows that have what is fixed, or lie nearest to it."""

from typing import Any

import numpy as np
import pytest
from explorer_fixtures import needs_node, node

pytestmark = needs_node

N, EMPTY = 6000, 65535
LOW, STEP, SIZE = 10.0, 0.1, 1000
COLUMNS: list[dict[str, Any]] = [
    {"name": "sky", "kind": "category", "levels": ["clear", "grey"]},
    {"name": "minutes", "kind": "number"},
    {"name": "rise", "kind": "number", "follows": ["sky", "minutes"]},
]
GRID = {"low": LOW, "step": STEP, "size": SIZE, "written": "float", "plain": True, "edges": [0, 250, 500, 750, 1000]}
GRIDS = [{}, {**GRID, "low": 0.0, "step": 1.0, "size": 61, "written": "int", "edges": [0, 30, 61]}, GRID]
SPEC = {"empty": EMPTY, "columns": GRIDS, "counted": [2]}


def new_rows() -> np.ndarray:
    """A rise of 8 cells a minute, 200 cells less under a grey sky."""
    rng = np.random.default_rng(0)
    sky, minutes = rng.integers(2, size=N), rng.integers(61, size=N)
    return np.array([sky, minutes, np.round(300 + 8 * minutes - 200 * sky + 20 * rng.normal(size=N))]).astype(int)


def asked(rows: np.ndarray, given: list[tuple[int, Any]], **spec: Any) -> dict[str, Any]:
    """What is said of each column, by its place; of the model alone a text."""
    columns = [{"column": k, "mean": "model", "shares": ["model"]} for k in range(3) if k not in dict(given)]
    answer = {"columns": columns, "effective": 1, "draws": 1, "probability": 1}
    found = node("pool", rows=rows.tolist(), spec=SPEC | spec, columns=COLUMNS, given=given, answer=answer)
    return {"counted": found.get("counted")} | {one["column"]: one for one in found["columns"]}


def of(cell: float) -> float:
    return LOW + STEP * cell


@pytest.mark.parametrize("minutes", [0, 20, 60])
def test_a_mean_is_that_at_the_fixed_number_also_at_its_ends(minutes: int) -> None:
    """By the line that made the rows; all rows near the end lie on one side of it."""
    found = asked(new_rows(), [(0, 1), (1, str(minutes))])
    assert 790 <= found["counted"] <= 810
    assert found[2]["mean"] == pytest.approx(of(100 + 8 * minutes), abs=5 * STEP * 20 / np.sqrt(800))
    spread = float(found[2]["quantiles"][4]) - float(found[2]["quantiles"][0])
    assert spread == pytest.approx(2 * 1.645 * 2.0, rel=0.15)  # of the noise alone


def test_a_number_that_goes_with_nothing_makes_no_line() -> None:
    """At an end a line by chance would be off by twice the error of the mean of all rows near it."""
    rows = new_rows()
    rows[2] = np.random.default_rng(1).permutation(rows[2])
    near = np.argsort(np.abs(rows[1] - 60), kind="stable")[:800]
    found = asked(rows, [(1, "60")])
    assert found[2]["mean"] == pytest.approx(of(rows[2, near].mean()))
    assert found[2]["error"] == pytest.approx(STEP * rows[2].std() / np.sqrt(800), rel=0.1)


def test_rows_of_fixed_names_are_counted_as_they_are() -> None:
    rows = new_rows()
    own = rows[2, rows[0] == 0]
    found = asked(rows, [(0, 0)])
    told = asked(rows, [(2, "80.0")])[0]
    shares = np.array(told["shares"])
    assert told["errors"] == pytest.approx(np.sqrt(shares * (1 - shares) / 800))
    assert found["counted"] == len(own)
    assert found[2]["mean"] == pytest.approx(of(own.mean()))
    assert found[2]["shares"] == pytest.approx(np.histogram(own, GRID["edges"])[0] / len(own))
    assert found[1]["mean"] == "model"  # what follows nothing stays the model's


def test_asked_back_every_column_is_counted() -> None:
    """By Bayes in the rows themselves: of those that rise so far nearly all stood under a clear sky."""
    rows = new_rows()
    near = np.abs(rows[2] - 700) <= 20
    found = asked(rows, [(2, "80.0")])
    assert found[0]["shares"][0] == pytest.approx(np.mean(rows[0, near] == 0), abs=0.05)
    assert found[1]["mean"] == pytest.approx(rows[1, near].mean(), abs=1.0)


def test_values_between_those_that_occur_are_not_made() -> None:
    rows = new_rows()
    rows[1] -= rows[1] % 10
    found = asked(rows, [(2, "80.0")])
    assert {float(text) % 10 for text in found[1]["quantiles"]} == {0.0}


def test_empty_cells_are_left_out() -> None:
    rows = new_rows()
    rows[2, ::2] = EMPTY
    own = rows[2, (rows[0] == 0) & (rows[2] != EMPTY)]
    assert asked(rows, [(0, 0)])[2]["mean"] == pytest.approx(of(own.mean()))
    rows[1, rows[0] == 0] = EMPTY
    assert asked(rows, [(0, 0), (1, "20")])["counted"] is None


@pytest.mark.parametrize(("few", "counted"), [(99, None), (100, 100)])
def test_of_too_few_rows_the_model_answers(few: int, counted: int | None) -> None:
    rows = new_rows()
    rows[0] = np.arange(N) >= few
    found = asked(rows, [(0, 0)])
    assert found["counted"] == counted
    assert (found[2]["mean"] == "model") == (counted is None)


def test_where_no_row_is_near_a_number_the_model_answers() -> None:
    rows = new_rows()
    rows[1] = np.where(np.arange(N) < 99, 60, rows[1] % 10)
    assert asked(rows, [(1, "60")])["counted"] is None
    rows[1, 99] = 60
    assert asked(rows, [(1, "60")])["counted"] == 100


def test_what_a_rule_gives_stays_exact() -> None:
    rows = new_rows()
    answer = {"columns": [{"column": 2, "exact": "12.0", "mean": 12.0}], "effective": 1, "draws": 1, "probability": 1}
    found = node("pool", rows=rows.tolist(), spec=SPEC, columns=COLUMNS, given=[(0, 0)], answer=answer)
    assert found["columns"] == answer["columns"]


def test_a_value_that_only_the_model_reads_is_left_to_it() -> None:
    """A time of a zone, of which the page knows those of its slider."""
    columns = [*COLUMNS[:1], {"name": "began", "kind": "date", "choices": ["09:00", "10:00"]}, *COLUMNS[2:]]
    grids = [GRIDS[0], {**GRIDS[1], "plain": False, "choices": [0, 60]}, GRIDS[2]]
    answer = {"columns": [{"column": 2, "mean": 1.0}], "effective": 1, "draws": 1, "probability": 1}
    asked_for = {"rows": new_rows().tolist(), "columns": columns, "spec": SPEC | {"columns": grids}, "answer": answer}
    assert node("pool", given=[(1, "09:30")], **asked_for) == answer
    assert node("pool", given=[(1, "10:00")], **asked_for)["counted"] > 0


def test_a_name_that_says_nothing_changes_nothing_where_it_is_rare() -> None:
    """Of 6,000 new rows 40 are of the team: the rise of all teams is counted, as without it."""
    rows = np.concatenate([new_rows(), [(np.arange(N) >= 40).astype(int)]])
    says = {"sky": 0.5, "minutes": 0.5, "team": 0.0}
    columns = [*COLUMNS[:2], COLUMNS[2] | {"says": says}, {"name": "team", "kind": "category", "levels": ["a", "b"]}]
    answer = {"columns": [{"column": 1}, {"column": 2}], "effective": 1, "draws": 1, "probability": 1}
    asked_for = {"rows": rows.tolist(), "columns": columns, "spec": SPEC | {"columns": [*GRIDS, {}]}, "answer": answer}
    alone, rare = (node("pool", given=given, **asked_for) for given in ([(0, 1)], [(0, 1), (3, 0)]))
    assert alone["columns"][1] == rare["columns"][1]
    assert rare["counted"] == np.count_nonzero(rows[0] == 1)
    columns[2]["says"] = says | {"team": 0.01}  # what says something is asked for
    assert node("pool", given=[(0, 1), (3, 0)], **asked_for) == answer
