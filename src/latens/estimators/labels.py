"""Labels of an estimator: conditions that its recipe reads, or classes that it predicts where they are missing."""

import dataclasses
from typing import Any

import numpy as np

from latens.config import VAEConfig
from latens.data import Dataset, encode_labels
from latens.data.infer import with_classes
from latens.errors import UsageError
from latens.workflow.trained import TrainedModel


def labelled(data: Dataset, y: Any, config: VAEConfig) -> Dataset:
    """The data with the labels `y`, where the recipe wants some.

    A missing label is -1 (of numbers), NaN, None or "". **Raises:** UsageError where `y` is needed and missing.
    """
    if config.label.kind == "none":
        return data
    if y is None:
        raise UsageError(f"the recipe {config.recipe!r} needs y.", where="y", fix="Call fit(X, y).")
    values = np.asarray(y)
    if values.dtype.kind in "if":
        values = np.where(values == -1, np.nan, values.astype(np.float64))
    codes, classes = encode_labels(values, len(data), "y")
    return dataclasses.replace(data, label=codes, schema=with_classes(data.schema, classes))


def classes_of(trained: TrainedModel) -> np.ndarray:
    """The classes in the order of their codes, numbers as numbers."""
    names = np.array(trained.classes)
    try:
        numbers = names.astype(np.float64)
    except ValueError:
        return names
    kind = np.int64 if np.all(numbers == np.floor(numbers)) else np.float64
    return numbers.astype(kind)


def codes_of(trained: TrainedModel, y: Any, n: int) -> np.ndarray | None:
    """The codes of the classes of n rows: `y` one class for all, or one a row; None for models without conditions.

    **Raises:** UsageError where `y` is missing, too short, or names a class that the model does not have.
    """
    if not trained.preparation.classes:
        return None
    if y is None:
        raise UsageError("a conditional model needs y.", where="y", fix="Give the label of every row.")
    values = np.broadcast_to(np.asarray(y), (n,)) if np.ndim(y) == 0 else np.asarray(y)
    if values.shape != (n,):
        raise UsageError(f"labels of shape {values.shape} for {n} rows.", where="y", fix="Give one for each row.")
    return np.array([trained.code_of(_name(value)) for value in values.tolist()], np.int32)


def label_units(config: VAEConfig, trained: TrainedModel) -> int:
    """How many numbers a latent has beside its code: a predicted label, and on codes those of M2."""
    match config.label.kind:
        case "predict":
            return len(trained.classes)
        case "predict-codes":
            return len(trained.classes) + config.label.latent_dim
        case _:
            return 0


def _name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
