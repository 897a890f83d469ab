"""Tables and series: their columns as data and samples, errors of reconstruction, bands of draws."""

import jax
import numpy as np

from latens import figures
from latens.data.dataset import Batch
from latens.data.row_fields import evenly_spaced
from latens.figures import curves, tables
from latens.figures.style import headline
from latens.figures.tables import MOST, MOST_PAIRED, by_frequency, date_values, drawn_columns, filled, information
from latens.kinds.counts.sparse import SMALL, SparseRows
from latens.kinds.steps.sequences import Sequences
from latens.kinds.tables.table_schema import in_units
from latens.latents.codes import reconstruct
from latens.model_figures.source import Made, Source
from latens.trained.imputation import hidden

MOST_ROWS = 50_000
"""Rows of a histogram."""
FILLED_DRAWS = 64
"""Draws of a hidden cell, by which its interval is drawn."""


def draw_marginals(source: Source, most: int = MOST_ROWS) -> Made:
    """Draw data and samples, column by column."""
    data, samples, names, weight = _both(source, most)
    types = source.schema.column_types
    values = {
        i: by_frequency(data, samples, i, one.values, one.kind == "ordinal", weight)
        for i, one in enumerate(types)
        if one.named
    }
    chosen = None if types else most_varied(data, MOST)
    axes = figures.marginals(data, samples, names, columns=chosen, weight=weight, bars=values)
    table = figures.marginals_table(data, samples, names, columns=chosen, weight=weight)
    if chosen is not None:
        what = "genes" if source.rows_called == "cells" else "columns"
        headline(axes, f"Data and samples, {MOST} of {len(names)} {what}: those that vary most")
    for ax, i in zip(np.ravel(axes), drawn_columns(len(names)) if types else ()):
        one = types[i]
        if one.named:
            figures.name_values(ax, values[i])
        elif one.kind == "date":
            date_values(ax)
        else:
            figures.show_tail(ax, table["data_share"][table["column"] == names[i]])
            if one.kind == "duration":
                ax.set_xlabel(", ".join(filter(None, ("seconds", ax.get_xlabel()))), fontsize=7)
    dates = {name: one.days for name, one in zip(names, types) if one.kind == "date"}
    if values or dates:
        words = [values.get(names.index(name), ()) for name in table["column"]]
        places = np.round(0.5 * (table["low"] + table["high"])).astype(int)
        told = [own[place] if own else "" for own, place in zip(words, places.tolist())]
        for i in np.flatnonzero(np.isin(table["column"], list(dates))).tolist():
            told[i] = _dates(table["low"][i], table["high"][i], dates[table["column"][i]])
        table = {"column": table["column"], "value": np.array(told, object)} | table
    return axes, table


def _dates(low: float, high: float, days: bool) -> str:
    """The dates of a bin between two numbers of days since 1970: those that it holds, or times to the minute."""
    if days:
        first, last = np.ceil(low), max(np.ceil(low), np.ceil(high) - 1)
        ends = [str(np.datetime64(int(day), "D")) for day in (first, last)]
    else:
        ends = [str(np.datetime64(round(1440 * day), "m")).replace("T", " ") for day in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def most_varied(data: np.ndarray, most: int) -> list[int] | None:
    """The columns with the largest variances, in the order of the data; None where there are no more."""
    if data.shape[1] <= most:
        return None
    seen = np.isfinite(data)
    count = np.maximum(seen.sum(axis=0), 1)
    far = np.where(seen, data - np.where(seen, data, 0.0).sum(axis=0) / count, 0.0)
    return sorted(np.argsort(-(far**2).sum(axis=0) / count, kind="stable")[:most].tolist())


MOST_PANELS = 12
"""Columns of sequences that are drawn at the most, over all rows."""


def _both(source: Source, most: int) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray | None]:
    """Data, NaN where cells are missing, and samples in their units; names of the columns, and weights of the rows."""
    assert source.data is not None
    if isinstance(source.data.x, SparseRows):
        most = min(most, max(100, SMALL // source.data.x.shape[1]))
    rows = evenly_spaced(np.arange(len(source.data)), most)
    data = source.data.x[rows].astype(np.float32)
    if source.data.mask is not None:
        data = np.where(source.data.mask[rows], data, np.nan)
    samples = source.samples(min(most, max(2000, len(rows))))
    named = source.schema.columns
    names = [f"column {i}" for i in range(data.shape[1])] if named is None else [column.name for column in named]
    data, samples = (in_units(rows, source.schema.column_types) for rows in (data, samples))
    return data, samples, names, None if source.data.weight is None else source.data.weight[rows]


def draw_filled(source: Source) -> Made | None:
    """Draw cells that were hidden against what was filled in."""
    types = source.schema.column_types
    assert source.data is not None
    found = hidden(source.trained, source.data, source.few.positions, num_draws=FILLED_DRAWS)
    if not found.cells.any():
        return None
    draws = in_units(found.draws.reshape(-1, len(types)), types).reshape(found.draws.shape)
    true, told = (np.where(found.cells, in_units(rows, types), np.nan) for rows in (found.true, found.filled))
    words: dict[int, tuple[str, ...]] = {}
    for i, one in enumerate(types):
        if one.named:
            # Ranks by frequency, as in the picture of the columns.
            words[i] = by_frequency(true, told, i, one.values, one.kind == "ordinal")
    dates = [i for i, one in enumerate(types) if one.kind == "date"]
    return filled(true, told, draws, found.cells, source.schema.names, words=words, dates=dates)


def draw_information(source: Source) -> Made | None:
    """Draw what columns of a table say about one another under the model; of more than 30 the first 30."""
    names = source.schema.names[:MOST_PAIRED]
    if len(names) < 2 or source.schema.conditions:
        return None
    found = source.information(len(names))
    return information(found.nats, found.errors, names)


def _rows_of(source: Source, batch: Batch) -> np.ndarray:
    """Rows as stored, NaN where cells are missing."""
    data = np.asarray(source.originals(batch), np.float64)
    return data if batch.mask is None else np.where(np.asarray(batch.mask), data, np.nan)


def draw_correlations(source: Source) -> Made | None:
    """Draw the correlations of data and samples."""
    names = source.schema.names
    if len(names) < 2:
        return None
    data, samples = _rows_of(source, source.few.batch), source.samples(max(2000, len(source.few.positions)))
    if (chosen := most_varied(data, MOST_PAIRED)) is not None:
        data, samples, names = data[:, chosen], samples[:, chosen], [names[i] for i in chosen]
    return tables.correlations(data, samples, names)


def draw_series(source: Source) -> Made:
    """Draw rows of a series and bands of draws from p(x|z)."""
    assert source.data is not None
    if found := source.schema.sequences:
        return _draw_steps(source, found)
    trained, batch = source.trained, source.trained.batch(source.data, evenly_spaced(source.few.positions, 6))
    keys = [jax.random.fold_in(source.row_key, i) for i in range(100)]
    draws = [reconstruct(trained.rows(batch, key=key), mean=False) for key in keys]
    given = _rows_of(source, batch), np.stack([trained.data_units(draw, mean=False) for draw in draws])
    return curves.bands(*given)


def _draw_steps(source: Source, found: Sequences) -> Made:
    """Draw the columns of some rows that are sequences, each with bands of draws."""
    assert source.data is not None
    kept = min(MOST_PANELS, len(found.columns))
    rows = evenly_spaced(source.few.positions, max(1, min(3, MOST_PANELS // kept)))
    trained, batch = source.trained, source.trained.batch(source.data, rows)
    keys = [jax.random.fold_in(source.row_key, i) for i in range(100)]
    draws = np.stack([reconstruct(trained.rows(batch, key=key), mean=False) for key in keys])
    draws = trained.data_units(draws.reshape(-1, *source.schema.shape), mean=False).reshape(draws.shape)
    names = [f"{one.name}, {source.data.names[row]}" for row in rows.tolist() for one in found.columns[:kept]]
    data = np.moveaxis(_rows_of(source, batch), 2, 1)[:, :kept]
    drawn = np.moveaxis(draws, 3, 2)[:, :, :kept]
    given = data.reshape(-1, data.shape[2]), drawn.reshape(len(keys), -1, data.shape[2])
    return curves.bands(*given, names=names, place=f"step ({found.step.told})")
