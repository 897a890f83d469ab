"""Tables beside what is counted in a second: log p(x) over that of a tree of columns.

    python benchmarks/closed_forms.py TABLE.csv ... [--folds 5] [--only 2] [--set PART.OPTION=VALUE]

Each fold of a table is held out once. The tree is counted in all rows of the others; the recipe `default` trains on
nine tenths of them and validates on the rest. Prints a line a table: the tree's gain over
independent columns, that of the model, their difference, paired over rows, with its standard error, and the seconds of
processor time of a training.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import latens
from latens.config import override
from latens.data.row_fields import TEST, TRAIN
from latens.evidence.baseline import fit_tree
from latens.recipes import get_recipe
from latens.runtime.compilation import enable_compilation_cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="so many of the folds (default: all)")
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    options = parser.parse_args()
    enable_compilation_cache()
    settings = dict(item.split("=", 1) for item in options.set)
    better = []
    for path in options.tables:
        frame = pd.read_csv(path)
        fold = np.random.default_rng(0).permutation(len(frame)) % options.folds
        ours, trees, seconds = [], [], []
        for held in range(options.only or options.folds):
            kept, left = frame[fold != held].reset_index(drop=True), frame[fold == held].reset_index(drop=True)
            data, began = latens.read(kept, label="none", typed=True), time.process_time()
            split = np.full(len(frame), TEST, np.uint8)  # the rows held out are the test, all others train or validate
            split[fold != held] = np.where(data.split == TEST, TRAIN, data.split)
            whole = latens.read(frame, label="none", schema=data.schema, unknown="missing")
            experiment = latens.fitting.prepare(
                override(get_recipe("default").config, settings), replace(whole, split=split)
            )
            trained, _ = latens.fitting.train(experiment)
            seconds.append(time.process_time() - began)
            types = trained.schema.types or ()
            test = latens.read(left, label="none", schema=trained.schema, unknown="missing")
            mask = np.ones(test.x.shape, bool) if test.mask is None else np.asarray(test.mask)
            cells = np.stack([one.log_shares(np.where(mask[:, j], test.x[:, j], 0)) for j, one in enumerate(types)], 1)
            alone = np.sum(cells, axis=1, where=mask)
            ours.append(np.asarray(trained.log_marginal(test, num_samples=300)) - alone)
            trees.append(fit_tree(np.asarray(data.x), data.mask, types).log_prob(test.x, mask) - alone)
        model, tree = np.concatenate(ours), np.concatenate(trees)
        more = model - tree
        error = more.std(ddof=1) / np.sqrt(len(more))
        better.append(more.mean() > -error)
        name, seconds_each = Path(path).stem, np.mean(seconds)
        print(
            f"{name:24s} {len(frame):6d} rows, {frame.shape[1]:3d} columns: tree {tree.mean():7.3f}, model "
            f"{model.mean():7.3f}, more {more.mean():+.3f} ± {error:.3f}; {seconds_each:.0f} s",
            flush=True,
        )
    print(f"no worse within a standard error on {sum(better)} of {len(better)}")


if __name__ == "__main__":
    main()
