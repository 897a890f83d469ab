"""What is in a data set, what would go wrong, and which likelihood suits it."""

from typing import Any

import numpy as np

from latens.data.dataset import Dataset
from latens.data.infer import MOST_MEASURED, Extent, whole_columns
from latens.data.mapped import few, take
from latens.data.row_fields import SPLITS
from latens.data.schema import Schema
from latens.kinds import kind_of
from latens.kinds.counts.sparse import SparseRows
from latens.kinds.tables.columns import missing_words

FEW_ROWS = 100
"""Rows below which a network learns little."""
_SHOWN = 10
_ROWS = 4096

SMALLEST, FEW_LEVELS = 16, 32
"""The shortest side of a picture that is taken for one, in pixels; up to so many levels have a probability each."""


def is_picture(schema: Schema) -> bool:
    """Say whether rows are pictures for which convolutions are the default."""
    # returns: true for grey or colour pictures of many levels, from 16 x 16 pixels up.
    shape = schema.image
    return shape is not None and (schema.levels or 0) > FEW_LEVELS and min(shape[:2]) >= SMALLEST


def suggest_likelihood(dataset: Dataset, *, convolutions: bool = False) -> tuple[str, str]:
    """Choose the likelihood that the default recipe uses for these data, and say why.

    Binary features: bernoulli. Up to 32 levels: categorical. More levels, or fractions: continuous-bernoulli where more
    than half of the values lie in the lowest or highest 5 % of the range, else normal. Real numbers: normal; counts:
    normal on log(1 + x); likelihoods of the counts themselves are chosen by name. Only training rows are looked at.

    Args:
        dataset: The data set.
        convolutions: Whether pictures get convolutional networks, which give a probability for each level of grey.

    Returns:
        The name of the likelihood, and the reason in one sentence.
    """
    schema = dataset.schema
    if own := kind_of(schema).likelihood or schema.cells.likelihood:
        return own
    if schema.levels is not None and schema.levels <= FEW_LEVELS:
        return "categorical", f"Every cell is one of {schema.levels} levels, few enough for a probability each."
    if convolutions and is_picture(schema):
        if schema.shape[2:] == (3,):
            return "normal", "A normal of colours has the closer reconstructions."
        return "logistic-mixture", f"A logistic has a probability for each of {schema.levels} levels."
    if schema.cells.real:
        if count_columns(dataset).all():
            return "normal", "Cells are whole numbers like counts, without a long tail: a normal of the numbers."
        return "normal", f"{'Entries' if dataset.cells else 'Cells'} are real numbers."
    share = extreme_share(dataset)
    text = f"{share:.0%} of the cells lie in the lowest or highest 5 % of the range"
    if share > 0.5:
        return "continuous-bernoulli", f"{text}, near black or white."
    return "normal", f"Only {text}, so most are true greys."


def extreme_share(dataset: Dataset) -> float:
    """The share of observed training values in the lowest or highest 5 % of the range (0..levels-1, or 0..1)."""
    rows = few(dataset.subset("train"), MOST_MEASURED)
    rows = rows if len(rows) else np.arange(len(dataset))
    top = float((dataset.schema.levels or 2) - 1)
    extreme = cells = 0
    # In pieces: the comparisons need several times the memory of uint8 pixels.
    for start in range(0, len(rows), _ROWS):
        piece = rows[start : start + _ROWS]
        x = dataset.x[piece]
        if dataset.mask is not None:
            x = x[dataset.mask[piece]]
        extreme += int(np.count_nonzero((x <= 0.05 * top) | (x >= 0.95 * top)))
        cells += x.size
    return extreme / max(cells, 1)


def count_columns(dataset: Dataset) -> np.ndarray:
    """Say for each column of a table of real numbers or counts whether it holds counts: whole, 0 or more, above 16."""
    x, mask = training_rows(dataset)
    if not dataset.schema.standardised or x.ndim != 2:
        return np.zeros(x.shape[1:], bool)
    high = (x if mask is None else np.where(mask, x, 0)).max(axis=0)
    whole = whole_columns(x, mask)
    # In a table of counts some columns stay small, or zero, by chance: there the whole table decides.
    return np.full(len(high), high.max() > 16) if whole.all() else whole & (high > 16)


def check(dataset: Dataset) -> dict[str, Any]:
    """Report on a data set, ready for JSON.

    Args:
        dataset: The data set.

    Returns:
        A dict of name, rows, shape, dtype, kind, levels, range, nan_cells, zero_fraction, constant_columns,
        duplicate_rows, counts, labels, splits, likelihood, reason, warnings, notes (which of these tell what was found
        or done, and ask for nothing) and fingerprint; of a mixed table also columns, with name, kind, written, values
        and missing of each; of text tokens, with pieces, vocabulary, longest, mean, edges and counted (the share of
        computed steps that rows need).
        Missing values enter no other entry but `nan_cells`.
    """
    x, mask, schema = dataset.x, dataset.mask, dataset.schema
    low, high = Extent.of(x, mask).ends
    observed = x.size if mask is None else int(mask.sum())
    if isinstance(x, SparseRows):
        zeros = x.size - int(np.count_nonzero(x.matrix.data))
    else:
        zeros = int(np.count_nonzero(x == 0) if mask is None else np.count_nonzero((x == 0) & mask))
    constant = _constant(x, mask)
    likelihood, reason = suggest_likelihood(dataset, convolutions=True)
    if dataset.cells and schema.cells.logged:
        likelihood, reason = "depth-negative-binomial", "Rows are cells with counts: `latens fit` takes --recipe cells."
    counts = count_columns(dataset)
    report: dict[str, Any] = {
        "name": dataset.name,
        "rows": len(x),
        "shape": list(schema.shape),
        "dtype": str(x.dtype),
        "kind": schema.kind,
        "levels": schema.levels,
        "range": [low, high],
        "nan_cells": x.size - observed,
        "zero_fraction": zeros / max(observed, 1),
        "constant_columns": {"count": int(constant.sum()), "first": _names(dataset, constant)},
        "duplicate_rows": len(x) - len({row.tobytes() for row in x}),
        "counts": {"all": bool(counts.size and counts.all()), "count": int(counts.sum())},
        "labels": _label_counts(dataset),
        "splits": {name: int(np.sum(dataset.split == code)) for code, name in enumerate(SPLITS)},
        "likelihood": likelihood,
        "reason": reason,
        "fingerprint": dataset.fingerprint,
    }
    report |= kind_of(schema).report(dataset)
    report["warnings"], report["notes"] = _warnings(dataset, report)
    return report


def training_rows(dataset: Dataset) -> tuple[Any, np.ndarray | None]:
    """The training rows, some of many, and what of them is observed."""
    rows = few(dataset.subset("train"), MOST_MEASURED)
    if len(rows) in (0, len(dataset)):
        return dataset.x, dataset.mask
    x = dataset.x.take(rows, axis=0) if isinstance(dataset.x, SparseRows) else take(dataset.x, rows)
    return x, None if dataset.mask is None else take(dataset.mask, rows)


def _constant(x: np.ndarray | SparseRows, mask: np.ndarray | None) -> np.ndarray:
    if mask is None:
        return x.min(0) == x.max(0)
    low = np.where(mask, x, np.inf).min(0)
    high = np.where(mask, x, -np.inf).max(0)
    return low >= high


def _names(dataset: Dataset, cells: np.ndarray) -> list[Any]:
    """The first few of these cells: column names of a table, positions in a picture."""
    found = np.argwhere(cells)[:_SHOWN].tolist()
    columns = dataset.schema.columns
    return [(columns[at[0]].name if columns else at[0]) if len(at) == 1 else at for at in found]


def _label_counts(dataset: Dataset) -> dict[str, int] | None:
    if dataset.label is None:
        return None
    classes = dataset.schema.classes or ()
    counts = np.bincount(dataset.label[dataset.label >= 0], minlength=len(classes))
    result = {name: int(n) for name, n in zip(classes, counts)}
    unlabelled = int(np.sum(dataset.label < 0))
    return {**result, "(none)": unlabelled} if unlabelled else result


def _warnings(dataset: Dataset, report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is said of the data, and which of it only tells what was found or done."""
    notes = [*dataset.notes, *missing_words(dataset.schema)]
    warnings = [*notes]
    table = len(dataset.schema.shape) == 1
    for name, rows in report["splits"].items():
        if not rows:
            warnings.append(f"No row is a {name} row: give more rows, or bring a split of your own.")
    constant = report["constant_columns"]["count"]
    if constant and table:
        shown = ", ".join(map(str, report["constant_columns"]["first"]))
        warnings.append(f"{constant} columns never change ({shown}): they carry nothing and may be left out.")
    warnings += _in_training(dataset) if dataset.schema.columns is not None else []
    if copies := report["duplicate_rows"]:
        said = "row is a copy of another" if copies == 1 else "rows are copies of others"
        warnings.append(f"{copies} {said}, and one of them may be tested that is trained on.")
    if report["nan_cells"]:
        called = "entries" if dataset.cells else "cells"
        warnings.append(f"{report['nan_cells']} {called} are missing; they are masked and have no influence.")
        notes += warnings[-1:]
    if dataset.schema.cells.warning and not dataset.cells:
        warnings.append(dataset.schema.cells.warning)
    elif report["counts"]["all"] and not dataset.cells:
        warnings.append("The cells are whole numbers: if they count something, --counts models log(1 + x).")
    return warnings + lost_digits(dataset.schema), notes


def _in_training(dataset: Dataset) -> list[str]:
    """What would go wrong in training on a table with named columns."""
    said, rows = [], len(dataset)
    empty = 0 if dataset.mask is None else int(np.count_nonzero(~dataset.mask.any(axis=1)))
    if empty:
        said.append(f"{empty} rows have no cell at all: they change nothing, and may be left out.")
    if rows < FEW_ROWS:
        said.append(
            f"Only {rows} rows: a network learns little from so few; nearest neighbours or trees (KNNImputer, "
            "IsolationForest and random forests of scikit-learn) are safer."
        )
    return said


def lost_digits(schema: Schema) -> list[str]:
    """A sentence for each column of numbers that varies too little around too large a number for single precision."""
    return [
        f"Column {column.name!r} varies by {column.scale:g} around {column.shift:g}: float32 keeps few of its "
        "digits; subtract a constant first."
        for column in schema.columns or ()
        if column.scale != 1.0 and abs(column.shift) > 1e5 * column.scale  # 1: it does not vary
    ]
