"""From a trained model, its data and history to the files in `data/` that the page reads."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.data.dataset import Batch
from latens.data.row_fields import evenly_spaced
from latens.errors import ConfigError, visible
from latens.evidence.estimate import finite
from latens.evidence.importance import elbo_parts
from latens.explorer.decoder import decoded_means, decoder_arrays, folded, in_data_units, page_decoder, why_not
from latens.explorer.page_columns import event_of, ids_of, manifest_columns, rows_of
from latens.explorer.whatif import whatif_columns
from latens.latents.codes import Principal, active_units, encode, level_shapes, principal, sample_prior, unit_noise
from latens.latents.decomposition import level_kl
from latens.runtime.atomic import plain, to_json
from latens.runtime.lazy_imports import spatial
from latens.runtime.safetensors import pack, tree_to_arrays
from latens.trained.metrics import METRICS
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

FORMAT = 1
ELBO_SAMPLES = 4  # draws a row of its ELBO: enough to order rows by, and a quarter of what `latens evaluate` takes
PRIOR_DRAWS = 2000
DISTANCES = 1000  # rows whose distance to their nearest neighbour says what is near
WORDS = {name: METRICS[name].label for name in ("elbo", "log_likelihood", "kl")}
"""What the numbers of a row are called, which the page reads from its manifest."""

_NAMES = {"mean": "posterior means", "log_var": "log variances"} | WORDS
LEVEL_ROWS = 1000  # rows of which the KL of each level of a hierarchy is the mean
COLOURS = 10  # names of a category that are told apart by colour
DECODED_ROWS = 100  # rows of an autoencoder whose decoding is looked at before a page is made


def payload(
    trained: TrainedModel,
    data: Dataset | None,  # None gives an empty page but for the history
    *,
    history: Sequence[dict[str, Any]] = (),  # the "epoch" records of metrics.jsonl
    most_rows: int = 100_000,
    seed: int = 0,
    command: str = "",
    serve: bool = False,  # whether a server decodes where the page cannot
) -> dict[str, bytes]:
    """Make the files of the page's `data/` folder, by name: `data/manifest.json`, and what it names."""
    # Names are ours, never the data's; numbers are little-endian; the JSON is strict. The same arguments give the same
    # bytes. docs/explorer.md lists the files.
    if not hasattr(trained.model, "posterior"):
        what = "a Bayes classifier has no latents to explore."
        raise ConfigError(what, where="explore", fix="Use `latens report --only figures`, or a recipe of a VAE.")
    files: dict[str, bytes] = {}
    positions = evenly_spaced(np.arange(0 if data is None else len(data)), most_rows)
    manifest = _beginning(trained, data, len(positions))
    manifest |= {"command": command, "history": list(history)}
    key = jax.random.key(seed)
    put = _Writer(files, manifest["arrays"])
    if data is not None and len(positions):
        batch = trained.batch(data, positions)
        codes = _codes(trained, batch, key)
        means = put.codes(codes)
        manifest["levels"] = _levels(trained, trained.batch(data, evenly_spaced(positions, LEVEL_ROWS)), key)
        kind = manifest["event"]["kind"]
        manifest |= _of_means(means, codes, seed, picture=kind == "image")
        manifest["columns"] = manifest_columns(data, positions, files, cells=kind == "table")
        manifest["colour"] = _coloured_first(manifest["columns"])
        manifest["arrays"]["rows"] = rows_of(data, positions, files)
        manifest["ids"] = ids_of(data, positions, files)
        prior = _prior(trained, key)
        if prior is not None:
            put.array("prior", prior.reshape(len(prior), -1).astype(np.float32), "draws of the prior")
        manifest["decoder"] = _decoder(trained, batch, codes, files, serve)
        if serve and (asked := whatif_columns(trained)) is not None:
            manifest["what_if"] = asked
    files["data/manifest.json"] = to_json(_readable(plain(manifest, nonfinite=lambda number: None)))
    return files


def _beginning(trained: TrainedModel, data: Dataset | None, shown: int) -> dict[str, Any]:
    """What the manifest says of the model and of its data, and what is still to fill in."""
    arrays, recipe = tree_to_arrays(trained.model), getattr(trained.config, "recipe", None)
    given = f" given {trained.told}" if trained.told else ""
    return {
        "format": FORMAT,
        "title": str(recipe or "model") + (f" on {data.name}" if data is not None else "") + given,
        "recipe": recipe,
        "facts": trained.facts,
        "parameters": int(sum(array.size for array in arrays.values())),
        "classes": list(trained.classes),
        "conditional": int(trained.preparation.classes),
        "rows": {"shown": shown, "of": 0 if data is None else len(data)},
        "arrays": {},
        **{name: [] for name in ("columns", "units", "levels")},
        "elbo_samples": ELBO_SAMPLES,
        "words": list(WORDS.items()),
        "event": event_of(trained, data),
    }


def _of_means(means: np.ndarray, codes: dict[str, np.ndarray], seed: int, *, picture: bool) -> dict[str, Any]:
    """What the manifest says of the latents of the rows."""
    noise = unit_noise(means, codes.get("log_var"))
    units, plane = units_of(means, codes.get("unit_kl"), noise), principal(means, noise)
    return {
        "units": units,
        "axes": {name: getattr(plane, name).T.tolist() for name in plane._fields},
        "latent": {"size": means.shape[1], "shape": list(codes["mean"].shape[1:])},
        "far": far_scale(means, units, seed),
        "start": _start(means, plane, noise, picture=picture),
    }


def _start(means: np.ndarray, plane: Principal, noise: np.ndarray, *, picture: bool) -> int:
    """The row that is decoded first: the one in the middle of all; of pictures one near the middle of the plane."""
    # A picture in the middle of all is grey and without contrast.
    across = plane.of(means)
    near = np.square(across / np.maximum(across.std(0), 1e-12)).sum(1)
    inner = np.flatnonzero(near <= np.median(near))
    order = inner[np.square((means[inner] - plane.centre) / noise).sum(1).argsort(kind="stable")]
    return int(order[int(0.99 * (len(order) - 1)) if picture else 0])


def units_of(
    means: Shaped[np.ndarray, "n d"], kl: Shaped[np.ndarray, " d"] | None, noise: Shaped[np.ndarray, " d"]
) -> list[dict[str, Any]]:
    """Describe every latent dimension: its mean KL, its place, spread and noise, and whether it is active."""
    # kl: mean KL of each dimension in nats; None where a row has one number for all.
    centre, spread = means.mean(0, dtype=np.float64), means.std(0, dtype=np.float64)
    active = active_units(means)
    low, high = np.quantile(means, [0.005, 0.995], axis=0)
    numbers = {"mean": centre, "spread": spread, "noise": noise, "low": low, "high": high}
    return [
        {"index": i, "kl": None if kl is None else float(kl[i]), "active": bool(active[i])}
        | {name: float(values[i]) for name, values in numbers.items()}
        for i in range(means.shape[1])
    ]


def far_scale(means: Shaped[np.ndarray, "n d"], units: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Measure how far rows are from their nearest neighbour, in active latent dimensions each divided by its noise."""
    # A point further from every row than the 99th percentile is called far from the data.
    # returns: the dimensions, their weights, the median and the 99th percentile (`far`); None for one row.
    chosen = [u["index"] for u in units if u["active"] and u["spread"] > 0] or [0]
    weight = np.array([1.0 / units[i]["noise"] for i in chosen], np.float32)
    scaled = means[:, chosen] * weight
    queries = np.random.default_rng(seed).permutation(len(scaled))[:DISTANCES]
    if len(scaled) < 2:
        return {"units": chosen, "weight": weight.tolist(), "median": None, "far": None}
    found, _ = spatial.KDTree(scaled).query(scaled[queries], k=2)  # the nearest of all is the row itself
    median, far = np.quantile(found[:, 1], [0.5, 0.99])
    return {"units": chosen, "weight": weight.tolist(), "median": float(median), "far": float(far)}


def _coloured_first(columns: list[dict[str, Any]]) -> int | None:
    """The column whose colours are seen first: the label, else the first category that has a colour for each name."""
    labels = [i for i, one in enumerate(columns) if one["role"] == "label"]
    few = [i for i, one in enumerate(columns) if one["role"] == "cell" and 2 <= len(one.get("levels", ())) <= COLOURS]
    return next(iter(labels + few), None)


class _Writer:
    """Arrays as files of their bytes, described in the manifest."""

    def __init__(self, files: dict[str, bytes], described: dict[str, Any]) -> None:
        self.files, self.described = files, described

    def codes(self, codes: dict[str, np.ndarray]) -> np.ndarray:
        """Write what `_codes` gives of the rows; gives the posterior means, shape (n, d)."""
        found = {name: codes[name].reshape(len(codes["mean"]), -1) for name in _NAMES if name in codes}
        for name, array in found.items():
            self.array(name, array.astype(np.float32), _NAMES[name])
        return found["mean"].astype(np.float32)

    def array(self, name: str, array: np.ndarray, what: str) -> None:
        finite(array, what)
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        file = f"data/{name.replace('_', '-')}.bin"
        self.files[file] = little.tobytes()
        self.described[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "file": file}


def _codes(trained: TrainedModel, batch: Batch, key: Key) -> dict[str, np.ndarray]:
    """Posterior means and log-variances, KL by unit, and the parts of each row's ELBO where there is one."""
    rows = trained.rows(batch, key=key)
    found = encode(rows)
    codes = {"mean": found["mean"]}
    if "log_variance" in found:
        codes["log_var"] = found["log_variance"]
    if "kl" in found and found["kl"].size == found["mean"].size:
        codes["unit_kl"] = found["kl"].reshape(len(found["mean"]), -1).mean(0, dtype=np.float64)
    if not trained.is_point:
        codes |= elbo_parts(rows, num_samples=ELBO_SAMPLES)
    return codes


def _levels(trained: TrainedModel, batch: Batch, key: Key) -> list[dict[str, Any]]:
    """The levels of a hierarchy, lowest first as its units stand: shape, and mean KL of the rows in nats."""
    shapes = level_shapes(trained.model, cond=trained.one_condition)
    if len(shapes) < 2:
        return []
    found = level_kl(trained.rows(batch, key=key))
    if len(found) < len(shapes):
        return []
    return [{"shape": list(shape), "kl": level.value} for shape, level in zip(shapes, found, strict=True)]


def _readable(value: object) -> Any:
    """The manifest with every text as it may be shown: a name shall not turn the page around."""
    if isinstance(value, dict):
        return {visible(key): _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return visible(value, keep="\n\t") if isinstance(value, str) else value


def _prior(trained: TrainedModel, key: Key) -> np.ndarray | None:
    if trained.is_point:
        return None  # an autoencoder's codes follow no prior
    cond = trained.condition(trained.in_turn(PRIOR_DRAWS))
    return sample_prior(trained.model, PRIOR_DRAWS, key=key, cond=cond)


def _decoder(
    trained: TrainedModel, batch: Batch, codes: dict[str, np.ndarray], files: dict[str, bytes], serve: bool
) -> dict[str, Any]:
    preparation = trained.preparation
    if trained.is_point:  # whose rows have no ELBO, in which a decoder that overflows would show
        z = codes["mean"][:DECODED_ROWS]
        decoded_means(trained, z, np.asarray(batch.label)[: len(z)] if preparation.classes else None)
    model = folded(trained.model)
    spec = page_decoder(model)
    if spec is not None:
        arrays = decoder_arrays(tree_to_arrays(model))
        files["data/decoder.safetensors"] = pack(arrays, {"kind": "decoder"})
        return spec | in_data_units(preparation) | {"file": "data/decoder.safetensors"}
    if not serve:
        fix = "Leave --export out: then a local server decodes."
        raise ConfigError(f"{why_not(trained.model)}, which a page does not compute.", where="--export", fix=fix)
    return {"kind": "server", "classes": preparation.classes}
