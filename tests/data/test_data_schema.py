"""Schemas: told from the data, and read from files a stranger may have written."""

import json

import numpy as np
import pytest

from latens.data import Column, Schema, infer_schema, load
from latens.data.checks import lost_digits
from latens.data.infer import Extent, sequence_schema
from latens.data.row_fields import row_conditions
from latens.errors import DataError, ModelFileError
from latens.kinds.steps.sequences import Sequences

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (50, 4, 4))


@pytest.mark.parametrize(
    ("x", "kind", "levels", "dtype"),
    [
        (PICTURES > 100, "binary", None, np.uint8),
        ((PICTURES > 100).astype(float), "binary", None, np.uint8),
        (PICTURES.astype(np.uint8), "levels", 256, np.uint8),
        (PICTURES.astype(np.int64), "levels", 256, np.uint8),
        (PICTURES.astype(float), "levels", 256, np.uint8),
        (np.minimum(PICTURES, 16).astype(np.uint8), "levels", 17, np.uint8),
        (np.minimum(PICTURES, 17).astype(np.uint8), "levels", 256, np.uint8),
        (np.minimum(PICTURES, 3).astype(np.uint8).reshape(50, 16), "levels", 4, np.uint8),
        (PICTURES / 255.0, "unit", None, np.float32),
        (PICTURES - 1, "real", None, np.float32),
        (PICTURES * 2, "real", None, np.float32),
        (PICTURES.reshape(50, 16), "real", None, np.float32),  # a table of whole numbers
        ((PICTURES / 255.0).reshape(50, 16), "real", None, np.float32),
    ],
)
def test_kinds(x: np.ndarray, kind: str, levels: int | None, dtype: type) -> None:
    data = load(x)
    assert (data.schema.kind, data.schema.levels, data.x.dtype) == (kind, levels, dtype)
    assert np.array_equal(data.x, x.astype(dtype))


def test_scaling_is_that_of_the_training_rows_alone() -> None:
    x = RNG.normal([1e4, -3.0], [2.0, 0.01], (400, 2))
    data = load(x)
    train = x[data.split == 0]
    for column, values in zip(data.schema.columns, train.T):
        assert column.shift == pytest.approx(float(np.mean(values)), rel=1e-14)
        assert column.scale == pytest.approx(float(np.std(values)), rel=1e-12)
    moved = x.copy()
    moved[data.split != 0] += 100
    assert load(moved).schema == data.schema


def test_columns_that_do_not_vary_have_scale_1() -> None:
    x = np.c_[np.full(100, 0.1), np.arange(100.0)]
    shift_scale = [(c.shift, c.scale) for c in load(x).schema.columns]
    assert shift_scale[0] == (pytest.approx(0.1, rel=1e-12), 1.0)
    assert shift_scale[1][1] > 20


def test_what_is_known_of_cells_is_the_same_in_blocks() -> None:
    for x in (RNG.poisson(3.0, 999).astype(float), RNG.normal(size=999), np.append(np.zeros(998), 400.0)):
        whole, blocks = Extent.of(x[:, None], tail=True), Extent(tail=True)
        for part in np.array_split(x, 7):
            blocks.add(part)
        assert vars(whole) == vars(blocks)
        assert (whole.size, whole.low, whole.high) == (999, x.min(), x.max())


def test_scaling_of_steps_is_that_of_the_training_rows_alone() -> None:
    x, train = RNG.normal(size=(9, 4, 2)), np.arange(9) % 3 == 1
    given = Sequences(columns=(Column("a"), Column("b")))
    for seen in (None, RNG.random(x.shape) < 0.7):
        found = sequence_schema(x, train, given, seen, "rows").sequences
        some = np.where(True if seen is None else seen, x, np.nan)[train].reshape(-1, 2)
        np.testing.assert_allclose([one.shift for one in found.columns], np.nanmean(some, axis=0))
        np.testing.assert_allclose([one.scale for one in found.columns], np.nanstd(some, axis=0))


def test_conditions_of_rows_keep_their_type() -> None:
    for dtype, kept in ((bool, np.int32), (np.uint8, np.int32), (np.int64, np.int32), (np.float64, np.float32)):
        found = row_conditions({"a": np.ones((3, 2), dtype), "b": [[0]] * 3}, 3, "rows")
        assert {name: one.dtype for name, one in found.items()} == {"a": kept, "b": np.int32}


@pytest.mark.parametrize("unknown", ["error", "missing"])
def test_a_condition_of_a_table_that_no_training_row_had_is_refused(unknown: str) -> None:
    rows = {"a": RNG.normal(size=60), "b": RNG.normal(size=60)}
    schema = load(rows | {"town": ["Lyon", "Oslo"] * 30}, condition="town").schema
    with pytest.raises(DataError, match="has no name 'Olso'; no training row had it") as caught:
        load(rows | {"town": ["Lyon", "Olso"] * 30}, schema=schema, unknown=unknown)
    assert caught.value.fix == "Did you mean 'Oslo'?"


def test_missing_cells_do_not_count_and_get_the_training_mean() -> None:
    x = RNG.normal(size=(200, 2))
    x[::7, 0] = np.nan
    data = load(x, missing="nan")
    train = data.split == 0
    mean = float(np.nanmean(x[train, 0]))
    assert data.schema.columns[0].shift == pytest.approx(mean, rel=1e-13)
    assert data.schema.columns[0].scale == pytest.approx(float(np.nanstd(x[train, 0])), rel=1e-12)
    assert np.all(data.x[::7, 0] == np.float32(mean))
    assert (~data.mask).sum() == len(x[::7])


def test_missing_pixels_get_a_rounded_mean_and_keep_their_kind() -> None:
    x = PICTURES.astype(float)
    x[:, 0, 0] = 10.0
    x[::2, 0, 0] = 11.0
    x[5] = np.nan
    data = load(x, missing="nan")
    assert (data.schema.kind, data.x.dtype) == ("levels", np.uint8)
    train = data.split == 0
    assert data.x[5].tolist() == np.round(np.nanmean(x[train], axis=0)).astype(int).tolist()


SCHEMAS = [
    Schema((28, 28), "levels", 256),
    Schema((3,), "real", columns=(Column("a", 1.5, 0.1), Column("b", -1e-300, 1e-30), Column("ç"))),
    Schema((4,), "binary", classes=("cat", "dog")),
    Schema((2, 2), "unit"),
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_json_round_trip_is_exact(schema: Schema) -> None:
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_numbers_and_text_of_numpy_become_plain_ones() -> None:
    scale, name = np.float64(0.1), np.str_("a")
    made = Schema((np.int64(1),), "real", columns=(Column(name, np.float32(0.5), scale),), classes=(name,))
    assert json.loads(json.dumps(made.to_json())) == {
        "shape": [1], "kind": "real", "levels": None, "classes": ["a"], "shift": 0.0, "scale": 1.0,
        "columns": [{"name": "a", "shift": 0.5, "scale": 0.1}],
    }  # fmt: skip


GOOD = {"shape": [2], "kind": "real", "columns": [{"name": n, "shift": 0.0, "scale": 1.0} for n in "ab"]}


def changed(**changes) -> dict:
    return {**GOOD, **changes}


def column(**changes) -> dict:
    return changed(columns=[GOOD["columns"][0], {**GOOD["columns"][1], **changes}])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "schema: Expected `object`, got `array`"),
        ({"shape": [2]}, "schema: Object missing required field `kind`"),
        (changed(extra=1), "schema: Object contains unknown field `extra`"),
        (changed(shape="28"), "schema.shape: Expected `array`, got `str`"),
        (changed(shape=[0]), r"schema.shape\[0\]: Expected `int` >= 1"),
        (changed(shape=[2.0]), r"schema.shape\[0\]: Expected `int`, got `float`"),
        (changed(shape=[True, 2]), r"schema.shape\[0\]: Expected `int`, got `bool`"),
        (changed(shape=[2**14, 2**14], columns=None), "more than 134217728 cells"),
        (changed(shape=[1] * 9, columns=None), "schema.shape: Expected `array` of length <= 8"),
        (changed(kind="imag"), "schema.kind: Invalid enum value 'imag'"),
        (changed(kind=["real"]), "schema.kind: Expected `str`, got `array`"),
        (changed(kind="levels"), "schema.levels"),
        (changed(kind="levels", levels=1), "schema.levels: Expected `int` >= 2"),
        (changed(kind="levels", levels=65537), "schema.levels: Expected `int` <= 65536"),
        (changed(levels=3), "only kind 'levels'"),
        (changed(shape=[3]), "has 2 columns for rows of shape"),
        (column(name="a"), "a name twice"),
        (column(name=3), r"schema.columns\[1\].name: Expected `str`, got `int`"),
        (column(name="x" * 1001), r"schema.columns\[1\].name: Expected `str` of length <= 1000"),
        (column(shift=float("nan")), r"schema.columns\[1\].shift: Expected `float` >= -1e\+38"),
        (column(shift=10**400), r"schema.columns\[1\].shift: Number out of range"),
        (column(shift="0"), r"schema.columns\[1\].shift: Expected `float`, got `str`"),
        (column(shift=1e39), r"schema.columns\[1\].shift: Expected `float` <= 1e\+38"),
        (column(scale=0), r"schema.columns\[1\].scale: Expected `float` >= 1e-37"),
        (column(scale=-1.0), r"schema.columns\[1\].scale: Expected `float` >= 1e-37"),
        (column(scale=1e300), r"schema.columns\[1\].scale: Expected `float` <= 1e\+37"),
        (column(code="import os"), r"schema.columns\[1\]: Object contains unknown field `code`"),
        (changed(classes="ab"), "schema.classes: Expected `array \\| null`, got `str`"),
        (changed(classes=["a", "a"]), "a name twice"),
        (changed(classes=["a"] * 65537), "schema.classes: Expected `array` of length <= 65536"),
    ],
)
def test_hostile_schemas(value, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        Schema.from_json(value)


def test_every_inferred_schema_passes_its_own_checks() -> None:
    tiny = RNG.normal(size=(60, 3)) * [1e-36, 1e36, 1e-300]
    with pytest.raises(DataError, match=r"column 'x2' varies from .* which single precision takes as 0\."):
        load(tiny, label=np.arange(60))
    tiny[:, 2] = tiny[0, 2]  # what does not vary has a schema, however small it is
    for x in (tiny, PICTURES, PICTURES / 255, tiny[:1]):
        schema = load(x, label=np.arange(len(x))).schema
        assert Schema.from_json(schema.to_json()) == schema
    with pytest.raises(DataError, match="column name is longer"):
        infer_schema(tiny, np.ones(60, bool), ["a", "b", "c" * 1001])


TRAINED = load(RNG.normal(size=(50, 3)), label=np.arange(50) % 2).schema


def test_data_for_a_trained_model_keep_its_schema() -> None:
    data = load(RNG.normal(size=(9, 3)) * 50, schema=TRAINED, label=np.array([1, 0, 7] * 3))
    assert data.schema == TRAINED
    assert data.label.tolist() == [1, 0, -1] * 3


def test_named_columns_are_put_in_the_models_order() -> None:
    pd = pytest.importorskip("pandas")
    schema = load(pd.DataFrame({"a": [1.5, 2.5], "b": [3.5, 4.5]})).schema
    assert load(pd.DataFrame({"b": [30.5], "a": [10.5]}), schema=schema).x.tolist() == [[10.5, 30.5]]
    with pytest.raises(DataError, match="lacks the column 'b'"):
        load(pd.DataFrame({"a": [1.5], "bb": [2.5]}), schema=schema)
    with pytest.raises(DataError, match="does not know: 'c'"):
        load(pd.DataFrame({"a": [1.5], "b": [2.5], "c": [1.0]}), schema=schema)


@pytest.mark.parametrize(
    ("schema", "x", "words"),
    [
        (Schema((2, 2), "binary"), np.full((1, 2, 2), 2), "each 0 or 1. Cut them at a threshold"),
        (Schema((2, 2), "levels", 17), np.full((1, 2, 2), 17), "each a whole number from 0 to 16"),
        (Schema((2, 2), "levels", 17), np.full((1, 2, 2), 1.5), "each a whole number from 0 to 16"),
        (Schema((2, 2), "unit"), np.full((1, 2, 2), 1.5), "each a number from 0 to 1. Scale them"),
        (Schema((2, 2), "unit"), np.full((1, 2, 3), 0.5), r"shape \(2, 3\), the model was trained on \(2, 2\)"),
    ],
)
def test_data_that_do_not_fit_a_model(schema: Schema, x: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(x, schema=schema)


@pytest.mark.parametrize("offset", [1e9, 1e11, 1e12, 1e15])
def test_numbers_without_a_digit_left_in_single_precision_are_refused(offset: float) -> None:
    far = np.random.default_rng(0).normal(size=(50, 2)) * 5 + np.array([0.0, offset])
    with pytest.raises(DataError, match=r"varies by .* around .*: single precision keeps none of its digits"):
        load(far)
    assert load(far - np.array([0.0, offset])).schema.columns[1].scale > 0.5
    for cells in (np.full(50, 0.1 + 0.2) + np.arange(50) * 1e-17, np.full(50, offset)):
        constant = load(np.stack([far[:, 0], cells], axis=1))
        assert constant.schema.columns[1].scale == 1.0
        assert lost_digits(constant.schema) == []  # it does not vary, and loses nothing
