"""How long a user waits: `import latens`, `latens --help`, and the first training step, cold and with the cache.

    python benchmarks/start.py [--repeats 5] [--json]

Whole processes, timed from outside; medians. The first step is read off `metrics.jsonl`: the time from the start of
`latens fit` until its first record.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command: list[str], environment: dict[str, str] | None = None) -> float:
    """Wall seconds of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


def first_step(folder: Path, cache: Path) -> float:
    """Wall seconds from the start of `latens fit digits` to the first metrics record."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    words = ["fit", "digits", "--out", str(folder), "--steps", "20", "--quiet"]
    command = [sys.executable, "-m", "latens.cli.main", *words]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = folder / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() not in (None, 0):
            raise SystemExit("latens fit failed")
        time.sleep(0.01)
    seconds = time.perf_counter() - began
    process.wait()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {"import": [], "help": [], "first_step_cold": [], "first_step_cached": []}
    for _ in range(arguments.repeats):
        times["import"].append(timed([sys.executable, "-c", "import latens"]))
        times["help"].append(timed([sys.executable, "-m", "latens.cli.main", "--help"]))
        with tempfile.TemporaryDirectory() as root:
            times["first_step_cold"].append(first_step(Path(root, "cold"), Path(root, "cache")))
            times["first_step_cached"].append(first_step(Path(root, "warm"), Path(root, "cache")))
    result = {name: round(statistics.median(values), 3) for name, values in times.items()}
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, seconds in result.items():
            print(f"{name:18s} {seconds:6.2f} s")


if __name__ == "__main__":
    main()
