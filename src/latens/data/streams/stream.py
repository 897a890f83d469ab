"""Blocks of a stream as checked rows: the form that training, encoding and measuring take them in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Shaped

from latens.data.dataset import ROW_FIELDS, Dataset
from latens.data.formats.registry import check_numeric
from latens.data.formats.source import AbstractSource
from latens.data.infer import conform, find_missing, stored_type
from latens.data.raw import Raw
from latens.data.rows import WHOLE, encode_labels, row_names, row_weights, split_of
from latens.data.schema import MAX_CLASSES, Schema
from latens.errors import DataError

PART = 2**24
"""Bytes of stored rows of a part of `Stream.parts`, unless a single block has more."""


@dataclass(frozen=True)
class Form:
    """How the cells of a block become rows of the model."""

    schema: Schema  # what a row is, with the names of the classes
    missing: str | None = None  # "nan" where NaN says that a value is missing; None refuses NaN
    # what stands in the place of missing values, of the shape of a row; None where none is missing
    centre: np.ndarray | None = None
    given: bool = False  # whether the schema is that of a trained model, which every block must fit

    def stored(
        self, x: Shaped[np.ndarray, "n *shape"], observed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Bring rows into the type they are kept in, with missing values filled."""
        # observed: true where a value was observed; None for everywhere.
        # returns: the rows, and where they were observed: everywhere in a block without a gap, if other blocks have
        # some.
        kept = stored_type(self.schema)
        if self.centre is None:
            return np.ascontiguousarray(x, kept), None
        observed = np.ones(x.shape, bool) if observed is None else observed
        return np.ascontiguousarray(np.where(observed, x, self.centre), kept), observed


@dataclass(frozen=True)
class Stream:
    """A source and how its blocks become rows."""

    source: AbstractSource
    form: Form  # how their cells become rows
    name: str  # name of the data set
    has: frozenset[str]  # which of "label", "id" and "weight" the rows have

    def block(self, block: int, *, named: bool = True) -> Dataset:
        """Read the rows of a block."""
        where = self.source.where(block)
        raw, keys = self.source.rows(block)
        n = len(keys)
        x, observed, outside = cells(raw, self.form, where)
        x, mask = self.form.stored(x, observed)
        label = None
        if "label" in self.has:
            label = encode_labels(raw.label, n, where, self.form.schema.classes)[0]
        made = unlabelled_rows(raw, keys, x, self.form.schema, self.source, block, self.name, named=named)
        weight = made.weight if "weight" in self.has else None
        return replace(made, label=label, mask=mask, outside=outside, weight=weight)

    def parts(self) -> Iterator[Dataset]:
        """Go through all rows in the order of the files, some blocks at a time."""
        table = self.source.table
        row_bytes = max(1, int(np.prod(self.form.schema.shape)) * stored_type(self.form.schema).itemsize)
        waiting: list[Dataset] = []
        for block in range(len(table)):
            if waiting and (sum(map(len, waiting)) + int(table.rows[block])) * row_bytes > PART:
                yield joined(waiting)
                waiting = []
            waiting.append(self.block(block))
        if waiting:
            yield joined(waiting)


def cells(raw: Raw, form: Form, where: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Check the cells of a block, and put its columns into the order of the schema."""
    # returns: the cells as they came, where they were observed (None for everywhere), and None; of a mixed table the
    # cells as they are stored, and how far numbers lie beyond those of the training rows.
    check_numeric(raw.x, where)
    observed = find_missing(raw, np.arange(len(raw.x)), form.missing, where)
    return (*(conform(raw.x, raw.columns, form.schema, observed, where) if form.given else (raw.x, observed)), None)


def unlabelled_rows(
    raw: Raw, keys: np.ndarray, x: Any, schema: Schema, source: AbstractSource, block: int, name: str, *, named: bool
) -> Dataset:
    """Put with the cells of a block what belongs to its rows, but for labels."""
    where = source.where(block)
    names = names_of(raw, source, block, where) if named else source.places(block)
    weight = row_weights(raw.weight, len(keys), where)
    label_name = source.label_name or "label"
    return Dataset(x, schema, keys, names, splits(raw, keys), name, weight=weight, label_name=label_name)


def splits(raw: Raw, keys: np.ndarray) -> Shaped[np.ndarray, " n"]:
    """Split the rows of a block: as its files say, else by their keys."""
    return split_of(keys) if raw.brought is None else raw.brought


def names_of(raw: Raw, source: AbstractSource, block: int, where: str) -> Shaped[np.ndarray, " n"]:
    """Name the rows of a block: by their ids, else by file and row."""
    return source.row_names(block) if raw.names is None else row_names(raw.names, len(raw.x), where)


def joined(parts: list[Dataset]) -> Dataset:
    """Put rows in memory after one another."""
    if len(parts) == 1:
        return parts[0]

    def all_of(name: str) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return replace(parts[0], **{name: all_of(name) for name in ROW_FIELDS})


def in_order(words: set[str], where: str) -> tuple[str, ...]:
    """Sort the names of classes that were met in blocks, as `encode_labels` does: numbers by size, else by letters."""
    if len(words) > MAX_CLASSES:
        what = f"there are {len(words)} different labels (at most {MAX_CLASSES})."
        fix = "Choose another column with --label NAME, or --label none to leave labels out."
        raise DataError(what, where=where, fix=fix)
    return tuple(sorted(words, key=int) if all(map(WHOLE.match, words)) else sorted(words))
