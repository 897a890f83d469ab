"""Rows drawn anew from a table with replacement, for models that differ as those of another sample would."""

from dataclasses import replace

import msgspec
import numpy as np
from jaxtyping import Shaped

from latens.data.columns import ColumnType
from latens.data.dataset import Dataset, rows_at
from latens.data.rows import TRAIN, VALIDATION, row_keys


def bootstrap(data: Dataset, seed: int) -> Dataset:
    """Draw as many training rows as a data set has rows, with replacement; those that were not drawn validate."""
    # The columns of a mixed table keep their grids, and begin at the shares that the drawn rows have, as they would of
    # another sample. A row that came twice is two rows.
    # Source: Efron (1979); Honaker, King & Blackwell (2011) for a bootstrap before each imputation.
    # returns: the drawn rows, and after them those that were not drawn; without these where no row of `data` validates.
    drawn = np.sort(np.random.default_rng(seed).integers(0, len(data), len(data)))
    apart = np.setdiff1d(np.arange(len(data)), drawn) if np.any(data.split == VALIDATION) else np.zeros(0, np.int64)
    rows = np.concatenate([drawn, apart])
    names = np.arange(len(rows))
    schema = data.schema
    if schema.types is not None:
        shown = np.ones(data.x.shape, bool) if data.mask is None else data.mask
        counts = np.bincount(drawn, minlength=len(data))
        pairs = zip(schema.types, data.x.T, shown.T)
        types = tuple(with_shares_of(one, cells[seen], counts[seen]) for one, cells, seen in pairs)
        schema = msgspec.structs.replace(schema, types=types)
    split = np.where(np.arange(len(rows)) < len(drawn), TRAIN, VALIDATION).astype(np.uint8)
    return replace(rows_at(data, rows), schema=schema, row_id=row_keys(names), names=names, split=split)


def with_shares_of(one: ColumnType, stored: Shaped[np.ndarray, " n"], counts: np.ndarray | None = None) -> ColumnType:
    """The type of a column with the shares that some cells have, on the same grid."""
    # Source: Good (1953) for the share of what no cell has.
    # counts: how often each of them came, likewise; None: once.
    which = np.searchsorted(one.firsts, stored, side="right") - 1
    masses = np.bincount(which, counts, one.count).astype(np.float64)
    if one.values:
        masses += 0.5
    else:
        empty = np.bincount(which, minlength=one.count) == 0
        single = np.count_nonzero(np.unique(stored, return_counts=True)[1] == 1)
        left_out = ~empty & (masses == 0)
        masses[empty] = (single + 0.5) / max(empty.sum(), 1)
        masses[left_out] = 0.5 / max(left_out.sum(), 1)
    return msgspec.structs.replace(one, shares=tuple((masses / masses.sum()).tolist()))
