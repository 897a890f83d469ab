"""Every recipe's `evaluate` on 10,000 rows with one, two and four threads: that it ends, with the same numbers.

    python benchmarks/threads.py [RECIPE ...]

Prints a line for each recipe. XLA's pool has NPROC threads; as many parts of the rows are computed at once. Each
measurement is a process of its own that may take five minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from latens.data import load
from latens.recipes import RECIPES

ROWS, THREADS, LONGEST = 10_000, (1, 2, 4), 300
FEW = ("--steps", "20", "--num-samples", "3")
EVALUATE = """
import os, sys
threads = int(os.environ["NPROC"])
os.cpu_count = lambda: threads
from latens.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def command(*words: object, threads: int = 2) -> tuple[str, str, float]:
    """One call of latens. **Returns:** how it ended, its JSON and its seconds."""
    began, given = time.monotonic(), os.environ | {"NPROC": str(threads)}
    argv = [sys.executable, "-c", EVALUATE, *map(str, words), "--json", "--quiet"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST, env=given)
    except subprocess.TimeoutExpired:
        return "HANGS", "{}", LONGEST
    ended = "ends" if done.returncode == 0 else f"exit {done.returncode}"
    return ended, done.stdout or "{}", time.monotonic() - began


def many_digits(folder: Path) -> Path:
    """Digits over and over, as a file."""
    digits = load("digits")
    chosen = np.arange(ROWS) % len(digits)
    np.savez(folder / "rows.npz", x=np.asarray(digits.x)[chosen], label=np.asarray(digits.label)[chosen])
    return folder / "rows.npz"


def measured(name: str, folder: Path, rows: Path) -> str:
    kind = RECIPES[name].config
    steps = FEW if hasattr(kind, "objective") else FEW[2:]
    ended, _, _ = command("fit", "digits", "--recipe", name, *steps, "--out", folder / name)
    if ended != "ends":
        return f"{name}: fit {ended}"
    words, first, most = [], {}, 0.0
    for threads in THREADS:
        ended, text, seconds = command("evaluate", folder / name, rows, "--label", "label", *FEW[2:], threads=threads)
        values = {key: metric["value"] for key, metric in json.loads(text).get("metrics", {}).items()}
        first = first or values
        most = max([most, *(abs(values[key] - first[key]) / max(abs(first[key]), 1.0) for key in values)])
        words.append(f"{threads}: {ended} after {seconds:.0f} s")
    return f"{name}: {', '.join(words)}; {len(first)} numbers differ by at most {most:.1e}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for recipe in sys.argv[1:] or RECIPES:
            print(measured(recipe, place, many_digits(place)), flush=True)
