"""What codes of cells keep and what they let go: types of neighbours, batches among them, and depth."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latens.evaluation.estimate import Estimate
from latens.evaluation.evidence.factors import ALONE, principal

MOST_DEVIATIONS = 10.0
NEIGHBOURS = 15
"""Nearest cells that are looked at, without the cell itself."""


class Told(NamedTuple):
    """What is known of cells beside their codes."""

    depth: Float[np.ndarray, " n"]  # the logarithms of totals
    kind: Int[np.ndarray, " n"] | None = None  # codes of types, below 0 where it is not known
    batch: Int[np.ndarray, " n"] | None = None


def log_normalised(counts: np.ndarray) -> Float[np.ndarray, "n genes"]:
    """Logarithms of 1 + counts, of cells that are scaled to the median total."""
    total = np.maximum(counts.sum(axis=1, dtype=np.float64), 1.0)
    return np.log1p(counts * (np.median(total) / total)[:, None])


@ALONE
def components(counts: np.ndarray, count: int, *, scaled: bool = False) -> Float[np.ndarray, "n count"]:
    """The first principal components of log-normalised counts: the codes that anyone has without a model."""
    # scaled: whether each gene has the variance 1, and lies within 10 deviations of its mean, as by scanpy.pp.scale.
    logs = log_normalised(counts)
    if scaled:
        spread = logs.std(axis=0, ddof=1)
        away = (logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        logs = np.clip(away, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    logs = logs.astype(np.float32)
    made = principal(logs, count)
    return (logs - made.mean.astype(np.float32)) @ made.directions


def nearest(codes: Float[np.ndarray, "n k"], count: int = NEIGHBOURS) -> Int[np.ndarray, "n count"]:
    """The positions of the nearest cells of each, by the distance of codes as they are."""
    from sklearn.neighbors import NearestNeighbors

    count = min(count, len(codes) - 1)
    found = NearestNeighbors(n_neighbors=count, n_jobs=1).fit(codes)
    return found.kneighbors(return_distance=False)


def same_type(near: Int[np.ndarray, "n k"], kind: Int[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """For each cell with a type, whether it is the commonest of those of its neighbours; ties go to the lower code."""
    votes = np.zeros((len(near), int(kind.max()) + 1))
    for column in near.T:
        known = kind[column] >= 0
        votes[np.flatnonzero(known), kind[column[known]]] += 1
    own = kind >= 0
    return (votes[own].argmax(axis=1) == kind[own]) * (votes[own].max(axis=1) > 0).astype(np.float64)


def mixed(
    near: Int[np.ndarray, "n k"], batch: Int[np.ndarray, " n"], kind: Int[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " m"]:
    r"""The share of neighbours of other batches over what is expected, as numbers a cell whose mean that ratio is."""
    # Expected of a cell: the share of other batches among the other cells of its type, where types are known, since
    # batches need not hold the same types. Then cells without a type are no neighbours, as no type expects them. The
    # ratio of means M has the error of the mean of $M + (o_i - M e_i) / \bar e$ (the delta method). No number where
    # only one batch is there.
    kind = np.zeros(len(near), np.int64) if kind is None or (kind < 0).all() else kind
    known = kind[near] >= 0
    kept = (kind >= 0) & known.any(axis=1)
    others = (batch[near] != batch[:, None]) & known
    observed = others[kept].sum(axis=1) / known[kept].sum(axis=1)
    expected = np.zeros(len(near))
    for one in np.unique(kind[kind >= 0]):
        rows = np.flatnonzero(kind == one)
        away = len(rows) - np.bincount(batch[rows])[batch[rows]]
        expected[rows] = away / max(len(rows) - 1, 1)
    expected = expected[kept]
    if not len(expected):
        return np.zeros(0)
    mean = expected.mean()
    if not mean > 0.0:
        return np.zeros(0)
    ratio = observed.mean() / mean
    return ratio + (observed - ratio * expected) / mean


def explained(codes: Float[np.ndarray, "n k"], depth: Float[np.ndarray, " n"]) -> float:
    """The share R^2 of the variance of the logarithm of the depth that a linear function of the codes explains."""
    design = np.concatenate([np.ones((len(codes), 1)), codes], axis=1).astype(np.float64)
    away = depth - design @ np.linalg.lstsq(design, depth, rcond=1e-8)[0]
    variance = float(np.var(depth))
    return 0.0 if variance < 1e-12 else max(0.0, 1.0 - float(np.mean(away**2)) / variance)


def neighbourhoods(codes: Float[np.ndarray, "n k"], told: Told, what: str) -> dict[str, Estimate]:
    """`type_agreement`, `batch_mixing` and `depth_explained` of codes, as far as types and batches are known."""
    # what: what the codes are, and of which cells, for the protocol.
    near, made = nearest(codes), {}
    count = near.shape[1]
    if told.kind is not None and len(np.unique(told.kind[told.kind >= 0])) > 1:
        words = f"cells whose type is the commonest of {count} neighbours; {what}"
        made["type_agreement"] = Estimate.of(same_type(near, told.kind), num_samples=1, protocol=words)
    if told.batch is not None and len(rows := mixed(near, told.batch, told.kind)):
        typed = 0.0 if told.kind is None else float((told.kind >= 0).mean())
        words = f"share of {count} neighbours of other batches over that among cells{' of the type' if typed else ''}"
        words += f"{', of cells with a type' if 0.0 < typed < 1.0 else ''}: 1 mixed, 0 apart; {what}"
        made["batch_mixing"] = Estimate.of(rows, num_samples=1, protocol=words)
    words = f"R^2 of a linear regression of log depth on the codes; {what}"
    found = explained(codes, told.depth)
    made["depth_explained"] = Estimate(found, float("nan"), 1, len(codes), protocol=words)
    return made
