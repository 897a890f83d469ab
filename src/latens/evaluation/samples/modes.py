"""Are there kinds of rows that a model never makes? Shares of samples in clusters of the training rows."""

from typing import Any, NamedTuple

import numpy as np

from latens.evaluation.estimate import Estimate
from latens.evaluation.samples.quality import Features
from latens.evaluation.samples.resampling import as_rows, same_width
from latens.io.process import counted

NUM_CLUSTERS = (20, 10, 5, 3, 2)
"""A kind of rows far from all others is one cluster among few; kinds within a crowd are told apart among many."""

STARTS = 80
"""So many starts of k-means, divided by the number of clusters, of which the best is taken; four at least."""

ROWS_PER_CLUSTER = 20
LEAST = 0.025
"""Clusters of fewer rows than this share are no kind of rows."""

RARE = 0.2
"""A cluster counts as dropped where samples reach it less than a fifth as often as rows do."""

LEVEL = 1e-3
"""... and where that is no chance: of all clusters together, at this level."""

SPARSE = 1.4
"""A cluster whose rows lie so much farther apart (mean squares) than rows in clusters do is a tail, no kind of rows."""


class Modes(NamedTuple):
    """Clusters of rows, and how often samples reach them.

    Args:
        share: Share of the training rows in each cluster, shape (C,).
        sampled: Share of the samples in each, shape (C,).
        dropped: Whether samples hardly ever reach the cluster, shape (C,).
        estimate: Share of the training rows in dropped clusters, with its error.
    """

    share: np.ndarray
    sampled: np.ndarray
    dropped: np.ndarray
    estimate: Estimate


@counted(num_clusters=1)
def dropped_modes(
    train: np.ndarray,
    samples: np.ndarray,
    *,
    num_clusters: int | None = None,
    features: Features | None = None,
    seed: int = 0,
) -> Modes:
    """The share of the training rows in clusters that samples hardly ever reach.

    Rows are put into C clusters (k-means); every sample belongs to the cluster of the nearest centre. A cluster is
    dropped where its share of the samples is below a fifth of its share p of the rows, and so few would come from p by
    chance with a probability below 0.001 over the number of all clusters looked at (binomial, lower tail). Left out are
    clusters with less than 2.5 % of the rows (half of the mean share for a given C), and those whose rows lie 1.4 times
    farther apart (mean square distance from the centre) than rows in clusters do: they are outliers and tails, which
    every smooth model reaches too rarely, not kinds of rows. Several C are tried, because a kind far from the others
    stays in one piece, and so looks like a tail, where these are cut into many small ones.

    Args:
        train: Training rows, shape (n, *x).
        samples: Samples of the model, shape (m, *x).
        num_clusters: C; None tries 20, 10, 5, 3 and 2, those that leave 20 rows a cluster.
        features: Function that both sets are compared by; None compares the rows themselves.
        seed: Seed of the k-means.

    Returns:
        `Modes` for the C whose dropped clusters have most rows; `estimate` is the share of the rows in them.

    Source: after Richardson & Weiss, On GANs and GMMs, NeurIPS 2018, arXiv 1805.12462, who count the bins whose share
    differs at all.
    """
    if features is not None:
        train, samples = features(np.asarray(train)), features(np.asarray(samples))
    train, samples = as_rows(train, "training rows"), as_rows(samples, "samples")
    same_width(train, samples)
    distinct = len(np.unique(train, axis=0))
    asked = NUM_CLUSTERS if num_clusters is None else (num_clusters,)
    sizes = sorted({min(count, distinct, max(2, len(train) // ROWS_PER_CLUSTER)) for count in asked}, reverse=True)
    sizes = [min(num_clusters, distinct)] if num_clusters is not None else sizes
    level = LEVEL / sum(sizes)
    found = [
        _dropped(train, samples, count, LEAST if num_clusters is None else 0.5 / count, level, seed) for count in sizes
    ]
    return max(found, key=lambda modes: modes.estimate.value)


def _dropped(train: np.ndarray, samples: np.ndarray, count: int, least: float, level: float, seed: int) -> Modes:
    """The clusters of one k-means with at least the share `least` of the rows that are dropped at this level."""
    from scipy.stats import binom
    from sklearn.cluster import KMeans

    # Few clusters cost less each time, and where one start is better than another all of the number hangs on it.
    options: dict[str, Any] = {"n_init": max(4, STARTS // count), "random_state": seed}
    means = KMeans(count, **options).fit(train)
    share = np.bincount(np.asarray(means.labels_), minlength=count) / len(train)
    found = np.bincount(means.predict(samples), minlength=count)
    chance = binom.cdf(found, len(samples), share)
    squares = np.sum((train - means.cluster_centers_[means.labels_]) ** 2, axis=1)
    spread = np.bincount(np.asarray(means.labels_), weights=squares, minlength=count) / (share * len(train))
    kind = (share >= least) & (spread <= SPARSE * squares.mean())
    dropped = kind & (found < RARE * share * len(samples)) & (chance < level)
    value = float(share[dropped].sum())
    protocol = (
        f"share of {len(train)} training rows in those of {count} clusters that fewer than a fifth as many of "
        f"{len(samples)} samples reach"
    )
    error = float(np.sqrt(value * (1.0 - value) / len(train)))
    estimate = Estimate(value, error, len(samples), len(train), "share", protocol, seed)
    return Modes(share, found / len(samples), dropped, estimate)
