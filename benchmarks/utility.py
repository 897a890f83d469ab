"""What is learned from synthetic rows: those of `latens.train` beside those of SDV's TVAE, CTGAN and GaussianCopula.

    python benchmarks/utility.py TABLE.csv:TARGET ... [--seeds 0,1,2,3,4] [--rows 3000] [--methods latens,TVAE,...]

A seed holds out another fifth of the rows. Every method trains on the other four fifths and draws as many rows: SDV
with its 300 epochs, columns of text as categories and all others as numbers; latens by the recipe `default`, which
trains and validates on nine tenths of what it is given (`latens-all` also on the tenth that it keeps for a test).
Gradient-boosted trees then learn TARGET from the drawn rows, as `latens judge --target` does, and are judged on the
fifth: by the area under the ROC curve of a name, by R squared of a number. `real` is what they learn from the rows that
trained. Prints a line a table, seed and method, then means over seeds with standard errors. SDV 2: `pip install sdv`.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import latens
from latens.config import override
from latens.data.mixed import as_columns
from latens.data.rows import TEST, TRAIN
from latens.evaluation.samples.tables import utility
from latens.io.compilation import enable_compilation_cache
from latens.recipes import get_recipe
from latens.workflow.judge import tables_of

FOLDS = 5


def ours(rows: pd.DataFrame, seed: int, *, every: bool) -> pd.DataFrame:
    """Draw rows of the recipe `default`, perhaps trained on those too that are kept for a test."""
    data = latens.load_data(rows, label="none", typed=True)
    if every:
        data = replace(data, split=np.where(data.split == TEST, TRAIN, data.split))
    config = override(get_recipe("default").config, {"training.seed": seed})
    trained, _ = latens.train(latens.prepare(config, data))
    return pd.DataFrame(as_columns(trained.sample(len(rows), seed=seed), trained.schema))


def of_sdv(rows: pd.DataFrame, seed: int, *, name: str) -> pd.DataFrame:
    """Draw rows of a model of SDV with its defaults, on the processor."""
    import torch
    from sdv import single_table
    from sdv.metadata import Metadata

    torch.manual_seed(seed)
    np.random.seed(seed)
    kinds = {n: "numerical" if pd.api.types.is_numeric_dtype(rows[n]) else "categorical" for n in rows}
    told = {"tables": {"rows": {"columns": {n: {"sdtype": kind} for n, kind in kinds.items()}}}}
    options: dict[str, Any] = {} if name == "GaussianCopula" else {"enable_gpu": False}
    model = getattr(single_table, f"{name}Synthesizer")(Metadata.load_from_dict(told), **options)
    model.fit({"rows": rows})
    return model.sample(len(rows))["rows"]


METHODS: dict[str, Callable[[pd.DataFrame, int], pd.DataFrame]] = {
    "latens": lambda rows, seed: ours(rows, seed, every=False),
    "latens-all": lambda rows, seed: ours(rows, seed, every=True),
    **{n: lambda rows, seed, n=n: of_sdv(rows, seed, name=n) for n in ("TVAE", "CTGAN", "GaussianCopula")},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="TABLE.csv:TARGET")
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--rows", type=int, help="rows of a table at the most, drawn at random")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    options = parser.parse_args()
    enable_compilation_cache()
    for path, target in (table.rsplit(":", 1) for table in options.tables):
        frame, name = pd.read_csv(path), Path(path).stem
        if options.rows is not None and len(frame) > options.rows:
            frame = frame.sample(options.rows, random_state=0).reset_index(drop=True)
        found: dict[str, list[float]] = {}
        for seed in options.seeds:
            fold = np.random.default_rng(seed).permutation(len(frame)) % FOLDS
            kept, held = frame[fold > 0].reset_index(drop=True), frame[fold == 0].reset_index(drop=True)
            for method in options.methods:
                began = time.perf_counter()
                fake = METHODS[method](kept, seed)
                seconds = time.perf_counter() - began
                truth, made, new = tables_of(kept, fake, held)[0]
                scores = utility(made, truth, new, target, seed=seed)
                found.setdefault(method, []).append(scores["fake"].value)
                print(f"{name} seed {seed} {method} {scores['fake'].value:.4f}, {seconds:.0f} s", flush=True)
            found.setdefault("real", []).append(scores["real"].value)
            print(f"{name} seed {seed} real {scores['real'].value:.4f}", flush=True)
        for method, values in found.items():
            error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            print(f"{name}, {len(values)} seeds: {method} {np.mean(values):.4f} ± {error:.4f}", flush=True)


if __name__ == "__main__":
    main()
