"""Rows in groups that are alike under a model, and what tells each group from all rows."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from latens import evaluation
from latens.data import Dataset
from latens.data.columns import ColumnType
from latens.data.schema import image_shape
from latens.errors import ConfigError
from latens.models.finite import every_latent
from latens.workflow.explain import groups_of
from latens.workflow.trained import TrainedModel

TRIED, USUAL = range(2, 13), 8
"""Numbers of groups among which the silhouette chooses, and the number where none stands out."""
APART = 0.25
"""The silhouette from which on groups are structure and not a cut through one cloud.

Source: Kaufman & Rousseeuw (1990), 'Finding Groups in Data', table 4 of chapter 2.
"""
LOOKED_AT, DIRECTIONS = 2000, 32
"""Rows by which the silhouette and the directions of pictures are found, and how many directions are kept."""
SILENT = 0.01
"""The largest variance of a latent's means below which the latents say nothing of a row."""
TOLD, LEAST = 2, 0.02
"""Columns by which a group is described, and the nats from which on one is."""


class Clusters(NamedTuple):
    """The group of each row, and how far apart groups are."""

    group: Int[np.ndarray, " n"]  # from 1 on, the largest first
    rank: Int[np.ndarray, " n"]  # within the group, 1 the nearest to its centre
    silhouette: float  # mean over rows, from -1 to 1; NaN of a mixture's own clusters
    own: bool  # whether they are the components of the model's prior


def cluster(trained: TrainedModel, data: Dataset, count: int | None = None, *, seed: int = 0) -> Clusters:
    """Put rows that a model has alike into groups: the components of its prior, or k-means."""
    # The codes of pictures are first decoded: there a latent counts by how much it changes the picture.
    rows = trained.rows(data, np.arange(len(data)), seed=seed)
    codes = np.asarray(evaluation.encode(rows)["mean"], np.float64)
    if every_latent(trained.model) is not None:
        share = codes[:, 0]
        if count is not None:
            fix = f"Leave it out, or train one with {count}: `latens fit DATA --set posterior.choices={count}`."
            what = f"the model has {share.shape[1]} groups of its own, which are not divided anew."
            raise ConfigError(what, where="--groups", fix=fix)
        return _ordered(share.argmax(axis=1), -share.max(axis=1), float("nan"), own=True)
    points = codes.reshape(len(codes), -1)
    if points.var(axis=0).max() < SILENT:
        fix = "Train one whose latents do: `latens fit DATA --recipe table-mixture --set posterior.choices=8`."
        fix = fix if trained.schema.types else "Train longer, or with less weight on the KL."
        raise ConfigError("the latents of this model do not tell rows apart.", where="RUN", fix=fix)
    # A mixture that the default takes, or that was fitted later, stands for a density and not for kinds of rows.
    default = trained.config is not None and trained.config.recipe == "default"
    fitted = "refitted" in trained.facts or trained.facts.get("refit", {}).get("kept", False)
    if count is None and evaluation.has_clusters(trained.model) and not (default or fitted):
        share = evaluation.cluster_probabilities(rows)
        return _ordered(share.argmax(axis=1), -share.max(axis=1), float("nan"), own=True)
    if image_shape(trained.schema) is not None and not trained.classes and not trained.schema.conditions:
        points = _seen(trained, points)
    return _nearest_means(points, count, seed)


def _seen(trained: TrainedModel, codes: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
    """The decoded means of codes, in the directions in which these differ most."""
    from sklearn.decomposition import PCA

    def decoded(z: np.ndarray) -> np.ndarray:
        latents = z.astype(np.float32).reshape(-1, *trained.latent_shape)
        return evaluation.decode(trained.model, latents, mean="seen").reshape(len(z), -1)

    some = np.random.default_rng(0).permutation(len(codes))[:LOOKED_AT]
    first = decoded(codes[some])
    directions = PCA(min(DIRECTIONS, *first.shape), svd_solver="randomized", random_state=0).fit(first)
    parts = [directions.transform(decoded(codes[at : at + LOOKED_AT])) for at in range(0, len(codes), LOOKED_AT)]
    return np.concatenate(parts).astype(np.float64)


def _nearest_means(points: Float[np.ndarray, "n d"], count: int | None, seed: int) -> Clusters:
    """The groups of k-means, and of several numbers of them those with the largest silhouette."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    some = np.random.default_rng(seed).permutation(len(points))[:LOOKED_AT]

    def found(k: int) -> tuple[float, KMeans]:
        options: dict[str, Any] = {"n_init": 4, "random_state": seed}  # scikit-learn's own annotation says only str
        means = KMeans(k, **options).fit(points)
        label = means.predict(points[some])
        return (float(silhouette_score(points[some], label)) if 1 < len(set(label)) < len(some) else -1.0), means

    tried = {k: found(k) for k in ([count] if count else [k for k in TRIED if k < len(points)])}
    best = max(tried, key=lambda k: tried[k][0])
    if count is None and tried[best][0] < APART:
        best = min(USUAL, max(tried))
    score, means = tried[best]
    label = np.asarray(means.predict(points))
    distance = np.linalg.norm(points - means.cluster_centers_[label], axis=1)
    return _ordered(label, distance, score, own=False)


def _ordered(label: np.ndarray, distance: np.ndarray, score: float, *, own: bool) -> Clusters:
    """Number groups by their size, and rows by how near they are to the middle of their group."""
    sizes = np.bincount(label)
    group = np.argsort(np.argsort(-sizes, kind="stable"))[label] + 1
    rank = np.zeros(len(group), int)
    for k in np.unique(group):
        rows = np.flatnonzero(group == k)
        rank[rows[np.argsort(distance[rows], kind="stable")]] = np.arange(1, len(rows) + 1)
    return Clusters(group, rank, score, own)


def described(
    x: Float[np.ndarray, "n d"], mask: Bool[np.ndarray, "n d"] | None, names: Sequence[str],
    types: Sequence[ColumnType], inside: Bool[np.ndarray, " n"], given: Collection[str] = (),
) -> list[str]:  # fmt: skip
    """The values that tell rows of a group from all rows most, in words."""
    # given: columns that others give, which say the same twice.
    there = np.ones(x.shape, bool) if mask is None else mask
    found: list[tuple[float, str]] = []
    for j, one in enumerate(types):
        if names[j] in given:
            continue
        segment = np.searchsorted(one.firsts, x[:, j], side="right") - 1
        parts = groups_of(np.bincount(segment[there[:, j]], minlength=len(one.firsts)).astype(float), one)
        shares = [
            np.array([np.isin(segment[kept], part).mean() for _, part in parts])
            for kept in (inside & there[:, j], there[:, j])
            if kept.any()
        ]
        if len(shares) < 2:
            continue
        own, every = shares
        gain = np.where(own > 0, own * np.log(np.maximum(own, 1e-300) / np.maximum(every, 1e-300)), 0.0)
        most = int(gain.argmax())
        words = f"{names[j]} {parts[most][0]} in {own[most]:.0%} (of all {every[most]:.0%})"
        free, rows = np.count_nonzero(every) - 1, max(1, int((inside & there[:, j]).sum()))
        chance = (free + 2.0 * np.sqrt(2.0 * free)) / (2.0 * rows)  # twice the rows times the nats is a chi-square
        found.append((float(gain.sum()) - chance, words))
    return [words for nats, words in sorted(found, key=lambda each: -each[0])[:TOLD] if nats >= LEAST]
