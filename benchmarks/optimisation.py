"""The default optimisation beside Adam at a constant rate of 1e-3, after a small budget of steps.

    python benchmarks/optimisation.py [--data DIR] [--sets digits,table] [--steps 200,1000,5000] [--seeds 2] [--json]

Networks, likelihood and start are the same for both, and so is the choice of the step by validation rows. Printed is
log p(x) of at most 300 test rows by importance sampling (K = 100), and the mean difference, paired by row. MNIST,
Fashion-MNIST (2,000 training rows of each), cells and photographs need --data, the folder with their files.
"""

import argparse
import gzip
import json
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import scipy.sparse as sp

import latens
from latens.config import override
from latens.data import Dataset, prepare_batch
from latens.evidence import ModelRows, log_marginal
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from seconds import table

ADAM = {
    "optimizer.name": "adam",
    "optimizer.learning_rate": 1e-3,
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "optimizer.options": {},
}


def rows_of(name: str, folder: Path) -> Dataset:
    """The data of that name, of at most some thousand rows."""
    if name == "table":
        return latens.read(table())
    if name == "mnist":
        parts = np.load(folder / "binarized_mnist/binarized_mnist.npz")
        bits = np.concatenate([parts["train"][:2000], parts["valid"][:500], parts["test"][::20]])
        found = latens.read(np.unpackbits(bits, axis=1).reshape(-1, 28, 28))
        return replace(found, split=np.repeat(np.arange(3, dtype=np.uint8), [2000, 500, 500]))
    if name == "fashion":
        raw = gzip.decompress((folder / "fashion_mnist/t10k-images-idx3-ubyte.gz").read_bytes())
        return latens.read(np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:2500])
    if name == "cells":
        cells = sp.load_npz(folder / "single_cell/worm_neuron_counts.npz").tocsr()
        genes = np.argsort(-np.asarray(cells.sum(0)).ravel())[:500]
        return latens.read(latens.Counts(cells[:2000, genes]))
    if name == "photographs":
        return latens.read(np.load(folder / "cifar10_jpeg/cifar10_small_decoded.npz")["x_train"])
    if name in ("red", "white"):
        return latens.read(folder / f"tabular/winequality-{name}.csv")
    return latens.read(name)


def fitted(data: Dataset, settings: dict, seed: int, steps: int) -> tuple[np.ndarray, float]:
    """log p(x) of test rows, and the processor seconds of the training."""
    limits = {"training.seed": seed, "training.steps": steps, "training.patience": None}
    experiment = prepare(override(get_recipe("default").config, {**limits, **settings}), data)
    began = time.process_time()
    trained, _ = train(experiment)
    spent = time.process_time() - began
    batch, preparation = trained.batch(data, data.subset("test")[:300]), experiment.preparation
    if preparation.dequantize:
        batch = prepare_batch(preparation, batch, key=jax.random.key(5))
        preparation = type(preparation)()
    rows = ModelRows(trained.model, batch, key=jax.random.key(0), preparation=preparation)
    return np.asarray(log_marginal(rows, num_samples=100)), spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--sets", default="digits,table")
    parser.add_argument("--steps", default="200,1000,5000")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE", help="changes the default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    changed = dict(item.split("=", 1) for item in arguments.set)
    results = []
    for name in arguments.sets.split(","):
        data = rows_of(name, arguments.data)
        for steps in map(int, arguments.steps.split(",")):
            ours, adam = (
                [fitted(data, settings, seed, steps) for seed in range(arguments.seeds)] for settings in (changed, ADAM)
            )
            gain = np.mean([a - b for (a, _), (b, _) in zip(ours, adam, strict=True)], axis=0)
            row = {
                "data": name,
                "steps": steps,
                "default": round(float(np.mean([a for a, _ in ours])), 2),
                "adam": round(float(np.mean([b for b, _ in adam])), 2),
                "gain": round(float(gain.mean()), 2),
                "standard_error": round(float(gain.std(ddof=1) / len(gain) ** 0.5), 2),
                "seconds": [round(float(np.mean([spent for _, spent in runs])), 1) for runs in (ours, adam)],
            }
            results.append(row)
            if not arguments.json:
                print(
                    f"{name:12s} {steps:5d} steps: default {row['default']:.2f}, Adam {row['adam']:.2f}, gain "
                    f"{row['gain']:+.2f} ± {row['standard_error']:.2f} nats a row; {row['seconds']} s",
                    flush=True,
                )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
