"""Pictures made beforehand, for decoders that the page does not compute: a plane, and every row's reconstruction."""

from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.data.batches import Batch
from latens.explorer.decoder import decoded_means

GRID = 25  # points along each axis of the plane
STEPS = 15  # points along each unit
MOST_UNITS = 16
RECONSTRUCTION_BYTES = 32 << 20
WORST = 50
SHADES = 255  # steps between the least and the largest value of a picture: what a screen shows


def precomputed(
    trained: Any, batch: Batch, codes: dict[str, np.ndarray], units: list[dict[str, Any]], files: dict[str, bytes]
) -> dict[str, Any]:
    """Decode means of p(x | z) where a reader is likely to look, in the units of the data."""
    # On a grid over the two latent dimensions with the most KL, the others at their mean over the rows; along each of
    # the first sixteen dimensions; and the reconstructions of as many rows as fit into 32 MB, those reconstructed worst
    # among them.
    means, shape = codes["mean"].reshape(len(codes["mean"]), -1), codes["mean"].shape[1:]
    order = sorted(range(len(units)), key=lambda i: -(units[i]["kl"] or units[i]["spread"] ** 2))
    base = means.mean(0)

    def decoded(z: np.ndarray) -> np.ndarray:
        codes = np.zeros(len(z), np.int64) if trained.preparation.classes else None
        return decoded_means(trained, z.reshape(len(z), *shape).astype(np.float32), codes)

    found: dict[str, Any] = {"kind": "precomputed", "base": base.tolist()}
    if len(units) >= 2:
        a, b = order[:2]
        axes = [np.linspace(units[u]["low"], units[u]["high"], GRID) for u in (a, b)]
        z = np.tile(base, (GRID * GRID, 1))
        z[:, b], z[:, a] = np.repeat(axes[1], GRID), np.tile(axes[0], GRID)
        files["data/plane.bin"] = decoded(z).tobytes()
        ranges = [[units[u]["low"], units[u]["high"]] for u in (a, b)]
        found["plane"] = {"units": [a, b], "ranges": ranges, "size": GRID, "file": "data/plane.bin"}
    lines = order[:MOST_UNITS]
    z = np.tile(base, (len(lines) * STEPS, 1))
    for place, unit in enumerate(lines):
        z[place * STEPS : (place + 1) * STEPS, unit] = np.linspace(units[unit]["low"], units[unit]["high"], STEPS)
    files["data/lines.bin"] = decoded(z).tobytes()
    found["lines"] = {"units": lines, "steps": STEPS, "file": "data/lines.bin"}
    cells = int(np.prod(trained.schema.shape))
    most = max(100, RECONSTRUCTION_BYTES // (4 * cells))
    places = np.linspace(0, len(means) - 1, min(most, len(means))).round().astype(np.int64)
    worst = np.argsort(codes.get("log_likelihood", means[:, 0]))[:WORST]
    places = np.union1d(places, worst)
    part = jax.tree.map(lambda leaf: np.asarray(leaf)[places], batch)
    values = evaluation.reconstruct(trained.rows(part, key=jax.random.key(0)), mean="seen")
    kept = trained.data_units(values, mean=True).reshape(len(places), -1)
    kept = evaluation.finite(kept, "reconstructions").astype("<f4")
    files["data/reconstructions.bin"], files["data/reconstructed.bin"] = kept.tobytes(), places.astype("<u4").tobytes()
    found["reconstructions"] = {"rows": "data/reconstructed.bin", "file": "data/reconstructions.bin"}
    return found


def in_shades(files: dict[str, bytes], decoder: dict[str, Any], event: dict[str, Any]) -> None:
    """Store pictures made beforehand in the shades that a screen shows."""
    low, step = event["low"], (event["high"] - event["low"]) / SHADES or 1.0
    for part in filter(None, (decoder.get("plane"), decoder["lines"], decoder["reconstructions"])):
        values = np.frombuffer(files[part["file"]], "<f4").reshape(-1, *event["image"])
        whole = np.round(np.clip((values - low) / step, 0, SHADES)).astype(np.uint8)
        files[part["file"]] = whole.tobytes()
        part |= {"dtype": "uint8", "scale": [step], "shift": [low], "image": event["image"]}
