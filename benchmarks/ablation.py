"""What each part of a table's model gains and costs: log p(x), samples told apart, filled cells, processor seconds.

    python benchmarks/ablation.py FOLDER [--seeds 2] [--variants as-it-is,...] [--out lines.jsonl]

FOLDER holds tables as CSV files, of which at most 3,000 rows are drawn; four fifths train. Each fit runs in a process
of its own. Version 0.1 and its parts are measured by this script at revision fd774628.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MOST, HIDDEN = 3000, 0.2
VARIANTS: dict[str, dict[str, Any]] = {"as-it-is": {}, "no closed form": {"start.kind": "none"}}
"""The settings of each variant."""


def main() -> None:
    """Run every fit, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--variants", default="as-it-is")
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--one", nargs=3, metavar=("TABLE", "VARIANT", "SEED"), help="a single fit, printed as JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.folder / args.one[0], args.one[1], int(args.one[2]))))
        return
    for table in sorted(args.folder.glob("*.csv")):
        for variant in args.variants.split(","):
            for seed in range(args.seeds):
                words = [sys.executable, __file__, str(args.folder), "--one", table.name, variant, str(seed)]
                ran = subprocess.run(words, capture_output=True, text=True)
                line = ran.stdout.strip().splitlines()[-1] if not ran.returncode else json.dumps(
                    {"table": table.stem, "variant": variant, "seed": seed, "error": ran.stderr.strip()[-300:]}
                )  # fmt: skip
                with args.out.open("a") as file:
                    file.write(line + "\n")
                print(line, flush=True)


def measured(path: Path, variant: str, seed: int) -> dict[str, Any]:
    """Fit one variant on one table, and measure it on rows that did not train."""
    import numpy as np
    import pandas as pd

    from latens import VAE

    rows = pd.read_csv(path)
    rows = rows.sample(min(len(rows), MOST), random_state=seed).reset_index(drop=True)
    cut = len(rows) * 4 // 5
    train, test = rows[:cut], rows[cut:].reset_index(drop=True)
    begun = time.process_time()
    vae = VAE(random_state=seed, settings=VARIANTS[variant]).fit(train)
    seconds = time.process_time() - begun
    vae.num_samples = 1000
    log_p = vae.score_samples(test, unknown="missing")
    drawn = pd.DataFrame(vae.sample(len(test), random_state=seed), columns=list(rows))
    kl = vae.elbo(test, unknown="missing").kl
    gaps, rng = test.astype(object), np.random.default_rng(seed)
    hidden = (rng.random(test.shape) < HIDDEN) & test.notna().to_numpy()
    gaps = gaps.mask(hidden).infer_objects().astype(dtypes(train))
    filled = pd.DataFrame(vae.impute(gaps, unknown="missing"), columns=list(rows))
    return {
        "table": path.stem, "variant": variant, "seed": seed, "rows": len(train), "columns": rows.shape[1],
        "seconds": round(seconds, 2), "log_p": float(np.mean(log_p)),
        "log_p_error": float(np.std(log_p) / np.sqrt(len(log_p))), "kl": float(np.mean(kl)),
        "told_apart": told_apart(test, drawn), "filled": errors(train, test, filled, hidden),
    }  # fmt: skip


def dtypes(frame: Any) -> dict[str, Any]:
    """The dtypes of a frame, of which whole numbers and truth values may have gaps."""
    wide = {"i": "float64", "b": "object"}
    return {name: wide.get(dtype.kind, dtype) for name, dtype in frame.dtypes.items()}


def told_apart(test: Any, drawn: Any) -> float:
    """The area by which gradient boosting tells held-out rows from samples, over five folds."""
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_score

    drawn = drawn.mask(test.isna().to_numpy())  # whether a cell is missing is not a part of the model
    both, columns = pd.concat([test, drawn.astype(test.dtypes.to_dict(), errors="ignore")], ignore_index=True), {}
    for name in both:
        numbers = pd.to_numeric(both[name], errors="coerce") if test[name].dtype.kind in "if" else None
        columns[name] = pd.factorize(both[name].astype(str))[0] if numbers is None else numbers
    names = [test[name].dtype.kind not in "if" and len(set(columns[name])) < 255 for name in both]
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0, categorical_features=names)
    y = np.repeat([0, 1], [len(test), len(drawn)])
    return float(cross_val_score(model, pd.DataFrame(columns), y, scoring="roc_auc", cv=5).mean())


def errors(train: Any, test: Any, filled: Any, hidden: Any) -> float:
    """The mean error of filled cells: of numbers in deviations of the column, of names the share that is wrong."""
    import numpy as np
    import pandas as pd

    found = []
    for j, name in enumerate(test):
        at = np.flatnonzero(hidden[:, j])
        if test[name].dtype.kind in "if":
            told = pd.to_numeric(filled[name], errors="coerce").to_numpy(float)[at]
            scale = float(train[name].std()) or 1.0
            found.append(np.abs(told - test[name].to_numpy(float)[at]) / scale)
        else:
            found.append(
                (filled[name].astype(str).to_numpy()[at] != test[name].astype(str).to_numpy()[at]).astype(float)
            )
    return float(np.mean(np.concatenate(found)))


if __name__ == "__main__":
    main()
