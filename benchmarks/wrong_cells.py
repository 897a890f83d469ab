"""How well wrong cells of a mixed table are found: the p-values of `latens detect --cells` beside columns alone.

    python benchmarks/wrong_cells.py RUN TEST [--rows 2000] [--share 0.02] [--seed 0]

RUN is a run of a mixed table, TEST a file of rows that did not train it. One cell of some rows gets the value of
another row; all cells are then ranked by the probability of a cell that is no likelier, given the rest of the row, and
given nothing. Prints the average precision of both, and how many wrong cells `latens detect --top 60 --cells 1` names.
Beside it stand how often the first cell of a row with a wrong one is that one, and how often the 90 % set of what the
cell should have been holds what it was.
"""

import argparse
import dataclasses
import json

import jax
import numpy as np
from sklearn.metrics import average_precision_score

import latens
from latens.commands.detect import SCANNED
from latens.runtime.compilation import enable_compilation_cache
from latens.trained.cell_scores import blame, given_rest, interval, p_values, row_scores

TOP = 60
"""Rows that are named."""


def main() -> None:
    """Plant wrong cells, rank all cells and print the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("test")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-samples", type=int, default=200)
    args = parser.parse_args()
    enable_compilation_cache()
    trained = latens.load(args.run)
    data = latens.read(args.test, schema=trained.schema)
    rng = np.random.default_rng(args.seed)
    rows = np.sort(rng.permutation(len(data))[: args.rows])
    x, types = data.x.copy(), trained.schema.types or ()
    shown = np.ones(x.shape, bool) if data.mask is None else data.mask
    planted = np.zeros(x.shape, bool)
    for row in rng.permutation(rows)[: int(args.share * len(rows))]:
        column = rng.choice(np.flatnonzero(shown[row]))
        others = np.flatnonzero(shown[:, column] & (x[:, column] != x[row, column]))
        if len(others):
            x[row, column], planted[row, column] = x[rng.choice(others), column], True
    wrong = dataclasses.replace(data, x=x)
    found = blame(trained, wrong, rows, others=len(rows), cells=len(types), num_samples=args.num_samples)
    p = np.ones((len(rows), len(types)))
    named = found.column >= 0
    at = np.nonzero(named)[0]
    p[at, found.column[named]] = found.p_value[named]
    alone = np.stack(
        [p_values(np.tile(one.shares, (len(rows), 1)), one, x[rows, j]) for j, one in enumerate(types)], axis=1
    )
    seen, truth = shown[rows], planted[rows]
    inside, every = [], given_rest(trained, wrong, rows, num_samples=args.num_samples)
    for i, j in zip(*np.nonzero(truth)):
        shares = every[j][i : i + 1]
        one, true = types[j], data.x[rows[i], j]
        if one.kind == "category":
            order = np.argsort(-shares[0])
            most = np.searchsorted(np.cumsum(shares[0][order]), 0.9) + 1
            inside.append(int(true) in order[:most])
        else:
            low, high = interval(shares, one, 0.9)
            inside.append(bool(low[0] <= true <= high[0]))
    options = {"num_samples": args.num_samples, "key": jax.random.key(0)}
    score = row_scores(trained, wrong, rows, others=len(rows), **options).odd
    first = truth[np.arange(len(rows)), p.argmin(axis=1)]
    most = np.argsort(-score, kind="stable")[:SCANNED]
    named = most[np.argsort(p.min(axis=1)[most], kind="stable")][:TOP]
    value = {
        "rows": len(rows),
        "planted": int(truth.sum()),
        "average precision": float(average_precision_score(truth[seen], -np.log(p[seen]))),
        "of columns alone": float(average_precision_score(truth[seen], -np.log(np.maximum(alone[seen], 1e-300)))),
        "first cells of 60 named rows": int(first[named].sum()),
        "of the 60 most surprising rows": int(first[np.argsort(-score, kind="stable")[:TOP]].sum()),
        "first cell right": float(np.mean(first[truth.any(axis=1)])),
        "in the 90 % set": float(np.mean(inside)),
    }
    print(json.dumps(value))


if __name__ == "__main__":
    main()
