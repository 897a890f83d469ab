"""A few labels spread to all rows over a graph of their nearest neighbours: where M2 on codes starts."""

import dataclasses
from typing import Any

import jax
import numpy as np

from latens.data import Dataset, Preparation
from latens.evaluation import Rows, encode
from latens.typing import Float, Int

NEIGHBOURS = 5
KEPT = 0.99
"""The share of a row's belief that its neighbours give; the rest is its own label."""

ROUNDS = 100

MOST_ROWS = 60_000
"""Of the graph: the search for neighbours takes time by its square, half a minute for so many."""


def spread_labels(
    codes: Float[np.ndarray, "n d"], label: Int[np.ndarray, " n"], classes: int, *, seed: int = 0
) -> Int[np.ndarray, " n"]:
    r"""The label of every row that a chain of neighbours joins to a labelled one, else -1."""
    # $F \leftarrow a S F + (1 - a) Y$ with $S = D^{-1/2} W D^{-1/2}$ over the 5 nearest neighbours, $W_{ij} =
    # e^{-d_{ij}^2 / (s_i s_j)}$ with $s_i$ the distance of the farthest of them; each class is divided by its mass
    # before the largest is taken, without which one class can swallow the others.
    # More than `MOST_ROWS` rows are not all in the graph: those with a label are, and others drawn at random; a row
    # outside has the label of the nearest row inside.
    # Source: Zhou et al. (2004) for the iteration; Zelnik-Manor & Perona (2004) for the weights; Zhu, Ghahramani &
    # Lafferty (2003) for the mass of a class.
    from sklearn.neighbors import NearestNeighbors

    if len(codes) <= MOST_ROWS:
        return _over_graph(codes, label, classes)
    drawn = np.random.default_rng(seed).permutation(len(codes))
    inside = drawn[np.argsort(label[drawn] < 0, kind="stable")][:MOST_ROWS]  # the labelled ones come first
    found = _over_graph(codes[inside], label[inside], classes)
    outside = np.setdiff1d(drawn, inside)
    spread = np.array(label, np.int32)
    spread[inside] = found
    index = NearestNeighbors(n_neighbors=1).fit(codes[inside]).kneighbors(codes[outside], return_distance=False)
    spread[outside] = np.where(label[outside] >= 0, label[outside], found[index[:, 0]])
    return spread


def _over_graph(codes: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """`spread_labels` with every row in the graph."""
    from scipy import sparse
    from sklearn.neighbors import NearestNeighbors

    n, k = len(codes), min(NEIGHBOURS, len(codes) - 1)
    distance, index = NearestNeighbors(n_neighbors=k + 1).fit(codes).kneighbors(codes)
    distance, index = distance[:, 1:], index[:, 1:]  # the first is the row itself
    scale = np.maximum(distance[:, -1], 1e-12)
    weight = np.exp(-(distance**2) / (scale[:, None] * scale[index]))
    graph: Any = sparse.csr_matrix((weight.ravel(), (np.repeat(np.arange(n), k), index.ravel())), shape=(n, n))
    graph = graph.maximum(graph.T)
    root = 1.0 / np.sqrt(np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1e-12))
    graph = sparse.diags(root) @ graph @ sparse.diags(root)
    known = np.zeros((n, classes))
    known[label >= 0, label[label >= 0]] = 1.0
    belief = known
    for _ in range(ROUNDS):
        belief = KEPT * (graph @ belief) + (1.0 - KEPT) * known
    belief = belief / np.maximum(belief.sum(axis=0), 1e-300)
    found = np.where(belief.max(axis=1) > 0.0, belief.argmax(axis=1), -1)
    return np.where(label >= 0, label, found).astype(np.int32)


def with_spread_labels(model: Any, data: Dataset, preparation: Preparation, *, classes: int, seed: int) -> Dataset:
    """The data with labels for its training rows, spread over the means of their codes under a model."""
    rows = data.subset("train")
    batch = dataclasses.replace(data.rows(rows), weight=None)
    codes = encode(Rows(model, batch, jax.random.key(seed), preparation))["mean"]
    label = np.full(len(data), -1, np.int32)
    if data.seen_label is not None:
        label[rows] = spread_labels(codes.reshape(len(codes), -1), data.seen_label[rows], classes, seed=seed)
    return dataclasses.replace(data, label=label, hidden=None, labelled_share=None)
