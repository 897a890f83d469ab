"""Where a column is cut into bins: where its neighbours in a tree change, and not where its rows are of like mass."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

SHRINK = 5.0
"""Rows with the shares of all rows that every bin has beside its own."""


def cut_by(counts: Sequence[Float[np.ndarray, "S _"]], most: int) -> Int[np.ndarray, " S"]:
    r"""The bins of neighbouring segments, at most so many, that say most about other columns."""
    # They maximise $\sum_k \sum_g \sum_b n_{kgb} \log (q_{kgb} / p_{kb})$ over all ways to cut the S segments, with
    # $q_{kgb} = (n_{kgb} + s\,p_{kb}) / (n_{kg} + s)$ of the bins g, by dynamic programming.
    # counts: of each other column k how many rows have a segment and a bin b of it.
    # Source: Fisher (1958), "On grouping for maximum homogeneity", for the dynamic program.
    segments = len(counts[0])
    value = np.zeros((segments + 1, segments + 1))  # what the segments from a up to b say as one bin
    for one in counts:
        share = one.sum(axis=0) / max(one.sum(), 1.0)
        upto = np.concatenate([np.zeros((1, one.shape[1])), np.cumsum(one, axis=0)])
        inside = upto[None] - upto[:, None]
        there = (share > 0) & (inside > 0)
        given = (inside + SHRINK * share) / (np.maximum(inside.sum(axis=-1, keepdims=True), 0.0) + SHRINK)
        ratio = np.log(np.where(there, given, 1.0) / np.where(there, share, 1.0))
        value += np.where(there, inside * ratio, 0.0).sum(axis=-1)
    best = np.full((most + 1, segments + 1), -np.inf)  # of the first b segments in so many bins
    begins = np.zeros((most + 1, segments + 1), int)
    best[0, 0] = 0.0
    below = np.tril(np.ones((segments + 1, segments + 1), bool))  # a bin has a segment at least
    for count in range(1, most + 1):
        worth = np.where(below, -np.inf, best[count - 1][:, None] + value)
        begins[count], best[count] = worth.argmax(axis=0), worth.max(axis=0)
    count, end, own = 1 + int(best[1:, -1].argmax()), segments, np.zeros(segments, int)
    for left in range(count, 1, -1):
        end = int(begins[left, end])
        own[end] = 1
    return np.cumsum(own)
