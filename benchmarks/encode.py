"""How much faster two workers encode than one, each on a core of its own, and whether they write the same bytes.

    python benchmarks/encode.py [--rows N] [--repeats N] [--num-samples K]

Prints rows a second and their ratio, of commands in turn: `latens encode --workers 1` on one core and `--workers 2` on
two. Once of the whole command, with its start (about two seconds of each, in which nothing is encoded); and once of the
time in which parts are written, from the first part of the last worker on. The rows are random pixels, the model is
`pretrained:mnist-50d`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from latens.io.places import cores

MODEL = "pretrained:mnist-50d"


def encode(rows: Path, out: Path, workers: int, draws: int) -> tuple[float, float]:
    """Rows a second of one command, and of its workers while they work."""
    words = [sys.executable, "-m", "latens.cli.main", "encode", MODEL, str(rows), "--stream", "--quiet"]
    words += ["--num-samples", str(draws), "--workers", str(workers), "--out", str(out)]
    mine = cores()[:workers]
    began = time.perf_counter()
    subprocess.run(words, check=True, preexec_fn=lambda: os.sched_setaffinity(0, mine))
    took = time.perf_counter() - began
    parts = sorted(out.glob("part-*.parquet"))
    ends = np.array([path.stat().st_mtime_ns for path in parts]) / 1e9
    counts = np.array([parquet.read_metadata(path).num_rows for path in parts])
    start = max(ends[number::workers].min() for number in range(workers))
    working = counts[ends > start].sum() / (ends.max() - start)
    return counts.sum() / took, float(working)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--num-samples", type=int, default=16)
    args = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.npy"
        np.save(rows, np.random.default_rng(0).integers(0, 256, (args.rows, 28, 28), np.uint8))
        for repeat in range(args.repeats):
            outs = [Path(name) / f"{repeat}-{workers}" for workers in found]
            for workers, out in zip(found, outs):
                found[workers].append(encode(rows, out, workers, args.num_samples))
            one, two = ({path.name: path.read_bytes() for path in out.glob("part-*")} for out in outs)
            print(f"{len(one)} parts, {'the same bytes' if one == two else 'OTHER BYTES'}", flush=True)
    for which, what in enumerate(("the whole command", "while parts are written")):
        rates = {workers: [each[which] for each in rates] for workers, rates in found.items()}
        ratios = [two / one for one, two in zip(rates[1], rates[2])]
        print(f"{what}: one worker {statistics.median(rates[1]):,.0f} rows/s, two {statistics.median(rates[2]):,.0f}")
        print(f"  two / one: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
