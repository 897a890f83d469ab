"""A model for other engines: its encoder and its decoder as ONNX files."""

import contextlib
import importlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from msgspec.structs import replace

from latens.distributions import DiagonalNormal
from latens.errors import UsageError
from latens.io.atomic import as_path, write_atomic
from latens.latents.codes import from_code
from latens.models.latent_arrays import mean_code
from latens.networks.strided import plain_convolutions
from latens.typing import Array
from latens.workflow.trained import TrainedModel

TOLERANCE = 1e-4
"""How far, as a share of the largest number, the files' numbers may lie from the model's own."""


def export(trained: TrainedModel, folder: str | Path) -> dict[str, Any]:
    r"""Write `encoder.onnx` and `decoder.onnx`, and check each against the model."""
    # The encoder maps rows of shape (n, *x), float32, in the units of the data, to the means of $q(z \mid x)$, of shape
    # (n, latent_dim), and of a diagonal Normal to its log-variances as a second output; the decoder maps latents of
    # that shape to the means of $p(x \mid z)$, of shape (n, *x), in the
    # units of the data. Convolutions take one row at a time. Where the model sees rows with noise, the file takes its
    # middle: dequantised levels are x + 1/2, and pixels that are binarised at random are so at 1/2.
    # returns: for each file its `input` and `output` shapes and `difference`: the largest difference between its
    # numbers, found by onnxruntime, and those of the model on four random inputs, as a share of the largest number.
    if trained.preparation.classes or trained.schema.conditions or trained.schema.types is not None:
        what = "models that read labels or conditions, and models of typed columns, cannot be written as ONNX."
        raise UsageError(what, where="--format onnx", fix="Use them in Python: latens.load(path).")
    runtime, to_onnx = _packages()
    latent = int(np.prod(trained.latent_shape))
    rng = np.random.default_rng(0)
    rows = trained.sample(4, seed=0)
    told: dict[str, Any] = {}
    x, z = np.asarray(rows, np.float32), rng.standard_normal((4, latent), np.float32)
    made = {"encoder": (_encoder(trained), x), "decoder": (_decoder(trained), z)}
    files = {}
    for name, (function, example) in made.items():
        files[name], told[f"{name}.onnx"] = _checked(name, function, example, runtime, to_onnx)
    folder = as_path(folder, "out")
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        write_atomic(folder / f"{name}.onnx", raw)
    return told


def _checked(name: str, function: Any, example: np.ndarray, runtime: Any, to_onnx: Any) -> tuple[bytes, dict[str, Any]]:
    """A function of arrays as a file that onnxruntime computes as the model does, and what is told of it."""
    raw, rows_at_once = _converted(name, function, example.shape[1:], to_onnx)
    session = runtime.InferenceSession(raw)
    (key,) = [one.name for one in session.get_inputs()]
    batches = [example] if rows_at_once == "n" else np.split(example, len(example))
    parts = [session.run(None, {key: batch}) for batch in batches]
    every = [np.asarray(each) for each in jax.tree.leaves(jax.jit(function)(example))]
    found = [np.concatenate(each) for each in zip(*parts)]
    shares = [np.abs(a - b).max() / max(np.abs(b).max(), 1e-9) for a, b in zip(found, every, strict=True)]
    difference = float(max(shares))
    if not difference <= TOLERANCE:
        what = f"the numbers of {name}.onnx lie {difference:.2g} of the largest from the model's own."
        raise UsageError(what, where="--format onnx", fix="Use the model in Python: latens.load(path).")
    told: dict[str, Any] = {"input": [rows_at_once, *example.shape[1:]]}
    told |= {"output": [rows_at_once, *every[0].shape[1:]], "difference": difference}
    if len(every) > 1:  # beside the means: log-variances
        told["outputs"] = ["mean", "log_variance"]
    return raw, told


def _converted(name: str, function: Any, shape: tuple[int, ...], to_onnx: Any) -> tuple[bytes, str | int]:
    """The file for any number of rows ("n"), or for one row where the converter cannot leave it open."""
    for n in ("n", 1):
        try:
            with _quiet(), plain_convolutions():
                return to_onnx(function, [(n, *shape)], model_name=name).SerializeToString(), n
        except Exception as error:  # whatever another library says of an operation that it does not know
            failed = error
    words = str(failed).splitlines()[0][:300] if str(failed) else type(failed).__name__
    what = f"the {name} cannot be written as ONNX: {words.rstrip('.')}."
    raise UsageError(what, where="--format onnx", fix="Use the model in Python: latens.load(path).") from failed


def _packages() -> tuple[Any, Any]:
    for name in ("jax2onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            fix = "Install them: pip install 'latens[onnx]'."
            raise UsageError("ONNX files need jax2onnx and onnxruntime.", where="--format onnx", fix=fix)
    with _quiet():
        return importlib.import_module("onnxruntime"), importlib.import_module("jax2onnx").to_onnx


@contextlib.contextmanager
def _quiet() -> Any:
    """Without what the converter says of its own inner steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _seen(trained: TrainedModel) -> Any:
    """What the model sees of a row, in the middle of the noise that it may have."""
    preparation = trained.preparation
    if preparation.binarize == "stochastic":
        preparation = replace(preparation, binarize="threshold", threshold=0.5)
    return lambda x: (x + 0.5) / preparation.divide if preparation.dequantize else preparation(x, key=None)


def _encoder(trained: TrainedModel) -> Any:
    seen = _seen(trained)

    def of_row(x: Array) -> Any:
        posterior: Any = trained.model.posterior(seen(x))
        mean = mean_code(posterior).reshape(-1)
        return (mean, 2.0 * posterior.log_scale_array().reshape(-1)) if type(posterior) is DiagonalNormal else mean

    return lambda rows: jax.vmap(of_row)(rows)


def _decoder(trained: TrainedModel) -> Any:
    preparation = trained.preparation

    def of_code(z: Array) -> Array:
        likelihood: Any = trained.model.likelihood(from_code(trained.model, z.reshape(trained.latent_shape)))
        mean = likelihood.mean()
        if preparation.log1p:
            return jnp.expm1(mean)
        mean = mean * preparation.divide
        return mean - 0.5 if preparation.dequantize else mean

    return lambda codes: jax.vmap(of_code)(codes)
