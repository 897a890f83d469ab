"""What does the prior do for log p(x)? The comparison of "VAE with a VampPrior" (Tomczak & Welling 2018), one level.

    python benchmarks/papers/vamp_prior.py [--preset small|full] [--data PATH] [--models standard,vamp] [--seeds 3]

Their finding (arXiv 1705.07120): a prior that is the average posterior of 500 learned pseudo-inputs is better than a
standard Normal on every data set, better than a mixture of Normals with as many components, and learned pseudo-inputs
better than training rows. Here: 784-300-300-40 and mirrored, pixels binarised anew for every
batch of 100, the same weights, rows and steps for every prior of a seed; test rows binarised once, log p(x) by
importance sampling. `gain` is paired with the standard Normal over seeds, with a 95 % interval. Differs from the
paper: SiLU where it has gated layers, no warm-up, and a fixed length where it stops early.

`small`: 4,000 updates with Adam 1e-3, 500 test rows with 500 draws, 3 seeds; 18 minutes on one core. `full`: a
million updates with Adam 5e-4, all test rows with 5,000 draws, 5 seeds; for a GPU. Cells are written to --out/cells
when done and never computed twice. stdout gets one JSON object, the table goes to stderr.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cells import binarised_test_rows, cell, interval, say, shown
from latens.config import override
from latens.data import Dataset, Preparation, load
from latens.evidence import ModelRows, importance_sampling
from latens.fitting import prepare, train
from latens.latents import active_units, encode
from latens.recipes import get_recipe

MODELS: dict[str, dict[str, Any]] = {
    "standard": {"prior.kind": "standard-normal"},
    "mixture": {"prior.kind": "mixture", "prior.options": {"components": 500}},
    "exemplars": {"prior.kind": "vamp", "prior.options": {"components": 500, "learned": False}},
    "vamp": {"prior.kind": "vamp", "prior.options": {"components": 500}},
}


@dataclass(frozen=True)
class Preset:
    """What a cell is made of; `rows` None for all test rows."""

    steps: int
    learning_rate: float
    seeds: int
    rows: int | None
    num_samples: int


PRESETS = {"small": Preset(4000, 1e-3, 3, 500, 500), "full": Preset(1_000_000, 5e-4, 5, None, 5000)}


def one(model: str, seed: int, preset: Preset, data: Dataset) -> dict:
    """Train with one prior and measure."""
    settings = {
        "network.hidden": [300, 300],
        "posterior.latent_dim": 40,
        "likelihood.family": "bernoulli",
        "objective.kl": "sampled",
        "data.binarize": "stochastic",
        "optimizer.name": "adam",
        "optimizer.schedule": "constant",
        "optimizer.warmup_steps": 0,
        "optimizer.options": {},
        "optimizer.learning_rate": preset.learning_rate,
        "training.batch_size": 100,
        "training.epochs": None,
        "training.steps": preset.steps,
        "training.patience": None,
        "training.seed": seed,
        **MODELS[model],
    }
    experiment = prepare(override(get_recipe("default").config, settings), data)
    began = time.perf_counter()
    trained = train(experiment)[0].model
    seconds = time.perf_counter() - began
    batch = binarised_test_rows(data, experiment.preparation, preset.rows)
    found = importance_sampling(
        ModelRows(trained, batch, key=jax.random.key(seed)), num_samples=preset.num_samples
    ).estimate()
    codes = encode(ModelRows(trained, batch, key=jax.random.key(seed), preparation=Preparation()))["mean"]
    return {
        "model": model,
        "seed": seed,
        "log_marginal": found.value,
        "standard_error": found.standard_error,
        "active_units": int(active_units(codes).sum()),
        "train_seconds": round(seconds, 1),
    }


def summary(cells: list[dict]) -> list[dict]:
    """For each prior its mean over seeds, and the paired gain over the standard Normal."""
    value = {(c["model"], c["seed"]): c["log_marginal"] for c in cells}
    table = []
    for model in dict.fromkeys(c["model"] for c in cells):
        own = [c for c in cells if c["model"] == model]
        row = {"model": model, "values": [c["log_marginal"] for c in own]}
        row |= {"active_units": float(np.mean([c["active_units"] for c in own]))}
        row |= {"train_seconds": float(np.mean([c["train_seconds"] for c in own]))}
        if ("standard", own[0]["seed"]) in value:
            gains = [c["log_marginal"] - value["standard", c["seed"]] for c in own]
            row |= {"gains": gains, "gain": float(np.mean(gains)), "gain_interval": interval(gains)}
        table.append(row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--data", default="mnist", help="a name or a path, as for `latens fit`")
    parser.add_argument("--models", default=",".join(MODELS), help="of " + ", ".join(MODELS))
    parser.add_argument("--seeds", type=int, help="how many, from 0 on (the preset's)")
    parser.add_argument("--steps", type=int, help="updates of every model (the preset's)")
    parser.add_argument("--out", type=Path, help="folder of the cells (runs/vamp-prior-PRESET)")
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    preset = replace(preset, steps=arguments.steps or preset.steps)
    folder = arguments.out or Path("runs") / f"vamp-prior-{arguments.preset}"
    models = arguments.models.split(",")
    if not set(models) <= set(MODELS):
        parser.error(f"--models takes {', '.join(MODELS)}")
    data, cells = load(arguments.data), []
    for seed in range(arguments.seeds or preset.seeds):
        for model in models:
            compute = lambda model=model, seed=seed: one(model, seed, preset, data)  # noqa: E731
            settings = {**asdict(preset), **MODELS[model], "data": data.fingerprint}
            cells.append(cell(folder, f"{model}-{seed}", settings, compute))
            say(f"{model:9s} seed {seed}: {cells[-1]['log_marginal']:.2f} nats, {cells[-1]['train_seconds']:.0f} s")
    table = summary(cells)
    say("\nprior      log p(x), nats   gain             active units")
    for row in table:
        gain = shown(row["gains"]) if row["model"] != "standard" and "gains" in row else ""
        say(f"{row['model']:9s}  {shown(row['values']):15s}  {gain:15s}  {row['active_units']:.0f}")
    print(json.dumps({"preset": asdict(preset), "table": table, "cells": cells}))


if __name__ == "__main__":
    main()
