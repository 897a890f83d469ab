"""Each tutorial's recipe against its program in plain PyTorch: the test objective after every epoch.

    python benchmarks/tutorials/compare.py --data MNIST --torch-python PYTHON [--epochs 10] [--seeds 3] [--paired]
        [--json]

Both train on all 60,000 rows and are measured on the 10,000 test images after every epoch (one draw, nats per image).
Printed: the relative differences of the means over seeds with their standard errors (from the spread over seeds), and
the largest. `--paired` gives the program the initial weights, the rows of every step and the noise that latens has, so
that what differs is the programs and no longer the luck of a seed (standard errors are then of the pairs' differences).
`--torch-python` is the interpreter that has PyTorch.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

import jax
import numpy as np

from latens.config import override
from latens.data import load
from latens.fitting import Experiment, prepare, train
from latens.recipes import get_recipe

HERE = Path(__file__).parent
PROGRAMS = {
    "fast-forward": "fast_forward.py",
    "tiao": "tiao.py",
    "mlq-vae": "mlq_vae.py",
    "mlq-autoencoder": "mlq_autoencoder.py",
    "notebook": "notebook.py",
}


def experiment_of(name: str, data, epochs: int, seed: int) -> Experiment:
    """The recipe with its epochs and seed, measured on the test images, without pictures on the way."""
    settings = {"data.validation": "test", "training.epochs": epochs, "training.steps": None, "training.seed": seed}
    if name == "notebook":
        settings["training.plots_every"] = None
    return prepare(override(get_recipe(name).config, settings), data)


def ours(name: str, data, epochs: int, seed: int) -> list[float]:
    """The recipe's test objective after every epoch."""
    _, result = train(experiment_of(name, data, epochs, seed))
    monitor = "validation_log_likelihood" if name == "mlq-autoencoder" else "validation_elbo"
    return [-record[monitor] for record in result.history]


def write_draws(name: str, data, epochs: int, seed: int, folder: Path) -> None:
    """Initial weights, orders of rows and noise of the recipe's run, as the programs read them."""
    experiment = experiment_of(name, data, epochs, seed)
    model, size = experiment.new_model(), experiment.settings.batch_size
    layers = [layer for network in (model.encoder, model.decoder) for layer in network.network.layers]
    arrays = {f"weight {i}": np.asarray(layer.weight) for i, layer in enumerate(layers)}
    np.savez(
        folder / "weights.npz", **arrays, **{f"bias {i}": np.asarray(layer.bias) for i, layer in enumerate(layers)}
    )
    latent = model.decoder.network.layers[0].weight.shape[0]

    @jax.jit
    def noise(key: jax.Array, row_id: jax.Array) -> jax.Array:
        """What `draw` gives these rows, whose posteriors are Normal."""
        own = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(jax.random.split(key)[1], i), 0))(row_id)
        return jax.vmap(lambda k: jax.random.normal(k, (latent,)))(own)

    root = jax.random.key(seed)
    rows = experiment.data.row_id
    fixed = jax.random.fold_in(root, 0x7A11DA7E)
    np.save(folder / "test noise.npy", noise(fixed, rows[experiment.data.subset("validation")]))
    for epoch in range(epochs):
        order = experiment.data.order(seed, epoch)
        steps = experiment.settings.steps_per_epoch(len(order))
        np.save(folder / f"order {epoch + 1}.npy", order)
        drawn = []
        for step in range(steps):
            key = jax.random.fold_in(jax.random.fold_in(root, 0), epoch * steps + step)
            drawn.append(np.asarray(noise(key, rows[order[step * size : (step + 1) * size]])))
        np.save(folder / f"noise {epoch + 1}.npy", np.concatenate(drawn))


def theirs(name: str, python: str, folder: str, data, epochs: int, seed: int, paired: bool) -> list[float]:
    """The program's."""
    if paired:
        with tempfile.TemporaryDirectory() as given:
            write_draws(name, data, epochs, seed, Path(given))
            return run_program(name, python, folder, epochs, seed, "--given", given)
    return run_program(name, python, folder, epochs, seed)


def run_program(name: str, python: str, data: str, epochs: int, seed: int, *further: str) -> list[float]:
    """The test objective after every epoch, from the program's JSON."""
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
        *further,
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
    parser.add_argument("--paired", action="store_true", help="the same weights, rows and noise for both")
    arguments = parser.parse_args()
    data, results = load(arguments.data), []
    for name in arguments.tutorials.split(","):
        seeds = range(arguments.seeds)
        a = [ours(name, data, arguments.epochs, seed) for seed in seeds]
        where = arguments.torch_python, arguments.data, data, arguments.epochs
        b = [theirs(name, *where, seed, arguments.paired) for seed in seeds]
        pairs = [(mean(x), mean(y)) for x, y in zip(zip(*a), zip(*b))]
        spread = [[stdev(values) if len(values) > 1 else 0.0 for values in zip(*runs)] for runs in (a, b)]
        relative = [(x - y) / y for x, y in pairs]
        # Paired runs share their luck: what scatters is the difference, not each side by itself.
        between = [stdev(x - y for x, y in zip(*sides)) if len(seeds) > 1 else 0.0 for sides in zip(zip(*a), zip(*b))]
        scatter = between if arguments.paired else [math.hypot(*s) for s in zip(*spread)]
        errors = [s / math.sqrt(len(seeds)) / y for s, (_, y) in zip(scatter, pairs)]
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
