"""Are there kinds of rows that a model never makes? Shares of samples in clusters of the training rows."""

from typing import Any, NamedTuple

import numpy as np

from latens.evaluation.estimate import Estimate
from latens.evaluation.resampling import as_rows, same_width
from latens.evaluation.samples import Features

NUM_CLUSTERS = 20
ROWS_PER_CLUSTER = 20
RARE = 0.2
"""A cluster counts as dropped where samples reach it less than a fifth as often as rows do."""

LEVEL = 1e-3
"""... and where that is no chance: of all clusters together, at this level."""

SPARSE = 1.4
"""A cluster whose rows lie so much farther apart (mean squares) than rows in clusters do is a tail, no kind of rows."""


class Modes(NamedTuple):
    """Clusters of rows: `share` of the training rows and `sampled` of the samples in each (C,); which are dropped."""

    share: np.ndarray
    sampled: np.ndarray
    dropped: np.ndarray
    estimate: Estimate


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
    chance with a probability below 0.001 / C (binomial, lower tail). Left out are clusters with less than half of the
    mean share, and those whose rows lie 1.4 times farther apart (mean square distance from the centre) than rows in
    clusters do: they are outliers and tails, which every smooth model reaches too rarely, not kinds of rows.

    **Arguments:** `train` (n, *x), `samples` (m, *x), or what `features` makes of them; `num_clusters` C (None: one for
    every 20 rows, 20 at most); `seed` of the k-means.
    **Returns:** `Modes`, whose `estimate` has the share of the rows in dropped clusters.
    Source: after Richardson & Weiss, On GANs and GMMs, NeurIPS 2018, arXiv 1805.12462, who count the bins whose share
    differs at all.
    """
    from scipy.stats import binom
    from sklearn.cluster import KMeans

    if features is not None:
        train, samples = features(np.asarray(train)), features(np.asarray(samples))
    train, samples = as_rows(train, "training rows"), as_rows(samples, "samples")
    same_width(train, samples)
    count = num_clusters or max(2, min(NUM_CLUSTERS, len(train) // ROWS_PER_CLUSTER))
    count = min(count, len(np.unique(train, axis=0)))
    options: dict[str, Any] = {"n_init": 4, "random_state": seed}
    means = KMeans(count, **options).fit(train)
    share = np.bincount(np.asarray(means.labels_), minlength=count) / len(train)
    found = np.bincount(means.predict(samples), minlength=count)
    chance = binom.cdf(found, len(samples), share)
    squares = np.sum((train - means.cluster_centers_[means.labels_]) ** 2, axis=1)
    spread = np.bincount(np.asarray(means.labels_), weights=squares, minlength=count) / (share * len(train))
    kind = (share >= 0.5 / count) & (spread <= SPARSE * squares.mean())
    dropped = kind & (found < RARE * share * len(samples)) & (chance < LEVEL / count)
    value = float(share[dropped].sum())
    protocol = (
        f"share of {len(train)} training rows in those of {count} clusters that fewer than a fifth as many of "
        f"{len(samples)} samples reach"
    )
    error = float(np.sqrt(value * (1.0 - value) / len(train)))
    estimate = Estimate(value, error, len(samples), len(train), "share", protocol, seed)
    return Modes(share, found / len(samples), dropped, estimate)
