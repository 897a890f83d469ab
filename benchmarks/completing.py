"""How well the lower half of test pictures is told from the upper half: bits a hidden value, and honest intervals.

`latens complete` (Normals refined for each picture) beside `latens impute` (draws of the encoder's posterior and of the
prior) and a Gaussian of all pixels conditioned on the seen ones. Its covariance is shrunk towards one variance by the
share that is best for a tenth of its training pictures, and its density of the dequantised pixels bounds their
probability from below. The bits of `complete` are log p(seen) - log p(x), both estimated: errors of the first make them
too few, of the second too many. The continuous ranked probability score (CRPS) of hidden values is of 100 draws, for
the Gaussian of its Normals: it is proper and supposes no model. Coverage is the share of hidden values that lie within
the central 90 % of the draws. The last two are of values that change among the training pictures.
`python benchmarks/completing.py --sets mnist fashion olivetti` prints a line for each and one JSON object.

With `--noise 10 25` Normal noise of these standard deviations is taken away from whole test pictures instead
(`latens complete --noise`): the peak signal-to-noise ratio of the mean in decibels, beside that of the noisy picture
itself and of the mean of the same Gaussian of all pixels given it.
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
from latens.evaluation.reductions import Reduction
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


def wiener(train: np.ndarray, noisy: np.ndarray, spread: float) -> np.ndarray:
    """Give the mean of each picture given the noisy one, under a Gaussian of all pixels; the noise is its shrinkage."""
    rows = train[:GAUSSIAN].reshape(min(GAUSSIAN, len(train)), -1).astype(float)
    mean, covariance = rows.mean(axis=0), np.cov(rows.T)
    inner = cho_factor(covariance + spread**2 * np.eye(len(covariance)))
    return (mean + (noisy.reshape(len(noisy), -1) - mean) @ cho_solve(inner, covariance)).reshape(noisy.shape)


def crps(draws: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Give E|X - x| - E|X - X'| / 2 of M draws, led by (B, M), without the draws' own distance 0."""
    count = draws.shape[1]
    weight = 2 * np.arange(count) - count + 1
    ordered = np.sort(draws, axis=1)
    between = np.tensordot(weight, ordered, axes=(0, 1)) / (count * (count - 1))
    return np.abs(draws - x[:, None]).mean(axis=1) - between


def fitted(name: str, minutes: float, pictures: int, settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, Any]:
    """Train on a set; give its training pictures, some test pictures and the model."""
    x, test = SETS[name]()
    test = test[np.random.default_rng(1).permutation(len(test))[:pictures]]
    config = override(get_recipe("default").config, {"training.minutes": minutes} | settings)
    return x, test, latens.train(latens.prepare(config, latens.load_data(x)))[0]


def denoised(
    name: str, minutes: float, pictures: int, settings: dict[str, Any], spreads: list[float]
) -> dict[str, Any]:
    """Train on a set and take noise away from its test pictures."""
    x, test, trained = fitted(name, minutes, pictures, settings)
    batch, divide = trained.batch(latens.load_data(test, schema=trained.schema)), trained.preparation.divide
    shape = (*test.shape[1:3], test.shape[3] if test.ndim == 4 else 1)
    varied, found = x.std(axis=0) > 1, {}
    for spread in spreads:
        noisy = test + spread * np.random.default_rng(2).normal(size=test.shape)
        seen = (noisy.reshape(len(noisy), *shape) + 0.5 * trained.preparation.dequantize) / divide
        reduction = Reduction(shape, high=255.0 / divide, low=0.0, noise=spread / divide)
        rows = dataclasses.replace(batch, x=seen.astype(np.float32), mask=None)
        filled = complete(trained.model, rows, num_draws=DRAWS, reduction=reduction, key=jax.random.key(0))
        low, high = np.quantile(trained.data_units(filled.draws, mean=False), [0.05, 0.95], axis=1)
        guesses = {"noisy": noisy, "gaussian": wiener(x, noisy, spread)}
        guesses = {way: np.clip(guess, 0, 255) for way, guess in guesses.items()}
        guesses["complete"] = trained.data_units(filled.mean, mean=True)
        told = {way: decibels(guess, test) for way, guess in guesses.items()}
        told["complete - gaussian"] = told["complete"] - told["gaussian"]
        told["coverage"] = ((test >= low) & (test <= high))[:, varied].mean(axis=1)
        found[f"{spread:g}"] = {way: mean_and_error(values) for way, values in told.items()}
    return found


def decibels(guess: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Give the peak signal-to-noise ratio of each picture of 256 levels."""
    return 10 * np.log10(255.0**2 / np.square(guess.reshape(x.shape) - x).reshape(len(x), -1).mean(axis=1))


def mean_and_error(values: np.ndarray) -> list[float]:
    """Give the mean over pictures and its standard error."""
    return [float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))]


def one(name: str, minutes: float, pictures: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on a set and complete the lower halves of its test pictures."""
    x, test, trained = fitted(name, minutes, pictures, settings)
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
    return {key: mean_and_error(value) for key, value in found.items()}


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
    parser.add_argument("--noise", type=float, nargs="+", default=[], metavar="SD", help="take away such noise instead")
    args = parser.parse_args()
    enable_compilation_cache()
    results = {}
    for name in args.sets:
        given = (name, args.minutes, args.pictures, dict(pair.split("=", 1) for pair in args.set))
        results[name] = denoised(*given, args.noise) if args.noise else one(*given)
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    print(json.dumps({"minutes": args.minutes, "pictures": args.pictures, "results": results}))


if __name__ == "__main__":
    main()
