"""How a model came about: curves of training."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from latens import figures
from latens.model_figures.source import Made, Source
from latens.trained.trained_model import TrainedModel


def history_arrays(history: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Turn records with numbers into arrays of one length."""
    names = dict.fromkeys(k for record in history for k, v in record.items() if isinstance(v, int | float))
    return {name: np.array([record.get(name, math.nan) for record in history], float) for name in names}


def draw_training(source: Source) -> Made | None:
    """Draw ELBO, log-likelihood and KL over the epochs."""
    columns, kept = history_arrays(source.history), kept_step(source.trained)
    curves = [f"{split}_{term}" for split in ("train", "validation") for term in ("elbo", "log_likelihood", "kl")]
    if not any(name in columns for name in curves):
        return None
    at = np.flatnonzero(columns.get("step", np.empty(0)) == kept) if kept else []
    best = int(at[-1]) if len(at) else None
    table = figures.training_curves_table(columns)
    axes = figures.training_curves(columns, best=best, mark="kept")
    return axes, table


def kept_step(trained: TrainedModel) -> int | None:
    """Find the step of training that a model is of."""
    # returns: the step: the best on validation rows, or the last; None where the model does not say.
    last = getattr(getattr(trained.config, "training", None), "keep", None) == "last"
    found = trained.facts.get("steps") if last else trained.facts.get("best_step") or trained.facts.get("steps")
    return found if isinstance(found, int) else None
