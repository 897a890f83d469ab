"""Models with a latent for every step beside laws that are known, and beside the linear-Gaussian recipe.

    python benchmarks/steps.py switching               # two linear regimes: the law exactly, by a forward recursion
    python benchmarks/steps.py sines                   # sines with gaps: the law exactly, by a joint Normal
    python benchmarks/steps.py lorenz                  # with noise: the law by a particle filter that knows it
    python benchmarks/steps.py chorales FILE.json.gz   # notes of chorales, 88 keys a quarter, in nats a step
    python benchmarks/steps.py ETTh1 FILE.csv.gz       # the next 24 of 168 hours, on every day of the four test months
    python benchmarks/steps.py Pendulum-v1             # an environment, recorded: 15 steps open loop

Settings follow as OPTION=VALUE. Every number is of rows that neither trained nor chose the step that is kept.
"""

import argparse
import dataclasses
import gzip
import json
import math
import time
from typing import Any

import numpy as np

from latens import read
from latens.config import override
from latens.evidence import particle_filter
from latens.fitting import prepare, train
from latens.predictive import forecast
from latens.predictive.forecasting import judged
from latens.recipes import get_recipe

AHEAD = 15
NOTES = (21, 109)


def fitted(data: Any, recipe: str, settings: dict[str, Any], seed: int) -> tuple[Any, float]:
    """Train, and the seconds of processor time that it took."""
    start = time.process_time()
    config = override(get_recipe(recipe).config, {"training.seed": seed, **settings})
    return train(prepare(config, data))[0], time.process_time() - start


def split_in(data: Any, counts: tuple[int, int, int]) -> Any:
    """The data with its first rows for training, the next for validation and the last for tests."""
    return dataclasses.replace(data, split=np.repeat(np.arange(3, dtype=np.uint8), counts))


def nats(trained: Any, data: Any, particles: int = 1024, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """log p(x) of the test rows by a particle filter, and how many steps of each were seen."""
    places = data.subset("test")[:rows]
    found = particle_filter(trained.rows(trained.batch(data, places), seed=1), num_samples=particles, num_runs=2)
    seen = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    return found.rows, seen[places].reshape(len(places), data.x.shape[1], -1).any(2).sum(1)


def a_step(trained: Any, data: Any, **options: Any) -> tuple[float, float]:
    """Nats a step of the test rows, and the standard error over rows."""
    rows, steps = nats(trained, data, **options)
    mean = rows.sum() / steps.sum()
    return mean, float(np.std(rows - mean * steps, ddof=1) * math.sqrt(len(rows)) / steps.sum())


def chorales(asked: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Chorales as rows of 88 bits a step; the split is that of the file, whose training pieces may be transposed."""
    with gzip.open(asked.file, "rt") as file:
        parts = json.load(file)
    shifts = range(-asked.transpose, asked.transpose + 1)
    parts["train"] = [[[note + by for note in chord] for chord in one] for by in shifts for one in parts["train"]]
    pieces = [piece for part in ("train", "valid", "test") for piece in parts[part]]
    x = np.full((len(pieces), max(map(len, pieces)), NOTES[1] - NOTES[0]), np.nan, np.float32)
    for row, piece in enumerate(pieces):
        x[row, : len(piece)] = 0.0
        for t, chord in enumerate(piece):
            x[row, t, np.array(chord, int) - NOTES[0]] = 1.0
    data = split_in(read(x, missing="nan"), tuple(len(parts[part]) for part in ("train", "valid", "test")))
    start = {
        "likelihood": "bernoulli", "posterior.memory": 128, "posterior.lags": [1], "posterior.latent_dim": 16,
        "posterior.units": 128, "network.hidden": [128], "optimizer.learning_rate": 0.002, "training.batch_size": 16,
    }  # fmt: skip
    trained, seconds = fitted(data, "vrnn", {**start, **settings}, asked.seed)
    bound = trained.evaluate(data, num_samples=8, seed=1).value["metrics"]["elbo"]["value"] * -1
    value, error = a_step(trained, data, particles=asked.particles)
    rows = trained.facts.get("steps")
    print(f"{rows} steps, {seconds:.0f} s; ELBO {-bound:.1f} a piece; {value:.3f} ± {error:.3f} nats a step, particles")


def transformer(asked: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Fit on the first 8,640 hours; forecast 120 days of the last 2,880 of 14,400, in units of the hours of the fit."""
    with gzip.open(asked.file, "rt") as file:
        x = np.array([line.rstrip().split(",")[1:] for line in file][1:14401], np.float32)
    x = (x - x[:8640].mean(0)) / x[:8640].std(0)  # an array has one unit for all of its columns
    windows = np.stack([x[start : start + 192] for start in range(0, 8640 - 191, asked.stride)])
    days = np.stack([x[start - 168 : start + 24] for start in range(11520, 14400, 24)])
    hidden = np.random.default_rng(asked.seed).random(days[:, :168].shape) < 0.2
    kept = np.random.default_rng(asked.seed + 1).random(windows.shape) >= asked.missing
    windows = np.where(kept, windows, np.nan)
    tenth = len(windows) // 10
    for recipe in asked.recipes:
        data = split_in(read(windows, missing="nan"), (len(windows) - tenth, tenth, 0))
        trained, seconds = fitted(data, recipe, {"training.steps": 120, **settings}, asked.seed)
        for gaps in (False, True):
            known = np.concatenate([~hidden if gaps else np.ones_like(hidden), np.zeros((120, 24, 7), bool)], axis=1)
            batch = trained.batch(read(np.where(known, days, 0.0)))
            rows = trained.rows(dataclasses.replace(batch, mask=known), seed=1)
            draws = np.asarray(forecast(rows, steps=24, num_draws=100, lengths=np.full(120, 168)), np.float64)
            truth = days[:, 168:].astype(np.float64)
            found = judged(draws, truth, np.ones(truth.shape, bool))
            print(
                f"ETTh1 {recipe:13s} {seconds:4.0f} s  {'20 % of cells missing' if gaps else 'no gaps':21s}  "
                f"CRPS {found.crps:.4f}, of OT {found.by_column[-1]:.3f}, in bands of 90% {found.cover[0.9]:.1%}, "
                f"of 50% {found.cover[0.5]:.1%}; step {trained.facts.get('best_step')}",
                flush=True,
            )


def open_loop(trained: Any, data: Any, columns: list[int], ends: tuple[int, ...] = (8, 16, 24)) -> dict[str, float]:
    """What follows test rows from some steps on, given the actions alone: nats of Normals with the draws' moments."""
    places = data.subset("test")
    x, mask = np.asarray(data.x[places], np.float64), np.asarray(data.mask[places])
    logs, covers, scores = [], [], []
    for end in ends:
        whole = mask[:, : end + AHEAD][..., columns].all((1, 2))
        batch = trained.batch(data, places[whole])
        known = mask[whole] & (np.arange(x.shape[1]) < end)[:, None]
        given = np.asarray(batch.cond["inputs"])[:, end : end + AHEAD]
        rows = trained.rows(dataclasses.replace(batch, mask=known), seed=1)
        draws = forecast(rows, steps=AHEAD, num_draws=400, inputs=given, lengths=np.full(len(known), end))
        draws, came = np.asarray(draws, np.float64)[..., columns], x[whole][:, end : end + AHEAD][..., columns]
        away = came - draws.mean(1)
        spread = np.einsum("nmhi,nmhj->nhij", draws - draws.mean(1)[:, None], draws - draws.mean(1)[:, None]) / 400
        spread = spread + 1e-10 * np.eye(len(columns))
        apart = np.einsum("nhi,nhi->nh", away, np.linalg.solve(spread, away[..., None])[..., 0])
        logs.append(-0.5 * (apart + np.linalg.slogdet(2 * np.pi * spread)[1]))
        found = judged(draws, came, np.ones(came.shape, bool), x[mask[..., columns].all(2)][:, columns].std(0))
        covers.append(found.cover[0.9])
        scores.append(found.by_step)
    made = np.concatenate(logs)
    return {
        "nats a step": made.mean(), "its error": made.mean(1).std(ddof=1) / math.sqrt(len(made)),
        "first step": made[:, 0].mean(), "last step": made[:, -1].mean(), "median": np.median(made),
        "CRPS of the last step": float(np.mean([one[-1] for one in scores])), "in bands of 90%": float(np.mean(covers)),
    }  # fmt: skip


def environment(asked: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Record 10,000 random steps, fit both recipes on windows of 40 steps, and follow held-out ones open loop."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from latens.environments import record

    with TemporaryDirectory() as folder:
        record(asked.what, steps=10_000, seed=asked.seed).write(Path(folder) / "steps.parquet")
        data = read(str(Path(folder) / "steps.parquet"), window=40)
    names = [one.name for one in data.schema.sequences.columns]
    columns = [names.index(name) for name in data.schema.world.observations]
    linear = {"training.steps": 300, "training.patience": None}
    for recipe, own in (("linear-gaussian", linear), ("world", {"training.steps": 700, **settings})):
        trained, seconds = fitted(data, recipe, own, asked.seed)
        found = open_loop(trained, data, columns)
        print(f"{recipe:16s} {seconds:5.0f} s", *(f"{k} {v:.4g}" for k, v in found.items()), sep="  ", flush=True)


def switching(rng: np.random.Generator, rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Two linear regimes that follow one another by chance, and log p(x) of every row, exactly (forward recursion)."""
    turn = lambda angle, by: by * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # noqa: E731
    maps, noise, stay = np.stack([turn(0.5, 0.98), turn(-0.2, 0.9)]), np.array([0.1, 0.4]), 0.95
    x, regime = np.zeros((rows, length, 2)), rng.integers(0, 2, rows)
    x[:, 0] = rng.normal(size=(rows, 2))
    log = lambda away, scale: -0.5 * np.sum(away**2, -1) / scale**2 - np.log(2 * np.pi * scale**2)  # noqa: E731
    found, weight = log(x[:, 0], 1.0), np.full((rows, 2), 0.5)
    for t in range(1, length):
        regime = np.where(rng.random(rows) < stay, regime, 1 - regime)
        drawn = noise[regime][:, None] * rng.normal(size=(rows, 2))
        x[:, t] = np.einsum("ni,nij->nj", x[:, t - 1], maps[regime]) + drawn
        weight = weight * stay + weight[:, ::-1] * (1 - stay)
        each = np.stack([log(x[:, t] - x[:, t - 1] @ maps[r], noise[r]) for r in (0, 1)], axis=1)
        most = each.max(1)
        weight = weight * np.exp(each - most[:, None])
        found += most + np.log(weight.sum(1))
        weight /= weight.sum(1, keepdims=True)
    return x, found


def sines(rng: np.random.Generator, rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Three sines of random phase and height with a fifth of the cells missing: jointly Normal, so the law is exact."""
    t, periods, noise = np.arange(length), (8.0, 12.0, 20.0), 0.2
    x, found = np.empty((rows, length, 3)), np.zeros(rows)
    for j, period in enumerate(periods):
        basis = np.stack([np.sin(2 * np.pi * t / period), np.cos(2 * np.pi * t / period)], axis=1)
        x[:, :, j] = rng.normal(size=(rows, 2)) @ basis.T + noise * rng.normal(size=(rows, length))
        x[:, :, j] = np.where(rng.random((rows, length)) < 0.2, np.nan, x[:, :, j])
        for row in range(rows):
            seen = np.isfinite(x[row, :, j])
            own = basis[seen]
            cov = own @ own.T + noise**2 * np.eye(len(own))
            cell = x[row, seen, j]
            found[row] -= 0.5 * (cell @ np.linalg.solve(cov, cell) + np.linalg.slogdet(2 * np.pi * cov)[1])
    return x, found


def lorenz(rng: np.random.Generator, rows: int, length: int, particles: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Lorenz's system with noise in the steps and in what is seen; log p(x) of the last tenth by a particle filter."""
    moved, seen_by, step = 0.3, 1.0, 0.08

    def ahead(z: np.ndarray) -> np.ndarray:
        for _ in range(8):
            a, b, c = z[..., 0], z[..., 1], z[..., 2]
            z = z + step / 8 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], axis=-1)
        return z

    pool = rng.normal(size=(rows + 4000, 3)) + np.array([0.0, 0.0, 25.0])
    for _ in range(150):
        pool = ahead(pool) + moved * rng.normal(size=pool.shape)
    z, known = pool[:rows], pool[rows:]
    x, found = np.empty((rows, length, 3)), np.full(rows, np.nan)
    for t in range(length):
        z = ahead(z) + moved * rng.normal(size=z.shape)
        x[:, t] = z + seen_by * rng.normal(size=z.shape)
    for row in range(rows - rows // 10, rows):
        cloud, total = known[rng.integers(0, len(known), 10 * particles)], 0.0
        for t in range(length):
            cloud = ahead(cloud) + moved * rng.normal(size=cloud.shape)
            logs = -0.5 * np.sum((x[row, t] - cloud) ** 2, 1) / seen_by**2 - 1.5 * np.log(2 * np.pi * seen_by**2)
            weights = np.exp(logs - logs.max())
            total += logs.max() + np.log(weights.mean())
            cloud = cloud[rng.choice(len(cloud), particles, p=weights / weights.sum())]
        found[row] = total
    return x, found


def known_law(asked: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Draw rows of a law, fit, and compare nats a step and bands of the last ten steps of test rows."""
    law = {"switching": switching, "sines": sines, "lorenz": lorenz}[asked.what]
    x, exact = law(np.random.default_rng(asked.seed), asked.rows, 60)
    tenth = asked.rows // 10
    data = split_in(read(x.astype(np.float32), missing="nan"), (asked.rows - 2 * tenth, tenth, tenth))
    true, spread = exact[-tenth:].sum(), np.nanstd(x[:-tenth], axis=(0, 1))
    away = np.square((x[-tenth:] - np.nanmean(x[:-tenth], axis=(0, 1))) / spread)
    plain = -0.5 * np.nansum(away + np.where(np.isfinite(x[-tenth:]), np.log(2 * np.pi * spread**2), 0.0))
    for recipe in asked.recipes:
        own = {"training.steps": 300} if recipe == "linear-gaussian" else {"training.steps": 500, **settings}
        trained, seconds = fitted(data, recipe, {"training.patience": None, **own}, asked.seed)
        rows, steps = nats(trained, data, asked.particles)
        apart = (rows.sum() - true) / steps.sum()
        error = np.std(rows - exact[-tenth:], ddof=1) * math.sqrt(tenth) / steps.sum()
        places = data.subset("test")
        batch = trained.batch(data, places)
        mask = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
        known = mask[places] & (np.arange(60) < 50)[:, None]
        draws = forecast(
            trained.rows(dataclasses.replace(batch, mask=known), seed=1), steps=10, lengths=np.full(tenth, 50)
        )
        truth = np.nan_to_num(np.asarray(data.x[places][:, 50:], np.float64))
        found = judged(np.asarray(draws, np.float64), truth, mask[places][:, 50:], np.nanstd(x, axis=(0, 1)))
        share = (rows.sum() - plain) / (true - plain)
        print(
            f"{asked.what} {recipe:16s} {seconds:4.0f} s  {rows.sum() / steps.sum():.3f} nats a step, "
            f"the law {true / steps.sum():.3f}, apart {apart:.3f} ± {error:.3f}: {share:.1%} of its gain over Normals  "
            f"CRPS {found.crps:.3f}, in bands of 90% {found.cover[0.9]:.1%}, of 50% {found.cover[0.5]:.1%}",
            flush=True,
        )


def main() -> None:
    """Print a line for every model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", help="switching, sines, lorenz, chorales, ETTh1, or the name of an environment")
    parser.add_argument("file", nargs="?")
    parser.add_argument("settings", nargs="*", metavar="OPTION=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--particles", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=600, help="of a law")
    parser.add_argument("--transpose", type=int, default=0, help="semitones by which training chorales are moved, too")
    parser.add_argument("--stride", type=int, default=24, help="hours between two windows of ETTh1")
    parser.add_argument("--missing", type=float, default=0.0, help="the share of cells of ETTh1 missing in training")
    parser.add_argument("--recipes", nargs="+", default=["linear-gaussian", "deep-kalman", "vrnn"])
    asked = parser.parse_intermixed_args()
    if asked.file and "=" in asked.file:
        asked.settings, asked.file = [asked.file, *asked.settings], None
    settings = dict(word.split("=", 1) for word in asked.settings)
    known: dict[str, Any] = {
        "chorales": chorales,
        "ETTh1": transformer,
        **dict.fromkeys(("switching", "sines", "lorenz"), known_law),
    }
    known.get(asked.what, environment)(asked, {"training.patience": None, **settings})


if __name__ == "__main__":
    main()
