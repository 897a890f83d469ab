"""New rows that the page counts its answers in, where these follow what the model alone does not know."""

from typing import Any

import numpy as np

from latens.data import logits
from latens.data.rules import near_in, placed
from latens.explorer.given import grid_of
from latens.workflow.explain import said_in
from latens.workflow.explained import NEW_ROWS


def with_new_rows(trained: Any, columns: list[dict[str, Any]], files: dict[str, bytes]) -> dict[str, Any] | None:
    """Write new rows for the page where they follow lines, sums of effects or regressions; None where they do not."""
    # Each column that several others say together is told which these are, and what each of all says in new rows.
    facts, schema = trained.facts, trained.schema
    near = near_in(facts, schema)
    together = {name: one.columns for one in near for name in (one.target, *getattr(one, "of", ()))}
    names = [one["name"] for one in columns]
    drawn = {one.target: one.columns for one in logits.placed(logits.read(facts.get("logits")), schema)} | together
    if not drawn.keys() & set(names):
        return None
    new, types = np.asarray(trained.sample(NEW_ROWS, seed=0), np.float64), list(schema.types or ())
    for at, column in enumerate(columns):
        if column["name"] in drawn:
            column["follows"] = list(drawn[column["name"]])
            column["says"] = {name: said_in(new, types, at, j).value for j, name in enumerate(names) if j != at}
    small = max(one.cells for one in types[: len(names)]) < np.iinfo(np.uint16).max
    kind = np.dtype("<u2" if small else "<u4")
    cells = np.where(np.isfinite(new), new, np.iinfo(kind).max)[:, : len(names)].T
    files["data/new-rows.bin"] = cells.astype(kind).tobytes()
    computed = {one.target for one in placed(facts, schema)}
    return {
        "file": "data/new-rows.bin",
        "dtype": f"uint{8 * kind.itemsize}",
        "shape": list(cells.shape),
        "empty": int(np.iinfo(kind).max),
        "columns": [grid_of(one) for one in types[: len(names)]],
        "counted": [k for k, name in enumerate(names) if name in computed | drawn.keys()],
    }
