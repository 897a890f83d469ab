"""How right a column of rows that were not seen is, as it is filled in given their other columns."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latens import evaluation
from latens.data import Dataset, equations
from latens.data.rules import filled
from latens.workflow.cells import draws_of
from latens.workflow.explained import asked_first
from latens.workflow.trained import TrainedModel

LEAST, MOST, FEW, DRAWS, SAMPLES = 20, 500, 200, 40, 200
"""Rows that are looked at, at the least, at the most, and where that must be quick; draws of each, whose mean is held
against the cell; and draws of z behind them."""


class Unseen(NamedTuple):
    """How far off a number is on rows that were not seen, or how often a name is right."""

    target: str
    error: float  # mean absolute error of a number; of a name the share of rows where it is wrong
    guessed: float  # the same of the mean, or of the most frequent name, of the rows that trained
    rows: int
    tied: Sequence[str]  # columns of one equation with it, which were hidden too
    named: bool

    @property
    def words(self) -> str:
        """What a report says."""
        by = "their other columns" + (f" (not {', '.join(self.tied)})" if self.tied else "")
        where = f"{self.target} of {self.rows} rows that were not seen, by {by}"
        if self.named:
            return f"{where}: right in {1 - self.error:.0%}; its most frequent name is right in {1 - self.guessed:.0%}."
        off = f"off by {self.error:.3g} on average"
        return f"{where}: {off}; the mean of all rows is off by {self.guessed:.3g}."

    @property
    def line(self) -> str:
        """What `latens fit` says."""
        by = "by columns that do not give it" if self.tied else "by their other columns"
        where = f"On {self.rows:,} unseen rows, {by}: {self.target}"
        if self.named:
            return f"{where} is right in {1 - self.error:.0%} (guessing: {1 - self.guessed:.0%})."
        return f"{where} is off by {self.error:.3g} (guessing its mean: {self.guessed:.3g})."


def unseen(trained: TrainedModel, data: Dataset, target: str, *, most: int = MOST) -> Unseen | None:
    """Fill a column of held-out rows in given their other columns; None where there are too few, or it is a date."""
    # Columns in one equation with it are hidden too: they would say it exactly.
    schema, names = trained.schema, trained.schema.names
    types, at = schema.types or (), names.index(target)
    rows, one = data.subset("test")[:most], types[at]
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    rows = rows[shown[rows, at]]
    if one.kind == "date" or len(rows) < LEAST:
        return None
    tied = sorted(_giving(trained, target) - {target})
    hidden = np.zeros((len(rows), len(names)), bool)
    hidden[:, [names.index(name) for name in (target, *tied)]] = True
    gone = np.array(shown)
    gone[rows] &= ~hidden
    asked = replace(data, mask=gone)
    samples = draws_of(trained, SAMPLES)
    asked = trained.rows(asked, rows, seed=0)
    drawn = evaluation.impute(asked, num_samples=samples, num_draws=DRAWS, mean=False).draws
    x, outside = np.asarray(data.x, np.float64)[rows], data.outside
    beyond = None if outside is None else np.asarray(outside, np.float64)[rows]
    known = np.where(hidden | ~shown[rows], 0.0, x)
    past = None if beyond is None else np.where(hidden, 0.0, beyond)
    told = np.stack([
        np.asarray(filled(trained.facts, schema, new, known, hidden | ~shown[rows], turn, past), np.float64)[:, at]
        for turn, new in enumerate(trained.data_units(drawn[:, turn], mean=False) for turn in range(DRAWS))
    ])  # fmt: skip
    true = x[:, at] + (0.0 if beyond is None else beyond[:, at])
    train = data.subset("train")
    usual = np.asarray(data.x, np.float64)[train[shown[train, at]], at]
    if one.named:
        off, guessed = (float(np.mean(_often(value, one.cells) != true)) for value in (told, usual[:, None]))
    else:
        off, guessed = (float(np.abs(value - true).mean()) * one.step for value in (told.mean(0), usual.mean()))
    return Unseen(target, off, guessed, len(rows), tied, one.named)


def _giving(trained: TrainedModel, target: str) -> set[str]:
    """A column, those of one equation with it, and what is computed of any of them: total less empty is the load."""
    rules = equations.placed(equations.read(trained.facts.get("equations")), trained.schema)
    found = {target}.union(*({one.target, *one.columns} for one in rules if target in (one.target, *one.columns)))
    while more := {one.target for one in rules if found & set(one.columns)} - found:
        found |= more
    return found


def column_line(trained: TrainedModel, data: Dataset) -> str:
    """What `latens fit` says of the column that a reader asks about first; "" where there is none."""
    first = None if trained.schema.types is None or trained.schema.classes else asked_first(trained)
    told = None if first is None else unseen(trained, data, first, most=FEW)
    return "" if told is None else told.line


def _often(codes: Float[np.ndarray, "n rows"], names: int) -> Int[np.ndarray, " rows"]:
    """The most frequent name of each row."""
    return np.stack([(codes == k).sum(0) for k in range(names)]).argmax(0)
