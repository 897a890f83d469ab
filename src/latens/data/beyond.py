"""Numbers of a few rows far beyond where all others of their name end: floor 14 of a house whose others have three."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens.data.dataset import Dataset
from latens.data.equations import numbers

LEAST_ROWS, MOST_NAMES, MOST_COLUMNS = 50, 50, 40
"""Rows of a name, names of a column, and columns of either kind that are looked at."""
FEW, SHARE, FAR = 2, 0.015, 2.0
"""Rows of a name, or share of them, that may lie beyond the others, and how many times as far as these lie apart."""
OF_NAME = 5
"""Rows of another name from which on it says what is usual."""
END, AT_END = 0.1, 0.05
"""The part of the others' range at its end that must hold a share of them: these end there, and have no tail."""


class Beyond(NamedTuple):
    """Rows of a name whose number lies beyond all others of it."""

    by: str
    name: str
    column: str
    last: float  # where the others end
    rows: Int[np.ndarray, " n"]


def found_in(data: Dataset) -> Iterator[Beyond]:
    """Find the numbers of a mixed table that lie far beyond the others of a name, by each column of names."""
    x, types, names = data.x, data.schema.types or (), data.schema.names
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        return
    cells = numbers(x, data.schema, data.mask, data.outside)
    shown = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask)
    at = [k for k, one in enumerate(types) if one.kind == "number"][:MOST_COLUMNS]
    by = [i for i, one in enumerate(types) if one.named and len(one.values) <= MOST_NAMES][:MOST_COLUMNS]

    def usual(row: int, values: np.ndarray, last: float, but: int) -> bool:
        """Whether most rows of another name of a row lie as far out: what goes by truck costs more."""
        groups = (values[shown[:, j] & (x[:, j] == x[row, j])] for j in by if j != but and shown[row, j])
        return any(np.nanmedian(own) > last for own in groups if np.isfinite(own).sum() >= OF_NAME)

    for i in by:
        codes = np.where(shown[:, i], x[:, i], -1)
        for code, name in enumerate(types[i].values):
            rows = np.flatnonzero(codes == code)
            for k in at if len(rows) >= LEAST_ROWS else ():
                for sign in (1.0, -1.0):
                    far, last = beyond(sign * cells[rows, k])
                    odd = [row for row in rows[far].tolist() if not usual(row, sign * cells[:, k], last, but=i)]
                    if odd:
                        yield Beyond(names[i], name, names[k], sign * last, np.array(odd))


def beyond(values: Float[np.ndarray, " n"]) -> tuple[Bool[np.ndarray, " n"], float]:
    """Which numbers lie above an empty stretch, below which all others end abruptly; and where these end."""
    seen = values[np.isfinite(values)]
    none = np.zeros(len(values), bool), 0.0
    distinct, counts = np.unique(seen, return_counts=True)
    if len(seen) < LEAST_ROWS or len(distinct) < 3:
        return none
    above = np.cumsum(counts[::-1])[::-1]  # rows at this number or above
    for k in range(len(distinct) - 1, 1, -1):
        if above[k] > max(FEW, SHARE * len(seen)):
            return none
        last, apart = distinct[k - 1], distinct[k - 1] - distinct[0]
        at_end = counts[(distinct >= last - END * apart) & (distinct <= last)].sum()
        if distinct[k] - last > FAR * apart > 0 and at_end >= AT_END * len(seen):
            return values >= distinct[k], float(last)
    return none
