"""What a frame brings beside its rows, column by column: taken out by name, known again later, and put back."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import latens
from latens import read
from latens.data.conditions import GIVEN, cells_of
from latens.errors import DataError, UsageError
from latens.estimators import frames as roles

COLUMNS = {
    "x": np.arange(6.0),
    "y": list("abcabc"),
    "w": [1, 2, 1, 2, 1, 2],
    "dose": np.arange(6) / 2,
    "kind": list("uvuvuv"),
}
FRAMES = {"pandas": lambda: pd.DataFrame(COLUMNS, index=range(3, 9)), "polars": lambda: pl.DataFrame(COLUMNS)}
frames = pytest.mark.parametrize("library", FRAMES)


@frames
def test_roles_are_those_that_a_kind_of_rows_names(library):
    frame = FRAMES[library]()
    found, named = roles.roles_of(latens.Table(frame, label="y", weight="w", condition="dose", columns={"x": "number"}))
    assert (named.label, named.weight, named.conditions, named.columns) == ("y", "w", ("dose",), {"x": "number"})
    assert list(found.columns) == list(frame.columns)
    assert roles.roles_of(latens.Numbers(frame, condition=["dose", "kind:names"]))[1].conditions == (
        "dose",
        "kind:names",
    )
    assert roles.roles_of(frame)[1] == roles.Named()
    kinds = [latens.Table(frame), latens.Numbers(frame)]
    assert [roles.roles_of(one)[1].columns for one in kinds] == [{}, None]
    # What is no name, and what frames do not say, is for `read`.
    more = [{"label": np.arange(6)}, {"missing": "nan"}, {"row_id": "w"}, {"label": "y", "missing": "nan"}]
    for beside in (latens.Numbers(frame, **given) for given in more):
        assert roles.roles_of(beside)[0] is beside


@frames
def test_labels_and_weights_are_taken_out_once(library):
    frame, named = FRAMES[library](), roles.Named(label="y", weight="w")
    left, y, weight = roles.apart(frame, None, None, named)
    assert (list(left.columns), list(y), list(weight)) == (["x", "dose", "kind"], list("abcabc"), [1, 2, 1, 2, 1, 2])
    left, y, weight = roles.apart(frame, None, [3] * 6, roles.Named(label="y"))
    assert (list(left.columns), weight) == (["x", "w", "dose", "kind"], [3] * 6)
    for given, what in (((list("zzzzzz"), None), "label"), ((None, np.ones(6)), "weight")):
        with pytest.raises(UsageError, match="is given twice") as error:
            roles.apart(frame, *given, named)
        assert error.value.where == what
    assert roles.without(frame, []) is frame
    with pytest.raises(DataError, match="has no column 'yy'"):
        roles.column(frame, "yy", "label")
    with pytest.raises(UsageError, match="X has no names"):
        roles.column(np.zeros((6, 2)), "y", "label")


@frames
def test_later_rows_may_lack_labels_and_must_have_conditions(library):
    rows, named = FRAMES[library](), roles.Named(label="y", weight="w")
    left, cells = roles.condition_cells(rows, ["dose", "kind:names"])
    assert (list(left.columns), list(cells)) == (["x", "y", "w"], ["dose", "kind:names"])
    data = replace(read(np.arange(6.0)[:, None]), split=np.array([0, 0, 0, 0, 1, 2], np.uint8))
    made = roles.conditioned(data, {"dose": cells["dose"], "kind": cells["kind:names"]}, fresh=True)
    dose, kind = made.schema.conditions
    assert (dose.name, dose.low, dose.high) == ("dose", 0.0, 1.5)  # of training rows
    assert (kind.name, kind.values) == ("kind", ("u", "v"))
    assert made.cond[GIVEN].shape == (6, 3)
    later = roles.conditioned(made, {"kind": ["v"] * 6, "dose": [1.0] * 6}, fresh=False)
    assert later.schema.conditions == made.schema.conditions
    assert {name: set(cell) for name, cell in cells_of(later.schema.conditions, later.cond[GIVEN]).items()} == {
        "dose": {1.0},
        "kind": {"v"},
    }
    assert roles.conditioned(data, {}, fresh=True) is data
    left, y, given = roles.known_apart(rows, None, named, made.schema)
    assert (list(left.columns), list(y)) == (["x"], list("abcabc"))
    assert (list(given["dose"]), list(given["kind"])) == (list(COLUMNS["dose"]), list("uvuvuv"))
    _, y, _ = roles.known_apart(rows, [0] * 6, named, made.schema)
    assert y == [0] * 6  # given beside the frame
    left, y, _ = roles.known_apart(roles.without(rows, ["y", "w"]), None, named, made.schema)
    assert (list(left.columns), y) == (["x"], None)
    with pytest.raises(DataError, match="lacks the column 'kind', a condition"):
        roles.known_apart(roles.without(rows, ["kind"]), None, named, made.schema)
    with pytest.raises(DataError, match="reads the conditions dose, kind"):
        roles.known_apart(np.zeros((6, 1)), None, named, made.schema)
    assert roles.known_apart(np.zeros((6, 1)), 3, named, data.schema)[1:] == (3, {})


@frames
def test_cells_are_put_back_into_the_whole_frame(library):
    rows = FRAMES[library]()
    made = roles.without(rows, ["y", "w", "kind"])
    made = made.assign(x=made["x"] + 1) if library == "pandas" else made.with_columns(pl.col("x") + 1)
    back = roles.put_back(rows, made)
    assert list(back.columns) == list(COLUMNS)
    assert (list(back["x"]), list(back["y"])) == ([1, 2, 3, 4, 5, 6], list("abcabc"))
    assert roles.put_back(made, made) is made
    assert roles.put_back(np.zeros(3), made) is made


def test_gaps_of_steps_are_filled_where_they_stood():
    """Of lines, arrays and lists; a step without a line is left out, and what was seen stays."""
    table = pd.DataFrame({"who": list("aabbb"), "t": [0, 1, 0, 1, 2], "u": [1.0, np.nan, 3.0, 4.0, 5.0], "v": 9.0})
    data = read(table, sequence="who", time="t", missing="nan")
    filled = 10.0 * np.arange(12.0).reshape(2, 3, 2)
    found = roles.with_filled_steps(table, data, filled)
    assert found["u"].tolist() == [1.0, 20.0, 3.0, 4.0, 5.0]
    assert found["v"].tolist() == [9.0] * 5
    parts = {"p": np.array([[1.0], [np.nan]]), "q": np.array([[np.nan], [2.0], [3.0]]), "r": np.array([[4.0]])}
    filled = np.concatenate([filled, filled[:1]])
    found = roles.with_filled_steps(parts, read(parts), filled[..., :1])
    assert {name: part.ravel().tolist() for name, part in found.items()} == {
        "p": [1.0, 20.0],
        "q": [60.0, 2.0, 3.0],
        "r": [4.0],
    }
    listed = roles.with_filled_steps(list(parts.values()), read(list(parts.values())), filled[..., :1])
    assert [part.ravel().tolist() for part in listed] == [[1.0, 20.0], [60.0, 2.0, 3.0], [4.0]]


def test_labels_and_weights_stand_beside_sequences():
    parts, named = [np.ones((2, 1)), np.zeros((3, 1)), np.ones((1, 1))], roles.Named()
    data = roles.long_dataset(parts, list("aba"), [1.0, 2.0, 3.0], named, schema=None)
    assert (data.label.tolist(), data.weight.tolist()) == ([0, 1, 0], [1.0, 2.0, 3.0])
    assert data.split.tolist() == [0, 0, 0]  # all of them train
    table = pd.DataFrame({"who": list("aabb"), "t": [0, 1] * 2, "u": 1.0, "y": list("kkll"), "w": [2.0, 2.0, 3.0, 3.0]})
    rows = latens.Steps(table, sequence="who", time="t", label="y", weight="w")
    data = roles.long_dataset(rows, None, None, named, schema=None)
    assert (data.schema.classes, data.label.tolist(), data.weight.tolist()) == (("k", "l"), [0, 1], [2.0, 3.0])
    later = latens.Steps(table.drop(columns=["y", "w"]), sequence="who", time="t", label="y", weight="w")
    assert roles.long_dataset(later, None, None, named, schema=data.schema).label is None
    assert roles.is_long(parts, None)
    assert not roles.is_long(np.ones((2, 3)), None)
    assert roles.is_long(np.ones((2, 3)), data.schema)


@pytest.mark.parametrize("fraction", [0.25, None])
def test_steps_validate_where_a_share_of_rows_is_to_do_so(fraction):
    """Those that the kind of rows keeps, without those that test; where none is to validate, all of them train."""
    one = latens.VAE(settings={"validation_fraction": fraction})
    walk = np.cumsum(np.random.default_rng(0).normal(size=(40, 5, 2)), axis=1)
    split = one._long(latens.Steps(list(walk)), None, None, None).split
    assert (np.count_nonzero(split == 1) > 0) == (fraction is not None)
    assert set(np.unique(split)) <= {0, 1}
