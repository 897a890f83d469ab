"""How well hidden cells of mixed tables are filled in, and how honest the spread is: HI-VAE's tables and masks.

Adult, Wine and Breast with 20 and 50 % of the cells hidden (Nazabal et al., 2020). The error of a column is that of
HI-VAE: of numbers the root mean square error over their range, of names the share that is wrong, of ordinals the mean
distance over their count; columns are averaged. CRPS (of numbers, by their standard deviation) and the log score (of
names, nats) are of 20 completed tables for every method, 90 % intervals of numbers and ordinals of ours. All methods
fill in the rows that they see. `python benchmarks/mixed_imputation.py` prints a table and a line of JSON for each run.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from latens import VAEImputer
from latens.runtime.compilation import enable_compilation_cache

SHARED = Path(os.environ.get("LATENS_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data/tabular/hivae"
DRAWS, NEIGHBOURS, DONORS = 20, 5, 4000
"""Completed tables of every method; neighbours; rows among which neighbours are looked for, at most."""


def table(name: str, mask: str) -> tuple[np.ndarray, np.ndarray, list[tuple[str, int]]]:
    """Read rows, which cells are hidden, and each column's kind with its number of classes."""
    rows = np.loadtxt(SHARED / name / "data.csv.gz", delimiter=",")
    places = np.loadtxt(SHARED / name / f"{mask}.csv.gz", delimiter=",", dtype=int).T - 1
    hidden = np.zeros(rows.shape, bool)
    hidden[places[0], places[1]] = True
    lines = (SHARED / name / "data_types.csv").read_text().split()[1:]
    kinds = [(kind, int(classes or 1)) for kind, _, classes in (line.split(",") for line in lines)]
    return rows, hidden & ~np.isnan(rows), kinds


def as_frame(rows: np.ndarray, kinds: list[tuple[str, int]]) -> pd.DataFrame:
    """Write names as text, so that they are names."""
    columns: dict[str, Any] = {}
    for i, (kind, _) in enumerate(kinds):
        gone = np.isnan(rows[:, i])
        words = np.array([f"c{int(value)}" if value == value else None for value in rows[:, i]], object)
        columns[f"x{i}"] = np.where(gone, None, words) if kind == "cat" else rows[:, i]
    return pd.DataFrame(columns)


def as_codes(frame: pd.DataFrame, kinds: list[tuple[str, int]]) -> np.ndarray:
    """Read names as their codes again."""
    made = np.empty(frame.shape)
    for i, (kind, _) in enumerate(kinds):
        values = frame.iloc[:, i]
        made[:, i] = [float(word[1:]) for word in values] if kind == "cat" else values.to_numpy(np.float64)
    return made


class Ours:
    """The default of `VAEImputer`."""

    def __init__(self, holes: np.ndarray, kinds: list[tuple[str, int]], seed: int) -> None:
        self.kinds, self.frame = kinds, as_frame(holes, kinds)
        self.imputer = VAEImputer(random_state=seed).fit(self.frame)

    def point(self) -> np.ndarray:
        return as_codes(self.imputer.transform(self.frame), self.kinds)

    def draws(self) -> np.ndarray:
        return np.stack([as_codes(one, self.kinds) for one in self.imputer.draws(self.frame, DRAWS)])

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        return self.imputer.intervals(self.frame, 0.9)


def frequent(holes: np.ndarray, kinds: list[tuple[str, int]]) -> np.ndarray:
    """Fill in the mean of numbers and the most frequent value of names and ordinals."""
    filled = holes.copy()
    for i, (kind, _) in enumerate(kinds):
        seen = holes[~np.isnan(holes[:, i]), i]
        values, counts = np.unique(seen, return_counts=True)
        filled[np.isnan(holes[:, i]), i] = values[counts.argmax()] if kind in ("cat", "ordinal") else seen.mean()
    return filled


def neighbours(holes: np.ndarray, kinds: list[tuple[str, int]], seed: int) -> np.ndarray:
    """Fill in what the five nearest rows say: their mean, or the name most of them have."""
    parts, names = [], []
    for i, (kind, _) in enumerate(kinds):
        values, gone = holes[:, i], np.isnan(holes[:, i])
        names.append(np.unique(values[~gone]) if kind == "cat" else np.zeros(0))
        if kind == "cat":
            parts.append(np.where(gone[:, None], np.nan, (values[:, None] == names[i]) / np.sqrt(2.0)))
        else:
            parts.append(((values - np.nanmean(values)) / (np.nanstd(values) or 1.0))[:, None])
    wide = np.concatenate(parts, axis=1)
    donors = np.random.default_rng(seed).permutation(len(wide))[:DONORS]
    found = KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True).fit(wide[donors]).transform(wide)
    filled, start = holes.copy(), 0
    for i, part in enumerate(parts):
        gone, own = np.isnan(holes[:, i]), found[:, start : start + part.shape[1]]
        if kinds[i][0] == "cat":
            filled[gone, i] = names[i][own[gone].argmax(axis=1)]
        else:
            filled[gone, i] = own[gone, 0] * (np.nanstd(holes[:, i]) or 1.0) + np.nanmean(holes[:, i])
        start += part.shape[1]
    return filled


def in_range(filled: np.ndarray, holes: np.ndarray, kinds: list[tuple[str, int]]) -> np.ndarray:
    """Round codes to codes that there are."""
    for i, (kind, _) in enumerate(kinds):
        if kind in ("cat", "ordinal"):
            low, high = np.nanmin(holes[:, i]), np.nanmax(holes[:, i])
            filled[:, i] = np.clip(np.round(filled[:, i]), low, high)
    return filled


def forest(holes: np.ndarray, kinds: list[tuple[str, int]], seed: int) -> np.ndarray:
    """Fill in by trees of each column on the others, in turn, as missForest does."""
    trees = ExtraTreesRegressor(n_estimators=30, min_samples_leaf=2, n_jobs=2, random_state=seed)
    return in_range(IterativeImputer(trees, max_iter=5, random_state=seed).fit_transform(holes), holes, kinds)


def chained(holes: np.ndarray, kinds: list[tuple[str, int]], seed: int) -> np.ndarray:
    """Draw completed tables by chained linear regressions."""
    made = []
    for k in range(DRAWS):
        imputer = IterativeImputer(sample_posterior=True, max_iter=5, random_state=seed * 1000 + k)
        made.append(in_range(imputer.fit_transform(holes), holes, kinds))
    return np.stack(made)


def error(rows: np.ndarray, hidden: np.ndarray, kinds: list[tuple[str, int]], filled: np.ndarray) -> float:
    """Average the error of HI-VAE over columns."""
    each = []
    for i, (kind, classes) in enumerate(kinds):
        at = hidden[:, i]
        true, own = rows[at, i], filled[at, i]
        if kind == "cat":
            each.append(np.mean(true != own))
        elif kind == "ordinal":
            each.append(np.mean(np.abs(true - np.round(own))) / classes)
        else:
            each.append(np.sqrt(np.mean((true - own) ** 2)) / (np.nanmax(rows[:, i]) - np.nanmin(rows[:, i])))
    return float(np.mean(each))


def scores(
    rows: np.ndarray, hidden: np.ndarray, kinds: list[tuple[str, int]], draws: np.ndarray
) -> tuple[float, float]:
    """Compute the fair CRPS of numbers and the log score of names, averaged over columns."""
    numbers, names = [], []
    for i, (kind, classes) in enumerate(kinds):
        at = hidden[:, i]
        true, own = rows[at, i], draws[:, at, i]
        if kind == "cat":
            names.append(-np.mean(np.log(((own == true).sum(axis=0) + 1.0) / (len(own) + classes))))
        else:
            ordered, m = np.sort(own, axis=0), len(own)
            weights = (2 * np.arange(1, m + 1) - m - 1)[:, None]
            spread = 2 * np.sum(weights * ordered, axis=0) / (m * (m - 1))
            numbers.append(np.mean(np.mean(np.abs(own - true), axis=0) - spread / 2) / np.nanstd(rows[:, i]))
    return float(np.mean(numbers)) if numbers else float("nan"), float(np.mean(names)) if names else float("nan")


def one(name: str, mask: str, seed: int) -> dict[str, Any]:
    """Judge every method on one table and mask."""
    rows, hidden, kinds = table(name, mask)
    holes = np.where(hidden, np.nan, rows)
    start = time.perf_counter()
    ours = Ours(holes, kinds, seed)
    fitted = time.perf_counter() - start
    points = {"latens": ours.point(), "mean or mode": frequent(holes, kinds)}
    points |= {"5-NN": neighbours(holes, kinds, seed), "missForest": forest(holes, kinds, seed)}
    found: dict[str, Any] = {"table": name, "mask": mask, "seed": seed, "seconds": round(fitted, 1)}
    found["error"] = {method: error(rows, hidden, kinds, filled) for method, filled in points.items()}
    pairs = {"latens": ours.draws(), "chained regressions": chained(holes, kinds, seed)}
    found["CRPS, log score"] = {method: scores(rows, hidden, kinds, draws) for method, draws in pairs.items()}
    low, high = ours.intervals()
    numbers = hidden & np.array([kind != "cat" for kind, _ in kinds])
    inside = (rows[numbers] >= low[numbers]) & (rows[numbers] <= high[numbers])
    found["covered by 90 %"] = float(inside.mean())
    return found


def main() -> int:
    """Run what is asked and print a table and the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tables", nargs="+", default=["Breast", "Wine", "Adult"])
    parser.add_argument("--masks", nargs="+", default=["Missing20_1", "Missing50_1"])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    enable_compilation_cache()
    warnings.simplefilter("ignore")
    print(
        "| table, mask | latens | mean or mode | 5-NN | missForest | CRPS | chained | log score | chained | covered |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    runs = []
    for name in args.tables:
        for mask in args.masks:
            for seed in range(args.seeds):
                runs.append(one(name, mask, seed))
                errors = " | ".join(f"{value:.3f}" for value in runs[-1]["error"].values())
                (crps, log), (other, other_log) = runs[-1]["CRPS, log score"].values()
                covered = f"{100 * runs[-1]['covered by 90 %']:.1f} %"
                texts = (errors, f"{crps:.3f}", f"{other:.3f}", f"{log:.3f}", f"{other_log:.3f}", covered)
                print(f"| {name}, {mask} | {' | '.join(texts)} |", flush=True)
    for run in runs:
        print(json.dumps(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
