"""A prediction of What if stands beside the mean of the matching rows, with its standard error."""

from typing import Any

import numpy as np
import pytest
from explorer_fixtures import needs_node, node

pytestmark = needs_node

ASKED = [
    {"name": "design", "levels": ["arch", "beam"]},
    {"name": "strands", "input": "number", "step": 1},
    {"name": "load", "input": "number", "step": 0.1},
    {"name": "built", "input": "date"},
    {"name": "tested", "input": "text"},
]


def cells(n: int = 60) -> list[list[Any]]:
    rng = np.random.default_rng(0)
    design, strands = rng.integers(2, size=n), rng.choice([20, 30, 60], n)
    load = np.round(0.1 * strands + design + rng.normal(0, 0.5, n), 1)
    return [*(one.tolist() for one in (design, strands, load, 20_500 + np.arange(n))), [0] * n]


def asked(given: dict[int, Any], place: int = 2, level: int = 0, said: float = 6.0, **other: Any) -> Any:
    pairs = [{"column": column, "value": value} for column, value in given.items()]
    question = {"cells": cells(), "asked": ASKED, "given": pairs, "place": place, "level": level, "said": said}
    return node("alike", **question | other)


def test_the_mean_of_the_rows_that_are_so_stands_with_its_standard_error() -> None:
    _, strands, load, *_ = map(np.array, cells())
    own = load[strands == 60]
    found = asked({1: "60"}, said=float(own.mean()))
    assert found["rows"] == np.flatnonzero(strands == 60).tolist()
    assert not found["near"]
    error = own.std(ddof=1) / np.sqrt(len(own))
    assert found["text"] == f"mean of {len(own)} matching rows: {own.mean():.2f} ± {error:.2f}"
    assert f"{len(own)} of 60 rows match. Each prediction" in found["note"]


@pytest.mark.parametrize(("errors", "told"), [(0.0, False), (2.0, False), (4.0, True), (-4.0, True)])
def test_rows_that_part_from_an_answer_by_more_than_chance_say_so(errors: float, told: bool) -> None:
    _, strands, load, *_ = map(np.array, cells())
    own = load[strands == 60]
    said = own.mean() + errors * own.std(ddof=1) / np.sqrt(len(own))
    assert asked({1: "60"}, said=float(said))["text"].endswith(", significantly different from the model") == told


def test_names_are_counted_and_none_of_few_is_not_surely_none() -> None:
    design, strands, *_ = map(np.array, cells())
    own = design[strands == 20]
    found = asked({1: "20"}, place=0, level=1, said=own.mean())
    share, n = own.mean(), len(own)
    error = np.sqrt((own.sum() + 1) * (n - own.sum() + 1) / ((n + 2) ** 2 * (n + 3)))
    said = f"({100 * share:.0f} % ± {100 * error:.0f} %)"
    assert found["text"] == f"beam in {own.sum()} of {n} matching rows {said}"
    table = cells(8)
    table[0], table[1] = [0] * 8, [20] * 8
    few = asked({1: "20"}, place=0, level=1, cells=table)
    assert "beam in 0 of " in few["text"]
    assert "± 0 %" not in few["text"]


def test_a_number_that_few_rows_have_takes_those_near_it() -> None:
    table = cells()
    table[1] = np.linspace(0, 100, 60).tolist()
    found = asked({1: "50"}, cells=table)
    assert found["near"]
    assert found["rows"] == [k for k, one in enumerate(table[1]) if abs(one - 50) <= 5]
    assert "have similar values" in found["note"]
    assert "so few" in found["note"]


@pytest.mark.parametrize("rows", [9, 10])
def test_few_rows_are_called_a_guess(rows: int) -> None:
    table = cells()
    table[1] = [60] * rows + [20] * (60 - rows)
    assert ("With so few rows, the predictions are unreliable" in asked({1: "60"}, cells=table)["note"]) == (rows < 10)


def test_a_day_is_a_day_and_what_cannot_be_read_is_not_counted() -> None:
    day = np.datetime64("1970-01-01") + np.timedelta64(20_507, "D")
    found = asked({3: str(day)})
    assert found["near"]
    assert 7 in found["rows"]
    assert asked({4: "3 days after built"}) is None
    assert asked({}) is None
    assert asked({1: "60", 0: 1}, cells=[[0] * 60, *cells()[1:]])["note"].startswith("No row matches")


def test_names_are_compared_by_number_and_only_the_most_frequent() -> None:
    names = sorted([f"kind {k}" for k in range(1, 20)])
    often = [1.0 if name in ("kind 2", "kind 10") else 0.01 * k for k, name in enumerate(names)]
    found = node("compared", column={"levels": names, "training": often})
    assert len(found) == 12
    assert [one["name"] for one in found if one["name"] in ("kind 2", "kind 10")] == ["kind 2", "kind 10"]
    assert all(names[one["value"]] == one["name"] for one in found)
    assert min(often[one["value"]] for one in found) > max(
        often[k] for k in range(19) if k not in {one["value"] for one in found}
    )


def test_a_number_is_compared_at_steps_of_one_width_whatever_its_outliers() -> None:
    few = {"input": "number", "step": 1, "choices": ["1", "2", "4"], "levels": None}
    assert [one["value"] for one in node("compared", column=few)] == ["1", "2", "4"]
    choices = [str(k) for k in range(100)] + ["5000"]
    found = [float(one["value"]) for one in node("compared", column=few | {"choices": choices})]
    assert found == [5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0]
