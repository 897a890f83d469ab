"""Labels of an estimator: conditions that its recipe reads, or classes that it predicts where they are missing."""

import dataclasses

import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from latens.config import VAEConfig
from latens.data import Dataset, encode_labels
from latens.data.conditions import text_of
from latens.data.infer import with_classes
from latens.data.row_fields import refuse_masked, unmasked
from latens.errors import UsageError
from latens.trained.trained_model import TrainedModel


def labelled(data: Dataset, y: ArrayLike | None, config: VAEConfig) -> Dataset:
    """Add labels to a data set where the recipe uses some."""
    # y: labels; -1 (of numbers), NaN, None or "" is a missing one.
    if config.label.kind in ("none", "beside"):
        return data
    if y is None and config.label.kind == "condition" and data.schema.conditions:
        return data
    if y is None:
        raise UsageError(f"the recipe {config.recipe!r} needs y.", where="y", fix="Call fit(X, y).")
    values = np.asarray(unmasked(y))
    if values.dtype.kind in "if" and (values == -1).any():
        values = np.where(values == -1, np.nan, values.astype(np.float64))
    codes, classes = encode_labels(values, len(data), "y", as_text=is_text(values))
    return dataclasses.replace(data, label=codes, schema=with_classes(data.schema, classes))


def is_text(y: ArrayLike | None) -> bool:
    """Whether labels are strings, which then are classes as they are written."""
    flat = [] if y is None else np.ravel(np.asarray(unmasked(y), object)).tolist()
    return any(isinstance(one, str) for one in flat) and all(isinstance(one, str) or one is None for one in flat)


def classes_of(trained: TrainedModel) -> Shaped[np.ndarray, " C"]:
    """Give the classes of a model in the order of their codes, numbers as numbers and truths as truths."""
    if trained.facts.get("text_labels"):
        return np.array(trained.classes)
    if {*trained.classes} <= {"False", "True"}:
        return np.array(trained.classes) == "True"
    try:
        return np.array([int(name) for name in trained.classes])
    except ValueError:
        return np.array(trained.classes)


def codes_of(trained: TrainedModel, y: ArrayLike | None, n: int) -> Shaped[np.ndarray, " n"] | None:
    """Turn the labels of n rows into the codes of a model's classes."""
    if not trained.preparation.classes:
        return None
    if y is None:
        raise UsageError("a conditional model needs y.", where="y", fix="Give the label of every row.")
    refuse_masked(y, "y")
    try:
        np.shape(y)
    except ValueError:
        raise UsageError("labels are of unequal length.", where="y", fix="Give one for each row.") from None
    values = np.broadcast_to(np.asarray(y), (n,)) if np.ndim(y) == 0 else np.asarray(y)
    if values.shape != (n,):
        raise UsageError(f"labels of shape {values.shape} for {n} rows.", where="y", fix="Give one for each row.")
    return np.array([trained.code_of(text_of(value)) for value in values.tolist()], np.int32)
