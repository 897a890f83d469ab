"""How a model came about: curves of training, rate against distortion, the KL of each unit over training."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from latens import figures
from latens.pictures.source import Made, Source
from latens.workflow.trained import TrainedModel


def history_arrays(history: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Turn records with numbers into arrays of one length."""
    names = dict.fromkeys(k for record in history for k, v in record.items() if isinstance(v, int | float))
    return {name: np.array([record.get(name, math.nan) for record in history], float) for name in names}


def partial_epoch(columns: dict[str, np.ndarray]) -> float | None:
    """Find how much of an epoch the last record is of."""
    # returns: the share; None where the last record is of whole epochs, or nothing says how long it is.
    epoch = columns.get("epoch", np.empty(0))
    lengths = np.diff(epoch, prepend=0.0)
    usual = float(np.median(lengths[:-1])) if len(epoch) > 1 else 1.0
    return float(lengths[-1]) / usual if len(epoch) and lengths[-1] < 0.999 * usual else None


def draw_training(source: Source) -> Made | None:
    """Draw ELBO, log-likelihood and KL over the epochs."""
    columns, kept = history_arrays(source.history), kept_step(source.trained)
    curves = [f"{split}_{term}" for split in ("train", "validation") for term in ("elbo", "log_likelihood", "kl")]
    if not any(name in columns for name in curves):
        return None
    at = np.flatnonzero(columns.get("step", np.empty(0)) == kept) if kept else []
    best = int(at[-1]) if len(at) else None
    table = figures.training_curves_table(columns)
    axes = figures.training_curves(columns, best=best, mark="kept", partial=partial_epoch(columns), theme=source.theme)
    _leave_out_the_start(axes, table)
    return axes, table


def _leave_out_the_start(axes: np.ndarray, table: dict[str, np.ndarray]) -> None:
    """Where the first twentieth of training spans most of a panel, show the rest of it, and say so."""
    x = next(iter(table.values()))
    first = math.ceil(len(x) / 20)
    for ax in axes if len(x) >= 20 else ():
        curves = [line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) == len(x)]
        if not curves:
            continue
        every, late = np.array(curves, float), np.array(curves, float)[:, first:]
        if np.ptp(every) > 4 * np.ptp(late) > 0:
            margin = 0.06 * np.ptp(late)
            ax.set_ylim(late.min() - margin, late.max() + margin)
            ax.set_xlabel(f"{ax.get_xlabel()} (the first {first} partly outside)")


def kept_step(trained: TrainedModel) -> int | None:
    """Find the step of training that a model is of."""
    # returns: the step: the best on validation rows, or the last; None where the model does not say.
    last = getattr(getattr(trained.config, "training", None), "keep", None) == "last"
    found = trained.facts.get("steps") if last else trained.facts.get("best_step") or trained.facts.get("steps")
    return found if isinstance(found, int) else None
