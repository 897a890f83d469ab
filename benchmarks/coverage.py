"""How often do the errors of log p(x) cover it? On Normal posteriors, whose log p(x) is known.

    python benchmarks/coverage.py [--repeats 200]

A posterior N(m, S) and a proposal q: the log weight of a draw of q, less log p(x), is a difference of two Normal log
densities. Every setting is repeated; shown is how often value ± 1.96 error, where there is one, holds log p(x).
"""

import argparse
from collections.abc import Callable

import jax
import numpy as np

from latens.evidence import LogMarginals
from latens.evidence.importance import summarise

Draws = Callable[[np.random.Generator, int, int], np.ndarray]


def scaled(dim: int, scale: float, shift: float = 0.0) -> Draws:
    """Log weights of q = N(0, 1) in `dim` directions for p = N(`shift` in the first, 1 / `scale`**2)."""

    def draws(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
        first = random.standard_normal((rows, count), np.float32)
        rest = 2 * random.standard_gamma((dim - 1) / 2, (rows, count), np.float32) if dim > 1 else 0.0
        far = (first - shift) ** 2 + rest
        return dim * np.log(scale) - 0.5 * scale**2 * far + 0.5 * (first**2 + rest)

    return draws


def mean_field(dim: int, correlation: float) -> Draws:
    """Log weights of the best q of independent latents for latents that all have one correlation."""
    wide, narrow = 1 + (dim - 1) * correlation, 1 - correlation
    precision = ((dim - 1) / narrow + 1 / wide) / dim

    def draws(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
        found = np.zeros((rows, count), np.float32)
        for variance, size in ((wide * precision, 1), (narrow * precision, dim - 1)):
            square = 2 * random.standard_gamma(size / 2, (rows, count), np.float32)
            found += 0.5 * (1 - 1 / variance) * square - 0.5 * size * np.log(variance)
        return found

    return draws


def mixed(dim: int, share: float = 0.05) -> Draws:
    """A few rows whose q is too narrow and shifted, among rows of a good one."""

    def draws(random: np.random.Generator, rows: int, count: int) -> np.ndarray:
        bad = random.random(rows) < share
        good, poor = scaled(dim, 1.05)(random, rows, count), scaled(dim, 0.7, 1.0)(random, rows, count)
        return np.where(bad[:, None], poor, good)

    return draws


SETTINGS: dict[str, Callable[[int], Draws]] = {
    "mean-field, correlation 0.2": lambda dim: mean_field(dim, 0.2),
    "mean-field, correlation 0.5": lambda dim: mean_field(dim, 0.5),
    "mean-field, correlation 0.8": lambda dim: mean_field(dim, 0.8),
    "wider by 1.3": lambda dim: scaled(dim, 1.3),
    "wider by 1.6": lambda dim: scaled(dim, 1.6),
    "narrower by 0.9": lambda dim: scaled(dim, 0.9),
    "narrower by 0.8": lambda dim: scaled(dim, 0.8),
    "narrower by 0.7": lambda dim: scaled(dim, 0.7),
    "shifted by 1": lambda dim: scaled(dim, 1.0, 1.0),
    "narrower by 0.9, shifted by 0.7": lambda dim: scaled(dim, 0.9, 0.7),
    "5 % of rows narrower by 0.7": mixed,
}


def coverage(draws: Draws, rows: int, count: int, repeats: int, seed: int = 0) -> dict[str, float]:
    """The shares of repeats in which log p(x), here 0, is covered, and in which an error is printed."""
    random, summary = np.random.default_rng(seed), jax.jit(summarise)
    found = []
    for _ in range(repeats):
        made = [np.asarray(part, np.float64) for part in summary(draws(random, rows, count))]
        value, error, size, k, rises = made
        one = LogMarginals(value, error, count, "", size, k, count - 1, None, rises)
        miss = abs(value.mean())
        found.append((miss <= 1.96 * one.draws_error, np.isfinite(one.draws_error), miss))
    covered, printed, miss = np.array(found, float).T
    return {
        "printed": printed.mean(),
        "covered": covered[printed > 0].mean() if printed.any() else np.nan,
        "miss": miss.mean(),
    }


def main() -> None:
    """Print the table of coverage, in Markdown."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--repeats", type=int, default=200)
    options.add_argument("--dims", type=int, nargs="+", default=[2, 5, 10, 20])
    options.add_argument("--draws", type=int, nargs="+", default=[100, 1000])
    options.add_argument("--rows", type=int, nargs="+", default=[50, 500])
    args = options.parse_args()
    print("| q | latents | draws | rows | off by | error printed | covers |")
    print("|---|---|---|---|---|---|---|")
    for name, setting in SETTINGS.items():
        for dim, count, rows in ((d, k, n) for d in args.dims for k in args.draws for n in args.rows):
            found = coverage(setting(dim), rows, count, args.repeats)
            shown = [f"{100 * found[part]:.0f} %" for part in ("printed", "covered")]
            shown = [each.replace("nan %", "") for each in shown]
            print(f"| {name} | {dim} | {count} | {rows} | {found['miss']:.3f} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
