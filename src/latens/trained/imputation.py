"""Rows with their missing cells filled in: what every face of latens calls."""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from latens.data import Dataset
from latens.data.dataset import Batch, hash_rows
from latens.data.row_fields import every_nth, row_keys
from latens.evidence.estimate import finite
from latens.io import random_keys
from latens.predictive.missing_cells import DRAWS, impute
from latens.trained.cell_scores import points
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

HIDDEN, HIDDEN_ROWS, HIDDEN_DRAWS = 0.2, 200, 32
"""The share of cells that are hidden to see how well they are filled; rows of which; draws of z a row."""


class Imputation(NamedTuple):
    """Rows whose missing cells are filled in, in the units of the stored rows."""

    x: np.ndarray  # with the mean of each missing cell, or its likeliest category, shape (n, *x), float64
    draws: np.ndarray  # with every missing cell drawn, shape (n, M, *x), float64
    hidden: np.ndarray  # true where a cell was missing, shape (n, *x)
    rows: np.ndarray  # the positions of the m rows with missing cells
    shares: list[np.ndarray] | None  # of typed columns the probability of each segment in these rows, (m, segments)
    effective: np.ndarray  # the effective number of draws of z of these rows, (m,)


def imputed(
    trained: TrainedModel, batch: Batch, *, key: Key, num_samples: int = DRAWS, num_draws: int = 0, noise: bool = True
) -> Imputation:
    """Fill in the missing cells of rows by draws of p(missing | observed)."""
    # What is drawn for a row depends on the key and on the row alone, so that it is the same wherever the row came from
    # and whichever others there are; of equal rows each has noise of its own. noise: as of `impute`.
    x, types = np.array(batch.x, np.float64), trained.schema.column_types
    hidden = np.zeros(x.shape, bool) if batch.mask is None else ~np.asarray(batch.mask)
    rows = np.flatnonzero(hidden.reshape(len(x), -1).any(axis=1))
    drawn = np.repeat(x[:, None], num_draws, axis=1)
    if not len(rows):
        return Imputation(x, drawn, hidden, rows, [] if types else None, np.zeros(0))
    take = lambda leaf: np.asarray(leaf)[rows]  # noqa: E731
    gappy = jax.tree.map(take, batch)
    gone = hidden[rows]
    gappy = replace(gappy, row_id=_ids(np.where(gone, np.float32(np.nan), np.asarray(batch.x, np.float32)[rows])))
    found = impute(
        trained.rows(gappy, key=key), num_samples=num_samples, num_draws=num_draws, noise=noise, types=types or None
    )
    middle = points(found.shares or [], types) if types else trained.data_units(found.mean, mean=True)
    x[rows] = np.where(gone, finite(middle, "imputed cells"), x[rows])
    drawn[rows] = np.where(gone[:, None], trained.data_units(found.draws, mean=not noise), drawn[rows])
    return Imputation(x, finite(drawn, "draws"), hidden, rows, found.shares, found.effective)


class HiddenCells(NamedTuple):
    """Cells of held-out rows that were hidden at random, and what was filled in, as stored."""

    true: np.ndarray  # shape (n, D)
    filled: np.ndarray  # shape (n, D)
    draws: np.ndarray  # shape (n, M, D)
    cells: np.ndarray  # which cells were hidden, shape (n, D)


def hidden(trained: TrainedModel, data: Dataset, positions: np.ndarray, *, num_draws: int = 0) -> HiddenCells:
    """Hide a fifth of the observed cells of at most 200 rows, and fill them in."""
    batch = trained.batch(data, every_nth(positions, HIDDEN_ROWS))
    true = np.asarray(batch.x, np.float64)
    shown = np.ones(true.shape, bool) if batch.mask is None else np.asarray(batch.mask)
    cells = shown & (np.random.default_rng(0).random(true.shape) < HIDDEN)
    given = {"key": random_keys.of_seed(0), "num_samples": HIDDEN_DRAWS, "num_draws": num_draws}
    found = imputed(trained, replace(batch, mask=shown & ~cells), **given)
    return HiddenCells(true, found.x, found.draws, cells)


def _ids(x: np.ndarray) -> np.ndarray:
    """An id for each row from its cells and from how many equal rows stand before it."""
    ids = hash_rows(x)
    order = np.argsort(ids, kind="stable")
    begins = np.append(True, ids[order][1:] != ids[order][:-1])
    turn = np.empty(len(ids), np.int64)
    turn[order] = np.arange(len(ids)) - np.maximum.accumulate(np.where(begins, np.arange(len(ids)), 0))
    return np.where(turn == 0, ids, ids ^ row_keys(turn))
