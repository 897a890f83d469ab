"""Rows that stay on disk beside the same rows in memory: rows a second of training, and the time of reading a CSV.

    python benchmarks/stream.py [--shapes fast-forward,tiao,notebook] [--chunks 20] [--rows 1000000] [--json]

Chunks of both are taken in turn in one process (A B A B ...) by one compiled program; ratios are taken pair by pair,
and their median is given. The rows are bytes like pixels in a `.npy` file. A CSV of ten columns of numbers is written,
and read in turn by `polars.read_csv` and by the pass that writes its rows into one file.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from hand_written import SHAPES
from latens.data import load
from latens.data.files import files_of
from latens.data.mapped import kept
from latens.data.row_fields import ColumnRoles
from latens.fitting import prepare
from latens.recipes import get_recipe
from latens.training.loop import read_steps
from latens.training.step import make_program
from throughput import replace_validation


def compare(name: str, path: Path, *, chunks: int) -> dict:
    """One shape: chunks of rows from memory and from a file in turn."""
    streamed, memory = load(path, stream=True), load(path)
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
        "file_rows_per_second": round(rates[1]),
        "ratio": round(statistics.median(m / s for m, s in zip(*seconds)), 3),
    }


def reading(folder: Path, rows: int, *, times: int = 5) -> dict:
    """Seconds that Polars takes for a CSV, and those of the pass that writes its rows into one file."""
    path, x = folder / "rows.csv", np.random.default_rng(0).standard_normal((rows, 10)).round(5)
    pl.DataFrame({f"c{i}": x[:, i] for i in range(10)}).write_csv(path)
    seconds: list[list[float]] = [[], []]
    for turn in range(times):
        os.utime(path, ns=(turn, turn))  # what was read before counts for another file
        began = time.perf_counter()
        pl.read_csv(path)
        between = time.perf_counter()
        kept(files_of(str(path), ColumnRoles()))
        seconds[0].append(between - began)
        seconds[1].append(time.perf_counter() - between)
    polars, latens = map(statistics.median, seconds)
    return {"polars_seconds": round(polars, 3), "latens_seconds": round(latens, 3), "speed": round(polars / latens, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="fast-forward,tiao,notebook")
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        np.save(folder / "rows.npy", np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8))
        found = [compare(shape, folder / "rows.npy", chunks=args.chunks) for shape in args.shapes.split(",") if shape]
        read = reading(folder, args.rows)
    if args.json:
        print(json.dumps({"shapes": found, "reading": read}, indent=2))
        return
    for one in found:
        print(f"{one['shape']:14s} {one['memory_rows_per_second']:8,d} rows/s from memory, "
              f"{one['file_rows_per_second']:8,d} from the file: {one['ratio']:.3f}")  # fmt: skip
    print(f"{args.rows:,} rows of a CSV: Polars {read['polars_seconds']} s, "
          f"into one file {read['latens_seconds']} s: {read['speed']:.2f} of its speed")  # fmt: skip


if __name__ == "__main__":
    main()
