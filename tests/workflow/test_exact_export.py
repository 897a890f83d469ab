"""ONNX files by an engine that stands in for the converter and onnxruntime: what is converted, checked and told."""

import dataclasses
import importlib.util
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latens
from latens.config import override
from latens.data import Preparation
from latens.errors import UsageError
from latens.recipes import get_recipe
from latens.workflow import onnx_export as exports
from latens.workflow.experiment import prepare

SMALL = {"network.hidden": [4], "posterior.latent_dim": 3, "training.steps": 1}
random = np.random.default_rng(0)
LEVELS = random.integers(0, 256, (30, 2, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def trained():
    experiment = prepare(override(get_recipe("default").config, SMALL), latens.read(LEVELS))
    return experiment.trained(experiment.new_model())


class Engine:
    """Converter and runtime: a file is the name of a function; its numbers are off by `off` of the largest."""

    def __init__(self, rows="n", off=0.0, lacks=""):
        self.rows, self.off, self.lacks, self.made, self.given = rows, off, lacks, {}, []

    def to_onnx(self, function, shapes, model_name):
        (n,) = {one[0] for one in shapes}
        if n == "n" and self.rows == 1:
            raise ValueError("no dimension may be open.\nMore words.")
        if self.rows == 0 or model_name == self.lacks:
            raise ValueError("no such operation.")
        self.made[model_name] = (function, [tuple(one[1:]) for one in shapes])
        return SimpleNamespace(SerializeToString=model_name.encode)

    def InferenceSession(self, raw):
        function, shapes = self.made[raw.decode()]
        names = ["first", "second"][: len(shapes)]

        def run(outputs, inputs):
            assert outputs is None
            assert list(inputs) == names
            given = list(inputs.values())
            assert [x.shape[1:] for x in given] == shapes
            assert self.rows == "n" or {len(x) for x in given} == {1}
            self.given.append(given[0])
            found = [np.asarray(each) for each in jax.tree.leaves(function(*map(jnp.asarray, given)))]
            return [each + self.off * np.abs(each).max() for each in found]

        inputs = [SimpleNamespace(name=name) for name in names]
        return SimpleNamespace(get_inputs=lambda: inputs, run=run)


def exported(trained, folder, monkeypatch, **options):
    engine = Engine(**options)
    monkeypatch.setattr(exports, "_packages", lambda: (engine, engine.to_onnx))
    return exports.export(trained, folder), engine


@pytest.mark.parametrize("rows", ["n", 1])
def test_files_and_what_is_told_of_them(trained, tmp_path, monkeypatch, rows):
    told, engine = exported(trained, tmp_path / "o", monkeypatch, rows=rows)
    assert {path.name: path.read_bytes() for path in (tmp_path / "o").iterdir()} == {
        "encoder.onnx": b"encoder",
        "decoder.onnx": b"decoder",
    }
    assert told["encoder.onnx"]["input"] == [rows, 2, 3]
    assert told["encoder.onnx"]["output"] == [rows, 3]
    assert told["encoder.onnx"]["outputs"] == ["mean", "log_variance"]
    assert "outputs" not in told["decoder.onnx"]
    assert told["decoder.onnx"]["input"] == [rows, 3]
    assert told["decoder.onnx"]["output"] == [rows, 2, 3]
    assert all(one["difference"] < 1e-6 for one in told.values())
    assert sum(len(x) for x in engine.given) == 8
    np.testing.assert_array_equal(
        engine.given[0], np.asarray(trained.sample(4, seed=0), np.float32)[: len(engine.given[0])]
    )


def test_the_difference_is_a_share_of_the_largest_number(trained, tmp_path, monkeypatch):
    told, _ = exported(trained, tmp_path, monkeypatch, off=5e-5)
    np.testing.assert_allclose([one["difference"] for one in told.values()], 5e-5, rtol=1e-2)
    with pytest.raises(
        UsageError, match=r"the numbers of encoder\.onnx lie 0\.0002 of the largest from the model's own"
    ):
        exported(trained, tmp_path, monkeypatch, off=2e-4)


def test_what_the_converter_cannot_do_is_said_in_its_words(trained, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"the encoder cannot be written as ONNX: no such operation\. Use the model"):
        exported(trained, tmp_path / "o", monkeypatch, rows=0)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("missing", ["jax2onnx", "onnxruntime", ""])
def test_packages_that_are_missing_are_named(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else "there")
    engine = SimpleNamespace(to_onnx="converter")
    monkeypatch.setattr(importlib, "import_module", lambda name: engine if name == "jax2onnx" else name)
    if missing:
        with pytest.raises(UsageError, match=r"ONNX files need jax2onnx and onnxruntime\. Install them: pip"):
            exports._packages()
    else:
        assert exports._packages() == ("onnxruntime", "converter")


HALF = np.array([[[0.2, 0.5, 0.7], [0.9, 0.4, 0.6]]] * 2, np.float32)
KINDS = {
    "divided": (Preparation(divide=255.0), LEVELS[:2], lambda x: x / 255.0, lambda mean: 255.0 * mean),
    "dequantised": (
        Preparation(divide=256.0, dequantize=True),
        LEVELS[:2],
        lambda x: (x + 0.5) / 256.0,
        lambda mean: 256.0 * mean - 0.5,
    ),
    "drawn": (Preparation(binarize="stochastic", threshold=0.3), HALF, lambda x: x > 0.5, lambda mean: mean),
    "cut": (Preparation(binarize="threshold", threshold=0.3), HALF, lambda x: x > 0.3, lambda mean: mean),
    "logarithms": (Preparation(log1p=True), LEVELS[:2], np.log1p, np.expm1),
}


@pytest.mark.parametrize("name", KINDS)
def test_encoder_and_decoder_are_in_the_units_of_the_data(name, trained):
    preparation, x, seen, unit = KINDS[name]
    model, codes = trained.model, random.normal(size=(2, 3)).astype(np.float32)
    own = dataclasses.replace(trained, preparation=preparation)
    x = x.astype(np.float32)
    expected = [model.posterior(jnp.asarray(row, jnp.float32)).mean() for row in seen(x)]
    mean, log_variance = exports._encoder(own)(jnp.asarray(x))
    np.testing.assert_allclose(mean, np.stack(expected), rtol=1e-5, atol=1e-6)
    expected = [2.0 * model.posterior(jnp.asarray(row, jnp.float32)).log_scale_array() for row in seen(x)]
    np.testing.assert_allclose(log_variance, np.stack(expected), rtol=1e-5, atol=1e-6)
    expected = unit(np.stack([model.likelihood(jnp.asarray(code)).mean() for code in codes]))
    np.testing.assert_allclose(exports._decoder(own)(jnp.asarray(codes)), expected, rtol=1e-4, atol=1e-5)


def test_labels_and_typed_columns_are_refused(tmp_path):
    labelled = latens.read(LEVELS, label=np.arange(30) % 2)
    experiment = prepare(override(get_recipe("conditional-vae").config, SMALL), labelled)
    with pytest.raises(UsageError, match="models that read labels or conditions, and models of typed columns"):
        exports.export(experiment.trained(experiment.new_model()), tmp_path)
