"""Which sums of effects a trained model keeps: those that say a number better than the model itself does."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float, Int

from latens.data import TRAIN, VALIDATION, Dataset, effects
from latens.evaluation.conditionals import conditionals
from latens.evaluation.copula import log_chances
from latens.recipes.building.closed_forms import started_from
from latens.workflow.cells import draws_of
from latens.workflow.trained import TrainedModel

JUDGED = 300
"""Held-out rows that judge, at most."""
DRAWS, FOLDS = 100, 3
"""Draws of z for each; parts of the rows, each judged by the others, where few validate a tree that is kept."""
LEAST, SURE, CLEAR, FEW = 0.05, 2.0, 3.0, 100
"""Nats of a row by which a sum must be better at the least, and how many of their errors; how many of fewer rows."""


def better_effects(trained: TrainedModel, data: Dataset) -> TrainedModel:
    """The model with those sums of effects that say held-out rows better than it does by all other columns."""
    found = effects.placed(effects.read(trained.facts.get("effects")), trained.schema)
    if not found or type(data) is not Dataset:
        return trained
    train, held = np.flatnonzero(data.split == TRAIN), np.flatnonzero(data.split == VALIDATION)
    # Where nothing validates, rows do that both sides have seen.
    saved = _saved(found, trained, data, _first(data, held if len(held) else train, JUDGED))
    kept = [_better(rows) for rows in saved]
    open_ = [place for place, better in enumerate(kept) if better is None]
    if open_ and trained.facts.get("start", {}).get("kept") and len(held) < JUDGED:
        # Few rows say little, and a tree of columns is counted in a moment: each is judged by a tree of the others.
        more = [
            _saved([found[i] for i in open_], *part) for part in _apart(trained, data, np.concatenate([train, held]))
        ]
        for place, rows in zip(open_, zip(*more)):
            kept[place] = _better(np.concatenate(rows))
    return trained.with_facts(effects=[list(one) for one, better in zip(found, kept) if better])


def _better(saved: Float[np.ndarray, " n"]) -> bool | None:
    """Whether nats are saved; None where the rows are too few to say."""
    mean, error = float(saved.mean()), float(saved.std()) / max(len(saved) - 1, 1) ** 0.5
    if mean > max(LEAST, CLEAR * error) or mean + error < LEAST:
        return mean > LEAST
    return None if mean <= max(LEAST, SURE * error) or len(saved) < FEW else True


def _apart(
    trained: TrainedModel, data: Dataset, rows: Int[np.ndarray, " n"]
) -> Iterator[tuple[TrainedModel, Dataset, Int[np.ndarray, " m"]]]:
    """Trees of columns, and rows that none of them has seen."""
    first = _first(data, rows, FOLDS * JUDGED)
    for fold in range(FOLDS):
        apart = first[np.arange(len(first)) % FOLDS == fold]
        split = np.array(data.split)
        split[rows], split[apart] = TRAIN, VALIDATION
        part = replace(data, split=split)
        yield replace(trained, model=started_from(trained.model, part, trained.preparation, begun=1.0)), part, apart


def _first(data: Dataset, rows: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " n"]:
    return rows[np.argsort(data.row_id[rows], kind="stable")][:most]


def _saved(
    found: Sequence[effects.Effects], trained: TrainedModel, data: Dataset, held: Int[np.ndarray, " n"]
) -> list[Float[np.ndarray, " m"]]:
    """The nats that each sum saves in held-out rows, beside what the model says by all other columns."""
    types, names = trained.schema.types or (), trained.schema.names
    shown = np.ones((len(held), len(names)), bool) if data.mask is None else np.asarray(data.mask)[held]
    x, masks = np.asarray(data.x)[held], []
    for one in found:  # what is computed of a number would give it away
        masks.append(shown.copy())
        masks[-1][:, [names.index(name) for name in (one.target, *one.of) if name in names]] = False
    batch = replace(trained.batch(data, np.tile(held, len(found))), mask=np.concatenate(masks))
    shares, _ = conditionals(trained.rows(batch, key=jax.random.key(0)), types, num_samples=draws_of(trained, DRAWS))
    saved = []
    for place, one in enumerate(found):
        k, rows = names.index(one.target), slice(place * len(held), (place + 1) * len(held))
        seen = shown[:, k]
        theirs = log_chances(shares[k][rows][seen], types[k], x[seen, k])
        saved.append(effects.log_chances(one, trained.schema, np.asarray(x[seen], np.float64), shown[seen]) - theirs)
    return saved
