"""Rows beside what the model makes of them: reconstructions and samples as images, tables, series and text."""

import jax
import numpy as np

from latens import figures
from latens.data import SPLITS
from latens.data.dataset import Batch
from latens.data.row_fields import evenly_spaced
from latens.figures import curves, tables
from latens.figures.images import gap_of, image_strips
from latens.figures.paths import linear_path
from latens.figures.style import figure_of, headline, new_axes, readable
from latens.figures.tables import MOST, MOST_PAIRED, by_frequency, date_values, drawn_columns, filled, information
from latens.kinds.counts.sparse import SMALL, SparseRows
from latens.kinds.steps.sequences import Sequences
from latens.kinds.tables.table_schema import in_units
from latens.latents.codes import reconstruct
from latens.model_figures.image_scale import shown
from latens.model_figures.source import MOST_CLASSES, Made, Source
from latens.models import BayesClassifier
from latens.predictive.classes import ClassSamples, sample_classes
from latens.trained.cell_scores import hidden
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

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


COLUMNS, GRID = 12, 5  # images in a row of reconstructions; rows and columns of a grid of samples
CELL = 1.0  # inches for one sample


def draw_reconstructions(source: Source) -> Made:
    """Draw held-out rows, their reconstructions and prior samples, all as means of p(x|z)."""
    assert source.data is not None
    positions, split = source.held_out(2 * COLUMNS, "test", "validation")
    batch = source.trained.batch(source.data, positions)
    originals, means = source.images(source.originals(batch)), source.images(source.reconstructions(batch))
    samples, title = None, f"{_rows(split)} and their reconstructions"
    if source.has_prior:
        samples = source.images(source.decoded(source.latents(GRID * GRID)[:COLUMNS]))
        title = f"{_rows(split)}, their reconstructions, and samples from the prior (means)"
    return figures.reconstructions(originals, means, samples, columns=COLUMNS, title=title), {}


def _rows(split: str) -> str:
    return f"{'Training' if split == SPLITS[0] else split.capitalize()} rows"


def draw_samples(source: Source) -> Made:
    """Draw means of p(x|z) for samples of z from the prior, and draws for the same z beside them."""
    columns = min(source.trained.preparation.classes, MOST_CLASSES)  # one for each class where there are some
    columns, of = (columns, " (a column a class)") if columns else (GRID, "")
    z = source.latents(GRID * columns)
    found = {name: source.images(source.decoded(z, mean=name == "mean")) for name in ("mean", "draw")}
    ratio, apart = found["mean"].shape[1] / found["mean"].shape[2], columns <= GRID
    down, beside = (1, 2) if apart else (2, 1)  # a column for each of many classes: the two below each other
    size = (beside * CELL * columns + 0.4, down * (CELL * GRID * ratio + 0.4))
    axes = new_axes(down, beside, size=size).ravel()
    figure_of(axes).set_layout_engine("constrained", wspace=0.06)
    for ax, name, title in zip(axes, found, (f"New rows{of}: means of p(x|z)", "Draws from p(x|z), the same z")):
        figures.image_grid(found[name], columns=columns, title=title, ax=ax)
    return axes, {}


def draw_predictive(source: Source) -> Made:
    """Draw rows, the means of p(x|z) and draws from it: the posterior predictive."""
    assert source.data is not None
    batch = source.trained.batch(source.data, evenly_spaced(source.few.positions, 12))
    rows = [source.images(source.originals(batch)), source.images(source.reconstructions(batch))]
    for i in range(3):
        key = jax.random.fold_in(source.row_key, i)
        draw = reconstruct(source.trained.rows(batch, key=key), mean=False)
        rows.append(source.images(source.trained.data_units(draw, mean=False)))
    names = ["data", "mean of p(x|z)", *["draw from p(x|z)"] * 3]
    title = "Posterior predictive: z drawn from q(z|x), x from p(x|z)"
    return image_strips(rows, names, title=title), {}


SHOWN, WAYS, STEPS = 12, 3, 7
"""Texts of a column; ways between rows and texts of each."""


def draw_texts(source: Source) -> Made:
    """Draw held-out rows, what their codes decode to, and new rows."""
    assert source.data is not None
    positions, split = source.held_out(SHOWN, "test", "validation")
    batch = source.trained.batch(source.data, positions)
    columns = [source.schema.decode(np.asarray(batch.x)), source.schema.decode(source.reconstructions(batch))]
    names = [f"{split} rows", "what their latents decode to"]
    if source.has_prior:
        columns.append(source.schema.decode(source.samples(SHOWN)))
        names.append("new rows")
    return tables.text_columns(columns, names, title="Rows, their decoded latents, and samples")


def draw_ways(source: Source) -> Made | None:
    """Draw the texts on straight ways between the codes of held-out rows."""
    code = source.posteriors
    ends = evenly_spaced(np.arange(len(code.mean)), 2 * WAYS)
    if len(ends) < 2:
        return None
    columns, names, rows = [], [], source.schema.decode(np.asarray(code.batch.x))
    for a, b in zip(ends[::2].tolist(), ends[1::2].tolist()):
        z = linear_path(code.mean[a], code.mean[b], STEPS).reshape(STEPS, *source.trained.latent_shape)
        columns.append(source.schema.decode(source.decoded(z.astype(np.float32))))
        names.append(f"{tables.readable(rows[a], 30)} … {tables.readable(rows[b], 30)}")
    title = f"From one {code.split} row to another: texts on a straight way between their latents"
    return tables.text_columns(columns, names, title=title)


EACH, CLASS_CELL = 6, 0.78  # samples of every class; inches for one image


def class_samples(trained: TrainedModel, each: int, *, key: Key) -> ClassSamples:
    """Sample every class, class by class, with the means of the components, in the units of the data."""
    model: BayesClassifier = trained.model
    drawn = [
        sample_classes(model, each, key=jax.random.fold_in(key, label), label=label)
        for label in range(model.num_classes)
    ]
    found = ClassSamples(*(np.concatenate(parts) for parts in zip(*drawn)))
    x, mean = trained.data_units(found.x, mean=False), trained.data_units(found.component_mean, mean=True)
    return found._replace(x=x, component_mean=mean)


def draw_classes(source: Source) -> Made:
    """Draw every class in a row (at most 20): its mean, samples, and of mixtures the means of their components."""
    trained, limits = source.trained, source.limits
    found = class_samples(trained, EACH, key=source.prior_key)
    weight = np.exp(np.asarray(trained.model.log_weight, np.float64))
    kept = found.label < MOST_CLASSES
    classes = trained.schema.classes or ("all rows",)
    rows, several = min(len(classes), MOST_CLASSES), trained.model.num_components > 1
    mean = np.einsum("cm,cmd->cd", weight, np.asarray(trained.model.mean, np.float64)).reshape(-1, *trained.model.shape)
    panels = {
        "class mean": shown(trained.schema, trained.data_units(mean.astype(np.float32), mean=True), limits)[:rows]
    }
    panels["sample"] = shown(trained.schema, found.x, limits)[kept]
    titles = {
        "class mean": "Mean",
        "sample": "Samples of every class" if len(classes) > 1 else "Samples",
        "component mean": "Means of their components",
    }
    if rows < len(classes):
        titles["sample"] = f"Samples of the first {rows} of {len(classes)} classes"
    if several:
        panels["component mean"] = shown(trained.schema, found.component_mean, limits)[kept]
    height, width = panels["sample"].shape[1:3]
    across = [1] + [EACH] * (len(panels) - 1)
    size = (0.9 + CLASS_CELL * sum(across), max(1.2, CLASS_CELL * rows * height / width) + 0.35)
    # As wide as their pixels, so that a class stands at one height in all of them.
    gap = gap_of(height, width)
    axes = new_axes(1, len(panels), size=size, widths=[n * (width + gap) - gap for n in across])[0]
    figure_of(axes).set_layout_engine("constrained", wspace=0.04)
    for ax, columns, (kind, images) in zip(axes, across, panels.items()):
        figures.image_grid(images, columns=columns, title=titles[kind], ax=ax)
    drawn = axes[0].images[0].get_array()
    step = (drawn.shape[0] - height) / max(rows - 1, 1)
    names = [readable(name, 16) for name in classes[:rows]]
    axes[0].set_yticks(np.arange(rows) * step + (height - 1) / 2, names)
    axes[0].tick_params(axis="y", length=0, labelsize=9)
    return axes, {}
