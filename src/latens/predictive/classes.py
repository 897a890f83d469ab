"""Classifiers that can sample: class probabilities, accuracy, and examples of a class beside their component's mean."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from latens.data.dataset import Batch
from latens.errors import DataError, UsageError
from latens.evidence.batched import ModelRows, map_rows
from latens.evidence.estimate import Estimate
from latens.models import BayesClassifier
from latens.runtime.compilation import check_process, counted
from latens.runtime.programs import compiled
from latens.typing import Array, Int, Key


class ClassSamples(NamedTuple):
    """Samples of a classifier that is a density model, with their classes and components.

    Args:
        x: The samples, shape (n, *x), in the unit of the model.
        label: Number of each sample's class, shape (n,).
        component: Number of its component, shape (n,).
        component_mean: Mean of that component, shape (n, *x).
    """

    x: np.ndarray
    label: np.ndarray
    component: np.ndarray
    component_mean: np.ndarray


def _log_joint(model: BayesClassifier, batch: Batch, key: Key) -> Array:
    return jax.vmap(model.log_joint)(batch.x)


def class_log_joint(rows: ModelRows) -> np.ndarray:
    """Evaluate log p(x, class) of every row, in nats, of shape (B, C)."""
    return map_rows(_log_joint, replace(rows, key=jax.random.key(0)))


def normalise(log_joint: Shaped[np.ndarray, "B C"]) -> Shaped[np.ndarray, "B C"]:
    """Turn log p(x, c) into p(c | x): Bayes' rule without overflow."""
    weights = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def accuracy(rows: ModelRows) -> Estimate:
    """The share of labelled rows whose most probable class is their label, with its standard error.

    Args:
        rows: The model and the stored rows, B of them.

    Returns:
        The estimate.

    Raises:
        DataError: Where no row has a label.
    """
    labels = None if rows.batch.label is None else np.asarray(rows.batch.label)
    if labels is None or not np.any(labels >= 0):
        raise DataError("there are no labels to compare with.", where="data", fix="Name their column: --label NAME.")
    known = labels >= 0
    predicted = class_log_joint(rows).argmax(axis=1)
    weight = None if rows.batch.weight is None else np.asarray(rows.batch.weight)[known]
    hits = (predicted == labels)[known]
    found = Estimate.of(hits, num_samples=1, protocol="share of rows given their own class", weight=weight)
    return replace(found, unit="accuracy")


@compiled
def _sample(model: BayesClassifier, label: Int[Array, ""] | None, keys: Array) -> tuple[Array, Array, Array]:
    # One after another: vmap would copy a D x D factor for every sample.
    return jax.lax.map(lambda key: model.sample(label=label, key=key), keys)


@counted(n=1)
def sample_classes(model: BayesClassifier, n: int, *, key: Key, label: int | None = None) -> ClassSamples:
    """Sample rows of one class or of random classes, each with its component and that component's mean."""
    # They are in the model's unit, after the preparation (x / 255 for pixels). Nothing is clipped.
    check_process()
    if label is not None and not 0 <= label < model.num_classes:
        raise UsageError(f"there is no class {label}; the classes are numbered 0 to {model.num_classes - 1}.")
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
    x, labels, components = _sample(model, None if label is None else jnp.asarray(label), keys)
    labels, components = np.asarray(labels), np.asarray(components)
    means = np.asarray(model.mean)[labels, components].reshape(n, *model.shape)
    return ClassSamples(np.asarray(x), labels, components, means)
