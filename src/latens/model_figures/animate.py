"""Animations of a trained model (GIF or MP4), built from the snapshots that were saved during training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from latens import figures
from latens.data import Dataset
from latens.data.row_fields import evenly_spaced
from latens.errors import ConfigError, DataError, UsageError, nearest
from latens.figures.animation import moving_image, moving_manifold, moving_scatter
from latens.figures.paths import PathKind, align, in_log_time, medoid, path_between, random_walk
from latens.latents.codes import encode
from latens.model_figures.source import Source
from latens.trained.trained_model import TrainedModel

MOST_STOPS, MOST_POINTS, MOST_NAMES = 10, 2000, 10_000
SHOWN = 150
"""Rows of a scatter behind a morph."""


@dataclass(frozen=True)
class Moving:
    """A moving picture."""

    frames: Iterator[np.ndarray]  # its frames of pixels, in order
    says: str  # what it shows, in words
    hold: tuple[float, ...] = field(default=())  # how many frames' time each lasts, in order; 1 for those not given


def _images_only(source: Source, what: str) -> None:
    if "images" not in source.looks:
        fix = "Use --only figures, or --name latent for a run with --snapshots."
        raise ConfigError(f"rows of shape {source.schema.shape} are not pictures to {what}.", where="animate", fix=fix)
    if source.is_classifier or source.support != "vector":
        raise ConfigError("this animation needs continuous latents; this model has discrete ones.", where="animate",
                          fix="Use a model with a Normal posterior.")  # fmt: skip


def means_of(source: Source, positions: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, "n units"]:
    """Compute the posterior means of rows."""
    assert source.data is not None
    batch = source.trained.batch(source.data, positions)
    means = encode(source.rows(batch))["mean"]
    return means.reshape(len(means), -1)


def _conditions(source: Source, codes: np.ndarray | None, num: int) -> np.ndarray | None:
    """The class vectors of a conditional model along a path through these classes."""
    known = source.trained.condition(codes) if source.trained.preparation.classes else None
    return None if known is None else path_between(known["label"], num, "linear", closed=True)


# --- through the latent space ---


def morph(
    trained: TrainedModel,
    data: Dataset | None,
    *,
    between: Sequence[str] = (),
    path: PathKind = "spherical",
    frames: int = 12,
    codes: Mapping[str, Sequence[float]] | None = None,
) -> Moving:
    """Move through classes or rows and back to the first, decoded on the way."""
    # A class stands at its medoid: at the row whose posterior mean has the least sum of distances to those of its
    # class. Their mean may lie where another class does.
    source = Source(trained, data, 0)
    _images_only(source, "morph")
    names, stops, labels = _given(list(between), codes or {}) if data is None else _stops(source, list(between))
    z = path_between(stops, frames, path, closed=True)
    images = source.decoded_images(z, _conditions(source, labels, frames))
    ways = [f"{a} → {b}" for a, b in zip(names, [*names[1:], names[0]])]
    captions = [way for way in ways for _ in range(frames)]
    plane = _plane(source, z)
    hold = tuple(4.0 if i % frames == 0 else 1.0 for i in range(len(z)))
    says = f"a {path} morph through {', '.join(names)} and back, means of p(x|z)"
    return Moving(moving_image(images, captions, whole=True, **plane), says, hold)


def _given(between: list[str], codes: Mapping[str, Sequence[float]]) -> tuple[list[str], np.ndarray, None]:
    """The stops of classes whose latents are given."""
    names = between or list(codes)
    strange = next((name for name in names if name not in codes), None)
    if strange is not None:
        raise UsageError(f"there is no class {strange!r}.", where="--between", fix=nearest(strange, list(codes)))
    return names, np.array([codes[name] for name in names]), None


def _stops(source: Source, between: list[str]) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """The names, latents and (where labels are known) classes of the stops."""
    data, label = source.data, None if source.data is None else source.data.label
    assert data is not None
    classes = list(data.schema.classes or ())
    present = [] if label is None else [name for code, name in enumerate(classes) if (label == code).any()]
    wanted, ids = between or present[:MOST_STOPS], {str(name): i for i, name in enumerate(data.names.tolist())}
    if not wanted:
        wanted = [list(ids)[i] for i in evenly_spaced(source.held_out(10**9, "test", "validation")[0], 6)]
    if strange := next((name for name in wanted if name not in ids and name not in present), None):
        message, few = f"there is no class and no row {strange!r}.", list(ids)[:MOST_NAMES]
        fix = f"{nearest(strange, present or few, few)} A row is called {few[0]!r}."
        raise UsageError(message, where="--between", fix=fix)
    of_class = [name in present and (name not in ids or set(wanted) <= set(present)) for name in wanted]
    where = [np.flatnonzero(label == classes.index(n)) if c else np.array([ids[n]]) for n, c in zip(wanted, of_class)]
    z = np.stack([medoid(means_of(source, evenly_spaced(rows, 200))) for rows in where])
    names = [name if c else f"row {name}" for name, c in zip(wanted, of_class)]
    return names, z, None if label is None else label[[rows[0] for rows in where]]


def _plane(source: Source, z: np.ndarray) -> dict[str, Any]:
    """What a picture beside the image shows, where the latent space is a plane."""
    if z.shape[1] != 2 or source.data is None:
        return {}
    positions, _ = source.held_out(SHOWN, "test", "validation")
    label = None if source.data.label is None else source.data.label[positions]
    classes = None if label is None else source.data.schema.classes
    return {"path": z, "points": means_of(source, positions), "label": label, "classes": classes}


def walk(trained: TrainedModel, data: Dataset | None, *, frames: int = 120, seed: int = 0) -> Moving:
    """Decode a random walk that never leaves the prior, or one from sample to sample."""
    source = Source(trained, data, seed)
    _images_only(source, "walk through")
    if not source.has_prior:
        raise ConfigError("an autoencoder has no prior to walk through.", where="animate", fix="Use `morph`.")
    if source.standard_normal:
        start = source.latents(1).reshape(-1)
        z = random_walk(start, frames, rng=np.random.default_rng(seed))
    else:
        draws = source.latents(max(2, frames // 12)).reshape(max(2, frames // 12), -1)
        z = path_between(draws, 12, "linear")[:frames]
    classes = source.trained.preparation.classes
    label = np.eye(classes)[np.zeros(len(z), int)] if classes else None
    images = source.decoded_images(z, label)
    captions = [f"A random walk in the prior, step {i}" for i in range(len(z))]
    says = f"a random walk of {len(z)} points in the prior, means of p(x|z)"
    return Moving(moving_image(images, captions, **_plane(source, z)), says)


# --- over training ---


def _turned(kept: Sequence[tuple[int, TrainedModel]], data: Dataset, positions: np.ndarray) -> list[tuple]:
    """(step, source, means rotated to fit the last ones, the rotation) of every model that was kept."""
    sources = [Source(trained, data, 0) for _, trained in kept]
    codes = [means_of(source, positions) for source in sources]
    if codes[0].shape != codes[-1].shape:
        raise DataError("the stored models have different latents.", where="snapshots",
                        fix="Animate the last stage: remove the earlier files from snapshots/.")  # fmt: skip
    found = [align(points, codes[-1]) for points in codes]
    return [(step, source, *turned) for (step, _), source, turned in zip(kept, sources, found)]


def latent_over_training(kept: Sequence[tuple[int, TrainedModel]], data: Dataset, *, frames: int = 96) -> Moving:
    """Show the posterior means of held-out rows over training, in logarithmic time."""
    # Every moment is rotated to fit the last one. Of more than two latent dimensions the two with the most variance at
    # the end are shown. Between two models that were kept the points move in straight lines.
    last = Source(kept[-1][1], data, 0)
    if last.is_classifier:
        raise ConfigError("a classifier has no latents.", where="animate", fix="Use a VAE.")
    positions, split = last.held_out(MOST_POINTS, "test", "validation")
    moments = _turned(kept, data, positions)
    if moments[-1][2].shape[1] < 2:
        fix = "Use --set posterior.latent_dim=2."
        raise ConfigError("a plane needs two latent dimensions, and this model has one.", where="animate", fix=fix)
    units = sorted(int(u) for u in np.argsort(-moments[-1][2].var(0), kind="stable")[:2])
    points = np.stack([turned[:, units] for _, _, turned, _ in moments])
    index, share, captions = _in_time(moments, frames)
    between = points[index] + share[:, None, None] * (points[index + 1] - points[index])
    label = None if data.label is None else data.label[positions]
    classes = None if label is None else data.schema.classes
    look: dict[str, Any] = {"label": label, "classes": classes, "units": (units[0], units[1])}
    drawn = moving_scatter(between, captions, **look)
    says = f"posterior means of {len(positions)} {split} rows over {moments[-1][0]} steps, from {len(kept)} models"
    return Moving(drawn, says, (*[1.0] * (frames - 1), 15.0))


def manifold_over_training(
    kept: Sequence[tuple[int, TrainedModel]],
    data: Dataset,
    *,
    cells: int = 15,
    spacing: Literal["linear", "percentile"] = "linear",
    percentiles: tuple[float, float] = (0.05, 0.95),
    frames: int = 96,
) -> Moving:
    """Show what a grid of the latent plane decodes to over training, in logarithmic time."""
    # Each grid is rotated to fit the last one; between two models that were kept one picture fades into the next.
    last = Source(kept[-1][1], data, 0)
    _images_only(last, "show as a plane")
    if last.trained.latent_shape != (2,):
        what = "this animation needs a model of two latent dimensions; this one has more."
        fix = "Train with --set posterior.latent_dim=2, or animate `latent`."
        raise ConfigError(what, where="animate manifold", fix=fix)
    positions, _ = last.held_out(MOST_POINTS, "test", "validation")
    moments = _turned(kept, data, positions)
    if spacing == "percentile" and not last.standard_normal:
        raise ConfigError("this prior has no percentiles to space the plane by.", where="--manifold-range percentile",
                          fix="Use --manifold-range linear.")  # fmt: skip
    grid = figures.linear_grid(cells) if spacing == "linear" else figures.percentile_grid(cells, *percentiles)
    classes = last.trained.preparation.classes
    label = np.eye(classes)[np.zeros(cells * cells, int)] if classes else None
    decoded = []
    for _, source, _, turn in moments:
        # A point of the turned plane is z R, so z is that point times R transposed.
        images = source.decoded_images(grid.reshape(-1, 2) @ turn.T, label)
        decoded.append(images.reshape(cells, cells, *images.shape[1:]))
    index, share, captions = _in_time(moments, frames)
    between = [(1 - s) * decoded[i] + s * decoded[i + 1] for i, s in zip(index, share)]
    of = "points" if spacing == "linear" else "percentiles of the prior"
    says = f"means of p(x|z) on {cells} by {cells} {of} over {moments[-1][0]} steps, from {len(kept)} models"
    return Moving(moving_manifold(between, grid, captions), says, (*[1.0] * (frames - 1), 15.0))


def _in_time(moments: Sequence[tuple], frames: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The model before each frame, in logarithmic time, how far it is on the way to the next, and the caption."""
    steps = [step for step, *_ in moments]
    index, share = in_log_time(steps, frames)
    at = [np.log1p(steps[i]) + s * (np.log1p(steps[i + 1]) - np.log1p(steps[i])) for i, s in zip(index, share)]
    return index, share, [f"step {round(float(np.expm1(one))):,}" for one in at]
