"""A mixed table from a file to samples: how long it takes, and how like the rows of the table the samples are.

    python benchmarks/mixed_tables.py TABLE.csv [--steps N] [--seed N]

Shape and Trend are those of `latens judge` (docs/tables.md), 1 for equal tables. Beside the samples stand the training
rows against the test rows, which is as good as a sample can be expected to be.
"""

import argparse
import time

import numpy as np

import latens
from latens.config import override
from latens.measure.tables import Table, shapes, trends
from latens.recipes import get_recipe


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
    columns = data.schema.columns or ()
    names = np.array([one.kind == "category" for one in data.schema.types or ()])

    def beside(one: np.ndarray, other: np.ndarray) -> str:
        a, b = (Table("", tuple(c.name for c in columns), x, names) for x in (one, other))
        return f"Shape {shapes(a, b).mean():.4f}, Trend {trends(a, b)[1].mean():.4f}"

    log_p = trained.log_marginal(data, num_samples=100)[data.subset("test")]
    print(f"fit {fitted - began:.0f} s, {len(fake)} samples {drawn - fitted:.1f} s")
    print(f"log p(x) of test rows {log_p.mean():.2f} ± {log_p.std() / np.sqrt(len(log_p)):.2f} nats")
    for what, rows in (("samples", fake), ("training rows", train)):
        print(f"{what} against test rows: {beside(test, rows)}")
    print(f"samples against all rows: {beside(cells, fake)}")


if __name__ == "__main__":
    main()
