"""Likelihoods of counts on single-cell matrices: finite from the first step, and above independent genes held out.

A negative binomial for each gene says more of over-dispersed counts than Poissons whose rates come from few latents:
so a Poisson is asked to beat independent Poissons.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from asked import at
from scipy import sparse, stats

from latens import evaluation
from latens.config import override
from latens.data import Dataset, load
from latens.evidence.estimate import Estimate
from latens.recipes import get_recipe
from latens.training import Event
from latens.workflow.experiment import prepare, train
from latens.workflow.measurement import measure
from latens.workflow.trained import TrainedModel

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
    elbos: list[float] = []
    trained, result = train(experiment, callbacks=[lambda event: note_epoch(event, elbos)])
    assert result.snapshot.loop.skipped == 0
    assert float(result.snapshot.state.learning_rate_factor) == 1.0
    assert min(elbos) > 2.0 * elbos[0], elbos  # an exponential that ran away cost 200,000 nats a row
    rows = experiment.data.subset("test")[:ROWS]
    if family == "poisson":
        gain = _above_independent_poissons(trained, experiment.data, rows)
    else:
        gain = measure(trained, experiment.data, rows, num_samples=50)["gain_over_independent"]
    print(f"{matrix} {family}: gain {gain}")
    assert gain.value > 4.0 * gain.standard_error


def note_epoch(event: Event, elbos: list[float]) -> None:
    if event.kind == "epoch":
        elbos.append(event.record["train_elbo"])


def _above_independent_poissons(trained: TrainedModel, data: Dataset, rows: np.ndarray) -> Estimate:
    """log p(x) minus that of a Poisson for each gene, whose rate is the training cells' mean with half a count more."""
    train = data.x[data.subset("train")]
    independent = stats.poisson.logpmf(data.x[rows], (train.sum(axis=0) + 0.5) / len(train)).sum(axis=1)
    options = {"num_samples": 50, "key": jax.random.key(0), "preparation": trained.preparation}
    found = at(evaluation.importance_sampling, trained.model, trained.batch(data, rows), **options)
    print(f"log p(x) {found.rows.mean():.1f}, independent Poissons {independent.mean():.1f}")
    return Estimate.of(found.rows - independent, num_samples=50, protocol="paired")
