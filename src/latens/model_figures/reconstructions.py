"""Images beside what the model makes of them: reconstructions, samples, draws from the predictive, best and worst."""

import jax
import numpy as np

from latens import evaluation, figures
from latens.data import SPLITS
from latens.data.splits import evenly_spaced
from latens.figures.images import image_strips
from latens.figures.style import figure_of, new_axes
from latens.model_figures.source import MOST_CLASSES, Made, Source

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
    axes = figures.reconstructions(originals, means, samples, columns=COLUMNS, title=title)
    return axes, figures.reconstructions_table(originals, means, samples)


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
    tables = [figures.image_grid_table(images) for images in found.values()]
    table = {"kind": np.repeat(list(found), len(z))}
    return axes, table | {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def draw_predictive(source: Source) -> Made:
    """Draw rows, the means of p(x|z) and draws from it: the posterior predictive."""
    assert source.data is not None
    batch = source.trained.batch(source.data, evenly_spaced(source.few.positions, 12))
    rows = [source.images(source.originals(batch)), source.images(source.reconstructions(batch))]
    for i in range(3):
        key = jax.random.fold_in(source.row_key, i)
        draw = evaluation.reconstruct(source.trained.rows(batch, key=key), mean=False)
        rows.append(source.images(source.trained.data_units(draw, mean=False)))
    names = ["data", "mean of p(x|z)", *["draw from p(x|z)"] * 3]
    title = "Posterior predictive: z drawn from q(z|x), x from p(x|z)"
    return image_strips(rows, names, title=title)
