"""How much CPU time training needs to reach a test ELBO: plain Adam against the default optimisation.

    python benchmarks/optimisation.py --data DIR [--seeds 3] [--json]

Thresholded MNIST (pixel > 0.5), 784-500-500-50, Bernoulli. The test ELBO (one draw, fixed key) is measured every 100
steps outside the clock; the clock is the process's CPU time in training steps only, compilation excluded. Settings of
the default were chosen on validation rows of the training set.
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp

from latens.config import override
from latens.data import load
from latens.recipes import get_recipe
from latens.training.padding import blocks_of, pad_rows
from latens.training.step import make_program
from latens.workflow.experiment import prepare

TARGETS = (-100.0, -95.0, -90.0, -87.0)
SHAPE = {
    "network.hidden": (500, 500),
    "posterior.latent_dim": 50,
    "data.binarize": "threshold",
    "likelihood.family": "bernoulli",
}
PLAIN = {
    **SHAPE,
    "likelihood.output_bias": "zero",
    "optimizer.name": "adam",
    "optimizer.learning_rate": 1e-3,
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "optimizer.clip_norm": None,
    "optimizer.options": {},
    "network.activation": "elu",
    "training.batch_size": 128,
}


def time_to_targets(data, settings: dict, seed: int, max_steps: int, every: int = 100, where: str = "test") -> dict:
    """CPU seconds and steps at which each target was first reached."""
    config = override(get_recipe("default").config, {**settings, "training.seed": seed, "training.epochs": 200})
    experiment = prepare(config, data)
    stage = experiment.stages()[0]
    model = stage.start(experiment.new_model(), experiment.data)
    program = make_program(model, stage.objective, stage.optimizer, experiment.preparation)
    state = program.init(jax.random.key(seed))
    positions, batch_size = data.subset(where), experiment.config.training.batch_size
    blocks = list(blocks_of(data, positions, 500, 20))
    limit = jnp.asarray(jnp.inf)
    spent, wall, step, epoch, order, at = 0.0, 0.0, 0, 0, data.order(seed, 0), 0
    reached: dict[float, tuple[float, float, int]] = {}
    curve = []
    first = True
    while step < max_steps and len(reached) < len(TARGETS):
        if at + every * batch_size > len(order):
            epoch, at = epoch + 1, 0
            order = data.order(seed, epoch)
        rows = pad_rows(data, order[at : at + every * batch_size], every, batch_size)
        at += every * batch_size
        if first:  # compile outside the clock
            jax.block_until_ready(program.chunk(state, rows, jnp.asarray(0), limit))
            first = False
        cpu, clock = time.process_time(), time.perf_counter()
        state, _result = jax.block_until_ready(program.chunk(state, rows, jnp.asarray(every), limit))
        spent += time.process_time() - cpu
        wall += time.perf_counter() - clock
        step += every
        sums = [
            program.evaluate(state, block, jnp.asarray(count), jax.random.key(9))["elbo"] for block, count in blocks
        ]
        elbo = sum(float(s) for s, _ in sums) / sum(float(w) for _, w in sums)
        curve.append((step, round(elbo, 3)))
        for target in TARGETS:
            if elbo >= target and target not in reached:
                reached[target] = (spent, wall, step)
    return {"reached": {str(t): r for t, r in reached.items()}, "curve": curve, "cpu_per_step": spent / max(step, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-steps", type=int, default=30000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = load(arguments.data)
    results = []
    for seed in range(arguments.seeds):
        pair = {}
        for name, settings in (("default", SHAPE), ("plain", PLAIN)):
            pair[name] = time_to_targets(data, settings, seed, arguments.max_steps)
        results.append(pair)
    table = []
    for target in map(str, TARGETS):
        ratios = [
            pair["default"]["reached"][target][0] / pair["plain"]["reached"][target][0]
            for pair in results
            if target in pair["default"]["reached"] and target in pair["plain"]["reached"]
        ]
        steps = {n: [p[n]["reached"].get(target, [None] * 3)[2] for p in results] for n in ("default", "plain")}
        cpu = {n: [p[n]["reached"].get(target, [None])[0] for p in results] for n in ("default", "plain")}
        table.append({"target": float(target), "ratios": ratios, "steps": steps, "cpu_seconds": cpu})
    if arguments.json:
        print(json.dumps({"table": table}))
        return
    for row in table:
        ratio = statistics.median(row["ratios"]) if row["ratios"] else float("nan")
        seeds = [round(value, 3) for value in row["ratios"]]
        print(f"test ELBO {row['target']:6.0f}: CPU ratio {ratio:.3f} (seeds {seeds}), steps {row['steps']}")


if __name__ == "__main__":
    main()
