"""Cells by genes as they are stored: whether they are counts, and the genes of a model by name."""

from typing import TYPE_CHECKING

import numpy as np

from latens.kinds.counts.anndata import with_genes
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.numbers.store import store_numbers

if TYPE_CHECKING:
    from latens.data.door import Coming, Stored


def store_cells(rows: "Coming") -> "Stored":
    """Store cells, whose matrix is of counts where it can be."""
    raw, schema, seen = rows.raw, rows.schema, None
    if schema is None and rows.counts is None:
        rows.counts = _are_counts(raw.x) or None
    if schema is not None and schema.kind == "counts" and schema.columns is not None:
        seen = with_genes(raw, schema, rows.unknown, rows.where, rows.asked.layer)
    return store_numbers(rows, seen)


def _are_counts(x: "np.ndarray | SparseRows") -> bool:
    """Whether cells hold whole numbers of 0 or more, with some above 1."""
    values = x.matrix.data if isinstance(x, SparseRows) else x
    if not values.size or values.dtype.kind not in "iuf" or values.min() < 0 or values.max() < 2:
        return False
    return values.dtype.kind in "iu" or bool(np.all(values == np.floor(values)))
