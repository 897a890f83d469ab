"""Rows of one class as rows of another, in their own style; and pictures as their pair, of a model of pairs."""

from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from latens import evaluation
from latens.data import Dataset, Schema
from latens.data.batches import as_batch
from latens.data.infer import conform, store
from latens.errors import ConfigError, DataError, UsageError
from latens.kinds.pictures.picture_files import as_colours
from latens.typing import checked_later
from latens.workflow.inputs import code_of, knows_pairs, refuse_inputs, seed_key
from latens.workflow.trained import TrainedModel


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
        raise ConfigError(what, where="recipe", fix="Use a model of --recipe conditional-vae, or of label=condition.")
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
    values = evaluation.translate(trained.rows(data, positions, key=key), into, mean=mean)
    return Translated(evaluation.finite(trained.data_units(values, mean=mean), "x"), positions)


# --- pairs ---

SIDES = ("source", "target")
"""The sides of a pair: the left half of a row, and the right."""


@checked_later
def complete(
    trained: TrainedModel,
    pictures: np.ndarray,
    start: str = "source",
    end: str = "target",
    *,
    mean: bool = True,
    num_samples: int = 100,
    seed: int = 0,
    where: str = "pictures",
) -> np.ndarray:
    """The other side of pairs, in the units of the stored rows: E[target | source], or a draw of it."""
    # Latents from q(z | source), weighted by p(source | z) p(z) / q(z | source), as `evaluation.impute` has it.
    # pictures: one side of each pair, of shape (n, h, w), or (n, h, w, 3); grey pictures serve a model of colours.
    # start: the side that is given, "source" or "target"; end: the other one. where: how an error names the pictures.
    if not knows_pairs(trained):
        raise ConfigError("this model has no pairs.", where="recipe", fix="Train with --recipe paired --pair DATA2.")
    for name, flag in ((start, "from"), (end, "to")):
        if name not in SIDES:
            raise UsageError(f"a pair has no side {name!r}.", where=flag, fix=f"Use {' or '.join(SIDES)}.")
    if start == end:
        raise UsageError(f"from {start!r} to {end!r} is not a translation.", where="to", fix="Give the other side.")
    half = side_schema(trained.schema)
    x = as_colours(pictures) if pictures.ndim == 3 < len(half.shape) + 1 else pictures
    x = store(conform(x, None, half, None, where)[0], half, where)
    width = half.shape[1]
    rows = np.zeros((len(x), *trained.schema.shape), x.dtype)
    mask = np.zeros(rows.shape, bool)
    given, wanted = (
        (slice(0, width), slice(width, 2 * width)) if start == "source" else (slice(width, None), slice(0, width))
    )
    rows[:, :, given], mask[:, :, given] = x, True
    found = evaluation.impute(
        trained.rows(as_batch(rows, mask=mask), key=seed_key(seed)), num_samples=num_samples, num_draws=0 if mean else 1
    )
    values = trained.data_units(found.mean if mean else found.draws[:, 0], mean=mean)
    return evaluation.finite(values[:, :, wanted], "x")


def side_schema(schema: Schema) -> Schema:
    """The schema of one side of pairs."""
    return replace(schema, shape=(schema.shape[0], schema.shape[1] // 2, *schema.shape[2:]), classes=None)
