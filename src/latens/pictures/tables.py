"""Tables and series: their columns as data and samples, errors of reconstruction, bands of draws."""

import jax
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from latens import evaluation, figures
from latens.data.columns import ColumnType
from latens.data.mixed import in_units
from latens.data.rows import evenly_spaced
from latens.data.sparse import SMALL, SparseRows
from latens.evaluation import Rows
from latens.evaluation.samples.tables import Table, pairs
from latens.figures import associations, bands, columns, missing, nats
from latens.figures.associations import MOST as MOST_ASSOCIATED
from latens.figures.style import ThemeName
from latens.figures.tables import drawn_columns
from latens.pictures.source import FEW_ROWS, Drawn, Source
from latens.workflow.columns import column_nats, has_columns

MOST_ROWS = 50_000
"""Rows of a histogram."""

SERIES = 8
"""Unnamed rows of real numbers that are at least this long are drawn as series."""


def draw_marginals(source: Source, theme: ThemeName, most: int = MOST_ROWS) -> Drawn:
    """Draw data and samples, column by column."""
    if source.data is None or not source.has_prior:
        return []
    data, samples, names, weight = _both(source, most)
    types = source.schema.types or ()
    values = {i: _by_frequency(data, samples, i, one, weight) for i, one in enumerate(types) if one.named}
    axes = figures.marginals(data, samples, names, weight=weight, theme=theme)
    table = figures.marginals_table(data, samples, names, weight=weight)
    for ax, i in zip(np.ravel(axes), drawn_columns(len(names)) if types else ()):
        one = types[i]
        if one.named:
            figures.name_values(ax, values[i])
        elif one.kind == "date":
            locator = AutoDateLocator(minticks=3, maxticks=7)
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            figures.show_tail(ax, table["data_share"][table["column"] == names[i]])
            if one.kind == "duration":
                ax.set_xlabel(", ".join(filter(None, (one.written, ax.get_xlabel()))), fontsize=7)
    if values:
        words = [values.get(names.index(name), ()) for name in table["column"]]
        places = np.round(0.5 * (table["low"] + table["high"])).astype(int)
        told = [own[place] if own else "" for own, place in zip(words, places.tolist())]
        table = {"column": table["column"], "value": np.array(told, object)} | table
    return [("marginals", axes, table)]


def _by_frequency(
    data: np.ndarray, samples: np.ndarray, place: int, one: ColumnType, weight: np.ndarray | None
) -> tuple[str, ...]:
    """Put ranks, the most frequent name of the data first, in the place of codes; the rarest of many share one."""
    # Names that have an order keep it.
    seen = ~np.isnan(data[:, place])
    codes = data[seen, place].astype(np.int64)
    order = np.argsort(-np.bincount(codes, None if weight is None else weight[seen], one.cells), kind="stable")
    order = np.arange(one.cells) if one.kind == "ordinal" else order
    kept = len(order) if len(order) <= figures.MOST_NAMES else figures.MOST_NAMES - 1
    rank = np.minimum(np.argsort(order), kept)
    for rows in (data, samples):
        own = ~np.isnan(rows[:, place])
        rows[own, place] = rank[rows[own, place].astype(np.int64)]
    others = (f"{len(order) - kept} others",) if kept < len(order) else ()
    return tuple(one.values[code] for code in order[:kept]) + others


def _segments(codes: np.ndarray, one: ColumnType) -> np.ndarray:
    """The segment of each name; NaN stays."""
    found = np.searchsorted(one.firsts, np.nan_to_num(codes), side="right") - 1.0
    return np.where(np.isnan(codes), np.nan, found)


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
    if source.schema.types is not None:
        data, samples = in_units(data, source.schema.types), in_units(samples, source.schema.types)
    return data, samples, names, None if source.data.weight is None else source.data.weight[rows]


def draw_mixed(source: Source, theme: ThemeName) -> Drawn:
    """Draw what columns of a mixed table have to do with each other, and what each has to do with log p(x)."""
    # returns: the pictures `associations` (of more than one column; of more than 30 the first 30) and `column-nats`.
    types = source.schema.types
    if types is None or not source.has_prior:
        return []
    assert source.data is not None
    drawn: Drawn = []
    data, samples, names, weight = _both(source, MOST_ROWS)
    kept = min(MOST_ASSOCIATED, len(names))
    if kept >= 2:
        category = np.array([one.kind == "category" for one in types[:kept]])
        for i, one in enumerate(types[:kept]):
            if one.named and one.starts:  # rare names that share a probability count as one
                data[:, i], samples[:, i] = _segments(data[:, i], one), _segments(samples[:, i], one)
        tables = (
            Table("data", tuple(names[:kept]), data[:, :kept], category, weight),
            Table("samples", tuple(names[:kept]), samples[:, :kept].astype(np.float64), category),
        )
        found = np.full((3, kept, kept), np.nan)
        for pair in pairs(*tables):
            found[(slice(None), *pair.places)] = *pair.strengths, 1.0 - pair.similarity
        arguments = (found[0], found[1], found[2], names[:kept])
        axes = associations.associations(*arguments, of=len(names), theme=theme)
        drawn.append(("associations", axes, associations.associations_table(*arguments)))
    if has_columns(source.trained):
        positions, _ = source.held_out(FEW_ROWS, "test", "validation")
        *own, latents = column_nats(source.trained, source.data, positions)
        parts = [one["nats"] for one in own], [one["independent"] for one in own], latents["nats"], names
        drawn.append(("column-nats", nats.column_nats(*parts, theme=theme), nats.column_nats_table(*parts)))
    return drawn


def draw_missing(source: Source, theme: ThemeName) -> Drawn:
    """Draw which cells are missing, and which are missing together."""
    data, named = source.data, source.schema.columns
    if data is None or data.mask is None or named is None or data.mask.all():
        return []
    names = [column.name for column in named]
    axes = missing.missing_cells(data.mask, names, weight=data.weight, theme=theme)
    return [("missing-cells", axes, missing.missing_table(data.mask, names, weight=data.weight))]


def draw_columns(source: Source, theme: ThemeName) -> Drawn:
    """Draw the errors of every column, and the correlations of data and samples."""
    # returns: the pictures `column-errors` and, where there is a prior and more than one column, `correlations`; none
    # of a mixed table, whose names have neither.
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
    """Draw rows of a series and bands of draws from p(x|z)."""
    if source.schema.shape[0] < SERIES or source.schema.kind not in ("real", "unit", "counts"):
        return []
    assert source.data is not None
    batch = source.trained.batch(source.data, evenly_spaced(source.few.positions, 6))
    model, preparation = source.trained.model, source.trained.preparation
    draws = [
        source.trained.data_units(
            evaluation.reconstruct(Rows(model, batch, jax.random.fold_in(source.row_key, i), preparation), mean=False),
            mean=False,
        )
        for i in range(100)
    ]
    data = np.asarray(source.originals(batch), np.float64)
    if batch.mask is not None:
        data = np.where(np.asarray(batch.mask), data, np.nan)
    return [("bands", bands.bands(data, np.stack(draws), theme=theme), bands.bands_table(data, np.stack(draws)))]
