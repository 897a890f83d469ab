"""The least time to a good log p(x): binarised MNIST, the one-layer network of Burda et al. (2016), two cores.

    python benchmarks/speedrun.py --data FOLDER --choose                 # lengths, from validation rows
    python benchmarks/speedrun.py --data FOLDER [--targets -95] [--seeds 5] [--json]

784-200-200-50 and mirrored, tanh, pixels binarised anew for every batch. Any optimiser, schedule, batch and start is
allowed; test rows are used for nothing but the score: binarised once (seed 123), log p(x) by importance sampling with
K draws (5,000), all 10,000 rows, once a run. The clock holds the building of the model, its compilation (nothing
cached) and the training; the length of a run is fixed beforehand (`STEPS`), chosen with another seed on validation
rows by `--choose`, which prints log p(x) of them after every `--every` steps.

`plain` is the same with Adam 1e-3, batch 128 and no start from the data: `--choose --plain` says when it gets there, in
CPU seconds of training too.
"""

import argparse
import json
import time

import jax
import numpy as np

from latens.config import override
from latens.data import Dataset, load, prepare_batch
from latens.data.batches import Batch
from latens.evaluation import Estimate, log_marginal
from latens.experiment import Experiment, prepare, train
from latens.recipes import get_recipe
from latens.training import Event

NETWORK = {
    "network.hidden": [200, 200],
    "network.activation": "tanh",
    "network.initializer": "glorot-uniform",
    "posterior.latent_dim": 50,
    "likelihood.family": "bernoulli",
    "data.binarize": "stochastic",
    "training.epochs": None,
    "training.patience": None,
    "training.drop_last": True,
}
FAST = {"training.batch_size": 200, "optimizer.learning_rate": 6e-3, "optimizer.options.weight_decay": 0.0}
PLAIN = {
    "training.batch_size": 128,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 1e-3,
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "optimizer.options": {},
    "likelihood.output_bias": "zero",
}

STEPS = {-95.0: 5500}
"""Target in nats -> steps, from `--choose`: -94.59 nats on validation rows after 5,000 steps, -91.69 after 14,000."""

CHOOSING_SEED = 1000
TEST_SEED = 123


def experiment_of(data: Dataset, *, steps: int, seed: int, plain: bool, every: int | None = None) -> Experiment:
    """A run of so many steps, whose chunks also end at every multiple of `every`."""
    chosen = {**NETWORK, **(PLAIN if plain else FAST), "training.steps": steps, "training.seed": seed}
    chosen["training.plots_every"] = every
    return prepare(override(get_recipe("default").config, chosen), data)


def scored(model: object, batch: Batch, num_samples: int) -> Estimate:
    """log p(x) of rows that are binarised already."""
    rows = log_marginal(model, batch, num_samples=num_samples, key=jax.random.key(0))
    return Estimate.of(rows, num_samples=num_samples, protocol="importance sampling")


def binarised(data: Dataset, split: str, rows: int | None) -> Batch:
    """Rows of a split, binarised once."""
    preparation = experiment_of(data, steps=1, seed=0, plain=False).preparation
    return prepare_batch(preparation, data.rows(data.subset(split)[:rows]), key=jax.random.key(TEST_SEED))


def one(data: Dataset, batch: Batch, *, target: float, seed: int, num_samples: int) -> dict:
    """One run against the clock, then its score."""
    jax.clear_caches()
    began, cpu = time.perf_counter(), time.process_time()
    trained, _ = train(experiment_of(data, steps=STEPS[target], seed=seed, plain=False))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    found = scored(trained.model, batch, num_samples)
    return {
        "target": target,
        "seed": seed,
        "steps": STEPS[target],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "log_marginal": round(found.value, 3),
        "standard_error": round(found.standard_error, 3),
        "reached": found.value >= target,
    }


def choose(data: Dataset, *, steps: int, every: int, plain: bool) -> list[dict]:
    """log p(x) of validation rows along one run; the measuring is not on the clock."""
    batch, curve, spent = binarised(data, "validation", 1000), [], [0.0, 0.0]
    experiment = experiment_of(data, steps=steps, seed=CHOOSING_SEED, plain=plain, every=every)
    clock = [time.perf_counter(), time.process_time()]

    def watch(event: Event) -> None:
        step = event.snapshot.loop.step
        if event.kind != "chunk" or step % every:
            return
        now = [time.perf_counter(), time.process_time()]
        found = scored(event.model(), batch, 500)
        row = {"step": step, "log_marginal": round(found.value, 3)}
        row |= {"seconds": round(now[0] - clock[0] - spent[0], 1), "cpu": round(now[1] - clock[1] - spent[1], 1)}
        curve.append(row)
        print(f"{step:7d} steps {row['seconds']:7.1f} s: {row['log_marginal']:.2f} on validation rows", flush=True)
        spent[0] += time.perf_counter() - now[0]
        spent[1] += time.process_time() - now[1]

    train(experiment, callbacks=[watch])
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="a name or a folder of IDX files")
    parser.add_argument("--targets", default="-95", help=f"of {sorted(STEPS)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--num-samples", type=int, default=5000)
    parser.add_argument("--choose", action="store_true", help="print the curve of validation rows and end")
    parser.add_argument("--plain", action="store_true", help="with --choose: plain Adam")
    parser.add_argument("--steps", type=int, default=20000, help="of --choose")
    parser.add_argument("--every", type=int, default=1000, help="of --choose")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = load(arguments.data)
    if arguments.choose:
        curve = choose(data, steps=arguments.steps, every=arguments.every, plain=arguments.plain)
        print(json.dumps(curve))
        return
    batch, results = binarised(data, "test", None), []
    for target in map(float, arguments.targets.split(",")):
        for seed in range(arguments.seeds):
            row = one(data, batch, target=target, seed=seed, num_samples=arguments.num_samples)
            results.append(row)
            if not arguments.json:
                word = "reached" if row["reached"] else "NOT reached"
                score = f"{row['log_marginal']:.2f} ± {row['standard_error']:.2f} nats, seed {seed}"
                took = f"{row['steps']} steps in {row['seconds']:.0f} s ({row['cpu_seconds']:.0f} s of CPU)"
                print(f"{target}: {word}, {score}, {took}", flush=True)
    seconds = [row["seconds"] for row in results]
    if arguments.json:
        print(json.dumps(results))
    else:
        print(f"{sum(row['reached'] for row in results)} of {len(results)} reached; median {np.median(seconds):.0f} s")


if __name__ == "__main__":
    main()
