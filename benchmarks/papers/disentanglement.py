"""Do beta-VAE, beta-TC-VAE and FactorVAE disentangle shapes better than a VAE? Scores of each, over seeds.

    python benchmarks/papers/disentanglement.py [--preset small|full] [--models vae,beta-vae] [--seeds 3] [--out FOLDER]

The question of Higgins et al. (2017), Chen et al. (2018) and Kim & Mnih (2018): their figures have beta-TC-VAE and
FactorVAE above beta-VAE, and beta-VAE above the VAE, on dSprites; Locatello et al. (2019) find the seed to matter as
much as the objective. Every model has the same networks, rows, order of rows, optimiser and steps; only the objective
differs. Codes are posterior means of the same rows, drawn from all shapes; every score is of `latens.latents`, with
its protocol in the JSON. A cell (model, seed) is written to FOLDER/cells as soon as it is done and never computed
twice: an interrupted run goes on where it was. stdout gets one JSON object, the table goes to stderr.

`small`: 20 000 shapes of 32 x 32 pixels whose angles are all different (a quarter turn), dense networks, 10 units, a
few thousand steps, 3 seeds; within 15 minutes on two cores. `full`: every one of the 737 280 combinations at 64 x 64
pixels, convolutional networks, 300 000 steps, 10 seeds; for a GPU.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cells import interval, say
from latens.config import override
from latens.data import Dataset, load
from latens.fitting import prepare, train
from latens.kinds.pictures.drawn_shapes import FORMS, factors_of, shapes
from latens.latents import encode
from latens.latents.decomposition import kl_split
from latens.latents.disentanglement import dci, mig
from latens.recipes import get_recipe
from latens.runtime.atomic import write_atomic

MODELS: dict[str, tuple[str, dict]] = {
    "vae": ("beta-vae", {"objective.beta": 1.0}),
    "beta-vae": ("beta-vae", {"objective.beta": 4.0}),
    "beta-tc-vae": ("beta-tc-vae", {"objective.beta": 6.0}),
    "factor-vae": ("factor-vae", {"objective.weight": 35.0}),
}
"""Name -> recipe and its strength: those of the papers on dSprites."""

SAME = {
    "likelihood.family": "bernoulli",
    "posterior.latent_dim": 10,
    "optimizer.name": "adam",
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "training.epochs": None,
    "training.patience": None,
}

SCORES = ("mig", "dci_disentanglement")
"""The columns of the table; the JSON has all of them."""


@dataclass(frozen=True)
class Preset:
    """What a cell is made of."""

    rows: int
    resolution: int
    turn: float
    steps: int
    seeds: int
    measured: int
    network: str
    batch_size: int
    learning_rate: float

    def settings(self) -> dict:
        hidden = {"network.hidden": [256, 256]} if self.network == "dense" else {}
        return {
            **SAME,
            **hidden,
            "network.kind": self.network,
            "optimizer.learning_rate": self.learning_rate,
            "training.batch_size": self.batch_size,
            "training.steps": self.steps,
        }


PRESETS = {
    "small": Preset(20_000, 32, 0.25, 4000, 3, 2000, "dense", 128, 1e-3),
    "full": Preset(737_280, 64, 1.0, 300_000, 10, 10_000, "conv", 64, 1e-4),
}


def drawn_shapes(preset: Preset) -> Dataset:
    """The data of every cell; the label of a row is its form, its id the number of its combination."""
    found = shapes(preset.rows, resolution=preset.resolution, turn=preset.turn, seed=0)
    form = np.array(FORMS)[found.factors[:, 0]]
    return load(found.x, label=form, row_id=found.row_id, name="shapes")


def one(name: str, seed: int, preset: Preset, data: Dataset) -> dict:
    """Train one model and score its codes."""
    recipe, strength = MODELS[name]
    config = override(get_recipe(recipe).config, {**preset.settings(), **strength, "training.seed": seed})
    began = time.perf_counter()
    trained, _ = train(prepare(config, data))
    seconds = time.perf_counter() - began
    positions = np.sort(np.random.default_rng(0).permutation(len(data))[: preset.measured])
    batch, factors = trained.batch(data, positions), factors_of(data.names[positions])
    rows = trained.rows(batch, seed=seed)
    codes = encode(rows)["mean"]
    found = {"mig": mig(codes, factors, seed=seed), **dci(codes, factors, seed=seed)}
    found |= kl_split(rows)
    return {
        "model": name,
        "seed": seed,
        "preset": asdict(preset),
        "train_seconds": round(seconds, 1),
        "score_seconds": round(time.perf_counter() - began - seconds, 1),
        "scores": {key: value.to_json() for key, value in found.items()},
    }


def cell(name: str, seed: int, preset: Preset, data: Dataset | None, folder: Path) -> tuple[dict, Dataset | None]:
    """A cell as it was written, or computed and written now; the data are drawn when the first one needs them."""
    path = folder / "cells" / f"{name}-{seed}.json"
    if path.is_file():
        found = json.loads(path.read_text())
        if found["preset"] == asdict(preset):
            return found, data
    data = drawn_shapes(preset) if data is None else data
    found = one(name, seed, preset, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(found, indent=1).encode())
    return found, data


def summary(cells: list[dict]) -> list[dict]:
    """For each model and score the mean over seeds with its 95 % interval, and the paired gain over the VAE."""
    value = {(c["model"], c["seed"]): {k: s["value"] for k, s in c["scores"].items()} for c in cells}
    table = []
    for name in dict.fromkeys(c["model"] for c in cells):
        seeds = [seed for model, seed in value if model == name]
        row: dict = {"model": name, "seeds": seeds, "scores": {}}
        for score in value[name, seeds[0]]:
            own = np.array([value[name, seed][score] for seed in seeds])
            both = [seed for seed in seeds if ("vae", seed) in value]
            gain = np.array([value[name, seed][score] - value["vae", seed][score] for seed in both])
            row["scores"][score] = {"mean": float(own.mean()), "interval": interval(own)}
            if len(both) and name != "vae":
                row["scores"][score] |= {"gain": float(gain.mean()), "gain_interval": interval(gain)}
        table.append(row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, help="how many, from 0 on (the preset's)")
    parser.add_argument("--steps", type=int, help="of training (the preset's)")
    parser.add_argument("--out", type=Path, help="folder of the cells (runs/disentanglement-PRESET)")
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    if arguments.steps:
        preset = Preset(**{**asdict(preset), "steps": arguments.steps})
    names = arguments.models.split(",")
    if unknown := set(names) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    folder = arguments.out or Path("runs") / f"disentanglement-{arguments.preset}"
    cells, data = [], None
    for seed in range(arguments.seeds or preset.seeds):
        for name in names:
            found, data = cell(name, seed, preset, data, folder)
            cells.append(found)
            shown = [format(found["scores"][k]["value"], ".3f") for k in SCORES]
            say(f"{name:12s} seed {seed}  " + "  ".join(f"{k} {v}" for k, v in zip(SCORES, shown)))
    table = summary(cells)
    say(f"\n{'mean (95 % of seeds)':12s}  " + "  ".join(SCORES))
    for row in table:
        parts = []
        for k in SCORES:
            at, wide = row["scores"][k]["mean"], row["scores"][k]["interval"]
            parts.append(f"{at:.3f}" + (f" ±{(wide[1] - wide[0]) / 2:.3f}" if wide else ""))
        say(f"{row['model']:12s}  " + "  ".join(parts))
    print(json.dumps({"preset": asdict(preset), "table": table}))


if __name__ == "__main__":
    main()
