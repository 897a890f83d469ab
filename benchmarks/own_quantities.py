"""Does a penalty move the quantity that it names? WAE and MMD, AAE and a classifier's accuracy, beta-TC and its TC.

    python benchmarks/own_quantities.py [--seeds 3] [--steps 2000] [--json]

Digits, every pixel 0 or 1, half of the rows for training, 8 latent units, the same start, rows, order and steps with
the penalty and without: weight 0 (a plain autoencoder) for WAE and AAE, beta 1 (a plain VAE) for beta-TC. Measured on
the rows that no model saw, never by the objective itself:

    mmd         MMD^2 of a code a row against as many draws of the prior; one bandwidth, the median distance of two
                draws of N(0, I)
    accuracy    of k nearest neighbours that tell codes from draws of the prior, on pairs it was not trained on; 0.5
                where it cannot
    tc          KL(q(z) || prod_d q(z_d)) in nats, q(z) the mean of the posteriors of these rows

The change is paired by seed; its 95 % interval is Student's t over the seeds.
"""

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from latens.config import override
from latens.data import Dataset, load
from latens.evidence import ModelRows
from latens.fitting import prepare, train
from latens.latents import encode, kl_split, sample_prior
from latens.recipes import get_recipe
from latens.trained.sample_sets import classifier_two_sample_test
from seeds import interval

SAME = {
    "network.hidden": [128, 128],
    "posterior.latent_dim": 8,
    "likelihood.family": "bernoulli",
    "data.binarize": "threshold",
    "training.epochs": None,
    "training.patience": None,
}
PAIRS: dict[str, tuple[str, str, dict]] = {
    "wae-mmd": ("mmd", "weight 0", {"objective.weight": 0.0}),
    "aae": ("accuracy", "weight 0", {"objective.weight": 0.0}),
    "beta-tc-vae": ("tc", "beta 1", {"objective.beta": 1.0}),
}
"""Recipe -> its own quantity, what it is without the penalty, and the setting that takes it away."""


def half_held_out(data: Dataset) -> Dataset:
    """The data with every second row for testing, and a tenth of the others for validation."""
    split = np.where(np.arange(len(data)) % 2 == 1, 2, np.where(np.arange(len(data)) % 20 == 0, 1, 0))
    return replace(data, split=split.astype(np.uint8))


def measured(quantity: str, model: Any, data: Dataset, preparation: Any, seed: int) -> float:
    """One quantity on the test rows."""
    batch, keys = data.rows(data.subset("test")), jax.random.split(jax.random.key(seed), 2)
    if quantity == "tc":
        found = kl_split(ModelRows(model, batch, key=keys[0], preparation=preparation), num_samples=4)
        return found["total_correlation"].value
    codes = encode(ModelRows(model, batch, key=keys[0], preparation=preparation))["mean"]  # of points: the code itself
    draws = sample_prior(model, len(codes), key=keys[1])
    if quantity == "accuracy":
        return classifier_two_sample_test(codes, draws, seed=seed)["two_sample_accuracy"].value
    middle = float(np.sqrt(stats.chi2.ppf(0.5, codes.shape[1]) * 2.0))
    return discrepancy(codes, draws, middle)


def discrepancy(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """The unbiased squared maximum mean discrepancy of two sets of n, by a Gaussian kernel (Gretton et al., 2012)."""
    n = len(x)
    xx, yy, xy = (np.exp(-cdist(a, b, "sqeuclidean") / (2.0 * bandwidth**2)) for a, b in ((x, x), (y, y), (x, y)))
    return float((xx.sum() + yy.sum() - 2 * n) / (n * (n - 1)) - 2.0 * xy.mean())


def one(recipe: str, settings: dict, data: Dataset, *, seed: int, steps: int) -> float:
    """Train one model and measure its own quantity."""
    budget = {"training.steps": steps, "training.seed": seed}
    experiment = prepare(override(get_recipe(recipe).config, {**SAME, **settings, **budget}), data)
    trained, _ = train(experiment)
    return measured(PAIRS[recipe][0], trained.model, data, trained.preparation, seed)


def summary(recipe: str, without: np.ndarray, with_it: np.ndarray) -> dict:
    """Means over the seeds, and the paired change with its 95 % interval."""
    change = with_it - without
    return {
        "recipe": recipe,
        "quantity": PAIRS[recipe][0],
        "compared_with": PAIRS[recipe][1],
        "without": round(float(without.mean()), 5),
        "with": round(float(with_it.mean()), 5),
        "change": round(float(change.mean()), 5),
        "interval": [round(end, 5) for end in interval(change)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data, table, began = half_held_out(load("digits")), [], time.perf_counter()
    for recipe, (_, _, off) in PAIRS.items():
        values = np.array(
            [
                [one(recipe, settings, data, seed=seed, steps=arguments.steps) for settings in (off, {})]
                for seed in range(arguments.seeds)
            ]
        )
        table.append(summary(recipe, values[:, 0], values[:, 1]))
        if not arguments.json:
            row = table[-1]
            low, high = row["interval"]
            ends = f"{row['without']:.5f} -> {row['with']:.5f}, {row['change']:+.5f} [{low:+.5f}, {high:+.5f}]"
            print(f"{recipe:11s} {row['quantity']:8s} against {row['compared_with']}: {ends}", flush=True)
    if arguments.json:
        print(json.dumps(table))
    else:
        print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
