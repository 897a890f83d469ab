"""A page in one file made smaller where nobody sees it: numbers rounded."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.explorer.decoder import rounded_weights
from latens.io.safetensors import pack, unpack

FINE, COARSE, MANY = 128, 12, 2 << 20
"""Steps of a unit's spread that posterior means are rounded to, and of more numbers than these."""
PRIOR_STEPS, PRIOR_BYTES = 64, 200_000
"""The same of draws of the prior, where they take more bytes."""
LOG_VAR_ROWS, LOG_VAR_STEP = 2000, 1 / 32
"""Rows of which log-variances are kept, for the curves of units; what these are rounded to."""
VALUE_STEPS = 1024
"""Steps of the spread of the parts of each row's ELBO."""
SHADES = 255
"""Steps between the least and the largest value of pictures made beforehand: what a screen shows."""
WEIGHT_STEPS = 32767
"""Steps of a decoder's weights on either side of 0, for the largest one of each column."""


def compact(files: dict[str, bytes], manifest: dict[str, Any]) -> None:
    """Round the files of a page in one file, and say in the manifest how they are read."""
    arrays = manifest["arrays"]
    numbers = int(np.prod(arrays["mean"]["shape"]))
    _steps(files, arrays["mean"], COARSE if numbers > MANY else FINE)
    if "log_var" in arrays:
        _thin(files, arrays["log_var"], LOG_VAR_ROWS)
    if "prior" in arrays and len(files[arrays["prior"]["file"]]) > PRIOR_BYTES:
        _steps(files, arrays["prior"], PRIOR_STEPS)
    for name in ("elbo", "log_likelihood", "kl"):
        if name in arrays:
            _steps(files, arrays[name], VALUE_STEPS)
    decoder = manifest["decoder"]
    if decoder["kind"] == "page":
        kept, _ = unpack(files[decoder["file"]])
        files[decoder["file"]] = pack(rounded_weights(kept, WEIGHT_STEPS), {"kind": "decoder"})
    if decoder["kind"] == "precomputed" and manifest["event"]["kind"] == "image":
        for part in (decoder.get("plane"), decoder["lines"], decoder["reconstructions"]):
            if part is not None:
                _shades(files, part, manifest["event"])
    told = f"posterior means to a {COARSE if numbers > MANY else FINE}th of each unit's spread"
    manifest["rounded"] = f"rounded: {told}, weights to a {WEIGHT_STEPS}th of the largest of each column"


def _steps(files: dict[str, bytes], described: dict[str, Any], steps: int) -> None:
    """Round an array to so many steps of the spread of each of its columns."""
    _round(files, described, described["shape"][1], lambda values: values.std(0) / steps)


def _thin(files: dict[str, bytes], described: dict[str, Any], most: int) -> None:
    """Keep the log-variances of rows at even distances, rounded."""
    n, columns = described["shape"]
    every = -(-n // most)
    values = np.frombuffer(files[described["file"]], "<f4").reshape(n, columns)[::every]
    files[described["file"]] = np.ascontiguousarray(values).tobytes()
    described |= {"shape": list(values.shape), "every": every}
    _round(files, described, columns, lambda values: np.full(columns, LOG_VAR_STEP))


def _round(
    files: dict[str, bytes], described: dict[str, Any], columns: int, step_of: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Store an array as whole numbers of 16 bits, with the step of each column and what 0 stands for."""
    values = np.frombuffer(files[described["file"]], "<f4").reshape(-1, columns).astype(np.float64)
    if len(values) < 2:
        return
    low, high = values.min(0), values.max(0)
    # No step is finer than what float32 holds, or than what 16 bits count.
    least = np.maximum((high - low) / 60000, np.abs(values).max(0) * 2.0**-23)
    step = np.maximum(np.maximum(step_of(values), least), 1e-30)
    # Around 128, so that few numbers are below 0 and the upper byte of most is the same.
    zero = np.clip(values.mean(0) - 128 * step, high - 32000 * step, low + 32000 * step)
    whole = np.round((values - zero) / step - noise(values.size).reshape(values.shape))
    files[described["file"]] = whole.astype("<i2").tobytes()
    described |= {"dtype": "int16", "scale": step.tolist(), "shift": zero.tolist()}


def noise(count: int) -> Shaped[np.ndarray, " count"]:
    """Make numbers from -1/2 to 1/2, as the page does: taken off before rounding and added after."""
    # Of neighbours unlike one another, or the steps of two units would be seen as stripes.
    # Source: the last steps of MurmurHash3, by A. Appleby (public domain).
    x = np.arange(count, dtype=np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return x / 2.0**32 - 0.5


def _shades(files: dict[str, bytes], described: dict[str, Any], event: dict[str, Any]) -> None:
    """Store pictures made beforehand in the shades that a screen shows."""
    low, step = event["low"], (event["high"] - event["low"]) / SHADES or 1.0
    values = np.frombuffer(files[described["file"]], "<f4").reshape(-1, *event["image"])
    whole = np.round(np.clip((values - low) / step, 0, SHADES)).astype(np.uint8)
    files[described["file"]] = whole.tobytes()
    described |= {"dtype": "uint8", "scale": [step], "shift": [low], "image": event["image"]}
