"""Tables and series: their columns as data and samples, errors of reconstruction, bands of draws."""

import jax
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from latens import evaluation, figures
from latens.data.mixed import in_units
from latens.data.rows import evenly_spaced
from latens.figures import bands, columns
from latens.figures.style import ThemeName
from latens.pictures.source import Drawn, Source

MOST_ROWS = 50_000
"""Rows of a histogram."""

SERIES = 8
"""Unnamed rows of real numbers that are at least this long are drawn as series."""


def draw_marginals(source: Source, theme: ThemeName, most: int = MOST_ROWS) -> Drawn:
    """Draw data and samples, column by column.

    Args:
        source: A model of tables or series and its data.
        theme: "light" or "dark".
        most: At most so many rows.

    Returns:
        The picture `marginals`; none without data or a prior.
    """
    if source.data is None or not source.has_prior:
        return []
    rows = evenly_spaced(np.arange(len(source.data)), most)
    data = source.data.x[rows].astype(np.float32)
    if source.data.mask is not None:
        data = np.where(source.data.mask[rows], data, np.nan)
    samples = source.samples(min(most, max(2000, len(rows))))
    named = source.schema.columns
    names = [f"column {i}" for i in range(data.shape[1])] if named is None else [column.name for column in named]
    types = source.schema.types
    if types is not None:
        data, samples = in_units(data, types), in_units(samples, types)
    axes = figures.marginals(data, samples, names, theme=theme)
    for ax, one in zip(np.ravel(axes), types or ()):
        if one.kind == "category":
            figures.name_values(ax, one.values)
        elif one.kind == "date":
            locator = AutoDateLocator(minticks=3, maxticks=7)
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    return [("marginals", axes, figures.marginals_table(data, samples, names))]


def draw_columns(source: Source, theme: ThemeName) -> Drawn:
    """Draw the errors of every column, and the correlations of data and samples.

    Args:
        source: A model of tables with named columns and its data.
        theme: "light" or "dark".

    Returns:
        The pictures `column-errors` and, where there is a prior and more than one column, `correlations`; none of a
        mixed table, whose names have neither.
    """
    if source.schema.types is not None:
        return []
    batch = source.few.batch
    names = [column.name for column in source.schema.columns or ()]
    data = np.asarray(source.originals(batch), np.float64)
    if batch.mask is not None:
        data = np.where(np.asarray(batch.mask), data, np.nan)
    made = source.reconstructions(batch)
    axes = columns.column_errors(data, made, names, theme=theme)
    drawn: Drawn = [("column-errors", axes, columns.column_errors_table(data, made, names))]
    if source.has_prior and len(names) >= 2:
        samples = source.samples(max(2000, len(source.few.positions)))
        axes = columns.correlations(data, samples, names, theme=theme)
        drawn.append(("correlations", axes, columns.correlations_table(data, samples, names)))
    return drawn


def draw_series(source: Source, theme: ThemeName) -> Drawn:
    """Draw rows of a series and bands of draws from p(x|z).

    Args:
        source: A model of unnamed rows of numbers and its data.
        theme: "light" or "dark".

    Returns:
        The picture `bands`; none of short rows or of classes.
    """
    if source.schema.shape[0] < SERIES or source.schema.kind not in ("real", "unit", "counts"):
        return []
    assert source.data is not None
    batch = source.trained.batch(source.data, evenly_spaced(source.few.positions, 6))
    model, preparation = source.trained.model, source.trained.preparation
    draws = [
        source.trained.data_units(
            evaluation.reconstruct(
                model, batch, preparation=preparation, key=jax.random.fold_in(source.row_key, i), mean=False
            ),
            mean=False,
        )
        for i in range(100)
    ]
    data = np.asarray(source.originals(batch), np.float64)
    if batch.mask is not None:
        data = np.where(np.asarray(batch.mask), data, np.nan)
    return [("bands", bands.bands(data, np.stack(draws), theme=theme), bands.bands_table(data, np.stack(draws)))]
