"""Which labels training may see, and how often it meets them."""

import dataclasses

import numpy as np

from latens.data.dataset import Dataset
from latens.data.rows import TRAIN
from latens.errors import DataError


def keep_labels(data: Dataset, count: int, seed: int) -> Dataset:
    """Hide all labels of training rows but some: as many of each class, chosen at random."""
    # Labels of validation and test rows stay; so does the fingerprint, because the data are the same.
    classes = data.schema.classes or ()
    if data.label is None or not classes:
        raise DataError("there are no labels to keep.", where=data.name, fix="Name their column: --label NAME.")
    if count < len(classes):
        fix = f"Give {len(classes)} or more."
        what = f"data.labelled={count} is fewer than one label for each of {len(classes)} classes."
        raise DataError(what, where="data.labelled", fix=fix)
    generator, kept = np.random.default_rng(seed), np.zeros(len(data), bool)
    for code, name in enumerate(classes):
        share = count // len(classes) + (code < count % len(classes))
        rows = np.flatnonzero((data.split == TRAIN) & (data.label == code))
        if len(rows) < share:
            message = f"class {name!r} has {len(rows)} training rows with a label; {share} were asked for."
            raise DataError(message, where="data.labelled", fix="Ask for fewer, or leave it out to keep every label.")
        kept[generator.permutation(rows)[:share]] = True
    return dataclasses.replace(data, hidden=(data.split == TRAIN) & ~kept)


def require_labels(data: Dataset, positions: np.ndarray, where: str) -> None:
    """Refuse rows without a label."""
    label = data.seen_label
    missing = len(positions) if label is None else int(np.sum(label[positions] < 0))
    if missing:
        what = f"{missing} of {len(positions)} rows have no label among {_listed(data)}; a conditional model reads it."
        fix = "Name the column of the labels with --label NAME, and leave out rows without one."
        raise DataError(what, where=where, fix=fix)


def _listed(data: Dataset) -> str:
    classes = data.schema.classes or ()
    return ", ".join(classes[:5]) + (" ..." if len(classes) > 5 else "") if classes else "no classes"
