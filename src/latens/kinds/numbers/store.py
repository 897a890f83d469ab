"""Rows of numbers as they are stored: what is missing, their schema, their type."""

from typing import TYPE_CHECKING, Any

import numpy as np

from latens.data.infer import conform, fill, find_missing, infer_schema, store
from latens.errors import DataError

if TYPE_CHECKING:
    from latens.data.door import Coming, Stored


def store_numbers(rows: "Coming", seen: np.ndarray | None = None) -> "Stored":
    """Store rows that are alike in all their columns."""
    # seen: which cells are there beside what is NaN; None: all.
    from latens.data.door import Stored

    raw, where = rows.raw, rows.where
    observed = find_missing(raw, rows.names, "nan" if raw.kinds is not None else rows.missing, where)
    observed = seen if observed is None else observed if seen is None else observed & seen
    x: Any = raw.x
    if rows.schema is None:
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that overflow are refused there in words
            found = infer_schema(x, rows.trains, raw.columns, observed=observed, where=where, counts=rows.counts)
        found = rows.told(found)
    else:
        found = rows.schema
        refuse_names(rows)
        x, observed = conform(x, raw.columns, found, observed, where)
    raw.x = x = fill(x, observed, rows.trains, found)  # what was read is let go before the rows are stored
    return Stored(store(x, found, where), found, observed)


def refuse_names(rows: "Coming") -> None:
    """Refuse columns of text or dates for a model of numbers."""
    raw = rows.raw
    place = next((i for i, one in (raw.kinds or {}).items() if one.kind != "number"), None)
    if place is not None:
        name = raw.columns[place] if raw.columns else f"x{place}"
        fix = f"Leave it out, or name it with --label {name} or --id {name}."
        raise DataError(f"column {name!r} holds text; the model was trained on numbers.", where=rows.where, fix=fix)
