"""How well anomalies are told from usual rows on eight sets of ADBench: ours beside what scikit-learn has.

Two protocols, those of DTE (Livernoche et al., ICLR 2024): `one-class`, half of the usual rows train, the other half
and all anomalies are judged; `contaminated`, all rows train and are judged. The numbers are the area under the
ROC curve and the average precision. All methods see the same rows; the baselines see columns standardised by the
training rows.
`python benchmarks/anomalies.py` prints one table and one JSON object; `--sets`, `--seeds`, `--protocol`,
`--folds`, `--rows` and `--set PART.OPTION=VALUE` change what is run.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from latens import VAEDetector
from latens.runtime.compilation import enable_compilation_cache

SHARED = Path(os.environ.get("LATENS_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data/adbench"
NEIGHBOURS = 5
"""As in DTE."""
LEVELS = (0.01, 0.05, 0.1)
"""Levels at which the p-values of usual rows are counted."""


def nearest(train: np.ndarray, rows: np.ndarray, same: bool) -> np.ndarray:
    """Compute the distance to the fifth neighbour among the training rows, a row itself left out."""
    found = NearestNeighbors(n_neighbors=NEIGHBOURS + same).fit(train)
    return found.kneighbors(rows)[0][:, -1]


def baselines(train: np.ndarray, rows: np.ndarray, seed: int, same: bool) -> dict[str, np.ndarray]:
    """Score rows by what scikit-learn has; high is unusual."""
    mean, scale = train.mean(0), train.std(0)
    scale[scale == 0] = 1.0
    train, rows = (train - mean) / scale, (rows - mean) / scale
    forest = IsolationForest(random_state=seed).fit(train)
    local = LocalOutlierFactor(novelty=not same).fit(train)
    factor = local.negative_outlier_factor_ if same else local.score_samples(rows)
    return {"kNN": nearest(train, rows, same), "IForest": -forest.score_samples(rows), "LOF": -factor}


def one(name: str, seed: int, protocol: str, options: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    """Judge every method on one set and seed."""
    stored = np.load(next(SHARED.glob(f"*_{name}.npz")))
    x, y = stored["X"].astype(np.float64), stored["y"].astype(bool)
    if most is not None and len(x) > most:
        some = np.sort(np.random.default_rng(123).permutation(len(x))[:most])
        x, y = x[some], y[some]
    same = protocol == "contaminated"
    usual = np.random.default_rng(seed).permutation(np.flatnonzero(~y))
    chosen = np.arange(len(x)) if same else np.sort(usual[: len(usual) // 2])
    judged = np.arange(len(x)) if same else np.setdiff1d(np.arange(len(x)), chosen)
    train, rows, odd = x[chosen], x[judged], y[judged]
    scored = baselines(train, rows, seed, same)
    start = time.perf_counter()
    detector = VAEDetector(random_state=seed, **options).fit(train)
    fitted = time.perf_counter() - start
    scored = {"latens": -detector.score_samples(rows), **scored}
    found: dict[str, Any] = {"set": name, "seed": seed, "seconds": round(fitted, 1)}
    found["areas"] = {k: roc_auc_score(odd, v) for k, v in scored.items()}
    found["precisions"] = {k: average_precision_score(odd, v) for k, v in scored.items()}
    p = detector.p_values(rows[~odd])
    found["p-values"] = {str(level): float((p <= level).mean()) for level in LEVELS}
    found["usual"], found["held out"] = int((~odd).sum()), len(detector.calibration_)
    return found


def main() -> int:
    """Run what is asked and print a table and the numbers."""
    names = sorted(path.stem.split("_", 1)[1] for path in SHARED.glob("*.npz"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=names, choices=names)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--protocol", choices=("one-class", "contaminated"), default="one-class")
    parser.add_argument("--robust", action="store_true", help="`VAEDetector(robust=True)`")
    parser.add_argument("--typed", action="store_true", help="columns of types, with exact probabilities")
    parser.add_argument("--folds", type=int)
    parser.add_argument("--rows", type=int, help="rows of a set at the most, drawn at random")
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE", dest="settings")
    args = parser.parse_args()
    enable_compilation_cache()
    settings = {name: json.loads(value) for name, value in (line.split("=", 1) for line in args.settings)}
    rows = []
    options = {"typed": args.typed, "robust": args.robust, "settings": settings}
    options |= {"folds": args.folds}
    for name in args.sets:
        for seed in range(args.seeds):
            rows.append(one(name, seed, args.protocol, options, args.rows))
            areas = "  ".join(f"{k} {100 * v:5.1f}" for k, v in rows[-1]["areas"].items())
            print(f"{name:12} {seed}  {areas}  {rows[-1]['seconds']} s", file=sys.stderr, flush=True)
    methods = list(rows[0]["areas"])
    for what in ("areas", "precisions"):
        means = {m: [np.mean([r[what][m] for r in rows if r["set"] == n]) for n in args.sets] for m in methods}
        print(f"{what:13}" + "  ".join(f"{m:>8}" for m in methods))
        for i, name in enumerate(args.sets):
            print(f"{name:12} " + "  ".join(f"{100 * means[m][i]:8.1f}" for m in methods))
        print("mean         " + "  ".join(f"{100 * np.mean(means[m]):8.1f}" for m in methods))
    print(json.dumps({"protocol": args.protocol, **options, "runs": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
