"""Whether Rubin's intervals hold the truth in 95 of 100 tables: simulated tables with gaps, truth known.

    python benchmarks/rubin.py OUT.jsonl [--count 200] [--first 0] [--models 10] [--set PART.OPTION=VALUE]
        [--ways "one model" ensemble copula]

A table has 500 rows of five columns: x and g are always there, y, d and w each miss 30 % of their cells at random
given x and g. Wanted are the mean of y, the share of d = yes, the slope of y on x, and the mean of w. Each table is
completed by one model (as many draws), by as many models of bootstrapped rows, a draw each, and by a Gaussian copula
alone. Beside them stand the complete table, and its rows without gaps alone.

One line a table goes to OUT.jsonl, and tables that are there already are skipped: stop it whenever you like. The last
lines are the shares of the intervals that hold the truth.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from msgspec import structs
from scipy import optimize, stats

import latens
from latens.data import Dataset, Schema
from latens.data.bootstrap import with_shares_of
from latens.io.compilation import enable_compilation_cache

ROWS, MISSING = 500, 0.3
SHIFT = np.array([-0.5, 0.0, 1.0])
"""What g adds to y."""
SHARE = np.array([0.5, 0.3, 0.2])
"""How often g is each of its names; it hangs on nothing."""
WANTED = ("mean of y", "share of d", "slope of y on x", "mean of w")
WAYS = ("one model", "ensemble", "copula")
SETTINGS = {
    "network.hidden": [32],
    "optimizer.weight_decay": "0",
    "training.steps": "1500",
    "training.patience": "none",
    "training.keep": "last",
}
"""A small net, and more steps than held-out log p(x) asks for: where that is best, columns still hang together too
little, and what is filled in is pulled toward the mean of all rows."""


def table(seed: int, n: int = ROWS) -> pd.DataFrame:
    """Rows without gaps."""
    rng = np.random.default_rng([7, seed])
    x, g = rng.normal(size=n), rng.choice(3, n, p=SHARE)
    y = 2.0 + 0.8 * x + SHIFT[g] + rng.normal(size=n)
    d = rng.random(n) < 1.0 / (1.0 + np.exp(-(y - 2.0) - 0.3))
    w = np.exp(0.3 * x + 0.5 * d + 0.4 * rng.normal(size=n))
    names = {"x": x.round(2), "g": np.array(["low", "mid", "top"])[g], "y": y.round(2)}
    return pd.DataFrame({**names, "d": np.where(d, "yes", "no"), "w": w.round(2)})


def holes(full: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows with gaps in y, d and w, more of them the larger x (y, w) or the smaller (d)."""
    rng, made = np.random.default_rng([8, seed]), full.copy()
    top = (full["g"] == "top").to_numpy()
    for name, slope in (("y", 1.0), ("d", -1.0), ("w", 0.7)):
        score = slope * full["x"].to_numpy() + 0.8 * top
        # The constant that makes 30 % of x Normal and g as often as it is.
        made.loc[rng.random(ROWS) < 1.0 / (1.0 + np.exp(-score - constant(slope))), name] = None
    return made


def normal(of) -> float:
    """The mean of a function of a standard Normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float(weights @ of(nodes) / weights.sum())


def constant(slope: float) -> float:
    """What makes `MISSING` of the cells missing."""

    def share(middle: float) -> float:
        each = zip((SHARE[2], 1.0 - SHARE[2]), (0.8, 0.0))
        return sum(p * normal(lambda x, add=add: 1.0 / (1.0 + np.exp(-slope * x - add - middle))) for p, add in each)

    return float(optimize.brentq(lambda middle: share(middle) - MISSING, -10.0, 10.0))


def truth() -> dict[str, float]:
    """The four numbers by quadrature."""
    yes = lambda y: 1.0 / (1.0 + np.exp(-(y - 2.0) - 0.3))  # noqa: E731
    share = sum(p * normal(lambda v, s=s: yes(2.0 + s + np.sqrt(1.64) * v)) for p, s in zip(SHARE, SHIFT))
    # Given x, y is Normal around 0.8 x; w hangs on both.
    of_w = lambda x, s: np.array(  # noqa: E731
        [np.exp(0.3 * v) * (1.0 + (np.exp(0.5) - 1.0) * normal(lambda e: yes(2.0 + 0.8 * v + s + e))) for v in x]  # noqa: B023
    )
    w = np.exp(0.08) * sum(p * normal(lambda x, s=s: of_w(x, s)) for p, s in zip(SHARE, SHIFT))
    return dict(zip(WANTED, (2.0 + float(SHARE @ SHIFT), share, 0.8, w)))


def estimates(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The four estimates of a table without gaps, and their variances."""
    x, y, w = (rows[name].to_numpy(float) for name in ("x", "y", "w"))
    d, n = (rows["d"] == "yes").to_numpy(float), len(rows)
    x = x - x.mean()
    slope = x @ y / (x @ x)
    left = y - y.mean() - slope * x
    means = [v.var(ddof=1) / n for v in (y, d, w)]
    spread = left @ left / (n - 2) / (x @ x)
    return np.array([y.mean(), d.mean(), slope, w.mean()]), np.array([means[0], means[1], spread, means[2]])


def interval(tables: list[pd.DataFrame]) -> list[list[float]]:
    """Estimate, standard error and ends of the interval, of each of the four."""
    found, variances = map(np.array, zip(*map(estimates, tables)))
    if len(tables) == 1:
        half = stats.t.ppf(0.975, len(tables[0]) - 1) * np.sqrt(variances[0])
        return np.array([found[0], np.sqrt(variances[0]), found[0] - half, found[0] + half]).T.tolist()
    one = latens.pool(found, variances, degrees=ROWS - 1)
    return np.array([one.estimate, np.sqrt(one.variance), one.low, one.high]).T.tolist()


class Imputer(latens.VAEImputer):
    """An imputer that cuts the columns of every table into the segments of one large table, for one program."""

    grid: ClassVar[Schema | None] = None

    def _data(self, X: pd.DataFrame, *, reset: bool, typed: bool, schema: Schema | None = None) -> Dataset:
        data = super()._data(X, reset=reset, typed=typed, schema=schema or self.grid)
        if schema is not None or self.grid is None:
            return data
        types = tuple(with_shares_of(one, data.x[data.mask[:, j], j]) for j, one in enumerate(data.schema.types))
        return replace(data, schema=structs.replace(data.schema, types=types))


def run(seed: int, models: int, settings: dict, ways: list[str]) -> dict:
    """One table by each of the ways."""
    full = table(seed)
    gaps, made = holes(full, seed), {"complete": interval([full])}
    made["rows without gaps"] = interval([gaps.dropna()])
    seconds = {}
    for name in ways:
        began = time.monotonic()
        if name == "copula":
            # Compiles nothing, so it needs no common segments; those of another table bias it.
            imputer = latens.VAEImputer(copula="only", random_state=seed)
        else:
            count = models if name == "ensemble" else 1
            imputer = Imputer(ensemble=count, settings=settings, copula="none", random_state=seed)
        made[name] = interval(imputer.fit(gaps).draws(gaps, models))
        seconds[name] = time.monotonic() - began
    share = float(gaps[["y", "d", "w"]].isna().mean().mean())
    return {"seed": seed, "models": models, "missing": share, "seconds": seconds, **made}


def report(lines: list[dict]) -> None:
    """The shares of the intervals that hold the truth, with exact binomial intervals."""
    true = truth()
    print(f"{len(lines)} tables, {np.mean([line['missing'] for line in lines]):.1%} of y, d and w missing")
    print(f"{'':<20}" + "".join(f"{name:>34}" for name in WANTED))
    for way in (name for name in ("complete", "rows without gaps", *WAYS) if all(name in line for line in lines)):
        found = np.array([line[way] for line in lines])
        cells = []
        for j, name in enumerate(WANTED):
            inside = int(np.sum((found[:, j, 2] <= true[name]) & (true[name] <= found[:, j, 3])))
            low, high = stats.binomtest(inside, len(lines)).proportion_ci(0.95)
            bias = (found[:, j, 0].mean() - true[name]) / found[:, j, 0].std(ddof=1)
            ratio = np.sqrt((found[:, j, 1] ** 2).mean()) / found[:, j, 0].std(ddof=1)
            cells.append(f"{inside / len(lines):.1%} ({low:.0%}-{high:.0%}) b{bias:+.2f} r{ratio:.2f}")
        print(f"{way:<20}" + "".join(f"{cell:>34}" for cell in cells))
    print("b: bias in standard deviations of the estimate; r: the root mean square of its error over that deviation")
    each = {name: np.mean([line["seconds"][name] for line in lines]) for name in lines[0]["seconds"]}
    print("seconds a table: " + ", ".join(f"{name} {mean:.1f}" for name, mean in each.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    enable_compilation_cache()
    settings = {**SETTINGS, **dict(item.split("=", 1) for item in args.set)}
    lines = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    Imputer.grid = Imputer()._data(table(1_000_000, 20_000), reset=True, typed=True).schema
    for seed in range(args.first, args.first + args.count):
        if all(line["seed"] != seed for line in lines):
            lines.append(run(seed, args.models, settings, args.ways))
            with args.out.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            print(seed, lines[-1]["seconds"], flush=True)
    report(lines)


if __name__ == "__main__":
    main()
