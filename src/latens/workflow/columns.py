"""log p(x) of a mixed table column by column, beside columns that know nothing of each other."""

from typing import Any

import numpy as np

from latens.data import Dataset
from latens.evaluation.estimate import Estimate
from latens.evaluation.evidence.by_column import nats_by_column
from latens.workflow.sample_sets import has_likelihood
from latens.workflow.trained import TrainedModel

DRAWS = 200
"""Draws of z a row."""

LATENTS = "latents"


def has_columns(trained: TrainedModel) -> bool:
    """Whether log p(x) of a model can be told by column."""
    return trained.schema.types is not None and has_likelihood(trained) and not trained.is_point


def column_nats(
    trained: TrainedModel, data: Dataset, positions: np.ndarray, *, num_samples: int = DRAWS, seed: int = 0
) -> list[dict[str, Any]]:
    r"""Split log p(x) into its columns and the latents, as means over rows that count as their weights say."""
    found = nats_by_column(trained.rows(data, positions, seed=seed), num_samples=num_samples)
    weight = None if data.weight is None else data.weight[positions]
    x, mask = data.x[positions], None if data.mask is None else data.mask[positions]
    made = []
    types, names = trained.schema.types or (), [column.name for column in trained.schema.columns or ()]
    for i, (name, one) in enumerate(zip(names, types)):
        alone = one.log_shares(x[:, i]) if mask is None else np.where(mask[:, i], one.log_shares(x[:, i]), 0.0)
        made.append((name, found.columns[:, i], alone))
    made.append((LATENTS, found.latents, np.zeros(len(positions))))
    return [
        {
            "name": name,
            "nats": (own := Estimate.of(nats, num_samples=num_samples, protocol="", weight=weight)).value,
            "standard_error": own.standard_error,
            "independent": Estimate.of(alone, num_samples=1, protocol="", weight=weight).value,
        }
        for name, nats, alone in made
    ]
