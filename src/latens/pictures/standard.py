"""From a trained model to its pictures: everything that applies, each with the numbers it shows."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from latens import evaluation, figures
from latens.data import SPLITS, Dataset, Preparation
from latens.errors import ConfigError, UsageError
from latens.figures.style import DPI, ThemeName, figure_of, new_axes
from latens.io.atomic import resource_errors, write_atomic
from latens.pictures.classes import draw_classes, each_class, sample_columns
from latens.pictures.images import write_image as write_image
from latens.pictures.source import Source, evenly
from latens.training import Event
from latens.workflow.trained import TrainedModel

COLUMNS, GRID = 12, 5  # images in a row of reconstructions; rows and columns of a grid of samples
MANIFOLD = 21  # points of the latent plane along each axis; an odd number shows the middle of the prior
MOST_CELLS = 1_000_000  # numbers up to which a manifold's table holds every pixel, else the mean of each image
MOST_POINTS, MOST_ROWS = 10_000, 50_000  # of a scatter, of a histogram
FEW_POINTS = 100  # a scatter of fewer held-out rows shows every row instead
MOMENT = 16  # samples in a picture made during training
PLANES = ("vector", "sphere", "ball", "shares")  # latents that a plane of two numbers shows; choices are none


class Plane(NamedTuple):
    """How the latent plane is drawn.

    Args:
        cells: Points along each side.
        spacing: "linear" (even in z) or "percentile" (even in percentiles of the prior); None draws both.
        percentiles: Probabilities at the edges of the grid of percentiles.
    """

    cells: int = MANIFOLD
    spacing: Literal["linear", "percentile"] | None = None
    percentiles: tuple[float, float] = (0.05, 0.95)


# --- the pictures ---


def write_pictures(
    trained: TrainedModel,
    data: Dataset | None,
    history: Sequence[dict[str, Any]],
    folder: Path,
    *,
    theme: ThemeName = "light",
    seed: int = 0,
    plane: Plane = Plane(),  # noqa: B008 - immutable
) -> list[Path]:
    """Write every picture that applies to a model, each as PNG and SVG with its numbers as CSV.

    - `training`: ELBO, log-likelihood and KL over the epochs of `history`;
    - `reconstructions`: held-out rows, their reconstructions, prior samples, all as means of p(x|z) (images);
    - `samples`: samples of p(x|z) beside its means, for the same samples of z from the prior (images);
    - `latent`: posterior means of held-out rows (of all, where these are few) by label; of more than two latent
      dimensions, the two with the most KL (not of discrete latents);
    - `manifold-linear`, `manifold-percentile`: the decoder's mean over a plane of two latent dimensions (images); of a
      conditional model one `manifold-C` for each of the first classes;
    - `units`: the KL of every latent dimension; `marginals`: data and samples, column by column (tables);
    - `classes`: samples of every class beside the means of their components (images, Bayes classifiers).

    Rows are test rows where there are any, else validation, else training rows; titles say which.

    Args:
        trained: The model.
        data: Its data; None draws what needs none.
        history: The "epoch" records of metrics.jsonl.
        folder: Where to write.
        theme: "light" or "dark".
        seed: Seed of the samples.
        plane: How the latent plane is drawn.

    Returns:
        The paths written.

    Raises:
        ResourceError: The disk refuses.
    """
    drawn = draw_pictures(trained, data, history, theme=theme, seed=seed, plane=plane)
    return [path for name, axes, table in drawn for path in figures.save(axes, Path(folder) / name, table)]


def draw_pictures(
    trained: TrainedModel,
    data: Dataset | None,
    history: Sequence[dict[str, Any]],
    *,
    theme: ThemeName = "light",
    seed: int = 0,
    plane: Plane = Plane(),  # noqa: B008 - immutable
) -> list[tuple[str, Any, dict[str, np.ndarray]]]:
    """Draw what `write_pictures` writes.

    Args:
        trained: The model.
        data: Its data; None draws what needs none.
        history: The "epoch" records of metrics.jsonl.
        theme: "light" or "dark".
        seed: Seed of the samples.
        plane: How the latent plane is drawn.

    Returns:
        Of each picture its name, its Axes and the table of its numbers.
    """
    source = Source(trained, data, seed)
    drawn: list[tuple[str, Any, dict[str, np.ndarray]]] = []
    drawn += _training(history, trained.facts.get("best_step"), theme)
    if source.is_classifier:
        if source.is_image:
            drawn.append(("classes", *draw_classes(trained, key=source.prior_key, limits=source.limits, theme=theme)))
    elif source.is_image:
        drawn += _reconstructions(source, theme) + _samples(source, theme) + _manifolds(source, theme, plane)
    if not source.is_classifier:
        drawn += _latent(source, theme)
    if len(source.schema.shape) == 1 and not source.is_image:
        drawn += _marginals(source, theme, MOST_ROWS)
    return drawn


def columns_of(history: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Turn records with numbers into columns of one length.

    Args:
        history: Records of a training.

    Returns:
        Arrays by name; NaN where a record lacks the name.
    """
    names = dict.fromkeys(k for record in history for k, v in record.items() if isinstance(v, int | float))
    return {name: np.array([record.get(name, math.nan) for record in history], float) for name in names}


def _training(history: Sequence[dict[str, Any]], best_step: Any, theme: ThemeName) -> list:
    columns = columns_of(history)
    curves = [f"{split}_{term}" for split in ("train", "validation") for term in ("elbo", "log_likelihood", "kl")]
    if not any(name in columns for name in curves):
        return []
    at = np.flatnonzero(columns.get("step", np.empty(0)) == best_step) if best_step else []
    best = int(at[-1]) if len(at) and any(name.startswith("validation_") for name in columns) else None
    table = figures.training_curves_table(columns)
    axes = figures.training_curves(columns, best=best, theme=theme)
    _leave_out_the_start(axes, table)
    return [("training", axes, table)]


def _leave_out_the_start(axes: np.ndarray, table: dict[str, np.ndarray]) -> None:
    """Where the first twentieth of training spans most of a panel, show the rest of it, and say so."""
    x = next(iter(table.values()))
    first = math.ceil(len(x) / 20)
    for ax in axes if len(x) >= 20 else ():
        curves = [line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) == len(x)]
        if not curves:
            continue
        every, late = np.array(curves, float), np.array(curves, float)[:, first:]
        if np.ptp(every) > 4 * np.ptp(late) > 0:
            margin = 0.06 * np.ptp(late)
            ax.set_ylim(late.min() - margin, late.max() + margin)
            ax.set_xlabel(f"{ax.get_xlabel()} (the first {first} partly outside)")


def _reconstructions(source: Source, theme: ThemeName) -> list:
    if source.data is None:
        return []
    positions, split = source.held_out(2 * COLUMNS, "test", "validation")
    batch = source.trained.batch(source.data, positions)
    originals, means = source.images(source.originals(batch)), source.images(source.reconstructions(batch))
    samples, title = None, f"{_rows(split)} and their reconstructions"
    if source.has_prior:
        samples = source.images(source.decoded(source.latents(GRID * GRID)[:COLUMNS]))
        title = f"{_rows(split)}, their reconstructions, and samples from the prior (means)"
    axes = figures.reconstructions(originals, means, samples, columns=COLUMNS, title=title, theme=theme)
    return [("reconstructions", axes, figures.reconstructions_table(originals, means, samples))]


def _samples(source: Source, theme: ThemeName) -> list:
    if not source.has_prior:
        return []
    columns, of = sample_columns(source.trained, GRID)
    z = source.latents(GRID * columns)
    found = {name: source.images(source.decoded(z, mean=name == "mean")) for name in ("draw", "mean")}
    axes = new_axes(1, 2, size=(8.6, 4.1 * found["mean"].shape[1] / found["mean"].shape[2] + 0.5), theme=theme)[0]
    figure_of(axes).set_layout_engine("constrained", wspace=0.06)
    for ax, name, title in zip(axes, found, (f"Samples{of}: draws from p(x|z)", "Means of p(x|z), the same z")):
        figures.image_grid(found[name], columns=columns, title=title, theme=theme, ax=ax)
    tables = [figures.image_grid_table(images) for images in found.values()]
    table = {"kind": np.repeat(list(found), len(z))}
    return [("samples", axes, table | {name: np.concatenate([t[name] for t in tables]) for name in tables[0]})]


def _manifolds(source: Source, theme: ThemeName, plane: Plane) -> list:
    if not source.has_prior or source.support != "vector" or source.latents(1).shape[1:] != (2,):
        return []
    drawn = []
    linear = figures.linear_grid(plane.cells)
    wanted: list = [("manifold-linear", linear, "Means of p(x|z) on an even grid of z", None)]
    if source.standard_normal:  # the percentiles of other priors have no table
        even = figures.percentile_grid(plane.cells, *plane.percentiles)
        wanted += [("manifold-percentile", even, "Means of p(x|z) at even percentiles of the prior", None)]
    elif plane.spacing == "percentile":
        raise ConfigError("this prior has no percentiles to space the plane by.", where="--manifold-range percentile",
                          fix="Use --manifold-range linear.")  # fmt: skip
    if plane.spacing is not None:
        wanted = [entry for entry in wanted if entry[0] == f"manifold-{plane.spacing}"]
    if source.trained.preparation.classes:
        wanted = [
            (f"manifold-{i}", linear, title, np.full(plane.cells**2, i)) for i, title in each_class(source.trained)
        ]
    for name, grid, title, codes in wanted:
        images = source.images(source.decoded(grid.reshape(-1, 2), codes))
        images = images.reshape(*grid.shape[:2], *images.shape[1:])
        axes = figures.manifold(framed(images), grid, title=title, theme=theme)
        table = figures.manifold_table(images, grid)
        if images.size > MOST_CELLS:  # a table of millions of pixels serves nobody
            means = images.reshape(len(table["row"]), -1).mean(1)
            table = {key: table[key] for key in ("row", "column", "latent_0", "latent_1")} | {"mean_pixel": means}
        drawn.append((name, axes, table))
    return drawn


def framed(images: np.ndarray) -> np.ndarray:
    """Put images into thin black frames: pictures that touch cannot be told apart.

    Args:
        images: Images, shape (rows, columns, H, W[, C]).

    Returns:
        The images with frames, larger by the frame on every side.
    """
    edge = (max(1, round(max(images.shape[2:4]) / 28)),) * 2
    return np.pad(images, ((0, 0), (0, 0), edge, edge, *((0, 0),) * (images.ndim - 4)))


def _latent(source: Source, theme: ThemeName) -> list:
    if source.data is None:
        return []
    positions, split = source.held_out(MOST_POINTS, "test", "validation")
    of = f"{len(positions)} {split} row{'s' * (len(positions) > 1)}"
    if len(positions) < FEW_POINTS < len(source.data):
        positions = evenly(np.arange(len(source.data)), MOST_POINTS)
        of = f"{len(positions)} rows of every split"
    batch = source.trained.batch(source.data, positions)
    model, preparation = source.trained.model, source.trained.preparation
    codes = evaluation.encode(model, batch, preparation=preparation, key=source.row_key)
    means = codes["mean"].reshape(len(positions), -1)
    by_unit = "kl" in codes and codes["kl"].size == means.size  # of correlated units there is one KL a row
    kl = codes["kl"].reshape(means.shape).mean(0, dtype=np.float64) if by_unit else None
    drawn = []
    if means.shape[1] >= 2 and source.support in PLANES:
        size, what = (means.var(0), "variance") if kl is None else (kl, "KL")
        first, second = sorted(int(unit) for unit in np.argsort(-size, kind="stable")[:2])
        z, units = means[:, [first, second]], (first, second)
        title = f"Posterior means of {of}"
        title += f": units {first} and {second}, most {what}" if means.shape[1] > 2 else ""
        label = None if batch.label is None else np.asarray(batch.label)
        classes = None if label is None else source.data.schema.classes
        axes = figures.latent_scatter(z, label, classes, units=units, title=title, theme=theme)
        drawn.append(("latent", axes, figures.latent_scatter_table(z, label, classes, units=units)))
    if kl is not None:
        active = evaluation.active_units(means)
        drawn.append(("units", figures.unit_kl_bars(kl, active, theme=theme), figures.unit_kl_table(kl, active)))
    return drawn


def _marginals(source: Source, theme: ThemeName, most: int) -> list:
    if source.data is None or not source.has_prior:
        return []
    rows = evenly(np.arange(len(source.data)), most)
    data = source.data.x[rows].astype(np.float32)
    if source.data.mask is not None:
        data = np.where(source.data.mask[rows], data, np.nan)
    samples = source.samples(min(most, max(2000, len(rows))))
    columns = source.schema.columns
    names = [f"column {i}" for i in range(data.shape[1])] if columns is None else [c.name for c in columns]
    axes = figures.marginals(data, samples, names, theme=theme)
    return [("marginals", axes, figures.marginals_table(data, samples, names))]


def _rows(split: str) -> str:
    return f"{'Training' if split == SPLITS[0] else split.capitalize()} rows"


# --- during training ---


class PlotsCallback:
    """A callback that shows training as it goes on: every so many steps a picture of what the model makes now.

    For images, `FOLDER/samples-0000001000.png` holds the means of p(x|z) at 16 samples from the prior (the same ones
    each time) and `reconstructions-0000001000.png` eight validation rows above their reconstructions. For tables,
    `samples-...png` shows the marginals of data and samples. Each picture is whole or absent.

    Args:
        folder: Where to write, or a function that says where it is now.
        data: The data of the training.
        every: Steps between pictures, from 1, a multiple of which ends a chunk (`Settings.stop_every`).
        seed: Seed of the samples.
        preparation: What the model sees of a row.

    Raises:
        UsageError: `every` is below 1.
    """

    def __init__(
        self, folder: Path | Callable[[], Path], data: Dataset, every: int, seed: int, *, preparation: Preparation
    ) -> None:
        if every < 1:
            raise UsageError(f"plots_every must be 1 or more, not {every}.", where="plots_every", fix="Give 1 or more.")
        self.folder = folder if callable(folder) else lambda: folder
        self.data, self.every, self.seed, self.preparation = data, every, seed, preparation
        self.written: list[Path] = []

    def __call__(self, event: Event) -> None:
        """Write pictures where the event ends a multiple of `every` steps.

        Args:
            event: An event of the training.
        """
        step = event.snapshot.loop.total
        if event.kind == "boundary" and step > 0 and step % self.every == 0:
            self.written += self.write(TrainedModel(event.model(), self.data.schema, self.preparation), step)

    def write(self, trained: TrainedModel, step: int) -> list[Path]:
        """Write the pictures of a model, named by the step.

        Args:
            trained: The model.
            step: The step.

        Returns:
            The paths written.
        """
        source = Source(trained, self.data, self.seed)
        folder = self.folder()
        with resource_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        samples = folder / f"samples-{step:010d}.png"
        if not source.is_image:
            return [self._marginals(source, samples)] if len(source.schema.shape) == 1 and source.has_prior else []
        paths = []
        if source.has_prior:
            paths.append(write_image(samples, source.images(source.decoded(source.latents(MOMENT)))))
        positions, _ = source.held_out(MOMENT // 2, "validation")
        batch = trained.batch(self.data, positions)
        pair = [source.images(source.originals(batch)), source.images(source.reconstructions(batch))]
        path = folder / f"reconstructions-{step:010d}.png"
        return [*paths, write_image(path, np.concatenate(pair), columns=len(positions))]

    def _marginals(self, source: Source, path: Path) -> Path:
        [(_, axes, _)] = _marginals(source, "light", 2000)
        stream = io.BytesIO()
        figure_of(axes).savefig(stream, format="png", dpi=DPI, metadata={"Software": "latens"})
        write_atomic(path, stream.getvalue())
        return path
