"""How far do a hundred labels go? Test accuracy of the recipes m1-m2 and m2 on MNIST with few labels kept.

    python benchmarks/semi_supervised.py --data FOLDER [--labels 100] [--seeds 3] [--json]

`latens fit mnist --recipe m1-m2 --set data.labelled=100` as a user would type it: all training rows, 100 labels (ten of
each class, other ones for every seed), the accuracy of q(y | x) on all test rows. Kingma et al. (2014), arXiv
1406.5298, table 1, report 3.33 % error for M1+M2 with 100 labels. `--rows` takes so many training rows, for a look.
"""

import json
import time

import numpy as np

from latens.config import override
from latens.data import Dataset
from latens.evaluation import label_probabilities
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train
from seeds import arguments_of, opened

SETTINGS = {
    "m1-m2": {
        "network.hidden": "500",
        "label.latent_dim": 10,
        "optimizer.learning_rate": 3e-3,
        "training.pretrain_epochs": 8,
        "training.epochs": 3,
    },
    "m2": {"network.hidden": "500", "posterior.latent_dim": 50, "training.epochs": 10},
}
"""Beside the recipe's own: the paper's widths, and a budget of minutes."""


def measure(data: Dataset, recipe: str, labels: int, seed: int, settings: dict[str, str]) -> dict:
    """Train once; the accuracy on test rows."""
    chosen = {**SETTINGS.get(recipe, {}), "data.labelled": labels, "training.seed": seed, **settings}
    experiment = prepare(override(get_recipe(recipe).config, chosen), data)
    began = time.perf_counter()
    trained, result = train(experiment)
    seconds = time.perf_counter() - began
    test = data.subset("test")
    batch = trained.batch(data, test)
    found = label_probabilities(trained.rows(batch, seed=seed))
    hits = found.argmax(axis=1) == np.asarray(batch.label)
    return {
        "recipe": recipe,
        "labels": labels,
        "seed": seed,
        "accuracy": float(hits.mean()),
        "standard_error": float(np.sqrt(hits.mean() * (1 - hits.mean()) / len(hits))),
        "rows": len(data.subset("train")),
        "test_rows": len(test),
        "steps": result.snapshot.loop.total,
        "seconds": round(seconds, 1),
        "last": result.history[-1],
    }


def main() -> None:
    parser = arguments_of(__doc__, seeds=1)
    parser.add_argument("--recipes", default="m1-m2")
    parser.add_argument("--labels", type=int, default=100)
    arguments = parser.parse_args()
    data, settings = opened(arguments)
    results = []
    for recipe in arguments.recipes.split(","):
        for seed in range(arguments.seeds):
            row = measure(data, recipe, arguments.labels, seed, settings)
            results.append(row)
            if not arguments.json:
                print(
                    f"{recipe}, {row['labels']} labels, seed {seed}: {row['accuracy']:.2%} of {row['test_rows']} test "
                    f"rows; {row['steps']} steps, {row['seconds']:.0f} s",
                    flush=True,
                )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
