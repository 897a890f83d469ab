r"""Factors of the columns of a table in closed form: each column depends on a few standard Normals by its scores."""

# The scores of a column have mean 0, variance 1 and no correlations over the training rows: of names those of a
# correspondence analysis, of numbers and of ordered names the normal score of their rank.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from latens.evidence.factors import ALONE, principal
from latens.kinds.tables.columns import ColumnType
from latens.models.heads.table import middles_of

MOST_ROWS = 2**15
"""Rows that factors of columns are found in."""
FEWEST = 10.0
"""Training rows of a name at the least that has scores of its own; those of fewer share theirs."""
MOST_EXPLAINED = 0.8
"""The most that factors explain of the variance of a score: a column is never said for sure."""


def scores_of(one: ColumnType, rows: float) -> Float[np.ndarray, "S d"]:
    """The scores of each segment of a column."""
    # rows: how many training rows there are.
    shares = np.asarray(one.shares, np.float64)
    if one.kind != "category":
        middle = middles_of(one)
        away = middle - shares @ middle
        spread = np.sqrt(shares @ away**2)
        return (away / spread)[:, None] if spread > 1e-6 else np.zeros((one.count, 0))
    seldom = shares * rows < FEWEST
    group = np.cumsum(~seldom) - 1
    alike = len(shares) if shares[seldom].sum() * rows >= FEWEST else group[shares.argmax()]
    group = np.unique(np.where(seldom, alike, group), return_inverse=True)[1]
    root = np.sqrt(np.bincount(group, shares))
    # Orthonormal directions beside that of the roots of the shares, in which names differ.
    turn = np.linalg.svd(root[:, None])[0][:, 1:]
    return (turn / root[:, None])[group]


@dataclass(frozen=True)
class ColumnFactors:
    """A joint Normal of the scores of columns and of k factors z ~ N(0, I), whose posterior has no correlations."""

    scores: tuple[Float[np.ndarray, "_ _"], ...]  # of each segment of each column
    weights: tuple[Float[np.ndarray, "_ k"], ...]  # the expected scores of each column are these times z

    @property
    def latents(self) -> int:
        """How many factors there are."""
        return self.weights[0].shape[1]

    def slopes(self) -> tuple[Float[np.ndarray, "_ k"], ...]:
        r"""What a score of each column adds to the natural location of z: $W (I - W^\top W)^{-1}$."""
        eye = np.eye(self.latents)
        return tuple(np.linalg.solve(eye - one.T @ one, one.T).T for one in self.weights)

    def precision(self) -> Float[np.ndarray, "k k"]:
        """The precision of z given all columns."""
        return np.eye(self.latents) + sum(one.T @ own for one, own in zip(self.weights, self.slopes()))

    def ratios(self) -> list[tuple[Float[np.ndarray, "_ k"], Float[np.ndarray, " _"]]]:
        r"""Of each column $\log p(s \mid z) - \log p(s)$ of its segments s: what is multiplied with z, and the rest."""
        # Bayes: z given s is Normal around W^T s with the covariance I - W^T W.
        found = []
        for scores, weight, slopes in zip(self.scores, self.weights, self.slopes()):
            along = scores @ slopes
            found.append((along, -0.5 * np.sum(along * (scores @ weight), axis=1)))
        return found

    def turned(self) -> "ColumnFactors":
        """The same Normal with factors that are independent given a row, the most precise first."""
        vectors = np.linalg.eigh(self.precision())[1][:, ::-1]
        weights = np.concatenate(self.weights) @ vectors
        # A sign that does not depend on the solver: the largest weight of each factor is positive.
        signs = np.sign(weights[np.abs(weights).argmax(axis=0), np.arange(self.latents)] + 1e-30)
        return ColumnFactors(self.scores, tuple(one @ vectors * signs for one in self.weights))


@ALONE
def fit_column_factors(
    x: Shaped[np.ndarray, "n c"],
    mask: Bool[np.ndarray, "n c"] | None,
    types: Sequence[ColumnType],
    *,
    count: int,
    weight: Float[np.ndarray, " n"] | None = None,
) -> ColumnFactors:
    """Probabilistic principal components of the scores of rows, so many; missing cells are at the mean."""
    # Source: Tipping & Bishop (1999), W = U (L - s^2)^(1/2).
    scores = tuple(scores_of(one, len(x)) for one in types)
    rows = scored(x, mask, types, scores, weight)
    ends = np.cumsum([own.shape[1] for own in scores])[:-1]
    weights, made = np.zeros((rows.shape[1], count)), principal(rows, min(count, max(rows.shape[1] - 1, 0)))
    weights[:, : len(made.variances)] = made.directions * np.sqrt(np.maximum(made.variances - made.left[-1], 0.0))
    return ColumnFactors(scores, tuple(_possible(one) for one in np.split(weights, ends))).turned()


def scored(
    x: Shaped[np.ndarray, "n c"],
    mask: Bool[np.ndarray, "n c"] | None,
    types: Sequence[ColumnType],
    scores: Sequence[Float[np.ndarray, "_ _"]],
    weight: Float[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, "n d"]:
    """The scores of rows, one column after another; a row of weight w counts as its square does."""
    columns = []
    for j, (one, own) in enumerate(zip(types, scores)):
        place = np.clip(np.searchsorted(one.firsts, np.nan_to_num(x[:, j]), side="right") - 1, 0, one.count - 1)
        columns.append(own[place] if mask is None else own[place] * mask[:, j, None])
    rows = np.concatenate(columns, axis=1)
    return rows if weight is None else rows * np.sqrt(weight / weight.mean())[:, None]


def _possible(weight: Float[np.ndarray, "d k"]) -> Float[np.ndarray, "d k"]:
    """The weights with none that explain more of a score than `MOST_EXPLAINED`."""
    if not weight.size:
        return weight
    left, sizes, right = np.linalg.svd(weight, full_matrices=False)
    return left * np.minimum(sizes, np.sqrt(MOST_EXPLAINED)) @ right
