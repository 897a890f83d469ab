"""Table 1 of "Importance Weighted Autoencoders" (Burda, Grosse & Salakhutdinov 2016): test -log p(x) on MNIST.

    python benchmarks/papers/iwae_table.py [--preset small|full] [--data PATH] [--layers 1,2] [--k 1,5,50] [--seeds 3]

One and two stochastic layers (784-200-200-50; latents 100 and 50), the VAE's and the importance-weighted bound with K =
1, 5, 50 draws (equal at K = 1), pixels binarised anew for every batch, batches of 20, Adam with epsilon 1e-4 and the
paper's schedule: eight stages of 1, 3, 9, ... 2187 parts with a rate that falls from 1e-3 to 1e-4. Every model of a
table takes equally many updates. Test rows are binarised once; -log p(x) by importance sampling with K = 5000 (full)
draws, on all of them (full). Differs from the released code: rows are shuffled, beta1 is 0.9, the second moment starts
at 0; reproductions with these are 0.2 to 0.5 nats better than the table. `gain` is the paired difference to the row
above it of the same layers, with a 95 % interval over seeds, beside the published one.

`small`: 6,000 updates with four times the rates and epsilon 1e-8 (the paper's are for 9.8 million), VAE K = 1 and IWAE
K = 5, 50, 500 test rows with 500 draws, 3 seeds; meant for 15 minutes on two cores. `full`: 3,280 passes (9.8 million
updates) and every column; for a GPU and days. Cells are written to --out/cells when done and never computed twice.
stdout gets one JSON object, the table goes to stderr.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
import numpy as np
import optax

from cells import binarised_test_rows, cell, interval, say, shown
from latens.config import override
from latens.data import Dataset, load
from latens.evidence import ModelRows, importance_sampling
from latens.fitting import Experiment, prepare
from latens.latents import active_units, encode
from latens.recipes import get_recipe
from latens.training import Budget, Optimizer, Settings, Stage, fit, from_optax
from latens.training.optimizers import adam

_ORDER = (("vae", 1), ("vae", 5), ("vae", 50), ("iwae", 5), ("iwae", 50))
_NUMBERS = {1: (86.76, 86.47, 86.35, 85.54, 84.78), 2: (85.33, 85.01, 84.78, 83.89, 82.90)}
PUBLISHED = {(n, *kind): value for n, row in _NUMBERS.items() for kind, value in zip(_ORDER, row)}
"""(layers, bound, K) -> -log p(x) in nats."""

PARTS = np.cumsum([3**i for i in range(8)]) / 3280
RATES = [1e-4 * round(10 ** (1 - i / 7), 1) for i in range(8)]


@dataclass(frozen=True)
class Preset:
    """What a cell is made of; `rows` None for all test rows."""

    steps: int
    seeds: int
    rows: int | None
    num_samples: int
    every_column: bool
    rate: float = 1.0
    epsilon: float = 1e-4
    batch_size: int = 20


PRESETS = {"small": Preset(6000, 3, 500, 500, False, 4.0, 1e-8), "full": Preset(9_774_400, 3, None, 5000, True)}


def columns(layers: int, ks: list[int], preset: Preset) -> list[tuple[int, str, int]]:
    """The cells of one half of the table, the VAE with one draw first."""
    kinds = [(layers, "vae", 1)]
    kinds += [(layers, "vae", k) for k in ks if k > 1 and preset.every_column]
    return kinds + [(layers, "iwae", k) for k in ks if k > 1]


def optimizer(preset: Preset) -> Optimizer:
    """Adam with the paper's eight rates (times `rate`), each for its part of the steps."""
    ends = {max(1, int(part * preset.steps)): RATES[i + 1] / RATES[i] for i, part in enumerate(PARTS[:-1])}
    rates = optax.piecewise_constant_schedule(preset.rate * RATES[0], ends)
    return from_optax(adam(rates, eps=preset.epsilon))


def experiment_of(layers: int, bound: str, k: int, seed: int, data: Dataset) -> Experiment:
    chosen = {"objective.name": "iwae"} if bound == "iwae" else {"objective.name": "elbo", "objective.kl": "sampled"}
    latents = {"posterior.latent_dim": 50} if layers == 1 else {"posterior.latent_dim": 100, "posterior.levels": [50]}
    return prepare(
        override(
            get_recipe("default").config,
            {
                "network.hidden": [200, 200],
                "network.activation": "tanh",
                "network.initializer": "glorot-uniform",
                "posterior.scale": "log-scale",
                "likelihood.family": "bernoulli",
                "data.binarize": "stochastic",
                "training.seed": seed,
                "objective.num_samples": k,
                **chosen,
                **latents,
            },
        ),
        data,
    )


def one(layers: int, bound: str, k: int, seed: int, preset: Preset, data: Dataset) -> dict:
    """Train one model and measure it."""
    experiment = experiment_of(layers, bound, k, seed, data)
    (planned,) = experiment.stages()
    stage = Stage(planned.objective, optimizer(preset), Budget(steps=preset.steps), planned.start)
    settings = Settings(
        batch_size=preset.batch_size, drop_last=True, seed=seed, chunk_steps=500, validate=False, restore_best=False
    )
    began = time.perf_counter()
    result = fit(experiment.new_model(), data, [stage], preparation=experiment.preparation, settings=settings)
    trained = time.perf_counter() - began
    batch = binarised_test_rows(data, experiment.preparation, preset.rows)
    rows = ModelRows(result.model, batch, key=jax.random.key(seed), samples_per_chunk=20)
    found = importance_sampling(rows, num_samples=preset.num_samples)
    five_hundred = data.rows(data.subset("train")[:500])
    codes = encode(ModelRows(result.model, five_hundred, key=jax.random.key(seed), preparation=experiment.preparation))[
        "mean"
    ]
    return {
        "layers": layers,
        "bound": bound,
        "k": k,
        "seed": seed,
        "negative_log_marginal": -found.estimate().value,
        "standard_error": found.estimate().standard_error,
        "monte_carlo_error": found.sums.monte_carlo_error,
        "median_pareto_k": float(np.median(found.pareto_k)),
        "active_units": int(active_units(codes).sum()),
        "train_seconds": round(trained, 1),
        "measure_seconds": round(time.perf_counter() - began - trained, 1),
    }


def summary(cells: list[dict]) -> list[dict]:
    """For each column its mean over seeds, and the paired gain over the column before."""
    value = {((c["layers"], c["bound"], c["k"]), c["seed"]): c["negative_log_marginal"] for c in cells}
    kinds = list(dict.fromkeys(kind for kind, _ in value))
    table, before = [], None
    for kind in kinds:
        seeds = [seed for other, seed in value if other == kind]
        own = [value[kind, seed] for seed in seeds]
        row = {"layers": kind[0], "bound": kind[1], "k": kind[2], "seeds": seeds, "values": own}
        row |= {"mean": float(np.mean(own)), "interval": interval(own), "published": PUBLISHED[kind]}
        if before is not None and before[0] == kind[0]:
            gain = [value[before, seed] - value[kind, seed] for seed in seeds if (before, seed) in value]
            row |= {"gain": float(np.mean(gain)), "gain_interval": interval(gain)}
            row["published_gain"] = round(PUBLISHED[before] - PUBLISHED[kind], 2)
        table.append(row)
        before = kind
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--data", default="mnist", help="a name or a path, as for `latens fit`")
    parser.add_argument("--layers", default="1,2")
    parser.add_argument("--k", default="1,5,50")
    parser.add_argument("--seeds", type=int, help="how many, from 0 on (the preset's)")
    parser.add_argument("--steps", type=int, help="updates of every model (the preset's)")
    parser.add_argument("--rows", type=int, help="test rows that are measured (the preset's)")
    parser.add_argument("--out", type=Path, help="folder of the cells (runs/iwae-table-PRESET)")
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    preset = replace(preset, steps=arguments.steps or preset.steps, rows=arguments.rows or preset.rows)
    folder = arguments.out or Path("runs") / f"iwae-table-{arguments.preset}"
    ks = [int(k) for k in arguments.k.split(",")]
    if not set(ks) <= {1, 5, 50}:
        parser.error("--k takes 1, 5 and 50: the columns of the table")
    data, cells = load(arguments.data), []
    for seed in range(arguments.seeds or preset.seeds):
        for layers in (int(layer) for layer in arguments.layers.split(",")):
            for kind in columns(layers, ks, preset):
                name = f"{layers}-{kind[1]}-{kind[2]}-{seed}"
                settings = {**asdict(preset), "data": data.fingerprint}
                found = cell(folder, name, settings, lambda kind=kind, seed=seed: one(*kind, seed, preset, data))
                cells.append(found)
                say(f"{name:12s} {found['negative_log_marginal']:.3f} nats, {found['train_seconds']:.0f} s")
    cells.sort(key=lambda c: (c["layers"], c["bound"] == "iwae", c["k"], c["seed"]))
    table = summary(cells)
    say("\nlayers bound  K   -log p(x)       published   gain over the row above   published")
    for row in table:
        gains = ""
        if "gain" in row:
            wide = row["gain_interval"]
            half = "" if wide is None else f" ±{(wide[1] - wide[0]) / 2:.2f}"
            gains = f"{row['gain']:.2f}{half:14s} {row['published_gain']:.2f}"
        own = f"{row['layers']:6d} {row['bound']:5s} {row['k']:3d}  {shown(row['values']):16s}"
        say(f"{own} {row['published']}   {gains}")
    print(json.dumps({"preset": asdict(preset), "table": table, "cells": cells}))


if __name__ == "__main__":
    main()
