"""How far off a number of rows that were not seen is, as it is filled in given their other columns."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from latens import evaluation
from latens.data import Dataset
from latens.data.rules import filled, tied_in
from latens.workflow.cells import draws_of
from latens.workflow.trained import TrainedModel

LEAST, MOST, DRAWS, SAMPLES = 20, 500, 40, 500
"""Rows that are looked at, at the least and at the most; draws of each, whose mean is held against the cell; and draws
of z behind them."""


class Unseen(NamedTuple):
    """How far off a number is on rows that were not seen."""

    error: float  # mean absolute error
    guessed: float  # the same of the mean of the rows that trained
    rows: int
    words: str


def unseen(trained: TrainedModel, data: Dataset, target: str) -> Unseen | None:
    """Fill a number of held-out rows in given their other columns; None where there are too few, or it is a name."""
    # Columns in one equation with the number are hidden too: they would say it exactly.
    schema, names = trained.schema, trained.schema.names
    types, at = schema.types or (), names.index(target)
    rows, one = data.subset("test")[:MOST], types[at]
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    rows = rows[shown[rows, at]]
    if one.kind != "number" or len(rows) < LEAST:
        return None
    tied = sorted(set().union(*(own for own in tied_in(trained.facts, schema) if target in own)) - {target})
    hidden = np.zeros((len(rows), len(names)), bool)
    hidden[:, [names.index(name) for name in (target, *tied)]] = True
    gone = np.array(shown)
    gone[rows] &= ~hidden
    asked = replace(data, mask=gone)
    samples = draws_of(trained, SAMPLES)
    drawn = evaluation.impute(trained.rows(asked, rows, seed=0), num_samples=samples, num_draws=DRAWS).draws
    x, outside = np.asarray(data.x, np.float64)[rows], data.outside
    beyond = None if outside is None else np.asarray(outside, np.float64)[rows]
    known, told = np.where(hidden | ~shown[rows], 0.0, x), np.zeros(len(rows))
    past = None if beyond is None else np.where(hidden, 0.0, beyond)
    for turn in range(DRAWS):
        new = trained.data_units(drawn[:, turn], mean=False)
        own = filled(trained.facts, schema, new, known, hidden | ~shown[rows], turn, past)
        told += np.asarray(own, np.float64)[:, at] / DRAWS
    true = x[:, at] + (0.0 if beyond is None else beyond[:, at])
    train = data.subset("train")
    usual = float(np.asarray(data.x, np.float64)[train[shown[train, at]], at].mean())
    off, guessed = (float(np.abs(value - true).mean()) for value in (told, usual))
    off, guessed = off * one.step, guessed * one.step
    by = "their other columns" + (f" (not {', '.join(tied)})" if tied else "")
    told_by = f"{target} of {len(rows)} rows that were not seen, by {by}: off by {off:.3g} on average"
    return Unseen(off, guessed, len(rows), f"{told_by}; the mean of all rows is off by {guessed:.3g}.")
