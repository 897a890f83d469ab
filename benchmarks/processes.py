"""How much faster two processes train than one, each pinned to a core of its own, and what shards cost one process.

    python benchmarks/processes.py [--steps N] [--repeats N]

Prints rows a second and their ratios, of trainings in turn: one process on one core, with batches of 1,024 rows whole
and in 4 shards, two processes on a core each with the same 4 shards, and one process with batches of 512 in 1 and 4
shards (128 rows a shard). Rates are those of the faster half of the chunks. The data are random pixels: 784-500-500-50.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

MODEL = ("--recipe", "fast-forward", "--quiet", "--num-samples", "1", "--set", "training.chunk_steps=5")
WAYS: dict[str, tuple[int, int, int]] = {
    "one process, a batch of 1,024": (1024, 1, 1),
    "one process, 4 shards of 256": (1024, 4, 1),
    "two processes, 4 shards of 256": (1024, 4, 2),
    "one process, a batch of 512": (512, 1, 1),
    "one process, 4 shards of 128": (512, 4, 1),
}
"""Name -> rows of a batch, shards, processes."""
RATIOS = (
    ("two processes, 4 shards of 256", "one process, a batch of 1,024"),
    ("two processes, 4 shards of 256", "one process, 4 shards of 256"),
    ("one process, 4 shards of 128", "one process, a batch of 512"),
)


def rate(way: str, rows: Path, folder: Path, steps: int) -> float:
    """Rows a second of one training."""
    batch, shards, processes = WAYS[way]
    words = [sys.executable, "-m", "latens.cli.main", "fit", str(rows), *MODEL, "--out", str(folder), "--force"]
    words += ["--steps", str(steps), "--batch-size", str(batch), "--set", f"training.shards={shards}"]
    mine, meet = (
        sorted(os.sched_getaffinity(0)),
        ["--coordinator", "127.0.0.1:55321", "--num-processes", str(processes)],
    )
    given = os.environ | {"PJRT_NPROC": "1"}  # a thread for each process, however many cores there are
    children = []
    for number in range(processes):
        own = [*meet, "--process-id", str(number)] if processes > 1 else []
        core = [mine[number]]
        child = subprocess.Popen([*words, *own], env=given, preexec_fn=lambda core=core: os.sched_setaffinity(0, core))
        children.append(child)
    codes = [child.wait() for child in children]  # of all of them
    if any(codes):
        raise SystemExit("a training failed")
    lines = (folder / "timings.jsonl").read_text().splitlines()
    rates = sorted(json.loads(line)["rows_per_second"] for line in lines)
    return statistics.median(rates[len(rates) // 2 :])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=12_000)
    args = parser.parse_args()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.npy"
        np.save(rows, (np.random.default_rng(0).random((args.rows, 784)) < 0.3).astype(np.uint8))
        for _ in range(args.repeats):
            for way in WAYS:
                found[way].append(rate(way, rows, Path(name) / "run", args.steps))
    for way, rates in found.items():
        print(f"{way}: {statistics.median(rates):,.0f} rows/s")
    for above, below in RATIOS:
        each = [a / b for a, b in zip(found[above], found[below])]
        print(f"{above} / {below}: {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})")


if __name__ == "__main__":
    main()
