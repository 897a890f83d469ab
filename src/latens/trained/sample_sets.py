"""Rows and samples of a model side by side, in one unit, as the metrics about samples take them.

Also how far a code moves before the picture that it decodes to, or its class, is another.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from latens.config import ClassifierConfig
from latens.data import Dataset
from latens.data.conditions import GIVEN
from latens.data.preparation import DEPTH, log_depth
from latens.evidence.batched import ModelRows, prepared_rows
from latens.evidence.estimate import Estimate
from latens.kinds import kind_of
from latens.latents.codes import decode, encode, new_rows
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


MOST = 6.0
"""The farthest that a code is moved: as wide as nearly all of a standard Normal."""

_STEPS, _DIRECTIONS, _ROWS, _CENTRES = 24, 8, 50, 1000


class Reach(NamedTuple):
    """Distances in z, shape (rows, directions), infinite beyond `MOST`; `label` is None without classes."""

    picture: np.ndarray
    label: np.ndarray | None


def reach(
    pictured: Callable[[np.ndarray], np.ndarray],
    codes: np.ndarray,
    labels: np.ndarray | None,
    directions: np.ndarray,
    *,
    rows: int = _ROWS,
    steps: int = _STEPS,
) -> Reach:
    """Move the first codes along unit vectors, up to the first change of what they decode to."""
    # A picture is another once it is half as far from its start as two rows' pictures typically are; its class is that
    # of the nearest mean of the pictures of a class.
    start = pictured(codes)
    pairs = np.sqrt(((start[:rows, None] - start[None, :rows]) ** 2).sum(-1))
    # Above 0, so that a decoder whose picture never changes has no reach that ends.
    half = max(0.5 * float(np.median(pairs[np.triu_indices(len(pairs), 1)])), np.finfo(float).tiny)
    known = np.zeros(0) if labels is None else np.unique(labels[labels >= 0])
    centres = None
    if labels is not None and len(known) > 1:
        centres = np.stack([start[labels == one].mean(0) for one in known])
    own = None if centres is None else _squares(start[:rows], centres).argmin(1)
    at = MOST * np.linspace(0.0, 1.0, steps + 1) ** 2  # finer where most changes are
    picture, other = [], []
    for distance in at:
        moved = codes[:rows, None] + distance * directions
        now = pictured(moved.reshape(-1, codes.shape[1])).reshape(len(moved), len(directions), -1)
        picture.append(np.sqrt(((now - start[:rows, None]) ** 2).sum(-1)) - half)
        if centres is not None and own is not None:
            squares = _squares(now.reshape(-1, now.shape[-1]), centres).reshape(*now.shape[:2], -1)
            mine = np.take_along_axis(squares, own[:, None, None], axis=2)
            rest = np.where(np.arange(len(centres)) == own[:, None, None], np.inf, squares)
            other.append(mine[..., 0] - rest.min(-1))
    return Reach(_first(np.stack(picture), at), _first(np.stack(other), at) if other else None)


def _squares(pictures: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([((pictures - one) ** 2).sum(-1) for one in centres], axis=-1)


def _first(level: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Where a level first reaches 0, on a straight line between two steps; infinite where it does not."""
    after = np.argmax(level[1:] >= 0.0, axis=0)  # the step before the change
    low, high = (np.take_along_axis(level, (after + more)[None], axis=0)[0] for more in (0, 1))
    share = -low / np.where(high > low, high - low, 1.0)
    return np.where(
        (level[1:] >= 0.0).any(0), at[after] + (at[after + 1] - at[after]) * np.clip(share, 0.0, 1.0), np.inf
    )


def reach_of(trained: TrainedModel, data: Dataset, positions: np.ndarray, seed: int) -> Reach:
    """The reach of some of the rows at `positions`, at their posterior means, in directions drawn at random."""
    chosen = some(positions, _CENTRES, seed)
    key, model = jax.random.key(seed), trained.model
    codes = encode(ModelRows(model, trained.batch(data, chosen), key, trained.preparation))["mean"]
    size = int(np.prod(codes.shape[1:]))
    directions = np.random.default_rng(seed).normal(size=(_DIRECTIONS, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def pictured(z: np.ndarray) -> np.ndarray:
        pictures = decode(model, z.reshape(len(z), *codes.shape[1:]).astype(np.float32))
        return np.asarray(pictures, np.float64).reshape(len(z), -1)

    labels = None if data.label is None else data.label[chosen]
    flat = codes.reshape(len(codes), -1).astype(np.float64)
    first = np.random.default_rng(seed).permutation(len(flat))  # of all classes, where rows are in their order
    return reach(pictured, flat[first], None if labels is None else labels[first], directions)
