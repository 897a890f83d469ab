"""Rows that are sequences as the long table that they came from, or that they would come from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Shaped

from latens.commands._files import numbers_of, series_of, table_columns
from latens.data import Dataset, Schema
from latens.kinds.steps.sequences import Places, long_table, named_steps, nearest_the_centre
from latens.kinds.tables.frame import with_cells


def table_of(schema: Schema, arrays: Mapping[str, np.ndarray], places: Places | None) -> dict[str, np.ndarray]:
    """Rows as a long table: a line for each step, beside it what is said of the whole row."""
    found, x = schema.steps, arrays["x"]
    if places is None:
        row = np.repeat(np.arange(len(x)), x.shape[1])
        made = {found.sequence or "sequence": row, "step": np.tile(np.arange(x.shape[1]), len(x))}
        made |= {one.name: x[:, :, j].reshape(-1) for j, one in enumerate(found.columns)}
    else:
        row = np.nonzero(places.held)[0]
        made = long_table(found, places, places.held, x)
    own = {name: array[row] for name, array in arrays.items() if array.ndim == 1 and name != "row_id"}
    return {**made, **{name: array for name, array in own.items() if name not in made}}


def in_order(places: Places, chosen: Bool[np.ndarray, "n steps"]) -> np.ndarray:
    """The order of chosen steps in which the table had them; one without a line follows the step before it."""
    row, at = np.nonzero(chosen)
    _, of = np.unique(places.sequence, return_inverse=True)
    line, step = places.line[row, at], places.first[row] + at
    by_step = np.lexsort((step, of[row]))
    ahead = np.maximum.accumulate(np.where(line[by_step] >= 0, np.arange(len(by_step)), -1))
    same = (ahead >= 0) & (of[row][by_step[np.maximum(ahead, 0)]] == of[row][by_step])
    after = np.where(same, line[by_step[np.maximum(ahead, 0)]], -1)
    return by_step[np.lexsort((np.arange(len(by_step)), after))]


def long_as_written(
    data: Dataset,
    x: Shaped[np.ndarray, "n steps d"],
    hidden: Bool[np.ndarray, "n steps d"],
    path: Path,
    options: Mapping[str, Any],
) -> pl.DataFrame:
    """A long table with its gaps filled in, every cell that was there as it stood; steps without a line get one."""
    found, places = data.schema.steps, data.places
    assert places is not None
    chosen = nearest_the_centre(places)
    order = in_order(places, chosen)
    line, gaps, cells = places.line[chosen][order], hidden[chosen][order], x[chosen][order]
    steps = named_steps(found, places, chosen)
    named = pl.DataFrame([series_of(name, column[order]) for name, column in steps.items()])
    filled = pl.DataFrame([numbers_of(one.name, cells[:, j], gaps[:, j]) for j, one in enumerate(found.columns)])
    was = table_columns(path, options)
    if was is None or len(was) <= line.max():
        return named.hstack(filled)
    new = line < 0
    table = was.select(pl.all().gather(pl.Series(np.where(new, 0, line))))
    table = table.with_columns(
        pl.when(pl.Series(new)).then(None).otherwise(pl.col(name)).alias(name) for name in was.columns
    )
    table = with_cells(table, filled, gaps | new[:, None])
    known = [name for name in named.columns if name in was.columns]
    return with_cells(table, named.select(known), np.repeat(new[:, None], len(known), axis=1)) if known else table
