"""Hidden cells of tables filled in, beside chained regressions: errors of numbers, names that are right, intervals.

    python benchmarks/hidden_cells.py TABLE.csv ... [--shares 0.2 0.5] [--copula only|auto|none]

A share of the cells is hidden at random, once by each seed. `VAEImputer` fills them in; beside it stand chained
Bayesian ridge regressions (`IterativeImputer`, names as zeros and ones) and the mean or the most frequent name.
Printed are, for each table and share, the root mean square error of numbers over the standard deviation of their column
(means over columns), on how many columns it is below that of the regressions, the share of names that are right, and
how many hidden numbers of columns with more than 30 values lie in their 90 % intervals.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from latens.data.mixed import in_units
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

import latens
from latens.io.compilation import enable_compilation_cache
from latens.workflow.cells import point

FINE = 30
"""Distinct values from which on a number counts as continuous."""


def kinds_of(full: pd.DataFrame) -> list[str]:
    """The kind of each column, as latens sees it; empty where it is not modelled."""
    schema = latens.read(full, label="none", typed=True).schema
    kinds = {column.name: one.kind for column, one in zip(schema.columns or (), schema.types or ())}
    return [kinds.get(name, "") for name in full.columns]


def chained(gaps: pd.DataFrame, kinds: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What chained regressions fill in, and the means with the most frequent names."""
    wide, places = [], []
    for name, kind in zip(gaps.columns, kinds):
        own, known = gaps[name], gaps[name].notna().to_numpy()
        levels = list(pd.unique(own.dropna())) if kind in ("category", "ordinal") else [None]
        # One name less than there are: of two that add up to 1, each would be told by the other one's mean.
        for level in levels[1:] if levels[0] is not None else levels:
            cells = own.to_numpy(float) if level is None else (own == level).to_numpy(float)
            wide.append(np.where(known, cells, np.nan))
        places.append(levels)
    x = np.stack(wide, axis=1)
    middle, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    scale[scale == 0] = 1.0
    found = IterativeImputer(BayesianRidge(), random_state=0).fit_transform((x - middle) / scale) * scale + middle
    filled, plain, at = gaps.copy(), gaps.copy(), 0
    for name, levels in zip(gaps.columns, places):
        gone = gaps[name].isna().to_numpy()
        wide = 1 if levels[0] is None else len(levels) - 1
        own = found[:, at : at + wide]
        if levels[0] is None:
            filled[name], plain[name] = own[:, 0], gaps[name].fillna(middle[at])
        else:
            best = np.concatenate([1.0 - own.sum(axis=1, keepdims=True), own], axis=1).argmax(axis=1)
            names = np.array(levels, object)
            filled[name] = np.where(gone, names[best], gaps[name])
            plain[name] = gaps[name].fillna(gaps[name].mode()[0])
        at += wide
    return filled, plain


def means(imputer: latens.VAEImputer, gaps: pd.DataFrame, filled: pd.DataFrame) -> pd.DataFrame:
    """The filled rows with the means of hidden numbers before they are rounded to whole ones, as no regression does."""
    data, shares = imputer._shares(gaps)
    types = data.schema.types or ()
    exact = in_units(np.stack([point(of, one) for of, one in zip(shares, types)], axis=1), types)
    made = filled.copy()
    for j, (column, one) in enumerate(zip(data.schema.columns or (), types)):
        if one.kind == "number":
            made[column.name] = np.where(gaps[column.name].isna(), exact[:, j], gaps[column.name].to_numpy(float))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2, 0.5])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--copula", choices=["only", "auto", "none"], default="only")
    args = parser.parse_args()
    enable_compilation_cache()
    warnings.simplefilter("ignore")
    below = [0, 0]
    for path in args.tables:
        full = pd.read_csv(path)
        kinds = kinds_of(full)
        full = full[[name for name, kind in zip(full.columns, kinds) if kind]]
        kinds = [kind for kind in kinds if kind]
        for share in args.shares:
            for seed in range(args.seeds):
                hidden = full.notna().to_numpy() & (np.random.default_rng(seed).random(full.shape) < share)
                gaps = full.mask(hidden)
                for j in range(full.shape[1]):  # what a file of these cells would say
                    if kinds[j] == "number":
                        gaps[full.columns[j]] = gaps.iloc[:, j].astype(float)
                columns = {name: kind for name, kind in zip(full.columns, kinds) if kind in ("category", "ordinal")}
                began = time.process_time()
                imputer = latens.VAEImputer(columns=columns, copula=args.copula, random_state=seed).fit(gaps)
                ours, (low, high) = imputer.transform(gaps), imputer.intervals(gaps, 0.9)
                seconds = time.process_time() - began
                ours = means(imputer, gaps, pd.DataFrame(ours, columns=full.columns))
                ways = {"ours": ours, **dict(zip(("chained", "mean or mode"), chained(gaps, kinds)))}
                errors: dict[str, list] = {name: [] for name in ways}
                right: dict[str, list] = {name: [] for name in ways}
                inside = []
                for j, (column, kind) in enumerate(zip(full.columns, kinds)):
                    gone = hidden[:, j]
                    if not gone.any():
                        continue
                    true = full[column].to_numpy()
                    if kind == "number":
                        size = full[column].std() or 1.0
                        for name, filled in ways.items():
                            off = filled[column].to_numpy(float)[gone] - true[gone]
                            errors[name].append(np.sqrt(np.mean(off**2)) / size)
                        if full[column].nunique() > FINE:
                            ends = (end[column].to_numpy(float)[gone] for end in (low, high))
                            inside.append((true[gone] >= next(ends)) & (true[gone] <= next(ends)))
                    elif kind in ("category", "ordinal"):
                        for name, filled in ways.items():
                            right[name].append(
                                np.mean(filled[column].to_numpy()[gone].astype(str) == true[gone].astype(str))
                            )
                wins = int(np.sum(np.array(errors["ours"]) < np.array(errors["chained"])))
                below[0] += wins
                below[1] += len(errors["ours"])
                numbers = " ".join(f"{np.mean(one):.3f}" if one else "    -" for one in errors.values())
                names = " ".join(f"{np.mean(one):.3f}" if one else "    -" for one in right.values())
                cover = np.concatenate(inside) if inside else np.zeros(0)
                held = f"{cover.mean():.3f} of {len(cover)}" if len(cover) else "-"
                print(
                    f"{Path(path).stem:16s} {share:.1f} {len(full):5d} x {full.shape[1]:2d}: numbers {numbers}, lower "
                    f"on {wins} of {len(errors['ours'])}; names {names}; 90 %: {held}; weight {imputer.weight_:.2f}; "
                    f"{seconds:.1f} s",
                    flush=True,
                )
    print(f"ours, chained regressions, mean or mode; numbers lower on {below[0]} of {below[1]} columns and shares")


if __name__ == "__main__":
    main()
