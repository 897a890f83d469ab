"""How loose is importance sampling on image decoders? Annealing against the bound, after Wu et al. (2017).

    python benchmarks/papers/ais_against_bound.py [--preset small|full] [--data PATH] [--models vae,iwae] [--seeds 3]

"On the Quantitative Analysis of Decoder-Based Generative Models" (Wu, Burda, Salakhutdinov & Grosse 2017, arXiv
1611.04273) finds on binarised MNIST for an IWAE -85.62 nats by annealing, and -86.46 by importance sampling with
100,000 draws: the bound misses 0.84 nats. Here: a model 784-200-200-50 trained with the ELBO or with IWAE-50, then the
same test rows by importance sampling with growing K and by annealing with growing temperatures. `miss` is annealing
minus importance sampling, paired over rows.

`small`: 4,000 updates, 16 test rows, 16 chains of at most 300 temperatures, 2 seeds; minutes on two cores. `full`:
400,000 updates, 200 rows, 10,000 temperatures; for a GPU. Cells are written to --out/cells when done and never
computed twice. stdout gets one JSON object, the table goes to stderr.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
import numpy as np

from cells import binarised_test_rows, cell, interval, say, shown
from latens.config import override
from latens.data import Dataset, load
from latens.evidence import Estimate, ModelRows, annealed_importance_sampling, importance_sampling
from latens.fitting import prepare, train
from latens.recipes import get_recipe

MODELS = {"vae": ("elbo", {"objective.kl": "sampled"}), "iwae": ("iwae", {"objective.num_samples": 50})}
"""Name -> objective and its options."""


@dataclass(frozen=True)
class Preset:
    """What a cell is made of."""

    steps: int
    seeds: int
    rows: int
    draws: tuple[int, ...]
    temperatures: tuple[int, ...]
    chains: int = 16


PRESETS = {
    "small": Preset(4000, 2, 16, (100, 1000, 10_000), (100, 300)),
    "full": Preset(400_000, 3, 200, (1000, 10_000, 100_000), (1000, 10_000)),
}


def one(name: str, seed: int, preset: Preset, data: Dataset) -> dict:
    """Train one model and measure it every way."""
    objective, options = MODELS[name]
    settings = {
        "network.hidden": [200, 200],
        "network.activation": "tanh",
        "posterior.latent_dim": 50,
        "posterior.scale": "softplus",
        "likelihood.family": "bernoulli",
        "data.binarize": "stochastic",
        "training.batch_size": 100,
        "training.epochs": None,
        "training.patience": None,
        "training.steps": preset.steps,
        "training.seed": seed,
        "objective.name": objective,
        **options,
    }
    trained, _ = train(prepare(override(get_recipe("default").config, settings), data))
    model, key = trained.model, jax.random.key(seed)
    batch = binarised_test_rows(data, trained.preparation, preset.rows)
    found, rows = {}, {}

    def add(label: str, began: float, result: object) -> None:
        rows[label] = result.rows
        found[label] = {**result.estimate().to_json(), "seconds": round(time.perf_counter() - began, 1)}

    for draws in preset.draws:
        began = time.perf_counter()
        result = importance_sampling(ModelRows(model, batch, key=key, samples_per_chunk=20), num_samples=draws)
        add(f"importance {draws}", began, result)
        found[f"importance {draws}"]["median_pareto_k"] = float(np.median(result.pareto_k))
    for count in preset.temperatures:
        began = time.perf_counter()
        numbers = {"num_samples": preset.chains, "num_temperatures": count}
        add(f"annealed {count}", began, annealed_importance_sampling(ModelRows(model, batch, key=key), **numbers))
    best = f"annealed {preset.temperatures[-1]}"
    for draws in preset.draws:
        label = f"importance {draws}"
        words = f"{best} minus {label}, paired over rows"
        found[f"miss of {label}"] = Estimate.of(rows[best] - rows[label], num_samples=draws, protocol=words).to_json()
    return {"model": name, "seed": seed, "numbers": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--data", default="mnist", help="a name or a path, as for `latens fit`")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, help="how many, from 0 on (the preset's)")
    parser.add_argument("--steps", type=int, help="updates (the preset's)")
    parser.add_argument("--rows", type=int, help="test rows (the preset's)")
    parser.add_argument("--out", type=Path, help="folder of the cells (runs/ais-against-bound-PRESET)")
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    preset = replace(preset, steps=arguments.steps or preset.steps, rows=arguments.rows or preset.rows)
    folder = arguments.out or Path("runs") / f"ais-against-bound-{arguments.preset}"
    names = arguments.models.split(",")
    if unknown := set(names) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    data, cells = load(arguments.data), []
    for seed in range(arguments.seeds or preset.seeds):
        for name in names:
            settings = json.loads(json.dumps({**asdict(preset), "data": data.fingerprint}))
            compute = lambda name=name, seed=seed: one(name, seed, preset, data)  # noqa: E731
            cells.append(cell(folder, f"{name}-{seed}", settings, compute))
            say(f"{name} seed {seed} done")
    table = []
    for name in names:
        own = [c["numbers"] for c in cells if c["model"] == name]
        say(f"\n{name}: nats, mean over {len(own)} seeds (95 %)")
        for label in own[0]:
            values = [numbers[label]["value"] for numbers in own]
            row = {"model": name, "what": label, "values": values, "interval": interval(values)}
            table.append({**row, "seconds": own[0][label].get("seconds")})
            say(f"  {label:42s} {shown(values)}")
    print(json.dumps({"preset": asdict(preset), "table": table, "cells": cells}))


if __name__ == "__main__":
    main()
