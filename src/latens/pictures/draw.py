"""From a trained model to its pictures: everything that applies, each with the numbers it shows."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from latens import figures
from latens.data import Dataset
from latens.figures.style import ThemeName
from latens.pictures.classes import draw_classes
from latens.pictures.latent import (
    Plane,
    draw_aggregated,
    draw_latent,
    draw_levels,
    draw_manifolds,
    draw_paths,
    draw_planes,
    draw_reach,
    draw_traversals,
)
from latens.pictures.model_graph import draw_graph
from latens.pictures.reconstructions import draw_extremes, draw_predictive, draw_reconstructions, draw_samples
from latens.pictures.source import Drawn, Source
from latens.pictures.tables import draw_columns, draw_marginals, draw_missing, draw_mixed, draw_series
from latens.pictures.training import draw_rate, draw_training, draw_unit_kl, kept_step
from latens.workflow.trained import TrainedModel

FIRST = ("training", "classes", "reconstructions", "samples", "manifold", "latent", "units", "levels", "marginals")
"""The pictures for a first look: those of `latens demo`."""


def write_pictures(
    trained: TrainedModel,
    data: Dataset | None,
    history: Sequence[dict[str, Any]],
    folder: Path,
    snapshots: Sequence[tuple[int, TrainedModel]] = (),
    *,
    theme: ThemeName = "light",
    seed: int = 0,
    plane: Plane = Plane(),  # noqa: B008 - immutable
    only: Collection[str] | None = None,
) -> list[Path]:
    """Write the pictures of a model, each as PNG and SVG with its numbers as CSV."""
    # only: names of the pictures that are wanted, "manifold" for every latent plane; None for all.
    drawn = draw_pictures(trained, data, history, snapshots, theme=theme, seed=seed, plane=plane, only=only)
    return [path for name, axes, table in drawn for path in figures.save(axes, Path(folder) / name, table)]


def draw_pictures(
    trained: TrainedModel,
    data: Dataset | None,
    history: Sequence[dict[str, Any]] = (),
    snapshots: Sequence[tuple[int, TrainedModel]] = (),
    *,
    theme: ThemeName = "light",
    seed: int = 0,
    plane: Plane = Plane(),  # noqa: B008 - immutable
    only: Collection[str] | None = None,
) -> Drawn:
    """Draw every picture that applies to a model."""
    # - `training`: ELBO, log-likelihood and KL over the epochs of `history`;
    # - `classes`: samples of every class beside the means of their components (images, Bayes classifiers);
    # - `reconstructions`: held-out rows, their reconstructions, prior samples, all as means of p(x|z) (images);
    # - `samples`: samples of p(x|z) beside its means, for the same samples of z from the prior (images);
    # - `manifold-linear`, `manifold-percentile`: the decoder's mean over a plane of two latent dimensions (images); of
    #   a
    #     conditional model one `manifold-C` for each of the first classes;
    # - `latent`: posterior means of held-out rows (of all, where these are few) by label; of more than two latent
    #     dimensions, the two with the most KL (not of discrete latents);
    # - `units`: the KL of every latent dimension; `levels`: that of every level of a hierarchy;
    # - `marginals`: data and samples, column by column (tables);
    # - `graph`: the parts of the model with shapes and trained parameters; `graph-encoder` and `graph-decoder`, asked
    #   for
    #     by name, are one side of it;
    # - `rate-distortion`: KL against -log p(x|z) over training; `unit-kl-over-training` (from snapshots);
    # - `latent-density`: contours and posteriors of the two dimensions with most KL;
    # - `two-views`: encoder and decoder on the same axes (images, two latent dimensions);
    # - `traversals`, `interpolations`, `walk`, `arithmetic` (of classes): what latents decode to (images);
    # - `reach`: how far codes move until the picture, or its class, changes (images);
    # - `posterior-predictive`: data, means and samples; `extremes`: best and worst rows with error maps (images);
    # - `aggregated-posterior`: q(z) over all rows against the prior, dimension by dimension;
    # - `correlations`, `column-errors` (tables of numbers), `associations` and `column-nats` (mixed tables),
    #     `missing-cells` (tables with gaps), `bands` (series).
    # Rows are test rows where there are any, else validation, else training rows; titles say which.
    # only: names of the pictures that are wanted, "manifold" for every latent plane; None for all.
    source = Source(trained, data, seed)
    wanted: list[tuple[set[str], Callable[..., Drawn], tuple[Any, ...]]] = []

    def add(applies: bool, names: str, draw: Callable[..., Drawn], *arguments: Any) -> None:
        if applies:
            wanted.append((set(names.split()), draw, arguments))

    has_latents = not source.is_classifier
    image, flat = source.is_image, len(source.schema.shape) == 1 and not source.is_image
    rows = data is not None and has_latents
    vector = rows and source.support == "vector"
    compared = vector and source.has_prior and not trained.preparation.classes

    add(True, "training", draw_training, history, kept_step(trained), theme)
    add(image and not has_latents, "classes", _classes, source, theme)
    add(image and has_latents, "reconstructions", draw_reconstructions, source, theme)
    add(image and has_latents, "samples", draw_samples, source, theme)
    add(image and has_latents, "manifold", draw_manifolds, source, theme, plane)
    add(has_latents, "latent units", draw_latent, source, theme)
    add(rows and not source.trained.is_point, "levels", draw_levels, source, theme)
    add(flat, "marginals", draw_marginals, source, theme)
    add(True, "graph", _graph, trained, theme)
    for side in ("encoder", "decoder"):  # drawn where they are asked for by name
        alone = hasattr(trained.model, "encoder") and f"graph-{side}" in (only or ())
        add(alone, f"graph-{side}", _graph, trained, theme, side)
    add(True, "rate-distortion", draw_rate, history, theme)
    add(vector, "latent-density two-views", draw_planes, source, theme)
    add(vector and image, "traversals", draw_traversals, source, theme)
    add(vector and image, "interpolations walk arithmetic", draw_paths, source, theme)
    add(compared and image, "reach", draw_reach, source, theme)
    add(rows and image, "posterior-predictive", draw_predictive, source, theme)
    add(rows and image, "extremes", draw_extremes, source, theme)
    add(compared, "aggregated-posterior", draw_aggregated, source, theme)
    add(rows, "unit-kl-over-training", _unit_kl, source, snapshots, theme)
    add(rows and flat and bool(source.schema.columns), "column-errors correlations", draw_columns, source, theme)
    add(rows and flat and source.schema.types is not None, "associations column-nats", draw_mixed, source, theme)
    add(rows and flat, "missing-cells", draw_missing, source, theme)
    add(rows and flat and not source.schema.columns, "bands", draw_series, source, theme)
    if only is not None and set(only) <= set().union(*(names for names, _, _ in wanted)):
        wanted = [entry for entry in wanted if entry[0] & set(only)]
    drawn = [entry for _, draw, arguments in wanted for entry in draw(*arguments)]
    return [entry for entry in drawn if only is None or {entry[0], _family(entry[0])} & set(only)]


def _family(name: str) -> str:
    return "manifold" if name.startswith("manifold-") else name


def _classes(source: Source, theme: ThemeName) -> Drawn:
    return [("classes", *draw_classes(source.trained, key=source.prior_key, limits=source.limits, theme=theme))]


def _graph(trained: TrainedModel, theme: ThemeName, side: str | None = None) -> Drawn:
    return [("graph" if side is None else f"graph-{side}", *draw_graph(trained, side=side, theme=theme))]


def _unit_kl(source: Source, snapshots: Sequence[tuple[int, TrainedModel]], theme: ThemeName) -> Drawn:
    return draw_unit_kl(source, snapshots, theme) if len(snapshots) > 1 else []
