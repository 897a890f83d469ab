"""What one accelerator gives: shares of its peak, the ratio to a hand-written loop, memory; pictures by flow matching.

    python benchmarks/gpu.py [--latent] [--data FILE.npz] [--small] [--json]

Without `--latent`: the rate of a bfloat16 matmul, then training steps of the fast-forward shape (784-500-500-50,
batches of 128) beside the hand-written JAX scan of `hand_written.py`, and of the convolutional shape of
`convolution.py` (64 x 64 x 3, batches of 128), beside compiled PyTorch where it is installed. Each is given as a share
of that matmul; float32 steps cannot reach it. With `--latent`: pictures of 64 x 64 by the recipe `kl-tokenizer`, a
prior by flow matching of its latents, samples before and after, within 8 minutes. `--data` names an array `x` of shape
(n, 64, 64, 3) and labels `label`; else 20,000 pictures of three figures in colours are drawn. `--small` is the same in
a minute of a CPU, to see that it runs.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import convolution
import throughput
from hand_written import SHAPES, flops_per_row
from latens.config import override
from latens.data import Dataset, Schema
from latens.fitting import prepare, train
from latens.latents.codes import new_rows
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.prior_refit import refit_prior
from latent_flow import Judge, grid

MINUTES = 4.0
"""Of the tokenizer's training; the prior, samples and programs take as long again at the most."""


def bfloat16_rate(size: int, repeats: int = 5) -> float:
    """TFLOP/s of bfloat16 products of two square matrices, the median."""
    a, product = jnp.ones((size, size), jnp.bfloat16), jax.jit(lambda u, v: u @ v)
    product(a, a).block_until_ready()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        product(a, a).block_until_ready()
        rates.append(2 * size**3 / (time.perf_counter() - began) / 1e12)
    return statistics.median(rates)


def peak_memory() -> float | None:
    """The most gigabytes of the accelerator that were in use so far; None where it does not tell."""
    told = jax.devices()[0].memory_stats() or {}
    return round(told["peak_bytes_in_use"] / 1e9, 2) if "peak_bytes_in_use" in told else None


def convolution_flops(shape: tuple[int, int, int], kernel: int) -> float:
    """FLOP of a training step of a row: 6 a product of the convolutions, less the first layer's input gradient."""
    height, width, before = shape
    products, first = 0, 0
    for channels in convolution.CHANNELS:
        height, width = height // 2, width // 2
        products += height * width * kernel**2 * before * channels
        first, before = first or products, channels
    dense = height * width * before * convolution.LATENT
    return 6.0 * (2 * products + 3 * dense) - 2.0 * first


def steps(small: bool) -> list[dict[str, Any]]:
    """Training steps of both shapes against the peak and against other programs."""
    peak, count, repeats = bfloat16_rate(512 if small else 8192), *((5, 1) if small else (200, 5))
    dense = throughput.compare("fast-forward", steps=count, repeats=repeats)
    rate = dense["rows_per_second"] * flops_per_row(SHAPES["fast-forward"]) / 1e12
    found = [{"what": "fast-forward", "rows a second": dense["rows_per_second"], "share of peak": rate / peak,
              "of hand-written JAX": dense["ratio_to_hand_written"], "peak GB": peak_memory()}]  # fmt: skip
    shape, kernel = (64, 64, 3), 4
    row: dict[str, Any] = {"what": "convolutions of 64 x 64 x 3"}
    if importlib.util.find_spec("torch") is not None:
        both = convolution.compare(kernel, shape, count, repeats, sys.executable, 16, compiled=True)
        seconds, row["of compiled PyTorch's time"] = both["latens_ms"] / 1e3, both["ratio"]
    else:
        run = convolution.ours(kernel, shape, count)
        run()
        seconds = statistics.median(run() for _ in range(repeats))
    speed = convolution.BATCH / seconds
    row |= {"rows a second": round(speed), "share of peak": speed * convolution_flops(shape, kernel) / 1e12 / peak}
    found.append(row | {"peak GB": peak_memory()})
    return [{"what": f"bfloat16 matmul: {peak:.1f} TFLOP/s on {jax.devices()[0].device_kind}"}, *found]


def figures(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a disc, a square or a ring in a colour, somewhere on a ground of another, and which it is."""
    rng = np.random.default_rng(0)
    label, x = rng.integers(0, 3, rows), np.empty((rows, 64, 64, 3), np.uint8)
    place = np.arange(64)
    for i, kind in enumerate(label):
        radius, centre = rng.uniform(8, 20), rng.uniform(20, 44, 2)
        down, across = np.abs(place[:, None] - centre[0]), np.abs(place - centre[1])
        away = np.maximum(down, across) if kind == 1 else np.hypot(down, across)
        inside = np.clip(radius - away, 0, 1) - (np.clip(0.6 * radius - away, 0, 1) if kind == 2 else 0)
        ground, colour = rng.uniform(0, 110, 3), rng.uniform(120, 255, 3)
        light = rng.uniform(0.8, 1.0) + 0.2 * (place[:, None, None] / 64)
        x[i] = np.clip((ground + inside[..., None] * (colour - ground)) * light + rng.normal(0, 2, (64, 64, 3)), 0, 255)
    return x, label


def latent(data: Path | None, small: bool, png: Path) -> list[dict[str, Any]]:
    """Tokenizer, prior, and samples of each class, with the seconds of each."""
    began = time.perf_counter()
    if data is None:
        x, label = figures(200 if small else 20_000)
        x = x[:, ::4, ::4] if small else x
    else:
        with np.load(data) as kept:
            x, label = kept["x"], np.unique(kept["label"], return_inverse=True)[1]
    ids = np.arange(len(x))
    split = np.where(ids % 10 == 9, 2, np.where(ids % 10 == 8, 1, 0)).astype(np.uint8)
    schema = Schema(x.shape[1:], "levels", levels=256, classes=tuple(str(k) for k in range(label.max() + 1)))
    rows = Dataset(x, schema, ids.astype(np.uint32), ids, split, "pictures", label.astype(np.int32))
    chosen: dict[str, Any] = {"label": "condition", "training.minutes": None if small else MINUTES}
    chosen |= {"training.steps": 10} if small else {"network.hidden": [64, 128, 256, 256], "network.kind": "conv",
               "network.kernel_size": 4, "network.blocks": 1, "training.batch_size": 128}  # fmt: skip
    experiment = prepare(override(get_recipe("kl-tokenizer").config, chosen), rows)
    found: list[dict[str, Any]] = [{"what": "read", "seconds": time.perf_counter() - began}]

    def took(what: str, **more: Any) -> None:
        now = time.perf_counter() - began
        found.append({"what": what, "seconds": now - sum(row["seconds"] for row in found), **more})

    trained, _ = train(experiment)
    took("tokenizer", **{"latents": trained.config.posterior.latent_dim, "steps": trained.facts["steps"]})
    options = {"width": 32 if small else 512}
    new = refit_prior(trained, rows, "flow-matching", options=options, steps=20 if small else 20_000, num_samples=2)
    took("flow matching", **{"log p(x), nats": new.gain.value, "peak GB": peak_memory()})
    shown, real = [], x[split == 2]
    judge = Judge(real)
    for name, model in (("standard", trained), ("flow matching", new.trained)):
        codes = model.in_turn(min(len(real), 2000))
        z, _ = new_rows(model.model, len(codes), mean=True, key=jax.random.key(0), cond=model.condition(codes))
        shown.append(model.data_units(z, mean=True))
        area, distance = judge.told(shown[-1])
        took(f"samples, {name}", area=area, distance=distance)
    grid(png, [*shown, real])
    return [*found, {"what": f"all; see {png}", "seconds": time.perf_counter() - began}]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latent", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--png", type=Path, default=Path("latent.png"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words)
    enable_compilation_cache()
    rows = latent(given.data, given.small, given.png) if given.latent else steps(given.small)
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        told = (
            f"{name} {value:,.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
        print("  ".join(told).removeprefix("what "))


if __name__ == "__main__":
    main()
