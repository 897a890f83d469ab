"""What numbers were recorded in, and which come again: round numbers, and amounts that one row each has."""

import numpy as np
import pandas as pd
import pytest

import latens
from latens.kinds.tables.columns import FrameColumn, number_type, recorded_step


@pytest.mark.parametrize(
    ("size", "rows", "values", "step"),
    [
        (10, 500, 200, 10.0),
        (50, 500, 200, 50.0),
        (1000, 500, 200, 1000.0),
        (10, 90, 60, 1.0),
        (10, 500, 30, 1.0),
        (7, 500, 200, 1.0),
    ],
)
def test_many_multiples_of_a_round_number_were_recorded_in_it(size: int, rows: int, values: int, step: float) -> None:
    x = size * (np.arange(rows) % values + 3.0)
    assert recorded_step(x) == step
    assert recorded_step(-x) == step
    assert recorded_step(np.append(x, 3 * size + 1.0)) == 1.0
    assert number_type(x, x, FrameColumn()).step == step


def test_new_rows_of_incomes_in_tens_are_in_tens() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 600), "income": np.round(np.exp(rng.normal(8, 0.3, 600)), -1)})
    schema = latens.read(frame, label="none").schema
    income = (schema.types or ())[1]
    assert (income.series(np.arange(income.size)).to_numpy() % 10 == 0).all()


@pytest.mark.parametrize(("each", "own"), [(1, False), (6, True)])
def test_amounts_that_one_row_each_has_have_no_place_of_their_own(each: int, own: bool) -> None:
    """What some owe, where most owe nothing: no new row repeats the debt of one tenant."""
    rng = np.random.default_rng(1)
    owed = np.repeat(np.round(rng.uniform(200, 3000, 24), 2), each)
    x = np.append(np.zeros(1176), owed)
    made = number_type(x, x, FrameColumn())
    widths = np.asarray(made.widths)
    where = np.searchsorted(made.firsts, np.round((owed - made.low) / made.step), side="right") - 1
    assert (widths[where] == 1).mean() == (1.0 if own else pytest.approx(0.0, abs=0.1))
    assert made.widths[0] == 1  # nothing is nothing
