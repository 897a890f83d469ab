"""Training speed: rows a second, the share of the matmul rate, and the ratio to the hand-written scan.

    python benchmarks/throughput.py [--shapes fast-forward,tiao,notebook] [--json]

Both programs run in one process in turn (A B A B ...), chunks of the same number of steps on the same rows; every
figure is a median, ratios are taken pair by pair. The float32 matmul of 2048x2048 is timed before and after. Work is 6
flops a weight and row less the first layer's input gradient (7.37 MFLOP a row for 784-500-500-50).
"""

import argparse
import json
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from hand_written import SHAPES, flops_per_row, make, matmul_rate
from latens.data import Dataset, Schema
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.training.loop import pad_rows
from latens.training.step import make_program


def random_pixels(n: int) -> Dataset:
    """Rows of random bytes: speed does not depend on what is drawn."""
    rng = np.random.default_rng(0)
    x, ids = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n)
    return Dataset(x, Schema((28, 28), "levels", 256), ids.astype(np.uint32), ids, np.zeros(n, np.uint8), "random")


def compare(name: str, *, steps: int, repeats: int) -> dict:
    """One shape: latens and the hand-written program in turn."""
    shape = SHAPES[name]
    data = random_pixels(20_000)
    recipe = get_recipe(name)
    config = recipe.config
    # The speed of a step does not depend on which rows validate.
    experiment = prepare(replace_validation(config), data)
    stage = experiment.stages()[0]
    program = make_program(experiment.new_model(), stage.objective, stage.optimizer, experiment.preparation)
    state = program.init(jax.random.key(0))
    order = data.order(0, 0)
    rows = pad_rows(data, np.resize(order, steps * shape.batch), steps, shape.batch)
    count, limit = jnp.asarray(steps), jnp.asarray(np.inf)

    init, chunk = make(name)
    other = init(jax.random.key(0))
    resident = jnp.asarray(data.x.reshape(len(data.x), -1))
    positions = jnp.asarray(np.resize(order, steps * shape.batch).reshape(steps, shape.batch), jnp.int32)
    times: dict[str, list[float]] = {"latens": [], "hand": []}
    rates = []
    for repeat in range(repeats + 1):
        if repeat == 1:
            rates += matmul_rate()
        began = time.perf_counter()
        # The gather of the chunk's rows is part of latens' step, as it is part of the other program.
        rows = pad_rows(data, np.resize(order, steps * shape.batch), steps, shape.batch)
        state, _result = jax.block_until_ready(program.chunk(state, rows, count, limit))
        middle = time.perf_counter()
        other, _losses = jax.block_until_ready(chunk(other, resident, positions, jax.random.key(repeat)))
        ended = time.perf_counter()
        if repeat:
            times["latens"].append(middle - began)
            times["hand"].append(ended - middle)
    rates += matmul_rate()
    work, matmul = steps * shape.batch, statistics.median(rates)
    speed = {which: work / statistics.median(values) for which, values in times.items()}
    share = {which: value * flops_per_row(shape) / 1e9 / matmul for which, value in speed.items()}
    ratio = statistics.median(h / m for m, h in zip(times["latens"], times["hand"]))
    return {
        "shape": name,
        "rows_per_second": round(speed["latens"]),
        "steps_per_second": round(speed["latens"] / shape.batch, 1),
        "hand_written_rows_per_second": round(speed["hand"]),
        "ratio_to_hand_written": round(ratio, 3),
        "gflops": round(speed["latens"] * flops_per_row(shape) / 1e9, 1),
        "matmul_gflops": round(matmul, 1),
        "share_of_matmul": round(share["latens"], 3),
        "hand_written_share": round(share["hand"], 3),
    }


def replace_validation(config):
    """The recipe with the random rows' test set out of play."""
    from msgspec.structs import replace as with_fields

    return with_fields(config, data=with_fields(config.data, validation="split"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="fast-forward,tiao,notebook")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = [compare(name, steps=arguments.steps, repeats=arguments.repeats) for name in arguments.shapes.split(",")]
    about = {"jax": jax.__version__, "python": platform.python_version(), "cores": os.cpu_count()}
    if arguments.json:
        print(json.dumps({"results": results, **about}))
        return
    for row in results:
        print(
            f"{row['shape']:13s} {row['rows_per_second']:>8,} rows/s  {row['share_of_matmul']:.2f} of matmul "
            f"({row['matmul_gflops']:.0f} GF/s)  {row['ratio_to_hand_written']:.3f} of hand-written"
        )


if __name__ == "__main__":
    main()
