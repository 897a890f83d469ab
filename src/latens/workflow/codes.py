"""How good codes of cells are: beside principal components of log-normalised counts, and genes alone."""

from typing import Any

import numpy as np
from jaxtyping import Float

from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.dataset import first_rows
from latens.data.given import GIVEN, cells_of
from latens.evaluation import Estimate, encode
from latens.evaluation.evidence.depth import depth_baseline
from latens.evaluation.evidence.factors import MOST_VALUES
from latens.evaluation.latents.neighbourhoods import Told, components, neighbourhoods
from latens.workflow.sample_sets import some
from latens.workflow.trained import TrainedModel

MOST_CELLS = 2000
"""Cells of all splits whose codes are compared."""
LEAST_CELLS = 50


def beside_components(trained: TrainedModel, data: Dataset, *, seed: int = 0) -> dict[str, Estimate]:
    """Types, batches and depth in codes of cells, each beside that of principal components; {} of other models."""
    # Cells of all splits: no code has seen a type, and principal components are of these cells too.
    if not trained.preparation.depth or len(data) < LEAST_CELLS or len(trained.latent_shape) != 1:
        return {}
    if data.mask is not None and not np.all(data.mask):
        return {}
    rows = some(np.arange(len(data)), MOST_CELLS, seed)
    counts = np.asarray(data.x[rows], np.float64).reshape(len(rows), -1)
    depth = np.log(np.maximum(counts.sum(axis=1), 1.0))
    told = Told(depth, None if data.label is None else data.label[rows], _batches(data, rows))
    codes = encode(trained.rows(data, rows, seed=seed))["mean"].reshape(len(rows), -1)
    of = f"of {len(rows):,} cells"
    made = neighbourhoods(codes, told, f"means of q(z | x) {of}")
    count = codes.shape[1]
    # Whichever way tells types apart better is the one to beat; without types genes as they are.
    ways = []
    for scaled in (False, True) if told.kind is not None else (False,):
        words = f"{count} principal components of log(1 + counts at the median total)"
        words += f"{', genes scaled' if scaled else ''} {of}"
        ways.append(neighbourhoods(components(counts, count, scaled=scaled), told, words))
    other = max(ways, key=lambda way: way["type_agreement"].value if "type_agreement" in way else 0.0)
    return made | {f"{name}_components": value for name, value in other.items()}


def genes_alone(data: Dataset, batch: Batch) -> Float[np.ndarray, "n genes"]:
    """The log probability of each gene of cells given total and batch, under a negative binomial a gene of training."""
    # 0 where a gene is missing. Of very many training cells the first in the order of their ids are taken.
    train, cells = data.subset("train"), int(np.prod(data.schema.shape))
    kept = np.sort(first_rows(data, train, max(1, MOST_VALUES // cells)))
    told = [None if one is None else one.get(GIVEN) for one in (data.cond, batch.cond)]
    given = None if told[0] is None else told[0][kept], None if told[1] is None else np.asarray(told[1])
    flat: Any = lambda one: None if one is None else np.asarray(one).reshape(len(one), -1)  # noqa: E731
    masks = flat(None if data.mask is None else data.mask[kept]), flat(batch.mask)
    weight = None if data.weight is None else data.weight[kept].astype(np.float64)
    rows, test = np.asarray(data.x[kept], np.float64), np.asarray(batch.x, np.float64)
    return depth_baseline(flat(rows), flat(test), given, masks=masks, weight=weight)


def _batches(data: Dataset, rows: np.ndarray) -> np.ndarray | None:
    """The codes of the first condition with two names or more among these rows."""
    for one in data.schema.conditions or ():
        if len(one.values) > 1 and data.cond is not None:
            cells = cells_of(data.schema.conditions or (), data.cond[GIVEN][rows])[one.name]
            found, codes = np.unique(cells, return_inverse=True)
            if len(found) > 1:
                return codes
    return None
