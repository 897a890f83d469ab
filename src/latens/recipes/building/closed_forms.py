"""The closed form of each kind of data as the start of its model: fitted to the training rows before the first step."""

from typing import Any

import equinox as eqx

from latens.data import Dataset
from latens.data.dataset import training_rows
from latens.evaluation.evidence.tree import MOST_ROWS, fit_tree
from latens.models import LatentModel
from latens.models.heads.tree import TreeHead


def started_from(model: LatentModel, data: Dataset) -> LatentModel:
    """The model begun at the closed form of its data, where its parts can hold one."""
    decoder: Any = model.decoder
    if isinstance(getattr(decoder, "head", None), TreeHead):
        x, mask, weight = training_rows(data, MOST_ROWS)
        made = fit_tree(x, mask, data.schema.types or (), weight=weight)
        head = decoder.head.with_tree(made.parents, made.order, made.log_ratios)
        model = eqx.tree_at(lambda m: m.decoder.head, model, head)
    return model
