"""How far the columns of new rows have moved from those of usual ones, and how rarely rows like these move so far."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from latens.errors import DataError

SHUFFLES = 999
"""Orders of all rows from which chance is known: a p-value is one in a thousand at the least."""
LEAST = 20
"""Rows of either side below which nothing is compared."""


class Cells(NamedTuple):
    """One column of usual and of new rows."""

    name: str
    usual: Float[np.ndarray, " n"]  # numbers that can be put in order, or codes of names; NaN where empty
    new: Float[np.ndarray, " m"]
    names: bool = False  # whether values are names, which have no order


class Move(NamedTuple):
    """How far one column has moved."""

    name: str
    # the largest difference of shares over "at most v" for all v, an empty cell below all; of names half the sum of the
    # differences of shares, an empty cell a name: 0 for equal columns, 1 for columns without a common value
    distance: float
    by_chance: float  # its mean over random orders of all rows
    p_value: float  # how often any column of such an order moves as far, in units of its own spread
    value: float  # where it shows most: above this value, or of this name; NaN for empty cells
    usual: float  # the share of usual rows there
    new: float  # the share of new rows there


def moved(columns: list[Cells], *, shuffles: int = SHUFFLES, seed: int = 0) -> list[Move]:
    r"""How far each column has moved, those that moved most first; one false alarm of any column has the level p."""
    # Of a column and an order b of all rows two things are known: the distance, and $(\chi^2)^{1/3}$ of how often each
    # name comes, or of how often cells are empty, which sees what is rare. Each is standardised by its mean and spread
    # over orders, the larger one is the column's score z, and p is the share of orders whose largest score is as high.
    # Where usual and new rows can be exchanged, some p is at most a with a probability of at most a, however columns
    # depend on each other. The order of the data is one of the orders, also in mean and spread, so that this is exact.
    # The root makes chi-squared near Normal (Wilson & Hilferty 1931), so that columns have scores of the same kind.
    # Source: Westfall & Young (1993), Resampling-Based Multiple Testing, for the largest score of all columns; Phipson
    # & Smyth (2010), arXiv 1603.05766, for counting the order of the data.
    n, m = (len(side) for side in (columns[0].usual, columns[0].new))
    if min(n, m) < LEAST:
        what = f"{n} usual and {m} new rows are too few to compare."
        raise DataError(what, where="DATA", fix=f"Give at least {LEAST} rows of each.")
    rng = np.random.default_rng(seed)
    drawn = [np.arange(n, n + m), *(rng.permutation(n + m)[:m] for _ in range(shuffles))]
    found = [_distances(one, drawn) for one in columns]
    both = np.array([each for each, _ in found])  # (columns, 2, orders)
    spread = both.std(axis=2, keepdims=True)
    # A column of one value has moved nowhere: it would be 0 / 0.
    score = ((both - both.mean(axis=2, keepdims=True)) / np.where(spread > 1e-12, spread, np.inf)).max(axis=1)
    p_value = (score.max(axis=0) >= score[:, :1] - 1e-9).mean(axis=1)
    chance = both[:, 0, 1:].mean(axis=1)
    moves = [
        Move(one.name, float(d[0, 0]), float(by), float(p), *where)
        for one, (d, where), by, p in zip(columns, found, chance, p_value, strict=True)
    ]
    return sorted(moves, key=lambda one: (one.p_value, one.by_chance - one.distance))


def _distances(one: Cells, drawn: list[np.ndarray]) -> tuple[Float[np.ndarray, "2 orders"], tuple[float, float, float]]:
    """Distance and root of chi-squared in each order; of the first where it shows most: value, usual, new."""
    both = np.concatenate([one.usual, one.new])
    empty = np.isnan(both)
    values, codes = np.unique(both[~empty], return_inverse=True)
    place = np.zeros(len(both), np.int64)
    place[~empty] = codes + 1  # an empty cell stands before all values
    total, m = np.bincount(place, minlength=len(values) + 1), len(one.new)
    found = np.zeros((2, len(drawn)))
    first: Any = None
    pooled = total / len(both) if one.names else np.array([total[0], total[1:].sum()]) / len(both)
    for b, rows in enumerate(drawn):
        count = np.bincount(place[rows], minlength=len(total))
        new, usual = count / m, (total - count) / len(one.usual)
        apart = new - usual if one.names else np.array([1.0, -1.0]) * (new[0] - usual[0])
        each = apart**2 / np.maximum(pooled, 1e-300)
        if not one.names:
            new, usual = np.cumsum(new), np.cumsum(usual)
        far = np.abs(new - usual)
        found[0, b] = 0.5 * far.sum() if one.names else far.max()
        found[1, b] = np.cbrt(each.sum() * len(one.usual) * m / len(both))
        if b == 0:  # the name with the most of chi-squared, so that a rare new one is seen
            first = int((each if one.names else far).argmax()), new, usual
    at, new, usual = first
    shares: Shaped[np.ndarray, " 2"] = np.array([usual[at], new[at]])
    if at == 0:
        return found, (float("nan"), float(shares[0]), float(shares[1]))
    shares = shares if one.names else 1.0 - shares
    return found, (float(values[at - 1]), float(shares[0]), float(shares[1]))
