"""Training from files that are read in windows beside the same rows in memory: rows a second, and their ratio.

    python benchmarks/stream.py [--shapes fast-forward,tiao,notebook] [--chunks 20] [--json]

Chunks of both are taken in turn in one process (A B A B ...) by one compiled program; ratios are taken pair by pair,
and their median is given. The rows are bytes like pixels in a packed `.npy` file; of 32 columns of single precision in
Parquet, which are not rows of these shapes, the rate of reading alone is given.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hand_written import SHAPES
from latens.data import load
from latens.data.streams.steps import StepRows
from latens.recipes import get_recipe
from latens.training.rows import read_steps
from latens.training.step import make_program
from latens.workflow.experiment import prepare
from throughput import replace_validation


def compare(name: str, folder: Path, *, chunks: int) -> dict:
    """One shape: chunks of rows from memory and from files in turn."""
    streamed, memory = load(folder, stream=True), load(folder)
    experiment = prepare(replace_validation(get_recipe(name).config), memory)
    stage, settings, batch = experiment.stages()[0], experiment.settings, SHAPES[name].batch
    program = make_program(experiment.new_model(), stage.objective, stage.optimizer, experiment.preparation)
    per_epoch = settings.steps_per_epoch(memory.count("train"))
    steps = min(settings.chunk_steps, per_epoch)
    readers = [read_steps(data, 0, batch, per_epoch, steps) for data in (memory, streamed)]
    states = [program.init(jax.random.key(0)) for _ in readers]
    seconds: list[list[float]] = [[], []]
    for chunk in range(chunks + 1):
        for which, reader in enumerate(readers):
            began = time.perf_counter()
            rows = reader(chunk * steps, steps)
            states[which], _ = jax.block_until_ready(
                program.chunk(states[which], rows, jnp.asarray(steps), jnp.asarray(np.inf))
            )
            if chunk:  # the first one compiles
                seconds[which].append(time.perf_counter() - began)
    rates = [steps * batch / statistics.median(values) for values in seconds]
    return {
        "shape": name,
        "memory_rows_per_second": round(rates[0]),
        "streamed_rows_per_second": round(rates[1]),
        "ratio": round(statistics.median(m / s for m, s in zip(*seconds)), 3),
    }


def reading(folder: Path) -> float:
    """Rows per second of processor time that a stream alone gives."""
    data = load(folder, stream=True)
    reader = StepRows(data, 0, 128)
    steps = data.count("train") // 128
    began, taken = time.process_time(), 0
    for start in range(0, steps - 100, 100):
        reader.fill(reader.empty(100), 0, 0, start, 100)
        taken += 100 * 128
    return taken / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="fast-forward,tiao,notebook")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        packed, tables = Path(name) / "packed", Path(name) / "tables"
        packed.mkdir()
        tables.mkdir()
        np.save(packed / "part-0.npy", rng.integers(0, 256, (60_000, 28, 28), dtype=np.uint8))
        columns = {f"c{i}": rng.standard_normal(200_000).astype(np.float32) for i in range(32)}
        pq.write_table(pa.table(columns), tables / "part-0.parquet", row_group_size=16_384)
        found = [compare(shape, packed, chunks=args.chunks) for shape in args.shapes.split(",")]
        rates = {folder.name: round(reading(folder)) for folder in (packed, tables)}
    if args.json:
        print(json.dumps({"shapes": found, "read_rows_per_cpu_second": rates}, indent=2))
        return
    for one in found:
        print(f"{one['shape']:14s} {one['memory_rows_per_second']:8,d} rows/s from memory, "
              f"{one['streamed_rows_per_second']:8,d} from files: {one['ratio']:.3f}")  # fmt: skip
    print(
        f"read alone: {rates['packed']:,} rows of 784 bytes, {rates['tables']:,} of 32 columns per second of processor"
    )


if __name__ == "__main__":
    main()
