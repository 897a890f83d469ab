"""Blocks of a table with columns of several kinds, and the cells that a schema stores of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.data.declared import LEFT_OUT, Declared
from latens.data.formats.tables import from_words
from latens.data.infer import find_missing
from latens.data.mixed import stored_columns
from latens.data.raw import Raw
from latens.data.schema import Schema
from latens.data.words import Coded, Words


@dataclass(frozen=True)
class Cells:
    """Some rows of a table, as its columns came."""

    columns: dict[str, Any]  # by name numbers, `Coded` or `Words`

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows: np.ndarray) -> "Cells":
        return Cells({name: _rows_of(values, rows) for name, values in self.columns.items()})


def _rows_of(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, Coded):
        return Coded(values.numbers[rows], values.text)
    if isinstance(values, Words):
        used, codes = np.unique(values.codes[rows], return_inverse=True)
        return Words([values.words[code] for code in used.tolist()], codes)
    return values[rows]


def reading(schema: Schema) -> dict[str, Declared]:
    """Say of every column how its cells are read, whatever a block of them looks like by itself."""
    pairs = zip(schema.columns or (), schema.types or ())
    said = {}
    for column, one in pairs:
        said[column.name] = Declared("category" if one.named else one.kind, zone=one.zone, writing=one.writing)
    return said | {name: Declared(LEFT_OUT) for name in schema.ignored or ()}


def typed_cells(cells: Cells, schema: Schema, where: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Bring the rows of a block into the cells that a schema stores."""
    # returns: the rows, where they were observed (None: everywhere), and how far numbers lie beyond those of training
    # rows.
    x, texts = from_words(cells.columns, reading(schema), where)
    names = tuple(cells.columns)
    observed = find_missing(Raw(x, columns=names), np.arange(len(x)), "nan", where)
    return stored_columns(x, names, observed, texts, schema, where)
