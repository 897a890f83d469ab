"""Cells that break what nearly all rows keep: dates out of order, cells that are seldom empty, a lone number."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import latens
from latens import config as configuration
from latens import recipes
from latens.data import gaps, ordered
from latens.data.far import lone_values
from latens.workflow.cells import SELDOM, _seldom_empty, beyond_others, blame, named_cells
from latens.workflow.trained import TrainedModel

ROWS, BROKEN, LONE, EMPTY = 900, 3, 5, 7


def stays(rows: int = ROWS) -> pd.DataFrame:
    """Stays of one to 60 days, with a ward where weights are seldom taken; three rows have a mistake each."""
    rng = np.random.default_rng(0)
    start, origin = rng.integers(0, 600, rows), np.datetime64("2020-01-01")
    ward = rng.choice(["a", "b", "c"], rows)
    weight = rng.integers(50, 100, rows).astype(float)
    weight[(ward == "c") & (rng.random(rows) < 0.5)] = np.nan
    end = start + rng.integers(1, 60, rows)
    ward[[BROKEN, LONE, EMPTY]] = "a"
    end[BROKEN], weight[LONE], weight[EMPTY] = start[BROKEN] - 2, 4000.0, np.nan
    weight[BROKEN] = 70.0
    return pd.DataFrame({"start": origin + start, "end": origin + end, "ward": ward, "weight": weight})


@pytest.fixture(scope="module")
def trained() -> tuple[TrainedModel, latens.Dataset]:
    data = latens.load_data(stays(), label="none", columns={"start": "date", "end": "date"})
    data = latens.Dataset(**{**_parts(data), "split": np.where(np.arange(ROWS) < 10, 0, data.split).astype(np.uint8)})
    settings = {"posterior.choices": 2, "training.epochs": 3.0}
    config = configuration.override(recipes.get_recipe("table-mixture").config, settings)
    return latens.train(latens.prepare(config, data))[0], data


def _parts(data: Any) -> dict[str, Any]:
    return {name: getattr(data, name) for name, one in data.__dataclass_fields__.items() if one.init}


def test_a_lone_training_value_counts_as_beyond_the_others(trained: tuple[TrainedModel, latens.Dataset]) -> None:
    model, data = trained
    one = (data.schema.types or ())[3]
    train = data.subset("train")
    assert data.mask is not None
    others = data.x[train, 3][data.mask[train, 3]]
    assert [one.low + v * one.step for v in lone_values(others.astype(float))] == [4000.0]
    moved = beyond_others(data, data)
    assert moved.outside is not None
    end = np.sort(others)[-2]
    assert (moved.x[LONE, 3], moved.outside[LONE, 3]) == (end, data.x[LONE, 3] - end)
    assert np.count_nonzero(moved.outside) == 1 + np.count_nonzero(data.outside if data.outside is not None else 0)
    rest = np.arange(ROWS) != LONE
    np.testing.assert_array_equal(moved.x[rest], data.x[rest])
    plain = latens.load_data(stays().drop(index=LONE), label="none", typed=True)
    assert beyond_others(plain, plain) is plain
    before, after = (blame(model, one, np.array([LONE]), others=700, cells=1) for one in (data, moved))
    assert after.column[0, 0] == 3
    assert after.p_value[0, 0] < before.p_value[0, 0]
    assert named_cells(after, moved, np.array([LONE]))["value_1"][LONE] == "4000"


def test_a_cell_that_is_empty_here_and_there_is_not_odd(trained: tuple[TrainedModel, latens.Dataset]) -> None:
    """A column with few gaps anywhere, beside one that lacks them in some rows, and one that never had any."""
    model, data = trained
    names, rows = ["start", "end", "ward", "weight"], np.array([20, 40])
    assert data.mask is not None
    mask = data.mask.copy()
    mask[rows] = [[False, True, False, True], [True, True, True, False]]
    holed = latens.Dataset(**{**_parts(data), "mask": mask})
    own = [rule for rule in model.facts["gaps"] if rule[0] == "weight"]
    for rules, odd in (([["start", "", [], [0.004]], *own], [2]), (own, [0, 2])):
        shares = _seldom_empty(model.with_facts(gaps=rules), holed, rows)
        assert np.flatnonzero(shares[0] < SELDOM).tolist() == odd, names
        assert (shares[0] == [0.0 if k in odd else 1.0 for k in range(4)]).all()


def test_cells_against_a_rule_have_the_share_of_the_rows_that_break_it(
    trained: tuple[TrainedModel, latens.Dataset],
) -> None:
    """Dates out of order: (broken + 1) / (rows + 2); a gap: its share among rows like its own, below a hundredth."""
    model, data = trained
    (rule,) = ordered.read(model.facts["ordered"])
    found = blame(model, data, np.array([BROKEN, EMPTY, 20]), others=700, cells=4)
    end = lambda one: one.p_value[0, one.column[0].tolist().index(1)]  # noqa: E731
    (told,) = [one for one in gaps.read(model.facts["gaps"]) if one.column == "weight"]
    assert told.other == "ward"
    share = told.shares[(data.schema.types or ())[2].values.index("a")]
    assert share < SELDOM
    assert (found.column[1, 0], found.p_value[1, 0]) == (3, pytest.approx(share))
    assert named_cells(found, data, np.array([BROKEN, EMPTY, 20]))["value_1"][EMPTY] == "empty"
    without = model.with_facts(ordered=[], gaps=[])
    plain = blame(without, data, np.array([BROKEN, EMPTY, 20]), others=700, cells=4)
    assert end(plain) > 0.01  # the model itself says little
    assert end(found) == pytest.approx((rule.broken + 1) / (rule.rows + 2))
    assert 3 not in plain.column[1]  # an empty cell says nothing by itself
    np.testing.assert_array_equal(plain.p_value[2], found.p_value[2])
    np.testing.assert_array_equal(plain.column[2], found.column[2])


def test_a_gap_that_many_rows_like_it_have_is_not_odd(trained: tuple[TrainedModel, latens.Dataset]) -> None:
    model, data = trained
    assert data.mask is not None
    usual = np.flatnonzero(~data.mask[:, 3] & (data.x[:, 2] == (data.schema.types or ())[2].values.index("c")))[:5]
    assert not (blame(model, data, usual, others=700, cells=4).column == 3).any()
