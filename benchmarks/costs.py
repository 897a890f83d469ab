"""What a fit costs by rows and by columns: processor seconds and peak memory of `latens fit FILE --steps 300`.

    python benchmarks/costs.py [--rows 1e3,1e4,1e5,1e6,1e7] [--columns 10,30,100,300,1000] [--out FIGURE.png] [--json]

Rows are Normal numbers of three latents with noise, written as `.npy`; rows are counted with 10 columns, columns with
10,000 rows. Each fit is a process of its own, after one that compiles: a slope is the power of the last two points.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

COLUMNS, ROWS, STEPS = 10, 10_000, 300
LATENS = str(Path(sys.executable).with_name("latens"))


def written(path: Path, rows: int, columns: int) -> Path:
    """Write Normal rows of three latents, a million at a time."""
    rng, part = np.random.default_rng(0), 10**6
    loadings = rng.standard_normal((3, columns)).astype(np.float32)
    x = np.lib.format.open_memmap(path, "w+", np.float32, (rows, columns))
    for start in range(0, rows, part):
        n = min(part, rows - start)
        noise = 0.5 * rng.standard_normal((n, columns), np.float32)
        x[start : start + n] = rng.standard_normal((n, 3), np.float32) @ loadings + noise
    x.flush()
    return path


def cost(folder: Path, rows: int, columns: int) -> dict[str, float]:
    """Processor seconds and peak memory of a fit, of the second of two."""
    path, found = written(folder / "x.npy", rows, columns), {}
    for turn in ("compiling", "again"):
        out = folder / turn
        command = [LATENS, "fit", str(path), "--steps", str(STEPS), "--out", str(out)]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"failed: {' '.join(command)}")
        found = {"seconds": used.ru_utime + used.ru_stime, "gigabytes": used.ru_maxrss / 2**20}
        subprocess.run(["rm", "-rf", str(out)], check=True)
    return {"rows": rows, "columns": columns} | {name: round(value, 2) for name, value in found.items()}


def slope(points: list[dict[str, float]], by: str, what: str) -> float:
    """The power of the cost between the last two points."""
    (a, b), (x, y) = ([point[name] for point in points[-2:]] for name in (what, by))
    return float(np.log(b / a) / np.log(y / x))


def drawn(series: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw the costs, each with the slope of its last two points."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for row, (what, unit) in zip(axes, (("seconds", "processor seconds"), ("gigabytes", "peak memory, GB"))):
        for ax, (by, points) in zip(row, series.items()):
            ax.loglog([p[by] for p in points], [p[what] for p in points], "o-")
            ax.set_xlabel(by)
            ax.set_ylabel(unit)
            ax.set_title(f"slope at the end {slope(points, by, what):.2f}", fontsize=9)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1e3,1e4,1e5,1e6,1e7")
    parser.add_argument("--columns", default="10,30,100,300,1000")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    series: dict[str, list[dict[str, float]]] = {"rows": [], "columns": []}
    with tempfile.TemporaryDirectory() as folder:
        for by, points in series.items():
            for number in map(int, map(float, getattr(given, by).split(","))):
                rows, columns = (number, COLUMNS) if by == "rows" else (ROWS, number)
                points.append(cost(Path(folder), rows, columns))
                print(points[-1], flush=True)
    for by, points in series.items():
        told = ", ".join(f"{what} {slope(points, by, what):.2f}" for what in ("seconds", "gigabytes"))
        print(f"slopes by {by}: {told}")
    if given.out is not None:
        drawn(series, given.out)
    if given.json:
        print(json.dumps(series))


if __name__ == "__main__":
    main()
