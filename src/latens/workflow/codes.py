"""How good codes of cells are, beside as many principal components of log-normalised counts."""

import numpy as np

from latens.data import Dataset
from latens.data.given import GIVEN, cells_of
from latens.evaluation import Estimate, encode
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
    words = f"{count} principal components of log(1 + counts at the median total) {of}"
    other = neighbourhoods(components(counts, count), told, words)
    return made | {f"{name}_components": value for name, value in other.items()}


def _batches(data: Dataset, rows: np.ndarray) -> np.ndarray | None:
    """The codes of the first condition with two names or more among these rows."""
    for one in data.schema.conditions or ():
        if len(one.values) > 1 and data.cond is not None:
            cells = cells_of(data.schema.conditions or (), data.cond[GIVEN][rows])[one.name]
            found, codes = np.unique(cells, return_inverse=True)
            if len(found) > 1:
                return codes
    return None
