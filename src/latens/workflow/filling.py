"""Gaps of a table by a model and a Gaussian copula of its columns, each as much as held-out cells ask for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from latens.data import TRAIN, VALIDATION, Dataset
from latens.data.columns import ColumnType
from latens.data.ordered import Ordered, limits
from latens.data.rows import uniforms
from latens.evaluation.conditionals import conditionals
from latens.evaluation.copula import MOST_ROWS, Copula, Filled, fill, fit_copula, log_chances, pool_weight
from latens.recipes.building.closed_forms import started_from
from latens.typing import Key
from latens.workflow.cells import draws_of
from latens.workflow.trained import TrainedModel

HIDDEN = 0.3
"""Share of the observed cells of validation rows that are hidden, so that both can say what they were."""
JUDGED = 1000
"""Held-out rows that judge, at most."""
APART = 5
"""Where no rows validate a tree that is kept: one row of so many judges a tree of the others."""
USUAL = 20.0
"""Hidden cells of a column that the weight of all columns counts as beside its own."""


class Pool(NamedTuple):
    """A copula beside a model."""

    copula: Copula | None
    weights: Shaped[np.ndarray, " c"]  # of the model for each column, in [0, 1]

    @property
    def weight(self) -> float:
        """The mean weight of the model."""
        return float(np.mean(self.weights))


ALONE = Pool(None, np.ones(1))
"""A model without a copula."""


def fitted_copula(data: Dataset, positions: np.ndarray, types: Sequence[ColumnType], seed: int) -> Copula | None:
    """The copula of some rows, those of the first ids where there are many."""
    rows = positions[np.argsort(data.row_id[positions], kind="stable")][:MOST_ROWS]
    x, mask = np.asarray(data.x)[rows], None if data.mask is None else data.mask[rows]
    return fit_copula(x, mask, types, weight=None if data.weight is None else data.weight[rows], seed=seed)


def pooled(trained: TrainedModel, data: Dataset, key: Key, *, num_samples: int, seed: int) -> Pool:
    """The copula of all rows, and for each column the weight of the model that held-out cells ask for."""
    # They are judged by the model and the copula of other rows: neither has seen them.
    types = trained.schema.types or ()
    train, held = np.flatnonzero(data.split == TRAIN), np.flatnonzero(data.split == VALIDATION)
    copula = fitted_copula(data, np.concatenate([train, held]), types, seed)
    if copula is None:
        return ALONE
    if not len(held) and trained.facts.get("start", {}).get("kept"):
        apart = np.arange(len(train)) % APART == 0
        train, held = train[~apart], train[apart]
        part = replace(data, split=np.where(np.isin(np.arange(len(data)), held), VALIDATION, data.split))
        trained = replace(trained, model=started_from(trained.model, part, trained.preparation, begun=1.0))
    own = fitted_copula(data, train, types, seed)
    held = held[np.argsort(data.row_id[held], kind="stable")][:JUDGED]
    shown = np.ones((len(held), len(types)), bool) if data.mask is None else data.mask[held]
    hidden = shown & (np.random.default_rng(seed).random(shown.shape) < HIDDEN)
    if own is None or not hidden.any():
        return Pool(copula, np.full(len(types), 0.5))
    batch = replace(trained.batch(data, held), mask=shown & ~hidden)
    found, _ = conditionals(trained.rows(batch, key=key), types, num_samples=draws_of(trained, num_samples))
    x = np.asarray(data.x)[held]
    other = fill(own, x, shown & ~hidden, keys=data.row_id[held], seed=seed).shares
    each = [(hidden[:, j], j, one) for j, one in enumerate(types)]
    mine, theirs = ([log_chances(of[j][gone], one, x[gone, j]) for gone, j, one in each] for of in (found, other))
    usual = pool_weight(np.concatenate(mine), np.concatenate(theirs))
    weights = [pool_weight(a, b, usual=usual, rows=USUAL) for a, b in zip(mine, theirs)]
    return Pool(copula, np.asarray(weights))


def filled_by(pool: Pool, data: Dataset, *, draws: int = 0, seed: int = 0) -> Filled:
    """What a pool's copula says of the gaps of rows."""
    assert pool.copula is not None
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    return fill(pool.copula, np.asarray(data.x), shown, keys=data.row_id, draws=draws, seed=seed)


def pooled_shares(
    pool: Pool, mine: Sequence[np.ndarray] | None, data: Dataset, seed: int
) -> list[Shaped[np.ndarray, "n segments"]]:
    """The probability of each segment of each column by both together."""
    if pool.copula is None:
        return list(mine or ())
    theirs = filled_by(pool, data, seed=seed).shares
    return theirs if mine is None else [w * a + (1.0 - w) * b for w, a, b in zip(pool.weights, mine, theirs)]


def pooled_draws(
    pool: Pool, mine: Shaped[np.ndarray, "n draws c"] | None, data: Dataset, draws: int, seed: int
) -> Shaped[np.ndarray, "n draws c"]:
    """Completed rows, each by one of both, which is drawn by the weight; columns between are by their own."""
    if pool.copula is None:
        assert mine is not None
        return mine
    theirs = filled_by(pool, data, draws=draws, seed=seed).draws
    if mine is None:
        return theirs
    u: Any = np.stack([uniforms(data.row_id, (seed, k)) for k in range(draws)], axis=1)
    return np.where(u[..., None] < pool.weights, mine, theirs)


def within_order(
    rules: Sequence[Ordered], data: Dataset, shares: Sequence[np.ndarray]
) -> list[Shaped[np.ndarray, "n segments"]]:
    r"""The probability of each segment given that dates are in the order of the data, where it allows any of them."""
    # Of a gap beside a known date this is $p(x_j \mid x_{obs}, x_j \ge x_i)$, exactly; cells of a segment are alike.
    types, found = data.schema.types or (), list(shares)
    shown = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    low, high = limits(rules, data.schema, np.asarray(data.x, np.float64), shown)
    for j, one in enumerate(types):
        limited = ~shown[:, j] & (np.isfinite(low[:, j]) | np.isfinite(high[:, j]))
        if not limited.any():
            continue
        firsts, widths = np.asarray(one.firsts, np.float64), np.asarray(one.widths, np.float64)
        upto = np.minimum(firsts + widths, high[:, j, None] + 1.0)
        part = np.clip(upto - np.maximum(firsts, low[:, j, None]), 0.0, widths) / widths
        kept = found[j] * part
        total = kept.sum(axis=1, keepdims=True)
        usable = limited[:, None] & (total > 0.0)
        found[j] = np.where(usable, kept / np.where(usable, total, 1.0), found[j])
    return found
