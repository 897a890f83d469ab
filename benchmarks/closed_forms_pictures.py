"""Windows of series and pictures beside what is counted in a second, with paired errors on rows held out.

    python benchmarks/closed_forms_pictures.py --windows ETTh1.csv.gz FOLDER/GunPoint ... --steps 500
    python benchmarks/closed_forms_pictures.py --pictures cifar-2500 olivetti ... --minutes 2

`--windows` takes a table of times (.csv, .csv.gz), of which windows of 48 times are made, the last three tenths apart,
or a folder NAME with NAME_TRAIN.ts and NAME_TEST.ts, as `pip download sktime --no-deps` holds them. Of each test
window pieces are hidden (gaps) or its last part (ahead), or a fault is planted in one series. Beside the model stand
linear interpolation, a Gaussian whose covariance is shrunk to its diagonal by cross-validation (its conditional mean,
its density, its Mahalanobis distance), ridge regression and, where a period is given, what was one period before.

`--pictures` takes sets of `benchmarks/pictures.py`, or .npy files of which a fifth is kept apart: the error of
reconstructions beside that of principal components with as many numbers, before the first step and at the end; the
lower half given the upper one, and pictures under noise, beside the Gaussian that the model began with.
"""

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from completing import crps, normal_crps
from latens.evaluation.complete import complete
from latens.evaluation.linear_answer import conditioned
from latens.evaluation.reductions import Reduction
from latens.workflow.hidden import carried_on, near_answers, near_zero, way_of
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score

import latens
from latens.config import VAEConfig, override
from latens.data import Preparation
from latens.evaluation import elbo_parts, impute
from latens.evaluation.evidence.factors import principal
from latens.evaluation.evidence.windows import fit_window
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from latens.workflow.detect import surprises
from latens.workflow.refit import start_text

TIMES, JUDGED, DRAWS = 48, 60, 50
SHARES = (0.3, 0.1, 0.03, 0.01, 0.003)


def windows_of(path: Path, stride: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Training and test windows of (times, series), and the period of a table of hours."""
    if path.is_dir():
        return _archive(path / f"{path.name}_TRAIN.ts"), _archive(path / f"{path.name}_TEST.ts"), 0
    x = pd.read_csv(path).select_dtypes("number").to_numpy(float)
    count = int(0.7 * len(x))
    x = (x - x[:count].mean(axis=0)) / x[:count].std(axis=0)
    cut = lambda part, step: np.stack([part[i : i + TIMES] for i in range(0, len(part) - TIMES + 1, step)])  # noqa: E731
    return cut(x[:count], stride), cut(x[count:], TIMES // 2), 24


def _archive(path: Path) -> np.ndarray:
    rows = path.read_text(encoding="utf-8").split("@data", 1)[1].split()
    series = [[np.array(part.split(","), float) for part in row.split(":")[:-1]] for row in rows]
    return np.moveaxis(np.array(series), 1, 2)


class Shrunk:
    """A Gaussian of windows whose covariance is shrunk to its diagonal."""

    def __init__(self, x: np.ndarray) -> None:
        rows, fifth = x.reshape(len(x), -1), len(x) // 5
        score = lambda share: self._fitted(rows[fifth:], share).log_prob(rows[:fifth]).mean()  # noqa: E731
        self._fitted(rows, max(SHARES, key=score))

    def _fitted(self, rows: np.ndarray, share: float) -> "Shrunk":
        counted = np.cov(rows.T) + 1e-6 * np.eye(rows.shape[1])
        self.mean, self.covariance = rows.mean(axis=0), (1 - share) * counted + share * np.diag(np.diag(counted))
        return self

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """The log density of windows."""
        covariance: Any = self.covariance  # scipy says int
        return stats.multivariate_normal.logpdf(x.reshape(len(x), -1), self.mean, covariance)

    def given(self, x: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of hidden cells given the others."""
        mean, deviation = x.reshape(len(x), -1).copy(), np.ones((len(x), x[0].size))
        for row, at, wide in zip(mean, hidden.reshape(len(x), -1), deviation):
            gain = np.linalg.solve(self.covariance[np.ix_(~at, ~at)], self.covariance[np.ix_(~at, at)])
            left = self.covariance[np.ix_(at, at)] - self.covariance[np.ix_(at, ~at)] @ gain
            row[at], wide[at] = self.mean[at] + (row[~at] - self.mean[~at]) @ gain, np.sqrt(np.diag(left))
        return mean.reshape(x.shape), deviation.reshape(x.shape)


def hidden_parts(test: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A piece of a third of the series of each window, and the last part of all series."""
    count, times, series = test.shape
    gaps, ahead = np.zeros(test.shape, bool), np.zeros(test.shape, bool)
    for i in range(count):
        for j in rng.choice(series, max(1, series // 3), replace=False):
            length = rng.integers(max(2, times // 12), max(3, times // 4))
            first = rng.integers(1, times - length)
            gaps[i, first : first + length, j] = True
    ahead[:, times - times // 2 if times == TIMES else times - times // 4 :] = True
    return {"gaps": gaps, "ahead": ahead}


def with_faults(test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Windows of which a series stands still, is moved by a deviation, or is turned over, for a sixth of the times."""
    found, (times, series) = test.copy(), test.shape[1:]
    for i, row in enumerate(found):
        j, length = rng.integers(series), max(3, times // 6)
        first = rng.integers(times - length)
        part = row[first : first + length, j]
        part[:] = (part[0], part + rng.choice([-1, 1]) * test[..., j].std(), 2 * part.mean() - part)[i % 3]
    return found


def of_windows(path: Path, stride: int, settings: dict[str, Any]) -> None:
    """Train on windows, and print what the model and its rivals make of gaps, of what is ahead, and of faults."""
    train, test, period = windows_of(path, stride)
    rng, began = np.random.default_rng(0), time.process_time()
    test = test[rng.permutation(len(test))[:JUDGED]]
    config = override(get_recipe("default").config, settings)
    trained, _ = latens.workflow.train(latens.workflow.prepare(config, latens.read(train)))
    seconds, shrunk, fault = time.process_time() - began, Shrunk(train), with_faults(test, rng)
    own = lambda x: latens.read(x, schema=trained.schema)  # noqa: E731
    assert isinstance(trained.config, VAEConfig)
    family = trained.config.likelihood.family
    print(f"{path.stem}: {len(train)} windows of {train.shape[1:]}, {family}, {seconds:.0f} s; {start_text(trained)}")
    usual = -surprises(trained, own(test), None, others=1, num_samples=300, key=trained.rows(own(test)).key)
    odd = -surprises(trained, own(fault), None, others=1, num_samples=300, key=trained.rows(own(test)).key)
    lagged = fit_window(train).log_prob(test.reshape(len(test), -1))
    line("log p(x)", usual, {"shrunk": shrunk.log_prob(test), "autoregression": lagged}, better=1)
    area = lambda a, b: roc_auc_score(np.r_[np.zeros(len(a)), np.ones(len(b))], -np.r_[a, b])  # noqa: E731
    resampled = []
    for _ in range(500):  # the same windows for both
        at, to = rng.integers(len(test), size=(2, len(test)))
        resampled.append(area(usual[at], odd[to]) - area(shrunk.log_prob(test[at]), shrunk.log_prob(fault[to])))
    both = area(usual, odd), area(shrunk.log_prob(test), shrunk.log_prob(fault))
    apart = f"{both[0] - both[1]:+.3f} ± {np.std(resampled):.3f}"
    print(f"  faults, area: {both[0]:.3f}, shrunk Gaussian {both[1]:.3f}, {apart}")
    for name, hidden in hidden_parts(test, rng).items():
        data = latens.read(np.where(hidden, np.nan, test), schema=trained.schema, missing="nan")
        found = impute(trained.rows(data, seed=0), num_samples=500, num_draws=DRAWS)
        mean, draws = trained.data_units(found.mean, mean=True), trained.data_units(found.draws, mean=False)
        low, high = np.quantile(draws, [0.05, 0.95], axis=1)
        expected, wide = shrunk.given(test, hidden)
        by_row = lambda values: np.array([row[at].mean() for row, at in zip(values, hidden)])  # noqa: B023, E731
        guesses = {"shrunk": expected, "interpolation": interpolated(test, hidden)}
        if name == "ahead":
            guesses = {"shrunk": expected, "ridge": ridge(train, test, hidden)}
            if period:
                guesses["period"] = np.where(hidden, np.roll(test, period, axis=1), test)
        away = {way: by_row(np.abs(guess - test)) for way, guess in guesses.items()}
        line(f"{name}, MAE", by_row(np.abs(mean - test)), away, better=-1)
        other = wide * normal_crps((test - expected) / wide)
        line(f"{name}, CRPS", by_row(crps(draws, test)), {"shrunk": by_row(other)}, better=-1)
        held = by_row((low <= test) & (test <= high))
        print(f"  {name}, 90 % bands hold {held.mean():.2f} ± {held.std(ddof=1) / np.sqrt(len(held)):.2f}", flush=True)


def interpolated(x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The windows with straight lines where they are hidden."""
    found, times = x.copy(), np.arange(x.shape[1])
    for row, at in zip(found, hidden):
        for j in np.flatnonzero(at.any(axis=0)):
            gone = at[:, j]
            if not gone.all():
                row[gone, j] = np.interp(times[gone], times[~gone], row[~gone, j])
    return found


def ridge(train: np.ndarray, test: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The windows with their hidden last part regressed on the first."""
    first = int(np.argmax(hidden[0].any(axis=1)))
    sides = lambda x: (x[:, :first].reshape(len(x), -1), x[:, first:].reshape(len(x), -1))  # noqa: E731
    fitted = RidgeCV(np.logspace(-2, 4, 13)).fit(*sides(train))
    found = test.copy()
    found[:, first:] = fitted.predict(sides(test)[0]).reshape(len(test), -1, test.shape[2])
    return found


def of_pictures(name: str, settings: dict[str, Any], judged: int) -> None:
    """Train on a set of pictures, and print errors of reconstructions, of lower halves, and of pictures under noise."""
    from pictures import SETS

    x, test = apart(np.load(name)) if name.endswith(".npy") else SETS[name]()
    test = test[np.random.default_rng(0).permutation(len(test))[:judged]]
    rows = int(settings.pop("rows", len(x)))
    data, began = latens.read(x[:rows]), time.process_time()
    experiment = latens.workflow.prepare(override(get_recipe("default").config, settings), data)
    first = experiment.trained(experiment.stages()[0].start(experiment.new_model(), experiment.data))
    trained, _ = latens.workflow.train(experiment)
    assert isinstance(trained.config, VAEConfig)
    seconds, count = time.process_time() - began, trained.config.posterior.latent_dim or 1
    flat = np.asarray(experiment.data.x[experiment.data.subset("train")], np.float32).reshape(-1, x[0].size)
    made, away = principal(flat, count), test.reshape(len(test), -1).astype(np.float64)
    away = away - made.mean
    of_pca = np.square(away - away @ made.directions @ made.directions.T).mean(axis=1)
    print(f"{Path(name).stem}: {data.count('train')} pictures, {count} latents, {seconds:.0f} s, "
          f"best step {trained.facts.get('best_step')}")  # fmt: skip
    for when, one in (("before the first step", first), ("at the end", trained)):
        own = one.rows(latens.read(test, schema=one.schema), seed=0)
        error = np.square(one.reconstruct(test).reshape(len(test), -1) - test.reshape(len(test), -1)).mean(axis=1)
        more = error - of_pca
        print(f"  {when}: error {np.sqrt(error.mean()):.2f} levels, PCA {np.sqrt(of_pca.mean()):.2f}, squared "
              f"{more.mean():+.1f} ± {sem(more):.1f}", end="")  # fmt: skip
        elbo = np.asarray(elbo_parts(own, num_samples=4)["elbo"], np.float64) / -np.log(2.0) / test[0].size
        print(f"; {elbo.mean() + np.log2(one.preparation.divide) * one.preparation.dequantize:.3f} bits a value")
    batch = trained.batch(latens.read(test, schema=trained.schema))
    half = np.zeros(test.shape, bool)
    half[:, test.shape[1] // 2 :] = True
    seen = trained.rows(replace(batch, mask=~half), seed=0)
    of_half(trained, experiment.data, seen, test, half)
    shape, divide = (test.shape[1], test.shape[2], math.prod(test.shape[3:])), trained.preparation.divide
    for spread in (25.0,):
        noisy = test + spread * np.random.default_rng(2).normal(size=test.shape)
        stored = (noisy.reshape(len(noisy), *shape) + 0.5 * trained.preparation.dequantize) / divide
        reduction = Reduction(shape, high=255.0 / divide, low=0.0, noise=spread / divide)
        own = replace(seen, batch=replace(batch, x=stored.astype(np.float32), mask=None))
        own = replace(own, preparation=Preparation())
        beside(trained, f"noise of {spread:g}", own, reduction, test, np.ones(test.shape, bool))


def apart(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in an order by chance, the last fifth apart."""
    order, count = np.random.default_rng(1).permutation(len(x)), len(x) - len(x) // 5
    return x[order[:count]], x[order[count:]]


def of_half(trained: Any, data: Any, rows: Any, test: np.ndarray, hidden: np.ndarray) -> None:
    """Print how far the mean of a hidden part is off as `latens complete` fills it in, beside two Gaussians."""
    # Validation rows say how much seen pixels count, for the model and for a Gaussian alike; "plain" counts all.
    near = near_zero(trained.model, rows.batch)
    way = way_of(trained, data, ~hidden, near)
    if near is None or way.power == 1.0:
        found = complete(
            rows, num_draws=1, num_samples=200, steps=30, power=way.power, decoded=way.carry is not None, mean=True
        )
    else:
        found = near_answers(rows, way, 1, True)
    mean, drawn = trained.data_units(found.mean, mean=True), trained.data_units(found.draws, mean=True)
    given = {"means": True, "seeds": np.asarray(rows.batch.row_id), "seed": 0}
    mean, _ = carried_on(trained, way, mean, drawn, np.asarray(rows.batch.x), ~hidden, **given)
    ours = squared(mean, test, hidden)
    print(f"  lower half: error {np.sqrt(ours.mean()):.2f} (power {way.power:g})", end="")
    for name, power in (("Gaussian", way.rival_power), ("plain Gaussian", 1.0)):
        rival = conditioned(rows, power=power)
        if rival is not None:
            other = squared(trained.data_units(rival.mean, mean=True), test, hidden)
            print(f", {name} {np.sqrt(other.mean()):.2f}, squared {np.mean(ours - other):+.1f} ± "
                  f"{sem(ours - other):.1f}", end="")  # fmt: skip
    print(flush=True)


def squared(mean: np.ndarray, test: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The mean squared error of what is hidden of each picture."""
    away = np.square(mean.reshape(test.shape) - test.astype(float))
    return np.array([row[at].mean() for row, at in zip(away, hidden)])


def beside(trained: Any, what: str, rows: Any, reduction: Any, test: np.ndarray, hidden: np.ndarray) -> None:
    """Print how far the mean of what is hidden is off, beside the Gaussian that the model began with."""
    rival = conditioned(rows, reduction=reduction)
    found = complete(rows, num_draws=1, num_samples=200, steps=30, reduction=reduction)
    ours = squared(trained.data_units(found.mean, mean=True), test, hidden)
    if rival is None:
        print(f"  {what}: error {np.sqrt(ours.mean()):.2f}; it began with no Gaussian")
        return
    other = squared(trained.data_units(rival.mean, mean=True), test, hidden)
    print(f"  {what}: error {np.sqrt(ours.mean()):.2f}, Gaussian {np.sqrt(other.mean()):.2f}, squared "
          f"{np.mean(ours - other):+.1f} ± {sem(ours - other):.1f}", flush=True)  # fmt: skip


def sem(values: np.ndarray) -> float:
    """The standard error of a mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def line(what: str, ours: np.ndarray, rivals: dict[str, np.ndarray], *, better: int) -> None:
    """Print a number of the model beside those of its rivals, with paired differences; * where it loses."""
    told = []
    for name, other in rivals.items():
        apart = ours - other
        loses = "*" if better * apart.mean() < -sem(apart) else ""
        told.append(f"{name} {other.mean():.3f} ({apart.mean():+.3f} ± {sem(apart):.3f}){loses}")
    print(f"  {what}: {ours.mean():.3f}; {', '.join(told)}", flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", nargs="+", default=[], type=Path, metavar="FILE")
    parser.add_argument("--stride", type=int, default=12, help="hours between training windows of a table")
    parser.add_argument("--pictures", nargs="+", default=[], metavar="SET")
    parser.add_argument("--judged", type=int, default=60, help="test pictures")
    parser.add_argument("--rows", type=int, help="so many pictures, the first ones")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    args = parser.parse_args()
    enable_compilation_cache()
    settings: dict[str, Any] = dict(pair.split("=", 1) for pair in args.set)
    settings |= {f"training.{name}": value for name in ("steps", "minutes") if (value := getattr(args, name))}
    for path in args.windows:
        of_windows(path, args.stride, settings)
    for name in args.pictures:
        of_pictures(name, settings | ({"rows": args.rows} if args.rows else {}), args.judged)


if __name__ == "__main__":
    sys.exit(main())
