"""How probable rows of a mixed table are under a mixture of independent columns: what a VAE of them must beat."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from scipy import sparse
from scipy.special import logsumexp

from latens.kinds.tables.columns import ColumnType

CLASSES = (4, 16, 64)
"""How many classes are tried; rows that the fit does not see choose."""
PSEUDO_ROWS = 5.0
"""Rows with the shares of all training rows that every class has beside its own."""
MOST_ROWS, STEPS, ENOUGH = 2**15, 100, 1e-4
"""Rows that a baseline is fitted to (and that are held at once), steps of the fit at the most, and the rise of log p(x)
a row below which it ends."""
FIRST_STEPS = 20
"""Steps after which the number of classes is chosen."""


class Mixture(NamedTuple):
    r"""A mixture of classes in which columns are independent: $\sum_c \pi_c \prod_j P_{cj}(s(x_j)) / w_{s(x_j)}$."""

    log_weights: np.ndarray  # $\log\pi$, of shape (C,)
    # the log probability of each segment of each column, one column after the other, of shape (C, S)
    log_shares: np.ndarray
    log_widths: np.ndarray  # the log number of cells of each segment, of shape (S,)
    types: tuple[ColumnType, ...]  # the types of the columns

    def log_prob(self, x: Shaped[np.ndarray, "n c"], mask: np.ndarray | None = None) -> Shaped[np.ndarray, " n"]:
        """The log probability of rows, summed over the classes."""
        # mask: true where a cell is observed, likewise; None: everywhere.
        rows = _segments(x, mask, self.types)
        return logsumexp(rows @ self.log_shares.T + self.log_weights, axis=1) - rows @ self.log_widths


def _segments(x: np.ndarray, mask: np.ndarray | None, types: Sequence[ColumnType]) -> sparse.csr_matrix:
    """A one for the segment of every observed cell, of shape (n, S)."""
    shown = np.ones(x.shape, bool) if mask is None else np.asarray(mask)
    begins = np.concatenate([[0], np.cumsum([one.count for one in types])])
    places = [np.searchsorted(one.firsts, x[:, j], side="right") - 1 + begins[j] for j, one in enumerate(types)]
    rows, columns = np.nonzero(shown)
    where = np.stack(places, axis=1)[rows, columns]
    return sparse.csr_matrix((np.ones(len(rows)), (rows, where)), shape=(len(x), int(begins[-1])))


def fit_mixture(
    x: Shaped[np.ndarray, "n c"],
    mask: np.ndarray | None,
    types: Sequence[ColumnType],
    classes: int,
    *,
    weight: Shaped[np.ndarray, " n"] | None = None,
    steps: int = STEPS,
    history: list[float] | None = None,
) -> Mixture:
    r"""Fit a mixture to rows by the EM algorithm."""
    # Every class has `PSEUDO_ROWS` rows with the shares of all rows: the maximum of the posterior under a Dirichlet
    # prior. The first classes are around rows at equal distances in the order in which these come, by weight, so that a
    # row of weight 2 is the row twice.
    # Source: Dempster, Laird & Rubin (1977).
    # mask: true where a cell is observed, likewise; None: everywhere.
    # history: a list to which the log posterior of each step is added; None keeps none.
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    every = [slice(start, start + MOST_ROWS) for start in range(0, len(x), MOST_ROWS)]
    blocks = [(_segments(x[part], None if mask is None else mask[part], types), weight[part]) for part in every]
    ends = np.cumsum([one.count for one in types])[:-1]
    shares = np.concatenate([np.asarray(one.shares, np.float64) for one in types])
    shares = np.concatenate([part / part.sum() for part in np.split(shares, ends)])
    prior = PSEUDO_ROWS * shares

    def normalised(counts: np.ndarray) -> np.ndarray:
        parts = np.split(counts, ends, axis=1)
        return np.log(np.concatenate([part / part.sum(axis=1, keepdims=True) for part in parts], axis=1))

    edges = np.cumsum(weight)
    begin = np.searchsorted(edges, np.linspace(0, max(edges[-1] - 1, 0.5 * edges[-1]), classes), side="right")
    begun = _segments(x[begin], None if mask is None else mask[begin], types).toarray()
    log_shares = normalised(PSEUDO_ROWS * begun + prior)
    log_weights, former = np.full(classes, -np.log(classes)), -np.inf
    for _ in range(steps):
        evidence, counts, members = 0.0, 0.0, 0.0
        for rows, each in blocks:
            joint = rows @ log_shares.T + log_weights
            total = np.asarray(logsumexp(joint, axis=1))
            held = np.exp(joint - np.expand_dims(total, 1)) * each[:, None]
            evidence += each @ total
            counts, members = counts + (rows.T @ held).T, members + held.sum(axis=0)
        value = float(evidence + (prior * log_shares).sum() + log_weights.sum())
        if history is not None:
            history.append(value)
        if value - former < ENOUGH * weight.sum():
            break
        former = value
        log_shares = normalised(counts + prior)
        log_weights = np.log((members + 1.0) / (weight.sum() + classes))
    log_widths = np.log(np.concatenate([np.asarray(one.widths, np.float64) for one in types]))
    return Mixture(log_weights, log_shares, log_widths, tuple(types))


def best_classes(
    x: Shaped[np.ndarray, "n c"], mask: np.ndarray | None, types: Sequence[ColumnType], weight: Shaped[np.ndarray, " n"]
) -> int:
    """The number of classes of a mixture that makes a tenth of the rows, which its fit does not see, most probable."""
    # mask: true where a cell is observed, likewise; None: everywhere.
    # returns: one of `CLASSES` of which each has five rows or more; 1 where there are too few.
    part = lambda which: (x[which], None if mask is None else mask[which])  # noqa: E731
    choose = np.arange(len(x)) % 10 == 9
    found: dict[int, float] = {}
    for classes in CLASSES:
        if classes * 5 > len(x):
            continue
        made = fit_mixture(*part(~choose), types, classes, weight=weight[~choose], steps=FIRST_STEPS)
        found[classes] = float(weight[choose] @ made.log_prob(*part(choose)))
    return max(found, key=lambda classes: found[classes], default=1)
