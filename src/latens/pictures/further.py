"""More pictures of a trained model: what its latents mean, where it errs, how it is built, how it came about."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import jax
import numpy as np

from latens import evaluation
from latens.data import Dataset
from latens.figures import bands, columns, density, extremes, over_training, planes, rate, strips
from latens.figures.latent import linear_grid
from latens.figures.manifold import manifold_table
from latens.figures.paths import linear_path, random_walk, spherical_path
from latens.figures.style import ThemeName
from latens.figures.tables import marginals, marginals_table
from latens.pictures.animate import decoded_at
from latens.pictures.model_graph import draw_graph
from latens.pictures.source import Source, evenly
from latens.pictures.standard import framed
from latens.workflow.trained import TrainedModel

Drawn = list[tuple[str, Any, dict[str, np.ndarray]]]

WIDE, MOST_UNITS, MOST_ROWS, PLANE = 11, 8, 1000, 21
SERIES = 8
"""Unnamed rows of real numbers that are at least this long are drawn as series."""


def draw_further(
    trained: TrainedModel,
    data: Dataset | None,
    history: Sequence[dict[str, Any]] = (),
    snapshots: Sequence[tuple[int, TrainedModel]] = (),
    *,
    theme: ThemeName = "light",
    seed: int = 0,
    only: Collection[str] | None = None,
) -> Drawn:
    """Draw every further picture that applies to a model.

    - `graph`: the parts of the model with shapes and trained parameters;
    - `two-views`: encoder and decoder on the same axes (images, two latent dimensions);
    - `latent-density`: contours and posteriors of the two dimensions with most KL;
    - `traversals`, `interpolations`, `walk`, `arithmetic` (of classes): what latents decode to (images);
    - `posterior-predictive`: data, means and samples; `extremes`: best and worst rows with error maps (images);
    - `aggregated-posterior`: q(z) over all rows against the prior, dimension by dimension;
    - `rate-distortion`: KL against -log p(x|z) over training; `unit-kl-over-training` (from snapshots);
    - `correlations`, `column-errors` (tables), `bands` (series).

    Args:
        trained: The model.
        data: Its data; None draws what needs none.
        history: The "epoch" records of metrics.jsonl.
        snapshots: Steps and the models that training kept at them.
        theme: "light" or "dark".
        seed: Seed of the samples.
        only: Names of the pictures that are wanted; None for all.

    Returns:
        Of each picture its name, its Axes and the table of its numbers.
    """
    source = Source(trained, data, seed)
    drawn: Drawn = [("graph", *draw_graph(trained, theme=theme))]
    drawn += _rate(history, theme)
    if source.is_classifier or data is None:
        return drawn

    def wanted(*names: str) -> bool:
        return only is None or any(name in only for name in names)

    positions, split = source.held_out(MOST_ROWS, "test", "validation")
    code = _Codes(source, positions)
    gradual = source.support == "vector"
    if gradual:
        drawn += _plane(source, code, split, theme)
        if source.is_image:
            drawn += _traversals(source, code, theme)
        if source.is_image and wanted("interpolations", "walk", "arithmetic"):
            drawn += _paths(source, code, theme) + _arithmetic(source, code, theme)
    if source.is_image and wanted("posterior-predictive"):
        drawn += _predictive(source, positions, theme)
    if source.is_image:
        drawn += _extremes(source, positions, theme)
    if gradual and source.has_prior and not trained.preparation.classes:
        drawn += _aggregated(source, positions, code, theme)
    drawn += _kept(snapshots, data, positions, theme)
    if len(source.schema.shape) == 1 and not source.is_image:
        drawn += _columns(source, positions, theme) if source.schema.columns else _series(source, positions, theme)
    return [entry for entry in drawn if wanted(entry[0])]


class _Codes:
    """The posteriors of some rows: means, log-variances and KL by unit where they exist, units by what they carry."""

    def __init__(self, source: Source, positions: np.ndarray) -> None:
        assert source.data is not None
        batch = source.trained.batch(source.data, positions)
        options: dict[str, Any] = {"preparation": source.trained.preparation, "key": source.row_key}
        found = evaluation.encode(source.trained.model, batch, **options)
        self.positions, self.batch = positions, batch
        self.mean = found["mean"].reshape(len(positions), -1)
        self.log_variance = None if "log_variance" not in found else found["log_variance"].reshape(self.mean.shape)
        by_unit = "kl" in found and found["kl"].size == self.mean.size
        self.kl = found["kl"].reshape(self.mean.shape).mean(0, dtype=np.float64) if by_unit else None
        self.order = np.argsort(-(self.mean.var(0) if self.kl is None else self.kl), kind="stable")
        self.label = None if source.data.label is None else source.data.label[positions]
        self.classes = None if self.label is None else source.data.schema.classes


def _vectors(source: Source, code: _Codes, place: int, count: int) -> np.ndarray | None:
    """The class vector of one row, `count` times, of a conditional model."""
    if not source.trained.preparation.classes or code.label is None:
        return None
    known = source.trained.condition(np.full(count, code.label[place]))
    return None if known is None else known["label"]


def _plane(source: Source, code: _Codes, split: str, theme: ThemeName) -> Drawn:
    drawn: Drawn = []
    if code.mean.shape[1] < 2:
        return drawn
    first, second = sorted(int(unit) for unit in code.order[:2])
    z = code.mean[:, [first, second]]
    if code.log_variance is not None and np.linalg.matrix_rank(z - z.mean(0)) == 2 and len(z) > 2:
        spread = code.log_variance[:, [first, second]]
        title = f"Posteriors of {len(z)} {split} rows; lines hold 50 % and 90 % of the means"
        units = (first, second)
        axes = density.latent_density(z, spread, code.label, code.classes, units=units, title=title, theme=theme)
        drawn.append(("latent-density", axes, density.latent_density_table(z, spread)))
    if source.is_image and code.mean.shape[1] == 2 and not source.trained.preparation.classes:
        grid = linear_grid(PLANE)
        images = decoded_at(source, grid.reshape(-1, 2), None)
        images = images.reshape(PLANE, PLANE, *images.shape[1:])
        axes = planes.two_views(z, framed(images), grid, code.label, code.classes, theme=theme)
        drawn.append(("two-views", axes, manifold_table(images, grid)))
    return drawn


def _strips(
    name: str, rows: Sequence[np.ndarray], names: Sequence[str], title: str, theme: ThemeName, group: Any = None
):
    axes = strips.image_strips(rows, names, group=group, title=title, theme=theme)
    return (name, axes, strips.image_strips_table(rows, names))


def _traversals(source: Source, code: _Codes, theme: ThemeName) -> Drawn:
    reach, found = np.linspace(-3.0, 3.0, WIDE), []
    units = code.order[:MOST_UNITS]
    for unit in units:
        z = np.tile(code.mean[0].astype(float), (WIDE, 1))
        z[:, unit] = reach
        found.append(decoded_at(source, z, _vectors(source, code, 0, WIDE)))
    said = [f"unit {u}" + ("" if code.kl is None else f": {code.kl[u]:.2f} nats") for u in units]
    title = "Each unit from −3 to 3, the others as of one row; most KL first"
    return [_strips("traversals", found, said, title, theme)]


def _paths(source: Source, code: _Codes, theme: ThemeName) -> Drawn:
    """Between rows, straight and by the arc; and a walk in the prior."""
    drawn: Drawn = []
    ends, found, names = evenly(np.arange(len(code.mean)), 6), [], []
    for a, b in zip(ends[::2], ends[1::2]):
        for word, path in (("straight", linear_path), ("spherical", spherical_path)):
            z = path(code.mean[a], code.mean[b], WIDE)
            found.append(decoded_at(source, z, _vectors(source, code, int(a), WIDE)))
            names.append(word)
    if found:
        title = "Between two held-out rows, straight and spherical"
        drawn.append(_strips("interpolations", found, names, title, theme, 2))
    if source.standard_normal and source.has_prior:
        known = code.label[:1] if source.trained.preparation.classes and code.label is not None else None
        walk = random_walk(source.latents(1, known).reshape(-1), 48, rng=np.random.default_rng(0))
        images = decoded_at(source, walk, _vectors(source, code, 0, 48))
        names = [f"steps {i} to {i + 11}" for i in range(0, 48, 12)]
        drawn.append(
            _strips("walk", list(images.reshape(4, 12, *images.shape[1:])), names, "A random walk in the prior", theme)
        )
    return drawn


def _arithmetic(source: Source, code: _Codes, theme: ThemeName) -> Drawn:
    """a - b + c of the mean latents of three classes, for up to four choices of them."""
    if code.label is None or source.trained.preparation.classes:
        return []
    present = [int(c) for c in np.unique(code.label) if c >= 0]
    if len(present) < 3:
        return []
    centres = {c: code.mean[code.label == c].mean(0) for c in present}
    words = code.classes or [str(c) for c in range(max(present) + 1)]
    rows, names = [], []
    for i in range(min(4, len(present) - 2)):
        a, b, c = (present[(i + 2 * j) % len(present)] for j in range(3))
        if len({a, b, c}) < 3:
            a, b, c = present[i : i + 3]
        z = np.stack([centres[a], centres[b], centres[c], centres[a] - centres[b] + centres[c]])
        rows.append(decoded_at(source, z, None))
        names.append(f"{words[a]} − {words[b]} + {words[c]}")
    return [_strips("arithmetic", rows, names, "a, b, c and a − b + c of class means", theme)]


def _predictive(source: Source, positions: np.ndarray, theme: ThemeName) -> Drawn:
    assert source.data is not None
    batch = source.trained.batch(source.data, evenly(positions, 12))
    model, preparation = source.trained.model, source.trained.preparation
    rows = [source.images(source.originals(batch)), source.images(source.reconstructions(batch))]
    for i in range(3):
        key = jax.random.fold_in(source.row_key, i)
        draw = evaluation.reconstruct(model, batch, preparation=preparation, key=key, mean=False)
        rows.append(source.images(source.trained.data_units(draw, mean=False)))
    names = ["data", "mean of p(x|z)", *["draw from p(x|z)"] * 3]
    title = "Posterior predictive: z drawn from q(z|x), x from p(x|z)"
    return [_strips("posterior-predictive", rows, names, title, theme)]


def _extremes(source: Source, positions: np.ndarray, theme: ThemeName) -> Drawn:
    assert source.data is not None
    if len(positions) < 2:
        return []
    batch = source.trained.batch(source.data, positions)
    original, made = source.images(source.originals(batch)), source.images(source.reconstructions(batch))
    name, score = "mean squared error", -np.square(original - made).reshape(len(made), -1).mean(1)
    if source.has_prior:
        options: dict[str, Any] = {"preparation": source.trained.preparation, "key": source.row_key}
        parts = evaluation.elbo_parts(source.trained.model, batch, num_samples=4, **options)
        name, score = "E log p(x|z), in nats", parts["log_likelihood"]
    axes = extremes.extreme_reconstructions(original, made, score, score_name=name, theme=theme)
    return [("extremes", axes, extremes.extreme_reconstructions_table(original, made, score))]


def _aggregated(source: Source, positions: np.ndarray, code: _Codes, theme: ThemeName) -> Drawn:
    assert source.data is not None
    options: dict[str, Any] = {"preparation": source.trained.preparation, "key": source.row_key}
    z = evaluation.aggregated_draws(source.trained.model, code.batch, num_draws=4, **options)
    prior = source.latents(4000)
    prior = prior.reshape(len(prior), -1)
    if prior.shape[1] != z.shape[1]:
        return []  # a hierarchy, of which only the highest level has draws here
    kept = code.order[:12]
    names = [f"unit {u}" + ("" if code.kl is None else f", {code.kl[u]:.2f} nats") for u in kept]
    kinds = ("aggregated posterior", "prior")
    axes = marginals(z[:, kept], prior[:, kept], names, kinds=kinds, theme=theme)
    return [("aggregated-posterior", axes, marginals_table(z[:, kept], prior[:, kept], names, kinds=kinds))]


def _rate(history: Sequence[dict[str, Any]], theme: ThemeName) -> Drawn:
    for split in ("validation", "train"):
        names = (f"{split}_kl", f"{split}_log_likelihood")
        rows = [r for r in history if all(isinstance(r.get(n), float) and math.isfinite(r[n]) for n in names)]
        if len(rows) >= 2:
            kept = [rows[i] for i in np.unique(np.geomspace(1, len(rows), 24).round().astype(int)) - 1]
            given = ([r[names[0]] for r in kept], [-r[names[1]] for r in kept], [f"step {r['step']}" for r in kept])
            return [("rate-distortion", rate.rate_distortion(*given, theme=theme), rate.rate_distortion_table(*given))]
    return []


def _kept(
    snapshots: Sequence[tuple[int, TrainedModel]], data: Dataset, positions: np.ndarray, theme: ThemeName
) -> Drawn:
    if len(snapshots) < 2:
        return []
    kl = [_Codes(Source(trained, data, 0), positions).kl for _, trained in snapshots]
    if any(one is None or one.shape != kl[-1].shape for one in kl):  # type: ignore[union-attr]
        return []
    steps, values = np.array([step for step, _ in snapshots]), np.array(kl)
    axes = over_training.unit_kl_history(steps, values, theme=theme)
    return [("unit-kl-over-training", axes, over_training.unit_kl_history_table(steps, values))]


def _columns(source: Source, positions: np.ndarray, theme: ThemeName) -> Drawn:
    assert source.data is not None
    batch = source.trained.batch(source.data, positions)
    names = [column.name for column in source.schema.columns or ()]
    data = np.asarray(source.originals(batch), np.float64)
    if batch.mask is not None:
        data = np.where(np.asarray(batch.mask), data, np.nan)
    made = source.reconstructions(batch)
    axes = columns.column_errors(data, made, names, theme=theme)
    drawn: Drawn = [("column-errors", axes, columns.column_errors_table(data, made, names))]
    if source.has_prior and len(names) >= 2:
        samples = source.samples(max(2000, len(positions)))
        axes = columns.correlations(data, samples, names, theme=theme)
        drawn.append(("correlations", axes, columns.correlations_table(data, samples, names)))
    return drawn


def _series(source: Source, positions: np.ndarray, theme: ThemeName) -> Drawn:
    if source.schema.shape[0] < SERIES or source.schema.kind not in ("real", "unit", "counts"):
        return []
    assert source.data is not None
    batch = source.trained.batch(source.data, evenly(positions, 6))
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
