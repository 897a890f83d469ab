"""Which names of a table are drawn by a logistic regression on all other columns: where it beats the tree."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float, Int

from latens.data import TEST, TRAIN, VALIDATION, Dataset, found_effects, logits
from latens.data.effects import Term, effect_of
from latens.data.found_effects import OF_A_KIND, Block
from latens.data.logits import Logit
from latens.data.relations import LEAST_ROWS
from latens.data.rules import near_in, placed
from latens.evaluation.impute import impute
from latens.recipes.building.closed_forms import started_from
from latens.workflow.kept_effects import log_chances
from latens.workflow.trained import TrainedModel

FOLDS = 3
"""Parts of the rows, each judged by a regression and by the tree of the others."""
LEAST, SURE = 0.01, 2.0
"""Nats of a row that a regression saves at the least, and how many of their errors."""
STRENGTHS = (0.005, 0.02, 0.1)
"""Inverse strengths of the ridge on effects in their standard deviations, as scikit-learn counts them; rows choose."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the rows whose name is drawn by a regression, beside the tree: together they may say more than either."""
MOST_TARGETS = 24
"""Columns of names for which a regression is tried, the first ones."""
STEPS = 300


def with_logits(trained: TrainedModel, data: Dataset) -> TrainedModel:
    """The model with those regressions of names that say rows better than its tree does by all other columns."""
    # In a tree a name has one parent: an outcome that five columns say a little each goes by the strongest one.
    if (
        type(data) is not Dataset
        or not isinstance(data.x, np.ndarray)
        or data.schema.types is None
        or not trained.facts.get("start", {}).get("kept")
    ):
        return trained
    rows = np.flatnonzero(data.split != TEST)
    rows, cells = found_effects.cells_in(data, rows)
    targets = _targets(trained, cells)
    if len(rows) < LEAST_ROWS or not targets:
        return trained
    folds, found = np.random.default_rng(0).permutation(len(rows)) % FOLDS, []
    for k, theirs in zip(targets, _by_tree(trained, data, rows, folds, targets)):
        made = _regressed(trained, cells, folds, k, theirs)
        found += [] if made is None else [made]
    return trained.with_facts(logits=[list(one) for one in found]) if found else trained


def _targets(trained: TrainedModel, cells: Float[np.ndarray, "n columns"]) -> list[int]:
    """Columns of a few names, each of enough rows, that no rule reads or gives."""
    facts, schema = trained.facts, trained.schema
    rules = (*near_in(facts, schema), *placed(facts, schema, names=True))
    bound = {name for one in rules for name in (one.target, *one.columns)}
    found = []
    for k, (name, one) in enumerate(zip(schema.names, schema.types or ())):
        seen = cells[np.isfinite(cells[:, k]), k]
        if one.named and name not in bound and 2 <= len(_often(seen)) <= logits.MOST_NAMES:
            found.append(k)
    return found[:MOST_TARGETS]


def _often(names: Float[np.ndarray, " n"]) -> Float[np.ndarray, " names"]:
    """The names of enough rows."""
    values, counts = np.unique(names, return_counts=True)
    return values[counts >= OF_A_KIND]


def _by_tree(
    trained: TrainedModel,
    data: Dataset,
    rows: Int[np.ndarray, " n"],
    folds: Int[np.ndarray, " n"],
    targets: Sequence[int],
) -> list[Float[np.ndarray, " n"]]:
    """The log probability of each target given all other columns of its row, by the tree of the other folds."""
    types, names = trained.schema.types or (), trained.schema.names
    x, made = np.asarray(data.x)[rows], [np.zeros(len(rows)) for _ in targets]
    shown = np.ones((len(rows), len(names)), bool) if data.mask is None else np.asarray(data.mask)[rows]
    for fold in range(FOLDS):
        own = folds == fold
        split = np.array(data.split)
        split[rows], split[rows[own]] = TRAIN, VALIDATION
        part = replace(data, split=split)
        model = started_from(trained.model, part, trained.preparation, begun=1.0)
        masks = [shown[own] & (np.arange(len(names)) != k) for k in targets]
        batch = replace(trained.batch(data, np.tile(rows[own], len(targets))), mask=np.concatenate(masks))
        others = replace(trained, model=model)
        shares = impute(others.rows(batch, key=jax.random.key(0)), types=types, num_samples=1).shares or []
        for place, k in enumerate(targets):
            each = slice(place * int(own.sum()), (place + 1) * int(own.sum()))
            made[place][own] = log_chances(shares[k][each], types[k], x[own, k])
    return made


def _regressed(
    trained: TrainedModel,
    cells: Float[np.ndarray, "n columns"],
    folds: Int[np.ndarray, " n"],
    k: int,
    theirs: Float[np.ndarray, " n"],
) -> Logit | None:
    """The regression of a column on all others, where it says held-out rows better than the tree."""
    types = trained.schema.types or ()
    names = _often(cells[np.isfinite(cells[:, k]), k])
    rows = np.isin(cells[:, k], names)
    blocks = [b for j in range(len(types)) if j != k for b in found_effects.blocks_of(types[j], j, cells[rows, j])]
    if len({b.columns for b in blocks}) < 2 or rows.sum() < LEAST_ROWS:
        return None
    design, codes = np.concatenate([b.design for b in blocks], axis=1), np.searchsorted(names, cells[rows, k])
    if any(len(np.unique(codes[folds[rows] != fold])) < len(names) for fold in range(FOLDS)):
        return None
    every = {strength: _crossed(design, codes, folds[rows], strength) for strength in STRENGTHS}
    best = max(every.values(), key=lambda one: one.mean())
    # The weakest ridge that is as good: new rows shall have effects as large as the data have.
    strength = max(one for one, made in every.items() if _mean(made - best)[0] >= -_mean(made - best)[1])
    share, saved = _mixed(every[strength], theirs[rows])
    gain, error = _mean(saved)
    if gain <= max(LEAST, SURE * error):
        return None
    levels, slopes = _fitted(design, codes, strength)
    terms = [_terms(trained, blocks, slopes[:, c], cells[rows]) for c in range(len(names))]
    values = tuple(types[k].values[round(name)] for name in names)
    return Logit(trained.schema.names[k], values, tuple(levels.tolist()), tuple(terms), int(rows.sum()), share)


def _mixed(ours: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " n"]) -> tuple[float, Float[np.ndarray, " n"]]:
    """The share of rows that a regression draws beside the tree, and the nats that both together save."""
    with np.errstate(divide="ignore"):
        made = {share: np.logaddexp(np.log(share) + ours, np.log1p(-share) + theirs) - theirs for share in SHARES}
    best = max(made.values(), key=lambda one: one.mean())
    # The largest share that is as good, as with the strength.
    share = max(share for share, one in made.items() if _mean(one - best)[0] >= -_mean(one - best)[1])
    return share, made[share]


def _crossed(
    design: Float[np.ndarray, "n k"], codes: Int[np.ndarray, " n"], folds: Int[np.ndarray, " n"], strength: float
) -> Float[np.ndarray, " n"]:
    """The log probability of each row's name by a regression of the other folds."""
    made = np.zeros(len(codes))
    for fold in range(FOLDS):
        own = folds == fold
        levels, slopes = _fitted(design[~own], codes[~own], strength)
        sums = levels + design[own] @ slopes
        made[own] = sums[np.arange(own.sum()), codes[own]] - np.logaddexp.reduce(sums, axis=1)
    return made


def _mean(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """A mean and its standard error."""
    return float(values.mean()), float(values.std()) / len(values) ** 0.5


def _fitted(
    design: Float[np.ndarray, "n k"], codes: Int[np.ndarray, " n"], strength: float
) -> tuple[Float[np.ndarray, " names"], Float[np.ndarray, "k names"]]:
    """The level of each name and its slopes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    spread = design.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = LogisticRegression(C=strength, max_iter=STEPS).fit(design / spread, codes)
    levels, slopes = np.atleast_1d(made.intercept_), made.coef_ / spread
    if len(levels) == 1:  # of two names scikit-learn has the log odds of the second one
        levels, slopes = np.array([0.0, levels[0]]), np.stack([np.zeros_like(slopes[0]), slopes[0]])
    return levels, slopes.T


def _terms(
    trained: TrainedModel,
    blocks: Sequence[Block],
    slopes: Float[np.ndarray, " k"],
    cells: Float[np.ndarray, "n columns"],
) -> tuple[Term, ...]:
    """The effects of each column, of mean 0 in these rows, so that a missing cell has none."""
    terms, first = [], 0
    for block in blocks:
        own = slopes[first : (first := first + block.design.shape[1])]
        term = found_effects.term_of(trained.schema, block, own)
        seen = np.isfinite(cells[:, block.columns[0]])
        effect = effect_of(term, trained.schema, cells[seen])
        effects = tuple((np.array(term.effects) - effect.mean()).tolist())
        terms.append(term._replace(effects=effects, spread=float(effect.std())))
    return tuple(terms)
