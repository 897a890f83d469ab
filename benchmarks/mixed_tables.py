"""A mixed table from a file to samples: how long it takes, and how `latens judge` finds the samples, over seeds.

    python benchmarks/mixed_tables.py TABLE --test TEST [--target COLUMN] [--seeds 0,1,2,3,4] [--set PART.OPTION=VALUE]

TABLE and TEST are files of the same columns, of which TEST trains nothing. Each seed fits the recipe `default`, draws
as many rows as TABLE has, and judges them; log p(x) is of the rows of TEST, with 100 draws a row. Prints a line a seed,
then means with Student's 95 % intervals, and what real rows reach.
"""

import argparse
import resource
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

import latens
from latens.config import override
from latens.data.mixed import as_columns
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from latens.workflow.judge import judge
from seeds import interval


def numbers(found: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Each number of a judgement, of the samples and of what real rows reach (NaN where that is nothing)."""
    beside = lambda one: one.get("new_rows", {}).get("value", np.nan)  # noqa: E731
    made = {name: (found[name]["value"], beside(found[name])) for name in ("shape", "trend")}
    made |= {f"detection, {kind}": (found["detection"][kind]["value"], 1.0) for kind in ("trees", "logistic")}
    if "utility" in found:
        made["utility"] = (found["utility"]["fake"]["value"], found["utility"]["real"]["value"])
    if "attacks" in found:
        made |= {f"attack by {kind}": (one["auc"], 0.5) for kind, one in found["attacks"].items()}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--test", required=True)
    parser.add_argument("--target")
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    options = parser.parse_args()
    enable_compilation_cache()
    settings = dict(item.split("=", 1) for item in options.set)
    rows: list[dict[str, tuple[float, float]]] = []
    for seed in options.seeds:
        data, began = latens.load_data(options.table, label="none", typed=True), time.monotonic()
        config = override(get_recipe("default").config, {"training.seed": seed, **settings})
        trained, _ = latens.train(latens.prepare(config, data))
        fitted = time.monotonic()
        fake = pd.DataFrame(as_columns(trained.sample(len(data), seed=seed), trained.schema))
        drawn = time.monotonic()
        test = latens.load_data(options.test, label="none", schema=trained.schema)
        made = numbers(judge(options.table, fake, test=options.test, target=options.target, seed=seed))
        made |= {"log p(x) of test rows": (float(trained.log_marginal(test, num_samples=100).mean()), np.nan)}
        made |= {"seconds to fit": (fitted - began, np.nan), "seconds to sample": (drawn - fitted, np.nan)}
        made |= {"peak memory, GB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, np.nan)}
        rows.append(made)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4g}" for name, (value, _) in made.items()), file=sys.stderr)
    print("| what | mean over seeds | 95 % interval | real rows |\n|---|---|---|---|")
    for name in rows[0]:
        values, real = (np.array([row[name][k] for row in rows]) for k in (0, 1))
        low, high = interval(values)
        beside = "" if np.isnan(real).all() else f"{real.mean():.4g}"
        print(f"| {name} | {values.mean():.4g} | {low:.4g} to {high:.4g} | {beside} |")


if __name__ == "__main__":
    main()
