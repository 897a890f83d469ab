"""Rows of numbers that stand in memory, as a data set: what an array of a user becomes."""

import warnings
from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Shaped

from latens.data import TRAIN, VALIDATION
from latens.data.checks import lost_digits
from latens.data.dataset import Dataset, hash_rows
from latens.data.infer import cell_name, conform, fill, infer_schema, store
from latens.data.row_fields import row_keys
from latens.data.schema import Schema

LEAST_ROWS_TO_VALIDATE = 50
"""With fewer rows than this all of them train."""


def split_of_few(n: int, validation_fraction: float) -> Shaped[np.ndarray, " n"]:
    """Choose by a hash of their positions the rows that validate; of few rows all train."""
    picked = row_keys(np.arange(n)).astype(np.float64) / 2**32
    fraction = validation_fraction if n >= LEAST_ROWS_TO_VALIDATE else 0.0
    return np.where(picked < fraction, VALIDATION, TRAIN).astype(np.uint8)


def as_dataset(
    x: Shaped[np.ndarray, "n D"],
    shape: Sequence[int] | None,
    *,
    kinds: Collection[str] = (),
    names: Sequence[str] | None = None,
    validation_fraction: float | None = None,
    schema: Schema | None = None,
) -> Dataset:
    """Turn the rows of a table into a data set whose kind of feature suits the likelihood."""
    # shape: shape of one picture, or None for a table.
    # kinds: the kinds of data that the likelihood takes; none where the data decide.
    # names: names of the columns of a table, or None.
    # validation_fraction: share of the rows that validates, chosen by a hash of their position. With fewer than 50
    # rows, or with None or 0, all rows train.
    # schema: schema of a larger table that these rows are from; None infers it from the rows.
    # returns: the data set, with True in its mask where a value is observed (no mask where all are).
    n, split = len(x), split_of_few(len(x), validation_fraction or 0.0)
    rows = x if shape is None else x.reshape(n, *shape)
    observed = observed_cells(rows)
    seen = x if observed is None else x[observed.reshape(x.shape)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    whole = x.dtype.kind in "biu" or bool(np.all(seen == np.floor(seen)))
    if kinds and set(kinds) <= {"binary", "levels"} and whole and observed is None and low >= 0 and high <= 255:
        rows = rows.astype(np.uint8)
    if schema is None:
        titles = None if shape else names
        schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X")
        if schema.kind not in kinds and "unit" in kinds and low >= 0 and high <= 1:
            schema = Schema(schema.shape, "unit")
        elif schema.kind not in kinds and "counts" in kinds and shape is None and whole and low >= 0:
            schema = infer_schema(rows, split == TRAIN, titles, observed=observed, where="X", counts=True)
        empty = [] if observed is None or shape else np.flatnonzero(~observed[split == TRAIN].any(axis=0)).tolist()
        hollow = "has no observed value to train on: what is filled in there means nothing. Leave it out."
        for sentence in (*lost_digits(schema), *(f"X, {cell_name((j,), schema.columns)} {hollow}" for j in empty)):
            warnings.warn(sentence, UserWarning, stacklevel=4)
    else:
        conform(rows, None, schema, observed, where="X")
    stored = store(fill(rows, observed, split == TRAIN, schema), schema, "X")
    return Dataset(stored, schema, hash_rows(stored), np.arange(n), split, "X", mask=observed)


def observed_cells(x: np.ndarray) -> np.ndarray | None:
    """Find the values that are observed."""
    # returns: true where a value is not NaN, of the shape of `x`; None where every value is observed.
    missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(0, bool)
    return ~missing if missing.any() else None
