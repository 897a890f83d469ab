"""Rows that break a rule are drawn anew, and those that replace them keep the mix of kinds."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import latens
from latens.data import Column, Schema
from latens.data.columns import ColumnType
from latens.workflow.new_rows import MOST_TIMES, kept, kinds_by, new_table

KINDS = ColumnType("category", values=("a", "b"), shares=(0.5, 0.5))
SCHEMA = Schema((2,), "mixed", columns=(Column("kind"), Column("size")), types=(KINDS, ColumnType("number", size=9)))
FACTS = {"apart": [["kind", "", "size", "", [["a", "1"]], 9]]}


def draws(n: int, broken: float):
    """Half of the rows of each kind, of which one breaks a rule far more often."""

    def drawn(again: int):
        rng = np.random.default_rng(again)
        x = np.column_stack([rng.integers(0, 2, n), rng.integers(0, 9, n)]).astype(np.float32)
        wrong = (x[:, 0] == 0) & (rng.random(n) < broken)
        return {"x": x, "draw": np.full(n, again)}, wrong

    return drawn


@pytest.mark.parametrize("broken", [0.0, 0.3, 0.9])
def test_kinds_that_break_rules_more_often_become_no_rarer(broken: float) -> None:
    kind_of = kinds_by(FACTS, SCHEMA)
    assert kind_of is not None
    first, wrong = draws(2000, broken)(0)
    found = kept(draws(2000, broken), kind_of)
    assert (found.redrawn, found.left) == (int(wrong.sum()), 0)
    np.testing.assert_array_equal(found.arrays["x"][:, 0], first["x"][:, 0])
    np.testing.assert_array_equal(found.arrays["x"][~wrong], first["x"][~wrong])
    assert (found.arrays["draw"][wrong] > 0).all()
    assert (found.arrays["draw"][~wrong] == 0).all()
    alone = kept(draws(2000, broken)).arrays["x"][:, 0]  # without kinds the mix tips
    assert (np.mean(alone == 0) < 0.25) == (broken > 0.5)


def test_a_kind_that_always_breaks_a_rule_is_another_at_last() -> None:
    found = kept(draws(300, 1.0), kinds_by(FACTS, SCHEMA))
    first, wrong = draws(300, 1.0)(0)
    assert found.redrawn == wrong.sum()
    assert set(found.arrays["draw"][wrong].tolist()) <= {0, MOST_TIMES}
    assert found.left == np.sum(found.arrays["draw"][wrong] == 0)
    assert (found.arrays["x"][found.arrays["draw"] == MOST_TIMES, 0] == 1).all()
    np.testing.assert_array_equal(found.arrays["x"][~wrong], first["x"][~wrong])


def test_the_kind_is_of_the_column_that_most_pairs_are_of() -> None:
    assert kinds_by({}, SCHEMA) is None
    numbers = Schema((2,), "mixed", columns=SCHEMA.columns, types=(ColumnType("number", size=9),) * 2)
    assert kinds_by(FACTS, numbers) is None


def test_numbers_of_few_values_have_one_of_these() -> None:
    """Vessels of 20, 25, 30, 40 and 50 ml: 34 has some probability between two of them, and no new row has it."""
    rng = np.random.default_rng(0)
    volume = rng.choice([20, 25, 30, 40, 50], 400)
    frame = pd.DataFrame(
        {"volume": volume, "size": rng.normal(10, 3, 400).round(1), "kind": rng.choice(["a", "b"], 400)}
    )
    data = latens.load_data(frame, label="none")
    places = np.arange(31.0)
    x = np.stack([places, places, np.zeros(31)], axis=1).astype(np.float32)
    trained = SimpleNamespace(facts={}, schema=data.schema, model=None, is_point=False)
    found = new_table(trained, lambda again: {"x": x.copy()}, 0)
    assert set((found.arrays["x"][:, 0] + 20).tolist()) == {20.0, 25.0, 30.0, 40.0, 50.0}
    np.testing.assert_array_equal(found.arrays["x"][:, 1:], x[:, 1:])
    means = new_table(trained, lambda again: {"x": x.copy()}, 0, exact=True)
    np.testing.assert_array_equal(means.arrays["x"], x)
