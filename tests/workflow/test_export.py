"""Encoder and decoder as ONNX files: the numbers of the model, by another engine."""

import numpy as np
import pytest

import latens
import latens.evaluation
from latens.cli.main import main
from latens.errors import UsageError

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("jax2onnx")

from latens.workflow.onnx_export import export  # noqa: E402

pytestmark = pytest.mark.long
OPTIONS = {
    "default": {},
    "conv-vae": {"recipe": "conv-vae"},
    "two-level": {"recipe": "two-level"},
    "discretised": {"likelihood": "discretised-logistic"},
    "student-t": {"likelihood": "student-t"},
    "linear": {"likelihood": "discretised-logistic", "settings": {"network.linear": True}},
}


def run(path, x):
    session = runtime.InferenceSession(str(path))
    first = session.get_inputs()[0]
    batches = np.split(x, len(x)) if first.shape[0] == 1 else [x]
    return np.concatenate([session.run(None, {first.name: batch})[0] for batch in batches])


@pytest.mark.parametrize("name", OPTIONS)
def test_the_files_have_the_numbers_of_the_model(name, tmp_path):
    x = np.asarray(latens.read("digits").x)
    x = x[:200].astype(np.float32) * (0.37 if name == "student-t" else 1.0)
    model = latens.VAE(steps=5, random_state=0, **OPTIONS[name]).fit(x).model_
    told = export(model, tmp_path)
    rows = x[:7]
    codes = run(tmp_path / "encoder.onnx", rows)
    np.testing.assert_allclose(codes, model.encode(rows), atol=1e-4 * np.abs(codes).max())
    if "outputs" in told["encoder.onnx"]:  # a Normal with independent units
        session = runtime.InferenceSession(str(tmp_path / "encoder.onnx"))
        found = [session.run(None, {session.get_inputs()[0].name: row[None]})[1][0] for row in rows]
        own = latens.evaluation.encode(model.rows(rows))["log_variance"]
        np.testing.assert_allclose(found, own, atol=1e-4 * np.abs(own).max())
    pictures = run(tmp_path / "decoder.onnx", codes)
    np.testing.assert_allclose(pictures, model.decode(codes), atol=1e-4 * np.abs(pictures).max())
    assert told["encoder.onnx"]["input"] == ["n", 8, 8]
    assert told["decoder.onnx"]["input"][0] == "n"
    assert told["decoder.onnx"]["difference"] <= 1e-4


def test_the_command_writes_both_files_and_refuses_labels(tmp_path, capsys):
    assert main(["export", "pretrained:digits-2d", "--out", str(tmp_path / "o")]) == 0
    assert "encoder.onnx: ('n', 8, 8) to ('n', 2)" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["decoder.onnx", "encoder.onnx"]
    model = latens.VAE(steps=2, recipe="conditional-vae").fit(np.eye(8, dtype=np.float32), np.arange(8) % 2).model_
    with pytest.raises(UsageError, match="models that read labels"):
        export(model, tmp_path)
