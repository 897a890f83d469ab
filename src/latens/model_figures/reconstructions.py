"""Images beside what the model makes of them: reconstructions, samples, draws from the predictive, best and worst."""

import jax
import numpy as np

from latens import figures
from latens.data import SPLITS
from latens.data.row_fields import evenly_spaced
from latens.figures import tables
from latens.figures.images import gap_of, image_strips
from latens.figures.paths import linear_path
from latens.figures.style import figure_of, new_axes, readable
from latens.latents.codes import reconstruct
from latens.model_figures.image_scale import shown
from latens.model_figures.source import MOST_CLASSES, Made, Source
from latens.models import BayesClassifier
from latens.predictive.classes import ClassSamples, sample_classes
from latens.trained.trained_model import TrainedModel
from latens.typing import Key

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
