"""How often warnings of an evaluation come, by how strong what they warn of is: their power, and false alarms.

Each fault is made by one setting, from none to strong, on the small digits (1,797 pictures of 8 x 8) or on a table
drawn from a mixture of three classes of independent columns. Every strength is trained with several seeds; a row tells
how many of these runs were named, and the number that the rule reads. Runs without a fault, of ten seeds, tell false
alarms of all rules. `python benchmarks/alarms.py` prints the table of docs/reliability.md and one JSON object; `--only`
takes one fault, `--seeds` and `--healthy` other numbers of runs.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from latens import read
from latens.config import override
from latens.data import Dataset
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.measurement import Measured
from latens.trained.metric_functions import measure_all
from seeds import some

DIGITS = {"posterior.latent_dim": 8, "network.hidden": [64], "training.steps": 1000, "training.batch_size": 64}
TABLE = {"posterior.latent_dim": 2, "network.hidden": [32], "training.batch_size": 64}
READ = ("generalisation_gap",)
"""What is measured beside the numbers that every evaluation has."""


def digits(rows: int | None = None) -> Dataset:
    """The digits with all training rows, or so many of them."""
    return some(read("digits"), rows)


def of_classes(rows: int = 1500) -> Dataset:
    """A table of six columns of names that three classes tell apart, independent within a class."""
    generator = np.random.default_rng(0)
    shares = generator.dirichlet(np.full(4, 0.3), size=(3, 6))
    of = generator.integers(3, size=rows)
    cells = [[generator.choice(4, p=shares[c, j]) for j in range(6)] for c in of]
    import pandas as pd  # the rest needs no pandas

    frame = pd.DataFrame(np.array(list("abcd"))[np.array(cells)], columns=[f"c{j}" for j in range(6)])
    return read(frame)


Make = tuple[Callable[[], Dataset], dict[str, Any]]
FAULTS: dict[str, tuple[str, str, dict[str, Make]]] = {
    "overfitting": (
        "training rows, 1,000 steps",
        "generalisation_gap",
        {str(n): (lambda n=n: digits(n), DIGITS) for n in (1000, 300, 150, 75)},
    ),
    "posterior-collapse": (
        "weight of the KL",
        "kl",
        {f"{beta:g}": (digits, {**DIGITS, "objective.beta": beta}) for beta in (1.0, 3.0, 10.0, 30.0)},
    ),
    "simpler-is-better": (
        "steps on a table of classes",
        "gain_over_tree",
        {str(n): (of_classes, {**TABLE, "training.steps": n}) for n in (3000, 300, 100, 30)},
    ),
}


def one(make: Callable[[], Dataset], settings: dict[str, Any], seed: int) -> Measured:
    """Train one run and measure it on its test rows."""
    data = make()
    # The step that is best for the validation rows would hide an overfitted one.
    fixed = {"training.seed": seed, "training.patience": None, "data.validation": "none"}
    config = override(get_recipe("default").config, {**fixed, **settings})
    experiment = prepare(config, data)
    trained, _ = train(experiment)
    rows = experiment.data.subset("test")
    return measure_all(trained, experiment.data, rows, num_samples=300, seed=seed, only=READ)


def row_of(name: str, value: str, runs: list[Measured]) -> dict[str, Any]:
    """How many of these runs were named, and the number that decides."""
    read = FAULTS[name][1]
    found = [run.metrics[read].value for run in runs if read in run.metrics]
    named = sum(any(finding.name == name for finding in run.findings) for run in runs)
    others = Counter(f.name for run in runs for f in run.findings if f.name != name)
    middle = float(np.median(found)) if found else float("nan")
    return {"fault": name, "strength": value, "named": named, "runs": len(runs), read: middle, "others": dict(others)}


def main() -> None:
    """Train every run, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=FAULTS, help="one fault")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each strength")
    parser.add_argument("--healthy", type=int, default=10, help="runs without a fault")
    arguments = parser.parse_args()
    enable_compilation_cache()
    began, rows = time.perf_counter(), []
    alarms: Counter[str] = Counter()
    for seed in range(100, 100 + arguments.healthy):
        alarms.update(finding.name for finding in one(digits, DIGITS, seed).findings)
    print(f"{arguments.healthy} runs without a fault: {dict(alarms) or 'nothing named'}", flush=True)
    print("| warning | made by | strength | named | the number it reads |\n|---|---|---|---|---|", flush=True)
    for name in FAULTS if arguments.only is None else [arguments.only]:
        made_by, read, strengths = FAULTS[name]
        for value, (make, settings) in strengths.items():
            rows.append(row_of(name, value, [one(make, settings, seed) for seed in range(arguments.seeds)]))
            end = rows[-1]
            line = f"| {name} | {made_by} | {value} | {end['named']} of {end['runs']} | {read} {end[read]:.3g} |"
            print(line, "", end["others"] or "", flush=True)
    print(json.dumps({"healthy": dict(alarms), "rows": rows, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
