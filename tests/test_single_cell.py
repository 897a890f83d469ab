"""Likelihoods of counts on single-cell matrices: finite from the first step, and above independent genes held out."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse

from latens.config import override
from latens.data import load
from latens.measure.core import measure
from latens.recipes import get_recipe
from latens.workflow.experiment import prepare, train

ROWS = 300


def _worm(folder: Path) -> np.ndarray:
    return sparse.load_npz(folder / "worm_neuron_counts.npz").toarray()


def _mouse(folder: Path) -> np.ndarray:
    return sparse.load_npz(folder / "mouse_10x_10k_counts.npz").toarray()


def _molecules(folder: Path) -> np.ndarray:
    with h5py.File(folder / "smfish.h5ad") as file:
        return np.asarray(file["X"])


MATRICES: dict[str, tuple[Callable[[Path], np.ndarray], int, int]] = {
    "worm-1000": (_worm, 1000, 20),
    "worm-2000": (_worm, 2000, 20),
    "mouse-1000": (_mouse, 1000, 20),
    "molecules-33": (_molecules, 33, 200),
}
"""How to read each, how many genes, and for how many epochs: large counts of few genes take a Poisson longer."""


@pytest.mark.long
@pytest.mark.parametrize("family", ["negative-binomial", "zero-inflated-negative-binomial", "poisson"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_counts_of_genes(shared_data: Path, matrix: str, family: str) -> None:
    """The most variable genes at default settings, few epochs: no step is skipped, no rate is halved."""
    read, genes, epochs = MATRICES[matrix]
    counts = read(shared_data / "data" / "single_cell")
    counts = counts[:, np.sort(np.argsort(-counts.var(axis=0), kind="stable")[:genes])]
    settings = {"likelihood.family": family, "training.epochs": epochs}
    experiment = prepare(override(get_recipe("default").config, settings), load(counts, counts=True))
    trained, result = train(experiment)
    assert result.snapshot.loop.skipped == 0
    assert float(result.snapshot.state.learning_rate_factor) == 1.0
    rows = experiment.data.subset("test")[:ROWS]
    found = measure(trained, experiment.data, rows, num_samples=50)
    own, gain = found["log_marginal"], found["gain_over_independent"]
    print(f"{matrix} {family}: log p(x) {own}, independent {own.value - gain.value:.2f}, gain {gain}")
    assert gain.value > 4.0 * gain.standard_error
