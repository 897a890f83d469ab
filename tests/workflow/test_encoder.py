"""`Encoder`: the codes of `TrainedModel.encode`, whatever holds the rows and whichever process computes."""

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import GOLDEN

import latens
from latens.config import override
from latens.data import Preparation, Schema, load
from latens.errors import DataError
from latens.kinds.tables.typed import as_frame
from latens.recipes import get_recipe
from latens.workflow import encoder as module
from latens.workflow.experiment import prepare
from latens.workflow.trained import TrainedModel

TABLE = GOLDEN / "format-2-table.safetensors"
MIXED = GOLDEN / "format-2-mixed.safetensors"
PICTURES = GOLDEN / "format-2-pictures.safetensors"
ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
NAMES = ["mean0", "mean1", "log_variance0", "log_variance1"]


def same(found: dict[str, Any], path: Path, rows: Any) -> None:
    assert found["mean"].dtype == np.float32
    np.testing.assert_array_equal(found["mean"], TrainedModel.load(path).encode(rows))


def test_batches_of_arrays_and_lists() -> None:
    encoder = latens.Encoder(TABLE, keep=["id"])
    same(found := encoder({"x": ROWS, "id": np.arange(7)}), TABLE, ROWS)
    assert (list(found), found["id"].tolist()) == (["id", "mean", "log_variance"], list(range(7)))
    same(encoder({"x": ROWS.tolist(), "id": list(range(7))}), TABLE, ROWS)
    vectors = np.empty(7, object)
    vectors[:] = list(ROWS)
    same(latens.Encoder(TABLE, column="x")({"x": vectors, "other": vectors}), TABLE, ROWS)
    pictures = np.random.default_rng(0).integers(0, 4, (5, 2, 2)).astype(np.uint8)
    same(latens.Encoder(PICTURES)({"image": pictures}), PICTURES, pictures)
    same(latens.Encoder(PICTURES)({"image": pictures.reshape(5, 4)}), PICTURES, pictures)
    empty = encoder({"x": ROWS[:0], "id": []})
    assert {name: values.shape for name, values in empty.items()} == {
        "id": (0,),
        "mean": (0, 2),
        "log_variance": (0, 2),
    }


def test_frames_keep_their_index() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": list(ROWS), "id": range(7)}, index=range(10, 17))
    encoder = latens.Encoder(TABLE, column="x", keep=["id"])
    found = encoder(frame)
    assert (list(found.columns), list(found.index)) == (["id", *NAMES], list(range(10, 17)))
    same({"mean": found[NAMES[:2]].to_numpy()}, TABLE, ROWS)
    assert encoder.columns() == NAMES
    assert list(encoder(frame[:0]).columns) == ["id", *NAMES]


def test_tables_with_names_dates_and_gaps() -> None:
    """As frames and as columns by name, in any order, with others beside them."""
    pytest.importorskip("pandas")
    schema = TrainedModel.load(MIXED).schema
    stored = np.array([[2.0, 2.0, 0.0, 33.0, 1.0], [0.0, 1.0, 0.0, 31.0, 4.0]], np.float32)
    frame = as_frame(stored, schema)[::1].assign(visits=[np.nan, 1.0], note="-")
    frame = frame[list(frame.columns)[::-1]]
    data = load(frame.drop(columns="note"), schema=schema)
    assert data.mask is not None
    assert not data.mask.all()
    encoder = latens.Encoder(MIXED)
    found = encoder(frame)
    same({"mean": found[NAMES[:2]].to_numpy()}, MIXED, data)
    same(encoder({name: frame[name] for name in frame}), MIXED, data)
    assert list(encoder(frame[:0]).columns) == NAMES
    with pytest.raises(DataError, match="no column 'city'"):
        encoder(frame.drop(columns="city"))


def test_models_that_read_labels(tmp_path: Path) -> None:
    data = load("digits")
    small = {"network.hidden": [4], "posterior.latent_dim": 2}
    experiment = prepare(override(get_recipe("conditional-vae").config, small), data)
    made = TrainedModel(experiment.new_model(), data.schema, experiment.preparation, experiment.config)
    encoder = latens.Encoder(made.save(tmp_path / "model.safetensors"), label="digit")
    assert data.label is not None
    found = encoder({"digit": [str(code) for code in data.label[:5]], "image": data.x[:5]})
    np.testing.assert_array_equal(found["mean"], made.encode(data.x[:5], label=data.label[:5]))
    with pytest.raises(DataError, match="row 1 has no label that the model knows"):
        encoder({"digit": ["1", "eleven"], "image": data.x[:2]})


def test_labels_of_a_batch_are_numbered_as_the_model_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a model: what goes to `encode`, and which row has a label that it does not know."""
    encoder, rows = latens.Encoder("mine.safetensors", label="kind"), np.ones((3, 2))
    schema = Schema((2,), "real", classes=("x", "y", "z"))
    trained = TrainedModel(None, schema, Preparation(classes=3))
    monkeypatch.setattr(encoder, "_rows", lambda trained, batch: rows)
    monkeypatch.setattr(module, "_encoded", lambda trained, rows, label: {"mean": np.array(label)})
    np.testing.assert_array_equal(encoder._codes(trained, {"kind": ["z", "x", "z"]})["mean"], [2, 0, 2])
    with pytest.raises(DataError, match="row 2 has no label that the model knows") as error:
        encoder._codes(trained, {"kind": ["z", "x", "w"]})
    assert error.value.fix == "Valid: x, y, z."
    without = TrainedModel(None, schema, Preparation())
    assert encoder._codes(without, {"kind": ["z", "x", "z"]})["mean"].item() is None


def test_what_does_not_fit_is_refused() -> None:
    for encoder, batch, what in (
        (latens.Encoder(TABLE, keep=["id"]), {"x": ROWS}, "no column 'id'"),
        (latens.Encoder(TABLE, column="rows"), {"row": ROWS}, "no column 'rows'"),
        (latens.Encoder(TABLE), {"a": ROWS, "b": ROWS}, "which of the columns 'a', 'b' holds the rows"),
        (latens.Encoder(TABLE), {"x": ROWS[:, :2]}, r"rows of shape \(2,\)"),
        (latens.Encoder(TABLE), {"x": np.full((2, 3), np.nan)}, "is nan"),
    ):
        with pytest.raises(DataError, match=what):
            encoder(batch)


def test_a_model_is_loaded_once_and_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = latens.Encoder(TABLE)
    same(encoder({"x": ROWS}), TABLE, ROWS)
    sent = pickle.dumps(encoder)
    assert len(sent) < 500
    monkeypatch.setattr(module.TrainedModel, "load", None)
    np.testing.assert_array_equal(pickle.loads(sent)({"x": ROWS})["mean"], encoder({"x": ROWS})["mean"])


def test_a_spawned_process_gives_the_same_bits() -> None:
    encoder = latens.Encoder(TABLE)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(encoder, ({"x": ROWS},))
    expected = encoder({"x": ROWS})
    assert {name: values.tobytes() for name, values in found.items()} == {
        name: values.tobytes() for name, values in expected.items()
    }


def frame_of_pixels() -> tuple[Any, np.ndarray]:
    """Pictures as a frame with a column a pixel and an id, and as an array."""
    pixels = load("digits").x[:40]
    frame = pytest.importorskip("pandas").DataFrame(pixels.reshape(40, 64)).add_prefix("pixel")
    return frame.assign(id=range(40)), pixels


@pytest.mark.filterwarnings("ignore")  # Ray's own: it warns of its options, and leaves files and sockets open
def test_ray_data() -> None:
    ray, (frame, pixels) = pytest.importorskip("ray"), frame_of_pixels()
    ray.init(num_cpus=1, include_dashboard=False, configure_logging=False)
    try:
        options: dict[str, Any] = {"fn_constructor_args": ["pretrained:digits-2d"], "concurrency": 1, "batch_size": 16}
        made = ray.data.from_pandas(frame).map_batches(
            latens.Encoder, fn_constructor_kwargs={"keep": ["id"]}, **options
        )
        found = made.to_pandas().sort_values("id")
    finally:
        ray.shutdown()
    codes = latens.load("pretrained:digits-2d").encode(pixels)
    np.testing.assert_allclose(np.stack(found["mean"]), codes, rtol=1e-5, atol=1e-6)


def test_dask() -> None:
    """Threads and processes."""
    dask_frames, (frame, pixels) = pytest.importorskip("dask.dataframe"), frame_of_pixels()
    encoder = latens.Encoder("pretrained:digits-2d", keep=["id"])
    meta = {"id": "int64", **dict.fromkeys(encoder.columns(), "float32")}
    made = dask_frames.from_pandas(frame, npartitions=3).map_partitions(encoder, meta=meta)
    codes = latens.load("pretrained:digits-2d").encode(pixels)
    for scheduler in ("threads", "processes"):
        found = made.compute(scheduler=scheduler, num_workers=2)
        assert found["id"].tolist() == list(range(40))
        np.testing.assert_allclose(found[["mean0", "mean1"]], codes, rtol=1e-5, atol=1e-6)


def test_hugging_face_map() -> None:
    datasets, (_, pixels) = pytest.importorskip("datasets"), frame_of_pixels()
    rows = datasets.Dataset.from_dict({"image": pixels.tolist(), "id": list(range(40))})
    encoder = latens.Encoder("pretrained:digits-2d", column="image")
    found = rows.map(encoder, batched=True, batch_size=16)
    assert found.column_names == ["image", "id", "mean", "log_variance"]
    np.testing.assert_allclose(
        found["mean"][:], latens.load("pretrained:digits-2d").encode(pixels), rtol=1e-5, atol=1e-6
    )


def test_spark_maps_an_iterator_of_frames() -> None:
    frame, pixels = frame_of_pixels()
    encoder = latens.Encoder("pretrained:digits-2d", keep=["id"])
    found = list(map(encoder, iter([frame[:25], frame[25:]])))
    codes = latens.load("pretrained:digits-2d").encode(pixels)
    np.testing.assert_allclose(np.concatenate([one[["mean0", "mean1"]] for one in found]), codes, rtol=1e-5, atol=1e-6)
