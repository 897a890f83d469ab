"""What `latens fit --watch` costs: the same training with the page open and without it.

    python benchmarks/watch.py [--steps 4000] [--repeats 5] [--json]

Both train the default recipe on random pixels (784, batches of 128) for the same steps, in turn (A B A B ...), in one
process. While the page is open, another process asks for its manifest every two seconds, as a browser does, and for the
arrays whenever they have changed; the browser's own drawing is not part of it. Times are from the first chunk's end
(compiled by then) to the last one's, callbacks included; ratios are taken pair by pair. CPU time is that of all threads
of this process: on a machine with other work it says more than the wall's. The first look at a model compiles once;
what it took is told apart, because it is there only for the first page of a process.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import jax

from latens import config as configuration
from latens.callbacks.watch import Watch
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train
from throughput import random_pixels

VISITOR = """
import http.client, json, sys, time
from urllib.parse import urlsplit
address = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
connection.request("GET", "/?" + address.query)
response = connection.getresponse()
response.read()
headers = {"Cookie": response.headers["Set-Cookie"].split(";")[0], "Accept-Encoding": "gzip"}
def get(path):
    connection.request("GET", path, headers=headers)
    return connection.getresponse().read()
version = 0
while True:
    import gzip
    body = get("/data/manifest.json")
    manifest = json.loads(gzip.decompress(body) if body[:2] == b"\\x1f\\x8b" else body)
    if manifest["version"] != version:
        version = manifest["version"]
        for array in manifest["arrays"].values():
            for name in [array["file"]] if "file" in array else array["files"]:
                get("/" + name)
        get("/" + manifest["decoder"]["file"])
    if not manifest["live"]:
        break
    time.sleep(2)
"""


def times_of(experiment, watching: Watch | None) -> dict:
    """Seconds of the wall and of the CPU from the end of the first chunk to the end of the last one."""
    marks: list[tuple[float, float]] = []
    inside = 0.0

    def called(event) -> None:
        nonlocal inside
        began = time.perf_counter()
        watching(event)
        inside += time.perf_counter() - began if marks else 0.0  # the first event starts the server

    def mark(event) -> None:
        if event.kind == "boundary":
            marks.append((time.perf_counter(), time.process_time()))

    train(experiment, callbacks=[*([called] if watching else []), mark])
    wall, cpu = (marks[-1][i] - marks[0][i] for i in (0, 1))
    return {"wall": wall, "cpu": cpu, "callback": 100 * inside / wall}


def watched(experiment) -> dict:
    visitors: list[subprocess.Popen] = []

    def opened(url: str) -> None:
        visitors.append(subprocess.Popen([sys.executable, "-c", VISITOR, url]))

    with Watch(experiment, opened=opened) as watching:
        times = times_of(experiment, watching)
        looks, cost = watching.looks, watching.cost
    visitors[0].wait(30)
    return {**times, "looks": looks, "cost": cost, "looking": 100 * cost / times["wall"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    enable_compilation_cache()
    settings = {"training.steps": arguments.steps, "training.patience": None, "training.batch_size": 128}
    data = random_pixels(60_000)
    experiment = prepare(configuration.override(get_recipe("default").config, settings), data)
    short = configuration.override(get_recipe("default").config, {**settings, "training.steps": 400})
    first = watched(prepare(short, data))
    pairs = [(times_of(experiment, None), watched(experiment)) for _ in range(arguments.repeats)]
    percent = {name: [100 * (found[name] / alone[name] - 1) for alone, found in pairs] for name in ("wall", "cpu")}
    result = {
        "steps": arguments.steps,
        "seconds_alone": round(statistics.median(alone["wall"] for alone, _ in pairs), 2),
        "seconds_watched": round(statistics.median(found["wall"] for _, found in pairs), 2),
        "looks": statistics.median(found["looks"] for _, found in pairs),
        "percent_in_callback": round(statistics.median(found["callback"] for _, found in pairs), 4),
        "percent_looking": round(statistics.median(found["looking"] for _, found in pairs), 2),
        "percent_wall": round(statistics.median(percent["wall"]), 2),
        "percent_cpu": round(statistics.median(percent["cpu"]), 2),
        "percent_wall_by_pair": [round(cost, 2) for cost in percent["wall"]],
        "percent_cpu_by_pair": [round(cost, 2) for cost in percent["cpu"]],
        "first_look_seconds": round(first["cost"] / max(first["looks"], 1), 2),
        "jax": jax.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['steps']} steps  alone {result['seconds_alone']:7.2f} s  watched {result['seconds_watched']:7.2f} s"
    )
    for name in ("wall", "cpu"):
        print(f"{name:4s} {result[f'percent_{name}']:+.2f} %  by pair {result[f'percent_{name}_by_pair']}")
    print(f"in the loop {result['percent_in_callback']:.4f} % of the time")
    print(f"looking, beside it {result['percent_looking']:.2f} % ({result['looks']:g} looks)")
    print(f"the first look, which compiles: {result['first_look_seconds']:.2f} s")


if __name__ == "__main__":
    main()
