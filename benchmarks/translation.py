"""How good are translations of one class into another, by a classifier's word?

    python benchmarks/translation.py [--seeds 0,1,2,3,4] [--json]
    python benchmarks/translation.py --table FILE [FILE ...]

Digits, 600 test rows, divided anew for each seed: a `conditional-vae`; every test row is decoded as each other digit
(means), and a support vector machine fitted to the training rows says what it sees. `--table` reads the lines of
`--json` runs: means over seeds with Student's 95 % intervals.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.svm import SVC

from latens.config import override
from latens.data import TEST, TRAIN, Dataset, load
from latens.fitting import prepare, train
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.augmentation import translate
from latens.trained.trained_model import TrainedModel
from seeds import interval

STEPS, TEST_ROWS = 1500, 600


def divided(data: Dataset, seed: int) -> Dataset:
    """The data with other test rows for each seed."""
    split = np.full(len(data), TRAIN, np.uint8)
    split[np.random.default_rng(seed).permutation(len(data))[:TEST_ROWS]] = TEST
    return dataclasses.replace(data, split=split)


def model_of(data: Dataset, recipe: str, seed: int) -> TrainedModel:
    settings = {"training.seed": seed, "training.steps": STEPS, "training.patience": None, "data.validation": "none"}
    return train(prepare(override(get_recipe(recipe).config, settings), data))[0]


def measure(seed: int) -> list[dict[str, Any]]:
    """One line for each number of one seed."""
    data, rows = divided(load("digits"), seed), []
    assert data.label is not None
    began = time.perf_counter()
    flat = lambda x: np.asarray(x, np.float64).reshape(len(x), -1) / 16.0  # noqa: E731
    train_rows, test = data.subset("train"), data.subset("test")
    judge = SVC().fit(flat(data.x[train_rows]), data.label[train_rows])
    model, names = model_of(data, "conditional-vae", seed), data.schema.classes or ()
    held_out = dataclasses.replace(data, label=np.where(data.split == TEST, data.label, np.int32(-1)))
    own, others = [], []
    for start in names:
        for code, end in enumerate(names):
            seen = judge.predict(flat(translate(model, held_out, start, end).x)) == code
            (own if start == end else others).append(seen)
    for name, seen in (("as their own class", own), ("as another class", others)):
        rows.append({"task": "classes", "name": name, "value": float(np.mean(np.concatenate(seen))), "seed": seed})
    rows.append({"task": "classes", "name": "the rows themselves", "seed": seed,
                 "value": float(judge.score(flat(data.x[test]), data.label[test]))})  # fmt: skip
    print(f"seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each number: the mean over seeds with its interval."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        found.setdefault((row["task"], row["name"]), {})[row["seed"]] = row["value"]
    lines = ["| task | what | mean over seeds | 95 % interval |", "|---|---|---|---|"]
    for (task, name), values in found.items():
        low, high = interval(np.array(list(values.values())))
        lines.append(f"| {task} | {name} | {np.mean(list(values.values())):.3f} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", action="store_true", help="a line for each number")
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="the table of lines that --json printed")
    arguments = parser.parse_args()
    enable_compilation_cache()
    if arguments.table:
        rows = [json.loads(line) for path in arguments.table for line in path.read_text().splitlines()]
    else:
        rows = [row for seed in arguments.seeds for row in measure(seed)]
    print("\n".join(json.dumps(row) for row in rows) if arguments.json else table(rows))


if __name__ == "__main__":
    main()
