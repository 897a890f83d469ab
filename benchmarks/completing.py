"""How well the lower half of test pictures is told from the upper half: bits a hidden value, and honest intervals.

`latens complete` (Normals refined for each picture) beside its encoder's posterior as it is, and a Gaussian of all
pixels (Ledoit-Wolf) conditioned on the seen ones, whose density of the dequantised pixels bounds their probability.
Coverage is the share of hidden values that change among the training pictures and lie within the central 90 % of 100
draws.
`python benchmarks/completing.py --sets mnist fashion olivetti` prints a line for each and one JSON object.
"""

import argparse
import dataclasses
import json
import sys
from typing import Any

import jax
import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.covariance import ledoit_wolf

import latens
from latens.config import override
from latens.evaluation.complete import complete
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from pictures import SETS

DRAWS, PICTURES, GAUSSIAN = 100, 96, 8000
"""Draws a picture; test pictures; training pictures of the Gaussian at most."""


def gaussian(train: np.ndarray, test: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Give the bits a hidden value of each picture under a Gaussian conditioned on the seen values."""
    noise = np.random.default_rng(0)
    flat = lambda x: x.reshape(len(x), -1) + noise.uniform(size=(len(x), x[0].size))  # noqa: E731
    rows, mask = flat(train[:GAUSSIAN]), hidden.reshape(-1)
    mean, covariance = rows.mean(axis=0), ledoit_wolf(rows)[0]
    inner = cho_factor(covariance[np.ix_(~mask, ~mask)])
    cross = covariance[np.ix_(mask, ~mask)]
    left = covariance[np.ix_(mask, mask)] - cross @ cho_solve(inner, cross.T)
    apart = flat(test) - mean
    residual = apart[:, mask] - apart[:, ~mask] @ cho_solve(inner, cross.T)
    factor = np.linalg.cholesky(left)
    white = np.linalg.solve(factor, residual.T)
    log_p = -0.5 * np.sum(white**2, axis=0) - np.log(np.diag(factor)).sum() - 0.5 * mask.sum() * np.log(2 * np.pi)
    return -log_p / np.log(2) / mask.sum()


def one(name: str, minutes: float, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on a set and complete the lower halves of its test pictures."""
    x, test = SETS[name]()
    test = test[np.random.default_rng(1).permutation(len(test))[:PICTURES]]
    config = override(get_recipe("default").config, {"training.minutes": minutes} | settings)
    trained, _ = latens.train(latens.prepare(config, latens.load_data(x)))
    hidden = np.zeros(x.shape[1:], bool)
    hidden[x.shape[1] // 2 :] = True
    batch = trained.batch(latens.load_data(test, schema=trained.schema))
    seen = dataclasses.replace(batch, mask=np.broadcast_to(~hidden, test.shape))
    whole = dataclasses.replace(batch, mask=np.ones(test.shape, bool))
    found: dict[str, Any] = {"gaussian": gaussian(x, test, hidden)}
    for way, options in (("refined", {}), ("encoder", {"steps": 0, "starts": 1})):
        given: dict[str, Any] = {"preparation": trained.preparation, "key": jax.random.key(0), **options}
        at = complete(trained.model, seen, num_draws=DRAWS if way == "refined" else 0, **given)
        log_hidden = complete(trained.model, whole, num_draws=0, **given).log_seen - at.log_seen
        found[way] = -log_hidden / np.log(2) / hidden.sum()
        if way == "refined":
            draws = trained.data_units(at.draws, mean=False)
            low, high = np.quantile(draws, [0.05, 0.95], axis=1)
            varied = hidden & (x.std(axis=0) > 1)
            found["coverage"] = ((test >= low) & (test <= high))[:, varied].mean(axis=1)
            found["effective"] = at.effective
    differences = {f"refined - {other}": found["refined"] - found[other] for other in ("gaussian", "encoder")}
    told = lambda v: [float(np.mean(v)), float(np.std(v, ddof=1) / np.sqrt(len(v)))]  # noqa: E731
    return {key: told(value) for key, value in (found | differences).items()}


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["mnist", "fashion", "olivetti"])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    args = parser.parse_args()
    enable_compilation_cache()
    results = {}
    for name in args.sets:
        results[name] = one(name, args.minutes, dict(pair.split("=", 1) for pair in args.set))
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    print(json.dumps({"minutes": args.minutes, "results": results}))


if __name__ == "__main__":
    main()
