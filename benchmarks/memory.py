"""Peak memory of training against the number of rows, each in a process of its own.

    python benchmarks/memory.py [--rows 1000,10000,60000] [--json]

`latens fit` of the fast-forward model on uint8 images of 28x28 for one epoch (at most 200 steps), with evaluation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CHILD = """
import resource, sys
from latens.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
raise SystemExit(code)
"""


def peak(rows: int) -> float:
    """Peak resident megabytes of a run on so many rows."""
    with tempfile.TemporaryDirectory() as root:
        data = Path(root, "x.npy")
        np.save(data, np.random.default_rng(0).integers(0, 256, (rows, 28, 28), dtype=np.uint8))
        words = [
            "fit",
            str(data),
            "--recipe",
            "fast-forward",
            "--steps",
            "200",
            "--out",
            str(Path(root, "run")),
            "--quiet",
        ]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *words, "--num-samples", "50"], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000,10000,60000")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {int(rows): round(peak(int(rows)), 1) for rows in arguments.rows.split(",")}
    if arguments.json:
        print(json.dumps({"peak_megabytes": results}))
    else:
        for rows, megabytes in results.items():
            print(f"{rows:>8,} rows ({rows * 784 / 2**20:5.1f} MB of data): peak {megabytes:6.1f} MB")


if __name__ == "__main__":
    main()
