"""Which sums of effects a trained model keeps: those that say a number better than the model itself does."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float, Int

from latens.data import TRAIN, VALIDATION, Dataset, effects, found_effects
from latens.data.columns import ColumnType
from latens.data.rules import results_of
from latens.evaluation.impute import impute
from latens.recipes.building.closed_forms import started_from
from latens.workflow.cells import draws_of
from latens.workflow.trained import TrainedModel

JUDGED = 300
"""Held-out rows that judge, at most."""
LEAST_ROWS = 20
"""Rows that judge, at the least."""
DRAWS, FOLDS = 100, 3
"""Draws of z for each; parts of the rows, each judged by the others, where few validate a tree that is kept."""
LEAST, SURE, CLEAR, FEW = 0.05, 2.0, 3.0, 100
"""Nats of a row by which a sum must be better at the least, and how many of their errors; how many of fewer rows."""


def better_effects(trained: TrainedModel, data: Dataset) -> TrainedModel:
    """The model with those sums of effects that say held-out rows better than it does by all other columns."""
    found = effects.placed(effects.read(trained.facts.get("effects")), trained.schema)
    if not found or type(data) is not Dataset:
        return trained.with_facts(effects=[])
    train, held = np.flatnonzero(data.split == TRAIN), np.flatnonzero(data.split == VALIDATION)
    rows, tree = np.concatenate([train, held]), bool(trained.facts.get("start", {}).get("kept"))
    # Where nothing validates, rows do that both sides have seen.
    saved = _saved(found, trained, data, _first(data, held if len(held) else train, JUDGED))
    kept = [_better(nats) for nats in saved]
    open_ = [place for place, better in enumerate(kept) if better is None]
    if open_ and tree and len(held) < JUDGED:
        # Few rows say little, and a tree of columns is counted in a moment: each is judged by what the others give.
        some = [found[place] for place in open_]
        more = list(zip(*(_of_fold(some, trained, data, rows, fold) for fold in range(FOLDS))))
        for place, nats in zip(open_, more):
            kept[place] = _better(np.concatenate(nats))
    chosen = [one for one, better in zip(found, kept) if better]
    if tree:  # as the tree, of all rows that do not test
        chosen = [found_effects.refitted(one, data, rows) or one for one in chosen]
    return trained.with_facts(effects=[list(one) for one in chosen])


def _of_fold(
    found: Sequence[effects.Effects], trained: TrainedModel, data: Dataset, rows: Int[np.ndarray, " n"], fold: int
) -> list[Float[np.ndarray, " m"]]:
    """The nats that each sum saves in the rows of a fold, beside the tree of columns, both of all other rows."""
    first = _first(data, rows, FOLDS * JUDGED)
    apart = first[np.arange(len(first)) % FOLDS == fold]
    split = np.array(data.split)
    split[rows], split[apart] = TRAIN, VALIDATION
    part = replace(data, split=split)
    tree = replace(trained, model=started_from(trained.model, part, trained.preparation, begun=1.0))
    others = [found_effects.refitted(one, data, np.setdiff1d(rows, apart)) or one for one in found]
    return _saved(others, tree, part, apart)


def _better(saved: Float[np.ndarray, " n"]) -> bool | None:
    """Whether nats are saved; None where the rows are too few to say."""
    if len(saved) < LEAST_ROWS:
        return None
    mean, error = float(saved.mean()), float(saved.std()) / (len(saved) - 1) ** 0.5
    if mean > max(LEAST, CLEAR * error) or mean + error < LEAST:
        return mean > LEAST
    return None if mean <= max(LEAST, SURE * error) or len(saved) < FEW else True


def _first(data: Dataset, rows: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " n"]:
    return rows[np.argsort(data.row_id[rows], kind="stable")][:most]


def _saved(
    found: Sequence[effects.Effects], trained: TrainedModel, data: Dataset, held: Int[np.ndarray, " n"]
) -> list[Float[np.ndarray, " m"]]:
    """The nats that each sum saves in held-out rows, beside what the model says by all other columns."""
    types, names = trained.schema.types or (), trained.schema.names
    shown = np.ones((len(held), len(names)), bool) if data.mask is None else np.asarray(data.mask)[held]
    x, masks = np.asarray(data.x)[held], []
    for one in found:  # what is computed of a number would give it away, and so would what is drawn by it
        masks.append(shown.copy())
        after = results_of(trained.facts, trained.schema, one.target) - {*one.columns}
        masks[-1][:, [names.index(name) for name in after]] = False
    batch = replace(trained.batch(data, np.tile(held, len(found))), mask=np.concatenate(masks))
    asked = trained.rows(batch, key=jax.random.key(0))
    shares = impute(asked, types=types, num_samples=draws_of(trained, DRAWS)).shares or []
    saved = []
    for place, one in enumerate(found):
        k, rows = names.index(one.target), slice(place * len(held), (place + 1) * len(held))
        seen = shown[:, k]
        theirs = log_chances(shares[k][rows][seen], types[k], x[seen, k])
        saved.append(effects.log_chances(one, trained.schema, np.asarray(x[seen], np.float64), shown[seen]) - theirs)
    return saved


def log_chances(shares: Float[np.ndarray, "n segments"], one: ColumnType, x: Float[np.ndarray, " n"]) -> np.ndarray:
    """The log probability of cells by the shares of their segments, from 1e-30."""
    which = np.clip(np.searchsorted(one.firsts, x, side="right") - 1, 0, one.count - 1)
    return np.log(np.maximum(shares[np.arange(len(x)), which] / np.asarray(one.widths)[which], 1e-30))
