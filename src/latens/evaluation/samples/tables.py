"""What pairs of columns of two tables have to do with each other, and the area under a ROC curve."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

PARTS = 10
"""Parts into which numbers are cut beside names."""


class Table(NamedTuple):
    """A table with columns of names and of numbers."""

    name: str  # what errors call it
    names: tuple[str, ...]  # names of the columns
    x: np.ndarray  # codes of names and numbers, of shape (n, columns), float64; NaN where a cell is missing
    category: np.ndarray  # true for columns of names, of shape (columns,)
    weight: np.ndarray | None = None  # how often each row counts in pairs of columns, of shape (n,); None for once

    def rows(self, chosen: np.ndarray) -> "Table":
        """Some of the rows."""
        return self._replace(x=self.x[chosen], weight=None if self.weight is None else self.weight[chosen])


class Pair(NamedTuple):
    """What two columns have to do with each other in two tables."""

    places: tuple[int, int]  # the places of the columns
    numbers: bool  # whether both hold numbers
    # for either table the correlation of two columns of numbers; else how often cells come together, of shape (cells of
    # the first, cells of the second) with sum 1, or 0 where no row has both. Numbers lie in ten parts
    found: tuple[Any, Any]

    @property
    def similarity(self) -> float:
        """1 - half the difference of correlations, or 1 - total variation of joint frequencies."""
        one, other = self.found
        if self.numbers:
            return 1.0 - 0.5 * abs(one - other)
        empty = one.sum() == 0, other.sum() == 0
        return float(all(empty)) if any(empty) else 1.0 - 0.5 * float(np.abs(one - other).sum())

    @property
    def strengths(self) -> tuple[float, float]:
        r"""How strong the association is in either table: the correlation of numbers, else Cramer's V, from 0 to 1."""
        # $V = \sqrt{\chi^2 / \min(r - 1, c - 1)}$ with $\chi^2 = \sum_{ij} (p_{ij} - p_{i.} p_{.j})^2 / (p_{i.}
        # p_{.j})$.
        # Source: Cramer (1946), Mathematical Methods of Statistics, section 21.9.
        # returns: a number for each table; NaN where no row has both cells, 0 where a column does not vary.
        one, other = (each if self.numbers else _cramer(each) for each in self.found)
        return one, other


def pairs(real: Table, fake: Table) -> Iterator[Pair]:
    """Go through the pairs of columns of two tables."""
    # A row that counts for nothing must not say where the parts of numbers end.
    real, fake = (t if t.weight is None else t.rows(t.weight > 0) for t in (real, fake))
    coded: list[tuple[list[np.ndarray], int]] = []
    for i in range(len(real.names)):
        cut = _parts(real, fake, i)
        values = np.unique(np.concatenate(cut))
        values = values[~np.isnan(values)]
        coded.append(([np.where(np.isnan(c), -1, np.searchsorted(values, c)) for c in cut], len(values)))
    for i, j in itertools.combinations(range(len(real.names)), 2):
        if not real.category[i] and not real.category[j]:
            one, other = (_correlation(table.x[:, [i, j]], table.weight) for table in (real, fake))
            yield Pair((i, j), True, (one, other))
            continue
        (rows, down), (columns, across) = coded[i], coded[j]
        found = []
        for table, a, b in zip((real, fake), rows, columns):
            seen = (a >= 0) & (b >= 0)
            weight = None if table.weight is None else table.weight[seen]
            counts = np.bincount(a[seen] * across + b[seen], weight, minlength=down * across)
            found.append((counts / (counts.sum() or 1.0)).reshape(down, across))
        yield Pair((i, j), False, (found[0], found[1]))


def _parts(real: Table, fake: Table, i: int) -> tuple[np.ndarray, np.ndarray]:
    """One column of both tables, numbers by the part that they lie in."""
    if real.category[i]:
        return real.x[:, i], fake.x[:, i]
    seen = real.x[~np.isnan(real.x[:, i]), i]
    if not len(seen):
        return real.x[:, i], fake.x[:, i]
    edges = np.linspace(seen.min(), seen.max(), PARTS + 1)[1:-1]
    place = lambda v: np.where(np.isnan(v), np.nan, np.searchsorted(edges, v, side="right"))  # noqa: E731
    return place(real.x[:, i]), place(fake.x[:, i])


def _correlation(x: np.ndarray, weight: np.ndarray | None) -> float:
    kept = ~np.isnan(x).any(axis=1)
    x, weight = x[kept], None if weight is None else weight[kept]
    if not len(x) or not np.all(x.std(axis=0) > 0):
        return 0.0
    if weight is None:
        return float(np.corrcoef(x.T)[0, 1])
    covariance = np.cov(x.T, aweights=weight, ddof=0)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _cramer(joint: np.ndarray) -> float:
    joint = joint[joint.sum(axis=1) > 0][:, joint.sum(axis=0) > 0]
    if not joint.size:
        return float("nan")
    expected = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    freedom = min(joint.shape) - 1
    return float(np.sqrt(((joint - expected) ** 2 / expected).sum() / freedom)) if freedom else 0.0


def area(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """The area under the ROC curve with its standard error."""
    # Source: Hanley & McNeil (1982).
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    a = (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    one, two = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (m - 1) * (one - a * a) + (n - 1) * (two - a * a)) / (m * n)
    return float(a), float(np.sqrt(max(variance, 0.0)))
