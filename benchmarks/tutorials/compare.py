"""Each tutorial's recipe against its program in plain PyTorch: the test objective after every epoch.

    python benchmarks/tutorials/compare.py --data MNIST --torch-python PYTHON [--epochs 10] [--seeds 3] [--json]

Both train on all 60,000 rows and are measured on the 10,000 test images after every epoch (one draw, nats per image).
Printed: the relative differences of the means over seeds with their standard errors (from the spread over seeds of
both), and the largest. `--torch-python` is the interpreter that has PyTorch.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

from latens.config import override
from latens.data import load
from latens.experiment import prepare, train
from latens.recipes import get_recipe

HERE = Path(__file__).parent
PROGRAMS = {
    "fast-forward": "fast_forward.py",
    "tiao": "tiao.py",
    "mlq-vae": "mlq_vae.py",
    "mlq-autoencoder": "mlq_autoencoder.py",
    "notebook": "notebook.py",
}


def ours(name: str, data, epochs: int, seed: int) -> list[float]:
    """The recipe's test objective after every epoch."""
    settings = {"data.validation": "test", "training.epochs": epochs, "training.steps": None, "training.seed": seed}
    if name == "notebook":
        settings["training.plots_every"] = None
    _, result = train(prepare(override(get_recipe(name).config, settings), data))
    monitor = "validation_log_likelihood" if name == "mlq-autoencoder" else "validation_elbo"
    return [-record[monitor] for record in result.history]


def theirs(name: str, python: str, data: str, epochs: int, seed: int) -> list[float]:
    """The program's."""
    command = [
        python,
        str(HERE / PROGRAMS[name]),
        "--data",
        data,
        "--epochs",
        str(epochs),
        "--seed",
        str(seed),
        "--json",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [row["test_objective"] for row in json.loads(done.stdout)["epochs"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--tutorials", default=",".join(PROGRAMS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data, results = load(arguments.data), []
    for name in arguments.tutorials.split(","):
        seeds = range(arguments.seeds)
        a = [ours(name, data, arguments.epochs, seed) for seed in seeds]
        b = [theirs(name, arguments.torch_python, arguments.data, arguments.epochs, seed) for seed in seeds]
        pairs = [(mean(x), mean(y)) for x, y in zip(zip(*a), zip(*b))]
        spread = [[stdev(values) if len(values) > 1 else 0.0 for values in zip(*runs)] for runs in (a, b)]
        relative = [(x - y) / y for x, y in pairs]
        errors = [math.hypot(*s) / math.sqrt(len(seeds)) / y for s, (_, y) in zip(zip(*spread), pairs)]
        results.append(
            {
                "tutorial": name,
                "latens": [round(x, 3) for x, _ in pairs],
                "pytorch": [round(y, 3) for _, y in pairs],
                "relative": [round(r, 5) for r in relative],
                "standard_error": [round(e, 5) for e in errors],
                "pytorch_spread": [round(s, 3) for s in spread[1]],
            }
        )
        if not arguments.json:
            worst = max(range(len(relative)), key=lambda i: abs(relative[i]))
            last = f"epoch {len(pairs)}: {pairs[-1][0]:.2f} and {pairs[-1][1]:.2f} nats ({relative[-1]:+.2%})"
            print(f"{name}: {last}; largest difference {relative[worst]:+.2%}, after epoch {worst + 1}", flush=True)
            print("   ", ", ".join(f"{r:+.2%} ± {e:.2%}" for r, e in zip(relative, errors)), flush=True)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
