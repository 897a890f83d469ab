"""Every picture of a trained model: what is said of it, when it applies, and the function that draws it."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latens import figures
from latens.data import Dataset
from latens.errors import number
from latens.model_figures import latent_pictures, model_graph, table_pictures
from latens.model_figures.source import Made, Source
from latens.runtime.terminal import doing
from latens.trained.trained_model import TrainedModel

Drawn = list[tuple[str, Any, dict[str, np.ndarray]]]
"""Pictures: of each its name, its Axes and the table of its numbers, which pictures of rows have not."""

MOST_WORDS = 12
"""Columns of a table, and words of a column, that its description names."""

_LOOKS = ("images", "table", "mixed columns", "numbers", "series", "text")
NEEDS: dict[str, Callable[[Source], bool]] = {
    **{word: lambda source, word=word: word in source.looks for word in _LOOKS},
    "named columns": lambda source: bool(source.schema.columns),
    "unnamed columns": lambda source: not source.schema.columns,
    "rows": lambda source: source.data is not None,
    "history": lambda source: len(source.history) > 0,
    "classifier": lambda source: source.is_classifier,
    "latents": lambda source: not source.is_classifier,
    "vectors": lambda source: source.support == "vector",
    "two units": lambda source: source.trained.latent_shape == (2,),
    "prior": lambda source: source.has_prior,
    "encoder": lambda source: hasattr(source.trained.model, "encoder"),
    "condition": lambda source: bool(source.trained.preparation.classes),
    "counts of cells": lambda source: source.trained.preparation.depth,
    "no counts of cells": lambda source: not source.trained.preparation.depth,
    "no condition": lambda source: not source.trained.preparation.classes,
}
"""The words for what a picture applies to, those of a kind of rows first."""


class Picture(NamedTuple):
    """All that is said of a picture, and how it is drawn."""

    name: str
    needs: str  # words of `NEEDS`
    draw: Callable[[Source], Made | None]  # None where there is nothing to see after all
    heading: str
    caption: str
    place: str = ""  # the section of a report that shows it; "" where none does
    rank: int = 99  # its place in that section; pictures of one rank stand in the order of the rows
    first: bool = False  # whether it is one for a first look, as of `latens demo`
    asked: bool = False  # whether it is drawn only where it is asked for by name
    sees: str = ""  # what to see in it, in one sentence

    @property
    def words(self) -> list[str]:
        """The words of its needs; a picture without any is drawn of every model."""
        return self.needs.split(", ") if self.needs else []

    @property
    def family(self) -> str:
        """The name by which several pictures can be asked for."""
        return "manifold" if self.name.startswith("manifold-") else self.name

    def described(self, table: dict[str, np.ndarray]) -> str:
        """What a reader who does not see the picture needs of it."""
        if not table:
            return self.caption
        parts = []
        for name, values in table.items():
            if np.asarray(values).dtype.kind in "biuf":
                seen = np.asarray(values, float)[np.isfinite(np.asarray(values, float))]
                said = f"from {number(seen.min())} to {number(seen.max())}" if len(seen) else "nowhere known"
            else:
                words = [str(word)[:40] for word in dict.fromkeys(np.asarray(values).tolist())]
                said = ", ".join(words[:MOST_WORDS]) + (" and others" if len(words) > MOST_WORDS else "")
            parts.append(f"{name.replace('_', ' ')}: {said}")
        rows = len(next(iter(table.values())))
        return f"{self.caption} Its table has {rows} rows; {'; '.join(parts[:MOST_WORDS])}."


def draw_training(source: Source) -> Made | None:
    """Draw ELBO, log-likelihood and KL over the epochs."""
    columns, kept = history_arrays(source.history), kept_step(source.trained)
    curves = [f"{split}_{term}" for split in ("train", "validation") for term in ("elbo", "log_likelihood", "kl")]
    if not any(name in columns for name in curves):
        return None
    at = np.flatnonzero(columns.get("step", np.empty(0)) == kept) if kept else []
    best = int(at[-1]) if len(at) else None
    table = figures.training_curves_table(columns)
    axes = figures.training_curves(columns, best=best, mark="kept")
    return axes, table


def kept_step(trained: TrainedModel) -> int | None:
    """Find the step of training that a model is of."""
    last = getattr(getattr(trained.config, "training", None), "keep", None) == "last"
    found = trained.facts.get("steps") if last else trained.facts.get("best_step") or trained.facts.get("steps")
    return found if isinstance(found, int) else None


_PLANES = "See how one picture turns into the next without a jump."

# Rows of a table are easier to compare side by side than one argument a line.
# fmt: off
_PICTURES = (
    Picture("training", "history", draw_training, "Training",
            "Training: the evidence lower bound and its two terms, in nats per row, over the epochs.",
            "training", first=True,
            sees="See where the validation curve is highest, and how far training runs ahead of it at the end."),
    Picture("classes", "images, classifier", table_pictures.draw_classes, "Each class",
            "Samples of every class, and the means they are drawn around.", "pictures", 6, first=True,
            sees="See whether draws of a class vary, or all look like its mean."),
    Picture("reconstructions", "images, latents, rows", table_pictures.draw_reconstructions,
            "What goes in, and what comes out",
            "Rows, what the model makes of them, and means of samples from the prior.", "pictures", 2, first=True,
            sees="See what is lost between the rows and what the model makes of them."),
    Picture("samples", "images, latents, prior", table_pictures.draw_samples, "New rows from the model",
            "New rows: means of p(x | z) for z from the prior, then draws for the same z, with noise of each pixel.",
            "pictures", 1, first=True,
            sees="See whether the means, which come first, look like rows."),
    Picture("texts", "text, latents, rows", table_pictures.draw_texts, "Texts in, and texts out",
            "Rows, the most probable texts of their latents, and new rows.", "pictures", 1, first=True,
            sees="See whether texts are reproduced exactly, and whether new ones look real."),
    Picture("text-interpolations", "text, latents, rows, vectors, no condition", table_pictures.draw_ways,
            "From one text to another", "The most probable texts on a straight way between the latents of two rows.",
            "pictures", 2, first=True,
            sees="See whether every text on the way could be a row."),
    Picture("manifold-linear", "images, latents, vectors, prior, two units, no condition", latent_pictures.draw_linear,
            "The latent plane, at equal steps",
            "What each point of the latent plane decodes to, on an even grid.", "pictures", 4, first=True,
            sees=_PLANES),
    Picture("manifold-percentile", "images, latents, vectors, prior, two units", latent_pictures.draw_percentiles,
            "The latent plane, where the prior has its mass",
            "The same where the prior has its mass: an even grid of its percentiles.", "pictures", 3, first=True,
            sees=_PLANES),
    *(
        Picture(f"manifold-{i}", "images, latents, vectors, prior, two units, condition",
                partial(latent_pictures.draw_class_plane, i), f"The latent plane of class {i}",
                "What each point of the latent plane decodes to, for one class.", "pictures", first=True,
                sees=_PLANES)
        for i in range(10)
    ),
    Picture("latent", "latents, rows", latent_pictures.draw_latent, "Where rows lie in the latent space",
            "Where rows lie in the latent space: the means of their posteriors.", "pictures", 10, first=True,
            sees="See which classes are separate, and which overlap."),
    Picture("units", "latents, rows", latent_pictures.draw_units, "How much each latent dimension says",
            "How much each latent unit carries: its KL to the prior, averaged over the rows.", "pictures", first=True,
            sees="See how many bars rise above 0: the others carry nothing."),
    Picture("marginals", "table, rows, prior", table_pictures.draw_marginals, "Each column: data and samples",
            "Column by column: how often a value occurs in the data, and in samples from the model.", "pictures", 7,
            first=True,
            sees="See the columns where samples and data part."),
    Picture("filled", "table, latents, mixed columns, rows, prior", table_pictures.draw_filled,
            "Hidden cells and what was filled in",
            "Cells that were hidden at random against what was filled in, with the interval of 90 % of the draws; of "
            "categories the share that is right. The last panel: how often such intervals hold the true value.",
            "pictures", 8,
            sees="See whether points follow the line, and whether intervals of 90 % hold 90 % of the true values."),
    Picture("graph", "", model_graph.draw_graph, "How the parts fit together",
            "The parts of the model, what comes out of each, and how many trained numbers it holds.", "model",
            sees="See where most of the trained numbers lie."),
    Picture("graph-encoder", "encoder", partial(model_graph.draw_graph, side="encoder"), "From a row to its latents",
            "The parts of the encoder, what comes out of each, and how many trained numbers it holds.", asked=True,
            sees="See where most of its trained numbers lie."),
    Picture("graph-decoder", "encoder", partial(model_graph.draw_graph, side="decoder"), "From latents to a row",
            "The parts of the decoder, what comes out of each, and how many trained numbers it holds.", asked=True,
            sees="See where most of its trained numbers lie."),
    Picture("two-views", "images, latents, rows, vectors, no condition", latent_pictures.draw_two_views,
            "Encoder and decoder on the same plane",
            "The latent plane from both sides, on the same axes: where rows lie, and what its points decode to.",
            "pictures",
            sees="See whether rows lie where the decoded pictures are sharp."),
    Picture("traversals", "images, latents, rows, vectors", latent_pictures.draw_traversals,
            "What each latent dimension changes",
            "What each latent unit changes: one moves, the others stay; the most informative one is first.", "pictures",
            sees="See which line changes most, and what it changes."),
    Picture("interpolations", "images, latents, rows, vectors", latent_pictures.draw_interpolations,
            "From one row to another",
            "What lies between two rows: points on the way from one code to the other, decoded.",
            sees="See whether the pictures on the way could be rows."),
    Picture("arithmetic", "images, latents, rows, vectors, no condition", latent_pictures.draw_arithmetic,
            "Adding and subtracting classes", "Sums and differences of the mean codes of classes, decoded.",
            sees="See whether the last picture of a line is what the sum says."),
    Picture("reach", "images, latents, rows, vectors, prior, no condition", latent_pictures.draw_reach,
            "How robust a decoded row is",
            "How far a code moves until what it decodes to changes: the share of rows that is still the same.",
            sees="See how far the curve stays at the top before it falls."),
    Picture("posterior-predictive", "images, latents, rows", table_pictures.draw_predictive,
            "What it draws in the place of a row", "Rows, with draws and means of the model for the same latents.",
            sees="See whether the draws vary as the rows do."),
    Picture("aggregated-posterior", "latents, rows, vectors, prior, no condition",
            latent_pictures.draw_aggregated, "All codes together, against the prior",
            "Unit by unit: the codes of all rows together against the prior that samples start from.", "pictures",
            sees="See where codes leave gaps that samples of the prior fall into."),
    Picture("correlations", "table, latents, rows, named columns, numbers, prior", table_pictures.draw_correlations,
            "How columns correlate",
            "How columns go together in the data and in samples from the model.", "pictures",
            sees="See whether both halves have the same pattern."),
    Picture("information", "table, latents, mixed columns, prior, no condition", table_pictures.draw_information,
            "Dependence of columns",
            "The mutual information of each pair of columns under the model, in nats.", "pictures", 9,
            sees="See which columns go together in the model: the bright cells."),
    Picture("bands", "latents, rows, unnamed columns, series", table_pictures.draw_series,
            "Rows within what the model draws",
            "Rows over the bands that hold half and nine tenths of what the model draws for them.", "pictures", 11,
            sees="See whether about nine tenths of the points lie in the wide band."),
)
# fmt: on

PICTURES: dict[str, Picture] = {one.name: one for one in _PICTURES}
"""Every picture by its name, in the order in which they are drawn."""

FIRST = tuple(one.name for one in _PICTURES if one.first)
"""The pictures for a first look: those of `latens demo`."""


def asked_for(only: Collection[str] | None) -> tuple[list[Picture], set[str]]:
    """The pictures that are named, all for None, and the words for what they need."""
    everything = PICTURES.values()
    kept = [one for one in everything if (not one.asked if only is None else {one.name, one.family} & set(only))]
    return kept, {word for one in kept for word in one.words}


def save_pictures(drawn: Drawn, folder: Path) -> list[Path]:
    """Write each picture as PNG and SVG, its numbers as CSV."""
    return [path for name, axes, table in drawn for path in figures.save(axes, Path(folder) / name, table or None)]


def draw_pictures(
    trained: TrainedModel,
    data: Dataset | None,
    history: Sequence[dict[str, Any]] = (),
    *,
    only: Collection[str] | None = None,
    **look: Any,
) -> Drawn:
    """Draw every picture that applies to a model, or of these those that are named."""
    # Rows are test rows where there are any, else validation, else training rows; titles say which.
    return list(drawing(Source(trained, data, history=history, **look), only))


def drawing(source: Source, only: Collection[str] | None = None) -> Iterator[tuple[str, Any, dict[str, np.ndarray]]]:
    """Draw one picture after the other, so that each can be kept as soon as it is there."""
    holds = cache(lambda word: NEEDS[word](source))
    for one in asked_for(only)[0]:
        if all(map(holds, one.words)):
            doing(f"drawing {one.name}")
            made = one.draw(source)
            if made is not None:
                yield (one.name, *made)


def history_arrays(history: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Turn records with numbers into arrays of one length."""
    names = dict.fromkeys(k for record in history for k, v in record.items() if isinstance(v, int | float))
    return {name: np.array([record.get(name, math.nan) for record in history], float) for name in names}
