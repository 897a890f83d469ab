"""Rows and samples of a model side by side, in one unit, as the metrics about samples take them."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig
from latens.data import Dataset
from latens.data.conditions import GIVEN
from latens.data.preparation import DEPTH, log_depth
from latens.evidence.batched import prepared_rows
from latens.evidence.estimate import Estimate
from latens.kinds import kind_of
from latens.latents.codes import new_rows
from latens.predictive.classes import sample_classes
from latens.trained.inputs import is_grey, lacks_prior
from latens.trained.sample_quality import (
    PrincipalFeatures,
    classifier_two_sample_test,
    frechet_distance,
    precision_recall_density_coverage,
    principal_features,
)
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

MOST_ROWS = 1000
"""Of held-out rows, and as many samples; of training rows ten times as many."""


def why_not(trained: TrainedModel, data: Dataset) -> str:
    """Why samples of this model cannot be compared with these rows."""
    if lacks_prior(trained):
        return "an autoencoder has no prior to sample from (`latens refit` fits one)"
    if words := kind_of(data.schema).lacks.get("distances"):
        return words[0]
    if data.mask is not None and not np.all(data.mask):
        return "rows with missing cells have no distances"
    if data.weight is not None:
        return "rows with weights are not compared with samples, which have none"
    return ""


OTHER_DATA = "the model was trained on other data"


def not_its_own(trained: TrainedModel, data: Dataset) -> str:
    """Why samples of this model cannot be compared with these rows in features of its training rows."""
    if not len(data.subset("train")) or data.fingerprint != trained.facts.get("fingerprint"):
        return OTHER_DATA
    return why_not(trained, data)


@dataclass(frozen=True)
class SampleSets:
    """What is compared: at most 1000 of the rows at `positions`, 10,000 training rows, and samples."""

    # Everything is in the units of the stored rows, binarised as the model sees them. Of grey pixels under a Bernoulli,
    # whose samples are black and white, the means of p(x | z) stand for samples.

    trained: TrainedModel
    data: Dataset
    positions: np.ndarray  # the positions of the rows to compare with, of shape (n,)
    seed: int  # the seed of everything random

    @property
    def grey(self) -> bool:
        """Whether the pixels are grey under a Bernoulli."""
        return is_grey(self.trained)

    @property
    def what(self) -> str:
        """How samples were made, for the protocol."""
        return "samples are means of p(x | z), because the cells are grey; " if self.grey else ""

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows to compare with, of shape (n, *x)."""
        return self._seen(some(self.positions, MOST_ROWS, self.seed))

    @cached_property
    def train(self) -> np.ndarray:
        """The training rows, of shape (N, *x)."""
        return self._seen(some(self.data.subset("train"), 10 * MOST_ROWS, self.seed))

    @cached_property
    def samples(self) -> np.ndarray:
        """The 1000 samples, of shape (m, *x)."""
        return self.draw(MOST_ROWS, jax.random.fold_in(jax.random.key(self.seed), 1))

    @cached_property
    def features(self) -> PrincipalFeatures:
        """Principal components of the training rows: columns standardised, counts as log(1 + x)."""
        columns = self.data.schema.columns is not None
        logarithm = self.data.schema.cells.logged
        return principal_features(self.train, standardise=columns, logarithm=logarithm, seed=self.seed)

    @cached_property
    def described(self) -> str:
        """The features in words, for the protocol."""
        count = len(self.features.components)
        rest = " and the length of the rest" if self.features.rest else ""
        cells = "standardised columns" if self.data.schema.columns is not None else "cells"
        return f"{self.what}features: {count} principal components of the training rows' {cells}{rest}"

    def draw(self, n: int, key: Key, like: np.ndarray | None = None) -> Shaped[np.ndarray, " n *x"]:
        """Draw samples; a conditional model is asked for the labels of the rows, as often as they occur."""
        # like: positions of rows whose conditions samples have, in turn; None: those of the rows to compare with.
        trained = self.trained
        if isinstance(trained.config, ClassifierConfig):
            drawn = sample_classes(trained.model, n, key=jax.random.split(key)[0])
            return trained.data_units(drawn.x, mean=False)
        values, _ = new_rows(trained.model, n, mean=self.grey, cond=self.conditions(n, like), key=key)
        return trained.data_units(values, mean=self.grey)

    def conditions(self, n: int, like: np.ndarray | None = None) -> dict[str, np.ndarray] | None:
        """The conditions of simulated rows: label, conditions and total, each of one row."""
        trained, data = self.trained, self.data
        reads_labels = bool(trained.preparation.classes) and data.label is not None
        rows = self.positions if like is None else like
        if reads_labels and data.label is not None:
            rows = rows[data.label[rows] >= 0]
        rows = np.resize(rows, n)
        rows = rows if like is not None else np.random.default_rng(self.seed).permutation(rows)
        found = trained.condition(data.label[rows] if reads_labels and data.label is not None else None) or {}
        if trained.schema.conditions and data.cond is not None:
            found[GIVEN] = data.cond[GIVEN][rows]
        if trained.preparation.depth:
            own, place = np.unique(rows, return_inverse=True)
            found[DEPTH] = np.asarray(jax.vmap(log_depth)(np.asarray(data.x[own])))[place]
        return found or None

    def _seen(self, positions: np.ndarray) -> np.ndarray:
        if self.trained.preparation.binarize == "none":
            return np.asarray(self.data.x[positions])
        rows = self.trained.rows(self.data.rows(positions), seed=self.seed)  # the seed that `measure` evaluates with
        return prepared_rows(rows) * self.trained.preparation.divide


def compared(sets: SampleSets) -> dict[str, Estimate]:
    """The metrics of samples against rows: precision and recall, distances, and a classifier that tells them apart."""
    n, options = min(len(sets.rows), len(sets.samples)), {"features": sets.features, "seed": sets.seed}
    found = precision_recall_density_coverage(sets.rows, sets.samples[:n], **options)
    # What rows that the model has seen would score in the place of samples: how near rows of the data lie to others.
    rows = precision_recall_density_coverage(sets.rows, sets.train[: min(n, len(sets.train))], **options)
    found["precision_of_rows"] = dataclasses.replace(
        rows["precision"], protocol=f"training rows for samples: {rows['precision'].protocol}"
    )
    found["frechet_distance"] = frechet_distance(sets.rows, sets.samples, **options)
    found |= classifier_two_sample_test(sets.rows, sets.samples, **options)
    return {
        name: dataclasses.replace(value, protocol=f"{value.protocol}; {sets.described}")
        for name, value in found.items()
    }


def some(positions: Shaped[np.ndarray, " n"], most: int, seed: int) -> np.ndarray:
    """At most so many of the positions, drawn at random, in order."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(seed).permutation(positions)[:most])
