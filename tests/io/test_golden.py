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
from scipy.special import expit
from scipy.stats import multivariate_normal

from golden.make import OF_PICTURES, OF_STEPS, RECIPES, outputs
from latens.training.checkpoint import save_checkpoint
from latens.workflow.trained import FORMAT, TrainedModel

FILES = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))
BY_HAND = [name for name in FILES if name.split("-", 2)[2] in RECIPES]


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
    if metadata["schema"]["kind"] == "mixed":
        return mixed_by_hand(arrays, metadata, x, z)
    if metadata["config"]["recipe"] == "linear-gaussian":
        return {"log_marginal": steps_by_hand(arrays, metadata, x)}
    if metadata["schema"]["kind"] == "tokens":
        return tokens_by_hand(arrays, metadata, x, z)
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


def mixed_by_hand(
    arrays: dict[str, np.ndarray], metadata: dict[str, Any], x: np.ndarray, z: np.ndarray
) -> dict[str, np.ndarray]:
    """The same of a mixed table: the columns in groups of one kind and of as many segments, to a power of two."""
    sized: dict[tuple[str, int], list[int]] = {}
    for i, one in enumerate(metadata["schema"]["types"]):
        count = len(one["shares"])
        few = one["kind"] == "category" or count <= 48
        kind = "ordinal" if one["kind"] == "ordinal" else "free" if few else "ordered"
        size = count if kind == "ordinal" else 2 ** int(np.ceil(np.log2(max(count, 2))))
        sized.setdefault((kind, size), []).append(i)
    groups: dict[tuple[str, int], list[int]] = {}
    wider = ("", 0)
    for (kind, size), places in sorted(sized.items(), reverse=True):  # narrow columns are padded to wider ones
        wider = wider if kind == wider[0] != "ordinal" and (wider[1] - size) * len(places) <= 128 else (kind, size)
        groups[wider] = sorted(groups.get(wider, []) + places)
    n, out = len(x), dense(arrays, "decoder", z.astype(np.float64))
    seen, likelihood, decoded, start = [np.full(x.shape, 0.5)], np.zeros(n), np.zeros(x.shape), 0
    for (kind, size), places in sorted(groups.items()):
        name = f"{kind}-{size}"
        head = {key: arrays.get(f"decoder.head.heads.{name}.{key}.value") for key in ("log_shares", "cuts", "basis")}
        starts, widths = (arrays[f"encoder.standardise.{key}.{name}.value"] for key in ("starts", "widths"))
        place = x[:, places, None] - starts
        here = (place >= 0) & (place < widths)
        if name.startswith("ordered"):
            scores, atoms = (arrays[f"encoder.standardise.{key}.{name}.value"] for key in ("scores", "atoms"))
            seen += [(here * scores).sum(-1), np.einsum("nms,mas->nma", here, atoms).reshape(n, -1)]
            size = head["basis"].shape[0] * head["basis"].shape[1]
            tilt = np.einsum("nmk,mks->nms", out[:, start : start + size].reshape(n, len(places), -1), head["basis"])
            logits = head["log_shares"] + tilt
        elif name.startswith("ordinal"):
            seen.append(here.reshape(n, -1))
            size = head["cuts"].size
            made = out[:, start : start + size].reshape(n, *head["cuts"].shape)
            gaps = np.exp(head["cuts"][:, 1:] + made[:, :, 1:])
            first = np.broadcast_to(head["cuts"][:, :1], made[:, :, :1].shape)
            cuts = np.cumsum(np.concatenate([first, gaps], axis=-1), axis=-1) - made[:, :, :1]
            edges = np.concatenate([np.zeros_like(first), expit(cuts), np.ones_like(first)], axis=-1)
            logits = np.log(np.diff(edges, axis=-1))
        else:
            seen.append(here.reshape(n, -1))
            size = head["log_shares"].size
            logits = head["log_shares"] + out[:, start : start + size].reshape(n, *head["log_shares"].shape)
        start += size
        logits = np.where(widths > 0, logits, -np.inf)
        logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        likelihood += np.where(here, logits - np.log(np.maximum(widths, 1)), 0.0).sum((-1, -2))
        middles = (np.exp(logits) * (starts + 0.5 * (np.maximum(widths, 1) - 1))).sum(-1)
        best = np.take_along_axis(np.broadcast_to(starts, logits.shape), logits.argmax(-1)[..., None], -1)[..., 0]
        named = [metadata["schema"]["types"][place]["kind"] == "category" for place in places]
        decoded[:, places] = np.where(named, best, middles)
    mean, raw = np.split(dense(arrays, "encoder", np.concatenate(seen, axis=1)), 2, axis=1)
    posterior = metadata["config"]["posterior"]
    log_scale = np.log(np.logaddexp(raw, 0) + posterior["scale_floor"]) if posterior["scale"] == "softplus" else raw
    return {"mean": mean, "log_variance": 2 * log_scale, "decoded": decoded, "log_likelihood": likelihood}


def steps_by_hand(arrays: dict[str, np.ndarray], metadata: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """log p(x) of a linear state-space model by a Kalman filter."""
    one = {name.removeprefix("decoder."): array.astype(np.float64) for name, array in arrays.items()}
    scale = np.exp(one["head.head.log_scale"]) + metadata["config"]["likelihood"]["scale_floor"]
    drift, write, noise = one["drift"], one["write"], np.diag(scale**2)
    x = (x - one["head.shift.value"]) / one["head.scale.value"]
    found = np.full(len(x), -x.shape[1] * np.log(one["head.scale.value"]).sum())
    for row, steps in enumerate(x):
        mean, cov = one["first"][0], np.diag(np.exp(2 * one["first"][1]))
        for seen in steps:
            told = write.T @ cov @ write + noise
            found[row] += multivariate_normal(mean @ write + one["bias"], told).logpdf(seen)
            gain = np.linalg.solve(told, write.T @ cov)
            mean, cov = mean + (seen - mean @ write - one["bias"]) @ gain, cov - cov @ write @ gain
            mean, cov = mean @ drift + one["rest"][0], drift.T @ cov @ drift + np.diag(np.exp(2 * one["rest"][1]))
    return found


def gru(arrays: dict[str, np.ndarray], part: str, of_input: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The next state of a recurrent unit by hand, from what its inputs add to the three gates."""
    of_state = h @ arrays[f"{part}.state.weight"].astype(np.float64) + arrays[f"{part}.state.bias"]
    (r, u, new), (hr, hu, hn) = np.split(of_input, 3), np.split(of_state, 3)
    reset, update = expit(r + hr), expit(u + hu)
    return (1 - update) * np.tanh(new + reset * hn) + update * h


def tokens_by_hand(
    arrays: dict[str, np.ndarray], metadata: dict[str, Any], x: np.ndarray, z: np.ndarray
) -> dict[str, np.ndarray]:
    """The same of rows of text: two units read a row up to its end, one writes it from what z gives."""
    # The one that writes also reads which marks are open: a parenthesis, and each ring number. No row is empty, and
    # none ends while a mark is open.
    length, tokens = x.shape[1], metadata["schema"]["tokens"]
    assert (tokens["closed"], tokens["never_empty"]) == (True, True)
    rings = [code for code, piece in enumerate(tokens["values"], 1) if piece.isdigit()]
    assert not {"(", ")"} & set(tokens["values"])
    found: dict[str, list[Any]] = {"mean": [], "log_variance": [], "decoded": [], "log_likelihood": []}
    for row, latent in zip(x.astype(int), z):
        row_end = int(np.argmax(row == 0)) + 1
        last = []
        for part, order in (("forth", range(row_end)), ("back", range(row_end - 1, -1, -1))):
            name = f"encoder.network.{part}"
            h = np.zeros(len(arrays[f"{name}.state.weight"]))
            for place in order:
                h = gru(arrays, name, arrays[f"{name}.inputs.weight"][row[place]] + arrays[f"{name}.inputs.bias"], h)
            last.append(h)
        out, layer = np.concatenate(last), 0
        while f"encoder.network.readout.layers.{layer}.weight" in arrays:
            out = np.tanh(out) if layer else out
            weight, bias = (arrays[f"encoder.network.readout.layers.{layer}.{k}"] for k in ("weight", "bias"))
            out, layer = out @ weight + bias, layer + 1
        mean, log_scale = np.split(out, 2)
        found["mean"].append(mean)
        found["log_variance"].append(2 * log_scale)
        given, layer = latent.astype(np.float64), 0
        while f"decoder.network.layers.{layer}.weight" in arrays:
            given = np.tanh(given) if layer else given
            weight, bias = (arrays[f"decoder.network.layers.{layer}.{k}"] for k in ("weight", "bias"))
            given, layer = given @ weight + bias, layer + 1
        writer = "decoder.head.network"
        n = len(arrays[f"{writer}.output.weight"])
        start, gates, logits = np.split(given, [n, 4 * n])
        greedy, total = np.zeros(length, int), 0.0
        for codes, free in ((row, False), (greedy, True)):
            h, ended = np.tanh(start), False
            for place in range(length):
                weight = arrays[f"{writer}.cell.inputs.weight"]
                opened = np.array([0, *((codes[:place] == ring).sum() % 2 for ring in rings)])
                read = (weight[codes[place - 1]] if place else 0.0) + opened @ weight[-len(opened) :]
                h = gru(arrays, f"{writer}.cell", read + arrays[f"{writer}.cell.inputs.bias"] + gates, h)
                out = h @ arrays[f"{writer}.output.weight"] + arrays[f"{writer}.output.bias"] + logits
                if place == 0 or opened.any():
                    out[0] = -np.inf
                fixed = ended or place == length - 1
                if free:
                    codes[place] = 0 if fixed else out.argmax()
                elif not fixed:
                    total += out[codes[place]] - np.logaddexp.reduce(out)
                ended = ended or codes[place] == 0
        found["decoded"].append(greedy)
        found["log_likelihood"].append(total)
    return {name: np.array(values) for name, values in found.items()}


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
