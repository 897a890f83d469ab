"""How well the lower half of test pictures is told from the upper half: bits a hidden value, and honest intervals.

`latens complete` (Normals refined for each picture) beside `latens impute` (draws of the encoder's posterior and of the
prior) and a Gaussian of all pixels conditioned on the seen ones. Its covariance is shrunk towards one variance by the
share that is best for a tenth of its training pictures, and its density of the dequantised pixels bounds their
probability from below. The bits of `complete` are log p(seen) - log p(x), both estimated: errors of the first make them
too few, of the second too many. The continuous ranked probability score (CRPS) of hidden values is of 100 draws, for
the Gaussian of its Normals: it is proper and supposes no model. Coverage is the share of hidden values that lie within
the central 90 % of the draws. The last two are of values that change among the training pictures.
`python benchmarks/completing.py --sets mnist fashion olivetti` prints a line for each and one JSON object.
"""

import argparse
import dataclasses
import json
import sys
from typing import Any

import jax
import numpy as np
from scipy import stats
from scipy.linalg import cho_factor, cho_solve

import latens
from latens.config import override
from latens.evaluation.complete import complete
from latens.evaluation.impute import impute
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from pictures import SETS

DRAWS, GAUSSIAN, SHARES = 100, 8000, (1e-5, 1e-4, 1e-3, 0.01, 0.1)
"""Draws a picture; training pictures of the Gaussian at most; shares of one variance in its covariance."""


def gaussian(train: np.ndarray, test: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the bits a hidden value of each picture under a Gaussian conditioned on the seen ones, its means and scales.

    Of the shares by which the covariance is shrunk towards one variance, the best for a tenth of the pictures is taken.
    """
    noise = np.random.default_rng(0)
    flat = lambda x: x.reshape(len(x), -1) + noise.uniform(size=(len(x), x[0].size))  # noqa: E731
    rows, apart, mask = flat(train[:GAUSSIAN]), flat(test), hidden.reshape(-1)

    def told(fitted: np.ndarray, judged: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, covariance = fitted.mean(axis=0), np.cov(fitted.T)
        covariance = (1 - share) * covariance + share * np.diag(covariance).mean() * np.eye(len(covariance))
        inner = cho_factor(covariance[np.ix_(~mask, ~mask)])
        cross = covariance[np.ix_(mask, ~mask)]
        left = covariance[np.ix_(mask, mask)] - cross @ cho_solve(inner, cross.T)
        expected = mean[mask] + (judged - mean)[:, ~mask] @ cho_solve(inner, cross.T)
        factor = np.linalg.cholesky(left)
        white = np.linalg.solve(factor, (judged[:, mask] - expected).T)
        log_p = -0.5 * np.sum(white**2, axis=0) - np.log(np.diag(factor)).sum() - 0.5 * mask.sum() * np.log(2 * np.pi)
        return -log_p / np.log(2) / mask.sum(), expected - 0.5, np.sqrt(np.diag(left))

    tenth = len(rows) // 10
    best = min(SHARES, key=lambda share: told(rows[tenth:], rows[:tenth], share)[0].mean())
    return told(rows, apart, best)


def crps(draws: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Give E|X - x| - E|X - X'| / 2 of M draws, led by (B, M), without the draws' own distance 0."""
    count = draws.shape[1]
    weight = 2 * np.arange(count) - count + 1
    ordered = np.sort(draws, axis=1)
    between = np.tensordot(weight, ordered, axes=(0, 1)) / (count * (count - 1))
    return np.abs(draws - x[:, None]).mean(axis=1) - between


def one(name: str, minutes: float, pictures: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on a set and complete the lower halves of its test pictures."""
    x, test = SETS[name]()
    test = test[np.random.default_rng(1).permutation(len(test))[:pictures]]
    config = override(get_recipe("default").config, {"training.minutes": minutes} | settings)
    trained, _ = latens.train(latens.prepare(config, latens.load_data(x)))
    hidden = np.zeros(x.shape[1:], bool)
    hidden[x.shape[1] // 2 :] = True
    batch = trained.batch(latens.load_data(test, schema=trained.schema))
    seen = dataclasses.replace(batch, mask=np.broadcast_to(~hidden, test.shape))
    whole = dataclasses.replace(batch, mask=np.ones(test.shape, bool))
    given: dict[str, Any] = {"preparation": trained.preparation, "key": jax.random.key(0)}
    at = complete(trained.model, seen, num_draws=DRAWS, **given)
    log_hidden = complete(trained.model, whole, num_draws=0, **given).log_seen - at.log_seen
    bits, mean, scale = gaussian(x, test, hidden)
    varied = hidden & (x.std(axis=0) > 1)
    judged, apart = test[:, varied].astype(float), varied[hidden]
    found: dict[str, Any] = {"complete, bits": -log_hidden / np.log(2) / hidden.sum(), "gaussian, bits": bits}
    ways = {"complete": at, "impute": impute(trained.model, seen, num_draws=DRAWS, **given)}
    for way, filled in ways.items():
        draws = trained.data_units(filled.draws, mean=False)[:, :, varied].astype(float)
        low, high = np.quantile(draws, [0.05, 0.95], axis=1)
        found[f"{way}, CRPS"] = crps(draws, judged).mean(axis=1)
        found[f"{way}, coverage"] = ((judged >= low) & (judged <= high)).mean(axis=1)
        found[f"{way}, effective draws"] = filled.effective
    residual = (judged - mean[:, apart]) / scale[apart]
    found["gaussian, CRPS"] = (scale[apart] * normal_crps(residual)).mean(axis=1)
    found["gaussian, coverage"] = (np.abs(residual) < stats.norm.ppf(0.95)).mean(axis=1)
    found["complete - gaussian, bits"] = found["complete, bits"] - bits
    for other in ("impute", "gaussian"):
        found[f"complete - {other}, CRPS"] = found["complete, CRPS"] - found[f"{other}, CRPS"]
    told = lambda v: [float(np.mean(v)), float(np.std(v, ddof=1) / np.sqrt(len(v)))]  # noqa: E731
    return {key: told(value) for key, value in found.items()}


def normal_crps(residual: np.ndarray) -> np.ndarray:
    """Give the CRPS of a standard Normal at these values (Gneiting & Raftery, 2007)."""
    return residual * (2 * stats.norm.cdf(residual) - 1) + 2 * stats.norm.pdf(residual) - 1 / np.sqrt(np.pi)


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["mnist", "fashion", "olivetti"])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    args = parser.parse_args()
    enable_compilation_cache()
    results = {}
    for name in args.sets:
        results[name] = one(name, args.minutes, args.pictures, dict(pair.split("=", 1) for pair in args.set))
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    print(json.dumps({"minutes": args.minutes, "pictures": args.pictures, "results": results}))


if __name__ == "__main__":
    main()
