"""Long tables as rows that are sequences: what is beside their steps, and their schema."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from latens.data.beside import conditions_of_rows
from latens.data.given import GIVEN, INPUTS, input_vectors, learned, learned_inputs, taken_out, vectors
from latens.data.infer import conform, fill, sequence_schema, store
from latens.data.raw import without_columns
from latens.data.rows import row_keys, row_names, split_by_hash
from latens.errors import DataError
from latens.kinds.steps.long import Asked, Folded, fold, refuse_other_rows, stacked_lines
from latens.kinds.tables.declared import LEFT_OUT

if TYPE_CHECKING:
    from latens.data.door import Coming, Stored

_BY_STEP = "Tell it to the model at every step: --input COLUMN."


def store_steps(rows: "Coming") -> "Stored":
    """Store the rows of a long table, which are sequences of steps, or windows of them."""
    from latens.data.door import Stored

    where, lines, schema, cut = rows.where, rows.lines, rows.schema, rows.long or Asked()
    gone = tuple(name for name, one in (rows.roles.declared or {}).items() if one.kind == LEFT_OUT)
    raw = without_columns(rows.raw, gone)
    if lines is None and getattr(raw.x, "ndim", 0) == 3:
        lines = stacked_lines(raw.x, where)
        raw = replace(raw, x=lines[0].x)
    refuse_other_rows(raw, where)
    condition = rows.asked.condition
    said = conditions_of_rows(raw, condition, schema, len(raw.x), where) if lines is None else {}
    known = schema.sequences.inputs if schema is not None and schema.sequences else ()
    inner = taken_out(raw, cut.inputs or [one.name for one in known], where)
    folded = fold(raw, None if lines is None else lines[1], cut, schema, where)
    rows.raw = raw = folded.raw
    rows.n = len(raw.x)
    row = {name: folded.by_row(cells, f"the condition {name!r}", where, _BY_STEP) for name, cells in said.items()}
    rows.cells = row if lines is None else conditions_of_rows(raw, condition, schema, rows.n, where)
    rows.names = row_names(raw.names, rows.n, where)
    rows.keys = row_keys(rows.names)
    rows.split = split_by_hash(rows.names) if raw.split is None else raw.split
    rows.conditions = learned(rows.cells, rows.trains, where) if schema is None else schema.conditions
    if rows.conditions:
        rows.cond[GIVEN] = vectors(rows.conditions, rows.cells, where)
    _beside(rows, folded)
    found, observed = folded.sequences, np.isfinite(raw.x)
    observed = None if observed.all() else observed
    if inner:
        trains = np.zeros(folded.places.line.max() + 1, bool)
        trains[folded.places.line[rows.trains]] = True
        found = structs.replace(found, inputs=known or learned_inputs(inner, trains, where))
        rows.cond[INPUTS] = folded.by_step(input_vectors(found.inputs, inner, where)).astype(np.float32)
    if schema is None:
        schema = rows.told(sequence_schema(raw.x, rows.trains, found, observed, where))
        schema = structs.replace(schema, world=rows.world, ignored=gone or None)
    else:
        schema = structs.replace(schema, sequences=found, shape=(raw.x.shape[1], schema.shape[1]))
        conform(raw.x, None, schema, observed, where)
    x = store(fill(raw.x, observed, rows.trains, schema), schema, where)
    return Stored(x, schema, observed, places=folded.places)


def _beside(rows: "Coming", folded: Folded) -> None:
    """Bring labels and weights of lines to rows, in place."""

    def of_rows(role: str, column: np.ndarray | None) -> Any:
        values = rows.given.get(role, column)
        if values is None or (role in rows.given and len(values) == rows.n):
            return values
        if len(values) != folded.lines:
            what = f"has {len(values)} values of {role} for {rows.n} rows of {folded.lines} lines."
            raise DataError(what, where=rows.where, fix="Give one for each row, or one for each line.")
        fix = f"Leave --{role} out, or mend the column."
        return folded.by_row(np.asarray(values), f"the {role}", rows.where, fix)

    made = {"label": of_rows("label", rows.raw.label), "weight": of_rows("weight", rows.raw.weight)}
    rows.raw.label, rows.raw.weight = made["label"], made["weight"]
    rows.given = {role: made.get(role, values) for role, values in rows.given.items()}
