"""Does a classifier of few labels get better by rows that a model draws? Accuracy with and without, over seeds.

    python benchmarks/augmentation.py --data digits|FOLDER [--seeds 0,1,2,3,4] [--labels 10,30,100] [--json]
    python benchmarks/augmentation.py --table FILE [FILE ...]

For every seed: at most `--rows` training rows, so many labels of each class, 100 new rows of each class by every way
below, two classifiers (logistic regression, a support vector machine with an RBF kernel; pixels in [0, 1],
scikit-learn's defaults) and one set of at most 2,000 test rows that neither a model nor a classifier saw. Digits are
divided anew for every seed, 600 rows for the test. Models on all rows see no labels; models on labelled rows see no
others. `--table` reads the lines of several `--json` runs: the mean over seeds, and the difference to no new rows with
its 95 % interval over seeds (paired: labels, test rows and classifier are the same).
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from latens.config import override
from latens.data import TEST, TRAIN, Dataset, load
from latens.data.dataset import keep_labels
from latens.evidence import ModelRows
from latens.fitting import prepare, train
from latens.latents import reconstruct
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.augmentation import augment
from latens.trained.trained_model import TrainedModel
from seeds import interval, some

PER_CLASS, MOST_TEST, MOST_STEPS = 100, 2000, 2000
WAYS = (
    "none",
    "the same rows again",
    "moved by a pixel",
    "all rows: posterior means",
    "all rows: around, draws",
    "all rows: around, means",
    "labelled rows: around, means",
    "labelled rows: p(x | class), draws",
    "labelled rows: p(x | class), means",
)
CLASSIFIERS = {"logistic": lambda: LogisticRegression(max_iter=2000), "svm": SVC}


def divided(name: str, rows: int, seed: int) -> Dataset:
    """The data with the rows that train, and test rows; digits divided anew for each seed."""
    data = load(name)
    if len(data) < 5000:
        split = np.full(len(data), TRAIN, np.uint8)
        split[np.random.default_rng(seed).permutation(len(data))[:600]] = TEST
        return dataclasses.replace(data, split=split)
    split = np.where(data.split == TEST, TEST, TRAIN).astype(np.uint8)
    return some(dataclasses.replace(data, split=split), rows)


def only(data: Dataset, positions: np.ndarray) -> Dataset:
    """Some rows, all of which train."""
    names = ("x", "row_id", "names", "split", "label")
    kept = {name: getattr(data, name)[positions] for name in names}
    return dataclasses.replace(data, **kept, hidden=None)


def model_of(data: Dataset, recipe: str, seed: int, steps: int) -> TrainedModel:
    """A model trained on the rows that train, without one that validates."""
    settings: dict[str, Any] = {"training.seed": seed, "training.steps": steps, "training.patience": None}
    config = override(get_recipe(recipe).config, {**settings, "data.validation": "none"})
    return train(prepare(config, data))[0]


def moved(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each picture moved by a pixel to a side or a corner, at random."""
    steps = generator.integers(-1, 2, (len(x), 2))
    return np.stack([np.roll(row, (int(a), int(b)), (0, 1)) for row, (a, b) in zip(x, steps)])


def new_rows(data: Dataset, seed: int, every: TrainedModel) -> dict[str, tuple[np.ndarray, np.ndarray] | None]:
    """New rows and the codes of their classes by every way, of the data's labelled rows."""
    assert data.label is not None
    labelled = np.flatnonzero((data.split == TRAIN) & (data.seen_label >= 0))
    known = only(data, labelled)
    steps = min(10 * len(known), MOST_STEPS)
    plain, conditional = (model_of(known, name, seed, steps) for name in ("default", "conditional-vae"))
    generator = np.random.default_rng(seed)
    taken = np.concatenate(
        [np.resize(generator.permutation(np.flatnonzero(known.label == c)), PER_CLASS) for c in np.unique(known.label)]
    )
    codes = np.asarray(known.label)[taken]
    key = jax.random.key(seed)
    back = reconstruct(ModelRows(every.model, every.batch(known, taken), key=key, preparation=every.preparation))

    def drawn(model: TrainedModel, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        found = augment(model, known, PER_CLASS, seed=seed, **options)
        return found.x, np.array([(known.schema.classes or ()).index(name) for name in found.label])

    return {
        "none": None,
        "the same rows again": (known.x[taken], codes),
        "moved by a pixel": (moved(known.x[taken], generator), codes),
        "all rows: posterior means": (every.data_units(back, mean=True), codes),
        "all rows: around, draws": drawn(every),
        "all rows: around, means": drawn(every, mean=True),
        "labelled rows: around, means": drawn(plain, mean=True),
        "labelled rows: p(x | class), draws": drawn(conditional),
        "labelled rows: p(x | class), means": drawn(conditional, mean=True),
    }


def measure(name: str, rows: int, labels: list[int], seed: int) -> list[dict[str, Any]]:
    """The accuracy of every classifier with every way of making rows."""
    data, results = divided(name, rows, seed), []
    assert data.label is not None
    test = data.subset("test")
    test = test[np.random.default_rng(seed).permutation(len(test))[:MOST_TEST]]
    every = model_of(data, "default", seed, MOST_STEPS)
    scale = max(1.0, float(data.x.max()))
    flat = lambda x: np.asarray(x, np.float64).reshape(len(x), -1) / scale  # noqa: E731
    for count in labels:
        kept = keep_labels(data, count * len(data.schema.classes or ()), seed)
        known = np.flatnonzero((kept.split == TRAIN) & (kept.seen_label >= 0))
        began = time.perf_counter()
        for way, found in new_rows(kept, seed, every).items():
            x, y = flat(data.x[known]), data.label[known]
            if found is not None:
                x, y = np.concatenate([x, flat(found[0])]), np.concatenate([y, found[1]])
            for classifier, make in CLASSIFIERS.items():
                accuracy = float(make().fit(x, y).score(flat(data.x[test]), data.label[test]))
                row = {"data": data.name, "labels": count, "seed": seed, "way": way, "classifier": classifier}
                results.append({**row, "accuracy": accuracy, "test_rows": len(test)})
        print(f"{data.name}, {count} labels, seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return results


def table(results: list[dict[str, Any]]) -> str:
    """A table for each data set and classifier: accuracy without new rows, then what each way adds."""
    found: dict[tuple[Any, ...], dict[int, float]] = {}
    for row in results:
        found.setdefault((row["data"], row["classifier"], row["way"], row["labels"]), {})[row["seed"]] = row["accuracy"]
    lines = []
    for data, classifier in dict.fromkeys(key[:2] for key in found):
        labels = sorted({key[3] for key in found if key[:2] == (data, classifier)})
        lines += [
            "",
            f"{data}, {classifier}",
            "",
            f"| new rows | {' | '.join(f'{n} labels a class' for n in labels)} |",
        ]
        lines += ["|---" * (len(labels) + 1) + "|"]
        for way in WAYS:
            cells = []
            for n in labels:
                without, own = (found[data, classifier, w, n] for w in ("none", way))
                values = np.array([own[seed] - (0.0 if way == "none" else without[seed]) for seed in sorted(own)])
                low, high = interval(values)
                sign = "" if way == "none" else "+"
                cells.append(f"{values.mean():{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})")
            lines.append(f"| {way.replace('|', chr(92) + '|')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits, or a folder of IDX files")
    parser.add_argument("--rows", type=int, default=5000, help="training rows at most (default 5000)")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2, 3, 4])
    parser.add_argument("--labels", type=numbers, default=[10, 30, 100], help="of each class")
    parser.add_argument("--json", action="store_true", help="a line for each accuracy")
    parser.add_argument("--table", nargs="+", type=Path, metavar="FILE", help="the table of lines that --json printed")
    arguments = parser.parse_args()
    enable_compilation_cache()
    if arguments.table:
        results = [json.loads(line) for path in arguments.table for line in path.read_text().splitlines()]
    else:
        results = [
            row for seed in arguments.seeds for row in measure(arguments.data, arguments.rows, arguments.labels, seed)
        ]
    if arguments.json:
        print("\n".join(json.dumps(row) for row in results))
    else:
        print(table(results))


if __name__ == "__main__":
    main()
