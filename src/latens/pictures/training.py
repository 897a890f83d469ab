"""How a model came about: curves of training, rate against distortion, the KL of each unit over training."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from latens import figures
from latens.figures import over_training, rate
from latens.pictures.source import Made, Posteriors, Source
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


def draw_rate(source: Source) -> Made | None:
    """Draw the KL against -log p(x|z) over training."""
    for split in ("validation", "train"):
        names = (f"{split}_kl", f"{split}_log_likelihood")
        rows = [r for r in source.history if all(isinstance(r.get(n), float) and math.isfinite(r[n]) for n in names)]
        if len(rows) >= 2:
            best = kept_step(source.trained)
            own = [i for i, row in enumerate(rows) if row["step"] == best]
            chosen = np.unique([*np.geomspace(1, len(rows), 24).round().astype(int) - 1, *own])
            kept = [rows[i] for i in chosen]
            words = [f"step {r['step']}{', kept' * (r['step'] == best)}" for r in kept]
            given = ([r[names[0]] for r in kept], [-r[names[1]] for r in kept], words)
            of = f"{split}{'ing' if split == 'train' else ''} rows"
            return rate.rate_distortion(*given, of=of, theme=source.theme)
    return None


def kept_step(trained: TrainedModel) -> int | None:
    """Find the step of training that a model is of."""
    # returns: the step: the best on validation rows, or the last; None where the model does not say.
    last = getattr(getattr(trained.config, "training", None), "keep", None) == "last"
    found = trained.facts.get("steps") if last else trained.facts.get("best_step") or trained.facts.get("steps")
    return found if isinstance(found, int) else None


def draw_unit_kl(source: Source) -> Made | None:
    """Draw the KL of every latent dimension over training, of the rows that every picture of the KL is of."""
    # The model itself stands among those that training kept, at its own step.
    # returns: none where a dimension has no KL of its own.
    positions, kept = source.posteriors.positions, kept_step(source.trained)
    others = [(step, one) for step, one in source.snapshots if step != kept]
    found = {step: Posteriors(Source(one, source.data), positions).kl for step, one in others}
    if kept is not None:
        found[kept] = source.posteriors.kl
    steps = sorted(found)
    kl = [found[step] for step in steps]
    if any(one is None or one.shape != kl[-1].shape for one in kl):  # type: ignore[union-attr]
        return None
    return over_training.unit_kl_history(np.array(steps), np.array(kl), kept=kept, theme=source.theme)
