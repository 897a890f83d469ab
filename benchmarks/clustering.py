"""Do clusters find the digits? Clustering accuracy of the recipe vade on MNIST, without a label in training.

    python benchmarks/clustering.py --data FOLDER [--seeds 3] [--json]

`latens fit mnist --recipe vade` as a user would type it. Each test row is given its most probable component of the
prior; components and classes are matched one to one (Hungarian). Also after the first stage, where the mixture is only
fitted to the codes. Jiang et al. (2017), arXiv 1611.05148, table 2, report 94.46 % for the best of their runs, on all
70,000 rows. `--rows` takes so many training rows for a quick look.
"""

import json
import statistics
import time
from typing import Any

import jax
import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from latens.config import override
from latens.data import Dataset
from latens.evidence import ModelRows
from latens.fitting import prepare, train
from latens.latents import cluster_probabilities, matched
from latens.recipes import get_recipe
from latens.training import Event
from seeds import arguments_of, opened

SETTINGS = {
    "network.hidden": "500,500",
    "training.pretrain_epochs": 15,
    "training.epochs": 15,
    "training.patience": None,
}


def scores(model: Any, data: Dataset, preparation: Any, seed: int) -> dict[str, float]:
    """How well the clusters of test rows meet their classes."""
    batch = data.rows(data.subset("test"))
    rows = ModelRows(model, batch, key=jax.random.key(seed), preparation=preparation)
    found = cluster_probabilities(rows).argmax(axis=1)
    label = np.asarray(batch.label)
    return {"accuracy": float(matched(label, found).mean()), "nmi": float(normalized_mutual_info_score(label, found))}


def measure(data: Dataset, seed: int, settings: dict[str, str]) -> dict:
    """Train once; scores on test rows, also of the mixture as it was fitted."""
    experiment = prepare(override(get_recipe("vade").config, {**SETTINGS, "training.seed": seed, **settings}), data)
    fitted: list[dict[str, float]] = []

    def after_the_start(event: Event) -> None:
        if event.kind == "start" and event.snapshot.loop.stage == 1:
            fitted.append(scores(event.model(), data, experiment.preparation, seed))

    began = time.perf_counter()
    trained, result = train(experiment, callbacks=[after_the_start])
    seconds = time.perf_counter() - began
    return {
        "recipe": "vade",
        "seed": seed,
        **scores(trained.model, data, trained.preparation, seed),
        "fitted": fitted[0],
        "rows": len(data.subset("train")),
        "test_rows": len(data.subset("test")),
        "steps": result.snapshot.loop.total,
        "seconds": round(seconds, 1),
        "last": result.history[-1],
    }


def main() -> None:
    arguments = arguments_of(__doc__, seeds=3).parse_args()
    data, settings = opened(arguments)
    rows = []
    for seed in range(arguments.seeds):
        row = measure(data, seed, settings)
        rows.append(row)
        if not arguments.json:
            print(
                f"seed {seed}: {row['accuracy']:.2%} (NMI {row['nmi']:.3f}), as fitted "
                f"{row['fitted']['accuracy']:.2%}; {row['steps']} steps, {row['seconds']:.0f} s",
                flush=True,
            )
    median = statistics.median(row["accuracy"] for row in rows)
    if arguments.json:
        print(json.dumps({"median_accuracy": median, "runs": rows}))
    else:
        print(f"median of {len(rows)} seeds: {median:.2%}")


if __name__ == "__main__":
    main()
