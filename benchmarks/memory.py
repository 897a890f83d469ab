"""Peak memory of training against the number of rows, each in a process of its own.

    python benchmarks/memory.py [--rows 1000,10000,60000] [--texts] [--json]

`latens fit` of the fast-forward model on uint8 images of 28x28 for one epoch (at most 200 steps), with evaluation.
With `--texts`, lines of text that stay on disk, for 40 steps: the peak must not grow with their number.
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


LINE = 32
"""Characters of a line at the most."""


def lines(path: Path, rows: int) -> None:
    """Write so many lines of random letters, 5 to `LINE` each."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            letters, length = rng.integers(97, 123, (count, LINE), dtype=np.uint8), rng.integers(5, LINE + 1, count)
            file.writelines(row[:end].tobytes().decode() + "\n" for row, end in zip(letters, length))


def peak(rows: int, texts: bool) -> float:
    """Peak resident megabytes of a run on so many rows."""
    with tempfile.TemporaryDirectory() as root:
        if texts:
            lines(data := Path(root, "x.txt"), rows)
            given = "--stream --pieces characters --steps 40"
        else:
            data = Path(root, "x.npy")
            np.save(data, np.random.default_rng(0).integers(0, 256, (rows, 28, 28), dtype=np.uint8))
            given = "--recipe fast-forward --steps 200"
        words = ["fit", str(data), *given.split(), "--out", str(Path(root, "run")), "--quiet"]
        words += ["--num-samples", "1" if texts else "50"]
        done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000,10000,60000")
    parser.add_argument("--texts", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {}
    for rows in arguments.rows.split(","):
        results[int(rows)] = round(peak(int(rows), arguments.texts), 1)
    if arguments.json:
        print(json.dumps({"peak_megabytes": results}))
    else:
        for rows, megabytes in results.items():
            size = rows * ((LINE + 5) / 2 + 1 if arguments.texts else 784) / 2**20
            print(f"{rows:>9,} rows ({size:5.1f} MB of data): peak {megabytes:6.1f} MB")


if __name__ == "__main__":
    main()
