"""Conditions: columns of names and numbers that a model is told, exact from the table to what is decoded."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

import latens
from latens.config import override
from latens.data import load
from latens.data.conditions import GIVEN, brought, cells_of, one_vector, parse_given
from latens.data.schema import Condition, Schema
from latens.errors import ConfigError, DataError, ModelFileError, UsageError
from latens.explorer.decoder import folded
from latens.explorer.page_columns import manifest_columns
from latens.explorer.whatif import answers, whatif_columns
from latens.models.conditional import Conditional, with_usual
from latens.trained.sample_sets import SampleSets
from latens.trained.trained_model import TrainedModel

RANDOM = np.random.default_rng(0)
BATCH = np.array(["b", "a", "c", "a"] * 15)
AGE = np.arange(60) % 7 * 10.0
X = RANDOM.normal(size=(60, 3)).round(3)
KIND = np.array(["T", "B", "T"] * 20)


def table(path: Path, **columns: Any) -> Path:
    columns = {"g1": X[:, 0], "batch": BATCH, "g2": X[:, 1], "age": AGE, "g3": X[:, 2], "kind": KIND} | columns
    kept = {name: column for name, column in columns.items() if column is not None}
    rows = zip(*(np.asarray(column).tolist() for column in kept.values()))
    path.write_text("\n".join(",".join(map(str, row)) for row in (tuple(kept), *rows)) + "\n")
    return path


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return table(tmp_path / "cells.csv")


def model_of(data: latens.Dataset, recipe: str = "conditional-vae", **settings: Any) -> TrainedModel:
    """An untrained model of data, as `fit` would begin it."""
    chosen = {"network.hidden": [5], "posterior.latent_dim": 2, **settings}
    config = override(latens.recipes.get_recipe(recipe).config, chosen)
    experiment = latens.fitting.prepare(config, data)
    model = experiment.recipe.model(data.schema, experiment.parts, key=jax.random.key(0))
    return TrainedModel(model, data.schema, experiment.preparation, experiment.config)


def test_conditions_are_no_columns_but_a_vector_that_is_0_where_all_is_usual(cells: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    assert [column.name for column in data.schema.columns or ()] == ["g1", "g2", "g3"]
    assert np.allclose(data.x, X, atol=1e-6)
    batch, age = data.schema.conditions or ()
    train = data.split == 0
    assert (batch.values, batch.usually, batch.width) == (("a", "b", "c"), "a", 3)
    assert (age.values, age.low, age.high) == ((), AGE[train].min(), AGE[train].max())
    assert age.usual == np.sort(AGE[train])[(train.sum() - 1) // 2]
    assert age.scale == AGE[train].std()
    hot = np.array([np.eye(3)["abc".index(name)] - np.eye(3)[0] for name in BATCH])
    wanted = np.column_stack([hot, (AGE - age.usual) / age.scale]).astype(np.float32)
    assert np.array_equal(data.cond[GIVEN], wanted)
    assert not one_vector(data.schema.conditions, {}, "given").any()
    back = cells_of(data.schema.conditions, data.cond[GIVEN])
    assert back["batch"].tolist() == BATCH.tolist()
    assert np.allclose(back["age"], AGE, atol=1e-4)
    assert data.notes[-1] == "conditions: batch (3 names), age (0 to 60); if age holds codes: --condition age:names"
    assert Schema.from_json(data.schema.to_json()) == data.schema
    assert "conditions" not in load(cells, label="kind").schema.to_json()


def test_numbers_that_are_codes_are_names_when_asked(tmp_path: Path) -> None:
    coded = table(tmp_path / "coded.csv", batch=["abc".index(name) + 1 for name in BATCH])
    data = load(coded, label="kind", condition="batch:names")
    assert (data.schema.conditions or ())[0].values == ("1", "2", "3")
    assert np.array_equal(data.cond[GIVEN], load(coded, label="kind", schema=data.schema).cond[GIVEN])
    assert (load(coded, label="kind", condition="batch").schema.conditions or ())[0].values == ()


def test_arrays_and_files_are_conditions(tmp_path: Path) -> None:
    np.save(tmp_path / "age.npy", AGE)
    one = load(X, condition={"age": AGE, "batch": BATCH})
    two = load(X, condition=[str(tmp_path / "age.npy")])
    assert np.array_equal(one.cond[GIVEN][:, :1], two.cond[GIVEN])
    assert [c.name for c in two.schema.conditions or ()] == ["age"]
    new = load(X, schema=one.schema, condition={"age": 30, "batch": "c"})
    said = one_vector(one.schema.conditions, {"age": 30, "batch": "c"}, "")
    assert np.array_equal(new.cond[GIVEN], np.tile(said, (60, 1)))


def test_frames_are_read_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    columns = {"g": X[:, 0], "h": X[:, 1], "batch": BATCH, "sure": AGE > 30, "kind": KIND}
    frame = pandas.DataFrame(columns, index=range(7, 67))
    data = load(frame, label="kind", condition=["batch", "sure"])
    assert [one.values for one in data.schema.conditions or ()] == [("a", "b", "c"), ("False", "True")]
    assert data.x.shape == (60, 2)


WRONG = {
    "a column that is not there": (
        {"condition": "bath"},
        r"has no column 'bath', a condition\. .*Did you mean 'batch'",
    ),
    "twice": ({"condition": ["age", "age"]}, r"the condition 'age' is given twice"),
    "nothing left": ({"condition": ["g1", "g2", "g3", "age", "batch"]}, r"has no column other than the conditions"),
    "too short": ({"condition": {"age": [1, 2]}}, r"the condition 'age' has 2 values for 60 rows"),
    "no row": ({"condition": {"age": np.ones((60, 2))}}, r"the condition 'age' is of shape \(60, 2\)"),
    "a gap": ({"condition": {"age": [np.nan, *AGE[1:]]}}, r"row 0 has no 'age', a condition \(1 rows lack it\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_condition_is_named(name: str, cells: Path) -> None:
    options, words = WRONG[name]
    with pytest.raises((DataError, UsageError), match=words):
        load(cells, label="kind", **options)


def test_new_rows_bring_the_conditions_of_the_model(cells: Path, tmp_path: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    schema = data.schema
    assert np.array_equal(load(cells, schema=schema, label="kind").cond[GIVEN], data.cond[GIVEN])
    lacking = table(tmp_path / "lacking.csv", batch=None)
    with pytest.raises(DataError, match=r"has no 'batch', a condition that the model reads\. .*--given batch=a"):
        load(lacking, schema=schema, label="kind")
    said = load(lacking, schema=schema, label="kind", condition={"batch": "c"}).cond[GIVEN]
    assert (said[:, :3] == [-1, 0, 1]).all()
    strange = table(tmp_path / "strange.csv", batch=np.array(["z", "a"] * 30))
    with pytest.raises(DataError, match=r"the condition 'batch' has no name 'z'; no training row had it"):
        load(strange, schema=schema, label="kind")
    with pytest.raises(UsageError, match=r"the model reads no condition 'bath'"):
        load(cells, schema=schema, label="kind", condition={"bath": "c"})


def test_other_recipes_refuse_conditions(cells: Path) -> None:
    data = load(cells, label="kind", condition="batch")
    for recipe in ("default", "mlq-gaussian"):
        with pytest.raises(ConfigError, match=r"batch\.|reads no conditions"):
            latens.fitting.prepare(latens.recipes.get_recipe(recipe).config, data)


READING = [("conditional-vae", {}), ("m2", {}), ("default", {"label": "condition"}), ("iwae", {"label": "condition"}),
           ("conditional-vae", {"label.prior": "class"}), ("student-t-vae", {"label": "condition"})]  # fmt: skip


@pytest.mark.parametrize(("recipe", "settings"), READING)
def test_every_recipe_that_reads_labels_reads_conditions(recipe: str, settings: dict[str, Any], cells: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    model = model_of(data, recipe, **settings).model
    parts = jax.tree.leaves(model, is_leaf=lambda part: isinstance(part, Conditional))
    assert sum(getattr(part, "reads", ()) == ("label", GIVEN) for part in parts) == 2
    without = load(cells, label="none", condition="age")
    if recipe == "conditional-vae" and not settings:
        assert model_of(load(table(cells, kind=None), condition="age")).model.decoder.reads == (GIVEN,)
        assert without.schema.conditions is not None


def test_what_is_decoded_moves_by_the_weights_of_the_condition(cells: Path) -> None:
    data = load(table(cells, kind=None), condition=["batch", "age"])
    trained = model_of(data, **{"network.hidden": [4], "network.activation": "identity"})
    z = RANDOM.normal(size=(6, 2)).astype(np.float32)
    layers = trained.model.decoder.network.layers
    inner, outer = np.asarray(layers[0].weight), np.asarray(layers[1].weight)
    c_at_60 = {"batch": "c", "age": 60}
    vector = one_vector(data.schema.conditions, c_at_60, "given")
    scales = np.array([column.scale for column in data.schema.columns or ()])
    moved = scales * (vector @ inner[2:] @ outer)[:3]
    usual, given = trained.decode(z), trained.given(c_at_60).decode(z)
    assert np.allclose(given - usual, moved, atol=1e-5)
    as_rows = latens.latents.decode(trained.model, z, cond={GIVEN: np.tile(vector, (6, 1))})
    assert np.array_equal(given, as_rows)
    assert np.array_equal(trained.given({}).decode(z), usual)


def test_a_condition_that_the_data_ignore_gives_the_same_rows(cells: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    trained = model_of(data)
    where = lambda model: model.decoder.network.layers[0].weight  # noqa: E731
    ignoring = eqx.tree_at(where, trained.model, where(trained.model).at[-4:].set(0.0))
    deaf = TrainedModel(ignoring, trained.schema, trained.preparation, trained.config)
    told = zip("abc", (0, 30, 60))
    rows = {value: deaf.sample(9, seed=1, given={"batch": value, "age": age}) for value, age in told}
    assert np.array_equal(rows["a"], rows["b"])
    assert np.array_equal(rows["a"], rows["c"])
    assert np.array_equal(rows["a"], deaf.sample(9, seed=1))
    assert not np.array_equal(trained.sample(9, seed=1, given={"batch": "b"}), trained.sample(9, seed=1))
    with pytest.raises(UsageError, match=r"the model reads no condition 'bath'\. .*Did you mean 'batch'"):
        trained.given({"bath": "b"})
    with pytest.raises(DataError, match=r"the condition 'age' is a number, .* 'old' is none"):
        trained.given({"age": "old"})


def test_rows_bring_their_own_conditions_to_a_model_that_is_told(cells: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    trained = model_of(data)
    assert np.array_equal(trained.given({"batch": "c"}).reconstruct(data), trained.reconstruct(data))
    with pytest.raises(DataError, match=r"has no batch, age, which the model reads as conditions"):
        trained.batch(X.astype(np.float32), label=np.zeros(60, np.int32))
    assert with_usual(trained.model, np.ones(4)).decoder.usual.value.tolist() == [1.0] * 4


def test_what_rows_bring_beside_what_is_said_is_told_by_condition() -> None:
    known = (Condition("batch", ("a", "b", "c")), Condition("age", scale=2.0), Condition("sex", ("m", "f")))
    said = {"age": 30.0, "sex": "f"}
    rows = np.tile(one_vector(known, said, "given"), (3, 1))
    assert brought(known, rows, said) == []
    for column, name in ((3, "age"), (5, "sex")):
        moved = rows.copy()
        moved[1, column] += 1.0
        assert brought(known, moved, said) == [name]
    rows[2, 0] += 1.0  # of the batch nothing was said
    assert brought(known, rows, said) == []


def test_a_file_keeps_conditions(cells: Path, tmp_path: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    trained = model_of(data)
    trained.save(tmp_path / "model.safetensors")
    again = latens.load(tmp_path / "model.safetensors")
    assert again.schema == trained.schema
    assert np.array_equal(again.sample(5, given={"batch": "b"}), trained.sample(5, given={"batch": "b"}))


def test_what_is_typed_is_read() -> None:
    known = (Condition("a=b", ("x=1", "y")), Condition("age"))
    assert parse_given(["a=b=x=1", "age=-3e1"], known) == {"a=b": "x=1", "age": "-3e1"}
    for wrong, words in ((["age"], "'age' is not CONDITION=VALUE"), (["age=1", "age=2"], "'age' is given twice")):
        with pytest.raises(UsageError, match=words):
            parse_given(wrong, known)


@pytest.mark.parametrize(
    "entry", [{"name": "n", "values": ["a"], "usual": 1.0}, {"name": "n", "scale": 0.0}, {"name": 3}]
)
def test_a_stranger_s_schema_is_checked(entry: dict[str, Any]) -> None:
    schema = load(X).schema.to_json()
    with pytest.raises(ModelFileError, match=r"schema\.conditions"):
        Schema.from_json({**schema, "conditions": [entry]})
    with pytest.raises(ModelFileError, match=r"schema\.conditions: .*twice|holds a name twice"):
        Schema.from_json({**schema, "conditions": [{"name": "n"}, {"name": "n"}]})


def test_the_explorer_decodes_what_is_given(cells: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    told = model_of(data).given({"batch": "b", "age": 50})
    assert told.told == "batch=b, age=50"
    model, z, label = folded(told.model), jax.numpy.array([0.5, -1.0]), jax.numpy.array([0.0, 1.0])
    assert model.decoder.reads == ("label",)
    means = [one.likelihood(z, cond={"label": label}).mean() for one in (model, told.model)]
    assert np.allclose(*means, atol=1e-6)
    files: dict[str, bytes] = {}
    columns = manifest_columns(data, np.arange(60), files)
    shown = [(one["name"], one["kind"], one["role"]) for one in columns[:3]]
    assert shown == [("kind", "category", "label"), ("batch", "category", "condition"), ("age", "number", "condition")]
    codes = np.frombuffer(files[columns[1]["file"]], np.int32)
    assert np.array(columns[1]["levels"])[codes].tolist() == BATCH.tolist()
    assert np.allclose(np.frombuffer(files[columns[2]["file"]], np.float32), AGE)


def test_what_if_asks_the_model_as_it_is_told(tmp_path: Path) -> None:
    data = load(table(tmp_path / "cells.csv", kind=KIND), condition=["batch", "age"])
    trained = model_of(data, **{"label": "condition"})
    assert (data.schema.kind, data.label) == ("mixed", None)
    assert [one["name"] for one in whatif_columns(trained) or ()] == ["g1", "g2", "g3", "kind"]
    found = [
        json.loads((answers(one) or bytes)(b'{"given": [[3, 0]]}'))["columns"]
        for one in (trained, trained.given({}), trained.given({"batch": "c", "age": 60}))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_samples_to_be_judged_are_given_the_conditions_of_rows(cells: Path) -> None:
    data = load(cells, label="kind", condition=["batch", "age"])
    sets = SampleSets(model_of(data), data, data.subset("train"), 0)
    cond = sets.conditions(500)
    rows = np.column_stack([np.eye(2, dtype=np.float32)[data.label], data.cond[GIVEN]])[sets.positions]
    drawn = np.column_stack([cond["label"], cond[GIVEN]])
    wanted, count = np.unique(rows, axis=0, return_counts=True)
    found, times = np.unique(drawn, axis=0, return_counts=True)
    assert np.array_equal(found, wanted)  # label and conditions of one row stay together
    assert np.abs(times / 500 - count / len(rows)).max() <= 1 / len(rows)
