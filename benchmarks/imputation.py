"""How well missing cells are filled in: NRMSE of hidden cells, ours beside what scikit-learn has.

Half of the cells are hidden completely at random, by 3 masks a table. Columns are standardised by their complete cells,
so that filling in the mean has an error of about 1. All methods see the same rows (at most 10,000 of a table, chosen at
random) and fill in those rows. `python benchmarks/imputation.py` prints one table and one JSON object;
`--tables`, `--masks` and `--set PART.OPTION=VALUE` change what is run.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from latens.config import override
from latens.data import TEST, TRAIN, load
from latens.fitting import prepare, train
from latens.predictive import impute
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache

SHARED = Path(os.environ.get("LATENS_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
MOST_ROWS = 10_000
HIDDEN = 0.5
BUDGET = {
    "training.steps": 1200,
    "training.patience": None,
    "optimizer.learning_rate": 2e-3,
    "optimizer.schedule": "cosine",
}
"""The same for every table; without it the recipe trains until the bound of validation rows stops rising."""


def _tables() -> dict[str, Callable[[], np.ndarray]]:
    def csv(name: str, skip: int, drop: int) -> np.ndarray:
        rows = np.loadtxt(SHARED / "tabular" / name, delimiter=",", skiprows=skip)
        return rows[:, : rows.shape[1] - drop]

    def hivae(name: str) -> np.ndarray:
        types = (SHARED / "tabular/hivae" / name / "data_types.csv").read_text().split()[1:]
        numeric = [line.split(",")[0] in ("real", "pos", "count") for line in types]
        return np.loadtxt(SHARED / "tabular/hivae" / name / "data.csv.gz", delimiter=",")[:, numeric]

    found: dict[str, Callable[[], np.ndarray]] = {
        "red wine": lambda: csv("winequality-red.csv", 1, 1),
        "white wine": lambda: csv("winequality-white.csv", 1, 1),
        "breast cancer": lambda: csv("breast_cancer.csv", 1, 1),
        "HI-VAE Wine": lambda: hivae("Wine"),
    }
    for path in sorted((SHARED / "adbench").glob("*.npz")):
        found[path.stem.split("_", 1)[1]] = lambda path=path: np.load(path)["X"].astype(np.float64)
    return found


def standardised(x: np.ndarray) -> np.ndarray:
    """Numeric columns that vary, each with mean 0 and standard deviation 1; at most `MOST_ROWS` rows."""
    if len(x) > MOST_ROWS:
        x = x[np.random.default_rng(0).permutation(len(x))[:MOST_ROWS]]
    x = x[:, x.std(0) > 1e-12]
    return (x - x.mean(0)) / x.std(0)


def ours(gaps: np.ndarray, seed: int, settings: dict[str, Any], recipe: str, num_samples: int) -> np.ndarray:
    """E[x_missing | x_observed]; a tenth of the rows say when to stop, by the bound of their observed cells."""
    data = load(gaps, missing="nan")
    # No row is held back for a test: the hidden cells are one.
    data = dataclasses.replace(data, split=np.where(data.split == TEST, TRAIN, data.split).astype(np.uint8))
    config = override(get_recipe(recipe).config, {"training.seed": seed, **settings})
    trained, result = train(prepare(config, data))
    print(f"    {result.snapshot.loop.total} steps", file=sys.stderr, end="", flush=True)
    found = impute(
        trained.rows(data, seed=seed),
        num_samples=num_samples,
    )
    return np.where(np.isnan(gaps), trained.data_units(found.mean, mean=True), gaps)


def theirs(gaps: np.ndarray, name: str) -> np.ndarray:
    """What scikit-learn fills in, as installed."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    made = {"mean": SimpleImputer(), "knn": KNNImputer(), "iterative": IterativeImputer(random_state=0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its rounds did not converge
        return made[name].fit_transform(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", default=list(_tables()))
    parser.add_argument("--masks", type=int, default=3)
    parser.add_argument("--recipe", default="miwae-missing")
    parser.add_argument("--num-samples", type=int, default=200)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--methods", nargs="*", default=["ours", "mean", "knn", "iterative"])
    args = parser.parse_args()
    enable_compilation_cache()
    settings = {**BUDGET, **dict(text.split("=", 1) for text in args.set)}
    methods = args.methods
    results, began = {}, time.perf_counter()
    print(f"{'table':<16}{'rows x columns':>16}  " + "".join(f"{m:>18}" for m in methods))
    for name in args.tables:
        x, errors, seconds = standardised(_tables()[name]()), {m: [] for m in methods}, dict.fromkeys(methods, 0.0)
        for seed in range(args.masks):
            hidden = np.random.default_rng([1, seed]).random(x.shape) < HIDDEN
            hidden[hidden.all(1), 0] = False  # a row of gaps alone is no row
            gaps = np.where(hidden, np.nan, x)
            for method in methods:
                start = time.perf_counter()
                if method == "ours":
                    filled = ours(gaps, seed, settings, args.recipe, args.num_samples)
                else:
                    filled = theirs(gaps, method)
                seconds[method] += time.perf_counter() - start
                errors[method].append(float(np.sqrt(np.mean((filled - x)[hidden] ** 2))))
        print(file=sys.stderr)
        results[name] = {"rows": len(x), "columns": x.shape[1], "nrmse": errors, "seconds": seconds}
        cells = "".join(f"{np.mean(errors[m]):>10.4f} ({seconds[m]:4.0f}s)" for m in methods)
        print(f"{name:<16}{f'{len(x)} x {x.shape[1]}':>16}  {cells}", flush=True)
    if {"ours", "mean"} <= set(methods):
        mean = {name: {m: np.mean(r["nrmse"][m]) for m in methods} for name, r in results.items()}
        best = [name for name, r in mean.items() if min(r, key=lambda m: r[m]) == "ours"]
        lost = [name for name, r in mean.items() if r["ours"] > r["mean"]]
        print(f"\nbest of all in {len(best)} of {len(mean)} tables; worse than the mean in {len(lost)}: {lost}")
    value = {"tables": results, "seconds": time.perf_counter() - began, "recipe": args.recipe, "settings": settings}
    print(json.dumps(value))


if __name__ == "__main__":
    main()
