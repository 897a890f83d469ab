"""How well a model of pairs tells a target from its source, beside the mean target and the nearest neighbour's."""

from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from latens.data import Dataset
from latens.evaluation import Estimate
from latens.workflow.sample_sets import MOST_ROWS, some
from latens.workflow.trained import TrainedModel
from latens.workflow.translation import complete

NAMES = ("target_squared_error", "gain_over_mean_target", "gain_over_nearest_target")
"""The metrics of pairs."""


def of_pairs(
    trained: TrainedModel, data: Dataset, positions: Shaped[np.ndarray, " n"], *, num_samples: int = 100, seed: int = 0
) -> dict[str, Estimate]:
    """The squared error of E[target | source], a cell, and how much smaller it is than that of two guesses."""
    # - `target_squared_error`: the mean over the cells of a row of (target - E[target | source]) squared;
    # - `gain_over_mean_target`: the error of the mean target of the training rows minus it, paired over rows;
    # - `gain_over_nearest_target`: the error of the target of the training row with the nearest source minus it.
    width = data.schema.shape[1] // 2
    rows, train = data.x[some(positions, MOST_ROWS, seed)], data.x[some(data.subset("train"), 10 * MOST_ROWS, seed)]
    source, target = (part.astype(np.float64) for part in (rows[:, :, :width], rows[:, :, width:]))
    known, answers = (part.astype(np.float64) for part in (train[:, :, :width], train[:, :, width:]))
    guesses = {
        "model": complete(trained, rows[:, :, :width], num_samples=num_samples, seed=seed, where=data.name),
        "mean": answers.mean(axis=0),
        "nearest": answers[nearest_rows(source, known)],
    }
    errors = {
        name: np.mean((target - guess) ** 2, axis=tuple(range(1, target.ndim))) for name, guess in guesses.items()
    }
    protocol = f"E[target | source] from {num_samples} draws a row, weighted by p(source | z) p(z) / q(z | source)"
    words = {
        "mean": f"error of the mean target of {len(train)} training rows minus that of the model, paired",
        "nearest": f"error of the nearest of {len(train)} training sources' target minus that of the model, paired",
    }
    found = {NAMES[0]: Estimate.of(errors["model"], num_samples=num_samples, protocol=protocol)}
    for name, guess in zip(NAMES[1:], words):
        values = errors[guess] - errors["model"]
        found[name] = Estimate.of(values, num_samples=num_samples, protocol=words[guess])
    return {name: replace(value, unit="squared units a cell") for name, value in found.items()}


def nearest_rows(rows: Shaped[np.ndarray, "n *x"], among: Shaped[np.ndarray, "m *x"]) -> Shaped[np.ndarray, " n"]:
    """Find the nearest row of another set by the sum of squared differences."""
    flat, other = rows.reshape(len(rows), -1), among.reshape(len(among), -1)
    return np.argmin(np.sum(other**2, axis=1)[None] - 2.0 * flat @ other.T, axis=1)
