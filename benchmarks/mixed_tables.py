"""A mixed table from a file to samples: how long it takes, and how like the rows of the table the samples are.

    python benchmarks/mixed_tables.py TABLE.csv [--steps N] [--seed N]

Shape is the mean over columns of 1 - total variation (categories) or 1 - the Kolmogorov-Smirnov distance (numbers and
dates). Trend is the mean over pairs of columns of 1 - half the difference of correlations (two numbers), else of 1 -
total variation of the joint frequencies, numbers in ten parts of like mass. Both are 1 for equal tables. Beside the
samples stand the training rows against the test rows, which is as good as a sample can be expected to be.
"""

import argparse
import itertools
import time

import numpy as np
from scipy.stats import ks_2samp

import latens
from latens.config import override
from latens.recipes import get_recipe

PARTS = 10


def shape(real: np.ndarray, fake: np.ndarray, names: np.ndarray) -> float:
    """How like the columns are, one by one."""
    found = []
    for i, category in enumerate(names):
        a, b = (x[~np.isnan(x[:, i]), i] for x in (real, fake))
        found.append(1.0 - (variation(a, b) if category else ks_2samp(a, b).statistic))
    return float(np.mean(found))


def trend(real: np.ndarray, fake: np.ndarray, names: np.ndarray) -> float:
    """How like the pairs of columns are."""
    found = []
    for i, j in itertools.combinations(range(real.shape[1]), 2):
        a, b = (x[~np.isnan(x[:, [i, j]]).any(axis=1)][:, [i, j]] for x in (real, fake))
        if not names[i] and not names[j]:
            found.append(1.0 - 0.5 * abs(np.corrcoef(a.T)[0, 1] - np.corrcoef(b.T)[0, 1]))
            continue
        for column, category in enumerate((names[i], names[j])):
            if not category:
                cuts = np.unique(np.quantile(a[:, column], np.linspace(0, 1, PARTS + 1)))[1:-1]
                a[:, column], b[:, column] = (np.searchsorted(cuts, x[:, column]) for x in (a, b))
        found.append(1.0 - variation(a[:, 0] * 1e4 + a[:, 1], b[:, 0] * 1e4 + b[:, 1]))
    return float(np.mean(found))


def variation(a: np.ndarray, b: np.ndarray) -> float:
    """The total variation of two samples of values that repeat."""
    values, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(values)) / len(part) for part in np.split(codes, [len(a)])]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = latens.load_data(options.table)
    settings = {"training.seed": options.seed} | ({"training.steps": options.steps} if options.steps else {})
    began = time.monotonic()
    trained, _ = latens.train(latens.prepare(override(get_recipe("default").config, settings), data))
    fitted = time.monotonic()
    fake = trained.sample(len(data), seed=options.seed)
    drawn = time.monotonic()
    cells = data.x.astype(np.float64) if data.mask is None else np.where(data.mask, data.x, np.nan)
    test, train = cells[data.subset("test")], cells[data.subset("train")]
    names = np.array([one.kind == "category" for one in data.schema.types])
    log_p = trained.log_marginal(data, num_samples=100)[data.subset("test")]
    print(f"fit {fitted - began:.0f} s, {len(fake)} samples {drawn - fitted:.1f} s")
    print(f"log p(x) of test rows {log_p.mean():.2f} ± {log_p.std() / np.sqrt(len(log_p)):.2f} nats")
    for what, rows in (("samples", fake), ("training rows", train)):
        beside = f"{shape(test, rows, names):.4f}, Trend {trend(test, rows, names):.4f}"
        print(f"{what} against test rows: Shape {beside}")
    print(f"samples against all rows: Shape {shape(cells, fake, names):.4f}, Trend {trend(cells, fake, names):.4f}")


if __name__ == "__main__":
    main()
