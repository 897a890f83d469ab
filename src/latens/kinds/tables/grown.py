"""A schema that takes names which the rows of the model's training had not."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from msgspec.structs import replace

from latens.data.schema import Schema
from latens.errors import DataError
from latens.kinds.tables.columns import MOST_CATEGORIES, ColumnType


def grown(
    schema: Schema,
    strange: Sequence[tuple[int, int, str]],
    observed: Bool[np.ndarray, "n columns"],
    training: Bool[np.ndarray, " n"],
    where: str,
) -> tuple[Schema, tuple[str, ...]]:
    """Give categories the names that they lack, each with its share of the training rows; and say so."""
    # strange: the row, the column and the name of every cell that the schema lacks.
    # observed: which cells hold a name that the schema has.
    types, notes = list(schema.types or ()), []
    cells = [(row, column, name) for row, column, name in strange if not types[column].starts]
    for column in sorted({column for _, column, _ in cells}):
        one, title = types[column], schema.names[column]
        names = sorted({name for _, at, name in cells if at == column})
        listed = f"{', '.join(map(repr, names[:5]))}{f' and {len(names) - 5:,} more' if len(names) > 5 else ''}"
        if one.kind != "category" or one.dtype == "Boolean" or len(one.values) + len(names) > MOST_CATEGORIES:
            why = (
                "in an order, where a new name has no place"
                if one.kind == "ordinal"
                else "truth values"
                if one.dtype == "Boolean"
                else f"{MOST_CATEGORIES:,} at the most"
            )
            what = f"column {title!r} has names that the model lacks ({listed}), and its names are {why}."
            raise DataError(what, where=where, fix="Correct them, or train a new model without --from.")
        found = [name for row, at, name in cells if at == column and training[row]]
        counts, others = [found.count(name) for name in names], int(observed[training, column].sum())
        types[column] = with_names(one, names, counts, others)
        notes.append(f"Column {title!r} has new names, which the model takes: {listed} ({len(found):,} training rows).")
    return replace(schema, types=tuple(types)), tuple(notes)


def with_names(one: ColumnType, names: Sequence[str], counts: Sequence[int], others: int) -> ColumnType:
    """A category with further names, whose shares are those of the rows; the shares of the others keep their ratios."""
    # others: rows with a name that the category has.
    masses = np.array(counts) + 0.5
    shares = masses / (masses.sum() + others + 0.5 * len(one.values))
    old = np.array(one.shares) * (1.0 - shares.sum())
    return replace(one, values=(*one.values, *names), shares=(*old.tolist(), *shares.tolist()))


def grew_from(new: Schema, old: Schema) -> bool:
    """Whether a schema is another one whose categories took names."""
    pairs = list(zip(new.types or (), old.types or ()))
    if new.types == old.types or new.columns != old.columns or len(new.types or ()) != len(old.types or ()):
        return False
    return all(
        a == b or (a.kind == b.kind == "category" and not b.starts and a.values[: len(b.values)] == b.values)
        for a, b in pairs
    )
