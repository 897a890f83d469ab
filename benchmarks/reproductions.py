"""Do better priors, posteriors and bounds beat the plain VAE? log p(x) on binarised MNIST at equal steps.

    python benchmarks/reproductions.py [--data mnist] [--steps 2000] [--seeds 3] [--out STEM] [--json]

Five recipes of the same networks (784-200-200-40), the same rows in the same order, the same optimiser and the same
number of steps; pixels are binarised at random anew at every step (as Tomczak & Welling 2018 and Burda et al. 2016
train), the test rows once. log p(x) by importance sampling with 500 draws a row. The difference to the plain VAE is
paired by seed; its 95 % interval is Student's t over the seeds. `--out` gets the curves.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np

from latens.config import override
from latens.data import Dataset, load, prepare_batch
from latens.data.dataset import Batch
from latens.evidence import ModelRows, log_marginal
from latens.figures.style import dress, legend, new_axes, save, theme
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from seeds import interval

SAME = {
    "network.hidden": [200, 200],
    "posterior.latent_dim": 40,
    "likelihood.family": "bernoulli",
    "data.binarize": "stochastic",
    "training.batch_size": 128,
    "training.epochs": None,
    "training.patience": None,
}

MODELS: dict[str, tuple[str, dict]] = {
    "plain": ("default", {"objective.kl": "sampled", "posterior.scale": "softplus"}),
    "iwae-10": ("iwae", {"objective.num_samples": 10, "posterior.scale": "softplus"}),
    "vamp-prior": ("vamp-prior", {"prior.components": 300}),
    "iaf": ("iaf", {"posterior.width": 320, "posterior.context_size": 64}),
    "two-level": ("two-level", {"posterior.levels": [20], "network.level_hidden": [200, 200]}),
}
"""Name -> recipe and its own settings, chosen on validation rows with other seeds."""


def test_batch(data: Dataset, rows: int) -> Batch:
    """Test rows binarised once, the same for every model."""
    experiment = prepare(override(get_recipe("default").config, SAME), data)
    batch = data.rows(data.subset("test")[:rows])
    return prepare_batch(experiment.preparation, batch, key=jax.random.key(7))


def one(name: str, data: Dataset, batch: Batch, *, seed: int, steps: int) -> dict:
    """Train one model and measure it."""
    recipe, settings = MODELS[name]
    budget = {"training.steps": steps, "training.seed": seed}
    experiment = prepare(override(get_recipe(recipe).config, {**SAME, **settings, **budget}), data)
    began = time.perf_counter()
    trained, result = train(experiment)
    seconds = time.perf_counter() - began
    rows = log_marginal(ModelRows(trained.model, batch), num_samples=500)
    curve = [(r["step"], r["validation_elbo"]) for r in result.history if "validation_elbo" in r]
    return {"model": name, "seed": seed, "rows": rows, "seconds": seconds, "curve": curve}


def summary(found: list[dict]) -> list[dict]:
    """Mean log p(x) of each model, and its paired difference to the plain one with a 95 % interval."""
    value = {(f["model"], f["seed"]): float(f["rows"].mean(dtype=np.float64)) for f in found}
    seeds = sorted({f["seed"] for f in found})
    table = []
    for name in dict.fromkeys(f["model"] for f in found):
        gains = np.array([value[name, s] - value["plain", s] for s in seeds])
        table.append(
            {
                "model": name,
                "log_marginal": round(float(np.mean([value[name, s] for s in seeds])), 3),
                "gain": round(float(gains.mean()), 3),
                "interval": [round(end, 3) for end in interval(gains)],
                "seconds": round(float(np.mean([f["seconds"] for f in found if f["model"] == name])), 1),
            }
        )
    return table


def draw_curves(found: list[dict], stem: Path) -> None:
    """The ELBO of validation rows against steps, the first seed of each model, as pictures and a table."""
    shown = [row for row in found if row["seed"] == 0 and row["curve"]]
    ax = new_axes(size=(6.0, 4.0))[0, 0]
    colours = theme().classes
    lines = [ax.plot(*zip(*row["curve"]), color=colour)[0] for row, colour in zip(shown, colours)]
    dress(ax, x="step", y="ELBO on validation rows, nats")
    ax.set_ylim(bottom=max(min(value for row in shown for _, value in row["curve"]), -120.0))
    legend(ax, lines, [row["model"] for row in shown], loc="lower right")
    table = {"step": [step for step, _ in shown[0]["curve"]]}
    table |= {row["model"]: [value for _, value in row["curve"]] for row in shown}
    save(ax, stem, table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000, help="test rows that are measured")
    parser.add_argument("--out", type=Path, help="stem of the curves' pictures and table")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = load(arguments.data)
    batch, found = test_batch(data, arguments.rows), []
    for seed in range(arguments.seeds):
        for name in arguments.models.split(","):
            found.append(one(name, data, batch, seed=seed, steps=arguments.steps))
            if not arguments.json:
                mean = found[-1]["rows"].mean()
                print(f"{name:11s} seed {seed}: {mean:8.3f} nats, {found[-1]['seconds']:.0f} s", flush=True)
        if arguments.out and seed == 0:
            draw_curves(found, arguments.out)
    table = summary(found)
    if arguments.json:
        print(json.dumps(table))
        return
    for row in table:
        low, high = row["interval"]
        gain = f"{row['gain']:+.3f} [{low:+.3f}, {high:+.3f}]"
        print(f"{row['model']:11s} {row['log_marginal']:8.3f}  {gain}  {row['seconds']:.0f} s")


if __name__ == "__main__":
    main()
