"""Model files of every format from 2 on load for ever and give the numbers they gave on the day they were written.

The files are read twice: by latens, and by twenty lines of struct, json and NumPy that know only docs/file-format.md.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from paths import GOLDEN
from scipy.stats import multivariate_normal

from golden.make import OF_PICTURES, OF_STEPS, RECIPES, outputs
from latens.trained.trained_model import FORMAT, TrainedModel
from latens.training.checkpoint import save_checkpoint

FILES = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))
BY_HAND = [name for name in FILES if name.split("-", 2)[2] in ("table", "pictures", "classifier")]


def expected(name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    value = json.loads((GOLDEN / f"{name}.json").read_text())
    return np.array(value["x"], value["dtype"]), np.array(value["z"], np.float32), value["outputs"]


def parse(raw: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of a file of float32 and int32 arrays, after docs/file-format.md and without latens."""
    (length,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    text = header.pop("__metadata__")["latens"]
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[begin:end], {"F32": "<f4", "I32": "<i4"}[entry["dtype"]])
        arrays[name] = arrays[name].reshape(entry["shape"])
    return arrays, json.loads(text)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def dense(arrays: dict[str, np.ndarray], part: str, x: np.ndarray) -> np.ndarray:
    """Two layers by hand, in float64, and what a linear map beside them adds to the first outputs."""
    linear = arrays.get(f"{part}.network.weight.value")
    inner = f"{part}.network.layers" if linear is None else f"{part}.network.network.layers"
    layers = [{k: arrays[f"{inner}.{i}.{k}"].astype(np.float64) for k in ("weight", "bias")} for i in (0, 1)]
    out = silu(x @ layers[0]["weight"] + layers[0]["bias"]) @ layers[1]["weight"] + layers[1]["bias"]
    if linear is not None:
        out[:, : linear.shape[1]] += x @ linear.astype(np.float64)
    return out


def by_hand(
    arrays: dict[str, np.ndarray], metadata: dict[str, Any], x: np.ndarray, z: np.ndarray
) -> dict[str, np.ndarray]:
    """What `golden.make.outputs` asks of a model, computed from the file alone."""
    n = len(x)
    if metadata["config"]["kind"] == "bayes-classifier":
        columns = []
        for prior, mean, cholesky in zip(arrays["log_prior"], arrays["mean"][:, 0], arrays["cholesky"][:, 0]):
            lower = cholesky.astype(np.float64)
            columns.append(prior + multivariate_normal(mean, lower @ lower.T).logpdf(x))
        return {"log_joint": np.stack(columns, axis=1)}
    shift, scale = arrays["encoder.standardise.shift.value"], arrays["encoder.standardise.scale.value"]
    mean, raw = np.split(dense(arrays, "encoder", ((x - shift) / scale).reshape(n, -1)), 2, axis=1)
    posterior = metadata["config"]["posterior"]
    log_scale = np.log(np.logaddexp(raw, 0) + posterior["scale_floor"]) if posterior["scale"] == "softplus" else raw
    out = dense(arrays, "decoder", z.astype(np.float64))
    result = {"mean": mean, "log_variance": 2 * log_scale}
    if metadata["config"]["likelihood"]["family"] == "categorical":
        logits = out.reshape(*x.shape, 4)
        logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        chosen = np.take_along_axis(logits, x[..., None].astype(int), axis=-1)
        return result | {"decoded": np.exp(logits) @ np.arange(4), "log_likelihood": chosen.reshape(n, -1).sum(1)}
    own, spread = arrays["decoder.head.shift.value"], arrays["decoder.head.scale.value"]
    sigma = spread * (np.exp(arrays["decoder.head.head.log_scale"]) + metadata["config"]["likelihood"]["scale_floor"])
    decoded = own + spread * out
    terms = -0.5 * ((x - decoded) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return result | {"decoded": decoded, "log_likelihood": terms.sum(1)}


def test_there_is_a_file_of_every_kind_for_every_format() -> None:
    wanted = {
        f"format-{number}-{name}" for number in range(2, FORMAT + 1) for name in (*RECIPES, *OF_PICTURES, *OF_STEPS)
    }
    assert set(FILES) == wanted
    # The largest is the mixed table, with linear maps beside both of its networks.
    assert max(path.stat().st_size for path in GOLDEN.glob("*.safetensors")) < 24_000


@pytest.mark.parametrize("name", FILES)
def test_an_old_file_gives_its_numbers(name: str) -> None:
    x, z, wanted = expected(name)
    trained = TrainedModel.load(GOLDEN / f"{name}.safetensors")
    found = outputs(trained, x, z)
    assert sorted(found) == sorted(wanted)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_numbers_follow_from_the_file_alone(name: str) -> None:
    x, z, wanted = expected(name)
    found = by_hand(*parse((GOLDEN / f"{name}.safetensors").read_bytes()), x, z)
    for key, value in found.items():
        np.testing.assert_allclose(value, wanted[key], rtol=2e-5, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("name", FILES)
def test_an_old_file_written_again_holds_the_same_arrays(name: str) -> None:
    raw = (GOLDEN / f"{name}.safetensors").read_bytes()
    old, metadata = parse(raw)
    new, again = parse(TrainedModel.from_bytes(raw).to_bytes())
    assert sorted(new) == sorted(old)
    assert all(new[key].tobytes() == old[key].tobytes() for key in old)
    assert again["sha256"] == metadata["sha256"]
    assert (again["schema"], again["facts"]) == (metadata["schema"], metadata["facts"])


# --- docs/file-format.md, byte by byte ---


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_page_says(name: str) -> None:
    raw = (GOLDEN / f"{name}.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    text = raw[8 : 8 + length]
    assert length % 8 == 0
    header = json.loads(text)
    assert text.rstrip(b" ").endswith(b"}")
    assert list(header["__metadata__"]) == ["latens"]
    entries = {key: entry for key, entry in header.items() if key != "__metadata__"}
    position = 0
    for entry in sorted(entries.values(), key=lambda entry: entry["data_offsets"][0]):
        assert sorted(entry) == ["data_offsets", "dtype", "shape"]
        assert entry["data_offsets"] == [position, position + 4 * int(np.prod(entry["shape"]))]
        position = entry["data_offsets"][1]
    assert len(raw) == 8 + length + position
    metadata = json.loads(header["__metadata__"]["latens"])
    assert sorted(metadata) == ["config", "facts", "format", "metadata_sha256", "preparation", "schema", "sha256"]
    assert metadata["format"] == int(name.split("-")[1])
    digest = hashlib.sha256()
    for key in sorted(entries):
        begin, end = (8 + length + offset for offset in entries[key]["data_offsets"])
        line = json.dumps([key, entries[key]["dtype"], entries[key]["shape"]], separators=(",", ":"))
        digest.update(line.encode() + b"\n" + raw[begin:end])
    assert metadata.pop("sha256") == digest.hexdigest()
    own = metadata.pop("metadata_sha256")
    assert own == hashlib.sha256(json.dumps(metadata, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_a_checkpoint_is_what_the_page_says(tmp_path: Path) -> None:
    state = {
        "a.b": [np.zeros((2, 3), np.float32)],
        "é": np.ones(3, np.uint8),
        "n": np.int64(7),
        "key": jax.random.key(1),
    }
    loop = {"best": float("inf"), "stage": 0, "rate": 0.1}
    folder = save_checkpoint(tmp_path / "checkpoints", 42, state, loop)
    assert folder.name == "step-0000000042"
    assert sorted(path.name for path in folder.iterdir()) == ["COMMIT", "loop.json", "state.safetensors"]
    raw = (folder / "state.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    text = json.loads(header.pop("__metadata__")["latens"])
    assert (text["kind"], text["step"]) == ("checkpoint", 42)
    # The widest types come first, so that every array begins at a multiple of its own size.
    assert [(name, entry["dtype"], entry["shape"], entry["data_offsets"]) for name, entry in sorted(
        header.items(), key=lambda item: item[1]["data_offsets"])] == [
        ("n", "I64", [], [0, 8]),
        ("a%2Eb.0", "F32", [2, 3], [8, 32]),
        ("key@threefry2x32", "U32", [2], [32, 40]),
        ("%C3%A9", "U8", [3], [40, 43]),
    ]  # fmt: skip
    assert raw[8 + length :] == struct.pack("<q", 7) + bytes(24) + struct.pack("<2I", 0, 1) + b"\1\1\1"
    assert (folder / "loop.json").read_bytes() == b'{"best":{"__float__":"inf"},"rate":0.1,"stage":0}'
    commit = json.loads((folder / "COMMIT").read_bytes())
    assert sorted(commit) == ["files", "format_version", "step"]
    assert (commit["step"], commit["format_version"]) == (42, 1)
    for name in ("loop.json", "state.safetensors"):
        content = (folder / name).read_bytes()
        assert commit["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
