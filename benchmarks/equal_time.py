"""The recommended recipe against the tutorials' at equal wall time: log p(x) of the test images of thresholded MNIST.

    python benchmarks/equal_time.py --data MNIST [--minutes 1] [--num-samples 100] [--json]

Each recipe trains for the same time (training steps and validation; compilation apart) on pixels thresholded at 0.5,
then log p(x) of every test image is measured by importance sampling. Differences are paired by image.
"""

import argparse
import json

from latens.config import override
from latens.data import load
from latens.evidence import Estimate, log_marginal
from latens.fitting import prepare, train
from latens.recipes import get_recipe

RECIPES = ("default", "fast-forward", "fast-forward-2d", "tiao", "mlq-vae", "notebook")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--num-samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data, rows, results = load(arguments.data), {}, []
    budget = {
        "training.epochs": None,
        "training.steps": None,
        "training.patience": None,
        "training.minutes": arguments.minutes,
    }
    same = {"data.binarize": "threshold", "data.validation": "split", "training.seed": arguments.seed}
    for name in arguments.recipes.split(","):
        config = get_recipe(name).config
        settings = {**budget, **same, "likelihood.family": "bernoulli"}
        if name.startswith("notebook"):
            settings["training.plots_every"] = None
        experiment = prepare(override(config, settings), data)
        trained, result = train(experiment)
        batch = trained.batch(data, data.subset("test"))
        rows[name] = log_marginal(
            trained.rows(batch, seed=1),
            num_samples=arguments.num_samples,
        )
        value = Estimate.of(rows[name], num_samples=arguments.num_samples, protocol="")
        gain = Estimate.of(rows["default"] - rows[name], num_samples=arguments.num_samples, protocol="")
        results.append(
            {
                "recipe": name,
                "log_marginal": round(value.value, 2),
                "standard_error": round(value.standard_error, 2),
                "default_gains": round(gain.value, 2),
                "gain_standard_error": round(gain.standard_error, 3),
                "steps": result.snapshot.loop.total,
                "seconds": round(result.snapshot.loop.seconds, 1),
            }
        )
        if not arguments.json:
            r = results[-1]
            print(
                f"{name:16} {value.value:8.2f} ± {value.standard_error:.2f} nats after {r['steps']} steps, "
                f"{r['seconds']} s; default gains {gain.value:+.2f} ± {gain.standard_error:.2f}",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
