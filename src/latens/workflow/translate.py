"""Rows of one class as rows of another, in their own style."""

from typing import NamedTuple

import jax
import numpy as np

from latens import evaluation
from latens.data import Dataset
from latens.errors import ConfigError, DataError, UsageError, nearest
from latens.workflow.trained import TrainedModel


class Translated(NamedTuple):
    """Rows and what they became.

    Args:
        x: The new rows, of shape (n, *x), in the units of the stored rows.
        positions: The positions in the data of the rows that they were made of, of shape (n,).
    """

    x: np.ndarray
    positions: np.ndarray


def translate(
    trained: TrainedModel, data: Dataset, start: str, end: str, *, mean: bool = True, seed: int = 0
) -> Translated:
    """Decode the code of each row of one class as another class.

    z from q(z | x, start), then x from p(x | z, end): what z holds beside the class stays as it is.

    Args:
        trained: A trained model that reads labels.
        data: Rows with labels.
        start: The class of the rows that are taken.
        end: The class that they are decoded as; the same class gives reconstructions.
        mean: Whether to give the mean of p(x | z) at the posterior mean; else a draw at a draw.
        seed: The seed of the draws.

    Returns:
        The rows of the class `start` as rows of the class `end`.

    Raises:
        ConfigError: The model reads no labels.
        DataError: No row is of the class `start`.
        UsageError: The model does not know a class; the message names the nearest one.
    """
    if not trained.preparation.classes:
        what = "this model reads no labels, so that no row can be decoded as another class."
        raise ConfigError(what, where="recipe", fix="Use a model of --recipe conditional-vae, or of label=condition.")
    code, other = (_code_of(trained, name, where) for name, where in ((start, "from"), (end, "to")))
    label = data.seen_label
    positions = np.flatnonzero(np.full(len(data), -1) if label is None else label == code)
    if label is None or not len(positions):
        found = [] if label is None else [trained.classes[c] for c in np.unique(label[label >= 0])]
        having = f"their classes are {', '.join(found[:20])}" if found else "they have no labels that the model knows"
        what = f"none of {len(data)} rows is of the class {start!r}: {having}."
        raise DataError(what, where=data.name, fix="Name the column of the labels with --label NAME, or another class.")
    into = {"label": np.eye(trained.preparation.classes, dtype=np.float32)[other]}
    values = evaluation.translate(
        trained.model,
        trained.batch(data, positions),
        into,
        preparation=trained.preparation,
        key=jax.random.key(seed),
        mean=mean,
    )
    return Translated(evaluation.finite(trained.data_units(values, mean=mean), "x"), positions)


def _code_of(trained: TrainedModel, name: str, where: str) -> int:
    if name not in trained.classes:
        raise UsageError(f"this model has no class {name!r}.", where=where, fix=nearest(name, trained.classes))
    return trained.classes.index(name)
