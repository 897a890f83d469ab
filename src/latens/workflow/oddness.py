"""How odd rows are by three measures at once: log p(x), the distance to training rows, and each column alone."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from scipy.spatial import KDTree

from latens.data import Dataset
from latens.kinds.tables.columns import ColumnType

NEIGHBOURS = 5
"""The neighbour among the training rows to which the distance counts."""
CROWD = 0.05
"""Share of the training rows that may be alike and still be outliers: the neighbour beyond them counts as well."""
LESS = 0.5
"""Weight of what tells less: the columns alone; distances, where outliers among the training rows have each other."""
MOST_NEIGHBOURS = 5000
"""Training rows among which neighbours are looked for; of more rows as many are drawn."""


class _Column(NamedTuple):
    """What the training rows of one column say."""

    mean: np.ndarray  # of a number one value, of a category the share of each name
    scale: float  # two rows that are drawn at random have a squared distance of 2, on average
    values: np.ndarray  # those of the training rows, rising


class Neighbourhood:
    """The training rows of a model, and how far other rows lie from them."""

    def __init__(self, data: Dataset, *, crowded: bool) -> None:
        # crowded: whether outliers may be among the training rows, many of them alike: only the far neighbour counts
        self.types = data.schema.types
        x, shown, _ = _cells(data)
        self.columns = [_column(x[shown[:, j], j], one) for j, one in enumerate(self._kinds(x.shape[1]))]
        places = np.random.default_rng(0).permutation(self._places(data))[:MOST_NEIGHBOURS]
        near, wide = min(NEIGHBOURS, len(places)), min(max(NEIGHBOURS, int(CROWD * len(places))), len(places))
        self.counts, self.index = [wide] if crowded else sorted({near, wide}), KDTree(places)

    def _kinds(self, columns: int) -> "list[ColumnType | None]":
        return [None] * columns if self.types is None else list(self.types)

    def distances(self, data: Dataset) -> Shaped[np.ndarray, "n counts"]:
        """The distances to some of the nearest training rows, in standardised units; a missing cell is the mean one."""
        k: Any = self.counts
        return np.asarray(self.index.query(self._places(data), k=k)[0], np.float64)

    def tails(self, data: Dataset) -> Shaped[np.ndarray, " n"]:
        r"""The sum over columns of $-\log p_j$: training rows hold a value no likelier, or so far out, with $p_j$."""
        # A missing cell counts as 1, the mean of -log of a uniform p.
        x, shown, outside = _cells(data)
        found = np.ones(x.shape)
        for j, (one, kind) in enumerate(zip(self.columns, self._kinds(x.shape[1]), strict=True)):
            n = len(one.values)
            if kind is not None and kind.kind == "category":
                share = one.mean
                less = np.where(share[None] <= share[:, None], share[None], 0.0).sum(axis=1)
                p = (1.0 + n * less[x[:, j].astype(int)]) / (n + 1.0)
            else:
                v = x[:, j] + outside[:, j]
                below, above = np.searchsorted(one.values, v, "right"), n - np.searchsorted(one.values, v, "left")
                p = np.minimum(2.0 * (1.0 + np.minimum(below, above)) / (n + 1.0), 1.0)
            found[:, j] = np.where(shown[:, j], -np.log(p), 1.0)
        return found.sum(axis=1)

    def _places(self, data: Dataset) -> np.ndarray:
        x, shown, outside = _cells(data)
        parts = []
        for j, (one, kind) in enumerate(zip(self.columns, self._kinds(x.shape[1]), strict=True)):
            if kind is not None and kind.kind == "category":
                own = np.eye(len(one.mean))[x[:, j].astype(int)]
            else:
                own = (x[:, j] + outside[:, j])[:, None]
            parts.append(np.where(shown[:, j, None], (own - one.mean) / one.scale, 0.0))
        return np.concatenate(parts, axis=1)


def _cells(data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.asarray(data.x, np.float64).reshape(len(data), -1)
    shown = np.ones(x.shape, bool) if data.mask is None else np.asarray(data.mask).reshape(x.shape)
    outside = np.zeros(x.shape) if data.outside is None else np.asarray(data.outside, np.float64).reshape(x.shape)
    return np.where(shown, x, 0.0), shown | (outside != 0), outside


def _column(values: np.ndarray, kind: ColumnType | None) -> _Column:
    if kind is not None and kind.kind == "category":
        share = np.bincount(values.astype(int), minlength=int(np.sum(kind.widths))) / max(len(values), 1)
        return _Column(share, float(np.sqrt(max(1.0 - np.sum(share**2), 1.0 / (len(values) + 1.0)))), values)
    if not len(values):
        return _Column(np.zeros(1), 1.0, values)
    return _Column(np.array([values.mean()]), float(values.std()) or 1.0, np.sort(values))


def weights(measures: int, *, crowded: bool) -> np.ndarray:
    """The weight of each measure: of log p(x), of each distance, and last of the columns alone."""
    return np.array([1.0, *[LESS if crowded else 1.0] * (measures - 2), 1.0 if crowded else LESS])


def oddness(
    found: Shaped[np.ndarray, "n measures"], others: Shaped[np.ndarray, "m measures"], weight: np.ndarray
) -> Shaped[np.ndarray, " n"]:
    r"""The weighted sum over measures of $-\log p$, the share of others that are as odd, a row counted among them."""
    # Beyond all others the sum grows with log(1 + d), the distance d in units of that from their median to the largest,
    # so that of two such rows the farther one is the odder.
    total = np.zeros(len(found))
    for own, other, w in zip(found.T, np.sort(others, axis=0).T, weight, strict=True):
        m = len(other)
        each = -np.log((1.0 + m - np.searchsorted(other, own, "left")) / (m + 1.0))
        finite = other[np.isfinite(other)]
        if len(finite):
            beyond = np.maximum(own - finite[-1], 0.0)
            each += np.log1p(beyond / max(finite[-1] - np.median(finite), 1e-12))
        total += w * each
    return total


def oddness_of_others(others: Shaped[np.ndarray, "m measures"], weight: np.ndarray) -> Shaped[np.ndarray, " m"]:
    """The same of each of the others, compared with the rest of them."""
    # 1 + those of the rest that are as odd are all that are, itself among them.
    total = np.zeros(len(others))
    for own, w in zip(others.T, weight, strict=True):
        total -= w * np.log((len(own) - np.searchsorted(np.sort(own), own, "left")) / float(len(own)))
    return total
