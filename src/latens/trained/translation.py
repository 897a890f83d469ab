"""Rows of one class as rows of another, in their own style."""

from typing import NamedTuple

import numpy as np

from latens.data import Dataset
from latens.errors import ConfigError, DataError
from latens.evidence.estimate import finite
from latens.latents import codes
from latens.trained.inputs import code_of, refuse_inputs, seed_key
from latens.trained.trained_model import TrainedModel
from latens.typing import checked_later


class Translated(NamedTuple):
    """Rows and what they became."""

    x: np.ndarray  # the new rows, of shape (n, *x), in the units of the stored rows
    positions: np.ndarray  # the positions in the data of the rows that they were made of, of shape (n,)


@checked_later
def translate(
    trained: TrainedModel, data: Dataset, start: str, end: str, *, mean: bool = True, seed: int = 0
) -> Translated:
    """Decode the code of each row of the class `start` as one of the class `end`, by the mean or by a draw."""
    # z from q(z | x, start), then x from p(x | z, end): what z holds beside the class stays as it is.
    refuse_inputs(trained, data, TrainedModel)
    if not trained.preparation.classes:
        what = "this model reads no labels, so that no row can be decoded as another class."
        raise ConfigError(what, where="recipe", fix="Train with --set label=condition.")
    code, other = (code_of(name, trained.classes, where) for name, where in ((start, "from"), (end, "to")))
    label = data.seen_label
    positions = np.flatnonzero(np.full(len(data), -1) if label is None else label == code)
    if label is None or not len(positions):
        found = [] if label is None else [trained.classes[c] for c in np.unique(label[label >= 0])]
        having = f"their classes are {', '.join(found[:20])}" if found else "they have no labels that the model knows"
        what = f"none of {len(data)} rows is of the class {start!r}: {having}."
        raise DataError(what, where=data.name, fix="Name the column of the labels with --label NAME, or another class.")
    into = {"label": np.eye(trained.preparation.classes, dtype=np.float32)[other]}
    key = seed_key(seed)
    values = codes.translate(trained.rows(data, positions, key=key), into, mean=mean)
    return Translated(finite(trained.data_units(values, mean=mean), "x"), positions)
