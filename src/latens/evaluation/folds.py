"""Fold changes of counts between two groups of cells: what a model says of both, and what their counts add to it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, polygamma

LOG2 = float(np.log(2.0))
FEWEST = 10
"""Cells of each group in batches that hold both, below which all cells are compared and not these alone."""


class CellSums:
    """Sums over cells of one group and one batch, gene by gene: of shares, weighted counts and expected ones."""

    def __init__(self, draws: int, genes: int) -> None:
        self.rows = 0
        self.draws = np.zeros((draws, genes))  # of shares
        self.share, self.counted, self.expected = np.zeros((3, genes))
        self.products = np.zeros((3, 3, genes))  # of these three, cell by cell
        self.count, self.shown, self.seen = np.zeros((3, genes))  # counts, cells with any, and cells that tell

    def add(
        self,
        share: Float[np.ndarray, "n draws genes"],
        counted: Float[np.ndarray, "n genes"],
        expected: Float[np.ndarray, "n genes"],
        count: Float[np.ndarray, "n genes"],
        seen: Float[np.ndarray, "n genes"],
    ) -> None:
        """Add cells: shares in draws of latents, weighted counts, those expected, plain counts, and which tell."""
        share = share.astype(np.float64)
        three = share.mean(axis=1), counted.astype(np.float64), expected.astype(np.float64)
        self.rows += len(share)
        self.draws += share.sum(axis=0)
        for total, one in zip((self.share, self.counted, self.expected), three):
            total += one.sum(axis=0)
        for i, one in enumerate(three):
            for j, two in enumerate(three):
                self.products[i, j] += (one * two).sum(axis=0)
        self.count += count.sum(axis=0, dtype=np.float64)
        self.shown += (count > 0).sum(axis=0)
        self.seen += seen.sum(axis=0, dtype=np.float64)

    def __add__(self, other: "CellSums") -> "CellSums":
        made = CellSums(*self.draws.shape)
        for name, own in vars(self).items():
            setattr(made, name, own + getattr(other, name))
        return made

    def spread(self, of_share: np.ndarray, of_counts: np.ndarray) -> Float[np.ndarray, " genes"]:
        r"""The variance over cells of $a (s - \bar s) + b (o - r e)$, summed, where $r = \sum o / \sum e$."""
        ratio = self.counted / np.maximum(self.expected, 1e-12)
        mean, p = self.share / self.rows, self.products
        shares = p[0, 0] - self.rows * mean**2
        counts = p[1, 1] - 2.0 * ratio * p[1, 2] + ratio**2 * p[2, 2]
        both = p[0, 1] - ratio * p[0, 2]
        total = of_share**2 * shares + of_counts**2 * counts + 2.0 * of_share * of_counts * both
        return np.maximum(total, 0.0) * self.rows / max(self.rows - 1, 1)


class Folds(NamedTuple):
    """Logarithms to the base 2 of the mean shares of two groups, and the error of their difference."""

    first: Float[np.ndarray, " genes"]
    second: Float[np.ndarray, " genes"]
    error: Float[np.ndarray, " genes"]
    cells: tuple[int, int]  # how many of each group are compared
    shared: bool  # whether all of them are of batches that hold both groups


def merged(group: Mapping[int, CellSums]) -> CellSums:
    """All cells of a group as those of one batch."""
    first, *rest = group.values()
    for one in rest:
        first = first + one
    return first


def folds(first: Mapping[int, CellSums], second: Mapping[int, CellSums]) -> Folds:
    r"""Compare two groups within the batches that hold both, by the sums of each batch."""
    # Of group A in batch b the model says shares with the mean $m_{Ab}$; $O_{Ab}$ weighted counts were counted where
    # $E_{Ab}$ were expected. Both groups weigh batches alike, by $c_b = E_{Ab} E_{Bb} / (E_{Ab} + E_{Bb})$, as Mantel
    # and Haenszel do: what the model gets wrong of a batch is in both, and leaves the difference.
    # $\log\rho_A = \log\sum_b c_b m_{Ab} - \log\sum_b c_b + \log r_A$ with $r_A = \sum_b c_b \frac{O_{Ab}}{E_{Ab}} /
    # \sum_b c_b$, which has the prior Exp(1) and the information of $n$ counts, $n = (\sum c_b)^2 / \sum c_b^2/E_{Ab}$.
    both = [b for b in first if b in second and min(first[b].rows, second[b].rows) > 1]
    cells = sum(first[b].rows for b in both), sum(second[b].rows for b in both)
    shared = min(cells) >= FEWEST or (len(both) == len(first) == len(second))
    pairs = [(first[b], second[b]) for b in both] if shared else [(merged(first), merged(second))]
    expected = np.maximum([[a.expected, b.expected] for a, b in pairs], 1e-9)  # (batches, 2, genes)
    weight = expected[:, 0] * expected[:, 1] / expected.sum(axis=1)
    weight = weight / weight.sum(axis=0)
    logs, variance = [], 0.0
    for side in (0, 1):
        sums = [pair[side] for pair in pairs]
        draws = sum(w * one.draws / one.rows for w, one in zip(weight, sums))
        mean = np.asarray(draws).mean(axis=0)
        ratio = sum(w * one.counted / e for w, one, e in zip(weight, sums, expected[:, side]))
        worth = 1.0 / np.sum(weight**2 / expected[:, side], axis=0)
        counts = np.asarray(ratio) * worth
        log_draws = np.log(np.maximum(draws, 1e-30))
        left = digamma(counts + 1.0) - np.log(worth + 1.0)
        # Cells differ by more than counts do: their own spread counts where it is larger than what few counts leave.
        shrink = worth / (counts + 1.0)
        own = sum(one.spread(w / one.rows / mean, w / e * shrink) for w, one, e in zip(weight, sums, expected[:, side]))
        within = sum(one.spread(w / one.rows / mean, np.zeros(1)) for w, one in zip(weight, sums))
        variance = variance + log_draws.var(axis=0) + np.maximum(own, within + polygamma(1, counts + 1.0))
        logs.append((log_draws.mean(axis=0) + left) / LOG2)
    compared = sum(a.rows for a, _ in pairs), sum(b.rows for _, b in pairs)
    return Folds(logs[0], logs[1], np.sqrt(variance) / LOG2, compared, shared)
